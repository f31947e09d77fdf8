"""Whether the data of a version are still there, byte for byte."""

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.core.prepare import read_rows
from automl_assets.core.reproduction.records import Records
from automl_assets.core.splits import rows_sha256


def data_differences(records: Records, store: SnapshotStore) -> tuple[int, tuple[str, ...]]:
    """Read the table and the parts of the split once, and compare their digests.

    Returns:
        How many digests were compared, and a sentence for each that differs.

    Raises:
        SnapshotError: A commit or an object is not there.
        ServiceError: A server does not answer.
    """
    snapshot, split = records.snapshot, records.split
    told: list[str] = []
    commit = _commit(records, store, snapshot.repository, snapshot.commit_id, "data")
    if commit.content_sha256 != snapshot.content_sha256:
        told.append(
            _sentence(
                f"content of data commit {commit.commit_id[:10]}",
                snapshot.content_sha256,
                commit.content_sha256,
            )
        )
    told += _altered(records, store, snapshot.repository, snapshot.commit_id, snapshot.path)
    _commit(records, store, split.repository, split.commit_id, "split")
    for part in split.parts:
        altered = _altered(records, store, split.repository, split.commit_id, part.path)
        told += altered
        if (
            not altered
            and (found := rows_sha256(read_rows(split, part.part, store))) != part.sha256
        ):
            told.append(_sentence(f"rows of {part.part}", part.sha256, found))
    return 2 + 2 * len(split.parts), tuple(told)


def _sentence(what: str, recorded: str, found: str) -> str:
    return f"{what}: sha256 {recorded[:12]}… was recorded, here it is {found[:12]}…."


def _commit(
    records: Records, store: SnapshotStore, repository: str, commit_id: str, what: str
) -> Commit:
    try:
        return store.resolve(repository, commit_id)
    except SnapshotError as error:
        raise SnapshotError(
            f"{records.title} is made again from its {what} commit, but {commit_id} of repository "
            f"{repository!r} is not in this store. {error} Reproduce it where the commit is, or "
            "restore the repository."
        ) from error


def _altered(
    records: Records, store: SnapshotStore, repository: str, commit_id: str, path: str
) -> list[str]:
    """Return what is wrong with the bytes of an object.

    Raises:
        SnapshotError: It is not there.
    """
    named = {item.path: item.sha256 for item in store.objects(repository, commit_id, path)}
    found = store.read_sha256(repository, commit_id, path)
    if found is None:
        raise SnapshotError(
            f"{records.title} is made again from {path} of commit {commit_id} of repository "
            f"{repository!r}, but its bytes are gone from this store. Restore the store from a "
            "backup."
        )
    if not named[path] or found == named[path]:
        return []
    return [_sentence(f"{path} of commit {commit_id[:10]}", named[path], found)]
