"""Thresholds by cost: the cheapest there is, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import ContractError
from automl_assets.core.request.sections import Cost
from automl_assets.core.threshold import best_by_theory, choose_threshold, expected_cost

amounts = st.floats(0, 100) | st.integers(0, 3).map(float)
rows = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    min_size=2,
    max_size=30,
).filter(lambda pairs: len({hit for hit, _ in pairs}) == 2)


def cost(false_positive: float, false_negative: float) -> Cost:
    return Cost(false_positive=false_positive, false_negative=false_negative)


@given(rows, amounts, amounts)
def test_no_other_threshold_is_cheaper(
    pairs: list[tuple[bool, float]], false_positive: float, false_negative: float
) -> None:
    y, p = np.array([hit for hit, _ in pairs], np.int32), np.array([p for _, p in pairs])
    price = cost(false_positive, false_negative)

    threshold = choose_threshold(y, p, price)

    found = expected_cost(y, p >= threshold, price)
    others = [expected_cost(y, p >= other, price) for other in (*p, 0.0, 2.0)]
    assert found == pytest.approx(min(others), abs=1e-9)


@given(rows, st.floats(0.01, 100), st.floats(0.01, 100))
def test_where_the_theory_is_cheapest_it_is_taken(
    pairs: list[tuple[bool, float]], false_positive: float, false_negative: float
) -> None:
    y, p = np.array([hit for hit, _ in pairs], np.int32), np.array([p for _, p in pairs])
    price = cost(false_positive, false_negative)
    theory = best_by_theory(price)

    threshold = choose_threshold(y, p, price)

    by_theory = expected_cost(y, p >= theory, price)
    if by_theory <= expected_cost(y, p >= threshold, price):
        assert threshold == theory


def test_dear_misses_lower_the_threshold_and_dear_alarms_raise_it() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    y = (rng.random(5000) < p).astype(np.int32)

    low, high = choose_threshold(y, p, cost(1, 9)), choose_threshold(y, p, cost(9, 1))

    # Of true probabilities the theory's thresholds are 0.1 and 0.9.
    assert low == pytest.approx(0.1, abs=0.06)
    assert high == pytest.approx(0.9, abs=0.06)


def test_where_yes_never_pays_no_probability_reaches_the_threshold() -> None:
    y, p = np.array([1, 0, 0]), np.array([0.1, 1.0, 0.9])

    assert choose_threshold(y, p, cost(10, 1)) > 1.0


def test_decisions_that_cost_nothing_fall_at_one_half() -> None:
    assert choose_threshold(np.array([0, 1]), np.array([0.2, 0.8]), cost(0, 0)) == 0.5


@pytest.mark.parametrize("y", [[0, 0], [1, 1]])
def test_rows_of_one_class_are_refused(y: list[int]) -> None:
    with pytest.raises(ContractError, match="needs rows of both classes"):
        choose_threshold(np.array(y), np.array([0.1, 0.2]), cost(1, 1))


def test_nan_is_no_probability() -> None:
    with pytest.raises(ContractError, match="1 of 2 are NaN"):
        choose_threshold(np.array([0, 1]), np.array([0.1, np.nan]), cost(1, 1))
