"""Calibration and decisions: what is said of predictions, and that it is so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from automl_assets.core.evaluation import recalibration, thresholds
from automl_assets.core.evaluation.ranking import ranks_of_truth
from automl_assets.core.evaluation.sections import calibration, decisions
from automl_assets.core.report.figures import draw_pictures
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures import calibration as calibration_pictures
from automl_assets.core.report.section_pictures import decisions as decision_pictures
from automl_assets.core.request.sections import Cost
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")
COST = {"task": {"cost": {"false_positive": 1.0, "false_negative": 5.0, "currency": "EUR"}}}
PAIRS = [(calibration, calibration_pictures), (decisions, decision_pictures)]


def drawn(*, slope=1.0, shift=0.0, n_rows=4_000, seed=0):
    """Return truth and probabilities whose log-odds are off by a line."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.5, 1.5, n_rows)
    y = (rng.random(n_rows) < 1 / (1 + np.exp(-(shift + slope * odds)))).astype(int)
    return y, 1 / (1 + np.exp(-odds))


def both(p):
    return np.column_stack([1 - p, p])


@pytest.fixture(scope="module")
def examined():
    return {
        task: make_examined(task, n_rows=1_600, asked=COST if task == "binary" else {})
        for task in TASKS
    }


def with_rows(examined, y, prediction, **changes):
    rows = replace(
        examined.analysis, y=y, prediction=prediction, groups=changes.pop("groups", None)
    )
    return replace(examined, analysis=rows, **changes)


def rendered(section, pictures, result):
    template = templates().get_template("section.html.j2")
    return template.render(
        name=section.SECTION.name,
        title=section.SECTION.title,
        section=json.loads(result.model_dump_json()),
        card={},
        figures=draw_pictures(section.SECTION.name, pictures.PICTURES.pictures(result)),
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("section", "pictures"), PAIRS)
def test_a_result_survives_json_and_can_be_read(examined, task, section, pictures):
    one = with_rows(
        examined[task], np.abs(examined[task].analysis.y), examined[task].analysis.prediction
    )

    result = section.examine(one)

    assert result is not None
    assert type(result).model_validate_json(result.model_dump_json()) == result
    page = rendered(section, pictures, result)
    assert page.index('class="lead"') < page.index("<table>")
    assert "None" not in page


@pytest.mark.parametrize(
    ("slope", "tendency"), [(0.6, "overconfident"), (1.0, "neither"), (1.6, "underconfident")]
)
def test_over_and_underconfidence_is_said_first(examined, slope, tendency):
    y, p = drawn(slope=slope)

    found = calibration.examine(with_rows(examined["binary"], y, both(p)))

    assert found.tendency == tendency
    assert found.slope.low <= slope <= found.slope.high
    assert found.sentences[0].startswith(f"The model is {tendency}")
    assert bool(calibration.SECTION.sentences(found)) == (tendency != "neither")


@pytest.mark.parametrize(("shift", "level"), [(-0.5, "too high"), (0.5, "too low"), (0, "neither")])
def test_probabilities_that_are_off_as_a_whole_are_found(examined, shift, level):
    y, p = drawn(shift=shift)

    found = calibration.examine(with_rows(examined["binary"], y, both(p)))

    assert found.level == level
    assert found.intercept.low <= shift <= found.intercept.high


def test_the_slope_is_that_of_a_logistic_regression():
    y, p = drawn(slope=0.7)
    odds = np.log(p / (1 - p))[:, None]

    lines = recalibration.logistic_lines(y, p, confidence=0.95)

    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(odds, y)
    assert lines is not None
    assert lines[1][0] == pytest.approx(fitted.coef_[0, 0], abs=1e-5)


@pytest.mark.parametrize("slope", [1.0, 0.5])
@pytest.mark.parametrize("clustered", [False, True])
def test_about_95_of_100_intervals_hold_the_calibration_error(slope, clustered):
    truth = 0.0 if slope == 1 else _error_of(slope)
    groups = np.arange(1_500) // 5 if clustered else None

    found = [
        recalibration.calibration_error(
            *drawn(slope=slope, n_rows=1_500, seed=seed), confidence=0.95, groups=groups
        )
        for seed in range(400)
    ]

    n_right = sum(low - 1e-12 <= truth <= high for _, (low, high, _) in found)
    assert n_right >= 368


def _error_of(slope):
    odds = np.sort(np.random.default_rng(1).normal(-0.5, 1.5, 600_000)).reshape(15, -1)
    gaps = (1 / (1 + np.exp(-odds)) - 1 / (1 + np.exp(-slope * odds))).mean(axis=1)
    return float((gaps**2).mean() ** 0.5)


def test_chance_adds_nothing_to_the_calibration_error_on_average():
    squared = [
        np.sign(value) * value**2
        for seed in range(300)
        for value, _ in [
            recalibration.calibration_error(*drawn(n_rows=400, seed=seed), confidence=0.95)
        ]
    ]

    # Negative squares are shown as 0, which leaves about half of the plain estimate's bias.
    assert np.mean(squared) < 15 * 0.14 / 400 / 2


@pytest.mark.parametrize(
    ("y", "p"),
    [
        (np.array([0, 1]), np.array([0.4, 0.6])),
        (np.zeros(300, int), np.full(300, 0.2)),
        (np.ones(300, int), np.linspace(0.1, 0.9, 300)),
        (np.repeat([0, 1], 150), np.full(300, 0.5)),
        (np.repeat([0, 1], 150), np.repeat([0.0, 1.0], 150)),
        (np.repeat([0, 1], 150), np.linspace(0.0, 1.0, 300)),
    ],
)
def test_rows_that_show_little_are_told_in_words(examined, y, p):
    for groups in (None, np.arange(len(y)) // 2 * (len(y) > 2)):
        one = with_rows(examined["binary"], y, both(p), groups=groups)

        found = calibration.examine(one)

        assert found.tendency == "unknown"
        assert "cannot be said" in found.sentences[0]
        assert calibration.SECTION.limits(found)
        assert rendered(calibration, calibration_pictures, found)
        assert rendered(decisions, decision_pictures, decisions.examine(one))


def test_the_brier_skill_is_the_part_taken_off(examined):
    y, p = drawn()
    one = with_rows(examined["binary"], y, both(p))

    found = calibration.examine(one)

    prior = np.mean(one.y_train == 1)
    brier = sklearn_metrics.brier_score_loss(y, p)
    assert found.brier.value == pytest.approx(brier)
    assert found.brier_skill.value == pytest.approx(1 - brier / np.mean((y - prior) ** 2))
    assert found.brier_skill.low < found.brier_skill.value < found.brier_skill.high


def test_a_model_that_is_too_sure_of_its_class_is_found(examined):
    rng = np.random.default_rng(0)
    p = rng.dirichlet((1, 1, 1), 2_000)
    y = np.array([rng.choice(3, p=row) for row in p])
    sure = p**3 / (p**3).sum(axis=1, keepdims=True)

    honest = calibration.examine(with_rows(examined["multiclass"], y, p))
    found = calibration.examine(with_rows(examined["multiclass"], y, sure))

    assert (honest.tendency, found.tendency) == ("neither", "overconfident")
    assert found.error.low > honest.error.value
    assert [item.n_rows for item in found.classes] == sorted(np.bincount(y).tolist(), reverse=True)


@pytest.mark.parametrize(("stretch", "tendency"), [(2.0, "overconfident"), (0.5, "underconfident")])
def test_values_that_are_too_extreme_or_too_timid_are_found(examined, stretch, tendency):
    rng = np.random.default_rng(0)
    true = rng.normal(size=800)

    one = with_rows(examined["regression"], 10 + true + rng.normal(size=800), 10 + stretch * true)

    assert calibration.examine(one).tendency == tendency


def test_numbers_at_the_threshold_are_those_of_scikit_learn(examined):
    y, p = drawn()
    one = examined["binary"]
    predictor = one.predictor.__class__(
        one.predictor.manifest.model_copy(update={"threshold": 0.3}), None, None
    )

    found = decisions.examine(with_rows(one, y, both(p), predictor=predictor))

    yes, values = p >= 0.3, {item.metric: item for item in found.measures}
    assert found.threshold == 0.3
    expected = {
        "precision": sklearn_metrics.precision_score(y, yes),
        "recall": sklearn_metrics.recall_score(y, yes),
        "specificity": sklearn_metrics.recall_score(y, yes, pos_label=0),
        "f1": sklearn_metrics.f1_score(y, yes),
        "mcc": sklearn_metrics.matthews_corrcoef(y, yes),
    }
    assert {name: item.value for name, item in values.items()} == pytest.approx(expected, abs=1e-12)
    assert all(item.low < item.value < item.high for item in values.values())
    assert found.confusion == tuple(map(tuple, sklearn_metrics.confusion_matrix(y, yes).tolist()))


def test_costs_by_threshold_are_those_of_deciding_there():
    y, p = drawn(n_rows=500)
    cost = Cost(false_positive=1.0, false_negative=5.0, currency="EUR")

    curve = thresholds.cost_curve(y == 1, p, cost)

    def at(threshold):
        yes = p >= threshold
        return 2.0 * float(np.sum(yes & (y == 0)) + 5 * np.sum(~yes & (y == 1)))

    assert [value for _, value in curve] == pytest.approx([at(threshold) for threshold, _ in curve])
    assert min(value for _, value in curve) == pytest.approx(min(at(level) for level in p))


def test_the_highest_scores_hold_what_sorting_finds(examined):
    y, p = drawn(n_rows=2_000)

    found = decisions.examine(with_rows(examined["binary"], y, both(p)))

    order = np.argsort(-p)
    for item in found.selected:
        hits = y[order[: item.n_rows]].sum()
        assert item.precision.value == pytest.approx(hits / item.n_rows)
        assert item.gain.value == pytest.approx(hits / y.sum())
        assert item.lift == pytest.approx(hits / item.n_rows / y.mean())
        assert item.gain.low <= item.gain.value <= item.gain.high


def test_equal_scores_have_a_lift_of_one(examined):
    y, _ = drawn(n_rows=1_000)

    found = decisions.examine(with_rows(examined["binary"], y, both(np.full(1_000, 0.3))))

    assert [item.lift for item in found.selected] == pytest.approx([1.0] * 4)


def test_net_benefit_is_that_of_its_definition():
    y, p = drawn(n_rows=700)

    model, everyone = thresholds.benefit_curves(y == 1, p)

    for (at, benefit), (_, of_all) in zip(model, everyone, strict=True):
        odds, yes = at / (1 - at), p >= at
        assert benefit == pytest.approx(
            (np.sum(yes & (y == 1)) - odds * np.sum(yes & (y == 0))) / 700
        )
        assert of_all == pytest.approx(y.mean() - odds * (1 - y.mean()))


def test_the_true_class_among_the_most_probable_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 6, 400), rng.dirichlet(np.ones(6), 400)

    ranks = ranks_of_truth(y, p)

    for k in (1, 2, 3, 5):
        assert np.mean(ranks < k) == sklearn_metrics.top_k_accuracy_score(y, p, k=k)


def test_shares_within_percents_are_of_targets_of_one_sign_only(examined):
    y, prediction = np.array([10.0, 20.0, 30.0]), np.array([10.4, 25.0, 30.0])

    found = decisions.examine(with_rows(examined["regression"], y, prediction))
    none = decisions.examine(with_rows(examined["regression"], y - 20, prediction))

    assert [item.value for item in found.within] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1])
    assert none is None


def test_a_higher_confidence_makes_all_intervals_wider(examined):
    usual = calibration.examine(examined["binary"])
    stricter = calibration.examine(replace(examined["binary"], confidence=0.99))

    for name in ("slope", "intercept", "error", "brier", "brier_skill"):
        ours, theirs = getattr(usual, name), getattr(stricter, name)
        assert theirs.high - theirs.low > ours.high - ours.low
    assert "99% interval" in rendered(calibration, calibration_pictures, stricter)
