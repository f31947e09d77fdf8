"""What a search is to do, and how it goes."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from automl_assets.core.families import DataShape, Dimension, Params, Structure
from automl_assets.core.request.release import Constraints
from automl_assets.core.request.sections import Cost
from automl_assets.core.values import Candidate, LeftOut, TaskType, Value

Clock = Literal["wall", "cpu"]

CELLS_PER_THREAD = 50_000
"""Rows times features from which on one more thread pays. Of 300 rows, threads only wait for each
other: with two of them and other programs beside, XGBoost took 16 times as long, and 9 to 19 times
the CPU time."""

QUICK = "first"
"""Origin of a small fit that is there to leave a model early, not to be good."""


class Proposal(Value):
    """Hyperparameters that are tried before any sampler is asked.

    Attributes:
        origin: Who proposed them: `baseline`, `portfolio` or `parent`.
        params: By bare name; empty are the family's defaults.
        features: Name of the feature set.
    """

    family: str
    params: Params = Field(default={})
    origin: str
    features: str = "all"


class SearchPlan(Value):
    """All that a worker needs to know; stored with the study as JSON.

    One of `n_trials` and `time_limit_seconds` is given, or both: the first one
    reached ends the search.

    Attributes:
        spaces: For each family that is searched, its dimensions by bare name.
        fixed: For each family, hyperparameters with a fixed value.
        structure: Limits of the model's shape.
        left_out: Families that were asked for, or are tried by default, and cannot be.
        proposals: What is tried first, in order.
        n_fits: How often a candidate is fitted to be compared: 1 on a held-out part, else
            out of fold.
        feature_sets: Names of the feature sets that may be tried; `all` or files in `artifacts`.
        constraints: What a candidate is measured for.
        slice_columns: Raw columns whose values are slices, with the feature that holds their codes.
        memory_mb: Most memory of one trial's process; None: what the machine has.
        spare_mb: What a trial of many rows is planned to hold at most, but for a plain default; it
            may hold more, where that was not foreseen.
        clock: `cpu` counts CPU seconds of the search's processes instead of time: for
            benchmarks on machines that others use, too.
        max_members: Most candidates in the final model; 1: no ensemble.
        select: Whether the best make the final model, or the simplest one that cannot be told
            apart from the best.
        shape: Rows, features and classes of the train part.
        judged_rows: Rows that are predicted after the search, however slow the model is.
        judging_seconds: CPU time that is kept back for them anyway.
        notes: What was planned otherwise than usual, and why.
    """

    study_name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    task_type: TaskType
    classes: tuple[str, ...]
    target: str
    families: tuple[str, ...]
    spaces: dict[str, dict[str, Dimension]] = Field(default={})
    fixed: dict[str, Params] = Field(default={})
    structure: Structure = Structure()
    left_out: tuple[LeftOut, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    n_fits: int = 1
    feature_sets: tuple[str, ...] = ("all",)
    constraints: Constraints | None = None
    slice_columns: dict[str, int] = Field(default={})
    calibration: Literal["isotonic", "sigmoid", "temperature", "none"] = "none"
    cost: Cost | None = None
    max_members: int = 1
    select: Literal["best", "simplest_of_tied"] = "best"
    sampler: Literal["tpe", "random", "grid"]
    n_trials: int | None
    time_limit_seconds: float | None
    n_workers: int
    n_threads: int
    use_gpu: bool = False
    memory_mb: float | None = None
    spare_mb: float | None = None
    clock: Clock = "wall"
    seed: int
    shape: DataShape = DataShape(n_rows=0, n_levels=(), n_classes=0)
    judged_rows: int = 0
    judging_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    matrix: str
    artifacts: str

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.classes)

    def useful_threads(self, n_threads: int) -> int:
        """Return how many of the threads that a fit may have are worth it; at least one."""
        cells = self.shape.n_rows * self.shape.n_features
        return max(1, min(n_threads, cells // CELLS_PER_THREAD))


@dataclass(frozen=True, kw_only=True)
class SearchStatus:
    """How a search goes.

    Attributes:
        stage: `trials`, or `final model` while the best are fitted again and put together.
        n_finished: Trials that are complete, pruned or failed for good.
        running: Families of the trials that run now.
        best_score: In the metric's own unit; of admissible candidates.
        seconds: Time used so far, all attempts together.
        seconds_left: Until the time limit; None without one.
        leaders: The best candidates so far, best first, at most `N_LEADERS`.
        seconds_by_family: CPU seconds of finished trials.
        n_inadmissible: Finished trials that break a constraint.
        memory_mb: What all processes of the search hold now.
    """

    n_finished: int
    n_failed: int
    running: tuple[str, ...]
    n_trials: int | None
    best_score: float | None
    best_family: str | None
    seconds: float
    seconds_left: float | None
    stage: Literal["trials", "final model"] = "trials"
    metric: str = ""
    n_inadmissible: int = 0
    leaders: tuple[Candidate, ...] = ()
    seconds_by_family: tuple[tuple[str, float], ...] = ()
    memory_mb: float = 0.0


N_LEADERS = 8


@dataclass(frozen=True, kw_only=True)
class Addition:
    """Time that is added to a search, also to one that has ended.

    Attributes:
        name: The same addition asked for again, as after a kill, counts once.
    """

    name: str
    seconds: float
