"""A registered version, made again: an asset of its own, which touches no request's partition."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from automl_assets.assets.code import version_of
from automl_assets.core.ports import ModelRegistry, ReleaseLog, SnapshotStore
from automl_assets.core.reproduction import ReproductionReport, registered_report, reproduce
from automl_assets.core.reproduction.keeping import (
    REPRODUCTIONS,
    keep_report,
    reproduced,
)
from automl_assets.core.reproduction.words import as_markdown, level_title
from automl_assets.dagit import Metadata, table
from automl_assets.partitions import registered_versions
from automl_assets.settings import Settings

CHECK = "made_again"


class ReproductionConfig(dg.Config):
    """What a run may say beside the version."""

    search: bool = Field(
        default=False, description="Whether every trial of the search is run again, too."
    )


@dg.asset(
    partitions_def=registered_versions,
    group_name="release",
    kinds={"mlflow"},
    owners=["team:automl"],
    code_version=version_of("reproduction_report"),
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="reproduction_report",
            description="The version predicts the same when it is made again.",
        )
    ],
)
def reproduction_report(
    context: dg.AssetExecutionContext,
    config: ReproductionConfig,
    model_registry: dg.ResourceParam[ModelRegistry],
    snapshot_store: dg.ResourceParam[SnapshotStore],
    release_log: dg.ResourceParam[ReleaseLog],
    code_origin: dg.ResourceParam[Callable[[], Mapping[str, str]]],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:
    """How equal a registered version is to itself, fitted again from its records and its data.

    A partition is a version, such as `churn@12`. It needs what the registry and the
    snapshot store hold and nothing else, so it follows from no other asset and never
    makes one stale; the request's own partitions stay as they are.
    """
    name, _, number = context.partition_key.rpartition("@")
    version = model_registry.find(name, number)
    with model_registry.inspect(version) as record:
        report = reproduce(
            version,
            registered_report(record, version),
            store=snapshot_store,
            scratch=settings.scratch_folder,
            environment=code_origin(),
            clock=time.monotonic,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            search=config.search,
            tell=lambda label, text: context.log.info(f"{label}: {text}"),
        )
    file = keep_report(settings.root / REPRODUCTIONS, report)
    release_log.append(reproduced(report, version, by=settings.user))
    return dg.MaterializeResult(
        metadata=reproduction_metadata(report, path=str(file)),
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK,
                passed=not report.failed,
                description=f"{level_title(report.level)}. {report.sentence}",
            )
        ],
    )


def reproduction_metadata(report: ReproductionReport, *, path: str) -> Metadata:
    """The level, what was found by each check, and what is not as it was recorded."""
    return {
        "level": level_title(report.level),
        "result": report.sentence,
        "model": f"{report.name} version {report.version}",
        "request": report.request_id,
        "data_commit": report.data_commit,
        "card_sha256": report.card_sha256,
        "artifact_sha256": report.model_sha256,
        "checks": table(
            [
                {"check": item.name, "level": level_title(item.level), "found": item.text}
                for item in report.checks
            ]
        ),
        "environment": table(
            [
                {"name": item.name, "recorded": item.recorded, "here": item.now}
                for item in report.environment
            ]
        ),
        "trials_replayed": f"{report.n_replayed} of {report.n_trials}",
        "report": dg.MetadataValue.md(as_markdown(report)),
        "file": dg.MetadataValue.path(path),
    }
