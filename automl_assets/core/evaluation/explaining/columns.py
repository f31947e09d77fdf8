"""Raw columns behind encoded features: what they are called, and what their values mean."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from automl_assets.core.encoding import MISSING, N_SPECIAL, ColumnEncoding, Preprocessing
from automl_assets.core.evaluation.wording import short, shown

NO_VALUE = "missing"


@dataclass(frozen=True, kw_only=True)
class RawFeatures:
    """One raw column and the positions of its features in the matrix, next to each other."""

    encoding: ColumnEncoding
    positions: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the raw column."""
        return self.encoding.name

    @property
    def is_categorical(self) -> bool:
        """Whether the first feature is the code of a category."""
        return self.encoding.kind == "categorical"


def raw_features(preprocessing: Preprocessing) -> dict[str, RawFeatures]:
    """Return the raw columns by name, in table order."""
    found, first = {}, 0
    for encoding in preprocessing.columns:
        after = first + len(encoding.feature_names)
        positions = tuple(range(first, after))
        found[encoding.name] = RawFeatures(encoding=encoding, positions=positions)
        first = after
    return found


def first_positions(columns: "dict[str, RawFeatures]") -> np.ndarray:
    """Return where the features of each raw column begin."""
    return np.array([column.positions[0] for column in columns.values()], np.intp)


def label(encoding: ColumnEncoding, value: float) -> str:
    """Return what the first feature of a column means, in the column's own units.

    Examples:
        >>> plan = ColumnEncoding(name="plan", kind="categorical", dtype="String", levels=("a",))
        >>> [label(plan, code) for code in (0, 1, 2)]
        ['missing', 'rare or new', 'a']
        >>> label(ColumnEncoding(name="day", kind="datetime", dtype="Date"), 1.5)
        '1970-01-02'
    """
    if np.isnan(value):
        return NO_VALUE
    if encoding.kind == "categorical":
        return _level(encoding, int(value))
    if encoding.kind == "boolean":
        return "true" if value else "false"
    if encoding.kind == "datetime":
        return str(np.datetime64(int(np.floor(value)), "D"))
    return shown(float(value))


def _level(encoding: ColumnEncoding, code: int) -> str:
    if code == MISSING:
        return NO_VALUE
    if code < N_SPECIAL:
        return "rare or new"
    return short(encoding.levels[code - N_SPECIAL]) or "empty text"


def raw_label(value: Any) -> str:
    """Return a value of a raw column as people read it.

    Examples:
        >>> [raw_label(value) for value in (None, True, 0.25, "gold")]
        ['missing', 'true', '0.25', 'gold']
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return shown(value)
    return value.isoformat() if isinstance(value, date) else short(str(value)) or "empty text"
