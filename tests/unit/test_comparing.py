"""What changes if one model takes the place of another."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from automl_assets.core.comparing.changes import find_changes, metric_differences, shown_features
from automl_assets.core.comparing.models import data_changes
from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.sections.champion import (
    SECTION,
    ChampionComparison,
    aligned,
    examine,
)
from automl_assets.core.profile.personal import PERSONAL
from automl_assets.core.values import Finding
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")


def changes_of(new: np.ndarray, old: np.ndarray, frame: pl.DataFrame):
    return find_changes(
        frame,
        np.eye(2)[new],
        np.eye(2)[old],
        classes=("no", "yes"),
        decisions=(new, old),
        spread=0.0,
        confidence=0.95,
    )


def test_decisions_that_differ_are_counted_by_slice_and_by_direction() -> None:
    frame = pl.DataFrame({"plan": ["a"] * 300 + ["b"] * 200, "note": map(str, range(500))})
    old = np.zeros(500, int)
    new = np.where(np.arange(500) < 30, 1, 0)

    found = changes_of(new, old, frame)

    assert found.share == 30 / 500
    assert found.low < found.share < found.high
    assert found.flows == (("no", "yes", 30),)
    assert [(item.name, item.share) for item in found.slices] == [
        ("plan = a", 0.1),
        ("plan = b", 0),
    ]


def test_the_same_decisions_are_no_change() -> None:
    same = np.ones(120, int)

    found = changes_of(same, same, pl.DataFrame({"x": np.arange(120.0)}))

    assert (found.share, found.low, found.flows, found.slices) == (0, 0, (), ())


def test_a_number_has_changed_from_a_tenth_of_the_targets_spread_on() -> None:
    old = np.zeros(4)
    new = np.array([0.0, 0.9, 1.1, -1.1])

    found = find_changes(
        pl.DataFrame({"x": [1.0] * 4}),
        new,
        old,
        classes=(),
        decisions=None,
        spread=10.0,
        confidence=0.95,
    )

    assert found.share == 0.5
    assert found.mean_shift == pytest.approx(0.225)


def test_gains_are_positive_where_the_new_model_is_better_whatever_the_direction() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    good, bad = y + 0.1 * rng.normal(size=400), y + rng.normal(size=400)

    found = metric_differences(
        ("rmse", "r2"), y, (good, None), (bad, None), seed=0, confidence=0.95
    )

    assert [item.metric for item in found] == ["rmse", "r2"]
    assert all(item.is_better for item in found)


def test_metrics_of_decisions_see_each_models_own_threshold() -> None:
    y = np.array([0, 1] * 100)
    p = np.where(y == 1, 0.3, 0.1)
    both = np.column_stack([1 - p, p])

    (found,) = metric_differences(
        ("recall",), y, (both, 0.2), (both, None), seed=0, confidence=0.95
    )

    assert found.gain == 1.0


@pytest.fixture(scope="module", params=TASKS)
def examined(request: pytest.FixtureRequest) -> Examined:
    return make_examined(request.param, champion="linear", n_rows=1_200)


def test_the_winner_is_compared_with_the_champion_on_all_rows(examined: Examined) -> None:
    found = examine(examined)

    assert found is not None
    assert found.difference is not None
    assert found.n_rows == len(examined.analysis.y)
    assert (found.n_seen, found.reason) == (0, "")
    assert found.difference.low <= found.difference.gain <= found.difference.high
    (sentence,) = SECTION.sentences(found)
    assert "version 3, the champion" in sentence
    assert SECTION.limits(found) == ()


@pytest.mark.parametrize("named", ["groups", "times"])
def test_rows_that_belong_together_count_as_fewer_in_every_interval(named: str) -> None:
    examined = make_examined(champion="linear", n_rows=1_200, **{named: True})
    rows = examined.analysis
    alone = replace(examined, analysis=replace(rows, groups=None, times=None))

    together, apart = examine(examined), examine(alone)

    assert together is not None
    assert apart is not None
    assert together.difference is not None
    assert apart.difference is not None
    assert "clustered" in together.difference.method
    assert "clustered" not in apart.difference.method
    assert together.changes is not None
    assert apart.changes is not None
    assert together.changes.share == apart.changes.share
    assert together.changes.low < apart.changes.low


def test_no_value_of_personal_data_names_a_slice(examined: Examined) -> None:
    profile = examined.profile
    finding = Finding(rule=PERSONAL, column="plan", action="warned", detail="Names.")

    shown = shown_features(profile.model_copy(update={"findings": (finding,)}))

    assert "plan" in shown_features(profile)
    assert shown == [name for name in profile.features if name != "plan"]


def test_a_champion_that_is_the_winner_itself_changes_nothing(examined: Examined) -> None:
    assert examined.champion is not None
    same = replace(examined.champion, predictor=examined.predictor)

    found = examine(replace(examined, champion=same))

    assert found is not None
    assert found.difference is not None
    assert found.changes is not None
    assert (found.changes.share, found.difference.gain) == (0, 0)


def test_rows_that_the_champion_was_made_from_are_left_out_and_told(examined: Examined) -> None:
    assert examined.champion is not None
    seen = np.arange(len(examined.analysis.y)) < 20

    found = examine(replace(examined, champion=replace(examined.champion, seen=seen)))

    assert found is not None
    assert (found.n_seen, found.n_rows) == (20, len(seen) - 20)
    assert "leaves out 20 rows" in SECTION.limits(found)[0]


def test_without_new_rows_nothing_is_compared(examined: Examined) -> None:
    assert examined.champion is not None
    seen = np.ones(len(examined.analysis.y), np.bool_)

    found = examine(replace(examined, champion=replace(examined.champion, seen=seen)))

    assert found is not None
    assert found.difference is None
    assert "so only 0 are new to both" in found.reason
    assert "was not compared" in SECTION.sentences(found)[0]


def test_a_champion_of_another_task_is_not_compared() -> None:
    other = make_examined("regression", champion="linear", n_rows=400).champion

    found = examine(make_examined("binary", n_rows=400, champion="linear", **{}))
    told = examine(replace(make_examined("binary", n_rows=400), champion=other))

    assert isinstance(found, ChampionComparison)
    assert told is not None
    assert told.reason == "it solves another kind of task (regression)"


def test_there_is_no_section_without_a_champion() -> None:
    assert examine(make_examined("binary", n_rows=400)) is None


def test_probabilities_are_put_into_the_order_of_our_classes() -> None:
    theirs = np.array([[0.2, 0.5, 0.3]])

    assert aligned(theirs, ("b", "c", "a"), ("a", "b", "c")).tolist() == [[0.3, 0.2, 0.5]]
    assert aligned(np.array([1.0, 2.0]), (), ()).tolist() == [1.0, 2.0]


def test_columns_rows_and_classes_that_differ_are_named() -> None:
    from tests.unit.test_report import snapshot_of

    first = snapshot_of("binary", ("no", "yes"), ("age", "plan"))
    second = snapshot_of("binary", ("no", "yes"), ("age", "income"))

    changed = {item.name: (item.first, item.second) for item in data_changes(first, second)}

    assert changed == {"column income": (None, "Float64"), "column plan": ("Float64", None)}


def test_the_same_content_under_another_commit_is_no_difference_of_the_data() -> None:
    from tests.unit.test_report import snapshot_of

    first = snapshot_of("binary", ("no", "yes"), ("age",))
    again = first.model_copy(update={"commit_id": "e" * 64})
    other = again.model_copy(update={"content_sha256": "d" * 64})

    assert data_changes(first, again) == ()
    assert {item.name for item in data_changes(first, other)} == {"commit", "content sha256"}
