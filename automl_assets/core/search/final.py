"""The model that a search gives back: the best candidates together, fitted once more."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import FittedModel
from automl_assets.core.metrics import load_metrics
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search.assembly import (
    Part,
    in_order,
    learn_decisions,
    together,
    write_parts,
)
from automl_assets.core.search.budget import REFIT_SLACK, refit_seconds
from automl_assets.core.search.choosing import Choices, Weights, judging_seconds
from automl_assets.core.search.copies import Copier
from automl_assets.core.search.limits import limits_of, unmeasured, violations
from automl_assets.core.search.measuring import (
    MemoryOf,
    Timers,
    measure_candidate,
    seconds_per_row,
)
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import SelectionData, prior_prediction
from automl_assets.core.search.ties import Ties
from automl_assets.core.search.trial import (
    PACKAGE,
    PREDICTIONS,
    Job,
    TrialResult,
    make_options,
    make_recipe,
)
from automl_assets.core.values import Board, Member, Value

MAX_ENSEMBLE_CANDIDATES = 40
"""Best candidates that an ensemble may choose from."""

HEAVY_TAIL = 10.0
"""Excess kurtosis of a target from which one more fit is not trusted alone: on house prices a
refit was 4.7 % worse, its mean with the model as found 0.2 %."""


class FinalModel(Value):
    """The model that a search gives back.

    Attributes:
        folder: Name of the package's folder, beside those of the trials.
        score: Of its members as found, on the selection rows.
        prior_score: What no model at all would score on them.
        seconds_per_row: What predicting one encoded row takes, among many.
        notes: What was asked for and could not be done.
        board: Which candidates are tied; None where nobody could tell.
    """

    folder: str
    package_sha256: str
    members: tuple[Member, ...]
    score: float
    prior_score: float | None = None
    seconds_per_row: float = 0.0
    measured: dict[str, float] = Field(default={})
    calibration: str = "none"
    threshold: float | None = None
    notes: tuple[str, ...] = ()
    board: Board | None = None


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A candidate that the final model may hold."""

    job: Job
    result: TrialResult

    @property
    def n_iterations(self) -> int | None:
        """Iterations of the first fold's model, the one that was kept."""
        return self.result.n_iterations[0] if self.result.n_iterations else None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the final model is made with, from outside of the domain.

    Attributes:
        clock: What the deadline is counted by.
        deadline: By `clock`; infinite without a limit.
        timers: For latencies.
        n_threads: Threads of one fit: no other fit runs now.
    """

    clock: Callable[[], float]
    deadline: float
    timers: Timers
    memory_of: MemoryOf | None
    n_threads: int

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - self.clock()

    def earlier(self, seconds: float) -> "Tools":
        """Return the same with a deadline that is so many seconds earlier."""
        return replace(self, deadline=self.deadline - seconds)


class FinalModelMaker:
    """Makes the final model, first from the models as found, then fitted again.

    Args:
        finalists: Admissible candidates, best first, at least one.
        save: Told of each model that is whole: should the time run out, the last one counts.
    """

    def __init__(
        self,
        plan: SearchPlan,
        data: SelectionData,
        preprocessing: Preprocessing,
        finalists: Sequence[Finalist],
        tools: Tools,
        save: Callable[[FinalModel], None],
    ) -> None:
        self._plan, self._data, self._preprocessing = plan, data, preprocessing
        self._finalists = list(finalists)[:MAX_ENSEMBLE_CANDIDATES]
        self._results = {item.job.number: item.result for item in self._finalists}
        self._tools, self._save = tools, save
        self._seconds_per_model = 0.0
        """What it took to calibrate, write and measure one of the models as found."""
        self._judging_seconds = 0.0
        """What is kept back for judging it, since it is slow."""
        self._metric = load_metrics()[plan.metric]
        self._artifacts = Path(plan.artifacts)
        self.refused: list[dict[str, float]] = []
        """What models were measured at that could have been final, and break a limit."""
        self._predictions = [
            np.load(self._artifacts / str(item.job.number) / PREDICTIONS, allow_pickle=False)
            for item in self._finalists
        ]
        self._ties = Ties(
            plan,
            [(item.job, item.result) for item in self._finalists],
            self._predictions,
            data.y,
        )

    def make(self) -> FinalModel | None:
        """Return the best final model that breaks no limit, or None if none holds them all.

        An ensemble is tried first, then ever fewer members, then single candidates; or those
        that are tied with the best, the simplest first. Where the best is asked for, who is
        tied is told last, of what time is left, and changes nothing.
        """
        made = self._make()
        if made is None:
            return None
        board = self._ties.tell(self._tools.left())
        return made.model_copy(update={"board": board, "notes": made.notes + self._ties.notes})

    def _make(self) -> FinalModel | None:
        for weights in self._choices():
            if self.refused and self._tools.left() <= 0:
                # What was refused is told; a kill would lose it.
                return None
            parts = [self._found(self._finalists[index], weight) for index, weight in weights]
            selection = self._mean(weights)
            begun = self._tools.clock()
            found = self._write("as-found", parts, selection)
            self._seconds_per_model = (self._tools.clock() - begun) / len(parts)
            if found is None:
                continue
            self._save(found)
            # A slow model takes longer to judge, and so has less time to be improved.
            self._judging_seconds = judging_seconds(self._plan, found.seconds_per_row)
            self._tools = self._tools.earlier(self._judging_seconds)
            again = self._fitted_again(parts, selection)
            if again is not None:
                self._save(again)
            return again or found
        return None

    def _choices(self) -> Iterator[Weights]:
        if self._plan.select == "simplest_of_tied":
            self._ties.tell(self._tools.left())
            first = self._ties.by_simplicity()
            others = (index for index in range(len(self._finalists)) if index not in first)
            yield from ([(index, 1.0)] for index in (*first, *others))
            return
        yield from Choices(
            self._plan,
            self._metric,
            self._predictions,
            self._data.y,
            [item.result.seconds_per_row for item in self._finalists],
            seconds_left=self._tools.left(),
        )

    @property
    def _takes_one(self) -> bool:
        return self._plan.max_members == 1 or self._plan.select == "simplest_of_tied"

    def _mean(self, weights: Weights) -> np.ndarray:
        return np.asarray(
            sum(weight * self._predictions[index].astype(np.float64) for index, weight in weights)
        )

    def _found(self, finalist: Finalist, weight: float) -> Part:
        """Read the model that a trial left."""
        folder = self._artifacts / str(finalist.job.number) / PACKAGE
        model = load_predictor(folder, sha256=finalist.result.package_sha256).model
        return Part(
            job=finalist.job,
            weight=weight,
            models=(model,),
            refitted=False,
            n_iterations=finalist.n_iterations,
        )

    def _fitted_again(self, found: list[Part], selection: np.ndarray) -> FinalModel | None:
        parts = [self._refit(part) for part in found]
        if not any(part.refitted for part in parts):
            return None
        return self._write("final", self._with_copies(parts), selection)

    def _refit(self, found: Part) -> Part:
        """Fit on train and validation, as far as the time allows; else keep what was found."""
        job, result = found.job, self._results[found.job.number]
        growth = len(self._data.validation.y) + len(self._data.train.y)
        growth /= max(1.0, self._data.n_fit_rows * job.row_share)
        expected = refit_seconds(job, result, self._plan, growth=growth)
        if self._tools.left() < REFIT_SLACK * expected:
            return found
        if self._has_heavy_tail() and self._takes_one:
            # One model was asked for, and a refit alone is not trusted.
            return found
        n_iterations = final_iterations(result, growth)
        begun = self._tools.clock()
        model = self._fit(job, n_iterations)
        if self._tools.left() <= 0:
            return found
        return replace(
            found,
            models=(model, *found.models) if self._has_heavy_tail() else (model,),
            refitted=True,
            n_iterations=n_iterations,
            seeds=(job.seed,),
            seconds=self._tools.clock() - begun,
        )

    def _with_copies(self, parts: list[Part]) -> list[Part]:
        if math.isinf(self._tools.deadline) or limits_of(self._plan.constraints):
            return parts
        if self._takes_one:
            return parts

        def seconds_left(row_seconds: float) -> float:
            more = judging_seconds(self._plan, row_seconds) - self._judging_seconds
            return self._tools.left() - max(0.0, more) - self._ties.seconds

        copier = Copier(
            fit=self._fit,
            seconds_per_row=lambda job: self._results[job.number].seconds_per_row,
            seconds_left=seconds_left,
            seconds_per_model=self._seconds_per_model,
        )
        return copier.copied(parts)

    def _fit(self, job: Job, n_iterations: int | None) -> FittedModel:
        """Fit on train and validation, with features chosen inside."""
        recipe = make_recipe(self._plan, job.family, job.params, job.features)
        options = make_options(
            self._plan,
            recipe,
            seed=job.seed,
            n_threads=self._tools.n_threads,
            should_stop=lambda: self._tools.left() <= 0,
            n_iterations=n_iterations,
        )
        return recipe.packaged(recipe.fit(self._data.all_rows, None, options))

    def _has_heavy_tail(self) -> bool:
        if self._plan.task_type != "regression" or self._data.n_folds > 1:
            return False
        return excess_kurtosis(self._data.train.y) > HEAVY_TAIL

    def _write(self, name: str, parts: list[Part], selection: np.ndarray) -> FinalModel | None:
        parts = in_order(parts)
        model = together(parts)
        row_seconds = seconds_per_row(
            model.predict, self._data.validation.X, self._tools.timers.cpu
        )
        decisions = learn_decisions(
            model,
            self._plan,
            self._preprocessing,
            calibration=self._plan.calibration,
            by_cost=self._plan.cost is not None,
        )
        digest = write_parts(
            self._artifacts / name, parts, model, self._plan, self._preprocessing, decisions
        )
        measured = measure_candidate(
            self._plan,
            self._data,
            package=self._artifacts / name,
            prediction=selection,
            timers=self._tools.timers,
            memory_of=self._tools.memory_of,
        )
        limits = limits_of(self._plan.constraints)
        if violations(measured, limits) or unmeasured(measured, limits):
            self.refused.append(measured)
            return None
        return FinalModel(
            folder=name,
            package_sha256=digest,
            members=tuple(part.member for part in parts),
            score=self._metric.score(self._data.y, selection),
            prior_score=self._prior_score(),
            seconds_per_row=row_seconds,
            measured=measured,
            calibration=decisions.kind,
            threshold=decisions.threshold,
            notes=decisions.notes,
            board=self._ties.board,
        )

    def _prior_score(self) -> float | None:
        y = self._data.y
        prior = prior_prediction(self._data.train.y, len(y), self._plan.n_classes)
        score = self._metric.score(y, prior)
        return score if math.isfinite(score) else None


def final_iterations(result: TrialResult, growth: float) -> int | None:
    """Return how many iterations a fit on more rows gets.

    The mean of what the folds found, and more as the square root of the rows:
    with more rows a step is less noise, and more of them pay.

    Args:
        growth: Rows of the new fit, as a multiple of those of a fold's fit.
    """
    if not result.n_iterations:
        return None
    mean = sum(result.n_iterations) / len(result.n_iterations)
    return max(1, round(mean * math.sqrt(growth)))


def excess_kurtosis(y: np.ndarray) -> float:
    """Return how heavy the tails of a target are; 0 for a normal distribution."""
    centred = y - y.mean()
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**4)) / variance**2 - 3.0 if variance > 0 else 0.0
