"""How far predictions are from what comes true: lines fitted to them, and errors in bins."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.clusters import (
    dense_codes,
    effective_clusters,
    error_of_pulls,
    pulls_on_mean,
)
from automl_assets.core.evaluation.intervals import mean_interval
from automl_assets.core.evaluation.resampling import Interval, student

if TYPE_CHECKING:
    import numpy as np

N_BINS = 15
"""Bins of a calibration error, as C. Guo et al. have it (ICML 2017); here of equally many rows."""

ROWS_PER_BIN = 20
FEWEST_ROWS = 50
"""Of lines and bins; fewer rows bear no second number."""

_EPS = 1e-9
"""Nearest that a probability comes to 0 or 1 before its logarithm is taken."""
_MAX_STEPS = 50
_STEEPEST = 1e3
"""A slope beyond it means that the classes are separated: the likelihood has no maximum."""

Line = tuple[float, Interval]
"""A coefficient and its interval."""


def logistic_lines(
    y: "np.ndarray",
    probability: "np.ndarray",
    *,
    confidence: float,
    groups: "np.ndarray | None" = None,
) -> "tuple[Line, Line] | None":
    """Return intercept and slope of the truth against the log-odds of a probability.

    The slope is of a fit with both (D. Cox, Biometrika 45, 1958): below 1 probabilities are
    too extreme. The intercept is of a fit with slope 1 (B. Van Calster et al., BMC Medicine
    17, 2019): above 0 they are too low as a whole. Standard errors are the sandwich's, between
    clusters where there are some.

    Args:
        y: 1 for what came true, 0 for the others, `(n_samples,)`.
        probability: Of 1, `(n_samples,)`.
        confidence: Of the intervals.
        groups: Cluster of each row; None: rows are independent.

    Returns:
        None where rows cannot show them: few rows, one class, all probabilities equal, or
        classes that are separated.
    """
    import numpy as np

    p = np.clip(np.asarray(probability, np.float64), _EPS, 1 - _EPS)
    odds, truth = np.log(p) - np.log1p(-p), np.asarray(y, np.float64)
    if len(y) < FEWEST_ROWS or not 0 < truth.sum() < len(y) or odds.std() == 0:
        return None
    ones = np.ones_like(odds)
    whole = _fit_logistic(truth, np.stack([ones]), odds, confidence, groups)
    both = _fit_logistic(truth, np.stack([ones, odds]), np.zeros_like(odds), confidence, groups)
    return None if whole is None or both is None else (whole[0], both[1])


def _fit_logistic(
    truth: "np.ndarray",
    design: "np.ndarray",
    offset: "np.ndarray",
    confidence: float,
    groups: "np.ndarray | None",
) -> list[Line] | None:
    """Fit by Newton's method, and return the coefficients of `design`, `(n_terms, n_samples)`."""
    import numpy as np

    # With a slope, it starts from 1: most models are near it.
    line = np.array([0.0, 1.0])[: len(design)]
    for _ in range(_MAX_STEPS):
        chance = np.exp(-np.logaddexp(0.0, -(line @ design + offset)))
        weight = chance * (1 - chance)
        information = (design * weight) @ design.T
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, design @ (truth - chance))
        # A step of more than 2 overshoots where probabilities are extreme.
        line += step / max(1.0, float(abs(step).max()) / 2)
        if not np.isfinite(line).all() or abs(line).max() > _STEEPEST:
            return None
        if abs(step).max() < 1e-10:
            moves = np.linalg.solve(information, design * (truth - chance))
            return [
                _line(float(value), move, confidence, groups)
                for value, move in zip(line, moves, strict=True)
            ]
    return None


def _line(
    value: float, moves: "np.ndarray", confidence: float, groups: "np.ndarray | None"
) -> Line:
    """Return a coefficient with the interval that the moves which rows give it lead to."""
    codes = None if groups is None else dense_codes(groups)
    pulls = pulls_on_mean(moves * len(moves), codes)
    n_free = len(moves) - 2 if codes is None else effective_clusters(codes) - 1
    half = student(confidence, n_free) * error_of_pulls(pulls)
    method = "sandwich" if codes is None else f"sandwich, between {len(pulls):,} groups"
    return value, Interval(value - half, value + half, method)


def straight_lines(
    y: "np.ndarray",
    prediction: "np.ndarray",
    *,
    confidence: float,
    groups: "np.ndarray | None" = None,
) -> "tuple[Line, Line] | None":
    """Return the mean residual, and the slope of the target against the prediction.

    A slope below 1: high predictions are too high, and low ones too low.

    Returns:
        None where rows cannot show them: few rows, or all predictions equal.
    """
    import numpy as np

    y, prediction = np.asarray(y, np.float64), np.asarray(prediction, np.float64)
    spread = prediction - prediction.mean()
    total = float(spread @ spread)
    if len(y) < FEWEST_ROWS or total == 0:
        return None
    slope = float(spread @ (y - y.mean())) / total
    residual = y - y.mean() - slope * spread
    bias = mean_interval(y - prediction, confidence, groups)
    at = float((y - prediction).mean())
    return (at, bias), _line(slope, spread * residual / total, confidence, groups)


def calibration_error(
    y: "np.ndarray",
    probability: "np.ndarray",
    *,
    confidence: float,
    groups: "np.ndarray | None" = None,
) -> "Line | None":
    """Return the root mean square distance of probabilities from shares, its bias removed.

    In bins chance alone keeps shares off probabilities. What it adds to the squared distances
    is estimated and taken off (A. Kumar, P. Liang and T. Ma, "Verified uncertainty
    calibration", NeurIPS 2019). The interval is of the squared error, by the variance of a
    quadratic form, solved for the error that is just compatible (as Wilson's is for a share).

    Args:
        y: 1 for what came true, 0 for the others, `(n_samples,)`.
        probability: Of 1, `(n_samples,)`.
        confidence: Of the interval.
        groups: Cluster of each row; None: rows are independent.

    Returns:
        Error and interval, both 0 where chance explains all; None for fewer than 50 rows.
    """
    import numpy as np

    if len(y) < FEWEST_ROWS:
        return None
    gap = np.asarray(probability, np.float64) - y
    index = _bins(probability)
    counts = np.bincount(index).astype(float)
    off = np.bincount(index, weights=gap) / counts
    share = counts / len(y)
    spread = _covariance(gap - off[index], index, counts, groups)
    squared = float(share @ (off**2 - spread.diagonal()))
    weighted = share[:, None] * spread
    # Chance alone, and what each unit of true squared error adds to the variance.
    alone = 2 * float((weighted * weighted.T).sum())
    per_unit = 4 * float((share * off) @ spread @ (share * off)) / max(float(share @ off**2), _EPS)
    n_free = np.inf if groups is None else effective_clusters(dense_codes(groups)) - 1
    reach = student(confidence, float(n_free))
    middle = squared + per_unit * reach**2 / 2
    half = max(0.0, middle**2 - squared**2 + reach**2 * alone) ** 0.5
    low, high = (max(0.0, end) ** 0.5 for end in (middle - half, middle + half))
    value = max(0.0, squared) ** 0.5
    method = f"{len(counts)} bins, bias removed (Kumar), quadratic form"
    if groups is not None:
        method += " between groups"
    return value, Interval(min(low, value), max(high, value), method)


def _bins(probability: "np.ndarray") -> "np.ndarray":
    """Return each row's bin, of about equally many rows; equal probabilities share one."""
    import numpy as np

    n_bins = max(2, min(N_BINS, len(probability) // ROWS_PER_BIN))
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, n_bins + 1)[1:-1]))
    index = np.searchsorted(edges, probability, side="left")
    return dense_codes(index)


def _covariance(
    residual: "np.ndarray",
    index: "np.ndarray",
    counts: "np.ndarray",
    groups: "np.ndarray | None",
) -> "np.ndarray":
    """Return the covariance of the bins' means, `(n_bins, n_bins)`."""
    import numpy as np

    n_bins = len(counts)
    if groups is None:
        squares = np.bincount(index, weights=residual**2)
        return np.diag(squares / counts / np.maximum(counts - 1, 1))
    codes = dense_codes(groups)
    n_clusters = int(codes.max()) + 1
    # A sparse table: clusters by bins would not fit in memory for a million customers.
    from scipy.sparse import coo_array

    sums = coo_array((residual, (codes, index)), shape=(n_clusters, n_bins)).tocsr()
    cross = (sums.T @ sums).toarray()
    return cross / np.outer(counts, counts) * n_clusters / (n_clusters - 1)
