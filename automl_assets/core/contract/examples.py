"""The first rows that break a rule, and the categories that nobody listed."""

import polars as pl

from automl_assets.core.contract.report import MAX_FIRST_ROWS, FailureCase, case
from automl_assets.core.contract.row_rules import RowRule, exactly

_LOOKED_AT = 10_000
"""Rows in which new categories are looked for; those found there are counted in all rows."""

MAX_CATEGORIES = 5


def row_label(names: list[str]) -> str:
    """Return a name for the column of row numbers that no column has."""
    label = "row"
    while label in names:
        label = f"_{label}"
    return label


def first_rows(frame: pl.LazyFrame, rule: RowRule) -> tuple[FailureCase, ...]:
    """Return the first rows that break a rule; only its column is read, to the fifth one."""
    row = row_label([rule.column])
    found = (
        frame.select(exactly(rule.column))
        .with_row_index(row)
        .filter(rule.bad)
        .head(MAX_FIRST_ROWS)
        .collect(engine="streaming")
    )
    return tuple(
        case(number, value)
        for number, value in zip(found[row].to_list(), found[rule.column].to_list(), strict=True)
    )


def new_categories(frame: pl.LazyFrame, rule: RowRule) -> tuple[list[tuple[object, int]], bool]:
    """Return values that are not listed, with their rows, the most frequent first.

    Returns:
        At most five of those among the first 10,000 rows that break the rule, so
        that memory stays small; and whether there is no other.
    """
    values = frame.select(value=exactly(rule.column), bad=rule.bad).filter("bad")
    sample = values.head(_LOOKED_AT).collect(engine="streaming")["value"]
    counted = sample.value_counts(sort=True)
    names = counted["value"].head(MAX_CATEGORIES).to_list()
    counts = values.select(
        pl.len().alias("all"), *(_equals(name).sum().alias(str(i)) for i, name in enumerate(names))
    )
    n_all, *numbers = counts.collect(engine="streaming").row(0)
    found = sorted(zip(names, numbers, strict=True), key=lambda pair: -pair[1])
    return found, sum(numbers) == n_all


def _equals(value: object) -> pl.Expr:
    return pl.col("value") == pl.lit(value)
