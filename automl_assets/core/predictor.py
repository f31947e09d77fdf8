"""Raw rows in, predictions out: the one path that evaluation, CLI and serving share."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.calibration import Calibration, read_calibration
from automl_assets.core.composite import load_composite
from automl_assets.core.encoding import Preprocessing, encode
from automl_assets.core.families import FittedModel, load_families
from automl_assets.core.package import (
    CALIBRATION,
    MODEL_FOLDER,
    PREPROCESSING,
    PackageManifest,
    verify_package,
)
from automl_assets.core.values import ColumnKind


@dataclass(frozen=True, kw_only=True)
class RawColumn:
    """A column that the model reads."""

    name: str
    kind: ColumnKind
    dtype: str


class Predictor:
    """A model with its preprocessing.

    Args:
        manifest: What the model is.
        preprocessing: As fitted on the train part.
        model: The trained model.
        calibration: From the model's probabilities to those that are given out.
    """

    def __init__(
        self,
        manifest: PackageManifest,
        preprocessing: Preprocessing,
        model: FittedModel,
        calibration: Calibration | None = None,
    ) -> None:
        self.manifest = manifest
        self.preprocessing = preprocessing
        self.model = model
        self.calibration = calibration

    @property
    def family(self) -> str:
        """Name of the model family, or of the ensemble."""
        return self.manifest.family

    @property
    def columns(self) -> tuple[RawColumn, ...]:
        """The raw columns that `predict` needs; others are ignored."""
        return tuple(
            RawColumn(name=column.name, kind=column.kind, dtype=column.dtype)
            for column in self.preprocessing.columns
        )

    def predict_array(self, frame: pl.DataFrame) -> np.ndarray:
        """Return probabilities `(n_rows, n_classes)` in class order, or values `(n_rows,)`.

        Raises:
            RequestError: A column is missing or does not fit its type in training.
        """
        if frame.height == 0:
            n_classes = len(self.manifest.classes)
            return np.empty((0, n_classes) if n_classes else 0)
        return self.predict_matrix(encode(frame, self.preprocessing))

    def predict_matrix(self, X: np.ndarray) -> np.ndarray:
        """Return what `predict_array` does, of rows that are encoded already; at least one."""
        prediction = self.model.predict(X)
        return prediction if self.calibration is None else self.calibration.apply(prediction)

    def decide(self, prediction: np.ndarray) -> np.ndarray:
        """Return the class code of each row of probabilities.

        It is the most probable class, the lower code of equal ones; of a binary task
        with a threshold the last class where its probability reaches that.
        """
        threshold = self.manifest.threshold
        if threshold is None:
            return prediction.argmax(axis=1)
        return (prediction[:, -1] >= threshold).astype(np.intp)

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict raw rows.

        Returns:
            `prediction`, and for classification `probability_<class>` for each
            class; rows in the order given.

        Raises:
            RequestError: A column is missing or does not fit its type in training.
        """
        return self.named(self.predict_array(frame))

    def named(self, array: np.ndarray) -> pl.DataFrame:
        """Return what `predict_array` gave as `predict` names it."""
        classes = self.manifest.classes
        if not classes:
            return pl.DataFrame({"prediction": array}, schema={"prediction": pl.Float64})
        labels = pl.Series("prediction", classes, dtype=pl.String).gather(self.decide(array))
        probabilities = {f"probability_{name}": array[:, i] for i, name in enumerate(classes)}
        return pl.DataFrame([labels]).with_columns(
            *(pl.Series(name, values, dtype=pl.Float64) for name, values in probabilities.items())
        )


def load_predictor(folder: Path, *, sha256: str | None = None, n_threads: int = 1) -> Predictor:
    """Load a model package after every file's digest was verified.

    Args:
        folder: The package.
        sha256: Expected digest of the manifest, where it is known.
        n_threads: Threads of one prediction, for families that can use more than one.

    Raises:
        SnapshotError: A file is missing, changed, or was added.
    """
    manifest = verify_package(folder, sha256=sha256)
    preprocessing = Preprocessing.model_validate_json((folder / PREPROCESSING).read_bytes())
    calibration = (
        read_calibration((folder / CALIBRATION).read_bytes()) if manifest.calibration else None
    )
    return Predictor(manifest, preprocessing, _load_model(manifest, folder, n_threads), calibration)


def _load_model(manifest: PackageManifest, folder: Path, n_threads: int) -> FittedModel:
    options = {
        "task_type": manifest.task_type,
        "n_classes": len(manifest.classes),
        "n_threads": n_threads,
    }
    if manifest.members:
        return load_composite(folder / MODEL_FOLDER, options)
    return load_families()[manifest.family].load(folder / MODEL_FOLDER, options)
