"""Differences and merges of branches on a lakeFS server, by what the objects hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.ports import Change
from resources.snapshot_store._lakefs_answers import BAD_REQUEST, CONFLICT, Refused, Server
from resources.snapshot_store._lakefs_client import CommitRecord, ControlPlane
from resources.snapshot_store._lakefs_publish import act_once

_MAX_TOLD = 5
_KINDS: dict[str, Literal["added", "removed", "changed"]] = {
    "added": "added",
    "removed": "removed",
    "changed": "changed",
}


def changes(control: ControlPlane, repository: str, left: str, right: str) -> list[Change]:
    """Return how the objects at one commit differ from those at another, sorted by path.

    lakeFS compares what it knows objects by; equal bytes that were put twice may differ
    there, and do not differ here.
    """
    found = [
        Change(path=path, kind=_KINDS[kind])
        for path, kind in control.diff(repository, left, right, since_base=False)
        if kind in _KINDS
        and not (kind == "changed" and _is_equal(control, repository, left, right, path))
    ]
    return sorted(found, key=lambda change: change.path)


@dataclass(frozen=True, kw_only=True)
class Merge:
    """A merge that is done once, however often its answer is lost.

    Attributes:
        source_commit: Head of the source when the merge began.
    """

    server: Server
    control: ControlPlane
    repository: str
    source: str
    source_commit: str
    destination: str
    message: str

    def run(self) -> str:
        """Return the commit id of the destination's head after the merge."""
        for _ in self.server.patience.tries():
            head = self.control.branch(self.repository, self.destination)
            if head is None:
                if self._make_destination():
                    return self.source_commit
                continue
            if not self._brings(head):
                return head
            return self._merge(head)
        raise ServiceError(
            f"lakeFS at {self.server.endpoint} must let {self.destination!r} of "
            f"{self.repository!r} be merged into. Others made and deleted it all the time for "
            f"{self.server.patience.seconds:g} s. Nothing was merged; run again."
        )

    def _make_destination(self) -> bool:
        name = self.destination
        try:
            self.control.create_branch(self.repository, name, self.source_commit, hidden=False)
        except Refused as error:
            if error.status != CONFLICT:
                raise self.server.refused(f"Making branch {name!r}", error) from error
            return self.control.branch(self.repository, name) == self.source_commit
        return True

    def _brings(self, head: str) -> bool:
        """Whether the source has changed what the destination does not hold likewise."""
        changed = {path for path, _ in self._since_base(head)}
        if not changed:
            return False
        differing = changes(self.control, self.repository, head, self.source_commit)
        return any(change.path in changed for change in differing)

    def _since_base(self, head: str) -> Iterable[tuple[str, str]]:
        return self.control.diff(self.repository, head, self.source_commit, since_base=True)

    def _merge(self, head: str) -> str:
        what = f"The merge of {self.source!r} into {self.destination!r} of {self.repository!r}"
        strategy: str | None = None
        conflicts = [path for path, kind in self._since_base(head) if kind == "conflict"]
        if conflicts:
            self._check_conflicts(head, conflicts)
            strategy = "dest-wins"  # both sides hold the same bytes

        def find() -> CommitRecord | None:
            for record in self.control.log(self.repository, self.destination, first_parent=True):
                if record.commit_id == head:
                    return None
                if self.source_commit in record.parents[1:]:
                    return record
            return None

        def act() -> CommitRecord | None:
            self.control.merge(
                self.repository,
                self.source_commit,
                self.destination,
                message=self.message,
                metadata={},
                strategy=strategy,
            )
            return find()

        try:
            act_once(self.server, what, find, act, left="It is done wholly or not at all.")
        except SnapshotError as error:
            refused = error.__cause__
            status = refused.status if isinstance(refused, Refused) else 0
            now = self.control.branch(self.repository, self.destination) or head
            if status == BAD_REQUEST and not self._brings(now):
                return now
            if status == CONFLICT:
                self._check_conflicts(now, [p for p, k in self._since_base(now) if k == "conflict"])
            raise
        return self.control.branch(self.repository, self.destination) or head

    def _check_conflicts(self, head: str, conflicts: list[str]) -> None:
        """Raise SnapshotError unless both sides hold the same bytes at all these paths."""
        equal = _is_equal
        real = [
            path
            for path in conflicts
            if not equal(self.control, self.repository, head, self.source_commit, path)
        ]
        if not real:
            return
        listed = ", ".join(repr(path) for path in real[:_MAX_TOLD])
        more = f" and {len(real) - _MAX_TOLD} more" if len(real) > _MAX_TOLD else ""
        raise SnapshotError(
            "A merge needs each path to be changed on one side only. "
            f"Both {self.source!r} and {self.destination!r} of {self.repository!r} changed "
            f"{listed}{more}: a conflict. Nothing was merged; make them equal on one of them."
        )


def _is_equal(control: ControlPlane, repository: str, left: str, right: str, path: str) -> bool:
    one, other = control.stat(repository, left, path), control.stat(repository, right, path)
    if one is None or other is None:
        return one is other
    return bool(one.sha256) and one.sha256 == other.sha256
