"""From which probability a binary model says yes, where wrong decisions have a cost."""

from typing import TYPE_CHECKING

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.ranking import counts_by_threshold

if TYPE_CHECKING:
    from automl_assets.core.request.sections import Cost

_ROUNDING = 1e-12
"""Share of the largest cost by which equal costs may differ, since they are sums of floats."""


def expected_cost(y: np.ndarray, positive: np.ndarray, cost: "Cost") -> float:
    """Return what a decision costs on average, in the cost's currency per row.

    Args:
        y: Class codes, 1 for the positive class, `(n_rows,)`.
        positive: Which rows are called positive, `(n_rows,)`.
    """
    n_false_alarms = int((positive & (y != 1)).sum())
    n_misses = int((~positive & (y == 1)).sum())
    return (cost.false_positive * n_false_alarms + cost.false_negative * n_misses) / len(y)


def best_by_theory(cost: "Cost") -> float:
    """Return the threshold that is best for probabilities that are true: fp / (fp + fn).

    C. Elkan, "The foundations of cost-sensitive learning", IJCAI 2001. Where both
    costs are zero no decision is better than another, and it is 0.5.
    """
    total = cost.false_positive + cost.false_negative
    return cost.false_positive / total if total else 0.5


def choose_threshold(y: np.ndarray, p_positive: np.ndarray, cost: "Cost") -> float:
    """Return the threshold of least cost on rows that no fit has seen.

    A row is called positive if its probability is at least the threshold. All
    thresholds between two neighbouring probabilities decide alike; where several
    stretches cost the same, the one nearest to `best_by_theory` is taken. In it,
    the theory's own threshold where it lies there, else the middle.

    Args:
        y: Class codes, 1 for the positive class, `(n_rows,)`; both classes occur.
        p_positive: Probability of the positive class, `(n_rows,)`, calibrated if
            the model is.

    Returns:
        A number from 0 to 1, or just above 1 where it is cheapest never to say yes.

    Raises:
        ContractError: One class has no rows, or a probability is NaN.

    Examples:
        >>> from automl_assets.core.request.sections import Cost
        >>> y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.9])
        >>> choose_threshold(y, p, Cost(false_positive=1.0, false_negative=9.0))
        0.2
    """
    p = np.asarray(p_positive, np.float64)
    _check(y, p)
    true_positives, selected = counts_by_threshold(y, p)
    hits, calls = np.append(0, true_positives), np.append(0, selected)
    costs = cost.false_positive * (calls - hits) + cost.false_negative * (hits[-1] - hits)
    # Stretch i is above levels[i + 1] and at most levels[i]; the first one calls no row positive.
    seen = np.unique(p)[::-1]
    highest = 1.0 if seen[0] < 1.0 else float(np.nextafter(1.0, 2.0))
    upper, lower = np.append(highest, seen), np.append(seen, 0.0)
    theory = best_by_theory(cost)
    inside = (lower < theory) & (theory <= upper)
    middle = np.maximum(lower + (upper - lower) / 2, np.minimum(np.nextafter(lower, 2), upper))
    points = np.where(inside, theory, middle)
    cheapest = costs <= costs.min() + _ROUNDING * costs.max()
    distance = np.where(cheapest, np.abs(points - theory), np.inf)
    return float(points[distance.argmin()])


def _check(y: np.ndarray, p: np.ndarray) -> None:
    n_positive = int((y == 1).sum())
    if not 0 < n_positive < len(y):
        raise ContractError(
            "A threshold by cost needs rows of both classes, but of the rows it is chosen on "
            f"{n_positive:,} are positive and {len(y) - n_positive:,} negative. "
            "Make the calibration part larger, or leave out task.cost."
        )
    if np.isnan(p).any():
        raise ContractError(
            f"A threshold needs probabilities, but {int(np.isnan(p).sum()):,} of {len(p):,} "
            "are NaN. The model has diverged; exclude its family."
        )
