"""The operator's settings, read once from the environment (prefix `AUTOML_`)."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are and how much a run may use; requests cannot change it."""

    model_config = SettingsConfigDict(env_prefix="AUTOML_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path(".automl"), description="Everything the platform writes is in this folder."
    )
    data_roots: str = Field(
        default="",
        description="Folders that requests may read from, separated by the path separator. "
        "Default: the folder that holds the home, unless the user's home is in that folder too.",
    )
    mlflow_tracking_uri: str | None = Field(
        default=None, description="An MLflow server. Default: SQLite and files in the home."
    )
    mlflow_ui_url: str | None = Field(
        default=None, description="Where people open MLflow, for links in the lineage."
    )
    ui_url: str | None = Field(
        default=None, description="Where people open Dagit, for links to reports."
    )
    max_workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Search workers of one run."
    )

    @property
    def root(self) -> Path:
        """The home as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def allowed_data_roots(self) -> tuple[Path, ...]:
        """Absolute folders that requests may read from.

        Without `data_roots` it is the folder that holds the home. There is none if
        that folder holds all that the user has, as `/` does: requests come from
        others, so the operator must name what they may read.
        """
        if self.data_roots:
            folders = filter(None, self.data_roots.split(os.pathsep))
            return tuple(Path(folder).expanduser().absolute() for folder in folders)
        around = self.root.parent.resolve()
        user = Path(os.path.expanduser("~"))  # stays "~" for a user that has no home
        holds_user = user.is_absolute() and user.resolve().is_relative_to(around)
        return () if holds_user or around == Path("/") else (self.root.parent,)

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance: SQLite, logs, and its dagster.yaml."""
        return self.root / "dagster"

    @property
    def store_folder(self) -> Path:
        """The embedded snapshot store."""
        return self.root / "store"

    @property
    def mlflow_folder(self) -> Path:
        """MLflow's SQLite file and artifacts."""
        return self.root / "mlflow"

    @property
    def studies_folder(self) -> Path:
        """Optuna's studies and the candidates' model packages."""
        return self.root / "studies"

    @property
    def matrices_folder(self) -> Path:
        """Encoded matrices; may be deleted, they are made again."""
        return self.root / "matrices"

    @property
    def values_folder(self) -> Path:
        """The JSON values of assets."""
        return self.root / "values"

    @property
    def reports_folder(self) -> Path:
        """Reports, one folder a request."""
        return self.root / "reports"

    @property
    def requests_folder(self) -> Path:
        """Accepted requests, as they were written."""
        return self.root / "requests"

    @property
    def inbox_folder(self) -> Path:
        """Where people drop request files."""
        return self.root / "inbox"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry URI."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.mlflow_folder / 'mlflow.db'}"

    def report_url(self, request_id: str) -> str | None:
        """Return the page of a request's report, or None where no web server shows it."""
        return f"{self.ui_url}/reports/{request_id}/report.html" if self.ui_url else None
