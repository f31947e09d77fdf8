"""Greedy ensembles: never worse than the best candidate, and never larger than asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core import ensemble
from automl_assets.core.ensemble import greedy_weights
from automl_assets.core.errors import SearchError
from automl_assets.core.metrics import Metric, load_metrics

CASES = [
    (name, task) for name, metric in load_metrics().items() for task in sorted(metric.task_types)
]


def library(
    task: str, *, n_candidates: int = 6, n_rows: int = 300, seed: int = 0, decimals: int = 8
) -> tuple[list[np.ndarray], np.ndarray]:
    """Predictions that are right but for noise of their own, of different size."""
    rng = np.random.default_rng(seed)
    n_outputs = {"regression": 1, "binary": 2, "multiclass": 4}[task]
    truth = rng.normal(size=(n_rows, n_outputs))
    noise = [rng.normal(scale=0.6 + 0.1 * i, size=truth.shape) for i in range(n_candidates)]
    if task == "regression":
        return [(truth + item)[:, 0].round(decimals) for item in noise], truth[:, 0]
    y = truth.argmax(axis=1).astype(np.int32)
    y[:n_outputs] = np.arange(n_outputs)
    odds = [np.exp(2 * (truth + item)).round(decimals) + 1e-3 for item in noise]
    return [item / item.sum(axis=1, keepdims=True) for item in odds], y


def mean(predictions: list[np.ndarray], weights: list[tuple[int, float]]) -> np.ndarray:
    return np.asarray(sum(weight * predictions[index] for index, weight in weights))


def is_no_worse(metric: Metric, score: float, other: float) -> bool:
    return score <= other if metric.direction == "minimize" else score >= other


@pytest.mark.parametrize(("name", "task"), CASES)
@settings(max_examples=15, deadline=None)
@given(
    n_candidates=st.integers(1, 7),
    n_rows=st.integers(20, 120),
    seed=st.integers(0, 2**16),
    decimals=st.integers(1, 6),
    max_members=st.integers(1, 5),
)
def test_an_ensemble_is_never_worse_than_the_best_candidate(
    name: str,
    task: str,
    n_candidates: int,
    n_rows: int,
    seed: int,
    decimals: int,
    max_members: int,
) -> None:
    metric = load_metrics()[name]
    predictions, y = library(
        task, n_candidates=n_candidates, n_rows=n_rows, seed=seed, decimals=decimals
    )

    weights = greedy_weights(predictions, y, metric, max_members=max_members)

    together = metric.score(y, mean(predictions, weights))
    assert all(is_no_worse(metric, together, metric.score(y, p)) for p in predictions)
    assert sum(weight for _, weight in weights) == pytest.approx(1.0, abs=1e-12)
    assert all(weight > 0 for _, weight in weights)
    assert len({index for index, _ in weights}) == len(weights) <= max_members
    assert [weight for _, weight in weights] == sorted((w for _, w in weights), reverse=True)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_errors_of_different_candidates_cancel_out(name: str, task: str) -> None:
    metric = load_metrics()[name]
    predictions, y = library(task, n_rows=2000)

    weights = greedy_weights(predictions, y, metric, max_members=6)

    rest, y_rest = library(task, n_rows=2000, seed=1)
    gain = metric.score(y_rest, mean(rest, weights)) - metric.score(y_rest, rest[0])
    assert len(weights) > 1
    assert (gain < 0) == (metric.direction == "minimize")


def test_equal_arguments_give_equal_weights_and_seeds_differ() -> None:
    predictions, y = library("binary", n_candidates=12)
    metric = load_metrics()["log_loss"]

    runs = [greedy_weights(predictions, y, metric, max_members=8, seed=s) for s in (0, 0, 1)]

    assert runs[0] == runs[1] != runs[2]


def test_of_equal_candidates_the_first_is_taken_alone() -> None:
    predictions, y = library("regression", n_candidates=1)

    weights = greedy_weights([predictions[0]] * 5, y, load_metrics()["rmse"], max_members=5)

    assert weights == [(0, 1.0)]


def test_members_without_whom_the_loss_is_as_small_are_left_out() -> None:
    metric = load_metrics()["rmse"]
    predictions, y = library("regression", n_rows=2000)
    best = [(0, 0.4), (1, 0.4)]
    same = predictions[1] + 1e-9
    three = [*predictions[:2], same]

    def needed(members: list[tuple[int, float]], rise: float) -> list[int]:
        held = metric.score(y, mean(three, members))
        found = ensemble._needed(members, three, y, metric, most=held + rise)
        assert sum(weight for _, weight in found) == pytest.approx(1.0)
        return [index for index, _ in found]

    assert needed([*best, (2, 0.2)], 1e-3) == [0, 1]
    # Nobody can be spared where each brings something of its own.
    assert needed([(0, 0.5), (1, 0.5)], 1e-3) == [0, 1]
    assert needed([(0, 0.5), (1, 0.5)], 10.0) == [0]


def test_of_very_many_rows_nobody_is_asked_who_can_be_left_out(monkeypatch) -> None:
    predictions, y = library("regression", n_rows=500)
    members = [(0, 0.5), (1, 0.5)]
    monkeypatch.setattr(ensemble, "MOST_SPARED_ROWS", 499)

    metric = load_metrics()["rmse"]

    assert ensemble._needed(members, predictions, y, metric, most=10.0) == members


def test_a_candidate_that_is_always_right_stays_alone() -> None:
    predictions, y = library("binary")
    perfect = np.eye(2)[y]

    weights = greedy_weights([*predictions, perfect], y, load_metrics()["roc_auc"], max_members=5)

    assert weights == [(6, 1.0)]


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "brier", "f1"])
def test_a_search_on_a_sample_of_rows_is_checked_on_all(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("SEARCH_ROWS", "LOOP_VALUES", "MIN_LOOP_ROWS", "RANKED_ROWS"):
        monkeypatch.setattr(ensemble, limit, 40)
    metric = load_metrics()[name]

    for seed in range(20):
        predictions, y = library("binary", n_rows=400, seed=seed)
        weights = greedy_weights(predictions, y, metric, max_members=4)
        together = metric.score(y, mean(predictions, weights))
        assert all(is_no_worse(metric, together, metric.score(y, p)) for p in predictions)


def test_every_class_keeps_a_row_in_a_sample() -> None:
    y = np.r_[np.zeros(9999), 1.0].astype(np.int32)

    rows = ensemble._sample(y, 100, np.random.default_rng(0))

    assert y[rows].sum() == 1
    assert len(rows) == pytest.approx(100, abs=2)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_loss_of_a_mixture_is_the_metrics_own(name: str, task: str) -> None:
    metric = load_metrics()[name]
    predictions, y = library(task, n_rows=100, decimals=1)
    losses = ensemble._losses(predictions, y, metric, np.random.default_rng(0))
    counts, pool = np.array([2.0, 0, 1, 0, 0, 0]), np.array([0, 3, 5])

    found = losses(counts, pool)

    mixtures = [(2 * predictions[0] + predictions[2] + predictions[i]) / 4 for i in pool]
    expected = [ensemble._loss(metric, y, item) for item in mixtures]
    # Squared errors stand for RMSE and R2: they order mixtures alike.
    scale = {"rmse": np.square(expected), "r2": np.array(expected) * y.var()}
    np.testing.assert_allclose(found, scale.get(name, expected), rtol=1e-5)


@given(seed=st.integers(0, 2**16), decimals=st.integers(0, 4))
def test_the_fast_roc_auc_counts_ties_one_half(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = np.r_[0, 1, rng.integers(0, 2, 50)], rng.random(52).round(decimals)

    expected = load_metrics()["roc_auc"].score(y, np.column_stack([1 - p, p]))

    assert 1 - ensemble._area_above(y, p) == pytest.approx(expected, abs=1e-12)


def test_known_scores_are_not_computed_again() -> None:
    predictions, y = library("regression")
    rmse = load_metrics()["rmse"]
    scores = [rmse.score(y, item) for item in predictions]

    given_scores = greedy_weights(predictions, y, rmse, max_members=4, scores=scores)

    assert given_scores == greedy_weights(predictions, y, rmse, max_members=4)


@pytest.mark.parametrize(("n", "max_members"), [(0, 5), (3, 0)])
def test_an_ensemble_of_nothing_is_refused(n: int, max_members: int) -> None:
    predictions, y = library("regression")

    with pytest.raises(SearchError, match=f"there are {n} candidates and room for {max_members}"):
        greedy_weights(predictions[:n], y, load_metrics()["rmse"], max_members=max_members)
