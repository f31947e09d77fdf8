"""Arrays that are written to disk in pieces, and folders that appear whole or not at all.

Pieces are written to the file, not to a memory map: the pages are the kernel's
to keep or drop, and no part of the process.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType

import numpy as np

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import fsync_path

_FULL = (errno.ENOSPC, errno.EDQUOT)


class ArrayFile:
    """A new `.npy` file of one column or of a column-major matrix, open to be filled.

    Args:
        path: File to make.
        shape: `(n_rows,)`, or `(n_rows, n_columns)`.
        dtype: Type of the values.

    Raises:
        OSError: There is no room for all of it; nothing was written then.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.n_rows = shape[0]
        self.dtype = dtype
        with path.open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": len(shape) > 1,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(file, header)
            self._offset = file.tell()
        self._file = os.open(path, os.O_RDWR)
        try:
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            if n_bytes:
                os.posix_fallocate(self._file, self._offset, n_bytes)
        except OSError:
            os.close(self._file)
            raise

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            os.fsync(self._file)
        os.close(self._file)

    def _place(self, row: int, column: int) -> int:
        return self._offset + self.dtype.itemsize * (column * self.n_rows + row)

    def write(self, values: np.ndarray, *, row: int, column: int = 0) -> None:
        """Write consecutive values of one column, from `row` on."""
        rest = np.ascontiguousarray(values, dtype=self.dtype).data.cast("B")
        place = self._place(row, column)
        while len(rest):
            written = os.pwrite(self._file, rest, place)
            rest, place = rest[written:], place + written

    def read(self, start: int, stop: int, *, column: int = 0) -> np.ndarray:
        """Read values of one column that were written before."""
        n_bytes = (min(stop, self.n_rows) - start) * self.dtype.itemsize
        pieces = []
        place = self._place(start, column)
        while n_bytes > 0:
            piece = os.pread(self._file, n_bytes, place)
            pieces.append(piece)
            n_bytes, place = n_bytes - len(piece), place + len(piece)
        return np.frombuffer(b"".join(pieces), self.dtype)


def _sweep(parent: Path) -> None:
    """Remove folders of writers that died: the lock of a process ends with it."""
    for folder in parent.glob(".scratch.*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def scratch_folder(parent: Path, *, needed_for: str) -> Iterator[Path]:
    """Yield a new folder inside `parent`; it is removed at the end, also after a kill.

    What killed processes left there is removed first.

    Args:
        needed_for: What is written, for the message.

    Raises:
        SnapshotError: The disk is full.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    folder, descriptor = _locked_folder(parent)
    try:
        yield folder
    except OSError as error:
        # polars names the error in its text only.
        if error.errno not in _FULL and "os error 28" not in str(error):
            raise
        free = shutil.disk_usage(parent).free
        raise SnapshotError(
            f"There must be room for {needed_for} below {parent}, but the disk is full "
            f"({free / 1e6:,.0f} MB are free). What was begun was removed. "
            "Make room and run the request again."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(mkdtemp(prefix=".scratch.", dir=parent))
        # Another process may sweep it before it is locked, or even before it is opened.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def publish_folder(scratch: Path, folder: Path, *, marker: str) -> None:
    """Rename a finished folder to its final name, or leave it if another was faster.

    Args:
        scratch: The finished folder.
        folder: Final name, which follows from the content: what stands there is equal.
        marker: A file that every whole folder holds.
    """
    for file in scratch.iterdir():
        fsync_path(file)
    fsync_path(scratch)
    scratch.chmod(0o755)
    try:
        scratch.rename(folder)
    except OSError:
        if not (folder / marker).exists():
            raise
    fsync_path(folder.parent)
