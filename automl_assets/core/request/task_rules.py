"""What must hold for a kind of learning problem; tried again once `auto` is known."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_assets.core.request.text import Loc, did_you_mean, shown

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest


def broken_task_rules(request: "TrainingRequest", task_type: str) -> Iterator[tuple[Loc, str]]:
    """Yield every rule that a request breaks if its task is of this type.

    Args:
        task_type: `auto` where it is not known yet; then only what holds for all
            types is told.
    """
    for rule in (_metrics, _decisions, _directions):
        yield from rule(request, task_type)


def _metrics(request: "TrainingRequest", task_type: str) -> Iterator[tuple[Loc, str]]:
    asked = list(_asked_metrics(request))
    if not asked:
        return
    # Imported here: most requests name no metric, and then nothing needs loading.
    from automl_assets.core.metrics import load_metrics

    metrics = load_metrics()
    fitting = [m.name for m in metrics.values() if task_type in ("auto", *m.task_types)]
    for loc, name in asked:
        if name not in metrics:
            yield (
                loc,
                f"{shown(name)} is not one of {', '.join(fitting)}" + did_you_mean(name, fitting),
            )
        elif name not in fitting:
            belongs = " and ".join(sorted(metrics[name].task_types))
            yield (
                loc if loc[0] != "task" else ("task",),
                f"metric {name!r} is not a {task_type} metric (it belongs to {belongs}). "
                f"Choose from: {', '.join(fitting)}",
            )


def _asked_metrics(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    if request.task.metric is not None:
        yield ("task", "metric"), request.task.metric
    for index, name in enumerate(request.task.report):
        yield ("task", "report", index), name
    constraints = request.constraints
    if constraints is not None and constraints.slice_gap is not None:
        yield ("constraints", "slice_gap", "metric"), constraints.slice_gap.metric
    if constraints is not None and constraints.beat_baseline_by is not None:
        yield ("constraints", "beat_baseline_by", "metric"), constraints.beat_baseline_by.metric


def _decisions(request: "TrainingRequest", task_type: str) -> Iterator[tuple[Loc, str]]:
    cost = request.task.cost
    if cost is not None and task_type not in ("auto", "binary"):
        yield (
            ("task", "cost"),
            f"costs pick the threshold of a binary task, but the task is {task_type}; "
            "remove the key",
        )
    if cost is not None and cost.false_positive == cost.false_negative == 0:
        yield (
            ("task", "cost"),
            "one of 'false_positive' and 'false_negative' must cost something; found 0 and 0; "
            "write what a wrong decision costs, or remove the key",
        )
    if request.model.calibration != "none" and task_type == "regression":
        yield (
            ("model", "calibration"),
            f"{request.model.calibration!r} tunes probabilities, and a regression has none; "
            "write none or remove the key",
        )


def _directions(request: "TrainingRequest", task_type: str) -> Iterator[tuple[Loc, str]]:
    if request.model.monotonic and task_type == "multiclass":
        yield (
            ("model", "monotonic"),
            "an effect has one direction on a value or on one probability, but a multiclass "
            "task has a probability of each class; remove the key",
        )
