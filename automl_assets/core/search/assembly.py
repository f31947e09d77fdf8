"""A model of several fits: put together, calibrated, written as one package."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from automl_assets.core.calibration import (
    Calibration,
    fit_calibration,
    possible_calibration,
)
from automl_assets.core.composite import CompositeMember, CompositeModel
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import FittedModel
from automl_assets.core.matrix import read_part
from automl_assets.core.package import write_package
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.trial import Job
from automl_assets.core.threshold import choose_threshold
from automl_assets.core.values import Member


@dataclass(frozen=True, kw_only=True)
class Part:
    """A candidate's share, with the fits that stand for it.

    Attributes:
        models: Their mean stands for the candidate: fits on all rows in the order of
            `seeds`, and the model as found, if it is among them, last.
        refitted: Whether there are fits on all rows.
        n_iterations: Of each fit on all rows, or else of the model as found.
        seeds: Of the fits on all rows.
        seconds: What one of these took.
    """

    job: Job
    weight: float
    models: tuple[FittedModel, ...]
    refitted: bool
    n_iterations: int | None
    seeds: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def member(self) -> Member:
        """What is noted of it."""
        return Member(
            number=self.job.number,
            family=self.job.family,
            params=self.job.params,
            weight=self.weight,
            seed=self.job.seed,
            n_iterations=self.n_iterations,
            features=self.job.features,
            refitted=self.refitted,
            with_found=len(self.models) > max(1, len(self.seeds)),
            more_seeds=self.seeds[1:],
        )


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What is between a model's probabilities and what is decided by them.

    Attributes:
        threshold: Probability from which a binary model says yes; None: one half.
        notes: What was asked for and could not be done.
    """

    calibration: Calibration | None = None
    threshold: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of calibration, or `none`."""
        return "none" if self.calibration is None else self.calibration.kind


def in_order(parts: list[Part]) -> list[Part]:
    """Return the parts with the largest weight first, equal ones by number.

    The order is noted with the model, since a sum of floats depends on it.
    """
    return sorted(parts, key=lambda part: (-part.weight, part.job.number))


def together(parts: list[Part]) -> FittedModel:
    """Return one model of all parts, in their order."""
    if len(parts) == 1 and len(parts[0].models) == 1:
        return parts[0].models[0]
    members = []
    for part in parts:
        for model in part.models:
            members += _flat(part.job.family, model, part.weight / len(part.models))
    return CompositeModel(members)


def _flat(family: str, model: FittedModel, weight: float) -> list[CompositeMember]:
    if isinstance(model, CompositeModel):
        return [replace(item, weight=weight * item.weight) for item in model.members]
    return [CompositeMember(family, model, weight)]


def learn_decisions(
    model: FittedModel,
    plan: SearchPlan,
    preprocessing: Preprocessing,
    *,
    calibration: Literal["isotonic", "sigmoid", "temperature", "none"],
    by_cost: bool,
) -> Decisions:
    """Learn calibration and threshold on the calibration part, which no fit has seen.

    Args:
        calibration: The kind that is wanted.
        by_cost: Whether the plan's costs choose a threshold.
    """
    if plan.task_type == "regression" or (calibration == "none" and not by_cost):
        return Decisions()
    part = read_part(Path(plan.matrix), "calibration", preprocessing)
    prediction = model.predict(part.X)
    learned: Calibration | None = None
    notes: tuple[str, ...] = ()
    if calibration != "none":
        kind, reason = possible_calibration(calibration, part.y, plan.n_classes)
        notes = (reason,) if reason else ()
        if kind is not None:
            learned = fit_calibration(kind, part.y, prediction)
            prediction = learned.apply(prediction)
    threshold = None
    if by_cost and plan.cost is not None and len(np.unique(part.y)) < plan.n_classes:
        notes = (
            *notes,
            "No threshold was chosen by task.cost: the calibration part holds rows of one class "
            "only. Make split.calibration larger.",
        )
    elif by_cost and plan.cost is not None:
        threshold = choose_threshold(part.y, np.asarray(prediction)[:, -1], plan.cost)
    return Decisions(calibration=learned, threshold=threshold, notes=notes)


def write_parts(
    folder: Path,
    parts: list[Part],
    model: FittedModel,
    plan: SearchPlan,
    preprocessing: Preprocessing,
    decisions: Decisions,
) -> str:
    """Write the model of some parts as a package; returns its digest."""
    first = parts[0].job
    return write_package(
        folder,
        model,
        preprocessing,
        family=first.family if len(parts) == 1 else "ensemble",
        params=first.params if len(parts) == 1 else {},
        task_type=plan.task_type,
        classes=plan.classes,
        target=plan.target,
        calibration=decisions.calibration,
        threshold=decisions.threshold,
    )
