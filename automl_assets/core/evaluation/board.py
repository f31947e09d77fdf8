"""How far the best of many scores can be believed, and which candidates are tied with it.

The best of many scores on the same rows is too good: it was lucky, or it would not be the
best. Its luck is measured by resampling the rows: select on those that were drawn, score on
those that were not (bootstrap bias-corrected cross-validation, I. Tsamardinos et al., 2018).
Ties follow from the differences between candidates on the same rows: one is out if some
other beats it by more than chance would let the best of all others beat it, had all the
same score (the reality check of H. White, 2000, studentized as in P. Hansen, 2005).

Costs do not grow with the rows: up to `DRAWN_ROWS` of them are resampled, and errors are
scaled to all.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from automl_assets.core.evaluation.resampled_scores import (
    DRAWN_ROWS,
    draw_rows,
    n_rows_to_draw,
    resample_scores,
)
from automl_assets.core.evaluation.row_values import has_row_values
from automl_assets.core.metrics import Metric
from automl_assets.core.values import Board, Contender

CONFIDENCE = 0.95


def make_board(
    metric: Metric,
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    *,
    numbers: Sequence[int],
    scores: Sequence[float],
    seed: int,
    groups: np.ndarray | None = None,
) -> Board | None:
    """Compare candidates on the rows that they were chosen by; None if there is one only.

    Args:
        metric: What they were chosen by.
        y: Class codes or values, `(n_rows,)`.
        predictions: Of each candidate, as `Metric.score` takes them, on the same rows.
        numbers: Trial number of each.
        scores: Of each, on all rows.
        seed: Decides the rows and the resamples.
        groups: Code of each row's group, where rows of one group are alike.

    Returns:
        None, too, if there are fewer than two rows or groups.

    Raises:
        ContractError: The metric is undefined for the rows that were drawn.
    """
    if len(predictions) < 2 or len(y) < 2:
        return None
    generator = np.random.default_rng(seed)
    drawn = draw_rows(len(y), groups, wanted=n_rows_to_draw(y, predictions[0]), generator=generator)
    if drawn.n_units < 2:
        return None
    resampled = resample_scores(metric, y, predictions, drawn, generator)
    sign = 1.0 if metric.direction == "maximize" else -1.0
    gains = sign * np.asarray(scores, np.float64)
    inside, outside = sign * resampled.inside, sign * resampled.outside
    corrected, low, high = _corrected(gains, inside, outside, resampled.error)
    tied = tied_with_best(gains, inside, confidence=CONFIDENCE)
    p_best = _best_shares(gains + inside)
    order = np.lexsort((np.asarray(numbers), -gains))
    return Board(
        metric=metric.name,
        direction=metric.direction,
        contenders=tuple(
            Contender(
                number=int(numbers[index]),
                score=float(scores[index]),
                p_best=float(p_best[index]),
                is_tied=bool(tied[index]),
            )
            for index in order
        ),
        naive=float(scores[order[0]]),
        corrected=sign * corrected,
        low=_within(metric.direction, min(sign * low, sign * high)),
        high=_within(metric.direction, max(sign * low, sign * high)),
        confidence=CONFIDENCE,
        method=resampled.method,
        seed=seed,
        n_rows=len(y),
        n_drawn=len(drawn.rows),
        by_group=groups is not None,
    )


def expected_seconds(
    metric: Metric, y: np.ndarray, prediction: np.ndarray, *, n_candidates: int
) -> float:
    """Return about how many CPU seconds a board takes; the same for the same arguments.

    Args:
        y: Target of all rows.
        prediction: Of any candidate.
    """
    n_drawn = n_rows_to_draw(y, prediction)
    of_candidate = 5e-4 + 8e-7 * n_drawn if has_row_values(metric) else 0.013
    return 0.05 + 2e-5 * min(n_drawn, DRAWN_ROWS) + n_candidates * of_candidate


def tied_with_best(gains: np.ndarray, moved: np.ndarray, *, confidence: float) -> np.ndarray:
    """Return who cannot be told apart from the best; the true best is among them.

    Each candidate is asked whether another one is better. The largest studentized difference
    to it is compared with the largest ones in resamples, where all differences are chance, so
    that the many others it could lose against are accounted for. The one that truly is best
    loses by more than that in one of twenty cases at most.

    Args:
        gains: Score of each candidate, more is better, `(n_candidates,)`.
        moved: Scores of resamples less those of all rows, `(n_resamples, n_candidates)`.
        confidence: Chance that the true best is among those returned.

    Examples:
        >>> moved = 0.01 * np.random.default_rng(0).normal(size=(500, 3))
        >>> tied_with_best(np.array([0.90, 0.89, 0.80]), moved, confidence=0.95).tolist()
        [True, True, False]
    """
    tied = np.empty(len(gains), np.bool_)
    hair = 1e-6 * float(moved.std(ddof=1))
    for index, gain in enumerate(gains):
        differences = moved - moved[:, [index]]
        errors = differences.std(axis=0, ddof=1)
        # Equal predictions differ by rounding only; an equal lead on every row is no chance.
        is_same = errors <= hair
        ahead = gains - gain
        if bool((is_same & (ahead > max(hair, 1e-9 * abs(gain)))).any()):
            tied[index] = False
            continue
        errors[is_same] = np.inf
        largest = np.sort((differences / errors).max(axis=1))
        bar = largest[min(len(largest) - 1, int(np.ceil(confidence * len(largest))) - 1)]
        tied[index] = (ahead / errors).max() <= bar
    tied[int(np.argmax(gains))] = True
    return tied


def _corrected(
    gains: np.ndarray, inside: np.ndarray, outside: np.ndarray, error: np.ndarray
) -> tuple[float, float, float]:
    """Return what the best candidate is worth, and both ends.

    Percentiles of the scores on rows that were not drawn, a third of all, are as wide as a
    third of the rows makes them: they held the truth in 98 to 99.8 % of simulated searches.
    Here the error is that of the best candidate's score on all rows, and half of what was
    taken from it, as that is uncertain, too: 94 to 99 %.
    """
    chosen = (gains + inside).argmax(axis=1)
    unseen = np.take_along_axis(gains + outside, chosen[:, None], axis=1)[:, 0]
    corrected = min(float(unseen.mean()), float(gains.max()))
    optimism = float(gains.max()) - corrected
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    half *= float(np.hypot(error[int(np.argmax(gains))], optimism / 2))
    return corrected, corrected - half, corrected + half


def _best_shares(scores: np.ndarray) -> np.ndarray:
    """Return how often each candidate is the best; equal ones share."""
    is_best = scores == scores.max(axis=1, keepdims=True)
    return (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)


def _within(direction: Literal["maximize", "minimize"], end: float) -> float:
    """Keep an end possible: what is maximized ends at 1, and no loss is below 0."""
    return min(1.0, end) if direction == "maximize" else max(0.0, end)
