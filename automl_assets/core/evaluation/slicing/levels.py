"""Rows divided by the values of one column, and what each value is called."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from automl_assets.core.profile.target import class_text

MAX_LEVELS = 12
"""Values of one column that are looked at apart."""

MAX_TEXT = 200
"""Characters of a value that a name holds."""

_FIRST_ROWS = 10_000
"""Most columns with many values show it here already: counting all would be slower."""

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Division:
    """Rows by the values of a column.

    Attributes:
        names: One for each code.
        codes: -1 where a value has no code, `(n_rows,)`.
        n_levels_left_out: Values without a code.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    n_levels_left_out: int = 0


def divide(name: str, column: pl.Series) -> Division | None:
    """Divide rows by the values of a column; those without a value come last.

    Up to 12 values each have a code, in their order. Of more, numbers and times are cut at
    their quartiles, and of texts the 12 most frequent have a code.

    Returns:
        None where values are lists or the like, or where there is none.

    Examples:
        >>> found = divide("plan", pl.Series(["b", "a", None, "b"]))
        >>> found.names, found.codes.tolist()
        (('plan=a', 'plan=b', 'plan is missing'), [1, 0, 2, 1])
    """
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary, pl.Null):
        return None
    values = _plain(column)
    is_ordered = values.dtype.is_numeric() or values.dtype.is_temporal()
    if is_ordered and values.head(_FIRST_ROWS).drop_nulls().n_unique() > MAX_LEVELS:
        return _with_missing(name, values, *_quarters(name, values))
    counts = pl.DataFrame({"level": values.drop_nulls()}).group_by("level").len("rows")
    levels = counts.sort("rows", "level", descending=[True, False])["level"]
    if not len(levels):
        return None
    if len(levels) > MAX_LEVELS and is_ordered:
        return _with_missing(name, values, *_quarters(name, values))
    kept = levels.head(MAX_LEVELS).sort()
    codes = values.replace_strict(
        kept, pl.Series(range(len(kept)), dtype=pl.Int8), default=-1, return_dtype=pl.Int8
    )
    texts = pl.select(class_text(pl.lit(kept), kept.dtype)).to_series().to_list()
    names = tuple(f"{name}={text[:MAX_TEXT]}" for text in texts)
    return _with_missing(
        name, values, names, codes.to_numpy().copy(), n_left_out=len(levels) - len(kept)
    )


def _plain(column: pl.Series) -> pl.Series:
    """Return values that can be ordered and counted, NaN as missing."""
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    if column.dtype.is_float():
        return column.fill_nan(None)
    is_text = isinstance(column.dtype, pl.Categorical | pl.Enum)
    return column.cast(pl.String) if is_text else column


def _with_missing(
    name: str, values: pl.Series, names: tuple[str, ...], codes: np.ndarray, *, n_left_out: int = 0
) -> Division:
    if values.null_count():
        codes[values.is_null().to_numpy()] = len(names)
        names = (*names, f"{name} is missing")
    return Division(names=names, codes=codes, n_levels_left_out=n_left_out)


def _quarters(name: str, values: pl.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """Cut at the quartiles, so that a slice can be asked for by a predicate."""
    numbers = values.to_physical()
    ordered = numbers.drop_nulls().sort()
    # Nothing lies above the largest value, so the cut is below it.
    below = ordered.filter(ordered < ordered[-1])
    places = [min(int(share * (len(ordered) - 1)), len(below) - 1) for share in QUARTILES]
    edges = ordered.gather(places)
    if values.dtype.is_float():
        edges = edges.round_sig_figs(4)
    edges = edges.unique().sort()
    shown = pl.select(class_text(pl.lit(edges.cast(values.dtype)), values.dtype)).to_series()
    texts = shown.to_list()
    codes = edges.search_sorted(numbers.fill_null(ordered[0]), side="left").to_numpy()
    middle = [f"{low} < {name} <= {high}" for low, high in pairwise(texts)]
    names = (f"{name} <= {texts[0]}", *middle, f"{name} > {texts[-1]}")
    return names, codes.astype(np.int8)
