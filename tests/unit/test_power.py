"""Power: what the analysis part would not miss, overall and in a slice."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.sections.power import SECTION, PowerReport
from automl_assets.core.evaluation.slicing.inference import Contrast, contrast, detectable
from automl_assets.core.evaluation.slicing.scores import mean
from automl_assets.core.report.render import templates
from tests.examinations import make_examined


def report(examined: Examined) -> PowerReport:
    found = SECTION.examine(examined)
    assert isinstance(found, PowerReport)
    return found


def test_a_detectable_difference_is_the_textbook_one() -> None:
    # (1.960 + 0.842) standard errors: J. Cohen, 1988.
    found = detectable(Contrast(0.0, 0.1, 1e9, 1.0), confidence=0.95, power=0.8)

    assert found == pytest.approx(0.2802, abs=1e-4)


def test_a_difference_of_the_detectable_size_is_found_in_four_of_five_trials() -> None:
    rng = np.random.default_rng(0)
    first = contrast(mean(rng.normal(size=200), None), mean(rng.normal(size=900), None))
    shift = detectable(
        Contrast(0.0, (1 / 200 + 1 / 900) ** 0.5, first.freedom, 1.0), confidence=0.95, power=0.8
    )

    tests = [
        contrast(mean(rng.normal(shift, size=200), None), mean(rng.normal(size=900), None))
        for _ in range(2_000)
    ]

    assert np.mean([test.p_value <= 0.05 for test in tests]) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_four_times_the_rows_show_half_the_difference(task: Any) -> None:
    few, many = (report(make_examined(task, n_rows=n)) for n in (4_000, 16_000))

    assert few.against_baseline is not None
    assert few.against_rival is not None
    assert many.against_baseline == pytest.approx(few.against_baseline / 2, rel=0.3)
    assert many.against_rival == pytest.approx(few.against_rival / 2, rel=0.3)


def test_the_spread_of_paired_losses_decides_against_no_model() -> None:
    made = make_examined("multiclass", n_rows=4_000)

    found = report(made)

    rows, shares = made.analysis, np.bincount(made.y_train.astype(int)) / len(made.y_train)
    codes = rows.y.astype(int)
    ours = -np.log(rows.prediction[np.arange(len(codes)), codes])
    gains = -np.log(shares[codes]) - ours
    assert found.gain == pytest.approx(gains.mean(), abs=1e-9)
    expected = 2.803 * gains.std(ddof=1) / len(gains) ** 0.5
    assert found.against_baseline == pytest.approx(expected, rel=0.01)


def test_slices_that_show_nothing_are_told() -> None:
    made = make_examined("binary", n_rows=1_000, asked={"slices": ["city", "age"]})

    found = report(made)

    assert found.too_small
    assert all(item.why_small for item in found.too_small)
    assert found.slices[0].detectable is None
    assert "are too small to show a difference" in SECTION.sentences(found)[1]


def test_the_limit_on_slices_is_the_yardstick_where_it_is_about_the_metric() -> None:
    gap = {"metric": "roc_auc", "by": ["plan"], "max": 0.001}
    made = make_examined("binary", n_rows=4_000, asked={"constraints": {"slice_gap": gap}})

    found = report(made)

    assert found.yardstick == 0.001
    assert len(found.weak) + len(found.too_small) == len(found.slices)


def test_a_higher_confidence_needs_a_larger_difference() -> None:
    made = make_examined("regression", n_rows=2_000)

    usual, strict = report(made), report(replace(made, confidence=0.9875))

    assert usual.against_rival is not None
    assert strict.against_rival is not None
    assert strict.against_rival > 1.1 * usual.against_rival


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_begins_with_what_the_rows_show(task: Any) -> None:
    made = make_examined(task, n_rows=1_500, groups=True, asked={"slices": ["city"]})
    found = report(made)

    page = templates().get_template("sections/power.html.j2")
    html = page.render(section=found.model_dump(mode="json"), card={})

    assert html.startswith('<p class="lead">Between two good models')
    assert "groups or blocks of time count as independent" in html
    assert PowerReport.model_validate_json(found.model_dump_json()) == found
