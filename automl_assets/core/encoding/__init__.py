"""From a table to the matrix that model families read, and the same at prediction time.

What is learned (the levels of categories, how often each was seen and what the
target was) is learned on the train part only, is kept as JSON, and is applied
by the same code when the model is used.
"""

from collections.abc import Collection, Iterator
from typing import Literal

import numpy as np
import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.encoding.values import TEXT_DTYPES, to_float, to_moment, to_text
from automl_assets.core.errors import RequestError
from automl_assets.core.values import ColumnKind, Value

MISSING, OTHER = 0, 1
"""Codes of a missing category, and of one that is rare or was never seen in training."""

N_SPECIAL = 2
"""Codes before the first level."""

MAX_LEVELS = 10_000
MIN_LEVEL_ROWS = 2
"""A level seen once teaches nothing by itself; such rows teach the model what `OTHER` means."""

DatePart = Literal["days", "year", "month", "weekday", "hour"]

_MODULES = ("encoding", "rows.iso_dates")


def preprocessing_version() -> str:
    """Return the version of the preprocessing code: its own digest."""
    return code_version(*(f"automl_assets.core.{name}" for name in _MODULES))


class ColumnEncoding(Value):
    """How one raw column becomes one or more features.

    A package written before a field existed has its default, and encodes as it did.

    Attributes:
        levels: Categories with a code of their own, in code order from 2.
        date_parts: What is taken of a date or time.
        counts: Training rows of each code, if that is a feature.
        outputs: What the target encodings are of: a class each, or one empty
            name for the positive class or the value of a regression.
        means: For each of `outputs`, the smoothed mean of the target at each code.
    """

    name: str
    kind: ColumnKind
    dtype: str
    levels: tuple[str, ...] = ()
    date_parts: tuple[DatePart, ...] = ()
    counts: tuple[float, ...] = ()
    outputs: tuple[str, ...] = ()
    means: tuple[tuple[float, ...], ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the column held text in training, however it was stored."""
        return self.kind == "categorical" and self.dtype.startswith(TEXT_DTYPES)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features made from this column."""
        if self.kind == "datetime":
            return tuple(f"{self.name} ({part})" for part in self.date_parts)
        count = (f"{self.name} (count)",) if self.counts else ()
        means = (f"{self.name} (target{f': {of}' if of else ''})" for of in self.outputs)
        return (self.name, *count, *means)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """For each feature the number of codes if it is categorical, else 0."""
        numbers = (0,) * len(self.feature_names)
        if self.kind == "categorical":
            return (len(self.levels) + N_SPECIAL, *numbers[1:])
        return numbers

    @property
    def lookups(self) -> tuple[np.ndarray, ...]:
        """The features after the code itself, each float32 by code."""
        tables = ((self.counts,) if self.counts else ()) + self.means
        return tuple(np.array(table, np.float32) for table in tables)


class Preprocessing(Value):
    """All that turns raw rows into the matrix; fitted on the train part only."""

    version: str
    columns: tuple[ColumnEncoding, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """For each feature the number of codes if it is categorical, else 0."""
        return tuple(n for column in self.columns for n in column.n_levels)


def date_parts(dtype: str, *, has_hours: bool) -> tuple[DatePart, ...]:
    """Return what is taken of dates, and of times besides.

    Args:
        dtype: Type of the raw column.
        has_hours: Whether text holds more than dates; other types say it themselves.
    """
    parts: tuple[DatePart, ...] = ("days", "year", "month", "weekday")
    is_date = dtype == "Date" or (dtype == "String" and not has_hours)
    return parts if is_date else (*parts, "hour")


def encode_codes(values: pl.Series, encoding: ColumnEncoding) -> np.ndarray:
    """Return the code of each category, float32."""
    text = to_text(values, name=encoding.name, is_text=encoding.is_text)
    codes = {level: code for code, level in enumerate(encoding.levels, start=N_SPECIAL)}
    coded = text.replace_strict(codes, default=OTHER, return_dtype=pl.Float32)
    if text.null_count():
        coded = coded.set(text.is_null(), float(MISSING))
    return coded.to_numpy()


def encode_column(values: pl.Series, encoding: ColumnEncoding) -> Iterator[np.ndarray]:
    """Yield the features of one raw column, each float32 of shape `(n_rows,)`.

    Raises:
        RequestError: The values do not fit the type that the column had in training.
    """
    if encoding.kind in ("numeric", "boolean"):
        yield to_float(values, name=encoding.name, kind=encoding.kind)
        return
    if encoding.kind == "categorical":
        codes = encode_codes(values, encoding)
        yield codes
        for table in encoding.lookups:
            yield table[codes.astype(np.intp)]
        return
    moment = to_moment(values, name=encoding.name, trained=encoding.dtype).dt
    parts = {
        "days": lambda: moment.epoch("us").cast(pl.Float64) / 86_400_000_000,
        "year": moment.year,
        "month": moment.month,
        "weekday": moment.weekday,
        "hour": moment.hour,
    }
    for part in encoding.date_parts:
        yield parts[part]().cast(pl.Float64).to_numpy().astype(np.float32)


def require_columns(names: Collection[str], preprocessing: Preprocessing) -> None:
    """Check that all raw columns of a model are there.

    Raises:
        RequestError: A column is missing; the message names up to five.
    """
    missing = [column.name for column in preprocessing.columns if column.name not in names]
    if missing:
        raise RequestError(
            f"The model needs {len(preprocessing.columns)} columns, but {len(missing)} are "
            f"missing: {', '.join(map(repr, missing[:5]))}. Add them; unknown values may be empty."
        )


def encode(frame: pl.DataFrame, preprocessing: Preprocessing) -> np.ndarray:
    """Encode raw rows as training did.

    Args:
        frame: Raw rows; columns that are not features are ignored.
        preprocessing: As fitted on the train part.

    Returns:
        Matrix `(n_rows, n_features)`, float32, column-major.

    Raises:
        RequestError: A column is missing, or its values do not fit its type in training.
    """
    require_columns(frame.columns, preprocessing)
    matrix = np.empty((frame.height, len(preprocessing.feature_names)), np.float32, order="F")
    position = 0
    for column in preprocessing.columns:
        for feature in encode_column(frame[column.name], column):
            matrix[:, position] = feature
            position += 1
    return matrix


def fit_column(values: pl.Series, *, kind: ColumnKind) -> ColumnEncoding:
    """Learn how to encode one column from its values in the train part, without its target."""
    from automl_assets.core.encoding.fit import fit_columns

    (fitted,) = fit_columns(values.to_frame().lazy(), {values.name: kind})
    return fitted
