"""CatBoost: boosting of symmetric trees with ordered statistics for categories."""

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
    import catboost
    import numpy as np
    import optuna

_FILE = "model.cbm"
_MAX_ROUNDS = 2000
_PATIENCE = 50
_LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


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

    columns = set(categorical)
    return pd.DataFrame(
        {
            index: X[:, index].astype(np.int32) if index in columns else X[:, index]
            for index in range(X.shape[1])
        },
        copy=False,
    )


class CatBoostModel(FittedModel):
    """A CatBoost model, cut at its best iteration."""

    def __init__(self, model: "catboost.CatBoost", task_type: str, n_threads: int = 1) -> None:
        self._model = model
        self._task_type = task_type
        self._n_threads = n_threads
        self._categorical = list(model.get_cat_feature_indices())
        self.n_iterations = model.tree_count_

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        kind = "RawFormulaVal" if self._task_type == "regression" else "Probability"
        return np.asarray(
            self._model.predict(
                _frame(X, self._categorical), prediction_type=kind, thread_count=self._n_threads
            )
        )

    def save(self, folder: Path) -> None:
        """Write CatBoost's binary format."""
        self._model.save_model(str(folder / _FILE), format="cbm")


class CatBoost(ModelFamily):
    """CatBoost with early stopping on the validation part.

    The ranges are those that worked in practice (docs/decisions/0005).
    """

    name = "catboost"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "gradient-boosted symmetric trees"
    requirements = ("catboost",)
    relative_cost = 2.0

    def default_params(self) -> Params:
        """CatBoost's own defaults; it derives the learning rate from the rows."""
        return {}

    def suggest(self, trial: "optuna.Trial") -> Params:
        """Draw the learning rate, depth, penalty and randomness."""
        prefix = f"{self.name}."
        return {
            "learning_rate": trial.suggest_float(f"{prefix}learning_rate", 0.03, 0.2, log=True),
            "depth": trial.suggest_int(f"{prefix}depth", 4, 9),
            "l2_leaf_reg": trial.suggest_float(f"{prefix}l2_leaf_reg", 0.5, 15.0, log=True),
            "random_strength": trial.suggest_float(f"{prefix}random_strength", 0.1, 3.0),
            "bagging_temperature": trial.suggest_float(f"{prefix}bagging_temperature", 0.0, 1.0),
        }

    def fit(
        self, train: Encoded, validation: Encoded, params: Params, options: FitOptions
    ) -> FittedModel:
        """Boost until the validation loss has not fallen for 50 rounds."""
        from catboost import CatBoost as Estimator
        from catboost import Pool

        class _Stop:
            def after_iteration(self, info: Any) -> bool:
                return not options.should_stop()

        settings: dict[str, Any] = {
            "loss_function": _LOSSES[options.task_type],
            "iterations": _MAX_ROUNDS if "learning_rate" in params else 1000,
            "random_seed": options.seed,
            "thread_count": options.n_threads,
            "border_count": 128,
            "od_type": "Iter",
            "od_wait": _PATIENCE,
            "use_best_model": True,
            "allow_writing_files": False,
            "logging_level": "Silent",
            **params,
        }
        if "bagging_temperature" in params:
            settings["bootstrap_type"] = "Bayesian"
        categorical = train.categorical
        pools = [
            Pool(_frame(part.X, categorical), part.y, cat_features=categorical or None)
            for part in (train, validation)
        ]
        model = Estimator(settings)
        model.fit(pools[0], eval_set=pools[1], callbacks=[_Stop()])
        return CatBoostModel(model, options.task_type, n_threads=options.n_threads)

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the binary format; its digest was verified, since the parser trusts its input."""
        from catboost import CatBoost as Estimator

        model = Estimator()
        model.load_model(str(folder / _FILE), format="cbm")
        return CatBoostModel(model, options["task_type"])


FAMILY = CatBoost()
