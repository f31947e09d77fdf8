"""Runs a request's job in this process, on the platform's own instance."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console

from automl_assets.core.errors import AutoMLError, ContractError
from automl_assets.core.values import (
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    ModelVersion,
)
from automl_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from automl_assets.cli.console import ConsoleProgress
    from automl_assets.core.ports import SnapshotStore
    from resources.data_sources import ConfiguredDataSources
    from resources.model_registry import MlflowModelRegistry
    from resources.request_store import RequestStore


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a request has made so far."""

    data_snapshot: DataSnapshot | None
    candidate_models: CandidateSet | None
    evaluation_report: EvaluationReport | None
    registered_model: ModelVersion | None


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """The wired platform, for commands."""

    settings: Settings
    definitions: "dg.Definitions"
    data_sources: "ConfiguredDataSources"
    request_store: "RequestStore"
    model_registry: "MlflowModelRegistry"
    snapshot_store: "SnapshotStore"
    progress: "ConsoleProgress"


def read_values(settings: Settings, request_id: str) -> Values:
    """Read what a request has made so far."""
    from resources.value_store import JsonValueStore

    store = JsonValueStore(folder=str(settings.values_folder))
    return Values(
        data_snapshot=store.read("data_snapshot", request_id, DataSnapshot),
        candidate_models=store.read("candidate_models", request_id, CandidateSet),
        evaluation_report=store.read("evaluation_report", request_id, EvaluationReport),
        registered_model=store.read("registered_model", request_id, ModelVersion),
    )


def quiet_environment(settings: Settings) -> None:
    """Keep libraries from calling home and from writing outside our home."""
    os.environ.setdefault("MPLCONFIGDIR", str(settings.root / "cache" / "matplotlib"))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"


@contextmanager
def build_for_cli(
    settings: Settings, console: Console, *, extra_root: Path | None = None
) -> Iterator[CommandLine]:
    """Wire the platform for a command; nothing is written yet.

    Args:
        extra_root: A folder that may be read beside the operator's: whoever runs
            the command may read it anyway.
    """
    from automl_assets.cli.console import ConsoleProgress

    quiet_environment(settings)
    roots = list(settings.allowed_data_roots)
    if extra_root is not None:
        roots.append(extra_root)
    roots = list(dict.fromkeys(roots))
    settings = settings.model_copy(update={"data_roots": os.pathsep.join(map(str, roots))})
    from automl_assets.definitions import build_adapters, build_definitions

    with ConsoleProgress(console) as progress:
        adapters = build_adapters(settings)
        yield CommandLine(
            settings=settings,
            definitions=build_definitions(settings, progress),
            data_sources=adapters.data_sources,
            request_store=adapters.request_store,
            model_registry=adapters.model_registry,
            snapshot_store=adapters.snapshot_store,
            progress=progress,
        )


@contextmanager
def open_instance(settings: Settings) -> Iterator["dg.DagsterInstance"]:
    """Open the platform's Dagster instance; its folder and settings are made if needed."""
    import dagster as dg

    from automl_assets.cli.home import prepare_home, write_cli_config

    prepare_home(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    folder, config = str(settings.dagster_home), write_cli_config(settings)
    with dg.DagsterInstance.from_config(folder, config) as instance:
        yield instance


def run_request(
    cli: CommandLine,
    request_id: str,
    owner: str,
    *,
    add_seconds: float = 0.0,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Materialize all assets of a request in this process.

    Args:
        add_seconds: Goes on with its search for so much longer, also where it has ended.
        tags: More tags of the run.

    Raises:
        AutoMLError: The first error that a step raised on purpose.
        KeyboardInterrupt: Ctrl-C; the request can be resumed.
    """
    import dagster as dg

    from automl_assets.definitions import TRAIN_JOB
    from automl_assets.partitions import training_requests
    from resources.launcher import own_worker_tags

    run_id = str(uuid4())
    run_config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if add_seconds:
        run_config["ops"] = {"candidate_models": {"config": {"add_seconds": add_seconds}}}
    with open_instance(cli.settings) as instance:
        instance.add_dynamic_partitions(str(training_requests.name), [request_id])
        job = cli.definitions.resolve_job_def(TRAIN_JOB)
        try:
            job.execute_in_process(
                instance=instance,
                partition_key=request_id,
                run_id=run_id,
                run_config=run_config,
                tags={
                    "automl/owner": owner,
                    "automl/source": "cli",
                    **(tags or {}),
                    # If this process is killed, the platform sees that the run is dead.
                    **own_worker_tags(run_id),
                },
            )
        except dg.DagsterExecutionInterruptedError as error:
            cli.progress.stage("stopped", f"go on with: automl resume {request_id}")
            raise KeyboardInterrupt from error
        except Exception as error:
            own = _own_error(error)
            if own is error:
                raise
            raise own from error


def _own_error(error: BaseException) -> BaseException:
    """Return the error of ours behind Dagster's, or Dagster's if there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AutoMLError):
            return cause
        # Dagster does not export this class; the check itself has told its findings.
        if type(cause).__name__ == "DagsterAssetCheckFailedError":
            return ContractError(
                "The data breaks its contract, as said above. Nothing was trained. Mend the data "
                "or the contract, and go on with `automl resume`."
            )
        cause = cause.__cause__
    return error
