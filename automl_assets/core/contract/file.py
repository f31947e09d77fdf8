"""From the text of a contract file to a contract, or to all that is wrong with it."""

from copy import deepcopy
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from automl_assets.core.contract.model import ColumnContract, DataContract
from automl_assets.core.request.document import Document, at
from automl_assets.core.request.problems import Problem, RequestFileError, explain
from automl_assets.core.request.sections import Section
from automl_assets.core.request.text import did_you_mean, shown
from automl_assets.core.request.yaml import Node

MAX_BYTES = 1_000_000

_EMPTY = "the file is empty; write at least apiVersion, kind and columns"
_HEAD = {"apiVersion": "automl/v1", "kind": "DataContract"}


def parse_contract(text: str, *, filename: str) -> DataContract:
    """Read a contract file: YAML, or JSON, which YAML includes.

    Args:
        text: The file.
        filename: How messages name the file.

    Raises:
        RequestFileError: Something is wrong; the error holds all of it, each
            with line, column and a sentence.

    Examples:
        >>> text = '''
        ... apiVersion: automl/v1
        ... kind: DataContract
        ... columns:
        ...   age: {type: integer, minimum: 0, nulls: {max: 120%}}
        ... '''
        >>> try:
        ...     parse_contract(text, filename="people.yaml")
        ... except RequestFileError as error:
        ...     print(error)
        people.yaml:5:24: unknown key 'minimum'; did you mean 'min'?
        people.yaml:5:44: columns.age.nulls.max: write a share from 0 to 1, or a percentage \
such as 15%; found '120%'
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = (
            f"a contract has at most {MAX_BYTES // 1000} kB; found {size / 1000:.0f} kB; "
            "leave out columns that need no rule"
        )
        raise RequestFileError([at(filename, 1, 1, message)])
    return DataContract.model_validate(_DOCUMENT.read(text, filename=filename))


def _errors(plain: dict[str, Any]) -> list[ErrorDetails]:
    """Return all that is wrong with the values.

    Rules about the whole table are tried by pydantic only once every value is
    well formed. So what is not is taken out, and the rest is tried again.
    """
    errors = _pass(plain)
    healed = {**_HEAD, **deepcopy(plain)}
    for error in errors:
        first, *rest = map(str, error["loc"] or ("",))
        columns = healed.get("columns")
        if first == "columns" and rest and isinstance(columns, dict):
            columns[rest[0]] = {}
        elif first in _HEAD:
            healed[first] = _HEAD[first]
        else:
            healed.pop(first, None)
    found = list(errors)
    for error in _pass(healed) if errors else []:
        if error["type"] == "rule" and error not in found:
            found.append(error)
    return found


def _pass(plain: dict[str, Any]) -> list[ErrorDetails]:
    try:
        DataContract.model_validate(plain)
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False)
    return []


def _explain(error: ErrorDetails, root: Node, filename: str) -> Problem:
    problem = explain(error, root, filename)
    if error["type"] != "extra_forbidden":
        return problem
    key = str(error["loc"][-1])
    section = _section_at(error["loc"][:-1])
    near = did_you_mean(key, _keys(section)) or _home(key)
    message = f"unknown key {shown(key)}{near or '; remove it'}"
    return Problem(
        filename=filename, line=problem.line, column=problem.column, path="", message=message
    )


def _home(key: str) -> str:
    """Say that a key belongs to a column, if it does."""
    return f"; did you mean columns.NAME.{key}?" if key in _keys(ColumnContract) else ""


def _section_at(loc: tuple[int | str, ...]) -> type[Section]:
    section: type[Section] = DataContract
    if loc[:1] == ("columns",):
        section, loc = ColumnContract, loc[2:]
    for step in loc:
        field = section.model_fields[str(step)]
        candidates = (field.annotation, *get_args(field.annotation))
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, Section))
    return section


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


_DOCUMENT = Document(what="a contract", empty=_EMPTY, errors=_errors, explain=_explain)
