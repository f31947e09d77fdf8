"""Disturbed inputs: what is disturbed, what changes, and what is told of it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from automl_assets.core.encoding import encode, fit_column
from automl_assets.core.evaluation.disturbing import (
    Disturbed,
    emptied,
    jittered,
    unseen,
    with_holes,
)
from automl_assets.core.evaluation.sections.robustness import SECTION, Disturbances, examine
from automl_assets.core.report.render import templates
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")


def found(task="binary", **changes) -> Disturbances:
    return examine(make_examined(task, **changes))


def effect(result, kind):
    return next(item for item in result.effects if item.kind == kind)


def page(section, name="robustness") -> str:
    card = {
        "metrics": {section.metric: {"label": "the metric"}},
        "request": {"data": {}},
    }
    template = templates().get_template(f"sections/{name}.html.j2")
    return template.render(section=section.model_dump(mode="json"), card=card)


def test_rows_encoded_again_are_what_serving_encodes():
    examined = make_examined("binary")
    preprocessing, rows = examined.predictor.preprocessing, examined.analysis
    disturbed = Disturbed(rows.X, preprocessing)
    changed = {name: emptied(rows.frame[name]) for name in ("city", "age", "joined", "member")}

    disturbed.encoded({"income": rows.frame["income"] * 3})
    again = disturbed.encoded(changed)

    whole = encode(rows.frame.with_columns(**changed), preprocessing)
    assert np.array_equal(again, whole, equal_nan=True)
    assert np.array_equal(rows.X, encode(rows.frame, preprocessing), equal_nan=True)


def test_noise_has_the_size_that_was_asked_for():
    values = pl.Series("age", np.random.default_rng(0).normal(50, 12, 20_000))
    noise = 0.1 * np.random.default_rng(1).standard_normal(20_000)

    moved = jittered(values, fit_column(values, kind="numeric"), noise) - values

    assert moved.std() == pytest.approx(1.2, rel=0.05)


def test_a_missing_number_stays_missing_under_noise():
    values = pl.Series("age", [1.0, None, 3.0])

    noisy = jittered(values, fit_column(values, kind="numeric"), np.ones(3))

    assert noisy.is_nan().to_list() == [False, True, False]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series("c", ["a", None, "b"]),
        pl.Series("c", [1, 2, None]),
        pl.Series("c", [True, None, False]),
        pl.Series("c", ["2026-01-01", "2026-01-02", None]).str.to_date(),
        pl.Series("c", ["a", "b", None], dtype=pl.Categorical),
    ],
)
def test_holes_and_emptied_columns_keep_their_type(values):
    holed = with_holes(values, np.array([True, False, False]))

    assert holed.dtype == emptied(values).dtype == values.dtype
    assert holed[0] is None
    assert holed[1:].to_list() == values[1:].to_list()
    assert emptied(values).null_count() == 3


def test_an_unseen_category_is_unseen_whatever_the_levels_are():
    values = pl.Series("plan", ["\N{REPLACEMENT CHARACTER} never seen"] * 3)
    column = fit_column(values, kind="categorical")

    assert unseen(values, column)[0] not in column.levels


@pytest.mark.parametrize("task", TASKS)
def test_every_kind_of_disturbance_is_tried(task):
    result = found(task)

    kinds = [item.kind for item in result.effects]
    assert kinds == ["jitter", "missing", "missing column", "unseen category", "unit", "off by one"]
    assert all(item.loss.low <= item.loss.value <= item.loss.high for item in result.effects)


@pytest.mark.parametrize("task", TASKS)
def test_a_column_that_tells_much_is_more_sensitive_than_one_that_tells_nothing(task):
    order = [item.name for item in found(task).columns]

    assert order.index("age") < order.index("noise")
    assert len(order) == 8


def test_an_emptied_column_costs_more_than_a_little_noise():
    result = found("binary", n_rows=4_000)

    assert effect(result, "missing column").loss.low > 0
    assert effect(result, "missing column").changed > effect(result, "jitter").changed_high


def test_the_choice_of_the_largest_effect_widens_its_interval():
    result = found("binary")

    assert effect(result, "jitter").loss.confidence == 0.95
    assert effect(result, "missing column").loss.confidence == pytest.approx(1 - 0.05 / 8)


def test_a_request_says_how_inputs_are_disturbed():
    asked = {"robustness": {"jitter": 0.5, "missing": 0.3}}

    mild, harsh = found("binary"), found("binary", asked=asked)

    assert (mild.jitter, mild.missing, mild.was_asked) == (0.02, 0.05, False)
    assert (harsh.jitter, harsh.missing, harsh.was_asked) == (0.5, 0.3, True)
    assert effect(harsh, "jitter").changed > effect(mild, "jitter").changed_high
    assert all(item.kind != "unseen category" for item in harsh.effects)


def test_a_slow_model_is_asked_about_fewer_rows():
    examined = make_examined("binary", n_rows=4_000)
    candidates = examined.candidates.model_copy(update={"seconds_per_row": 1e-3})
    slow = make_examined("binary", n_rows=4_000, candidates=candidates)

    assert examine(examined).n_rows == len(examined.analysis.y)
    assert examine(slow).n_rows < len(slow.analysis.y)


def test_a_metric_that_is_undefined_here_has_no_loss():
    rows = make_examined("binary").analysis
    one_class = replace(rows, y=np.zeros_like(rows.y))

    result = examine(make_examined("binary", analysis=one_class))

    assert all(item.loss is None for item in result.effects)
    assert "undefined" in page(result)


def test_the_same_inputs_give_the_same_result():
    assert found("multiclass") == found("multiclass")


def test_one_column_that_carries_the_model_is_told_first():
    (first, _) = SECTION.sentences(found("binary", n_rows=4_000))

    assert first.startswith("It leans on one column: if ")


@pytest.mark.parametrize("task", TASKS)
def test_the_page_names_the_most_sensitive_column(task):
    result = found(task)

    text = page(result)

    assert f"<strong>{result.columns[0].name}</strong>" in text
    assert "5% of all values missing" in text
