"""Average precision: how pure the top of the ranking is; with rare positives the one to watch."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation import ranking
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean of precision over the steps of recall. Positive rows must be present."""
    return ranking.average_precision(y_true, prediction[:, 1])


METRIC = Metric(
    name="average_precision",
    label="Average precision",
    direction="maximize",
    task_types=frozenset({"binary"}),
    interval="bootstrap",
    score=score,
)
