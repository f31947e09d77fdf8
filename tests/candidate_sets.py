"""What a search may have found, made up: every kind of trial, an ensemble, broken limits."""

import math
import random

from automl_assets.core.values import Candidate, CandidateSet, LeftOut, Member

FAMILIES = ("catboost", "lightgbm", "hist_gradient_boosting", "linear")
LIMITS = {"p99_latency_ms": 15.0, "model_size_mb": 5.0, "beat_baseline_by": 0.02}


def candidate(number: int, *, seed: int = 0, metric: str = "roc_auc") -> Candidate:
    """Return a finished trial; every ninth failed, every eleventh was pruned, every fifth breaks a
    limit."""
    rng = random.Random(f"{seed}/{number}")
    family = FAMILIES[number % len(FAMILIES)]
    rate = 10 ** rng.uniform(-2, -0.5)
    depth = rng.randint(3, 9)
    score = 0.93 - 0.02 * abs(math.log10(rate) + 1.2) - 0.002 * abs(depth - 6) - 0.02 * rng.random()
    params = {"learning_rate": rate, "depth": depth, "bagging": rng.choice([True, False, None])}
    common = {
        "number": number,
        "family": family,
        "params": params,
        "seed": number * 17,
        "origin": "baseline" if number < 2 else "portfolio" if number < 8 else "tpe",
        "cpu_seconds": 1 + 8 * rng.random(),
        "seconds": 2 + 8 * rng.random(),
        "peak_mb": 180 + 40 * rng.random(),
        "io_mb": rng.random(),
    }
    if number % 9 == 8:
        return Candidate(**common, state="failed", score=None, reason="MemoryError: 2,048 MB")
    if number % 11 == 10:
        return Candidate(**common, state="pruned", score=None, reason="worse than half at step 50")
    violated = {"p99_latency_ms": 0.146} if number % 5 == 4 else {}
    curve = tuple(
        (step, 0.9 - score / 2 + 0.4 * math.exp(-step * rate / 9) + step * rate / 2000)
        for step in range(1, 400, 9)
    )
    return Candidate(
        **common,
        state="complete",
        score=score if metric == "roc_auc" else 1 - score,
        train_score=score + 0.03 if metric == "roc_auc" else 0.97 - score,
        n_iterations=None if family == "linear" else 50 + number,
        model_bytes=80_000 + 55_000 * number,
        measured={
            "p99_latency_ms": 17.2 if violated else 2.1,
            "model_size_mb": 0.08 + 0.055 * number,
            "beat_baseline_by": 0.3,
        },
        violated=violated,
        curve=() if family == "linear" else curve,
    )


def candidate_set(
    n_trials: int = 40, *, metric: str = "roc_auc", single: bool = False, seed: int = 0
) -> CandidateSet:
    """Return what a search of so many trials found."""
    trials = [candidate(number, seed=seed, metric=metric) for number in range(n_trials)]
    sign = -1 if metric == "roc_auc" else 1
    trials.sort(key=lambda item: (not item.is_admissible, sign * (item.score or 0), item.number))
    winners = [item for item in trials if item.is_admissible]
    best = winners[0]
    trials = [
        item.model_copy(update={"reason": f"{abs(item.score - best.score):.4g} worse"})
        if item.state == "complete" and item is not best
        else item
        for item in trials
    ]
    shares = (1.0,) if single else (0.6, 0.25, 0.15)
    members = tuple(
        Member(
            number=item.number,
            family=item.family,
            params=item.params,
            weight=weight,
            seed=item.seed,
            n_iterations=item.n_iterations,
            refitted=not index,
        )
        for index, (item, weight) in enumerate(zip(winners, shares, strict=False))
    )
    return CandidateSet(
        study_name="churn-4c1f2a90-aa",
        metric=metric,
        direction="maximize" if metric == "roc_auc" else "minimize",
        seed=7,
        leaderboard=tuple(trials),
        winner=best.number,
        members=members,
        score=best.score,
        selection="out of 5 folds",
        left_out=(LeftOut(family="knn", reason="It cannot honour model.monotonic."),),
        limits=LIMITS,
        measured={"p99_latency_ms": 4.5, "model_size_mb": 1.9, "beat_baseline_by": 0.31},
        calibration="isotonic" if metric == "roc_auc" else "none",
        threshold=0.31 if metric == "roc_auc" else None,
        artifact="churn-4c1f2a90-aa/final",
        artifact_sha256="11" * 32,
        ledger_sha256="22" * 32,
        stopped_by="time_limit",
        seconds=61.5,
        cpu_seconds=118.2,
        peak_mb=912.0,
    )
