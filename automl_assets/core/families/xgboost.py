"""XGBoost: histogram boosting with second-order penalties."""

import json
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
from automl_assets.core.families._boosting import (
    best_round,
    draws_some,
    most_rounds,
    tree_contributions,
)

if TYPE_CHECKING:
    import numpy as np
    import xgboost

_FILE = "model.ubj"
_MAX_ROUNDS = 3000
_PLAIN_ROUNDS = 100
_PATIENCE = 50
_MANY_ROWS = 5_000_000
MAX_NATIVE_CODES = 64
"""Codes up to which a column is split by sets of its levels; above, by their order of frequency.

XGBoost's own default of `max_cat_threshold`, the most levels that it weighs for one split."""
_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}
_LOSSES = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}


class XGBoostModel(FittedModel):
    """A booster, cut at its best iteration."""

    def __init__(
        self,
        booster: "xgboost.Booster",
        task_type: str,
        n_threads: int = 1,
        losses: list[float] | None = None,
    ) -> None:
        booster.set_param({"nthread": n_threads})
        self._booster = booster
        self._task_type = task_type
        self.n_iterations = booster.num_boosted_rounds()
        self.curve = thinned_curve(losses or [])

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        raw = np.asarray(self._booster.inplace_predict(X), dtype=np.float64)
        if self._task_type == "binary":
            return np.column_stack([1.0 - raw, raw])
        # Probabilities come as float32: they sum to one only after they are divided again.
        return raw / raw.sum(axis=1, keepdims=True) if self._task_type == "multiclass" else raw

    def contributions(self, X: "np.ndarray", *, background: "np.ndarray") -> Contributions:
        """Return XGBoost's own Shapley values, and its raw predictions, both float32."""
        import xgboost as xgb

        rows = xgb.DMatrix(X, feature_types=self._booster.feature_types, enable_categorical=True)
        found = self._booster.predict(rows, pred_contribs=True, strict_shape=True)
        margin = self._booster.predict(rows, output_margin=True, strict_shape=True)
        return tree_contributions(found, margin)

    def save(self, folder: Path) -> None:
        """Write XGBoost's binary JSON."""
        self._booster.save_model(folder / _FILE)


class XGBoost(ModelFamily):
    """XGBoost with early stopping on the validation part.

    The ranges are those that worked in practice (docs/decisions/0005).
    """

    name = "xgboost"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "gradient-boosted trees, level by level or leaf by leaf"
    requirements = ("xgboost-cpu",)
    honours = frozenset({"monotonic", "interactions", "max_depth", "max_leaves", "max_trees"})
    parallel_share = 0.7
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "n_estimators": Integer(low=1, high=100_000, log=True),
        "learning_rate": Real(low=1e-4, high=1.0, log=True),
        "grow_policy": Choice(values=("depthwise", "lossguide")),
        "max_depth": Integer(low=1, high=32),
        "max_leaves": Integer(low=0, high=4096),
        "min_child_weight": Real(low=0.0, high=1e6),
        "gamma": Real(low=0.0, high=1e4),
        "max_delta_step": Real(low=0.0, high=100.0),
        "subsample": Real(low=0.01, high=1.0),
        "colsample_bytree": Real(low=0.01, high=1.0),
        "colsample_bylevel": Real(low=0.01, high=1.0),
        "colsample_bynode": Real(low=0.01, high=1.0),
        "reg_alpha": Real(low=0.0, high=1e4),
        "reg_lambda": Real(low=0.0, high=1e4),
        "max_bin": Integer(low=2, high=65_535, log=True),
        "max_cat_to_onehot": Integer(low=1, high=256, log=True),
        "max_cat_threshold": Integer(low=1, high=10_000, log=True),
    }

    def default_params(self) -> Params:
        """XGBoost's own defaults; early stopping chooses the number of trees."""
        return {}

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Return the learning rate, the shape of trees, sampling and penalties."""
        # A tree twice as deep as there are bits in the number of rows only copies rows.
        deepest = min(11, max(5, int(math.log2(max(2, shape.n_rows)))))
        space: dict[str, Dimension] = {
            "learning_rate": Real(low=0.02, high=0.2, log=True),
            "grow_policy": Choice(values=("depthwise", "lossguide")),
            "max_depth": Integer(low=3, high=deepest),
            "min_child_weight": Real(low=0.1, high=50.0, log=True),
            "subsample": Real(low=0.6, high=1.0),
            "colsample_bytree": Real(low=0.4, high=1.0),
            "colsample_bylevel": Real(low=0.5, high=1.0),
            "reg_alpha": Real(low=1e-3, high=5.0, log=True),
            "reg_lambda": Real(low=1e-2, high=10.0, log=True),
        }
        if shape.n_rows > _MANY_ROWS:
            space["max_bin"] = Choice(values=(64,))
        if any(1 < n <= MAX_NATIVE_CODES for n in shape.n_levels):
            space["max_cat_to_onehot"] = Choice(values=(1, 4, 16))
        return space

    def fewest_trees(self, shape: DataShape) -> int:
        """One for each class."""
        return shape.n_outputs

    def is_random(self, params: Params) -> bool:
        """Rows or features are drawn where the hyperparameters say so."""
        return draws_some(params, "subsample", "colsample_bytree", "colsample_bylevel")

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Return rounds x (histograms of the rows on each level + the search of each leaf).

        Constants: least squares over fits of 5,000 to 100,000 synthetic rows with 10 to 50
        features, 0 or 4 of them categories, and 2 or 6 classes, on one thread of about 3 GHz.
        """
        rate = float(params.get("learning_rate") or 0.3)
        depth = int(params.get("max_depth") or 6)
        rounds = min(int(params.get("n_estimators") or _MAX_ROUNDS), 25.0 / rate + _PATIENCE)
        share = float(params.get("colsample_bytree") or 1.0)
        share *= float(params.get("colsample_bylevel") or 1.0)
        features = shape.n_features * share
        nodes = min(2.0**depth, shape.n_rows / 4)
        per_tree = (
            _SECONDS_PER_CELL * shape.n_rows * (features + _ROW_CELLS) * depth
            + _SECONDS_PER_SCAN * nodes * features
        )
        return 0.05 + rounds * shape.n_outputs * per_tree

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """Return the bins by column and by row, gradients, scores and histograms.

        Validation rows, a quarter as many, are counted in. Constants: fits of 2 and 4 million
        rows with 21 features.
        """
        depth = int(params.get("max_depth") or 6)
        cell = 1 if int(params.get("max_bin") or 256) <= 256 else 2
        per_row = 2.5 * cell * shape.n_features + 28 * shape.n_outputs + 32
        return int(shape.n_rows * per_row) + 2 ** min(depth, 12) * shape.n_features * 256 * 16

    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Boost until the validation loss has not fallen for 50 rounds."""
        import xgboost as xgb

        stops_early = validation is not None and options.n_iterations is None
        settings = _settings(train, params, options)
        kinds = ["c" if 0 < n <= MAX_NATIVE_CODES else "q" for n in train.n_levels]
        shared: dict[str, Any] = {
            "feature_types": kinds,
            "enable_categorical": True,
            "max_bin": settings["max_bin"],
            "nthread": options.n_threads,
        }
        data = xgb.QuantileDMatrix(train.X, train.y, **shared)
        evals = []
        if stops_early and validation is not None:
            held_out = xgb.QuantileDMatrix(validation.X, validation.y, ref=data, **shared)
            evals = [(held_out, "validation")]
        history: dict[str, Any] = {}
        n_most = most_rounds(params, options, _MAX_ROUNDS if stops_early else _PLAIN_ROUNDS)
        booster = xgb.train(
            settings,
            data,
            num_boost_round=n_most,
            evals=evals,
            evals_result=history,
            verbose_eval=False,
            callbacks=_callbacks(options, n_most, stops_early=stops_early),
        )
        losses = _losses(history, options)
        if losses:
            booster = booster[: best_round(losses)]
        return XGBoostModel(booster, options.task_type, options.n_threads, losses)

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the binary JSON; it holds numbers, never code."""
        import xgboost as xgb

        return XGBoostModel(xgb.Booster(model_file=folder / _FILE), options["task_type"])


# Seconds of one core of about 3 GHz.
_SECONDS_PER_CELL = 1.1e-9
_SECONDS_PER_SCAN = 7e-7
# A row costs as much as so many cells.
_ROW_CELLS = 6


def _losses(history: Any, options: FitOptions) -> list[float]:
    return history.get("validation", {}).get(_LOSSES[options.task_type], [])


def _callbacks(options: FitOptions, n_most: int, *, stops_early: bool) -> list[Any]:
    """Return what ends a fit: the caller's wish, and the patience."""
    from xgboost.callback import EarlyStopping, TrainingCallback

    class _Stop(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return options.ends(_losses(evals_log, options), n_most)

    return [_Stop(), EarlyStopping(rounds=_PATIENCE)] if stops_early else [_Stop()]


def _settings(train: Encoded, params: Params, options: FitOptions) -> dict[str, Any]:
    """Return what XGBoost is told: the hyperparameters, bound by the structure."""
    settings: dict[str, Any] = {
        "objective": _OBJECTIVES[options.task_type],
        "eval_metric": _LOSSES[options.task_type],
        "tree_method": "hist",
        "nthread": options.n_threads,
        "seed": options.seed,
        "verbosity": 0,
        "max_bin": 64 if len(train.y) > _MANY_ROWS else 256,
        **{name: value for name, value in params.items() if name != "n_estimators"},
    }
    if options.task_type == "multiclass":
        settings["num_class"] = options.n_classes
    _bind(settings, options.structure, train.X.shape[1])
    return settings


def _bind(settings: dict[str, Any], structure: Structure, n_features: int) -> None:
    """Bound depth, leaves, directions and interactions, whatever the hyperparameters say."""
    if structure.max_depth is not None:
        settings["max_depth"] = min(int(settings.get("max_depth", 6)), structure.max_depth)
    if structure.max_leaves is not None:
        asked = int(settings.get("max_leaves", 0))
        settings["max_leaves"] = min(asked or structure.max_leaves, structure.max_leaves)
    if structure.monotonic:
        settings["monotone_constraints"] = tuple(structure.monotonic)
    if structure.interactions:
        named = {feature for group in structure.interactions for feature in group}
        alone = [[feature] for feature in range(n_features) if feature not in named]
        # As text: a list would need names of features, which a matrix has not.
        sets = [*map(list, structure.interactions), *alone]
        settings["interaction_constraints"] = json.dumps(sets)


FAMILY = XGBoost()
