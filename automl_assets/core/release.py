"""What became of the versions of a model: an append-only log, and what follows from it.

Each event holds the digest of the one before it, so an event that was changed,
left out or put in between is found. Who can rewrite the whole log can rewrite
all digests, too; then the store's own history of commits tells.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from automl_assets.core.values import Value

CHALLENGER, CHAMPION, ARCHIVED = "challenger", "champion", "archived"
"""Aliases: the newest to be tried, the one in use, and the one that was in use before it."""

EventKind = Literal["registered", "approved", "promoted", "rolled_back", "reproduced"]


class ReleaseEvent(Value):
    """One thing that happened to a version of a model.

    `number` and `previous_sha256` are given by the log; whoever appends leaves them out.
    """

    number: int = Field(default=0, ge=0, description="From 1, without gaps, for each model name.")
    kind: EventKind
    name: str = Field(description="The registered model.")
    version: str = Field(description="The registry's version number.")
    semver: str = ""
    alias: str = Field(default="", description="The alias that moved to the version, if one did.")
    by: str = Field(description="Who did it.")
    at: str = Field(description="UTC, ISO 8601.")
    reason: str = Field(default="", description="Why, or the comment of an approval.")
    card_sha256: str = Field(default="", description="Digest of the report that it was about.")
    on_behalf_of: str = Field(
        default="", description="The group or person of the request that an approval is given as."
    )
    key: str = Field(
        default="",
        description="What the event is known by: appended again, the first one is found.",
    )
    previous_sha256: str = Field(default="", description="Digest of the event before; 1 has none.")

    def canonical_json(self) -> str:
        """Return the one spelling of the event."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def sha256(self) -> str:
        """Digest of the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def broken_link(events: Sequence[ReleaseEvent]) -> str | None:
    """Return a sentence on the first event that does not follow from the one before it.

    Args:
        events: All events of one model, oldest first.
    """
    previous = ""
    for number, event in enumerate(events, start=1):
        if event.number != number:
            return f"Event {number} of the release log is missing: {event.number} is in its place."
        if event.previous_sha256 != previous:
            return (
                f"Event {number} of the release log names {event.previous_sha256[:12] or 'none'} "
                f"as the digest of the event before it, but that is {previous[:12] or 'none'}."
            )
        previous = event.sha256
    return None


def champions(events: Iterable[ReleaseEvent]) -> list[str]:
    """Return the versions that a rollback could go through, the champion last.

    A promotion adds one and a rollback takes the last one away: two rollbacks go
    two champions back, and not there and back again. Two that were asked for at the
    same moment name the same version to restore, and go back to that one.
    """
    versions: list[str] = []
    for event in events:
        if event.alias != CHAMPION:
            continue
        if event.kind == "promoted" and versions[-1:] != [event.version]:
            versions.append(event.version)
        elif event.kind == "rolled_back" and event.version in versions:
            while versions[-1] != event.version:
                versions.pop()
    return versions


def aliases_of(events: Iterable[ReleaseEvent]) -> dict[str, str]:
    """Return which version has which alias, by the log alone."""
    found: dict[str, str] = {}
    seen: list[ReleaseEvent] = []
    for event in events:
        seen.append(event)
        holder = found.get(CHALLENGER)
        if event.alias == CHALLENGER:
            is_newer = holder is None or int(holder) < int(event.version)
            if event.kind == "promoted" or is_newer:
                found[CHALLENGER] = event.version
        elif event.alias == CHAMPION and event.kind == "promoted" and holder == event.version:
            del found[CHALLENGER]
    if line := champions(seen):
        found[CHAMPION] = line[-1]
    if before := replaced_champion(seen):
        found[ARCHIVED] = before
    return found


def replaced_champion(events: Iterable[ReleaseEvent]) -> str | None:
    """Return the version that was champion before the last move of that alias."""
    moves = [e.version for e in events if e.alias == CHAMPION]
    distinct = [version for i, version in enumerate(moves) if moves[i - 1 : i] != [version]]
    return distinct[-2] if len(distinct) > 1 else None
