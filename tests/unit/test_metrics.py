"""Metrics on the edges where they are defined by choice, or refuse."""

import numpy as np
import pytest

from automl_assets.core.errors import ContractError
from automl_assets.core.metrics import load_metrics
from tests.contracts.test_metrics_contract import REFERENCE
from tests.examinations import make_examined

METRICS = load_metrics()
ALL_NEGATIVE = np.zeros(5, dtype=np.int32)
UNSURE = np.tile([0.7, 0.3], (5, 1))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_a_ranking_metric_refuses_rows_without_positives(name):
    with pytest.raises(ContractError, match=r"needs (rows of both classes|positive rows), but"):
        METRICS[name].score(ALL_NEGATIVE, UNSURE)


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "mcc"])
def test_a_label_metric_is_zero_where_nothing_is_positive(name):
    assert METRICS[name].score(ALL_NEGATIVE, UNSURE) == 0.0


def test_a_constant_score_has_an_area_of_one_half():
    assert METRICS["roc_auc"].score(np.array([0, 1, 0, 1]), np.tile([0.6, 0.4], (4, 1))) == 0.5


def test_probabilities_that_are_not_numbers_are_refused():
    with pytest.raises(ContractError, match=r"1 of 5 rows hold NaN\. The model has diverged"):
        METRICS["accuracy"].score(ALL_NEGATIVE, np.vstack([UNSURE[:4], [[np.nan, np.nan]]]))


def test_log_loss_of_a_sure_and_wrong_row_is_finite():
    assert METRICS["log_loss"].score(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(
        36.04365338911715
    )


def test_balanced_accuracy_leaves_out_classes_without_rows():
    prediction = np.eye(3)[[0, 1, 2]]

    assert METRICS["balanced_accuracy"].score(np.array([0, 1, 1]), prediction) == 0.75


@pytest.mark.parametrize(("predicted", "expected"), [(5.0, 1.0), (6.0, 0.0)])
def test_r2_of_a_constant_target_is_one_or_zero(predicted, expected):
    assert METRICS["r2"].score(np.full(4, 5.0), np.full(4, predicted)) == expected


def test_r2_refuses_a_single_row():
    with pytest.raises(ContractError, match="at least 2 rows, but got 1"):
        METRICS["r2"].score(np.ones(1), np.ones(1))


def test_wape_refuses_a_target_of_zeros():
    with pytest.raises(ContractError, match="all 3 rows are zero"):
        METRICS["wape"].score(np.zeros(3), np.ones(3))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_scores_of_a_trained_model_are_those_of_scikit_learn(task):
    rows = make_examined(task, n_rows=12_000).analysis

    ours = {
        name: metric.score(rows.y, rows.prediction)
        for name, metric in METRICS.items()
        if task in metric.task_types
    }

    theirs = {name: float(REFERENCE[name](rows.y, rows.prediction)) for name in ours}
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)
