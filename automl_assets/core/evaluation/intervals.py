"""Confidence intervals of metrics, by the method that suits each."""

from statistics import NormalDist
from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.confusion import rarest_class_rows
from automl_assets.core.evaluation.ranking import placements
from automl_assets.core.evaluation.resampling import Interval, bootstrap_interval
from automl_assets.core.values import MetricEstimate

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.metrics import Metric


def estimate(
    metric: "Metric",
    y_true: "np.ndarray",
    prediction: "np.ndarray",
    *,
    seed: int,
    confidence: float = 0.95,
) -> MetricEstimate:
    """Score predictions and say how far the score may be off.

    Args:
        metric: Its `interval` decides the method.
        y_true: As `Metric.score` takes it.
        prediction: As `Metric.score` takes it.
        seed: Decides the resamples of a bootstrap.
        confidence: Share of intervals made like this that hold the truth.

    Raises:
        ContractError: There are fewer than two rows, or the metric is undefined for them.
    """
    n_rows = len(y_true)
    if n_rows < 2:
        raise ContractError(
            f"An interval needs at least 2 rows, but the part has {n_rows}. Use more rows."
        )
    value = metric.score(y_true, prediction)
    if metric.interval == "delong":
        interval = delong_interval(y_true, prediction[:, 1], confidence)
    elif metric.interval == "bootstrap" or metric.row_losses is None:
        interval = bootstrap_interval(
            lambda rows: metric.score(y_true[rows], prediction[rows]),
            n_rows,
            seed=seed,
            confidence=confidence,
            n_rarest=rarest_class_rows(y_true, prediction),
        )
    elif metric.interval == "wilson":
        terms = metric.row_losses(y_true, prediction)
        interval = wilson_interval(float(terms.sum()), len(terms), confidence)
    else:
        interval = mean_interval(metric.row_losses(y_true, prediction), confidence)
    low, high, method = interval
    return MetricEstimate(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        method=method,
        n_rows=n_rows,
    )


def wilson_interval(n_right: float, n_rows: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval for a share; all of [0, 1] where there are no rows.

    Examples:
        >>> low, high, _ = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    method = f"Wilson, {n_rows:,} rows"
    if not n_rows:
        return Interval(0.0, 1.0, method)
    z = _z(confidence)
    share = n_right / n_rows
    centre = (share + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    half = (share * (1 - share) / n_rows + z**2 / (4 * n_rows**2)) ** 0.5 / (1 + z**2 / n_rows) * z
    return Interval(max(0.0, centre - half), min(1.0, centre + half), method)


def mean_interval(terms: "np.ndarray", confidence: float = 0.95) -> Interval:
    """Return the normal interval of a mean, within the range of its terms.

    Args:
        terms: At least two, `(n_samples,)`.
        confidence: Share of intervals made like this that hold the truth.
    """
    half = _z(confidence) * float(terms.std(ddof=1)) / len(terms) ** 0.5
    mean = float(terms.mean())
    return Interval(
        max(mean - half, min(mean, float(terms.min()))),
        min(mean + half, max(mean, float(terms.max()))),
        "normal, mean over rows",
    )


def delong_interval(
    y_true: "np.ndarray", score: "np.ndarray", confidence: float = 0.95
) -> Interval:
    """Return DeLong's interval of the ROC AUC, on the logit scale so that it stays in (0, 1).

    Perfect separation leaves DeLong without variance. Then the area is taken for a share of
    as many rows as the rarer class has, which is cautious.
    """
    import numpy as np

    positive, negative = placements(y_true, score)
    area = float(positive.mean())
    n_rarer = min(len(positive), len(negative))
    if n_rarer < 2 or not 0 < area < 1:
        low, high, _ = wilson_interval(area * n_rarer, n_rarer, confidence)
        return Interval(low, high, f"Wilson on the {n_rarer:,} rows of the rarer class")
    variance = positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
    half = _z(confidence) * float(variance) ** 0.5 / (area * (1 - area))
    logit = np.log(area / (1 - area))
    low, high = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
    return Interval(float(low), float(high), "DeLong, logit scale")


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
