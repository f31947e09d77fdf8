"""Which rows and columns of a source become the snapshot."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase

import polars as pl

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import RowStep

_CURES = (
    ("could not parse", "Correct the value, or write the table as Parquet, which has types"),
    ("found more fields", "Give each row as many cells as the header"),
    ("CSV malformed", "Put values that hold quotes between quotes, and double those in them"),
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The rows and columns that a request asks for.

    Attributes:
        frame: Lazy; rows and columns in the order of the source.
        rows: How many rows each step left.
    """

    frame: pl.LazyFrame
    rows: tuple[RowStep, ...]


def select(frame: pl.LazyFrame, request: TrainingRequest) -> Selection:
    """Choose rows and columns, and count the rows that each step leaves.

    The source is read once here for the counts, and once by whoever collects
    the frame; both passes stream.

    Raises:
        RequestError: A column or pattern of the request is not in the data, or no row is left.
        SnapshotError: The source cannot be read to its end.
    """
    schema = frame.collect_schema()
    columns = select_columns(schema.names(), request)
    in_range = _in_range(schema, request)
    present = pl.col(request.data.target).is_not_null()
    n_read, n_in_range, n_present = _count(frame, in_range, in_range & present, request)
    steps = [RowStep(step="read", n_rows=n_read)]
    if _is_bounded(request):
        steps.append(RowStep(step="from/until", n_rows=n_in_range))
    steps.append(RowStep(step="target present", n_rows=n_present))
    chosen = frame.filter(in_range & present).select(columns)
    max_rows = request.data.rows.sample.max_rows
    if max_rows is not None and max_rows < n_present:
        chosen = _sample(chosen, n_present, max_rows, seed=request.sample_seed)
        steps.append(RowStep(step="sample", n_rows=max_rows))
    return Selection(frame=chosen, rows=tuple(steps))


def select_columns(names: Sequence[str], request: TrainingRequest) -> list[str]:
    """Return the columns that the snapshot keeps, in the order of the data.

    Raises:
        RequestError: A column or pattern of the request is not in the data.
    """
    features = request.data.features
    named = check_roles(names, request)
    included = _matching("include", features.include, names)
    excluded = _matching("exclude", features.exclude, names)
    return [name for name in names if name in (included - excluded) | named]


def check_roles(names: Sequence[str], request: TrainingRequest) -> set[str]:
    """Return the columns that the request gives a role: target, id, time, group.

    Raises:
        RequestError: One of them is not in the data.
    """
    data = request.data
    roles = {"target": data.target, "id": data.id, "time": data.time, "group": data.group}
    for role, name in roles.items():
        if name is not None and name not in names:
            raise RequestError(
                f"data.{role} must name a column of the data. There is no {name!r}. "
                f"{_hint(name, names)}"
            )
    return {name for name in roles.values() if name is not None}


@contextmanager
def reading_errors(source: str) -> Iterator[None]:
    """Turn what polars says about the data of `source` into our words."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        text = str(error)
        if "No space left" in text or "os error 28" in text:
            raise SnapshotError(
                f"The rows of {source!r} need room on the disk while they are read. "
                "The disk is full. Free some space and run again."
            ) from error
        cure = next((cure for phrase, cure in _CURES if phrase in text), "Write the file again")
        raise SnapshotError(
            f"Every row of the data must be readable. {source!r} is not: "
            f"{text.splitlines()[0]}. {cure}."
        ) from error


def _matching(key: str, patterns: Sequence[str], names: Sequence[str]) -> set[str]:
    matched: set[str] = set()
    for pattern in patterns:
        # A name may hold brackets or stars itself: as a whole it always matches.
        found = {name for name in names if name == pattern or fnmatchcase(name, pattern)}
        if not found:
            raise RequestError(
                f"Each pattern of data.features.{key} must match a column. "
                f"{pattern!r} matches none. {_hint(pattern, names)}"
            )
        matched |= found
    return matched


def _hint(name: str, names: Sequence[str]) -> str:
    if nearest := difflib.get_close_matches(name, names, n=1):
        return f"Did you mean {nearest[0]!r}?"
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"Columns: {', '.join(map(repr, names[:10]))}{rest}."


def _is_bounded(request: TrainingRequest) -> bool:
    rows = request.data.rows
    return rows.from_ is not None or rows.until is not None


def _in_range(schema: pl.Schema, request: TrainingRequest) -> pl.Expr:
    """Return whether a row lies in data.rows: `from` inclusive, `until` exclusive."""
    name, rows = request.data.time, request.data.rows
    if name is None or not _is_bounded(request):
        return pl.lit(True)
    dtype = schema[name]
    if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
        raise RequestError(
            "data.rows.from and until need dates or times in data.time. "
            f"Column {name!r} holds {dtype}. Write its values like 2026-01-31, or remove the keys."
        )
    zone = getattr(dtype, "time_zone", None)
    moment = _in_utc(pl.col(name).cast(pl.Datetime("us", zone)), zone)
    inside = pl.lit(True)
    if rows.from_ is not None:
        inside = inside & (moment >= _bound(rows.from_, name, zone))
    if rows.until is not None:
        inside = inside & (moment < _bound(rows.until, name, zone))
    return inside.fill_null(False)


def _bound(bound: date | datetime, column: str, zone: str | None) -> pl.Expr:
    """Return a bound in the terms of the column: UTC if that has a time zone, else as written."""
    if not isinstance(bound, datetime):
        bound = datetime.combine(bound, time())
    if bound.tzinfo is None:
        return _in_utc(pl.lit(bound, pl.Datetime("us")).dt.replace_time_zone(zone), zone)
    if zone is None:
        raise RequestError(
            "data.rows and data.time are written both with a time zone or both without. "
            f"{bound.isoformat()} has one, column {column!r} has none. Remove it from the request."
        )
    return pl.lit(bound.astimezone(UTC).replace(tzinfo=None), pl.Datetime("us"))


def _in_utc(moment: pl.Expr, zone: str | None) -> pl.Expr:
    if zone is None:
        return moment
    return moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _count(
    frame: pl.LazyFrame, in_range: pl.Expr, chosen: pl.Expr, request: TrainingRequest
) -> tuple[int, int, int]:
    """Return the rows read, those in range, and those with a target as well."""
    data = request.data
    when = pl.col(data.time) if data.time else pl.lit(None)
    with reading_errors(data.path or data.target):
        counts = frame.select(
            n_read=pl.len(),
            n_in_range=in_range.sum() if _is_bounded(request) else pl.len(),
            n_chosen=chosen.sum(),
            first=when.min(),
            last=when.max(),
        ).collect(engine="streaming")
    n_read, n_in_range, n_chosen, first, last = counts.row(0)
    if n_in_range == 0:
        raise RequestError(
            f"data.rows must leave rows. Of {n_read:,} rows none has {data.time!r} from "
            f"{data.rows.from_ or 'the start'} until {data.rows.until or 'the end'}; "
            f"the data reach from {first} to {last}. Change data.rows."
        )
    if n_chosen == 0:
        raise RequestError(
            f"Rows without a target are left out. Column {data.target!r} is empty in all "
            f"{n_in_range:,} rows. Name another target, or take rows where it is known."
        )
    return n_read, n_in_range, n_chosen


def _sample(frame: pl.LazyFrame, n_rows: int, max_rows: int, *, seed: int) -> pl.LazyFrame:
    """Keep exactly `max_rows` rows, in order: a random one of each of so many equal stretches.

    Nothing but the row number and the seed decides, so memory stays flat and
    the same rows are kept on every machine.
    """
    number = max(frame.collect_schema().names(), key=len) + "_"

    def whole(value: int) -> pl.Expr:
        return pl.lit(value, pl.UInt64)

    def start(stretch: pl.Expr) -> pl.Expr:
        return (stretch * whole(n_rows) + whole(max_rows - 1)) // whole(max_rows)

    row = pl.col(number).cast(pl.UInt64)
    stretch = row * whole(max_rows) // whole(n_rows)
    size = start(stretch + whole(1)) - start(stretch)
    kept = row == start(stretch) + _mixed(stretch, seed) % size
    return frame.with_row_index(number).filter(kept).drop(number)


def _mixed(number: pl.Expr, seed: int) -> pl.Expr:
    """Return 64 bits that look random (SplitMix64); polars does not promise its own hash."""

    def bits(value: int) -> pl.Expr:
        return pl.lit(value % 2**64, pl.UInt64)

    mixed = (number + bits(seed * 0xD1342543DE82EF95 + 1)) * bits(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed // bits(2**30))) * bits(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed // bits(2**27))) * bits(0x94D049BB133111EB)
    return mixed ^ (mixed // bits(2**31))
