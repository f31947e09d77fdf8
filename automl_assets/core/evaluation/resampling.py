"""Bootstrap intervals for any number that is computed from rows."""

from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import dense_codes, effective_clusters

if TYPE_CHECKING:
    import numpy as np

FULL_BOOTSTRAP_ROWS = 4_000
"""Up to here 1,000 resamples of all rows cost about 0.2 s a metric, and a task has up to five."""

DRAWN_ROWS = 10_000
"""Above, rows of a resample."""

BCA_ROWS = 1_000
"""Up to here the jackknife that BCa needs costs less than the resamples."""

RAREST_CLASS_ROWS = 50
"""A resample of some of the rows holds about this many of the rarest class, or all rows."""

N_RESAMPLES = 1_000
N_RESAMPLES_OF_ERROR = 200
"""A standard error needs fewer resamples than a percentile: it is then known within 5%."""

RESAMPLES_BEYOND = 10
"""Fewest resamples beyond each end of a percentile interval; else the standard error is used."""

DRAWN_CLUSTERS = 50
"""Fewest clusters of a resample, where there are more."""

DEAR_ROWS = 50_000
"""Resamples of more rows cost more than leaving out 30 parts of a million rows in turn."""

JACKKNIFE_PARTS = 30
JACKKNIFE_ROWS = 1_000_000
"""Above, every so many of the rows: the error is then a little too large, never too small."""

_NO_SKEW = 1e-6
"""Below, the transformation changes nothing but digits."""

ANYWHERE = (float("-inf"), float("inf"))
"""Bounds of a statistic that has none."""

Statistic = Callable[["np.ndarray"], float]
"""Takes row positions, repeats allowed; raises `ContractError` where it is undefined."""


class Interval(NamedTuple):
    """Two ends and how they were found."""

    low: float
    high: float
    method: str


def bootstrap_interval(
    statistic: Statistic,
    n_rows: int,
    *,
    seed: int,
    confidence: float,
    n_rarest: int | None = None,
    groups: "np.ndarray | None" = None,
    bounds: tuple[float, float] = ANYWHERE,
) -> Interval:
    """Return an interval for `statistic` of all rows.

    Up to 1,000 rows it is BCa and up to 4,000 the percentiles, of 1,000 resamples; both are
    expanded for few rows (T. Hesterberg, The American Statistician 69, 2015). Above,
    the standard error of 200 resamples of up to 10,000 rows is scaled to all rows: the error
    of what metrics measure falls with the root of the number of rows, so a million rows cost
    what 10,000 do. Where a class is rare, resamples are larger, to have enough of it. So it
    is, too, where the confidence leaves fewer than 10 resamples beyond an end.

    With clusters, whole clusters are resampled, and the standard error has Student's quantile
    for as many clusters as they are worth. Clusters of so many rows that even 50 of them are
    dear are left out instead, in turn (the delete-a-group jackknife: P. Kott, Journal of
    Official Statistics 17, 2001).

    Args:
        statistic: What is computed from rows.
        n_rows: Number of all rows, at least 2.
        seed: Decides the resamples.
        confidence: Share of intervals made like this that hold the truth.
        n_rarest: Rows of the rarest class; None where there are no classes.
        groups: Cluster of each row, `(n_rows,)`; None: rows are independent.
        bounds: Least and greatest value that the statistic can have.

    Raises:
        ContractError: `statistic` is undefined for more than half of the resamples, or all
            rows are of one cluster.

    Examples:
        >>> import numpy as np
        >>> values = np.arange(100.0)
        >>> interval = bootstrap_interval(
        ...     lambda rows: float(values[rows].mean()), 100, seed=0, confidence=0.95
        ... )
        >>> interval.low < 49.5 < interval.high
        True
        >>> interval.method
        'bootstrap (BCa), 1,000 resamples, seed 0'
    """
    if groups is not None:
        codes = dense_codes(groups)
        return _within(bounds, _clustered_interval(statistic, codes, seed, confidence, n_rarest))
    alpha = (1 - confidence) / 2
    few_beyond = alpha * N_RESAMPLES < RESAMPLES_BEYOND - 1e-9
    if n_rows > FULL_BOOTSTRAP_ROWS or few_beyond:
        n_drawn = _n_drawn(n_rows, n_rarest)
        return _within(bounds, _scaled_interval(statistic, n_rows, n_drawn, seed, confidence))
    import numpy as np

    values, note = _resample(
        statistic,
        lambda rng: rng.integers(0, n_rows, n_rows),
        n_resamples=N_RESAMPLES,
        n_rows=n_rows,
        seed=seed,
    )
    # Expanded: a resample varies less than rows do, and by the normal law instead of Student's.
    reach = student(confidence, n_rows - 1) * (n_rows / (n_rows - 1)) ** 0.5
    shares, name = (NormalDist().cdf(-reach), NormalDist().cdf(reach)), "percentile"
    if n_rows <= BCA_ROWS:
        shares, name = _bca_shares(statistic, n_rows, values, reach), "BCa"
    low, high = np.quantile(values, shares)
    return Interval(float(low), float(high), f"bootstrap ({name}), 1,000 resamples, {note}")


def _within(bounds: tuple[float, float], interval: Interval) -> Interval:
    """Cut off what the statistic cannot be; what resamples did not reach, it still can be."""
    lowest, highest = bounds
    return interval._replace(low=max(lowest, interval.low), high=min(highest, interval.high))


def _n_drawn(n_rows: int, n_rarest: int | None) -> int:
    n_drawn = min(n_rows, DRAWN_ROWS)
    if n_rarest is not None:
        n_drawn = min(n_rows, max(n_drawn, RAREST_CLASS_ROWS * n_rows // n_rarest))
    return n_drawn


def _resample(
    statistic: Statistic,
    draw: "Callable[[np.random.Generator], np.ndarray]",
    *,
    n_resamples: int,
    n_rows: int,
    seed: int,
) -> "tuple[np.ndarray, str]":
    """Return the statistic of each resample where it is defined, and a note for people."""
    import numpy as np

    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n_resamples):
        try:
            values.append(statistic(draw(rng)))
        except ContractError:
            continue
    n_undefined = n_resamples - len(values)
    if n_undefined > n_resamples / 2:
        raise ContractError(
            f"A bootstrap needs enough rows of each class, but the metric is undefined for "
            f"{n_undefined:,} of {n_resamples:,} resamples of {n_rows:,} rows. Use more rows."
        )
    left_out = f", {n_undefined} undefined ones left out" if n_undefined else ""
    return np.array(values), f"seed {seed}{left_out}"


def _bca_shares(
    statistic: Statistic, n_rows: int, values: "np.ndarray", reach: float
) -> tuple[float, float]:
    """Return which quantiles of the resamples are the ends, corrected for bias and skew.

    B. Efron, "Better bootstrap confidence intervals", JASA 82, 1987.
    """
    import numpy as np

    normal = NormalDist()
    every = np.arange(n_rows)
    estimate = statistic(every)
    below = float(np.mean(values < estimate) + np.mean(values == estimate) / 2)
    bias = normal.inv_cdf(min(max(below, 1 / len(values)), 1 - 1 / len(values)))
    pulls = _pulls(statistic, every)
    spread = float((pulls**2).sum()) ** 1.5
    skew = float((pulls**3).sum()) / (6 * spread) if spread else 0.0

    def share(z: float) -> float:
        shrunk = 1 - skew * (bias + z)
        # Past its pole the correction would turn the ends around.
        return normal.cdf(bias + (bias + z) / shrunk) if shrunk > 0 else normal.cdf(z)

    return share(-reach), share(reach)


def _pulls(statistic: Statistic, codes: "np.ndarray") -> "np.ndarray":
    """Return how far each cluster pulls the statistic, from leaving out each in turn."""
    import numpy as np

    left_out = []
    for code in range(int(codes.max()) + 1):
        try:
            left_out.append(statistic(np.flatnonzero(codes != code)))
        except ContractError:
            continue
    return np.mean(left_out) - np.array(left_out) if left_out else np.zeros(1)


def _scaled_interval(
    statistic: Statistic, n_rows: int, n_drawn: int, seed: int, confidence: float
) -> Interval:
    """Return the normal interval whose standard error is scaled from smaller resamples."""
    import numpy as np

    values, note = _resample(
        statistic,
        lambda rng: rng.integers(0, n_rows, n_drawn),
        n_resamples=N_RESAMPLES_OF_ERROR,
        n_rows=n_rows,
        seed=seed,
    )
    estimate = statistic(np.arange(n_rows))
    half = student(confidence, N_RESAMPLES_OF_ERROR - 1) * float(values.std(ddof=1))
    half *= (n_drawn / n_rows) ** 0.5
    method = f"bootstrap (standard error), 200 resamples of {n_drawn:,} rows, {note}"
    return Interval(estimate - half, estimate + half, method)


def _clustered_interval(
    statistic: Statistic,
    codes: "np.ndarray",
    seed: int,
    confidence: float,
    n_rarest: int | None,
) -> Interval:
    """Return the interval from resamples of whole clusters, or from leaving them out."""
    import numpy as np

    n_rows, sizes = len(codes), np.bincount(codes)
    n_clusters = len(sizes)
    if n_clusters < 2:
        raise ContractError(
            f"An interval needs at least 2 groups, but all {n_rows:,} rows are of one. "
            "Use rows of more groups or times."
        )
    n_drawn = min(
        n_clusters, max(DRAWN_CLUSTERS, _n_drawn(n_rows, n_rarest) * n_clusters // n_rows)
    )
    if n_drawn * n_rows / n_clusters > DEAR_ROWS:
        return _jackknife_interval(statistic, codes, seed, confidence)
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(sizes) - sizes

    def draw(rng: "np.random.Generator") -> "np.ndarray":
        chosen = rng.integers(0, n_clusters, n_drawn)
        of_each = sizes[chosen]
        ends = np.cumsum(of_each)
        return order[np.repeat(starts[chosen] - ends + of_each, of_each) + np.arange(ends[-1])]

    values, note = _resample(
        statistic, draw, n_resamples=N_RESAMPLES_OF_ERROR, n_rows=n_rows, seed=seed
    )
    # Resampled clusters vary less than clusters do, by (n - 1) / n.
    scale = (n_drawn / (n_clusters - 1)) ** 0.5
    low, high = skewed_ends(
        statistic(np.arange(n_rows)),
        error=float(values.std(ddof=1)) * scale,
        reach=student(confidence, effective_clusters(codes) - 1),
        pulls=_pulls(statistic, codes) if n_rows <= FULL_BOOTSTRAP_ROWS else None,
    )
    method = (
        f"bootstrap (standard error), 200 resamples of {n_drawn:,} of {n_clusters:,} groups, {note}"
    )
    return Interval(low, high, method)


def _jackknife_interval(
    statistic: Statistic, codes: "np.ndarray", seed: int, confidence: float
) -> Interval:
    """Return the interval from leaving out one part of the clusters after the other."""
    import numpy as np

    n_clusters = int(codes.max()) + 1
    n_parts = min(JACKKNIFE_PARTS, n_clusters)
    part = np.random.default_rng(seed).permutation(n_clusters) % n_parts
    rows = np.arange(0, len(codes), -(-len(codes) // JACKKNIFE_ROWS))
    of_row = part[codes[rows]]
    values = np.array([statistic(rows[of_row != number]) for number in range(n_parts)])
    error = float(((values - values.mean()) ** 2).sum() * (n_parts - 1) / n_parts) ** 0.5
    half = student(confidence, min(effective_clusters(codes), n_parts) - 1) * error
    estimate = statistic(np.arange(len(codes)))
    return Interval(
        estimate - half,
        estimate + half,
        f"jackknife, {n_parts} parts of {n_clusters:,} groups left out in turn, seed {seed}",
    )


def skewed_ends(
    estimate: float, *, error: float, reach: float, pulls: "np.ndarray | None"
) -> tuple[float, float]:
    """Return the ends of an interval for something whose estimates are skewed.

    Student's interval leaves out the truth too often where few values pull far. The cubic
    transformation of P. Hall (JRSS B 54, 1992) takes the skewness off, and cannot turn ends
    around, as corrections by a polynomial can.

    Args:
        estimate: What the interval is of.
        error: Its standard error.
        reach: Student's quantile.
        pulls: How far each row, or cluster, pulls the estimate; their sum is zero. None, or
            all zero: no skewness.

    Examples:
        >>> import numpy as np
        >>> low, high = skewed_ends(1.0, error=0.1, reach=2.0, pulls=np.array([-1, -1, -1, 3.0]))
        >>> round(low, 2), round(high, 2)
        (0.85, 1.83)
    """
    import numpy as np

    spread = 0.0 if pulls is None else float(pulls @ pulls)
    skew = float((pulls**3).sum()) / spread**1.5 if pulls is not None and spread > 0 else 0.0
    if abs(skew) < _NO_SKEW:
        return estimate - reach * error, estimate + reach * error

    def unskewed(quantile: float) -> float:
        return float(3 / skew * (np.cbrt(1 + skew * (quantile - skew / 6)) - 1))

    return estimate - error * unskewed(reach), estimate - error * unskewed(-reach)


def student(confidence: float, n_free: float) -> float:
    """Return Student's quantile for a two-sided interval; for many degrees the normal one.

    Examples:
        >>> round(student(0.95, 10), 3), round(student(0.95, 1e9), 3)
        (2.228, 1.96)
    """
    from scipy.special import stdtrit

    return float(stdtrit(max(n_free, 1.0), (1 + confidence) / 2))
