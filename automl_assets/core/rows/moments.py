"""Dates and times of a request in the terms of a column: its unit and its time zone."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from automl_assets.core.errors import RequestError

_EPOCH = datetime(1970, 1, 1)
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def in_terms_of(
    dtype: pl.DataType, moment: date | datetime, *, column: str, key: str
) -> tuple[pl.DataType, int]:
    """Return the type in which a column and a moment compare, and the moment as counted in it.

    The type is the column's own wherever that can hold the moment: a reader of
    Parquet can then leave out row groups by their statistics.

    Args:
        dtype: Of the column; a date or a time.
        moment: Without a time zone it is meant in the column's. A date is its midnight.
        column, key: For messages: the column, and what of the request holds the moment.

    Raises:
        RequestError: The moment has a time zone and the column has none, or the
            clocks of the column's zone never showed it.
    """
    zone = getattr(dtype, "time_zone", None)
    elapsed = _in_utc(moment, zone, column, key) - _EPOCH
    if dtype == pl.Date and not elapsed.seconds and not elapsed.microseconds:
        return dtype, elapsed.days
    microseconds = elapsed // timedelta(microseconds=1)
    unit = str(getattr(dtype, "time_unit", "us"))
    ticks, rest = divmod(microseconds * _PER_SECOND[unit], _PER_SECOND["us"])
    if rest or abs(ticks) >= 2**63:
        return pl.Datetime("us", zone), microseconds
    return (pl.Datetime("us") if dtype == pl.Date else dtype), ticks


def _in_utc(moment: date | datetime, zone: str | None, column: str, key: str) -> datetime:
    """Return a moment as the column counts it: in UTC if that has a zone, else as written."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if moment.tzinfo is not None:
        if zone is None:
            raise RequestError(
                f"{key} and the column are written both with a time zone or both without. "
                f"{moment.isoformat()} has one, column {column!r} has none. Remove it from the "
                "request."
            )
        return moment.astimezone(UTC).replace(tzinfo=None)
    if zone is None:
        return moment
    written = pl.lit(moment, pl.Datetime("us"))
    # In autumn an hour is shown twice; the first is meant, so that a period has no hole.
    local = written.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    found = pl.select(local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)).item()
    if found is None:
        raise RequestError(
            f"{key} names a moment in the time zone of column {column!r}, {zone}. "
            f"There was no {moment.isoformat(sep=' ')}: the clocks were moved. Add an offset "
            "such as +02:00, or name another time."
        )
    return found
