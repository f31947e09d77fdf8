"""How a version becomes champion or challenger, and how the champion before comes back.

The log is written first and the alias follows it. Whoever was killed in between is
followed by the next call, which finds the event and moves the alias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from automl_assets.core.approval import (
    ApprovalPolicy,
    check_approver,
    check_digest,
    missing_approvals,
    policy_of,
)
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.ports import ModelRegistry, ReleaseLog, SnapshotStore
from automl_assets.core.registered import check_probe, registered_card
from automl_assets.core.release import (
    ARCHIVED,
    CHALLENGER,
    CHAMPION,
    EventKind,
    ReleaseEvent,
    broken_link,
    champions,
    replaced_champion,
)
from automl_assets.core.request.text import shown, visible
from automl_assets.core.values import ModelVersion

MAX_TEXT = 1_024
"""Characters of a reason or a comment."""


@dataclass(frozen=True, kw_only=True)
class ReleaseDesk:
    """What releases need.

    Attributes:
        by: Who acts.
        now: With a time zone.
        cpu: The processor here, as `resources.code_origin` names it.
    """

    registry: ModelRegistry
    log: ReleaseLog
    store: SnapshotStore
    by: str
    now: datetime
    cpu: str = ""

    @property
    def at(self) -> str:
        """The moment as events keep it."""
        return self.now.isoformat(timespec="seconds")

    def event(
        self,
        kind: EventKind,
        version: ModelVersion,
        *,
        reason: str,
        alias: str = "",
        on_behalf_of: str = "",
    ) -> ReleaseEvent:
        """Return an event about a version, for the log."""
        return ReleaseEvent(
            kind=kind,
            name=version.name,
            version=version.version,
            semver=version.semver,
            by=self.by,
            at=self.at,
            card_sha256=version.card_sha256,
            reason=reason,
            alias=alias,
            on_behalf_of=on_behalf_of,
        )

    def history(self, name: str) -> list[ReleaseEvent]:
        """Return the events of a model.

        Raises:
            SnapshotError: One does not follow from the one before it.
        """
        events = self.log.events(name)
        broken = broken_link(events)
        if broken:
            raise SnapshotError(
                "Each event of the release log follows from the one before it, but: "
                f"{broken} Nothing was done. Look at the log's repository, automl-releases."
            )
        return events


@dataclass(frozen=True, kw_only=True)
class Release:
    """What was done.

    Attributes:
        event: As it stands in the log; None if there was nothing left to do.
        version: The one that has the alias now.
        probe: How its predictions of the probe compare with the recorded ones.
    """

    event: ReleaseEvent | None
    version: ModelVersion
    probe: str


def promote(desk: ReleaseDesk, version: ModelVersion, alias: str, *, reason: str) -> Release:
    """Give a version the alias `champion` or `challenger`.

    Raises:
        RequestError: No reason, another alias, or approvals that are missing or void.
        SnapshotError: The report, the probe or the model is not what was registered.
    """
    require_reason(reason)
    if alias not in (CHAMPION, CHALLENGER):
        raise RequestError(
            f"A version is promoted to {CHAMPION} or {CHALLENGER}, but found {alias!r}. "
            f"{ARCHIVED} goes to the champion that was replaced, by itself."
        )
    # As it is now: others move aliases, too.
    version = desk.registry.find(version.name, version.version)
    events = desk.history(version.name)
    if alias == CHALLENGER and champions(events)[-1:] == [version.version]:
        raise RequestError(
            f"A challenger is tried against the champion, but {version.name} {version.version} "
            "is the champion. Promote another version, or roll back first."
        )
    with desk.registry.inspect(version) as record:
        card = registered_card(record, version, events)
        _require_approvals(policy_of(card), events, version, alias, desk.now)
        probe = check_probe(record, card, version, store=desk.store, cpu=desk.cpu)
    event = None
    if not _is_recorded(events, version, alias):
        event = desk.log.append(desk.event("promoted", version, alias=alias, reason=reason))
    if alias == CHAMPION:
        _settle_champion(desk, version.name)
        desk.registry.remove_alias(version, CHALLENGER)
    else:
        desk.registry.set_alias(version, alias)
    return Release(event=event, version=version, probe=probe)


def roll_back(desk: ReleaseDesk, name: str, *, reason: str) -> Release:
    """Give `champion` back to the version that had it before.

    The approvals that it had then are not asked for again: going back is for emergencies.

    Raises:
        RequestError: No reason, or no champion before.
        SnapshotError: The version to restore predicts its probe otherwise than recorded.
    """
    require_reason(reason)
    events = desk.history(name)
    before = champions(events)
    if len(before) < 2:
        raise RequestError(
            f"A rollback goes to the champion before, but {name!r} had "
            f"{len(before) or 'no'} champion{'' if len(before) == 1 else 's'}. "
            "Promote a version instead."
        )
    current = desk.registry.find(name, before[-1])
    restored = current
    if CHAMPION in current.aliases:
        restored = desk.registry.find(name, before[-2])
    with desk.registry.inspect(restored) as record:
        card = registered_card(record, restored, events)
        probe = check_probe(record, card, restored, store=desk.store, cpu=desk.cpu)
    event = None
    if restored is not current:
        event = desk.log.append(desk.event("rolled_back", restored, alias=CHAMPION, reason=reason))
    # Else the log is ahead of the alias: an earlier call recorded the move, and was killed.
    _settle_champion(desk, name)
    return Release(event=event, version=restored, probe=probe)


def approve(
    desk: ReleaseDesk,
    version: ModelVersion,
    *,
    digest: str,
    on_behalf_of: str,
    comment: str,
    groups: Mapping[str, Sequence[str]],
) -> tuple[ReleaseEvent, tuple[str, ...]]:
    """Record that somebody approves a version by the digest of its report.

    Returns:
        The event, and what is still missing.

    Raises:
        RequestError: It is not theirs to approve, the digest is another one, or the comment is
            no line.
        SnapshotError: The report is not what was registered.
    """
    _require_line(comment)
    events = desk.history(version.name)
    with desk.registry.inspect(version) as record:
        policy = policy_of(registered_card(record, version, events))
    check_approver(policy, desk.by, on_behalf_of, groups)
    check_digest(digest, version)
    event = desk.log.append(
        desk.event("approved", version, reason=comment, on_behalf_of=on_behalf_of)
    )
    return event, missing_approvals(policy, [*events, event], version, now=desk.now)


def require_reason(reason: str) -> None:
    """Check that a move says why, in one line.

    Raises:
        RequestError: It does not.
    """
    if not reason.strip():
        raise RequestError(
            "Who moves an alias says why, but found no reason. It is kept with the model: "
            "add --reason 'why'."
        )
    _require_line(reason)


def _require_line(text: str) -> None:
    """Check what is kept for ever, and shown to everybody."""
    if len(text) > MAX_TEXT or text != visible(text):
        raise RequestError(
            f"A reason or a comment is one line of up to {MAX_TEXT:,} characters without control "
            f"characters, but found {len(text):,} characters, {shown(text)}. Say it shorter, and "
            "put the rest where people can look it up."
        )


def _require_approvals(
    policy: ApprovalPolicy,
    events: Sequence[ReleaseEvent],
    version: ModelVersion,
    alias: str,
    now: datetime,
) -> None:
    if not policy.gates(alias):
        return
    missing = missing_approvals(policy, events, version, now=now)
    if missing:
        raise RequestError(
            f"{version.name}@{version.version} becomes {alias} only when all have approved it "
            f"whom its request names, but {'; '.join(missing)}. They read the report, and say "
            f"`automl approve {version.name}@{version.version} --digest "
            f"{version.card_sha256[:12]} --as ...`."
        )


def _is_recorded(events: Sequence[ReleaseEvent], version: ModelVersion, alias: str) -> bool:
    """Whether there is nothing to add: it has the alias, or a killed call recorded the move."""
    if alias == CHAMPION:
        return champions(events)[-1:] == [version.version]
    last = [(event.kind, event.alias, event.version) for event in events[-1:]]
    return alias in version.aliases or last == [("promoted", alias, version.version)]


def _settle_champion(desk: ReleaseDesk, name: str) -> None:
    """Point `champion` and `archived` to where the log says, also if others add to it."""
    seen = 0
    while (events := desk.log.events(name)) and len(events) != seen:
        seen = len(events)
        desk.registry.set_alias(desk.registry.find(name, champions(events)[-1]), CHAMPION)
        if replaced := replaced_champion(events):
            desk.registry.set_alias(desk.registry.find(name, replaced), ARCHIVED)
