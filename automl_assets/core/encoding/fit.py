"""What an encoding learns from raw columns: the levels of categories, the parts of dates."""

import math
from collections.abc import Mapping

import polars as pl

from automl_assets.core.encoding import (
    MAX_LEVELS,
    MIN_LEVEL_ROWS,
    ColumnEncoding,
    date_parts,
)
from automl_assets.core.values import ColumnKind

LEVELS_AT_ONCE = 1_000_000
"""Distinct values that are counted in one pass: some 100 MB of text and counters."""

_DATE_CHARACTERS = len("2026-01-31")


def fit_columns(
    train: pl.LazyFrame,
    kinds: Mapping[str, ColumnKind],
    *,
    n_distinct: Mapping[str, int] | None = None,
) -> tuple[ColumnEncoding, ...]:
    """Learn how to encode columns, streaming.

    Args:
        train: The rows of the train part; no other row is looked at.
        kinds: The columns and how each is encoded, in the order of the result.
        n_distinct: About how many values a column has, where it is known;
            decides in how many passes its levels are counted.
    """
    schema = train.collect_schema()
    fitted = []
    for name, kind in kinds.items():
        dtype = str(schema[name])
        encoding = ColumnEncoding(name=name, kind=kind, dtype=dtype)
        if kind == "datetime":
            has_hours = dtype == "String" and _is_longer_than_dates(train, name)
            parts = date_parts(dtype, has_hours=has_hours)
            encoding = encoding.model_copy(update={"date_parts": parts})
        if kind == "categorical":
            n_passes = math.ceil((n_distinct or {}).get(name, 1) / LEVELS_AT_ONCE)
            levels = count_levels(train, name, n_passes=max(1, n_passes), dtype=schema[name])
            encoding = encoding.model_copy(update={"levels": levels})
        fitted.append(encoding)
    return tuple(fitted)


def _is_longer_than_dates(train: pl.LazyFrame, name: str) -> bool:
    longest = train.select(pl.col(name).str.len_chars().max()).collect(engine="streaming").item()
    return longest is not None and longest > _DATE_CHARACTERS


def count_levels(
    train: pl.LazyFrame, name: str, *, n_passes: int = 1, dtype: pl.DataType | None = None
) -> tuple[str, ...]:
    """Return the most frequent values as text, most frequent first; rare ones are left out.

    Exact in any number of passes: each counts the values of its own share, so
    the memory holds a share at a time.

    Args:
        n_passes: In how many shares the distinct values are counted.
        dtype: Type of the column, where it is known: to find it takes a while in a wide table.
    """
    value = pl.col(name)
    dtype = train.collect_schema()[name] if dtype is None else dtype
    if isinstance(dtype, pl.Categorical | pl.Enum):
        value = value.cast(pl.String)
    elif dtype.is_float():
        value = value.fill_nan(None)
    found = []
    for share in range(n_passes):
        values = train.select(level=value).drop_nulls()
        if n_passes > 1:
            values = values.filter(pl.col("level").hash() % n_passes == share)
        counts = (
            values.group_by("level")
            .agg(rows=pl.len())
            .filter(pl.col("rows") >= MIN_LEVEL_ROWS)
            .with_columns(pl.col("level").cast(pl.String))
            .collect(engine="streaming")
        )
        found.append(_most_frequent(counts))
    return tuple(_most_frequent(pl.concat(found))["level"].to_list())


def _most_frequent(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.sort(["rows", "level"], descending=[True, False]).head(MAX_LEVELS)
