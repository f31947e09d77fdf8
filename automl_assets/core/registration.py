"""From what a request made to what is registered."""

from pathlib import Path

import polars as pl

from automl_assets.core.judgement import environment
from automl_assets.core.ports import Registration, SnapshotStore
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
)

N_EXAMPLE_ROWS = 5


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
) -> Registration:
    """Gather the winner's package, report and lineage; the first training rows are its example.

    Args:
        package: Folder of the winner's model package.
        report_folder: Folder with the report and its card.
    """
    rows = read_rows(split, "train", store)[:N_EXAMPLE_ROWS]
    return Registration(
        name=accepted.request.name,
        owner=accepted.request.owner,
        request_id=accepted.request_id,
        request_sha256=accepted.request_sha256,
        request_yaml=accepted.request.to_yaml(),
        artifact_sha256=candidates.artifact_sha256,
        card_sha256=report.card_sha256,
        package=package,
        report=report_folder,
        input_example=_without_persons(
            rows_frame(snapshot, rows, snapshot.profile.features, store), snapshot
        ),
        data_uri=snapshot.uri,
        data_sha256=snapshot.content_sha256,
        params={
            "family": candidates.model_family,
            "metric": candidates.metric,
            "trials": str(len(candidates.leaderboard)),
            "seed": str(candidates.seed),
            **_member_params(candidates),
        },
        metrics={item.metric: item.value for item in report.metrics},
        tags={
            "candidate": str(candidates.winner),
            "study": candidates.study_name,
            "ledger_sha256": candidates.ledger_sha256,
            "split_commit": split.commit_id,
            "preprocessing_version": split.preprocessing_version,
            **{f"env.{key}": value for key, value in environment().items()},
        },
    )
