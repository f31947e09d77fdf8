"""A single tree that fits on a page."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from automl_assets.core.families._base import (
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    Integer,
    Params,
    Real,
)
from automl_assets.core.families._skops import Curve, SkopsFamily, SkopsModel, State, tree_limits

if TYPE_CHECKING:
    import numpy as np

MAX_DEPTH = 5


class DecisionTreeModel(SkopsModel):
    """One tree of scikit-learn."""

    def _predict(self, X: "np.ndarray") -> "np.ndarray":
        estimator = self._state["estimator"]
        if self._state["shares"] is None:
            return estimator.predict(X)
        return estimator.predict_proba(X)


class DecisionTree(SkopsFamily):
    """A tree of at most five splits from the root to a leaf."""

    name = "decision_tree"
    summary = "one small tree that a person can read"
    honours = frozenset({"monotonic", "max_depth", "max_leaves", "max_trees"})
    interpretable = True
    by_default = False
    model = DecisionTreeModel
    trusted = ("sklearn.tree._tree.Tree",)
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "max_depth": Integer(low=1, high=MAX_DEPTH),
        "max_leaf_nodes": Integer(low=2, high=2**MAX_DEPTH),
        "min_samples_leaf": Integer(low=1, high=10_000, log=True),
        "ccp_alpha": Real(low=0.0, high=1.0),
    }

    def default_params(self) -> Params:
        """As deep as is readable."""
        return {
            "max_depth": MAX_DEPTH,
            "max_leaf_nodes": 2**MAX_DEPTH,
            "min_samples_leaf": 5,
            "ccp_alpha": 0.0,
        }

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Search the depth and the size of leaves."""
        return {
            "max_depth": Integer(low=2, high=MAX_DEPTH),
            "max_leaf_nodes": Integer(low=4, high=2**MAX_DEPTH),
            "min_samples_leaf": Integer(low=1, high=max(2, min(500, shape.n_rows // 10)), log=True),
        }

    def learn(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> tuple[State, Curve]:
        """Grow the tree; the validation part is not used."""
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        kind = (
            DecisionTreeRegressor if options.task_type == "regression" else DecisionTreeClassifier
        )
        estimator = kind(
            **{**params, **tree_limits(params, options.structure)}, random_state=options.seed
        )
        estimator.fit(train.X, train.y)
        n_leaves = int(estimator.get_n_leaves())
        # The rule of succession for a leaf of average size; of each leaf, it could turn a slope.
        return {"estimator": estimator, "blend": n_leaves / (len(train.y) + n_leaves)}, ()

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Each level sorts what is left of every column; 2,000 to 20,000 rows were measured."""
        n_sorted = shape.n_rows * shape.n_features * math.log2(2 + shape.n_rows)
        return 0.005 + 7.4e-9 * n_sorted * int(params.get("max_depth") or MAX_DEPTH)

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """The order of rows, one column at a time, and the target as float64."""
        return 10_000_000 + 40 * shape.n_rows


FAMILY = DecisionTree()
