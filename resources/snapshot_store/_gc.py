"""Removes from the embedded store what nothing needs any more.

Needed is every commit that a branch, a tag or a pin leads to, with all commits before it,
and what they hold. All else goes in two steps: first the refs forget the commits, in one
SQLite transaction, then their objects are deleted. A crash in between leaves objects that
no commit names, which the next collection removes; never a commit without its objects.

Writers cannot be harmed: the collection holds the gate (`_gate`) alone, so that no objects
lie between their final name and their commit, and no tag or pin can slip in between,
because these take the same SQLite lock. Readers by the id of a commit that nothing needs
may lose it while they read.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from automl_assets.core.staging import Leftovers, sweep
from resources.snapshot_store import _refs
from resources.snapshot_store._commits import Commits
from resources.snapshot_store._gate import closed_to_writers
from resources.snapshot_store._inventory import Inventory, take_inventory
from resources.snapshot_store._objects import ObjectFolder


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What a collection removed, or would remove.

    Attributes:
        branches: The expired ones, as `repository/branch`.
        n_kept_objects: Objects that stay, trees and commits among them.
    """

    branches: tuple[str, ...]
    n_commits: int
    n_objects: int
    n_bytes: int
    n_kept_objects: int
    leftovers: Leftovers


@dataclass(frozen=True, kw_only=True)
class _Plan:
    expired: tuple[tuple[str, str], ...]
    unneeded: dict[str, set[str]]
    needed: set[str]
    needed_objects: set[bytes]


def collect(root: Path, *, expire_before: datetime | None, dry_run: bool) -> Garbage:
    """Remove what no branch, tag or pin needs.

    Args:
        expire_before: Branches of requests whose head is older than this are forgotten
            first, unless a pin or a tag holds one of their commits. Other branches, such as
            those that users keep their data on, never are.
        dry_run: Only say what would be removed.

    Raises:
        SnapshotError: A commit that is needed cannot be read; nothing was removed then.
    """
    file = root / _refs.FILE_NAME
    # The long reading comes first, while others write; with the lock only what is new is read.
    with _refs.reading(file) as refs, refs.unmoved():
        plan = _plan(refs, root, expire_before)
    if dry_run:
        return _sweep(root, plan, dry_run=True)
    with closed_to_writers(root):
        with _refs.writing(file) as refs:
            plan = _plan(refs, root, expire_before, earlier=plan)
            for repository, branch in plan.expired:
                refs.delete_branch(repository, branch)
            for repository, commit_ids in plan.unneeded.items():
                refs.forget_commits(repository, commit_ids)
        return _sweep(root, plan, dry_run=False)


def _plan(
    refs: _refs.Refs, root: Path, expire_before: datetime | None, earlier: _Plan | None = None
) -> _Plan:
    """Decide what goes.

    Args:
        earlier: A plan of a moment ago. What it needed is left alone once more.
    """
    expired: list[tuple[str, str]] = []
    unneeded: dict[str, set[str]] = {}
    needed: set[str] = set()
    for repository in refs.repositories():
        inventory = take_inventory(refs, repository)
        old = set() if expire_before is None else _expired(inventory, expire_before, root)
        heads = {head for branch, head in inventory.branches.items() if branch not in old}
        here = inventory.history(inventory.held | heads)
        expired += [(repository, branch) for branch in sorted(old)]
        unneeded[repository] = inventory.created.keys() - here
        needed |= here
    objects = _objects_of(needed - (earlier.needed if earlier else set()), root)
    if earlier:
        objects |= earlier.needed_objects
    return _Plan(expired=tuple(expired), unneeded=unneeded, needed=needed, needed_objects=objects)


def _expired(inventory: Inventory, before: datetime, root: Path) -> set[str]:
    commits = Commits(ObjectFolder(root / "objects"))
    return {
        branch
        for branch, head in inventory.branches.items()
        if datetime.fromisoformat(inventory.created[head]) < before
        and not inventory.held & inventory.history([head])
        # The branch of a request has its id as its name, and so says each of its commits.
        and commits.record(head).metadata.get("request_id") == branch
    }


def _objects_of(commit_ids: set[str], root: Path) -> set[bytes]:
    """Return the digests of commits, of their trees and of what they hold."""
    commits = Commits(ObjectFolder(root / "objects"))
    found: set[bytes] = set()
    for commit_id in commit_ids:
        found.add(bytes.fromhex(commit_id))
        tree_id = commits.record(commit_id).tree
        if bytes.fromhex(tree_id) not in found:
            found.add(bytes.fromhex(tree_id))
            found.update(bytes.fromhex(item.sha256) for item in commits.tree(tree_id).values())
    return found


def _sweep(root: Path, plan: _Plan, *, dry_run: bool) -> Garbage:
    n_objects = n_bytes = n_kept = 0
    for file in ObjectFolder(root / "objects").files():
        if bytes.fromhex(file.name) in plan.needed_objects:
            n_kept += 1
            continue
        n_objects += 1
        n_bytes += file.stat().st_size
        if not dry_run:
            file.unlink()
    return Garbage(
        branches=tuple(f"{repository}/{branch}" for repository, branch in plan.expired),
        n_commits=sum(map(len, plan.unneeded.values())),
        n_objects=n_objects,
        n_bytes=n_bytes,
        n_kept_objects=n_kept,
        # All that is there, not only what `Staging` names: version 0.1 named it otherwise.
        leftovers=sweep(root / "tmp", pattern="*/", dry_run=dry_run),
    )
