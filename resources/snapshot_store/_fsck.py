"""Reads everything in the embedded store and says what is wrong.

It changes nothing and locks nobody out. What a collection of garbage removed meanwhile
is not reported.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from resources.snapshot_store import _refs
from resources.snapshot_store._commits import CommitRecord, Commits
from resources.snapshot_store._inventory import Inventory, take_inventory
from resources.snapshot_store._names import content_digest
from resources.snapshot_store._objects import ObjectFolder

_RESTORE_REFS = "Restore refs.sqlite3 from a backup."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        repository: None where the refs as a whole are damaged.
        commit_id: The oldest commit that shows it; None if it is not about one.
        path: The object that is damaged; None if it is not about one.
        what: Sentences for people.
        n_commits: How many commits show the same.
    """

    repository: str | None = None
    commit_id: str | None = None
    path: str | None = None
    what: str
    n_commits: int = 1


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was read, and what is wrong; nothing is if there are no problems."""

    n_repositories: int
    n_commits: int
    n_objects: int
    n_bytes: int
    problems: tuple[Problem, ...]


def examine(root: Path, repository: str | None = None) -> Examination:
    """Read every object that a commit of one repository, or of all, names.

    Each object is read once, whoever names it; 33 bytes of memory remain of it.
    """
    file = root / _refs.FILE_NAME
    with _refs.reading(file) as refs:
        damage = refs.damage()
        repositories = [repository] if repository else refs.repositories()
    problems = [Problem(what=f"refs.sqlite3 is damaged: {d}. {_RESTORE_REFS}") for d in damage]
    examiner = _Examiner(root)
    n_commits = 0
    for name in repositories:
        with _refs.reading(file) as refs, refs.unmoved():
            inventory = take_inventory(refs, name)
        n_commits += len(inventory.created)
        problems += _dangling(inventory)
        found = examiner.examine(inventory)
        with _refs.reading(file) as refs:
            problems += [p for p in found if refs.has_commit(name, str(p.commit_id))]
    return Examination(
        n_repositories=len(repositories),
        n_commits=n_commits,
        n_objects=len(examiner.answers),
        n_bytes=examiner.n_bytes,
        problems=tuple(problems),
    )


def _dangling(inventory: Inventory) -> list[Problem]:
    return [
        Problem(
            repository=inventory.repository,
            commit_id=commit_id,
            what=f"{what} leads to a commit that the repository does not have. {_RESTORE_REFS}",
        )
        for what, commit_id in inventory.dangling()
    ]


class _Examiner:
    """Reads each object once and remembers what it answered."""

    def __init__(self, root: Path) -> None:
        self._objects = ObjectFolder(root / "objects")
        self._commits = Commits(self._objects)
        self._content: dict[str, str] = {}
        self._problems: dict[tuple[str | None, str], Problem] = {}
        self._inventory: Inventory
        self.answers: dict[bytes, str | None] = {}
        self.n_bytes = 0

    def examine(self, inventory: Inventory) -> list[Problem]:
        """Return what is wrong with the commits of a repository and what they hold."""
        self._inventory = inventory
        self._problems = {}
        self._content = {}
        for commit_id in inventory.created:
            try:
                self._require_whole(commit_id)
                record = self._commits.record(commit_id)
                self._check_parents(commit_id, record)
                self._check_tree(commit_id, record)
            except SnapshotError as error:
                self._tell(commit_id, str(error))
        return list(self._problems.values())

    def _check_parents(self, commit_id: str, record: CommitRecord) -> None:
        known = self._inventory.parents.get(commit_id, ())
        if set(known) != set(record.parents):
            self._tell(
                commit_id,
                f"Its parents are {list(record.parents)}; the refs say {list(known)}. "
                f"{_RESTORE_REFS}",
            )
        for parent in record.parents:
            if parent not in self._inventory.created:
                self._tell(commit_id, f"Its parent {parent} is not in the repository.")

    def _check_tree(self, commit_id: str, record: CommitRecord) -> None:
        if record.tree not in self._content:
            self._require_whole(record.tree)
            tree = self._commits.tree(record.tree)
            self._content[record.tree] = content_digest(tree.values())
            for item in tree.values():
                self._check_object(commit_id, item.path, item.sha256, item.size_bytes)
        digest = self._content[record.tree]
        if record.metadata.get("content_sha256", digest) != digest:
            self._tell(commit_id, f"It holds content {digest}, which its metadata deny.")

    def _check_object(self, commit_id: str, path: str, digest: str, size_bytes: int) -> None:
        try:
            self._require_whole(digest)
        except SnapshotError as error:
            self._tell(commit_id, str(error), path)
            return
        found = self._objects.path(digest).stat().st_size
        if found != size_bytes:
            self._tell(commit_id, f"It has {found:,} bytes; the tree says {size_bytes:,}.", path)

    def _require_whole(self, digest: str) -> None:
        key = bytes.fromhex(digest)
        if key not in self.answers:
            try:
                self.n_bytes += self._objects.verify(digest)
                self.answers[key] = None
            except SnapshotError as error:
                self.answers[key] = str(error)
        answer = self.answers[key]
        if answer is not None:
            raise SnapshotError(answer)

    def _tell(self, commit_id: str, what: str, path: str | None = None) -> None:
        """Keep a problem, once for all commits that share it."""
        earlier = self._problems.get((path, what))
        n_commits = earlier.n_commits + 1 if earlier else 1
        first = earlier or Problem(
            repository=self._inventory.repository, commit_id=commit_id, path=path, what=what
        )
        self._problems[path, what] = replace(first, n_commits=n_commits)
