"""Hyperparameters that were good on other data: what a search tries before it has learned anything.

In a minute of one core only a handful of trials fit, so what is tried first decides
most of the result (Feurer et al. 2022, "Auto-Sklearn 2.0: Hands-free AutoML via
Meta-Learning"; Salinas and Erickson 2024, "TabRepo"). `benchmarks/portfolio` learns
the list and writes the file beside this module.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import Field

from automl_assets.core.families import DataShape, Dimension, Params
from automl_assets.core.search.plan import Proposal
from automl_assets.core.values import TaskType, Value

ORIGIN = "portfolio"
_FILE = "portfolio.json"


class PortfolioEntry(Value):
    """One family with hyperparameters, and where it is worth its time."""

    family: str
    params: Params
    task_types: tuple[TaskType, ...] = Field(default=(), description="Where it applies; all.")
    min_rows: int = Field(default=0, description="Fewest rows of a fit that it is for.")
    cost: float = Field(
        default=1.0, description="Median of its CPU seconds over those of plain LightGBM."
    )
    fallback: bool = Field(
        default=False, description="Tried only where no entry that is no fallback may be."
    )


class Portfolio(Value):
    """Entries in the order in which they are tried, and how the order was found."""

    entries: tuple[PortfolioEntry, ...]
    provenance: dict[str, str | int | float | list[str] | dict[str, str]] = Field(
        default={}, description="Versions, digests, seeds and data that it was learned from."
    )


@cache
def load_portfolio() -> Portfolio:
    """Return the portfolio that is shipped with the platform."""
    return Portfolio.model_validate_json(Path(__file__).with_name(_FILE).read_bytes())


def fit_into(params: Params, space: Mapping[str, Dimension], fixed: Params) -> Params | None:
    """Return the nearest hyperparameters that a space holds, or None where there are none.

    Numbers move to the nearest bound. A choice that the space does not offer has no
    neighbour. What the space neither searches nor fixes is left to the family.

    Args:
        params: By bare name.
        space: The dimensions that are searched.
        fixed: Values that were set; they win.

    Examples:
        >>> from automl_assets.core.families import Real
        >>> fit_into({"rate": 0.3, "depth": 4}, {"rate": Real(low=0.01, high=0.2)}, {"depth": 6})
        {'rate': 0.2, 'depth': 6}
    """
    fitted: Params = {}
    for name, dimension in space.items():
        if name in fixed or name not in params:
            continue
        value = params[name]
        if dimension.kind == "choice":
            if value not in dimension.values:
                return None
        elif isinstance(value, bool) or not isinstance(value, int | float):
            return None
        else:
            value = min(max(value, dimension.low), dimension.high)
            value = round(value) if dimension.kind == "integer" else float(value)
        fitted[name] = value
    return fitted | fixed


def proposals(
    task_type: TaskType,
    shape: DataShape,
    families: Sequence[str],
    spaces: Mapping[str, Mapping[str, Dimension]],
    fixed: Mapping[str, Params],
    *,
    portfolio: Portfolio | None = None,
) -> tuple[Proposal, ...]:
    """Return what a search tries first, in order, without repetition.

    Args:
        task_type: Kind of learning problem.
        shape: What a fit sees.
        families: The families that are searched.
        spaces: For each family its dimensions by bare name, as compiled.
        fixed: For each family, hyperparameters with a fixed value.
        portfolio: The shipped one by default.
    """
    entries = (portfolio or load_portfolio()).entries
    for fallback in (False, True):
        found: dict[tuple[str, str], Proposal] = {}
        for entry in entries:
            if entry.fallback != fallback or not _applies(entry, task_type, shape, families):
                continue
            space = spaces.get(entry.family, {})
            params = fit_into(entry.params, space, fixed.get(entry.family, {}))
            if params is None:
                continue
            proposal = Proposal(family=entry.family, params=params, origin=ORIGIN)
            found.setdefault((entry.family, repr(sorted(params.items()))), proposal)
        if found:
            break
    return tuple(found.values())


def _applies(
    entry: PortfolioEntry, task_type: TaskType, shape: DataShape, families: Sequence[str]
) -> bool:
    return (
        entry.family in families
        and shape.n_rows >= entry.min_rows
        and (not entry.task_types or task_type in entry.task_types)
    )
