"""Which candidates the final model is made of: the best together, then fewer, then single ones."""

from collections.abc import Iterator, Sequence

import numpy as np

from automl_assets.core.ensemble import greedy_weights
from automl_assets.core.metrics import Metric
from automl_assets.core.search.limits import limits_of
from automl_assets.core.search.plan import SearchPlan

MAX_JUDGING_SHARE = 0.1
"""Of the search's time, what predictions may take after it, beside what is kept back for them
anyway: an ensemble that takes longer is given up for a faster one."""

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

    With a time limit no ensemble is chosen that takes long to judge, and single candidates that
    do come last, the fastest of them first: the time limit holds for what follows the search, too.

    Args:
        predictions: Of each candidate, best first, on the selection rows.
        y: Class codes or values of these.
        seconds_per_row: Of each candidate: what predicting a row takes.
    """

    def __init__(
        self,
        plan: SearchPlan,
        metric: Metric,
        predictions: Sequence[np.ndarray],
        y: np.ndarray,
        seconds_per_row: Sequence[float],
    ) -> None:
        self._plan, self._metric = plan, metric
        self._predictions, self._y = predictions, y
        self._speeds = seconds_per_row

    def __iter__(self) -> Iterator[Weights]:
        """Yield ensembles of ever fewer members, if more than one is allowed, then each alone."""
        yield from self._ensembles()
        everyone = range(len(self._predictions))
        slow = [index for index in everyone if self._is_slow([index])]
        for index in everyone:
            if index not in slow:
                yield [(index, 1.0)]
        for index in sorted(slow, key=lambda item: self._speeds[item]):
            yield [(index, 1.0)]

    def _is_slow(self, members: Sequence[int]) -> bool:
        seconds = judging_seconds(self._plan, sum(self._speeds[index] for index in members))
        return seconds > MAX_JUDGING_SHARE * (self._plan.time_limit_seconds or 0.0)

    def _ensembles(self) -> Iterator[Weights]:
        pool = [i for i in range(len(self._predictions)) if not self._is_slow([i])]
        n_members = self._plan.max_members
        while n_members > 1 and len(pool) > 1:
            weights = self._together(pool, n_members)
            members = [index for index, _ in weights]
            if self._is_slow(members):
                pool.remove(max(members, key=lambda index: self._speeds[index]))
                continue
            if len(members) > 1:
                yield weights
            if not limits_of(self._plan.constraints):
                return
            n_members = min(n_members, len(members)) - 1

    def _together(self, pool: Sequence[int], n_members: int) -> Weights:
        found = greedy_weights(
            [self._predictions[index] for index in pool],
            self._y,
            self._metric,
            max_members=n_members,
        )
        return [(pool[place], weight) for place, weight in found]
