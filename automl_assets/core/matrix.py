"""The encoded matrix on disk: written once per split, memory-mapped by every worker.

Each part has its own column-major file, so that a worker maps the rows it may
see and no others: the analysis part is opened by the evaluation alone.
"""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl

from automl_assets.core.encoding import Preprocessing, encode_column, fit_preprocessing
from automl_assets.core.families import Encoded
from automl_assets.core.files import fsync_path
from automl_assets.core.target import class_text
from automl_assets.core.values import PARTS, Part, TableProfile

_PREPROCESSING = "preprocessing.json"


def target_vector(values: pl.Series, profile: TableProfile) -> np.ndarray:
    """Return class codes (int32) in the order of `profile.classes`, or float64 values."""
    if profile.task_type == "regression":
        return values.cast(pl.Float64).to_numpy()
    text = values.to_frame().select(class_text(pl.col(values.name), values.dtype)).to_series()
    codes = {name: code for code, name in enumerate(profile.classes)}
    return text.replace_strict(codes, return_dtype=pl.Int32).to_numpy()


def write_matrix(
    folder: Path,
    table: pl.LazyFrame,
    profile: TableProfile,
    target: str,
    rows: dict[Part, np.ndarray],
) -> Preprocessing:
    """Encode a snapshot into `folder`, or find that it was done.

    One raw column is in memory at a time. The folder appears whole or not at all.

    Args:
        folder: Final place; its name must follow from all other arguments.
        table: The snapshot.
        profile: Which columns are features.
        target: Name of the target column.
        rows: Row numbers of each part.

    Returns:
        The preprocessing fitted on the train part.
    """
    if (folder / _PREPROCESSING).exists():
        return read_preprocessing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        preprocessing = fit_preprocessing(table, profile, rows["train"])
        shape = len(preprocessing.feature_names)
        maps = {
            part: np.lib.format.open_memmap(
                scratch / f"{part}.X.npy",
                mode="w+",
                dtype=np.float32,
                shape=(len(rows[part]), shape),
                fortran_order=True,
            )
            for part in PARTS
        }
        position = 0
        for column in preprocessing.columns:
            values = table.select(pl.col(column.name)).collect()[column.name]
            for feature in encode_column(values, column):
                for part in PARTS:
                    maps[part][:, position] = feature[rows[part]]
                position += 1
        y = target_vector(table.select(pl.col(target)).collect()[target], profile)
        for part in PARTS:
            maps[part].flush()
            np.save(scratch / f"{part}.y.npy", y[rows[part]])
        (scratch / _PREPROCESSING).write_text(preprocessing.model_dump_json())
        for file in scratch.iterdir():
            fsync_path(file)
        scratch.chmod(0o755)
        try:
            scratch.rename(folder)
        except OSError:
            # Another process was faster; its folder is equal to ours.
            if not (folder / _PREPROCESSING).exists():
                raise
        fsync_path(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
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
