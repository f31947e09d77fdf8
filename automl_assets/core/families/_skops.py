"""What the families of scikit-learn share: their files, and classes that a fold may lack."""

from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Encoded,
    FitOptions,
    FittedModel,
    ModelFamily,
    Params,
    Structure,
)

if TYPE_CHECKING:
    import numpy as np

FILE = "model.skops"

State = dict[str, Any]
"""All that a model is: arrays, numbers, and estimators of scikit-learn, by name."""

Curve = tuple[tuple[int, float], ...]


class SkopsModel(FittedModel):
    """A model that is kept as a skops file.

    A class of the task that no training row had has a column of its own all the same:
    `blend` moves a little of each probability to the smoothed shares of the classes.
    """

    def __init__(self, state: State, curve: Curve = ()) -> None:
        self._state = state
        self.n_iterations = state["n_iterations"]
        self.curve = curve

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        shares, classes = self._state["shares"], self._state["classes"]
        if shares is None:
            return np.asarray(self._predict(X), np.float64).reshape(-1)
        if len(classes) == 1:
            known = np.ones((len(X), 1))
        else:
            known = np.asarray(self._predict(X), np.float64)
            known /= known.sum(axis=1, keepdims=True)
        blend = self._state["blend"]
        if len(classes) == len(shares) and not blend:
            return known
        probabilities = np.zeros((len(X), len(shares)))
        probabilities[:, classes] = known
        return (1.0 - blend) * probabilities + blend * shares

    @abstractmethod
    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return values, or the probabilities of the classes that training rows had."""

    def save(self, folder: Path) -> None:
        """Write skops' format: arrays and names of classes, no code."""
        from zipfile import ZIP_DEFLATED

        from skops.io import dump

        dump(self._stored(), folder / FILE, compression=ZIP_DEFLATED, compresslevel=1)

    def _stored(self) -> State:
        return self._state

    @classmethod
    def restored(cls, stored: State) -> "SkopsModel":
        """Return the model of what was stored."""
        return cls(stored)


class SkopsFamily(ModelFamily):
    """A family whose models are skops files.

    Attributes:
        model: Class of its models.
        trusted: Types outside skops' own list that a file may hold; others are refused.
    """

    task_types = frozenset({"binary", "multiclass", "regression"})
    requirements = ("scikit-learn", "skops")
    model: ClassVar[type[SkopsModel]]
    trusted: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Return the state of a model, and its curve.

        Args:
            train: Rows of at least two classes, not necessarily of all.
            validation: Rows of the same classes; None where nothing may stop the fit early.
            params: A value for each of the family's hyperparameters.
            options: As for `fit`.
        """

    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Fit on `train`; `validation` may only decide when to stop."""
        import numpy as np

        shares, classes = None, np.empty(0, np.intp)
        if options.task_type != "regression":
            counts = np.bincount(train.y, minlength=options.n_classes)
            classes = np.flatnonzero(counts)
            # Laplace's rule of succession: what was never seen is not impossible.
            shares = (counts + 1.0) / (counts.sum() + len(counts))
            validation = _of_classes(validation, classes)
        complete = shares is None or len(classes) == len(shares)
        state: State = {
            "shares": shares,
            "classes": classes,
            "blend": 0.0 if complete else 1.0 / (len(train.y) + 1.0),
            "n_iterations": options.n_iterations,
        }
        if len(classes) == 1:
            return self.model(state)
        if options.n_iterations is not None:
            validation = None
        params = {**self.default_params(), **params}
        learned, curve = self.learn(train, validation, params, options)
        return self.model({**state, "n_iterations": None, **learned}, curve)

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the skops file; a type outside our list is refused."""
        from skops.io import load

        return self.model.restored(load(folder / FILE, trusted=list(self.trusted)))


def _of_classes(rows: Encoded | None, classes: "np.ndarray") -> Encoded | None:
    """Return the rows of these classes, without a copy if that is all; None if there is none."""
    import numpy as np

    if rows is None:
        return None
    known = np.isin(rows.y, classes)
    if known.all():
        return rows if len(rows.y) else None
    if not known.any():
        return None
    return Encoded(X=rows.X[known], y=rows.y[known], n_levels=rows.n_levels)


@cache
def _thread_pools() -> Any:
    # Pools are found among the libraries that are loaded; scikit-learn brings its own.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> Any:
    """Return a context in which scikit-learn's own loops use one thread.

    A few rows are predicted sooner than threads are woken, and in the same order each time.
    """
    return _thread_pools().limit(limits=1, user_api="openmp")


def mean_loss(y: "np.ndarray", prediction: "np.ndarray", classes: "np.ndarray") -> float:
    """Return log loss, or root mean squared error for values.

    Args:
        y: Class codes or values.
        prediction: Probabilities of `classes` only, or values.
        classes: Codes in the order of the columns, ascending; empty for values.
    """
    import numpy as np

    if not len(classes):
        return float(np.sqrt(np.mean((y - prediction) ** 2)))
    own = prediction[np.arange(len(y)), np.searchsorted(classes, y)]
    return float(-np.mean(np.log(np.clip(own, 1e-15, 1.0))))


def tree_limits(params: Params, structure: Structure) -> dict[str, Any]:
    """Return scikit-learn's arguments that bound a tree: the tighter of wish and limit."""
    return {
        "max_depth": _smaller(params.get("max_depth"), structure.max_depth),
        "max_leaf_nodes": _smaller(params.get("max_leaf_nodes"), structure.max_leaves),
        "monotonic_cst": list(structure.monotonic) or None,
    }


def _smaller(wished: Any, bound: int | None) -> int | None:
    return min((int(number) for number in (wished, bound) if number is not None), default=None)
