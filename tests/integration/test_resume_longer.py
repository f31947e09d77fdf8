"""`automl resume --add-time` and `parent:`: what an earlier search found is built upon."""

from pathlib import Path

import pytest
import yaml

from automl_assets.cli.execution import read_values
from automl_assets.settings import Settings
from tests.integration.test_train import automl, only_request, write_table


def write_request(folder: Path, **changes: object) -> Path:
    """A request for a table beside it, that a few trials answer."""
    request = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "churn",
        "owner": "tests",
        "data": {"path": "churn.csv", "target": "churned", "features": {"exclude": ["customer"]}},
        "model": {"families": ["linear", "lightgbm"]},
        "search": {"n_trials": 5, "workers": 2},
    }
    path = folder / f"request-{len(list(folder.glob('*.yaml')))}.yaml"
    path.write_text(yaml.safe_dump(request | changes))
    return path


@pytest.mark.slow
def test_more_time_gives_a_finished_request_a_new_model(settings: Settings) -> None:
    folder = settings.root.parent
    write_table(folder)
    assert automl(settings, "train", write_request(folder).name).returncode == 0
    request_id = only_request(settings)
    before = read_values(settings, request_id)

    run = automl(settings, "resume", request_id, "--add-time", "15s")

    assert run.returncode == 0, run.stderr + run.stdout
    after = read_values(settings, request_id)
    assert before.candidate_models is not None
    assert after.candidate_models is not None
    known = {item.number: item.score for item in before.candidate_models.leaderboard}
    now = {item.number: item.score for item in after.candidate_models.leaderboard}
    assert known.items() <= now.items()
    assert len(now) > len(known)
    assert before.registered_model is not None
    assert after.registered_model is not None
    assert (before.registered_model.version, after.registered_model.version) == ("1", "2")
    assert "version 2" in run.stdout


@pytest.mark.slow
def test_a_resume_without_more_time_leaves_a_finished_request_as_it_is(
    settings: Settings,
) -> None:
    folder = settings.root.parent
    write_table(folder)
    request = write_request(folder, search={"n_trials": 1, "workers": 1})
    assert automl(settings, "train", request.name).returncode == 0
    before = read_values(settings, only_request(settings))

    run = automl(settings, "resume", only_request(settings))

    assert run.returncode == 0
    assert read_values(settings, only_request(settings)) == before


@pytest.mark.parametrize("text", ["soon", "10", "-5m", "0s"])
def test_an_added_time_is_written_like_any_duration(settings: Settings, text: str) -> None:
    run = automl(settings, "resume", "churn-0123456789", f"--add-time={text}")

    assert run.returncode == 2
    assert "--add-time: " in run.stderr
    assert "duration" in run.stderr


@pytest.mark.slow
def test_the_best_of_a_parent_are_tried_again_first(settings: Settings) -> None:
    folder = settings.root.parent
    write_table(folder)
    assert automl(settings, "train", write_request(folder).name).returncode == 0
    parent = only_request(settings)
    search = read_values(settings, parent).candidate_models
    assert search is not None

    child = write_request(folder, parent=parent, seed=1)
    run = automl(settings, "train", child.name)

    assert run.returncode == 0, run.stderr + run.stdout
    (other,) = {path.name for path in settings.requests_folder.iterdir()} - {parent}
    again = read_values(settings, other).candidate_models
    assert again is not None
    origins = {item.origin for item in again.leaderboard}
    tried = [item.params for item in again.leaderboard]
    best = search.leaderboard[0]
    assert any(best.params.items() <= params.items() for params in tried)
    assert "parent" in origins or best.origin in ("baseline", "default")
