"""The data of a request: an immutable table, and its four parts."""

from itertools import pairwise

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import lineage_metadata, snapshot_metadata, split_metadata
from automl_assets.core.ingest import take_snapshot
from automl_assets.core.leakage import refuse_blocked
from automl_assets.core.leakage.part_comparison import summarise_parts
from automl_assets.core.ports import DataSources, Progress, SnapshotStore
from automl_assets.core.prepare import make_split
from automl_assets.core.values import AcceptedRequest, DataSnapshot, Split
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings


@dg.asset(
    partitions_def=training_requests,
    group_name="data",
    kinds={"polars", "parquet"},
    owners=["team:automl"],
    code_version=version_of("data_snapshot"),
)
def data_snapshot(
    training_request: AcceptedRequest,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    data_sources: dg.ResourceParam[DataSources],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[DataSnapshot]:
    """The rows and columns asked for, at one immutable commit.

    Read once and profiled as they were written. What the source becomes later
    does not matter to this request.
    """
    snapshot, warnings = take_snapshot(
        training_request,
        sources=data_sources,
        store=snapshot_store,
        scratch=settings.scratch_folder,
    )
    progress.stage("read", describe_snapshot(snapshot))
    for step, n_rows in left_out(snapshot):
        progress.stage("left out", f"{n_rows:,} rows by {step}")
    for dropped in snapshot.profile.dropped:
        progress.stage("dropped", f"{dropped.name}: {dropped.reason}")
    for warning in (*warnings, *snapshot.profile.warnings):
        progress.stage("warning", warning)
    return dg.MaterializeResult(
        value=snapshot,
        data_version=dg.DataVersion(snapshot.content_sha256),
        metadata={
            **snapshot_metadata(snapshot, training_request.request.data.target),
            **lineage_metadata(
                "data_snapshot",
                training_request,
                digest=snapshot.content_sha256,
                snapshot=snapshot,
            ),
        },
    )


def left_out(snapshot: DataSnapshot) -> list[tuple[str, int]]:
    """Return the steps of reading that left rows out, with their number."""
    return [
        (step.step, before.n_rows - step.n_rows)
        for before, step in pairwise(snapshot.rows)
        if step.n_rows < before.n_rows
    ]


def describe_snapshot(snapshot: DataSnapshot) -> str:
    """Return one line on a snapshot, for people."""
    return (
        f"{snapshot.source}  {snapshot.n_rows:,} rows x {len(snapshot.profile.columns)} columns  "
        f"sha256 {snapshot.source_sha256[:12]}"
    )


@dg.asset(
    partitions_def=training_requests,
    group_name="data",
    kinds={"numpy"},
    owners=["team:automl"],
    code_version=version_of("splits"),
)
def splits(
    training_request: AcceptedRequest,
    data_snapshot: DataSnapshot,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[Split]:
    """Four disjoint parts of the snapshot, and the matrix encoded from them.

    Train is fitted on, validation chooses, calibration is kept for
    probabilities, analysis is looked at once, when the winner is known.
    """
    matrices = settings.matrices_folder
    split = make_split(training_request, data_snapshot, store=snapshot_store, matrices=matrices)
    same = summarise_parts(
        data_snapshot,
        split,
        training_request.request,
        store=snapshot_store,
        scratch=settings.scratch_folder,
    )
    refuse_blocked(same.findings)
    split = split.model_copy(update={"findings": (*split.findings, *same.findings)})
    for finding in split.findings:
        progress.stage(finding.action, finding.detail)
    sizes = {part.part: part.n_rows for part in split.parts}
    shares = " / ".join(f"{part} {n / data_snapshot.n_rows:.0%}" for part, n in sizes.items())
    progress.stage("split", f"{split.strategy}: {shares}")
    return dg.MaterializeResult(
        value=split,
        data_version=dg.DataVersion(split.matrix_id),
        metadata={
            **split_metadata(split, data_snapshot.profile, same),
            **lineage_metadata(
                "splits", training_request, digest=split.matrix_id, snapshot=data_snapshot
            ),
        },
    )
