"""What a search found, in words and small tables; the terminal, Dagit and the report share them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from automl_assets.core.evaluation.wording import shown
from automl_assets.core.values import Candidate, CandidateSet, Member

Direction = Literal["maximize", "minimize"]

LOWER_LIMITS = frozenset({"beat_baseline_by"})
"""Constraints that are a smallest value; all others are a largest one."""


def gap(candidate: Candidate, direction: Direction) -> float | None:
    """Return how much better a candidate is on rows it was fitted on; None where not known.

    Large and positive means that it learned its rows by heart.
    """
    if candidate.train_score is None or candidate.score is None:
        return None
    distance = candidate.train_score - candidate.score
    return distance if direction == "maximize" else -distance


def size_text(n_bytes: int | None) -> str:
    """Return a size as people read it.

    Examples:
        >>> [size_text(n) for n in (None, 812_000, 1_820_000)]
        ['', '812 kB', '1.82 MB']
    """
    if n_bytes is None:
        return ""
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.2f} MB"


def limit_text(name: str, value: float | None, limit: float) -> str:
    """Return a measured value beside its limit.

    Examples:
        >>> limit_text("p99_latency_ms", 17.2, 15.0)
        'p99_latency_ms 17.2, at most 15'
    """
    measured = "not measured" if value is None else shown(value)
    return f"{name} {measured}, {'at least' if name in LOWER_LIMITS else 'at most'} {shown(limit)}"


def why_not(candidate: Candidate, limits: Mapping[str, float]) -> str:
    """Return why a candidate is not in the model: its recorded reason, and each limit it breaks."""
    told = [candidate.reason] if candidate.reason else []
    for name in sorted(candidate.violated):
        if name in candidate.reason:
            continue
        value, limit = candidate.measured.get(name), limits.get(name)
        told.append(name if limit is None else limit_text(name, value, limit))
    if not told and candidate.state != "complete":
        told.append("no reason recorded")
    return "; ".join(told)


def member_text(member: Member) -> str:
    """Return a member of the model with its weight."""
    features = "" if member.features == "all" else f", features {member.features}"
    return f"{member.family} (trial {member.number}{features}) {member.weight:.2f}"


@dataclass(frozen=True, kw_only=True)
class FamilyAccount:
    """What one family took and gave."""

    family: str
    n_trials: int
    n_failed: int
    n_inadmissible: int
    best: float | None
    cpu_seconds: float


def family_accounts(
    candidates: Iterable[Candidate], direction: Direction
) -> tuple[FamilyAccount, ...]:
    """Return what each family took and gave, the most CPU time first."""
    known: dict[str, list[Candidate]] = {}
    for item in candidates:
        known.setdefault(item.family, []).append(item)
    better = max if direction == "maximize" else min
    accounts = [
        FamilyAccount(
            family=family,
            n_trials=len(items),
            n_failed=sum(item.state == "failed" for item in items),
            n_inadmissible=sum(bool(item.violated) for item in items),
            best=better(
                (i.score for i in items if i.is_admissible and i.score is not None), default=None
            ),
            cpu_seconds=sum(item.cpu_seconds or 0.0 for item in items),
        )
        for family, items in known.items()
    ]
    return tuple(sorted(accounts, key=lambda account: (-account.cpu_seconds, account.family)))


def model_parts(candidates: CandidateSet) -> tuple[Member, ...]:
    """Return the members of the model; a search without any has its winner alone."""
    if candidates.members:
        return candidates.members
    best = candidates.best
    return (
        Member(
            number=best.number,
            family=best.family,
            params=best.params,
            weight=1.0,
            seed=best.seed,
            n_iterations=best.n_iterations,
            features=best.features,
            refitted=False,
        ),
    )


def final_model(candidates: CandidateSet) -> str:
    """Return the whole model in one sentence: members, refit, calibration, threshold."""
    members = model_parts(candidates)
    what = f"{candidates.best.family}, trial {candidates.winner}"
    if len(members) > 1:
        listed = ", ".join(member_text(member) for member in members)
        what = f"ensemble of {len(members)}: {listed}"
    parts = [what, refit_text(members)]
    if candidates.calibration != "none":
        parts.append(f"calibration {candidates.calibration}")
    if candidates.threshold is not None:
        parts.append(f"says yes from probability {shown(candidates.threshold)}")
    return "; ".join(parts)


def refit_text(members: Iterable[Member]) -> str:
    """Return which members saw all rows of the search."""
    refitted = [member.refitted for member in members]
    if all(refitted):
        return "fitted again on all rows of the search"
    if not any(refitted):
        return "not fitted again"
    return f"{sum(refitted)} of {len(refitted)} fitted again on all rows of the search"


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """One measured constraint, and what it did."""

    name: str
    bound: Literal["at most", "at least"]
    limit: float
    measured: float | None
    n_removed: int


def limit_rows(candidates: CandidateSet) -> tuple[LimitRow, ...]:
    """Return each measured constraint with what the model has and how many trials broke it."""
    return tuple(
        LimitRow(
            name=name,
            bound="at least" if name in LOWER_LIMITS else "at most",
            limit=limit,
            measured=candidates.measured.get(name),
            n_removed=sum(name in item.violated for item in candidates.leaderboard),
        )
        for name, limit in sorted(candidates.limits.items())
    )
