"""A new request from an old one: some keys differ, and nothing else."""

import difflib
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from automl_assets.core.errors import RequestError
from automl_assets.core.request import SCHEMA_FILE, TrainingRequest
from automl_assets.core.request.file import parse_request
from automl_assets.core.request.numbers import HUMAN
from automl_assets.core.request.text import Parameter
from automl_assets.core.request.yaml import read_yaml, write_yaml


def cloned_request(
    request: TrainingRequest, changes: tuple[str, ...]
) -> tuple[str, TrainingRequest]:
    """Return the file and the meaning of a request that differs from another one.

    The new request has no `parent` unless a change names one: it follows from nothing.

    Args:
        request: The old one.
        changes: `key=value`. Keys are dotted, as in `search.n_trials`; values are YAML; a
            value that is left empty, or is `null`, takes the key back to its default.

    Raises:
        RequestError: A change is not of that form.
        RequestFileError: The new request is not valid.
    """
    content = request.model_dump(mode="json", exclude_defaults=True, context=HUMAN)
    content.pop("parent", None)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not all(key.split(".")):
            raise RequestError(
                "A change is a dotted key, an equals sign and a value, such as "
                f"search.n_trials=50; found {change!r}. Write it so."
            )
        content = _changed(content, key_path(key), _value(text, change))
    text = f"# yaml-language-server: $schema={SCHEMA_FILE}\n{write_yaml(content)}"
    return text, parse_request(text, filename=f"clone of {request.request_id}")


def key_path(key: str) -> list[str]:
    """Return the steps of a dotted key; names of columns and parameters may have dots, too.

    Examples:
        >>> key_path("search.n_trials"), key_path("model.search.catboost.depth.low")
        (['search', 'n_trials'], ['model', 'search', 'catboost.depth', 'low'])
        >>> key_path("model.monotonic.person.age")
        ['model', 'monotonic', 'person.age']
    """
    path: list[str] = []
    kind: Any = TrainingRequest
    rest = key.split(".")
    while rest:
        taken = 1
        fields = _fields(kind)
        mapping = _mapping(kind)
        if mapping is not None:
            # Of a mapping by column all the rest is the column's name.
            taken = 2 if mapping[0] == Parameter else len(rest)
            kind = mapping[1]
        else:
            kind = fields.get(rest[0])
        path.append(".".join(rest[:taken]))
        rest = rest[taken:]
    return path


def _fields(kind: Any) -> dict[str, Any]:
    """Return the annotations of a section's keys, as files spell them."""
    section = next((item for item in _choices(kind) if _is_section(item)), None)
    if section is None:
        return {}
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _mapping(kind: Any) -> tuple[Any, Any] | None:
    """Return what the keys and the values of a mapping are; None if it is none."""
    found = next((item for item in _choices(kind) if get_origin(item) is dict), None)
    if found is None:
        return None
    key, value = get_args(found)
    return key, value


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _value(text: str, change: str) -> Any:
    """Return what a value means in a request file."""
    if not text.strip():
        return None
    node, problems = read_yaml(text)
    if problems or node is None:
        reason = problems[0].message if problems else "it holds nothing"
        raise RequestError(
            f"The value of a change is YAML: a number, a switch, a text, a list or a mapping; "
            f"found {change!r}: {reason}. Put texts with special characters in quotes."
        )
    return node.plain()


def _changed(content: Any, path: list[str], value: Any) -> dict[str, Any]:
    """Return a section with one key changed, or taken away where the value is None."""
    step, *rest = path
    changed = dict(content) if isinstance(content, dict) else {}
    if rest:
        value = _changed(changed.get(step), rest, value)
        # A section that is left empty goes as well: as a file, it would be told as a mistake.
        value = value or None
    if value is None:
        changed.pop(step, None)
    else:
        changed[step] = value
    return changed


def request_difference(old: TrainingRequest, new: TrainingRequest) -> str:
    """Return how two requests differ, as a unified diff of their files without comments."""
    texts = [item.to_yaml().splitlines()[1:] for item in (old, new)]
    lines = difflib.unified_diff(
        *texts, fromfile=old.request_id, tofile=new.request_id, lineterm="", n=2
    )
    return "\n".join(lines)
