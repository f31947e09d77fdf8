"""Balanced accuracy: the mean of the classes' recalls, whatever their sizes."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import confusion_counts
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean recall of the classes that have rows."""
    counts = confusion_counts(y_true, prediction)
    n_rows = counts.sum(axis=1)
    present = n_rows > 0
    return float((counts.diagonal()[present] / n_rows[present]).mean())


METRIC = Metric(
    name="balanced_accuracy",
    label="Balanced accuracy",
    direction="maximize",
    task_types=frozenset({"binary", "multiclass"}),
    interval="bootstrap",
    score=score,
)
