"""Mean absolute error, in the target's unit."""

from typing import TYPE_CHECKING

from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return each row's absolute error."""
    return abs(y_true - prediction)


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean absolute error."""
    return float(row_losses(y_true, prediction).mean())


METRIC = Metric(
    name="mae",
    label="MAE",
    direction="minimize",
    task_types=frozenset({"regression"}),
    interval="mean",
    score=score,
    row_losses=row_losses,
)
