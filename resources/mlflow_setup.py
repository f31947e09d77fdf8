"""What must be true before MLflow is used: no noise, no telemetry, no pickle, a whole database."""

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_assets.core.errors import ServiceError
from automl_assets.core.files import publishing

_SQLITE = "sqlite:///"

_IMPORTING = threading.Lock()
"""Two threads that import MLflow at once could each see half of its modules."""

_ENVIRONMENT = {
    # A pickle runs code when it is read; MLflow's default allows it.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Otherwise a uv.lock of the current folder would be copied into the model.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def configure_mlflow() -> None:
    """Set what MLflow reads from the environment; must run before the first `import mlflow`."""
    os.environ.update(_ENVIRONMENT)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def without_passwords(text: str) -> str:
    """Return a text whose URIs may be shown.

    Examples:
        >>> without_passwords("No answer from https://ada:secret@mlflow.example.org/x.")
        'No answer from https://mlflow.example.org/x.'
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def ensure_database(tracking_uri: str, artifact_root: Path | None) -> None:
    """Make the SQLite database of a tracking URI if it is not there; others are left alone.

    MLflow runs its migrations one by one, without a lock: two processes at
    once, or one that is killed, leave a database that it then refuses. So the
    database is made under another name and published whole. The caller holds
    a lock.

    Args:
        tracking_uri: Of a server or database; only `sqlite:///…` is acted on.
        artifact_root: For MLflow's own experiment `Default`, which we do not
            use; MLflow would give it a folder of the current directory.
    """
    path = Path(tracking_uri.removeprefix(_SQLITE))
    if artifact_root is None or not tracking_uri.startswith(_SQLITE) or path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # Left by processes that were killed here: the lock is ours, nobody writes them.
    for unfinished in path.parent.glob(f".{path.name}.*"):
        unfinished.unlink()
    with publishing(path) as temporary:
        store = SqlAlchemyStore(f"{_SQLITE}{temporary}", artifact_root.as_uri())
        store.engine.dispose()


class _Silence:
    """Hides warnings while at least one thread is inside.

    The filters belong to the process: if each thread saved and restored them,
    the first to leave would uncover the warnings of the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._saved.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def calling_mlflow(tracking_uri: str, doing: str) -> Iterator[None]:
    """Turn what MLflow, its database and its transport raise into one of our errors.

    MLflow warns about its own type hints when it is imported, and about what it
    calls in SQLAlchemy; nobody here can act on it, so it is not shown.

    Raises:
        ServiceError: With the first line of what was raised.
    """
    configure_mlflow()
    with _IMPORTING, _SILENCE:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

    try:
        with _SILENCE:
            yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ServiceError(
            without_passwords(f"MLflow at {tracking_uri} did not finish {doing}: {first_line}. ")
            + "What was written is kept; the same call goes on from there."
        ) from error
