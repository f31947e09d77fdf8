"""Durable writes: a file under its final name is always whole.

A full disk destroys the good file that polars overwrites, and CatBoost, skops
and joblib leave partial files. So every final write goes to a temporary name
in the same folder, is flushed to the disk, and is then renamed.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def publishing(path: Path) -> Iterator[Path]:
    """Yield a temporary name; when the block ends well, publish it as `path`.

    The file appears under its final name whole or not at all. If the block
    raises, what stood there before is untouched and no debris is left.

    Args:
        path: Final name. Missing folders are made.

    Yields:
        A name in the same folder for the block to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    # Made here, and not by the block, so that it is new and has the user's own mode.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        fsync_path(temporary)
        temporary.replace(path)
        fsync_path(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def publish_bytes(path: Path, content: bytes) -> None:
    """Write bytes so that `path` is whole or untouched."""
    with publishing(path) as temporary:
        temporary.write_bytes(content)


def publish_text(path: Path, content: str) -> None:
    """Write UTF-8 text so that `path` is whole or untouched."""
    publish_bytes(path, content.encode())
