"""Rows in stretches of time: calendar months where they suit, else equally many rows each."""

from typing import NamedTuple

import numpy as np
import polars as pl

from automl_assets.core.evaluation.wording import shown
from automl_assets.core.rows.iso_dates import read_moment

MIN_ROWS = 200
"""Rows that an equally large stretch has at least."""


class Stretch(NamedTuple):
    """A stretch of time and the positions of its rows."""

    name: str
    rows: np.ndarray


def stretches(times: pl.Series, *, most: int) -> list[Stretch]:
    """Return at most so many stretches, oldest first; rows without a time are in none.

    Args:
        times: Dates, moments, texts of them in ISO 8601, or numbers, `(n_rows,)`.
        most: At least 2.

    Examples:
        >>> days = pl.Series(["2026-01-01", "2026-02-03", "2026-02-01"])
        >>> [(name, rows.tolist()) for name, rows in stretches(days, most=24)]
        [('2026-01', [0]), ('2026-02', [1, 2])]
    """
    values = _ordered(times)
    frame = pl.DataFrame({"time": values, "row": pl.int_range(len(values), eager=True)})
    frame = frame.drop_nulls("time")
    if values.dtype.is_temporal():
        months = frame.with_columns(name=pl.col("time").dt.strftime("%Y-%m"))
        if 2 <= months["name"].n_unique() <= most:
            grouped = months.group_by("name", maintain_order=False).agg("row").sort("name")
            return [
                Stretch(name, np.sort(np.array(rows, np.intp))) for name, rows in grouped.rows()
            ]
    return _equal(frame, min(most, frame.height // MIN_ROWS))


def _ordered(times: pl.Series) -> pl.Series:
    if times.dtype == pl.String:
        return times.to_frame().select(read_moment(pl.col(times.name))).to_series()
    if times.dtype.is_float():
        return times.fill_nan(None)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone:
        return times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return times


def _equal(frame: pl.DataFrame, n_stretches: int) -> list[Stretch]:
    """Cut at equal numbers of rows; rows of one time stay together."""
    if n_stretches < 2:
        return []
    rank = frame["time"].rank("min").to_numpy().astype(np.int64) - 1
    place = rank * n_stretches // frame.height
    found = []
    for number in np.unique(place):
        part = frame.filter(pl.Series(place == number))
        name = f"{_text(part['time'].min())} to {_text(part['time'].max())}"
        found.append(Stretch(name, np.sort(part["row"].to_numpy().astype(np.intp))))
    return found


def _text(value: object) -> str:
    return shown(float(value)) if isinstance(value, int | float) else f"{value}".split(".")[0]
