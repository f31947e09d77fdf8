"""Intervals, comparisons, judgement and importance keep what they promise."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from automl_assets.core.errors import ContractError, RequestError
from automl_assets.core.evaluation import curves
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.confusion import decided
from automl_assets.core.evaluation.importance import permutation_importance
from automl_assets.core.evaluation.intervals import delong_interval, estimate, wilson_interval
from automl_assets.core.evaluation.judge import OF_DECISIONS, JudgeInput, judge
from automl_assets.core.evaluation.resampling import student
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import PackageManifest
from automl_assets.core.predictor import Predictor
from automl_assets.core.request.sections import Cost

METRICS = load_metrics()
CASES = [(name, task) for name, metric in METRICS.items() for task in sorted(metric.task_types)]
RANGES = {"mcc": (-1, 1), "r2": (-np.inf, 1)}


def binary(*, n_rows=200, share=0.3, signal=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n_rows) < share).astype(np.int32)
    positive = 1 / (1 + np.exp(-(rng.normal(size=n_rows) + signal * y - 1)))
    return y, np.column_stack([1 - positive, positive])


def multiclass(*, n_rows=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n_rows).astype(np.int32)
    p = rng.random((n_rows, 4)) + 0.5 * np.eye(4)[y]
    return y, p / p.sum(axis=1, keepdims=True)


def regression(*, n_rows=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.lognormal(size=n_rows)
    return y, y + rng.normal(size=n_rows)


DATA = {"binary": binary, "multiclass": multiclass, "regression": regression}
CLASSES = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c", "d"), "regression": ()}
PRIMARY = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def judged(task, **changes):
    y, prediction = DATA[task]()
    values = {
        "task_type": task,
        "classes": CLASSES[task],
        "y_true": y,
        "prediction": prediction,
        "y_train": DATA[task](seed=1)[0],
        "metric": PRIMARY[task],
    }
    return JudgeInput(**(values | changes))


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("n_rows", [300, 6_000, 25_000])
def test_an_interval_holds_its_estimate_and_stays_in_range(name, task, n_rows):
    y, prediction = DATA[task](n_rows=n_rows)
    lowest, highest = RANGES.get(name, (0, np.inf if METRICS[name].direction == "minimize" else 1))

    found = estimate(METRICS[name], y, prediction, seed=0)

    assert lowest <= found.low < found.value < found.high <= highest
    assert found.value == METRICS[name].score(y, prediction)


def test_the_scaled_bootstrap_agrees_with_theory_on_many_rows():
    y, prediction = regression(n_rows=40_000)
    losses = (y - prediction) ** 2
    error = losses.std() / np.sqrt(len(y)) / (2 * np.sqrt(losses.mean()))

    found = estimate(METRICS["rmse"], y, prediction, seed=0)

    assert "200 resamples of 10,000 rows" in found.method
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.15)


def test_a_rare_class_makes_resamples_larger():
    y, prediction = binary(n_rows=40_000, share=0.002)

    found = estimate(METRICS["average_precision"], y, prediction, seed=0)

    assert f"{50 * 40_000 // int(y.sum()):,} rows" in found.method


def test_an_interval_names_method_resamples_and_seed():
    found = estimate(METRICS["f1"], *binary(), seed=7)

    assert found.method == "bootstrap (BCa), 1,000 resamples, seed 7"


def test_the_same_seed_gives_the_same_interval():
    first, second = (estimate(METRICS["mcc"], *binary(), seed=3) for _ in range(2))

    assert first == second


def test_wilson_agrees_with_published_values():
    low, high, _ = wilson_interval(81, 263)

    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_perfect_separation_is_not_certain():
    y = np.array([0] * 50 + [1] * 10)

    low, high, method = delong_interval(y, y.astype(float))

    assert 0.6 < low < 0.8
    assert high == 1.0
    assert method == "Wilson on the 10 rows of the rarer class"


def test_a_single_row_has_no_interval():
    with pytest.raises(ContractError, match="at least 2 rows, but the part has 1"):
        estimate(METRICS["mae"], np.ones(1), np.ones(1), seed=0)


def test_resamples_without_a_class_are_left_out_and_said():
    y, prediction = binary(n_rows=40)
    y[:] = 0
    y[:3] = 1

    found = estimate(METRICS["average_precision"], y, prediction, seed=0)

    assert "undefined ones left out" in found.method


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_gain_is_positive_for_the_better_predictions(name, task):
    y, prediction = DATA[task](n_rows=300)
    best = np.eye(len(CLASSES[task]))[y] * 0.98 + 0.01 if CLASSES[task] else y + 0.01

    gain = compare(METRICS[name], y, best, prediction, seed=0)
    loss = compare(METRICS[name], y, prediction, best, seed=0)

    assert gain.is_better
    assert loss.is_worse
    assert gain.gain == pytest.approx(-loss.gain)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "f1"])
def test_predictions_are_not_better_than_themselves(name):
    y, prediction = binary()

    difference = compare(METRICS[name], y, prediction, prediction, seed=0)

    assert (difference.low, difference.gain, difference.high) == (0, 0, 0)


def test_a_paired_interval_is_narrower_than_two_apart():
    y, prediction = binary()
    near = np.clip(prediction + 0.01 * np.random.default_rng(0).normal(size=prediction.shape), 0, 1)

    difference = compare(METRICS["roc_auc"], y, near, prediction, seed=0)
    apart = estimate(METRICS["roc_auc"], y, prediction, seed=0)

    assert difference.high - difference.low < (apart.high - apart.low) / 5


@pytest.mark.parametrize("task", DATA)
def test_judging_reports_every_metric_of_the_task_beside_the_baseline(task):
    found = judge(judged(task))

    names = [item.metric for item in found.metrics]
    assert names[0] == PRIMARY[task]
    assert sorted(names) == sorted(name for name, kind in CASES if kind == task)
    assert [item.metric for item in found.baseline] == names
    assert found.better_than_baseline
    assert "is better than always predicting" in found.verdict[0]


@pytest.mark.parametrize("task", DATA)
def test_an_evaluation_survives_json(task):
    found = judge(judged(task))

    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_only_the_metrics_asked_for_are_reported():
    found = judge(judged("binary", report=("brier",)))

    assert [item.metric for item in found.metrics] == ["roc_auc", "brier"]


def test_useless_predictions_are_not_called_better():
    y, prediction = binary(signal=0)

    found = judge(judged("binary", y_true=y, prediction=prediction))

    assert not found.better_than_baseline
    assert "not shown to be better" in found.verdict[0]


def test_reversed_predictions_are_called_worse():
    y, prediction = binary()

    found = judge(judged("binary", y_true=y, prediction=prediction[:, ::-1]))

    assert "is worse than" in found.verdict[0]
    assert "Do not use it." in found.verdict[0]


def test_the_baseline_of_a_regression_suits_its_metric():
    squared, absolute = (judge(judged("regression", metric=name)) for name in ("rmse", "mae"))

    assert squared.baseline_name == "always predicting the mean target"
    assert absolute.baseline_name == "always predicting the median target"


def test_a_model_that_names_one_class_only_is_found_out():
    y, prediction = binary(share=0.5)
    prediction = np.column_stack([0.51 + 0.4 * prediction[:, 0], 0.49 - 0.4 * prediction[:, 0]])

    found = judge(judged("binary", y_true=y, prediction=prediction))

    assert "it hardly tells the classes apart" in found.verdict[-1]


def test_a_metric_that_rows_cannot_show_is_named_and_left_out():
    y, prediction = binary()

    found = judge(judged("binary", y_true=np.zeros_like(y), metric="log_loss"))

    assert "roc_auc" not in [item.metric for item in found.metrics]
    assert any(text.startswith("ROC AUC is not reported.") for text in found.undefined)
    assert set(found.undefined) <= set(found.verdict)
    assert len(prediction) == found.n_rows


def test_the_metric_of_the_search_must_be_defined():
    y, _ = binary()

    with pytest.raises(ContractError, match="needs rows of both classes"):
        judge(judged("binary", y_true=np.zeros_like(y)))


def test_predictions_that_are_not_finite_are_refused():
    y, prediction = regression()
    prediction[3] = np.inf

    with pytest.raises(ContractError, match="those of 1 of 200 rows are not"):
        judge(judged("regression", y_true=y, prediction=prediction))


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ContractError, match=r"must have the shape \(200, 2\), but have \(200,\)"):
        judge(judged("binary", prediction=np.ones(200)))


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(RequestError, match="'rmse' is not known for binary tasks"):
        judge(judged("binary", metric="rmse"))


def test_curves_are_thinned_and_keep_their_area():
    y, prediction = binary(n_rows=20_000)

    points = np.array(curves.roc_points(y, prediction[:, 1]))

    assert len(points) <= 200
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    area = sklearn_metrics.roc_auc_score(y, prediction[:, 1])
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(area, abs=0.002)


def test_calibration_bins_hold_every_row_once():
    y, prediction = binary(n_rows=1_000)

    bins = curves.calibration_bins(prediction[:, 1], y == 1, share=True)

    assert [item.n_rows for item in bins] == [100] * 10
    assert sum(item.n_rows * item.observed for item in bins) == pytest.approx(y.sum())
    assert all(item.low <= item.observed <= item.high for item in bins)


def test_equal_predictions_share_a_bin():
    bins = curves.calibration_bins(np.full(100, 0.3), np.arange(100) % 2 == 0, share=True)

    assert [item.n_rows for item in bins] == [100]


def important(n_features=40, n_rows=400, **options):
    """Return importances of a model that uses 3 true features, 30 useless and some not."""
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(n_rows, n_features)), dtype=np.float32)
    weights = np.zeros(n_features)
    weights[:3], weights[3:33] = (3, 2, 1), 0.1
    y = X[:, :3] @ weights[:3] + rng.normal(size=n_rows)
    X.flags.writeable = False
    names = [f"x{i}" for i in range(n_features)]
    arguments = {"feature_names": names, "seed": 0} | options
    return permutation_importance(lambda X: X @ weights, X, y, METRICS["rmse"], **arguments)


def test_importance_ranks_true_features_first():
    found = important()

    assert [item.name for item in found[:3]] == ["x0", "x1", "x2"]
    assert all(item.is_useful for item in found[:3])


def test_few_useless_features_lie_above_the_noise():
    useless = [item for item in important() if item.name not in {"x0", "x1", "x2"}]

    assert sum(item.is_useful for item in useless) <= 3


def test_an_unused_feature_has_no_importance_and_no_noise():
    unused = {item.name: item for item in important()}["x39"]

    assert unused.mean == pytest.approx(0, abs=1e-12)
    assert unused.noise == pytest.approx(0, abs=1e-12)
    assert not unused.is_useful


def test_importance_looks_at_a_bounded_number_of_rows():
    sizes = []
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)).astype(np.float32)

    permutation_importance(
        lambda X: sizes.append(len(X)) or X[:, 0],
        X,
        X[:, 0],
        METRICS["mae"],
        feature_names=("a", "b"),
        seed=0,
        n_repeats=3,
        max_rows=100,
    )

    assert sizes == [100, 300, 300]


def test_importance_is_the_same_for_the_same_seed():
    assert important() == important()


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[1] != "regression"])
def test_metrics_of_decisions_are_those_that_see_no_probabilities(name, task):
    y, prediction = DATA[task]()

    certain = METRICS[name].score(y, decided(prediction, None))

    assert (certain == METRICS[name].score(y, prediction)) == (name in OF_DECISIONS)


@pytest.mark.parametrize("threshold", [None, 0.0, 0.2, 0.5, 0.9, 1.1])
def test_what_is_judged_is_what_a_model_decides(threshold):
    _, prediction = binary()
    prediction[:3] = [[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]]
    manifest = PackageManifest.model_construct(threshold=threshold)

    decisions = Predictor(manifest, None, None).decide(prediction)  # pyright: ignore[reportArgumentType]

    np.testing.assert_array_equal(decided(prediction, threshold).argmax(axis=1), decisions)


def test_labels_are_judged_at_the_threshold_and_probabilities_as_they_are():
    y, prediction = binary(n_rows=500)
    yes = prediction[:, 1] >= 0.15

    plain = judge(judged("binary", y_true=y, prediction=prediction))
    found = judge(judged("binary", y_true=y, prediction=prediction, threshold=0.15))

    ours, other = ({m.metric: m for m in e.metrics} for e in (found, plain))
    assert ours["recall"].value == sklearn_metrics.recall_score(y, yes)
    assert ours["precision"].value == sklearn_metrics.precision_score(y, yes)
    assert ours["f1"].value == pytest.approx(sklearn_metrics.f1_score(y, yes))
    assert ours["f1"].low < ours["f1"].value < ours["f1"].high
    assert ours["roc_auc"] == other["roc_auc"]
    assert ours["log_loss"] == other["log_loss"]
    assert found.confusion == tuple(map(tuple, sklearn_metrics.confusion_matrix(y, yes).tolist()))
    assert "From a probability of 0.15 on it finds" in " ".join(found.verdict)
    assert "At a probability of one half it finds" in " ".join(plain.verdict)


def test_a_search_for_a_metric_of_decisions_is_judged_by_decisions():
    y, prediction = binary(n_rows=500)
    yes = prediction[:, 1] >= 0.3

    found = judge(judged("binary", y_true=y, prediction=prediction, metric="f1", threshold=0.3))

    assert found.metrics[0].value == pytest.approx(sklearn_metrics.f1_score(y, yes))
    # The class frequencies say yes to every row where their share reaches the threshold, too.
    gain = found.metrics[0].value - found.baseline[0].value
    assert found.difference.gain == pytest.approx(gain)


@pytest.mark.parametrize("threshold", [None, 0.1])
def test_costs_are_those_of_the_decisions(threshold):
    y, prediction = binary(n_rows=400)
    cost = Cost(false_positive=1.0, false_negative=9.0, currency="USD")

    found = judge(judged("binary", y_true=y, prediction=prediction, threshold=threshold, cost=cost))

    def cost_of(yes):
        return float(np.sum(yes & (y == 0)) + 9 * np.sum(~yes & (y == 1))) / 400 * 1000

    score = prediction[:, 1]
    assert found.cost is not None
    assert found.cost.per_1000 == pytest.approx(cost_of(score >= (threshold or 0.5)))
    assert found.cost.at_half == pytest.approx(cost_of(score >= 0.5))
    assert found.cost.never == pytest.approx(cost_of(score > 2))
    assert found.cost.always == pytest.approx(cost_of(score < 2))
    assert found.cost.low < found.cost.per_1000 < found.cost.high
    words = next(line for line in found.verdict if "USD per 1,000 rows" in line)
    assert ("from one half on" in words) == (threshold is not None)
    cheapest = min(found.cost.always, found.cost.never)
    assert ("is cheaper" in words) == (cheapest < found.cost.per_1000)


def test_without_costs_none_are_told():
    found = judge(judged("binary"))

    assert found.cost is None
    assert "per 1,000 rows" not in " ".join(found.verdict)


@pytest.mark.parametrize("task", DATA)
def test_clusters_make_every_interval_of_a_judgement_wider(task):
    y, prediction = DATA[task](n_rows=300)
    rows, more = np.repeat(np.arange(300), 6), {"report": (PRIMARY[task],)}

    naive = judge(judged(task, y_true=y[rows], prediction=prediction[rows], **more))
    found = judge(judged(task, y_true=y[rows], prediction=prediction[rows], groups=rows, **more))

    def width(item):
        return item.high - item.low

    assert found.n_clusters == 300
    assert found.design_effect == pytest.approx(6, rel=0.01)
    assert (naive.n_clusters, naive.design_effect) == (None, None)
    assert width(found.metrics[0]) > 2 * width(naive.metrics[0])
    assert width(found.difference) > 2 * width(naive.difference)
    assert "say as much about the mean loss as 299 independent ones" in " ".join(found.verdict)
    assert "independent" not in " ".join(naive.verdict)


@pytest.mark.parametrize("task", DATA)
@pytest.mark.parametrize("confidence", [0.975, 0.99375])
def test_a_higher_confidence_is_kept_by_every_interval(task, confidence):
    usual, found = judge(judged(task)), judge(judged(task, confidence=confidence))

    assert found.confidence == found.difference.confidence == confidence
    for ours, theirs in zip(found.metrics, usual.metrics, strict=True):
        assert ours.confidence == confidence
        assert ours.high - ours.low > theirs.high - theirs.low
    assert f"{100 * confidence:.1f}% interval" in found.verdict[0]


def test_few_resamples_beyond_an_end_make_way_for_the_standard_error():
    found = estimate(METRICS["f1"], *binary(), seed=0, confidence=0.99)

    assert found.method == "bootstrap (standard error), 200 resamples of 200 rows, seed 0"


@pytest.mark.parametrize("n_rows", [300, 6_000])
def test_resamples_that_do_not_reach_far_enough_do_not_cut_an_interval_off(n_rows):
    y, prediction = regression(n_rows=n_rows)
    usual, sure = (
        estimate(METRICS["rmse"], y, prediction, seed=0, confidence=confidence)
        for confidence in (0.985, 0.9999)
    )

    wider = (sure.high - sure.low) / (usual.high - usual.low)
    assert wider == pytest.approx(student(0.9999, 199) / student(0.985, 199))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_no_end_is_a_value_that_the_metric_cannot_have(name, task):
    y, prediction = DATA[task](n_rows=40)
    lowest, highest = METRICS[name].range
    of_gain = METRICS[name].gain_range

    found = estimate(METRICS[name], y, prediction, seed=0, confidence=1 - 1e-9)
    gain = compare(METRICS[name], y, prediction, prediction[::-1], seed=0, confidence=1 - 1e-9)

    assert lowest <= found.low <= found.high <= highest
    assert of_gain[0] <= gain.low <= gain.high <= of_gain[1]


def shown_or_told(find):
    """Return what is found, or nothing where a sentence says why there is none."""
    try:
        return [find()]
    except ContractError as error:
        return [] if "Use " in str(error) else [error]


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("groups", [None, np.array([0, 1]), np.array([0, 0])])
def test_two_rows_have_an_interval_or_a_sentence(name, task, groups):
    y, prediction = DATA[task](n_rows=2)
    y[:] = (0, 1)

    found = shown_or_told(lambda: estimate(METRICS[name], y, prediction, seed=0, groups=groups))

    for item in found:
        assert item.low <= item.value <= item.high


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("groups", [None, np.arange(60) // 6])
def test_rows_of_one_class_or_value_have_an_interval_or_a_sentence(name, task, groups):
    y, prediction = DATA[task](n_rows=60)
    y[:], prediction[:] = 1, prediction[0]
    metric, options = METRICS[name], {"seed": 0, "groups": groups}

    found = shown_or_told(lambda: estimate(metric, y, prediction, **options))
    gains = shown_or_told(lambda: compare(metric, y, prediction, prediction, **options))

    for item in found:
        assert item.low <= item.value + 1e-12
        assert item.value <= item.high + 1e-12
    for gain in gains:
        assert (gain.low, gain.gain, gain.high) == (0, 0, 0)


def test_all_rows_of_one_group_have_no_bootstrap():
    with pytest.raises(ContractError, match="at least 2 groups, but all 200 rows are of one"):
        estimate(METRICS["f1"], *binary(), seed=0, groups=np.zeros(200, int))
