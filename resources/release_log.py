"""The release log in the snapshot store: one branch a model, one object and one commit an event."""

import hashlib
import re

from pydantic import ValidationError

from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.ports import ReleaseLog, SnapshotStore
from automl_assets.core.release import ReleaseEvent

REPOSITORY = "automl-releases"

_FOLDER = "events/"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9-]{1,200}")
_MOST_TRIES = 1_000


def branch_of(name: str) -> str:
    """Return the branch that holds the events of a model, whatever it is called.

    Examples:
        >>> branch_of("churn")
        'model-churn'
        >>> branch_of("Churn (EU)")
        'model_Churn-EU_016c19d13b1c6246'
    """
    if _PLAIN_NAME.fullmatch(name):
        return f"model-{name}"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:100]
    return f"model_{readable}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _path(event: ReleaseEvent) -> str:
    return f"{_FOLDER}{event.number:08d}{_mark(event.key)}.json"


def _mark(key: str) -> str:
    """Return what tells an event's key from its path, so that no event is read to look for it."""
    return f"-{hashlib.sha256(key.encode()).hexdigest()[:32]}" if key else ""


class StoredReleaseLog(ReleaseLog):
    """Events as commits of a snapshot store, embedded or lakeFS.

    A transaction's key is the number of its event. Of two that append at the same
    time one is refused by the store, sees the other's event, and takes the next number.
    Listing the events of a model costs what they are; a commit of the embedded store does, too.

    Args:
        store: Where requests keep their snapshots as well.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    def append(self, event: ReleaseEvent) -> ReleaseEvent:
        """Add an event at the end of its model's log; see the port."""
        self._store.ensure_repository(REPOSITORY)
        for _ in range(_MOST_TRIES):
            commit_id, paths = self._events_at_head(event.name)
            known = [path for path in paths if event.key and _mark(event.key) in path]
            if known:
                return self._read(commit_id, known[0])
            last = self._read(commit_id, paths[-1]) if paths else None
            numbered = event.model_copy(
                update={
                    "number": last.number + 1 if last else 1,
                    "previous_sha256": last.sha256 if last else "",
                }
            )
            if self._commit(numbered):
                return numbered
        raise ServiceError(
            f"An event is added to the release log when nobody else adds one. {event.name!r} was "
            f"written {_MOST_TRIES:,} times by others meanwhile. Nothing was added; try again."
        )

    def events(self, name: str) -> list[ReleaseEvent]:
        """Return the events of a model, oldest first; see the port."""
        self._store.ensure_repository(REPOSITORY)
        commit_id, paths = self._events_at_head(name)
        return [self._read(commit_id, path) for path in paths]

    def _events_at_head(self, name: str) -> tuple[str, list[str]]:
        """Return the head of a model's branch, and the paths of its events, oldest first."""
        head = self._store.branches(REPOSITORY).get(branch_of(name))
        if head is None:
            return "", []
        return head, [item.path for item in self._store.objects(REPOSITORY, head, _FOLDER)]

    def _commit(self, event: ReleaseEvent) -> bool:
        """Commit an event under its number; return whether it is this one that has the number."""
        branch = branch_of(event.name)
        with self._store.write(
            REPOSITORY,
            branch=branch,
            key=f"{branch}/{event.number}",
            message=f"{event.name} {event.version}: {event.kind}",
            metadata={"kind": event.kind, "name": event.name, "version": event.version},
        ) as transaction:
            transaction.put_bytes(_path(event), event.canonical_json().encode())
        commit_id = transaction.commit.commit_id
        paths = {item.path for item in self._store.objects(REPOSITORY, commit_id, _FOLDER)}
        return _path(event) in paths and self._read(commit_id, _path(event)) == event

    def _read(self, commit_id: str, path: str) -> ReleaseEvent:
        content = self._store.read_bytes(REPOSITORY, commit_id, path)
        try:
            return ReleaseEvent.model_validate_json(content)
        except ValidationError as error:
            raise SnapshotError(
                f"The release log holds events, but {path!r} at commit {commit_id[:12]} of "
                f"repository {REPOSITORY!r} is none: {error.errors()[0]['msg']}. Somebody else "
                "wrote it. Restore the repository, or revert that commit."
            ) from error
