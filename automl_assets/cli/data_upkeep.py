"""`automl data fsck` and `gc`: the embedded snapshot store is whole, and holds no garbage."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

from automl_assets.core.errors import RequestError
from automl_assets.core.staging import sweep
from automl_assets.settings import Settings

if TYPE_CHECKING:
    from resources.snapshot_store._fsck import Problem
    from resources.snapshot_store.embedded import EmbeddedSnapshotStore

_LAKEFS_INSTEAD = {
    "fsck": "This program verifies the digest of all bytes it reads from there; look into a "
    "repository with `lakectl log` and `lakectl fs ls` (https://docs.lakefs.io/reference/cli/)",
    "gc": "Set its rules with `lakectl gc set-config`, run its garbage collection job "
    "(https://docs.lakefs.io/howto/garbage-collection/gc/), and delete old branches with `lakectl "
    "branch delete`, but none whose name begins with `keep-`, because models were made from their "
    "data, or with `automl-`",
}
_EXIT_PROBLEMS = 1
_N_SHOWN = 100
_AGE = re.compile(r"([1-9][0-9]{0,4})([hdw])", re.ASCII)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def check_store(repository: str | None) -> None:
    """Read every object of the embedded store; print what is wrong and exit 1 if anything is."""
    store = _embedded_store("fsck")
    if store is None:
        return
    found = store.fsck(repository)
    for problem in found.problems[:_N_SHOWN]:
        typer.echo(f"{_place(problem)}: {problem.what}")
    if len(found.problems) > _N_SHOWN:
        typer.echo(f"and {len(found.problems) - _N_SHOWN:,} more problems")
    typer.echo(
        f"{found.n_repositories:,} repositories, {found.n_commits:,} commits, "
        f"{found.n_objects:,} objects, {_size(found.n_bytes)} read: "
        f"{len(found.problems):,} problems"
    )
    if found.problems:
        raise typer.Exit(_EXIT_PROBLEMS)


def collect_garbage(*, expire: str | None, dry_run: bool) -> None:
    """Remove from the embedded store what nothing needs, and print what it was.

    Args:
        expire: Age such as `90d`; branches of requests whose head is older go first.
        dry_run: Only print what would be removed.
    """
    before = None if expire is None else datetime.now(UTC) - _age(expire)
    store = _embedded_store("gc")
    if store is None:
        return
    garbage = store.collect_garbage(expire_before=before, dry_run=dry_run)
    left = sweep(Settings().scratch_folder, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for branch in garbage.branches:
        typer.echo(f"{verb} branch {branch}")
    n_folders = garbage.leftovers.n_folders + left.n_folders
    n_left_bytes = garbage.leftovers.n_bytes + left.n_bytes
    typer.echo(
        f"{verb} {garbage.n_commits:,} commits, {garbage.n_objects:,} objects "
        f"({_size(garbage.n_bytes)}) and {n_folders:,} folders of dead processes "
        f"({_size(n_left_bytes)}); {garbage.n_kept_objects:,} objects are needed"
    )


def _embedded_store(command: str) -> "EmbeddedSnapshotStore | None":
    """Return the store of the home, or None, told to the user, if there is none yet."""
    settings = Settings()
    if settings.uses_lakefs:
        raise RequestError(
            f"`automl data {command}` is for the snapshot store in the home. "
            "Variables AUTOML_LAKEFS_… are set, and lakeFS keeps its own house. "
            f"{_LAKEFS_INSTEAD[command]}."
        )
    if not settings.store_folder.exists():
        typer.echo(f"There is no snapshot store in {str(settings.store_folder)!r} yet.")
        return None
    from resources.snapshot_store.embedded import EmbeddedSnapshotStore

    return EmbeddedSnapshotStore(folder=str(settings.store_folder))


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if match is None:
        raise RequestError(
            "`--expire` is an age: a whole number and h, d or w for hours, days or weeks. "
            f"Found {text!r}. Write it as 90d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _place(problem: "Problem") -> str:
    parts = [problem.repository, problem.commit_id, problem.path]
    place = " ".join(part for part in parts if part) or "refs"
    others = f" and {problem.n_commits - 1:,} more commits" if problem.n_commits > 1 else ""
    return place + others


def _size(n_bytes: int) -> str:
    size, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"
