"""Lets many writers in at once, or one collector of garbage alone.

A writer moves its objects to their final names before a commit names them. A collector
that ran in between would take them for garbage. So writers hold the gate together from
the first object to the commit, and the collector holds it alone. The kernel releases
the gate of a dead process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path


@contextmanager
def _lock(path: Path, kind: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        # Not by closing alone: a child forked meanwhile has the same lock and lives on.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def open_to_writers(root: Path) -> Iterator[None]:
    """Hold the gate of the store in `root` together with other writers."""
    with ExitStack() as held:
        with _turnstile(root):
            held.enter_context(_lock(root / "gate.lock", fcntl.LOCK_SH))
        yield


@contextmanager
def closed_to_writers(root: Path) -> Iterator[None]:
    """Hold the gate of the store in `root` alone; those who are in are waited for."""
    with _turnstile(root), _lock(root / "gate.lock", fcntl.LOCK_EX):
        yield


def _turnstile(root: Path) -> AbstractContextManager[None]:
    # flock is not fair: without this, writers who never stop coming would keep the
    # collector waiting for ever. Who waits for the gate holds it, so that nobody passes.
    return _lock(root / "turnstile.lock", fcntl.LOCK_EX)
