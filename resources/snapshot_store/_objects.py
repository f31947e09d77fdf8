"""A folder of immutable files, each named by the digest of its bytes."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from automl_assets.core.errors import AlteredError, SnapshotError
from automl_assets.core.files import fsync_path, publishing

_BLOCK_BYTES = 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ObjectFolder:
    """The objects of a store: `objects/ab/abcd…`, read-only, whole or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Return where the object with this digest is, or would be."""
        return self._folder / digest[:2] / digest

    def files(self) -> Iterator[Path]:
        """Return the files of all objects, in any order; foreign files are left out."""
        if not self._folder.is_dir():
            return
        for shelf in self._folder.iterdir():
            if shelf.is_dir():
                yield from (file for file in shelf.iterdir() if _DIGEST.fullmatch(file.name))

    def adopt(self, files: Mapping[str, Path]) -> None:
        """Move finished files to their final names and flush all to the disk.

        An object that is there is replaced by its equal: it cost nothing, heals
        a damaged one, and leaves no doubt whether the other was flushed.

        Args:
            files: By digest; on the file system of this folder.
        """
        if not files:
            return
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
        _check(path, digest, hashlib.sha256(content).hexdigest())
        return content

    def copy(self, digest: str, target: Path) -> None:
        """Copy an object to a new file, in blocks; there is no file if the bytes changed.

        Raises:
            SnapshotError: It is missing, or its bytes changed.
        """
        path = self.path(digest)
        found = hashlib.sha256()
        try:
            source = path.open("rb")
        except FileNotFoundError as error:
            raise SnapshotError(missing_object(path)) from error
        with source, publishing(target) as temporary, temporary.open("wb") as file:
            while block := source.read(_BLOCK_BYTES):
                found.update(block)
                file.write(block)
            _check(path, digest, found.hexdigest())

    def verify(self, digest: str) -> int:
        """Read an object in blocks and return its size in bytes.

        Raises:
            SnapshotError: It is missing, unreadable, or its bytes changed.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
                size_bytes = file.tell()
        except FileNotFoundError as error:
            raise SnapshotError(missing_object(path)) from error
        except OSError as error:
            raise SnapshotError(
                "Objects must be readable. "
                f"{str(path)!r} answered: {error}. Restore the file from a backup."
            ) from error
        _check(path, digest, found)
        return size_bytes


def _check(path: Path, digest: str, found: str) -> None:
    if found != digest:
        raise AlteredError(
            "An object never changes after its commit, and its name is its SHA-256. "
            f"The bytes of {str(path)!r} now have the digest {found}: the file was changed or "
            "the disk is failing. Restore the file from a backup.",
            expected=digest,
            found=found,
        )


def missing_object(path: Path) -> str:
    """Return the message about an object that a commit names and the disk lacks."""
    return (
        "Objects stay as long as a commit names them. "
        f"{str(path)!r} was removed from outside. Restore the file from a backup."
    )
