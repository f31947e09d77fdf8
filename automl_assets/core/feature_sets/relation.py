"""Ranks of features, and how much each alone says about the target."""

from dataclasses import dataclass

import numpy as np

N_BINS = 16
"""Stretches of equal rows that a feature is cut into: enough for a relation with a bend."""

_MAX_CODES = 63
"""Levels of a category that are told apart here, the most frequent; codes come in that order."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """A numeric feature by rank.

    Attributes:
        values: Mean rank of equal values, centred and with length 1; 0 where missing.
            None if nearly all rows have one value: then a correlation says nothing.
        is_missing: `(n_rows,)`; None if nothing is.
        bins: Stretch of each row, the last one for missing values.
    """

    values: np.ndarray | None
    is_missing: np.ndarray | None
    bins: np.ndarray


MIN_OTHER_ROWS = 20
"""Rows that need another value than the most frequent one, before a feature is called a copy."""


def rank(values: np.ndarray) -> Ranks:
    """Rank a numeric feature, NaN where missing."""
    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    missing = None
    if len(distinct) and np.isnan(distinct[-1]):
        missing = place == len(distinct) - 1
        counts = counts[:-1]
    n_present = int(counts.sum())
    middle = np.append(np.cumsum(counts) - (counts + 1) / 2, 0.0)
    stretch = np.append((middle[:-1] * N_BINS // max(1, n_present)).astype(np.intp), N_BINS)
    bins = stretch[place]
    if not n_present or n_present - counts.max() < MIN_OTHER_ROWS:
        return Ranks(values=None, is_missing=missing, bins=bins)
    centred = middle - (n_present - 1) / 2
    centred[-1] = 0.0
    length = float(np.sqrt((centred[:-1] ** 2 * counts).sum()))
    ranked = (centred / length)[place].astype(np.float32)
    return Ranks(values=ranked, is_missing=missing, bins=bins)


def code_bins(codes: np.ndarray) -> np.ndarray:
    """Return the codes of a category, the rare ones together."""
    return np.minimum(codes.astype(np.intp), _MAX_CODES)


def relation(bins: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Return the share of the target's variance that a feature's bins explain, less chance.

    Of numbers it is the correlation ratio of ranks, so that a long tail does not decide; of
    classes Goodman and Kruskal's tau (1954). Both are corrected for the number of bins as
    epsilon squared is (Kelley 1935).

    Args:
        bins: Bin of each row.
        y: Class codes, or `target_ranks`.
        n_classes: 0 for regression.
    """
    n_rows = len(bins)
    counts = np.bincount(bins)
    used = counts > 0
    n_bins = int(used.sum())
    if n_classes:
        n_used = int(counts.size)
        table = np.bincount(bins * n_classes + y, minlength=n_used * n_classes)
        table = table.reshape(n_used, n_classes).astype(np.float64)
        chance = float((table.sum(axis=0) ** 2).sum()) / n_rows
        total = n_rows - chance
        between = float(((table[used] ** 2).sum(axis=1) / counts[used]).sum()) - chance
    else:
        sums = np.bincount(bins, weights=y)
        total = float((y**2).sum())
        between = float((sums[used] ** 2 / counts[used]).sum())
    if total <= 0 or n_bins < 2 or n_bins >= n_rows:
        return 0.0
    return 1 - (total - between) / (n_rows - n_bins) * (n_rows - 1) / total


def target_ranks(y: np.ndarray) -> np.ndarray:
    """Return the mean ranks of a target's values, centred."""
    _, place, counts = np.unique(y, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return middle[place] - (len(y) - 1) / 2
