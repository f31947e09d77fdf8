"""Commits and trees as objects: what a commit says, and what it holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit, ObjectInfo
from resources.snapshot_store._names import canonical_json, content_digest
from resources.snapshot_store._objects import ObjectFolder

Tree = Mapping[str, ObjectInfo]


@dataclass(frozen=True, kw_only=True)
class CommitRecord:
    """A commit as its object spells it."""

    created: str
    message: str
    metadata: Mapping[str, str]
    parents: tuple[str, ...]
    tree: str

    def to_bytes(self) -> bytes:
        """Return the canonical spelling, whose digest is the commit id."""
        return canonical_json(asdict(self))


class Commits:
    """Reads commits and their trees; every byte is verified."""

    def __init__(self, objects: ObjectFolder) -> None:
        self._objects = objects

    def record(self, commit_id: str) -> CommitRecord:
        """Return what a commit says.

        Raises:
            SnapshotError: The object is missing, changed, or no commit.
        """
        try:
            fields = json.loads(self._objects.read(commit_id))
            return CommitRecord(**{**fields, "parents": tuple(fields["parents"])})
        except (ValueError, TypeError, KeyError) as error:
            raise SnapshotError(_foreign(commit_id, "commit", error)) from error

    def tree(self, tree_id: str) -> dict[str, ObjectInfo]:
        """Return what a tree holds, by path.

        Raises:
            SnapshotError: The object is missing, changed, or no tree.
        """
        try:
            return {
                entry["path"]: ObjectInfo(
                    path=entry["path"],
                    size_bytes=entry["size_bytes"],
                    sha256=entry["sha256"],
                    checksum=entry["sha256"],
                )
                for entry in json.loads(self._objects.read(tree_id))
            }
        except (ValueError, TypeError, KeyError) as error:
            raise SnapshotError(_foreign(tree_id, "tree", error)) from error

    def tree_of(self, commit_id: str) -> dict[str, ObjectInfo]:
        """Return what a commit holds, by path."""
        return self.tree(self.record(commit_id).tree)

    def commit(self, repository: str, commit_id: str) -> Commit:
        """Return a commit as the port shows it."""
        record = self.record(commit_id)
        digest = record.metadata.get("content_sha256")
        if digest is None:  # written by version 0.1
            digest = content_digest(self.tree(record.tree).values())
        return Commit(
            repository=repository,
            commit_id=commit_id,
            message=record.message,
            metadata=record.metadata,
            content_sha256=digest,
            parents=record.parents,
            created_at=record.created,
        )


def tree_bytes(tree: Tree) -> bytes:
    """Return the canonical spelling of a tree."""
    entries = (tree[path] for path in sorted(tree))
    return canonical_json(
        [{"path": e.path, "size_bytes": e.size_bytes, "sha256": e.sha256} for e in entries]
    )


def digests(tree: Tree) -> dict[str, str]:
    """Return the digest of each object; two trees with equal ones hold the same."""
    return {path: item.sha256 for path, item in tree.items()}


def _foreign(digest: str, kind: str, error: Exception) -> str:
    return (
        f"A {kind} has the fields that this program wrote. Object {digest} has not: {error!r}. "
        "Update this program if a newer one wrote to the store; run `automl data fsck`."
    )
