"""Clusters of rows, and how much less their rows tell."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.evaluation.clusters import (
    MAX_BLOCKS,
    clusters_of,
    dense_codes,
    design_effect,
    effective_clusters,
)
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.intervals import (
    delong_interval,
    estimate,
    mean_interval,
    share_interval,
)
from automl_assets.core.evaluation.resampling import bootstrap_interval, student
from automl_assets.core.metrics import load_metrics

METRICS = load_metrics()


def copies(*, n_rows=300, times=4, seed=0):
    """Return rows that stand there several times, as clusters of equal rows."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n_rows) < 0.4).astype(int)
    positive = 1 / (1 + np.exp(-(rng.normal(size=n_rows) + 1.5 * y - 1)))
    rows = np.repeat(np.arange(n_rows), times)
    return y, np.column_stack([1 - positive, positive]), rows


@given(st.lists(st.integers(-5, 10**12), min_size=1, max_size=60))
def test_dense_codes_keep_what_is_equal_and_leave_no_gaps(values):
    groups = np.array(values)

    codes = dense_codes(groups)

    assert sorted(set(codes.tolist())) == list(range(len(set(values))))
    assert (codes[:, None] == codes).tolist() == (groups[:, None] == groups).tolist()


@pytest.mark.parametrize("groups", [np.array(["b", "a", "b"]), np.array([9, 2, 9], np.int32)])
def test_groups_of_any_kind_have_codes(groups):
    assert dense_codes(groups).tolist() == [1, 0, 1]


def test_rows_of_no_known_cluster_are_independent():
    assert clusters_of(None, None) is None
    assert clusters_of(np.arange(10), None) is None
    assert clusters_of(np.zeros(10, int), None) is None


@given(st.lists(st.integers(0, 400), min_size=2, max_size=500))
def test_rows_of_one_time_share_a_block_and_blocks_follow_each_other(days):
    times = pl.Series([date(2020, 1, 1) + timedelta(days=day) for day in days])

    codes = clusters_of(None, times)

    if codes is not None:
        order = np.argsort(days, kind="stable")
        assert (np.diff(codes[order]) >= 0).all()
        assert len(set(zip(days, codes.tolist(), strict=True))) == len(set(days))
        assert codes.max() < MAX_BLOCKS


def test_many_times_give_blocks_of_equally_many_rows():
    codes = clusters_of(None, pl.Series(np.random.default_rng(0).permutation(9_000)))

    assert codes is not None
    assert np.bincount(codes).tolist() == [300] * MAX_BLOCKS


def test_groups_come_before_times():
    codes = clusters_of(np.array([1, 1, 0, 0]), pl.Series([1, 2, 3, 4]))

    assert codes is not None
    assert codes.tolist() == [1, 1, 0, 0]


def test_a_missing_time_has_a_block():
    codes = clusters_of(None, pl.Series([None, 1, 2, 3, None, 5, 6, 7, 8, 9]))

    assert codes is not None
    assert codes[0] == codes[4] == 0


def test_equal_rows_have_a_design_effect_of_their_number():
    terms, groups = np.repeat(np.random.default_rng(0).normal(size=500), 4), np.arange(2_000) // 4

    assert design_effect(terms, groups) == pytest.approx(4, rel=0.01)


def test_independent_rows_have_a_design_effect_near_one():
    terms = np.random.default_rng(0).normal(size=20_000)

    assert design_effect(terms, np.arange(20_000) // 4) == pytest.approx(1, abs=0.05)


def test_without_clusters_or_with_one_there_is_no_design_effect():
    assert design_effect(np.arange(4.0), None) is None
    assert design_effect(np.arange(4.0), np.zeros(4, int)) is None


def test_one_large_cluster_is_worth_little():
    sizes = [100, *[1] * 100]

    assert effective_clusters(np.repeat(np.arange(101), sizes)) == pytest.approx(3.96, abs=0.01)


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "brier", "log_loss"])
def test_copies_of_rows_leave_analytic_intervals_as_they_were(name):
    y, prediction, rows = copies()

    once = estimate(METRICS[name], y, prediction, seed=0)
    often = estimate(METRICS[name], y[rows], prediction[rows], seed=0, groups=rows)

    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=2e-3)
    assert "groups" in often.method


def test_copies_of_rows_leave_the_area_as_it_was():
    y, prediction, rows = copies()

    once = delong_interval(y, prediction[:, 1])
    often = delong_interval(y[rows], prediction[rows, 1], groups=rows)

    assert often[:2] == pytest.approx(once[:2], abs=2e-3)
    assert "Obuchowski" in often.method


@pytest.mark.parametrize("name", ["f1", "mcc", "average_precision"])
def test_copies_of_rows_leave_the_width_of_a_bootstrap_as_it_was(name):
    y, prediction, rows = copies()

    once = estimate(METRICS[name], y, prediction, seed=0)
    often = estimate(METRICS[name], y[rows], prediction[rows], seed=0, groups=rows)

    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.2)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "f1"])
def test_copies_of_rows_leave_differences_as_they_were(name):
    y, prediction, rows = copies()
    other = np.clip(prediction + np.array([-0.1, 0.1]), 0.01, 0.99)

    once = compare(METRICS[name], y, prediction, other, seed=0)
    often = compare(METRICS[name], y[rows], prediction[rows], other[rows], seed=0, groups=rows)

    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.2, abs=1e-6)


def test_large_clusters_are_left_out_in_turn():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 2_000)
    values = rng.normal(size=60)[groups] + rng.normal(size=len(groups))

    found = bootstrap_interval(
        lambda rows: float(values[rows].mean()),
        len(values),
        seed=0,
        confidence=0.95,
        groups=groups,
    )

    plain = mean_interval(values, groups=groups)
    assert found.method == "jackknife, 30 parts of 60 groups left out in turn, seed 0"
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.35)


def test_many_small_clusters_are_resampled_in_part():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10_000), 4)
    values = rng.normal(size=10_000)[groups] + rng.normal(size=len(groups))

    found = bootstrap_interval(
        lambda rows: float(values[rows].mean()), 40_000, seed=0, confidence=0.95, groups=groups
    )

    plain = mean_interval(values, groups=groups)
    assert "200 resamples of 2,500 of 10,000 groups" in found.method
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.2)


def test_one_cluster_shows_only_the_range():
    terms, groups = np.array([1.0, 2.0, 4.0]), np.zeros(3, int)

    assert mean_interval(terms, groups=groups)[:2] == (1.0, 4.0)
    low, high, _ = share_interval(terms > 1, groups=groups)
    assert (round(low, 2), round(high, 2)) == (0.09, 0.97)


def test_rows_that_are_all_alike_count_once_for_each_cluster():
    low, high, method = share_interval(np.ones(1_000, bool), groups=np.arange(1_000) // 100)

    assert (round(low, 3), high) == (0.722, 1.0)
    assert method == "Wilson, 1,000 rows in 10 groups, worth 10 rows"


def test_an_interval_from_few_clusters_is_wider_than_their_resamples_spread():
    groups = np.repeat(np.arange(3), 60)
    values = np.array([1.0, 2.0, 3.0])[groups]

    found = bootstrap_interval(
        lambda rows: float(values[rows].mean()), 180, seed=0, confidence=0.95, groups=groups
    )

    half = student(0.95, 2) / 3**0.5
    assert "200 resamples of 3 of 3 groups" in found.method
    assert found[:2] == pytest.approx((2 - half, 2 + half), abs=0.15 * half)
