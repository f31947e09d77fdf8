"""Which candidates the final model may be made of, and in which order."""

from typing import Any

import numpy as np
import pytest

from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.choosing import Choices, judging_seconds
from tests.searches import make_plan

N_ROWS = 400


def choices(speeds: list[float], **changes: Any) -> list[list[int]]:
    """Return the members of each choice among candidates with errors of their own."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=N_ROWS)
    predictions = [y + rng.normal(scale=1.0 + 0.05 * place, size=N_ROWS) for place in range(4)]
    plan = make_plan(
        task_type="regression",
        classes=(),
        metric="rmse",
        max_members=4,
        **{"time_limit_seconds": 100.0, "judged_rows": 10_000, "judging_seconds": 1.0} | changes,
    )
    found = Choices(plan, load_metrics()["rmse"], predictions, y, speeds)
    return [[index for index, _ in weights] for weights in found]


def test_the_best_are_taken_together_and_then_each_alone() -> None:
    together, *alone = choices([1e-5] * 4)

    assert sorted(together) == [0, 1, 2, 3]
    assert alone == [[0], [1], [2], [3]]


def test_with_limits_that_are_measured_ever_fewer_are_tried() -> None:
    found = choices([1e-5] * 4, constraints={"model_size_mb": {"max": 1}})

    assert [len(members) for members in found] == [4, 3, 2, 1, 1, 1, 1]


def test_a_candidate_that_takes_long_to_judge_is_in_no_ensemble_and_comes_last() -> None:
    # 10,000 rows in more than 1 + 10 s.
    found = choices([1.5e-3, 1e-5, 1.2e-3, 1e-5])

    assert sorted(found[0]) == [1, 3]
    assert found[1:] == [[1], [3], [2], [0]]


def test_members_that_together_take_long_lose_the_slowest() -> None:
    found = choices([5e-4, 3e-4, 4e-4, 1e-5])

    assert sorted(found[0]) == [1, 2, 3]
    assert found[1:] == [[0], [1], [2], [3]]


@pytest.mark.parametrize("slow", [1e-3, 1.0])
def test_without_a_time_limit_nothing_that_was_measured_decides(slow: float) -> None:
    assert choices([slow] * 4, time_limit_seconds=None, n_trials=4) == choices([1e-5] * 4)


def test_a_model_is_found_even_if_all_are_slow() -> None:
    assert choices([4.0, 3.0, 2.0, 1.0]) == [[3], [2], [1], [0]]


def test_judging_counts_from_what_is_kept_back_for_it_anyway() -> None:
    plan = make_plan(time_limit_seconds=100.0, judged_rows=10_000, judging_seconds=1.0)

    assert judging_seconds(plan, 5e-5) == 0.0
    assert judging_seconds(plan, 3e-4) == pytest.approx(2.0)
