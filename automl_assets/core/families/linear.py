"""Linear models: logistic regression and ridge on scaled numbers and one-hot categories."""

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
    import numpy as np
    import optuna
    from sklearn.pipeline import Pipeline

_FILE = "model.skops"

TRUSTED_TYPES = ("numpy.dtype",)
"""The only type outside skops' own list that a file of ours holds: it names a number format."""


def _pipeline(train: Encoded, params: Params, options: FitOptions) -> "Pipeline":
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

    categorical = train.categorical
    numeric = [index for index in range(train.X.shape[1]) if index not in set(categorical)]
    scaler = (
        QuantileTransformer(
            output_distribution="normal",
            n_quantiles=min(1000, len(train.y)),
            random_state=options.seed,
        )
        if params["scaling"] == "quantile"
        else StandardScaler()
    )
    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    # The fifty most frequent levels have a column each, the rest one together.
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=50)
    columns = ColumnTransformer(
        [("numeric", make_pipeline(impute, scaler), numeric), ("categorical", one_hot, categorical)]
    )
    C = float(params["C"] or 1.0)
    if options.task_type == "regression":
        return make_pipeline(columns, Ridge(alpha=1.0 / C, random_state=options.seed))
    return make_pipeline(columns, LogisticRegression(C=C, max_iter=300, random_state=options.seed))


class LinearModel(FittedModel):
    """A fitted scikit-learn pipeline."""

    def __init__(self, pipeline: "Pipeline", task_type: str) -> None:
        self._pipeline = pipeline
        self._task_type = task_type

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        if self._task_type == "regression":
            return self._pipeline.predict(X)
        return self._pipeline.predict_proba(X)

    def save(self, folder: Path) -> None:
        """Write skops' format: arrays and names of classes, no code."""
        from skops.io import dump

        dump(self._pipeline, folder / _FILE)


class Linear(ModelFamily):
    """Logistic regression (multinomial where needed) or ridge regression."""

    name = "linear"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "logistic or ridge regression"
    requirements = ("scikit-learn", "skops")
    relative_cost = 1.5

    def default_params(self) -> Params:
        """scikit-learn's penalty, on standardised numbers."""
        return {"C": 1.0, "scaling": "standard"}

    def suggest(self, trial: "optuna.Trial") -> Params:
        """Draw the inverse penalty and how numbers are scaled."""
        prefix = f"{self.name}."
        return {
            "C": trial.suggest_float(f"{prefix}C", 1e-4, 1e3, log=True),
            "scaling": trial.suggest_categorical(f"{prefix}scaling", ["standard", "quantile"]),
        }

    def fit(
        self, train: Encoded, validation: Encoded, params: Params, options: FitOptions
    ) -> FittedModel:
        """Fit on the train part; the validation part is not used."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        pipeline = _pipeline(train, params, options)
        with warnings.catch_warnings():
            # 300 steps of lbfgs are enough to rank a candidate; its score says how good it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(train.X, train.y)
        return LinearModel(pipeline, options.task_type)

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the skops file; a type outside our list is refused."""
        from skops.io import load

        return LinearModel(load(folder / _FILE, trusted=list(TRUSTED_TYPES)), options["task_type"])


FAMILY = Linear()
