"""What the columns of a database become, and rows of it as Parquet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.ranges import AbstractRange

from automl_assets.core.errors import SnapshotError

if TYPE_CHECKING:
    import polars as pl

_NO_PLAIN_VALUE = (
    *(sa.JSON, sa.ARRAY, sa.LargeBinary, sa.Interval),
    *(postgresql.INTERVAL, AbstractRange, postgresql.HSTORE, postgresql.TSVECTOR),
    # Handed over as text in the words of the server's locale.
    postgresql.MONEY,
)


def polars_type(declared: "sa.types.TypeEngine[Any]") -> "pl.DataType | None":
    """Return the type that a declared type becomes; None if the first rows have to tell.

    Exact decimals become floats: models know no others.

    Raises:
        SnapshotError: A cell of this type is no single value.
    """
    import polars as pl

    if isinstance(declared, postgresql.DOMAIN):
        return polars_type(declared.data_type)
    has_zone = isinstance(declared, sa.Time) and declared.timezone
    if has_zone or isinstance(declared, _NO_PLAIN_VALUE):
        raise SnapshotError("A cell holds one value: a number, a text, a date or true/false.")
    if isinstance(declared, sa.DateTime):
        return pl.Datetime("us", "UTC" if declared.timezone else None)
    kinds: Sequence[tuple[type[sa.types.TypeEngine[Any]], pl.DataType]] = (
        (sa.Boolean, pl.Boolean()),
        (sa.Integer, pl.Int64()),
        (sa.Numeric, pl.Float64()),
        (sa.Date, pl.Date()),
        (sa.Time, pl.Time()),
        (sa.Uuid, pl.String()),
        (sa.String, pl.String()),
    )
    return next((dtype for kind, dtype in kinds if isinstance(declared, kind)), None)


def write_batches(
    batches: Iterable[Sequence[Sequence[Any]]],
    names: Sequence[str],
    declared: "Mapping[str, pl.DataType | None]",
    file: Path,
    *,
    table: str,
) -> int:
    """Write rows to a Parquet file, a batch at a time; return how many there were.

    Args:
        declared: By column; where it is None the first batch tells.
        table: How people know the table.

    Raises:
        SnapshotError: A value is not of its column's type, or the disk is full.
    """
    import polars as pl
    import pyarrow.parquet as pq

    types: dict[str, pl.DataType] = {}
    writer, n_rows = None, 0
    try:
        for rows in batches:
            columns = list(zip(*rows, strict=True))
            types = types or {
                name: declared[name] or _inferred(values)
                for name, values in zip(names, columns, strict=True)
            }
            frame = pl.DataFrame(
                [
                    _series(name, values, types[name], table, n_rows)
                    for name, values in zip(names, columns, strict=True)
                ]
            )
            arrow = frame.to_arrow()
            with _writing_errors(table):
                writer = writer or pq.ParquetWriter(file, arrow.schema, compression="zstd")
                writer.write_table(arrow)
            n_rows += frame.height
            # Before the next batch comes: two at once would need twice the memory.
            del rows, columns, frame, arrow
    finally:
        if writer is not None:
            with _writing_errors(table):
                writer.close()
    return n_rows


@contextmanager
def _writing_errors(table: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SnapshotError(
            f"The rows of {table!r} need room on the disk until they are committed. "
            f"Writing them failed: {error}. Free some space and run again."
        ) from error


def _inferred(values: Sequence[Any]) -> "pl.DataType":
    import polars as pl

    given = {type(value) for value in values if value is not None}
    if given and given <= {int, float, Decimal}:
        return pl.Int64() if given == {int} else pl.Float64()
    return pl.String()


def _series(
    name: str, values: Sequence[Any], dtype: "pl.DataType", table: str, n_before: int
) -> "pl.Series":
    import polars as pl

    try:
        ready = [_plain(value, dtype) for value in values]
        return pl.Series(name, ready, dtype=dtype, strict=True)
    except (TypeError, OverflowError, ValueError, pl.exceptions.PolarsError) as error:
        row, value = _first_misfit(values, dtype)
        raise SnapshotError(
            f"Every value has the type of its column. Column {name!r} of {table!r} is {dtype}, and "
            f"row {n_before + row + 1:,} holds {value!r:.60}. Correct the value."
        ) from error


def _plain(value: Any, dtype: "pl.DataType") -> Any:
    import polars as pl

    # Not isinstance: SQLAlchemy's strings of bits are a kind of str that polars cannot take.
    if value is None or type(value) is str:
        return value
    if dtype == pl.Float64:
        return float(value)
    if dtype == pl.Boolean:
        return bool(value)
    if dtype == pl.String:
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is None and dtype == pl.Datetime("us", "UTC"):
        # Databases without time zones, such as SQLite, hand UTC over as it is.
        return value.replace(tzinfo=UTC)
    return value


def _first_misfit(values: Sequence[Any], dtype: "pl.DataType") -> tuple[int, Any]:
    import polars as pl

    for index, value in enumerate(values):
        try:
            pl.Series([_plain(value, dtype)], dtype=dtype, strict=True)
        except (TypeError, OverflowError, ValueError, pl.exceptions.PolarsError):
            return index, value
    return 0, values[0]
