"""Permutation importance: how much worse the model gets when one feature is shuffled."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from automl_assets.core.values import Value

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.metrics import Metric


DEFAULT_SHUFFLES = 1_000
"""Shuffles of all features together, where each then still gets five."""

FEWEST_ROWS = 100


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
    most = max(5, min(20, DEFAULT_SHUFFLES // n_features))
    predictions = seconds / max(seconds_per_row, 1e-9) / n_features
    n_repeats = int(min(most, max(5, predictions // n_rows)))
    return int(min(n_rows, max(FEWEST_ROWS, predictions // n_repeats))), n_repeats


class FeatureImportance(Value):
    """How much a model loses without what one feature tells.

    Attributes:
        mean: Mean loss over the shuffles, in the metric's unit; positive means useful.
        low, high: Interval of `mean` over shuffles (not over rows).
        noise: What `mean` could reach by chance if the feature told nothing.
    """

    name: str
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
    n_repeats: int | None = None,
    max_rows: int = 2000,
) -> tuple[FeatureImportance, ...]:
    """Shuffle each feature in turn and measure what the model loses.

    A shuffled column is a feature that tells nothing, and shuffling it once more changes the
    score by the spread between shuffles. So this spread says, for each feature, what it could
    reach by chance; about one in forty useless features lies above it. A feature that the
    model does not use has no importance and no noise.

    Args:
        predict: Takes a matrix like `X`; called once per feature with `n_repeats` stacked.
        X: Encoded matrix `(n_samples, n_features)`; not changed.
        y: Codes or values `(n_samples,)`.
        metric: In whose unit the loss is measured.
        feature_names: Names in column order.
        seed: Decides rows and shuffles.
        n_repeats: Shuffles per feature, at least 2; by default 20, down to 5 for many features.
        max_rows: Above, this many rows are drawn.

    Returns:
        One result per feature, the most important first, ties by name.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    n_repeats = n_repeats or max(5, min(20, DEFAULT_SHUFFLES // X.shape[1]))
    if len(X) > max_rows:
        rows = np.sort(rng.choice(len(X), max_rows, replace=False))
        X, y = X[rows], y[rows]
    n_rows = len(X)
    sign = 1 if metric.direction == "maximize" else -1
    base = metric.score(y, predict(X))
    stacked = np.empty((n_rows * n_repeats, X.shape[1]), dtype=X.dtype, order="F")
    stacked[:] = np.tile(X, (n_repeats, 1))
    losses = np.empty((X.shape[1], n_repeats))
    for column in range(X.shape[1]):
        original = stacked[:, column].copy()
        shuffles = [rng.permutation(X[:, column]) for _ in range(n_repeats)]
        stacked[:, column] = np.concatenate(shuffles)
        predictions = np.split(predict(stacked), n_repeats)
        losses[column] = [sign * (base - metric.score(y, p)) for p in predictions]
        stacked[:, column] = original
    return _summary(losses, feature_names)


def _summary(losses: "np.ndarray", names: Sequence[str]) -> tuple[FeatureImportance, ...]:
    from scipy.stats import t

    n_repeats = losses.shape[1]
    spread = losses.std(axis=1, ddof=1)
    reach = float(t.ppf(0.975, n_repeats - 1)) * spread
    halves, noises = reach / n_repeats**0.5, reach * (1 + 1 / n_repeats) ** 0.5
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
