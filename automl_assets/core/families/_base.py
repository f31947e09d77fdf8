"""What a model family is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.values import TaskType

Param = float | int | str | bool | None
Params = dict[str, Param]
Limit = Literal["monotonic", "interactions", "max_depth", "max_leaves", "max_trees"]


@dataclass(frozen=True, kw_only=True)
class Real:
    """A hyperparameter that is a number between `low` and `high`, both inclusive."""

    low: float
    high: float
    log: bool = False
    kind: Literal["real"] = "real"


@dataclass(frozen=True, kw_only=True)
class Integer:
    """A hyperparameter that is a whole number between `low` and `high`, both inclusive."""

    low: int
    high: int
    log: bool = False
    kind: Literal["integer"] = "integer"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A hyperparameter that is one of a few values."""

    values: tuple[Param, ...]
    kind: Literal["choice"] = "choice"


Dimension = Real | Integer | Choice


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
class DataShape:
    """How much there is to learn from, for search spaces and cost models.

    Attributes:
        n_rows: Rows that a fit sees.
        n_levels: As in `Encoded`; its length is the number of features.
        n_classes: Number of classes; 0 for regression.
    """

    n_rows: int
    n_levels: tuple[int, ...]
    n_classes: int

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.n_levels)

    @property
    def n_outputs(self) -> int:
        """Trees, or rows of coefficients, of one step: the classes of a multiclass task, else 1."""
        return self.n_classes if self.n_classes > 2 else 1


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What the shape of a model must obey, whatever its hyperparameters say.

    Attributes:
        monotonic: For each feature 1 (the prediction never falls as it grows),
            -1 (never rises) or 0; empty if no feature is bound. Of a binary task
            it is the probability of the last class that is bound.
        interactions: Sets of features; two features may act together only
            inside one set. Empty: all may.
        max_depth: Most splits on the way from a root to a leaf.
        max_leaves: Most leaves of a tree.
        max_trees: Most trees, those of all classes together.
    """

    monotonic: tuple[int, ...] = ()
    interactions: tuple[tuple[int, ...], ...] = ()
    max_depth: int | None = None
    max_leaves: int | None = None
    max_trees: int | None = None

    @property
    def asked(self) -> frozenset[Limit]:
        """Names of the limits that are set."""
        limits: tuple[Limit, ...] = (
            "monotonic",
            "interactions",
            "max_depth",
            "max_leaves",
            "max_trees",
        )
        return frozenset(name for name in limits if getattr(self, name) not in ((), None))


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
        is_hopeless: Asked between iterations with the validation loss after each so far (log
            loss, or root mean squared error, of the rows whose class the fit knows) and the
            most iterations there may be; True ends the fit as well.
        structure: What the model's shape must obey.
        n_iterations: Exactly so many iterations, without early stopping: to fit
            again what an earlier fit found. Families without iterations ignore it.
        use_gpu: Fit on a graphics processor; only for families with `gpu`.
    """

    task_type: "TaskType"
    n_classes: int
    seed: int
    n_threads: int = 1
    should_stop: Callable[[], bool] = field(default=lambda: False)
    is_hopeless: Callable[[Sequence[float], int], bool] = field(
        default=lambda losses, n_most: False
    )
    structure: Structure = Structure()
    n_iterations: int | None = None
    use_gpu: bool = False

    def ends(self, losses: Sequence[float], n_most: int) -> bool:
        """Tell whether a fit with these validation losses, if there are any, is to end now."""
        return self.should_stop() or (bool(losses) and self.is_hopeless(losses, n_most))


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What each feature adds to what a model says, before that becomes probabilities.

    The scale is the target's own for values, the log-odds of the last class for two classes,
    and for more the logarithm of each class's probability up to a constant of the row.

    Attributes:
        values: Shapley values, `(n_samples, n_outputs, n_features)`, float64; there is one
            output for each class of a multiclass task, else one.
        base: What the model says without any feature, `(n_outputs,)`.
        margin: What it says with all of them, `(n_samples, n_outputs)`, found without the
            contributions: it is their sum and the base, up to rounding.
    """

    values: "np.ndarray"
    base: "np.ndarray"
    margin: "np.ndarray"


class FittedModel(ABC):
    """A trained model of one family.

    Attributes:
        n_iterations: Trees or steps that the model holds; None where it has none.
        curve: (iteration, validation loss) pairs, at most `CURVE_POINTS`; empty where the
            fit had no iterations or no validation rows.
    """

    n_iterations: int | None = None
    curve: tuple[tuple[int, float], ...] = ()

    @abstractmethod
    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""

    def contributions(self, X: "np.ndarray", *, background: "np.ndarray") -> "Contributions | None":
        """Return what each feature adds to each prediction; None where the family cannot tell.

        Args:
            X: At least one row, as for `predict`.
            background: Rows whose mean prediction is the base, for families that do not keep
                one of their own; trees do (`base` is then the mean over their training rows).
        """
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into an existing folder, in a format that runs no code when read."""


CURVE_POINTS = 50


def thinned_curve(losses: "list[float]") -> tuple[tuple[int, float], ...]:
    """Return (iteration, loss) pairs, counted from 1, evenly thinned; the last one is kept.

    Examples:
        >>> thinned_curve([0.5, 0.4])
        ((1, 0.5), (2, 0.4))
    """
    n = len(losses)
    step = -(-n // CURVE_POINTS) if n else 1
    kept = sorted({*range(0, n, step), n - 1} - {-1})
    if len(kept) > CURVE_POINTS:
        kept.pop(-2)
    return tuple((index + 1, float(losses[index])) for index in kept)


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
        parameters: Every hyperparameter that a request may fix or search, with
            all values that the family accepts.
        honours: Limits of a `Structure` that `fit` obeys; where a request asks for
            another one, the family is left out.
        interpretable: Whether a person can read the whole model.
        gpu: Whether it can fit on a graphics processor.
        by_default: Whether a search without `model.families` tries it.
        parallel_share: Of the time of a fit, what is divided among its threads; measured on
            tables of 20,000 to 200,000 rows with one and with two threads, the least.
    """

    name: str
    task_types: "frozenset[TaskType]"
    summary: str
    requirements: tuple[str, ...]
    parameters: ClassVar[Mapping[str, Dimension]]
    honours: frozenset[Limit] = frozenset()
    interpretable: bool = False
    gpu: bool = False
    by_default: bool = True
    parallel_share: float = 0.0

    @abstractmethod
    def default_params(self) -> Params:
        """Hyperparameters of the first trial: the library's own, or what practice found better."""

    @abstractmethod
    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Return what is searched by default, by bare name.

        It is some of `parameters`, in ranges that are worth their time for data of this shape.
        """

    @abstractmethod
    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Return about how many CPU seconds a fit takes on one core of about 3 GHz.

        The search corrects it by what it has seen of this family; so what counts
        is how it grows with rows, features, classes and hyperparameters.
        """

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """Return about how much memory a fit takes, beside the matrix that all fits share."""
        return 8 * shape.n_rows * shape.n_features

    def share_of_seconds(self, n_threads: int) -> float:
        """Return what a fit takes on so many threads, as a share of what it takes on one.

        G. Amdahl, "Validity of the single processor approach", 1967.
        """
        return 1.0 - self.parallel_share * (1.0 - 1.0 / n_threads)

    def fewest_trees(self, shape: DataShape) -> int:
        """Return how many trees the smallest model has; 0 where any limit allows one."""
        return 0

    def is_random(self, params: Params) -> bool:
        """Tell whether fits with different seeds differ, so that their mean is steadier."""
        return False

    @abstractmethod
    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Fit on `train`; `validation` may only decide when to stop.

        Without `validation`, or with `options.n_iterations`, there is no early stopping.
        """

    @abstractmethod
    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read what `FittedModel.save` wrote.

        Args:
            folder: The folder given to `save`. Its digests were verified before.
            options: `task_type` and `n_classes` of the model.
        """
