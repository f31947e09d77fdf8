"""Rows from Parquet files."""

import hashlib
from collections.abc import Collection
from functools import cache
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from resources.formats._base import FileContent, Format
from resources.formats._files import foreign_format, read_head
from resources.formats._parquet import parquet_content

_MAGIC = b"PAR1"


class ParquetFormat(Format):
    """Parquet files with flat columns; the types are those that the file names."""

    name = "parquet"
    suffixes = (".parquet",)
    media_types = ("application/vnd.apache.parquet", "application/x-parquet")

    def inspect(self, location: Path, *, text_columns: Collection[str] = ()) -> FileContent:
        """Check a file's index; see the base class."""
        import polars as pl

        _check_is_whole(read_head(location), location)
        frame = pl.scan_parquet(location, glob=False, hive_partitioning=False)
        return parquet_content(
            frame,
            name=location.name,
            sha256=cache(lambda: sha256_file(location)),
            index_sha256=cache(lambda: _index_sha256(location)),
        )


FORMAT = ParquetFormat()


def _index_sha256(location: Path) -> str:
    """Return the digest of the footer: schema, and place, sizes and statistics of each chunk."""
    with location.open("rb") as file:
        file.seek(-8, 2)
        n_bytes = int.from_bytes(file.read(4), "little") + 8
        file.seek(-n_bytes, 2)
        return hashlib.sha256(file.read()).hexdigest()


def _check_is_whole(head: bytes, location: Path) -> None:
    if not head.startswith(_MAGIC):
        what, cure = foreign_format(head) or ("a text file", "Rename it to end in .csv.")
        raise SnapshotError(
            f"A Parquet file starts with PAR1. {location.name!r} is {what}, not Parquet. {cure}"
        )
    with location.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(-len(_MAGIC), 2)
        is_whole = file.read() == _MAGIC and size >= 12
    if not is_whole:
        raise SnapshotError(
            f"A Parquet file ends with its index and PAR1. {location.name!r} stops in the middle, "
            f"after {size:,} bytes. Copy or write it again."
        )
