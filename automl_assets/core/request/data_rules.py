"""What must hold between the keys about data: places, roles of columns, rows and parts."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError
from automl_assets.core.request.text import Loc

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest

SMALLEST_TRAINING_SHARE = 0.4

_USER_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")


def why_no_feature(request: "TrainingRequest", column: str) -> str | None:
    """Return why a column can never become a feature, as the end of a sentence; None if it may."""
    data = request.data
    roles = {
        "target": data.target,
        "id": data.id,
        "time": data.time,
        "group": data.group,
        "split column": request.split.column,
    }
    for role, name in roles.items():
        if column == name:
            return f"is the {role}"
    for pattern in data.features.exclude:
        if column == pattern or fnmatchcase(column, pattern):
            return f"is excluded by {pattern!r} under data.features.exclude"
    if not any(column == name or fnmatchcase(column, name) for name in data.features.include):
        return "is not under data.features.include"
    return None


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
    if data.path is not None and _USER_IN_URL.match(data.path):
        yield (
            (*loc, "path"),
            "a request is kept and shown, so its URL holds no user and no password; remove what "
            "stands before '@', and have the operator configure it",
        )
    for key, owners in _PLACE_KEYS.items():
        if getattr(data, key) is not None and places and places[0] not in owners:
            yield loc, f"{key!r} belongs to {' or '.join(owners)}, not to {places[0]!r}; remove it"


_PLACE_KEYS = {
    "table": ("connection", "repository"),
    "ref": ("repository",),
    "commit": ("repository",),
    "sha256": ("path",),
}


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


def _where(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    if request.data.rows.where is None:
        return
    # Imported here: the parser takes longer to load than a request without a predicate to check.
    from automl_assets.core.predicate import parse_predicate

    try:
        parse_predicate(request.data.rows.where)
    except RequestError as error:
        yield ("data", "rows", "where"), str(error)


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


RULES = (_places, _data, _known_late, _rows, _where, _split, _leakage, _retraining)
"""Each takes a request and yields where to look, and a sentence."""
