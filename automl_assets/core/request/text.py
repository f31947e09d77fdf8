"""The kinds of text that a request file holds: names, columns, amounts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# Control characters, line breaks that only YAML 1.1 knows, and marks that turn
# the direction of text around (they make a file read differently than it looks).
# Surrogates stand here because a lone one cannot be written as UTF-8.
FORBIDDEN_CHARACTERS = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    r"\ufeff\ufffe\uffff\ud800-\udfff"
)
Loc = tuple[str | int, ...]
"""Where something stands in a request: keys, and positions in lists."""

FORBIDDEN = re.compile(f"[{FORBIDDEN_CHARACTERS}]")


def problem(kind: str, message: str) -> PydanticCustomError:
    """Return an error whose message pydantic leaves as it is.

    Args:
        kind: Machine-readable type of the error.
        message: Sentence for a person; braces in it stand for themselves.
    """
    return PydanticCustomError(kind, "{message}", {"message": message})  # pyright: ignore[reportArgumentType]


def shown(value: object) -> str:
    """Return a value as messages show it: quoted, and cut to a readable length."""
    text = str(value) if isinstance(value, int | float | date) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def visible(text: str) -> str:
    r"""Return a text on one line, with nothing in it that steers a terminal or hides a part of it.

    For text that somebody else wrote: a line break or an escape sequence in it
    could pass for a line of our own, or wipe one out.

    Examples:
        >>> visible("fine, Zoë\nintegrity 14 of 14\x1b[2K")
        'fine, Zoë\\nintegrity 14 of 14\\x1b[2K'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_STEERING = re.compile(rf"[\t\n\r{FORBIDDEN_CHARACTERS}]")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean '…'?`, or nothing if no known word is near.

    Examples:
        >>> did_you_mean("catbost", ["catboost", "linear"])
        "; did you mean 'catboost'?"
    """
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True)
class Matching:
    """Text that matches a pattern; the rule says the pattern in words."""

    pattern: str
    rule: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the pattern once pydantic knows that the value is text."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Publish the pattern."""
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def check(self, value: str) -> str:
        """Return the text, or raise with the rule."""
        if re.fullmatch(self.pattern, value) is None:
            raise problem("text", f"{self.rule}; found {shown(value)}")
        return value


Name = Annotated[
    str,
    Matching(
        r"[a-z0-9][a-z0-9-]{0,39}",
        "use 1 to 40 small letters, digits and hyphens, beginning with a letter or digit",
    ),
]
Owner = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}",
        "use 1 to 64 letters, digits and _ . @ -, beginning with a letter or digit",
    ),
]
Column = Annotated[
    str,
    Matching(
        rf"[^\t\n\r{FORBIDDEN_CHARACTERS}]{{1,256}}",
        "use 1 to 256 characters without control characters",
    ),
]
Line = Annotated[
    str,
    Matching(
        rf"[^\t\n\r{FORBIDDEN_CHARACTERS}]{{1,1024}}",
        "use one line of 1 to 1024 characters without control characters",
    ),
]
Prose = Annotated[
    str,
    Matching(
        rf"[^\r{FORBIDDEN_CHARACTERS}]{{0,4000}}",
        "use up to 4000 characters without control characters",
    ),
]
RequestId = Annotated[
    str,
    Matching(r"[a-z0-9][a-z0-9-]{0,39}-[0-9a-f]{10}", "write a request id like churn-4c1f2a90b3"),
]
Sha256 = Annotated[str, Matching(r"[0-9a-f]{64}", "use 64 hexadecimal digits in small letters")]
Memory = Annotated[str, Matching(r"[1-9][0-9]{0,6}[MGT]i", "write a size like 512Mi or 32Gi")]
Money = Annotated[
    str, Matching(r"[0-9]{1,9}(\.[0-9]{1,2})? [A-Z]{3}", "write an amount like 25 EUR")
]
Currency = Annotated[str, Matching(r"[A-Z]{3}", "write a currency code like EUR")]
Parameter = Annotated[
    str,
    Matching(
        r"[a-z0-9_]{1,40}\.[A-Za-z0-9_]{1,60}", "write family.parameter, such as catboost.depth"
    ),
]
