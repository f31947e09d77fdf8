"""scikit-learn's histogram boosting."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    Integer,
    Params,
    Real,
    Structure,
    thinned_curve,
)
from automl_assets.core.families._hist_bins import BINNED_ROWS, binned_in_blocks
from automl_assets.core.families._skops import (
    Curve,
    SkopsFamily,
    SkopsModel,
    State,
    one_thread,
    tree_limits,
)

if TYPE_CHECKING:
    import numpy as np

MAX_ITERATIONS = 1000
PATIENCE = 30
DEFAULT_ITERATIONS = 100
"""scikit-learn's own number, for a fit that neither rows nor a number tell when to stop."""

MAX_NATIVE_CODES = 255
"""scikit-learn's bound of bins; a category with more codes is ordered by how frequent they are."""


class HistGradientBoostingModel(SkopsModel):
    """An estimator whose trees are kept as three arrays, so that a file opens at once."""

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        estimator, order = self._state["estimator"], self._state["order"]
        X = X if order is None else X[:, order]
        with one_thread():
            if self._state["shares"] is None:
                return estimator.predict(X)
            return estimator.predict_proba(X)

    def _stored(self) -> State:
        import copy

        if "estimator" not in self._state:
            return self._state
        estimator = copy.copy(self._state["estimator"])
        trees = [tree for step in estimator._predictors for tree in step]
        vars(estimator).update(_predictors=[], _feature_subsample_rng=None)
        return {**self._state, "estimator": estimator, "trees": _packed(trees)}

    @classmethod
    def restored(cls, stored: State) -> "HistGradientBoostingModel":
        """Return the model with its trees back in the estimator."""
        packed = stored.pop("trees", None)
        if packed is not None:
            estimator = stored["estimator"]
            trees, n_outputs = _unpacked(packed), estimator.n_trees_per_iteration_
            estimator._predictors = [
                trees[start : start + n_outputs] for start in range(0, len(trees), n_outputs)
            ]
        return cls(stored)


_ARRAYS = ("nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets")


def _packed(trees: list[Any]) -> "dict[str, np.ndarray]":
    import numpy as np

    packed = {}
    for name in _ARRAYS:
        arrays = [getattr(tree, name) for tree in trees]
        packed[name] = np.concatenate(arrays)
        packed[f"{name}_ends"] = np.cumsum([len(array) for array in arrays])
    return packed


def _unpacked(packed: "dict[str, np.ndarray]") -> list[Any]:
    import numpy as np
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    parts = [np.split(packed[name], packed[f"{name}_ends"][:-1]) for name in _ARRAYS]
    return [TreePredictor(*arrays) for arrays in zip(*parts, strict=True)]


class HistGradientBoosting(SkopsFamily):
    """Histogram boosting with early stopping on the validation part."""

    name = "hist_gradient_boosting"
    summary = "scikit-learn's histogram boosting"
    honours = frozenset({"monotonic", "interactions", "max_depth", "max_leaves", "max_trees"})
    parallel_share = 0.5
    model = HistGradientBoostingModel
    trusted = ("functools.partial", "sklearn.utils.validation.check_array")
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "learning_rate": Real(low=0.001, high=1.0, log=True),
        "max_leaf_nodes": Integer(low=2, high=4096, log=True),
        "max_depth": Integer(low=1, high=64),
        "min_samples_leaf": Integer(low=1, high=10_000, log=True),
        "l2_regularization": Real(low=0.0, high=1000.0),
        "max_features": Real(low=0.05, high=1.0),
        "max_bins": Integer(low=2, high=255),
    }

    def default_params(self) -> Params:
        """scikit-learn's own defaults; early stopping chooses the number of trees."""
        return {
            "learning_rate": 0.1,
            "max_leaf_nodes": 31,
            "min_samples_leaf": 20,
            "l2_regularization": 0.0,
            "max_features": 1.0,
            "max_bins": 255,
        }

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search the learning rate, the shape of trees, sampling and the penalty."""
        largest_leaf = max(2, min(200, shape.n_rows // 20))
        return {
            "learning_rate": Real(low=0.02, high=0.3, log=True),
            "max_leaf_nodes": Integer(low=4, high=min(256, max(8, shape.n_rows // 4)), log=True),
            "min_samples_leaf": Integer(low=1, high=largest_leaf, log=True),
            "l2_regularization": Real(low=1e-3, high=100.0, log=True),
            "max_features": Real(low=0.3, high=1.0),
        }

    def fit_settings(self, train: Encoded, params: Params, options: FitOptions) -> dict[str, Any]:
        """Return the arguments of the estimator."""
        structure, n_features = options.structure, len(train.n_levels)
        categorical = [i for i in train.categorical if train.n_levels[i] <= MAX_NATIVE_CODES]
        return {
            **params,
            **tree_limits(params, structure),
            "categorical_features": categorical or None,
            "interaction_cst": _interactions(structure, n_features),
            "random_state": options.seed,
            "early_stopping": True,
            "validation_fraction": None,
            "n_iter_no_change": PATIENCE,
        }

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Boost until the validation loss has not fallen for 30 rounds."""
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        order = _order(train, options.structure)
        if order is not None:
            train, validation = (
                _reordered(train, order),
                validation and _reordered(validation, order),
            )
            options = replace(options, structure=_moved(options.structure, order))
        is_regression = options.task_type == "regression"
        estimator = (
            HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
        )(**self.fit_settings(train, params, options))
        estimator.set_params(max_iter=_n_iterations(train, validation, options))
        held_out = {} if validation is None else {"X_val": validation.X, "y_val": validation.y}
        _ask_each_round(estimator, options, watches=validation is not None)
        categorical = estimator.categorical_features or []
        with (
            threadpool_limits(options.n_threads),
            binned_in_blocks(estimator, train, categorical),
        ):
            estimator.fit(train.X, train.y, **held_out)
        del estimator._check_early_stopping_loss
        # The first score is that of no trees.
        scores = np.asarray(estimator.validation_score_[1:], np.float64)
        if len(scores):
            del estimator._predictors[int(scores.argmax()) + 1 :]
        state = {"estimator": estimator, "order": order, "n_iterations": estimator.n_iter_}
        return state, thinned_curve(_losses(scores, options))

    def fewest_trees(self, shape: DataShape) -> int:
        """One for each class."""
        return shape.n_outputs

    def is_random(self, params: Params) -> bool:
        """Features are drawn where the hyperparameters say so."""
        return float(params.get("max_features") or 1.0) < 1.0

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Each tree reads the rows level by level, and all bins in each leaf.

        2,000 to 100,000 rows were measured.
        """
        params = {**self.default_params(), **params}
        n_leaves = min(int(params["max_leaf_nodes"] or 31), max(2, shape.n_rows))
        cells = shape.n_rows * shape.n_features
        bins = n_leaves * shape.n_features * int(params["max_bins"] or 255)
        tree = 1e-3 + 1.8e-9 * cells * math.log2(n_leaves) + 1.5e-8 * bins
        n_rounds = min(MAX_ITERATIONS, PATIENCE + 15.0 / float(params["learning_rate"] or 0.1))
        return 0.05 + 1e-7 * cells + n_rounds * shape.n_outputs * tree

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """The bins, twice where scikit-learn looks for missing ones, and what each row has besides.

        Validation rows, a quarter as many, are counted in, and the rows that borders of bins are
        taken from. Constants: fits of 2 and 4 million rows with 21 features.
        """
        sampled = 20 * min(shape.n_rows, BINNED_ROWS) * shape.n_features
        per_row = 2.25 * shape.n_features + 22 + 20 * shape.n_outputs
        return int(shape.n_rows * per_row) + sampled


def _order(train: Encoded, structure: Structure) -> "np.ndarray | None":
    """Return the categorical features before the others, where sets of features are bound.

    scikit-learn 1.9.1 brings them into this order itself, and takes the positions in
    `interaction_cst` for those after it; where they are first already, both are the same.
    """
    import numpy as np

    if not structure.interactions or not train.categorical:
        return None
    return np.argsort(np.array(train.n_levels) == 0, kind="stable")


def _reordered(rows: Encoded, order: "np.ndarray") -> Encoded:
    n_levels = tuple(rows.n_levels[position] for position in order)
    return replace(rows, X=rows.X[:, order], n_levels=n_levels)


def _moved(structure: Structure, order: "np.ndarray") -> Structure:
    places = {int(old): new for new, old in enumerate(order)}
    together = tuple(tuple(places[old] for old in group) for group in structure.interactions)
    monotonic = tuple(structure.monotonic[old] for old in order) if structure.monotonic else ()
    return replace(structure, interactions=together, monotonic=monotonic)


def _interactions(structure: Structure, n_features: int) -> list[tuple[int, ...]] | None:
    if not structure.interactions:
        return None
    # What is in no set acts alone; scikit-learn would put all of it in one set together.
    named = {feature for together in structure.interactions for feature in together}
    alone = [(feature,) for feature in range(n_features) if feature not in named]
    return [*structure.interactions, *alone]


def _n_iterations(train: Encoded, validation: Encoded | None, options: FitOptions) -> int:
    wanted = MAX_ITERATIONS if validation is not None else DEFAULT_ITERATIONS
    if options.n_iterations is not None:
        wanted = options.n_iterations
    if options.structure.max_trees is None:
        return wanted
    n_outputs = options.n_classes if options.n_classes > 2 else 1
    most = options.structure.max_trees // n_outputs
    if most < 1:
        raise ValueError(
            f"Boosting grows a tree for each class, but at most {options.structure.max_trees} "
            f"trees may be grown for {n_outputs} classes. Allow {n_outputs} trees or more."
        )
    return min(wanted, most)


def _ask_each_round(estimator: Any, options: FitOptions, *, watches: bool) -> None:
    """Have the caller asked after each round.

    scikit-learn has no callback: its own check of the loss, which it makes after each
    round, is the one place to ask without binning the rows again.
    """
    own_check = estimator._check_early_stopping_loss

    def check(**scores: Any) -> bool:
        if not watches:
            return options.should_stop()
        stops = own_check(**scores)
        losses = _losses(estimator.validation_score_[1:], options)
        return stops or options.ends(losses, estimator.max_iter)

    estimator._check_early_stopping_loss = check


def _losses(scores: "Sequence[float] | np.ndarray", options: FitOptions) -> list[float]:
    """Return log losses, or root mean squared errors: for values a score is half a square."""
    import numpy as np

    losses = -np.asarray(scores, np.float64)
    return (np.sqrt(2.0 * losses) if options.task_type == "regression" else losses).tolist()


FAMILY = HistGradientBoosting()
