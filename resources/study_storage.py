"""Optuna's storage on one machine: one SQLite file for each study, beside its candidates."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from automl_assets.core.ports import StudyStorage

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_T = TypeVar("_T")

_PREFIX = "sqlite:///"

PATIENCE_SECONDS = 60.0
"""How long a storage may be away. Half a second ended all workers of Optuna's own loop."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

logger = logging.getLogger("automl.storage")


@dataclass(frozen=True)
class SQLiteStudyStorage(StudyStorage):
    """One folder a study: `study.db`, its lock, its candidates and its workers' logs.

    Good for a few workers on one machine and a local disk: SQLite must not be
    on a network file system.
    """

    folder: Path

    def study_folder(self, study_name: str) -> Path:
        """Return the folder of a study; it may not exist yet."""
        return self.folder / study_name

    def url(self, study_name: str) -> str:
        """Return the storage URL of a study, as Optuna takes it."""
        folder = self.study_folder(study_name)
        folder.mkdir(parents=True, exist_ok=True)
        return f"{_PREFIX}{folder / 'study.db'}"


def open_storage(url: str) -> "RDBStorage":
    """Open a storage by URL; writers wait up to 60 s for each other."""
    from optuna.storages import RDBStorage

    arguments = {"timeout": 60} if url.startswith(_PREFIX) else {}
    return RDBStorage(url, engine_kwargs={"connect_args": arguments})


@contextmanager
def storage_lock(url: str, name: str = "lock") -> Iterator[None]:
    """Hold a study's lock; the kernel frees it when its holder dies.

    Args:
        url: Storage URL of a study on SQLite.
        name: Which lock of the study.
    """
    path = Path(url.removeprefix(_PREFIX)).with_name(f"study.{name}")
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def try_lock(url: str, name: str) -> Iterator[bool]:
    """Hold one of a study's locks if nobody else does; yields whether it is held.

    Args:
        url: Storage URL of a study on SQLite.
        name: Which lock of the study.
    """
    path = Path(url.removeprefix(_PREFIX)).with_name(f"study.{name}")
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def patiently(
    call: Callable[[], _T],
    *,
    again: Callable[[], _T] | None = None,
    seconds: float = PATIENCE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Call a storage, and again for some time while it fails, with growing pauses.

    Args:
        call: It must not hold a lock between two calls.
        again: Called from the second time on; None: `call`, which is harmless when repeated.
        seconds: After so many, the storage's error is raised.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    until, pause = clock() + seconds, _FIRST_PAUSE
    while True:
        try:
            return call()
        except (StorageInternalError, SQLAlchemyError) as error:
            if clock() + pause > until:
                raise
            logger.warning("the storage does not answer, once more in %.1f s: %s", pause, error)
        sleep(pause)
        call = call if again is None else again
        pause = min(2 * pause, _LONGEST_PAUSE)
