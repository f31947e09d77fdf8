"""The rules of a contract that each row keeps or breaks alone, as polars expressions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl
import polars.selectors as cs

from automl_assets.core.contract.model import ColumnContract
from automl_assets.core.contract.numbers import whole
from automl_assets.core.request.text import shown

N_VALUES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """One rule about the rows of a column.

    Attributes:
        name: Key of the contract.
        bad: True in a row that breaks it, else False or null.
        expected: What the contract says, for a sentence.
        broken: What a row that breaks it is, for a sentence: `below 0`.
        allowed: Share that may break it.
        of_all: Whether shares are of all rows, or of those with a value.
    """

    column: str
    name: str
    bad: pl.Expr
    expected: str
    broken: str
    allowed: float = 0.0
    of_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Untried:
    """A rule that a column of this type cannot be tried against."""

    column: str
    name: str
    expected: str
    found: str


def exactly(name: str) -> pl.Expr:
    """Return the column of a name, which may look like a pattern."""
    return cs.by_name(name).as_expr()


def known(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column with its missing values as nulls: NaN is one."""
    return exactly(name).fill_nan(None) if dtype.is_float() else exactly(name)


def is_text(dtype: pl.DataType) -> bool:
    """Whether a column holds texts."""
    return dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical)


def is_time(dtype: pl.DataType) -> bool:
    """Whether a column holds dates or times of a date."""
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def row_rules(name: str, column: ColumnContract, dtype: pl.DataType) -> Iterator[RowRule | Untried]:
    """Yield what a contract says about the rows of one column."""
    values = known(name, dtype)
    if column.nulls is not None:
        limit = column.nulls.max
        yield RowRule(
            column=name,
            name="nulls",
            bad=values.is_null(),
            expected=f"{limit:.4g} of the rows at most" if limit else "a value in each row",
            broken="without a value",
            allowed=limit,
            of_all=True,
        )
    if column.min is not None:
        yield _bound(name, "min", column.min, dtype)
    if column.max is not None:
        yield _bound(name, "max", column.max, dtype)
    if column.values is not None:
        yield _categories(name, column, dtype)
    if column.pattern is not None:
        yield _pattern(name, column.pattern, dtype)


def _bound(name: str, key: str, bound: int | float | date, dtype: pl.DataType) -> RowRule | Untried:
    word, opposite = ("at least", "below") if key == "min" else ("at most", "above")
    expected = f"{word} {shown(bound)}"
    sides = comparable(known(name, dtype), bound, dtype)
    if sides is None:
        what = "dates or times" if isinstance(bound, date) else "numbers"
        found = f"holds {dtype}, and {key} {shown(bound)} needs {what}"
        return Untried(column=name, name=key, expected=expected, found=found)
    values, limit = sides
    return RowRule(
        column=name,
        name=key,
        bad=values < limit if key == "min" else values > limit,
        expected=expected,
        broken=f"{opposite} {shown(bound)}",
    )


def comparable(
    values: pl.Expr, bound: int | float | date, dtype: pl.DataType
) -> tuple[pl.Expr, pl.Expr] | None:
    """Return a column and a bound as one type, or None if they are of different kinds.

    Times are compared in UTC; a time without a zone is taken as UTC, a date as
    its midnight.
    """
    if not isinstance(bound, date):
        return (values, pl.lit(bound)) if dtype.is_numeric() else None
    if not is_time(dtype):
        return None
    is_midnight = not isinstance(bound, datetime)
    if dtype == pl.Date and is_midnight:
        return values, pl.lit(bound)
    return in_utc(values, dtype), pl.lit(moment_of(bound), dtype=pl.Datetime("us"))


def in_utc(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return dates or times as times in UTC without a zone."""
    zone = getattr(dtype, "time_zone", None)
    if zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"))


def moment_of(moment: date) -> datetime:
    """Return a date or time as a time in UTC without a zone."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _categories(name: str, column: ColumnContract, dtype: pl.DataType) -> RowRule | Untried:
    listed = column.values or ()
    texts = ", ".join(map(shown, listed[:N_VALUES_SHOWN]))
    more = len(listed) - N_VALUES_SHOWN
    expected = f"one of {texts}{f' and {more} more' if more > 0 else ''}"
    allowed = column.other.max if column.other is not None else 0.0
    if allowed:
        expected += f", others in {allowed:.4g} of the values at most"
    sides = _listed(known(name, dtype), listed, dtype)
    if sides is None:
        found = f"holds {dtype}, and the values are of another kind: {texts}"
        return Untried(column=name, name="values", expected=expected, found=found)
    values, categories = sides
    return RowRule(
        column=name,
        name="values",
        bad=~values.is_in(categories.implode()),
        expected=expected,
        broken="of no listed value",
        allowed=allowed,
    )


def _listed(
    values: pl.Expr, listed: tuple[Any, ...], dtype: pl.DataType
) -> tuple[pl.Expr, pl.Series] | None:
    """Return a column and the categories as one type, or None if they are of different kinds."""
    is_switch = [isinstance(value, bool) for value in listed]
    if is_text(dtype) and all(isinstance(value, str) for value in listed):
        return values.cast(pl.String), pl.Series(listed, dtype=pl.String)
    if dtype == pl.Boolean and all(is_switch):
        return values, pl.Series(listed, dtype=pl.Boolean)
    if any(is_switch) or any(isinstance(value, str) for value in listed):
        return None
    if dtype.is_integer():
        # A category that the column's type cannot hold is in no row.
        integers = [int(value) for value in listed if value == int(value)]
        return values, pl.Series(integers, dtype=pl.Int128).cast(dtype, strict=False).drop_nulls()
    if dtype.is_float():
        return values, pl.Series(listed, dtype=pl.Float64, strict=False).cast(dtype)
    if dtype.is_decimal():
        return values.cast(pl.Float64), pl.Series(listed, dtype=pl.Float64, strict=False)
    return None


def _pattern(name: str, pattern: str, dtype: pl.DataType) -> RowRule | Untried:
    expected = f"texts that match {shown(pattern)}"
    if not is_text(dtype):
        found = f"holds {dtype}, and a pattern needs texts"
        return Untried(column=name, name="pattern", expected=expected, found=found)
    return RowRule(
        column=name,
        name="pattern",
        bad=~exactly(name).cast(pl.String).str.contains(whole(pattern)),
        expected=expected,
        broken=f"not like {shown(pattern)}",
    )
