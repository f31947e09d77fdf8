"""Which candidates predict best together, and with what weights.

R. Caruana et al., "Ensemble selection from libraries of models", ICML 2004: start
from the best candidate, then add again and again, with replacement, the one that
improves the mean most. Their remedy against fitting few selection rows is used, too:
it is done for several random subsets of the candidates, and the weights are averaged.

Measured with 24 candidates on synthetic tables, as ratio of the error on other rows to that
of the best single candidate (geometric mean of 4 to 15 draws of the selection rows):

    metric       selection rows   greedy once   as here
    ROC AUC                 300         0.990     0.986
    ROC AUC               1,100         1.002     1.000
    ROC AUC               5,000         1.000     0.997
    accuracy                500         1.002     0.996
    log loss                300         0.998     0.997
    log loss              1,100         0.999     0.999
    RMSE                  1,100         0.989     0.988
    4 classes, log loss     300         1.003     1.002
    4 classes, log loss   5,000         1.000     0.999

A least gain of 0.1 % or 0.5 % per step, and a number of steps chosen by cross-validation, lost
more than they saved. Subsets of rows were no better and cost as much.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from automl_assets.core.errors import SearchError
from automl_assets.core.metrics import Metric

MAX_STEPS = 15
"""Additions in one run; more change weights by less than a fifteenth."""

N_SUBSETS = 10
SUBSET_SHARE = 0.8
"""Candidates in a subset. Half was better at 300 rows, but 0.2 % worse for RMSE at 5,000."""

MIN_WEIGHT = 0.03
"""As a share of the largest weight; below, a member costs latency and size for nothing."""

HAIR = 1e-4
"""Least improvement, as a share of the loss, for which anything is added."""

MOST_SPARED_ROWS = 200_000
"""Rows up to which it is asked who can be left out: an answer scores all of them ten times."""

SEARCH_ROWS = 50_000
"""Rows that weights are searched on, drawn class by class; the result is checked on all."""

LOOP_VALUES, MIN_LOOP_ROWS = 20_000, 4_000
"""Predicted numbers, and least rows, that weights are searched on where every mixture is scored
by the metric itself: a run scores up to a few thousand of them."""

RANKED_ROWS = 5_000
"""Rows of each class that ROC AUC is searched on: it does not depend on how many there are."""

_QUADRATIC = frozenset({"rmse", "r2", "brier"})
"""Metrics that order mixtures as the mean squared error does."""

_Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes how often each candidate is held, and a pool of candidates; returns for each of
the pool the loss of the mean once it is added."""


def greedy_weights(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    metric: Metric,
    *,
    max_members: int,
    seed: int = 0,
    scores: Sequence[float] | None = None,
) -> list[tuple[int, float]]:
    """Return who predicts best together: candidates and weights, largest weight first.

    The weighted mean is never worse on `y` than the best single candidate; where
    nothing is better by more than `HAIR`, that one has all the weight, and members without
    whom the loss rises by no more are left out. Equal candidates are taken in the order
    given. Equal arguments give equal results.

    Args:
        predictions: Of each candidate, as `Metric.score` takes them, on the same rows.
        y: Class codes or values, `(n_rows,)`.
        max_members: Most candidates with a weight, at least 1.
        seed: Of the subsets and of the rows searched on.
        scores: What the metric gives for each candidate on these rows, where that is
            known; else it is computed.

    Raises:
        SearchError: There is no candidate, or `max_members` is below 1.
        ContractError: The metric does not exist on these rows.
    """
    if not predictions or max_members < 1:
        raise SearchError(
            "An ensemble needs a candidate and room for one member, but there are "
            f"{len(predictions)} candidates and room for {max_members}. Nothing was put together."
        )
    if scores is None:
        scores = [metric.score(y, prediction) for prediction in predictions]
    singles = [metric.error(score) for score in scores]
    best = int(np.argmin(singles))
    alone = [(best, 1.0)]
    if max_members == 1 or len(predictions) == 1:
        return alone
    generator = np.random.default_rng(seed)
    losses = _remembered(_losses(predictions, y, metric, generator), len(predictions))
    for counts in (_averaged(losses, len(predictions), generator), _once(losses, len(predictions))):
        weights = _largest(counts, max_members)
        most = singles[best] * (1 - HAIR)
        if (loss := _loss_of(weights, predictions, y, metric)) < most:
            return _needed(weights, predictions, y, metric, most=min(most, loss * (1 + HAIR)))
    return alone


def _loss(metric: Metric, y: np.ndarray, prediction: np.ndarray) -> float:
    return metric.error(metric.score(y, prediction))


def _needed(
    weights: list[tuple[int, float]],
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    metric: Metric,
    *,
    most: float,
) -> list[tuple[int, float]]:
    """Return the members that are left once all were left out whom the loss allows to.

    Args:
        most: Loss that the fewer members may have.
    """
    # Scoring many rows again and again takes seconds.
    while len(weights) > 1 and len(y) <= MOST_SPARED_ROWS:
        fewer = [_scaled(weights[:place] + weights[place + 1 :]) for place in range(len(weights))]
        losses = [_loss_of(members, predictions, y, metric) for members in fewer]
        # The last of those that are missed as little has the smallest weight.
        place = len(losses) - 1 - int(np.argmin(losses[::-1]))
        if losses[place] > most:
            break
        weights = fewer[place]
    return weights


def _loss_of(
    members: Sequence[tuple[int, float]],
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    metric: Metric,
) -> float:
    mean = sum(weight * predictions[index].astype(np.float64) for index, weight in members)
    return _loss(metric, y, np.asarray(mean))


def _scaled(weights: list[tuple[int, float]]) -> list[tuple[int, float]]:
    total = math.fsum(weight for _, weight in weights)
    return [(index, weight / total) for index, weight in weights]


def _once(losses: _Losses, n: int, pool: np.ndarray | None = None) -> np.ndarray:
    """Return how often each candidate is held after one greedy run, as shares."""
    pool = np.arange(n) if pool is None else pool
    counts = np.zeros(n)
    held = math.inf
    for _ in range(MAX_STEPS):
        added = losses(counts, pool)
        chosen = int(added.argmin())
        if not added[chosen] < held * (1 - HAIR) and counts.any():
            break
        held = added[chosen]
        counts[pool[chosen]] += 1
    return counts / counts.sum()


def _averaged(losses: _Losses, n: int, generator: np.random.Generator) -> np.ndarray:
    size = max(2, math.ceil(SUBSET_SHARE * n))
    if size == n:
        return _once(losses, n)
    subsets = (np.sort(generator.choice(n, size, replace=False)) for _ in range(N_SUBSETS))
    return np.mean([_once(losses, n, subset) for subset in subsets], axis=0)


def _largest(shares: np.ndarray, max_members: int) -> list[tuple[int, float]]:
    order = np.argsort(-shares, kind="stable")[:max_members]
    kept = [index for index in order if shares[index] >= MIN_WEIGHT * shares.max()]
    return _scaled([(int(index), float(shares[index])) for index in kept])


def _remembered(losses: _Losses, n: int) -> _Losses:
    """Return the same losses, each computed once: runs on different subsets begin alike."""
    known: dict[bytes, np.ndarray] = {}

    def remembered(counts: np.ndarray, pool: np.ndarray) -> np.ndarray:
        found = known.setdefault(counts.tobytes(), np.full(n, np.nan))
        missing = pool[np.isnan(found[pool])]
        if len(missing):
            found[missing] = losses(counts, missing)
        return found[pool]

    return remembered


# --- losses of mixtures, fast --------------------------------------------------------------------


def _losses(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    metric: Metric,
    generator: np.random.Generator,
) -> _Losses:
    """Return the loss of mixtures on a sample of rows, by the fastest way that this metric has."""
    if metric.name == "roc_auc":
        rows = _sample(y, RANKED_ROWS, generator, of_each=True)
        return _by_loop([p[rows, 1] for p in predictions], y[rows], _area_above)
    if metric.name in _QUADRATIC:
        rows = _sample(y, SEARCH_ROWS, generator)
        return _quadratic([(p if p.ndim == 1 else p[:, 1])[rows] - y[rows] for p in predictions])
    if metric.name == "log_loss":
        rows = _sample(y, SEARCH_ROWS, generator)
        return _logarithmic([p[rows, y[rows].astype(np.intp)] for p in predictions])
    n_rows = max(MIN_LOOP_ROWS, LOOP_VALUES // predictions[0][0].size)
    rows = _sample(y, n_rows, generator)
    return _by_loop([p[rows] for p in predictions], y[rows], lambda y, p: _loss(metric, y, p))


def _sample(
    y: np.ndarray, n_rows: int, generator: np.random.Generator, *, of_each: bool = False
) -> np.ndarray:
    """Return sorted positions of about `n_rows` rows, of each class its share, at least one row.

    Args:
        of_each: Up to `n_rows` of each class instead.
    """
    if len(y) <= n_rows:
        return np.arange(len(y))
    if y.dtype.kind == "f":
        return np.sort(generator.choice(len(y), n_rows, replace=False))
    kept = []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        n_kept = min(n_rows, len(rows)) if of_each else math.ceil(n_rows * len(rows) / len(y))
        kept.append(generator.choice(rows, n_kept, replace=False))
    return np.sort(np.concatenate(kept))


def _quadratic(errors: list[np.ndarray]) -> _Losses:
    """Mean squared errors of all mixtures follow from the products of the candidates' errors."""
    stacked = np.stack(errors).astype(np.float64)
    products = stacked @ stacked.T / stacked.shape[1]

    def losses(counts: np.ndarray, pool: np.ndarray) -> np.ndarray:
        crossed = products @ counts
        added = counts @ crossed + 2 * crossed[pool] + products[pool, pool]
        return np.maximum(added, 0.0) / (counts.sum() + 1) ** 2

    return losses


def _logarithmic(of_true_class: list[np.ndarray]) -> _Losses:
    stacked = np.stack(of_true_class).astype(np.float32)
    # As the metric does for the mixture, which is kept in double precision.
    eps = np.finfo(np.float64).eps

    def losses(counts: np.ndarray, pool: np.ndarray) -> np.ndarray:
        held = counts.astype(np.float32) @ stacked
        n = counts.sum() + 1
        logs = (np.log(np.maximum(held + stacked[index], eps * n)).mean() for index in pool)
        return np.log(n) - np.fromiter(logs, np.float64, len(pool))

    return losses


def _by_loop(
    rows: list[np.ndarray], y: np.ndarray, loss: Callable[[np.ndarray, np.ndarray], float]
) -> _Losses:
    stacked = np.stack(rows)

    def losses(counts: np.ndarray, pool: np.ndarray) -> np.ndarray:
        held = np.tensordot(counts.astype(stacked.dtype), stacked, axes=1)
        n = stacked.dtype.type(counts.sum() + 1)
        means = ((held + stacked[index]) / n for index in pool)
        return np.fromiter((loss(y, mean) for mean in means), np.float64, len(pool))

    return losses


def _area_above(y: np.ndarray, score: np.ndarray) -> float:
    """Return 1 - ROC AUC by one sort; ties count one half.

    It takes half of the time of the metric, which also yields placements for intervals.
    """
    order = np.argsort(score)
    ranked = score[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    positives = np.cumsum(y[order] == 1)[ends]
    hits = np.diff(positives, prepend=0)
    misses = np.diff(ends, prepend=-1) - hits
    # Negatives ranked above each group of ties, and half of those inside it.
    above = misses.sum() - np.cumsum(misses) + misses / 2
    return float(hits @ above / (hits.sum() * misses.sum()))
