"""Nearest neighbours among a bounded sample of the training rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Choice,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    Integer,
    Params,
)
from automl_assets.core.families._features import dense_features, fit_features, prepared_width
from automl_assets.core.families._skops import Curve, SkopsFamily, SkopsModel, State, one_thread

if TYPE_CHECKING:
    import numpy as np

MAX_LEVELS = 10
"""Levels of a category that a distance sees; of those with more, their counts and means it sees."""

BATCH_ROWS = 4096
"""Rows that are compared at once: their distances and neighbours are some 10 MB."""


class KnnModel(SkopsModel):
    """Prepared rows and their targets."""

    def __init__(self, state: State, curve: Curve = ()) -> None:
        super().__init__(state, curve)
        self._search: Any = None

    def _neighbours(self) -> Any:
        if self._search is None:
            from sklearn.neighbors import NearestNeighbors

            search = NearestNeighbors(n_neighbors=self._state["n_neighbors"], algorithm="brute")
            self._search = search.fit(self._state["rows"])
        return self._search

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        import numpy as np

        parts = [
            self._predict_batch(X[start : start + BATCH_ROWS])
            for start in range(0, max(1, len(X)), BATCH_ROWS)
        ]
        return np.concatenate(parts)

    def _predict_batch(self, X: "np.ndarray") -> "np.ndarray":
        import numpy as np

        targets, n_classes = self._state["targets"], len(self._state["classes"])
        if not len(X):
            return np.empty((0, n_classes) if n_classes else 0)
        prepared = _scaled(X, self._state["features"])
        with one_thread():
            distances, nearest = self._neighbours().kneighbors(prepared)
        weights = np.ones(distances.shape)
        if self._state["by_distance"]:
            # As far as the mean neighbour, half the weight: no row rules alone, however near.
            weights = 1.0 / (1.0 + distances / (distances.mean(axis=1, keepdims=True) + 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        if not n_classes:
            return (weights * targets[nearest]).sum(axis=1)
        rows = np.arange(len(X))[:, None] * n_classes
        votes = np.bincount(
            (rows + targets[nearest]).ravel(), weights.ravel(), minlength=len(X) * n_classes
        )
        return votes.reshape(len(X), n_classes)


def _scaled(X: "np.ndarray", features: dict[str, Any]) -> "np.ndarray":
    import numpy as np

    prepared = dense_features(X, features)
    # Two levels are then as far apart as numbers of one deviation.
    n_one_hot = int(features["n_codes"].sum())
    prepared[:, prepared.shape[1] - n_one_hot :] *= np.float32(np.sqrt(0.5))
    return prepared


class Knn(SkopsFamily):
    """Nearest neighbours on scaled numbers; it has no trees, and obeys every limit of them."""

    name = "knn"
    summary = "nearest neighbours in a sample of rows"
    honours = frozenset({"max_depth", "max_leaves", "max_trees"})
    by_default = False
    model = KnnModel
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "n_neighbors": Integer(low=1, high=500, log=True),
        "weights": Choice(values=("uniform", "distance")),
        "scaling": Choice(values=("standard", "quantile")),
        "max_rows": Integer(low=100, high=100_000, log=True),
    }

    def default_params(self) -> Params:
        """So many neighbours that their votes are probabilities, of rows that fit into 2 MB."""
        return {
            "n_neighbors": 20,
            "weights": "distance",
            "scaling": "standard",
            "max_rows": 20_000,
        }

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search how many neighbours vote, and how numbers are scaled."""
        return {
            "n_neighbors": Integer(low=3, high=max(5, min(200, shape.n_rows // 10)), log=True),
            "weights": Choice(values=("uniform", "distance")),
            "scaling": Choice(values=("standard", "quantile")),
        }

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Keep a sample of the prepared rows; the validation part is not used."""
        import numpy as np

        features = fit_features(
            train,
            scaling=str(params["scaling"]),
            max_levels=MAX_LEVELS,
            n_bins=0,
            seed=options.seed,
        )
        n_kept = min(len(train.y), int(params["max_rows"] or 20_000))
        generator = np.random.default_rng(options.seed)
        kept = np.sort(generator.choice(len(train.y), n_kept, replace=False))
        targets = train.y[kept]
        if options.n_classes:
            targets = np.searchsorted(np.unique(train.y), targets)
        n_neighbors = min(n_kept, int(params["n_neighbors"] or 20))
        return {
            "features": features,
            "rows": _scaled(train.X[kept], features),
            "targets": targets,
            "n_neighbors": n_neighbors,
            "by_distance": params["weights"] == "distance",
            # The rule of succession: among so many neighbours one of each kind is no surprise.
            "blend": 1.0 / (1.0 + n_neighbors),
        }, ()

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Scoring is all the work: of a fourth as many rows, each beside all that are kept.

        2,000 to 20,000 rows were measured.
        """
        n_kept = min(shape.n_rows, int(params.get("max_rows") or 20_000))
        pairs = shape.n_rows / 4.0 * n_kept
        width = prepared_width(shape, MAX_LEVELS)
        return 0.01 + 2e-8 * shape.n_rows * shape.n_features + pairs * (2.4e-9 + 3.8e-11 * width)

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """The rows that are kept, twice while they are made, and a batch with its distances."""
        n_kept = min(shape.n_rows, int(params.get("max_rows") or 20_000))
        width = prepared_width(shape, MAX_LEVELS)
        return 10_000_000 + 8 * (n_kept + BATCH_ROWS) * width + 8 * shape.n_rows


FAMILY = Knn()
