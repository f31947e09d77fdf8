"""What a registered version says about how it was made, and whether all of it agrees."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.inventory import INVENTORY, read_inventory
from automl_assets.core.probe import PROBE, PROBE_PREDICTIONS, Probe, predictions_sha256
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import LEDGER_FILE, PLAN_FILE, Entry
from automl_assets.core.search.standing import ledger_sha256
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    MetricEstimate,
    ModelVersion,
    Split,
)

CARD = "card.json"

_FILES = (CARD, PLAN_FILE, LEDGER_FILE, PROBE, PROBE_PREDICTIONS)

_ORIGIN = "env."
_ORIGIN_TAGS = ("git_commit", "git_state", "lock_sha256", "image")
"""Tags of a version that tell of its origin, beside those under `env.`."""

_INVENTORY_TAG = "automl.report_sha256"

N_NAMED = 5
"""Differences of the ledger that are told one by one."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """All that is needed to make a registered version again, but the data.

    Attributes:
        entries: The ledger.
        predictions: Of the probe rows.
        metrics: Of the analysis part, as the card has them.
        environment: What card and tags say the numbers depend on.
        files: Digest of each of our files as it is now; of the inventory, too, if there is one.
        inventory: Digest of each file as it was registered; empty where nobody wrote it down.
    """

    version: ModelVersion
    accepted: AcceptedRequest
    snapshot: DataSnapshot
    split: Split
    candidates: CandidateSet
    plan: SearchPlan
    entries: list[dict[str, Any]]
    probe: Probe
    predictions: np.ndarray
    metrics: tuple[MetricEstimate, ...]
    environment: dict[str, str]
    card: Mapping[str, Any]
    files: Mapping[str, str]
    inventory: Mapping[str, str]

    @property
    def title(self) -> str:
        """The version as people name it."""
        return f"{self.version.name}@{self.version.version}"


def read_records(folder: Path, version: ModelVersion) -> Records:
    """Read what was registered with a version; nothing is compared yet.

    Args:
        folder: The report as it was registered.

    Raises:
        SnapshotError: A file is missing, or is not what this code reads.
    """
    title = f"{version.name}@{version.version}"
    inventoried = (INVENTORY,) if _INVENTORY_TAG in version.tags else ()
    for name in (*_FILES, *inventoried):
        if not (folder / name).exists():
            raise SnapshotError(
                f"A version is made again from what was registered with it, but with {title} no "
                f"{name} was, or it was deleted. Restore it in the registry, under report/; if "
                "there never was one, the model can only be trained anew."
            )
    try:
        return _records(folder, version, (*_FILES, *inventoried))
    except (ValueError, KeyError, TypeError, OSError) as error:
        what = " ".join(str(error).split())[:300]
        raise SnapshotError(
            f"The records of {title} must have the form that this code writes, but one has not: "
            f"{what}. Restore the files under report/ in the registry, or reproduce the version "
            "with the code that made it."
        ) from error


def _records(folder: Path, version: ModelVersion, names: tuple[str, ...]) -> Records:
    card = json.loads((folder / CARD).read_bytes())
    identity = card["identity"]
    inventoried = INVENTORY in names
    return Records(
        version=version,
        accepted=AcceptedRequest(
            request_id=identity["request_id"],
            request_sha256=identity["request_sha256"],
            accepted_at=identity["accepted_at"],
            request=TrainingRequest.model_validate(card["request"]),
        ),
        snapshot=_snapshot(card["data"]),
        split=Split.model_validate(card["split"]),
        candidates=recorded_candidates(card["search"]),
        plan=SearchPlan.model_validate_json((folder / PLAN_FILE).read_bytes()),
        entries=json.loads((folder / LEDGER_FILE).read_bytes()),
        probe=Probe.model_validate_json((folder / PROBE).read_bytes()),
        predictions=np.load(folder / PROBE_PREDICTIONS, allow_pickle=False),
        metrics=_METRICS.validate_python(card["evaluation"]["metrics"]),
        environment=_environment(card, version.tags),
        card=card,
        files={name: sha256_file(folder / name) for name in names},
        inventory=read_inventory((folder / INVENTORY).read_bytes()) if inventoried else {},
    )


_METRICS = TypeAdapter(tuple[MetricEstimate, ...])


# A card has null where a number was not finite. What may hold such is not needed here.


def _snapshot(data: Mapping[str, Any]) -> DataSnapshot:
    profile = data["profile"]
    columns = [{**column, "quantiles": ()} for column in profile["columns"]]
    return DataSnapshot.model_validate({**data, "profile": {**profile, "columns": columns}})


def recorded_candidates(search: Mapping[str, Any]) -> CandidateSet:
    """Return what the search found, as a card has it, but for what was measured."""
    unused: dict[str, Any] = {"curve": (), "measured": {}, "violated": {}}
    leaderboard = [{**item, **unused} for item in search["leaderboard"]]
    changes = {"leaderboard": leaderboard, "measured": {}, "board": None}
    return CandidateSet.model_validate({**search, **changes})


def _environment(card: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
    told = {key: str(value) for key, value in card["environment"].items()}
    told |= {key.removeprefix(_ORIGIN): tags[key] for key in tags if key.startswith(_ORIGIN)}
    return told | {key: tags[key] for key in _ORIGIN_TAGS if key in tags}


def record_differences(records: Records) -> tuple[int, tuple[str, ...]]:
    """Compare all digests of the records, and what two of them say of the same thing.

    Returns:
        How many comparisons there were, and a sentence for each that failed.
    """
    compared = [*_digests(records), *_plan_facts(records)]
    told = [
        f"{what}: {_short(recorded)} was recorded, here it is {_short(found)}."
        for what, recorded, found in compared
        if recorded != found
    ]
    if records.candidates.ledger_sha256 != ledger_sha256(records.entries):
        told += _ledger_differences(records)
    return len(compared), tuple(told)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else repr(value)


def _digests(records: Records) -> Iterator[tuple[str, object, object]]:
    version, card, found = records.version, records.card, records.candidates
    identity = card["identity"]
    canonical = json.dumps(
        card["request"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    if records.inventory:
        yield "digest of files.json", version.tags[_INVENTORY_TAG], records.files[INVENTORY]
        for name in _FILES:
            yield f"digest of {name}", records.inventory.get(name, "none"), records.files[name]
    yield f"digest of {CARD} in the tags", version.card_sha256, records.files[CARD]
    yield "digest of the model", version.artifact_sha256, found.artifact_sha256
    yield (
        "digest of the request",
        records.accepted.request_sha256,
        hashlib.sha256(canonical.encode()).hexdigest(),
    )
    yield "digest of the trials in ledger.json", found.ledger_sha256, ledger_sha256(records.entries)
    yield (
        "digest of the predictions in probe.npy",
        records.probe.predictions_sha256,
        predictions_sha256(records.predictions),
    )
    yield "rows of probe.npy", records.probe.n_rows, len(records.predictions)
    for tag, of_card in (
        ("automl.request_sha256", identity["request_sha256"]),
        ("automl.data_sha256", records.snapshot.content_sha256),
        ("automl.data_uri", records.snapshot.uri),
        ("split_commit", records.split.commit_id),
        ("ledger_sha256", found.ledger_sha256),
        ("probe_sha256", records.probe.predictions_sha256),
    ):
        if tag in version.tags:
            yield f"tag {tag}", version.tags[tag], of_card


def _plan_facts(records: Records) -> Iterator[tuple[str, object, object]]:
    """Yield what the plan repeats of the card: the plan has no digest of its own there."""
    plan, found = records.plan, records.candidates
    request, profile = records.accepted.request, records.snapshot.profile
    told: dict[str, object] = {
        "study_name": found.study_name,
        "metric": found.metric,
        "direction": found.direction,
        "seed": request.seed,
        "target": request.data.target,
        "task_type": profile.task_type,
        "classes": profile.classes,
        "calibration": request.model.calibration,
        "cost": request.task.cost,
        "constraints": request.constraints,
        "sampler": request.search.sampler,
    }
    for name, expected in told.items():
        yield f"{name} in plan.json", expected, getattr(plan, name)
    for name in ("max_depth", "max_leaves", "max_trees"):
        yield f"{name} in plan.json", getattr(request.model, name), getattr(plan.structure, name)
    selection = f"out of {plan.n_fits} folds" if plan.n_fits > 1 else "validation part"
    yield "n_fits in plan.json", found.selection, selection


def _ledger_differences(records: Records) -> list[str]:
    """Return where the ledger and the leaderboard of the card part, as far as both tell it."""
    told = []
    by_number = {int(entry["number"]): entry for entry in records.entries}
    for candidate in sorted(records.candidates.leaderboard, key=lambda item: item.number):
        entry = by_number.get(candidate.number)
        if entry is None:
            told.append(f"Trial {candidate.number} of the card is not in the ledger.")
            continue
        recorded = {
            "seed": candidate.seed,
            "features": candidate.features,
            "family": candidate.family,
            **{f"params.{name}": value for name, value in candidate.params.items()},
            "score": candidate.score,
        }
        now = _told_by(entry)
        told += [
            f"{name} of trial {candidate.number}: {recorded.get(name)!r} in the card, "
            f"{now.get(name)!r} in the ledger."
            for name in dict.fromkeys((*recorded, *now))
            if now and recorded.get(name) != now.get(name)
        ]
    return told[:N_NAMED]


def _told_by(entry: Entry) -> dict[str, Any]:
    job, result = entry.get("job"), entry.get("result")
    if not job or not result:
        return {}
    return {
        **{name: job.get(name) for name in ("seed", "features", "family")},
        **{f"params.{name}": value for name, value in job.get("params", {}).items()},
        "score": result.get("score"),
    }
