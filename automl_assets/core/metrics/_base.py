"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.values import TaskType


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that says how good predictions are.

    Metrics are pure and deterministic. Their modules import nothing heavy, so
    that a request can be checked without loading scikit-learn.

    Attributes:
        name: Equals the module's name, and scikit-learn's term where it has one.
        direction: Whether more is better.
        task_types: Where it applies.
        interval: How its confidence interval is made: `wilson` (a share of
            rows), `delong` (ROC AUC), `mean` (average of a loss per row) or
            `bootstrap`.
        score: Takes `(y_true, prediction)`. `y_true`: class codes `(n_samples,)`
            or, for regression, values. `prediction`: class probabilities
            `(n_samples, n_classes)`, the positive class last, or, for
            regression, values `(n_samples,)`. Returns one float.
        row_losses: For `wilson` and `mean`: the terms whose average is the
            score, of the rows that count. None otherwise.
        counted: Which rows count, `(n_samples,)` booleans; None: all do.
        bounds: Least and greatest value that it can have. None: 0 to 1 if more is better, else
            0 or more.
        follows_loss: Whether log loss or RMSE, which families watch while they fit, ranks
            models much as it does: then losses can tell that a fit is not worth its time.
    """

    name: str
    label: str
    direction: Literal["maximize", "minimize"]
    task_types: "frozenset[TaskType]"
    interval: Literal["wilson", "delong", "mean", "bootstrap"]
    score: "Callable[[np.ndarray, np.ndarray], float]"
    row_losses: "Callable[[np.ndarray, np.ndarray], np.ndarray] | None" = None
    counted: "Callable[[np.ndarray, np.ndarray], np.ndarray] | None" = None
    bounds: tuple[float, float] | None = None
    follows_loss: bool = False

    def error(self, score: float) -> float:
        """Return what is to be small; all metrics of which more is better end at 1."""
        return score if self.direction == "minimize" else 1.0 - score

    @property
    def range(self) -> tuple[float, float]:
        """Return the least and the greatest value that it can have."""
        highest = 1.0 if self.direction == "maximize" else float("inf")
        return (0.0, highest) if self.bounds is None else self.bounds

    @property
    def gain_range(self) -> tuple[float, float]:
        """Return the least and the greatest difference between two values."""
        low, high = self.range
        return low - high, high - low
