"""A snapshot store in one folder: no server, same promises as lakeFS."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.ports import Change, Commit, ObjectInfo, SnapshotStore, WriteTransaction
from automl_assets.core.staging import Staging
from resources.snapshot_store import _fsck, _gc, _refs
from resources.snapshot_store._commits import Commits
from resources.snapshot_store._merge import changes
from resources.snapshot_store._names import (
    branch_of_key,
    check_branch_name,
    check_key,
    check_repository_name,
    check_tag_name,
    is_commit_id,
    near_names,
)
from resources.snapshot_store._objects import ObjectFolder, missing_object
from resources.snapshot_store._publish import publish, publish_merge
from resources.snapshot_store._transaction import StagedTransaction, copy_errors, storage_errors

if TYPE_CHECKING:
    import polars as pl


class EmbeddedSnapshotStore(dg.ConfigurableResource, SnapshotStore):
    """Tables under version control in a local folder.

    Tables, trees and commits are immutable files named by their digest; one
    SQLite file holds what moves. The folder must be on a local disk: SQLite's
    locks do not hold on network file systems.
    """

    folder: str = Field(description="Where everything is kept; made at the first use.")

    def ensure_repository(self, repository: str) -> None:
        """Make the repository if it is not there; the second call does nothing."""
        check_repository_name(repository)
        with storage_errors(self._root), _refs.writing(self._refs_file) as refs:
            refs.add_repository(repository)

    def find(self, repository: str, key: str) -> Commit | None:
        """Return the commit that was written under an idempotency key, if there is one."""
        branch_of_key(key)
        with self._reading(repository) as refs:
            commit_id = refs.commit_of_key(repository, key)
        return self._commits.commit(repository, commit_id) if commit_id else None

    @contextmanager
    def write(
        self,
        repository: str,
        *,
        branch: str,
        key: str,
        message: str,
        metadata: Mapping[str, str],
    ) -> Iterator[WriteTransaction]:
        """Open a transaction on a branch; see the port."""
        check_branch_name(branch)
        check_key(key, branch)
        with self._reading(repository):
            pass  # an unknown repository is refused before any work is done
        with self._staging() as staging:
            transaction = StagedTransaction(staging.folder)
            yield transaction
            with storage_errors(self._root):
                commit_id = publish(
                    self._root,
                    transaction,
                    repository=repository,
                    branch=branch,
                    message=message,
                    metadata={**metadata, "key": key},
                )
            transaction.commit = self._commits.commit(repository, commit_id)

    def resolve(self, repository: str, ref: str) -> Commit:
        """Return the commit of a commit id, branch name or tag name; see the port."""
        return self._commits.commit(repository, self._commit_id(repository, ref))

    def objects(self, repository: str, commit_id: str, prefix: str = "") -> list[ObjectInfo]:
        """List the objects at a commit whose path starts with `prefix`, sorted by path."""
        self._check_commit(repository, commit_id)
        tree = self._commits.tree_of(commit_id)
        return [tree[path] for path in sorted(tree) if path.startswith(prefix)]

    def scan(self, repository: str, commit_id: str, path: str) -> "pl.LazyFrame":
        """Open a Parquet object lazily; see the port."""
        import polars as pl

        file = self._objects.path(self._object(repository, commit_id, path).sha256)
        if not file.exists():
            raise SnapshotError(missing_object(file))
        return pl.scan_parquet(file, glob=False, hive_partitioning=False)

    def read_bytes(self, repository: str, commit_id: str, path: str) -> bytes:
        """Read a small object whole; its digest is verified."""
        return self._objects.read(self._object(repository, commit_id, path).sha256)

    def download(self, repository: str, commit_id: str, path: str, target: Path) -> None:
        """Copy an object of any size to a new local file, in pieces; see the port."""
        item = self._object(repository, commit_id, path)
        with copy_errors(target, item.size_bytes):
            self._objects.copy(item.sha256, target)

    def read_sha256(self, repository: str, commit_id: str, path: str) -> str | None:
        """Return the SHA-256 of an object's bytes as they are now; see the port."""
        file = self._objects.path(self._object(repository, commit_id, path).sha256)
        with storage_errors(self._root):
            return sha256_file(file) if file.exists() else None

    def log(
        self, repository: str, ref: str, *, limit: int = 100, after: str | None = None
    ) -> list[Commit]:
        """Return the commits that led to a ref, newest first."""
        start = self._commit_id(repository, ref)
        if after is not None:
            self._check_commit(repository, after)
        with self._reading(repository) as refs:
            commit_ids = refs.log(repository, start, limit=limit, after=after)
        return [self._commits.commit(repository, commit_id) for commit_id in commit_ids]

    def diff(self, repository: str, left: str, right: str) -> list[Change]:
        """Return how the objects at ref `right` differ from those at ref `left`."""
        commit_ids = [self._commit_id(repository, ref) for ref in (left, right)]
        before, after = (self._commits.tree_of(commit_id) for commit_id in commit_ids)
        return changes(before, after)

    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch, sorted by name."""
        with self._reading(repository) as refs:
            return refs.branches(repository)

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch and forget its keys; its commits can be read until `gc`."""
        with self._writing(repository) as refs:
            refs.delete_branch(repository, branch)

    def tag(self, repository: str, name: str, commit_id: str) -> None:
        """Name a commit for good; see the port."""
        check_tag_name(name)
        with self._writing(repository) as refs:
            self._require(refs, repository, commit_id)
            refs.add_tag(repository, name, commit_id)
            held = refs.tags(repository)[name]
        if held != commit_id:
            raise SnapshotError(
                f"A tag names one commit for good. {name!r} of repository {repository!r} names "
                f"{held}, not {commit_id}. Choose another name."
            )

    def tags(self, repository: str) -> dict[str, str]:
        """Return the commit id of each tag, sorted by name."""
        with self._reading(repository) as refs:
            return refs.tags(repository)

    def merge(self, repository: str, *, source: str, destination: str, message: str) -> Commit:
        """Bring the changes of a branch into another one, made if it is not there."""
        check_branch_name(destination)
        with self._reading(repository):
            pass
        with self._staging() as staging, storage_errors(self._root):
            commit_id = publish_merge(
                self._root,
                StagedTransaction(staging.folder),
                repository=repository,
                source=source,
                destination=destination,
                message=message,
            )
        return self._commits.commit(repository, commit_id)

    def pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Keep a commit from garbage collection on behalf of `owner`; idempotent."""
        with self._writing(repository) as refs:
            self._require(refs, repository, commit_id)
            refs.add_pin(repository, commit_id, owner)

    def unpin(self, repository: str, commit_id: str, owner: str) -> None:
        """Release what `owner` pinned; others' pins of the commit stay. Idempotent."""
        with self._writing(repository) as refs:
            refs.remove_pin(repository, commit_id, owner)

    def fsck(self, repository: str | None = None) -> _fsck.Examination:
        """Read every object of one repository, or of all, and say what is wrong."""
        with storage_errors(self._root):
            if repository is not None:
                with self._reading(repository):
                    pass
            return _fsck.examine(self._root, repository)

    def collect_garbage(
        self, *, expire_before: datetime | None = None, dry_run: bool = False
    ) -> _gc.Garbage:
        """Remove what no branch, tag or pin needs; see `_gc.collect`."""
        with storage_errors(self._root):
            return _gc.collect(self._root, expire_before=expire_before, dry_run=dry_run)

    @property
    def _root(self) -> Path:
        return Path(self.folder).absolute()

    @property
    def _refs_file(self) -> Path:
        return self._root / _refs.FILE_NAME

    @property
    def _objects(self) -> ObjectFolder:
        return ObjectFolder(self._root / "objects")

    @property
    def _commits(self) -> Commits:
        return Commits(self._objects)

    def _staging(self) -> Staging:
        with storage_errors(self._root):
            return Staging(self._root / "tmp")

    @contextmanager
    def _reading(self, repository: str) -> Iterator[_refs.Refs]:
        with storage_errors(self._root), _refs.reading(self._refs_file) as refs:
            self._require_repository(refs, repository)
            yield refs

    @contextmanager
    def _writing(self, repository: str) -> Iterator[_refs.Refs]:
        with storage_errors(self._root), _refs.writing(self._refs_file) as refs:
            self._require_repository(refs, repository)
            yield refs

    def _require_repository(self, refs: _refs.Refs, repository: str) -> None:
        known = refs.repositories()
        if repository not in known:
            raise SnapshotError(
                f"A repository must be made before it is used. Found no {repository!r} in "
                f"{str(self._root)!r}. {near_names(repository, known)}"
            )

    def _require(self, refs: _refs.Refs, repository: str, commit_id: str) -> None:
        if not is_commit_id(commit_id):
            raise SnapshotError(
                "Data is read by commit id, 64 hexadecimal digits, because branches move. "
                f"Found {commit_id!r}. Resolve it to a commit first."
            )
        if not refs.has_commit(repository, commit_id):
            raise SnapshotError(
                f"A commit belongs to one repository. {repository!r} has no commit "
                f"{commit_id}. Check the id, and that this is the store it was written to."
            )

    def _check_commit(self, repository: str, commit_id: str) -> None:
        with self._reading(repository) as refs:
            self._require(refs, repository, commit_id)

    def _commit_id(self, repository: str, ref: str) -> str:
        """Return the commit id of a ref; a branch is seen before a tag of the same name."""
        with self._reading(repository) as refs:
            if is_commit_id(ref):
                self._require(refs, repository, ref)
                return ref
            known = refs.tags(repository) | refs.branches(repository)
        if ref not in known:
            raise SnapshotError(
                f"A ref is a commit id, a branch or a tag of repository {repository!r}. "
                f"Found {ref!r}. {near_names(ref, known)}"
            )
        return known[ref]

    def _object(self, repository: str, commit_id: str, path: str) -> ObjectInfo:
        self._check_commit(repository, commit_id)
        tree = self._commits.tree_of(commit_id)
        if path not in tree:
            raise SnapshotError(
                f"A commit holds the objects that were put into it. Commit {commit_id[:10]} of "
                f"{repository!r} holds no {path!r}. {near_names(path, tree)}"
            )
        return tree[path]
