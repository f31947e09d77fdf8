"""From the bytes of a request file to a request, or to all that is wrong with it."""

from copy import deepcopy
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.document import Document, after, at
from automl_assets.core.request.problems import Problem, RequestFileError, explain
from automl_assets.core.request.rules import RULE, UNSUPPORTED
from automl_assets.core.request.text import Loc

__all__ = ["MAX_BYTES", "Problem", "RequestFileError", "parse_request"]

MAX_BYTES = 256 * 1024
"""Whoever reads a file reads one byte more, so that a larger one is refused and never cut."""

MAX_PASSES = 5

_EMPTY = (
    "the file is empty; write at least apiVersion, kind, name, owner, data.path and data.target"
)
_STAND_INS: dict[str, Any] = {
    "apiVersion": "automl/v1",
    "kind": "TrainingRequest",
    "name": "stand-in",
    "owner": "stand-in",
    "data": {"target": "a stand-in for the target"},
}
"""Values for required keys that are wrong or missing, so that the other rules can be tried."""

_RULES = (RULE, UNSUPPORTED)
_TIME_AND_GROUP = (("data",), ("data", "time"), ("data", "group"))


def parse_request(content: bytes | str, *, filename: str) -> TrainingRequest:
    """Read a request file: YAML, or JSON, which YAML includes.

    Args:
        content: The file. Text is taken as if it had been read from UTF-8.
        filename: How messages name the file.

    Returns:
        The request, checked.

    Raises:
        RequestFileError: Something is wrong; the error holds all of it, each
            with line, column and a sentence.

    Examples:
        >>> text = '''
        ... apiVersion: automl/v1
        ... kind: TrainingRequest
        ... name: churn
        ... owner: analyst-7
        ... data: {path: churn.csv, targett: churned}
        ... '''
        >>> try:
        ...     parse_request(text, filename="churn.yaml")
        ... except RequestFileError as error:
        ...     print(error)
        churn.yaml:6:1: data.target: this key is required; found nothing; add it
        churn.yaml:6:25: unknown key 'targett'; did you mean 'target'?
    """
    return TrainingRequest.model_validate(
        _DOCUMENT.read(_decoded(content, filename), filename=filename)
    )


def _decoded(content: bytes | str, filename: str) -> str:
    """Return the text of a file whose size and characters are within bounds."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        message = (
            f"a request has at most {MAX_BYTES // 1024} kB; found {len(raw) / 1024:.0f} kB; "
            "name columns by patterns such as usage_*"
        )
        raise RequestFileError([at(filename, 1, 1, message)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        message = f"not UTF-8 text; found the byte 0x{raw[error.start]:02X}; save it as UTF-8"
        raise RequestFileError([after(before, filename, message)]) from error
    return text


def _errors(plain: dict[str, Any]) -> list[ErrorDetails]:
    """Return all that is wrong with the values.

    Rules between keys are tried by pydantic only once every value is well
    formed. So values that are not are taken out, and the rest is tried again;
    a rule that reads a bad value waits until that value is mended.
    """
    errors = _pass(plain)
    found = list(errors)
    bad = [error["loc"] for error in errors if error["type"] not in _RULES]
    healed = deepcopy(plain)
    # More than one pass, because a section that lost a required key goes as a whole.
    for _ in range(MAX_PASSES):
        if not any(error["type"] not in _RULES for error in errors):
            break
        healed = _healed(healed, errors)
        errors = _pass(healed)
    for error in errors:
        is_new = error["type"] in _RULES and error not in found
        if is_new and not (error["type"] == RULE and _waits(error["loc"], bad)):
            found.append(error)
    return found


def _waits(loc: Loc, bad: list[Loc]) -> bool:
    """Say whether a rule told at `loc` reads one of the bad values."""
    if loc and any(other[: len(loc)] == loc for other in bad):
        return True
    reads_time_and_group = loc in ((), ("split",), ("data", "rows"))
    return reads_time_and_group and any(other in _TIME_AND_GROUP for other in bad)


def _pass(plain: dict[str, Any]) -> list[ErrorDetails]:
    try:
        TrainingRequest.model_validate(plain)
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False)
    return []


def _healed(plain: dict[str, Any], errors: list[ErrorDetails]) -> dict[str, Any]:
    """Take out every value with an error; put stand-ins where a value is required."""
    for error in errors:
        loc = error["loc"]
        if error["type"] == "missing" and loc[:-1] not in ((), ("data",)):
            loc = loc[:-1]
        _take_out(plain, loc)
    healed = {**deepcopy(_STAND_INS), **plain}
    healed["data"] = {**_STAND_INS["data"], **healed["data"]}
    return healed


def _take_out(value: Any, loc: tuple[Any, ...]) -> None:
    """Remove what stands at a location, or the deepest value on the way to it."""
    *way, last = loc
    for step in way:
        inside = value[step] if _holds(value, step) else None
        if not isinstance(inside, dict | list):
            last = step
            break
        value = inside
    if not _holds(value, last):
        return
    if isinstance(value, list):
        value[last] = "stand-in"  # Not removed, so that the others keep their positions.
    else:
        del value[last]


def _holds(value: Any, step: Any) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


_DOCUMENT = Document(what="a request", empty=_EMPTY, errors=_errors, explain=explain)
