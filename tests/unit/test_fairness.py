"""Groups compared: rates as fairlearn has them, with intervals that hold for all pairs."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from fairlearn.metrics import demographic_parity_difference, equal_opportunity_difference
from sklearn.metrics import mean_absolute_error, recall_score

from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.sections.fairness import SECTION, FairnessReport
from automl_assets.core.report.render import templates
from automl_assets.core.values import Finding
from tests.examinations import make_examined

ASKED = {"slices": ["plan", "visits > 6"]}


def report(examined: Examined) -> FairnessReport:
    found = SECTION.examine(examined)
    assert isinstance(found, FairnessReport)
    return found


@pytest.fixture(scope="module")
def binary() -> Examined:
    return make_examined("binary", n_rows=8_000, asked=ASKED)


def groups_of(examined: Examined) -> np.ndarray:
    return examined.analysis.frame["plan"].fill_null("missing").to_numpy()


def test_nobody_asked_means_nothing_is_compared() -> None:
    assert SECTION.examine(make_examined("binary")) is None


def test_columns_of_the_limit_are_compared_too() -> None:
    gap = {"metric": "recall", "by": ["member"], "max": 0.5}
    made = make_examined("binary", n_rows=4_000, asked={"constraints": {"slice_gap": gap}})

    assert [column.column for column in report(made).columns] == ["member"]


def test_differences_of_a_binary_task_are_those_of_fairlearn(binary: Examined) -> None:
    (column,) = report(binary).columns

    y, decisions = binary.analysis.y, binary.decisions(binary.analysis.prediction)
    by_name = {item.name: item for item in column.disparities}
    groups = groups_of(binary)
    parity = demographic_parity_difference(y, decisions, sensitive_features=groups)
    opportunity = equal_opportunity_difference(y, decisions, sensitive_features=groups)
    assert by_name["selection_rate"].difference == pytest.approx(parity, abs=1e-12)
    assert by_name["true_positive_rate"].difference == pytest.approx(opportunity, abs=1e-12)


def test_rates_of_a_multiclass_task_are_recalls_of_each_class() -> None:
    made = make_examined("multiclass", n_rows=8_000, asked=ASKED)

    (column,) = report(made).columns

    rows, decisions = made.analysis, made.decisions(made.analysis.prediction)
    chosen = groups_of(made) == "plan 2"
    expected = recall_score(rows.y[chosen], decisions[chosen], average=None)
    group = next(item for item in column.groups if item.name == "plan=plan 2")
    assert [rate.of_class for rate in column.rates] == list(made.classes)
    assert [rate.value for rate in group.rates] == pytest.approx(expected.tolist(), abs=1e-12)


def test_bias_and_error_of_a_regression_are_means_of_each_group() -> None:
    made = make_examined("regression", n_rows=8_000, asked=ASKED)

    (column,) = report(made).columns

    rows, groups = made.analysis, groups_of(made)
    chosen = [
        (rows.y[groups == value], rows.prediction[groups == value]) for value in np.unique(groups)
    ]
    bias = [float((p - y).mean()) for y, p in chosen]
    mae = [float(mean_absolute_error(y, p)) for y, p in chosen]
    found = {item.name: item for item in column.disparities}
    assert found["bias"].difference == pytest.approx(max(bias) - min(bias), abs=1e-9)
    assert found["bias"].ratio is None
    assert found["mae"].ratio == pytest.approx(min(mae) / max(mae), abs=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_intervals_hold_the_difference_and_the_ratio(task: Any) -> None:
    made = make_examined(task, n_rows=4_000, groups=True, asked={"slices": ["plan", "income"]})

    found = report(made)

    assert found.is_clustered
    items = [item for column in found.columns for item in column.disparities]
    assert items
    for item in items:
        assert 0 <= item.low <= item.difference <= item.high
        assert item.ratio is None or item.ratio_low <= item.ratio <= item.ratio_high
    assert FairnessReport.model_validate_json(found.model_dump_json()) == found


def test_small_groups_are_left_out_and_said(binary: Examined) -> None:
    rows = binary.analysis
    plan = pl.Series(np.where(np.arange(len(rows.y)) < 60, "rare", rows.y.astype(str)))
    half = pl.Series(np.where(np.arange(len(rows.y)) % 2, "odd", "even"))
    column = pl.select(pl.when(plan == "rare").then(pl.lit("rare")).otherwise(half)).to_series()
    frame = rows.frame.with_columns(column.alias("plan"))

    found = report(replace(binary, analysis=replace(rows, frame=frame)))

    rare = next(item for item in found.columns[0].groups if item.name == "plan=rare")
    assert rare.why_small == "it has 60 rows, and 100 are needed"
    assert not rare.rates
    assert "1 group was too small to be compared." in SECTION.limits(found)


def test_groups_by_personal_data_are_not_shown(binary: Examined) -> None:
    finding = Finding(rule="personal data", column="plan", action="kept", detail="")
    profile = binary.profile.model_copy(update={"findings": (finding,)})

    found = report(replace(binary, profile=profile))

    assert not found.columns
    assert [item.what for item in found.left_out] == ["plan"]


def test_a_difference_by_chance_is_not_told_as_one(binary: Examined) -> None:
    rows = binary.analysis
    coin = pl.Series("plan", np.random.default_rng(3).choice(["a", "b"], len(rows.y)))
    made = replace(binary, analysis=replace(rows, frame=rows.frame.with_columns(coin)))

    told = SECTION.sentences(report(made))

    assert told == ("Between the groups that were asked for, no difference is beyond chance.",)


def test_what_is_said_claims_nothing_about_law(binary: Examined) -> None:
    found = report(binary)

    assert "no finding about law" in SECTION.limits(found)[0]
    assert SECTION.sentences(found)[0].startswith("Groups by plan differ in")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_shows_every_group_and_escapes_it(task: Any) -> None:
    made = make_examined(task, n_rows=4_000, asked=ASKED)
    plan = pl.col("plan").fill_null("<b>none</b>")
    frame = made.analysis.frame.with_columns(plan)
    found = report(replace(made, analysis=replace(made.analysis, frame=frame)))

    page = templates().get_template("sections/fairness.html.j2")
    html = page.render(section=found.model_dump(mode="json"), card={})

    assert "plan=&lt;b&gt;none&lt;/b&gt;" in html
    assert all(f"plan=plan {code}" in html for code in range(5))


@pytest.mark.slow
def test_the_interval_of_the_largest_difference_holds_it_as_often_as_promised(
    binary: Examined,
) -> None:
    rng, truth, n_held = np.random.default_rng(0), (0.3, 0.35, 0.5, 0.4), 0
    for _ in range(200):
        group = rng.integers(0, 4, 1_200)
        decided = (rng.random(1_200) < np.array(truth)[group]).astype(float)
        prediction = np.column_stack([1 - decided, decided])
        rows = replace(
            binary.analysis,
            frame=pl.DataFrame({"plan": group.astype(str), "visits": group}),
            y=rng.integers(0, 2, 1_200),
            prediction=prediction,
        )
        found = report(replace(binary, analysis=rows)).columns[0].disparities[0]
        n_held += found.low <= 0.2 <= found.high

    assert n_held / 200 > 0.93
