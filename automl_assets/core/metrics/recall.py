"""Recall: the share of positive rows that are predicted positive."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import predicted_labels
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def counted(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return which rows are positive."""
    return y_true == 1


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return 1 for each positive row that is found, 0 for each missed; no other rows."""
    return (predicted_labels(prediction)[counted(y_true, prediction)] == 1).astype(float)


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the share; 0 where no row is positive."""
    found = row_losses(y_true, prediction)
    return float(found.mean()) if len(found) else 0.0


METRIC = Metric(
    name="recall",
    label="Recall",
    direction="maximize",
    task_types=frozenset({"binary"}),
    interval="wilson",
    score=score,
    row_losses=row_losses,
    counted=counted,
)
