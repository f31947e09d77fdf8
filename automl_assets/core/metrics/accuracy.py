"""Accuracy: the share of rows whose most probable class is the true one."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import predicted_labels
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return 1 for each row that is right, 0 for the others."""
    return (predicted_labels(prediction) == y_true).astype(float)


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the share of rows that are right."""
    return float(row_losses(y_true, prediction).mean())


METRIC = Metric(
    name="accuracy",
    label="Accuracy",
    direction="maximize",
    task_types=frozenset({"binary", "multiclass"}),
    interval="wilson",
    score=score,
    row_losses=row_losses,
)
