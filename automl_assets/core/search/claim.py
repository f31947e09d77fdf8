"""Which trial comes next, and whether there is time for it."""

import math
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.families import Params, load_families
from automl_assets.core.search.forecast import (
    MIN_TRIAL_SECONDS,
    Scale,
    final_seconds,
    forecast,
    seconds_before_refit,
)
from automl_assets.core.search.plan import Proposal, SearchPlan
from automl_assets.core.search.sampler import make_sampler
from automl_assets.core.search.screening import affordable, better_spent
from automl_assets.core.search.space import draw
from automl_assets.core.search.standing import ranked
from automl_assets.core.search.study import (
    FIXED,
    JOB,
    PROPOSAL,
    WORKER,
    job_of,
    n_taken,
    n_waiting,
    result_of,
    skip_trial,
    tell_failure,
    trial_seed,
)
from automl_assets.core.search.trial import Job

FREE_DRAWS, DRAWS_OF_A_FAMILY = 2, 4
MAX_DRAWS = FREE_DRAWS + 3 * DRAWS_OF_A_FAMILY
"""How often a sampler is asked for something that fits into the time that is left, freely first and
then for one family after the other: a draw takes time as well, and other workers wait for it."""

MAX_FIRST_TRIES = 3
"""How many trials are begun for a first model when the time is over already."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that a worker has taken, and what its process is told."""

    trial: optuna.Trial
    job: Job


def claim_trial(
    study: optuna.Study, plan: SearchPlan, worker: str, *, scale: Scale, left: float
) -> Claim | None:
    """Take the next trial for a worker, or None if there is none, or no time for one.

    Must be called under the study's lock, so that the number of trials is exact.

    Args:
        left: Seconds until the final model must be there; infinite without a limit.
    """
    n_draws = 0
    is_timed = plan.time_limit_seconds is not None
    while n_draws < MAX_DRAWS:
        trials = study.get_trials(deepcopy=False)
        if not _may_start(trials, plan, scale, left) or is_exhausted(trials, plan):
            return None
        in_time = _left_for_trials(trials, plan, scale, left)
        only: str | None = None
        if n_draws >= FREE_DRAWS and plan.sampler != "grid":
            fitting = affordable(trials, plan, scale, left=in_time)
            place = min((n_draws - FREE_DRAWS) // DRAWS_OF_A_FAMILY, len(fitting) - 1)
            only = fitting[place] if fitting else None
        claim = _ask(study, plan, worker, trials, only)
        expected = forecast(
            claim.job,
            trials,
            plan,
            scale,
            left=in_time,
            has_model=has_model(trials),
        )
        refusal = expected.refusal
        if plan.sampler != "grid" and n_draws < MAX_DRAWS - 1:
            refusal = refusal or better_spent(
                claim.job, expected, trials, plan, scale, left=in_time
            )
        if refusal:
            claim.trial.set_user_attr(JOB, claim.job.model_dump(mode="json"))
            # A point of a grid is a draw that somebody asked for.
            n_draws += claim.job.origin == plan.sampler
            settle = tell_failure if PROPOSAL in claim.trial.user_attrs else skip_trial
            settle(study, claim.trial, refusal)
            continue
        seconds = expected.cap
        if claim.job.origin == "baseline" and scale.n_fits == 1 and not expected.is_first:
            # What a plain default learns on more rows is worth more than its last trees.
            most = seconds_before_refit(claim.job.family, plan, scale, left=left)
            seconds = min(seconds, max(most, MIN_TRIAL_SECONDS))
        job = claim.job.model_copy(
            update={
                "seconds": seconds if is_timed else None,
                "is_first": is_timed and expected.is_first,
                "row_share": expected.row_share,
            }
        )
        claim.trial.set_user_attr(JOB, job.model_dump(mode="json"))
        return Claim(trial=claim.trial, job=job)
    return None


def is_queue_open(study: optuna.Study, plan: SearchPlan, scale: Scale, *, left: float) -> bool:
    """Tell whether a queued trial may be claimed now; one that comes too late is left queued.

    Args:
        left: Seconds until the final model must be there; infinite without a limit.
    """
    trials = study.get_trials(deepcopy=False)
    return n_waiting(trials, plan) > 0 and _may_start(trials, plan, scale, left)


def _may_start(trials: list[FrozenTrial], plan: SearchPlan, scale: Scale, left: float) -> bool:
    """Tell whether there is room and time for one more trial, whichever it is."""
    if plan.n_trials is not None and n_taken(trials) >= plan.n_trials:
        return False
    if not (has_model(trials) or _has_tried(trials)):
        return True
    return _left_for_trials(trials, plan, scale, left) > _shortest(trials) / 2


def _left_for_trials(
    trials: list[FrozenTrial], plan: SearchPlan, scale: Scale, left: float
) -> float:
    return left if math.isinf(left) else left - final_seconds(trials, plan, scale, left=left)


def has_model(trials: list[FrozenTrial]) -> bool:
    """Tell whether a trial is complete."""
    return any(trial.state == TrialState.COMPLETE for trial in trials)


def _shortest(trials: list[FrozenTrial]) -> float:
    """Return the seconds of the fastest trial so far; nothing is faster by much."""
    results = (result_of(trial) for trial in trials if trial.state == TrialState.COMPLETE)
    return min((result.seconds for result in results if result is not None), default=0.0)


def _has_tried(trials: list[FrozenTrial]) -> bool:
    return sum(trial.state.is_finished() for trial in trials) >= MAX_FIRST_TRIES


def is_exhausted(trials: list[FrozenTrial], plan: SearchPlan) -> bool:
    """Tell whether nothing is left to try: a grid is at its end, or everything is fixed."""
    if any(trial.state == TrialState.WAITING for trial in trials):
        return False
    if plan.sampler == "grid":
        return True
    if any(plan.spaces.get(family) for family in plan.families) or len(plan.feature_sets) > 1:
        return False
    tried = {job.family for trial in trials if (job := job_of(trial)) is not None}
    return tried >= set(plan.families)


def _ask(
    study: optuna.Study,
    plan: SearchPlan,
    worker: str,
    trials: list[FrozenTrial],
    only: str | None,
) -> Claim:
    waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
    number = min(waiting, default=len(trials))
    study.sampler = make_sampler(plan, trial_seed(plan.seed, number), only=only)
    trial = study.ask()
    trial.set_user_attr(WORKER, worker)
    job = _told(trial, _drawn(trial, plan))
    leaders = ranked(trials, plan)
    rival = result_of(leaders[0]) if leaders else None
    # A plain default is scored on all folds: nothing that is worse than it on them may win.
    if rival is not None and rival.fold_scores and job.origin != "baseline":
        job = job.model_copy(update={"rival": rival.fold_scores, "rival_number": leaders[0].number})
    return Claim(trial=trial, job=job)


def _told(trial: optuna.Trial, drawn: Job) -> Job:
    """Return the job as drawn, or of a trial that is run again its first one, with its seed."""
    job = trial.user_attrs.get(JOB)
    if job is None:
        return drawn
    return Job.model_validate(job).model_copy(update={"number": trial.number, "seconds": None})


def _drawn(trial: optuna.Trial, plan: SearchPlan) -> Job:
    family = str(trial.suggest_categorical("family", plan.families))
    features = plan.feature_sets[0]
    if len(plan.feature_sets) > 1:
        features = str(trial.suggest_categorical("features", plan.feature_sets))
    proposal = trial.user_attrs.get(PROPOSAL)
    params: Params
    if proposal is None:
        origin, params = plan.sampler, draw(trial, family, plan.spaces[family])
    else:
        told = Proposal.model_validate(proposal)
        origin, params = told.origin, _noted(trial, plan, told)
    return Job(
        number=trial.number,
        family=family,
        params={**load_families()[family].default_params(), **params, **plan.fixed.get(family, {})},
        features=features,
        seed=trial_seed(plan.seed, trial.number),
        origin=origin,
    )


def _noted(trial: optuna.Trial, plan: SearchPlan, proposal: Proposal) -> Params:
    """Return proposed values; those of the family's space become values of the trial.

    So the sampler learns from them. Defaults of a library have no values to note.
    """
    space = plan.spaces[proposal.family]
    names = [f"{proposal.family}.{name}" for name in space]
    if not proposal.params or FIXED not in trial.user_attrs:
        return proposal.params
    if all(name in trial.user_attrs[FIXED] for name in names):
        return {**proposal.params, **draw(trial, proposal.family, space)}
    return proposal.params
