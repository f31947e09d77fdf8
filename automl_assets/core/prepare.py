"""From a snapshot to four parts and the matrix encoded from them."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.contract import MIN_PART_ROWS
from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.errors import RequestError
from automl_assets.core.matrix import target_vector, write_matrix
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.request import TrainingRequest
from automl_assets.core.splits import (
    Rows,
    group_split,
    random_split,
    rows_sha256,
    stratified_split,
    time_split,
)
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


def split_rows(table: pl.LazyFrame, snapshot: DataSnapshot, request: TrainingRequest) -> Rows:
    """Assign every row of a snapshot to one of the four parts.

    Raises:
        RequestError: The time or group column cannot make four parts.
    """
    split = request.split
    fractions: dict[Part, float] = {
        "train": split.train,
        "validation": split.validation,
        "calibration": split.calibration,
        "analysis": split.analysis,
    }

    def column(name: str) -> pl.Series:
        return table.select(pl.col(name)).collect()[name]

    strategy = request.split_strategy
    if strategy == "time":
        return time_split(column(str(request.data.time)), fractions)
    if strategy == "group":
        return group_split(column(str(request.data.group)), fractions, seed=request.seed)
    if snapshot.profile.task_type == "regression":
        return random_split(snapshot.n_rows, fractions, seed=request.seed)
    strata = target_vector(column(request.data.target), snapshot.profile)
    return stratified_split(strata, fractions, seed=request.seed)


def check_parts(rows: Rows, classes: np.ndarray | None, names: tuple[str, ...]) -> None:
    """Check that each part can be learned from and judged on.

    Groups and times decide which rows go together, so the parts may differ from
    the shares that were asked for.

    Args:
        classes: Class code of each row of the table; None for regression.
        names: Classes in code order.

    Raises:
        RequestError: A part has too few rows or classes.
    """
    for part in PARTS:
        if len(rows[part]) < MIN_PART_ROWS:
            raise RequestError(
                f"Each part needs at least {MIN_PART_ROWS} rows, but {part} got "
                f"{len(rows[part])}. Change the shares in split, or take more rows."
            )
        if classes is None:
            continue
        found = np.unique(classes[rows[part]])
        absent = [name for code, name in enumerate(names) if code not in found]
        if len(found) < 2 or (absent and part == "train"):
            raise RequestError(
                f"Each part needs two classes or more, and train all of them, but {part} has no "
                f"row of {', '.join(map(repr, absent[:5]))}. The target follows data.time or "
                "data.group: remove it from the request, or take rows where the target varies."
            )


def _matrix_id(snapshot: DataSnapshot, parts: tuple[SplitPart, ...], target: str) -> str:
    named = [snapshot.content_sha256, preprocessing_version(), *(part.sha256 for part in parts)]
    named += [target, snapshot.profile.model_dump_json()]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]


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
        SnapshotError: The store cannot be written.
    """
    request = accepted.request
    table = snapshot_table(snapshot, store)
    rows = split_rows(table, snapshot, request)
    target = table.select(pl.col(request.data.target)).collect()[request.data.target]
    is_regression = snapshot.profile.task_type == "regression"
    classes = None if is_regression else target_vector(target, snapshot.profile)
    check_parts(rows, classes, snapshot.profile.classes)
    parts = tuple(
        SplitPart(
            part=part,
            n_rows=len(rows[part]),
            path=f"splits/{part}.parquet",
            sha256=rows_sha256(rows[part]),
        )
        for part in PARTS
    )
    version = code_version("automl_assets.core.splits")
    matrices.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=".splits.", dir=matrices) as scratch,
        store.write(
            snapshot.repository,
            branch=accepted.request_id,
            key=f"{accepted.request_id}/splits/{version}",
            message=f"Split {snapshot.n_rows} rows for {accepted.request_id}",
            metadata={"request_id": accepted.request_id, "data_commit": snapshot.commit_id},
        ) as transaction,
    ):
        for part in parts:
            file = Path(scratch) / f"{part.part}.parquet"
            pl.DataFrame({"row": rows[part.part]}).write_parquet(file)
            transaction.put_file(part.path, file)
    split = Split(
        repository=snapshot.repository,
        commit_id=transaction.commit.commit_id,
        strategy=request.split_strategy,
        seed=request.seed,
        parts=parts,
        preprocessing_version=preprocessing_version(),
        matrix_id=_matrix_id(snapshot, parts, request.data.target),
        feature_names=(),
    )
    preprocessing = write_matrix(
        matrices / split.matrix_id, table, snapshot.profile, request.data.target, rows
    )
    return split.model_copy(update={"feature_names": preprocessing.feature_names})


def read_rows(split: Split, part: Part, store: SnapshotStore) -> np.ndarray:
    """Return the sorted row numbers (int64) of one part, as committed."""
    rows = store.scan(split.repository, split.commit_id, split.part(part).path).collect()
    return rows["row"].to_numpy()


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
        rows: Rows = {part: read_rows(split, part, store) for part in PARTS}
        table = snapshot_table(snapshot, store)
        write_matrix(folder, table, snapshot.profile, accepted.request.data.target, rows)
    return folder


def rows_frame(
    snapshot: DataSnapshot, rows: np.ndarray, columns: tuple[str, ...], store: SnapshotStore
) -> pl.DataFrame:
    """Return raw rows of a snapshot by their row numbers, which are sorted."""
    index = "row"
    while index in columns:
        index = f"_{index}"
    return (
        snapshot_table(snapshot, store)
        .select(columns)
        .with_row_index(index)
        .filter(pl.col(index).is_in(pl.Series(rows, dtype=pl.UInt32).implode()))
        .drop(index)
        .collect(engine="streaming")
    )
