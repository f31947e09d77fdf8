"""F1: the harmonic mean of precision and recall of the positive class."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import confusion_counts
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return F1; 0 where no row is positive, neither truly nor predicted."""
    (_, false_positives), (false_negatives, true_positives) = confusion_counts(y_true, prediction)
    total = 2 * true_positives + false_positives + false_negatives
    return float(2 * true_positives / total) if total else 0.0


METRIC = Metric(
    name="f1",
    label="F1",
    direction="maximize",
    task_types=frozenset({"binary"}),
    interval="bootstrap",
    score=score,
)
