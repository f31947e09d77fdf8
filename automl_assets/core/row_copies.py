"""Copies of encoded rows: small ones in memory, large ones mapped from a file without a name."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from automl_assets.core.pages import LARGE_BYTES


def copied_rows(
    column: Callable[[int], np.ndarray], *, n_rows: int, n_columns: int, like: np.ndarray
) -> np.ndarray:
    """Return `(n_rows, n_columns)`, float32, column-major.

    Args:
        column: Returns the values of a column.
        n_rows: Length of each.
        n_columns: How many there are.
        like: What is copied from. If it is mapped from a file, a large copy is mapped from one in
            the same folder, so that its pages can be given back as well; where the disk has no
            room it is in memory. The file is gone when nothing holds the copy any more.
    """
    is_large = 4 * n_rows * n_columns >= LARGE_BYTES
    name = getattr(like, "filename", None)
    if is_large and name is not None:
        with suppress(OSError):
            return _on_disk(Path(name).parent, column, (n_rows, n_columns))
    copy = np.empty((n_rows, n_columns), np.float32, order="F")
    for number in range(n_columns):
        copy[:, number] = column(number)
    return copy


def _on_disk(
    folder: Path, column: Callable[[int], np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
    with TemporaryFile(dir=folder) as file:
        for number in range(shape[1]):
            file.write(np.ascontiguousarray(column(number), np.float32).data)
        file.flush()
        return np.memmap(file, np.float32, mode="r", shape=shape, order="F")
