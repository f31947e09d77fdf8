"""Who must agree before a model is used, and whether they have.

An approval is bound to the bytes of a report's card. It counts only while these are
the registered ones, until it expires, and never if the owner of the request gave it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from automl_assets.core.errors import RequestError
from automl_assets.core.release import CHAMPION, ReleaseEvent
from automl_assets.core.request.release import Approval
from automl_assets.core.values import ModelVersion, Value

MIN_DIGEST_DIGITS = 8


class ApprovalPolicy(Value):
    """What a request asks for, by its card."""

    owner: str
    approval: Approval | None

    def gates(self, alias: str) -> bool:
        """Whether an approval is needed before a version gets an alias."""
        if self.approval is None:
            return False
        return alias == CHAMPION or self.approval.before != CHAMPION


def policy_of(card: Mapping[str, Any]) -> ApprovalPolicy:
    """Return the policy that a card holds with its request."""
    asked = card["request"].get("approval")
    return ApprovalPolicy(
        owner=card["identity"]["owner"],
        approval=None if asked is None else Approval.model_validate(asked),
    )


def missing_approvals(
    policy: ApprovalPolicy, events: Iterable[ReleaseEvent], version: ModelVersion, *, now: datetime
) -> tuple[str, ...]:
    """Return a phrase for each required group or person whose approval does not count.

    Args:
        events: Of the model.
        version: Its card's digest is the one that must have been approved.
        now: With a time zone.
    """
    if policy.approval is None:
        return ()
    given = [e for e in events if e.kind == "approved" and e.version == version.version]
    missing: list[str] = []
    for required in policy.approval.required:
        ours = [event for event in given if event.on_behalf_of == required]
        wrong = [_why_void(event, policy, version, now) for event in ours]
        if not ours:
            missing.append(f"{required!r} has not approved it")
        elif all(wrong):
            missing.append(f"{required!r}: {wrong[-1]}")
    return tuple(missing)


def _why_void(
    event: ReleaseEvent, policy: ApprovalPolicy, version: ModelVersion, now: datetime
) -> str:
    """Return why an approval does not count; empty if it does."""
    if event.card_sha256 != version.card_sha256:
        return digests_differ(event.card_sha256, version.card_sha256)
    if is_owner(event.by, policy):
        return f"{event.by!r}, who approved, owns the request"
    seconds = policy.approval.expires if policy.approval else None
    if seconds is not None:
        end = datetime.fromisoformat(event.at) + timedelta(seconds=seconds)
        if now >= end:
            return f"{event.by!r} approved, but that expired {end.isoformat(timespec='minutes')}"
    return ""


def digests_differ(approved: str, found: str) -> str:
    """Say that the report changed after it was approved.

    Examples:
        >>> digests_differ("7be0" + 60 * "0", "91d2" + 60 * "0")
        'digest 7be000000000.. was approved, the report is now 91d200000000..'
    """
    return f"digest {approved[:12]}.. was approved, the report is now {found[:12]}.."


def is_owner(user: str, policy: ApprovalPolicy) -> bool:
    """Whether a user owns the request, however the name is spelt."""
    return user.casefold() == policy.owner.casefold()


def check_approver(
    policy: ApprovalPolicy, by: str, on_behalf_of: str, groups: Mapping[str, Sequence[str]]
) -> None:
    """Check that somebody may approve as a group or person of the request.

    Args:
        by: Who it is.
        on_behalf_of: The group or person of `approval.required`.
        groups: Members of the groups that the operator has listed; none: everybody is trusted.

    Raises:
        RequestError: It is the owner, or not one of those asked, or no member.
    """
    if is_owner(by, policy) or is_owner(on_behalf_of, policy):
        raise RequestError(
            "Nobody approves a model of their own. "
            f"{policy.owner!r} owns this request. Ask somebody else."
        )
    required = policy.approval.required if policy.approval else ()
    if required and on_behalf_of not in required:
        raise RequestError(
            "An approval is given as one of those that the request names, "
            f"{', '.join(map(repr, required))}, but found {on_behalf_of!r}. Say it with --as."
        )
    if groups and on_behalf_of != by and by not in groups.get(on_behalf_of, ()):
        raise RequestError(
            "A group's approval is given by one of its members. "
            f"{by!r} is no member of {on_behalf_of!r}. Ask one, or the operator (AUTOML_GROUPS)."
        )


def check_digest(digest: str, version: ModelVersion) -> None:
    """Check that the report that was read is the one that is registered.

    Args:
        digest: The first digits of a card's digest, at least eight; dots at its end are ignored.

    Raises:
        RequestError: It is another one, or too short.
    """
    given = digest.rstrip(".…").lower()
    if len(given) < MIN_DIGEST_DIGITS:
        raise RequestError(
            f"A digest is given with {MIN_DIGEST_DIGITS} digits or more, but found {digest!r}. "
            "Copy it from the report that you read."
        )
    if not version.card_sha256.startswith(given):
        raise RequestError(
            "An approval is for the report that is registered: "
            f"{digests_differ(given, version.card_sha256)}. Read that report, and approve its "
            "digest."
        )
