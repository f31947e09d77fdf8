"""A snapshot store in one folder: no server, same promises as lakeFS."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit, ObjectInfo, SnapshotStore, WriteTransaction
from resources.snapshot_store import _refs
from resources.snapshot_store._names import (
    canonical_json,
    check_branch_name,
    check_repository_name,
    content_digest,
    is_commit_id,
    near_names,
)
from resources.snapshot_store._objects import ObjectFolder, Staging, missing_object
from resources.snapshot_store._transaction import StagedTransaction, storage_errors

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
        with self._reading(repository) as refs:
            commit_id = refs.commit_of_key(repository, key)
        return self._commit(repository, commit_id) if commit_id else None

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
        with self._reading(repository):
            pass  # an unknown repository is refused before any work is done
        with storage_errors(self._root):
            staging = Staging(self._root / "tmp")
        with staging:
            transaction = StagedTransaction(staging.folder)
            yield transaction
            commit_id = self._publish(
                transaction,
                repository=repository,
                branch=branch,
                message=message,
                metadata={**metadata, "key": key},
            )
            transaction.commit = self._commit(repository, commit_id)

    def resolve(self, repository: str, ref: str) -> Commit:
        """Return the commit of a commit id or branch name; see the port."""
        if is_commit_id(ref):
            self._check_commit(repository, ref)
            return self._commit(repository, ref)
        with self._reading(repository) as refs:
            branches = refs.branches(repository)
        if ref not in branches:
            raise SnapshotError(
                f"A ref is a commit id or a branch of repository {repository!r}. "
                f"Found {ref!r}. {near_names(ref, branches)}"
            )
        return self._commit(repository, branches[ref])

    def objects(self, repository: str, commit_id: str) -> list[ObjectInfo]:
        """List all objects at a commit, sorted by path."""
        self._check_commit(repository, commit_id)
        tree = self._tree(commit_id)
        return [tree[path] for path in sorted(tree)]

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

    def pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Keep a commit from garbage collection on behalf of `owner`; idempotent."""
        self._check_commit(repository, commit_id)
        with storage_errors(self._root), _refs.writing(self._refs_file) as refs:
            refs.add_pin(repository, commit_id, owner)

    @property
    def _root(self) -> Path:
        return Path(self.folder).absolute()

    @property
    def _refs_file(self) -> Path:
        return self._root / "refs.sqlite3"

    @property
    def _objects(self) -> ObjectFolder:
        return ObjectFolder(self._root / "objects")

    @contextmanager
    def _reading(self, repository: str) -> Iterator[_refs.Refs]:
        with storage_errors(self._root), _refs.reading(self._refs_file) as refs:
            known = refs.repositories()
            if repository not in known:
                raise SnapshotError(
                    f"A repository must be made before it is used. Found no {repository!r} in "
                    f"{str(self._root)!r}. {near_names(repository, known)}"
                )
            yield refs

    def _publish(
        self,
        transaction: "StagedTransaction",
        *,
        repository: str,
        branch: str,
        message: str,
        metadata: Mapping[str, str],
    ) -> str:
        """Make the objects durable, then the commit, then move the branch; return the commit id."""
        key = metadata["key"]
        with storage_errors(self._root):
            with _refs.reading(self._refs_file) as refs:
                if known := refs.commit_of_key(repository, key):
                    return known
            self._objects.adopt(transaction.files)
            with _refs.writing(self._refs_file) as refs:
                if known := refs.commit_of_key(repository, key):
                    return known
                head = refs.branches(repository).get(branch)
                tree = (self._tree(head) if head else {}) | transaction.entries
                tree_id = transaction.stage(canonical_json([asdict(tree[p]) for p in sorted(tree)]))
                commit = {
                    "created": datetime.now(UTC).isoformat(),
                    "message": message,
                    "metadata": dict(metadata),
                    "parents": [head] if head else [],
                    "tree": tree_id,
                }
                commit_id = transaction.stage(canonical_json(commit))
                self._objects.adopt({i: transaction.files[i] for i in (tree_id, commit_id)})
                refs.add_commit(repository, branch, key, commit_id)
        return commit_id

    def _commit(self, repository: str, commit_id: str) -> Commit:
        record = self._record(commit_id)
        return Commit(
            repository=repository,
            commit_id=commit_id,
            message=record["message"],
            metadata=record["metadata"],
            content_sha256=content_digest(self._tree(commit_id).values()),
            parents=tuple(record["parents"]),
            created_at=record["created"],
        )

    def _record(self, commit_id: str) -> dict[str, Any]:
        return json.loads(self._objects.read(commit_id))

    def _tree(self, commit_id: str) -> dict[str, ObjectInfo]:
        entries = json.loads(self._objects.read(self._record(commit_id)["tree"]))
        return {entry["path"]: ObjectInfo(**entry) for entry in entries}

    def _check_commit(self, repository: str, commit_id: str) -> None:
        if not is_commit_id(commit_id):
            raise SnapshotError(
                "Data is read by commit id, 64 hexadecimal digits, because branches move. "
                f"Found {commit_id!r}. Resolve it to a commit first."
            )
        with self._reading(repository) as refs:
            if not refs.has_commit(repository, commit_id):
                raise SnapshotError(
                    f"A commit belongs to one repository. {repository!r} has no commit "
                    f"{commit_id}. Check the id, and that this is the store it was written to."
                )

    def _object(self, repository: str, commit_id: str, path: str) -> ObjectInfo:
        self._check_commit(repository, commit_id)
        tree = self._tree(commit_id)
        if path not in tree:
            raise SnapshotError(
                f"A commit holds the objects that were put into it. Commit {commit_id[:10]} of "
                f"{repository!r} holds no {path!r}. {near_names(path, tree)}"
            )
        return tree[path]
