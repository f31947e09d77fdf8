"""Whether values were known at the time of the row that they stand in."""

import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows import check_roles
from automl_assets.core.rows.iso_dates import read_moment
from automl_assets.core.values import Finding

RULE = "time availability"

_CURE = "Take the value as it was then, exclude the column, or name it under features.keep."
_STAYS = "It stays, since features.keep names it."


def find_late(
    table: pl.LazyFrame, features: tuple[str, ...], request: TrainingRequest
) -> list[Finding]:
    """Find features with values that became known after the time of their row.

    A date and a time of day are compared by day. One late row is enough: what the column
    would have been at prediction time is unknown in all of them. Rows in which either time
    is missing are only warned of. Rows without a value cannot be late.

    Raises:
        RequestError: A column of `data.available_at` is not there or holds no times.
    """
    asked = {c: known for c, known in request.data.available_at.items() if c in features}
    if not asked or request.data.time is None:
        return []
    check_roles(table.collect_schema().names(), request)
    findings = (_judge(table, column, known, request) for column, known in asked.items())
    return [finding for finding in findings if finding is not None]


def _judge(
    table: pl.LazyFrame, column: str, known_at: str, request: TrainingRequest
) -> Finding | None:
    time = str(request.data.time)
    known, moment = _comparable(table, column, known_at, time)
    filled = pl.col(column).is_not_null()
    late = (known > moment).fill_null(False) & filled
    unknown = (known.is_null() | moment.is_null()) & filled
    n_rows, n_late, n_unknown, first = (
        table.select(
            n_rows=filled.sum(), n_late=late.sum(), n_unknown=unknown.sum(), first=late.arg_max()
        )
        .collect(engine="streaming")
        .row(0)
    )
    if n_late:
        found = (
            f"{column!r} was known only after {time!r} in {n_late:,} of {n_rows:,} rows "
            f"({n_late / n_rows:.2%}), the first of them row {first:,}: {known_at!r} is later. "
        )
        is_kept = column in request.data.features.keep
        return Finding(
            rule=RULE,
            column=column,
            action="kept" if is_kept else "dropped",
            value=n_late / n_rows,
            limit=0.0,
            detail=found + (_STAYS if is_kept else _CURE),
        )
    if n_unknown:
        found = (
            f"Nobody can tell whether {column!r} was known at {time!r} in {n_unknown:,} of "
            f"{n_rows:,} rows ({n_unknown / n_rows:.2%}): {known_at!r} or {time!r} is empty. "
            f"Fill them, or leave {column!r} empty there."
        )
        value = n_unknown / n_rows
        return Finding(
            rule=RULE, column=column, action="warned", value=value, limit=0.0, detail=found
        )
    return None


def _comparable(
    table: pl.LazyFrame, column: str, known_at: str, time: str
) -> tuple[pl.Expr, pl.Expr]:
    """Return both times so that they can be compared."""
    schema = table.collect_schema()
    types = {name: schema[name] for name in (known_at, time)}
    if all(dtype.is_numeric() for dtype in types.values()):
        return pl.col(known_at), pl.col(time)
    if pl.Date in types.values():
        return _moment(table, known_at).dt.date(), _moment(table, time).dt.date()
    zones = {name: getattr(dtype, "time_zone", None) for name, dtype in types.items()}
    if len({zone is None for zone in zones.values()}) == 2:
        bare = next(name for name, zone in zones.items() if zone is None)
        raise RequestError(
            "data.available_at and data.time are both written with a time zone or both without. "
            f"Column {bare!r} has none, the other has one. Write them alike."
        )
    zone = None if zones[time] is None else "UTC"
    return _moment(table, known_at, zone), _moment(table, time, zone)


def _moment(table: pl.LazyFrame, name: str, zone: str | None = None) -> pl.Expr:
    """Return a time in microseconds as clocks show it, in `zone` or where the column is."""
    column, dtype = pl.col(name), table.collect_schema()[name]
    moment = column
    if dtype == pl.String:
        moment = read_moment(column)
        unread = moment.is_null() & column.is_not_null()
        n_unread = table.select(unread.sum()).collect(engine="streaming").item()
    else:
        is_time = dtype == pl.Date or isinstance(dtype, pl.Datetime)
        n_unread = 0 if is_time else table.select(column.count()).collect(engine="streaming").item()
    if n_unread:
        raise RequestError(
            "data.available_at compares two dates or times, or two numbers. "
            f"Column {name!r} ({dtype}) holds {n_unread:,} values that are none. "
            "Write them like 2026-01-31."
        )
    if zone is not None:
        moment = moment.dt.convert_time_zone(zone)
    if isinstance(dtype, pl.Datetime):
        moment = moment.dt.replace_time_zone(None)
    return moment.cast(pl.Datetime("us"))
