"""Where MLflow keeps what we write: a server, or SQLite and files in one folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import dagster as dg
from pydantic import Field

from automl_assets.core.errors import ServiceError
from resources.mlflow_setup import configure_mlflow, ensure_database

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowPlace(dg.ConfigurableResource):
    """What everything that writes to MLflow needs; safe in threads and processes."""

    tracking_uri: str = Field(description="An MLflow server, or `sqlite:////folder/mlflow.db`.")
    artifact_folder: str | None = Field(
        default=None,
        description="Where files of models are kept; without it a server decides.",
    )
    lock_folder: str = Field(
        description="Locks and scratch of running registrations, and models fetched from a server."
    )

    def client(self) -> "MlflowClient":
        """Return MLflow's client; makes the database if there is none."""
        configure_mlflow()
        from mlflow import MlflowClient

        with self.locked("database"):
            ensure_database(self.tracking_uri, self._artifact_root)
            return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def experiment(self, client: "MlflowClient", name: str) -> str:
        """Return the experiment of a model name; the caller holds the lock of the name."""
        found = client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        root = self._artifact_root
        location = None if root is None else (root / quote(name, safe="")).as_uri()
        return client.create_experiment(name, artifact_location=location)

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Wait for the other threads and processes of this machine that do the same."""
        path = Path(self.lock_folder) / f"{quote(what, safe='')}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def _artifact_root(self) -> Path | None:
        """Where files of models are kept; None leaves it to the server."""
        if self.artifact_folder is not None:
            return Path(self.artifact_folder).absolute()
        if urlsplit(self.tracking_uri).scheme in ("http", "https"):
            return None
        raise ServiceError(
            "Without an MLflow server the files of models need a folder, but artifact_folder "
            "is not set. Set it, or name a server."
        )
