"""The winner, judged once on rows that no one has seen."""

import time

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import lineage_metadata, report_metadata
from automl_assets.core.comparing.incumbent import find_incumbent
from automl_assets.core.judgement import Places, judge_winner
from automl_assets.core.ports import ModelRegistry, Progress, SnapshotStore
from automl_assets.core.prepare import ensure_matrix
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
)
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings


@dg.asset(
    partitions_def=training_requests,
    group_name="evaluation",
    kinds={"html"},
    owners=["team:automl"],
    code_version=version_of("evaluation_report"),
)
def evaluation_report(
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    splits: Split,
    candidate_models: CandidateSet,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    model_registry: dg.ResourceParam[ModelRegistry],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[EvaluationReport]:
    """How good the winner is on the analysis part, with intervals, beside no model and champion.

    The analysis part is opened here once for each set of candidates, and each opening is
    counted. Predictions go the way that serving goes: raw rows through the saved model.
    """
    folder = settings.reports_folder / training_request.request_id
    report = judge_winner(
        training_request,
        data_snapshot,
        splits,
        candidate_models,
        store=snapshot_store,
        places=Places(
            package=settings.studies_folder / candidate_models.artifact,
            study=settings.studies_folder / candidate_models.study_name,
            matrix=ensure_matrix(
                training_request,
                data_snapshot,
                splits,
                store=snapshot_store,
                matrices=settings.matrices_folder,
            ),
            folder=folder,
        ),
        clock=time.process_time,
        incumbent=find_incumbent(
            model_registry, training_request.request.name, training_request.request_id
        ),
    )
    headline, nothing = report.metrics[0], report.baseline[0]
    progress.stage(
        "result",
        f"{headline.metric} {headline.value:.4g} [{headline.low:.4g}, {headline.high:.4g}]"
        f"   no model {nothing.value:.4g}",
    )
    for sentence in report.verdict:
        progress.stage("", sentence)
    return dg.MaterializeResult(
        value=report,
        data_version=dg.DataVersion(report.card_sha256),
        metadata={
            **report_metadata(
                report,
                path=str(folder / "report.html"),
                url=settings.report_url(training_request.request_id),
            ),
            **lineage_metadata(
                "evaluation_report",
                training_request,
                digest=report.card_sha256,
                snapshot=data_snapshot,
            ),
        },
    )
