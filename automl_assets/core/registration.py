"""From what a request made to what is registered."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from automl_assets.core.inventory import write_inventory
from automl_assets.core.ports import Registration, SnapshotStore
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.probe import make_probe, write_probe
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.release import CHALLENGER, ReleaseEvent
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    ModelVersion,
    Split,
)
from automl_assets.core.versioning import VersionFacts

N_EXAMPLE_ROWS = 5

_ORIGIN_TAGS = ("git_commit", "git_state", "lock_sha256", "image")
"""What people search versions by; the rest of the origin is tagged as `env.…`."""


def _without_persons(rows: pl.DataFrame, snapshot: DataSnapshot) -> pl.DataFrame:
    """Return rows with personal data left empty: an example is shown to everybody."""
    hidden = personal_columns(snapshot.profile) & set(rows.columns)
    return rows.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in sorted(hidden))


def _member_params(candidates: CandidateSet) -> dict[str, str]:
    """Return hyperparameters as MLflow shows them; of an ensemble those of each member."""
    if len(candidates.members) < 2:
        best = candidates.best
        return {f"{best.family}.{key}": str(value) for key, value in best.params.items()}
    return {
        f"member_{item.number}.{item.family}.{key}": str(value)
        for item in candidates.members
        for key, value in {"weight": f"{item.weight:.4g}", **item.params}.items()
    }


def registered_params(candidates: CandidateSet) -> dict[str, str]:
    """Return what the registry shows of how a model was made."""
    return {
        "family": candidates.model_family,
        "metric": candidates.metric,
        "trials": str(len(candidates.leaderboard)),
        "seed": str(candidates.seed),
        **_member_params(candidates),
    }


def version_facts(
    predictor: Predictor, snapshot: DataSnapshot, candidates: CandidateSet
) -> VersionFacts:
    """Return what the next version of a name is compared with."""
    manifest = predictor.manifest
    sets = [member.features for member in candidates.members] or [candidates.best.features]
    decision = ""
    if manifest.classes:
        decision = "the most probable class"
        if manifest.threshold is not None:
            decision = f"a threshold on the probability of {manifest.classes[-1]!r}"
    return VersionFacts(
        columns={column.name: column.dtype for column in predictor.columns},
        target=manifest.target,
        task_type=manifest.task_type,
        classes=manifest.classes,
        decision=decision,
        data_commit=snapshot.commit_id,
        data_sha256=snapshot.content_sha256,
        features=predictor.preprocessing.feature_names,
        feature_sets=tuple(sorted(set(sets))),
        family=", ".join(sorted(manifest.families)),
        calibration=manifest.calibration or "none",
    )


def _tags(
    request: TrainingRequest,
    split: Split,
    candidates: CandidateSet,
    report: EvaluationReport,
    origin: Mapping[str, str],
) -> dict[str, str]:
    approval = request.approval
    asked = {}
    if approval is not None:
        asked["approval"] = f"{', '.join(approval.required)}, before {approval.before}"
    return {
        "candidate": str(candidates.winner),
        "study": candidates.study_name,
        "ledger_sha256": candidates.ledger_sha256,
        "split_commit": split.commit_id,
        "preprocessing_version": split.preprocessing_version,
        "verdict": " ".join(report.verdict),
        **asked,
        **{key: origin[key] for key in _ORIGIN_TAGS if key in origin},
        **{f"env.{key}": value for key, value in origin.items() if key not in _ORIGIN_TAGS},
    }


def arrival(version: ModelVersion, accepted: AcceptedRequest, *, at: str) -> ReleaseEvent:
    """Return the event that a version was registered; the log keeps the first of a version.

    Args:
        at: UTC, ISO 8601.
    """
    return ReleaseEvent(
        kind="registered",
        name=version.name,
        version=version.version,
        semver=version.semver,
        alias=_arrival_alias(accepted.request) or "",
        by=accepted.request.owner,
        at=at,
        reason=version.semver_reason,
        card_sha256=version.card_sha256,
        key=f"registered {version.version}",
    )


def _arrival_alias(request: TrainingRequest) -> str | None:
    waits = request.approval is not None and request.approval.before != "champion"
    return None if waits else CHALLENGER


def make_registration(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    report: EvaluationReport,
    *,
    store: SnapshotStore,
    package: Path,
    report_folder: Path,
    origin: Mapping[str, str],
) -> Registration:
    """Gather the winner's package, report and lineage, and write its probe beside the report.

    The first training rows are its example.

    Args:
        package: Folder of the winner's model package.
        report_folder: Folder with the report and its card.
        origin: The code and the environment that made the model, by name.

    Raises:
        SnapshotError: The package or the data changed since they were written.
    """
    request = accepted.request
    predictor = load_predictor(package, sha256=candidates.artifact_sha256)
    probe, predictions = make_probe(predictor, snapshot, split, store=store, seed=request.seed)
    write_probe(report_folder, probe, predictions)
    rows = read_rows(split, "train", store)[:N_EXAMPLE_ROWS]
    example = rows_frame(snapshot, rows, snapshot.profile.features, store)
    return Registration(
        name=request.name,
        owner=request.owner,
        request_id=accepted.request_id,
        request_sha256=accepted.request_sha256,
        request_yaml=request.to_yaml(),
        artifact_sha256=candidates.artifact_sha256,
        card_sha256=report.card_sha256,
        package=package,
        report=report_folder,
        input_example=_without_persons(example, snapshot),
        data_uri=snapshot.uri,
        data_sha256=snapshot.content_sha256,
        params=registered_params(candidates),
        metrics={item.metric: item.value for item in report.metrics},
        tags={
            **_tags(request, split, candidates, report, origin),
            "data_commit": snapshot.commit_id,
            "probe_sha256": probe.predictions_sha256,
            # Last: the probe is in the folder by now.
            "automl.report_sha256": write_inventory(report_folder),
        },
        facts=version_facts(predictor, snapshot, candidates),
        bump=request.version.bump if request.version else "auto",
        alias=_arrival_alias(request),
        is_hidden=request.approval is not None and request.approval.before == "register",
    )
