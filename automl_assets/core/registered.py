"""Whether what a registry holds of a version is what was registered: its report and its probe."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_assets.core.approval import digests_differ
from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import RegistryRecord, SnapshotStore
from automl_assets.core.predictor import load_predictor
from automl_assets.core.probe import Probe, predictions_sha256, probe_predictions, read_probe
from automl_assets.core.release import ReleaseEvent
from automl_assets.core.values import DataSnapshot, ModelVersion

TOLERANCE = 1e-9
"""How far predictions may be apart on another kind of processor."""

CARD = "card.json"


def registered_card(
    record: RegistryRecord, version: ModelVersion, events: Sequence[ReleaseEvent]
) -> dict[str, Any]:
    """Return the card of a version, once its digest was found the same everywhere.

    Raises:
        SnapshotError: The file is gone, or its digest is not the one that was registered.
    """
    file = None if record.report is None else record.report / CARD
    if file is None or not file.is_file():
        raise SnapshotError(
            f"A version has a report, but {version.name} {version.version} has no {CARD} at "
            f"{record.where}. Restore the registry's files."
        )
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    arrivals = (e for e in events if e.kind == "registered" and e.version == version.version)
    for expected in (version.card_sha256, *(event.card_sha256 for event in arrivals)):
        if found != expected:
            approved = [e for e in events if e.kind == "approved" and e.version == version.version]
            raise SnapshotError(
                f"The report of {version.name} {version.version} must be the one that was "
                f"registered, {expected[:12]}.., but it is now {found[:12]}... "
                + (
                    f"For approvals: {digests_differ(approved[-1].card_sha256, found)}. "
                    if approved
                    else ""
                )
                + f"Restore {CARD} at {record.where}, or register the model again."
            )
    return json.loads(content)


def check_probe(
    record: RegistryRecord,
    card: Mapping[str, Any],
    version: ModelVersion,
    *,
    store: SnapshotStore,
    cpu: str,
) -> str:
    """Predict the probe of a version again and compare.

    Args:
        record: What the registry holds; its package is verified before it is loaded.
        card: Says where the rows of the probe are.
        cpu: The processor here. On one of the kind that the version was made on, the
            predictions must be the same to the bit.

    Returns:
        What was found, for people.

    Raises:
        SnapshotError: The predictions differ, or something that is needed is gone.
    """
    if record.report is None or record.package is None or "probe_sha256" not in version.tags:
        raise SnapshotError(
            "A version is promoted after its probe was predicted again, but "
            f"{version.name} {version.version} has no probe, or its model is gone. "
            "Register it again."
        )
    probe, recorded = read_probe(record.report)
    if probe.predictions_sha256 != version.tags["probe_sha256"]:
        raise SnapshotError(
            f"The probe of {version.name} {version.version} must be the one that was registered, "
            f"{version.tags['probe_sha256'][:12]}.., but it is {probe.predictions_sha256[:12]}... "
            "Restore the files of the report."
        )
    predictor = load_predictor(record.package, sha256=version.artifact_sha256)
    found = probe_predictions(predictor, probe, _snapshot(card), store)
    if predictions_sha256(found) == probe.predictions_sha256:
        return f"{probe.n_rows:,} rows predicted identically"
    apart = _distance(probe, recorded, found)
    elsewhere = cpu != version.tags.get("env.cpu", "")
    if elsewhere and apart.largest <= TOLERANCE:
        return f"{probe.n_rows:,} rows predicted within {TOLERANCE:g}, on another processor"
    raise SnapshotError(
        f"{version.name} {version.version} must predict its probe as it did when it was "
        f"registered, but of {probe.n_rows:,} rows {apart.n_rows:,} differ, the first is row "
        f"{apart.first} of the data; the largest distance is {apart.largest:.3g}. Nothing was "
        "moved. Look for other versions of libraries: `automl reproduce` names them."
    )


@dataclass(frozen=True, kw_only=True)
class _Distance:
    n_rows: int
    first: int
    largest: float


def _distance(probe: Probe, recorded: np.ndarray, found: np.ndarray) -> _Distance:
    if found.shape != recorded.shape:
        return _Distance(n_rows=probe.n_rows, first=probe.rows[0], largest=float("inf"))
    apart = np.abs(found - recorded).reshape(probe.n_rows, -1).max(axis=1)
    differing = np.flatnonzero(apart != 0)  # what is not a number differs, too
    largest = float(np.nan_to_num(apart, nan=np.inf).max())
    return _Distance(n_rows=len(differing), first=probe.rows[int(differing[0])], largest=largest)


def _snapshot(card: Mapping[str, Any]) -> DataSnapshot:
    """Return the snapshot of a card; its statistics, which JSON cuts, are not needed."""
    profile = card["data"]["profile"]
    columns = [{**column, "quantiles": ()} for column in profile["columns"]]
    return DataSnapshot.model_validate({**card["data"], "profile": {**profile, "columns": columns}})
