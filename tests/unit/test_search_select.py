"""Which of the candidates that are tied with the best becomes the model."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage

from automl_assets.core.predictor import load_predictor
from automl_assets.core.search import ties
from automl_assets.core.search.final import FinalModel
from automl_assets.core.search.outcome import (
    NO_ENSEMBLE,
    NONE_TIED,
    NOT_TOLD,
    collect_candidates,
)
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import replay_model
from automl_assets.core.search.standing import finalists
from automl_assets.core.search.study import FINAL, open_study, tell_result
from automl_assets.core.search.ties import NO_TIME, Ties
from automl_assets.core.search.trial import PACKAGE, PREDICTIONS, Job
from automl_assets.core.values import Board, CandidateSet, Contender, Member
from tests.searches import claims, make_plan, make_result
from tests.whole_searches import Problem, make_problem, package_of, search

SIMPLEST: dict[str, Any] = {"select": "simplest_of_tied"}


def job(number: int) -> Job:
    return Job(number=number, family="linear", params={}, seed=number, origin="tpe")


def tied(*results: Any, worse: int = 0, metric: str = "rmse") -> Ties:
    """Return candidates with these results that are about equal, then some that are worse."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    n_all = len(results) + worse
    predictions = [y + (1.0 if place < len(results) else 3.0) for place in range(n_all)]
    predictions = [item + 0.3 * rng.normal(size=400) for item in predictions]
    told = [*results, *(make_result(model_bytes=1) for _ in range(worse))]
    scores = [float(np.mean((item - y) ** 2) ** 0.5) for item in predictions]
    candidates = [
        (job(number), result.model_copy(update={"score": score}))
        for number, (result, score) in enumerate(zip(told, scores, strict=True))
    ]
    plan = make_plan(task_type="regression", classes=(), metric=metric)
    return Ties(plan, candidates, predictions, y)


def order(found: Ties) -> list[int]:
    found.tell(100.0)
    return found.by_simplicity()


# --- who is the simplest --------------------------------------------------------------------------


def test_the_smallest_of_those_tied_is_the_simplest() -> None:
    sizes = [make_result(model_bytes=size) for size in (80_000, 3_000, 900_000)]

    assert order(tied(*sizes, worse=2)) == [1, 0, 2]


def test_sizes_that_are_about_equal_count_as_equal_and_fewer_iterations_decide() -> None:
    results = [
        make_result(model_bytes=100_000, n_iterations=(90, 10)),
        make_result(model_bytes=101_000, n_iterations=(40, 50)),
        make_result(model_bytes=99_500, n_iterations=()),
    ]

    assert order(tied(*results)) == [2, 1, 0]


def test_of_equally_simple_ones_the_better_score_comes_first() -> None:
    assert order(tied(*[make_result() for _ in range(3)])) == [0, 1, 2]


@pytest.mark.parametrize(("n_timed", "expected"), [(2, [1, 0]), (1, [0, 1])])
def test_a_latency_decides_first_where_all_were_timed(n_timed: int, expected: list[int]) -> None:
    latencies = [9.0, 2.0][:n_timed]
    results = [
        make_result(model_bytes=size, measured={"p99_latency_ms": latency} if latency else {})
        for size, latency in zip((1_000, 50_000), [*latencies, 0.0, 0.0], strict=False)
    ]

    assert order(tied(*results)) == expected


# --- time and reasons -----------------------------------------------------------------------------


def test_where_there_is_no_time_nobody_is_compared_and_that_is_said() -> None:
    found = tied(make_result(), make_result())

    assert found.tell(found.seconds * 0.9) is None
    assert found.tell(100.0) is None
    assert (found.notes, found.by_simplicity()) == ((NO_TIME,), [])


def test_where_the_metric_is_undefined_the_reason_is_said() -> None:
    found = tied(make_result(), make_result(), metric="wape")
    found._y[:] = 0.0

    assert found.tell(100.0) is None
    (note,) = found.notes
    assert note.startswith("Nobody could tell which candidates are tied with the best: WAPE needs")


def test_one_candidate_is_not_compared_and_takes_no_time() -> None:
    found = tied(make_result())

    assert found.seconds == 0.0
    assert found.tell(-1.0) is None
    assert found.notes == ()


def test_a_second_call_computes_nothing(monkeypatch) -> None:
    found = tied(make_result(), make_result())
    board = found.tell(100.0)
    monkeypatch.setattr(ties, "make_board", None)

    assert board is not None
    assert found.tell(-1.0) is board


# --- what is told of it ---------------------------------------------------------------------------


def searched(artifacts: Path, **changes: Any) -> tuple[optuna.Study, SearchPlan]:
    """Return a search with four candidates: 0 is the best."""
    plan = make_plan(n_trials=4, artifacts=str(artifacts), **changes)
    study, plan = open_study(plan, InMemoryStorage())
    for claim in claims(study, plan):
        tell_result(study, claim.trial, make_result(0.3 + 0.01 * claim.job.number))
        (artifacts / str(claim.job.number) / PACKAGE).mkdir(parents=True)
        (artifacts / str(claim.job.number) / PREDICTIONS).write_bytes(b"")
    return study, plan


def end(study: optuna.Study, winner: int, *, tied_ones: tuple[int, ...] | None) -> None:
    contenders = tuple(
        Contender(number=n, score=0.3 + 0.01 * n, p_best=0.5, is_tied=n in (tied_ones or ()))
        for n in range(3)
    )
    board = Board(
        metric="log_loss",
        direction="minimize",
        contenders=contenders,
        naive=0.3,
        corrected=0.31,
        low=0.29,
        high=0.33,
        method="bootstrap",
        seed=5,
        n_rows=100,
        n_drawn=100,
    )
    member = Member(
        number=winner, family="linear", params={}, weight=1.0, seed=1, n_iterations=None,
        refitted=True,
    )  # fmt: skip
    model = FinalModel(
        folder="final",
        package_sha256="f" * 64,
        members=(member,),
        score=0.3,
        board=None if tied_ones is None else board,
    )
    study.set_user_attr(FINAL, {"model": model.model_dump(mode="json"), "refused": []})


def collect(artifacts: Path, winner: int, tied_ones: Any, **changes: Any) -> CandidateSet:
    study, plan = searched(artifacts, **changes)
    end(study, winner, tied_ones=tied_ones)
    return collect_candidates(study, plan, seconds=1.0)


def reasons(found: CandidateSet) -> dict[int, str]:
    return {item.number: item.reason for item in found.leaderboard}


def test_a_candidate_that_is_tied_is_told_so_and_one_that_is_not_too(tmp_path: Path) -> None:
    found = collect(tmp_path, 0, (0, 1))

    assert found.board is not None
    assert found.board.tied == (0, 1)
    assert reasons(found) == {
        0: "",
        1: "0.01 worse than trial 0; tied, within what chance explains",
        2: "0.02 worse than trial 0; more than chance explains",
        3: "0.03 worse than trial 0",
    }
    assert found.notes == ()


def test_where_a_simpler_one_was_taken_the_others_say_so(tmp_path: Path) -> None:
    found = collect(tmp_path, 1, (0, 1), max_members=4, **SIMPLEST)

    assert (found.winner, found.select) == (1, "simplest_of_tied")
    assert reasons(found)[0] == (
        "best by itself, but not in the final model; tied, but trial 1 is simpler"
    )
    assert reasons(found)[2] == "0.02 worse than trial 0; more than chance explains"
    assert found.notes == (NO_ENSEMBLE,)


@pytest.mark.parametrize(("tied_ones", "note"), [(None, NOT_TOLD), ((0, 1), NONE_TIED)])
def test_where_the_asked_choice_could_not_be_made_that_is_said(
    tmp_path: Path, tied_ones: Any, note: str
) -> None:
    assert collect(tmp_path, 2, tied_ones, **SIMPLEST).notes == (note,)


def test_where_the_time_ended_first_that_is_said(tmp_path: Path) -> None:
    study, plan = searched(tmp_path, **SIMPLEST)

    found = collect_candidates(study, plan, seconds=1.0)

    assert found.winner == finalists(study, plan)[0].job.number
    assert NOT_TOLD in found.notes


# --- whole searches -------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"model": {"families": ["lightgbm", "linear", "knn"]}}


def asked(folder: Path, select: str, kind: str = "binary") -> Problem:
    sections = {**ASKED, "search": {"n_trials": 5, "select": select}}
    return make_problem(folder, kind, n_rows=500, **sections)


def test_the_best_is_the_same_model_whether_ties_are_told_or_not(
    tmp_path: Path, monkeypatch
) -> None:
    problem = asked(tmp_path, "best")

    told, _ = search(problem.plan(tmp_path / "told"))
    monkeypatch.setattr(Ties, "tell", lambda self, seconds_left: None)
    silent, _ = search(problem.plan(tmp_path / "silent"))

    assert told.board is not None
    assert silent.board is None
    assert told.members == silent.members
    assert told.ledger_sha256 == silent.ledger_sha256
    X = problem.others
    one = load_predictor(package_of(problem.plan(tmp_path / "told"), told))
    two = load_predictor(package_of(problem.plan(tmp_path / "silent"), silent))
    np.testing.assert_array_equal(one.predict_array(X), two.predict_array(X))


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_simplest_of_those_tied_wins_is_fitted_again_and_is_replayed(
    tmp_path: Path, kind: str
) -> None:
    problem = asked(tmp_path, "simplest_of_tied", kind)
    plan = problem.plan(tmp_path / "candidates")

    found, entries = search(plan)

    assert found.board is not None
    (member,) = found.members
    assert member.refitted
    sizes = {item.number: item.model_bytes or 0 for item in found.leaderboard}
    assert member.number in found.board.tied
    assert sizes[member.number] <= 1.2 * min(sizes[number] for number in found.board.tied)
    assert NO_ENSEMBLE in found.notes
    replay_model(plan, entries, found, tmp_path / "again")
    one, two = load_predictor(package_of(plan, found)), load_predictor(tmp_path / "again")
    np.testing.assert_array_equal(
        one.predict_array(problem.others), two.predict_array(problem.others)
    )


def test_the_same_ledger_comes_of_both_ways_to_select(tmp_path: Path) -> None:
    best, _ = search(asked(tmp_path / "a", "best").plan(tmp_path / "one"))
    simplest, _ = search(asked(tmp_path / "b", "simplest_of_tied").plan(tmp_path / "two"))

    assert best.ledger_sha256 == simplest.ledger_sha256
    assert best.board == simplest.board
