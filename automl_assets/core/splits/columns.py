"""Splits that follow a column: whole groups, the order of time, or the part that it names."""

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.rows.iso_dates import read_moment
from automl_assets.core.splits import Fractions, bounds_of, require_all_parts
from automl_assets.core.values import PARTS


def group_key(table: pl.LazyFrame, column: str) -> pl.Expr:
    """Return a group column as values with an order of their own: codes follow appearance."""
    is_coded = isinstance(table.collect_schema()[column], pl.Categorical | pl.Enum)
    return pl.col(column).cast(pl.String) if is_coded else pl.col(column)


def read_labels(
    keys: pl.LazyFrame, labels: pl.DataFrame, *, name: str, missing: int | None = None
) -> np.ndarray:
    """Give each row the label of its group, in the order of the rows.

    Args:
        keys: One column `group`.
        labels: Columns `group` and `name`.
        missing: Label of groups that `labels` does not have.
    """
    label = pl.col(name) if missing is None else pl.col(name).fill_null(missing)
    joined = keys.join(
        labels.lazy(), on="group", how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.select(label).collect(engine="streaming").to_series().to_numpy()


def group_split(table: pl.LazyFrame, column: str, fractions: Fractions, *, seed: int) -> np.ndarray:
    """Split so that all rows of a group are in one part.

    The groups are drawn in the order of their values: the split follows the
    data, not the order of the rows.

    Args:
        column: Group of each row; rows without one form a group.
        fractions: Share of rows of each part; met as nearly as whole groups allow.
        seed: Decides the order of the groups.

    Returns:
        Part of each row, int8.

    Raises:
        RequestError: There are too few groups for four parts.
    """
    keys = table.select(group=group_key(table, column))
    groups = keys.group_by("group").agg(size=pl.len()).collect(engine="streaming").sort("group")
    order = np.random.default_rng(seed).permutation(groups.height)
    sizes = groups["size"].to_numpy().astype(np.int64)[order]
    # A group belongs to the part in which its middle row falls.
    middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    part_of_group = np.empty(groups.height, np.int8)
    part_of_group[order] = np.searchsorted(bounds_of(fractions), middle, side="right")
    labels = groups.select("group", part=pl.Series(part_of_group))
    return require_all_parts(read_labels(keys, labels, name="part"), column, "groups")


def _moment(table: pl.LazyFrame, column: str) -> pl.Expr:
    dtype = table.collect_schema()[column]
    if dtype == pl.String:
        return read_moment(pl.col(column)).to_physical()
    if isinstance(dtype, pl.Date | pl.Datetime) or dtype.is_integer():
        return pl.col(column).to_physical()
    return pl.col(column).cast(pl.Float64).fill_nan(None)


def read_moments(table: pl.LazyFrame, column: str, *, group: str | None = None) -> np.ndarray:
    """Return the time of each row as a number.

    Args:
        column: Dates, times, numbers, or dates as text with the year first.
        group: If given, each row has the last time of its group: a part then
            holds whole groups, and no group of an earlier part goes on in a later one.

    Raises:
        RequestError: The column holds no times, or some are missing.
    """
    dtype = table.collect_schema()[column]
    is_time = dtype == pl.String or isinstance(dtype, pl.Date | pl.Datetime)
    moments = None
    if is_time or dtype.is_numeric():
        moments = table.select(moment=_moment(table, column)).collect(engine="streaming")["moment"]
    n_nulls = 0 if moments is None else moments.null_count()
    n_empty = table.select(pl.col(column).null_count()).collect(engine="streaming").item()
    if moments is None or (dtype == pl.String and n_nulls > n_empty):
        first = table.select(pl.col(column).drop_nulls().head(1)).collect()[column].to_list()
        raise RequestError(
            f"A split by time needs dates, times or numbers, but {column!r} holds "
            f"{dtype} such as {first}. Write dates year first, like 2026-01-31."
        )
    if n_nulls:
        raise RequestError(
            f"A split by time needs the time of every row, but {column!r} is empty in "
            f"{n_nulls:,} of {len(moments):,} rows. Fill them, or remove data.time."
        )
    if group is None:
        return moments.to_numpy()
    keyed = table.select(group=group_key(table, group), moment=_moment(table, column))
    last = keyed.group_by("group").agg(pl.col("moment").max()).collect(engine="streaming")
    return read_labels(keyed.select("group"), last, name="moment")


def cut(moments: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Cut rows by time at shares of their number, never between two equal times.

    Args:
        moments: Time of each row as a number, none missing.
        bounds: Shares, rising, at which a new piece begins.

    Returns:
        Piece of each row, int8; rows of one moment are in the piece of their middle row.
    """
    n = len(moments)
    places = np.minimum((bounds * n).astype(np.int64), n - 1)
    ordered = np.partition(moments, places)
    pieces = np.zeros(n, np.int8)
    for bound, place in zip(bounds, places, strict=True):
        moment = ordered[place]
        middle = np.count_nonzero(moments < moment) + np.count_nonzero(moments == moment) / 2
        pieces += moments >= moment if middle >= bound * n else moments > moment
    return pieces


def time_split(moments: np.ndarray, fractions: Fractions, *, column: str) -> np.ndarray:
    """Split by time: train is oldest, then validation, calibration, analysis.

    Rows with equal times stay together: cutting a tie in two would show the
    model the very moment it is asked to predict.

    Args:
        moments: Time of each row as a number, as `read_moments` returns it.
        fractions: Share of rows of each part.
        column: Name of the time column, for messages.

    Returns:
        Part of each row, int8.

    Raises:
        RequestError: Too few times are distinct for four parts.
    """
    return require_all_parts(cut(moments, bounds_of(fractions)), column, "distinct times")


def column_split(table: pl.LazyFrame, column: str) -> np.ndarray:
    """Take the part of each row from a column that names it.

    Returns:
        Part of each row, int8.

    Raises:
        RequestError: A value is no part or is missing, or a part has no rows.
    """
    values = table.select(value=pl.col(column).cast(pl.String))
    counts = values.group_by("value").agg(pl.len()).collect(engine="streaming")
    wrong = counts.filter(~pl.col("value").is_in(PARTS) | pl.col("value").is_null())
    if wrong.height:
        worst = wrong.sort(["len", "value"], descending=[True, False]).head(5).rows()
        shown = ", ".join(f"{'empty' if v is None else repr(v)} in {n:,}" for v, n in worst)
        raise RequestError(
            f"split.column must hold one of {', '.join(PARTS)} in each row, but column {column!r} "
            f"does not in {wrong['len'].sum():,} of {counts['len'].sum():,} rows: {shown}. "
            "Correct these values, or leave the rows out with data.rows.where."
        )
    # Compared, since the streaming engine looks values up in the whole column at once.
    code = pl.lit(0, pl.Int8)
    for number, name in enumerate(PARTS):
        code = pl.when(pl.col("value") == name).then(pl.lit(number, pl.Int8)).otherwise(code)
    part = values.select(part=code)
    return require_all_parts(
        part.collect(engine="streaming").to_series().to_numpy(), column, "rows"
    )
