"""Slices: which rows are looked at apart, what is said about them, and what is kept quiet."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.intervals import estimate
from automl_assets.core.evaluation.sections.slices import SECTION, SliceReport
from automl_assets.core.evaluation.slicing import check_slices, make_slicings
from automl_assets.core.evaluation.slicing.figures import dominant_label
from automl_assets.core.evaluation.slicing.inference import (
    contrast,
    difference_interval,
    holm,
    interval,
    shrunken,
)
from automl_assets.core.evaluation.slicing.levels import divide
from automl_assets.core.evaluation.slicing.scores import Judged, mean, score, share
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.figures import draw_pictures
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.slices import pictures
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import Finding
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")
BASE: dict[str, Any] = {
    "apiVersion": "automl/v1",
    "kind": "TrainingRequest",
    "name": "made-up",
    "owner": "tests",
    "data": {"path": "table.csv", "target": "churned", "id": "customer"},
}


def request(*slices: str) -> TrainingRequest:
    return TrainingRequest.model_validate({**BASE, "slices": slices})


def report(examined: Examined) -> SliceReport:
    found = SECTION.examine(examined)
    assert isinstance(found, SliceReport)
    return found


def with_rows(
    examined: Examined, y: np.ndarray, prediction: np.ndarray, **columns: Any
) -> Examined:
    """Return a winner whose analysis part has these rows, and no other columns."""
    n_rows = len(y)
    rows = replace(
        examined.analysis,
        rows=np.arange(n_rows),
        frame=pl.DataFrame(columns),
        X=np.zeros((n_rows, 1)),
        y=y,
        prediction=prediction,
        groups=None,
    )
    return replace(examined, analysis=rows)


@pytest.fixture(scope="module")
def binary() -> Examined:
    return make_examined("binary", n_rows=8_000, asked={"slices": ["plan", "age", "visits > 6"]})


# What is looked at apart


def test_each_row_of_a_column_is_in_one_slice_and_missing_values_are_one() -> None:
    found = divide("plan", pl.Series(["b", "a", None, "b"]))

    assert found is not None
    assert found.names == ("plan=a", "plan=b", "plan is missing")
    assert found.codes.tolist() == [1, 0, 2, 1]


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=200))
def test_every_row_of_a_number_is_in_one_slice(values: list[float | None]) -> None:
    found = divide("x", pl.Series(values, dtype=pl.Float64))

    is_missing = [value is None for value in values]
    if found is None:
        assert all(is_missing)
        return
    assert found.codes.min() >= 0
    assert found.codes.max() < len(found.names)
    assert [found.names[code] == "x is missing" for code in found.codes] == is_missing


def test_a_number_with_many_values_is_cut_at_its_quartiles() -> None:
    found = divide("x", pl.Series(range(1, 101)))

    assert found is not None
    assert found.names == ("x <= 25", "25 < x <= 50", "50 < x <= 75", "x > 75")
    assert np.bincount(found.codes).tolist() == [25, 25, 25, 25]


def test_a_quartile_slice_is_what_the_predicate_of_its_name_takes() -> None:
    column = pl.Series("x", np.random.default_rng(0).lognormal(size=500))
    found = divide("x", column)

    assert found is not None
    low = float(found.names[0].removeprefix("x <= "))
    assert ((column <= low).to_numpy() == (found.codes == 0)).all()


def test_of_many_texts_the_most_frequent_are_taken_and_the_others_counted() -> None:
    found = divide("city", pl.Series([f"c{min(i % 40, 30):02}" for i in range(4_000)]))

    assert found is not None
    assert len(found.names) == 12
    assert found.n_levels_left_out == 19
    assert "city=c30" in found.names


def test_lists_make_no_slices() -> None:
    assert divide("tags", pl.Series([[1], [2]])) is None


def test_predicates_take_the_rows_for_which_they_are_true(binary: Examined) -> None:
    found = {item.name: item for item in report(binary).slices}

    visits = binary.analysis.frame["visits"]
    assert found["visits > 6"].n_rows == int((visits > 6).sum())
    assert found["visits > 6"].is_asked


def test_features_of_few_values_make_slices_unasked(binary: Examined) -> None:
    found = {item.name: item for item in report(binary).slices}

    assert not found["member=true"].is_asked
    assert not any(name.startswith(("city=", "noise")) for name in found)


def test_columns_with_personal_data_never_make_slices(binary: Examined) -> None:
    findings = tuple(
        Finding(rule="personal data", column=name, action="kept", detail="")
        for name in ("member", "plan")
    )
    profile = binary.profile.model_copy(update={"findings": findings})

    found = report(replace(binary, profile=profile))

    assert not any(item.source in ("member", "plan") for item in found.slices)
    assert [item.what for item in found.left_out] == ["plan"]
    assert "personal data" in found.left_out[0].why


def test_there_are_at_most_thirty_automatic_slices(binary: Examined) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"c{i}": rng.integers(0, 7, 3_000) for i in range(20)})
    column = binary.profile.column("plan").model_copy(update={"n_distinct": 7, "n_nulls": 0})
    profile = binary.profile.model_copy(
        update={
            "columns": tuple(column.model_copy(update={"name": name}) for name in frame.columns),
            "features": tuple(frame.columns),
        }
    )

    found = make_slicings(request(), profile, frame, is_large=lambda rows: len(rows) >= 100)

    assert [slicing.source for slicing in found.found] == ["c0", "c1", "c2", "c3"]
    assert found.n_slices == 28


# What a request may ask for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("churned", "'churned' is the target"),
        ("churned = 1 AND plan = 'a'", "'churned' is the target"),
        ("customer", "'customer' is the id"),
        ("age >", "the predicate cannot be read"),
        ("read_csv('x') = 1", "functions are not allowed"),
    ],
)
def test_a_slice_that_cannot_be_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected.replace("(", r"\(")):
        request(text)


def test_a_slice_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="'plan' is listed twice"):
        request("plan", "plan")


@pytest.mark.parametrize("text", ["plan", "first name", "in town", '"first name"', "age < 30"])
def test_columns_of_any_name_and_predicates_are_accepted(text: str) -> None:
    assert request(text).slices == (text,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pln", "slices: no column 'pln'; did you mean 'plan'"),
        ("plan > 3", "slices: column 'plan'"),
    ],
)
def test_slices_that_a_table_cannot_have_are_told_from_its_columns(
    text: str, expected: str
) -> None:
    schema = pl.Schema({"plan": pl.String, "first name": pl.String})
    check_slices(request("plan", "first name", '"first name"'), schema)

    with pytest.raises(RequestError, match=expected):
        check_slices(request(text), schema)


# Numbers


@pytest.mark.parametrize(
    "name", ["accuracy", "brier", "log_loss", "precision", "recall", "roc_auc"]
)
def test_a_score_is_the_metric_with_the_interval_of_the_headline(name: str) -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(3_000) < 0.3).astype(int)
    p = np.clip(0.3 + 0.2 * (y - 0.3) + 0.2 * rng.normal(size=3_000), 0.01, 0.99)
    prediction, metric = np.column_stack([1 - p, p]), load_metrics()[name]

    found = score(metric, Judged(y=y, prediction=prediction), seed=0)

    expected = estimate(metric, y, prediction, seed=0, confidence=0.9)
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    # Student's quantile is a little above the normal one, and here nothing corrects for skew.
    assert interval(found, 0.9) == pytest.approx((expected.low, expected.high), rel=3e-3)


@pytest.mark.parametrize("name", ["average_precision", "f1", "mcc"])
def test_the_error_of_a_resampled_metric_is_about_that_of_fresh_rows(name: str) -> None:
    rng, metric = np.random.default_rng(2), load_metrics()[name]

    def drawn(n_rows: int) -> Judged:
        y = (rng.random(n_rows) < 0.3).astype(int)
        p = np.clip(0.4 + 0.3 * (y - 0.3) + 0.2 * rng.normal(size=n_rows), 0.01, 0.99)
        return Judged(y=y, prediction=np.column_stack([1 - p, p]))

    many = [drawn(1_000) for _ in range(300)]
    truth = np.std([metric.score(rows.y, rows.prediction) for rows in many], ddof=1)
    errors = [score(metric, rows, seed=0).error for rows in many[:20]]

    assert np.mean(errors) == pytest.approx(truth, rel=0.12)


def test_rows_of_one_cluster_count_once() -> None:
    values = np.random.default_rng(0).normal(size=400)
    once = mean(values, None)

    thrice = mean(np.repeat(values, 3), np.repeat(np.arange(400), 3))

    assert thrice.value == pytest.approx(once.value)
    assert thrice.error == pytest.approx(once.error, rel=1e-9)


def test_a_share_without_errors_is_not_certain() -> None:
    ours, theirs = share(np.ones(20), None), share(np.repeat([1.0, 0.0], [9_000, 1_000]), None)

    assert interval(ours, 0.95).low < 0.9
    assert contrast(ours, theirs).p_value > 0.1


def test_clusters_on_both_sides_make_a_difference_surer() -> None:
    rng = np.random.default_rng(0)
    of_cluster, clusters = np.repeat(rng.normal(size=300), 2), np.repeat(np.arange(300), 2)
    values = of_cluster + 0.1 * rng.normal(size=600)
    ours, theirs = (mean(values[half::2], clusters[half::2]) for half in (0, 1))

    low, high = difference_interval(ours, theirs, 0.95)

    assert high - low < 0.05
    assert ours.error > 0.05


def test_holm_is_what_its_author_wrote() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(raw: list[float]) -> None:
    adjusted = holm(raw)

    assert all(p <= q <= min(1.0, p * len(raw)) + 1e-12 for p, q in zip(raw, adjusted, strict=True))
    assert (np.diff(np.array(adjusted)[np.argsort(raw, kind="stable")]) >= 0).all()


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(0.01, 10)), min_size=2, max_size=20),
)
def test_shrinking_never_leaves_the_range_of_the_numbers(pairs: list[tuple[float, float]]) -> None:
    values, errors = zip(*pairs, strict=True)

    found = shrunken(values, errors)

    assert min(values) - 1e-9 <= min(found)
    assert max(found) <= max(values) + 1e-9


def test_a_noisy_number_is_drawn_further_than_a_sure_one() -> None:
    found = shrunken([0.4, 0.4, 0.6, 0.8, 0.5], [0.2, 0.01, 0.01, 0.01, 0.01])

    assert found[0] - 0.4 > 10 * (found[1] - 0.4) > 0


def test_one_answer_for_all_is_seen_unless_it_is_nearly_right() -> None:
    y = np.repeat([0, 1], [60, 40])

    assert dominant_label(("no", "yes"), y, np.zeros(100, int)) is not None
    assert dominant_label(("no", "yes"), np.repeat([0, 1], [75, 25]), np.zeros(100, int)) is None
    assert dominant_label(("no", "yes"), y, np.repeat([0, 1], [90, 10])) is None


# The report


def test_a_slice_that_is_worse_is_found_ranked_first_and_told(binary: Examined) -> None:
    rng = np.random.default_rng(0)
    n_rows = 4_000
    plan = rng.choice(["basic", "plus", "prepaid"], n_rows)
    y = (rng.random(n_rows) < 0.4).astype(int)
    signal = np.where(plan == "prepaid", 0.2, 1.5) * (y - 0.5) + rng.normal(size=n_rows)
    p = 1 / (1 + np.exp(-signal))
    made = with_rows(binary, y, np.column_stack([1 - p, p]), plan=plan, age=plan, visits=y + 6)

    found = report(made)

    assert found.slices[0].name == "plan=prepaid"
    assert found.slices[0].standing == "worse"
    assert {item.name for item in found.better} >= {"plan=basic", "plan=plus"}
    assert SECTION.sentences(found)[0].startswith("Worst slice plan=prepaid: ROC AUC 0.5")


def test_slices_of_noise_are_rarely_flagged_and_that_is_told(binary: Examined) -> None:
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = (rng.random(1_600) < 0.4).astype(int)
        p = 1 / (1 + np.exp(0.5 - y - rng.normal(size=1_600)))
        noise = rng.choice(list("abcdefgh"), 1_600)
        columns = {"plan": noise, "age": rng.permutation(noise), "visits": y * 0}
        found.append(report(with_rows(binary, y, np.column_stack([1 - p, p]), **columns)))

    # 5% of 40 are 2; more than 6 would come once in 300 times.
    quiet = [item for item in found if not item.worse and not item.better]
    assert len(quiet) >= 34
    assert SECTION.sentences(quiet[0]) == ("No slice of 16 is worse than the rest beyond chance.",)


def test_small_slices_are_grey_and_not_ranked(binary: Examined) -> None:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 500)
    y[99:299] = 0
    y[99:118] = 1
    p = np.clip(0.3 + 0.1 * y + 0.1 * rng.normal(size=1_000), 0.01, 0.99)
    plan = np.repeat(["few rows", "few yes", "rest"], [99, 200, 701])
    made = with_rows(binary, y, np.column_stack([1 - p, p]), plan=plan, age=plan, visits=y)

    found = {item.name: item for item in report(made).slices}

    assert found["plan=few rows"].why_small == "it has 99 rows, and 100 are needed"
    assert found["plan=few yes"].why_small == "it has 19 rows of one class, and 20 are needed"
    assert found["plan=few yes"].value is None
    assert found["plan=rest"].standing == "alike"
    assert "nobody knows" in SECTION.limits(report(made))[0]


def test_decisions_follow_the_threshold() -> None:
    made = make_examined("binary", metric="recall", threshold=0.2, n_rows=4_000)

    found = report(made)

    positive = made.analysis.y == 1
    decided = made.decisions(made.analysis.prediction)
    assert found.overall == pytest.approx((decided[positive] == 1).mean(), abs=1e-12)


def test_the_limit_is_looked_at_as_in_the_search() -> None:
    asked = {"constraints": {"slice_gap": {"metric": "log_loss", "by": ["plan"], "max": 0.01}}}
    made = make_examined("binary", n_rows=8_000, asked=asked)

    gap = report(made).gap

    rows, losses = made.analysis, load_metrics()["log_loss"]
    plan = rows.frame["plan"].fill_null("missing").to_numpy()
    scores = [losses.score(rows.y[plan == v], rows.prediction[plan == v]) for v in np.unique(plan)]
    assert gap is not None
    assert gap.found == pytest.approx(max(scores) - min(scores), abs=1e-12)
    assert gap.holds is False


@pytest.mark.parametrize("task", TASKS)
def test_a_report_reads_back_and_is_the_same_again(task: Any) -> None:
    made = make_examined(task, n_rows=2_400, groups=True, asked={"slices": ["plan", "income"]})

    found = report(made)

    assert SliceReport.model_validate_json(found.model_dump_json()) == found
    assert report(replace(made)) == found


@pytest.mark.parametrize("task", TASKS)
def test_the_page_shows_slices_and_escapes_their_names(task: Any) -> None:
    made = make_examined(task, n_rows=4_000, asked={"slices": ["plan", "age", "city"]})
    evil = pl.col("plan").fill_null("x").str.replace("plan 1", "<script>alert(1)</script>")
    frame = made.analysis.frame.with_columns(evil)
    found = report(replace(made, analysis=replace(made.analysis, frame=frame)))

    (figure,) = draw_pictures("slices", pictures(found))
    page = templates().get_template("sections/slices.html.j2")
    html = page.render(section=found.model_dump(mode="json"), card={"metrics": {}})

    assert "<script>" not in html + figure.svg
    assert "plan=&lt;script&gt;" in html
    assert 'class="lead"' in html


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_trials"),
    [("log_loss", 300), ("roc_auc", 300), ("accuracy", 300), ("average_precision", 100)],
)
def test_slices_of_noise_are_flagged_as_rarely_as_promised(name: str, n_trials: int) -> None:
    rng, metric, n_flagged, n_missed = np.random.default_rng(0), load_metrics()[name], 0, 0
    for trial in range(n_trials):
        y = (rng.random(1_600) < 0.3).astype(int)
        p = 1 / (1 + np.exp(1 - 2 * y - rng.normal(size=1_600)))
        rows = Judged(y=y, prediction=np.column_stack([1 - p, p]))
        codes = rng.integers(0, 8, 1_600)
        tests = []
        for code in range(8):
            here, there = (
                rows.take(np.flatnonzero((codes == code) == is_in)) for is_in in (True, False)
            )
            ours, theirs = score(metric, here, seed=trial), score(metric, there, seed=trial + 1)
            low, high = difference_interval(ours, theirs, 0.95)
            n_missed += not low <= 0 <= high
            tests.append(contrast(ours, theirs).p_value)
        n_flagged += min(holm(tests)) <= 0.05

    # Three binomial standard errors; those of single intervals are below 0.8 points.
    assert n_flagged / n_trials < 0.05 + 3 * (0.05 * 0.95 / n_trials) ** 0.5
    assert 0.03 < n_missed / (8 * n_trials) < 0.07
