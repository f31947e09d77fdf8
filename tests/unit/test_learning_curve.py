"""Fits on ever more rows: the law through them, and what is told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.evaluation.sections.learning_curve import (
    SECTION,
    LearningCurve,
    examine,
    power_law_gain,
)
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.learning_curve import PICTURES
from tests.examinations import make_examined
from tests.unit.test_robustness import TASKS

ROWS = (1_000, 3_000, 10_000)


def found(task="binary", **changes) -> LearningCurve:
    return examine(make_examined(task, **{"n_rows": 8_000, "refit_seconds": 0.1, **changes}))


def page(section) -> str:
    card = {"metrics": {section.metric: {"label": "the metric"}}}
    template = templates().get_template("sections/learning_curve.html.j2")
    return template.render(section=section.model_dump(mode="json"), card=card)


@given(
    end=st.floats(-5, 5),
    scale=st.floats(0.5, 50),
    power=st.floats(0.05, 1.5),
    more=st.floats(1.1, 10),
)
def test_a_power_law_is_found_again(end, scale, power, more):
    losses = [end + scale * n**-power for n in ROWS]

    gain, found_power = power_law_gain(ROWS, losses, more=more)

    assert found_power == pytest.approx(power, rel=1e-3, abs=1e-4)
    truth = scale * (ROWS[-1] ** -power - (more * ROWS[-1]) ** -power)
    assert gain == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize(
    "losses",
    [
        (0.3, 0.3, 0.2),
        (0.3, 0.4, 0.2),
        (0.3, 0.2, 0.25),
        (0.3, 0.29, 0.1),
        (0.3, 0.1, 0.0999999),
    ],
)
def test_points_that_are_no_power_law_are_not_continued(losses):
    assert power_law_gain(ROWS, losses, more=2.0) is None


@pytest.mark.parametrize("task", TASKS)
def test_more_rows_of_a_problem_that_is_not_learned_out_would_pay(task):
    result = found(task)

    assert [point.n_rows for point in result.points] == [320, 960, 3_200]
    assert result.last.is_better
    assert result.pays in ("yes", "unclear")
    assert "More rows" in SECTION.sentences(result)[0]
    assert "More rows" in page(result)


def test_rows_beyond_what_the_model_can_use_do_not_pay():
    result = found("binary", params={"n_estimators": 1, "num_leaves": 2}, n_rows=12_000)

    assert result.pays == "no"
    assert result.gain_of_more is None
    assert SECTION.sentences(result)[0].startswith("More rows are not expected to pay")


def test_fits_that_are_not_affordable_are_not_begun():
    examined = make_examined("binary", n_rows=8_000, refit_seconds=50.0, seconds=30.0)

    result = examine(examined)

    assert examined.refitter.fits == []
    assert "would take about 70 CPU seconds, more than the 30 that a section" in result.missing
    assert result.missing in page(result)
    assert PICTURES.pictures(result) == ()


def test_a_tenth_of_few_rows_is_not_fitted_on():
    assert "at least 2,000 rows are needed" in found("binary", n_rows=1_500).missing


def test_files_that_are_gone_are_told():
    assert "no longer there" in found("binary", refit_seconds=None).missing


def test_the_same_inputs_give_the_same_result():
    assert found("regression") == found("regression")


def test_the_picture_shows_the_guess_apart():
    result = found("binary")

    (picture,) = PICTURES.pictures(result.model_dump(mode="json"))

    assert result.gain_of_more is not None
    assert "The dashed line is a guess." in picture.caption
