"""What people see of a search in Dagit: when it is over, and while it runs."""

import base64
import time
from collections.abc import Callable, Sequence

import dagster as dg

from automl_assets.core.families import Params
from automl_assets.core.metrics import load_metrics
from automl_assets.core.ports import Progress
from automl_assets.core.report.search_importance import parameter_importance
from automl_assets.core.report.search_pictures import picture_png, search_pictures
from automl_assets.core.report.search_words import (
    Direction,
    family_accounts,
    final_model,
    gap,
    limit_rows,
    model_parts,
    size_text,
    why_not,
)
from automl_assets.core.search.plan import SearchStatus
from automl_assets.core.values import Candidate, CandidateSet
from automl_assets.dagit import Metadata, table

N_CANDIDATES_SHOWN = 50
N_REASONS_SHOWN = 500
N_PARAMETERS_SHOWN = 20
N_STEPS_SHOWN = 200


def candidates_metadata(candidates: CandidateSet) -> Metadata:
    """The model, how the search went, what it cost, and why each trial is not in the model."""
    leaders, score = candidates.leaderboard, candidates.score
    score = candidates.best.score if score is None else score
    return {
        "model": final_model(candidates),
        "score": f"{candidates.metric} {_number(score)}, {candidates.selection}",
        **(
            {}
            if candidates.prior_score is None
            else {"no_model": f"{candidates.metric} {_number(candidates.prior_score)}"}
        ),
        **({"notes": " ".join(candidates.notes)} if candidates.notes else {}),
        "trials": len(leaders),
        "failed": sum(item.state == "failed" for item in leaders),
        "not_begun": sum(item.state == "not begun" for item in leaders),
        "pruned": sum(item.state == "pruned" for item in leaders),
        "inadmissible": sum(bool(item.violated) for item in leaders),
        "stopped_by": candidates.stopped_by,
        "seconds": round(candidates.seconds, 1),
        "cpu_seconds": round(candidates.cpu_seconds, 1),
        "peak_mb": round(candidates.peak_mb),
        "study": candidates.study_name,
        "ledger_sha256": candidates.ledger_sha256,
        **_pictures(candidates),
        **_tables(candidates),
    }


def _pictures(candidates: CandidateSet) -> Metadata:
    return {
        picture.name: dg.MetadataValue.md(
            f"![{picture.title}](data:image/png;base64,"
            f"{base64.b64encode(picture_png(picture)).decode()})\n\n{picture.caption}"
        )
        for picture in search_pictures(candidates)
    }


def _tables(candidates: CandidateSet) -> Metadata:
    direction, leaders = candidates.direction, candidates.leaderboard
    in_model = {member.number: member.weight for member in model_parts(candidates)}
    rows = {
        "members": _member_rows(candidates),
        "limits": [
            {
                "limit": row.name,
                "asked": f"{row.bound} {_number(row.limit)}",
                "measured": _number(row.measured),
                "trials that break it": row.n_removed,
            }
            for row in limit_rows(candidates)
        ],
        "leaderboard": [
            {
                **_leader_row(item, candidates.metric, direction),
                "weight": f"{in_model[item.number]:.2f}" if item.number in in_model else "",
                "peak_mb": _number(item.peak_mb),
                "params": _params_text(item.params),
            }
            for item in leaders[:N_CANDIDATES_SHOWN]
        ],
        "why_not": [
            {
                "trial": item.number,
                "family": item.family,
                "state": item.state,
                "why not": why_not(item, candidates.limits),
            }
            for item in leaders[:N_REASONS_SHOWN]
            if item.number not in in_model
        ],
        "time_by_family": [
            {
                "family": account.family,
                "trials": account.n_trials,
                "failed": account.n_failed,
                "inadmissible": account.n_inadmissible,
                "cpu_seconds": f"{account.cpu_seconds:.1f}",
                candidates.metric: _number(account.best),
            }
            for account in family_accounts(leaders, direction)
        ],
        "parameter_importance": [
            {
                "family": item.family,
                "parameter": item.parameter,
                "share": f"{item.share:.0%}",
                "from trials": item.n_trials,
            }
            for item in parameter_importance(candidates)[:N_PARAMETERS_SHOWN]
        ],
        "left_out": [
            {"family": item.family, "why not": item.reason} for item in candidates.left_out
        ],
    }
    return {name: table(found) for name, found in rows.items() if found}


def _member_rows(candidates: CandidateSet) -> list[dict[str, str | int]]:
    return [
        {
            "trial": member.number,
            "family": member.family,
            "weight": f"{member.weight:.3f}",
            "steps": _number(member.n_iterations),
            "features": member.features,
            "fitted again": "yes" if member.refitted else "no",
        }
        for member in model_parts(candidates)
    ]


def _leader_row(item: Candidate, metric: str, direction: Direction | None) -> dict[str, str | int]:
    return {
        "trial": item.number,
        "family": item.family,
        metric: _number(item.score),
        "gap": _number(gap(item, direction)) if direction else "",
        "cpu_seconds": f"{item.cpu_seconds or 0:.1f}",
        "size": size_text(item.model_bytes),
        "by": item.origin,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _params_text(params: Params) -> str:
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in params.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def status_metadata(status: SearchStatus, steps: Sequence[tuple[float, int, float]]) -> Metadata:
    """How a search goes: where it stands, its leaders, and how the best score came about.

    Args:
        steps: Seconds, finished trials and best score, each time the best changed.
    """
    metric = load_metrics().get(status.metric)
    rows = {
        "leaderboard": [
            _leader_row(item, status.metric or "score", metric and metric.direction)
            for item in status.leaders
        ],
        "best_so_far": [
            {"seconds": round(seconds), "trials": n_trials, "best": _number(best)}
            for seconds, n_trials, best in steps[-N_STEPS_SHOWN:]
        ],
        "time_by_family": [
            {"family": family, "cpu_seconds": f"{seconds:.1f}"}
            for family, seconds in status.seconds_by_family
        ],
    }
    best = {"best": f"{_number(status.best_score)}, {status.best_family}"}
    left = {"seconds_left": status.seconds_left or 0.0}
    return {
        "stage": status.stage,
        **({} if status.best_score is None else best),
        "trials": status.n_finished,
        **({} if status.n_trials is None else {"trials_asked": status.n_trials}),
        "failed": status.n_failed,
        "inadmissible": status.n_inadmissible,
        "running": ", ".join(status.running),
        "seconds": round(status.seconds, 1),
        **({} if status.seconds_left is None else left),
        "memory_mb": round(status.memory_mb),
        **{name: table(found) for name, found in rows.items() if found},
    }


class DagitProgress(Progress):
    """Refreshes the metadata of the asset `candidate_models` while its search runs.

    Each refresh is one observation in the event log: one when the best score or
    the stage changes, at most every `SOON` seconds, and else one every `LATER`
    seconds if a trial has ended. Everything is told to another progress as well.
    """

    SOON = 3.0
    LATER = 15.0

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        progress: Progress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._progress = progress
        self._clock = clock
        self._told: SearchStatus | None = None
        self._told_at = 0.0
        self._steps: list[tuple[float, int, float]] = []

    def stage(self, name: str, text: str) -> None:
        """Pass it on."""
        self._progress.stage(name, text)

    def search(self, status: SearchStatus) -> None:
        """Pass it on, and refresh the metadata if it is time."""
        self._progress.search(status)
        best = status.best_score
        if best is not None and (not self._steps or self._steps[-1][2] != best):
            self._steps.append((status.seconds, status.n_finished, best))
        if self._is_due(status):
            self._told, self._told_at = status, self._clock()
            self._context.log_event(
                dg.AssetObservation(
                    asset_key=self._context.asset_key,
                    partition=self._context.partition_key,
                    metadata=status_metadata(status, self._steps),
                )
            )

    def _is_due(self, status: SearchStatus) -> bool:
        told = self._told
        if told is None:
            return status.n_finished > 0
        waited = self._clock() - self._told_at
        changed = (told.best_score, told.stage) != (status.best_score, status.stage)
        moved = told.n_finished != status.n_finished
        return (changed and waited >= self.SOON) or (moved and waited >= self.LATER)
