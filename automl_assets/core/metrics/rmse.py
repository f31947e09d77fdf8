"""Root mean squared error, in the target's unit; large errors weigh most."""

from typing import TYPE_CHECKING

from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the root of the mean squared error."""
    return float(((y_true - prediction) ** 2).mean() ** 0.5)


METRIC = Metric(
    name="rmse",
    label="RMSE",
    direction="minimize",
    task_types=frozenset({"regression"}),
    interval="bootstrap",
    score=score,
    follows_loss=True,
)
