"""What a table holds, and which of its columns become features."""

from collections.abc import Sequence

import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.profile.identity import find_copies, find_identifiers
from automl_assets.core.profile.measures import Measured, is_moment, measure
from automl_assets.core.profile.target import class_text, judge_target
from automl_assets.core.profile.time import count_periods
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.data_rules import why_no_feature
from automl_assets.core.request.limit_rules import slice_columns
from automl_assets.core.rows import check_roles
from automl_assets.core.values import ColumnKind, ColumnProfile, DroppedColumn, TableProfile

__all__ = ["MIN_ROWS", "class_text", "profile_columns", "profile_table"]

MIN_ROWS = 50
_NUMBER_SHARE = 0.9


def profile_table(frame: pl.LazyFrame, request: TrainingRequest) -> TableProfile:
    """Describe a table and decide the task, the classes and the features.

    Reads the table in streaming passes; memory does not grow with the rows. What the
    figures of columns are, and how exact, says `profile_columns`.

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
    columns = measure(frame, n_rows)
    kept = frozenset(request.data.features.keep)
    unusable = _unusable(frame, columns, n_rows)
    told = {name: unusable[name] for name in sorted(kept) if _names_rows(unusable[name])}
    unusable |= dict.fromkeys(told, "")
    others = [column for column in columns if column.name != request.data.target]
    own = next(column for column in columns if column.name == request.data.target)
    copies = find_copies(frame, [c for c in others if _may_copy(c) and c.name not in kept], own)
    reasons = {
        **{column.name: unusable[column.name] for column in others},
        **dict.fromkeys(copies, "equals the target in every row"),
        **_roles(request),
    }
    features = tuple(column.name for column in others if not reasons[column.name])
    if not features:
        raise _no_features(reasons)
    return TableProfile(
        n_rows=n_rows,
        columns=tuple(
            _described(column, "" if column is own else unusable[column.name], n_rows)
            for column in columns
        ),
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
            *(f"{name!r} {told[name]}. It stays: features.keep names it." for name in told),
            *_warnings(others, n_rows, _roles(request)),
        ),
        target_over_time=count_periods(frame, columns, request, target.classes),
    )


def profile_columns(frame: pl.LazyFrame) -> tuple[ColumnProfile, ...]:
    """Describe the columns of a table, whatever they are for.

    Ranges, means and numbers of rows are of all rows. Quantiles are those of a
    row sample where a column has more than 262,144 values; their rank is then
    wrong by at most half a percent, with 99.9 % confidence. The most frequent
    texts are counted in all rows; where a longer table has more than 10,000 of
    them, the number of different ones is approximate, and those to be counted are
    chosen by a sample: one that is as frequent as the last may be left out.
    """
    n_rows = frame.select(pl.len()).collect(engine="streaming").item()
    columns = measure(frame, n_rows)
    unusable = _unusable(frame, columns, n_rows)
    return tuple(_described(column, unusable[column.name], n_rows) for column in columns)


def _kind(column: Measured) -> ColumnKind | None:
    dtype = column.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "numeric"
    if is_moment(dtype) or column.is_dates:
        return "datetime"
    if dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical):
        return "categorical"
    return None


def _roles(request: TrainingRequest) -> dict[str, str]:
    """Return why columns with a role are no features."""
    data = request.data
    # When something became known is often known no sooner than the thing itself.
    moments = set(data.available_at.values()) - set(data.features.keep)
    slices = {name: why_no_feature(request, name) for name in slice_columns(request)}
    roles = {
        **{
            name: f"is only looked at in slices: it {reason}"
            for name, reason in slices.items()
            if reason is not None
        },
        **dict.fromkeys(moments, "says when another column was known, not a feature"),
        data.group: "names the group of a row, not a feature",
        data.time: "names the time of a row, not a feature",
        data.id: "names a row, not a feature",
        request.split.column: "names the part of a row, not a feature",
    }
    return {name: reason for name, reason in roles.items() if name is not None}


def _unusable(frame: pl.LazyFrame, columns: Sequence[Measured], n_rows: int) -> dict[str, str]:
    """Return why a column cannot be a feature, whatever its role; nothing if it can."""
    reasons = {column.name: _useless(column, n_rows) for column in columns}
    left = [c for c in columns if not reasons[c.name] and _kind(c) in ("numeric", "categorical")]
    return reasons | find_identifiers(frame, left, n_rows)


def _useless(column: Measured, n_rows: int) -> str:
    """Return why a column can teach nothing, or nothing if it can."""
    if column.n_nulls == n_rows:
        return "all values are missing"
    if _kind(column) is None:
        return f"values of type {column.dtype} cannot be used"
    if column.n_distinct == 1 and column.n_nulls == 0:
        return "all values are equal"
    return ""


def _may_copy(column: Measured) -> bool:
    return column.n_nulls == 0 and not is_moment(column.dtype) and _kind(column) is not None


def _no_features(reasons: dict[str, str]) -> RequestError:
    listed = [f"{name!r} ({reason})" for name, reason in reasons.items()]
    found = ", ".join(listed[:5]) or "no column but the target"
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return RequestError(
        "Training needs at least one feature. All columns were left out: "
        f"{found}{more}. Widen data.features, or add columns to the data."
    )


def _warnings(columns: list[Measured], n_rows: int, roles: dict[str, str]) -> list[str]:
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
        if _is_numbers(column, n_rows):
            warnings.append(
                f"{column.name!r} is text, but {column.n_numbers:,} of its {n_present:,} values "
                "are numbers; write numbers only, and nothing where one is missing."
            )
    return warnings


def _is_numbers(column: Measured, n_rows: int) -> bool:
    """Say whether text is numbers, but for a few values such as NA."""
    n_present = n_rows - column.n_nulls
    return column.n_numbers > 0 and column.n_numbers >= _NUMBER_SHARE * n_present


def _names_rows(reason: str) -> bool:
    return reason.startswith(("names rows", "numbers the rows"))


def _holds(column: Measured, reason: str, n_rows: int) -> str:
    """Return what the values look like beyond their type."""
    if _names_rows(reason):
        return "identifiers"
    if column.is_dates:
        return "dates"
    if _is_numbers(column, n_rows):
        return "numbers"
    if column.dtype.is_numeric() and column.n_distinct == 2 and not column.n_infinite:
        ends = [float(column.minimum or "nan"), float(column.maximum or "nan")]
        return "0/1" if ends == [0.0, 1.0] else ""
    return ""


def _described(column: Measured, reason: str, n_rows: int) -> ColumnProfile:
    holds = _holds(column, reason, n_rows)
    return ColumnProfile(
        name=column.name,
        dtype=str(column.dtype),
        kind=None if reason else _kind(column),
        n_nulls=column.n_nulls,
        n_distinct=column.n_distinct,
        minimum=column.minimum,
        maximum=column.maximum,
        mean=column.mean,
        std=column.std,
        quantiles=column.quantiles,
        top=() if holds == "identifiers" else column.top,
        holds=holds,
    )
