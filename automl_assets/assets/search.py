"""The search for the best model within the budget."""

import base64
import hashlib

import dagster as dg

from automl_assets.core.code_version import code_version
from automl_assets.core.ports import Progress, SearchRunner, SnapshotStore
from automl_assets.core.prepare import ensure_matrix
from automl_assets.core.search.history import history_png
from automl_assets.core.search.plan import make_plan
from automl_assets.core.values import AcceptedRequest, CandidateSet, DataSnapshot, Split
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings

SEARCH_CODE = code_version(
    "automl_assets.core.search", "automl_assets.core.families", "automl_assets.core.metrics"
)


@dg.asset(
    partitions_def=training_requests,
    group_name="search",
    kinds={"optuna"},
    owners=["team:automl"],
    code_version=SEARCH_CODE,
)
def candidate_models(
    context: dg.AssetExecutionContext,
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    splits: Split,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    search_runner: dg.ResourceParam[SearchRunner],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[CandidateSet]:
    """Models that competed for this request, ordered by their score on the validation part.

    Worker processes run the trials; this step supervises. Run again, it goes on:
    no finished trial is lost or repeated.
    """
    matrix = ensure_matrix(
        training_request,
        data_snapshot,
        splits,
        store=snapshot_store,
        matrices=settings.matrices_folder,
    )
    digest = hashlib.sha256(f"{splits.matrix_id}/{SEARCH_CODE}".encode()).hexdigest()
    name = f"{training_request.request_id}-{digest[:8]}"
    plan = make_plan(
        training_request.request,
        data_snapshot.profile,
        study_name=name,
        matrix=str(matrix),
        artifacts=str(settings.studies_folder / name / "candidates"),
        max_workers=settings.max_workers,
    )
    context.log.info(f"Searching {', '.join(plan.families)} in study {plan.study_name}.")
    candidates = search_runner.run(plan, progress.search)
    best = candidates.best
    image = base64.b64encode(history_png(candidates)).decode()
    return dg.MaterializeResult(
        value=candidates,
        data_version=dg.DataVersion(f"{candidates.ledger_sha256}"),
        metadata={
            "best": f"trial {best.number}, {best.family}, {plan.metric} {best.score:.6g} "
            "on the validation part",
            "trials": len(candidates.leaderboard),
            "failed": sum(item.state == "failed" for item in candidates.leaderboard),
            "stopped_by": candidates.stopped_by,
            "seconds": candidates.seconds,
            "study": candidates.study_name,
            "ledger_sha256": candidates.ledger_sha256,
            "history": dg.MetadataValue.md(f"![score by trial](data:image/png;base64,{image})"),
            "leaderboard": _leaderboard(candidates),
        },
    )


def _leaderboard(candidates: CandidateSet) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "trial": item.number,
                    "family": item.family,
                    candidates.metric: "" if item.score is None else f"{item.score:.6g}",
                    "cpu_seconds": f"{item.cpu_seconds or 0:.1f}",
                    "size_kB": f"{(item.model_bytes or 0) / 1000:.0f}",
                    "why not": item.reason,
                    "params": ", ".join(f"{k}={v}" for k, v in item.params.items()),
                }
            )
            for item in candidates.leaderboard[:50]
        ]
    )
