"""Dates and times that are written as text: ISO 8601, and nothing that could be read two ways."""

import polars as pl

ISO_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S%.fZ",
)
"""Spellings that are known; of the last, `Z` means UTC."""


def read_moment(text: pl.Expr) -> pl.Expr:
    """Return texts as moments in microseconds without a time zone; null where they are none.

    Examples:
        >>> values = pl.Series(["2026-01-31", "2026-01-31T10:15Z", "31.01.2026", None])
        >>> [str(moment) for moment in pl.select(read_moment(pl.lit(values))).to_series()]
        ['2026-01-31 00:00:00', 'None', 'None', 'None']
    """
    readings = [
        text.str.to_datetime(spelling, time_unit="us", strict=False) for spelling in ISO_FORMATS
    ]
    return pl.coalesce(readings)
