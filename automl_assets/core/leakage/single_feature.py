"""How well one column alone predicts the target, judged on rows it did not learn from.

A column that says nearly all about the target by itself is more often the answer in disguise
than a good feature (Kaufman et al., "Leakage in Data Mining", TKDD 2012).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.evaluation.intervals import wilson_interval

N_BINS = 64
"""Enough to follow any monotone relation to an R2 above 0.999."""

MIN_CLASS_ROWS = 12
"""Rows of a class, and of all others, that each half needs; with fewer, chance looks perfect."""

_MIN_BIN_ROWS = 10
_PRIOR_ROWS = 1.0
_PRIOR_VALUES = 0.1
"""Weights of the whole table against the rows of a bin. Of numbers it is small: shrinking the
mean of a bin of ten rows by a tenth would cost a perfect column 1 % of its R2."""

_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class SingleScore:
    """What one column reaches alone.

    Attributes:
        measure: Name of the measure: `AUC`, `macro AUC` or `R2 of ranks`.
        value: Mean of two halves, each scored with what was learned on the other.
        low: Lower end of its 95 % interval.
    """

    measure: str
    value: float
    low: float


def halves(n_rows: int, groups: pl.Series | None, *, seed: int) -> np.ndarray:
    """Deal rows into two halves at random; rows of one group stay together.

    Returns:
        Whether a row is in the first half, `(n_rows,)`.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        return generator.random(n_rows) < 0.5
    codes = groups.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return (generator.random(int(codes.max(initial=0)) + 1) < 0.5)[codes]


def score_classes(
    values: pl.Series, y: np.ndarray, half: np.ndarray, n_classes: int
) -> SingleScore | None:
    """Score a column against classes; None where a half has too few rows of them.

    The direction does not matter: the share of each class is learned for each stretch of
    values, each level, and for missing values. Classes of few rows are left out.

    Args:
        y: Class codes; the last is the positive class of a binary task.
        half: As `halves` deals.
        n_classes: From 2; more than 2 give the mean over one-versus-rest.
    """
    tables = []
    for learn in (half, ~half):
        codes, n_codes = _codes(values, learn)
        tables.append(
            [
                np.bincount(codes[rows] * n_classes + y[rows], minlength=n_codes * n_classes)
                .reshape(n_codes, n_classes)
                .astype(np.float64)
                for rows in (learn, ~learn)
            ]
        )
    wanted = range(n_classes) if n_classes > 2 else (1,)
    found = [area for code in wanted if (area := _area(tables, code)) is not None]
    if not found:
        return None
    value, low = np.mean(found, axis=0).tolist()
    return SingleScore(measure="macro AUC" if n_classes > 2 else "AUC", value=value, low=low)


def score_values(values: pl.Series, y: np.ndarray, half: np.ndarray) -> SingleScore | None:
    """Score a column against a number; None where a half says nothing.

    The ranks of the target are predicted, by their mean for each stretch of values, each
    level, and for missing values: a long tail can then neither hide a leak nor feign one.

    Args:
        y: Finite target values.
        half: As `halves` deals.
    """
    ranks = pl.Series(y).rank("average").to_numpy() / max(1, len(y))
    explained = []
    for learn in (half, ~half):
        test = ~learn
        if learn.sum() < 2 or test.sum() < 2 or np.ptp(ranks[test]) == 0:
            return None
        codes, n_codes = _codes(values, learn)
        mean = ranks[learn].mean()
        n_learned = np.bincount(codes[learn], minlength=n_codes)
        sums = np.bincount(codes[learn], weights=ranks[learn], minlength=n_codes)
        learned = (sums + _PRIOR_VALUES * mean) / (n_learned + _PRIOR_VALUES)
        errors = ranks[test] - learned[codes[test]]
        explained.append(1 - float((errors**2).sum()) / float(np.var(ranks[test]) * test.sum()))
    value = float(np.mean(explained))
    return SingleScore(measure="R2 of ranks", value=value, low=_low_r2(value, len(y)))


def _low_r2(value: float, n_rows: int) -> float:
    """Return the lower end by Fisher's z of the correlation with the prediction."""
    correlation = min(max(value, 0.0) ** 0.5, 1 - 1e-12)
    return float(np.tanh(np.arctanh(correlation) - _Z / max(1, n_rows - 3) ** 0.5)) ** 2


def _codes(values: pl.Series, learn: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a small code of each value, 0 where it is missing, and how many codes there are."""
    if not (values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype == pl.Boolean):
        codes = values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
        return codes, int(codes.max(initial=0)) + 1
    numbers = values.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(numbers)
    edges = _edges(numbers[known & learn])
    codes = np.searchsorted(edges, numbers, side="right") + 1
    return np.where(known, codes, 0), len(edges) + 2


def _edges(learned: np.ndarray) -> np.ndarray:
    """Return where the bins begin: few values have a bin each, many share them.

    Bins of equal rows see the middle, bins of equally many distinct values the tails.
    """
    distinct = np.unique(learned)
    if len(distinct) <= N_BINS:
        return distinct
    n_bins = max(2, min(N_BINS, len(learned) // (2 * _MIN_BIN_ROWS)))
    places = np.linspace(0, 1, n_bins)
    steps = (places * (len(distinct) - 1)).astype(np.int64)
    by_rows = np.quantile(learned, places, method="lower")
    return np.unique(np.concatenate([by_rows, distinct[steps]]))


def _area(tables: list[list[np.ndarray]], code: int) -> tuple[float, float] | None:
    """Return the AUC of one class against the rest, and the lower end of its interval."""
    areas, variances, n_rarer = [], [], 0
    for learned, tested in tables:
        share = learned[:, code].sum() / max(1.0, learned.sum())
        score = (learned[:, code] + _PRIOR_ROWS * share) / (learned.sum(axis=1) + _PRIOR_ROWS)
        positive, negative = tested[:, code], tested.sum(axis=1) - tested[:, code]
        fewer = int(min(positive.sum(), negative.sum()))
        if fewer < MIN_CLASS_ROWS:
            return None
        area, variance = _delong(score, positive, negative)
        areas.append(area)
        variances.append(variance)
        n_rarer += fewer
    area = float(np.mean(areas))
    if area >= 1 or area <= 0 or not sum(variances):
        return area, wilson_interval(area * n_rarer, n_rarer).low
    half = _Z * sum(variances) ** 0.5 / 2 / (area * (1 - area))
    return area, float(1 / (1 + np.exp(half - np.log(area / (1 - area)))))


def _delong(score: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Return the AUC and DeLong's variance from the rows that each score has."""
    _, place = np.unique(score, return_inverse=True)
    positive = np.bincount(place, weights=positive)
    negative = np.bincount(place, weights=negative)
    n_positive, n_negative = positive.sum(), negative.sum()
    of_positive = (np.cumsum(negative) - negative / 2) / n_negative
    of_negative = 1 - (np.cumsum(positive) - positive / 2) / n_positive
    area = float((positive * of_positive).sum() / n_positive)
    spread = [
        float((n * (placed - area) ** 2).sum()) / max(1.0, n.sum() - 1) / n.sum()
        for n, placed in ((positive, of_positive), (negative, of_negative))
    ]
    return area, sum(spread)
