"""The links about what became of the version: approvals, and what came before it."""

from collections.abc import Sequence

from automl_assets.core.audit.evidence import CARD, Evidence, dig
from automl_assets.core.audit.registered import digest_of
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import SnapshotError
from automl_assets.core.release import ReleaseEvent


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
    return link.build()


def _check_chain(link: LinkBuilder, events: Sequence[ReleaseEvent], where: str) -> None:
    """Check for each event that it names the digest of the one before it."""
    previous = ""
    for number, event in enumerate(events, start=1):
        place = f"{where}, event {number}"
        link.record("number of the event", place, expected=number, found=event.number)
        if number > 1:
            link.digest("event before", place, expected=event.previous_sha256, found=previous)
        previous = event.sha256


def _check_events(
    link: LinkBuilder, evidence: Evidence, ours: Sequence[ReleaseEvent], where: str
) -> None:
    """Check that what was registered and approved is the card that is there now."""
    report = evidence.record.report
    card = None if report is None else digest_of(report / CARD)
    for event in ours:
        link.fact(event.kind.replace("_", " "), _told(event))
        if event.kind in ("registered", "approved", "promoted") and event.card_sha256:
            what = f"card that was {event.kind}"
            place = f"{where}, event {event.number}"
            link.digest(what, place, expected=event.card_sha256, found=card)
        if event.kind == "approved" and event.by == evidence.tag("automl.owner"):
            link.fail(
                "approval",
                f"{where}, event {event.number}",
                outcome="altered",
                expected="somebody else than the owner",
                found=event.by,
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
