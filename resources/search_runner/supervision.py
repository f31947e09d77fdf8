"""Who supervises a search: a process, told by a file and a lock that the kernel frees."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.errors import ServiceError
from resources.processes import is_alive, pid_of, process_stamp

ADOPTION_SECONDS = 20.0
"""How long a worker waits for another supervisor after its own died."""

LOOK_SECONDS = 0.5
"""Between two looks at whether somebody supervises."""


def names_live_process(file: Path) -> bool:
    """Tell whether the process whose stamp a file holds is still there."""
    try:
        return is_alive(file.read_text())
    except (OSError, ValueError):
        return False


def write_stamp(file: Path, pid: int) -> None:
    """Write down which process this is, if it is still there."""
    file.write_text(process_stamp(pid) or "")


@contextmanager
def supervising(folder: Path) -> Iterator[Path]:
    """Supervise a search; refuse where another process does. Yields the file that says who.

    Raises:
        ServiceError: Another process supervises this search.
    """
    path = folder / "supervisor.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ServiceError(
                f"A search has one supervisor, but process {pid_of(file.read())} is "
                f"running this one ({folder.name}). Wait for it, or end it and resume."
            ) from error
        file.truncate(0)
        file.write(process_stamp(os.getpid()) or "")
        file.flush()
        yield path


class Supervision:
    """Whether a worker is supervised, as the worker sees it.

    Args:
        file: Names the supervisor; None: nobody needs to supervise.
        patience: Seconds that it waits for another supervisor.
    """

    def __init__(self, file: Path | None, *, patience: float = ADOPTION_SECONDS) -> None:
        self._file, self._patience = file, patience
        self._last_seen = time.monotonic()
        self._next_look = 0.0

    def is_there(self) -> bool:
        """Tell whether somebody supervises now."""
        is_there = self._file is None or names_live_process(self._file)
        if is_there:
            self._last_seen = time.monotonic()
        return is_there

    def is_given_up(self) -> bool:
        """Tell whether nobody has supervised for so long that nobody will; cheap to ask often."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS
        return not self.is_there() and now - self._last_seen > self._patience

    def is_resumed(self) -> bool:
        """Wait for a supervisor if there is none now; False if none came."""
        while not self.is_there():
            if self.is_given_up():
                return False
            time.sleep(LOOK_SECONDS / 5)
        return True
