"""What a search found: the leaderboard, the winner, and why the others lost."""

import math
import shutil
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.errors import SearchError
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.study import (
    REASON,
    RESULT,
    best_trial,
    is_settled,
    ledger,
    ledger_sha256,
)
from automl_assets.core.values import Candidate, CandidateSet

N_KEPT_PACKAGES = 5


def _candidate(trial: FrozenTrial, best: FrozenTrial) -> Candidate:
    result = trial.user_attrs.get(RESULT)
    if trial.state != TrialState.COMPLETE or result is None:
        return Candidate(
            number=trial.number,
            family=trial.params.get("family", "none yet"),
            params={},
            state="failed",
            score=None,
            reason=trial.user_attrs.get(REASON, "failed"),
        )
    reason = ""
    if trial.number != best.number:
        gap = abs((trial.value or 0.0) - (best.value or 0.0))
        reason = f"{gap:.4g} worse than trial {best.number}" if gap else "equal, but later"
    if result["truncated"]:
        reason = f"{reason}; fit cut short by the time limit".lstrip("; ")
    return Candidate(
        number=trial.number,
        family=trial.params["family"],
        params=result["params"],
        state="complete",
        score=result["score"],
        cpu_seconds=result["cpu_seconds"],
        n_iterations=result["n_iterations"],
        model_bytes=result["model_bytes"],
        reason=reason,
    )


def collect_candidates(
    study: optuna.Study,
    plan: SearchPlan,
    *,
    seconds: float,
) -> CandidateSet:
    """Order the trials of a search and name its winner.

    Args:
        seconds: Time the search used, all attempts together.

    Raises:
        SearchError: No trial completed.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if is_settled(trial)]
    best = best_trial([trial for trial in trials if trial.state == TrialState.COMPLETE], plan)
    if best is None:
        failed = [trial.user_attrs.get(REASON, "unknown") for trial in trials]
        raise SearchError(
            f"No trial of {', '.join(plan.families)} completed: {len(failed)} ran within "
            f"{seconds:.0f} s and failed, the last with: {failed[-1] if failed else 'none began'}. "
            "Raise search.time_limit, or choose other families."
        )
    sign = -1.0 if plan.direction == "maximize" else 1.0
    candidates = [_candidate(trial, best) for trial in trials]
    candidates.sort(key=lambda item: (item.score is None, sign * (item.score or 0.0), item.number))
    return CandidateSet(
        study_name=plan.study_name,
        metric=plan.metric,
        direction=plan.direction,
        seed=plan.seed,
        leaderboard=tuple(candidates),
        winner=best.number,
        artifact=f"{plan.study_name}/candidates/{best.number}",
        artifact_sha256=best.user_attrs[RESULT]["package_sha256"],
        ledger_sha256=ledger_sha256(ledger(study, plan)),
        stopped_by="n_trials" if len(trials) >= (plan.n_trials or math.inf) else "time_limit",
        seconds=seconds,
    )


def sweep_packages(candidates: CandidateSet, artifacts: Path) -> None:
    """Remove the packages of all but the best few candidates, and those of dead trials."""
    kept = {str(item.number) for item in candidates.leaderboard[:N_KEPT_PACKAGES]}
    for folder in artifacts.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
