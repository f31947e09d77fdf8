"""Raw columns that say the same: shuffled alone, each would hide what the others tell."""

import numpy as np

from automl_assets.core.evaluation.explaining.columns import RawFeatures

CORRELATION_LIMIT = 0.9
"""Least absolute rank correlation (C. Spearman, 1904) of two columns that say the same."""

MAX_FEATURES = 2_000
"""Features that are compared with each other: all pairs of more would take over 100 MB."""


def ranks(X: np.ndarray) -> np.ndarray:
    """Return the standardised ranks of each feature, ties as their mean, missing values lowest.

    A constant feature has zeros. Features that miss values in the same rows are alike in that.

    Args:
        X: `(n_rows, n_features)`, a sample in memory.
    """
    from scipy.stats import rankdata

    ranked = rankdata(np.nan_to_num(X, nan=-np.inf), axis=0).astype(np.float32)
    ranked -= ranked.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.square(ranked, dtype=np.float64).sum(axis=0))
    return np.divide(ranked, spread, out=np.zeros_like(ranked), where=spread > 0)


def correlated_groups(
    ranked: np.ndarray, columns: dict[str, RawFeatures], outcome: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """Return groups of raw columns in which any two have features that say the same.

    Complete linkage (T. Sørensen, 1948): a chain of columns of which each is like its neighbour
    only is no group.

    Args:
        ranked: What `ranks` returns.
        columns: Those that take part; their features are all of `ranked` or a part of it.
        outcome: What the model predicts for the same rows, `(n_rows,)`. The column that goes
            with it most comes first in its group.
    """
    if ranked.shape[1] > MAX_FEATURES or len(columns) < 2:
        return tuple((name,) for name in columns)
    positions = [position for column in columns.values() for position in column.positions]
    widths = [len(column.positions) for column in columns.values()]
    starts = np.cumsum([0, *widths[:-1]])
    likeness = _between_columns(ranked[:, positions], starts)
    labels = _clusters(likeness)
    strength = _with_outcome(ranked[:, positions], outcome, starts)
    names = list(columns)
    groups: dict[int, list[int]] = {}
    for place, found in enumerate(labels):
        groups.setdefault(int(found), []).append(place)
    return tuple(
        tuple(names[place] for place in sorted(group, key=lambda place: (-strength[place], place)))
        for group in groups.values()
    )


def _between_columns(ranked: np.ndarray, starts: np.ndarray) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    # The order of adding, and with it the last digit, depends on the number of threads.
    with threadpool_limits(1, user_api="blas"):
        likeness = np.abs(ranked.T @ ranked)
    likeness = np.maximum.reduceat(likeness, starts, axis=0)
    return np.maximum.reduceat(likeness, starts, axis=1)


def _clusters(likeness: np.ndarray) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    # Rounded, so that float32 does not part columns that are one to one.
    distance = np.round(1.0 - likeness.astype(np.float64), 6).clip(min=0.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="complete")
    return fcluster(tree, t=round(1.0 - CORRELATION_LIMIT, 6), criterion="distance")


def _with_outcome(ranked: np.ndarray, outcome: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return for each column how much it goes with what the model predicts."""
    found = np.abs(ranks(outcome[:, None].astype(np.float64))[:, 0] @ ranked)
    return np.round(np.maximum.reduceat(found, starts), 6)
