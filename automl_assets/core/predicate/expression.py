"""From the conditions of a predicate to polars expressions, checked against column types."""

import difflib
import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import Any, Literal

import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.predicate import (
    Column,
    Compare,
    Condition,
    Holds,
    IsNull,
    Joined,
    Like,
    Minus,
    Not,
    OneOf,
    Operand,
    Value,
)
from automl_assets.core.request.text import shown
from automl_assets.core.rows.moments import in_terms_of

Kind = Literal["a number", "text", "a boolean", "a date or time"]

_KEY = "data.rows.where"
_OPERATORS = {"=": eq, "<>": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_CURES: dict[Kind, str] = {
    "a number": "write a number without quotes",
    "text": "write text in single quotes",
    "a boolean": "write TRUE or FALSE",
    "a date or time": "write a day like '2026-01-31'",
}


def build_expression(condition: Condition, schema: pl.Schema) -> pl.Expr:
    """Return a condition in three-valued logic: null where it is unknown.

    Raises:
        RequestError: A column is not in the schema, or of another type than its value.
    """
    return _Builder(schema).condition(condition)


class _Builder:
    """Builds expressions in three-valued logic: null is unknown, and NaN is null."""

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema

    def condition(self, condition: Condition) -> pl.Expr:
        """Return a condition as booleans, null where it is unknown."""
        if isinstance(condition, Joined):
            parts = [self.condition(part) for part in condition.conditions]
            return reduce(and_ if condition.word == "AND" else or_, parts)
        if isinstance(condition, Not):
            return ~self.condition(condition.condition)
        if isinstance(condition, IsNull):
            return self._column(condition.column.name).is_null()
        if isinstance(condition, Holds):
            return self._holds(condition.operand)
        if isinstance(condition, Like):
            return self._like(condition)
        if isinstance(condition, OneOf):
            return self._one_of(condition)
        return self._compare(condition)

    def _compare(self, condition: Compare) -> pl.Expr:
        left, operator, right = condition.left, condition.operator, condition.right
        if isinstance(left, Value):
            left, operator, right = right, _FLIPPED[operator], left
        if isinstance(left, Value):
            raise RequestError(
                f"{_KEY}: {shown(left.value)} is compared with another value; compare a column "
                "with a value"
            )
        compare = _OPERATORS[operator]
        if isinstance(right, Value):
            dtype, value = self._typed(left, right)
            return compare(self._cast(left, dtype), pl.lit(value).cast(dtype))
        dtype = self._common_type(left, right)
        return compare(self._cast(left, dtype), self._cast(right, dtype))

    def _one_of(self, condition: OneOf) -> pl.Expr:
        by_type: dict[pl.DataType, list[Any]] = {}
        for entry in condition.values:
            dtype, value = self._typed(condition.column, entry)
            by_type.setdefault(dtype, []).append(value)
        return reduce(
            or_,
            (
                self._cast(condition.column, dtype).is_in(pl.Series(values).cast(dtype).implode())
                for dtype, values in by_type.items()
            ),
        )

    def _like(self, condition: Like) -> pl.Expr:
        name = condition.column.name
        if self._kind(condition.column) != "text":
            raise RequestError(
                f"{_KEY}: column {name!r} holds {self._told(name)}, and LIKE looks at text; "
                "compare with = < or >"
            )
        flags = "(?is)" if condition.ignore_case else "(?s)"
        pattern = f"{flags}^{_regex(condition.pattern, condition.escape)}$"
        return self._cast(condition.column, pl.String()).str.contains(pattern)

    def _holds(self, operand: Operand) -> pl.Expr:
        if isinstance(operand, Value):
            return pl.lit(bool(operand.value))
        if isinstance(operand, Minus) or self._kind(operand) != "a boolean":
            name = _name(operand)
            raise RequestError(
                f"{_KEY}: column {name!r} holds {self._told(name)}, which is no condition; "
                "compare it with a value"
            )
        return pl.col(operand.name)

    def _typed(self, operand: Column | Minus, value: Value) -> tuple[pl.DataType, Any]:
        """Return the type in which an operand and a value compare, and the value in it."""
        name, kind, found = _name(operand), self._kind(operand), _kind_of(value)
        if kind == "a date or time" and found in (kind, "text"):
            moment = self._moment(name, value.value)
            return in_terms_of(self._schema[name], moment, column=name, key=_KEY)
        if kind != found:
            raise RequestError(
                f"{_KEY}: column {name!r} holds {self._told(name)}, and {shown(value.value)} is "
                f"{found}; {_CURES[kind]}"
            )
        if kind != "a number":
            return (pl.String() if kind == "text" else pl.Boolean()), value.value
        return _number_type(self._schema[name], value.value, minus=isinstance(operand, Minus))

    def _moment(self, name: str, value: object) -> date | datetime:
        """Return a value as a date or time, read from text if need be."""
        if isinstance(value, date):
            return value
        for read in (date.fromisoformat, datetime.fromisoformat):
            try:
                return read(str(value))
            except ValueError:
                continue
        raise RequestError(
            f"{_KEY}: column {name!r} holds {self._told(name)}, and {shown(value)} is none; "
            f"{_CURES['a date or time']}"
        )

    def _common_type(self, left: Column | Minus, right: Column | Minus) -> pl.DataType:
        """Return the type in which two columns compare."""
        names = _name(left), _name(right)
        kinds = self._kind(left), self._kind(right)
        one, other = (self._schema[name] for name in names)
        zones = {getattr(dtype, "time_zone", None) for dtype in (one, other)}
        if kinds[0] != kinds[1] or (None in zones and len(zones) > 1):
            raise RequestError(
                f"{_KEY}: columns {names[0]!r} ({one}) and {names[1]!r} ({other}) hold different "
                "kinds of values; compare columns of one kind"
            )
        if kinds[0] == "a number":
            whole = one.is_integer() and other.is_integer()
            return pl.Int128() if whole else pl.Float64()
        if kinds[0] == "a date or time":
            return pl.Datetime("us", getattr(one, "time_zone", None))
        return pl.String() if kinds[0] == "text" else pl.Boolean()

    def _cast(self, operand: Column | Minus, dtype: pl.DataType) -> pl.Expr:
        """Return what an operand holds, in a type that it can be compared in."""
        name = _name(operand)
        values = self._column(name)
        if dtype != self._schema[name]:
            values = values.cast(dtype)
        # Subtracted, because there is no minus for 128 bits.
        return pl.lit(0).cast(dtype) - values if isinstance(operand, Minus) else values

    def _column(self, name: str) -> pl.Expr:
        return pl.col(name).fill_nan(None) if self._dtype(name).is_float() else pl.col(name)

    def _dtype(self, name: str) -> pl.DataType:
        if name not in self._schema:
            near = difflib.get_close_matches(name, self._schema.names(), n=1)
            names = ", ".join(map(repr, self._schema.names()[:10]))
            hint = f"did you mean {near[0]!r}?" if near else f"columns: {names}"
            raise RequestError(f"{_KEY}: no column {name!r}; {hint}")
        return self._schema[name]

    def _kind(self, operand: Column | Minus) -> Kind:
        name = _name(operand)
        kind = _kind_of_type(self._dtype(name))
        if kind is None:
            raise RequestError(
                f"{_KEY}: column {name!r} holds {self._schema[name]}, which cannot be compared; "
                "only IS NULL and IS NOT NULL look at it"
            )
        if isinstance(operand, Minus) and kind != "a number":
            raise RequestError(
                f"{_KEY}: column {name!r} holds {self._told(name)}, and only numbers have a "
                "minus; remove it"
            )
        return kind

    def _told(self, name: str) -> str:
        dtype = self._dtype(name)
        kind = _kind_of_type(dtype)
        told = {
            "a number": f"numbers ({dtype})",
            "text": "text",
            "a boolean": "booleans",
            "a date or time": f"dates or times ({dtype})",
        }
        return told[kind] if kind else str(dtype)


def _name(operand: Column | Minus) -> str:
    return operand.name if isinstance(operand, Column) else operand.column.name


def _kind_of(value: Value) -> Kind:
    if isinstance(value.value, bool):
        return "a boolean"
    if isinstance(value.value, int | float):
        return "a number"
    return "text" if isinstance(value.value, str) else "a date or time"


def _kind_of_type(dtype: pl.DataType) -> Kind | None:
    if dtype.is_numeric():
        return "a number"
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "text"
    if dtype == pl.Boolean:
        return "a boolean"
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return "a date or time"
    return None


def _number_type(
    dtype: pl.DataType, number: Any, *, minus: bool
) -> tuple[pl.DataType, int | float]:
    """Return the type in which numbers compare, and the number in it.

    The column's own where it can hold the number, so that a reader of Parquet
    can use statistics; else one that loses no digit of a whole number.
    """
    if dtype.is_integer() and isinstance(number, int):
        low, high = pl.select(low=dtype.min(), high=dtype.max()).row(0)  # pyright: ignore[reportAttributeAccessIssue]
        # The least number of a type has no opposite in it.
        fits = low <= number <= high and not minus
        return (dtype if fits else pl.Int128()), number
    if dtype == pl.Float32:
        return dtype, float(number)
    return pl.Float64(), float(number)


def _regex(pattern: str, escape: str) -> str:
    """Return the regular expression that a LIKE pattern means."""
    parts: list[str] = []
    characters: Iterable[str] = iter(pattern)
    for character in characters:
        if escape and character == escape:
            parts.append(re.escape(next(iter(characters), escape)))
        elif character == "%":
            if parts[-1:] != [".*"]:
                parts.append(".*")
        else:
            parts.append("." if character == "_" else re.escape(character))
    return "".join(parts)
