"""What a search is to do, and how it goes."""

from dataclasses import dataclass
from typing import Literal

from automl_assets.core.errors import RequestError
from automl_assets.core.families import load_families
from automl_assets.core.metrics import DEFAULT_METRIC, load_metrics
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import TableProfile, TaskType, Value


class SearchPlan(Value):
    """All that a worker needs to know; stored with the study as JSON.

    One of `n_trials` and `time_limit_seconds` is given, or both: the first one
    reached ends the search.
    """

    study_name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    task_type: TaskType
    classes: tuple[str, ...]
    target: str
    families: tuple[str, ...]
    sampler: Literal["tpe", "random", "grid"]
    n_trials: int | None
    time_limit_seconds: float | None
    n_workers: int
    n_threads: int
    seed: int
    matrix: str
    artifacts: str

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.classes)


@dataclass(frozen=True, kw_only=True)
class SearchStatus:
    """How a search goes.

    Attributes:
        n_finished: Trials that are complete, pruned or failed for good.
        running: Families of the trials that run now.
        best_score: In the metric's own unit.
        seconds: Time used so far, all attempts together.
        seconds_left: Until the time limit; None without one.
    """

    n_finished: int
    n_failed: int
    running: tuple[str, ...]
    n_trials: int | None
    best_score: float | None
    best_family: str | None
    seconds: float
    seconds_left: float | None


DEFAULT_WORKERS = 4
"""More writers wait for each other on SQLite."""


def make_plan(
    request: TrainingRequest,
    profile: TableProfile,
    *,
    study_name: str,
    matrix: str,
    artifacts: str,
    max_workers: int,
) -> SearchPlan:
    """Make the plan of a request's search.

    Args:
        matrix: Folder of the encoded matrix.
        artifacts: Folder for the candidates' packages.
        max_workers: The operator's cap; also the threads that all workers share.

    Raises:
        RequestError: No asked family can learn this kind of task.
    """
    known = load_families()
    asked = request.model.families or tuple(known)
    families = tuple(name for name in asked if profile.task_type in known[name].task_types)
    if not families:
        raise RequestError(
            f"At least one model family must learn {profile.task_type} tasks, but none of "
            f"{', '.join(asked)} does. Add another to model.families."
        )
    metric = request.task.metric or DEFAULT_METRIC[profile.task_type]
    n_workers = min(request.search.workers or DEFAULT_WORKERS, max_workers)
    return SearchPlan(
        study_name=study_name,
        metric=metric,
        direction=load_metrics()[metric].direction,
        task_type=profile.task_type,
        classes=profile.classes,
        target=request.data.target,
        families=families,
        sampler=request.search.sampler,
        n_trials=request.search.n_trials,
        time_limit_seconds=request.search.effective_time_limit,
        n_workers=n_workers,
        n_threads=max(1, max_workers // n_workers),
        seed=request.seed,
        matrix=matrix,
        artifacts=artifacts,
    )
