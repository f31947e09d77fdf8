"""Every metric keeps the promises of `Metric` and agrees with scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from automl_assets.core.metrics import DEFAULT_METRIC, load_metrics

METRICS = load_metrics()
CASES = [(name, task) for name, metric in METRICS.items() for task in sorted(metric.task_types)]
N_CLASSES = {"binary": 2, "multiclass": 4}


def _labels(prediction):
    return prediction.argmax(axis=1)


def _wape(y, p):
    return sklearn_metrics.mean_absolute_error(y, p) / np.abs(y).mean()


REFERENCE = {
    "accuracy": lambda y, p: sklearn_metrics.accuracy_score(y, _labels(p)),
    "average_precision": lambda y, p: sklearn_metrics.average_precision_score(y, p[:, 1]),
    "balanced_accuracy": lambda y, p: sklearn_metrics.balanced_accuracy_score(y, _labels(p)),
    "brier": lambda y, p: sklearn_metrics.brier_score_loss(y, p[:, 1]),
    "f1": lambda y, p: sklearn_metrics.f1_score(y, _labels(p), zero_division=0),
    "f1_macro": lambda y, p: sklearn_metrics.f1_score(
        y, _labels(p), average="macro", zero_division=0
    ),
    "log_loss": lambda y, p: sklearn_metrics.log_loss(y, p, labels=np.arange(p.shape[1])),
    "mae": sklearn_metrics.mean_absolute_error,
    "mcc": lambda y, p: sklearn_metrics.matthews_corrcoef(y, _labels(p)),
    "median_absolute_error": sklearn_metrics.median_absolute_error,
    "precision": lambda y, p: sklearn_metrics.precision_score(y, _labels(p), zero_division=0),
    "r2": sklearn_metrics.r2_score,
    "recall": lambda y, p: sklearn_metrics.recall_score(y, _labels(p), zero_division=0),
    "rmse": sklearn_metrics.root_mean_squared_error,
    "roc_auc": lambda y, p: sklearn_metrics.roc_auc_score(y, p[:, 1]),
    "wape": _wape,
}


def classified(task, *, n_rows=300, seed=0, steps=100):
    """Return class codes and probabilities with many ties, zeros and ones among them."""
    rng = np.random.default_rng(seed)
    n_classes = N_CLASSES[task]
    y = rng.integers(0, n_classes, n_rows).astype(np.int32)
    scores = rng.random((n_rows, n_classes)) ** 3 + 0.3 * np.eye(n_classes)[y]
    p = np.floor(scores / scores.sum(axis=1, keepdims=True) * steps) / steps
    p[:, -1] = 1 - p[:, :-1].sum(axis=1)
    return y, p


def regressed(*, n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.lognormal(size=n_rows)
    return y, y + rng.normal(size=n_rows)


DATA = {
    "binary": lambda **options: classified("binary", **options),
    "multiclass": lambda **options: classified("multiclass", **options),
    "regression": regressed,
}
UNTIED = {
    "binary": lambda: classified("binary", steps=10**6),
    "multiclass": lambda: classified("multiclass", steps=10**6),
    "regression": regressed,
}


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_agrees_with_scikit_learn(name, task, seed):
    y, prediction = DATA[task](seed=seed)

    score = METRICS[name].score(y, prediction)

    assert isinstance(score, float)
    assert score == pytest.approx(REFERENCE[name](y, prediction), abs=1e-12, rel=1e-12)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_changes_neither_its_arguments_nor_its_mind(name, task):
    y, prediction = DATA[task]()
    y.flags.writeable = False
    prediction.flags.writeable = False

    first, second = (METRICS[name].score(y, prediction) for _ in range(2))

    assert first == second


@pytest.mark.parametrize(("name", "task"), CASES)
def test_its_direction_is_that_of_better_predictions(name, task):
    y, prediction = DATA[task]()
    perfect = np.eye(N_CLASSES[task])[y] if task in N_CLASSES else y

    gain = METRICS[name].score(y, perfect) - METRICS[name].score(y, prediction)

    assert gain * {"maximize": 1, "minimize": -1}[METRICS[name].direction] > 0


@pytest.mark.parametrize(
    ("name", "task"), [case for case in CASES if METRICS[case[0]].row_losses is not None]
)
def test_its_row_losses_average_to_the_score(name, task):
    y, prediction = DATA[task]()

    losses = METRICS[name].row_losses(y, prediction)

    assert losses.mean() == pytest.approx(METRICS[name].score(y, prediction), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_it_has_row_losses_exactly_where_its_interval_needs_them(name):
    metric = METRICS[name]

    assert (metric.row_losses is not None) == (metric.interval in {"wilson", "mean"})


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[1] == "multiclass"])
def test_a_class_without_rows_is_allowed(name, task):
    y, prediction = DATA[task]()
    present = y != 2

    assert np.isfinite(METRICS[name].score(y[present], prediction[present]))


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[1] in N_CLASSES])
def test_a_constant_prediction_is_allowed(name, task):
    y, _ = DATA[task]()
    prior = np.bincount(y) / len(y)

    score = METRICS[name].score(y, np.tile(prior, (len(y), 1)))

    assert np.isfinite(score)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_single_precision_predictions_agree_to_its_rounding(name, task):
    y, prediction = UNTIED[task]()

    score = METRICS[name].score(y, prediction.astype(np.float32))

    assert score == pytest.approx(METRICS[name].score(y, prediction), rel=1e-5)


@pytest.mark.parametrize(("task", "name"), DEFAULT_METRIC.items())
def test_the_default_metric_of_a_task_applies_to_it(task, name):
    assert task in METRICS[name].task_types


def test_naming_the_metrics_loads_no_numerical_library():
    program = (
        "import sys; from automl_assets.core.metrics import load_metrics; load_metrics();"
        "print(sorted({'numpy', 'scipy', 'sklearn', 'pandas'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
