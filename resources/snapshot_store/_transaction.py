"""What is put into a commit before it is one, and what the disk may say to it."""

import errno
import hashlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.ports import ObjectInfo, WriteTransaction
from resources.snapshot_store._commits import Tree
from resources.snapshot_store._names import check_path


class StagedTransaction(WriteTransaction):
    """Files that wait in the staging folder for the commit."""

    def __init__(self, staging: Path) -> None:
        self._staging = staging
        self._n_staged = 0
        self._files: dict[str, Path] = {}
        self.entries: dict[str, ObjectInfo] = {}
        self.removed: set[str] = set()

    def put_file(self, path: str, local: Path) -> None:
        """Add a finished local file, by renaming it where that is possible."""
        check_path(path)
        with storage_errors(self._staging, local):
            staged = self._next_name()
            _move(local, staged)
            self._enter(path, sha256_file(staged), staged)

    def put_bytes(self, path: str, content: bytes) -> None:
        """Add a small object."""
        check_path(path)
        with storage_errors(self._staging, content):
            digest = self.stage(content)
            self._enter(path, digest, self._files[digest])

    def remove(self, path: str) -> None:
        """Leave out an object of the branch's head, or one put before, if it is there."""
        check_path(path)
        self.entries.pop(path, None)
        self.removed.add(path)

    def stage(self, content: bytes) -> str:
        """Write bytes to the staging folder and return their digest."""
        digest = hashlib.sha256(content).hexdigest()
        staged = self._next_name()
        staged.write_bytes(content)
        self._files[digest] = staged
        return digest

    def staged(self, digests: Iterable[str]) -> dict[str, Path]:
        """Return the files with these digests."""
        return {digest: self._files[digest] for digest in digests}

    def applied_to(self, tree: Tree) -> dict[str, ObjectInfo]:
        """Return what a tree comes to with what was put and removed."""
        kept = {path: item for path, item in tree.items() if path not in self.removed}
        return kept | self.entries

    def _enter(self, path: str, digest: str, staged: Path) -> None:
        size = staged.stat().st_size
        self._files[digest] = staged
        self.entries[path] = ObjectInfo(path=path, size_bytes=size, sha256=digest, checksum=digest)

    def _next_name(self) -> Path:
        self._n_staged += 1
        return self._staging / str(self._n_staged)


def _move(source: Path, target: Path) -> None:
    """Rename a file, or copy it where a rename cannot give the store its only name."""
    if not source.is_symlink() and source.stat().st_nlink == 1:
        try:
            source.rename(target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    shutil.copyfile(source, target)
    source.unlink()


@contextmanager
def storage_errors(folder: Path, content: Path | bytes = b"") -> Iterator[None]:
    """Say what the disk and SQLite refuse in words that name the store and the cure."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        made = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(made).free
        if not _is_full(error, free):
            raise SnapshotError(
                f"The snapshot store in {str(folder)!r} must be writable. It answered: {error}. "
                "Nothing was committed; check the folder and its permissions."
            ) from error
        needed = content.stat().st_size if isinstance(content, Path) else len(content)
        amount = f"{needed:,} bytes" if needed else "a few kilobytes"
        raise SnapshotError(
            f"The snapshot store in {str(folder)!r} needs room for what is written. "
            f"The disk is full: {amount} to write, {free:,} free. "
            "Nothing was committed; free some space and run again."
        ) from error


@contextmanager
def copy_errors(target: Path, size_bytes: int) -> Iterator[None]:
    """Say what the disk refuses while an object is copied to a local file."""
    try:
        yield
    except OSError as error:
        made = next(path for path in target.absolute().parents if path.exists())
        free = shutil.disk_usage(made).free
        raise SnapshotError(
            f"{str(target)!r} needs {size_bytes:,} bytes for a copy of an object. The disk "
            f"answered: {error}; {free:,} bytes are free. No file was made; free some space or "
            "choose another folder."
        ) from error


def _is_full(error: OSError | sqlite3.Error, free: int) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # SQLite answers "disk I/O error" if there is no room for its 32 kB index of the log.
    return code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and free < 65_536)
