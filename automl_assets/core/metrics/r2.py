"""Coefficient of determination: the share of the target's variance that is explained."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError
from automl_assets.core.metrics._base import Metric

if TYPE_CHECKING:
    import numpy as np


def score(y_true: "np.ndarray", prediction: "np.ndarray") -> float:
    """Return R2, at most 1; for a constant target 1 if all rows are right, else 0.

    Raises:
        ContractError: There are fewer than two rows.
    """
    if len(y_true) < 2:
        raise ContractError(
            f"R2 needs at least 2 rows, but got {len(y_true)}. Use more rows or another metric."
        )
    error = ((y_true - prediction) ** 2).sum()
    spread = ((y_true - y_true.mean()) ** 2).sum()
    if spread == 0:
        return 0.0 if error else 1.0
    return float(1 - error / spread)


METRIC = Metric(
    name="r2",
    label="R2",
    direction="maximize",
    task_types=frozenset({"regression"}),
    interval="bootstrap",
    bounds=(float("-inf"), 1.0),
    score=score,
    follows_loss=True,
)
