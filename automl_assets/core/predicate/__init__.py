"""The small language of `data.rows.where`: comparisons of columns with values.

A predicate is text from a user, so it never reaches an SQL engine: sqlglot
parses it, only the node types below pass, and polars expressions are built
from them. Words and signs that the language does not know are refused before
the parser sees them.

    predicate   = predicate (AND | OR) predicate | NOT predicate | ( predicate )
                | operand (= | <> | != | < | <= | > | >=) operand
                | operand [NOT] BETWEEN operand AND operand
                | column [NOT] IN ( literal, … ) | column IS [NOT] NULL
                | column [NOT] (LIKE | ILIKE) 'pattern' [ESCAPE 'c']
                | column | TRUE | FALSE
    operand     = column | literal | - operand
    column      = name | "any name"
    literal     = 1.5 | 'text' | TRUE | FALSE | DATE '2026-01-31' | TIMESTAMP '2026-01-31 12:00'
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from automl_assets.core.errors import RequestError

if TYPE_CHECKING:
    import polars as pl

MAX_CHARACTERS = 4_000
MAX_DEPTH = 30
MAX_NODES = 400
MAX_VALUES = 1_000
MAX_PATTERN = 200
"""Characters after LIKE: the time to match a text grows with their product."""

Comparison = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Column:
    """A column by its exact name."""

    name: str


@dataclass(frozen=True)
class Value:
    """A literal; whole numbers are int, others float."""

    value: bool | int | float | str | date | datetime


@dataclass(frozen=True)
class Minus:
    """The negative of a column."""

    column: Column


Operand = Column | Value | Minus


@dataclass(frozen=True)
class Compare:
    """Two operands and how they must compare."""

    left: Operand
    operator: Comparison
    right: Operand


@dataclass(frozen=True)
class OneOf:
    """A column that must hold one of some values."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Like:
    """A column of text that must match a pattern with `%` and `_`."""

    column: Column
    pattern: str
    escape: str
    ignore_case: bool


@dataclass(frozen=True)
class IsNull:
    """A column that must hold nothing."""

    column: Column


@dataclass(frozen=True)
class Holds:
    """A column of booleans, or TRUE or FALSE, taken as a condition."""

    operand: Operand


@dataclass(frozen=True)
class Not:
    """The opposite of a condition; unknown stays unknown."""

    condition: "Condition"


@dataclass(frozen=True)
class Joined:
    """Conditions of which all (`AND`) or one (`OR`) must hold."""

    word: Literal["AND", "OR"]
    conditions: tuple["Condition", ...]


Condition = Compare | OneOf | Like | IsNull | Holds | Not | Joined


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """A predicate that was read; it knows no data yet.

    Attributes:
        text: As the request has it.
        condition: What it says.
        columns: The names in it, each once, in the order of the text.
    """

    text: str
    condition: Condition
    columns: tuple[str, ...]

    def expression(self, schema: "pl.Schema") -> "pl.Expr":
        """Return the predicate: true for the rows to keep, false or null for all others.

        Comparisons with a missing value are null, which stands for unknown as in
        SQL, and NaN counts as missing. Give it to `filter` as it is: nulls that
        are filled keep a reader of Parquet from using statistics.

        Raises:
            RequestError: A column is not in the schema, or holds another type
                than the value it is compared with.
        """
        from automl_assets.core.predicate.expression import build_expression

        return build_expression(self.condition, schema)

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The texts that columns are compared with by `=` or IN, by column."""
        found: dict[str, list[str]] = {}
        for condition in _walk(self.condition):
            for name, value in _equal_texts(condition):
                found.setdefault(name, []).append(value)
        return {name: tuple(dict.fromkeys(values)) for name, values in found.items()}


def parse_predicate(text: str) -> Predicate:
    """Read a predicate; see the module for the language.

    Raises:
        RequestError: The text is not a predicate, or is too long or too deep.

    Examples:
        >>> parse_predicate("tenure_days >= 30 AND plan IN ('a', 'b')").columns
        ('tenure_days', 'plan')
        >>> parse_predicate("read_csv('/etc/passwd') = 1")
        Traceback (most recent call last):
        ...
        automl_assets.core.errors.RequestError: functions are not allowed: 'read_csv'; compare \
columns with values
    """
    from automl_assets.core.predicate.parser import parse_condition

    if len(text) > MAX_CHARACTERS:
        raise RequestError(
            f"a predicate has at most {MAX_CHARACTERS:,} characters; found {len(text):,}; "
            "make it shorter"
        )
    condition = parse_condition(text)
    names = dict.fromkeys(name for part in _walk(condition) for name in _names(part))
    return Predicate(text=text, condition=condition, columns=tuple(names))


def _walk(condition: Condition) -> Iterator[Condition]:
    yield condition
    if isinstance(condition, Not):
        yield from _walk(condition.condition)
    if isinstance(condition, Joined):
        for part in condition.conditions:
            yield from _walk(part)


def _names(condition: Condition) -> Iterator[str]:
    for operand in vars(condition).values():
        while isinstance(operand, Minus):
            operand = operand.column
        if isinstance(operand, Column):
            yield operand.name


def _equal_texts(condition: Condition) -> Iterator[tuple[str, str]]:
    if isinstance(condition, Compare) and condition.operator == "=":
        pairs = ((condition.left, condition.right), (condition.right, condition.left))
    elif isinstance(condition, OneOf):
        pairs = tuple((condition.column, value) for value in condition.values)
    else:
        return
    for column, value in pairs:
        if isinstance(column, Column) and isinstance(value, Value) and type(value.value) is str:
            yield column.name, value.value
