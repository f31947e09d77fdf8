"""The links about the request: what was asked for, and who asked."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from automl_assets.core.audit.evidence import Evidence, canonical_sha256, sha256
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.inventory import INVENTORY, read_inventory
from automl_assets.core.request.file import parse_request
from automl_assets.core.values import AcceptedRequest

ACCEPTED, TEXT, SOURCE = "accepted.json", "request.yaml", "source.txt"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The files of an accepted request as they are now, and what can be read of them.

    Attributes:
        files: By name; empty where there are none.
        accepted: None where it cannot be read.
    """

    files: Mapping[str, bytes]
    accepted: AcceptedRequest | None


def read_asked(evidence: Evidence) -> Asked:
    """Read the files of the accepted request of a version."""
    try:
        files = evidence.places.requests.files(evidence.request_id)
    except (RequestError, OSError):
        return Asked(files={}, accepted=None)
    try:
        accepted = AcceptedRequest.model_validate_json(files.get(ACCEPTED, b""))
    except ValidationError:
        accepted = None
    return Asked(files=files, accepted=accepted)


def request_link(evidence: Evidence, asked: Asked) -> Link:
    """Hash the files of the accepted request again, and compute the request's own digest."""
    link = LinkBuilder("request")
    expected = evidence.tag("automl.request_sha256")
    link.fact("request", evidence.request_id)
    link.fact("canonical JSON", f"sha256 {expected}")
    where = f"accepted request {evidence.request_id}"
    if not asked.files:
        link.digest("files of the request", where, expected=expected, found=None)
        return link.build()
    intact = _check_files(link, asked, where)
    _check_accepted(link, asked, expected, where)
    _check_text(link, asked, expected, where, is_intact=TEXT in intact)
    _check_copies(link, evidence, expected)
    if asked.accepted is not None:
        link.fact("accepted", asked.accepted.accepted_at)
        told = evidence.told("identity", "accepted_at")
        if told is not None:
            link.record(
                "time of acceptance", where, expected=told, found=asked.accepted.accepted_at
            )
    link.fact("came by", asked.files.get(SOURCE, b"").decode("utf-8", "replace").strip())
    return link.build()


def _check_files(link: LinkBuilder, asked: Asked, where: str) -> set[str]:
    """Check the files against their inventory; return the names of those that are as they were."""
    content = asked.files.get(INVENTORY)
    if content is None:
        link.note(
            "The request was accepted before digests of its files were kept: of request.yaml only "
            "the meaning is verified, by the request's canonical digest."
        )
        return set()
    try:
        expected = read_inventory(content)
    except SnapshotError as error:
        link.fail(INVENTORY, f"{where}, {INVENTORY}", outcome="altered", detail=str(error))
        return set()
    intact = set()
    for name in sorted({*expected, *asked.files} - {INVENTORY}):
        found = sha256(asked.files[name]) if name in asked.files else None
        if link.digest(name, f"{where}, {name}", expected=expected.get(name, ""), found=found):
            intact.add(name)
    return intact


def _check_accepted(link: LinkBuilder, asked: Asked, expected: str, where: str) -> None:
    place = f"{where}, {ACCEPTED}"
    if asked.accepted is None:
        if ACCEPTED in asked.files:
            detail = "It cannot be read as an accepted request."
            link.fail(ACCEPTED, place, outcome="altered", expected=expected, detail=detail)
        return
    request = asked.accepted.request
    link.digest("digest of the request", place, expected=expected, found=request.sha256)
    told = asked.accepted.request_sha256
    link.record("recorded digest of the request", place, expected=expected, found=told)
    name = request.request_id
    link.record("request id", place, expected=asked.accepted.request_id, found=name)


def _check_text(
    link: LinkBuilder, asked: Asked, expected: str, where: str, *, is_intact: bool
) -> None:
    """Read the file as it was written once more: it must mean what was accepted."""
    if TEXT not in asked.files:
        return
    try:
        found = parse_request(asked.files[TEXT], filename=TEXT).sha256
    except RequestError as error:
        if is_intact:
            link.note(f"{TEXT} is as it was, but this version refuses it: {error}")
            return
        found = f"no request: {str(error).splitlines()[0]}"
    link.digest("meaning of request.yaml", f"{where}, {TEXT}", expected=expected, found=found)


def _check_copies(link: LinkBuilder, evidence: Evidence, expected: str) -> None:
    """Check the copies of the request on the card and in the registry."""
    told = evidence.told("request")
    if told is not None:
        link.digest(
            "request on the card",
            "request in card.json",
            expected=expected,
            found=canonical_sha256(told),
        )
    text = evidence.told("request_yaml")
    if isinstance(text, str):
        content = evidence.record.request_yaml
        link.digest(
            "registered request.yaml",
            f"{evidence.record.where}/request.yaml",
            expected=sha256(text.encode()),
            found=None if content is None else sha256(content),
        )


def owner_link(evidence: Evidence, asked: Asked) -> Link:
    """Compare who asked, as the request, the registry and the card have it."""
    link, owner = LinkBuilder("owner"), evidence.tag("automl.owner")
    link.fact("owner", owner)
    link.fact("purpose", evidence.told("identity", "purpose"))
    if asked.accepted is not None:
        where = f"accepted request {evidence.request_id}"
        link.record("owner", where, expected=owner, found=asked.accepted.request.owner)
    told = evidence.told("identity", "owner")
    if told is not None:
        link.record("owner", "identity in card.json", expected=owner, found=told)
    return link.build()
