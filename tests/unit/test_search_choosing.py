"""Which candidates the final model may be made of, and in which order."""

from typing import Any

import numpy as np
import pytest

from automl_assets.core.metrics import load_metrics
from automl_assets.core.search import choosing
from automl_assets.core.search.choosing import Choices, judging_seconds
from tests.searches import make_plan

N_ROWS = 400


def choices(
    speeds: list[float], *, worse: float = 0.05, seconds_left: float = 0.0, **changes: Any
) -> list[list[int]]:
    """Return the members of each choice among candidates with errors of their own.

    Args:
        worse: By how much the error of each is larger than that of the one before.
    """
    rng = np.random.default_rng(0)
    y = rng.normal(size=N_ROWS)
    predictions = [y + rng.normal(scale=1.0 + worse * i, size=N_ROWS) for i in range(4)]
    plan = make_plan(
        task_type="regression",
        classes=(),
        metric="rmse",
        max_members=4,
        **{"time_limit_seconds": 100.0, "judged_rows": 10_000, "judging_seconds": 1.0} | changes,
    )
    found = Choices(plan, load_metrics()["rmse"], predictions, y, speeds, seconds_left=seconds_left)
    return [[index for index, _ in weights] for weights in found]


def test_the_best_are_taken_together_and_then_each_alone() -> None:
    together, *alone = choices([1e-5] * 4)

    assert sorted(together) == [0, 1, 2, 3]
    assert alone == [[0], [1], [2], [3]]


def test_with_limits_that_are_measured_ever_fewer_are_tried() -> None:
    found = choices([1e-5] * 4, constraints={"model_size_mb": {"max": 1}})

    assert [len(members) for members in found] == [4, 3, 2, 1, 1, 1, 1]


def test_a_candidate_that_takes_long_to_judge_is_in_no_ensemble() -> None:
    # 10,000 rows in more than 1 + 10 s.
    found = choices([1e-5, 1e-5, 1.2e-3, 1.5e-3])

    assert sorted(found[0]) == [0, 1]
    assert found[1:] == [[0], [1], [2], [3]]


def test_members_that_together_take_long_lose_the_slowest() -> None:
    found = choices([5e-4, 3e-4, 4e-4, 1e-5])

    assert sorted(found[0]) == [1, 2, 3]
    assert found[1:] == [[0], [1], [2], [3]]


def test_where_many_are_slow_those_are_taken_that_are_quick_together() -> None:
    found = choices([5e-4, 4.9e-4, 4.8e-4, 1e-5])

    # After the first is gone two of 0.00049 and 0.00048 fit, three with the last one, too.
    assert sorted(found[0]) == [1, 2, 3]


def test_few_selections_are_made_however_many_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = choosing.greedy_weights, []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return real(*args, **options)

    monkeypatch.setattr(choosing, "greedy_weights", counted)

    choices([9.0, 8.0, 7.0, 6.0])

    assert len(calls) <= 3


def test_the_best_candidate_is_not_passed_over_for_quick_ones_that_are_worse() -> None:
    assert choices([1.0, 1e-5, 1e-5, 1e-5], worse=5.0) == [[0], [1], [2], [3]]


def test_an_ensemble_may_take_what_is_left_of_the_time() -> None:
    slow = [8e-4, 8e-4, 8e-4, 8e-4]

    assert len(choices(slow, seconds_left=5.0)[0]) == 1
    assert sorted(choices(slow, seconds_left=60.0)[0]) == [0, 1, 2, 3]


@pytest.mark.parametrize("slow", [1e-3, 1.0])
def test_without_a_time_limit_nothing_that_was_measured_decides(slow: float) -> None:
    assert choices([slow] * 4, time_limit_seconds=None, n_trials=4) == choices([1e-5] * 4)


def test_a_model_is_found_even_if_all_are_slow() -> None:
    assert choices([4.0, 3.0, 2.0, 1.0]) == [[0], [1], [2], [3]]


def test_judging_counts_from_what_is_kept_back_for_it_anyway() -> None:
    plan = make_plan(time_limit_seconds=100.0, judged_rows=10_000, judging_seconds=1.0)

    assert judging_seconds(plan, 5e-5) == 0.0
    assert judging_seconds(plan, 3e-4) == pytest.approx(2.0)
