"""A search run again gives the same model: by its number of trials, or from its ledger."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from automl_assets.core.errors import SearchError
from automl_assets.core.families import (
    DataShape,
    Encoded,
    FitOptions,
    load_families,
)
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.planning import Machine
from automl_assets.core.search.replay import (
    LEDGER_FILE,
    PLAN_FILE,
    replay_model,
    replay_trial,
    write_records,
)
from automl_assets.core.search.selection import load_selection
from automl_assets.core.search.space import draw
from automl_assets.core.search.standing import ledger, ledger_sha256
from automl_assets.core.values import CandidateSet
from resources.search_runner.local import LocalSearchRunner
from resources.study_storage import SQLiteStudyStorage, open_storage
from tests.whole_searches import Problem, make_problem, package_of, search

FAMILIES = sorted(load_families())
CASES = [(name, task) for name in FAMILIES for task in sorted(load_families()[name].task_types)]
RECORDS = (PLAN_FILE, LEDGER_FILE)
N_CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}


def rows(task: str, n_rows: int = 600, seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.normal(size=(n_rows, 5)).astype(np.float32))
    X[:, 3] = rng.integers(0, 6, n_rows)
    X[rng.random(n_rows) < 0.1, 1] = np.nan
    signal = X[:, 0] + np.sin(2 * X[:, 2]) + 0.4 * X[:, 3] + 0.5 * rng.normal(size=n_rows)
    y = {
        "binary": (signal > 1).astype(np.int32),
        "multiclass": np.digitize(signal, [0.3, 1.7]).astype(np.int32),
        "regression": signal.astype(np.float64),
    }[task]
    return Encoded(X=X, y=y, n_levels=(0, 0, 0, 6, 0))


def stop_after(n_asked: int) -> Callable[[], bool]:
    """A clock that has run out when it is asked so many times."""
    count = itertools.count(1)
    return lambda: next(count) >= n_asked


def drawn_params(name: str, task: str, seed: int) -> dict[str, Any]:
    """Defaults first, then what a sampler may draw."""
    family = load_families()[name]
    if seed == 0:
        return family.default_params()
    shape = DataShape(n_rows=600, n_levels=(0, 0, 0, 6, 0), n_classes=N_CLASSES[task])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return family.default_params() | draw(study.ask(), name, family.space(shape))


SLOW = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_fit_that_the_clock_cut_is_the_fit_of_so_many_iterations(
    name: str, task: str, seed: int
) -> None:
    family, params = load_families()[name], drawn_params(name, task, seed)
    train, held_out = rows(task), rows(task, seed=1)
    shared: dict[str, Any] = {"task_type": task, "n_classes": N_CLASSES[task], "seed": 7 + seed}

    for n_asked in (1, 2, 23):
        cut = family.fit(
            train, held_out, params, FitOptions(**shared, should_stop=stop_after(n_asked))
        )
        exact = FitOptions(**shared, n_iterations=cut.n_iterations)
        again = family.fit(train, held_out if cut.n_iterations is None else None, params, exact)

        assert again.n_iterations == cut.n_iterations
        np.testing.assert_array_equal(again.predict(held_out.X), cut.predict(held_out.X))


def assert_same_model(problem: Problem, first: Path, second: Path) -> None:
    ours, theirs = load_predictor(first), load_predictor(second)
    np.testing.assert_array_equal(
        ours.predict_array(problem.others), theirs.predict_array(problem.others)
    )
    assert ours.predict(problem.others).equals(theirs.predict(problem.others))
    assert ours.manifest.threshold == theirs.manifest.threshold
    assert ours.manifest.family == theirs.manifest.family


SECTIONS: dict[str, dict[str, Any]] = {
    "binary, calibrated, by cost": {
        "model": {"calibration": "isotonic"},
        "task": {"cost": {"false_positive": 1, "false_negative": 7}},
    },
    "binary, feature sets": {
        "kind": "binary",
        "model": {"preprocessing": {"redundancy": "pca", "feature_selection": "permutation"}},
        "constraints": {"max_features": 5},
    },
    "multiclass, no ensemble": {"kind": "multiclass", "search": {"ensemble": "none"}},
    "multiclass, temperature": {"kind": "multiclass", "model": {"calibration": "temperature"}},
    "regression, out of fold": {"kind": "regression"},
    "regression, heavy tail, held out": {"kind": "regression", "heavy": True},
}


def problem_of(name: str, folder: Path, **search_keys: Any) -> Problem:
    sections = dict(SECTIONS[name])
    sections["search"] = {**sections.get("search", {}), **search_keys}
    return make_problem(folder, n_rows=600, **sections)


def plan_of(name: str, problem: Problem, artifacts: Path, **changes: Any) -> SearchPlan:
    limit = problem.request.search.effective_time_limit
    plan = problem.plan(artifacts, Machine(max_workers=1, memory_mb=None, seconds=limit))
    # Fewer folds than planned: what differs between one and several is what matters.
    n_fits = 1 if "held out" in name else min(2, plan.n_fits)
    return plan.model_copy(update={"n_fits": n_fits, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SECTIONS))
def test_two_searches_of_so_many_trials_are_the_same(name: str, tmp_path: Path) -> None:
    problem = problem_of(name, tmp_path, n_trials=6, sampler="tpe")
    plans = [
        plan_of(name, problem, tmp_path / attempt, proposals=problem_proposals(problem, tmp_path))
        for attempt in ("first", "second")
    ]

    (first, one), (second, other) = (search(plan) for plan in plans)

    assert one != other  # what was measured differs, or nothing was run a second time
    assert first.ledger_sha256 == second.ledger_sha256
    assert len({item.family for item in first.leaderboard}) > 2
    assert first.members == second.members
    assert_same_model(problem, package_of(plans[0], first), package_of(plans[1], second))
    assert any(member.with_found for member in first.members) == ("heavy tail" in name)
    replay_model(plans[0], one, first, tmp_path / "again")
    assert_same_model(problem, package_of(plans[0], first), tmp_path / "again")


def problem_proposals(problem: Problem, folder: Path) -> tuple[Any, ...]:
    """Fewer proposals than trials, so that the sampler has a say; of different families."""
    every = problem.plan(folder / "proposals").proposals
    by_family = {item.family: item for item in reversed(every)}
    return tuple(list(by_family.values())[:4])


class TickingClock:
    """Time that passes by looking at it: what it ends, it ends alike on every machine."""

    def __init__(self, tick: float) -> None:
        self._ticks = itertools.count()
        self._tick = tick

    def __call__(self) -> float:
        return self._tick * next(self._ticks)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_search_that_the_clock_ended_is_replayed_from_its_ledger(
    name: str, tmp_path: Path
) -> None:
    problem = problem_of(name, tmp_path, time_limit="30s")
    plan = plan_of(name, problem, tmp_path / "first")

    found, entries = search(plan, clock=TickingClock(0.05))
    replay_model(plan, entries, found, tmp_path / "again")

    results = [entry["result"] for entry in entries if entry["result"]]
    assert any(result["truncated"] for result in results)
    assert_same_model(problem, package_of(plan, found), tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize("left", ["refits", "nothing"])
def test_what_the_time_limit_left_as_found_is_replayed_as_found(left: str, tmp_path: Path) -> None:
    name = "binary, calibrated, by cost"
    problem = problem_of(name, tmp_path, n_trials=4)
    plan = plan_of(name, problem, tmp_path / "first")
    found, entries = search(plan)
    kept = tuple(
        member.model_copy(update={"refitted": False, "more_seeds": (), "with_found": False})
        for member in found.members
    )
    as_found = found.model_copy(update={"members": kept})
    if left == "nothing":
        alone = as_found.members[0].model_copy(update={"weight": 1.0})
        as_found = as_found.model_copy(
            update={"members": (alone,), "calibration": "none", "threshold": None}
        )

    replay_model(plan, entries, as_found, tmp_path / "again")

    if left == "nothing":
        number = str(as_found.members[0].number)
        first = Path(plan.artifacts) / number / "package"
    else:
        first = Path(plan.artifacts) / "as-found"
    assert_same_model(problem, first, tmp_path / "again")


@pytest.mark.slow
def test_a_trial_of_the_ledger_finds_its_score_again(tmp_path: Path) -> None:
    problem = problem_of("multiclass, temperature", tmp_path, time_limit="40s")
    plan = plan_of("multiclass, temperature", problem, tmp_path / "first")
    _, entries = search(plan, clock=TickingClock(0.02))

    told = [entry for entry in entries if entry["result"]]
    assert {entry["state"] for entry in told} >= {"complete"}
    data, _ = load_selection(plan)
    for number, entry in enumerate(told):
        again = replay_trial(plan, entry, data if number else None)
        assert again.score == entry["result"]["score"]
        assert list(again.fold_scores) == list(entry["result"]["fold_scores"])
        file = Path(plan.artifacts) / str(entry["number"]) / "selection.npy"
        if entry["state"] == "complete":
            np.testing.assert_array_equal(np.load(file), again.prediction.astype(np.float32))


def run_with_workers(plan: SearchPlan, folder: Path) -> tuple[CandidateSet, list[dict[str, Any]]]:
    found = LocalSearchRunner(studies_folder=str(folder)).run(plan, lambda _: None)
    url = SQLiteStudyStorage(folder).url(plan.study_name)
    study = optuna.load_study(study_name=plan.study_name, storage=open_storage(url))
    return found, ledger(study)


@pytest.mark.slow
def test_two_searches_by_a_worker_process_are_the_same(tmp_path: Path) -> None:
    problem = make_problem(tmp_path, "binary", search={"n_trials": 5})
    found = []
    for attempt in ("first", "second"):
        plan = problem.plan(tmp_path / attempt / "study" / "candidates")
        candidates, _ = run_with_workers(plan, tmp_path / attempt)
        found.append((candidates, package_of(plan, candidates)))

    (first, one), (second, other) = found
    assert first.ledger_sha256 == second.ledger_sha256
    assert_same_model(problem, one, other)


@pytest.mark.slow
def test_a_search_that_has_ended_leaves_what_it_is_replayed_from(tmp_path: Path) -> None:
    problem = make_problem(
        tmp_path, "binary", search={"n_trials": 2}, model={"families": ["linear"]}
    )
    plan = problem.plan(tmp_path / "studies" / "study" / "candidates")

    found, entries = run_with_workers(plan, tmp_path / "studies")
    left = {file: (tmp_path / "studies" / "study" / file).read_bytes() for file in RECORDS}
    run_with_workers(plan, tmp_path / "studies")
    again = {file: (tmp_path / "studies" / "study" / file).read_bytes() for file in RECORDS}

    ledger_left = json.loads(left[LEDGER_FILE])
    assert ledger_left == json.loads(json.dumps(entries))
    assert ledger_sha256(ledger_left) == found.ledger_sha256
    replay_model(
        SearchPlan.model_validate_json(left[PLAN_FILE]), ledger_left, found, tmp_path / "again"
    )
    assert_same_model(problem, package_of(plan, found), tmp_path / "again")
    assert left == again


def test_the_records_of_a_search_read_back_and_equal_ones_have_equal_bytes(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"search": {"n_trials": 1}, "model": {"families": ["linear"]}}
    problem = make_problem(tmp_path, n_rows=300, **sections)
    plan = problem.plan(tmp_path / "first")
    _, entries = search(plan)
    # Numbers that are none are kept: a loss that diverged is in the curve of its trial.
    entries[0]["result"]["curve"] = [[1, float("nan")], [2, float("inf")]]

    write_records(tmp_path / "one", plan, entries)
    write_records(tmp_path / "other", plan, [dict(reversed(entry.items())) for entry in entries])

    one, other = ([tmp_path / of / name for name in RECORDS] for of in ("one", "other"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]
    assert SearchPlan.model_validate_json(one[0].read_bytes()) == plan
    assert ledger_sha256(json.loads(one[1].read_bytes())) == ledger_sha256(entries)


@pytest.mark.slow
def test_a_time_limited_search_of_two_workers_is_replayed_from_its_ledger(tmp_path: Path) -> None:
    problem = make_problem(tmp_path, "binary", n_rows=3_000, search={"time_limit": "8s"})
    # CPU time: what else the machine does ends no trial before it has a model.
    machine = Machine(max_workers=2, memory_mb=None, seconds=8.0, clock="cpu")
    plan = problem.plan(tmp_path / "first" / "study" / "candidates", machine)

    found, entries = run_with_workers(plan, tmp_path / "first")
    replay_model(plan, entries, found, tmp_path / "again")

    assert found.stopped_by == "time_limit"
    assert_same_model(problem, package_of(plan, found), tmp_path / "again")


def test_a_model_is_not_replayed_from_another_ledger(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"search": {"n_trials": 1}, "model": {"families": ["linear"]}}
    problem = make_problem(tmp_path, n_rows=300, **sections)
    plan = problem.plan(tmp_path / "first")
    found, entries = search(plan)
    changed = [{**entry, "value": 0.5} for entry in entries]

    with pytest.raises(SearchError, match="replayed from the ledger it was found with"):
        replay_model(plan, changed, found, tmp_path / "again")
    failed = {"number": 3, "state": "failed", "job": None, "reason": "MemoryError: 9 MB"}
    with pytest.raises(SearchError, match="ended as 'failed': MemoryError"):
        replay_trial(plan, failed | {"result": None})
