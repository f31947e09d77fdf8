"""Macro F1: the mean of the classes' F1, whatever their sizes."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import confusion_counts
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean F1 of the classes that occur, truly or predicted."""
    counts = confusion_counts(y_true, prediction)
    totals = counts.sum(axis=0) + counts.sum(axis=1)
    occurs = totals > 0
    return float((2 * counts.diagonal()[occurs] / totals[occurs]).mean())


METRIC = Metric(
    name="f1_macro",
    label="Macro F1",
    direction="maximize",
    task_types=frozenset({"multiclass"}),
    interval="bootstrap",
    score=score,
)
