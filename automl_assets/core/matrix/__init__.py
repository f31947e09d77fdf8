"""The encoded matrix on disk: written once per split, memory-mapped by every worker.

Each part has its own column-major file, so that a worker maps the rows it may
see and no others: the analysis part is opened by the evaluation alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.encoding import (
    ColumnEncoding,
    Preprocessing,
    encode_column,
    preprocessing_version,
)
from automl_assets.core.encoding.fit import fit_columns
from automl_assets.core.encoding.target import (
    LevelSums,
    n_codes,
    needs_numbers,
    sum_levels,
    target_outputs,
    with_numbers,
)
from automl_assets.core.errors import SnapshotError
from automl_assets.core.families import Encoded
from automl_assets.core.matrix.files import ArrayFile, publish_folder, scratch_folder
from automl_assets.core.profile.target import class_text
from automl_assets.core.splits import Assignment, marked_rows
from automl_assets.core.values import PARTS, Part, TableProfile

_PREPROCESSING = "preprocessing.json"
_FOLDS = "train.fold.npy"
_FLOAT32 = np.dtype(np.float32)

BATCH_ROWS = 262_144
"""Rows that are encoded at once: a row group, as snapshots are written."""

COLUMNS_AT_ONCE = 8
"""Columns that are read in one pass: 17 MB of numbers, and the reader works batches ahead."""

_MOST_COLUMNS_AT_ONCE = 256
"""Of a table that is shorter than a batch, as many more are read as are no more numbers."""


def target_vector(values: pl.Series, profile: TableProfile) -> np.ndarray:
    """Return class codes (int32) in the order of `profile.classes`, or float64 values."""
    if profile.task_type == "regression":
        return values.cast(pl.Float64).to_numpy()
    text = values.to_frame().select(class_text(pl.col(values.name), values.dtype)).to_series()
    codes = {name: code for code, name in enumerate(profile.classes)}
    return text.replace_strict(codes, return_dtype=pl.Int32).to_numpy()


class _Parts:
    """The open files of all parts, filled from batches of the table in its own order."""

    def __init__(
        self, folder: Path, assignment: Assignment, n_features: int, y_dtype: np.dtype
    ) -> None:
        self._part = assignment.part
        sizes = {part: assignment.n_rows(part) for part in PARTS}
        self.files = ExitStack()
        try:
            self.X = {
                part: self._open(folder / f"{part}.X.npy", (n, n_features), _FLOAT32)
                for part, n in sizes.items()
            }
            self.y = {
                part: self._open(folder / f"{part}.y.npy", (n,), y_dtype)
                for part, n in sizes.items()
            }
        except OSError:
            self.files.close()
            raise

    def _open(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> ArrayFile:
        return self.files.enter_context(ArrayFile(path, shape, dtype))

    def batches(
        self, table: pl.LazyFrame, columns: list[str]
    ) -> Iterator[tuple[pl.DataFrame, dict[Part, tuple[np.ndarray, int]]]]:
        """Yield rows of the table; for each part which of them it has, and where the first goes."""
        n_read = 0
        filled = dict.fromkeys(PARTS, 0)
        stream = table.select(columns).collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True, engine="streaming"
        )
        for frame in stream:
            part = self._part[n_read : n_read + frame.height]
            n_read += frame.height
            places = {}
            for number, name in enumerate(PARTS):
                own = np.flatnonzero(part == number)
                places[name] = own, filled[name]
                filled[name] += len(own)
            yield frame, places


def _check_length(table: pl.LazyFrame, n_split: int) -> None:
    n_rows = table.select(pl.len()).collect(engine="streaming").item()
    if n_rows != n_split:
        raise SnapshotError(
            f"The snapshot was split at {n_split:,} rows, but it has {n_rows:,}. "
            "Run the request again; if it stays so, check the store."
        )


def _own_features(columns: tuple[ColumnEncoding, ...], extra: int) -> list[int]:
    """Return the position of each column's first feature, where `extra` follow some of them."""
    widths = [
        len(column.feature_names) + (extra if needs_numbers(column) else 0) for column in columns
    ]
    return np.cumsum([0, *widths]).tolist()


def _write_features(
    parts: _Parts,
    table: pl.LazyFrame,
    columns: tuple[ColumnEncoding, ...],
    positions: list[int],
) -> None:
    n_rows = max(1, sum(file.n_rows for file in parts.X.values()))
    at_once = max(
        COLUMNS_AT_ONCE, min(_MOST_COLUMNS_AT_ONCE, COLUMNS_AT_ONCE * BATCH_ROWS // n_rows)
    )
    placed = list(zip(columns, positions, strict=False))
    for start in range(0, len(columns), at_once):
        chosen = placed[start : start + at_once]
        for frame, places in parts.batches(table, [column.name for column, _ in chosen]):
            for column, position in chosen:
                for number, feature in enumerate(encode_column(frame[column.name], column)):
                    for part, (own, row) in places.items():
                        parts.X[part].write(feature[own], row=row, column=position + number)


def _write_target(parts: _Parts, table: pl.LazyFrame, target: str, profile: TableProfile) -> None:
    for frame, places in parts.batches(table, [target]):
        y = target_vector(frame[target], profile)
        for part, (own, row) in places.items():
            parts.y[part].write(y[own], row=row)


def _sum_train(
    parts: _Parts, column: ColumnEncoding, position: int, folds: np.ndarray, outputs: tuple
) -> LevelSums:
    X, y = parts.X["train"], parts.y["train"]

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, X.n_rows, BATCH_ROWS):
            stop = start + BATCH_ROWS
            yield X.read(start, stop, column=position), folds[start:stop], y.read(start, stop)

    n_folds = int(folds.max(initial=0)) + 1
    return sum_levels(blocks(), n_codes=n_codes(column), n_folds=n_folds, outputs=outputs)


def _write_numbers(
    parts: _Parts,
    columns: tuple[ColumnEncoding, ...],
    positions: list[int],
    folds: np.ndarray,
    outputs: tuple[str, ...],
) -> tuple[ColumnEncoding, ...]:
    """Write counts and target encodings from the codes that are in the files already."""
    fitted = []
    for column, position in zip(columns, positions, strict=False):
        if not needs_numbers(column):
            fitted.append(column)
            continue
        sums = _sum_train(parts, column, position, folds, outputs)
        column = with_numbers(column, sums, outputs)
        fitted.append(column)
        out_of_fold = sums.means_of_others() if outputs else np.empty((0, 1, 1), np.float32)
        for part, file in parts.X.items():
            for start in range(0, file.n_rows, BATCH_ROWS):
                stop = start + BATCH_ROWS
                codes = file.read(start, stop, column=position).astype(np.intp)
                features = [table[codes] for table in column.lookups]
                if part == "train":
                    features[1:] = [of[folds[start:stop], codes] for of in out_of_fold]
                for number, feature in enumerate(features, start=1):
                    file.write(feature, row=start, column=position + number)
    return tuple(fitted)


def write_matrix(
    folder: Path,
    table: pl.LazyFrame,
    profile: TableProfile,
    target: str,
    assignment: Assignment,
) -> Preprocessing:
    """Encode a snapshot into `folder`, or find that it was done.

    A batch of rows is in memory at a time. The folder appears whole or not at all.

    Args:
        folder: Final place; its name must follow from all other arguments.
        table: The snapshot.
        profile: Which columns are features.
        target: Name of the target column.
        assignment: Part and fold of each row.

    Returns:
        The preprocessing fitted on the train part.

    Raises:
        SnapshotError: The disk is full, or the table is not what was split.
    """
    if (folder / _PREPROCESSING).exists():
        return read_preprocessing(folder)
    _check_length(table, len(assignment.part))
    profiled = {column.name: column for column in profile.columns}
    columns = fit_columns(
        marked_rows(table.select(profile.features), assignment.part == 0),
        {name: profiled[name].kind or "categorical" for name in profile.features},
        n_distinct={name: profiled[name].n_distinct for name in profile.features},
    )
    outputs = target_outputs(profile, assignment.n_folds)
    positions = _own_features(columns, 1 + len(outputs))
    y_dtype = np.dtype(np.float64 if profile.task_type == "regression" else np.int32)
    needed_for = f"the matrix of {len(assignment.part):,} rows and {positions[-1]:,} features"
    with scratch_folder(folder.parent, needed_for=needed_for) as scratch:
        parts = _Parts(scratch, assignment, positions[-1], y_dtype)
        with parts.files:
            _write_features(parts, table, columns, positions)
            _write_target(parts, table, target, profile)
            folds = assignment.fold[assignment.part == 0].clip(0)
            columns = _write_numbers(parts, columns, positions, folds, outputs)
        if assignment.n_folds:
            np.save(scratch / _FOLDS, folds.astype(np.int8), allow_pickle=False)
        preprocessing = Preprocessing(version=preprocessing_version(), columns=columns)
        (scratch / _PREPROCESSING).write_text(preprocessing.model_dump_json())
        publish_folder(scratch, folder, marker=_PREPROCESSING)
    return preprocessing


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return the preprocessing that made a matrix."""
    return Preprocessing.model_validate_json((folder / _PREPROCESSING).read_bytes())


def read_part(folder: Path, part: Part, preprocessing: Preprocessing) -> Encoded:
    """Map one part of a matrix into memory; its pages are shared between processes."""
    return Encoded(
        X=np.load(folder / f"{part}.X.npy", mmap_mode="r"),
        y=np.load(folder / f"{part}.y.npy"),
        n_levels=preprocessing.n_levels,
    )


def read_folds(folder: Path) -> np.ndarray | None:
    """Return the fold (int8) of each row of train; None where train has no folds."""
    file = folder / _FOLDS
    return np.load(file, allow_pickle=False) if file.exists() else None
