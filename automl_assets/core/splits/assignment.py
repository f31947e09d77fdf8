"""What a request and a snapshot make of each row: its part, and its fold inside train."""

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.splits import Assignment, Fractions, random_split, stratified_split
from automl_assets.core.splits.columns import (
    column_split,
    group_key,
    group_split,
    read_moments,
    time_split,
)
from automl_assets.core.splits.folds import group_folds, random_folds, time_folds
from automl_assets.core.values import PARTS, Finding


def assign_rows(
    table: pl.LazyFrame,
    request: TrainingRequest,
    *,
    n_rows: int,
    strata: np.ndarray | None,
) -> tuple[Assignment, tuple[Finding, ...]]:
    """Assign every row of a table to a part, and those of train to a fold.

    With data.time *and* data.group, whole groups are placed by the last time of
    each: no group straddles two parts, and train holds nothing of what came
    after its last row. Later parts then hold old rows too, those of groups that
    went on; a finding says how many.

    Args:
        n_rows: Rows of the table.
        strata: Class code of each row; None for regression.

    Returns:
        The assignment, and what a person should know about it.

    Raises:
        RequestError: The columns that the request names cannot make four parts.
    """
    strategy, group, folds = request.split_strategy, request.data.group, request.split.folds
    findings = []
    moments = None
    if strategy == "time":
        time = str(request.data.time)
        moments = read_moments(table, time, group=group)
        part = time_split(moments, _fractions(request), column=time)
    elif strategy == "group":
        part = group_split(table, str(group), _fractions(request), seed=request.seed)
    elif strategy == "column":
        part = column_split(table, str(request.split.column))
        findings += _unused_shares(request)
        if group is not None:
            _check_groups(table, group, part, str(request.split.column))
    elif strata is None:
        part = random_split(n_rows, _fractions(request), seed=request.seed)
    else:
        part = stratified_split(strata, _fractions(request), seed=request.seed)
    if moments is not None:
        assignment = time_folds(part, moments, folds)
    elif group is not None:
        assignment = group_folds(table, group, part, folds, seed=request.seed)
    else:
        assignment = random_folds(part, folds, seed=request.seed, strata=strata)
    findings += _fewer_folds(assignment, request)
    findings += _old_rows(table, part, request)
    return assignment, tuple(findings)


def _fractions(request: TrainingRequest) -> Fractions:
    split = request.split
    return {
        "train": split.train,
        "validation": split.validation,
        "calibration": split.calibration,
        "analysis": split.analysis,
    }


def _check_groups(table: pl.LazyFrame, group: str, part: np.ndarray, column: str) -> None:
    keyed = [table.select(group=group_key(table, group)), pl.LazyFrame({"part": part})]
    per_group = (
        pl.concat(keyed, how="horizontal")
        .group_by("group")
        .agg(straddles=pl.col("part").min() != pl.col("part").max())
    )
    n_groups, n_straddling = (
        per_group.select(pl.len(), pl.col("straddles").sum()).collect(engine="streaming").row(0)
    )
    if n_straddling:
        raise RequestError(
            f"Rows of one group must be in one part, but split.column {column!r} puts "
            f"{n_straddling:,} of {n_groups:,} groups of {group!r} into more than one. "
            "Correct the column, or remove data.group."
        )


def _unused_shares(request: TrainingRequest) -> list[Finding]:
    shares = ("validation", "calibration", "analysis")
    named = [f"split.{name}" for name in shares if name in request.split.model_fields_set]
    if not named:
        return []
    column = str(request.split.column)
    detail = (
        f"Column {column!r} names the part of each row, so {', '.join(named)} had no effect. "
        "Remove the shares, or split by another strategy."
    )
    return [Finding(rule="split by column", column=column, action="warned", detail=detail)]


def _fewer_folds(assignment: Assignment, request: TrainingRequest) -> list[Finding]:
    asked, made = request.split.folds, assignment.n_folds
    if made == asked:
        return []
    unit = "distinct times" if request.split_strategy == "time" else "groups"
    effect = "" if made else " Without folds there are no target encodings."
    detail = (
        f"Train was to have {asked} folds, but its {unit} make {made}: they are never cut.{effect} "
        f"Take rows with more {unit} to have more folds."
    )
    return [Finding(rule="fewer folds", action="warned", value=made, limit=asked, detail=detail)]


def _old_rows(table: pl.LazyFrame, part: np.ndarray, request: TrainingRequest) -> list[Finding]:
    """Say how many rows that judge the model are older than train's newest."""
    time, group = request.data.time, request.data.group
    if time is None or (request.split_strategy == "time" and group is None):
        return []
    moments = read_moments(table, time)
    newest = moments[part == 0].max()
    later = part > 0
    n_later = int(np.count_nonzero(later))
    n_old = int(np.count_nonzero(later & (moments < newest)))
    if n_old == 0:
        return []
    reason = (
        f"Groups of {group!r} are whole and were placed by their last {time!r}"
        if request.split_strategy == "time"
        else f"The split by {request.split_strategy} does not follow {time!r}"
    )
    detail = (
        f"{reason}: {n_old:,} of {n_later:,} rows of {', '.join(PARTS[1:])} are older than the "
        "newest row of train. Compare the target of the parts; if it differs, "
        "remove data.group or data.time from the request."
    )
    return [
        Finding(
            rule="order of time", column=time, action="warned", value=n_old / n_later, detail=detail
        )
    ]
