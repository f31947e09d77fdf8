"""Which rows a model has seen: two requests may share rows under other row numbers."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from automl_assets.core.ports import SnapshotStore
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.values import DataSnapshot, Part, Split

SEEN_PARTS: tuple[Part, ...] = ("train", "validation", "calibration")
CHUNK_ROWS = 250_000


def same_rows(data: DataSnapshot, first: Split, other: DataSnapshot, second: Split) -> bool:
    """Tell whether two splits have the very same analysis part of the same data.

    Row numbers are compared by digest, and mean the same rows only in a table of the same
    content: two tables of as many rows are often split alike.
    """
    return (
        data.content_sha256 == other.content_sha256
        and first.part("analysis").sha256 == second.part("analysis").sha256
        and first.part("train").sha256 == second.part("train").sha256
    )


def common_columns(frame: pl.DataFrame, snapshot: DataSnapshot) -> tuple[str, ...]:
    """Return the columns that a frame and a snapshot share, with the same type, sorted."""
    dtypes = {column.name: column.dtype for column in snapshot.profile.columns}
    return tuple(
        sorted(name for name in frame.columns if dtypes.get(name) == str(frame.schema[name]))
    )


def mark_seen(
    frame: pl.DataFrame, snapshot: DataSnapshot, split: Split, store: SnapshotStore
) -> np.ndarray:
    """Mark the rows of a frame that equal a row a model was made from.

    Rows are compared by a 64-bit hash of all columns that both tables have with the same
    type: memory grows with 8 bytes for each row of the frame, not of the model's table.
    Two different rows that agree in these columns count as the same; that errs on the safe
    side.

    Args:
        frame: Raw rows.
        snapshot: The model's data.
        split: Its parts; all but the analysis part were seen.
        store: Where they are.

    Returns:
        Booleans, `(n_rows,)`; all true where the tables share no column.
    """
    columns = common_columns(frame, snapshot)
    if not columns:
        return np.ones(frame.height, np.bool_)
    ours = _hashes(frame, columns)
    wanted, seen = np.unique(ours), set[int]()
    for part in SEEN_PARTS:
        for chunk in _chunks(read_rows(split, part, store)):
            theirs = _hashes(rows_frame(snapshot, chunk, columns, store), columns)
            seen.update(theirs[np.isin(theirs, wanted)].tolist())
    return np.isin(ours, np.fromiter(seen, np.uint64, len(seen)))


def _hashes(frame: pl.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    return frame.select(columns).hash_rows(seed=0).to_numpy()


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]
