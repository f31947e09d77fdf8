"""Rows from a table of a database that the operator has named."""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.errors import AutoMLError, RequestError, ServiceError, SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.ports import SourceTable
from automl_assets.core.staging import Staging
from resources.formats import parquet_content
from resources.sources._base import Access, OpenedTable, Source, Wanted
from resources.sources._tables import TableFile, join_files

if TYPE_CHECKING:
    import sqlalchemy as sa

    from automl_assets.core.request.sections import Data

BATCH_ROWS = 20_000
BATCH_CELLS = 1_000_000
_NAME = re.compile(r"[^\W\d][\w$ -]{0,127}")
# Text that databases keep for times has spellings that sort differently within a day; what is
# read too much is cut off later, by the exact times.
_SLACK = timedelta(days=1)
_READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON",),
    "postgresql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",),
}
_DRIVERS = {"postgresql": "postgresql+psycopg2"}  # SQLAlchemy 2.1 takes another if none is named


class SqlSource(Source):
    """A table or view of a named connection to PostgreSQL or SQLite.

    Only the columns that the request needs are read, in the order of the primary
    key, and kept in a file until they are committed. Predicates are not handed to
    the database: what they hold is the user's, and SQL engines do more than compare.
    """

    name = "sql"

    def claims(self, data: "Data") -> bool:
        """Return whether the section names a connection."""
        return data.connection is not None

    def check(self, data: "Data", access: Access) -> None:
        """Check that the operator has such a connection; the database is not asked."""
        _url(data, access)
        _table_name(data)

    @contextmanager
    def open(self, data: "Data", access: Access, wanted: Wanted) -> Iterator[SourceTable]:
        """Read the rows into a file and open that; see the base class."""
        description = f"{data.connection}/{data.table}"
        with Staging(access.scratch) as staging:
            file = staging.folder / "rows.parquet"
            with _connected(data, access) as connection:
                table = _reflected(connection, data)
                warnings = _read(connection, table, data, wanted, file)
            frame = _scan(file, description)
            digest = cache(lambda: sha256_file(file))
            yield OpenedTable(
                description=description,
                frame=frame,
                sha256=digest,
                # What is read is the copy, which nobody changes.
                state=digest,
                warnings=warnings,
            )


SOURCE = SqlSource()


def _scan(file: Path, description: str) -> Any:
    import polars as pl

    content = parquet_content(
        pl.scan_parquet(file, glob=False, hive_partitioning=False),
        name=description,
        sha256=lambda: "",
    )
    return join_files([TableFile(path=file.name, content=content)], description=description)


def _url(data: "Data", access: Access) -> "sa.URL":
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    name, known = str(data.connection), sorted(access.connections)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RequestError(
            f"data.connection must name a database that the operator knows. {name!r} is none of: "
            f"{', '.join(known) or 'none yet'}.{hint} The operator adds one to AUTOML_CONNECTIONS."
        )
    try:
        url = sa.make_url(access.connections[name].get_secret_value())
    except (ArgumentError, ValueError):
        # Without the cause: it quotes the URL, which holds the password.
        raise ServiceError(
            f"The URL of connection {name!r} must be one of SQLAlchemy. It is not. "
            "Have the operator correct AUTOML_CONNECTIONS; characters such as @ are encoded."
        ) from None
    if url.get_backend_name() not in _READ_ONLY:
        raise ServiceError(
            f"Connections are to {' or '.join(_READ_ONLY)}, where reading is all that can be asked "
            f"for. {name!r} is to another database. Have the operator correct AUTOML_CONNECTIONS, "
            "or name Parquet files that the table was written to."
        )
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def _table_name(data: "Data") -> tuple[str | None, str]:
    """Return the schema, if one is named, and the table."""
    parts = str(data.table).split(".")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise RequestError(
            "data.table must be a name such as 'orders' or 'sales.orders', of letters, digits, "
            f"spaces and _ $ -. Found {data.table!r}. Correct it."
        )
    return (parts[0] if len(parts) == 2 else None), parts[-1]


@contextmanager
def _connected(data: "Data", access: Access) -> "Iterator[sa.Connection]":
    """Connect for reading only; no error shows the URL."""
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    name, url = str(data.connection), _url(data, access)
    _table_name(data)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ServiceError(
            f"The database of connection {name!r} must exist. Its SQLite file does not. "
            "Have the operator correct AUTOML_CONNECTIONS."
        )
    engine = None
    try:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, hide_parameters=True)
        with engine.connect() as connection:
            for statement in _READ_ONLY[engine.dialect.name]:
                connection.execute(sa.text(statement))
            yield connection
            connection.rollback()
    except AutoMLError:
        raise
    except ImportError as error:
        raise ServiceError(
            f"The driver of connection {name!r} must be installed. There is no module "
            f"{error.name!r}. Have the operator install automl-assets[cluster]."
        ) from None
    except (SQLAlchemyError, ValueError) as error:
        reason = type(getattr(error, "orig", None) or error).__name__
        # Without the cause: drivers quote what they connected with.
        raise ServiceError(
            f"The database of connection {name!r} must answer. Reading {data.table!r} failed "
            f"with {reason}. Check the database and its data, and the operator's connection."
        ) from None
    finally:
        if engine is not None:
            engine.dispose()


def _reflected(connection: "sa.Connection", data: "Data") -> "sa.Table":
    import sqlalchemy as sa

    schema, name = _table_name(data)
    inspector = sa.inspect(connection)
    schemas = inspector.get_schema_names()
    if schema is not None and schema not in schemas:
        raise _missing(data, "schema", schema, schemas)
    known = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    with suppress(NotImplementedError):  # not every database has them
        known += inspector.get_materialized_view_names(schema)
    if name not in known:
        raise _missing(data, "table", name, known)
    return sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)


def _missing(data: "Data", kind: str, name: str, known: Sequence[str]) -> RequestError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return RequestError(
        f"data.table must name a table of connection {data.connection!r}. There is no {kind} "
        f"{name!r} among {len(known)}.{hint} Correct it."
    )


def _read(
    connection: "sa.Connection", table: "sa.Table", data: "Data", wanted: Wanted, file: Path
) -> tuple[str, ...]:
    """Write the rows to a file; return what people should know about them."""
    import sqlalchemy as sa

    from resources.sources._sql_types import write_batches

    columns = [column for column in table.columns if column.name in _needed(table, data, wanted)]
    declared = {column.name: _declared(column, data) for column in columns}
    keys = list(table.primary_key.columns)
    query = sa.select(*columns).where(*_in_range(table, data)).order_by(*keys)
    n_batch = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(columns), 1)))
    result = connection.execution_options(yield_per=n_batch).execute(query)
    n_rows = write_batches(
        # Not `partitions`, which holds one batch while it fetches the next.
        iter(partial(result.fetchmany, n_batch), []),
        [column.name for column in columns],
        declared,
        file,
        table=str(data.table),
    )
    if n_rows == 0:
        raise SnapshotError(
            f"The table must hold rows. {data.connection}/{data.table} has none"
            f"{' in data.rows' if _in_range(table, data) else ''}. Check what was loaded into it."
        )
    if keys:
        return ()
    return (
        f"{data.connection}/{data.table} has no primary key: its rows come in an order that the "
        "database chooses, and reading them again may give another digest.",
    )


def _declared(column: "sa.Column[Any]", data: "Data") -> Any:
    from resources.sources._sql_types import polars_type

    try:
        return polars_type(column.type)
    except SnapshotError as error:
        raise SnapshotError(
            f"{error} Column {column.name!r} of {data.table!r} is {type(column.type).__name__}. "
            "Name it under data.features.exclude, or read a view that casts it."
        ) from error


def _needed(table: "sa.Table", data: "Data", wanted: Wanted) -> set[str]:
    """Return the columns that the request names or whose patterns match; all is checked later."""
    names = [column.name for column in table.columns]
    roles = {data.target, data.id, data.time, data.group, *wanted.columns}
    roles |= {*data.available_at, *data.available_at.values(), *data.features.keep}
    if data.rows.where is not None:
        from automl_assets.core.predicate import parse_predicate

        roles |= set(parse_predicate(data.rows.where).columns)
    included = _matching(names, data.features.include) - _matching(names, data.features.exclude)
    return {name for name in names if name in roles | included}


def _matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    return {
        name
        for name in names
        if any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
    }


def _in_range(table: "sa.Table", data: "Data") -> list[Any]:
    """Return conditions that leave out most rows before `rows.from` and after `rows.until`.

    Bounds are bound as parameters. Only columns declared as dates or times are
    compared: in others a database compares text.
    """
    import sqlalchemy as sa

    if data.time is None or data.time not in table.columns:
        return []
    column = table.columns[data.time]
    if not isinstance(column.type, sa.Date | sa.DateTime):
        return []
    conditions = []
    if data.rows.from_ is not None:
        conditions.append(column >= _bound(data.rows.from_, -_SLACK, column.type))
    if data.rows.until is not None:
        conditions.append(column < _bound(data.rows.until, _SLACK, column.type))
    return conditions


def _bound(moment: date, slack: timedelta, kind: Any) -> date:
    import sqlalchemy as sa

    exact = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    has_zone = bool(getattr(kind, "timezone", False))
    if exact.tzinfo is None:
        exact = exact.replace(tzinfo=UTC)
    try:
        loose = exact.astimezone(UTC) + slack
    except OverflowError:
        loose = exact
    if isinstance(kind, sa.Date):
        return loose.date()
    return loose if has_zone else loose.replace(tzinfo=None)
