"""CatBoost: boosting of symmetric trees with ordered statistics for categories."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Choice,
    Contributions,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    FittedModel,
    Integer,
    ModelFamily,
    Params,
    Real,
    Structure,
    thinned_curve,
)
from automl_assets.core.families._boosting import tree_contributions

if TYPE_CHECKING:
    import catboost
    import numpy as np

_FILE = "model.cbm"
_PLAIN_ROUNDS = 1000
_MAX_ROUNDS = 2000
_PATIENCE = 50
_MANY_ROWS = 5_000_000
_LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}
_RATES = {
    "binary": (0.247, -5.158, -0.435),
    "multiclass": (0.02, -2.364, -0.382),
    "regression": (0.157, -4.062, -0.61),
}
"""Slope and intercept over the logarithm of rows, and slope over that of iterations, of CatBoost's
own learning rate for fits with a validation part (`options_helper.cpp` of CatBoost 1.2)."""
_NOT_CATBOOST = frozenset({"categories", "iterations"})


def _frame(X: "np.ndarray", categorical: list[int]) -> Any:
    """Return what CatBoost reads: the matrix itself, or a frame with whole-number codes.

    A column-major float32 matrix is used without a copy. CatBoost refuses
    categories written as floats, hence the frame where there are any.
    """
    if not categorical:
        # CatBoost makes the array it is given read-only: a view keeps the caller's writable.
        return X.view()
    import numpy as np
    import pandas as pd

    columns = {index: X[:, index] for index in range(X.shape[1])}
    columns |= {index: X[:, index].astype(np.int32) for index in categorical}
    return pd.DataFrame(columns, copy=False)


class CatBoostModel(FittedModel):
    """A CatBoost model, cut at its best iteration."""

    def __init__(
        self,
        model: "catboost.CatBoost",
        task_type: str,
        n_threads: int = 1,
        losses: list[float] | None = None,
    ) -> None:
        self._model = model
        self._task_type = task_type
        self._n_threads = n_threads
        self._categorical = list(model.get_cat_feature_indices())
        self.n_iterations = model.tree_count_
        self.curve = thinned_curve(losses or [])

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        kind = "RawFormulaVal" if self._task_type == "regression" else "Probability"
        return np.asarray(
            self._model.predict(
                _frame(X, self._categorical), prediction_type=kind, thread_count=self._n_threads
            )
        )

    def contributions(self, X: "np.ndarray", *, background: "np.ndarray") -> Contributions:
        """Return CatBoost's own Shapley values, and its raw predictions."""
        import numpy as np
        from catboost import Pool

        pool = Pool(_frame(X, self._categorical), cat_features=self._categorical or None)
        found = self._model.get_feature_importance(
            data=pool, type="ShapValues", thread_count=self._n_threads
        )
        margin = self._model.predict(
            pool, prediction_type="RawFormulaVal", thread_count=self._n_threads
        )
        return tree_contributions(np.asarray(found), np.asarray(margin))

    def save(self, folder: Path) -> None:
        """Write CatBoost's binary format."""
        self._model.save_model(str(folder / _FILE), format="cbm")


class CatBoost(ModelFamily):
    """CatBoost with early stopping on the validation part.

    The ranges are those that worked in practice (docs/decisions/0005).
    `categories` is ours: `native` gives them to CatBoost's ordered statistics,
    `codes` takes codes as ordered numbers, which costs a fraction of the time.
    """

    name = "catboost"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "gradient-boosted symmetric trees"
    requirements = ("catboost",)
    honours = frozenset({"monotonic", "max_depth", "max_leaves", "max_trees"})
    parallel_share = 0.8
    gpu = True
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "iterations": Integer(low=1, high=100_000, log=True),
        "learning_rate": Real(low=1e-4, high=1.0, log=True),
        "depth": Integer(low=1, high=16),
        "l2_leaf_reg": Real(low=0.0, high=1e4),
        "random_strength": Real(low=0.0, high=100.0),
        "bagging_temperature": Real(low=0.0, high=100.0),
        "rsm": Real(low=0.01, high=1.0),
        "border_count": Integer(low=1, high=65_535, log=True),
        "grow_policy": Choice(values=("SymmetricTree", "Depthwise", "Lossguide")),
        "max_leaves": Integer(low=2, high=64),
        "min_data_in_leaf": Integer(low=1, high=1_000_000, log=True),
        "leaf_estimation_iterations": Integer(low=1, high=20),
        "categories": Choice(values=("native", "codes")),
        "one_hot_max_size": Integer(low=2, high=255, log=True),
        "max_ctr_complexity": Integer(low=1, high=8),
        "model_size_reg": Real(low=0.0, high=100.0),
    }

    def default_params(self) -> Params:
        """CatBoost's own defaults; it derives the learning rate from the rows."""
        return {}

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Return the learning rate, depth, penalty, randomness and the way with categories."""
        deepest = 9 if shape.n_rows > 2000 else 7
        space: dict[str, Dimension] = {
            "learning_rate": Real(low=0.03, high=0.2, log=True),
            "depth": Integer(low=4, high=deepest),
            "l2_leaf_reg": Real(low=0.5, high=15.0, log=True),
            "random_strength": Real(low=0.1, high=3.0),
            "bagging_temperature": Real(low=0.0, high=1.0),
            "border_count": Choice(values=(64,) if shape.n_rows > _MANY_ROWS else (128,)),
        }
        if any(shape.n_levels):
            space["categories"] = Choice(values=("codes", "native"))
            space["one_hot_max_size"] = Choice(values=(2, 10, 32))
            space["max_ctr_complexity"] = Choice(values=(1, 2))
        if shape.n_features > 20:
            space["rsm"] = Real(low=0.4, high=1.0)
        return space

    def is_random(self, params: Params) -> bool:
        """Its scores of splits and its bootstrap draw on the seed."""
        return True

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Return rounds x levels x (cells + statistics of the native categories).

        Constants: fits of 5,000 to 100,000 synthetic rows, 0 or 4 categories, 2 or 6 classes.
        """
        rate = float(params.get("learning_rate") or _own_rate("binary", shape.n_rows, 1000))
        depth = int(params.get("depth") or 6)
        rounds = min(_most_rounds(params), 35.0 / rate + _PATIENCE)
        small = int(params.get("one_hot_max_size") or 2)
        native = params.get("categories") != "codes"
        counted = sum(n > small for n in shape.n_levels) if native else 0
        complexity = min(int(params.get("max_ctr_complexity") or 4), max(1, counted))
        per_level = _SECONDS_PER_CELL * shape.n_rows * (
            shape.n_features * float(params.get("rsm") or 1.0) * shape.n_outputs**0.8
        ) + _SECONDS_PER_COUNT * shape.n_rows * counted * (1.0 + 0.5 * (complexity > 1))
        leaves = _SECONDS_PER_LEAF * 2**depth * shape.n_features
        once = (_SECONDS_PER_ROW * shape.n_rows + leaves) * shape.n_outputs
        per_round = depth * per_level + once
        return 0.1 + rounds * per_round

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """Return about 200 bytes a row, more where categories are counted or classes are many.

        Validation rows, a quarter as many, are counted in. Constants: fits of 2 and 4 million
        rows with 21 features.
        """
        native = params.get("categories") != "codes"
        counted = sum(1 for n in shape.n_levels if n) if native else 0
        depth = int(params.get("depth") or 6)
        return (
            shape.n_rows * (2 * shape.n_features + 60 * counted + 64 * shape.n_outputs + 100)
            + 2**depth * shape.n_features * 256 * 8 * shape.n_outputs
        )

    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Boost until the validation loss has not fallen for 50 rounds."""
        from catboost import CatBoost as Estimator
        from catboost import Pool

        stops_early = validation is not None and options.n_iterations is None
        categorical = [] if params.get("categories") == "codes" else train.categorical
        settings = _settings(train, params, options, stops_early)
        losses: list[float] = []

        class _Watch:
            def after_iteration(self, info: Any) -> bool:
                if stops_early:
                    losses.append(info.metrics["validation"][_LOSSES[options.task_type]][-1])
                ends = options.ends(losses, settings["iterations"])
                return info.iteration != options.n_iterations and not ends

        pools = [
            Pool(_frame(part.X, categorical), part.y, cat_features=categorical or None)
            for part in ((train, validation) if stops_early and validation else (train,))
        ]
        model = Estimator(settings)
        # A graphics processor allows no callbacks: its fit ends with its rounds.
        watched = {} if _on_gpu(options) else {"callbacks": [_Watch()]}
        model.fit(pools[0], eval_set=pools[1] if stops_early else None, **watched)
        return CatBoostModel(model, options.task_type, options.n_threads, losses)

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the binary format; its digest was verified, since the parser trusts its input."""
        from catboost import CatBoost as Estimator

        model = Estimator()
        model.load_model(str(folder / _FILE), format="cbm")
        return CatBoostModel(model, options["task_type"])


_SECONDS_PER_CELL = 2.2e-9
_SECONDS_PER_COUNT = 2.0e-8
_SECONDS_PER_ROW = 1.7e-8
_SECONDS_PER_LEAF = 2.0e-6


def _own_rate(task_type: str, n_rows: int, iterations: int) -> float:
    """Return CatBoost's own learning rate.

    CatBoost takes another one where there is no validation part. To fit again
    what an earlier fit found, the rate must not depend on that.
    """
    slope, intercept, fading = _RATES[task_type]
    rate = math.exp(slope * math.log(n_rows) + intercept) * (iterations / 1000) ** fading
    return round(min(rate, 0.5), 6)


def _on_gpu(options: FitOptions) -> bool:
    """Whether to fit on a graphics processor, where CatBoost binds no directions."""
    return options.use_gpu and not any(options.structure.monotonic)


def _most_rounds(params: Params) -> int:
    """Return the cap of rounds that the hyperparameters set."""
    plain = _MAX_ROUNDS if "learning_rate" in params else _PLAIN_ROUNDS
    return int(params.get("iterations") or plain)


def _settings(
    train: Encoded, params: Params, options: FitOptions, stops_early: bool
) -> dict[str, Any]:
    """Return what CatBoost is told: the hyperparameters, bound by the structure."""
    n_rows = len(train.y)
    cap = _most_rounds(params)
    exact = options.n_iterations or 0
    rounds = exact if _on_gpu(options) and exact else max(cap, exact)
    settings: dict[str, Any] = {
        "loss_function": _LOSSES[options.task_type],
        # Settings that CatBoost derives from the rounds must be those of the first fit, so a
        # fit of exactly so many rounds plans as many as that one and is stopped on the way.
        "iterations": min(rounds, options.structure.max_trees or rounds),
        "learning_rate": _own_rate(options.task_type, n_rows, cap),
        "random_seed": options.seed,
        "thread_count": options.n_threads,
        "border_count": 64 if n_rows > _MANY_ROWS else 254,
        "use_best_model": stops_early,
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
        **{name: value for name, value in params.items() if name not in _NOT_CATBOOST},
    }
    if stops_early:
        settings |= {"od_type": "Iter", "od_wait": _PATIENCE}
    if "bagging_temperature" in params:
        settings["bootstrap_type"] = "Bayesian"
    if options.task_type == "multiclass":
        settings["classes_count"] = options.n_classes  # a fold may lack a class
    if _on_gpu(options):
        settings.pop("rsm", None)
        settings["task_type"] = "GPU"
    _bind(settings, options.structure)
    return settings


def _bind(settings: dict[str, Any], structure: Structure) -> None:
    """Bound depth, leaves and directions, whatever the hyperparameters say."""
    if any(structure.monotonic):
        settings["monotone_constraints"] = list(structure.monotonic)
        settings["grow_policy"] = "SymmetricTree"
        # Combined statistics split numbers too, and there the direction is not bound.
        settings["max_ctr_complexity"] = 1
    policy = settings.get("grow_policy", "SymmetricTree")
    if policy != "Lossguide":
        settings.pop("max_leaves", None)
    if policy == "SymmetricTree":
        settings.pop("min_data_in_leaf", None)
    depth = min(int(settings.get("depth", 6)), structure.max_depth or 16)
    if structure.max_leaves is not None and policy == "Lossguide":
        settings["max_leaves"] = min(int(settings.get("max_leaves", 31)), structure.max_leaves)
    elif structure.max_leaves is not None:
        depth = min(depth, int(math.log2(structure.max_leaves)))
    settings["depth"] = depth


FAMILY = CatBoost()
