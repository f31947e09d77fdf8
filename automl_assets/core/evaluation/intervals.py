"""Confidence intervals of metrics, by the method that suits each."""

from statistics import NormalDist
from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import (
    dense_codes,
    design_effect,
    effective_clusters,
    error_of_pulls,
    n_clusters_of,
    pulls_on_mean,
)
from automl_assets.core.evaluation.confusion import rarest_class_rows
from automl_assets.core.evaluation.ranking import placements
from automl_assets.core.evaluation.resampling import (
    Interval,
    bootstrap_interval,
    skewed_ends,
    student,
)
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
    groups: "np.ndarray | None" = None,
) -> MetricEstimate:
    """Score predictions and say how far the score may be off.

    Args:
        metric: Its `interval` decides the method.
        y_true: As `Metric.score` takes it.
        prediction: As `Metric.score` takes it.
        seed: Decides the resamples of a bootstrap.
        confidence: Share of intervals made like this that hold the truth.
        groups: Cluster of each row, as `clusters_of` returns it, `(n_samples,)`; None: rows
            are independent.

    Raises:
        ContractError: There are fewer than two rows, or the metric is undefined for them.
    """
    n_rows = len(y_true)
    if n_rows < 2:
        raise ContractError(
            f"An interval needs at least 2 rows, but the part has {n_rows}. Use more rows."
        )
    value = metric.score(y_true, prediction)
    low, high, method = _interval(metric, y_true, prediction, seed, confidence, groups)
    return MetricEstimate(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        method=method,
        n_rows=n_rows,
    )


def _interval(
    metric: "Metric",
    y_true: "np.ndarray",
    prediction: "np.ndarray",
    seed: int,
    confidence: float,
    groups: "np.ndarray | None",
) -> Interval:
    if metric.interval == "delong":
        return delong_interval(y_true, prediction[:, 1], confidence, groups)
    if metric.interval == "bootstrap" or metric.row_losses is None:
        return bootstrap_interval(
            # Taking rows of a table costs a fraction of indexing it.
            lambda rows: metric.score(y_true.take(rows), prediction.take(rows, axis=0)),
            len(y_true),
            seed=seed,
            confidence=confidence,
            n_rarest=rarest_class_rows(y_true, prediction),
            groups=groups,
            bounds=metric.range,
        )
    if groups is not None and metric.counted is not None:
        groups = groups[metric.counted(y_true, prediction)]
    terms = metric.row_losses(y_true, prediction)
    if metric.interval == "wilson":
        return share_interval(terms, confidence, groups)
    return mean_interval(terms, confidence, groups)


def wilson_interval(n_right: float, n_rows: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval for a share; all of [0, 1] where there are no rows.

    Examples:
        >>> low, high, _ = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    method = f"Wilson, {n_rows:,.0f} rows"
    if not n_rows:
        return Interval(0.0, 1.0, method)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = n_right / n_rows
    centre = (share + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    half = (share * (1 - share) / n_rows + z**2 / (4 * n_rows**2)) ** 0.5 / (1 + z**2 / n_rows) * z
    # Rounding must not leave the share itself outside.
    low, high = min(share, centre - half), max(share, centre + half)
    return Interval(max(0.0, low), min(1.0, high), method)


def share_interval(
    hits: "np.ndarray", confidence: float = 0.95, groups: "np.ndarray | None" = None
) -> Interval:
    """Return Wilson's interval for a share of rows that may be in clusters.

    Rows in clusters count for as many as the design effect leaves of them, and for fewer
    where a variance from few clusters is itself uncertain (E. Korn and B. Graubard, Survey
    Methodology 24, 1998). Where all rows are alike, a cluster counts for one row.

    Args:
        hits: 1 for each row that counts for the share, 0 for the others, `(n_samples,)`.
        confidence: Share of intervals made like this that hold the truth.
        groups: Cluster of each row; None: rows are independent.
    """
    n_rows, n_right = len(hits), float(hits.sum())
    if groups is None or not n_rows:
        return wilson_interval(n_right, n_rows, confidence)
    codes = dense_codes(groups)
    n_clusters, n_effective = n_clusters_of(codes), effective_clusters(codes)
    worth = n_effective
    if 0 < n_right < n_rows and n_clusters > 1:
        effect = max(1.0, design_effect(hits.astype(float), codes) or 1.0)
        ratio = student(confidence, n_rows - 1) / student(confidence, n_effective - 1)
        worth = n_rows / effect * ratio**2
    low, high, _ = wilson_interval(n_right / n_rows * worth, worth, confidence)
    method = f"Wilson, {n_rows:,} rows in {n_clusters:,} groups, worth {worth:,.0f} rows"
    return Interval(low, high, method)


def mean_interval(
    terms: "np.ndarray", confidence: float = 0.95, groups: "np.ndarray | None" = None
) -> Interval:
    """Return the interval of a mean by the normal law, within the range of its terms.

    Args:
        terms: At least two, `(n_samples,)`.
        confidence: Share of intervals made like this that hold the truth.
        groups: Cluster of each row; None: rows are independent. With one cluster only, the
            interval is the whole range.
    """
    lowest, highest, mean = float(terms.min()), float(terms.max()), float(terms.mean())
    codes, method = None, "Student, skewness removed, mean over rows"
    n_free = float(len(terms) - 1)
    if groups is not None:
        codes = dense_codes(groups)
        n_free = effective_clusters(codes) - 1
        method += f", variance between {n_clusters_of(codes):,} groups"
        if n_free <= 0:
            return Interval(lowest, highest, "range, all rows are of one group")
    pulls = pulls_on_mean(terms, codes)
    reach = student(confidence, n_free)
    low, high = skewed_ends(mean, error=error_of_pulls(pulls), reach=reach, pulls=pulls)
    return Interval(max(low, min(mean, lowest)), min(high, max(mean, highest)), method)


def delong_interval(
    y_true: "np.ndarray",
    score: "np.ndarray",
    confidence: float = 0.95,
    groups: "np.ndarray | None" = None,
) -> Interval:
    """Return DeLong's interval of the ROC AUC, on the logit scale so that it stays in (0, 1).

    With clusters the variance is that between them (N. Obuchowski, Biometrics 53, 1997).
    Perfect separation leaves DeLong without variance. Then the area is taken for a share of
    as many rows, or clusters, as the rarer class has, which is cautious.

    Args:
        y_true: 1 for positive rows, 0 for the others, `(n_samples,)`.
        score: Higher means more likely positive, `(n_samples,)`.
        confidence: Share of intervals made like this that hold the truth.
        groups: Cluster of each row; None: rows are independent.
    """
    import numpy as np

    positive, negative = placements(y_true, score)
    area = float(positive.mean())
    worth = rarer_worth(y_true, groups)
    if worth < 2 or not 0 < area < 1:
        low, high, _ = wilson_interval(area * worth, worth, confidence)
        rows = "rows" if groups is None else "groups"
        return Interval(low, high, f"Wilson on the {worth:,.0f} {rows} of the rarer class")
    error, _ = placements_error(y_true, (positive, negative), groups)
    reach = student(confidence, placements_freedom(y_true, groups))
    half = reach * error / (area * (1 - area))
    logit = np.log(area / (1 - area))
    low, high = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
    return Interval(float(low), float(high), f"{delong_name(groups)}, logit scale")


def placements_error(
    y_true: "np.ndarray",
    placed: "tuple[np.ndarray, np.ndarray]",
    groups: "np.ndarray | None",
) -> "tuple[float, np.ndarray]":
    """Return the standard error of the mean placement, and how far rows or clusters pull it.

    Args:
        y_true: 1 for positive rows, 0 for the others, `(n_samples,)`.
        placed: Placements of the positive and of the negative rows, or their differences
            between two scores; two rows of each class at least.
        groups: Cluster of each row; None: rows are independent.
    """
    import numpy as np

    if groups is None:
        variance = sum(float(values.var(ddof=1)) / len(values) for values in placed)
        return variance**0.5, np.concatenate([pulls_on_mean(values, None) for values in placed])
    codes = dense_codes(groups)
    pulls = np.zeros(n_clusters_of(codes))
    for is_class, values in zip((y_true == 1, y_true != 1), placed, strict=True):
        own, index = np.unique(codes[is_class], return_inverse=True)
        pulls[own] += pulls_on_mean(values, index)
    return error_of_pulls(pulls), pulls


def placements_freedom(y_true: "np.ndarray", groups: "np.ndarray | None") -> float:
    """Return the degrees of freedom of the standard error of the mean placement."""
    return float("inf") if groups is None else rarer_worth(y_true, groups) - 1


def delong_name(groups: "np.ndarray | None") -> str:
    """Return what the method is called."""
    if groups is None:
        return "DeLong"
    return f"DeLong, clustered in {n_clusters_of(dense_codes(groups)):,} groups (Obuchowski)"


def rarer_worth(y_true: "np.ndarray", groups: "np.ndarray | None") -> float:
    """Return how many rows, or clusters worth as much, the class has that has fewer."""
    is_positive = y_true == 1
    if groups is None:
        return min(int(is_positive.sum()), int((~is_positive).sum()))
    return min(
        effective_clusters(dense_codes(groups[is_class]))
        for is_class in (is_positive, ~is_positive)
    )
