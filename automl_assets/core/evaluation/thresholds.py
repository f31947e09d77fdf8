"""What other thresholds would do: costs, net benefit, and the rows with the highest scores.

Each costs one sort of the scores; curves have about a hundred points whatever the rows.
"""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.ranking import counts_by_threshold
from automl_assets.core.evaluation.result import Points

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.request.sections import Cost

N_POINTS = 100


def cost_curve(positive: "np.ndarray", score: "np.ndarray", cost: "Cost") -> Points:
    """Return (threshold, cost per 1,000 rows) at even thresholds, and at the cheapest one.

    Args:
        positive: Whether a row is positive, `(n_samples,)`.
        score: Probability of it, `(n_samples,)`; a threshold itself says yes.
        cost: Of wrong decisions.
    """
    import numpy as np

    grid = np.linspace(0, 1, N_POINTS + 1)
    hits, calls = counts_by_threshold(positive.astype(np.int8), score)
    levels = np.unique(score)[::-1]
    costs = cost.false_positive * (calls - hits) + cost.false_negative * (hits[-1] - hits)
    best = int(costs.argmin())
    found, called = _at(grid, levels, hits), _at(grid, levels, calls)
    of_grid = cost.false_positive * (called - found) + cost.false_negative * (hits[-1] - found)
    points = dict(zip(grid.tolist(), of_grid.tolist(), strict=True))
    points[float(levels[best])] = float(costs[best])
    return tuple((at, 1_000 * value / len(score)) for at, value in sorted(points.items()))


def benefit_curves(positive: "np.ndarray", score: "np.ndarray") -> tuple[Points, Points]:
    """Return (threshold, net benefit) of the scores, and of saying yes to every row.

    A. Vickers and E. Elkin, "Decision curve analysis", Medical Decision Making 26, 2006: true
    positives less false ones, weighed by the odds of the threshold, over all rows.

    Args:
        positive: Whether a row is positive, `(n_samples,)`.
        score: Probability of it, `(n_samples,)`.
    """
    import numpy as np

    grid = np.linspace(0.01, 0.99, N_POINTS - 1)
    odds, n_rows = grid / (1 - grid), len(score)
    hits, calls = counts_by_threshold(positive.astype(np.int8), score)
    levels = np.unique(score)[::-1]
    found, called = _at(grid, levels, hits), _at(grid, levels, calls)
    model = (found - (called - found) * odds) / n_rows
    everyone = (hits[-1] - (n_rows - hits[-1]) * odds) / n_rows
    thresholds = grid.tolist()
    return (
        tuple(zip(thresholds, model.tolist(), strict=True)),
        tuple(zip(thresholds, everyone.tolist(), strict=True)),
    )


def part_of_highest(score: "np.ndarray", share: float) -> "np.ndarray":
    """Return how much of each row is among the highest scores: 1, 0, or a part where scores tie.

    Args:
        score: `(n_samples,)`.
        share: Of all rows; at least one row is selected.

    Examples:
        >>> import numpy as np
        >>> part_of_highest(np.array([0.9, 0.5, 0.5, 0.1]), 0.5).tolist()
        [1.0, 0.5, 0.5, 0.0]
    """
    import numpy as np

    n_rows = max(1, round(share * len(score)))
    edge = float(np.partition(score, len(score) - n_rows)[len(score) - n_rows])
    above, tied = score > edge, score == edge
    return above + tied * ((n_rows - above.sum()) / tied.sum())


def _at(grid: "np.ndarray", levels: "np.ndarray", counts: "np.ndarray") -> "np.ndarray":
    """Return counts at thresholds, from those at each score, the highest first."""
    import numpy as np

    index = np.searchsorted(-levels, -grid, side="right") - 1
    return np.where(index >= 0, counts[np.maximum(index, 0)], 0)
