"""One search as an Optuna study: its trials, who runs them, and what was found.

Optuna's own loop is not used: a database that restarts kills its workers, and
a trial whose worker died stays RUNNING for ever. Here a trial is claimed under
a lock, carries its worker's name from the first moment, and is told once.
"""

import hashlib
import json
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.families import load_families
from automl_assets.core.search.plan import SearchPlan, SearchStatus

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

MAX_RETRIES = 2
"""How often a trial is run again after its worker died; a third death is the trial's own fault."""

_DEFAULTS, _FIXED, _RETRIES, _REQUEUED, _SEED = "defaults", "fixed", "retries", "requeued", "seed"
WORKER, RESULT, REASON = "worker", "result", "reason"


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


def open_study(plan: SearchPlan, storage: "BaseStorage") -> optuna.Study:
    """Create the study of a plan with each family's default first, or open it again.

    Must be called under the study's lock.
    """
    study = optuna.create_study(
        study_name=plan.study_name,
        storage=storage,
        direction=plan.direction,
        load_if_exists=True,
    )
    if "plan" not in study.user_attrs:
        families = load_families()
        for name in sorted(plan.families, key=lambda name: families[name].relative_cost):
            fixed = {"family": name}
            study.enqueue_trial(
                fixed, user_attrs={_DEFAULTS: True, _FIXED: fixed}, skip_if_exists=True
            )
    # Written anew each time: the study's name fixes what is searched, but the home may have
    # moved since, and the operator may allow another number of workers.
    study.set_user_attr("plan", plan.model_dump(mode="json"))
    return study


def read_plan(study: optuna.Study) -> SearchPlan:
    """Return the plan that a study was created with."""
    return SearchPlan.model_validate(study.user_attrs["plan"])


def _sampler(plan: SearchPlan, seed: int) -> optuna.samplers.BaseSampler:
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # `group` is marked experimental; families have parameters of their own, so it is needed.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            group=True, n_startup_trials=max(8, plan.n_workers), seed=seed
        )


def is_settled(trial: FrozenTrial) -> bool:
    """Tell whether a trial is over and will not be run again."""
    return trial.state.is_finished() and not trial.user_attrs.get(_REQUEUED, False)


def claim_trial(study: optuna.Study, plan: SearchPlan, worker: str) -> optuna.Trial | None:
    """Take the next trial for a worker, or None if all are taken.

    Must be called under the study's lock, so that the number of trials is exact.
    """
    trials = study.get_trials(deepcopy=False)
    n_taken = sum(is_settled(trial) or trial.state == TrialState.RUNNING for trial in trials)
    if plan.n_trials is not None and n_taken >= plan.n_trials:
        return None
    waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
    number = min(waiting, default=len(trials))
    study.sampler = _sampler(plan, trial_seed(plan.seed, number))
    trial = study.ask()
    trial.set_user_attr(WORKER, worker)
    return trial


def seed_of(trial: optuna.Trial | FrozenTrial, plan: SearchPlan) -> int:
    """Return the seed that a trial fits with; a repeated trial keeps its first one."""
    return int(trial.user_attrs.get(_SEED, trial_seed(plan.seed, trial.number)))


def uses_defaults(trial: optuna.Trial) -> bool:
    """Tell whether a trial runs its family's defaults instead of drawn values."""
    return bool(trial.user_attrs.get(_DEFAULTS, False))


def _fail(
    study: optuna.Study, storage: "BaseStorage", number: int, reason: str, *, requeued: bool
) -> None:
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_user_attr(trial_id, REASON, reason)
    storage.set_trial_user_attr(trial_id, _REQUEUED, requeued)
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def release_trials(
    study: optuna.Study,
    plan: SearchPlan,
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
    n_queued = 0
    for trial in trials:
        if trial.state != TrialState.RUNNING or trial.user_attrs.get(WORKER) in alive:
            continue
        retries = int(trial.user_attrs.get(_RETRIES, 0))
        again = retry and retries < MAX_RETRIES
        if again and trial.number not in successors:
            study.enqueue_trial(
                {**trial.user_attrs.get(_FIXED, {}), **trial.params},
                user_attrs={
                    _DEFAULTS: bool(trial.user_attrs.get(_DEFAULTS, False)),
                    _FIXED: trial.user_attrs.get(_FIXED, {}),
                    _RETRIES: retries + 1,
                    _SEED: seed_of(trial, plan),
                    "retry_of": trial.number,
                },
            )
            n_queued += 1
        _fail(study, storage, trial.number, reason, requeued=again)
    return n_queued


def search_status(study: optuna.Study, plan: SearchPlan, seconds: float) -> SearchStatus:
    """Return how a search goes; `seconds` is the time used so far."""
    trials = study.get_trials(deepcopy=False)
    settled = [trial for trial in trials if is_settled(trial)]
    complete = [trial for trial in settled if trial.state == TrialState.COMPLETE]
    best = best_trial(complete, plan)
    limit = plan.time_limit_seconds
    return SearchStatus(
        n_finished=len(settled),
        n_failed=sum(trial.state == TrialState.FAIL for trial in settled),
        running=tuple(
            trial.params["family"]
            for trial in trials
            if trial.state == TrialState.RUNNING and "family" in trial.params
        ),
        n_trials=plan.n_trials,
        best_score=best.value if best else None,
        best_family=best.params["family"] if best else None,
        seconds=seconds,
        seconds_left=None if limit is None else max(0.0, limit - seconds),
    )


def best_trial(complete: list[FrozenTrial], plan: SearchPlan) -> FrozenTrial | None:
    """Return the trial with the best score; of equals the one with the lowest number."""
    sign = -1.0 if plan.direction == "maximize" else 1.0
    return min(
        complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None
    )


def is_over(status: SearchStatus) -> bool:
    """Tell whether nothing is left to do: all trials are settled, or the time is used."""
    if status.n_trials is not None and status.n_finished >= status.n_trials:
        return True
    return status.seconds_left is not None and status.seconds_left <= 0.0


def ledger(study: optuna.Study, plan: SearchPlan) -> list[dict[str, Any]]:
    """Return all trials as plain values, in order of number: enough to run them again."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "params": trial.params,
            "defaults": bool(trial.user_attrs.get(_DEFAULTS, False)),
            "seed": seed_of(trial, plan),
            "value": trial.value,
            "result": trial.user_attrs.get(RESULT),
            "reason": trial.user_attrs.get(REASON, ""),
            "requeued": bool(trial.user_attrs.get(_REQUEUED, False)),
        }
        for trial in study.get_trials(deepcopy=False)
    ]


def ledger_sha256(entries: list[dict[str, Any]]) -> str:
    """Return the digest of a ledger as canonical JSON."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
