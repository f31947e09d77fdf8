"""How staged files become a commit: objects first, then the commit, then the branch."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from resources.snapshot_store import _refs
from resources.snapshot_store._commits import CommitRecord, Commits, Tree, digests, tree_bytes
from resources.snapshot_store._gate import open_to_writers
from resources.snapshot_store._merge import merge_trees
from resources.snapshot_store._names import content_digest, near_names
from resources.snapshot_store._objects import ObjectFolder
from resources.snapshot_store._transaction import StagedTransaction


def publish(
    root: Path,
    transaction: StagedTransaction,
    *,
    repository: str,
    branch: str,
    message: str,
    metadata: Mapping[str, str],
) -> str:
    """Commit what was staged under the key in the metadata, or find its commit; return the id.

    Raises:
        SnapshotError: It changes nothing.
    """
    key = metadata["key"]
    objects = ObjectFolder(root / "objects")
    with open_to_writers(root):
        with _refs.reading(root / _refs.FILE_NAME) as refs:
            if known := refs.commit_of_key(repository, key):
                return known
        objects.adopt(transaction.staged({e.sha256 for e in transaction.entries.values()}))
        with _refs.writing(root / _refs.FILE_NAME) as refs:
            if known := refs.commit_of_key(repository, key):
                return known
            head = refs.branches(repository).get(branch)
            before = Commits(objects).tree_of(head) if head else {}
            tree = transaction.applied_to(before)
            if digests(tree) == digests(before):
                raise SnapshotError(
                    "A commit differs from the one before it. This one changes nothing: branch "
                    f"{branch!r} of repository {repository!r} holds just that. "
                    "Put or remove an object, or use the branch as it is."
                )
            commit_id, record = _stage_commit(
                root,
                transaction,
                tree=tree,
                parents=(head,) if head else (),
                message=message,
                metadata=metadata,
            )
            refs.add_commit(repository, branch, commit_id, record, key)
    return commit_id


def publish_merge(
    root: Path,
    staged: StagedTransaction,
    *,
    repository: str,
    source: str,
    destination: str,
    message: str,
) -> str:
    """Merge a branch into another one; return the head of the destination.

    Raises:
        SnapshotError: There is no such source, or the branches conflict.
    """
    commits = Commits(ObjectFolder(root / "objects"))
    with open_to_writers(root), _refs.writing(root / _refs.FILE_NAME) as refs:
        branches = refs.branches(repository)
        if source not in branches:
            raise SnapshotError(
                f"A merge brings a branch of repository {repository!r} into another one. "
                f"Found no branch {source!r}. {near_names(source, branches)}"
            )
        theirs, head = branches[source], branches.get(destination)
        if head is not None and theirs in refs.ancestors(repository, head):
            return head
        base = refs.merge_base(repository, theirs, head) if head else None
        before = commits.tree_of(head) if head else {}
        tree = merge_trees(
            commits.tree_of(base) if base else {},
            source=commits.tree_of(theirs),
            destination=before,
            names=(source, destination),
        )
        if head is not None and digests(tree) == digests(before):
            return head
        commit_id, record = _stage_commit(
            root,
            staged,
            tree=tree,
            parents=(head, theirs) if head else (theirs,),
            message=message,
            metadata={},
        )
        refs.add_commit(repository, destination, commit_id, record, None)
    return commit_id


def _stage_commit(
    root: Path,
    staged: StagedTransaction,
    *,
    tree: Tree,
    parents: tuple[str, ...],
    message: str,
    metadata: Mapping[str, str],
) -> tuple[str, CommitRecord]:
    """Make a tree and a commit durable; nothing names them yet."""
    objects = ObjectFolder(root / "objects")
    tree_id = staged.stage(tree_bytes(tree))
    record = CommitRecord(
        created=_next_moment([Commits(objects).record(parent).created for parent in parents]),
        message=message,
        metadata={**metadata, "content_sha256": content_digest(tree.values())},
        parents=parents,
        tree=tree_id,
    )
    commit_id = staged.stage(record.to_bytes())
    objects.adopt(staged.staged([tree_id, commit_id]))
    return commit_id, record


def _next_moment(earlier: list[str]) -> str:
    """Return the time, but later than all of these: clocks are set back, histories are not."""
    now = datetime.now(UTC)
    moments = [datetime.fromisoformat(moment) + timedelta(microseconds=1) for moment in earlier]
    return max([now, *moments]).isoformat(timespec="microseconds")
