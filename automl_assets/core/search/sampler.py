"""The sampler that proposes what to try, once nothing is queued any more."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from automl_assets.core.families import Dimension, Integer, Real
from automl_assets.core.search.plan import SearchPlan

MIN_STARTUP_TRIALS = 8
"""Finished trials from which on TPE has something to learn from."""


class _FamilySampler(optuna.samplers.TPESampler):
    """TPE that proposes the parameters of one family, and not those of all the others as well.

    Optuna's own groups of parameters are read off all trials for each proposal, and all of them
    are sampled; the plan knows them, and one is enough.

    Args:
        shared: What the trials of all families have, the family among it.
        own: What those of one family have.
        only: The one family that is left to choose; None: it chooses among all.
        options: Of the sampler itself.
    """

    def __init__(
        self,
        shared: Mapping[str, BaseDistribution],
        own: Mapping[str, Mapping[str, BaseDistribution]],
        only: str | None,
        **options: Any,
    ) -> None:
        super().__init__(multivariate=True, **options)
        self._shared, self._own, self._only = dict(shared), own, only

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all that may be drawn."""
        found = dict(self._shared)
        for own in self._own.values():
            found |= own
        return found

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw what all families share first, the family among it, then what belongs to it."""
        left = {name: item for name, item in self._shared.items() if name in search_space}
        chosen: dict[str, Any] = {}
        if self._only is not None and left.pop("family", None) is not None:
            chosen = {"family": self._only}
        params = super().sample_relative(study, trial, left) | chosen
        if "family" in left and "family" not in params:  # too few trials to learn from
            return {}
        family = str(params.get("family", next(iter(self._own))))
        return params | super().sample_relative(study, trial, dict(self._own[family]))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw what there are too few trials to learn from."""
        if param_name == "family" and self._only is not None:
            return self._only
        return super().sample_independent(study, trial, param_name, param_distribution)


def make_sampler(
    plan: SearchPlan, seed: int, *, only: str | None = None
) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial; a grid is all proposals and needs none.

    Args:
        only: The family that TPE is left to choose; None: all of the plan.
    """
    if plan.sampler != "tpe":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # `multivariate` is marked experimental; a family's parameters depend on each other.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _FamilySampler(
            _choices({"family": plan.families, "features": plan.feature_sets}),
            {name: _distributions(name, plan.spaces.get(name, {})) for name in plan.families},
            only,
            n_startup_trials=max(MIN_STARTUP_TRIALS, plan.n_workers),
            # It keeps workers apart, and reads all trials once more for each proposal.
            constant_liar=plan.n_workers > 1,
            seed=seed,
        )


def _choices(choices: Mapping[str, tuple[str, ...]]) -> dict[str, BaseDistribution]:
    # TPE leaves out what has one value.
    return {
        name: CategoricalDistribution(values) for name, values in choices.items() if len(values) > 1
    }


def _distributions(family: str, space: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """Return what is drawn for a family, by the names that a trial knows."""
    found: dict[str, BaseDistribution] = {}
    for name, dimension in space.items():
        item: BaseDistribution
        if isinstance(dimension, Real):
            item = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        elif isinstance(dimension, Integer):
            item = IntDistribution(dimension.low, dimension.high, log=dimension.log)
        else:
            item = CategoricalDistribution(dimension.values)
        if not item.single():
            found[f"{family}.{name}"] = item
    return found
