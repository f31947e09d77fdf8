"""`automl submit`, `status` and `list`: what they say of requests, and what they leave alone."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from automl_assets.cli.execution import open_instance
from automl_assets.cli.files import read_request_file
from automl_assets.cli.home import CLI_CONFIG, prepare_home
from automl_assets.cli.requests import show_all, show_one, submit_files
from automl_assets.core.errors import RequestError
from automl_assets.core.request.file import MAX_BYTES, parse_request
from automl_assets.settings import Settings
from resources.launcher import WORKER_TAG, own_worker_tags
from resources.processes import process_stamp
from resources.request_store import RequestStore

RUN_ID = "5b1c2f0e-7a55-4a0d-9a6e-0d6f3f1f2a11"
TEXT = (
    "apiVersion: automl/v1\nkind: TrainingRequest\n"
    "name: churn\nowner: ann\ndata: {path: churn.csv, target: churned}\n"
)


@dg.job
def no_job() -> None:
    """Stands for the job of a run."""


def accept(settings: Settings) -> str:
    """Keep a request as accepted; return its id."""
    store = RequestStore(
        requests_folder=str(settings.requests_folder), inbox_folder=str(settings.inbox_folder)
    )
    request = parse_request(TEXT, filename="churn.yaml")
    return store.accept(request, text=TEXT, source="test", now=datetime.now(UTC)).request_id


def add_run(settings: Settings, request_id: str, status: dg.DagsterRunStatus, **tags: str) -> None:
    tags = {"dagster/partition": request_id, **tags}
    with open_instance(settings) as instance:
        instance.create_run_for_job(no_job, run_id=RUN_ID, status=status, tags=tags)


def write_request(settings: Settings, name: str = "churn.yaml") -> Path:
    project = settings.root.parent
    (project / "churn.csv").write_text("churned\n1\n")
    (project / name).write_text(TEXT)
    return project / name


def dead_process_stamp() -> str:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stamp = process_stamp(process.pid)
    assert stamp is not None
    return stamp


def test_a_request_file_of_the_largest_size_is_read_whole_and_a_larger_one_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "churn.yaml"
    path.write_text(f"{TEXT}#".ljust(MAX_BYTES, "x"))
    assert read_request_file(path) == path.read_bytes()

    path.write_text(f"{TEXT}#".ljust(MAX_BYTES + 1, "x"))

    with pytest.raises(RequestError, match="a request has at most 256 kB"):
        parse_request(read_request_file(path), filename="churn.yaml")


def test_a_run_whose_process_was_killed_is_stopped(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = accept(settings)
    tags = {WORKER_TAG: f"{RUN_ID}/{dead_process_stamp()}"}
    add_run(settings, request_id, dg.DagsterRunStatus.STARTED, **tags)

    show_one(request_id)

    assert f"stopped after acceptance; go on with: automl resume {request_id}" in (
        capsys.readouterr().out.replace("\n", " ")
    )


def test_a_run_whose_process_lives_is_running(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = accept(settings)
    add_run(settings, request_id, dg.DagsterRunStatus.STARTED, **own_worker_tags(RUN_ID))

    show_one(request_id)

    assert "running, accepted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (dg.DagsterRunStatus.FAILURE, "stopped or failed after acceptance"),
        (dg.DagsterRunStatus.CANCELED, "stopped after acceptance"),
    ],
)
def test_a_run_that_ended_without_a_model_says_how_to_go_on(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    status: dg.DagsterRunStatus,
    word: str,
) -> None:
    request_id = accept(settings)
    add_run(settings, request_id, status)

    show_one(request_id)

    shown = capsys.readouterr().out.replace("\n", " ")
    assert f"{word}; go on with: automl resume {request_id}" in shown


def test_submitting_a_request_that_failed_says_how_to_go_on(settings: Settings) -> None:
    request_id = accept(settings)
    add_run(settings, request_id, dg.DagsterRunStatus.FAILURE)

    with pytest.raises(RequestError, match=f"ran already: .*automl resume {request_id}"):
        submit_files([write_request(settings)])

    assert list(settings.inbox_folder.iterdir()) == []


def test_submitting_a_request_that_runs_changes_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = accept(settings)
    add_run(settings, request_id, dg.DagsterRunStatus.STARTED)

    submit_files([write_request(settings)])

    assert f"known      {request_id}" in capsys.readouterr().out
    assert list(settings.inbox_folder.iterdir()) == []


def test_a_file_that_is_refused_does_not_stop_the_next_one(settings: Settings) -> None:
    files = [write_request(settings, "churn.txt"), write_request(settings)]

    with pytest.raises(RequestError, match=r"Request files end in \.yaml"):
        submit_files(files)

    (submitted,) = settings.inbox_folder.iterdir()
    assert submitted.read_text() == TEXT


def test_an_unknown_request_is_answered_with_the_command_that_lists_them(
    settings: Settings,
) -> None:
    with pytest.raises(RequestError, match="`automl list` shows them all"):
        show_one("churn-0123456789")


def test_listing_requests_leaves_the_settings_of_dagster_alone(settings: Settings) -> None:
    request_id = accept(settings)
    add_run(settings, request_id, dg.DagsterRunStatus.STARTED)
    before = (settings.dagster_home / CLI_CONFIG).stat().st_ino  # a new file has another number

    show_all()

    assert (settings.dagster_home / CLI_CONFIG).stat().st_ino == before


def test_a_prepared_home_has_a_folder_for_reports(settings: Settings) -> None:
    prepare_home(settings)

    assert settings.reports_folder.is_dir()
