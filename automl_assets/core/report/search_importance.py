"""Which hyperparameters a good score depended on."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl_assets.core.report.search_words import Direction
from automl_assets.core.values import Candidate, CandidateSet

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MIN_TRIALS = 8
"""Complete trials of a family below which nothing is said."""

TOP_SHARE = 0.25
"""Importance is how much a parameter's values in the best quarter differ from those of all
trials (PED-ANOVA, Watanabe et al., IJCAI 2023); a tenth would be one trial of ten."""

MAX_TRIALS = 1000


@dataclass(frozen=True, kw_only=True)
class ParameterImportance:
    """A hyperparameter's share of what decided over one family's scores.

    Attributes:
        share: Those of one family add up to 1.
        n_trials: Complete trials it was computed from.
    """

    family: str
    parameter: str
    share: float
    n_trials: int


def parameter_importance(candidates: CandidateSet) -> tuple[ParameterImportance, ...]:
    """Return the importance of each hyperparameter that varied, by family, largest first.

    It is computed from what the trials ran with, so that it needs no database and
    includes proposals that no sampler drew. Families with fewer than `MIN_TRIALS`
    complete trials are left out.
    """
    known: dict[str, list[Candidate]] = {}
    for item in candidates.leaderboard:
        if item.state == "complete" and item.score is not None and math.isfinite(item.score):
            known.setdefault(item.family, []).append(item)
    return tuple(
        importance
        for family, items in sorted(known.items())
        if len(items) >= MIN_TRIALS
        for importance in _of_family(family, items[:MAX_TRIALS], candidates.direction)
    )


def _of_family(
    family: str, items: list[Candidate], direction: Direction
) -> tuple[ParameterImportance, ...]:
    distributions = _distributions(items)
    scores = {item.score for item in items}
    if not distributions or len(scores) == 1:
        return ()
    import optuna

    # Of 2026-11, Optuna writes a line to stderr for each study that is made.
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    study = optuna.create_study(direction=direction)
    study.add_trials(
        optuna.create_trial(
            params={
                name: _spelled(item.params[name], distributions[name]) for name in distributions
            },
            distributions=distributions,
            value=item.score,
        )
        for item in items
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP_SHARE)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        ParameterImportance(family=family, parameter=name, share=share, n_trials=len(items))
        for name, share in ordered
        if math.isfinite(share)
    )


def _distributions(items: list[Candidate]) -> "dict[str, BaseDistribution]":
    """Return the range of each hyperparameter that all trials have and that varied."""
    shared = set.intersection(*(set(item.params) for item in items))
    ranges = {name: _distribution([item.params[name] for item in items]) for name in sorted(shared)}
    return {name: found for name, found in ranges.items() if found is not None}


def _distribution(values: list[Any]) -> "BaseDistribution | None":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if len(set(values)) == 1:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = min(values), max(values)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # What spans a factor of ten was most likely searched by its logarithm.
    log = low > 0 and high / low >= 10
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _spelled(value: Any, distribution: "BaseDistribution") -> Any:
    from optuna.distributions import CategoricalDistribution

    return str(value) if isinstance(distribution, CategoricalDistribution) else value
