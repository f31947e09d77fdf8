"""Rows from a Parquet file."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.errors import SnapshotError
from resources.sources._files import FileSource, check_column_names, foreign_format, read_head

if TYPE_CHECKING:
    import polars as pl

_MAGIC = b"PAR1"


class ParquetSource(FileSource):
    """One Parquet file with flat columns."""

    name = "parquet"
    suffixes = (".parquet",)

    def scan(self, location: Path, *, text_columns: Collection[str] = ()) -> "pl.LazyFrame":
        """Open the rows lazily, with the types that the file itself names; see the port."""
        import polars as pl

        _check_is_whole(read_head(location), location)
        frame = pl.scan_parquet(location, glob=False, hive_partitioning=False)
        try:
            schema = frame.collect_schema()
            n_rows = frame.select(pl.len()).collect().item()
        except pl.exceptions.PolarsError as error:
            raise SnapshotError(
                f"The data file must be readable as Parquet. {location.name!r} is not: {error}. "
                "Write it again."
            ) from error
        check_column_names(schema.names(), location)
        _check_is_flat(schema, location)
        if n_rows == 0:
            raise SnapshotError(
                f"The data file must hold rows. {location.name!r} has columns and 0 rows. "
                "Check how it was written."
            )
        return frame


SOURCE = ParquetSource()


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


def _check_is_flat(schema: "pl.Schema", location: Path) -> None:
    import polars as pl

    nested = [
        f"{name!r} ({dtype})"
        for name, dtype in schema.items()
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object)
    ]
    if nested:
        raise SnapshotError(
            "A cell holds one value: a number, a text, a date or true/false. "
            f"{location.name!r} has columns of another kind: {', '.join(nested[:5])}. "
            "Unnest or drop them."
        )
