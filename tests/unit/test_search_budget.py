"""Time of a search: what is left over all attempts, and what a trial will take."""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.families import load_families
from automl_assets.core.search.budget import (
    Budget,
    CostModel,
    Observation,
    Stopwatch,
    seconds_after_search,
)
from tests.searches import SHAPE


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def seen(family: str, ratio: float, *, expected: float = 2.0, truncated: bool = False):
    return Observation(
        family=family, expected=expected, seconds=ratio * expected, truncated=truncated
    )


def test_a_budget_counts_from_where_earlier_attempts_ended() -> None:
    clock = Clock()
    budget = Budget(60.0, used_before=25.0, clock=clock)

    assert (budget.used(), budget.left()) == (25.0, 35.0)
    clock.now += 30.0
    assert (budget.used(), budget.left()) == (55.0, 5.0)
    clock.now += 10.0
    assert budget.left() == -5.0


def test_a_budget_without_a_limit_never_ends() -> None:
    clock = Clock()
    budget = Budget(None, used_before=1e9, clock=clock)
    clock.now += 1e9

    assert budget.left() == math.inf
    assert budget.used() == 2e9


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_attempts_together_use_what_each_of_them_used(durations: list[float]) -> None:
    used, left = 0.0, 1000.0
    for duration in durations:
        clock = Clock()
        budget = Budget(1000.0, used_before=used, clock=clock)
        clock.now += duration
        used, left = budget.used(), budget.left()

    assert used == pytest.approx(sum(durations))
    assert left == pytest.approx(1000.0 - sum(durations))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_a_family_costs_the_median_of_what_it_was_seen_to_cost(ratios: list[float]) -> None:
    costs = CostModel([seen("linear", ratio) for ratio in ratios])

    assert costs.ratio("linear") == pytest.approx(median(ratios))


def test_an_unseen_family_costs_the_median_of_the_others() -> None:
    costs = CostModel(
        [seen("linear", 2.0), seen("linear", 4.0), seen("linear", 90.0), seen("catboost", 8.0)]
    )

    assert costs.ratio("linear") == 4.0
    assert costs.ratio("lightgbm") == 6.0


def test_before_anything_was_seen_a_family_costs_what_it_says() -> None:
    family = load_families()["linear"]
    params = family.default_params()
    expected = family.expected_seconds(SHAPE, params)

    assert CostModel([]).seconds("linear", params, SHAPE) == expected
    assert CostModel([]).seconds("linear", params, SHAPE, n_fits=6, n_threads=2) == pytest.approx(
        3 * expected
    )


def test_a_fit_that_was_cut_short_would_have_taken_twice_as_long_and_never_less_than_expected() -> (
    None
):
    assert CostModel([seen("linear", 3.0, truncated=True)]).ratio("linear") == 6.0
    assert CostModel([seen("linear", 0.1, truncated=True)]).ratio("linear") == 1.0


def test_an_expectation_of_nothing_divides_nothing_by_zero() -> None:
    assert math.isfinite(CostModel([seen("linear", 1.0, expected=0.0)]).ratio("linear"))


def test_what_comes_after_the_search_grows_with_rows_and_columns() -> None:
    least = seconds_after_search(0, 0, section_seconds=0.0)

    assert 3.0 < least < 15.0
    assert seconds_after_search(10**6, 0, section_seconds=0.0) > least
    assert seconds_after_search(0, 100, section_seconds=0.0) > least


def test_what_sections_may_take_after_the_search_is_kept_back_for_them() -> None:
    least = seconds_after_search(0, 0, section_seconds=0.0)

    assert seconds_after_search(0, 0, section_seconds=18.0) >= least + 4 * 18.0


def test_a_stopwatch_counts_from_its_start_and_is_zero_before() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    assert stopwatch.seconds() == 0.0
    clock.now += 5.0
    stopwatch.start()
    clock.now += 3.0

    assert stopwatch.seconds() == 3.0
