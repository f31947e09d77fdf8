"""What follows from the order of scores: placements, ROC and precision-recall curves."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError

if TYPE_CHECKING:
    import numpy as np

CHUNK_CELLS = 10_000_000
"""Probabilities compared at once."""


def _midranks(values: "np.ndarray") -> "np.ndarray":
    """Return ranks from 1, ties at their mean."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def placements(y_true: "np.ndarray", score: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Return for each row the share of the other class that it is ranked right against.

    The mean of either array is the area under the ROC curve, and their variances are all
    that DeLong's interval needs. Costs two sorts.

    Args:
        y_true: 1 for positive rows, 0 for the others, `(n_samples,)`.
        score: Higher means more likely positive, `(n_samples,)`.

    Returns:
        Placements of the positive rows and of the negative rows.

    Raises:
        ContractError: One of the two classes has no rows.

    Examples:
        >>> import numpy as np
        >>> positive, negative = placements(np.array([1, 1, 0, 0]), np.array([0.9, 0.3, 0.5, 0.1]))
        >>> positive.tolist(), negative.tolist()
        ([1.0, 0.5], [0.5, 1.0])
    """
    positive = y_true == 1
    n_positive = int(positive.sum())
    n_negative = len(y_true) - n_positive
    if not n_positive or not n_negative:
        raise ContractError(
            "ROC AUC needs rows of both classes, but the part has "
            f"{n_positive:,} positive and {n_negative:,} negative rows. "
            "Use more rows or another metric."
        )
    ranks = _midranks(score)
    of_positive = (ranks[positive] - _midranks(score[positive])) / n_negative
    of_negative = 1 - (ranks[~positive] - _midranks(score[~positive])) / n_positive
    return of_positive, of_negative


def counts_by_threshold(
    y_true: "np.ndarray", score: "np.ndarray"
) -> "tuple[np.ndarray, np.ndarray]":
    """Count what lies at or above each distinct score, from the highest score down.

    Args:
        y_true: 1 for positive rows, 0 for the others, `(n_samples,)`.
        score: Higher means more likely positive, `(n_samples,)`.

    Returns:
        True positives and all rows at or above the threshold, `(n_distinct,)` each.
    """
    import numpy as np

    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return np.cumsum(y_true[order] == 1)[last_of_tie], last_of_tie + 1


def average_precision(y_true: "np.ndarray", score: "np.ndarray") -> float:
    """Return the mean of precision over the steps of recall.

    Raises:
        ContractError: There is no positive row.
    """
    import numpy as np

    true_positives, selected = counts_by_threshold(y_true, score)
    if not true_positives[-1]:
        raise ContractError(
            f"Average precision needs positive rows, but none of {len(y_true):,} is positive. "
            "Use more rows or another metric."
        )
    steps = np.diff(true_positives, prepend=0) / true_positives[-1]
    return float(np.sum(steps * true_positives / selected))


def ranks_of_truth(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Return how many classes are more probable than the true one; lower codes win ties.

    Args:
        y_true: Class codes `(n_samples,)`.
        prediction: Probabilities `(n_samples, n_classes)`.

    Examples:
        >>> import numpy as np
        >>> ranks_of_truth(np.array([1, 0]), np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])).tolist()
        [1, 2]
    """
    import numpy as np

    ranks = np.empty(len(y_true), np.intp)
    n_rows = max(1, CHUNK_CELLS // prediction.shape[1])
    codes = np.arange(prediction.shape[1])
    for start in range(0, len(y_true), n_rows):
        chunk = prediction[start : start + n_rows]
        own = y_true[start : start + n_rows, None].astype(np.intp)
        of_own = np.take_along_axis(chunk, own, axis=1)
        before = (chunk > of_own) | ((chunk == of_own) & (codes < own))
        ranks[start : start + n_rows] = before.sum(axis=1)
    return ranks
