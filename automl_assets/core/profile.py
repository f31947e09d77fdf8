"""What a table holds, and which of its columns become features."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows import check_roles
from automl_assets.core.target import class_text, judge_target
from automl_assets.core.values import ColumnKind, ColumnProfile, DroppedColumn, TableProfile

__all__ = ["MIN_ROWS", "class_text", "profile_table"]

MIN_ROWS = 50
_MAX_EXACT_DISTINCT = 10_000
_MIN_IDENTIFIERS = 50
_IDENTIFIER_SHARE = 0.95
_NUMBER_SHARE = 0.9
_MAX_COUNTED = 1_000_000
_SKETCH_ERROR = 0.25
"""Approximate counts of distinct values were always much nearer than this to the true ones."""


def profile_table(frame: pl.LazyFrame, request: TrainingRequest) -> TableProfile:
    """Describe a table and decide the task, the classes and the features.

    Reads the table in streaming passes; memory does not grow with the rows.

    Args:
        frame: All rows of a snapshot; no target is null.
        request: Names the columns with a role and the task.

    Raises:
        RequestError: The table cannot be learned from as the request asks.
    """
    check_roles(frame.collect_schema().names(), request)
    n_rows = frame.select(pl.len()).collect(engine="streaming").item()
    if n_rows < MIN_ROWS:
        raise RequestError(
            f"Training needs at least {MIN_ROWS} rows, or no part could judge a model. "
            f"The table has {n_rows}. Take more rows."
        )
    target = judge_target(frame, request)
    columns = [_Column(**values) for values in _measure(frame)]
    others = [column for column in columns if column.name != request.data.target]
    unusable = {column.name: _reason_against(frame, column, n_rows) for column in others}
    copies = _copies_of_target(frame, columns, request.data.target)
    reasons = unusable | dict.fromkeys(copies, "equals the target in every row") | _roles(request)
    features = tuple(column.name for column in others if not reasons[column.name])
    if not features:
        raise _no_features(reasons)
    return TableProfile(
        n_rows=n_rows,
        columns=tuple(_described(column, unusable.get(column.name, "")) for column in columns),
        task_type=target.task_type,
        classes=target.classes,
        class_counts=target.class_counts,
        features=features,
        dropped=tuple(
            DroppedColumn(name=column.name, reason=reasons[column.name])
            for column in others
            if reasons[column.name]
        ),
        warnings=(
            *(f"{name!r} equals the target in every row and was left out." for name in copies),
            *_warnings(others, n_rows, _roles(request)),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One column as measured; NaN counts as null."""

    name: str
    dtype: pl.DataType
    n_nulls: int
    n_distinct: int
    n_infinite: int = 0
    n_numbers: int = 0
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None


def _measure(frame: pl.LazyFrame) -> list[dict[str, Any]]:
    schema = frame.collect_schema()
    # Positions, because a column may have any name.
    expressions = {
        f"{position} {key}": expression
        for position, (name, dtype) in enumerate(schema.items())
        for key, expression in _measures(name, dtype).items()
    }
    found = frame.select(**expressions).collect(engine="streaming").row(0, named=True)
    columns: list[dict[str, Any]] = [{"name": n, "dtype": t} for n, t in schema.items()]
    for label, value in found.items():
        position, _, key = label.partition(" ")
        columns[int(position)][key] = value
    for column in columns:
        if column["n_distinct"] <= _MAX_EXACT_DISTINCT * (1 + _SKETCH_ERROR):
            # One at a time: polars keeps whole columns in memory if it counts several.
            values = _values(column["name"], column["dtype"]).drop_nulls()
            counted = frame.select(values.n_unique()).collect(engine="streaming")
            column["n_distinct"] = counted.item()
    return columns


def _values(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column with its missing values as nulls."""
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def _measures(name: str, dtype: pl.DataType) -> dict[str, pl.Expr]:
    values = _values(name, dtype)
    measures = {"n_nulls": values.null_count(), "n_distinct": values.approx_n_unique()}
    if dtype.is_float():
        measures["n_infinite"] = values.is_infinite().sum()
        values = values.filter(values.is_finite())
    if dtype.is_numeric():
        measures["mean"] = values.cast(pl.Float64).mean()
    if dtype.is_numeric() or dtype == pl.Date or isinstance(dtype, pl.Datetime):
        measures["minimum"] = values.min().cast(pl.String)
        measures["maximum"] = values.max().cast(pl.String)
    if dtype == pl.String:
        # Codes such as 01234 are meant as text.
        codes = values.str.contains(r"^[+-]?0[0-9]")
        measures["n_numbers"] = values.filter(~codes).cast(pl.Float64, strict=False).count()
    return measures


def _kind(dtype: pl.DataType) -> ColumnKind | None:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "numeric"
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return "datetime"
    if dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical):
        return "categorical"
    return None


def _roles(request: TrainingRequest) -> dict[str, str]:
    """Return why columns with a role are no features."""
    data = request.data
    roles = {
        data.group: "names the group of a row, not a feature",
        data.time: "names the time of a row, not a feature",
        data.id: "names a row, not a feature",
    }
    return {name: reason for name, reason in roles.items() if name is not None}


def _reason_against(frame: pl.LazyFrame, column: _Column, n_rows: int) -> str:
    """Return why a column cannot be a feature, whatever its role, or nothing if it can."""
    return _useless(column, n_rows) or _identifies(frame, column, n_rows)


def _useless(column: _Column, n_rows: int) -> str:
    """Return why a column can teach nothing, or nothing if it can."""
    if column.n_nulls == n_rows:
        return "all values are missing"
    if _kind(column.dtype) is None:
        return f"values of type {column.dtype} cannot be used"
    if column.n_distinct == 1 and column.n_nulls == 0:
        return "all values are equal"
    return ""


def _identifies(frame: pl.LazyFrame, column: _Column, n_rows: int) -> str:
    """Return why a column tells rows apart instead of describing them, or nothing."""
    n_present = n_rows - column.n_nulls
    suspicious = _IDENTIFIER_SHARE * (1 - _SKETCH_ERROR) * n_present
    if column.n_distinct <= max(_MIN_IDENTIFIERS, suspicious):
        return ""
    if _kind(column.dtype) == "categorical":
        share = _distinct_share(frame, column.name, n_present)
        if share > _IDENTIFIER_SHARE:
            return f"names rows: {share:.0%} of its values are different"
    if column.dtype.is_integer() and column.n_nulls == 0:
        values = pl.col(column.name)
        rises = (values > values.shift(1)).all()
        falls = (values < values.shift(1)).all()
        if frame.select(rises | falls).collect(engine="streaming").item():
            return "numbers the rows: whole numbers in order, none twice"
    return ""


def _distinct_share(frame: pl.LazyFrame, name: str, n_present: int) -> float:
    """Return the share of distinct values; exact up to a million rows.

    Of longer columns, the values are counted whose digest is a multiple of some
    number: all rows of a value or none, so that the share stays true.
    """
    every = max(1, n_present // _MAX_COUNTED)
    digests = frame.select(digest=pl.col(name).drop_nulls().hash())
    counts = digests.filter(pl.col("digest") % every == 0).group_by("digest").len()
    n_distinct, n_rows = (
        counts.select(distinct=pl.len(), rows=pl.col("len").sum())
        .collect(engine="streaming")
        .row(0)
    )
    return n_distinct / n_rows


def _copies_of_target(frame: pl.LazyFrame, columns: list[_Column], target: str) -> list[str]:
    """Return the columns that hold the same value as the target in every row."""
    own = next(column for column in columns if column.name == target)
    alike = [
        column
        for column in columns
        if column.name != target
        and column.n_nulls == 0
        and _kind(column.dtype) not in (None, "datetime")
        and abs(column.n_distinct - own.n_distinct) <= _SKETCH_ERROR * own.n_distinct
    ]
    answer = class_text(pl.col(target), own.dtype)
    copies = []
    for column in alike:
        equal = (class_text(pl.col(column.name), column.dtype) == answer).all()
        if frame.select(equal).collect(engine="streaming").item():
            copies.append(column.name)
    return copies


def _no_features(reasons: dict[str, str]) -> RequestError:
    listed = [f"{name!r} ({reason})" for name, reason in reasons.items()]
    found = ", ".join(listed[:5]) or "no column but the target"
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return RequestError(
        "Training needs at least one feature. All columns were left out: "
        f"{found}{more}. Widen data.features, or add columns to the data."
    )


def _warnings(columns: list[_Column], n_rows: int, roles: dict[str, str]) -> list[str]:
    warnings = []
    for column in columns:
        n_present = n_rows - column.n_nulls
        if column.name in roles or not n_present:
            continue
        if column.n_infinite:
            warnings.append(
                f"{column.name!r} is infinite in {column.n_infinite:,} rows; "
                "these count as missing."
            )
        if column.n_numbers >= _NUMBER_SHARE * n_present:
            warnings.append(
                f"{column.name!r} is text, but {column.n_numbers:,} of its {n_present:,} values "
                "are numbers; write numbers only, and nothing where one is missing."
            )
    return warnings


def _described(column: _Column, reason: str) -> ColumnProfile:
    return ColumnProfile(
        name=column.name,
        dtype=str(column.dtype),
        kind=None if reason else _kind(column.dtype),
        n_nulls=column.n_nulls,
        n_distinct=column.n_distinct,
        minimum=column.minimum,
        maximum=column.maximum,
        mean=column.mean,
    )
