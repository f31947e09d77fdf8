"""What wrong decisions cost on the rows that judge a model."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.intervals import mean_interval
from automl_assets.core.evaluation.result import CostAccount

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.request.sections import Cost


def account(
    y_true: "np.ndarray",
    prediction: "np.ndarray",
    threshold: float | None,
    cost: "Cost | None",
    *,
    confidence: float = 0.95,
    groups: "np.ndarray | None" = None,
) -> CostAccount | None:
    """Return what decisions cost per 1,000 rows, beside simpler rules; None without costs.

    Args:
        y_true: Class codes, 1 for the positive class, `(n_samples,)`.
        prediction: Probabilities `(n_samples, 2)`.
        threshold: Of the model; None: one half.
        confidence: Of the interval.
        groups: Cluster of each row; None: rows are independent.
    """
    import numpy as np

    if cost is None or prediction.ndim != 2 or prediction.shape[1] != 2:
        return None
    positive = y_true == 1

    def of_rows(says_yes: "np.ndarray") -> "np.ndarray":
        wrong = cost.false_positive * (says_yes & ~positive)
        return 1_000.0 * (wrong + cost.false_negative * (~says_yes & positive))

    score = prediction[:, 1]
    # Of two equally probable classes the first one is taken.
    at_half = of_rows(score > 0.5)
    ours = at_half if threshold is None else of_rows(score >= threshold)
    low, high, _ = mean_interval(ours, confidence, groups)
    none = np.zeros(len(y_true), np.bool_)
    return CostAccount(
        currency=cost.currency,
        per_1000=float(ours.mean()),
        low=low,
        high=high,
        at_half=float(at_half.mean()),
        never=float(of_rows(none).mean()),
        always=float(of_rows(~none).mean()),
    )
