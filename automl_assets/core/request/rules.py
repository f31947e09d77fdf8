"""What a well-formed request must obey, and what this version does not act on yet.

The rules themselves are in `data_rules`, `task_rules`, `model_rules` and
`limit_rules`; each yields where to look and a sentence, and reads no data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from automl_assets.core.request import data_rules, limit_rules, model_rules, task_rules
from automl_assets.core.request.text import Loc, problem

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.request.sections import Section

RULE = "rule"
UNSUPPORTED = "not_supported"


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """A key that is understood but not acted on in this version.

    Attributes:
        path: Keys joined by dots.
        cure: What to do instead.
    """

    path: str
    cure: str


_REMOVE = "remove the key"
NOT_SUPPORTED = (
    Unsupported(path="data.privacy.k_anonymity", cure=_REMOVE),
    Unsupported(path="resources.max_cost", cure="set search.time_limit"),
    Unsupported(path="deploy", cure=_REMOVE),
    Unsupported(path="monitor.labels_after", cure=_REMOVE),
    Unsupported(path="monitor.retrain_when.drift_psi", cure="write data: new_commit"),
    Unsupported(path="monitor.retrain_when.metric_drop", cure="write data: new_commit"),
)
"""The one list of what is refused for now; each later version makes it shorter."""


@dataclass(frozen=True)
class Finding:
    """A broken rule and the keys where a person should look."""

    loc: Loc
    error: PydanticCustomError


def broken_rules(request: "TrainingRequest") -> Iterator[Finding]:
    """Yield every rule that a well-formed request breaks."""
    for rule in (*data_rules.RULES, *model_rules.RULES, *limit_rules.RULES, _approval):
        for loc, message in rule(request):
            yield Finding(loc, problem(RULE, message))
    for loc, message in task_rules.broken_task_rules(request, request.task.type):
        yield Finding(loc, problem(RULE, message))
    for entry in NOT_SUPPORTED:
        if _asks_for(request, entry):
            message = f"not supported yet: {entry.path}; {entry.cure}"
            yield Finding(tuple(entry.path.split(".")), problem(UNSUPPORTED, message))


def field_named(section: "type[Section]", key: str) -> str | None:
    """Return the attribute behind a key of the file, or None if there is no such key."""
    fields = section.model_fields.items()
    return next((name for name, field in fields if (field.alias or name) == key), None)


def _asks_for(request: "TrainingRequest", entry: Unsupported) -> bool:
    section: Section | None = request
    *sections, key = entry.path.split(".")
    for name in sections:
        section = getattr(section, name)
        if section is None:
            return False
    name = field_named(type(section), key) or key
    value: Any = getattr(section, name)
    return value != type(section).model_fields[name].default


def _approval(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    if request.approval is not None and request.owner in request.approval.required:
        yield (), f"{request.owner!r} owns this request and cannot be its own approver"
