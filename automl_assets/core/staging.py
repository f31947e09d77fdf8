"""Folders that die with their owner: for files that are not wanted if the process is killed.

A process holds a lock on its folder as long as it lives. The kernel releases the lock
when the process dies, however it dies, so whoever comes next can tell the folders of
the dead from those of the living without process ids and clocks.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_PREFIX = "owned-"


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel releases it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Staging:
    """A new folder that is removed at the end, or by the next one's owner if this one dies.

    Attributes:
        folder: The folder; empty at first.
    """

    def __init__(self, parent: Path) -> None:
        with file_lock(parent / ".lock"):
            _remove_dead(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._descriptor = os.open(self.folder, os.O_RDONLY)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder and what is left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What dead processes left behind."""

    n_folders: int
    n_bytes: int


def sweep(parent: Path, *, pattern: str = f"{_PREFIX}*/", dry_run: bool = False) -> Leftovers:
    """Remove the folders of dead owners; those of living ones stay.

    Args:
        parent: What `Staging` was given; need not exist.
        pattern: Other folders than those that `Staging` names, if they are locked alike.
        dry_run: Only count.
    """
    if not parent.is_dir():
        return Leftovers(n_folders=0, n_bytes=0)
    with file_lock(parent / ".lock"):
        return _remove_dead(parent, pattern, dry_run=dry_run)


def _remove_dead(
    parent: Path, pattern: str = f"{_PREFIX}*/", *, dry_run: bool = False
) -> Leftovers:
    n_folders = n_bytes = 0
    for folder in parent.glob(pattern):
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # its owner has just removed it
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            n_folders += 1
            n_bytes += sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # its owner lives
            pass
        finally:
            os.close(descriptor)
    return Leftovers(n_folders=n_folders, n_bytes=n_bytes)
