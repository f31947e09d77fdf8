"""From a file of the user to an immutable snapshot that names itself for ever."""

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.core.profile import profile_table
from automl_assets.core.rows import reading_errors, select
from automl_assets.core.values import AcceptedRequest, DataSnapshot

TABLE_PATH = "data/table.parquet"
PROFILE_PATH = "profile.json"

_ROW_GROUP_ROWS = 262_144


def find_snapshot(accepted: AcceptedRequest, *, store: SnapshotStore) -> DataSnapshot | None:
    """Return the snapshot that an earlier call committed for this request, if there is one."""
    repository = accepted.request.name
    store.ensure_repository(repository)
    commit = store.find(repository, _key(accepted))
    return None if commit is None else _read_snapshot(commit, store)


def ingest(
    accepted: AcceptedRequest,
    *,
    source: Path,
    frame: pl.LazyFrame,
    store: SnapshotStore,
    scratch: Path,
) -> DataSnapshot:
    """Commit the rows and columns that a request asks for, or find that it was done.

    Rows keep the order of the source: the position of a row in the table, from
    0, is its name. Nothing is committed if the data cannot be learned from.

    Args:
        source: The file; its digest is kept with the commit.
        frame: The rows of that file.
        store: Where the table goes: repository = model name, branch = request.
        scratch: Folder for the table until it is committed; best on the disk of
            the store, which then adopts the file instead of copying it.

    Raises:
        RequestError: The request does not fit the data.
        SnapshotError: The file changed or is unreadable, or a disk is full.
    """
    if known := find_snapshot(accepted, store=store):
        return known
    request = accepted.request
    before = _state(source)
    source_sha256 = _checked_digest(source, accepted)
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{accepted.request_id}-", dir=scratch) as folder:
        table = Path(folder) / "table.parquet"
        selection = select(frame, request)
        _write_table(selection.frame, table, source)
        # Profiled as written: an error in the data is found before the commit.
        profile = profile_table(pl.scan_parquet(table, glob=False), request)
        if _state(source) != before or profile.n_rows != selection.rows[-1].n_rows:
            raise SnapshotError(
                f"A file must not change while it is read. {request.data.path!r} did. "
                "Nothing was committed; run again when it is complete."
            )
        # What a commit cannot know about itself is filled in when it is read.
        snapshot = DataSnapshot(
            repository=request.name,
            commit_id="",
            path=TABLE_PATH,
            content_sha256="",
            source=str(request.data.path),
            source_sha256=source_sha256,
            rows=selection.rows,
            profile=profile,
        )
        return _read_snapshot(_commit(accepted, snapshot, table, store), store)


def _state(source: Path) -> tuple[int, int]:
    status = source.stat()
    return status.st_size, status.st_mtime_ns


def _checked_digest(source: Path, accepted: AcceptedRequest) -> str:
    expected = accepted.request.data.sha256
    found = sha256_file(source)
    if expected not in (None, found):
        raise SnapshotError(
            f"The data must be those that data.sha256 names, {expected}. "
            f"{accepted.request.data.path!r} now has {found}: the file changed. "
            "Bring the file back, or correct data.sha256."
        )
    return found


def _commit(
    accepted: AcceptedRequest, snapshot: DataSnapshot, table: Path, store: SnapshotStore
) -> Commit:
    with store.write(
        snapshot.repository,
        branch=accepted.request_id,
        key=_key(accepted),
        message=f"Snapshot of {snapshot.source} for {accepted.request_id}",
        metadata={
            "request_id": accepted.request_id,
            "request_sha256": accepted.request_sha256,
            "owner": accepted.request.owner,
            "source_sha256": snapshot.source_sha256,
        },
    ) as transaction:
        transaction.put_file(TABLE_PATH, table)
        transaction.put_bytes(PROFILE_PATH, snapshot.model_dump_json().encode())
    return transaction.commit


def _key(accepted: AcceptedRequest) -> str:
    return f"{accepted.request_id}/data_snapshot"


def _write_table(frame: pl.LazyFrame, table: Path, source: Path) -> None:
    with reading_errors(source.name):
        frame.sink_parquet(
            table,
            compression="zstd",
            compression_level=3,
            row_group_size=_ROW_GROUP_ROWS,
            maintain_order=True,
        )


def _read_snapshot(commit: Commit, store: SnapshotStore) -> DataSnapshot:
    content = store.read_bytes(commit.repository, commit.commit_id, PROFILE_PATH)
    return DataSnapshot.model_validate_json(content).model_copy(
        update={"commit_id": commit.commit_id, "content_sha256": commit.content_sha256}
    )
