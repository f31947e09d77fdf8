"""The winner, judged once on rows that no one has seen."""

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import report_metadata
from automl_assets.core.judgement import judge_winner
from automl_assets.core.ports import Progress, SnapshotStore
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
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[EvaluationReport]:
    """How good the winner is on the analysis part, with intervals, beside no model at all.

    The analysis part is opened here for the first time. Predictions go the way
    that serving goes: raw rows through the saved model.
    """
    folder = settings.reports_folder / training_request.request_id
    report = judge_winner(
        training_request,
        data_snapshot,
        splits,
        candidate_models,
        store=snapshot_store,
        package=settings.studies_folder / candidate_models.artifact,
        folder=folder,
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
        metadata=report_metadata(
            report,
            path=str(folder / "report.html"),
            url=settings.report_url(training_request.request_id),
        ),
    )
