"""Scores of candidates on resamples of the rows that they were compared on.

Costs do not grow with the rows: up to `DRAWN_ROWS` of them are resampled, and what scores
move by is scaled to all rows, as errors fall with the root of their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.confusion import rarest_class_rows
from automl_assets.core.evaluation.row_values import row_values
from automl_assets.core.metrics import Metric

DRAWN_ROWS = 10_000
"""Rows of a resample: 1,000 of them for 40 candidates are 0.4 CPU s."""

MAX_DRAWN_ROWS = 50_000
"""Where a class is rare, so many, to have `RAREST_ROWS` of it, and fewer resamples."""

RAREST_ROWS = 50

N_RESAMPLES, MIN_RESAMPLES, MAX_DRAWS = 1_000, 200, 10_000_000
"""Quantiles of 1,000 resamples are within a fiftieth of an error; fewer of many rows."""

SCORED_ROWS, N_SCORED = 1_000, 200
"""Where the metric itself scores each resample: rows, and resamples."""

_CHUNK = 1_000_000
"""Weights that are held at once: 4 MB."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The rows that are resampled.

    Attributes:
        rows: Their positions, sorted.
        unit: Of each of them, what is drawn as one: itself, or its group, from 0 without gaps.
        n_units: How many there are.
        share: How many of all units these are.
    """

    rows: np.ndarray
    unit: np.ndarray
    n_units: int
    share: float


@dataclass(frozen=True, kw_only=True)
class ResampledScores:
    """Scores of resamples less those of all rows, `(n_resamples, n_candidates)` each.

    Attributes:
        inside: Of the rows that were drawn.
        outside: Of those that were not.
        error: Standard error of each candidate's score.
    """

    inside: np.ndarray
    outside: np.ndarray
    error: np.ndarray
    method: str


def n_rows_to_draw(y: np.ndarray, prediction: np.ndarray) -> int:
    """Return how many rows are resampled.

    Args:
        y: Target of all rows.
        prediction: Of any candidate.
    """
    n_rows, wanted = len(y), DRAWN_ROWS
    rarest = rarest_class_rows(y, prediction)
    if rarest:
        wanted = max(wanted, min(MAX_DRAWN_ROWS, RAREST_ROWS * n_rows // rarest))
    return min(n_rows, wanted)


def draw_rows(
    n_rows: int, groups: np.ndarray | None, *, wanted: int, generator: np.random.Generator
) -> Drawn:
    """Draw rows without replacement, whole groups where there are some.

    Args:
        groups: Code of each row's group; None: each row is one of its own.
        wanted: Rows, about as many of which are drawn, two groups at least.
    """
    if groups is None:
        rows = np.arange(n_rows)
        if wanted < n_rows:
            rows = np.sort(generator.choice(n_rows, wanted, replace=False, shuffle=False))
        unit = np.arange(len(rows))
        return Drawn(rows=rows, unit=unit, n_units=len(rows), share=len(rows) / n_rows)
    _, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = generator.permutation(len(sizes))
    n_kept = max(2, int(np.searchsorted(np.cumsum(sizes[order]), wanted, side="right")))
    kept = order[:n_kept]
    unit_of = np.full(len(sizes), -1)
    unit_of[kept] = np.arange(len(kept))
    rows = np.flatnonzero(unit_of[code] >= 0)
    return Drawn(
        rows=rows,
        unit=unit_of[code[rows]],
        n_units=len(kept),
        share=len(kept) / len(sizes),
    )


def resample_scores(
    metric: Metric,
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    drawn: Drawn,
    generator: np.random.Generator,
) -> ResampledScores:
    """Score each candidate on resamples of the rows that were drawn.

    Raises:
        ContractError: The metric is undefined for these rows, or for most resamples.
    """
    y_drawn = y[drawn.rows]
    values = []
    for prediction in predictions:
        of_rows = row_values(metric, y_drawn, prediction[drawn.rows])
        if of_rows is None:
            return _scored(metric, y_drawn, [p[drawn.rows] for p in predictions], drawn, generator)
        values.append(of_rows - of_rows.mean())
    return _weighted(np.stack(values, axis=1), drawn, generator)


def _weighted(values: np.ndarray, drawn: Drawn, generator: np.random.Generator) -> ResampledScores:
    """Resample by products of weights and rows' values."""
    n_units, n_candidates = drawn.n_units, values.shape[1]
    sizes = np.bincount(drawn.unit, minlength=n_units).astype(np.float32)
    sums = np.empty((n_units, n_candidates), np.float32)
    for index in range(n_candidates):
        sums[:, index] = np.bincount(drawn.unit, values[:, index], minlength=n_units)
    terms = np.column_stack([sums, sizes])
    n_resamples = int(np.clip(MAX_DRAWS // n_units, MIN_RESAMPLES, N_RESAMPLES))
    step = max(1, _CHUNK // n_units)
    inside, outside = [], []
    for start in range(0, n_resamples, step):
        weights = _weights(min(step, n_resamples - start), n_units, generator)
        for found, by_unit in ((inside, weights), (outside, (weights == 0).astype(np.float32))):
            totals = (by_unit @ terms).astype(np.float64)
            found.append((totals[:, :-1], totals[:, -1:]))
    drawn_sums, drawn_sizes = (np.concatenate(parts) for parts in zip(*inside, strict=True))
    other_sums, other_sizes = (np.concatenate(parts) for parts in zip(*outside, strict=True))
    # Of very few units, all may have been drawn.
    kept = other_sizes[:, 0] > 0
    moved = drawn_sums[kept] / drawn_sizes[kept]
    scale = drawn.share**0.5
    return ResampledScores(
        inside=scale * moved,
        outside=scale * other_sums[kept] / other_sizes[kept],
        error=scale * moved.std(axis=0, ddof=1),
        method=f"bootstrap of row influences, {int(kept.sum()):,} resamples",
    )


def _weights(n_resamples: int, n_units: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each unit is in each resample, `(n_resamples, n_units)`."""
    units = generator.integers(0, n_units, (n_resamples, n_units), dtype=np.int64)
    units += n_units * np.arange(n_resamples)[:, None]
    counts = np.bincount(units.ravel(), minlength=n_resamples * n_units)
    return counts.reshape(n_resamples, n_units).astype(np.float32)


def _scored(
    metric: Metric,
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    drawn: Drawn,
    generator: np.random.Generator,
) -> ResampledScores:
    """Let the metric itself score each resample, of fewer rows."""
    by_unit = np.argsort(drawn.unit, kind="stable")
    ends = np.cumsum(np.bincount(drawn.unit, minlength=drawn.n_units))
    n_taken = max(2, drawn.n_units * min(SCORED_ROWS, len(y)) // len(y))
    pool = np.sort(generator.permutation(drawn.n_units)[:n_taken])
    everything = _scores(metric, y, predictions, _rows_of(pool, by_unit, ends))
    inside, outside = [], []
    for _ in range(N_SCORED):
        counts = np.bincount(generator.integers(0, n_taken, n_taken), minlength=n_taken)
        taken = np.repeat(pool, counts)
        if counts.all():
            continue
        try:
            found = [
                _scores(metric, y, predictions, _rows_of(units, by_unit, ends))
                for units in (taken, pool[counts == 0])
            ]
        except ContractError:
            continue
        inside.append(found[0] - everything)
        outside.append(found[1] - everything)
    if len(inside) <= N_SCORED / 2:
        raise ContractError(
            f"Ties are told from {N_SCORED} resamples, but {metric.name} is undefined for "
            f"{N_SCORED - len(inside)} of them, each of about {min(SCORED_ROWS, len(y)):,} rows. "
            "Use more rows or another metric."
        )
    scale = (drawn.share * n_taken / drawn.n_units) ** 0.5
    moved = np.stack(inside)
    return ResampledScores(
        inside=scale * moved,
        outside=scale * np.stack(outside),
        error=scale * moved.std(axis=0, ddof=1),
        method=f"bootstrap, {len(inside):,} resamples",
    )


def _scores(
    metric: Metric, y: np.ndarray, predictions: Sequence[np.ndarray], rows: np.ndarray
) -> np.ndarray:
    return np.array([metric.score(y[rows], prediction[rows]) for prediction in predictions])


def _rows_of(units: np.ndarray, by_unit: np.ndarray, ends: np.ndarray) -> np.ndarray:
    starts = np.concatenate([[0], ends[:-1]])
    if len(by_unit) == len(ends):
        return by_unit[units]
    return np.concatenate([by_unit[starts[unit] : ends[unit]] for unit in units])
