"""What the four parts of a split share, and in what they differ."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field

from automl_assets.core.leakage.domain_classifier import TwoSamples, tell_apart
from automl_assets.core.leakage.shared_rows import copies_of_train, n_straddling
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.duplicates import row_digests
from automl_assets.core.rows.iso_dates import read_moment
from automl_assets.core.rows.sample import gather, sampled_rows
from automl_assets.core.staging import Staging
from automl_assets.core.values import PARTS, DataSnapshot, Finding, Part, Split, Value

DOMAIN_LIMIT = 0.6
"""AUC from which parts count as drifted: intervals that assume like parts no longer hold."""

DUPLICATE_LIMIT = 0.01
"""Share of a part's rows that may equal a row of train. A few do by chance where columns have
few values; above, a score is to a part a score on rows that were learned by heart."""

MIN_DUPLICATES = 10
MAX_SIDE_ROWS = 20_000
MIN_SIDE_ROWS = 50
_MAX_CELLS = 10_000_000

_Table = tuple[DataSnapshot, Split, TrainingRequest, SnapshotStore]


class DomainScore(Value):
    """How well rows of a part can be told from rows of train."""

    part: Part
    auc: float
    low: float = Field(description="Of the 95 % interval.")
    high: float
    columns: tuple[str, ...] = Field(description="The three that tell most, most first.")
    n_rows: int = Field(description="Sampled rows of both parts together.")


class PartComparison(Value):
    """What was measured between the parts, below the limits and above."""

    copies: dict[Part, int] = Field(
        description="Rows of each other part that equal a row of train in all features and the "
        "target."
    )
    domain: tuple[DomainScore, ...] = Field(
        description="Analysis and validation against train; parts of few rows are left out."
    )
    n_shared_groups: int | None = Field(description="Groups in two parts; None without a group.")
    is_in_time_order: bool | None = Field(
        description="Whether no part begins before the one before it ends; None unless the split "
        "is by time alone."
    )
    findings: tuple[Finding, ...] = ()


def summarise_parts(
    snapshot: DataSnapshot,
    split: Split,
    request: TrainingRequest,
    *,
    store: SnapshotStore,
    scratch: Path,
) -> PartComparison:
    """Count what the parts share, and try to tell them apart.

    The table streams by; in memory are a byte for each row and a sample.

    Args:
        scratch: Folder for digests of all rows, 8 bytes each; they are removed.

    Raises:
        SnapshotError: The snapshot or the split cannot be read.
    """
    table = store.scan(snapshot.repository, snapshot.commit_id, snapshot.path)
    parts = _parts(snapshot, split, store)
    profile, data = snapshot.profile, request.data
    with Staging(scratch) as staging:
        columns = (*profile.features, data.target)
        digests = row_digests(table, columns, staging.folder / "rows")
        copies = copies_of_train(digests, parts)
        n_shared = None
        if data.group is not None:
            groups = row_digests(table, (data.group,), staging.folder / "groups")
            n_shared = n_straddling(groups, parts)
    with Staging(scratch) as staging:
        domain = tuple(_domain((snapshot, split, request, store), table, staging.folder))
    found = PartComparison(
        copies={part: int(copies[place]) for place, part in enumerate(PARTS) if place},
        domain=domain,
        n_shared_groups=n_shared,
        is_in_time_order=_is_in_order(table, parts, request, split.strategy),
    )
    findings = (
        *_copy_findings(found, split),
        *_domain_findings(found),
        *_rule_findings(found, request),
    )
    return found.model_copy(update={"findings": findings})


def _parts(snapshot: DataSnapshot, split: Split, store: SnapshotStore) -> np.ndarray:
    """Return the position of each row's part in `PARTS`, -1 for rows of none."""
    parts = np.full(snapshot.n_rows, -1, np.int8)
    for place, part in enumerate(PARTS):
        rows = store.scan(split.repository, split.commit_id, split.part(part).path).select("row")
        for batch in rows.collect_batches():
            parts[batch["row"].to_numpy()] = place
    return parts


def _domain(found: _Table, table: pl.LazyFrame, scratch: Path) -> Iterator[DomainScore]:
    """Compare analysis and validation with train, on one sample of train."""
    pairs = _pairs(found, table)
    told = tell_apart(list(pairs.values()), seed=found[1].seed, scratch=scratch)
    for (part, pair), item in zip(pairs.items(), told, strict=True):
        yield DomainScore(
            part=part,
            auc=item.auc,
            low=item.low,
            high=item.high,
            columns=item.columns,
            n_rows=pair.features.height,
        )


def _pairs(found: _Table, table: pl.LazyFrame) -> dict[Part, TwoSamples]:
    """Return sampled rows of train with those of each part that has enough."""
    _, _, request, _ = found
    names: list[Part] = ["train", "analysis", "validation"]
    rows = {part: _sampled(found, part) for part in names}
    numbers = np.concatenate(list(rows.values()))
    origin = np.repeat(np.arange(len(names)), [len(part) for part in rows.values()])
    order = np.argsort(numbers, kind="stable")
    origin = origin[order]
    features, group = found[0].profile.features, request.data.group
    sample = gather(table, (*features, *([group] if group else [])), numbers[order])
    pairs: dict[Part, TwoSamples] = {}
    for place, part in enumerate(names[1:], start=1):
        if min(len(rows["train"]), len(rows[part])) < MIN_SIDE_ROWS:
            continue
        chosen = np.isin(origin, (0, place))
        both = sample.filter(pl.Series(chosen))
        pairs[part] = TwoSamples(
            features=both.select(features),
            is_second=origin[chosen] == place,
            groups=both[group] if group else None,
        )
    return pairs


def _sampled(found: _Table, part: Part) -> np.ndarray:
    snapshot, split, _, store = found
    size = min(MAX_SIDE_ROWS, max(MIN_SIDE_ROWS, _MAX_CELLS // len(snapshot.profile.features)))
    members = store.scan(split.repository, split.commit_id, split.part(part).path)
    places = sampled_rows(split.part(part).n_rows, size, seed=split.seed)
    return gather(members, ("row",), places)["row"].to_numpy().astype(np.int64)


def _is_in_order(
    table: pl.LazyFrame, parts: np.ndarray, request: TrainingRequest, strategy: str
) -> bool | None:
    """Return whether the parts follow each other in time without sharing a moment."""
    time = request.data.time
    # With a group, whole groups are placed by their last time, and bring old rows along.
    if strategy != "time" or time is None or request.data.group is not None:
        return None
    is_text = table.collect_schema()[time] == pl.String
    moment = read_moment(pl.col(time)) if is_text else pl.col(time)
    spans: list[pl.DataFrame] = []
    start = 0
    for batch in table.select(moment=moment).collect_batches(maintain_order=True):
        part = pl.Series("part", parts[start : start + batch.height])
        start += batch.height
        grouped = batch.with_columns(part).group_by("part")
        spans.append(grouped.agg(first=pl.col("moment").min(), last=pl.col("moment").max()))
    whole = pl.concat(spans).filter(pl.col("part") >= 0).group_by("part")
    ends = whole.agg(pl.col("first").min(), pl.col("last").max()).sort("part")
    return bool((ends["first"] > ends["last"].shift(1)).fill_null(True).all())


def _copy_findings(found: PartComparison, split: Split) -> Iterator[Finding]:
    for part, n_copies in found.copies.items():
        n_rows = split.part(part).n_rows
        share = n_copies / max(1, n_rows)
        if n_copies >= MIN_DUPLICATES and share > DUPLICATE_LIMIT:
            yield Finding(
                rule="duplicates across parts",
                action="warned",
                value=share,
                limit=DUPLICATE_LIMIT,
                detail=f"{n_copies:,} of {n_rows:,} rows of {part} ({share:.1%}) equal a row of "
                "train in all features and the target: scores on them flatter. Set "
                "data.rows.duplicates to drop, or name what they share as data.group.",
            )


def _domain_findings(found: PartComparison) -> Iterator[Finding]:
    for score in found.domain:
        if score.low > DOMAIN_LIMIT:
            columns = ", ".join(map(repr, score.columns))
            yield Finding(
                rule="domain classifier",
                action="warned",
                value=score.auc,
                limit=DOMAIN_LIMIT,
                detail=f"Rows of {score.part} can be told from rows of train with AUC "
                f"{score.auc:.3f} [{score.low:.3f}, {score.high:.3f}] on {score.n_rows:,} rows, "
                f"most by {columns}: what was learned may not hold there, and intervals are "
                "not guaranteed under drift. Exclude columns that only name a time or a place, "
                "or train on rows that are more like those to come.",
            )


def _rule_findings(found: PartComparison, request: TrainingRequest) -> Iterator[Finding]:
    if found.n_shared_groups:
        yield Finding(
            rule="group overlap",
            column=str(request.data.group),
            action="blocked",
            value=float(found.n_shared_groups),
            limit=0.0,
            detail=f"{found.n_shared_groups:,} groups of {request.data.group!r} have rows in more "
            "than one part: a model would know them before it is judged on them. Correct what "
            "splits the rows, or remove data.group.",
        )
    if found.is_in_time_order is False:
        yield Finding(
            rule="time order",
            column=str(request.data.time),
            action="blocked",
            detail=f"A later part begins before an earlier one ends in {request.data.time!r}: a "
            "model would be judged on its own past. Split by time again.",
        )
