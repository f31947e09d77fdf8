"""The shipped dagster.yaml builds, and what it names keeps its promises."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from automl_assets.cli.home import prepare_home
from automl_assets.core.files import sha256_file
from automl_assets.core.request.file import parse_request
from automl_assets.settings import Settings
from resources.coordinator import OwnerRunCoordinator
from resources.launcher import WORKER_TAG, LocalRunLauncher, own_worker_tags
from resources.request_store import RequestStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LOCATION = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="automl")
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(LOCATION, "__repository__"), "anything")


@dg.job
def anything() -> None:
    """Stands for a job of the platform."""


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """An instance on the shipped settings, in an empty home."""
    prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_the_shipped_settings_build_our_launcher_and_coordinator(
    instance: dg.DagsterInstance,
) -> None:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert isinstance(instance.run_coordinator, OwnerRunCoordinator)


def test_the_shipped_settings_hold_the_queue_and_repeat_runs_that_were_killed(
    instance: dg.DagsterInstance,
) -> None:
    queue = instance.get_concurrency_config().run_queue_config

    assert queue is not None
    assert queue.max_concurrent_runs == 2
    assert queue.tag_concurrency_limits == [
        {"key": "automl/owner", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
    assert instance.run_coordinator.dequeue_interval_seconds == 1
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_resume_run_attempts == 0
    assert instance.run_monitoring_max_runtime_seconds == 86400
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled


def test_settings_that_an_operator_changed_stay(settings: Settings) -> None:
    prepare_home(settings)
    path = settings.dagster_home / "dagster.yaml"
    path.write_text("telemetry: {enabled: false}\n")

    prepare_home(settings)

    assert path.read_text() == "telemetry: {enabled: false}\n"


def test_settings_of_an_earlier_version_that_nobody_changed_are_replaced(
    settings: Settings,
) -> None:
    prepare_home(settings)
    path = settings.dagster_home / "dagster.yaml"
    shipped = path.read_text()
    path.write_text("telemetry: {enabled: true}\n")
    (settings.dagster_home / ".dagster.yaml.sha256").write_text(f"{sha256_file(path)}\n")

    prepare_home(settings)

    assert path.read_text() == shipped


@dataclass
class Submission:
    """What a run coordinator is handed, with the headers of the web request."""

    dagster_run: dg.DagsterRun
    headers: dict[str, str] = field(default_factory=dict)

    def get_request_header(self, key: str) -> str | None:
        return self.headers.get(key)


def queued_tags(
    instance: dg.DagsterInstance, tags: dict[str, str], **headers: str
) -> dict[str, str]:
    """Submit a run with tags and headers; return the tags it is queued with."""
    run = instance.create_run_for_job(
        anything, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED, remote_job_origin=ORIGIN
    )
    submission = Submission(run, {name.replace("_", "-"): text for name, text in headers.items()})
    queued = instance.run_coordinator.submit_run(submission)  # pyright: ignore[reportArgumentType]
    assert queued.status == dg.DagsterRunStatus.QUEUED
    return dict(queued.tags)


def test_the_user_whom_the_proxy_names_wins_over_a_tag(instance: dg.DagsterInstance) -> None:
    tags = queued_tags(instance, {"automl/owner": "forged"}, X_Forwarded_User="ann")

    assert tags["automl/owner"] == "ann"


def test_the_owner_of_a_partition_is_the_one_of_its_request(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    text = (
        "apiVersion: automl/v1\nkind: TrainingRequest\nname: churn\nowner: ann\n"
        "data: {path: churn.csv, target: churned}\n"
    )
    store = RequestStore(
        requests_folder=str(settings.requests_folder), inbox_folder=str(settings.inbox_folder)
    )
    accepted = store.accept(
        parse_request(text, filename="churn.yaml"), text=text, source="cli", now=NOW
    )

    tags = queued_tags(
        instance, {"dagster/partition": accepted.request_id, "automl/owner": "forged"}
    )

    assert tags["automl/owner"] == "ann"


@pytest.mark.parametrize(
    ("tags", "owner"),
    [
        ({}, "anonymous"),
        ({"automl/owner": "bob"}, "bob"),
        ({"dagster/partition": "../../etc"}, "anonymous"),
    ],
)
def test_other_runs_keep_their_owner_or_are_anonymous(
    instance: dg.DagsterInstance, tags: dict[str, str], owner: str
) -> None:
    assert queued_tags(instance, tags)["automl/owner"] == owner


def test_a_run_cannot_overtake_at_will_or_choose_its_pod(instance: dg.DagsterInstance) -> None:
    pod = '{"pod_spec_config": {"host_network": true}}'

    tags = queued_tags(instance, {"dagster/priority": "1000", "dagster-k8s/config": pod})

    assert tags["dagster/priority"] == "1"
    assert tags["dagster-k8s/config"] == "{}"


def started_run(instance: dg.DagsterInstance, pid: int, **tags: str) -> dg.DagsterRun:
    """Return a started run whose process announced itself, as Dagster does it."""
    run = instance.create_run_for_job(anything, status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.report_engine_event(
        f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
    )
    return run


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    current = instance.get_run_by_id(run.run_id)
    assert current is not None
    return instance.run_launcher.check_run_worker_health(current).status


def test_a_run_whose_process_lives_is_healthy(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, sleeper.pid)

    assert instance.run_launcher.supports_check_run_worker_health
    assert [health(instance, run) for _ in range(2)] == [WorkerStatus.RUNNING] * 2


def test_a_run_whose_process_was_killed_is_found(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, sleeper.pid)
    before = health(instance, run)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    as_zombie = health(instance, run)
    sleeper.wait()

    assert before == WorkerStatus.RUNNING
    assert as_zombie == WorkerStatus.FAILED
    assert health(instance, run) == WorkerStatus.FAILED


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, sleeper.pid)
    instance.add_run_tags(
        run.run_id, {WORKER_TAG: f"{run.run_id}/{sleeper.pid}@another-boot+12345"}
    )

    assert health(instance, run) == WorkerStatus.FAILED


def test_a_retry_that_inherits_the_tags_of_a_dead_run_is_healthy(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, sleeper.pid, **{WORKER_TAG: "another-run/1@boot+1"})

    assert health(instance, run) == WorkerStatus.RUNNING


def test_a_run_that_has_not_announced_its_process_is_left_to_the_start_timeout(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(anything, status=dg.DagsterRunStatus.STARTED)

    assert health(instance, run) == WorkerStatus.RUNNING


def test_a_run_within_a_program_is_found_by_the_tags_it_was_made_with(
    instance: dg.DagsterInstance,
) -> None:
    run_id = "5b1c2f0e-7a55-4a0d-9a6e-0d6f3f1f2a11"
    run = instance.create_run_for_job(
        anything,
        run_id=run_id,
        status=dg.DagsterRunStatus.STARTED,
        tags=own_worker_tags(run_id),
    )

    assert health(instance, run) == WorkerStatus.RUNNING
