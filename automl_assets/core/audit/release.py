"""The links about what became of the version: approvals, and what came before it."""

from collections.abc import Sequence
from datetime import datetime

from automl_assets.core.approval import ApprovalPolicy, is_owner, missing_approvals, policy_of
from automl_assets.core.audit.evidence import CARD, Evidence, dig
from automl_assets.core.audit.registered import digest_of
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import SnapshotError
from automl_assets.core.release import ARCHIVED, CHALLENGER, CHAMPION, ReleaseEvent, aliases_of


def approvals_link(evidence: Evidence) -> Link:
    """Verify the release log's chain of digests, and what was approved against the card."""
    link, name = LinkBuilder("approvals"), evidence.version.name
    where = f"release log of {name}"
    required = dig(evidence.told("request", "approval"), "required")
    link.fact("required", ", ".join(required) if required else "none")
    try:
        events = evidence.places.releases.events(name)
    except SnapshotError as error:
        link.unreadable("release log", where, error)
        return link.build()
    _check_chain(link, events, where)
    ours = [event for event in events if event.version == evidence.version.version]
    if not ours:
        link.note("The release log holds no event of this version.")
    _check_events(link, evidence, ours, where)
    _check_approvals(link, evidence, events, where)
    _check_aliases(link, evidence, events)
    return link.build()


def _check_chain(link: LinkBuilder, events: Sequence[ReleaseEvent], where: str) -> None:
    """Check for each event that it names the digest of the one before it."""
    number, previous = 0, ""
    for event in events:
        place = f"{where}, event {event.number}"
        what = "number of the event"
        # From the one before it: an event that is gone is told once, and not for all that follow.
        link.record(what, place, expected=number + 1, found=event.number)
        if event.number > 1:
            link.digest("event before", place, expected=event.previous_sha256, found=previous)
        number, previous = event.number, event.sha256


def _check_events(
    link: LinkBuilder, evidence: Evidence, ours: Sequence[ReleaseEvent], where: str
) -> None:
    """Check that what was registered and approved is the card that is there now."""
    report = evidence.record.report
    card = None if report is None else digest_of(report / CARD)
    for event in ours:
        link.fact(event.kind.replace("_", " "), _told(event))
        if event.kind == "registered":
            place = f"tag of {event.name} {event.version} in the registry"
            version = evidence.version
            link.record("tag semver", place, expected=event.semver, found=version.semver)
            reason = version.semver_reason
            link.record("tag semver_reason", place, expected=event.reason, found=reason)
        if event.kind in ("registered", "approved", "promoted") and event.card_sha256:
            what = f"card that was {event.kind}"
            place = f"{where}, event {event.number}"
            link.digest(what, place, expected=event.card_sha256, found=card)


def _check_approvals(
    link: LinkBuilder, evidence: Evidence, events: Sequence[ReleaseEvent], where: str
) -> None:
    """Check that nobody approved a model of their own, and that no promotion lacked an approval."""
    policy = _policy(evidence)
    if policy is None:
        return
    for position, event in enumerate(events):
        if event.version != evidence.version.version:
            continue
        place = f"{where}, event {event.number}"
        if event.kind == "approved" and is_owner(event.by, policy):
            expected = "somebody else than the owner"
            link.fail("approval", place, outcome="altered", expected=expected, found=event.by)
        if event.kind == "promoted" and policy.gates(event.alias):
            lacking = _lacking(policy, events[:position], evidence, event)
            link.record("approvals that were missing", place, expected="none", found=lacking)


def _policy(evidence: Evidence) -> ApprovalPolicy | None:
    """Return what the card asks for; None where the card, whose digest is checked, does not say."""
    try:
        return policy_of(evidence.card)
    except (KeyError, TypeError, ValueError):
        return None


def _lacking(
    policy: ApprovalPolicy, before: Sequence[ReleaseEvent], evidence: Evidence, event: ReleaseEvent
) -> str:
    try:
        now = datetime.fromisoformat(event.at)
        missing = missing_approvals(policy, before, evidence.version, now=now)
    except (TypeError, ValueError):
        return f"not known: {event.at!r} is no time"
    return "; ".join(missing) or "none"


def _check_aliases(link: LinkBuilder, evidence: Evidence, events: Sequence[ReleaseEvent]) -> None:
    """Check that the version has the aliases that the log gave it, and no other of ours.

    A model that was registered before there was a log has aliases that no event gave.
    """
    version, by_log = evidence.version, aliases_of(events)
    for alias in (CHAMPION, CHALLENGER, ARCHIVED):
        told, is_here = by_log.get(alias), alias in version.aliases
        if told is None and alias == CHALLENGER and is_here:
            link.note("No event of the release log tells how it became challenger.")
        elif is_here or told == version.version:
            holders = (item.version for item in evidence.versions if alias in item.aliases)
            link.record(
                f"alias {alias}",
                f"alias of {version.name} in the registry",
                expected=f"version {told}" if told else "no version",
                found=next((f"version {number}" for number in holders), "no version"),
            )


def _told(event: ReleaseEvent) -> str:
    as_whom = f" as {event.on_behalf_of}" if event.on_behalf_of else ""
    alias = f" to {event.alias}" if event.alias else ""
    digest = f" on card {event.card_sha256[:12]}" if event.card_sha256 else ""
    reason = f": {event.reason}" if event.reason else ""
    return f"{event.at[:16]} by {event.by}{as_whom}{alias}{digest}{reason}"


def history_link(evidence: Evidence) -> Link:
    """Tell the version before this one, and why this one has its number."""
    link, version = LinkBuilder("history"), evidence.version
    earlier = [item for item in evidence.versions if int(item.version) < int(version.version)]
    if not earlier:
        link.fact("before", "none: it is the first")
        return link.build()
    before = max(earlier, key=lambda item: int(item.version))
    reason = f": {version.semver_reason}" if version.semver_reason else ""
    link.fact("before", f"{before.version} -> {version.version}{reason}")
    link.fact("data before", before.tags.get("automl.data_uri"))
    return link.build()
