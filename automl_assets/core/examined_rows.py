"""Rows of a part as the evaluation sees them: raw, encoded, and predicted the way serving does."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.encoding import encode
from automl_assets.core.evaluation.examination import Rows
from automl_assets.core.matrix import target_vector
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import Predictor
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.limit_rules import slice_columns
from automl_assets.core.values import DataSnapshot, Part, Split

CHUNK_ROWS = 250_000
"""Raw and encoded rows that are in memory at once when a whole part is predicted."""

MAX_EXAMINED_ROWS = 1_000_000
"""Above, sections look at so many rows, evenly spread; the headline is of all rows."""

MAX_CALIBRATION_ROWS = 50_000
"""What conformal sets and intervals are learned from: more rows would not change them."""


@dataclass(frozen=True, kw_only=True)
class PredictedPart:
    """A whole part: row numbers in the snapshot, target and prediction."""

    rows: np.ndarray
    y: np.ndarray
    prediction: np.ndarray


class PartReader:
    """Reads parts of a split, and predicts them.

    Args:
        snapshot: The data.
        split: Its parts.
        request: Names columns beside the features that sections look at.
        predictor: The model.
        store: Where the data are.
    """

    def __init__(
        self,
        snapshot: DataSnapshot,
        split: Split,
        request: TrainingRequest,
        predictor: Predictor,
        store: SnapshotStore,
    ) -> None:
        self._snapshot, self._split = snapshot, split
        self._request, self._predictor, self._store = request, predictor, store

    def predict(self, part: Part) -> PredictedPart:
        """Predict all rows of a part, a chunk in memory at a time."""
        rows = read_rows(self._split, part, self._store)
        found = list(self._predicted_chunks(rows))
        return PredictedPart(
            rows=rows,
            y=np.concatenate([y for y, _ in found]),
            prediction=np.concatenate([prediction for _, prediction in found]),
        )

    def _predicted_chunks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        target = self._request.data.target
        columns = (*self._snapshot.profile.features, target)
        for start in range(0, max(len(rows), 1), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            frame = rows_frame(self._snapshot, chunk, columns, self._store)
            y = target_vector(frame[target], self._snapshot.profile)
            yield y, self._predictor.predict_array(frame)

    def examined(self, predicted: PredictedPart, *, max_rows: int = MAX_EXAMINED_ROWS) -> Rows:
        """Return the rows of a predicted part that sections look at."""
        chosen = np.arange(len(predicted.rows))
        if len(chosen) > max_rows:
            chosen = np.linspace(0, len(chosen) - 1, max_rows).round().astype(np.intp)
        rows = predicted.rows[chosen]
        frame = rows_frame(self._snapshot, rows, self._columns(), self._store)
        data = self._request.data
        return Rows(
            rows=rows,
            frame=frame,
            X=encode(frame, self._predictor.preprocessing),
            y=predicted.y[chosen],
            prediction=predicted.prediction[chosen],
            groups=None if data.group is None else group_codes(frame[data.group]),
            times=None if data.time is None else frame[data.time],
        )

    def target(self, part: Part) -> np.ndarray:
        """Return class codes or values of a part."""
        rows, target = read_rows(self._split, part, self._store), self._request.data.target
        frame = rows_frame(self._snapshot, rows, (target,), self._store)
        return target_vector(frame[target], self._snapshot.profile)

    def clusters(self, part: PredictedPart) -> tuple[np.ndarray | None, pl.Series | None]:
        """Return the group and the time of each row; None where the request names none."""
        data = self._request.data
        names = tuple(name for name in (data.group, data.time) if name is not None)
        if not names:
            return None, None
        frame = rows_frame(self._snapshot, part.rows, tuple(dict.fromkeys(names)), self._store)
        groups = None if data.group is None else group_codes(frame[data.group])
        return groups, None if data.time is None else frame[data.time]

    def _columns(self) -> tuple[str, ...]:
        request, profile = self._request, self._snapshot.profile
        known = {column.name for column in profile.columns}
        named = (request.data.time, request.data.group, *slice_columns(request))
        extra = [name for name in named if name is not None and name in known]
        return tuple(dict.fromkeys((*profile.features, request.data.target, *extra)))


def group_codes(column: pl.Series) -> np.ndarray:
    """Return a code for each value, equal for equal values; all nulls are one group.

    Examples:
        >>> group_codes(pl.Series(["b", "a", None, "b"])).tolist()
        [2, 1, 0, 2]
    """
    return column.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
