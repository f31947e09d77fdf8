"""Which candidates of a search are tied with the best, and which of them is the simplest."""

import math
from collections.abc import Sequence

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.board import expected_seconds, make_board
from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.trial import Job, TrialResult
from automl_assets.core.values import Board

STEPS_PER_DOUBLING = 4
"""Sizes and latencies within a fifth of each other count as equal: libraries write the same model
in slightly other bytes, and no clock gives the same time twice."""

LATENCY = "p99_latency_ms"

NO_TIME = "There was no time to tell which candidates are tied with the best."
NOT_COMPARED = "Nobody could tell which candidates are tied with the best: {reason}"


class Ties:
    """Compares a search's best candidates, once, if there is time.

    Args:
        candidates: Jobs and results, best first.
        predictions: Of each on the selection rows.
        y: Target of the selection rows.
    """

    def __init__(
        self,
        plan: SearchPlan,
        candidates: Sequence[tuple[Job, TrialResult]],
        predictions: Sequence[np.ndarray],
        y: np.ndarray,
    ) -> None:
        self._plan, self._candidates = plan, candidates
        self._predictions, self._y = predictions, y
        self.board: Board | None = None
        self.notes: tuple[str, ...] = ()
        """Why there is no board, where there should be one."""

    @property
    def seconds(self) -> float:
        """CPU seconds that the comparison is expected to take; 0 where there is none."""
        if len(self._candidates) < 2:
            return 0.0
        metric = load_metrics()[self._plan.metric]
        return expected_seconds(
            metric, self._y, self._predictions[0], n_candidates=len(self._candidates)
        )

    def tell(self, seconds_left: float) -> Board | None:
        """Compare the candidates if that is expected to end in time; a second call does nothing."""
        if self.board is not None or self.notes or len(self._candidates) < 2:
            return self.board
        if seconds_left < self.seconds:
            self.notes = (NO_TIME,)
            return None
        try:
            self.board = make_board(
                load_metrics()[self._plan.metric],
                self._y,
                self._predictions,
                numbers=[job.number for job, _ in self._candidates],
                scores=[result.score for _, result in self._candidates],
                seed=self._plan.seed,
            )
        except ContractError as error:
            self.notes = (NOT_COMPARED.format(reason=error),)
        return self.board

    def by_simplicity(self) -> list[int]:
        """Return the tied candidates as positions, the simplest first; empty without a board."""
        tied = set(self.board.tied) if self.board is not None else set()
        places = [place for place, (job, _) in enumerate(self._candidates) if job.number in tied]
        results = [self._candidates[place][1] for place in places]
        is_timed = all(LATENCY in result.measured for result in results)
        return sorted(
            places,
            key=lambda place: (*_simplicity(self._candidates[place][1], is_timed=is_timed), place),
        )


def _simplicity(result: TrialResult, *, is_timed: bool) -> tuple[int, int, int]:
    """Return what is small for a simple model: its latency if all were timed, size, iterations."""
    return (
        _step(result.measured[LATENCY]) if is_timed else 0,
        _step(result.model_bytes),
        max(result.n_iterations, default=0),
    )


def _step(size: float) -> int:
    return round(STEPS_PER_DOUBLING * math.log2(max(size, 1e-9)))
