"""The model as MLflow loads it: pandas rows in, a pandas table of predictions out.

MLflow calls `_load_pyfunc` of this module, both in this repository and from
the copy of the code that is registered with each model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.predictor import Predictor, RawColumn, load_predictor

if TYPE_CHECKING:
    import pandas as pd


def _to_polars(values: "pd.Series", column: RawColumn) -> pl.Series:
    """Convert one column; NaN, NaT, None and NA all become null."""
    if values.isna().all():
        # Without a value a type says nothing: pandas makes dates of NaT and numbers of NaN.
        return pl.Series(column.name, [None] * len(values), dtype=pl.Null)
    plain = values if isinstance(values.dtype, np.dtype) else values.astype(object)
    if plain.dtype == object:
        present = plain.astype(object).where(plain.notna(), None)
        series = pl.Series(column.name, present.to_list(), strict=False)
    else:
        series = pl.Series(column.name, plain.to_numpy(), nan_to_null=True)
    if (
        column.kind == "categorical"
        and series.dtype.is_float()
        and not column.dtype.startswith("Float")
        and bool((series.drop_nulls() % 1 == 0).all())
    ):
        # pandas turns whole numbers into floats where one is missing: "7.0" is no level, "7" is.
        return series.cast(pl.Int64)
    return series


def _require_single(model_input: "pd.DataFrame", columns: tuple[RawColumn, ...]) -> None:
    names = list(model_input.columns)
    for column in columns:
        if names.count(column.name) > 1:
            raise RequestError(
                f"Each column that the model reads is there once, but {column.name!r} is there "
                f"{names.count(column.name)} times. Leave out all but one."
            )


class PyfuncModel:
    """A predictor that speaks pandas.

    Args:
        predictor: The loaded model package.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(
        self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Predict raw rows.

        Args:
            model_input: Rows with the columns of the training table; others are ignored.
            params: Not used; MLflow passes it.

        Returns:
            `prediction`, and for classification `probability_<class>` for each
            class, with the index of the input.

        Raises:
            RequestError: A column is missing, is there twice, or does not fit its type in
                training.
        """
        _require_single(model_input, self._predictor.columns)
        frame = pl.DataFrame(
            [
                _to_polars(model_input[column.name], column)
                for column in self._predictor.columns
                if column.name in model_input.columns
            ]
        )
        return self._predictor.predict(frame).to_pandas().set_index(model_input.index)


def _load_pyfunc(data_path: str, model_config: dict[str, Any] | None = None) -> PyfuncModel:
    """Load a model package; MLflow finds this function by its name.

    Args:
        model_config: What `mlflow.pyfunc.load_model` was given: `n_threads`, the threads
            of one prediction. One by default: a server answers many requests at once.

    Raises:
        SnapshotError: A file of the package is missing, changed, or was added.
    """
    n_threads = int((model_config or {}).get("n_threads", 1))
    return PyfuncModel(load_predictor(Path(data_path), n_threads=n_threads))
