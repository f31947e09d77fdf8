"""`automl rerun` and `automl clone`: a request once more, through the platform's own path."""

import re
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from automl_assets.cli import again
from automl_assets.cli.execution import open_instance
from automl_assets.core.errors import RequestError
from automl_assets.core.request.file import parse_request
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings
from resources.request_store import RequestStore
from tests.integration.test_train import automl, only_request, values_of, write_table

OLD = """\
apiVersion: automl/v1
kind: TrainingRequest
name: churn
owner: ann
data: {path: churn.csv, target: churned}
search: {n_trials: 2}
"""


@pytest.fixture
def request_id(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """An accepted request; nothing of it has run."""
    from datetime import UTC, datetime

    request = parse_request(OLD, filename="old.yaml")
    store = RequestStore(
        requests_folder=str(settings.requests_folder), inbox_folder=str(settings.inbox_folder)
    )
    store.accept(request, text=OLD, source="test", now=datetime(2026, 11, 21, tzinfo=UTC))
    monkeypatch.chdir(settings.root.parent)
    return request.request_id


def runs(settings: Settings) -> list[dg.DagsterRun]:
    with open_instance(settings) as instance:
        return list(instance.get_runs())


def test_a_clone_is_a_file_that_says_how_it_differs(
    settings: Settings, request_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    again.clone_request(request_id, ("search.n_trials=3", "owner=bob"), submit=False)

    told = capsys.readouterr().out
    file = Path(told.splitlines()[-1].partition("written")[2].strip())
    new = parse_request(file.read_bytes(), filename=str(file))
    assert file.parent == settings.root.parent
    assert file.name == f"{new.request_id}.yaml"
    assert (new.search.n_trials, new.owner, new.parent) == (3, "bob", None)
    assert "-  n_trials: 2" in told
    assert "+  n_trials: 3" in told


def test_a_clone_that_changes_nothing_is_refused(request_id: str) -> None:
    with pytest.raises(RequestError, match=f"it would be {request_id} itself.*automl rerun"):
        again.clone_request(request_id, ("search.n_trials=2",), submit=False)

    assert list(Path.cwd().glob("*.yaml")) == []


def test_a_clone_that_is_not_valid_is_not_written(request_id: str) -> None:
    with pytest.raises(RequestError, match=f"clone of {request_id}:.*did you mean 'n_trials'"):
        again.clone_request(request_id, ("search.n_trails=3",), submit=False)

    assert list(Path.cwd().glob("*.yaml")) == []


def test_a_file_of_the_same_name_that_differs_is_left_alone(request_id: str) -> None:
    again.clone_request(request_id, ("seed=1",), submit=False)
    (file,) = Path.cwd().glob("*.yaml")
    again.clone_request(request_id, ("seed=1",), submit=False)
    file.write_text(f"# my own words\n{file.read_text()}")

    with pytest.raises(RequestError, match="is there already and differs"):
        again.clone_request(request_id, ("seed=1",), submit=False)
    assert file.read_text().startswith("# my own words")


def test_a_clone_can_be_submitted_at_once(settings: Settings, request_id: str) -> None:
    write_table(settings.root.parent, n_rows=50)

    again.clone_request(request_id, ("search.n_trials=3",), submit=True)

    (waiting,) = settings.inbox_folder.glob("*.yaml")
    assert parse_request(waiting.read_bytes(), filename=waiting.name).search.n_trials == 3


def test_a_request_that_is_not_known_is_refused(request_id: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"Did you mean '{request_id}'?")):
        again.rerun_request(f"{request_id[:-1]}x")
    with pytest.raises(RequestError, match=re.escape(f"Did you mean '{request_id}'?")):
        again.clone_request(f"{request_id[:-1]}x", ("seed=1",), submit=False)


@pytest.mark.parametrize("state", ["queued", "running", "stopping"])
def test_a_request_that_is_running_is_not_run_beside_itself(
    settings: Settings, request_id: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "run_states", lambda settings, ids: {request_id: state})

    with pytest.raises(RequestError, match=f"one run at a time, and {request_id} is {state}"):
        again.rerun_request(request_id)
    assert not runs(settings)


@pytest.mark.slow
def test_a_rerun_is_a_new_attempt_and_loses_nothing(settings: Settings) -> None:
    write_table(settings.root.parent, n_rows=300)
    limits = ("--family", "linear", "--n-trials", "2", "--workers", "1")
    first = automl(settings, "train", "churn.csv", "-t", "churned", "--id", "customer", *limits)
    assert first.returncode == 0, first.stderr + first.stdout
    request_id = only_request(settings)
    before = values_of(settings, request_id)

    second = automl(settings, "rerun", request_id)

    assert second.returncode == 0, second.stderr + second.stdout
    assert f"2 of {request_id}" in second.stdout
    after = values_of(settings, request_id)
    kept = ("data_snapshot", "splits", "candidate_models")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    model = after["registered_model"]
    assert isinstance(model, ModelVersion)
    assert model.artifact_sha256 == before["registered_model"].artifact_sha256
    with sqlite3.connect(settings.mlflow_folder / "mlflow.db") as database:
        rows = database.execute("select version from model_versions").fetchall()
    # The same code made the same model: it is the version that was there.
    assert [str(version) for (version,) in rows] == [before["registered_model"].version]
    newest, oldest = runs(settings)
    assert newest.tags["automl/attempt"] == "2"
    assert newest.tags["dagster/run_key"] == f"{request_id}-2"
    assert newest.tags["dagster/partition"] == oldest.tags["dagster/partition"] == request_id
    assert newest.job_name == oldest.job_name
    audited = automl(settings, "audit", "churn")
    assert audited.returncode == 0, audited.stdout + audited.stderr
