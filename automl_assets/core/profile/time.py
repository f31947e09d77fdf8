"""The target in stretches of time: at most about sixty, whatever the table spans."""

import math
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from automl_assets.core.profile.measures import Measured, is_moment
from automl_assets.core.profile.steady import steady
from automl_assets.core.profile.target import class_text
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.iso_dates import read_moment
from automl_assets.core.values import PeriodCount

MAX_PERIODS = 60

_DAYS = (("1d", 1.0, "%Y-%m-%d"), ("1w", 7.0, "week of %Y-%m-%d"), ("1mo", 30.4, "%Y-%m"))
_YEAR = 365.25


def count_periods(
    frame: pl.LazyFrame,
    columns: Sequence[Measured],
    request: TrainingRequest,
    classes: Sequence[str],
) -> tuple[PeriodCount, ...]:
    """Return the rows and the target of each day, week, month or year that has rows.

    Of a column of numbers, the periods are equally long stretches, named by their start.
    Moments with a time zone count in UTC. Rows without a time count nowhere.

    Args:
        classes: In class order; empty for a regression, of which means are told.

    Returns:
        Oldest first; nothing without `data.time`, or if it holds no times.
    """
    measured = {column.name: column for column in columns}
    if request.data.time is None:
        return ()
    periods = _periods(frame, measured[request.data.time])
    if periods is None:
        return ()
    target = measured[request.data.target]
    table = frame.select(period=periods[0], target=pl.col(target.name)).drop_nulls("period")
    counted = _of_classes(table, classes) if classes else _of_numbers(table, target)
    names = counted.select(periods[1])["period"]
    return tuple(
        PeriodCount(period=name, **values)
        for name, values in zip(names, counted.drop("period").to_dicts(), strict=True)
    )


def _periods(frame: pl.LazyFrame, column: Measured) -> tuple[pl.Expr, pl.Expr] | None:
    """Return how the period of a row is found, and how a period is named."""
    values = pl.col(column.name)
    if column.dtype.is_numeric():
        return _stretches(column)
    if is_moment(column.dtype):
        moment = _in_utc(values, column.dtype)
    elif column.is_dates:
        moment = read_moment(values)
    else:
        return None
    ends = frame.select(first=moment.min(), last=moment.max()).collect(engine="streaming")
    first, last = ends.row(0)
    if first is None:
        return None
    every, spelling = _calendar(first, last)
    return moment.dt.truncate(every), pl.col("period").dt.strftime(spelling)


def _in_utc(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if getattr(dtype, "time_zone", None) is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"))


def _calendar(first: datetime, last: datetime) -> tuple[str, str]:
    """Return the shortest period of which there are few enough, and how it is written.

    Examples:
        >>> _calendar(datetime(2026, 1, 1), datetime(2026, 2, 1))
        ('1d', '%Y-%m-%d')
        >>> _calendar(datetime(1900, 1, 1), datetime(2026, 1, 1))
        ('5y', '%Y')
    """
    n_days = (last - first).total_seconds() / 86_400
    for every, length, spelling in _DAYS:
        if n_days / length < MAX_PERIODS:
            return every, spelling
    return f"{round(_nice(n_days / _YEAR / MAX_PERIODS, least=1.0))}y", "%Y"


def _nice(width: float, *, least: float = 0.0) -> float:
    """Return the next larger of 1, 2, 5, 10, 20, 50 and so on.

    Examples:
        >>> [_nice(width) for width in (0.03, 1.0, 2.1)]
        [0.05, 1.0, 5.0]
    """
    width = max(width, least)
    size = 10.0 ** math.floor(math.log10(width))
    step = next(step for step in (1, 2, 5, 10) if step * size >= width * (1 - 1e-9))
    return float(f"{step * size:.0e}")


def _stretches(column: Measured) -> tuple[pl.Expr, pl.Expr] | None:
    low, high = (float(end) if end else math.nan for end in (column.minimum, column.maximum))
    if not math.isfinite(high - low):
        return None
    least = 1.0 if column.dtype.is_integer() else 0.0
    width = _nice((high - low) / MAX_PERIODS, least=least) if high > low else 1.0
    numbers = pl.col(column.name).cast(pl.Float64)
    number = pl.when(numbers.is_finite()).then((numbers / width).floor())
    decimals = max(0, -math.floor(math.log10(width)))
    start = (pl.col("period") * width).round(decimals)
    name = start.cast(pl.String).str.strip_suffix(".0").str.replace("^-0$", "0")
    return number, name


def _of_classes(table: pl.LazyFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Return rows and class counts of each period."""
    dtype = table.collect_schema()["target"]
    counts = (
        table.select("period", target=class_text(pl.col("target"), dtype))
        .group_by("period", "target")
        .agg(rows=pl.len())
        .collect(engine="streaming")
    )
    of_class = [
        pl.col("rows").filter(pl.col("target") == name).sum().alias(str(position))
        for position, name in enumerate(classes)
    ]
    table_of = counts.group_by("period").agg(pl.col("rows").sum().alias("n_rows"), *of_class)
    return table_of.select(
        "period",
        "n_rows",
        class_counts=pl.concat_list(str(position) for position in range(len(classes))),
    ).sort("period")


def _of_numbers(table: pl.LazyFrame, target: Measured) -> pl.DataFrame:
    """Return rows and mean target of each period."""
    numbers = pl.col("target").cast(pl.Float64)
    means = table.group_by("period").agg(n_rows=pl.len(), mean=numbers.mean())
    scale = max(abs(target.mean or 0.0), target.std or 0.0)
    found = means.collect(engine="streaming").sort("period")
    steadied = [steady(mean, scale) for mean in found["mean"]]
    return found.with_columns(mean=pl.Series(steadied, dtype=pl.Float64))
