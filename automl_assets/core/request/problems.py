"""What is wrong with a request file: places, sentences, and the error that carries them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic_core import ErrorDetails

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.rules import UNSUPPORTED, field_named
from automl_assets.core.request.sections import Section
from automl_assets.core.request.text import Loc, did_you_mean, shown
from automl_assets.core.request.yaml import Node, describe


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing to mend in a request file.

    Attributes:
        filename: The file, as the user named it.
        line: From 1.
        column: From 1.
        path: Keys joined by dots; empty where the place says it all.
        message: The rule; what was found; the cure.
    """

    filename: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        return f"{self.filename}:{self.line}:{self.column}: {path}{self.message}"


class RequestFileError(RequestError):
    """A request file cannot be honoured as written; carries every problem, by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def explain(error: ErrorDetails, root: Node, filename: str) -> Problem:
    """Turn one of pydantic's errors into a problem at its place in the file."""
    loc = known_loc(error["loc"], root)
    line, column = _place(root, loc)
    path = ".".join(map(str, error["loc"][: len(loc) + (error["type"] == "missing")]))
    if error["type"] in (UNSUPPORTED, "extra_forbidden"):
        path = ""
    elif not path:
        path = "request"
    if error["type"] == "extra_forbidden":
        message = _unknown_key(error["loc"])
    elif error["type"] in _SENTENCES:
        message = _sentence(error, find(root, loc))
    else:
        message = error["msg"]
    return Problem(filename=filename, line=line, column=column, path=path, message=message)


def known_loc(loc: Loc, root: Node) -> Loc:
    """Return the part of a location that exists in the file."""
    for length in range(len(loc) + 1):
        if find(root, loc[:length]) is None:
            return loc[: length - 1]
    return loc


def find(root: Node, loc: Loc) -> Node | None:
    """Return the node at a location, or None."""
    node = root
    for step in loc:
        if isinstance(node.value, dict) and step in node.value:
            node = node.value[step][1]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        else:
            return None
    return node


def _place(root: Node, loc: Loc) -> tuple[int, int]:
    """Return where to look: at the key of a mapping, at the value in a list."""
    node = find(root, loc) or root
    if loc and isinstance(loc[-1], str):
        parent = find(root, loc[:-1]) or root
        node = parent.value[loc[-1]][0]
    return node.line, node.column


def _section_at(loc: Loc) -> type[Section] | None:
    """Return the model of the section at a location; None inside a free mapping."""
    section: type[Section] = TrainingRequest
    for step in loc:
        name = field_named(section, str(step))
        annotation = section.model_fields[name].annotation if name else None
        candidates = (annotation, *get_args(annotation))
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, Section)]
        if not found:
            return None
        section = found[0]
    return section


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _unknown_key(loc: Loc) -> str:
    key = str(loc[-1])
    section = _section_at(loc[:-1])
    near = did_you_mean(key, _keys(section)) if section else ""
    if not near:
        homes = [
            f"{name}.{key}"
            for name in _keys(TrainingRequest)
            if (inner := _section_at((name,))) and key in _keys(inner)
        ]
        near = f"; did you mean {homes[0]!r}?" if homes else "; remove it"
    return f"unknown key {shown(key)}{near}"


def _bound(word: str, name: str) -> Callable[[dict[str, Any]], str]:
    return lambda context: f"must be {word} {context[name]:.12g}"


def _length(word: str, name: str) -> Callable[[dict[str, Any]], str]:
    return lambda context: f"must have at {word} {context[name]} entries"


def _always(rule: str) -> Callable[[dict[str, Any]], str]:
    return lambda context: rule


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "missing": _always("this key is required; found nothing; add it"),
    "string_type": _always("must be text"),
    "int_type": _always("must be a whole number"),
    "float_type": _always("must be a number"),
    "bool_type": _always("must be true or false"),
    "tuple_type": _always("must be a list"),
    "dict_type": _always("must be a mapping of keys"),
    "model_type": _always("must be a section of keys"),
    "model_attributes_type": _always("must be a section of keys"),
    "literal_error": lambda context: f"must be {context['expected']}",
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "too_short": _length("least", "min_length"),
    "too_long": _length("most", "max_length"),
}
"""What pydantic's errors mean, in our words; all others carry our own sentence already."""


def _sentence(error: ErrorDetails, node: Node | None) -> str:
    rule = _SENTENCES[error["type"]](error.get("ctx", {}))
    if error["type"] == "missing" or node is None:
        return rule
    is_bound = error["type"].startswith(("greater", "less"))
    return f"{rule}; found {node.text if is_bound else describe(node)}{_cure(error, node)}"


def _cure(error: ErrorDetails, node: Node) -> str:
    if error["type"] == "string_type" and node.text and node.value is not None:
        return f"; write '{node.text}' in quotes"
    if error["type"] == "literal_error" and isinstance(node.value, str):
        return did_you_mean(node.value, re.findall("'([^']+)'", error.get("ctx", {})["expected"]))
    if node.value is None:
        return "; give it a value or remove the key"
    if error["type"] == "tuple_type":
        return "; put it in square brackets"
    return ""
