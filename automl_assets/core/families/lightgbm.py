"""LightGBM: histogram boosting that grows trees leaf by leaf."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.families._base import (
    Encoded,
    FitOptions,
    FittedModel,
    ModelFamily,
    Params,
)

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    import optuna

_FILE = "model.txt"
_MAX_ROUNDS = 3000
_PATIENCE = 50
MAX_NATIVE_CODES = 256
"""Codes up to which a column is split by sets of its levels; above, by their order of frequency.

LightGBM's own advice for many levels ("Advanced Topics: Categorical Feature Support"). On flights
with 2,988 aircraft, 1 - ROC AUC fell from 0.175 to 0.094."""
_OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}


class LightGBMModel(FittedModel):
    """A booster, cut at its best iteration."""

    def __init__(self, booster: "lightgbm.Booster", task_type: str, n_threads: int = 1) -> None:
        self._booster = booster
        self._task_type = task_type
        self._n_threads = n_threads
        self.n_iterations = booster.num_trees() // max(1, booster.num_model_per_iteration())

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        raw = np.asarray(self._booster.predict(X, num_threads=self._n_threads))
        return np.column_stack([1.0 - raw, raw]) if self._task_type == "binary" else raw

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format."""
        self._booster.save_model(folder / _FILE)


class LightGBM(ModelFamily):
    """LightGBM with early stopping on the validation part.

    The ranges are those that worked in practice (docs/decisions/0005).
    """

    name = "lightgbm"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "gradient-boosted trees, leaf by leaf"
    requirements = ("lightgbm",)
    relative_cost = 1.0

    def default_params(self) -> Params:
        """LightGBM's own defaults; early stopping chooses the number of trees."""
        return {}

    def suggest(self, trial: "optuna.Trial") -> Params:
        """Draw the learning rate, the shape of trees, sampling and penalties."""
        prefix = f"{self.name}."
        return {
            "learning_rate": trial.suggest_float(f"{prefix}learning_rate", 0.02, 0.2, log=True),
            "num_leaves": trial.suggest_int(f"{prefix}num_leaves", 8, 256, log=True),
            "min_data_in_leaf": trial.suggest_int(f"{prefix}min_data_in_leaf", 1, 200, log=True),
            "feature_fraction": trial.suggest_float(f"{prefix}feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float(f"{prefix}bagging_fraction", 0.6, 1.0),
            "lambda_l1": trial.suggest_float(f"{prefix}lambda_l1", 1e-3, 5.0, log=True),
            "lambda_l2": trial.suggest_float(f"{prefix}lambda_l2", 1e-3, 10.0, log=True),
        }

    def fit(
        self, train: Encoded, validation: Encoded, params: Params, options: FitOptions
    ) -> FittedModel:
        """Boost until the validation loss has not fallen for 50 rounds."""
        import lightgbm as lgb

        settings: dict[str, Any] = {
            "objective": _OBJECTIVES[options.task_type],
            "num_threads": options.n_threads,
            "seed": options.seed,
            # Equal predictions in every run, on any number of threads.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "bagging_freq": 1,
            **params,
        }
        if options.task_type == "multiclass":
            settings["num_class"] = options.n_classes
        categorical = [i for i in train.categorical if train.n_levels[i] <= MAX_NATIVE_CODES]
        data = lgb.Dataset(
            train.X, train.y, categorical_feature=categorical, params={"verbosity": -1}
        )
        held_out = lgb.Dataset(validation.X, validation.y, reference=data)

        def stop_on_request(env: "lightgbm.callback.CallbackEnv") -> None:
            if options.should_stop():
                scores = env.evaluation_result_list or []
                raise lgb.callback.EarlyStopException(env.iteration, scores)

        booster = lgb.train(
            settings,
            data,
            num_boost_round=_MAX_ROUNDS,
            valid_sets=[held_out],
            callbacks=[lgb.early_stopping(_PATIENCE, verbose=False), stop_on_request],
        )
        # A booster read back from text holds the best iteration's trees and no data.
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        return LightGBMModel(
            lgb.Booster(model_str=text), options.task_type, n_threads=options.n_threads
        )

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the text format; it holds numbers, never code."""
        import lightgbm as lgb

        return LightGBMModel(lgb.Booster(model_file=folder / _FILE), options["task_type"])


FAMILY = LightGBM()
