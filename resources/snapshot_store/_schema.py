"""The tables of the refs, and how older files become newer ones."""

import sqlite3
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from resources.snapshot_store._commits import CommitRecord, Commits
from resources.snapshot_store._objects import ObjectFolder

VERSION = 2
"""`PRAGMA user_version` of a file that `upgrade` has seen; 0 is the first schema."""

FIRST_SCHEMA = """
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

# `key` is '/' and the commit id where no key leads to the commit: merges, deleted branches.
_SECOND_SCHEMA = (
    "ALTER TABLE commits ADD COLUMN created TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE commits ADD COLUMN generation INTEGER NOT NULL DEFAULT 1",
    """
    CREATE TABLE parents (
        repository TEXT NOT NULL REFERENCES repositories (name),
        commit_id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        PRIMARY KEY (repository, commit_id, parent_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE tags (
        repository TEXT NOT NULL REFERENCES repositories (name),
        name TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        PRIMARY KEY (repository, name)
    ) STRICT, WITHOUT ROWID
    """,
)


def upgrade(connection: sqlite3.Connection, file: Path) -> None:
    """Bring a file of an older version up to date, in one transaction.

    Raises:
        SnapshotError: A newer version of this program wrote the file.
    """
    version = _version(connection)
    if version == VERSION:
        return
    if version > VERSION:
        raise SnapshotError(
            f"Refs are of version {VERSION} at most. {str(file)!r} has version {version}: a newer "
            "program wrote it. Update this program."
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) < VERSION:  # another process may have been faster
            for statement in _SECOND_SCHEMA:
                connection.execute(statement)
            _fill(connection, Commits(ObjectFolder(file.parent / "objects")))
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _fill(connection: sqlite3.Connection, commits: Commits) -> None:
    """Copy parents and times of all commits from their objects."""
    rows = connection.execute("SELECT repository, commit_id FROM commits").fetchall()
    records = {commit_id: _readable(commits, commit_id) for _, commit_id in rows}
    generations = _generations({i: r.parents for i, r in records.items() if r is not None})
    for repository, commit_id in rows:
        record = records[commit_id]
        if record is None:  # damaged: `fsck` names it, and reading it says what to do
            continue
        connection.execute(
            "UPDATE commits SET created = ?, generation = ? WHERE repository = ? AND commit_id = ?",
            (record.created, generations[commit_id], repository, commit_id),
        )
        connection.executemany(
            "INSERT INTO parents VALUES (?, ?, ?)",
            [(repository, commit_id, parent) for parent in record.parents],
        )


def _readable(commits: Commits, commit_id: str) -> CommitRecord | None:
    try:
        return commits.record(commit_id)
    except SnapshotError:
        return None


def _generations(parents: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Return for each commit the length of the longest way to it."""
    generations: dict[str, int] = {}
    waiting = list(parents)
    while waiting:
        commit_id = waiting[-1]
        known = [parent for parent in parents[commit_id] if parent in parents]
        unknown = [parent for parent in known if parent not in generations]
        if unknown:
            waiting.extend(unknown)
            continue
        waiting.pop()
        generations[commit_id] = 1 + max((generations[parent] for parent in known), default=0)
    return generations
