"""Linear models: logistic regression and ridge on scaled numbers and one-hot categories."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Choice,
    Contributions,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    Integer,
    Params,
    Real,
)
from automl_assets.core.families._features import (
    dense_features,
    fit_features,
    one_hot_width,
    prepared_sources,
    sparse_features,
)
from automl_assets.core.families._skops import Curve, SkopsFamily, SkopsModel, State

if TYPE_CHECKING:
    import numpy as np

MAX_LEVELS = 50
"""Levels of a category that have a column each; the rest share one."""

MAX_ITERATIONS = 300
PRODUCTS_AT_ONCE = 1e9
ITERATIONS_AT_ONCE = 50
"""Bounds, about a second, of the steps of lbfgs between two questions whether to stop.

It forgets the curvature in between; so it begins with two steps, and doubles them."""

MOST_PRODUCTS = 2e10
"""Multiplications of one fit, some 20 s: above, fewer steps are made."""


class LinearModel(SkopsModel):
    """Coefficients of the prepared columns."""

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        from scipy.special import expit, softmax

        scores = _prepared(X, self._state["features"]) @ self._state["coefficients"]
        scores = scores + self._state["intercept"]
        if self._state["shares"] is None:
            return scores[:, 0]
        if scores.shape[1] == 1:
            import numpy as np

            positive = expit(scores.astype(np.float64))
            return np.hstack([1.0 - positive, positive])
        return softmax(scores.astype("float64"), axis=1)

    def contributions(self, X: "np.ndarray", *, background: "np.ndarray") -> Contributions | None:
        """Return coefficients times distances from the mean of the background.

        These are Shapley values of a sum (E. Štrumbelj and I. Kononenko, "Explaining prediction
        models and individual predictions with feature contributions", 2014). A model that never
        saw one of its classes is no plain sum, and has none.
        """
        import numpy as np
        from scipy.sparse import csr_array

        shares = self._state["shares"]
        if shares is not None and len(self._state["classes"]) < len(shares):
            return None
        features, coefficients = self._state["features"], self._state["coefficients"]
        sources = prepared_sources(features)
        rows, mean = _prepared(X, features), _prepared(background, features).mean(axis=0)
        mean = np.asarray(mean, np.float64).reshape(-1)
        shape = (len(sources), X.shape[1])
        adds_up = csr_array((np.ones(shape[0]), (np.arange(shape[0]), sources)), shape=shape)
        values = np.empty((len(X), coefficients.shape[1], X.shape[1]))
        base = np.array(self._state["intercept"], np.float64)
        for output, slopes in enumerate(coefficients.T.astype(np.float64)):
            weighted = csr_array(rows).multiply(slopes[None, :]).tocsr() @ adds_up
            values[:, output] = weighted.toarray() - (mean * slopes) @ adds_up
            base[output] += mean @ slopes
        margin = np.asarray(rows @ coefficients + self._state["intercept"], np.float64)
        return Contributions(values=values, base=base, margin=margin)


def _prepared(X: "np.ndarray", features: dict[str, Any]) -> Any:
    return sparse_features(X, features) if one_hot_width(features) else dense_features(X, features)


class Linear(SkopsFamily):
    """Logistic regression (multinomial where needed) or ridge regression.

    It has no trees and adds its features up, so it obeys every limit of trees and of interactions.
    """

    name = "linear"
    summary = "logistic or ridge regression"
    honours = frozenset({"interactions", "max_depth", "max_leaves", "max_trees"})
    interpretable = True
    model = LinearModel
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "C": Real(low=1e-6, high=1e6, log=True),
        "scaling": Choice(values=("standard", "quantile", "bins")),
        "n_bins": Integer(low=2, high=64, log=True),
    }

    def default_params(self) -> Params:
        """scikit-learn's penalty, on standardised numbers."""
        return {"C": 1.0, "scaling": "standard", "n_bins": 16}

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search the inverse penalty and how numbers are scaled."""
        space: dict[str, Dimension] = {"C": Real(low=1e-4, high=1e3, log=True)}
        if not all(shape.n_levels):
            space["scaling"] = Choice(values=("standard", "quantile", "bins"))
            space["n_bins"] = Integer(low=4, high=32, log=True)
        return space

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Fit on the train part, step by step; the validation part is not used."""
        from threadpoolctl import threadpool_limits

        features = fit_features(
            train,
            scaling=str(params["scaling"]),
            max_levels=MAX_LEVELS,
            n_bins=int(params["n_bins"] or 16),
            seed=options.seed,
        )
        learn = _ridge if options.task_type == "regression" else _logistic
        # Sums over rows depend on how many threads share them: one gives one result.
        with threadpool_limits(1):
            state = learn(_prepared(train.X, features), train.y, float(params["C"] or 1.0), options)
        return {"features": features, **state}, ()

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Each step reads all entries twice; 2,000 to 200,000 rows were measured."""
        entries = _entries(shape, params)
        n_steps = 10.0
        if shape.n_classes:
            longer = 2.0 if params.get("scaling") == "bins" else 1.0
            n_steps = min(MAX_ITERATIONS, 25.0 * longer * float(params.get("C") or 1.0) ** 0.15)
            n_steps = min(n_steps, max(20.0, MOST_PRODUCTS / (2.0 * entries * shape.n_outputs)))
        # Classes that are multiplied together cost less than one by one.
        return 0.01 + 2e-8 * entries + 2.4e-9 * entries * n_steps * shape.n_outputs**0.7

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """Values of the entries, places where there are ones and zeros, and the scores."""
        is_dense = not any(shape.n_levels) and params.get("scaling") != "bins"
        per_entry = 4 if is_dense else 9
        return per_entry * _entries(shape, params) + 24 * shape.n_rows * shape.n_outputs


def _entries(shape: DataShape, params: Params) -> int:
    """Return how many values the prepared rows hold."""
    n_numeric = sum(n == 0 for n in shape.n_levels)
    return shape.n_rows * (shape.n_features + (n_numeric if params.get("scaling") == "bins" else 0))


def _n_iterations(X: Any, n_outputs: int, options: FitOptions) -> int:
    if options.n_iterations is not None:
        return options.n_iterations
    return int(max(20, min(MAX_ITERATIONS, MOST_PRODUCTS / _products(X, n_outputs))))


def _products(X: Any, n_outputs: int) -> float:
    """Return the multiplications of one step: scores, and the gradient."""
    n_entries = X.nnz if hasattr(X, "nnz") else X.size
    return max(1.0, 2.0 * n_entries * n_outputs)


def _logistic(X: Any, y: "np.ndarray", C: float, options: FitOptions) -> State:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(C=C, warm_start=True, random_state=options.seed)
    n_outputs = options.n_classes if options.n_classes > 2 else 1
    most = max(1, min(ITERATIONS_AT_ONCE, int(PRODUCTS_AT_ONCE / _products(X, n_outputs))))
    n_left, n_done, n_steps = _n_iterations(X, n_outputs, options), 0, 1
    with warnings.catch_warnings():
        # The steps end where we say; the score tells how good the candidate is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        while n_left:
            n_steps = min(2 * n_steps, most, n_left)
            estimator.set_params(max_iter=n_steps).fit(X, y)
            n_made = int(estimator.n_iter_.max())
            n_left, n_done = n_left - n_steps, n_done + n_made
            if n_made < n_steps or options.should_stop():
                break
    return {
        "coefficients": estimator.coef_.T.astype("float32"),
        "intercept": estimator.intercept_.astype("float64"),
        "n_iterations": n_done,
    }


class _Stop(Exception):
    """Raised between two steps of a solver that has no other way out."""


def _squares(X: Any) -> "np.ndarray":
    """Return the sum of squares of each column, float64."""
    import numpy as np

    squares = X.multiply(X) if hasattr(X, "multiply") else X * X
    return np.asarray(squares.sum(axis=0, dtype=np.float64)).reshape(-1)


def _ridge(X: Any, y: "np.ndarray", C: float, options: FitOptions) -> State:
    """Solve the centred normal equations by conjugate gradients (Hestenes and Stiefel, 1952)."""
    import numpy as np
    from scipy.sparse.linalg import LinearOperator, cg

    n_rows, width = X.shape
    mean = np.asarray(X.sum(axis=0, dtype=np.float64)).reshape(-1) / n_rows
    target, scale = y.mean(), y.std() or 1.0
    centred = ((y - target) / scale).astype(np.float32)

    def product(vector: "np.ndarray") -> "np.ndarray":
        vector = vector.reshape(-1)
        rows = X @ vector.astype(np.float32) - np.float32(mean @ vector)
        return X.T @ rows - mean * rows.sum(dtype=np.float64) + vector / C

    found, steps = [np.zeros(width)], [0]

    def step(solution: "np.ndarray") -> None:
        found[0] = solution.copy()
        steps[0] += 1
        if options.should_stop():
            raise _Stop

    diagonal = np.maximum(_squares(X) - n_rows * mean**2, 0.0) + 1.0 / C
    right = X.T @ centred - mean * centred.sum(dtype=np.float64)
    with suppress(_Stop):
        cg(
            LinearOperator((width, width), matvec=product, dtype=np.float64),
            right,
            rtol=1e-4,
            maxiter=_n_iterations(X, 1, options),
            M=LinearOperator((width, width), matvec=lambda v: v / diagonal, dtype=np.float64),
            callback=step,
        )
    coefficients = scale * found[0]
    return {
        "coefficients": coefficients.reshape(-1, 1).astype(np.float32),
        "intercept": np.array([target - mean @ coefficients]),
        "n_iterations": steps[0],
    }


FAMILY = Linear()
