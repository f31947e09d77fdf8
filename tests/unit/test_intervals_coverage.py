"""Intervals hold the truth about as often as they promise, on made-up data whose truth is known."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.intervals import (
    delong_interval,
    estimate,
    mean_interval,
    share_interval,
    wilson_interval,
)
from automl_assets.core.evaluation.resampling import bootstrap_interval
from automl_assets.core.metrics import load_metrics

Ends = tuple[float, float]
METRICS = load_metrics()
NORMAL = NormalDist()

# With n simulations the share of right intervals has a standard error of sqrt(0.0475 / n):
# 0.5 points for 2,000 and 0.7 for 1,000, so 93 to 97 % is 4.1 and 2.9 of them around 95 %.
MANY, SOME = 2_000, 1_000


def in_clusters(rng, n_clusters, *, spread, most_rows):
    """Return clusters of 1 to `most_rows` rows, and an effect that the rows of each share."""
    codes = np.repeat(np.arange(n_clusters), rng.integers(1, most_rows + 1, n_clusters))
    return codes, rng.normal(0, spread, n_clusters)[codes]


def scores(rng, y, *, gap, shared=0.0):
    return gap * y + shared + rng.normal(size=len(y))


def both(score):
    probability = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - probability, probability])


def wilson(rng) -> tuple[Ends, float]:
    return wilson_interval(rng.binomial(300, 0.22), 300)[:2], 0.22


def wilson_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 60, spread=0.7, most_rows=20)
    hits = rng.normal(size=len(codes)) + shared > 0.6
    return share_interval(hits, groups=codes)[:2], NORMAL.cdf(-0.6 / (1 + 0.7**2) ** 0.5)


def mean(rng) -> tuple[Ends, float]:
    return mean_interval(rng.exponential(size=300))[:2], 1.0


def mean_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 40, spread=0.5, most_rows=30)
    return mean_interval(2 + shared + rng.normal(size=len(codes)), groups=codes)[:2], 2.0


def mean_in_few_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 10, spread=0.5, most_rows=30)
    return mean_interval(2 + shared + rng.normal(size=len(codes)), groups=codes)[:2], 2.0


def mean_in_blocks_of_time(rng) -> tuple[Ends, float]:
    from scipy.signal import lfilter

    days = lfilter([1.0], [1.0, -0.7], rng.normal(size=1_200))[200:]
    groups = clusters_of(None, pl.Series(np.repeat(np.arange(1_000), 3)))
    return mean_interval(np.repeat(days, 3) + rng.normal(size=3_000), groups=groups)[:2], 0.0


def delong(rng) -> tuple[Ends, float]:
    y = (np.arange(600) < 60).astype(int)
    return delong_interval(y, scores(rng, y, gap=1.2))[:2], NORMAL.cdf(1.2 / 2**0.5)


def delong_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 80, spread=0.7, most_rows=15)
    y = (rng.random(len(codes)) < 0.3).astype(int)
    score = scores(rng, y, gap=1.2, shared=shared)
    truth = NORMAL.cdf(1.2 / (2 * (1 + 0.7**2)) ** 0.5)
    return delong_interval(y, score, groups=codes)[:2], truth


def root(rng, losses, **options) -> Ends:
    """Return the interval of a root of a mean, which has no interval of its own.

    Each simulation has resamples of its own: those of one seed are all off to the same side.
    """
    return bootstrap_interval(
        lambda rows: float(losses[rows].mean() ** 0.5),
        len(losses),
        seed=int(rng.integers(2**31)),
        confidence=0.95,
        **options,
    )[:2]


def bca(rng) -> tuple[Ends, float]:
    return root(rng, rng.normal(size=200) ** 2), 1.0


def percentile(rng) -> tuple[Ends, float]:
    return root(rng, rng.normal(size=1_500) ** 2), 1.0


def scaled(rng) -> tuple[Ends, float]:
    return root(rng, rng.normal(size=20_000) ** 2), 1.0


def bootstrap_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 80, spread=1.0, most_rows=15)
    return root(rng, (shared + rng.normal(size=len(codes))) ** 2, groups=codes), 2**0.5


def scaled_bootstrap_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 4_000, spread=1.0, most_rows=9)
    return root(rng, (shared + rng.normal(size=len(codes))) ** 2, groups=codes), 2**0.5


def jackknife_in_clusters(rng) -> tuple[Ends, float]:
    codes = np.repeat(np.arange(40), 1_500)
    shared = rng.normal(0, 0.1, 40)[codes]
    return root(rng, (1 + shared + rng.normal(size=len(codes))) ** 2, groups=codes), 2.01**0.5


def f1(rng) -> tuple[Ends, float]:
    y = (rng.random(250) < 0.3).astype(int)
    found = estimate(
        METRICS["f1"], y, both(scores(rng, y, gap=2.0) - 1.0), seed=int(rng.integers(2**31))
    )
    hit, alarm = 0.3 * NORMAL.cdf(1.0), 0.7 * NORMAL.cdf(-1.0)
    return (found.low, found.high), 2 * hit / (0.3 + hit + alarm)


def paired_mean(rng) -> tuple[Ends, float]:
    y = rng.normal(size=400)
    ours, theirs = y + rng.normal(0, 1.0, 400), y + rng.normal(0, 1.2, 400)
    found = compare(METRICS["mae"], y, ours, theirs, seed=0)
    return (found.low, found.high), 0.2 * (2 / np.pi) ** 0.5


def paired_mean_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 50, spread=1.0, most_rows=20)
    y = rng.normal(size=len(codes))
    ours = y + rng.normal(size=len(y))
    found = compare(METRICS["mae"], y, ours, ours + shared, seed=0, groups=codes)
    return (found.low, found.high), (2**0.5 - 1) * (2 / np.pi) ** 0.5


def paired_delong(rng) -> tuple[Ends, float]:
    y = (np.arange(500) < 100).astype(int)
    common = scores(rng, y, gap=1.5)
    theirs = common + rng.normal(size=500)
    found = compare(METRICS["roc_auc"], y, both(common), both(theirs), seed=0)
    return (found.low, found.high), NORMAL.cdf(1.5 / 2**0.5) - NORMAL.cdf(1.5 / 2)


def paired_delong_in_clusters(rng) -> tuple[Ends, float]:
    codes, shared = in_clusters(rng, 80, spread=1.0, most_rows=12)
    y = (rng.random(len(codes)) < 0.4).astype(int)
    common = scores(rng, y, gap=1.5)
    found = compare(
        METRICS["roc_auc"], y, both(common), both(common + shared), seed=0, groups=codes
    )
    return (found.low, found.high), NORMAL.cdf(1.5 / 2**0.5) - NORMAL.cdf(1.5 / 2)


def paired_bootstrap(rng) -> tuple[Ends, float]:
    y = rng.normal(size=200)
    ours, theirs = y + rng.normal(0, 1.0, 200), y + rng.normal(0, 1.2, 200)
    found = compare(METRICS["rmse"], y, ours, theirs, seed=int(rng.integers(2**31)))
    return (found.low, found.high), 0.2


SIMULATIONS = [
    *((of, MANY) for of in (wilson, wilson_in_clusters, mean, mean_in_clusters)),
    *((of, MANY) for of in (mean_in_few_clusters, mean_in_blocks_of_time)),
    *((of, MANY) for of in (delong, delong_in_clusters)),
    *((of, MANY) for of in (paired_mean, paired_mean_in_clusters)),
    *((of, MANY) for of in (paired_delong, paired_delong_in_clusters)),
    *((of, SOME) for of in (bca, percentile, scaled)),
    *((of, SOME) for of in (bootstrap_in_clusters, scaled_bootstrap_in_clusters)),
    *((of, SOME) for of in (jackknife_in_clusters, f1, paired_bootstrap)),
]


def coverage(simulate: Callable[..., tuple[Ends, float]], n_times: int) -> float:
    """Return the share of simulations whose interval holds the truth."""
    rng = np.random.default_rng(7)
    found = (simulate(rng) for _ in range(n_times))
    return float(np.mean([low <= truth <= high for (low, high), truth in found]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulate", "n_times"), SIMULATIONS, ids=[of.__name__ for of, _ in SIMULATIONS]
)
def test_93_to_97_of_100_intervals_hold_the_truth(simulate, n_times):
    assert 0.93 <= coverage(simulate, n_times) <= 0.97
