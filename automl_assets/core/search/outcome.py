"""What a search found: the leaderboard, the final model, and why the others lost."""

import math
import shutil
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl_assets.core.errors import SearchError
from automl_assets.core.search.claim import is_exhausted
from automl_assets.core.search.final import FinalModel
from automl_assets.core.search.limits import limits_of, no_admissible
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.standing import (
    candidate_of,
    final_model,
    finalists,
    ledger,
    ledger_sha256,
    ranked,
    refused_models,
)
from automl_assets.core.search.study import (
    CPU_SECONDS,
    OUT_OF_MEMORY,
    PEAK_MB,
    REASON,
    final_is_made,
    is_not_begun,
    is_settled,
    n_taken,
    usage_of,
)
from automl_assets.core.search.trial import PACKAGE
from automl_assets.core.values import Candidate, CandidateSet, Member

N_KEPT_PACKAGES = 5

NO_ENSEMBLE = "search.select: simplest_of_tied takes one candidate, so no ensemble was made."
NONE_TIED = (
    "search.select: simplest_of_tied found no tied candidate that holds all limits, so the best "
    "one that does was taken."
)
NOT_TOLD = (
    "search.select: simplest_of_tied needs to know which candidates are tied, and nobody could "
    "tell, so the best one was taken."
)

NOT_TRIED = (
    "search.sampler: grid ended before its end: {:,} of its {:,} points were not tried. A longer "
    "search.time_limit, or a larger search.n_trials, tries more of them."
)


def _reason(trial: FrozenTrial, best: FrozenTrial, final: FinalModel, plan: SearchPlan) -> str:
    reasons = []
    result = trial.user_attrs.get("result") or {}
    if trial.state != TrialState.COMPLETE:
        return str(trial.user_attrs.get(REASON, "failed"))
    if result.get("violated", {}):
        reasons.append("breaks " + ", ".join(result["violated"]))
    elif trial.number in {member.number for member in final.members}:
        share = next(item.weight for item in final.members if item.number == trial.number)
        reasons.append(f"{share:.0%} of the final model" if len(final.members) > 1 else "")
    else:
        reasons.append(_gap(trial, best))
        reasons.append(_tie(trial, final, plan))
    if result.get("truncated"):
        reasons.append("fit cut short by the time limit")
    if result.get("projected_loss") is not None:
        reasons.append("fit cut short by its losses")
    return "; ".join(filter(None, reasons))


def _gap(trial: FrozenTrial, best: FrozenTrial) -> str:
    if trial.number == best.number:
        return "best by itself, but not in the final model"
    gap = abs((trial.value or 0.0) - (best.value or 0.0))
    return f"{gap:.4g} worse than trial {best.number}" if gap else "equal, but later"


def _tie(trial: FrozenTrial, final: FinalModel, plan: SearchPlan) -> str:
    """Return what a candidate outside of the model has to do with those tied with the best."""
    if final.board is None:
        return ""
    if trial.number not in final.board.tied:
        is_compared = trial.number in {item.number for item in final.board.contenders}
        return "more than chance explains" if is_compared else ""
    if plan.select == "simplest_of_tied" and final.members[0].number in final.board.tied:
        return f"tied, but trial {final.members[0].number} is simpler"
    return "tied, within what chance explains"


def _about_select(final: FinalModel, plan: SearchPlan, n_admissible: int) -> tuple[str, ...]:
    """Return what is to be said where the simplest of the tied candidates was asked for."""
    if plan.select != "simplest_of_tied":
        return ()
    told = []
    if n_admissible > 1 and final.board is None:
        told.append(NOT_TOLD)
    elif final.board is not None and final.members[0].number not in final.board.tied:
        told.append(NONE_TIED)
    if plan.max_members > 1:
        told.append(NO_ENSEMBLE)
    return tuple(told)


def _about_grid(study: optuna.Study, plan: SearchPlan) -> tuple[str, ...]:
    """Return how much of a grid was left: what was never taken from the queue is no candidate."""
    if plan.sampler != "grid":
        return ()
    n_left = sum(trial.state == TrialState.WAITING for trial in study.get_trials(deepcopy=False))
    return (NOT_TRIED.format(n_left, len(plan.proposals)),) if n_left else ()


def settled_candidates(study: optuna.Study, plan: SearchPlan) -> list[Candidate]:
    """Return all trials that are over, best first, those without a result last."""
    sign = -1.0 if plan.direction == "maximize" else 1.0
    candidates = [
        candidate_of(trial) for trial in study.get_trials(deepcopy=False) if is_settled(trial)
    ]
    order = {"complete": 0, "pruned": 1, "failed": 2, "not begun": 3}
    candidates.sort(
        key=lambda item: (
            order[item.state],
            bool(item.violated),
            sign * (item.score or 0.0),
            item.number,
        )
    )
    return candidates


def require_admissible(study: optuna.Study, plan: SearchPlan, *, seconds: float) -> None:
    """Check that there is a candidate to make a model of.

    Raises:
        NoAdmissibleError: Candidates are there, and each breaks a limit.
        SearchError: No trial completed.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if is_settled(trial)]
    if ranked(trials, plan):
        return
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        raise no_admissible(settled_candidates(study, plan), limits_of(plan.constraints))
    failed = [str(trial.user_attrs.get(REASON, "unknown")) for trial in trials]
    raise SearchError(
        f"No trial of {', '.join(plan.families)} completed: {len(failed)} ran within "
        f"{seconds:.0f} s and failed, the last with: {failed[-1] if failed else 'none began'}. "
        f"{_cure(failed)}"
    )


def _cure(reasons: list[str]) -> str:
    if any(OUT_OF_MEMORY in reason for reason in reasons):
        return "Raise resources.memory, keep fewer columns or rows, or choose other families."
    return "Raise search.time_limit, or choose other families."


def _as_found(study: optuna.Study, plan: SearchPlan) -> FinalModel | None:
    """Return the best candidate as its trial left it: no time was left to make more of it."""
    if plan.constraints is not None and plan.constraints.serving_memory_mb is not None:
        # Nobody has measured it.
        return None
    best = next(iter(finalists(study, plan)), None)
    if best is None:
        return None
    asked = {"model.calibration": plan.calibration != "none", "task.cost": plan.cost is not None}
    return FinalModel(
        folder=f"{best.job.number}/{PACKAGE}",
        package_sha256=best.result.package_sha256,
        members=(
            Member(
                number=best.job.number,
                family=best.job.family,
                params=best.job.params,
                weight=1.0,
                seed=best.job.seed,
                n_iterations=best.n_iterations,
                features=best.job.features,
                refitted=False,
            ),
        ),
        score=best.result.score,
        measured=best.result.measured,
        notes=(
            "The time limit was reached before the final model was made: this is the best "
            "candidate as its trial left it.",
            *(f"There was no time for {key}." for key, is_asked in asked.items() if is_asked),
        ),
    )


def collect_candidates(study: optuna.Study, plan: SearchPlan, *, seconds: float) -> CandidateSet:
    """Order the trials of a search and name its winner.

    Args:
        seconds: Time the search used, all attempts together.

    Raises:
        NoAdmissibleError: Every candidate, or every model made of them, breaks a limit.
        SearchError: No trial completed.
    """
    require_admissible(study, plan, seconds=seconds)
    final = final_model(study) if final_is_made(study) else _as_found(study, plan)
    if final is None:
        raise no_admissible(
            settled_candidates(study, plan), limits_of(plan.constraints), refused_models(study)
        )
    settled = {
        trial.number: trial for trial in study.get_trials(deepcopy=False) if is_settled(trial)
    }
    leading = max(final.members, key=lambda item: (item.weight, -item.number))
    admissible = ranked(settled.values(), plan)
    best = settled[admissible[0].number]
    leaderboard = tuple(
        item.model_copy(update={"reason": _reason(settled[item.number], best, final, plan)})
        for item in settled_candidates(study, plan)
    )
    return CandidateSet(
        study_name=plan.study_name,
        metric=plan.metric,
        direction=plan.direction,
        seed=plan.seed,
        leaderboard=leaderboard,
        winner=leading.number,
        members=tuple(sorted(final.members, key=lambda item: (-item.weight, item.number))),
        score=final.score,
        prior_score=final.prior_score,
        selection=_selection(plan),
        left_out=plan.left_out,
        limits=limits_of(plan.constraints),
        measured=final.measured,
        seconds_per_row=final.seconds_per_row,
        calibration=final.calibration,
        threshold=final.threshold,
        notes=(
            *(plan.notes + final.notes),
            *_about_select(final, plan, len(admissible)),
            *_about_grid(study, plan),
        ),
        board=final.board,
        select=plan.select,
        artifact=f"{plan.study_name}/candidates/{final.folder}",
        artifact_sha256=final.package_sha256,
        ledger_sha256=ledger_sha256(ledger(study)),
        stopped_by=_stopped_by(study, plan, seconds=seconds),
        seconds=seconds,
        cpu_seconds=usage_of(study).get(CPU_SECONDS, 0.0),
        peak_mb=usage_of(study).get(PEAK_MB, 0.0),
    )


def _selection(plan: SearchPlan) -> str:
    return f"out of {plan.n_fits} folds" if plan.n_fits > 1 else "validation part"


def _stopped_by(
    study: optuna.Study, plan: SearchPlan, *, seconds: float
) -> Literal["n_trials", "time_limit", "exhausted"]:
    trials = study.get_trials(deepcopy=False)
    if n_taken(trials) >= (plan.n_trials or math.inf):
        return "n_trials"
    limit = plan.time_limit_seconds
    if limit is None:
        return "exhausted"
    refused = any(is_not_begun(trial) for trial in trials)
    is_at_end = is_exhausted(trials, plan) and seconds < limit and not refused
    return "exhausted" if is_at_end else "time_limit"


def sweep_packages(candidates: CandidateSet, artifacts: Path) -> None:
    """Remove the packages of all but the best few candidates, and those of dead trials."""
    kept = {str(item.number) for item in candidates.leaderboard[:N_KEPT_PACKAGES]}
    kept |= {str(item.number) for item in candidates.members}
    kept |= {Path(candidates.artifact).relative_to(f"{candidates.study_name}/candidates").parts[0]}
    for path in artifacts.iterdir():
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
