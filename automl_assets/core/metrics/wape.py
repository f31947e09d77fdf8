"""Weighted absolute percentage error: all errors together as a share of all that was to predict."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return the sum of absolute errors over the sum of absolute targets.

    Raises:
        ContractError: Every target is zero.
    """
    total = abs(y_true).sum()
    if total == 0:
        raise ContractError(
            f"WAPE needs a target other than zero, but all {len(y_true):,} rows are zero. "
            "Use another metric, such as 'mae'."
        )
    return float(abs(y_true - prediction).sum() / total)


METRIC = Metric(
    name="wape",
    label="WAPE",
    direction="minimize",
    task_types=frozenset({"regression"}),
    interval="bootstrap",
    score=score,
)
