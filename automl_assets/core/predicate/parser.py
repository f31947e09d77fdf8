"""From the text of a predicate to its conditions, by white list.

Of what the parser returns, only the types of nodes that are asked for by name
below are taken, and of a node only the arguments listed.
"""

import re
from datetime import date, datetime
from typing import Any, NoReturn

from automl_assets.core.errors import RequestError
from automl_assets.core.predicate import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_PATTERN,
    MAX_VALUES,
    Column,
    Compare,
    Comparison,
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
from automl_assets.core.predicate.tokens import checked_tokens, too_deep
from automl_assets.core.request.text import shown

Node = Any
"""A node of sqlglot's tree, which moves its classes between modules."""

_ARGUMENTS = {"this", "expression", "expressions", "low", "high", "negate", "to", "is_string"} | {
    "quoted",
    "field",  # what IN has in place of a list; refused with its own message
}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?(e[+-]?[0-9]{1,4})?|\.[0-9]+(e[+-]?[0-9]{1,4})?", re.I)


def parse_condition(text: str) -> Condition:
    """Return what a predicate says.

    Raises:
        RequestError: The text is not a predicate of the language.
    """
    from sqlglot import exp
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import ParseError, TokenError

    dialect = Dialect.get_or_raise(None)
    try:
        tokens = checked_tokens(dialect.tokenize(text), text)
        tree = dialect.parser().parse_into(exp.Condition, tokens, text)[0]
        if tree is None:
            raise RequestError("a predicate is needed; found nothing; write one, or remove the key")
        return _Reader().condition(tree, 0)
    except TokenError as error:
        raise RequestError("a quote or comment does not end; close it") from error
    except ParseError as error:
        raise _unreadable(text, error) from error
    except RecursionError as error:
        raise too_deep() from error


def _unreadable(text: str, error: Exception) -> RequestError:
    details = getattr(error, "errors", None) or [{}]
    near = str(details[0].get("highlight") or "")
    before = text[: max(0, _offset(text, details[0]) - len(near))]
    where = f"at character {len(before) + 1}, near {shown(near)}" if near else "at its end"
    return RequestError(f"the predicate cannot be read {where}; write it like age >= 30")


def _offset(text: str, detail: dict[str, object]) -> int:
    """Return how many characters end with the token that an error names."""
    lines = text.splitlines(keepends=True)
    line, column = int(str(detail.get("line") or 1)), int(str(detail.get("col") or 1))
    return sum(map(len, lines[: line - 1])) + column


class _Reader:
    """Takes the nodes of the language, counts them, and refuses all others."""

    def __init__(self) -> None:
        self._n_nodes = 0

    def condition(self, node: Node, depth: int) -> Condition:
        """Return the condition that a node says."""
        from sqlglot import exp

        self._count(node, depth)
        if isinstance(node, exp.Paren):
            return self.condition(node.this, depth + 1)
        if type(node) in (exp.And, exp.Or):
            return self._joined(node, depth)
        if isinstance(node, exp.Not):
            return Not(self.condition(node.this, depth + 1))
        if type(node) in _comparisons():
            return self._compare(node, depth)
        if isinstance(node, exp.Column | exp.Boolean):
            return Holds(self._operand(node, depth + 1))
        return self._special(node, depth)

    def _special(self, node: Node, depth: int) -> Condition:
        from sqlglot import exp

        condition: Condition
        if isinstance(node, exp.Between):
            low = Compare(
                self._operand(node.this, depth), ">=", self._operand(node.args["low"], depth)
            )
            high = Compare(low.left, "<=", self._operand(node.args["high"], depth))
            condition = Joined("AND", (low, high))
        elif isinstance(node, exp.In):
            condition = self._one_of(node, depth)
        elif isinstance(node, exp.Is):
            if not isinstance(node.expression, exp.Null):
                raise RequestError("IS is followed by NULL or NOT NULL; use = for other values")
            condition = IsNull(self._column(node.this, depth, "IS NULL"))
        elif isinstance(node, exp.Escape):
            like, escape = node.this, _text(node.expression, "ESCAPE")
            if len(escape) != 1:
                raise RequestError(f"ESCAPE takes one character; found {shown(escape)}")
            # The parser keeps NOT with LIKE, and puts ESCAPE around both.
            return self._like(like, depth + 1, escape)
        else:
            return self._like(node, depth)
        return Not(condition) if node.args.get("negate") else condition

    def _joined(self, node: Node, depth: int) -> Joined:
        """Return a chain of equal words as one condition: chains are long, not deep."""
        parts: list[Node] = []
        kind, rest = type(node), node
        while type(rest) is kind:
            self._count(rest, depth)
            parts.append(rest.expression)
            rest = rest.this
        parts.append(rest)
        conditions = tuple(self.condition(part, depth + 1) for part in reversed(parts))
        return Joined("AND" if kind.__name__ == "And" else "OR", conditions)

    def _compare(self, node: Node, depth: int) -> Compare:
        left = self._operand(node.this, depth + 1)
        return Compare(left, _comparisons()[type(node)], self._operand(node.expression, depth + 1))

    def _one_of(self, node: Node, depth: int) -> OneOf:
        if not node.expressions:
            raise RequestError("IN needs a list of values in parentheses, such as ('a', 'b')")
        if len(node.expressions) > MAX_VALUES:
            raise RequestError(
                f"IN takes at most {MAX_VALUES:,} values; found {len(node.expressions):,}; "
                "put the values into a column of the data"
            )
        column = self._column(node.this, depth, "IN")
        values = []
        for entry in node.expressions:
            value = _Reader()._operand(entry, depth + 1)
            if not isinstance(value, Value):
                raise RequestError("IN takes values, no columns; join comparisons with OR")
            values.append(value)
        return OneOf(column, tuple(values))

    def _like(self, node: Node, depth: int, escape: str = "") -> Condition:
        from sqlglot import exp

        if not isinstance(node, exp.Like | exp.ILike):
            _refuse_node(node, "LIKE" if escape else "a condition such as age >= 30")
        self._count(node, depth)
        pattern = _text(node.expression, "LIKE")
        if len(pattern) > MAX_PATTERN:
            raise RequestError(
                f"LIKE takes at most {MAX_PATTERN} characters; found {len(pattern)}; shorten it"
            )
        if escape and pattern.replace(escape * 2, "").endswith(escape):
            raise RequestError(
                f"a pattern cannot end with its ESCAPE character; found {shown(pattern)}; "
                "write it twice to mean itself"
            )
        column = self._column(node.this, depth, "LIKE")
        like = Like(column, pattern, escape, isinstance(node, exp.ILike))
        return Not(like) if node.args.get("negate") else like

    def _column(self, node: Node, depth: int, word: str) -> Column:
        operand = self._operand(node, depth + 1)
        if not isinstance(operand, Column):
            raise RequestError(f"{word} needs a column on its left; found another expression")
        return operand

    def _operand(self, node: Node, depth: int) -> Operand:
        from sqlglot import exp

        self._count(node, depth)
        if isinstance(node, exp.Paren):
            return self._operand(node.this, depth + 1)
        if isinstance(node, exp.Column):
            if type(node.this) is not exp.Identifier or len(node.parts) > 1:
                _refuse_node(node, "a column by its name alone")
            return Column(node.name)
        if isinstance(node, exp.Neg):
            return _negated(self._operand(node.this, depth + 1))
        return Value(_literal(node))

    def _count(self, node: Node, depth: int) -> None:
        """Count a node, and refuse what it says beyond the language."""
        self._n_nodes += 1
        given = {key for key, value in node.args.items() if value}
        if extra := sorted(given - _ARGUMENTS):
            raise RequestError(f"{extra[0]!r} is not allowed; compare columns with values")
        if depth > MAX_DEPTH:
            raise too_deep()
        if self._n_nodes > MAX_NODES:
            raise RequestError(
                f"a predicate has at most {MAX_NODES} parts; found more; use IN for many values"
            )


def _comparisons() -> dict[type, Comparison]:
    from sqlglot import exp

    return {
        exp.EQ: "=",
        exp.NEQ: "<>",
        exp.LT: "<",
        exp.LTE: "<=",
        exp.GT: ">",
        exp.GTE: ">=",
    }


def _negated(operand: Operand) -> Operand:
    if isinstance(operand, Minus):
        return operand.column
    if isinstance(operand, Column):
        return Minus(operand)
    if isinstance(operand.value, bool) or not isinstance(operand.value, int | float):
        raise RequestError(f"only numbers have a minus; found {shown(operand.value)} after it")
    return Value(-operand.value)


def _literal(node: Node) -> bool | int | float | str | date | datetime:
    from sqlglot import exp

    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        raise RequestError("nothing equals NULL; write IS NULL or IS NOT NULL")
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        return _moment(str(node.this.this), str(node.to.this.value))
    if not isinstance(node, exp.Literal):
        _refuse_node(node, "a column or a value")
    return str(node.this) if node.is_string else _number(str(node.this))


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise RequestError(f"{shown(text)} is no number; write it like 30 or 0.5")
    value = int(text) if text.isascii() and text.isdigit() else float(text)
    if abs(value) > 1.7e308:
        raise RequestError(f"{shown(text)} is too large a number")
    # Whole numbers beyond 64 bits are in no column; as floats they still compare.
    return value if abs(value) < 2**63 else float(value)


def _moment(text: str, kind: str) -> date | datetime:
    read = {"DATE": date.fromisoformat, "TIMESTAMP": datetime.fromisoformat}.get(kind)
    if read is None:
        raise RequestError(f"conversions are not allowed: {kind}; write the value itself")
    try:
        return read(text)
    except ValueError as error:
        like = "2026-01-31" if kind == "DATE" else "2026-01-31 12:00:00"
        raise RequestError(f"{kind} is written like {kind} {like!r}; found {text!r}") from error


def _text(node: Node, word: str) -> str:
    from sqlglot import exp

    if not isinstance(node, exp.Literal) or not node.is_string:
        raise RequestError(f"{word} takes text in single quotes, such as 'a%'")
    return str(node.this)


def _refuse_node(node: Node, wanted: str) -> NoReturn:
    from sqlglot import exp

    if isinstance(node, exp.Cast | exp.Literal | exp.Null):
        found = "a value"
    elif isinstance(node, exp.Connector | exp.Predicate):
        found = "a condition"
    else:
        found = f"something else ({type(node).__name__})"
    raise RequestError(f"{wanted} is needed; found {found} in its place")
