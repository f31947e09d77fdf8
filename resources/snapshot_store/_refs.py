"""The part of the embedded store that changes: one small SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.files import publishing
from automl_assets.core.staging import file_lock
from resources.snapshot_store._commits import CommitRecord
from resources.snapshot_store._file_systems import refuse_network_file_system
from resources.snapshot_store._schema import FIRST_SCHEMA, upgrade

FILE_NAME = "refs.sqlite3"

_ANCESTORS = """
WITH RECURSIVE ancestors (commit_id) AS (
    VALUES (:start)
    UNION
    SELECT parent_id FROM parents JOIN ancestors USING (commit_id)
    WHERE repository = :repository
)
"""

_ANCESTORS_OF_OTHER = """
others (commit_id) AS (
    VALUES (:other)
    UNION
    SELECT parent_id FROM parents JOIN others USING (commit_id)
    WHERE repository = :repository
)
"""


class Refs:
    """Names that point to commits, seen through one open connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def repositories(self) -> list[str]:
        """Return the names of all repositories, sorted."""
        query = "SELECT name FROM repositories ORDER BY name"
        return [name for (name,) in self._connection.execute(query)]

    def add_repository(self, repository: str) -> None:
        """Add a repository, or do nothing if it is there."""
        self._connection.execute("INSERT OR IGNORE INTO repositories VALUES (?)", (repository,))

    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch, sorted by name."""
        query = "SELECT name, commit_id FROM branches WHERE repository = ? ORDER BY name"
        return dict(self._connection.execute(query, (repository,)))

    def delete_branch(self, repository: str, branch: str) -> None:
        """Forget a branch and the keys it has used; the commits stay."""
        self._connection.execute(
            "DELETE FROM branches WHERE repository = ? AND name = ?", (repository, branch)
        )
        # '0' is the character after '/': the range holds what starts with '<branch>/'.
        self._connection.execute(
            "UPDATE commits SET key = '/' || commit_id "
            "WHERE repository = ? AND key >= ? AND key < ?",
            (repository, f"{branch}/", f"{branch}0"),
        )

    def tags(self, repository: str) -> dict[str, str]:
        """Return the commit id of each tag, sorted by name."""
        query = "SELECT name, commit_id FROM tags WHERE repository = ? ORDER BY name"
        return dict(self._connection.execute(query, (repository,)))

    def add_tag(self, repository: str, name: str, commit_id: str) -> None:
        """Record a tag; one that is there stays as it is."""
        self._connection.execute(
            "INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", (repository, name, commit_id)
        )

    def pins(self, repository: str) -> list[tuple[str, str]]:
        """Return owner and commit of each pin."""
        query = "SELECT owner, commit_id FROM pins WHERE repository = ? ORDER BY owner, commit_id"
        return self._connection.execute(query, (repository,)).fetchall()

    def add_pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Record that `owner` needs the commit."""
        self._connection.execute(
            "INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", (repository, commit_id, owner)
        )

    def remove_pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Record that `owner` does not need the commit any more."""
        self._connection.execute(
            "DELETE FROM pins WHERE repository = ? AND commit_id = ? AND owner = ?",
            (repository, commit_id, owner),
        )

    def commit_of_key(self, repository: str, key: str) -> str | None:
        """Return the commit that was written under an idempotency key."""
        query = "SELECT commit_id FROM commits WHERE repository = ? AND key = ?"
        row = self._connection.execute(query, (repository, key)).fetchone()
        return row[0] if row else None

    def commits(self, repository: str) -> dict[str, str]:
        """Return when each commit of a repository was made, the oldest first."""
        query = (
            "SELECT commit_id, created FROM commits WHERE repository = ? "
            "ORDER BY created, commit_id"
        )
        return dict(self._connection.execute(query, (repository,)))

    def parents(self, repository: str) -> list[tuple[str, str]]:
        """Return commit and parent of each step of all histories."""
        query = "SELECT commit_id, parent_id FROM parents WHERE repository = ?"
        return self._connection.execute(query, (repository,)).fetchall()

    def has_commit(self, repository: str, commit_id: str) -> bool:
        """Whether the commit was made in this repository."""
        query = "SELECT 1 FROM commits WHERE repository = ? AND commit_id = ?"
        return self._connection.execute(query, (repository, commit_id)).fetchone() is not None

    def add_commit(
        self, repository: str, branch: str, commit_id: str, record: CommitRecord, key: str | None
    ) -> None:
        """Record a commit and move its branch to it.

        Args:
            key: None for a merge, which has no key of its own.
        """
        self._connection.execute(
            "INSERT INTO commits (repository, key, commit_id, created, generation) VALUES "
            "(:repository, :key, :commit_id, :created, 1 + (SELECT coalesce(max(generation), 0) "
            "FROM commits WHERE repository = :repository AND commit_id IN (:one, :two)))",
            {
                "repository": repository,
                "key": key or f"/{commit_id}",
                "commit_id": commit_id,
                "created": record.created,
                "one": record.parents[0] if record.parents else None,
                "two": record.parents[-1] if record.parents else None,
            },
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO parents VALUES (?, ?, ?)",
            [(repository, commit_id, parent) for parent in record.parents],
        )
        self._connection.execute(
            "INSERT INTO branches VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET commit_id = excluded.commit_id",
            (repository, branch, commit_id),
        )

    def forget_commits(self, repository: str, commit_ids: set[str]) -> None:
        """Remove commits with their keys and parents."""
        rows = [(repository, commit_id) for commit_id in commit_ids]
        for table in ("commits", "parents"):
            self._connection.executemany(
                f"DELETE FROM {table} WHERE repository = ? AND commit_id = ?", rows
            )

    def ancestors(self, repository: str, commit_id: str) -> set[str]:
        """Return a commit and all commits that led to it."""
        rows = self._connection.execute(
            f"{_ANCESTORS} SELECT commit_id FROM ancestors",
            {"repository": repository, "start": commit_id},
        )
        return {ancestor for (ancestor,) in rows}

    def created(self, repository: str, commit_id: str) -> str:
        """Return when a commit was made."""
        query = "SELECT created FROM commits WHERE repository = ? AND commit_id = ?"
        return self._connection.execute(query, (repository, commit_id)).fetchone()[0]

    def log(self, repository: str, start: str, *, limit: int, after: str | None) -> list[str]:
        """Return the commits that led to one, newest first.

        A commit is never older than its parents, so this is also an order in which
        no commit comes before one that was made from it.
        """
        past = "" if after is None else "WHERE (created, commit_id) < (:created, :after)"
        rows = self._connection.execute(
            f"{_ANCESTORS} SELECT commit_id FROM commits JOIN ancestors USING (commit_id) "
            f"{past or 'WHERE true'} AND repository = :repository "
            "ORDER BY created DESC, commit_id DESC LIMIT :limit",
            {
                "repository": repository,
                "start": start,
                "limit": limit,
                "after": after,
                "created": after and self.created(repository, after),
            },
        )
        return [commit_id for (commit_id,) in rows]

    def merge_base(self, repository: str, one: str, two: str) -> str | None:
        """Return the latest common ancestor of two commits.

        Of all common ancestors, one with the longest way from the beginning is an
        ancestor of no other one; the nearest by number of steps may be one.
        """
        row = self._connection.execute(
            f"{_ANCESTORS}, {_ANCESTORS_OF_OTHER} "
            "SELECT commit_id FROM commits JOIN ancestors USING (commit_id) "
            "JOIN others USING (commit_id) WHERE repository = :repository "
            "ORDER BY generation DESC, commit_id LIMIT 1",
            {"repository": repository, "start": one, "other": two},
        ).fetchone()
        return row[0] if row else None

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """See all of the block as of one moment, whatever others write meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with its file, in its words."""
        rows = self._connection.execute("PRAGMA quick_check")
        return [text for (text,) in rows if text != "ok"]


@contextmanager
def reading(file: Path) -> Iterator[Refs]:
    """Open the refs; each call has its own connection, so threads and forks are safe."""
    _ensure(file)
    connection = _connect(file)
    try:
        upgrade(connection, file)
        yield Refs(connection)
    finally:
        connection.close()


@contextmanager
def writing(file: Path) -> Iterator[Refs]:
    """Open the refs for changes that become durable together, one writer at a time."""
    with reading(file) as refs:
        connection = refs._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield refs
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back on a full disk
                connection.rollback()
            raise


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _ensure(file: Path) -> None:
    """Make the database under its final name in one step, so that nobody sees half of it."""
    refuse_network_file_system(file.parent)
    if file.exists():
        return
    with file_lock(file.with_suffix(".lock")):
        if file.exists():
            return
        with publishing(file) as temporary:
            connection = sqlite3.connect(temporary)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(FIRST_SCHEMA)
            connection.close()
