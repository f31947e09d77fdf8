"""Searches by real worker processes: killed, adopted, late, without a disk, and with more time."""

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.errors import ServiceError
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search.plan import Addition, SearchPlan, SearchStatus
from automl_assets.core.search.planning import Machine
from automl_assets.core.search.study import CPU_SECONDS, MAX_RETRIES, is_settled, usage_of
from automl_assets.core.values import CandidateSet
from resources.processes import is_alive, pid_of
from resources.search_runner.local import LocalSearchRunner
from resources.study_storage import SQLiteStudyStorage, open_storage
from tests.whole_searches import make_problem

SCRIPT = Path(__file__).with_name("supervise.py")


def make_plan(
    folder: Path,
    *,
    n_rows: int = 600,
    n_workers: int = 2,
    seconds: float | None = None,
    **search: Any,
) -> SearchPlan:
    problem = make_problem(
        folder,
        n_rows=n_rows,
        search={"workers": n_workers} | ({"n_trials": 8} if seconds is None else {}) | search,
        model={"families": ["lightgbm", "linear"]},
    )
    machine = Machine(max_workers=n_workers, memory_mb=None, seconds=seconds)
    plan = problem.plan(folder / "studies" / "study" / "candidates", machine)
    assert plan.n_workers == n_workers
    return plan


def run(
    folder: Path,
    plan: SearchPlan,
    on_progress: Callable[[SearchStatus], None] = lambda status: None,
    added: Addition | None = None,
) -> CandidateSet:
    runner = LocalSearchRunner(studies_folder=str(folder / "studies"))
    return runner.run(plan, on_progress, added=added)


def study_of(folder: Path) -> optuna.Study:
    url = SQLiteStudyStorage(folder / "studies").url("study")
    return optuna.load_study(study_name="study", storage=open_storage(url))


def trials_of(folder: Path) -> list[FrozenTrial]:
    return study_of(folder).get_trials(deepcopy=False)


def settled(trials: list[FrozenTrial]) -> dict[int, float | None]:
    return {trial.number: trial.value for trial in trials if is_settled(trial)}


def workers(folder: Path) -> list[int]:
    """Return the numbers of the workers that live."""
    stamps = [file.read_text() for file in (folder / "studies/study/workers").glob("*.worker")]
    return [pid_of(stamp) for stamp in stamps if stamp and is_alive(stamp)]


def children(folder: Path) -> list[psutil.Process]:
    found = []
    for pid in workers(folder):
        try:
            found += psutil.Process(pid).children()
        except psutil.NoSuchProcess:
            continue
    return found


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.05)


@contextmanager
def supervisor(folder: Path, plan: SearchPlan) -> Iterator["subprocess.Popen[bytes]"]:
    file = folder / "plan.json"
    file.write_text(plan.model_dump_json())
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(folder / "studies"), str(file)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def found(folder: Path) -> CandidateSet:
    return CandidateSet.model_validate_json((folder / "plan.found").read_bytes())


@pytest.mark.slow
def test_two_workers_run_the_asked_number_of_trials_and_make_one_model(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    seen: list[SearchStatus] = []

    candidates = run(tmp_path, plan, seen.append)

    assert len(candidates.leaderboard) == 8
    assert {item.state for item in candidates.leaderboard} <= {"complete", "pruned"}
    assert len({trial.user_attrs["worker"] for trial in trials_of(tmp_path)[:8]}) == 2
    package = tmp_path / "studies" / candidates.artifact
    assert load_predictor(package, sha256=candidates.artifact_sha256)
    assert candidates.stopped_by == "n_trials"
    assert candidates.cpu_seconds > 0
    assert candidates.peak_mb > 50
    assert all(item.cpu_seconds and item.peak_mb for item in candidates.leaderboard)
    assert seen[-1].n_finished == 8
    assert seen[-1].running == ()
    assert workers(tmp_path) == []


@pytest.mark.slow
def test_a_search_that_has_ended_gives_the_same_again(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_trials=2)
    first = run(tmp_path, plan)

    assert run(tmp_path, plan) == first


class Killer:
    """Kills parts of a search at random, each time that it has got on; restarts its supervisor."""

    def __init__(self, folder: Path, plan: SearchPlan, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.command = [sys.executable, str(SCRIPT), str(folder / "studies")]
        self.command.append(str(folder / "plan.json"))
        (folder / "plan.json").write_text(plan.model_dump_json())
        self.supervisor = subprocess.Popen(self.command)
        self.study: optuna.Study | None = None
        self.kills: list[str] = []

    def trials(self) -> list[FrozenTrial]:
        if self.study is None:
            wait_until(lambda: (self.folder / "studies/study/workers").exists())
            self.study = study_of(self.folder)
        return self.study.get_trials(deepcopy=False)

    def may_kill(self, n_settled: float) -> bool:
        """A trial that dies three times has failed by itself: none is to."""
        trials = self.trials()
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        spared = any(trial.user_attrs.get("retries", 0) >= MAX_RETRIES for trial in running)
        return len(settled(trials)) >= n_settled and not spared

    def kill(self, what: str) -> None:
        if what == "supervisor":
            self.supervisor.kill()
            self.supervisor.wait()
            self.supervisor = subprocess.Popen(self.command)
        else:
            alive = {
                "worker": lambda: workers(self.folder),
                "child": lambda: [child.pid for child in children(self.folder)],
            }[what]
            wait_until(lambda: alive() != [])
            os.kill(self.random.choice(sorted(alive())), signal.SIGKILL)
        self.kills.append(what)


@pytest.mark.slow
def test_twenty_kills_lose_no_trial_and_repeat_none(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_rows=2_000, n_trials=40)
    killer = Killer(tmp_path, plan, seed=20)
    told: dict[int, float | None] = {}
    whats = ["worker"] * 7 + ["child"] * 7 + ["supervisor"] * 6
    killer.random.shuffle(whats)
    try:
        for number, what in enumerate(whats):
            wait_until(lambda at_least=1.7 * number: killer.may_kill(at_least))
            told |= settled(killer.trials())
            killer.kill(what)
        assert killer.supervisor.wait(timeout=120) == 0
    finally:
        killer.supervisor.kill()
        killer.supervisor.wait()

    trials = trials_of(tmp_path)
    after = settled(trials)
    assert sorted(killer.kills) == sorted(whats)
    assert len(after) == 40
    assert {trials[number].state.name for number in after} <= {"COMPLETE", "PRUNED"}
    assert told.items() <= after.items()
    assert not [trial.number for trial in trials if trial.state == TrialState.RUNNING]
    successors = [t.user_attrs["retry_of"] for t in trials if "retry_of" in t.user_attrs]
    assert len(set(successors)) == len(successors)
    assert not set(successors) & set(after)
    assert len(found(tmp_path).leaderboard) == 40
    wait_until(lambda: workers(tmp_path) == [])


@pytest.mark.slow
def test_workers_outlive_their_supervisor_and_are_adopted(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_rows=4_000, n_trials=12)
    with supervisor(tmp_path, plan) as first:
        wait_until(lambda: len(children(tmp_path)) == 2)
        before = workers(tmp_path)
        first.kill()
        first.wait()

        with supervisor(tmp_path, plan) as second:
            wait_until(lambda: len(settled(trials_of(tmp_path))) >= 4)
            after = workers(tmp_path)
            assert second.wait(timeout=120) == 0

    assert sorted(after) == sorted(before)
    names = {trial.user_attrs.get("worker") for trial in trials_of(tmp_path)} - {None}
    assert len(names) == 2
    assert len(found(tmp_path).leaderboard) == 12


@pytest.mark.slow
def test_workers_that_nobody_adopts_leave(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_rows=4_000, n_trials=500)
    with supervisor(tmp_path, plan) as process:
        wait_until(lambda: len(children(tmp_path)) == 2)
        alive = [*workers(tmp_path), *(child.pid for child in children(tmp_path))]
        process.kill()
        process.wait()

        assert workers(tmp_path) != []
        wait_until(lambda: not any(map(psutil.pid_exists, alive)), seconds=60)


@pytest.mark.slow
def test_a_second_supervisor_is_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_trials=500)
    with supervisor(tmp_path, plan) as process:
        wait_until(lambda: len(workers(tmp_path)) == 2)

        with pytest.raises(ServiceError, match=f"process {process.pid} is running this one"):
            run(tmp_path, plan)

        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    assert workers(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_rows=4_000, n_trials=500)
    with supervisor(tmp_path, plan) as process:
        wait_until(lambda: len(children(tmp_path)) == 2)
        alive = [*workers(tmp_path), *(child.pid for child in children(tmp_path))]

        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)

    # The last of them are reaped by whoever adopts orphans.
    wait_until(lambda: not any(map(psutil.pid_exists, alive)), seconds=2)


@pytest.mark.slow
def test_a_full_disk_ends_the_search_and_names_the_log(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_workers=1)
    artifacts = Path(plan.artifacts)
    for number in range(60):
        # A file where a trial's folder should be: nothing can be written there.
        (artifacts / str(number)).touch()

    with pytest.raises(ServiceError, match="exit code 75") as raised:
        run(tmp_path, plan)

    assert "OSError" in str(raised.value) or "Error: [Errno" in str(raised.value)
    log = Path(str(raised.value).rpartition("Its log: ")[2])
    assert log.is_file()
    assert workers(tmp_path) == []


@pytest.mark.slow
def test_a_database_that_is_busy_for_long_loses_no_finished_trial(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_trials=6)
    held = []

    def hold(status: SearchStatus) -> None:
        if status.n_finished >= 1 and not held:
            thread = Thread(target=hold_database, args=(tmp_path, 4.0))
            held.append(thread)
            thread.start()

    candidates = run(tmp_path, plan, hold)

    held[0].join()
    assert len(candidates.leaderboard) == 6
    assert not [t for t in trials_of(tmp_path) if t.state == TrialState.FAIL]


def hold_database(folder: Path, seconds: float) -> None:
    connection = sqlite3.connect(folder / "studies/study/study.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_the_time_limit_holds(tmp_path: Path, clock: str) -> None:
    limit = 12.0
    plan = make_plan(tmp_path, seconds=limit).model_copy(update={"clock": clock})

    candidates = run(tmp_path, plan)

    assert candidates.seconds < limit + 2
    assert candidates.seconds > 0.6 * limit
    assert candidates.stopped_by == "time_limit"


@pytest.mark.parametrize("ending", ["done", "interrupted"])
def test_the_time_of_trials_adds_to_that_of_the_supervisors_children(
    tmp_path: Path, ending: str
) -> None:
    plan = make_plan(tmp_path, n_trials=3 if ending == "done" else 100, n_workers=1)

    def on_progress(status: SearchStatus) -> None:
        if ending == "interrupted" and status.n_finished >= 3:
            raise KeyboardInterrupt

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with suppress(KeyboardInterrupt):
        run(tmp_path, plan, on_progress)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used > 0.95 * usage_of(study_of(tmp_path))[CPU_SECONDS] > 1


FINAL = """
import json, math, os, signal, sys, time
from pathlib import Path
from automl_assets.core.search.final import FinalModelMaker
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import load_selection
from automl_assets.core.search.standing import finalists
from resources.final_process import make_final_model
from resources.search_work import SearchWork
from tests.integration.test_search_runner import study_of

folder, trouble = Path(sys.argv[1]), sys.argv[2]
plan = SearchPlan.model_validate_json((folder / "plan.json").read_bytes())
fitted_again = FinalModelMaker._fitted_again

def troubled(self, found, selection):
    if trouble == "hang":
        time.sleep(600)
    if trouble == "kill" and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return fitted_again(self, found, selection)

FinalModelMaker._fitted_again = troubled
data, preprocessing = load_selection(plan)
until = time.monotonic() + float(sys.argv[3])
made = make_final_model(
    SearchWork(plan, data, preprocessing).child(), plan, finalists(study_of(folder), plan),
    left=lambda: until - time.monotonic(), on_tick=lambda: None,
)
print(json.dumps({**made, "late": time.monotonic() - until}))
"""


def final_with(trouble: str, folder: Path, *, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-c", FINAL, str(folder), trouble, str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_final_model_that_hangs_or_is_killed_comes_all_the_same(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_trials=2)
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    run(tmp_path, plan)

    hung = final_with("hang", tmp_path, seconds=15)
    killed = final_with("kill", tmp_path, seconds=60)

    assert 0 < hung["late"] < 2
    assert hung["model"]["folder"] == "as-found"
    assert not any(member["refitted"] for member in hung["model"]["members"])
    assert (tmp_path / "killed").exists()
    assert any(member["refitted"] for member in killed["model"]["members"])


@pytest.mark.slow
def test_more_time_goes_on_with_a_search_that_has_ended(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, n_trials=6)
    first = run(tmp_path, plan)
    before = settled(trials_of(tmp_path))
    added = Addition(name="run-1", seconds=15.0)

    second = run(tmp_path, plan, added=added)

    assert before.items() <= settled(trials_of(tmp_path)).items()
    assert len(second.leaderboard) > 6
    assert first.seconds + 8 < second.seconds < first.seconds + 15 + 2
    assert second.stopped_by == "time_limit"
    again = run(tmp_path, plan, added=added)
    assert again == second
    assert json.loads(again.model_dump_json()) == json.loads(second.model_dump_json())
