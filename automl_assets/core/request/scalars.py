"""Plain scalars of YAML: what a word or number without quotes means in a request."""

import math
import re
from datetime import date
from typing import Any

import yaml

from automl_assets.core.request.text import shown

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,4})?")
_RESOLVER = yaml.resolver.Resolver()


def read_plain(text: str) -> tuple[Any, str | None]:
    """Return the value of a plain scalar; words that readers of YAML disagree on are problems."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if tag == "null":
        return None, None
    if tag == "timestamp":
        return _read_date(text)
    if tag == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true", None
    if _INTEGER.fullmatch(text):
        return int(text), None
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        number = float(text)
        return number, None if math.isfinite(number) else f"{shown(text)} is too large a number"
    if tag in ("int", "float", "bool"):
        return text, _surprise(text, tag)
    return text, None


def _read_date(text: str) -> tuple[Any, str | None]:
    # A time of day is left to the key that holds it, which knows how to read one.
    try:
        return date.fromisoformat(text[:10]) if len(text) == 10 else text, None
    except ValueError:
        return text, f"{shown(text)} is not a date of the calendar; correct it or put it in quotes"


def _surprise(text: str, tag: str) -> str:
    if tag == "bool":
        reading = "true" if text.lower() in ("yes", "on") else "false"
        return (
            f"YAML reads {text} as {reading}; write '{text}' in quotes if it is a word, "
            "true/false if it is a switch"
        )
    if len(text) > 60 or text.lower().lstrip("+-") in (".nan", ".inf"):
        return f"a number must be finite and short; found {shown(text)}; correct it"
    return (
        f"YAML reads {text} as {_reading(text, tag)}; write '{text}' in quotes if it is text, "
        "or a plain decimal number"
    )


def _reading(text: str, tag: str) -> str:
    node = yaml.ScalarNode(f"tag:yaml.org,2002:{tag}", text)
    try:
        return str(yaml.constructor.SafeConstructor().construct_document(node))
    except ValueError:
        return "a number"
