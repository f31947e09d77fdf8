"""A small neural network: layers of rectified sums, trained by Adam (Kingma and Ba, 2015)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Choice,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    Integer,
    Params,
    Real,
    thinned_curve,
)
from automl_assets.core.families._features import dense_features, fit_features, prepared_width
from automl_assets.core.families._skops import Curve, SkopsFamily, SkopsModel, State, mean_loss

if TYPE_CHECKING:
    import numpy as np

MAX_LEVELS = 20
MAX_EPOCHS = 200
PATIENCE = 8
DEFAULT_EPOCHS = 30
"""For a fit that neither rows nor a number tell when to stop."""

BATCH_ROWS = 16_384
"""Rows that are predicted at once: some 10 MB for each layer."""


class MlpModel(SkopsModel):
    """Weights of the layers, and how columns are prepared."""

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        import numpy as np

        layers, features = self._state["layers"], self._state["features"]
        parts = [_outputs(dense_features(rows, features), layers) for rows in _batches(X)]
        return _linked(np.concatenate(parts), self._state["centre"], self._state["scale"])


def _batches(X: "np.ndarray") -> "Iterator[np.ndarray]":
    for start in range(0, max(1, len(X)), BATCH_ROWS):
        yield X[start : start + BATCH_ROWS]


def _outputs(prepared: "np.ndarray", layers: list[Any]) -> "np.ndarray":
    import numpy as np

    values = prepared
    for number, (weights, biases) in enumerate(layers):
        if number:
            values = np.maximum(values, 0.0, out=values)
        values = values @ weights + biases
    return values.astype(np.float64)


def _linked(outputs: "np.ndarray", centre: float | None, scale: float | None) -> "np.ndarray":
    """Return probabilities, or values where there is a scale."""
    import numpy as np
    from scipy.special import expit, softmax

    if centre is not None and scale is not None:
        return centre + scale * outputs[:, 0]
    if outputs.shape[1] == 1:
        positive = expit(outputs)
        return np.hstack([1.0 - positive, positive])
    return softmax(outputs, axis=1)


class Mlp(SkopsFamily):
    """A network with early stopping on the validation part.

    It has no trees, and obeys every limit of them.
    """

    name = "mlp"
    summary = "small neural network"
    honours = frozenset({"max_depth", "max_leaves", "max_trees"})
    model = MlpModel
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "n_layers": Integer(low=1, high=4),
        "n_units": Integer(low=4, high=1024, log=True),
        "learning_rate": Real(low=1e-5, high=0.1, log=True),
        "alpha": Real(low=0.0, high=10.0),
        "batch_size": Integer(low=8, high=8192, log=True),
        "scaling": Choice(values=("standard", "quantile")),
    }

    def default_params(self) -> Params:
        """Two layers of 64 on normal quantiles, scikit-learn's learning rate."""
        return {
            "n_layers": 2,
            "n_units": 64,
            "learning_rate": 0.001,
            "alpha": 1e-4,
            "batch_size": 256,
            "scaling": "quantile",
        }

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search the size of the network, its pace and its penalty."""
        return {
            "n_layers": Integer(low=1, high=3),
            "n_units": Integer(low=16, high=256, log=True),
            "learning_rate": Real(low=3e-4, high=1e-2, log=True),
            "alpha": Real(low=1e-6, high=1.0, log=True),
            "batch_size": Integer(low=128, high=512 if shape.n_rows < 50_000 else 2048, log=True),
            "scaling": Choice(values=("standard", "quantile")),
        }

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Pass over the rows until the validation loss has not fallen for 8 epochs."""
        from threadpoolctl import threadpool_limits

        features = fit_features(
            train,
            scaling=str(params["scaling"]),
            max_levels=MAX_LEVELS,
            n_bins=0,
            seed=options.seed,
        )
        # Products of matrices depend on how many threads share them: one gives one result.
        with threadpool_limits(1):
            state, losses = _train(features, train, validation, params, options)
        return {"features": features, **state}, thinned_curve(losses)

    def is_random(self, params: Params) -> bool:
        """Its first weights and the order of rows draw on the seed."""
        return True

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Each epoch multiplies all rows by all weights; 2,000 to 20,000 rows were measured."""
        params = {**self.default_params(), **params}
        n_units, n_layers = int(params["n_units"] or 64), int(params["n_layers"] or 1)
        width = prepared_width(shape, MAX_LEVELS)
        n_weights = n_units * (width + n_units * (n_layers - 1) + shape.n_outputs)
        pace = float(params["learning_rate"] or 0.001) / 0.001
        n_epochs = PATIENCE + 60.0 * (2000.0 / (shape.n_rows + 1000.0) / pace) ** 0.5
        n_batches = 1.0 + shape.n_rows / int(params["batch_size"] or 256)
        epoch = 1.8e-10 * shape.n_rows * n_weights + 4.5e-4 * n_batches
        return 0.02 + 5e-8 * shape.n_rows * shape.n_features + min(MAX_EPOCHS, n_epochs) * epoch

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """The prepared rows, a quarter more of validation, and the target as float64."""
        width = prepared_width(shape, MAX_LEVELS)
        return 10_000_000 + shape.n_rows * (5 * width + 24 + 12 * shape.n_classes)


def _estimator(params: Params, options: FitOptions, n_rows: int) -> Any:
    import numpy as np
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if options.task_type == "regression" else MLPClassifier
    return kind(
        hidden_layer_sizes=(int(params["n_units"] or 64),) * int(params["n_layers"] or 1),
        learning_rate_init=params["learning_rate"],
        alpha=params["alpha"],
        batch_size=min(int(params["batch_size"] or 256), n_rows),
        # A number would shuffle every epoch alike.
        random_state=np.random.RandomState(options.seed % 2**32),
    )


def _layers(estimator: Any) -> list[Any]:
    return [
        (weights.copy(), biases.copy())
        for weights, biases in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]


def _train(
    features: dict[str, Any],
    train: Encoded,
    validation: Encoded | None,
    params: Params,
    options: FitOptions,
) -> tuple[State, list[float]]:
    import numpy as np

    centre, scale, y, classes = None, None, train.y, np.unique(train.y)
    learns: dict[str, Any] = {"classes": classes}
    if options.task_type == "regression":
        centre, scale = float(y.mean()), float(y.std()) or 1.0
        y, classes, learns = (y - centre) / scale, np.empty(0), {}
    X = dense_features(train.X, features)
    X_held_out = None if validation is None else dense_features(validation.X, features)
    estimator = _estimator(params, options, len(y))
    n_epochs = options.n_iterations or (DEFAULT_EPOCHS if validation is None else MAX_EPOCHS)
    best, layers, losses = 0, [], []
    for epoch in range(1, n_epochs + 1):
        estimator.partial_fit(X, y, **learns)
        if validation is not None and X_held_out is not None:
            weights = _layers(estimator)
            outputs = np.concatenate([_outputs(rows, weights) for rows in _batches(X_held_out)])
            losses.append(mean_loss(validation.y, _linked(outputs, centre, scale), classes))
        if not losses or losses[-1] <= min(losses):
            best, layers = epoch, _layers(estimator)
        if options.ends(losses, n_epochs) or epoch - best >= PATIENCE:
            break
    return {"layers": layers, "centre": centre, "scale": scale, "n_iterations": best}, losses


FAMILY = Mlp()
