"""From a snapshot to four parts and the matrix encoded from them."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.contract import MIN_PART_ROWS
from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publishing
from automl_assets.core.matrix import target_vector, write_matrix
from automl_assets.core.matrix.files import scratch_folder
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.profile.steady import steady
from automl_assets.core.search.space import check_space
from automl_assets.core.splits import BLOCK_ROWS, NO_FOLD, Assignment, marked_rows
from automl_assets.core.splits.assignment import assign_rows
from automl_assets.core.values import (
    PARTS,
    AcceptedRequest,
    DataSnapshot,
    Part,
    Split,
    SplitPart,
)


def snapshot_table(snapshot: DataSnapshot, store: SnapshotStore) -> pl.LazyFrame:
    """Open the table of a snapshot lazily."""
    return store.scan(snapshot.repository, snapshot.commit_id, snapshot.path)


def _codes(table: pl.LazyFrame, snapshot: DataSnapshot, target: str) -> np.ndarray | None:
    """Return the class code (int8) of each row; None for regression."""
    if snapshot.profile.task_type == "regression":
        return None
    # Batch by batch: the streaming engine looks values up in the whole column at once.
    batches = table.select(target).collect_batches(chunk_size=BLOCK_ROWS, engine="streaming")
    codes = [target_vector(frame[target], snapshot.profile).astype(np.int8) for frame in batches]
    return np.concatenate([np.empty(0, np.int8), *codes])


def _class_counts(
    assignment: Assignment, codes: np.ndarray | None, n_classes: int
) -> dict[Part, tuple[int, ...]]:
    if codes is None:
        return dict.fromkeys(PARTS, ())
    counts = np.zeros((len(PARTS), n_classes), np.int64)
    for start in range(0, len(codes), BLOCK_ROWS):
        stop = start + BLOCK_ROWS
        cells = assignment.part[start:stop].astype(np.intp) * n_classes + codes[start:stop]
        counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
    return {part: tuple(row) for part, row in zip(PARTS, counts.tolist(), strict=True)}


def _target_means(table: pl.LazyFrame, target: str, assignment: Assignment) -> dict[Part, float]:
    means = (
        pl.concat(
            [table.select(y=pl.col(target).cast(pl.Float64)), pl.LazyFrame({"p": assignment.part})],
            how="horizontal",
        )
        .group_by("p")
        .agg(pl.col("y").mean(), std=pl.col("y").std())
        .collect(engine="streaming")
    )
    # Without the digits that the order of adding decides: a split is the same in every run.
    found = {number: steady(mean, max(abs(mean), std or 0.0)) for number, mean, std in means.rows()}
    return {
        part: mean for number, part in enumerate(PARTS) if (mean := found.get(number)) is not None
    }


def check_parts(
    assignment: Assignment, class_counts: dict[Part, tuple[int, ...]], names: tuple[str, ...]
) -> None:
    """Check that each part can be learned from and judged on.

    Groups and times decide which rows go together, so the parts may differ from
    the shares that were asked for.

    Args:
        class_counts: Rows of each class in each part; empty tuples for regression.
        names: Classes in code order.

    Raises:
        RequestError: A part has too few rows or classes.
    """
    for part in PARTS:
        if (n_rows := assignment.n_rows(part)) < MIN_PART_ROWS:
            raise RequestError(
                f"Each part needs at least {MIN_PART_ROWS} rows, but {part} got "
                f"{n_rows}. Change the shares in split, or take more rows."
            )
        counts = class_counts[part]
        absent = [name for name, n in zip(names, counts, strict=True) if n == 0]
        if names and (len(names) - len(absent) < 2 or (absent and part == "train")):
            raise RequestError(
                f"Each part needs two classes or more, and train all of them, but {part} has no "
                f"row of {', '.join(map(repr, absent[:5]))}. The target follows data.time or "
                "data.group: remove it from the request, or take rows where the target varies."
            )


def _matrix_id(
    snapshot: DataSnapshot, parts: tuple[SplitPart, ...], assignment: Assignment, target: str
) -> str:
    named = [snapshot.content_sha256, preprocessing_version(), *(part.sha256 for part in parts)]
    named += [assignment.folds_sha256(), target, snapshot.profile.model_dump_json()]
    named.append(code_version("automl_assets.core.matrix", "automl_assets.core.profile.target"))
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]


def _write_rows(file: Path, part: Part, assignment: Assignment) -> None:
    """Write the sorted row numbers of a part; those of train with their folds."""
    columns = {"part": assignment.part}
    if part == "train":
        columns["fold"] = assignment.fold
    rows = pl.LazyFrame(columns).with_row_index("row")
    own = rows.filter(pl.col("part") == PARTS.index(part)).drop("part")
    own.with_columns(pl.col("row").cast(pl.Int64)).sink_parquet(file, engine="streaming")


def _commit_rows(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    parts: tuple[SplitPart, ...],
    assignment: Assignment,
    *,
    store: SnapshotStore,
    matrices: Path,
) -> str:
    # Named by what it holds: code that splits otherwise never gets an earlier commit.
    digests = (snapshot.commit_id, *(part.sha256 for part in parts), assignment.folds_sha256())
    version = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]
    needed_for = f"the row numbers of {snapshot.n_rows:,} rows"
    with (
        scratch_folder(matrices, needed_for=needed_for) as scratch,
        store.write(
            snapshot.repository,
            branch=accepted.request_id,
            key=f"{accepted.request_id}/splits/{version}",
            message=f"Split {snapshot.n_rows} rows for {accepted.request_id}",
            metadata={
                "request_id": accepted.request_id,
                "data_commit": snapshot.commit_id,
                "folds_sha256": assignment.folds_sha256(),
            },
        ) as transaction,
    ):
        for part in parts:
            file = scratch / f"{part.part}.parquet"
            _write_rows(file, part.part, assignment)
            transaction.put_file(part.path, file)
    return transaction.commit.commit_id


def make_split(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    *,
    store: SnapshotStore,
    matrices: Path,
) -> Split:
    """Split a snapshot, commit the row numbers of each part, and encode the matrix.

    The same request on the same snapshot gives the same parts.

    Args:
        matrices: Folder of all matrices.

    Raises:
        RequestError: The parts cannot be made, or one has too few rows or classes.
        SnapshotError: The store cannot be written, or the disk is full.
    """
    request = accepted.request
    target, profile = request.data.target, snapshot.profile
    check_space(request, task_type=profile.task_type)
    table = snapshot_table(snapshot, store)
    codes = _codes(table, snapshot, target)
    assignment, findings = assign_rows(table, request, n_rows=snapshot.n_rows, strata=codes)
    class_counts = _class_counts(assignment, codes, len(profile.classes))
    check_parts(assignment, class_counts, profile.classes)
    means = _target_means(table, target, assignment) if codes is None else {}
    parts = tuple(
        SplitPart(
            part=part,
            n_rows=assignment.n_rows(part),
            path=f"splits/{part}.parquet",
            sha256=assignment.sha256(part),
            class_counts=class_counts[part],
            target_mean=means.get(part),
        )
        for part in PARTS
    )
    commit_id = _commit_rows(accepted, snapshot, parts, assignment, store=store, matrices=matrices)
    split = Split(
        repository=snapshot.repository,
        commit_id=commit_id,
        strategy=request.split_strategy,
        seed=request.seed,
        parts=parts,
        preprocessing_version=preprocessing_version(),
        matrix_id=_matrix_id(snapshot, parts, assignment, target),
        feature_names=(),
        n_folds=assignment.n_folds,
        findings=findings,
    )
    preprocessing = write_matrix(matrices / split.matrix_id, table, profile, target, assignment)
    return split.model_copy(update={"feature_names": preprocessing.feature_names})


def read_rows(split: Split, part: Part, store: SnapshotStore) -> np.ndarray:
    """Return the sorted row numbers (int64) of one part, as committed."""
    rows = store.scan(split.repository, split.commit_id, split.part(part).path).select("row")
    return rows.collect(engine="streaming")["row"].to_numpy()


def read_assignment(split: Split, store: SnapshotStore) -> Assignment:
    """Return the part and fold of each row, as committed."""
    n_rows = sum(part.n_rows for part in split.parts)
    part = np.zeros(n_rows, np.int8)
    fold = np.full(n_rows, NO_FOLD, np.int8)
    for number, name in enumerate(PARTS):
        part[read_rows(split, name, store)] = number
    if split.n_folds:
        path = split.part("train").path
        folds = store.scan(split.repository, split.commit_id, path).select("fold")
        fold[part == 0] = folds.collect(engine="streaming")["fold"].to_numpy()
    return Assignment(part=part, fold=fold, n_folds=split.n_folds)


def ensure_matrix(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    *,
    store: SnapshotStore,
    matrices: Path,
) -> Path:
    """Return the folder of a split's matrix; if it was deleted, make it again."""
    folder = matrices / split.matrix_id
    if not folder.exists():
        assignment = read_assignment(split, store)
        table = snapshot_table(snapshot, store)
        write_matrix(folder, table, snapshot.profile, accepted.request.data.target, assignment)
    return folder


def rows_frame(
    snapshot: DataSnapshot, rows: np.ndarray, columns: tuple[str, ...], store: SnapshotStore
) -> pl.DataFrame:
    """Return raw rows of a snapshot by their row numbers, which are sorted."""
    table = snapshot_table(snapshot, store).select(columns)
    if len(rows) == 0:
        return table.head(0).collect()
    first, last = int(rows[0]), int(rows[-1])
    # Rows are marked, not looked up: a byte for each, and the files are read in order.
    is_wanted = np.zeros(last - first + 1, np.bool_)
    is_wanted[rows - first] = True
    span = table.slice(first, len(is_wanted))
    return marked_rows(span, is_wanted).collect(engine="streaming")


def write_sample_rows(
    file: Path, snapshot: DataSnapshot, split: Split, *, store: SnapshotStore, n_rows: int = 2_000
) -> None:
    """Write raw rows of the validation part, evenly spread, as candidates will be served with."""
    if file.exists():
        return
    rows = read_rows(split, "validation", store)
    chosen = rows[:: max(1, len(rows) // n_rows)]
    with publishing(file) as temporary:
        rows_frame(snapshot, chosen, snapshot.profile.features, store).write_parquet(temporary)
