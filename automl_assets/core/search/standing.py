"""How a search stands: who leads, what is told while it runs, and its ledger."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.search.final import Finalist, FinalModel
from automl_assets.core.search.plan import N_LEADERS, SearchPlan, SearchStatus
from automl_assets.core.search.study import (
    FINAL,
    JOB,
    REASON,
    REQUEUED,
    RESULT,
    SKIPPED,
    is_not_begun,
    is_settled,
    job_of,
    result_of,
)
from automl_assets.core.search.trial import PREDICTIONS
from automl_assets.core.values import Candidate

MEASURED = (
    *("cpu_seconds", "seconds", "fit_seconds", "seconds_per_row", "peak_mb", "io_mb"),
    *("measured", "violated", "package_sha256", "model_bytes"),
)
"""What differs between two runs of the same search: measurements, and the files of libraries that
write the same model in other bytes."""


def ranked(trials: Collection[FrozenTrial], plan: SearchPlan) -> list[FrozenTrial]:
    """Return the complete trials that break no constraint, best first."""
    admissible = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and RESULT in trial.user_attrs
        and not trial.user_attrs[RESULT]["violated"]
    ]
    return sorted(admissible, key=lambda item: _rank(item, plan))


def _rank(trial: FrozenTrial, plan: SearchPlan) -> tuple[float, int]:
    sign = -1.0 if plan.direction == "maximize" else 1.0
    return sign * (trial.value or 0.0), trial.number


def finalists(study: optuna.Study, plan: SearchPlan) -> list[Finalist]:
    """Return the candidates that the final model may be made of, best first.

    Those whose files were swept when an earlier final model was made are none.
    """
    found = []
    for trial in ranked(study.get_trials(deepcopy=False), plan):
        job, result = job_of(trial), result_of(trial)
        if job is None or result is None:
            continue
        if (Path(plan.artifacts) / str(job.number) / PREDICTIONS).exists():
            found.append(Finalist(job=job, result=result))
    return found


def final_model(study: optuna.Study) -> FinalModel | None:
    """Return the final model; None where none could be made."""
    told = study.user_attrs.get(FINAL)
    model = told.get("model") if isinstance(told, dict) else None
    return None if model is None else FinalModel.model_validate(model)


def refused_models(study: optuna.Study) -> list[dict[str, float]]:
    """Return what models were measured at that could have been final, and broke a limit."""
    told = study.user_attrs.get(FINAL)
    return list(told.get("refused", [])) if isinstance(told, dict) else []


def candidate_of(trial: FrozenTrial, reason: str = "") -> Candidate:
    """Return a settled trial as people see it."""
    job, result = job_of(trial), result_of(trial)
    ended = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    state = ended.get(trial.state, "not begun" if is_not_begun(trial) else "failed")
    told: dict[str, Any] = {}
    if job is not None:
        told = {"params": job.params, "seed": job.seed, "features": job.features}
        told["origin"] = job.origin
    if result is not None:
        n = result.n_iterations
        names = ("train_score", "curve", "seconds", "peak_mb", "io_mb", "measured", "violated")
        told |= {name: getattr(result, name) for name in (*names, "cpu_seconds", "truncated")}
        told |= {"score": result.score, "model_bytes": result.model_bytes}
        told["n_iterations"] = round(sum(n) / len(n)) if n else None
    return Candidate.model_validate(
        {
            "params": {},
            "score": None,
            **told,
            "number": trial.number,
            "family": job.family if job else trial.params.get("family", "none yet"),
            "state": "failed" if result is None and state in ended.values() else state,
            "reason": reason or trial.user_attrs.get(REASON, ""),
        }
    )


def search_status(
    study: optuna.Study, plan: SearchPlan, seconds: float, *, memory_mb: float = 0.0
) -> SearchStatus:
    """Return how a search goes; `seconds` is the time used so far."""
    trials = study.get_trials(deepcopy=False)
    settled = [trial for trial in trials if is_settled(trial)]
    leaders = ranked(settled, plan)
    best = leaders[0] if leaders else None
    limit = plan.time_limit_seconds
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    used: dict[str, float] = {}
    for trial in settled:
        if RESULT in trial.user_attrs:
            family = trial.params["family"]
            used[family] = used.get(family, 0.0) + trial.user_attrs[RESULT]["cpu_seconds"]
    n_complete = sum(trial.state == TrialState.COMPLETE for trial in settled)
    return SearchStatus(
        n_finished=len(settled),
        n_failed=sum(
            trial.state == TrialState.FAIL and not is_not_begun(trial) for trial in settled
        ),
        running=tuple(trial.params["family"] for trial in running if "family" in trial.params),
        n_trials=plan.n_trials,
        best_score=best.value if best else None,
        best_family=best.params["family"] if best else None,
        seconds=seconds,
        seconds_left=None if limit is None else max(0.0, limit - seconds),
        stage="final model" if study.user_attrs.get(FINAL) else "trials",
        metric=plan.metric,
        n_inadmissible=n_complete - len(leaders),
        leaders=tuple(candidate_of(trial) for trial in leaders[:N_LEADERS]),
        seconds_by_family=tuple(sorted(used.items())),
        memory_mb=memory_mb,
    )


def ledger(study: optuna.Study) -> list[dict[str, Any]]:
    """Return all trials as plain values, in order of number: enough to run them again."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "job": trial.user_attrs.get(JOB),
            "value": trial.value,
            "result": trial.user_attrs.get(RESULT),
            "reason": trial.user_attrs.get(REASON, ""),
            "requeued": bool(trial.user_attrs.get(REQUEUED, False)),
        }
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.get(SKIPPED, False)
    ]


def ledger_sha256(entries: list[dict[str, Any]]) -> str:
    """Return the digest of what is the same in every run of a search, as canonical JSON."""
    kept = []
    for entry in entries:
        result = entry["result"] or {}
        same = {key: value for key, value in result.items() if key not in MEASURED}
        kept.append({**entry, "result": same})
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
