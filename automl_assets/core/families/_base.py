"""What a model family is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import optuna

    from automl_assets.core.values import TaskType

Params = dict[str, float | int | str | bool | None]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Rows as every family sees them.

    Attributes:
        X: Matrix `(n_samples, n_features)`, float32, column-major. A categorical
            column holds codes: 0 missing, 1 unseen or rare, 2 and up the levels.
            Numeric columns hold NaN where missing.
        y: Class codes (int32) or values (float64), `(n_samples,)`.
        n_levels: For each feature the number of codes if it is categorical, else 0.
    """

    X: "np.ndarray"
    y: "np.ndarray"
    n_levels: tuple[int, ...]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical features."""
        return [index for index, n in enumerate(self.n_levels) if n]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to fit, apart from hyperparameters.

    Attributes:
        task_type: Kind of learning problem.
        n_classes: Number of classes; 0 for regression.
        seed: Decides every random choice of the fit.
        n_threads: Threads the fit may use.
        should_stop: Asked between iterations; True ends the fit with the model
            so far. Families without iterations ignore it, and may be killed.
    """

    task_type: "TaskType"
    n_classes: int
    seed: int
    n_threads: int = 1
    should_stop: Callable[[], bool] = field(default=lambda: False)


class FittedModel(ABC):
    """A trained model of one family."""

    n_iterations: int | None = None

    @abstractmethod
    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into an existing folder, in a format that runs no code when read."""


class ModelFamily(ABC):
    """A kind of estimator with its search space.

    A family is stateless and its methods are safe in threads. The same
    arguments give the same predictions on one kind of machine. Modules of
    families import their library inside functions: naming the families must
    stay cheap.

    Attributes:
        name: Equals the module's name.
        task_types: Where it applies.
        summary: One line for people.
        requirements: Distributions that a prediction needs, by name; their
            installed versions are pinned with the registered model.
        relative_cost: Time of a default fit, LightGBM's being 1; cheap ones are tried first.
    """

    name: str
    task_types: "frozenset[TaskType]"
    summary: str
    requirements: tuple[str, ...]
    relative_cost: float

    @abstractmethod
    def default_params(self) -> Params:
        """Hyperparameters of the first trial: the library's own, or what practice found better."""

    @abstractmethod
    def suggest(self, trial: "optuna.Trial") -> Params:
        """Draw hyperparameters; every name carries the prefix `<family>.`.

        Returns:
            The drawn values by bare name, without the prefix.
        """

    @abstractmethod
    def fit(
        self, train: Encoded, validation: Encoded, params: Params, options: FitOptions
    ) -> FittedModel:
        """Fit on `train`; `validation` may only decide when to stop."""

    @abstractmethod
    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read what `FittedModel.save` wrote.

        Args:
            folder: The folder given to `save`. Its digests were verified before.
            options: `task_type` and `n_classes` of the model.
        """
