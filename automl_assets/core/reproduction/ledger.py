"""A whole search again: every trial of the ledger that left a result, in their order."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.intervals import estimate
from automl_assets.core.metrics import load_metrics
from automl_assets.core.reproduction.compare import number_level
from automl_assets.core.reproduction.result import Level, TrialComparison
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import (
    Entry,
    ReplayedTrial,
    is_replayable,
    replay_trial,
)
from automl_assets.core.search.selection import SelectionData, load_selection


def replayable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trials that can be run again: complete ones, and those that were pruned."""
    return [entry for entry in entries if is_replayable(entry)]


def expected_seconds(entries: list[dict[str, Any]]) -> float:
    """Return what replaying all trials one after the other is expected to take."""
    return sum(float(entry["result"].get("seconds", 0.0)) for entry in replayable(entries))


def replay_ledger(
    plan: SearchPlan, entries: list[dict[str, Any]], tell: Callable[[int, int], None]
) -> tuple[TrialComparison, ...]:
    """Run all trials again; one is in memory at a time.

    Args:
        plan: Its matrix and its feature sets must be there.
        tell: Told after each trial how many are done, and of how many.

    Returns:
        Every trial with its level, in their order.
    """
    chosen = replayable(entries)
    data, _ = load_selection(plan)
    compared = []
    for number, entry in enumerate(chosen, start=1):
        again = replay_trial(plan, entry, data)
        compared.append(
            TrialComparison(
                number=int(entry["number"]),
                family=str(entry["job"]["family"]),
                level=_level(plan, entry, again, data),
                recorded=float(entry["result"]["score"]),
                found=again.score,
            )
        )
        tell(number, len(chosen))
    return tuple(compared)


def _level(plan: SearchPlan, entry: Entry, again: ReplayedTrial, data: SelectionData) -> Level:
    recorded = (float(entry["result"]["score"]), *entry["result"]["fold_scores"])
    found = (again.score, *again.fold_scores)
    if len(found) != len(recorded):
        return "failed"
    levels = {
        number_level(now, then, low=math.nan, high=math.nan)
        for now, then in zip(found, recorded, strict=True)
    }
    if "failed" not in levels:
        return "identical" if levels == {"identical"} else "equal within 1e-9"
    low, high = _interval(plan, again, data)
    # A ledger has no predictions to pair with: the score may lie where chance alone could put it.
    return "statistically equal" if low <= recorded[0] <= high else "failed"


def _interval(plan: SearchPlan, again: ReplayedTrial, data: SelectionData) -> tuple[float, float]:
    """Return where the score could lie by the choice of the selection rows alone."""
    of_row = again.prediction.reshape(len(again.prediction), -1)
    is_predicted = np.isfinite(of_row).all(axis=1)
    try:
        found = estimate(
            load_metrics()[plan.metric],
            data.y[is_predicted],
            again.prediction[is_predicted],
            seed=plan.seed,
        )
    except ContractError:
        return again.score, again.score
    # Of a pruned trial the score is the mean of its folds, and not that of all rows.
    shift = again.score - found.value
    return found.low + shift, found.high + shift
