"""Which model families a request leaves, and why not the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl_assets.core.families import Limit, ModelFamily
    from automl_assets.core.request.sections import Model


@dataclass(frozen=True, kw_only=True)
class ChosenFamilies:
    """What can be tried.

    Attributes:
        names: Families that can do what is asked: in the order in which the
            request names them, or sorted.
        left_out: Families that cannot, each with the reason.
    """

    names: tuple[str, ...]
    left_out: dict[str, str]

    @property
    def reasons(self) -> str:
        """All reasons, as one piece of a sentence."""
        return "; ".join(f"{name} {reason}" for name, reason in self.left_out.items())


def choose_families(model: "Model", task_type: str) -> ChosenFamilies:
    """Return the families that learn the task and obey every limit of the model's shape.

    Without `model.families` those that are tried by default come first; the
    others, only if none of them is left. If models must be readable, the
    readable ones are tried, by default or not.

    Args:
        task_type: `auto` where it is not known yet; every family learns it.
    """
    from automl_assets.core.families import load_families

    known = load_families()
    if model.families is not None:
        pools = [[name for name in model.families if name in known]]
    else:
        first = [
            name
            for name, family in known.items()
            if family.by_default or (model.interpretable_only and family.interpretable)
        ]
        pools = [first, [name for name in known if name not in first]]
    left_out: dict[str, str] = {}
    for pool in pools:
        reasons = {name: _why_not(known[name], model, task_type) for name in pool}
        left_out |= {name: reason for name, reason in reasons.items() if reason}
        names = tuple(name for name, reason in reasons.items() if not reason)
        if names:
            return ChosenFamilies(names=names, left_out=left_out)
    return ChosenFamilies(names=(), left_out=left_out)


def asked_limits(model: "Model") -> frozenset["Limit"]:
    """Return the limits of a model's shape that a request sets."""
    limits: tuple[Limit, ...] = (
        "monotonic",
        "interactions",
        "max_depth",
        "max_leaves",
        "max_trees",
    )
    return frozenset(name for name in limits if getattr(model, name) not in ({}, (), None))


def _why_not(family: "ModelFamily", model: "Model", task_type: str) -> str:
    """Return why a family cannot be used, as the end of a sentence that begins with its name."""
    if task_type not in ("auto", *family.task_types):
        return f"does not learn {task_type} tasks"
    if model.interpretable_only and not family.interpretable:
        return "makes models that a person cannot read (model.interpretable_only)"
    broken = asked_limits(model) - family.honours
    return f"cannot honour {_listed(f'model.{name}' for name in broken)}" if broken else ""


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))
