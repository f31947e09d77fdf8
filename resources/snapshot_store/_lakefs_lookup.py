"""Repositories, refs, commits and objects as users know them, found on a lakeFS server."""

from collections.abc import Iterator
from typing import NoReturn

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit, ObjectInfo
from resources.snapshot_store._lakefs_answers import CONFLICT, Refused, Server
from resources.snapshot_store._lakefs_client import CommitRecord, ControlPlane
from resources.snapshot_store._lakefs_names import (
    BASE,
    CONTENT,
    EMPTY_BRANCH,
    KEY,
    check_lakefs_repository,
    is_own_branch,
)
from resources.snapshot_store._lakefs_publish import find_commit
from resources.snapshot_store._lakefs_transaction import digest_of_objects
from resources.snapshot_store._names import is_commit_id, near_names


class Lookup:
    """What is on the server, without the first commit of a repository, which holds nothing.

    That commit is where new branches start. A branch that is still there is told as
    if it were not made yet, so that lakeFS and a folder answer alike.
    """

    def __init__(self, server: Server, control: ControlPlane) -> None:
        self._server = server
        self._control = control
        self._roots: dict[str, str] = {}

    def root(self, repository: str) -> str | None:
        """Return the commit that holds nothing; None where nobody marked it.

        Raises:
            SnapshotError: There is no such repository.
        """
        if repository not in self._roots:
            found = self._control.branch(repository, EMPTY_BRANCH) if repository else None
            if found is None:
                if not repository or self._control.default_branch(repository) is None:
                    known = self._control.repositories()
                    raise SnapshotError(
                        f"A repository must be made before it is used. Found no {repository!r} at "
                        f"{self._server.endpoint}. {near_names(repository, known)}"
                    )
                return None
            self._roots[repository] = found
        return self._roots[repository]

    def first_commit(self, repository: str) -> str:
        """Return the commit that holds nothing, where new branches start."""
        self._roots.pop(repository, None)  # the repository may have been made anew meanwhile
        found = self.root(repository)
        if found is None:
            raise SnapshotError(
                "A repository that is written to has a branch 'automl-empty' at its first commit. "
                f"{repository!r} has none. Let the platform prepare it: ensure_repository."
            )
        return found

    def ensure_repository(self, repository: str, namespace: str) -> None:
        """Make a repository and mark its first commit, where that is not done."""
        check_lakefs_repository(repository)
        if self._control.branch(repository, EMPTY_BRANCH) is not None:
            return
        default = self._control.default_branch(repository)
        if default is not None:
            self._mark_first_commit(repository, default)
            return
        try:
            # As the default branch nobody can delete it, and people can delete all others.
            self._control.create_repository(repository, namespace, EMPTY_BRANCH)
        except Refused as error:
            what = f"Making repository {repository!r} in {namespace!r}"
            if error.status != CONFLICT:
                raise self._server.refused(what, error) from error
            default = self._control.default_branch(repository)
            if default is None:  # the namespace is another repository's
                raise self._server.refused(what, error) from error
            if default != EMPTY_BRANCH:
                self._mark_first_commit(repository, default)

    def find(self, repository: str, branch: str, key: str) -> Commit | None:
        """Return the commit with an idempotency key on a branch, if there are both."""
        self.root(repository)
        record = find_commit(self._control, repository, branch, key)
        return self.commit(repository, record) if record else None

    def head(self, repository: str, branch: str) -> str | None:
        """Return the commit id of a branch's head; None if there is none, or nothing on it."""
        root = self.root(repository)
        if branch in ("", ".", "..") or is_own_branch(branch):
            return None
        found = self._control.branch(repository, branch)
        return None if found == root else found

    def heads(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch that has one, sorted by name."""
        root = self.root(repository)
        listed = self._control.branches(repository)
        return {
            name: commit_id
            for name, commit_id in sorted(listed.items())
            if commit_id != root and not is_own_branch(name)
        }

    def resolve(self, repository: str, ref: str) -> CommitRecord:
        """Return the commit of a commit id, branch name or tag name."""
        if is_commit_id(ref):
            return self.record(repository, ref)
        commit_id = self.head(repository, ref)
        if commit_id is None and ref not in ("", ".", ".."):
            commit_id = self._control.tag(repository, ref)
        if commit_id is None:
            known = {**self.heads(repository), **self._control.tags(repository)}
            self.unknown_ref(repository, ref, "commit id, branch or tag", known)
        return self.record(repository, commit_id)

    def record(self, repository: str, commit_id: str) -> CommitRecord:
        """Return the commit with an id.

        Raises:
            SnapshotError: It is no id, or the repository has no such commit.
        """
        if not is_commit_id(commit_id):
            raise SnapshotError(
                "Data is read by commit id, 64 hexadecimal digits, because branches move. "
                f"Found {commit_id!r}. Resolve it to a commit first."
            )
        self.root(repository)
        found = self._control.get_commit(repository, commit_id)
        if found is None:
            raise SnapshotError(
                f"A commit belongs to one repository. {repository!r} has no commit {commit_id}. "
                "Check the id, and that this is the server it was written to."
            )
        return found

    def commit(self, repository: str, record: CommitRecord) -> Commit:
        """Return a commit with the digest of what it holds.

        Its own metadata tells the digest, unless it is a merge: then others may have
        changed the branch between the transaction's begin and its end.
        """
        parents = tuple(p for p in record.parents if p != self.root(repository))
        metadata = {key: value for key, value in record.metadata.items() if key != BASE}
        if KEY in metadata and BASE in record.metadata:
            parents = tuple(p for p in record.parents[:1] if p in parents)
        if CONTENT in metadata and record.parents[:1] == (record.metadata.get(BASE),):
            content = metadata[CONTENT]
        else:
            content = digest_of_objects(self._control.objects(repository, record.commit_id))
            if CONTENT in metadata:
                metadata[CONTENT] = content
        return Commit(
            repository=repository,
            commit_id=record.commit_id,
            message=record.message,
            metadata=metadata,
            content_sha256=content,
            parents=parents,
            created_at=record.created_at,
        )

    def log(self, repository: str, start: str) -> Iterator[CommitRecord]:
        """Yield the commits that led to one, newest first.

        A transaction's commit that reached its branch by a merge is told once: as the merge.
        """
        root, merged = self.root(repository), set[str]()
        for record in self._control.log(repository, start, first_parent=False):
            if BASE in record.metadata:
                merged.update(record.parents[1:])
            if record.commit_id != root and record.commit_id not in merged:
                yield record

    def object(self, repository: str, commit_id: str, path: str) -> ObjectInfo:
        """Return an object at a commit.

        Raises:
            SnapshotError: No such commit or path; the message lists near paths.
        """
        self.record(repository, commit_id)
        found = self._control.stat(repository, commit_id, path) if path else None
        if found is None:
            known = [item.path for item in self._control.objects(repository, commit_id)]
            raise SnapshotError(
                f"A commit holds the objects that were put into it. Commit {commit_id[:10]} of "
                f"{repository!r} holds no {path!r}. {near_names(path, known)}"
            )
        return found

    def unknown_ref(
        self, repository: str, ref: str, kind: str, known: "dict[str, str] | None" = None
    ) -> NoReturn:
        """Raise for a ref that is not there."""
        names = self.heads(repository) if known is None else known
        raise SnapshotError(
            f"A ref is a {kind} of repository {repository!r}. Found {ref!r}. "
            f"{near_names(ref, names)}"
        )

    def _mark_first_commit(self, repository: str, default: str) -> None:
        *_, first = self._control.log(repository, default, first_parent=True)
        if next(self._control.objects(repository, first.commit_id), None) is not None:
            raise SnapshotError(
                "A repository must begin with an empty commit, from which new branches start. "
                f"The first commit of {repository!r}, {first.commit_id[:10]}, holds objects. "
                "Choose another repository."
            )
        try:
            self._control.create_branch(repository, EMPTY_BRANCH, first.commit_id, hidden=True)
        except Refused as error:
            if error.status != CONFLICT:
                raise self._server.refused(f"Making branch {EMPTY_BRANCH!r}", error) from error
