"""Which candidates the final model is made of: the best together, then fewer, then single ones."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from automl_assets.core.ensemble import greedy_weights
from automl_assets.core.metrics import Metric
from automl_assets.core.search.limits import limits_of
from automl_assets.core.search.plan import SearchPlan

MAX_JUDGING_SHARE = 0.1
"""Of the search's time, what predictions may take after it, beside what is kept back for them
anyway, at least: an ensemble that takes longer is given up for a faster one."""

Weights = list[tuple[int, float]]
"""Candidates by their place in the order given, with their shares."""


def judging_seconds(plan: SearchPlan, seconds_per_row: float) -> float:
    """Return what judging a model takes beyond what is kept back for it; 0 without a time limit.

    Args:
        seconds_per_row: CPU time of predicting one row.
    """
    if plan.time_limit_seconds is None:
        return 0.0
    return max(0.0, plan.judged_rows * seconds_per_row - plan.judging_seconds)


class Choices:
    """What the final model may be made of, the best first.

    With a time limit no ensemble is chosen that takes long to judge, so that the limit holds for
    what follows the search, too. A single candidate is never passed over for its speed: of slow
    ones an ensemble of others takes the place only where it is better.

    Args:
        predictions: Of each candidate, best first, on the selection rows.
        y: Class codes or values of these.
        seconds_per_row: Of each candidate: what predicting a row takes.
        seconds_left: Until the deadline of the final model.
    """

    def __init__(
        self,
        plan: SearchPlan,
        metric: Metric,
        predictions: Sequence[np.ndarray],
        y: np.ndarray,
        seconds_per_row: Sequence[float],
        *,
        seconds_left: float,
    ) -> None:
        self._plan, self._metric = plan, metric
        self._predictions, self._y = predictions, y
        self._speeds = seconds_per_row
        # Ensembles come with what is left for refits, if that is more.
        share = MAX_JUDGING_SHARE * (plan.time_limit_seconds or math.inf)
        self._most_seconds = max(share, seconds_left)

    def __iter__(self) -> Iterator[Weights]:
        """Yield ensembles of ever fewer members, if more than one is allowed, then each alone."""
        yield from self._ensembles()
        yield from ([(index, 1.0)] for index in range(len(self._predictions)))

    def _ensembles(self) -> Iterator[Weights]:
        n_members = self._plan.max_members
        while n_members > 1:
            weights = self._in_time(n_members)
            if len(weights) > 1:
                yield weights
            if not limits_of(self._plan.constraints):
                return
            n_members = min(n_members, len(weights) or n_members) - 1

    def _in_time(self, n_members: int) -> Weights:
        """Return who is best together and quick enough; nobody where the best is better alone."""
        everyone = range(len(self._predictions))
        weights = self._together(everyone, n_members)
        if not self._is_slow([index for index, _ in weights]):
            return weights
        # Without the slowest member and all that are no faster; then of those that are quick
        # enough whichever of them are chosen: each selection costs a second or so.
        slowest = max(self._speeds[index] for index, _ in weights)
        quick = [index for index in everyone if self._speeds[index] < slowest]
        for pool in (quick, [i for i in quick if not self._is_slow([i] * n_members)]):
            weights = self._together(pool, n_members) if pool else []
            if not self._is_slow([index for index, _ in weights]):
                return weights if self._is_better(weights) else []
        return []

    @cached_property
    def _scores(self) -> list[float]:
        return [self._metric.score(self._y, prediction) for prediction in self._predictions]

    def _is_slow(self, members: Sequence[int]) -> bool:
        row_seconds = sum(self._speeds[index] for index in members)
        return judging_seconds(self._plan, row_seconds) > self._most_seconds

    def _is_better(self, weights: Weights) -> bool:
        """Tell whether these together are better than the best candidate alone."""
        if not weights:
            return False
        sign = 1.0 if self._metric.direction == "minimize" else -1.0
        mean = np.asarray(
            sum(weight * self._predictions[index].astype(np.float64) for index, weight in weights)
        )
        best = min(sign * score for score in self._scores)
        return sign * self._metric.score(self._y, mean) < best

    def _together(self, pool: Sequence[int], n_members: int) -> Weights:
        found = greedy_weights(
            [self._predictions[index] for index in pool],
            self._y,
            self._metric,
            max_members=n_members,
            scores=[self._scores[index] for index in pool],
        )
        return [(pool[place], weight) for place, weight in found]
