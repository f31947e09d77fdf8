"""Bootstrap intervals for any number that is computed from rows."""

from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from automl_assets.core.errors import ContractError

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
) -> Interval:
    """Return an interval for `statistic` of all rows.

    Up to 1,000 rows it is BCa and up to 4,000 the percentiles, of 1,000 resamples. Above,
    the standard error of 200 resamples of up to 10,000 rows is scaled to all rows: the error
    of what metrics measure falls with the root of the number of rows, so a million rows cost
    what 10,000 do. Where a class is rare, resamples are larger, to have enough of it.

    Args:
        statistic: What is computed from rows.
        n_rows: Number of all rows, at least 2.
        seed: Decides the resamples.
        confidence: Share of intervals made like this that hold the truth.
        n_rarest: Rows of the rarest class; None where there are no classes.

    Raises:
        ContractError: `statistic` is undefined for more than half of the resamples.

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
    if n_rows > FULL_BOOTSTRAP_ROWS:
        n_drawn = min(n_rows, DRAWN_ROWS)
        if n_rarest is not None:
            n_drawn = min(n_rows, max(n_drawn, RAREST_CLASS_ROWS * n_rows // n_rarest))
        return _scaled_interval(statistic, n_rows, n_drawn, seed, confidence)
    import numpy as np

    values, note = _resample(statistic, n_rows, n_rows, n_resamples=1_000, seed=seed)
    alpha = (1 - confidence) / 2
    shares, name = (alpha, 1 - alpha), "percentile"
    if n_rows <= BCA_ROWS:
        shares, name = _bca_shares(statistic, n_rows, values, alpha), "BCa"
    low, high = np.quantile(values, shares)
    return Interval(float(low), float(high), f"bootstrap ({name}), 1,000 resamples, {note}")


def _resample(
    statistic: Statistic, n_rows: int, n_drawn: int, *, n_resamples: int, seed: int
) -> "tuple[np.ndarray, str]":
    """Return the statistic of each resample where it is defined, and a note for people."""
    import numpy as np

    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n_resamples):
        try:
            values.append(statistic(rng.integers(0, n_rows, n_drawn)))
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
    statistic: Statistic, n_rows: int, values: "np.ndarray", alpha: float
) -> tuple[float, float]:
    """Return which quantiles of the resamples are the ends, corrected for bias and skew."""
    import numpy as np

    normal = NormalDist()
    every = np.arange(n_rows)
    estimate = statistic(every)
    below = float(np.mean(values < estimate) + np.mean(values == estimate) / 2)
    bias = normal.inv_cdf(min(max(below, 1 / len(values)), 1 - 1 / len(values)))
    left_out = []
    for row in range(n_rows):
        try:
            left_out.append(statistic(np.delete(every, row)))
        except ContractError:
            continue
    pull = np.mean(left_out) - np.array(left_out)
    spread = float((pull**2).sum()) ** 1.5
    skew = float((pull**3).sum()) / (6 * spread) if spread else 0.0

    def share(z: float) -> float:
        return normal.cdf(bias + (bias + z) / (1 - skew * (bias + z)))

    return share(normal.inv_cdf(alpha)), share(normal.inv_cdf(1 - alpha))


def _scaled_interval(
    statistic: Statistic, n_rows: int, n_drawn: int, seed: int, confidence: float
) -> Interval:
    """Return the normal interval whose standard error is scaled from smaller resamples."""
    import numpy as np

    values, note = _resample(statistic, n_rows, n_drawn, n_resamples=200, seed=seed)
    estimate = statistic(np.arange(n_rows))
    error = float(values.std(ddof=1)) * (n_drawn / n_rows) ** 0.5
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Interval(
        # A resample lies within the statistic's range, so its extremes are safe bounds.
        max(estimate - half, min(estimate, float(values.min()))),
        min(estimate + half, max(estimate, float(values.max()))),
        f"bootstrap (standard error), 200 resamples of {n_drawn:,} rows, {note}",
    )
