"""Searches in MLflow: one run each, one below it for each trial, whatever dies in between."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl_assets.core.search.tracking import TrackedSearch
from resources.mlflow_setup import configure_mlflow
from resources.mlflow_trials import N_BEST, N_LOST, MlflowTrials
from resources.model_registry import MlflowModelRegistry
from resources.search_tracking import MAX_WAITING, MlflowSearchLog, MlflowSearchTracker
from tests.candidate_sets import candidate, candidate_set
from tests.fakes import registration

pytestmark = pytest.mark.slow

FORKSERVER = multiprocessing.get_context("forkserver")
SEARCH = TrackedSearch(
    name="churn",
    owner="ada",
    request_id="churn-4c1f2a90aa",
    request_sha256="a" * 64,
    study_name="churn-4c1f2a90-aa",
    metric="roc_auc",
    direction="maximize",
    params={"search.sampler": "tpe", "search.n_trials": "20"},
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database is made; making one takes seconds."""
    configure_mlflow()
    FORKSERVER.set_forkserver_preload(["mlflow", "resources.search_tracking"])
    folder = tmp_path_factory.mktemp("made")
    tracker(folder).client()
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A folder with an MLflow that holds nothing."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def place(folder: Path) -> dict[str, Any]:
    return {
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "artifact_folder": str(folder / "artifacts"),
        "lock_folder": str(folder / "locks"),
    }


def tracker(folder: Path, quiet_seconds: float = 0.0) -> MlflowSearchTracker:
    return MlflowSearchTracker(**place(folder), quiet_seconds=quiet_seconds)


def all_runs(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the runs of searches, and those of trials by their number."""
    client = tracker(folder).client()
    experiment = client.get_experiment_by_name("churn")
    runs = [] if experiment is None else list(client.search_runs([experiment.experiment_id]))
    runs = [run for run in runs if "automl.kind" in run.data.tags]
    trials = [run for run in runs if run.data.tags["automl.kind"] == "trial"]
    trials.sort(key=lambda run: int(run.data.tags["automl.trial"]))
    return [run for run in runs if run.data.tags["automl.kind"] == "search"], trials


def track(folder: Path, n_trials: int = 20) -> None:
    found = candidate_set(n_trials)
    with tracker(folder).begin(SEARCH) as log:
        log.add([candidate(number) for number in range(5)])
        log.finish(found)
    assert log.wait(60)


def test_a_search_is_one_run_with_its_trials_below(home: Path) -> None:
    found = candidate_set(20)

    track(home)

    (search,), trials = all_runs(home)
    assert search.info.status == "FINISHED"
    assert search.data.params == SEARCH.params
    assert search.data.metrics["search.cpu_seconds"] == found.cpu_seconds
    assert search.data.metrics["search.peak_mb"] == found.peak_mb
    assert search.data.tags["automl.model"].startswith("ensemble of 3: ")
    assert [int(run.data.tags["automl.trial"]) for run in trials] == list(range(20))
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {search.info.run_id}


def test_a_trial_tells_what_it_was_and_why_it_lost(home: Path) -> None:
    found = candidate_set(20)
    expected = {item.number: item for item in found.leaderboard}

    track(home)

    _, trials = all_runs(home)
    assert trials[3].data.params["learning_rate"] == str(expected[3].params["learning_rate"])
    assert trials[3].data.metrics["roc_auc"] == expected[3].score
    assert trials[3].data.metrics["peak_mb"] == expected[3].peak_mb
    assert trials[3].data.metrics["cpu_seconds"] == expected[3].cpu_seconds
    assert (trials[8].info.status, trials[10].info.status) == ("FAILED", "KILLED")
    assert trials[8].data.tags["automl.reason"] == "MemoryError: 2,048 MB"
    assert trials[4].data.tags["automl.broken_limits"] == "p99_latency_ms"
    assert "p99_latency_ms 17.2, at most 15" in trials[4].data.tags["automl.reason"]
    reasons = {item.number: item.reason for item in found.leaderboard if item.is_admissible}
    told = {number: trials[number].data.tags.get("automl.reason", "") for number in reasons}
    assert told == reasons


def test_the_course_of_the_score_is_on_the_search(home: Path) -> None:
    track(home)

    (search,), _ = all_runs(home)
    history = tracker(home).client().get_metric_history(search.info.run_id, "search.best")
    best = [point.value for point in sorted(history, key=lambda point: point.step)]
    assert best == sorted(best)
    assert best[-1] == candidate_set(20).best.score


def test_tracking_again_changes_nothing(home: Path) -> None:
    track(home)
    before = all_runs(home)

    track(home)

    after = all_runs(home)
    assert [run.info.run_id for run in after[0]] == [run.info.run_id for run in before[0]]
    assert [run.to_dictionary() for run in after[1]] == [run.to_dictionary() for run in before[1]]
    client = tracker(home).client()
    assert len(client.get_metric_history(after[0][0].info.run_id, "search.score")) == len(
        [item for item in candidate_set(20).leaderboard if item.score is not None]
    )


def killed_after(folder: Path, step: str, nth: int) -> None:
    """Write a search, and die right after the n-th call of a method of MLflow's client."""
    place: Any = Dying(tracker(folder), step, nth)
    trials = MlflowTrials(place, SEARCH)
    found = candidate_set(20)
    trials.add([candidate(number) for number in range(6)])
    trials.finish(found)


class Dying:
    """A place whose client dies with its process."""

    def __init__(self, real: MlflowSearchTracker, step: str, nth: int) -> None:
        self._real, self._step, self._left = real, step, nth

    def client(self) -> Any:
        client, outer = self._real.client(), self

        class Client:
            def __getattr__(self, name: str) -> Any:
                method = getattr(client, name)
                return outer.last(method) if name == outer._step else method

        return Client()

    def last(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize(
    ("step", "nth"),
    [
        ("create_experiment", 1),
        ("create_run", 1),
        ("create_run", 4),
        ("log_batch", 1),
        ("log_batch", 5),
        ("set_terminated", 3),
        ("set_tag", 2),
        ("set_terminated", 21),
    ],
)
def test_killed_anywhere_the_next_attempt_adds_only_what_is_missing(
    home: Path, step: str, nth: int
) -> None:
    child = FORKSERVER.Process(target=killed_after, args=(home, step, nth))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    left = {run.info.run_id for run in all_runs(home)[1]}

    track(home)

    (search,), trials = all_runs(home)
    assert search.info.status == "FINISHED"
    assert search.data.params == SEARCH.params
    assert [int(run.data.tags["automl.trial"]) for run in trials] == list(range(20))
    assert left <= {run.info.run_id for run in trials}
    assert {run.info.status for run in trials} == {"FINISHED", "FAILED", "KILLED"}
    assert all("peak_mb" in run.data.metrics for run in trials)


def test_a_long_search_has_runs_for_its_best_and_some_of_its_lost_trials(home: Path) -> None:
    n_trials = 300
    found = candidate_set(n_trials)

    trials = MlflowTrials(tracker(home), SEARCH)
    trials.finish(found)

    (search,), runs = all_runs(home)
    n_lost = len([item for item in found.leaderboard if item.state != "complete"])
    assert len(runs) == N_BEST + min(N_LOST, n_lost)
    written = {int(run.data.tags["automl.trial"]) for run in runs}
    assert {item.number for item in found.leaderboard[:N_BEST]} <= written
    assert search.data.tags["automl.trials_with_a_run"] == f"{len(runs)} of {n_trials}"


def test_the_model_is_registered_with_the_run_of_its_search(home: Path, tmp_path: Path) -> None:
    registry = MlflowModelRegistry(**place(home))
    given = registration(tmp_path / "made")
    given = replace(given, tags={**given.tags, "study": SEARCH.study_name})
    track(home)

    version = registry.register(given)
    again = registry.register(given)

    (search,), _ = all_runs(home)
    assert version.mlflow_run_id == search.info.run_id
    assert again == version
    assert search.data.params == {**SEARCH.params, **given.params}
    assert search.data.tags["automl.artifact_sha256"] == given.artifact_sha256


def test_another_model_of_the_same_search_gets_a_run_of_its_own(home: Path, tmp_path: Path) -> None:
    registry = MlflowModelRegistry(**place(home))
    track(home)
    tags = {"study": SEARCH.study_name}

    one, other = (
        registry.register(replace(registration(tmp_path / "made", value=value), tags=tags))
        for value in (1.0, 2.0)
    )

    searches = [run for run in all_runs(home)[0] if "search.trials" in run.data.metrics]
    assert [run.info.run_id for run in searches] == [one.mlflow_run_id]
    assert other.mlflow_run_id != one.mlflow_run_id


def interrupted(tracker: MlflowSearchTracker, until: Callable[[], bool]) -> MlflowSearchLog:
    """Track five trials until something is true, then leave by Ctrl-C."""
    log = tracker.begin(SEARCH)
    deadline = time.monotonic() + 60
    with contextlib.suppress(KeyboardInterrupt), log:
        log.add([candidate(number) for number in range(5)])
        while not until() and time.monotonic() < deadline:
            time.sleep(0.1)
        raise KeyboardInterrupt
    return log


def test_a_short_search_that_is_stopped_leaves_nothing(home: Path) -> None:
    log = interrupted(tracker(home, quiet_seconds=60.0), until=lambda: True)

    assert log.wait(5)
    assert all_runs(home) == ([], [])


def test_leaving_without_a_result_ends_the_thread(home: Path) -> None:
    with tracker(home, quiet_seconds=60.0).begin(SEARCH) as log:
        pass

    assert log.wait(5)


def test_a_search_that_is_stopped_says_so_and_can_go_on(home: Path) -> None:
    log = interrupted(tracker(home), until=lambda: len(all_runs(home)[1]) == 5)
    assert log.wait(30)
    stopped = all_runs(home)[0][0]

    track(home)

    (search,), trials = all_runs(home)
    assert (stopped.info.status, search.info.status) == ("KILLED", "FINISHED")
    assert search.info.run_id == stopped.info.run_id
    assert len(trials) == 20


def test_an_mlflow_that_cannot_be_reached_is_told_once_and_does_not_stop_the_search(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    caplog.set_level(logging.WARNING, logger="resources.search_tracking")

    with tracker(tmp_path).begin(SEARCH) as log:
        log.add(candidate_set(5).leaderboard)
        deadline = time.monotonic() + 30
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.05)
        log.finish(candidate_set(20))
    assert log.wait(30)

    assert len(caplog.messages) == 2
    assert "the search is not affected" in caplog.messages[0]
    assert "Run the request again" in caplog.messages[1]


def test_adding_trials_returns_at_once_and_holds_a_bounded_number(home: Path) -> None:
    flood = [candidate(number) for number in range(3 * MAX_WAITING)]

    with tracker(home, quiet_seconds=60.0).begin(SEARCH) as log:
        started = time.perf_counter()
        log.add(flood)
        took = time.perf_counter() - started
        log.stop("enough")

    assert took < 0.1
    assert log.wait(5)
    assert threading.active_count() < 50
