"""Conformal intervals and sets: what they promise, what they hold, and what is told of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.evaluation.conformal import (
    LEVELS,
    coverage_band,
    prediction_intervals,
    prediction_sets,
)
from automl_assets.core.evaluation.sections.uncertainty import SECTION, Uncertainty, examine
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.uncertainty import PICTURES
from automl_assets.core.values import Finding
from tests.examinations import make_examined
from tests.unit.test_robustness import TASKS


def found(task="binary", **changes) -> Uncertainty:
    result = examine(make_examined(task, **changes))
    assert isinstance(result, Uncertainty)
    return result


def page(section) -> str:
    template = templates().get_template("sections/uncertainty.html.j2")
    return template.render(section=section.model_dump(mode="json"), card={})


def noisy(n_rows, seed, *, spread=1.0):
    rng = np.random.default_rng(seed)
    prediction = rng.normal(size=n_rows) * 10
    return prediction + spread * rng.standard_t(4, n_rows), prediction


def drawn(n_rows, seed, n_classes=4):
    rng = np.random.default_rng(seed)
    prediction = rng.dirichlet(np.full(n_classes, 0.7), n_rows)
    return (prediction.cumsum(axis=1) > rng.random((n_rows, 1))).argmax(axis=1), prediction


@pytest.mark.parametrize("method", ["absolute", "normalised"])
@pytest.mark.parametrize(("factor", "shift"), [(1e12, 0.0), (1e-12, 0.0), (1e3, 1.7e12)])
def test_intervals_are_the_same_in_any_unit(method, factor, shift):
    y, prediction = noisy(400, 0)

    usual, other = (
        prediction_intervals(of_y, of_p[:200], of_p[200:], method=method, seed=0)
        for of_y, of_p in (
            (y[:200], prediction),
            (factor * y[:200] + shift, factor * prediction + shift),
        )
    )

    assert (other - shift) / factor == pytest.approx(usual, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("method", ["absolute", "normalised"])
def test_intervals_hold_as_often_as_they_promise(method):
    held = np.zeros(len(LEVELS))
    for seed in range(60):
        y, prediction = noisy(2_200, seed)
        ends = prediction_intervals(
            y[:200], prediction[:200], prediction[200:], method=method, seed=seed
        )
        truth = y[200:, None]
        held += ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean(axis=0) / 60

    assert held == pytest.approx(LEVELS, abs=0.02)


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_hold_as_often_as_they_promise(method):
    held = np.zeros(len(LEVELS))
    for seed in range(60):
        y, prediction = drawn(2_200, seed)
        sets = prediction_sets(
            y[:200], prediction[:200], prediction[200:], method=method, seed=seed
        )
        held += sets[np.arange(2_000), y[200:]].mean(axis=0) / 60

    assert held == pytest.approx(LEVELS, abs=0.02)


def test_the_band_holds_the_true_coverage_for_95_of_100_calibration_parts():
    low, high = coverage_band(100, 0.9, confidence=0.95)
    inside = 0
    new_y, new = noisy(20_000, 10**6)
    for seed in range(300):
        y, prediction = noisy(100, seed)
        ends = prediction_intervals(y, prediction, new, method="absolute", seed=0)[:, :, 1]
        inside += low <= ((ends[:, 0] <= new_y) & (new_y <= ends[:, 1])).mean() <= high

    assert 0.92 * 300 <= inside <= 0.98 * 300


@given(n_rows=st.integers(1, 20_000), level=st.sampled_from(LEVELS))
def test_a_band_holds_the_least_that_was_promised_and_narrows_with_rows(n_rows, level):
    low, high = coverage_band(n_rows, level, confidence=0.95)
    wider = coverage_band(max(1, n_rows // 4), level, confidence=0.95)

    assert 0 < low <= high <= 1
    assert high >= level
    assert n_rows < 400 or high - low < wider.high - wider.low


@pytest.mark.parametrize("task", TASKS)
def test_larger_levels_hold_more(task):
    for method in found(task).methods:
        held = [item.observed.value for item in method.levels]
        assert held == sorted(held)
        assert [item.level for item in method.levels] == list(LEVELS)


@pytest.mark.parametrize(
    ("task", "methods"),
    [
        ("binary", ["lac"]),
        ("multiclass", ["lac", "aps"]),
        ("regression", ["absolute", "normalised"]),
    ],
)
def test_each_task_has_its_methods(task, methods):
    assert [item.method for item in found(task).methods] == methods


def test_classes_are_counted_apart():
    examined = make_examined("multiclass")

    stretches = examine(examined).methods[0].stretches

    counts = np.bincount(examined.analysis.y)
    assert [item.name for item in stretches] == list(examined.classes)
    assert [item.observed.n_rows for item in stretches] == counts.tolist()


def test_a_class_of_few_rows_is_no_news():
    value = found("multiclass")
    first, *others = value.methods
    missed = first.stretches[0].observed.model_copy(update={"high": 0.2, "n_rows": 30})

    def told(n_rows):
        observed = missed.model_copy(update={"n_rows": n_rows})
        stretch = first.stretches[0].model_copy(update={"observed": observed})
        method = first.model_copy(update={"stretches": (stretch,)})
        return SECTION.sentences(value.model_copy(update={"methods": (method, *others)}))[0]

    assert "is held only in" in told(30)
    assert "is held only in" not in told(29)


def test_stretches_of_predictions_rise_and_hold_every_row_once():
    stretches = found("regression").methods[0].stretches

    ends = [end for item in stretches for end in (item.low, item.high)]
    assert ends == sorted(ends)
    assert sum(item.observed.n_rows for item in stretches) == 375


def test_a_small_calibration_part_gives_a_note_instead_of_numbers():
    result = found("binary", n_rows=220)

    assert result.methods == ()
    assert "need at least 50 calibration rows, but there are 44" in result.notes[0]
    assert SECTION.sentences(result) == ()
    assert "need at least 50" in page(result)


def test_rows_that_taught_the_calibration_weaken_the_promise():
    plain, calibrated = found("binary"), found("binary", calibration="isotonic")

    assert plain.notes == ()
    assert "calibrated on the same rows" in calibrated.notes[0]


@pytest.mark.parametrize(("n_left", "n_gone"), [(2, 1), (1, 2)])
def test_classes_without_calibration_rows_are_told(n_left, n_gone):
    examined = make_examined("multiclass")
    part = examined.calibration
    kept = part.y < n_left
    fewer = replace(part, y=part.y[kept], prediction=part.prediction[kept])

    result = examine(replace(examined, calibration=fewer))

    assert f"{n_gone} of 3 classes have no calibration rows" in result.notes[0]
    assert [item.method for item in result.methods] == ["lac"]


def test_drift_between_the_parts_takes_the_guarantee_away():
    split = make_examined("binary").split
    warned = Finding(rule="domain classifier", action="warned", value=0.8, detail="They differ.")
    drifted = split.model_copy(update={"findings": (warned,)})

    result = found("binary", split=drifted)

    assert result.drift == "They differ."
    assert any("not guaranteed under drift" in text for text in SECTION.limits(result))
    assert "Not guaranteed under drift" in page(result)


def test_the_same_inputs_give_the_same_result():
    assert found("multiclass") == found("multiclass")


@pytest.mark.parametrize("task", TASKS)
def test_the_page_and_the_picture_say_how_often_the_truth_was_held(task):
    result = found(task)

    (picture,) = PICTURES.pictures(result.model_dump(mode="json"))

    assert "Asked for: 90%" in picture.caption
    assert "On the analysis part it held for" in page(result)
