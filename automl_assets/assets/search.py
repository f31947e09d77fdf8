"""The search for the best model within the budget."""

import hashlib

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import candidates_metadata
from automl_assets.core.ports import Progress, SearchRunner, SnapshotStore
from automl_assets.core.prepare import ensure_matrix
from automl_assets.core.search.plan import make_plan
from automl_assets.core.values import AcceptedRequest, CandidateSet, DataSnapshot, Split
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings

SEARCH_CODE = version_of("candidate_models")


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
    return dg.MaterializeResult(
        value=candidates,
        data_version=dg.DataVersion(candidates.ledger_sha256),
        metadata=candidates_metadata(candidates),
    )
