"""What must hold between the keys of a request, and what this version does not act on yet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from automl_assets.core.errors import RequestError
from automl_assets.core.request.text import problem, shown

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.request.sections import Section

Loc = tuple[str | int, ...]

RULE = "rule"
UNSUPPORTED = "not_supported"
SMALLEST_TRAINING_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """A key that is understood but not acted on in this version.

    Attributes:
        path: Keys joined by dots.
        cure: What to do instead.
        value: The one value that is refused; None refuses all but the default.
    """

    path: str
    cure: str
    value: str | None = None

    @property
    def which(self) -> str:
        """The refused value, as text to put behind the key."""
        return "" if self.value is None else f" ({self.value})"


_REMOVE = "remove the key"
NOT_SUPPORTED = (
    Unsupported(path="data.privacy.k_anonymity", cure=_REMOVE),
    Unsupported(path="task.cost", cure=_REMOVE),
    Unsupported(path="model.fix", cure=_REMOVE),
    Unsupported(path="model.search", cure=_REMOVE),
    Unsupported(path="model.monotonic", cure=_REMOVE),
    Unsupported(path="model.preprocessing", cure=_REMOVE),
    Unsupported(path="model.calibration", cure="write none or remove the key"),
    Unsupported(path="search.sampler", value="grid", cure="use tpe or random"),
    Unsupported(path="search.select", value="simplest_of_tied", cure="use best"),
    Unsupported(path="constraints", cure=_REMOVE),
    Unsupported(path="slices", cure=_REMOVE),
    Unsupported(path="robustness", cure=_REMOVE),
    Unsupported(path="explain", cure=_REMOVE),
    Unsupported(path="resources.cpu", cure="set search.workers"),
    Unsupported(path="resources.memory", cure=_REMOVE),
    Unsupported(path="resources.gpu", cure="write 0 or remove the key"),
    Unsupported(path="resources.max_cost", cure="set search.time_limit"),
    Unsupported(path="approval", cure=_REMOVE),
    Unsupported(path="deploy", cure=_REMOVE),
    Unsupported(path="monitor.labels_after", cure=_REMOVE),
    Unsupported(path="monitor.retrain_when.drift_psi", cure="write data: new_commit"),
    Unsupported(path="monitor.retrain_when.metric_drop", cure="write data: new_commit"),
    Unsupported(path="version", cure=_REMOVE),
)
"""The one list of what is refused for now; each later version makes it shorter."""


@dataclass(frozen=True)
class Finding:
    """A broken rule and the keys where a person should look."""

    loc: Loc
    error: PydanticCustomError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean '…'?`, or nothing if no known word is near.

    Examples:
        >>> did_you_mean("catbost", ["catboost", "linear"])
        "; did you mean 'catboost'?"
    """
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def broken_rules(request: "TrainingRequest") -> Iterator[Finding]:
    """Yield every rule that a well-formed request breaks."""
    rules = (
        *(_places, _data, _known_late, _rows, _where, _split, _task, _families),
        *(_hyperparameters, _approval, _leakage, _retraining),
    )
    for rule in rules:
        for loc, message in rule(request):
            yield Finding(loc, problem(RULE, message))
    for entry in NOT_SUPPORTED:
        if _asks_for(request, entry):
            message = f"not supported yet: {entry.path}{entry.which}; {entry.cure}"
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
    if entry.value is not None:
        return value == entry.value
    return value != type(section).model_fields[name].default


def _data(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    data = request.data
    for role in ("id", "time", "group"):
        if getattr(data, role) == data.target:
            yield (
                ("data",),
                f"target {data.target!r} is also the {role}; name another column under {role!r}",
            )
    listed = {entry for entry in data.features.include if not set(entry) & set("*?[")}
    if data.target in listed:
        yield (
            ("data",),
            f"target {data.target!r} is also listed under features.include: "
            "the model would see the answer",
        )
    if data.id is not None and data.id in listed:
        yield (
            ("data",),
            f"id {data.id!r} is also listed under features.include; an id is never a feature",
        )
    roles = {"target": data.target, "id": data.id, "time": data.time, "group": data.group}
    for role, column in roles.items():
        if column is not None and column in data.features.keep:
            yield (
                ("data", "features", "keep"),
                f"{column!r} is the {role} and never a feature; remove it",
            )
    if data.positive is not None and request.task.type in ("multiclass", "regression"):
        yield (
            ("data",),
            f"'positive' names a value of a binary target, but task.type is "
            f"{request.task.type!r}; remove one of them",
        )


def _places(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    data, loc = request.data, ("data",)
    places = [key for key in ("path", "connection", "repository") if getattr(data, key) is not None]
    if not places:
        yield (
            loc,
            "say where the rows are; found none of 'path', 'connection' and 'repository'; "
            "add 'path'",
        )
    if len(places) > 1:
        found = " and ".join(map(repr, places))
        yield loc, f"rows come from one place; found {found}; keep one of them"
    if places in (["connection"], ["repository"]) and data.table is None:
        yield loc, f"{places[0]!r} holds many tables; found no 'table'; name one"
    for key, owners in _PLACE_KEYS.items():
        if getattr(data, key) is not None and places and places[0] not in owners:
            yield loc, f"{key!r} belongs to {' or '.join(owners)}, not to {places[0]!r}; remove it"


_PLACE_KEYS = {
    "table": ("connection", "repository"),
    "ref": ("repository",),
    "commit": ("repository",),
    "sha256": ("path",),
}


def _known_late(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    data = request.data
    if data.available_at and data.time is None:
        yield (
            ("data", "available_at"),
            "what was known when is compared with data.time, and there is none; add data.time",
        )
    for column in sorted({data.target, data.time} & set(data.available_at)):
        yield (
            ("data", "available_at"),
            f"{column!r} is no feature, so it needs no 'available_at'; remove it",
        )


def _where(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    if request.data.rows.where is None:
        return
    # Imported here: the parser takes longer to load than a request without a predicate to check.
    from automl_assets.core.predicate import parse_predicate

    try:
        parse_predicate(request.data.rows.where)
    except RequestError as error:
        yield ("data", "rows", "where"), str(error)


def _retraining(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    when = request.monitor.retrain_when if request.monitor else None
    if when is None:
        return
    if when.data is not None and request.data.repository is None:
        yield (
            ("monitor", "retrain_when"),
            "a new commit needs a repository to look at; found no data.repository; add it",
        )
    if when.data is None and when.at_most_every is not None:
        yield (
            ("monitor", "retrain_when"),
            "'at_most_every' limits 'data: new_commit', which is not asked for; add it",
        )


def _rows(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    rows, loc = request.data.rows, ("data", "rows")
    for key, moment in (("from", rows.from_), ("until", rows.until)):
        if moment is not None and request.data.time is None:
            yield loc, f"{key!r} cuts rows by time, but the data has no time; add data.time"
    if rows.from_ is None or rows.until is None:
        return
    zones = {getattr(moment, "tzinfo", None) for moment in (rows.from_, rows.until)}
    if len(zones) > 1:
        yield (
            loc,
            f"'from' ({rows.from_}) and 'until' ({rows.until}) must both have a time zone or "
            "both none; add Z to a time in UTC",
        )
    elif rows.from_.isoformat() >= rows.until.isoformat():
        yield (
            loc,
            f"'from' ({rows.from_}) must be before 'until' ({rows.until}); 'until' is exclusive",
        )


def _split(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    split = request.split
    if split.train < SMALLEST_TRAINING_SHARE:
        yield (
            ("split",),
            f"validation+calibration+analysis = {100 * (1 - split.train):.4g}%; leave at least "
            f"{SMALLEST_TRAINING_SHARE:.0%} for training",
        )
    for column in ("time", "group"):
        if split.strategy == column and getattr(request.data, column) is None:
            yield (
                ("split",),
                f"strategy {column!r} needs the column to split by; found no data.{column}; "
                "add it, or remove the key 'strategy'",
            )
    if (split.strategy == "column") != (split.column is not None):
        yield (
            ("split",),
            "strategy 'column' and the key 'column' need each other; found one; add the other",
        )
    if split.column is not None and split.column in (request.data.target, request.data.id):
        yield ("split",), f"{split.column!r} has another role already; name another column"


def _leakage(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    column = "time" if request.data.time is not None else "group"
    value = getattr(request.data, column)
    if request.split.strategy == "random" and value is not None:
        yield (
            (),
            f"split.strategy is 'random' but the data has {column} = {value!r}: future or "
            "same-group rows would leak into training. Use 'time' or 'group', or remove the key",
        )


def _task(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    # Imported here: most requests name no metric, and then nothing needs loading.
    from automl_assets.core.metrics import load_metrics

    asked: list[tuple[Loc, str]] = [
        (("task", "report", index), name) for index, name in enumerate(request.task.report)
    ]
    if request.task.metric is not None:
        asked.insert(0, (("task", "metric"), request.task.metric))
    if not asked:
        return
    metrics, task_type = load_metrics(), request.task.type
    fitting = [m.name for m in metrics.values() if task_type in ("auto", *m.task_types)]
    for loc, name in asked:
        if name not in metrics:
            yield (
                loc,
                f"{shown(name)} is not one of {', '.join(fitting)}" + did_you_mean(name, fitting),
            )
        elif name not in fitting:
            belongs = " and ".join(sorted(metrics[name].task_types))
            yield (
                ("task",),
                f"metric {name!r} is not a {task_type} metric (it belongs to {belongs}). "
                f"Choose from: {', '.join(fitting)}",
            )


def _families(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    from automl_assets.core.families import load_families

    asked = request.model.families or ()
    families = load_families() if asked else {}
    for index, name in enumerate(asked):
        loc = ("model", "families", index)
        if name not in families:
            yield (
                loc,
                f"{shown(name)} is not one of {', '.join(families)}" + did_you_mean(name, families),
            )
        elif request.task.type not in ("auto", *families[name].task_types):
            yield loc, f"{name!r} does not learn {request.task.type} tasks; remove it"
        elif name in asked[:index]:
            yield loc, f"{name!r} is listed twice; keep one"


def _hyperparameters(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    from automl_assets.core.families import load_families

    constrained = (*request.model.fix, *request.model.search)
    asked = request.model.families or (tuple(load_families()) if constrained else ())
    for parameter in constrained:
        family = parameter.partition(".")[0]
        if family not in asked:
            yield (
                ("model",),
                f"{parameter!r} constrains {family!r}, which is not in families "
                f"[{', '.join(asked)}]",
            )
    for parameter, bounds in request.model.search.items():
        if bounds.low >= bounds.high or (bounds.log and bounds.low <= 0):
            yield (
                ("model", "search", parameter),
                f"'low' must be below 'high', and above 0 if 'log' is true; found low "
                f"{bounds.low} and high {bounds.high}",
            )


def _approval(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    if request.approval is not None and request.owner in request.approval.required:
        yield (), f"{request.owner!r} owns this request and cannot be its own approver"
