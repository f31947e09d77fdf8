"""Parquet tables, wherever they are: a file, an object of a store, a commit."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from automl_assets.core.errors import SnapshotError
from resources.formats._base import FileContent
from resources.formats._files import check_column_names

if TYPE_CHECKING:
    import polars as pl


def parquet_content(
    frame: "pl.LazyFrame",
    *,
    name: str,
    sha256: Callable[[], str],
    index_sha256: Callable[[], str] | None = None,
) -> FileContent:
    """Return what a Parquet file holds that polars opened.

    Args:
        frame: All of the file, lazily.
        name: How people know the file.
        sha256: Returns its digest.
        index_sha256: Returns that of its index.

    Raises:
        SnapshotError: It cannot be read, has no rows, or columns that are no columns of a table.
    """
    types = _check_table(frame, name)
    return FileContent(
        types=types,
        has_open_types=False,
        sha256=sha256,
        index_sha256=index_sha256,
        scan=lambda wanted: _with_types(frame, types, wanted),
    )


def _check_table(frame: "pl.LazyFrame", name: str) -> "dict[str, pl.DataType]":
    import polars as pl

    try:
        schema = frame.collect_schema()
        n_rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SnapshotError(
            f"The data file must be readable as Parquet. {name!r} is not: "
            f"{str(error).splitlines()[0]}. Write it again."
        ) from error
    check_column_names(schema.names(), name)
    _check_is_flat(schema, name)
    if n_rows == 0:
        raise SnapshotError(
            f"The data file must hold rows. {name!r} has columns and 0 rows. "
            "Check how it was written."
        )
    return dict(schema)


def _with_types(
    frame: "pl.LazyFrame",
    found: "Mapping[str, pl.DataType]",
    wanted: "Mapping[str, pl.DataType]",
) -> "pl.LazyFrame":
    """Return the columns wanted, in their order; those without any value take the type wanted."""
    import polars as pl

    columns = [
        pl.col(name) if found[name] == dtype else pl.col(name).cast(dtype)
        for name, dtype in wanted.items()
    ]
    return frame if dict(found) == dict(wanted) else frame.select(columns)


def _check_is_flat(schema: "pl.Schema", file_name: str) -> None:
    import polars as pl

    nested = [
        f"{name!r} ({dtype})"
        for name, dtype in schema.items()
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object)
    ]
    if nested:
        raise SnapshotError(
            "A cell holds one value: a number, a text, a date or true/false. "
            f"{file_name!r} has columns of another kind: {', '.join(nested[:5])}. "
            "Unnest or drop them."
        )
