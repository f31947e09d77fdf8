"""The copies in the home: the values of the assets, the report and the study of a request.

They hold what the newest attempt of a request made, which may be another one than the
audited version; a copy that belongs to another attempt must be whole by itself.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_assets.core.audit.evidence import (
    CARD,
    Evidence,
    canonical_sha256,
    dig,
    parse_json,
)
from automl_assets.core.audit.registered import REPORT_TAG, compare_files, digest_of
from automl_assets.core.audit.request import ACCEPTED, Asked
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import SnapshotError
from automl_assets.core.inventory import INVENTORY, folder_digests, read_inventory
from automl_assets.core.search.replay import LEDGER_FILE, PLAN_FILE
from automl_assets.core.search.standing import ledger_sha256

_SECTIONS = {
    "data_snapshot": ("data", ("commit_id",)),
    "splits": ("split", ("commit_id",)),
    "candidate_models": ("search", ("ledger_sha256", "artifact_sha256")),
}
"""Assets whose value is on the card as well: its section, and what names the attempt."""


_CHANGING_TAGS = frozenset(
    {"semver", "semver_reason", "automl.semver_after", "automl.hidden", "automl.arrived"}
)
"""Tags that the registry may change after a version was registered."""


def values_link(evidence: Evidence, asked: Asked) -> Link:
    """Compare what is kept in the home with what was registered."""
    link = LinkBuilder("copies")
    folder = evidence.places.values
    link.fact("values", folder)
    for asset, (section, identity) in _SECTIONS.items():
        file = folder / asset / f"{evidence.request_id}.json"
        told = evidence.told(section)
        if file.is_file() and told is not None:
            _check_value(link, evidence, file, told, identity)
    _check_request_value(link, evidence, asked)
    _check_version_value(link, evidence)
    is_this = _check_report(link, evidence)
    if is_this:
        _check_study(link, evidence)
    return link.build()


def _check_value(
    link: LinkBuilder,
    evidence: Evidence,
    file: Path,
    told: Mapping[str, Any],
    identity: tuple[str, ...],
) -> None:
    """Check one value: it is that on the card, or that of another attempt, which is there."""
    value = _without_nan(parse_json(file.read_bytes()))
    what = f"value of {file.parent.name}"
    expected = canonical_sha256(told)
    same = all(dig(value, key) == told.get(key) for key in identity)
    if not same and _is_other_attempt(evidence, file.parent.name, value):
        link.note(f"{what[0].upper()}{what[1:]} is that of another attempt of the request.")
        return
    place = difference(told, value)
    link.digest(
        what,
        str(file),
        expected=expected,
        found=canonical_sha256(value),
        detail=f"They differ at {place}." if place else "",
    )


def _is_other_attempt(evidence: Evidence, asset: str, value: Any) -> bool:
    """Tell whether what a value names is there, and so was made by another attempt."""
    if asset == "candidate_models":
        ledger = evidence.places.studies / Path(str(dig(value, "study_name"))).name / LEDGER_FILE
        entries = parse_json(ledger.read_bytes()) if ledger.is_file() else None
        return isinstance(entries, list) and ledger_sha256(entries) == dig(value, "ledger_sha256")
    store = evidence.places.store
    try:
        commit = store.resolve(str(dig(value, "repository")), str(dig(value, "commit_id")))
    except SnapshotError:
        return False
    return asset == "splits" or commit.content_sha256 == dig(value, "content_sha256")


def _check_request_value(link: LinkBuilder, evidence: Evidence, asked: Asked) -> None:
    file = evidence.places.values / "training_request" / f"{evidence.request_id}.json"
    accepted = asked.files.get(ACCEPTED)
    if accepted is None or not file.is_file():
        return
    value, told = parse_json(file.read_bytes()), parse_json(accepted)
    place = difference(told, value)
    link.digest(
        "value of training_request",
        str(file),
        expected=canonical_sha256(told),
        found=canonical_sha256(value),
        detail=f"They differ at {place}." if place else "",
    )


def _check_version_value(link: LinkBuilder, evidence: Evidence) -> None:
    file = evidence.places.values / "registered_model" / f"{evidence.request_id}.json"
    if not file.is_file():
        return
    value = parse_json(file.read_bytes())
    number = str(dig(value, "version"))
    known = next((item for item in evidence.versions if item.version == number), None)
    # What the value names must be in the registry, also if it is another attempt's version.
    for key in ("name", "version", "mlflow_run_id", "artifact_sha256", "card_sha256"):
        expected = getattr(known or evidence.version, key)
        link.record(
            f"{key} in the value of registered_model",
            str(file),
            expected=expected,
            found=dig(value, key),
        )
    tags = (known or evidence.version).tags
    for key, text in sorted((dig(value, "tags") or {}).items()):
        if key not in _CHANGING_TAGS:
            link.record(
                f"tag {key} in the value of registered_model",
                str(file),
                expected=tags.get(key, ""),
                found=text,
            )


def _check_report(link: LinkBuilder, evidence: Evidence) -> bool:
    """Check the report in the home; return whether it is that of the audited version."""
    folder = evidence.places.reports / (Path(evidence.request_id).name or "unknown")
    file = folder / CARD
    found = digest_of(file)
    if found is None:
        link.note(f"There is no copy of the report in {folder}.")
        return False
    expected = evidence.version.card_sha256
    value = evidence.places.values / "evaluation_report" / f"{evidence.request_id}.json"
    told = dig(parse_json(value.read_bytes()), "card_sha256") if value.is_file() else None
    if told is not None and told != expected and told == found:
        link.note(f"The report in {folder} is that of another attempt of the request.")
        return False
    if told is not None:
        link.record(
            "card in the value of evaluation_report", str(value), expected=expected, found=told
        )
    link.digest(CARD, str(file), expected=expected, found=found)
    if evidence.record.report is None:
        link.note(f"Of the copy of the report in {folder} only the card could be verified.")
    else:
        compare_files(link, folder, _registered_files(evidence), skip={CARD, INVENTORY})
    return True


def _registered_files(evidence: Evidence) -> Mapping[str, str]:
    """Return the digests of the report's files as they were registered.

    Without an inventory that is as it was, they are those of the files as they are.
    """
    report = evidence.record.report
    if report is None:
        return {}
    inventory = report / INVENTORY
    if evidence.tag(REPORT_TAG) and digest_of(inventory) == evidence.tag(REPORT_TAG):
        return read_inventory(inventory.read_bytes())
    return folder_digests(report)


def _check_study(link: LinkBuilder, evidence: Evidence) -> None:
    """Check the plan and the ledger that the search left against those that were registered."""
    study = Path(str(evidence.told("search", "study_name"))).name
    files = _registered_files(evidence)
    for name in (PLAN_FILE, LEDGER_FILE):
        registered = files.get(name)
        file = evidence.places.studies / study / name
        if registered is not None and file.is_file():
            link.digest(name, str(file), expected=registered, found=digest_of(file))


def difference(left: Any, right: Any, path: str = "") -> str | None:
    """Return where two JSON contents first differ, as dotted keys; None if they do not.

    Values are not told: they may be personal data.

    Examples:
        >>> difference({"a": [1, 2]}, {"a": [1, 3]})
        'a.1'
    """
    pairs = _pairs(left, right)
    if pairs is None:
        # Python takes 1 for True; JSON does not.
        same = type(left) is type(right) and left == right
        return None if same else path or "the top"
    for key, one, other in pairs:
        found = difference(one, other, f"{path}.{key}" if path else str(key))
        if found is not None:
            return found
    return None


_ABSENT = object()


def _pairs(left: Any, right: Any) -> list[tuple[Any, Any, Any]] | None:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = [*left, *(key for key in right if key not in left)]
        return [(key, left.get(key, _ABSENT), right.get(key, _ABSENT)) for key in keys]
    if isinstance(left, list) and isinstance(right, list):
        size = max(len(left), len(right))
        padded = [[*items, *([_ABSENT] * (size - len(items)))] for items in (left, right)]
        return [(i, padded[0][i], padded[1][i]) for i in range(size)]
    return None


def _without_nan(value: Any) -> Any:
    """Cards have null where a value has a number that JSON lacks."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
