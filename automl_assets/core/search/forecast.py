"""What a trial and the final model will take, and what of it can be afforded."""

import math
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.families import DataShape, load_families
from automl_assets.core.search.budget import (
    BASELINE_SHARE,
    FIRST_MODEL_SECONDS,
    FIRST_ROW_SHARE,
    FIRST_TRIAL_SHARE,
    MAX_TRIAL_SHARE,
    REFIT_SLACK,
    RESERVE_SLACK,
    SLACK,
    CostModel,
    Observation,
    faster_alone,
    refit_seconds,
)
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.standing import ranked
from automl_assets.core.search.study import (
    NOT_BEGUN,
    OUT_OF_MEMORY,
    REASON,
    job_of,
    result_of,
)
from automl_assets.core.search.trial import Job

MAX_FINAL_SHARE = 0.15
"""Of the time limit, what is kept back for more than the best candidate's own refit."""

GROWTH_AFTER_FAILURE = 3.0
"""As long as there is no model, each failure gives the next trial so many times more time."""

MIN_TRIAL_SECONDS = 0.5
"""What a trial may take at least: a search that has no time at all still owes its user a model."""

SMALLEST_ROW_SHARE = 0.25
"""Fewer rows rank candidates badly: rungs of 10,000 rows did, and cost half of the time."""

LIBRARY_MB = 64.0
"""What a fit of a few rows holds in any case, 1 to 51 MB: it does not grow with the model."""

BESIDE_FIT, BESIDE_FIT_SECONDS = 1.1, 2.0
"""What a trial takes in all: so many times its fit, for predictions, and seconds, for its package
and what is measured on it."""

FINAL_SECONDS = 2.0
"""What the final model takes beside its fits: the ensemble, models read back, packages."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much one candidate is fitted on.

    Attributes:
        fit: What each of its fits sees.
        n_fits: Folds.
        everything: Train and validation rows together, for the final model.
    """

    fit: DataShape
    n_fits: int
    everything: DataShape


def learned_costs(trials: list[FrozenTrial], plan: SearchPlan, scale: Scale) -> CostModel:
    """Return what trials take, from those that are over."""
    families = load_families()
    seen = []
    for trial in trials:
        job, result = job_of(trial), result_of(trial)
        if job is None or result is None or not result.fold_scores:
            continue
        expected = families[job.family].expected_seconds(scale.fit, job.params)
        expected *= len(result.fold_scores) * job.row_share / plan.n_threads
        was_ended = result.projected_loss is not None
        if was_ended and result.fit_seconds < expected:
            # A fit that was ended for its losses says no more than that others may take longer.
            continue
        seen.append(
            Observation(
                family=job.family,
                expected=expected,
                seconds=result.fit_seconds,
                truncated=result.truncated or was_ended,
            )
        )
    return CostModel(seen)


def final_seconds(
    trials: list[FrozenTrial], plan: SearchPlan, scale: Scale, *, left: float = math.inf
) -> float:
    """Return how long the final model will take: the best candidates are fitted once more.

    Args:
        left: Seconds until it must be there: nothing is kept back for a fit that cannot end.
    """
    total = FINAL_SECONDS
    most = MAX_FINAL_SHARE * (plan.time_limit_seconds or 0.0)
    for place, trial in enumerate(ranked(trials, plan)[: plan.max_members]):
        job, result = job_of(trial), result_of(trial)
        if job is None or result is None:
            continue
        refit = refit_seconds(job, result, plan, growth=growth_of_refit(scale, job.row_share))
        if total + REFIT_SLACK * refit > left:
            break
        if place > 0 and total + RESERVE_SLACK * refit > most:
            # The best one is fitted again in any case, the others as far as time allows.
            break
        total += RESERVE_SLACK * refit
    return total


def growth_of_refit(scale: Scale, row_share: float = 1.0) -> float:
    """Return the rows of a fit for the final model, as a multiple of those of a trial's fit."""
    return scale.everything.n_rows / max(1.0, scale.fit.n_rows * row_share)


def seconds_before_refit(family: str, plan: SearchPlan, scale: Scale, *, left: float) -> float:
    """Return what one fit of a family may take, if what is left is to hold it and its refit.

    Args:
        left: Seconds until the final model must be there.
    """
    beside = FINAL_SECONDS + BESIDE_FIT_SECONDS
    refit = growth_of_refit(scale) * faster_alone(family, plan)
    return (left - beside) / (BESIDE_FIT + RESERVE_SLACK * refit)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a trial is expected to take, and what there is.

    Attributes:
        needed: Seconds.
        cap: Seconds that it may take.
        megabytes: Of memory that it does not share.
        may_cut: Whether it may see a part of the rows.
        slack: It starts if so many times `needed` is there.
        has_model: Whether something is there already, should it come to nothing.
        is_first: Whether nothing is, and no other trial is making it in good time.
    """

    needed: float
    cap: float
    megabytes: float
    memory: float
    may_cut: bool
    slack: float
    has_model: bool
    is_first: bool

    @property
    def _affordable(self) -> float:
        by_time = self.cap / max(self.needed * self.slack, 1e-9)
        return min(by_time, self.memory / max(self.megabytes, 1e-9))

    @property
    def row_share(self) -> float:
        """Share of the rows that it sees: all, unless they cannot be afforded."""
        share = self._affordable
        if share >= 1 or not self.may_cut:
            return 1.0
        return max(share, SMALLEST_ROW_SHARE if self.has_model else FIRST_ROW_SHARE)

    @property
    def is_cut_for_time(self) -> bool:
        """Whether it sees a part of the rows since there is no time for all."""
        return self.row_share < 1 and self.cap < self.needed * self.slack

    @property
    def refusal(self) -> str:
        """Why it is not begun; empty if it is."""
        smallest = SMALLEST_ROW_SHARE if self.may_cut else 1.0
        if not self.has_model or self._affordable >= smallest:
            return ""
        if self.memory < self.megabytes * smallest:
            return (
                f"{NOT_BEGUN}: it would hold about {self.megabytes:,.0f} MB, and may hold "
                f"{self.memory:,.0f} MB"
            )
        return self.too_slow

    @property
    def too_slow(self) -> str:
        """What is said of one that takes longer than there is time."""
        reserve = " and a reserve" if self.needed <= self.cap else ""
        return f"{NOT_BEGUN}: it would take about {self.needed:.1f} s{reserve} of {self.cap:.1f} s"


def forecast(
    job: Job,
    trials: list[FrozenTrial],
    plan: SearchPlan,
    scale: Scale,
    *,
    left: float,
    has_model: bool,
) -> Forecast:
    """Return what a trial is expected to take.

    Args:
        trials: All trials so far: the cost model learns from them.
        left: Seconds until the final model must be begun.
        has_model: Whether a trial is complete.
    """
    is_baseline = job.origin == "baseline"
    # Between folds one that is clearly worse is given up, as most are: it takes less.
    may_give_up = has_model and scale.n_fits > 1
    # With little time left no trial beside the first one is given longer than that one.
    is_alone = left < FIRST_MODEL_SECONDS or not is_first_running(trials)
    is_first = not has_model and is_alone
    return Forecast(
        needed=_needed(job, trials, plan, scale),
        cap=_cap(plan, left, job, trials, is_first=is_first),
        megabytes=_megabytes(job, trials, plan, scale),
        memory=min(plan.memory_mb or math.inf, (not is_baseline and plan.spare_mb) or math.inf),
        may_cut=plan.n_fits == 1 and not is_baseline,
        slack=1.0 if is_baseline or may_give_up else SLACK,
        has_model=has_model,
        is_first=is_first,
    )


def is_first_running(trials: list[FrozenTrial]) -> bool:
    """Tell whether a trial that may go on until there is a model is running."""
    running = (job_of(trial) for trial in trials if trial.state == TrialState.RUNNING)
    return any(job is not None and job.is_first for job in running)


def _cap(
    plan: SearchPlan, left: float, job: Job, trials: list[FrozenTrial], *, is_first: bool
) -> float:
    """Return the longest that the next trial may take."""
    limit = plan.time_limit_seconds
    if limit is None:
        return math.inf
    if is_first:
        # On a busy machine the first one may be cut short: another that is as short would be too.
        n_failed = sum(trial.state == TrialState.FAIL for trial in trials)
        share = min(FIRST_TRIAL_SHARE * GROWTH_AFTER_FAILURE**n_failed, 1.0)
    else:
        share = BASELINE_SHARE if job.origin == "baseline" else MAX_TRIAL_SHARE
        left /= BESIDE_FIT
    return max(min(left, max(share * limit, 1.0)), MIN_TRIAL_SECONDS)


def _needed(job: Job, trials: list[FrozenTrial], plan: SearchPlan, scale: Scale) -> float:
    costs = learned_costs(trials, plan, scale)
    return costs.seconds(
        job.family, job.params, scale.fit, n_fits=scale.n_fits, n_threads=plan.n_threads
    )


def _megabytes(job: Job, trials: list[FrozenTrial], plan: SearchPlan, scale: Scale) -> float:
    """Return about how much memory a trial holds, corrected by what its family was seen to hold.

    Without a time limit only by what did not fit: what is measured is never twice the same, and
    such a search is to be repeated.
    """
    family = load_families()[job.family]
    ratios = [1.0]
    for trial in trials:
        seen, result = job_of(trial), result_of(trial)
        if seen is not None and result is not None and seen.family == job.family:
            if plan.time_limit_seconds is None:
                continue
            expected = family.expected_bytes(scale.fit, seen.params) / 1e6
            own = max(0.0, result.peak_mb - LIBRARY_MB)
            ratios.append(own / max(expected * seen.row_share, 1.0))
        elif OUT_OF_MEMORY in str(trial.user_attrs.get(REASON)) and seen is not None:
            # Twice as much again: the next one is smaller, or is not begun.
            ratios += [2.0 * ratios[-1]] if seen.family == job.family else []
    return family.expected_bytes(scale.fit, job.params) / 1e6 * max(ratios[-3:])
