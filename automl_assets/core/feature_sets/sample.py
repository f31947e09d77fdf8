"""The rows that feature sets are learned from: few, the same in every run, none of a class lost."""

import numpy as np

from automl_assets.core.families import Encoded
from automl_assets.core.rows.sample import sampled_rows

MAX_ROWS = 20_000
"""A correlation of 0.95 is then known within 0.002, and a quick model takes a second."""

MAX_VALUES = 20_000_000
"""Rows times features of a sample: 80 MB."""

_MIN_ROWS = 1_000
_MAX_TARGETS = 1_000_000
"""Targets that are looked at to find the rows of rare classes."""

_RARE_SHARE = 4
"""Classes that are rarer than this part of an equal share are drawn more often than others."""


def sample(part: Encoded, *, n_classes: int, max_rows: int = MAX_ROWS, seed: int) -> Encoded:
    """Draw rows of a part into memory, in their order.

    Args:
        n_classes: 0 for regression. With classes, a rare one has more than its share of rows.
        max_rows: About how many; fewer of a wide matrix, a quarter more with rare classes.
        seed: Decides the rows.
    """
    n_rows, n_features = part.X.shape
    size = min(n_rows, max_rows, max(_MIN_ROWS, MAX_VALUES // max(1, n_features)))
    rows = sampled_rows(n_rows, max(size, _MAX_TARGETS) if n_classes else size, seed=seed)
    if n_classes and size < n_rows:
        rows = rows[_of_each_class(part.y[rows], n_classes, size, seed)]
    X = np.empty((len(rows), n_features), np.float32, order="F")
    for position in range(n_features):
        X[:, position] = part.X[rows, position]
    return Encoded(X=X, y=part.y[rows], n_levels=part.n_levels)


def _of_each_class(y: np.ndarray, n_classes: int, size: int, seed: int) -> np.ndarray:
    order = np.argsort(y, kind="stable")
    counts = np.bincount(y, minlength=n_classes)
    least = size // (_RARE_SHARE * n_classes)
    chosen, first = [], 0
    for count in counts.tolist():
        quota = min(count, max(-(-count * size // len(y)), least))
        chosen.append(order[first + sampled_rows(count, quota, seed=seed)])
        first += count
    return np.sort(np.concatenate(chosen))
