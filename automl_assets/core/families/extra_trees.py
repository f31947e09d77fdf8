"""Extremely randomised trees (Geurts, Ernst and Wehenkel, 2006), kept small."""

import math
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
    Real,
    thinned_curve,
)
from automl_assets.core.families._skops import (
    Curve,
    SkopsFamily,
    SkopsModel,
    State,
    mean_loss,
    tree_limits,
)

if TYPE_CHECKING:
    import numpy as np

TREES_AT_ONCE = 10
"""Trees between two questions whether to stop."""


class ExtraTreesModel(SkopsModel):
    """A forest of scikit-learn."""

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        return _forest_prediction(self._state["estimator"].estimators_, X)


def _forest_prediction(trees: list[Any], X: "np.ndarray") -> "np.ndarray":
    """Return the mean of the trees.

    In the order of the trees: the forest's own method adds them up in the order in which
    threads finish, and checks the rows for each call, which costs more than a row takes.
    """
    total = trees[0].tree_.predict(X)
    for tree in trees[1:]:
        total += tree.tree_.predict(X)
    return total / len(trees)


class ExtraTrees(SkopsFamily):
    """A forest of random cuts, with few enough leaves to be served."""

    name = "extra_trees"
    summary = "forest of extremely randomised trees"
    honours = frozenset({"monotonic", "max_depth", "max_leaves", "max_trees"})
    parallel_share = 0.6
    by_default = False
    model = ExtraTreesModel
    trusted = ("sklearn.tree._tree.Tree",)
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "n_estimators": Integer(low=10, high=1000, log=True),
        "max_leaf_nodes": Integer(low=2, high=65_536, log=True),
        "max_depth": Integer(low=1, high=64),
        "min_samples_leaf": Integer(low=1, high=10_000, log=True),
        "max_features": Real(low=0.05, high=1.0),
        "bootstrap": Choice(values=(False, True)),
    }

    def default_params(self) -> Params:
        """Half of the features for a cut, and leaves that keep the model at a few megabytes."""
        return {
            "n_estimators": 100,
            "max_leaf_nodes": 1024,
            "min_samples_leaf": 2,
            "max_features": 0.5,
            "bootstrap": False,
        }

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search the size of trees and how random their cuts are."""
        largest_leaf = max(2, min(50, shape.n_rows // 50))
        return {
            "max_leaf_nodes": Integer(low=64, high=2048, log=True),
            "min_samples_leaf": Integer(low=1, high=largest_leaf, log=True),
            "max_features": Real(low=0.2, high=1.0),
        }

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Grow ten trees at a time until the number is reached or time is up."""
        import numpy as np
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        kind = ExtraTreesRegressor if options.task_type == "regression" else ExtraTreesClassifier
        limits = tree_limits(params, options.structure)
        estimator = kind(
            **{**params, **limits},
            warm_start=True,
            n_jobs=options.n_threads,
            random_state=options.seed,
        )
        n_wanted = _n_trees(params, options)
        classes = np.unique(train.y) if options.n_classes else np.empty(0)
        n_trees, total, steps, losses = 0, 0.0, [], []
        while n_trees < n_wanted:
            n_before = n_trees
            n_trees = min(n_wanted, n_trees + max(1, min(TREES_AT_ONCE, n_trees)))
            estimator.set_params(n_estimators=n_trees).fit(train.X, train.y)
            if validation is not None:
                new = estimator.estimators_[n_before:]
                total = total + len(new) * _forest_prediction(new, validation.X)
                steps.append(n_trees)
                losses.append(mean_loss(validation.y, total / n_trees, classes))
            if options.should_stop():
                break
        curve = tuple((steps[number - 1], loss) for number, loss in thinned_curve(losses))
        state = {"estimator": estimator, "n_iterations": n_trees}
        return {**state, "blend": _blend(estimator, len(train.y))}, curve

    def is_random(self, params: Params) -> bool:
        """Its splits are drawn."""
        return True

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Each level of a tree reads a part of the columns; 2,000 to 100,000 rows were measured."""
        params = {**self.default_params(), **params}
        n_trees, n_leaves = int(params["n_estimators"] or 100), _leaves(shape, params)
        read = shape.n_rows * shape.n_features * float(params["max_features"] or 1.0)
        level = 1.3e-8 * (1.0 if shape.n_classes else 1.6)
        return n_trees * (1e-3 + level * read * math.log2(n_leaves))

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """The nodes of all trees, and the order of rows for the one that grows."""
        params = {**self.default_params(), **params}
        n_nodes = 2 * _leaves(shape, params) * int(params["n_estimators"] or 100)
        return 10_000_000 + 40 * shape.n_rows + n_nodes * (64 + 8 * max(1, shape.n_classes))


def _leaves(shape: DataShape, params: Params) -> int:
    """Return about how many leaves a tree has."""
    fit_in = shape.n_rows // int(params["min_samples_leaf"] or 1)
    return max(2, min(int(params["max_leaf_nodes"] or 1024), fit_in))


def _n_trees(params: Params, options: FitOptions) -> int:
    wanted = options.n_iterations or int(params["n_estimators"] or 100)
    return min(wanted, options.structure.max_trees or wanted)


def _blend(estimator: Any, n_rows: int) -> float:
    """Return the weight of the shares of classes: a row beside those of a leaf in each tree."""
    n_leaves = sum(tree.get_n_leaves() for tree in estimator.estimators_)
    leaf_rows = n_rows * len(estimator.estimators_) / n_leaves
    return float(1.0 / (1.0 + len(estimator.estimators_) * leaf_rows))


FAMILY = ExtraTrees()
