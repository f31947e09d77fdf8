"""The part of the embedded store that changes: one small SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.files import publishing
from resources.snapshot_store._objects import file_lock

_SCHEMA = """
CREATE TABLE repositories (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE commits (
    repository TEXT NOT NULL REFERENCES repositories (name),
    key TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    UNIQUE (repository, key)
) STRICT;
CREATE INDEX commits_by_id ON commits (repository, commit_id);
CREATE TABLE branches (
    repository TEXT NOT NULL REFERENCES repositories (name),
    name TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT;
CREATE TABLE pins (
    repository TEXT NOT NULL REFERENCES repositories (name),
    commit_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (repository, commit_id, owner)
) STRICT;
"""


class Refs:
    """Names that point to commits, seen through one open connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def repositories(self) -> list[str]:
        """Return the names of all repositories."""
        return [name for (name,) in self._connection.execute("SELECT name FROM repositories")]

    def add_repository(self, repository: str) -> None:
        """Add a repository, or do nothing if it is there."""
        self._connection.execute("INSERT OR IGNORE INTO repositories VALUES (?)", (repository,))

    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch."""
        query = "SELECT name, commit_id FROM branches WHERE repository = ?"
        return dict(self._connection.execute(query, (repository,)))

    def commit_of_key(self, repository: str, key: str) -> str | None:
        """Return the commit that was written under an idempotency key."""
        query = "SELECT commit_id FROM commits WHERE repository = ? AND key = ?"
        row = self._connection.execute(query, (repository, key)).fetchone()
        return row[0] if row else None

    def has_commit(self, repository: str, commit_id: str) -> bool:
        """Whether the commit was made in this repository."""
        query = "SELECT 1 FROM commits WHERE repository = ? AND commit_id = ?"
        return self._connection.execute(query, (repository, commit_id)).fetchone() is not None

    def add_commit(self, repository: str, branch: str, key: str, commit_id: str) -> None:
        """Record a commit and move its branch to it."""
        self._connection.execute(
            "INSERT INTO commits VALUES (?, ?, ?)", (repository, key, commit_id)
        )
        self._connection.execute(
            "INSERT INTO branches VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET commit_id = excluded.commit_id",
            (repository, branch, commit_id),
        )

    def add_pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Record that `owner` needs the commit."""
        self._connection.execute(
            "INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", (repository, commit_id, owner)
        )


@contextmanager
def reading(file: Path) -> Iterator[Refs]:
    """Open the refs; each call has its own connection, so threads and forks are safe."""
    _ensure(file)
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
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
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")


def _ensure(file: Path) -> None:
    """Make the database under its final name in one step, so that nobody sees half of it."""
    if file.exists():
        return
    with file_lock(file.with_suffix(".lock")):
        if file.exists():
            return
        with publishing(file) as temporary:
            connection = sqlite3.connect(temporary)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.close()
