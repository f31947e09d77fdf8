"""What a search is to do, and how it goes."""

from dataclasses import dataclass
from typing import Literal

from automl_assets.core.values import TaskType, Value


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
    sampler: Literal["tpe", "random"]
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
        best_score: In the metric's own unit.
        seconds: Time used so far, all attempts together.
        seconds_left: Until the time limit; None without one.
    """

    n_finished: int
    n_failed: int
    n_running: int
    n_trials: int | None
    best_score: float | None
    best_family: str | None
    seconds: float
    seconds_left: float | None
