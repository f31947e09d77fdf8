"""The probe set: a few rows whose predictions are kept, to know the model by them later.

A model that is loaded again, served elsewhere or fitted again predicts the
probe rows; the digest of its predictions is compared with the recorded one.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import publish_bytes
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import Predictor
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.values import DataSnapshot, Split, Value

MAX_PROBE_ROWS = 2_048

PROBE, PROBE_PREDICTIONS = "probe.json", "probe.npy"
"""Files of the report folder."""


class Probe(Value):
    """Rows of a snapshot, and the digest of what a model predicts for them."""

    rows: tuple[int, ...] = Field(
        max_length=MAX_PROBE_ROWS, description="Row numbers in the snapshot, sorted."
    )
    seed: int = Field(description="Decided which rows of the analysis part were drawn.")
    predictions_sha256: str = Field(
        description="SHA-256 of the predictions as little-endian float64, row after row."
    )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)


def predictions_sha256(predictions: np.ndarray) -> str:
    """Return the digest of predictions, the same on machines of either byte order.

    Examples:
        >>> predictions_sha256(np.array([0.5]))[:8] == predictions_sha256(np.array([[0.5]]))[:8]
        True
    """
    return hashlib.sha256(np.ascontiguousarray(predictions, dtype="<f8").tobytes()).hexdigest()


def make_probe(
    predictor: Predictor,
    snapshot: DataSnapshot,
    split: Split,
    *,
    store: SnapshotStore,
    seed: int,
) -> tuple[Probe, np.ndarray]:
    """Draw probe rows from the analysis part and predict them.

    Args:
        seed: Decides which rows are drawn, where there are more than enough.

    Returns:
        The probe and what `Predictor.predict_array` says of its rows, float64.
    """
    rows = read_rows(split, "analysis", store)
    if len(rows) > MAX_PROBE_ROWS:
        drawn = np.random.default_rng(seed).choice(len(rows), MAX_PROBE_ROWS, replace=False)
        rows = rows[np.sort(drawn)]
    predictions = _predict(predictor, rows, snapshot, store)
    digest = predictions_sha256(predictions)
    probe = Probe(rows=tuple(rows.tolist()), seed=seed, predictions_sha256=digest)
    return probe, predictions


def probe_predictions(
    predictor: Predictor, probe: Probe, snapshot: DataSnapshot, store: SnapshotStore
) -> np.ndarray:
    """Return what a model predicts for the rows of a probe, float64.

    Raises:
        RequestError: The rows do not have the columns that the model reads.
        SnapshotError: The rows cannot be read any more.
    """
    return _predict(predictor, np.array(probe.rows, np.int64), snapshot, store)


def write_probe(folder: Path, probe: Probe, predictions: np.ndarray) -> None:
    """Write a probe and its predictions; equal arguments give equal bytes."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(predictions, dtype="<f8"), allow_pickle=False)
    publish_bytes(folder / PROBE_PREDICTIONS, content.getvalue())
    # Last: who finds it finds the predictions.
    publish_bytes(folder / PROBE, json.dumps(probe.model_dump(mode="json")).encode() + b"\n")


def read_probe(folder: Path) -> tuple[Probe, np.ndarray]:
    """Read a probe and its predictions.

    Raises:
        SnapshotError: A file is missing or damaged, or the predictions are not those
            whose digest was recorded.
    """
    try:
        probe = Probe.model_validate_json((folder / PROBE).read_bytes())
        with (folder / PROBE_PREDICTIONS).open("rb") as file:
            predictions = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, ValidationError) as error:
        raise SnapshotError(
            f"A registered model has a probe, {PROBE} and {PROBE_PREDICTIONS}, but in {folder} "
            f"one cannot be read ({type(error).__name__}). Restore the files, or register the "
            "model again."
        ) from error
    found = predictions_sha256(predictions)
    if found != probe.predictions_sha256 or len(predictions) != probe.n_rows:
        raise SnapshotError(
            f"The predictions in {PROBE_PREDICTIONS} must have the digest that {PROBE} names, "
            f"{probe.predictions_sha256[:12]}, but theirs is {found[:12]} ({len(predictions)} rows "
            f"of {probe.n_rows}). One of the two files changed. Restore both."
        )
    return probe, predictions


def _predict(
    predictor: Predictor, rows: np.ndarray, snapshot: DataSnapshot, store: SnapshotStore
) -> np.ndarray:
    frame = rows_frame(snapshot, rows, snapshot.profile.features, store)
    from threadpoolctl import threadpool_limits

    # Sums of products are rounded by the number of threads; the digest must not be.
    with threadpool_limits(1, user_api="blas"):
        return np.asarray(predictor.predict_array(frame), dtype=np.float64)
