"""How many different values a column has, and which texts are the most frequent; exact."""

from dataclasses import dataclass

import polars as pl

from automl_assets.core.profile.target import class_text

MAX_TEXT_BYTES = 200
"""Longer texts are counted, but not shown."""

N_TOP = 20
MAX_SHOWN_NUMBERS = 20
"""Numbers are shown as levels only in columns that have at most so many."""


@dataclass(frozen=True, kw_only=True)
class LevelPlan:
    """What is counted of one column.

    Attributes:
        is_long: Whether it has texts that are too long to be shown.
        candidates: Count only these; every value if None.
    """

    name: str
    dtype: pl.DataType
    is_long: bool = False
    candidates: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The values of one column.

    Attributes:
        n_distinct: None if only candidates were counted.
        top: The most frequent texts and their rows, most frequent first.
    """

    n_distinct: int | None
    top: tuple[tuple[str, int], ...]


def count_levels(frame: pl.LazyFrame, plans: list[LevelPlan]) -> dict[str, Levels]:
    """Count the rows of every value of some columns; each column is read by itself.

    Memory grows with the number of different values, so columns with many are
    planned with candidates.
    """
    # One at a time: columns that are counted together wait for each other in memory.
    return {
        plan.name: _levels(plan, _counts(frame, plan).collect(engine="streaming")) for plan in plans
    }


def _counts(frame: pl.LazyFrame, plan: LevelPlan) -> pl.LazyFrame:
    table = frame.select(level=_values(plan)).filter(pl.col("level").is_not_null())
    return table.group_by("level").agg(rows=pl.len())


def _values(plan: LevelPlan) -> pl.Expr:
    values = pl.col(plan.name)
    if plan.dtype.is_float():
        return values.fill_nan(None)
    if isinstance(plan.dtype, pl.Enum | pl.Categorical):
        return values.cast(pl.String)
    if plan.candidates is not None:
        return pl.when(values.is_in(plan.candidates)).then(values)
    if plan.is_long:
        digest = pl.concat_str(pl.lit("\0"), values.hash().cast(pl.String))
        is_shown = values.str.len_bytes() <= MAX_TEXT_BYTES
        # A missing value has a hash, too.
        return pl.when(is_shown).then(values).when(values.is_not_null()).then(digest)
    return values


def _levels(plan: LevelPlan, counts: pl.DataFrame) -> Levels:
    n_distinct = None if plan.candidates is not None else counts.height
    is_shown = not plan.dtype.is_numeric() or counts.height <= MAX_SHOWN_NUMBERS
    if not is_shown or plan.dtype.is_temporal():
        return Levels(n_distinct=n_distinct, top=())
    texts = counts.select(class_text(pl.col("level"), counts["level"].dtype), "rows")
    if plan.is_long:
        texts = texts.filter(~pl.col("level").str.starts_with("\0"))
    top = texts.sort(["rows", "level"], descending=[True, False]).head(N_TOP)
    return Levels(n_distinct=n_distinct, top=tuple(top.iter_rows()))
