"""What the columns of a table hold, measured in streaming passes over blocks of columns.

Memory is bounded by the size of a block and of the row sample, whatever the
number of rows. Counts, ranges, means and deviations are of all rows; only
quantiles come from the sample.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from automl_assets.core.profile.levels import MAX_TEXT_BYTES, LevelPlan, count_levels
from automl_assets.core.profile.sample import (
    SAMPLE_ROWS,
    find_quantiles,
    is_sampled,
    rank_error,
)
from automl_assets.core.profile.steady import steady
from automl_assets.core.profile.text import TEXT_SAMPLE_ROWS, Looks, TextSample, look_at_texts

SKETCH_ERROR = 0.25
"""Approximate counts of distinct values were always much nearer than this to the true ones."""

MAX_RANK_ERROR = 0.005
MAX_EXACT_DISTINCT = 10_000

_BLOCK_VALUES = 5 * 2**18
"""Sampled values that are in memory at once. It makes blocks of five columns: polars reads
ahead of the sample, and what it holds grows with the columns."""

_HELD_VALUES = 2**22
"""Values of a short table that are in memory at once; texts may be long."""

_MAX_BLOCK_COLUMNS = 256
"""Polars plans longer lists of expressions slower than their number grows."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One column as measured; NaN counts as null.

    Attributes:
        n_distinct: Exact in tables of up to 262,144 rows; else approximate above 10,000.
            0 for lists and other nested values.
        n_numbers: Texts that are numbers, if nearly all of a text column may be.
        is_dates: Whether every text is a date or time in ISO 8601.
        minimum, maximum, mean, std, quantiles: Of the finite values.
        top: The most frequent texts of at most 200 bytes and their exact number of rows.
            Where the levels are not counted, those of them that are frequent in a sample
            of 32,768 rows.
    """

    name: str
    dtype: pl.DataType
    n_nulls: int
    n_distinct: int
    n_infinite: int = 0
    n_numbers: int = 0
    is_dates: bool = False
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    top: tuple[tuple[str, int], ...] = ()


@dataclass(kw_only=True)
class _Found:
    """What is known of one column while it is measured."""

    name: str
    dtype: pl.DataType
    values: dict[str, Any] = field(default_factory=dict)
    sample: pl.Series = field(default_factory=pl.Series)
    looks: Looks = field(default_factory=Looks)


_Measures = Callable[[_Found], dict[str, pl.Expr]]


def measure(frame: pl.LazyFrame, n_rows: int) -> list[Measured]:
    """Measure every column of a table.

    Args:
        frame: Read several times.
        n_rows: Rows of the table.
    """
    return [
        column
        for names in _blocks(frame.collect_schema().names(), n_rows)
        for column in _measure_block(_block(frame, names, n_rows), n_rows)
    ]


def known(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column with its missing values as nulls."""
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def _blocks(names: Sequence[str], n_rows: int) -> Iterator[Sequence[str]]:
    size = _BLOCK_VALUES // SAMPLE_ROWS if n_rows > SAMPLE_ROWS else _HELD_VALUES // max(1, n_rows)
    size = min(_MAX_BLOCK_COLUMNS, size)
    return (names[start : start + size] for start in range(0, len(names), size))


def _block(frame: pl.LazyFrame, names: Sequence[str], n_rows: int) -> pl.LazyFrame:
    """Return some columns; held in memory where that is little, to be read only once."""
    block = frame.select(names)
    return block if n_rows > SAMPLE_ROWS else block.collect(engine="streaming").lazy()


def _measure_block(frame: pl.LazyFrame, n_rows: int) -> list[Measured]:
    columns = [_Found(name=name, dtype=dtype) for name, dtype in frame.collect_schema().items()]
    _measure_and_sample(frame, columns, n_rows)
    _collect(frame, [c for c in columns if c.values.get("n_infinite")], _finite_measures)
    _look_at_texts(frame, columns, n_rows)
    _find_quantiles(frame, columns, n_rows)
    _count(frame, columns, n_rows)
    return [_measured(column) for column in columns]


def _collect(frame: pl.LazyFrame, columns: list[_Found], measures: _Measures) -> None:
    """Fill in measures of some columns, in one pass."""
    if columns:
        found = frame.select(**_labelled(columns, measures)).collect(engine="streaming")
        _fill_in(columns, found)


def _labelled(columns: list[_Found], measures: _Measures) -> dict[str, pl.Expr]:
    # Positions, because a column may have any name.
    return {
        f"{position} {key}": expression
        for position, column in enumerate(columns)
        for key, expression in measures(column).items()
    }


def _fill_in(columns: list[_Found], found: pl.DataFrame) -> None:
    for label, value in found.row(0, named=True).items():
        position, _, key = label.partition(" ")
        columns[int(position)].values[key] = value


def _first_measures(column: _Found) -> dict[str, pl.Expr]:
    dtype = column.dtype
    values = known(column.name, dtype)
    measures = {"n_nulls": values.null_count()}
    if not (dtype.is_nested() or dtype == pl.Object):
        measures["n_distinct"] = values.approx_n_unique()
    if dtype.is_float():
        measures["n_infinite"] = values.is_infinite().sum()
    if dtype.is_numeric():
        measures |= _moments(values)
    if is_moment(dtype):
        measures |= _range(values)
    if dtype == pl.String:
        measures["n_bytes"] = values.str.len_bytes().max()
    return measures


def is_moment(dtype: pl.DataType) -> bool:
    """Return whether values are dates, or dates with a time."""
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def _finite_measures(column: _Found) -> dict[str, pl.Expr]:
    values = known(column.name, column.dtype)
    return _moments(values.filter(values.is_finite()))


def _range(values: pl.Expr) -> dict[str, pl.Expr]:
    return {"minimum": values.min().cast(pl.String), "maximum": values.max().cast(pl.String)}


def _moments(values: pl.Expr) -> dict[str, pl.Expr]:
    numbers = values.cast(pl.Float64)
    return _range(values) | {"mean": numbers.mean(), "std": numbers.std()}


def _measure_and_sample(frame: pl.LazyFrame, columns: list[_Found], n_rows: int) -> None:
    """Fill in the first measures, and sampled values of numbers and short texts, in one pass."""
    numbers = {c.name: pl.col(c.name) for c in columns if c.dtype.is_numeric()}
    texts = {c.name: _short(pl.col(c.name)) for c in columns if c.dtype == pl.String}
    row = _free_name(frame)
    table = frame.with_row_index(row)
    kept = table.filter(is_sampled(pl.col(row), n_rows=n_rows))
    # Both read the same frame, which is what makes polars decode it once.
    found, sample = pl.collect_all(
        [
            table.select(**_labelled(columns, _first_measures)),
            kept.select(row, *numbers.values(), *texts.values()),
        ],
        engine="streaming",
    )
    _fill_in(columns, found)
    fewer = is_sampled(pl.col(row), n_rows=n_rows, n_wanted=TEXT_SAMPLE_ROWS)
    text_sample = sample.lazy().select(row, *texts).filter(fewer).collect()
    for column in columns:
        if column.name in texts:
            column.sample = text_sample[column.name]
        elif column.name in numbers:
            column.sample = sample[column.name]


def _short(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.len_bytes() <= MAX_TEXT_BYTES).then(text)


def _free_name(frame: pl.LazyFrame) -> str:
    """Return a name that no column has."""
    return max(frame.collect_schema().names(), key=len) + "_"


def _look_at_texts(frame: pl.LazyFrame, columns: list[_Found], n_rows: int) -> None:
    samples = [
        TextSample(name=c.name, values=c.sample, n_present=n_rows - c.values["n_nulls"])
        for c in columns
        if c.dtype == pl.String
    ]
    looks = look_at_texts(frame, samples, n_rows)
    for column in columns:
        column.looks = looks.get(column.name, column.looks)


def _find_quantiles(frame: pl.LazyFrame, columns: list[_Found], n_rows: int) -> None:
    """Fill in quantiles; columns that are mostly empty are sampled again, and denser."""
    for column in columns:
        if not column.dtype.is_numeric():
            continue
        if _is_thin(column, n_rows):
            column.sample = _denser_sample(frame, column, n_rows)
        column.values["quantiles"] = find_quantiles(column.sample)


def _is_thin(column: _Found, n_rows: int) -> bool:
    """Say whether too few of the sampled rows have a value."""
    if len(column.sample) == n_rows or column.values["n_nulls"] == n_rows:
        return False
    n_sampled = column.sample.count()
    return n_sampled == 0 or rank_error(n_sampled) > MAX_RANK_ERROR


def _denser_sample(frame: pl.LazyFrame, column: _Found, n_rows: int) -> pl.Series:
    row = column.name + "_"
    n_present = n_rows - column.values["n_nulls"]
    kept = is_sampled(pl.col(row), n_rows=n_rows, n_wanted=SAMPLE_ROWS * n_rows // n_present)
    table = frame.select(column.name).with_row_index(row)
    present = known(column.name, column.dtype).is_not_null()
    return table.filter(present & kept).collect(engine="streaming")[column.name]


def _count(frame: pl.LazyFrame, columns: list[_Found], n_rows: int) -> None:
    """Fill in the exact number of levels where there are few, and the most frequent texts."""
    few = SAMPLE_ROWS if n_rows <= SAMPLE_ROWS else MAX_EXACT_DISTINCT
    plans = []
    for column in columns:
        n_distinct = column.values.setdefault("n_distinct", 0)
        is_few = 0 < n_distinct <= few * (1 + SKETCH_ERROR)
        if is_few or column.looks.candidates:
            plans.append(
                LevelPlan(
                    name=column.name,
                    dtype=column.dtype,
                    is_long=(column.values.get("n_bytes") or 0) > MAX_TEXT_BYTES,
                    candidates=None if is_few else column.looks.candidates,
                )
            )
    counted = count_levels(frame, plans)
    for column in columns:
        if column.name in counted:
            levels = counted[column.name]
            column.values["top"] = levels.top
            if levels.n_distinct is not None:
                column.values["n_distinct"] = levels.n_distinct


def _measured(column: _Found) -> Measured:
    values = column.values
    mean, std = values.get("mean"), values.get("std")
    scale = max(abs(value) for value in (mean or 0.0, std or 0.0))
    return Measured(
        name=column.name,
        dtype=column.dtype,
        n_nulls=values["n_nulls"],
        n_distinct=values["n_distinct"],
        n_infinite=values.get("n_infinite", 0),
        n_numbers=column.looks.n_numbers,
        is_dates=column.looks.is_dates,
        minimum=values.get("minimum"),
        maximum=values.get("maximum"),
        mean=steady(mean, scale),
        std=steady(std, scale),
        quantiles=values.get("quantiles", ()),
        top=values.get("top", ()),
    )
