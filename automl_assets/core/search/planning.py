"""From a request and its split to the plan of its search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.errors import RequestError, SearchError
from automl_assets.core.families import DataShape, Structure, load_families
from automl_assets.core.feature_sets import make_feature_sets, write_feature_sets
from automl_assets.core.matrix import read_part, read_preprocessing
from automl_assets.core.metrics import DEFAULT_METRIC, load_metrics
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.sections import Preprocessing as PreprocessingAsked
from automl_assets.core.search.limits import measure_predictions
from automl_assets.core.search.measuring import slice_codes
from automl_assets.core.search.memory_plan import (
    Spared,
    about_workers,
    spare_memory,
    workers_within,
)
from automl_assets.core.search.plan import Clock, SearchPlan
from automl_assets.core.search.proposing import PLAIN, make_proposals
from automl_assets.core.search.selection import choose_fits, load_selection, prior_prediction
from automl_assets.core.search.space import CompiledSpace, compile_space
from automl_assets.core.values import Candidate, Split, TableProfile, TaskType

DEFAULT_WORKERS = 4
"""More writers wait for each other on SQLite."""


MAX_MEMBERS = 4
"""Most candidates in the final model: each costs latency, size and a refit."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a search may use, by the operator's settings and the request.

    Attributes:
        max_workers: Most workers; also the cores that all of them share.
        memory_mb: Memory for all trials together; None: unknown.
        seconds: What is left of the time limit for the search; None without one.
        judged_rows, judging_seconds: As in `SearchPlan`.
        clock: What time is counted by.
    """

    max_workers: int
    memory_mb: float | None
    seconds: float | None
    judged_rows: int = 0
    judging_seconds: float = 0.0
    clock: Clock = "wall"


def make_plan(
    request: TrainingRequest,
    profile: TableProfile,
    split: Split,
    *,
    study_name: str,
    matrix: Path,
    artifacts: Path,
    machine: Machine,
    parents: Sequence[Candidate] = (),
) -> SearchPlan:
    """Make the plan of a request's search, and the feature sets that it may choose from.

    Args:
        matrix: Folder of the encoded matrix.
        artifacts: Folder for the candidates' packages.
        parents: Candidates of an earlier search for the same model, best first.

    Raises:
        RequestError: No asked family can learn this kind of task within the limits, or a
            limit names what is not there.
    """
    preprocessing = read_preprocessing(matrix)
    shape = DataShape(
        n_rows=split.part("train").n_rows,
        n_levels=preprocessing.n_levels,
        n_classes=len(profile.classes),
    )
    space = compile_space(
        request, task_type=profile.task_type, preprocessing=preprocessing, shape=shape
    )
    feature_sets = learn_feature_sets(
        request.model.preprocessing,
        max_features=request.constraints.max_features if request.constraints else None,
        task_type=profile.task_type,
        n_classes=len(profile.classes),
        seed=request.seed,
        structure=space.structure,
        matrix=matrix,
        artifacts=artifacts,
    )
    metric = request.task.metric or DEFAULT_METRIC[profile.task_type]
    n_cores = min(request.resources.cpu or machine.max_workers, machine.max_workers)
    spared, note = _workers(request, machine, space, shape, n_cores=n_cores)
    n_workers = spared.n_workers
    n_fits = _n_fits(split, shape, space, machine.seconds and machine.seconds * n_cores)
    plan = SearchPlan(
        study_name=study_name,
        metric=metric,
        direction=load_metrics()[metric].direction,
        task_type=profile.task_type,
        classes=profile.classes,
        target=request.data.target,
        families=space.families,
        spaces=space.spaces,
        fixed=space.fixed,
        structure=space.structure,
        left_out=space.left_out,
        proposals=make_proposals(
            request,
            profile,
            shape,
            space,
            feature_sets,
            parents,
            seconds=machine.seconds,
            n_fits=n_fits,
        ),
        n_fits=n_fits,
        feature_sets=feature_sets,
        constraints=request.constraints,
        slice_columns=_slice_columns(request, preprocessing),
        calibration=request.model.calibration,
        cost=request.task.cost,
        max_members=MAX_MEMBERS if request.may_combine else 1,
        select=request.search.select,
        sampler=request.search.sampler,
        n_trials=request.search.n_trials,
        time_limit_seconds=machine.seconds,
        n_workers=n_workers,
        n_threads=max(1, n_cores // n_workers),
        judged_rows=machine.judged_rows,
        judging_seconds=machine.judging_seconds,
        notes=(note,) if note else (),
        use_gpu=request.resources.gpu > 0,
        memory_mb=None if machine.memory_mb is None else machine.memory_mb / n_workers,
        spare_mb=spared.trial_mb,
        clock=machine.clock,
        seed=request.seed,
        shape=shape,
        matrix=str(matrix),
        artifacts=str(artifacts),
    )
    _check_slices(plan)
    return plan


def _workers(
    request: TrainingRequest,
    machine: Machine,
    space: CompiledSpace,
    shape: DataShape,
    *,
    n_cores: int,
) -> tuple[Spared, str]:
    """Return how many workers there are, and why fewer than usual, if so."""
    # What a sampler proposes follows from what has ended: only one worker repeats a search.
    usual = 1 if machine.seconds is None else DEFAULT_WORKERS
    wanted = min(request.search.workers or usual, n_cores)
    wanted = workers_within(wanted, space.families, shape, machine.memory_mb)
    if machine.seconds is None:
        # What a trial was seen to hold decides what the next one may: it is never twice the same.
        return Spared(n_workers=wanted), ""
    is_asked = request.search.workers is not None
    spared = spare_memory(wanted, space.families, shape, n_cores=n_cores, is_asked=is_asked)
    n_threads = max(1, n_cores // spared.n_workers)
    return spared, about_workers(spared.n_workers, wanted, n_threads=n_threads, shape=shape)


def _check_slices(plan: SearchPlan) -> None:
    """Refuse slices that no candidate could be compared on, before one is fitted.

    Raises:
        RequestError: A column has fewer than two slices with enough selection rows.
    """
    if not plan.slice_columns or plan.constraints is None:
        return
    data, _ = load_selection(plan)
    nothing = prior_prediction(data.train.y, len(data.y), plan.n_classes)
    only_slices = plan.constraints.model_copy(update={"beat_baseline_by": None})
    try:
        measure_predictions(
            nothing,
            data.y,
            only_slices,
            metrics=load_metrics(),
            slices=slice_codes(plan, data),
            baseline=nothing,
            seed=plan.seed,
        )
    except SearchError as error:
        raise RequestError(str(error)) from error


def _n_fits(split: Split, shape: DataShape, space: CompiledSpace, seconds: float | None) -> int:
    """Return how often each candidate is fitted; `seconds` are those of all cores together."""
    families = load_families()
    plain = [name for name in PLAIN if name in space.families] or list(space.families)
    needed = sum(
        families[name].expected_seconds(
            shape, space.admitted(name, families[name].default_params())
        )
        for name in plain
    )
    return choose_fits(
        n_train=shape.n_rows,
        n_validation=split.part("validation").n_rows,
        n_features=shape.n_features,
        n_folds=split.n_folds,
        strategy=split.strategy,
        plain_share=0.0 if seconds is None else needed / seconds,
    )


def learn_feature_sets(
    asked: PreprocessingAsked,
    *,
    max_features: int | None,
    task_type: TaskType,
    n_classes: int,
    seed: int,
    structure: Structure,
    matrix: Path,
    artifacts: Path,
) -> tuple[str, ...]:
    """Learn the feature sets that a request asks for, and keep them; return their names.

    Args:
        asked: Section `model.preprocessing`.
        matrix: Folder of the encoded rows; train and validation are looked at.
        artifacts: Folder of the candidates, where the sets are kept.
    """
    if asked.redundancy == asked.feature_selection == "none" and max_features is None:
        return ("all",)
    preprocessing = read_preprocessing(matrix)
    sets = make_feature_sets(
        read_part(matrix, "train", preprocessing),
        read_part(matrix, "validation", preprocessing),
        preprocessing=preprocessing,
        redundancy=asked.redundancy,
        selection=asked.feature_selection,
        max_features=max_features,
        task_type=task_type,
        n_classes=n_classes,
        seed=seed,
        n_threads=1,
        structure=structure,
    )
    write_feature_sets(artifacts, sets)
    return tuple(item.name for item in sets)


def _slice_columns(request: TrainingRequest, preprocessing: Preprocessing) -> dict[str, int]:
    """Return the feature that holds the codes of each column that makes slices.

    Raises:
        RequestError: A column is no feature, or no category.
    """
    gap = request.constraints.slice_gap if request.constraints else None
    positions: dict[str, int] = {}
    position = 0
    for column in preprocessing.columns:
        if column.kind in ("categorical", "boolean"):
            positions[column.name] = position
        position += len(column.feature_names)
    wanted = gap.by if gap else ()
    for name in wanted:
        if name not in positions:
            raise RequestError(
                "A slice is the rows with one value of a category or of a yes-or-no column that "
                f"is a feature, but constraints.slice_gap names {name!r}, which is none. Choose "
                f"from: {', '.join(map(repr, list(positions)[:20])) or 'none here'}."
            )
    return {name: positions[name] for name in wanted}
