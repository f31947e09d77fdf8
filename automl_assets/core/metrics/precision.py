"""Precision: the share of rows predicted positive that are."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import predicted_labels
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def counted(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return which rows are predicted positive."""
    return predicted_labels(prediction) == 1


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return 1 for each row rightly predicted positive, 0 for each wrongly; no other rows."""
    return (y_true[counted(y_true, prediction)] == 1).astype(float)


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the share; 0 where no row is predicted positive."""
    right = row_losses(y_true, prediction)
    return float(right.mean()) if len(right) else 0.0


METRIC = Metric(
    name="precision",
    label="Precision",
    direction="maximize",
    task_types=frozenset({"binary"}),
    interval="wilson",
    score=score,
    row_losses=row_losses,
    counted=counted,
)
