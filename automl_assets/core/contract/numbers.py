"""The kinds of values that a contract file holds beside those of a request: bounds and keys."""

import math
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic import TypeAdapter as Adapter

from automl_assets.core.request.numbers import Moment
from automl_assets.core.request.text import Column, problem, shown

MAX_PATTERN = 500
MAX_KEY_COLUMNS = 20

_MOMENTS: Adapter[date] = Adapter(Moment)
_MOMENT_SCHEMA = _MOMENTS.json_schema()


def _parse_bound(value: object) -> int | float | date:
    if isinstance(value, date | str):
        return _MOMENTS.validate_python(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem("bound", f"write a number or a date; found {shown(value)}")
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= 2**63):
        raise problem("bound", f"a whole number must be below 2^63; found {shown(value)}")
    return value


def _parse_pattern(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_PATTERN:
        raise problem(
            "pattern", f"write a pattern of 1 to {MAX_PATTERN} characters; found {shown(value)}"
        )
    # As it is, and as it is used: `a)(b` is whole only between the brackets of the second.
    fault = _fault(value) or _fault(whole(value))
    if fault:
        raise problem("pattern", f"not a regular expression: {fault}; found {shown(value)}")
    return value


def _fault(pattern: str) -> str:
    import polars as pl

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        lines = [line.strip(" :") for line in str(error).splitlines()]
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return told[0] if told else lines[0].removeprefix("regex error: ").rstrip(".")
    return ""


def whole(pattern: str) -> str:
    """Return a pattern that matches where `pattern` matches a whole value."""
    return f"^(?:{pattern})$"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Bound = Annotated[
    int | float | date,
    PlainValidator(_parse_bound),
    PlainSerializer(
        lambda bound: bound.isoformat() if isinstance(bound, date) else bound, when_used="json"
    ),
    WithJsonSchema({"anyOf": [{"type": "number"}, _MOMENT_SCHEMA]}),
]
Pattern = Annotated[
    str,
    PlainValidator(_parse_pattern),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_PATTERN}),
]
_COLUMN_SCHEMA: dict[str, Any] = Adapter(Column).json_schema()
Key = Annotated[
    tuple[Column, ...],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=MAX_KEY_COLUMNS),
    PlainSerializer(lambda key: key[0] if len(key) == 1 else list(key)),
    WithJsonSchema(
        {
            "anyOf": [
                _COLUMN_SCHEMA,
                {
                    "type": "array",
                    "items": _COLUMN_SCHEMA,
                    "minItems": 1,
                    "maxItems": MAX_KEY_COLUMNS,
                },
            ]
        }
    ),
]
