"""Brier score: the mean squared error of the probability of the positive class."""

from typing import TYPE_CHECKING

from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return each row's squared error of the probability."""
    return (prediction[:, 1].astype(float) - y_true) ** 2


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean, between 0 and 1."""
    return float(row_losses(y_true, prediction).mean())


METRIC = Metric(
    name="brier",
    label="Brier score",
    direction="minimize",
    task_types=frozenset({"binary"}),
    interval="mean",
    score=score,
    row_losses=row_losses,
    follows_loss=True,
)
