"""Columns that tell rows apart instead of describing them, and copies of the target."""

from collections.abc import Sequence

import polars as pl

from automl_assets.core.profile.measures import SKETCH_ERROR, Measured
from automl_assets.core.profile.target import class_text

_MIN_IDENTIFIERS = 50
_IDENTIFIER_SHARE = 0.95
_MAX_COUNTED = 1_000_000

_HEAD_ROWS = 1_000
"""Most columns that are neither identifiers nor copies show it in so many rows."""


def find_identifiers(
    frame: pl.LazyFrame, columns: Sequence[Measured], n_rows: int
) -> dict[str, str]:
    """Return the columns that name or number the rows, and why it is thought so.

    Reads all rows only of columns that nothing else speaks against.
    """
    many = [column for column in columns if _has_many(column, n_rows)]
    texts = [column for column in many if not column.dtype.is_numeric()]
    numbers = [column for column in many if column.dtype.is_integer() and not column.n_nulls]
    reasons = {}
    for column in texts:
        share = _distinct_share(frame, column.name, n_rows - column.n_nulls)
        if share > _IDENTIFIER_SHARE:
            reasons[column.name] = f"names rows: {share:.0%} of its values are different"
    for name in _hold_in_all_rows(frame, {c.name: _is_ordered(pl.col(c.name)) for c in numbers}):
        reasons[name] = "numbers the rows: whole numbers in order, none twice"
    return reasons


def find_copies(frame: pl.LazyFrame, columns: Sequence[Measured], target: Measured) -> list[str]:
    """Return the columns that hold the same value as the target in every row.

    Args:
        columns: Without missing values.
    """
    answer = class_text(pl.col(target.name), target.dtype)
    n_distinct = target.n_distinct
    return _hold_in_all_rows(
        frame,
        {
            column.name: (class_text(pl.col(column.name), column.dtype) == answer).all()
            for column in columns
            if abs(column.n_distinct - n_distinct) <= SKETCH_ERROR * n_distinct
        },
    )


def _has_many(column: Measured, n_rows: int) -> bool:
    suspicious = _IDENTIFIER_SHARE * (1 - SKETCH_ERROR) * (n_rows - column.n_nulls)
    return column.n_distinct > max(_MIN_IDENTIFIERS, suspicious)


def _is_ordered(values: pl.Expr) -> pl.Expr:
    return (values > values.shift(1)).all() | (values < values.shift(1)).all()


def _hold_in_all_rows(frame: pl.LazyFrame, claims: dict[str, pl.Expr]) -> list[str]:
    """Return the names of the claims that are true; the first rows refute most of them."""
    names = list(claims)
    for table in (frame.head(_HEAD_ROWS), frame):
        if not names:
            break
        # Positions, because a column may have any name.
        asked = {str(position): claims[name] for position, name in enumerate(names)}
        answers = table.select(**asked).collect(engine="streaming").row(0)
        names = [name for name, holds in zip(names, answers, strict=True) if holds]
    return names


def _distinct_share(frame: pl.LazyFrame, name: str, n_present: int) -> float:
    """Return the share of distinct values; exact up to a million rows.

    Of longer columns, the values are counted whose digest is a multiple of some
    number: all rows of a value or none, so that the share stays true.
    """
    every = max(1, n_present // _MAX_COUNTED)
    digests = frame.select(digest=pl.col(name).drop_nulls().hash())
    counts = digests.filter(pl.col("digest") % every == 0).group_by("digest").len()
    n_distinct, n_rows = (
        counts.select(distinct=pl.len(), rows=pl.col("len").sum())
        .collect(engine="streaming")
        .row(0)
    )
    return n_distinct / n_rows
