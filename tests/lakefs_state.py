"""What the stand-in lakeFS server keeps: repositories, branches, commits, objects.

Written from the public API contract (`api/swagger.yml` of lakeFS) and its documentation.
"""

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class Refusal(Exception):
    """An answer other than success, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object; two with equal size, ETag, metadata and type are the same."""

    size: int
    etag: str
    metadata: Mapping[str, str]
    content_type: str
    file: Path = field(compare=False)
    mtime: int = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class CommitRecord:
    """A commit; `tree` holds its objects by path."""

    commit_id: str
    parents: tuple[str, ...]
    message: str
    metadata: Mapping[str, str]
    created: int
    tree: Mapping[str, Entry]
    order: int


@dataclass
class Branch:
    """Where a branch points to, and what is staged on it: None for a removed path."""

    commit_id: str
    hidden: bool = False
    staged: dict[str, Entry | None] = field(default_factory=dict)


@dataclass
class Repository:
    """One repository; every change is made with `lock` held."""

    name: str
    storage_namespace: str
    default_branch: str
    created: int
    branches: dict[str, Branch] = field(default_factory=dict)
    commits: dict[str, CommitRecord] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    counter: Iterator[int] = field(default_factory=itertools.count)

    def add_commit(
        self,
        parents: tuple[str, ...],
        tree: Mapping[str, Entry],
        message: str,
        metadata: Mapping[str, str],
    ) -> CommitRecord:
        order, created = next(self.counter), int(time.time())
        identity = repr((self.name, order, parents, message, sorted(metadata.items()), created))
        made = CommitRecord(
            commit_id=hashlib.sha256(identity.encode()).hexdigest(),
            parents=parents,
            message=message,
            metadata=dict(metadata),
            created=created,
            tree=dict(tree),
            order=order,
        )
        self.commits[made.commit_id] = made
        return made

    def branch(self, name: str) -> Branch:
        if name not in self.branches:
            raise Refusal(404, "branch not found")
        return self.branches[name]

    def resolve(self, ref: str) -> CommitRecord:
        commit_id = self.tags.get(ref, ref)
        if ref in self.branches:
            commit_id = self.branches[ref].commit_id
        if commit_id not in self.commits:
            raise Refusal(404, f"{ref}: not found")
        return self.commits[commit_id]

    def tree(self, ref: str) -> dict[str, Entry]:
        """The objects at a ref; of a branch with what is staged on it."""
        tree: dict[str, Entry | None] = dict(self.resolve(ref).tree)
        if ref in self.branches:
            tree |= self.branches[ref].staged
        return {path: entry for path, entry in tree.items() if entry is not None}

    def create_branch(self, name: str, source: str, *, hidden: bool) -> str:
        with self.lock:
            if name in self.branches:
                raise Refusal(409, "branch already exists")
            commit_id = self.resolve(source).commit_id
            self.branches[name] = Branch(commit_id, hidden)
            return commit_id

    def delete_branch(self, name: str) -> None:
        with self.lock:
            if name == self.default_branch:
                raise Refusal(400, "cannot delete repository default branch")
            self.branch(name)
            del self.branches[name]

    def create_tag(self, name: str, ref: str) -> str:
        with self.lock:
            if name in self.tags:
                raise Refusal(409, "tag already exists")
            self.tags[name] = self.resolve(ref).commit_id
            return self.tags[name]

    def stage(self, branch: str, path: str, entry: Entry | None) -> None:
        with self.lock:
            if entry is None and path not in self.tree(branch):
                raise Refusal(404, "object not found")
            self.branch(branch).staged[path] = entry

    def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> CommitRecord:
        with self.lock:
            target = self.branch(branch)
            head = self.commits[target.commit_id]
            tree = self.tree(branch)
            if tree == head.tree:
                raise Refusal(400, "commit: no changes")
            made = self.add_commit((head.commit_id,), tree, message, metadata)
            target.commit_id, target.staged = made.commit_id, {}
            return made

    def log(self, ref: str, *, first_parent: bool) -> list[CommitRecord]:
        """The ancestors of a ref and itself, newest first."""
        seen: dict[str, CommitRecord] = {}
        waiting = [self.resolve(ref).commit_id]
        while waiting:
            record = self.commits[waiting.pop()]
            if record.commit_id not in seen:
                seen[record.commit_id] = record
                waiting.extend(record.parents[:1] if first_parent else record.parents)
        return sorted(seen.values(), key=lambda record: -record.order)

    def diff(self, left: str, right: str, kind: str) -> dict[str, str]:
        """How the right differs from the left; three dots: from what they have in common."""
        mine, other = self.tree(left), self.tree(right)
        base = self._base(left, right).tree if kind == "three_dot" else mine
        changes = {}
        for path in sorted({*base, *other}):
            before, after = base.get(path), other.get(path)
            if before == after:
                continue
            if kind == "three_dot" and mine.get(path) not in (before, after):
                changes[path] = "conflict"
            elif kind == "three_dot" and mine.get(path) == after:
                continue
            else:
                changes[path] = (
                    "added" if before is None else "removed" if after is None else "changed"
                )
        return changes

    def merge(
        self, source: str, branch: str, message: str, metadata: Mapping[str, str], strategy: str
    ) -> CommitRecord:
        with self.lock:
            target = self.branch(branch)
            if target.staged:
                raise Refusal(400, "uncommitted changes (dirty branch)")
            head, other = self.commits[target.commit_id], self.resolve(source)
            changes = self.diff(branch, other.commit_id, "three_dot")
            conflicts = [path for path, kind in changes.items() if kind == "conflict"]
            if conflicts and not strategy:
                raise Refusal(409, "merge: conflict found")
            tree = dict(head.tree)
            for path in changes:
                if path in conflicts and strategy == "dest-wins":
                    continue
                tree.pop(path, None)
                if path in other.tree:
                    tree[path] = other.tree[path]
            if other in self.log(head.commit_id, first_parent=False):
                raise Refusal(400, "merge: no changes")
            made = self.add_commit((head.commit_id, other.commit_id), tree, message, metadata)
            target.commit_id = made.commit_id
            return made

    def _base(self, left: str, right: str) -> CommitRecord:
        mine = {record.commit_id for record in self.log(left, first_parent=False)}
        shared = [r for r in self.log(right, first_parent=False) if r.commit_id in mine]
        if not shared:
            raise Refusal(400, "no common base")
        return shared[0]
