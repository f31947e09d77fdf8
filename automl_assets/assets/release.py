"""The model, registered for those who use it."""

import dagster as dg

from automl_assets.core.code_version import code_version
from automl_assets.core.judgement import environment
from automl_assets.core.ports import ModelRegistry, Progress, Registration, SnapshotStore
from automl_assets.core.prepare import part_frame
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

N_EXAMPLE_ROWS = 5


@dg.asset(
    partitions_def=training_requests,
    group_name="release",
    kinds={"mlflow"},
    owners=["team:automl"],
    code_version=code_version("automl_assets.core.package", "automl_assets.serving"),
)
def registered_model(
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    splits: Split,
    candidate_models: CandidateSet,
    evaluation_report: EvaluationReport,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    model_registry: dg.ResourceParam[ModelRegistry],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[ModelVersion]:
    """A version in the model registry, with its report, its data commit and its request.

    It takes raw rows, checks their columns, and arrives as `challenger`. Run
    again, it finds the version and makes no second one.
    """
    # The first training rows, as an example of what the model takes.
    example = part_frame(
        data_snapshot, splits, "train", data_snapshot.profile.features, snapshot_store
    ).head(N_EXAMPLE_ROWS)
    snapshot_store.pin(
        data_snapshot.repository, data_snapshot.commit_id, f"model-{training_request.request_id}"
    )
    request = training_request.request
    version = model_registry.register(
        Registration(
            name=request.name,
            owner=request.owner,
            request_id=training_request.request_id,
            request_sha256=training_request.request_sha256,
            request_yaml=request.to_yaml(),
            artifact_sha256=candidate_models.artifact_sha256,
            card_sha256=evaluation_report.card_sha256,
            package=settings.studies_folder / candidate_models.artifact,
            report=settings.reports_folder / evaluation_report.folder,
            input_example=example,
            data_uri=data_snapshot.uri,
            data_sha256=data_snapshot.content_sha256,
            params={
                "family": candidate_models.best.family,
                "metric": candidate_models.metric,
                "trials": str(len(candidate_models.leaderboard)),
                "seed": str(candidate_models.seed),
                **{key: str(value) for key, value in candidate_models.best.params.items()},
            },
            metrics={item.metric: item.value for item in evaluation_report.metrics},
            tags={
                "candidate": str(candidate_models.winner),
                "ledger_sha256": candidate_models.ledger_sha256,
                "split_commit": splits.commit_id,
                "preprocessing_version": splits.preprocessing_version,
                **{f"env.{key}": value for key, value in environment().items()},
            },
        )
    )
    progress.stage(
        "model", f"{version.name} version {version.version}, {', '.join(version.aliases)}"
    )
    url = model_registry.version_url(version)
    return dg.MaterializeResult(
        value=version,
        data_version=dg.DataVersion(f"{version.name}@{version.version}"),
        metadata={
            "model": f"{version.name} version {version.version}",
            "aliases": ", ".join(version.aliases),
            "mlflow": dg.MetadataValue.url(url) if url else "no MLflow UI is configured",
            "mlflow_run_id": version.mlflow_run_id,
            "data": data_snapshot.uri,
            "card_sha256": version.card_sha256,
            "artifact_sha256": version.artifact_sha256,
        },
    )
