"""One search as an Optuna study: its trials, and who runs them.

Optuna's own loop is not used: a database that restarts kills its workers, and
a trial whose worker died stays RUNNING for ever. Here a trial is claimed under
a lock, carries its worker's name from the first moment, and is told once.
"""

import hashlib
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.families import Choice, Dimension, Param, Real
from automl_assets.core.search.plan import Addition, SearchPlan
from automl_assets.core.search.trial import Job, TrialResult

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

MAX_RETRIES = 2
"""How often a trial is run again after its worker died; a third death is the trial's own fault."""

PROPOSAL, FIXED, JOB = "proposal", "fixed", "job"
_RETRIES, REQUEUED, SKIPPED = "retries", "requeued", "skipped"
WORKER, RESULT, REASON = "worker", "result", "reason"
OUT_OF_MEMORY = "out of memory"

NOT_BEGUN = "not begun"
"""How the reason of a trial begins that was refused by its forecast."""

PLAN, FINAL, USAGE = "plan", "final", "usage"
USED, CPU_SECONDS, PEAK_MB = "seconds", "cpu_seconds", "peak_mb"
_TIME = "time"


def quiet_optuna() -> None:
    """Keep Optuna's per-trial lines out of the log: progress is ours to tell."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of one trial.

    A TPE sampler seeded once repeats its proposals after a restart, so each
    trial has a seed of its own that follows from its number.

    Examples:
        >>> trial_seed(0, 1) == trial_seed(0, 1) != trial_seed(0, 2)
        True
    """
    digest = hashlib.sha256(f"{study_seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def open_study(
    plan: SearchPlan, storage: "BaseStorage", added: Addition | None = None
) -> tuple[optuna.Study, SearchPlan]:
    """Create the study of a plan with its proposals queued, or open it again.

    Must be called under the study's lock.

    Args:
        added: Time beyond what the search has had; its final model is made anew then.

    Returns:
        The study, and the plan with the time limit that counts: that of the first attempt,
        and what was added since.
    """
    study = optuna.create_study(
        study_name=plan.study_name,
        storage=storage,
        direction=plan.direction,
        load_if_exists=True,
    )
    if PLAN not in study.user_attrs:
        _queue_proposals(study, plan)
        study.set_user_attr(_TIME, {"limit": plan.time_limit_seconds, "added": []})
    if added is not None and added.seconds > 0:
        _add_time(study, added)
    time = study.user_attrs[_TIME]
    changes: dict[str, Any] = {"time_limit_seconds": time["limit"]}
    if time["added"]:
        changes["n_trials"] = None
    plan = plan.model_copy(update=changes)
    # Written anew each time: the study's name fixes what is searched, but the home may have
    # moved since, and the operator may allow another number of workers.
    study.set_user_attr(PLAN, plan.model_dump(mode="json"))
    return study, plan


def _add_time(study: optuna.Study, added: Addition) -> None:
    time, used = study.user_attrs[_TIME], usage_of(study).get(USED, 0.0)
    if added.name in time["added"]:
        return
    is_over = time["limit"] is None or final_is_made(study)
    begin = used if is_over else max(used, time["limit"])
    # The name and the time in one write, and last: killed before it, the next call does all of it.
    study.set_user_attr(FINAL, None)
    study.set_user_attr(
        _TIME, {"limit": begin + added.seconds, "added": [*time["added"], added.name]}
    )


def _queue_proposals(study: optuna.Study, plan: SearchPlan) -> None:
    # Killed in between, the next call finds what is queued already.
    n_queued = len(study.get_trials(deepcopy=False))
    for proposal in plan.proposals[n_queued:]:
        fixed: dict[str, Any] = {"family": proposal.family}
        space = plan.spaces.get(proposal.family, {})
        if proposal.params and all(_holds(space[key], proposal.params.get(key)) for key in space):
            # As values of the trial, the sampler learns from them.
            fixed |= {f"{proposal.family}.{name}": proposal.params[name] for name in space}
        if len(plan.feature_sets) > 1:
            fixed["features"] = proposal.features
        study.enqueue_trial(
            fixed,
            user_attrs={PROPOSAL: proposal.model_dump(mode="json"), FIXED: fixed},
        )


def _holds(dimension: Dimension, value: Param) -> bool:
    """Tell whether a sampler could have drawn a value: a default may lie outside of the space."""
    if isinstance(dimension, Choice):
        return value in dimension.values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    whole = isinstance(dimension, Real) or isinstance(value, int)
    return whole and dimension.low <= value <= dimension.high


def usage_of(study: optuna.Study) -> dict[str, float]:
    """Return what a search has used, all attempts together: seconds, CPU seconds, peak memory."""
    return dict(study.user_attrs.get(USAGE, {}))


def read_plan(study: optuna.Study) -> SearchPlan:
    """Return the plan that a study was created with."""
    return SearchPlan.model_validate(study.user_attrs[PLAN])


def is_settled(trial: FrozenTrial) -> bool:
    """Tell whether a trial is over and will not be run again."""
    again = trial.user_attrs.get(REQUEUED, False) or trial.user_attrs.get(SKIPPED, False)
    return trial.state.is_finished() and not again


def job_of(trial: FrozenTrial) -> Job | None:
    """Return what a trial was told to do; None before it was told."""
    job = trial.user_attrs.get(JOB)
    return None if job is None else Job.model_validate(job)


def result_of(trial: FrozenTrial) -> TrialResult | None:
    """Return what a trial left; None where it was never told."""
    result = trial.user_attrs.get(RESULT)
    return None if result is None else TrialResult.model_validate(result)


def is_not_begun(trial: FrozenTrial) -> bool:
    """Tell whether a trial was refused by its forecast, which is no failure."""
    refused = str(trial.user_attrs.get(REASON, "")).startswith(NOT_BEGUN)
    return trial.state == TrialState.FAIL and refused


def tell_result(study: optuna.Study, trial: optuna.Trial, result: TrialResult) -> None:
    """Settle a trial with what it found, unless it was taken from its worker in between."""
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        for name, distance in result.violated.items():
            trial.set_constraint(name, distance)
        trial.set_user_attr(RESULT, result.model_dump(mode="json"))
        if result.pruned:
            trial.set_user_attr(REASON, _why_given_up(result))
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, result.score)


def _why_given_up(result: TrialResult) -> str:
    if result.projected_loss is None:
        return "given up: clearly worse than the best after some folds"
    return (
        f"given up: its validation loss would have come to {result.projected_loss:.6g} at best, "
        f"and above {result.needed_loss:.6g} it is hardly of use beside the best"
    )


def tell_failure(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    """Settle a trial that found nothing, unless it was taken from its worker in between."""
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL)


def skip_trial(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    """Give a draw of the sampler back: there is no time for it. It is no candidate."""
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        trial.set_user_attr(SKIPPED, True)
    tell_failure(study, trial, reason)


def _fail(
    study: optuna.Study, storage: "BaseStorage", number: int, reason: str, *, requeued: bool
) -> None:
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_user_attr(trial_id, REASON, reason)
    storage.set_trial_user_attr(trial_id, REQUEUED, requeued)
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def release_trials(
    study: optuna.Study,
    storage: "BaseStorage",
    *,
    alive: Collection[str],
    retry: bool,
    reason: str,
) -> int:
    """End the running trials of dead workers; queue each again at most twice.

    Must be called under the study's lock. The successor is queued before the
    dead trial is ended: killed in between, the next call finds the successor.

    Args:
        alive: Names of the workers that still run.
        retry: False ends the trials for good.
        reason: Why, for the ledger.

    Returns:
        How many trials were queued again.
    """
    trials = study.get_trials(deepcopy=False)
    successors = {trial.user_attrs.get("retry_of") for trial in trials}
    return sum(
        _end_running(
            study, storage, trial, reason, retry=retry, has_successor=trial.number in successors
        )
        for trial in trials
        if trial.state == TrialState.RUNNING and trial.user_attrs.get(WORKER) not in alive
    )


def requeue_trial(study: optuna.Study, storage: "BaseStorage", number: int, reason: str) -> None:
    """End a running trial whose process was killed, and queue it again at most twice.

    Must be called under the study's lock.
    """
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    trial = trials[number]
    if trial.state == TrialState.RUNNING:
        successors = {item.user_attrs.get("retry_of") for item in trials.values()}
        _end_running(study, storage, trial, reason, retry=True, has_successor=number in successors)


def _end_running(
    study: optuna.Study,
    storage: "BaseStorage",
    trial: FrozenTrial,
    reason: str,
    *,
    retry: bool,
    has_successor: bool,
) -> bool:
    """End a running trial; queue its successor first, so that a kill in between loses nothing."""
    retries = int(trial.user_attrs.get(_RETRIES, 0))
    again = retry and retries < MAX_RETRIES
    if again and not has_successor:
        kept = (PROPOSAL, FIXED, JOB)
        study.enqueue_trial(
            {**trial.user_attrs.get(FIXED, {}), **trial.params},
            user_attrs={
                **{key: trial.user_attrs[key] for key in kept if key in trial.user_attrs},
                _RETRIES: retries + 1,
                "retry_of": trial.number,
            },
        )
    _fail(study, storage, trial.number, reason, requeued=again)
    return again


def n_waiting(trials: Collection[FrozenTrial], plan: SearchPlan) -> int:
    """Return how many queued trials the asked number has room for."""
    waiting = sum(trial.state == TrialState.WAITING for trial in trials)
    if plan.n_trials is None:
        return waiting
    return min(waiting, max(0, plan.n_trials - n_taken(trials)))


def n_taken(trials: Collection[FrozenTrial]) -> int:
    """Return how many trials the asked number has been used for: those that were begun."""
    return sum(
        trial.state == TrialState.RUNNING or (is_settled(trial) and not is_not_begun(trial))
        for trial in trials
    )


def others_run(study: optuna.Study, worker: str) -> bool:
    """Tell whether other workers run trials now."""
    return any(
        trial.state == TrialState.RUNNING and trial.user_attrs.get(WORKER) != worker
        for trial in study.get_trials(deepcopy=False)
    )


def final_is_made(study: optuna.Study) -> bool:
    """Tell whether the final model was made, or found impossible."""
    return isinstance(study.user_attrs.get(FINAL), dict)
