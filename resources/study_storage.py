"""Optuna's storage on one machine: one SQLite file for each study, beside its candidates."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.ports import StudyStorage

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_PREFIX = "sqlite:///"


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
