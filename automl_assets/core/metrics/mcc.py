"""Matthews correlation coefficient: agreement of true and predicted classes beyond chance."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import confusion_counts
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the coefficient, -1 to 1; 0 where either side is constant."""
    counts = confusion_counts(y_true, prediction)
    n_rows = counts.sum()
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    agreement = counts.trace() * n_rows - actual @ predicted
    spread = (n_rows**2 - actual @ actual) * (n_rows**2 - predicted @ predicted)
    return float(agreement / spread**0.5) if spread > 0 else 0.0


METRIC = Metric(
    name="mcc",
    label="MCC",
    direction="maximize",
    task_types=frozenset({"binary", "multiclass"}),
    interval="bootstrap",
    bounds=(-1.0, 1.0),
    score=score,
)
