"""Area under the ROC curve: the chance that a positive row is ranked above a negative one."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.ranking import placements
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the area; ties count one half. Both classes must be present."""
    return float(placements(y_true, prediction[:, 1])[0].mean())


METRIC = Metric(
    name="roc_auc",
    label="ROC AUC",
    direction="maximize",
    task_types=frozenset({"binary"}),
    interval="delong",
    score=score,
    follows_loss=True,
)
