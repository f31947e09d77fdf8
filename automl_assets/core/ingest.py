"""From a source of the user to an immutable snapshot that names itself for ever."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.intake import read_contract
from automl_assets.core.ports import Commit, DataSources, SnapshotStore, SourceTable
from automl_assets.core.staging import Staging
from automl_assets.core.values import AcceptedRequest, DataSnapshot, RowStep, TableProfile

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest

TABLE_PATH = "data/table.parquet"
PROFILE_PATH = "profile.json"
CONTRACT_PATH = "contract.yaml"

STATE_KEY = "source_state"
"""In the commit's metadata and not in its content, which is the same wherever the file lies."""


def find_snapshot(accepted: AcceptedRequest, *, store: SnapshotStore) -> DataSnapshot | None:
    """Return the newest snapshot that was committed for this request, if there is one."""
    attempts = _attempts(accepted, store)
    return _read_snapshot(attempts[-1], store) if attempts else None


def take_snapshot(
    accepted: AcceptedRequest, *, sources: DataSources, store: SnapshotStore, scratch: Path
) -> tuple[DataSnapshot, tuple[str, ...]]:
    """Return the snapshot that a request goes on with, and the source's warnings if it was read.

    A snapshot that kept its contract is final. One that did not is read anew if the
    source or the contract was mended since; if the source is gone, it stays.

    Raises:
        AutoMLError: As `DataSources.open` and `ingest`.
    """
    from automl_assets.core.acceptance import is_accepted

    known = find_snapshot(accepted, store=store)
    if known is not None and is_accepted(accepted, store=store):
        return known, ()
    contract = read_contract(accepted.data, sources)
    columns = [column for column in [accepted.request.split.column] if column is not None]
    opened = ExitStack()
    try:
        table = opened.enter_context(sources.open(accepted.data, columns=columns))
    except (RequestError, SnapshotError):
        if known is None:
            raise
        return known, ()
    with opened:
        snapshot = ingest(accepted, source=table, store=store, scratch=scratch, contract=contract)
        return snapshot, table.warnings


def ingest(
    accepted: AcceptedRequest,
    *,
    source: SourceTable,
    store: SnapshotStore,
    scratch: Path,
    contract: str | None = None,
) -> DataSnapshot:
    """Commit the rows and columns that a request asks for, or find that it was done.

    Another source or contract than that of an earlier call makes another commit.

    Rows keep the order of the source: the position of a row in the table, from
    0, is its name. Nothing is committed if the data cannot be learned from.

    Args:
        source: Its digest is kept with the commit.
        store: Where the table goes: repository = model name, branch = request.
        scratch: Folder for the table until it is committed; best on the disk of
            the store, which then adopts the file instead of copying it.
        contract: What the data are checked against; kept beside them.

    Raises:
        RequestError: The request does not fit the data, or they may not be used.
        SnapshotError: The source changed or is unreadable, or a disk is full.
    """
    from automl_assets.core.rows import reading_errors
    from automl_assets.core.rows.table import write_rows

    before = source.state()
    source_sha256 = _checked_digest(source, accepted)
    # Counted once: whoever reads the same source at the same time takes the same key.
    attempts = _attempts(accepted, store)
    if attempts:
        known = _read_snapshot(attempts[-1], store)
        if _is_of(known, source_sha256, before, contract, store):
            return known
    with Staging(scratch) as staging:
        table = staging.folder / "table.parquet"
        rows = write_rows(source.frame, accepted.request, table, source=source.description)
        # Profiled as written: an error in the data is found before the commit.
        with reading_errors(source.description):
            profile = _profile(table, accepted.request, rows)
        if source.state() != before:
            raise SnapshotError(
                f"A source must not change while it is read. {source.description!r} did. "
                "Nothing was committed; run again when it is complete."
            )
        # What a commit cannot know about itself is filled in when it is read.
        snapshot = DataSnapshot(
            repository=accepted.request.name,
            commit_id="",
            path=TABLE_PATH,
            content_sha256="",
            source=source.description,
            source_sha256=source_sha256,
            rows=rows,
            profile=profile,
            source_commit=accepted.data.commit or "",
            contract_path="" if contract is None else CONTRACT_PATH,
        )
        key = _key(accepted, len(attempts))
        commit = _commit(accepted, snapshot, table, contract, store, key=key, state=before)
        return _read_snapshot(commit, store)


def _checked_digest(source: SourceTable, accepted: AcceptedRequest) -> str:
    expected = accepted.request.data.sha256
    found = source.sha256()
    if expected not in (None, found):
        raise SnapshotError(
            f"The data must be those that data.sha256 names, {expected}. "
            f"{source.description!r} now has {found}: the file changed. "
            "Bring the file back, or correct data.sha256."
        )
    return found


def _profile(table: Path, request: "TrainingRequest", rows: tuple[RowStep, ...]) -> TableProfile:
    """Describe the finished table, with suspected leaks and personal data."""
    from automl_assets.core.leakage import find_suspects, refuse_blocked, with_findings
    from automl_assets.core.profile import profile_table
    from automl_assets.core.rows.duplicates import count_duplicates
    from automl_assets.core.rows.table import scan_table

    frame = scan_table(table)
    profile = profile_table(frame, request)
    if profile.n_rows != rows[-1].n_rows:
        raise SnapshotError(
            f"All {rows[-1].n_rows:,} rows must be in the table. It has {profile.n_rows:,}. "
            "Nothing was committed; run again, and report it if it happens again."
        )
    findings = find_suspects(frame, profile, request)
    refuse_blocked(findings)
    if request.data.rows.duplicates == "keep":
        names = frame.collect_schema().names()
        n_duplicates = count_duplicates(frame, names, scratch=table.parent)
        profile = profile.model_copy(update={"n_duplicates": n_duplicates})
    return with_findings(profile, findings)


def _commit(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    table: Path,
    contract: str | None,
    store: SnapshotStore,
    *,
    key: str,
    state: str,
) -> Commit:
    metadata = {
        "request_id": accepted.request_id,
        "request_sha256": accepted.request_sha256,
        "owner": accepted.request.owner,
        "source_sha256": snapshot.source_sha256,
        STATE_KEY: _named(state),
    }
    if snapshot.source_commit:
        metadata["source_commit"] = snapshot.source_commit
    with store.write(
        snapshot.repository,
        branch=accepted.request_id,
        key=key,
        message=f"Snapshot of {snapshot.source} for {accepted.request_id}",
        metadata=metadata,
    ) as transaction:
        transaction.put_file(TABLE_PATH, table)
        transaction.put_bytes(PROFILE_PATH, snapshot.model_dump_json().encode())
        if contract is not None:
            transaction.put_bytes(CONTRACT_PATH, contract.encode())
        else:
            transaction.remove(CONTRACT_PATH)
    return transaction.commit


def _is_of(
    snapshot: DataSnapshot,
    source_sha256: str,
    state: str,
    contract: str | None,
    store: SnapshotStore,
) -> bool:
    """Return whether a snapshot was made from this source and this contract."""
    commit = store.resolve(snapshot.repository, snapshot.commit_id)
    # The digest of a Parquet source need not change with its values; its state does.
    if (snapshot.source_sha256, commit.metadata.get(STATE_KEY)) != (source_sha256, _named(state)):
        return False
    if not snapshot.contract_path:
        return contract is None
    kept = store.read_bytes(snapshot.repository, snapshot.commit_id, snapshot.contract_path)
    return contract is not None and kept == contract.encode()


def _named(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()


def _attempts(accepted: AcceptedRequest, store: SnapshotStore) -> list[Commit]:
    """Return the commits of a request's snapshots, oldest first.

    The second is made only if the first broke its contract and was mended.
    """
    repository = accepted.request.name
    store.ensure_repository(repository)
    found: list[Commit] = []
    while commit := store.find(repository, _key(accepted, len(found))):
        found.append(commit)
    return found


def _key(accepted: AcceptedRequest, attempt: int) -> str:
    return f"{accepted.request_id}/data_snapshot" + (f"/{attempt}" if attempt else "")


def _read_snapshot(commit: Commit, store: SnapshotStore) -> DataSnapshot:
    content = store.read_bytes(commit.repository, commit.commit_id, PROFILE_PATH)
    return DataSnapshot.model_validate_json(content).model_copy(
        update={"commit_id": commit.commit_id, "content_sha256": commit.content_sha256}
    )
