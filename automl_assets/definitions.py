"""The composition root: the only module that knows assets and adapters."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import dagster as dg

from automl_assets.assets import data, evaluation, intake, release, reproduction, search
from automl_assets.assets.submission import submit_request
from automl_assets.checks.data import data_contract, split_comparison
from automl_assets.core.ports import Progress, ReleaseLog, SnapshotStore
from automl_assets.core.search.budget import Stopwatch
from automl_assets.core.search.plan import SearchStatus
from automl_assets.sensors.new_data import new_data
from automl_assets.sensors.reproduction import REPRODUCE_JOB, nightly_reproduction
from automl_assets.sensors.requests import request_files
from automl_assets.settings import Settings
from resources.code_origin import code_origin
from resources.data_sources import ConfiguredDataSources
from resources.model_registry import MlflowModelRegistry
from resources.release_log import StoredReleaseLog
from resources.request_store import RequestStore
from resources.search_runner.local import LocalSearchRunner
from resources.search_tracking import MlflowSearchTracker
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
from resources.value_store import JsonValueStore

TRAIN_JOB = "train"


class LogProgress(Progress):
    """Tells the run's log, where Dagit shows it."""

    def __init__(self) -> None:
        self._logger = dg.get_dagster_logger()
        self._told = -1

    def stage(self, name: str, text: str) -> None:
        """Log one finished thing."""
        self._logger.info(f"{name}: {text}" if name else text)

    def search(self, status: SearchStatus) -> None:
        """Log whenever another trial has ended."""
        if status.n_finished == self._told:
            return
        self._told = status.n_finished
        total = f" of {status.n_trials}" if status.n_trials else ""
        left = "" if status.seconds_left is None else f", {status.seconds_left:.0f} s left"
        best = "none yet" if status.best_score is None else f"{status.best_score:.6g}"
        self._logger.info(f"{status.n_finished}{total} trials, best {best}{left}")


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """The adapters for some settings, each under the name of its role."""

    io_manager: JsonValueStore
    request_store: RequestStore
    data_sources: ConfiguredDataSources
    snapshot_store: SnapshotStore
    search_runner: LocalSearchRunner
    search_tracker: MlflowSearchTracker
    earlier_searches: JsonValueStore
    model_registry: MlflowModelRegistry
    release_log: ReleaseLog
    code_origin: Callable[[], dict[str, str]]


def build_snapshot_store(settings: Settings) -> SnapshotStore:
    """Return lakeFS where the operator has one, else a folder in the home."""
    if not settings.uses_lakefs:
        return EmbeddedSnapshotStore(folder=str(settings.store_folder))
    return LakeFSSnapshotStore.from_settings(settings)


def build_adapters(settings: Settings) -> Adapters:
    """Choose and configure the adapters for the settings."""
    snapshot_store = build_snapshot_store(settings)
    values = JsonValueStore(folder=str(settings.values_folder))
    return Adapters(
        io_manager=values,
        earlier_searches=values,
        search_tracker=MlflowSearchTracker(
            tracking_uri=settings.tracking_uri,
            artifact_folder=str(settings.mlflow_folder / "artifacts"),
            lock_folder=str(settings.root / "locks"),
        ),
        request_store=RequestStore(
            requests_folder=str(settings.requests_folder),
            inbox_folder=str(settings.inbox_folder),
        ),
        data_sources=ConfiguredDataSources(
            roots=settings.allowed_data_roots,
            home=settings.root,
            scratch=settings.scratch_folder,
            url_prefixes=tuple(settings.data_urls.split()),
            allow_private_addresses=settings.data_url_private,
            max_download_bytes=settings.max_download_bytes,
            connections=settings.connections,
            snapshot_store=snapshot_store,
        ),
        snapshot_store=snapshot_store,
        search_runner=LocalSearchRunner(studies_folder=str(settings.studies_folder)),
        model_registry=MlflowModelRegistry(
            tracking_uri=settings.tracking_uri,
            artifact_folder=str(settings.mlflow_folder / "artifacts"),
            lock_folder=str(settings.root / "locks"),
            ui_url=settings.mlflow_ui_url,
        ),
        release_log=StoredReleaseLog(snapshot_store),
        code_origin=partial(code_origin, settings),
    )


def run_clock(settings: Settings) -> Callable[[], float]:
    """Return what the time limit of a run is counted by."""
    if settings.search_clock == "wall":
        return time.monotonic

    def cpu_clock() -> float:
        used = os.times()
        own = used.user + used.system + used.children_user + used.children_system
        return own / settings.max_workers

    return cpu_clock


def build_definitions(settings: Settings, progress: Progress | None = None) -> dg.Definitions:
    """Wire the whole platform.

    Args:
        settings: The operator's settings.
        progress: Who hears what a run does; the run's log if None.
    """
    assets = dg.load_assets_from_modules([intake, data, search, evaluation, release, reproduction])
    return dg.Definitions(
        assets=assets,
        asset_checks=[data_contract, split_comparison],
        jobs=[
            dg.define_asset_job(
                TRAIN_JOB,
                selection=dg.AssetSelection.assets("registered_model").upstream(),
                description="From an accepted request to a registered model.",
                executor_def=dg.in_process_executor,
            ),
            dg.define_asset_job(
                REPRODUCE_JOB,
                selection=dg.AssetSelection.assets("reproduction_report"),
                description="A registered version, made again from its records and its data.",
                executor_def=dg.in_process_executor,
            ),
            submit_request,
        ],
        schedules=[nightly_reproduction],
        sensors=[request_files, new_data],
        resources={
            "settings": settings,
            "progress": progress or LogProgress(),
            "stopwatch": Stopwatch(run_clock(settings)),
            **vars(build_adapters(settings)),
        },
        # The step that searches starts worker processes itself; Dagit's Materialize uses this one.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return what Dagster loads: wired from the environment."""
    return build_definitions(Settings())
