"""The kinds of numbers that a request file holds: counts, shares, durations, dates.

Each kind knows three things: what it accepts, the sentence that a person reads
when it does not, and how the published JSON Schema describes it to an editor.
Equal meanings become equal values: `15%` is 0.15, `2m` is 120 seconds.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    Strict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from automl_assets.core.request.text import FORBIDDEN, problem, shown

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,15})?)\s?%")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s?([smhd])")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?\s?(?:[Zz]|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

LONGEST_DURATION = 366 * 86400
HUMAN = {"human": True}
"""Serialization context that writes `15%` and `90s` instead of bare numbers."""


Count = Annotated[int, Strict(), Field(ge=1, le=10**12)]
Seed = Annotated[int, Strict(), Field(ge=0, le=2**32 - 1)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _parse_share(*, open_ended: bool) -> Callable[[object], float]:
    rule = (
        "write a share above 0 and below 1, or a percentage such as 15%"
        if open_ended
        else "write a share from 0 to 1, or a percentage such as 15%"
    )

    def parse(value: object) -> float:
        share = None
        if isinstance(value, str) and (match := _SHARE.fullmatch(value)):
            # Decimal, so that 12.3% is the very number that 0.123 is.
            share = float(Decimal(match[1]) / 100)
        elif _is_number(value):
            share = float(value)  # pyright: ignore[reportArgumentType]
        if share is None or not 0 <= share <= 1 or (open_ended and share in (0, 1)):
            raise problem("share", f"{rule}; found {shown(value)}")
        return share

    return parse


def _parse_duration(value: object) -> float:
    seconds = None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    elif _is_number(value):
        seconds = float(value)  # pyright: ignore[reportArgumentType]
    if seconds is None:
        raise problem("duration", f"write a duration like 90s, 30m, 3h or 7d; found {shown(value)}")
    if not 1 <= seconds <= LONGEST_DURATION:
        raise problem("duration", f"a duration is from 1s to 366d; found {shown(value)}")
    return seconds


def _parse_moment(value: object) -> date:
    moment = value
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        text = value.upper().replace(" ", "T", 1).replace(" ", "")
        try:
            moment = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        except ValueError:
            moment = None
    if not isinstance(moment, date):
        raise problem(
            "moment", f"write a date like 2026-10-01 or 2026-10-01T06:00:00; found {shown(value)}"
        )
    return _plainest(moment)


def _plainest(moment: date) -> date:
    """Return one spelling for moments that are equal: UTC, and a bare date for midnight."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is not None:
        try:
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise problem("moment", f"the date {shown(moment)} is out of range") from error
    return moment.date() if moment.time() == time() else moment


def _parse_scalar(value: object) -> str | bool | int | float:
    if isinstance(value, str):
        if len(value) > 256 or FORBIDDEN.search(value):
            raise problem(
                "scalar",
                f"use up to 256 characters without control characters; found {shown(value)}",
            )
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**63:
        return value
    raise problem("scalar", f"write text, a number, true or false; found {shown(value)}")


def write_share(value: float) -> str:
    """Write a share as a percentage that reads back as the same number.

    Examples:
        >>> write_share(0.15), write_share(0.125)
        ('15%', '12.5%')
    """
    percent = f"{Decimal(repr(value)) * 100:f}"
    return f"{percent.rstrip('0').rstrip('.') if '.' in percent else percent}%"


def write_duration(seconds: float) -> str:
    """Write seconds in the largest unit that leaves a whole number.

    Examples:
        >>> write_duration(90.0), write_duration(7200.0), write_duration(1.5)
        ('90s', '2h', '1.5s')
    """
    for unit in "dhm":
        amount, rest = divmod(seconds, _SECONDS[unit])
        if amount and not rest:
            return f"{amount:.0f}{unit}"
    text = f"{Decimal(repr(seconds)):f}"
    return f"{text.removesuffix('.0')}s"


def _serializer(write: Callable[[float], str], reads_back: Callable[[object], float]) -> Any:
    def serialize(value: float, info: SerializationInfo) -> float | str:
        if not (info.context or {}).get("human"):
            return value
        text = write(value)
        # A number too fine for the short form is left as a number.
        try:
            return text if reads_back(text) == value else value
        except PydanticCustomError:
            return value

    return PlainSerializer(serialize)


_SHARE_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": f"^{_SHARE.pattern}$"},
    ]
}
_CLOSED_SHARE_SCHEMA = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _SHARE_SCHEMA["anyOf"][1]]
}
_DURATION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 1, "maximum": LONGEST_DURATION},
        {"type": "string", "pattern": f"^{_DURATION.pattern}$"},
    ]
}

_parse_part = _parse_share(open_ended=True)
_parse_closed_share = _parse_share(open_ended=False)

Part = Annotated[
    float,
    BeforeValidator(_parse_part),
    _serializer(write_share, _parse_part),
    WithJsonSchema(_SHARE_SCHEMA),
]
Share = Annotated[
    float,
    BeforeValidator(_parse_closed_share),
    _serializer(write_share, _parse_closed_share),
    WithJsonSchema(_CLOSED_SHARE_SCHEMA),
]
Duration = Annotated[
    float,
    BeforeValidator(_parse_duration),
    _serializer(write_duration, _parse_duration),
    WithJsonSchema(_DURATION_SCHEMA),
]
Moment = Annotated[
    date | datetime,
    PlainValidator(_parse_moment),
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_MOMENT.pattern}$"}),
]
Scalar = Annotated[
    str | bool | int | float,
    PlainValidator(_parse_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
