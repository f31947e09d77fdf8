"""The search for the best model within the budget."""

import hashlib
from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import lineage_metadata
from automl_assets.assets.search_metadata import DagitProgress, candidates_metadata
from automl_assets.core.judgement import judged_rows, judging_seconds, section_seconds
from automl_assets.core.ports import EarlierSearches, Progress, SearchRunner, SnapshotStore
from automl_assets.core.prepare import ensure_matrix, write_sample_rows
from automl_assets.core.search.budget import Stopwatch, seconds_after_search
from automl_assets.core.search.measuring import SAMPLE_ROWS
from automl_assets.core.search.plan import Addition
from automl_assets.core.search.planning import Machine, make_plan
from automl_assets.core.search.tracking import SearchTracker, tracked_search
from automl_assets.core.values import (
    AcceptedRequest,
    Candidate,
    CandidateSet,
    DataSnapshot,
    Split,
)
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings

SMALLEST_SHARE = 0.25
"""Of the time limit, what the search gets at least, however long reading took: a limit of 20 s
leaves 5 for it, since 3 and 12 go to what comes before and after."""

SUPERVISOR_SHARE = 0.05

SEARCH_CODE = version_of("candidate_models")


class SearchConfig(dg.Config):
    """What a run may say beside its request."""

    add_seconds: float = Field(
        default=0.0, ge=0.0, description="Seconds to add to a search that has ended."
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
    config: SearchConfig,
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    splits: Split,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    search_runner: dg.ResourceParam[SearchRunner],
    search_tracker: dg.ResourceParam[SearchTracker],
    earlier_searches: dg.ResourceParam[EarlierSearches],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
    stopwatch: dg.ResourceParam[Stopwatch],
) -> dg.MaterializeResult[CandidateSet]:
    """Models that competed for this request, and the one that is made of the best of them.

    Worker processes run the trials; this step supervises. Run again, it goes on:
    no finished trial is lost or repeated.
    """
    accepted, request = training_request, training_request.request
    matrix = ensure_matrix(
        accepted, data_snapshot, splits, store=snapshot_store, matrices=settings.matrices_folder
    )
    digest = hashlib.sha256(f"{splits.matrix_id}/{SEARCH_CODE}".encode()).hexdigest()
    name = f"{accepted.request_id}-{digest[:8]}"
    artifacts = settings.studies_folder / name / "candidates"
    if request.constraints is not None:
        write_sample_rows(artifacts / SAMPLE_ROWS, data_snapshot, splits, store=snapshot_store)
    plan = make_plan(
        request,
        data_snapshot.profile,
        splits,
        study_name=name,
        matrix=matrix,
        artifacts=artifacts,
        machine=_machine(settings, training_request, splits, stopwatch),
        parents=_parents(training_request, earlier_searches),
    )
    context.log.info(f"Searching {', '.join(plan.families)} in study {plan.study_name}.")
    with search_tracker.begin(tracked_search(accepted, plan)) as log:
        candidates = search_runner.run(
            plan,
            DagitProgress(context, progress).search,
            log=log,
            added=Addition(name=context.run.run_id, seconds=config.add_seconds),
        )
    return dg.MaterializeResult(
        value=candidates,
        data_version=dg.DataVersion(candidates.ledger_sha256),
        metadata={
            **candidates_metadata(candidates),
            **lineage_metadata(
                "candidate_models",
                training_request,
                digest=candidates.ledger_sha256,
                snapshot=data_snapshot,
            ),
        },
    )


def _machine(
    settings: Settings, accepted: AcceptedRequest, splits: Split, stopwatch: Stopwatch
) -> Machine:
    request, seconds = accepted.request, None
    limit = request.search.effective_time_limit
    if limit is not None:
        after = seconds_after_search(
            splits.part("analysis").n_rows,
            len(splits.feature_names),
            section_seconds=section_seconds(accepted),
        )
        if settings.search_clock == "cpu":
            # The supervisor's own time, which passes beside that of the workers otherwise.
            after += SUPERVISOR_SHARE * limit
        # A search that has no time at all would still owe its user a model.
        seconds = max(limit - stopwatch.seconds() - after, SMALLEST_SHARE * limit)
    memory = settings.memory_mb
    if request.resources.memory_mb is not None:
        memory = min(memory, request.resources.memory_mb)
    return Machine(
        max_workers=settings.max_workers,
        memory_mb=memory,
        seconds=seconds,
        judged_rows=judged_rows(accepted, splits),
        judging_seconds=judging_seconds(accepted),
        clock=settings.search_clock,
    )


def _parents(accepted: AcceptedRequest, earlier: EarlierSearches) -> Sequence[Candidate]:
    if accepted.request.parent is None:
        return ()
    found = earlier.candidates(accepted.request.parent)
    return () if found is None else [item for item in found.leaderboard if item.is_admissible]
