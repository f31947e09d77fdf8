"""Permutation importance: how much worse the model gets when features are shuffled.

L. Breiman, "Random forests", 2001; on rows that the model was not fitted on, and with
features that say the same shuffled together, since each alone would hide the loss of another.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from automl_assets.core.values import Value

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.metrics import Metric


DEFAULT_SHUFFLES = 1_000
"""Shuffles of all features together, where each then still gets five."""

FEWEST_ROWS, FEWEST_SHUFFLES = 100, 5

RAREST_CLASS_ROWS = 50
"""Rows of each class, if there are so many: on three rows of a class a loss says little."""


def affordable_shuffles(
    seconds: float, *, seconds_per_row: float, n_features: int, n_rows: int = 2_000
) -> tuple[int, int]:
    """Return how many rows and how many shuffles of each feature fit into some CPU time.

    Shuffles before rows are given up down to five, then rows down to a hundred.

    Examples:
        >>> affordable_shuffles(2.0, seconds_per_row=1e-6, n_features=20)
        (2000, 20)
        >>> affordable_shuffles(2.0, seconds_per_row=5e-5, n_features=20)
        (400, 5)
    """
    most = max(FEWEST_SHUFFLES, min(20, DEFAULT_SHUFFLES // n_features))
    predictions = seconds / max(seconds_per_row, 1e-9) / n_features
    n_repeats = int(min(most, max(FEWEST_SHUFFLES, predictions // n_rows)))
    return int(min(n_rows, max(FEWEST_ROWS, predictions // n_repeats))), n_repeats


def with_rare_classes(
    chosen: "np.ndarray", y: "np.ndarray", *, n_classes: int, seed: int
) -> "np.ndarray":
    """Return positions of rows: the chosen ones, and more of each class that has too few there.

    Each class has `RAREST_CLASS_ROWS` then, or all of its rows; where there are many classes, its
    share of half of the chosen rows.

    Args:
        chosen: Positions in `y`, ascending.
        y: Class codes, `(n_rows,)`.
        n_classes: 0 for regression, where nothing is added.
        seed: Decides which rows are added.
    """
    import numpy as np

    if not n_classes:
        return chosen
    rng = np.random.default_rng(seed)
    least = min(RAREST_CLASS_ROWS, len(chosen) // (2 * n_classes))
    counts = np.bincount(y[chosen].astype(np.intp), minlength=n_classes)
    more = [chosen]
    for label in np.flatnonzero(counts < least):
        others = np.setdiff1d(np.flatnonzero(y == label), chosen, assume_unique=True)
        n_more = min(len(others), least - counts[label])
        more.append(rng.choice(others, n_more, replace=False))
    return np.sort(np.concatenate(more))


class FeatureImportance(Value):
    """How much a model loses without what one feature tells.

    Attributes:
        together: Names of others that were shuffled with it, since they say the same.
        mean: Mean loss over the shuffles, in the metric's unit; positive means useful.
        low, high: Interval of `mean` over shuffles (not over rows).
        noise: What `mean` could reach by chance if the feature told nothing.
    """

    name: str
    together: tuple[str, ...] = ()
    mean: float
    low: float
    high: float
    noise: float

    @property
    def is_useful(self) -> bool:
        """Whether the loss is more than what shuffling noise would give."""
        return self.mean > self.noise


def permutation_importance(
    predict: "Callable[[np.ndarray], np.ndarray]",
    X: "np.ndarray",
    y: "np.ndarray",
    metric: "Metric",
    *,
    feature_names: Sequence[str],
    seed: int,
    groups: Sequence[Sequence[int]] | None = None,
    n_repeats: int | None = None,
    max_rows: int = 2000,
    confidence: float = 0.95,
) -> tuple[FeatureImportance, ...]:
    """Shuffle each feature in turn and measure what the model loses.

    A shuffled column is a feature that tells nothing, and shuffling it once more changes the
    score by the spread between shuffles. So this spread says, for each feature, what it could
    reach by chance; about one in forty useless features lies above it. A feature that the
    model does not use has no importance and no noise. (A column of random numbers cannot be the
    zero line of a model that was fitted without it: its importance would always be 0.)

    Args:
        predict: Takes a matrix like `X`; called once per feature with `n_repeats` stacked.
        X: Encoded matrix `(n_samples, n_features)`; not changed.
        y: Codes or values `(n_samples,)`.
        metric: In whose unit the loss is measured.
        feature_names: Names in column order, or in that of the groups.
        seed: Decides rows and shuffles.
        groups: Positions of features that are shuffled together; None: each alone.
        n_repeats: Shuffles per group, at least 2; by default 20, down to 5 for many features.
        max_rows: Above, this many rows are drawn.
        confidence: Of the intervals; the noise stays what one useless feature in forty reaches.

    Returns:
        One result per group, the most important first, ties by name.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    groups = [(column,) for column in range(X.shape[1])] if groups is None else groups
    n_repeats = n_repeats or max(FEWEST_SHUFFLES, min(20, DEFAULT_SHUFFLES // len(groups)))
    if len(X) > max_rows:
        rows = np.sort(rng.choice(len(X), max_rows, replace=False))
        X, y = X[rows], y[rows]
    n_rows = len(X)
    sign = 1 if metric.direction == "maximize" else -1
    base = metric.score(y, predict(X))
    stacked = np.empty((n_rows * n_repeats, X.shape[1]), dtype=X.dtype, order="F")
    stacked[:] = np.tile(X, (n_repeats, 1))
    losses = np.empty((len(groups), n_repeats))
    for number, columns in enumerate(groups):
        orders = np.concatenate([rng.permutation(n_rows) for _ in range(n_repeats)])
        for column in columns:
            stacked[:, column] = X[orders, column]
        predictions = np.split(predict(stacked), n_repeats)
        losses[number] = [sign * (base - metric.score(y, p)) for p in predictions]
        for column in columns:
            stacked[:, column] = np.tile(X[:, column], n_repeats)
    return _summary(losses, feature_names, confidence)


def _summary(
    losses: "np.ndarray", names: Sequence[str], confidence: float
) -> tuple[FeatureImportance, ...]:
    from scipy.stats import t

    n_repeats = losses.shape[1]
    spread = losses.std(axis=1, ddof=1)
    halves = float(t.ppf((1 + confidence) / 2, n_repeats - 1)) * spread / n_repeats**0.5
    noises = float(t.ppf(0.975, n_repeats - 1)) * spread * (1 + 1 / n_repeats) ** 0.5
    means = losses.mean(axis=1)
    results = (
        FeatureImportance(
            name=name,
            mean=float(mean),
            low=float(mean - half),
            high=float(mean + half),
            noise=float(noise),
        )
        for name, mean, half, noise in zip(names, means, halves, noises, strict=True)
    )
    return tuple(sorted(results, key=lambda item: (-item.mean, item.name)))
