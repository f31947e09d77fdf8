"""Median absolute error, in the target's unit: half of the rows are nearer than this."""

from typing import TYPE_CHECKING

from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the median absolute error."""
    import numpy as np

    return float(np.median(abs(y_true - prediction)))


METRIC = Metric(
    name="median_absolute_error",
    label="Median absolute error",
    direction="minimize",
    task_types=frozenset({"regression"}),
    interval="bootstrap",
    score=score,
)
