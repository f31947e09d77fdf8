"""The model, registered for those who use it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import lineage_metadata, version_metadata
from automl_assets.core.ports import ModelRegistry, Progress, ReleaseLog, SnapshotStore
from automl_assets.core.registration import arrival, make_registration
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    ModelVersion,
    Split,
)
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings


@dg.asset(
    partitions_def=training_requests,
    group_name="release",
    kinds={"mlflow"},
    owners=["team:automl"],
    code_version=version_of("registered_model"),
)
def registered_model(
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    splits: Split,
    candidate_models: CandidateSet,
    evaluation_report: EvaluationReport,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    model_registry: dg.ResourceParam[ModelRegistry],
    release_log: dg.ResourceParam[ReleaseLog],
    code_origin: dg.ResourceParam[Callable[[], Mapping[str, str]]],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[ModelVersion]:
    """A version in the model registry, with its report, its data commit and its request.

    It takes raw rows, checks their columns, and arrives as `challenger`, unless its
    request asks for an approval before that. Run again, it finds the version and makes
    no second one.
    """
    snapshot_store.pin(
        data_snapshot.repository, data_snapshot.commit_id, f"model-{training_request.request_id}"
    )
    version = model_registry.register(
        make_registration(
            training_request,
            data_snapshot,
            splits,
            candidate_models,
            evaluation_report,
            store=snapshot_store,
            package=settings.studies_folder / candidate_models.artifact,
            report_folder=settings.reports_folder / evaluation_report.folder,
            origin=code_origin(),
        )
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    release_log.append(arrival(version, training_request, at=now))
    state = ", ".join(version.aliases) or "waits for approval"
    progress.stage("model", f"{version.name} {version.semver}, version {version.version}, {state}")
    return dg.MaterializeResult(
        value=version,
        data_version=dg.DataVersion(f"{version.name}@{version.version}"),
        metadata={
            **version_metadata(
                version,
                data_uri=data_snapshot.uri,
                urls={
                    "mlflow": model_registry.version_url(version),
                    "report": settings.report_url(training_request.request_id),
                },
            ),
            **lineage_metadata(
                "registered_model",
                training_request,
                digest=version.artifact_sha256,
                snapshot=data_snapshot,
            ),
        },
    )
