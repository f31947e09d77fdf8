"""Log loss: the mean surprise of the true class, in nats."""

from typing import TYPE_CHECKING

from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def row_losses(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return minus the log of each row's probability of its true class, kept finite."""
    import numpy as np

    eps = np.finfo(prediction.dtype).eps
    of_true_class = prediction[np.arange(len(y_true)), y_true.astype(np.intp)]
    return -np.log(np.clip(of_true_class, eps, 1 - eps)).astype(np.float64)


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the mean; a class without rows changes nothing."""
    return float(row_losses(y_true, prediction).mean())


METRIC = Metric(
    name="log_loss",
    label="Log loss",
    direction="minimize",
    task_types=frozenset({"binary", "multiclass"}),
    interval="mean",
    score=score,
    row_losses=row_losses,
    follows_loss=True,
)
