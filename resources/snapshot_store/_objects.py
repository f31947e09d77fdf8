"""A folder of immutable files, each named by the digest of its bytes."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import fsync_path


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
    """A folder for the files of one transaction, on the file system of the objects.

    It is locked as long as its owner lives. Opening the next one removes the
    folders of the dead.
    """

    def __init__(self, parent: Path) -> None:
        with file_lock(parent / ".lock"):
            self._sweep(parent)
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            self._descriptor = os.open(self.folder, os.O_RDONLY)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder and what is left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._descriptor)

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _sweep(parent: Path) -> None:
        for folder in parent.glob("*/"):
            try:
                descriptor = os.open(folder, os.O_RDONLY)
            except FileNotFoundError:  # its owner has just removed it
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:  # its owner lives
                pass
            finally:
                os.close(descriptor)


class ObjectFolder:
    """The objects of a store: `objects/ab/abcd…`, read-only, whole or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Return where the object with this digest is, or would be."""
        return self._folder / digest[:2] / digest

    def adopt(self, files: Mapping[str, Path]) -> None:
        """Move finished files to their final names and flush all to the disk.

        An object that is there is replaced by its equal: it cost nothing, heals
        a damaged one, and leaves no doubt whether the other was flushed.

        Args:
            files: By digest; on the file system of this folder.
        """
        shelves = {self.path(digest).parent for digest in files}
        for shelf in shelves:
            shelf.mkdir(parents=True, exist_ok=True)
        for digest, file in files.items():
            file.chmod(0o444)
            fsync_path(file)
            file.replace(self.path(digest))
        for folder in (*shelves, self._folder, self._folder.parent):
            fsync_path(folder)

    def read(self, digest: str) -> bytes:
        """Return an object whole.

        Raises:
            SnapshotError: It is missing, or its bytes changed.
        """
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise SnapshotError(missing_object(path)) from error
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise SnapshotError(
                "An object never changes after its commit, and its name is its SHA-256. "
                f"The bytes of {str(path)!r} now have the digest {found}: the file was changed or "
                "the disk is failing. Restore the file from a backup."
            )
        return content


def missing_object(path: Path) -> str:
    """Return the message about an object that a commit names and the disk lacks."""
    return (
        "Objects stay as long as a commit names them. "
        f"{str(path)!r} was removed from outside. Restore the file from a backup."
    )
