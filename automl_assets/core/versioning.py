"""Semantic versions of models: what a user of a model must know before taking the next one.

After Semantic Versioning 2.0.0 (Preston-Werner, 2013), with the rows that a model reads
and the meaning of what it says as its interface: MAJOR where a caller must change
something, MINOR where the model knows something else, PATCH where it is only fitted
again. The commit of the data stands behind `+`, where it decides no order.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from automl_assets.core.values import TaskType, Value

Bump = Literal["auto", "major", "minor", "patch"]
_Level = Literal["major", "minor", "patch"]

FIRST = (1, 0, 0)

_NAMED_COLUMNS = 5
_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\+data\.([0-9a-f]{8}))?")


class VersionFacts(Value):
    """What the next version of a model is compared with."""

    columns: dict[str, str] = Field(description="Raw columns that the model reads -> their type.")
    target: str
    task_type: TaskType
    classes: tuple[str, ...] = Field(description="In code order; the positive one is last.")
    decision: str = Field(description="How a class is chosen; empty where there is none.")
    data_commit: str
    data_sha256: str = Field(
        description="Digest of the content: the same data has a commit for each request."
    )
    features: tuple[str, ...] = Field(description="Names of the features made of the columns.")
    feature_sets: tuple[str, ...] = Field(
        default=("all",), description="Which of them the model's members see, each set once."
    )
    family: str
    calibration: str = "none"

    def canonical_json(self) -> str:
        """Return the one spelling of these facts."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def sha256(self) -> str:
        """Digest of the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Predecessor:
    """The version before.

    Attributes:
        version: The registry's number.
        semver: Empty for a version from before there were any.
        facts: None where they were not kept, or are not what was kept.
    """

    version: str
    semver: str
    facts: VersionFacts | None


@dataclass(frozen=True, kw_only=True)
class VersionDecision:
    """A semantic version, and why it is this one."""

    semver: str
    reason: str


def base_of(semver: str) -> str:
    """Return a semantic version without its data commit.

    Examples:
        >>> base_of("1.2.0+data.4c1f2a90")
        '1.2.0'
    """
    return semver.partition("+")[0]


def decide_version(
    previous: Predecessor | None, facts: VersionFacts, bump: Bump = "auto"
) -> VersionDecision:
    """Decide the version that follows.

    Args:
        previous: None for the first version of a name.
        bump: What the request says; anything but `auto` wins over what was found.
    """
    numbers = _numbers(previous.semver) if previous else None
    if previous is None or numbers is None:
        reason = "first version" if previous is None else "first version with a semantic number"
        return VersionDecision(semver=_text(FIRST, facts), reason=reason)
    level, found = _difference(previous, facts)
    reason = f"{level} since version {previous.version}: {found}"
    if bump != "auto" and bump != level:
        reason = f"{bump}, as the request asks (version.bump); it would be {reason}"
        level = bump
    return VersionDecision(semver=_text(_grown(numbers, level), facts), reason=reason)


def _difference(previous: Predecessor, facts: VersionFacts) -> tuple[_Level, str]:
    if previous.facts is None:
        return "major", "what that version reads and means is not known any more"
    if breaking := list(_breaking(previous.facts, facts)):
        return "major", "; ".join(breaking)
    if other := list(_other(previous.facts, facts)):
        return "minor", "; ".join(other)
    return "patch", "fitted again on the same data"


def _breaking(old: VersionFacts, new: VersionFacts) -> Iterator[str]:
    """Yield what a caller of the old version must know."""
    if old.target != new.target:
        yield f"target {new.target!r}, was {old.target!r}"
    if old.task_type != new.task_type:
        yield f"{new.task_type} task, was {old.task_type}"
    yield from _columns(old.columns, new.columns)
    if set(old.classes) != set(new.classes):
        yield f"classes {_named(new.classes)}, were {_named(old.classes)}"
    elif old.classes != new.classes:
        yield f"classes in another order: {new.classes[-1]!r} is last, was {old.classes[-1]!r}"
    if old.decision != new.decision:
        yield f"decides by {new.decision or 'nothing'}, was {old.decision or 'nothing'}"


def _columns(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    added, removed = (sorted(set(a) - set(b)) for a, b in ((new, old), (old, new)))
    if added:
        yield f"new columns {_named(added)}"
    if removed:
        yield f"without columns {_named(removed)}"
    changed = [name for name in sorted(set(old) & set(new)) if old[name] != new[name]]
    if changed:
        kinds = [f"{name!r} is {new[name]}, was {old[name]}" for name in changed[:_NAMED_COLUMNS]]
        yield f"types of {len(changed)} columns: {', '.join(kinds)}"


def _other(old: VersionFacts, new: VersionFacts) -> Iterator[str]:
    """Yield what makes it another model to the same callers."""
    if old.data_sha256 != new.data_sha256:
        yield f"new data, commit {new.data_commit[:8]}, was {old.data_commit[:8]}"
    if old.features != new.features:
        yield f"other features, {len(new.features)} of them, were {len(old.features)}"
    if old.feature_sets != new.feature_sets:
        yield f"feature sets {_named(new.feature_sets)}, were {_named(old.feature_sets)}"
    if old.family != new.family:
        yield f"{new.family}, was {old.family}"
    if old.calibration != new.calibration:
        yield f"calibration {new.calibration}, was {old.calibration}"


def _named(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED_COLUMNS} more" if len(names) > _NAMED_COLUMNS else ""
    return ", ".join(map(repr, names[:_NAMED_COLUMNS])) + more


def _numbers(semver: str) -> tuple[int, int, int] | None:
    match = _SEMVER.fullmatch(semver)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _grown(numbers: tuple[int, int, int], level: _Level) -> tuple[int, int, int]:
    major, minor, patch = numbers
    if level == "major":
        return major + 1, 0, 0
    return (major, minor + 1, 0) if level == "minor" else (major, minor, patch + 1)


def _text(numbers: tuple[int, int, int], facts: VersionFacts) -> str:
    return f"{'.'.join(map(str, numbers))}+data.{facts.data_commit[:8]}"
