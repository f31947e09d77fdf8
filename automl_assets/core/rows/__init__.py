"""Which rows and columns of a source become the snapshot."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from functools import reduce
from operator import and_

import polars as pl

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.predicate import Predicate, parse_predicate
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.limit_rules import slice_columns
from automl_assets.core.request.text import shown
from automl_assets.core.rows.moments import in_terms_of

_CURES = (
    ("could not parse", "Correct the value, or write the table as Parquet, which has types"),
    ("found more fields", "Give each row as many cells as the header"),
    ("CSV malformed", "Put values that hold quotes between quotes, and double those in them"),
)
_LOOKED_AT = 1_000_000
"""Rows in which the most frequent values are looked for, to explain an empty result."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The rows and columns that a request asks for.

    Attributes:
        columns: To keep, in the order of the source.
        conditions: By step of the waterfall, in order: what a row must meet in
            it; null counts as not met.
    """

    columns: tuple[str, ...]
    conditions: Mapping[str, pl.Expr]

    @property
    def condition(self) -> pl.Expr:
        """What a row must meet to be kept."""
        return reduce(and_, self.conditions.values())

    @property
    def cumulative(self) -> dict[str, pl.Expr]:
        """Whether a row survives up to each step; never null."""
        met = pl.lit(True)
        found = {}
        for step, condition in self.conditions.items():
            met = met & condition.fill_null(False)
            found[step] = met
        return found


def select(schema: pl.Schema, request: TrainingRequest) -> Selection:
    """Choose rows and columns of a table with a schema; reads nothing.

    Raises:
        RequestError: A column or pattern of the request is not in the data, or
            a value does not fit its column.
    """
    # It knows personal data, and so the profile, which is made of rows.
    from automl_assets.core.evaluation.slicing import check_slices

    columns = select_columns(schema.names(), request)
    check_slices(request, schema)
    conditions: dict[str, pl.Expr] = {}
    if _is_bounded(request):
        conditions["from/until"] = _in_range(schema, request)
    if predicate := _predicate(request):
        conditions["where"] = predicate.expression(schema)
    conditions["target present"] = pl.col(request.data.target).is_not_null()
    return Selection(columns=tuple(columns), conditions=conditions)


def nothing_left(
    frame: pl.LazyFrame,
    selection: Selection,
    n_read: int,
    n_left: Sequence[int],
    request: TrainingRequest,
) -> RequestError:
    """Return the error for a selection without rows; it tells what the data hold instead.

    Args:
        frame: All rows; read again for what the message tells.
        n_left: Rows that each condition of the selection left, the last 0.
    """
    emptied = list(n_left).index(0)
    steps = list(selection.conditions)
    left = "; ".join(
        f"after {_TOLD[step]} {n:,}" for step, n in zip(steps, n_left[: emptied + 1], strict=False)
    )
    before = [*selection.cumulative.values()][:emptied]
    rest = frame.filter(before[-1]) if before else frame
    if not n_read:
        reason = "The source is empty. Name another one."
    elif steps[emptied] == "from/until":
        reason = _dates_held(rest, request)
    elif steps[emptied] == "where":
        reason = _values_held(rest, request)
    else:
        name = request.data.target
        reason = (
            f"Column {name!r} is empty in all {[n_read, *n_left][emptied]:,} rows. Name another "
            "target, or take rows where it is known."
        )
    return RequestError(f"rows: 0 of {n_read:,} left. {left.capitalize()}. {reason}")


_TOLD = {"from/until": "dates", "where": "where", "target present": "rows with a target"}


def select_columns(names: Sequence[str], request: TrainingRequest) -> list[str]:
    """Return the columns that the snapshot keeps, in the order of the data.

    Raises:
        RequestError: A column or pattern of the request is not in the data, or
            is left out although the request says how to use it.
    """
    features = request.data.features
    roles = check_roles(names, request)
    included = _matching("include", features.include, names)
    excluded = _matching("exclude", features.exclude, names)
    kept = (included - excluded) | roles
    for key, used in (
        ("features.keep", features.keep),
        ("available_at", request.data.available_at),
    ):
        for name in used:
            if name not in kept:
                raise RequestError(
                    f"data.{key} names features. {name!r} is left out by data.features. "
                    "Remove it from one of them."
                )
    return [name for name in names if name in kept]


def check_roles(names: Sequence[str], request: TrainingRequest) -> set[str]:
    """Return the columns that are kept for their role: target, id, time, group and the like.

    Raises:
        RequestError: One of them is not in the data, or another column is not
            that the request names by itself.
    """
    data = request.data
    roles = {
        "data.target": (data.target,),
        "data.id": (data.id,),
        "data.time": (data.time,),
        "data.group": (data.group,),
        "split.column": (request.split.column,),
        "data.available_at": tuple(data.available_at.values()),
        "slices": slice_columns(request),
    }
    model = request.model
    others = {
        "model.monotonic": tuple(model.monotonic),
        "model.interactions": tuple(name for columns in model.interactions for name in columns),
        "data.available_at": tuple(data.available_at),
        "data.features.keep": data.features.keep,
    }
    for key, columns in (*roles.items(), *others.items()):
        for name in columns:
            if name is not None and name not in names:
                raise RequestError(
                    f"{key} must name a column of the data. There is no {name!r}. "
                    f"{_hint(name, names)}"
                )
    return {name for columns in roles.values() for name in columns if name is not None}


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
            f"{text.splitlines()[0].rstrip('.')}. {cure}."
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
    if name is None:
        raise RequestError("data.rows.from and until need data.time. It is not given. Add it.")
    dtype = schema[name]
    if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
        raise RequestError(
            "data.rows.from and until need dates or times in data.time. "
            f"Column {name!r} holds {dtype}. Write its values like 2026-01-31, or remove the keys."
        )

    def bound(moment: date | datetime) -> tuple[pl.Expr, pl.Expr]:
        own, ticks = in_terms_of(dtype, moment, column=name, key="data.rows")
        return pl.col(name) if own == dtype else pl.col(name).cast(own), pl.lit(ticks).cast(own)

    conditions = []
    if rows.from_ is not None:
        moments, first = bound(rows.from_)
        conditions.append(moments >= first)
    if rows.until is not None:
        moments, end = bound(rows.until)
        conditions.append(moments < end)
    return reduce(and_, conditions)


def _predicate(request: TrainingRequest) -> Predicate | None:
    text = request.data.rows.where
    return None if text is None else parse_predicate(text)


def _dates_held(frame: pl.LazyFrame, request: TrainingRequest) -> str:
    name, rows = str(request.data.time), request.data.rows
    reach = frame.select(first=pl.col(name).min(), last=pl.col(name).max())
    first, last = reach.collect(engine="streaming").row(0)
    return (
        f"{name!r} reaches from {first} to {last}; asked for are rows from "
        f"{rows.from_ or 'the start'} until {rows.until or 'the end'}. Change data.rows."
    )


def _values_held(frame: pl.LazyFrame, request: TrainingRequest) -> str:
    """Tell the most frequent values of columns that were compared with texts."""
    predicate = _predicate(request)
    told = []
    for name, asked in (predicate.texts if predicate else {}).items():
        values = frame.select(pl.col(name).cast(pl.String).drop_nulls()).head(_LOOKED_AT)
        counted = values.group_by(name).len().sort("len", name, descending=[True, False]).head(5)
        held = counted.collect(engine="streaming")[name].to_list()
        missing = [value for value in asked if value not in held]
        if missing:
            listed = ", ".join(map(shown, held)) or "no text"
            told.append(f"{name} holds {listed}, not {', '.join(map(shown, missing[:5]))}.")
    return " ".join(
        [*told, f"No row meets {shown(request.data.rows.where)}. Change data.rows.where."]
    )
