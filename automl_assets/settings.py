"""The operator's settings, read once from the environment (prefix `AUTOML_`)."""

import getpass
import os
import re
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from automl_assets.core.errors import RequestError

MEMORY_SHARE = 0.7


class Settings(BaseSettings):
    """Where things are and how much a run may use; requests cannot change it.

    Raises:
        RequestError: A variable has a value that it cannot have; the message does not
            show it, because some are secrets.
    """

    model_config = SettingsConfigDict(env_prefix="AUTOML_", frozen=True, extra="ignore")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except SettingsError as error:
            name = str(error).partition('"')[2].partition('"')[0]
            raise _unfit(name, "it is not JSON") from None
        except ValidationError as error:
            # Without the cause: it quotes the value.
            first = error.errors(include_input=False, include_url=False)[0]
            raise _unfit(".".join(map(str, first["loc"])), first["msg"]) from None

    home: Path = Field(
        default=Path(".automl"), description="Everything the platform writes is in this folder."
    )
    data_roots: str = Field(
        default="",
        description="Folders that requests may read from, separated by the path separator. "
        "Default: the folder that holds the home, unless the user's home is in that folder too.",
    )
    data_urls: str = Field(
        default="",
        description="Where requests may download from: starts of URLs such as "
        "`https://data.example.org/sales/` or `s3://bucket/folder/`, separated by spaces. "
        "Default: nowhere.",
    )
    data_url_private: bool = Field(
        default=False,
        description="Whether those hosts may have private addresses, as inside a company.",
    )
    max_download_bytes: int = Field(
        default=50 * 2**30, ge=1, description="Largest download of one request, in bytes."
    )
    connections: dict[str, SecretStr] = Field(
        default={},
        description="Databases that requests may name, as JSON: name -> SQLAlchemy URL.",
    )
    lakefs_endpoint: str | None = Field(
        default=None,
        description="A lakeFS server such as `https://lakefs.example.org`. Default: the snapshot "
        "store is a folder in the home.",
    )
    lakefs_access_key_id: str | None = Field(default=None, description="Its access key.")
    lakefs_secret_access_key: SecretStr | None = Field(default=None, description="Its secret key.")
    lakefs_storage_namespace: str | None = Field(
        default=None,
        description="Where lakeFS keeps the objects of new repositories, such as "
        "`s3://bucket/automl`; each gets a folder in it.",
    )
    lakefs_s3_endpoint: str | None = Field(
        default=None, description="Its S3 gateway. Default: the server itself."
    )
    lakefs_region: str = Field(default="us-east-1", description="Region of the S3 gateway.")
    lakefs_ca_bundle: Path | None = Field(
        default=None,
        description="Certificates to trust, in PEM; tables are scanned with those of "
        "SSL_CERT_FILE, so set that, too. Default: those of the system.",
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

    memory_mb: float = Field(
        default_factory=lambda: MEMORY_SHARE * psutil.virtual_memory().total / 1e6,
        gt=0,
        description="Memory for all trials of one run together, in MB. Default: 0.7 of the "
        "machine's.",
    )
    search_clock: Literal["wall", "cpu"] = Field(
        default="wall",
        description="What a time limit counts: `wall` time, or `cpu` seconds of the search's "
        "processes, for benchmarks on a machine that others use, too.",
    )
    user: str = Field(
        default_factory=lambda: _system_user(),
        # As requests name their owner: nobody is another one by a space or a look-alike letter.
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$",
        description="Who runs a command, as approvals and promotions record it. Default: the "
        "operating system's user.",
    )
    groups: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Who may approve as which group, as JSON: group -> list of users. Default: "
        "whoever says so.",
    )
    image: str | None = Field(
        default=None,
        description="The container image that runs, with its digest, such as "
        "`registry.example.org/automl@sha256:77ab…`; recorded with each model.",
    )
    git_commit: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{7,64}$",
        description="The commit that the code was built from, where it is installed without its "
        "repository; recorded with each model.",
    )

    @property
    def uses_lakefs(self) -> bool:
        """Whether data are kept on a lakeFS server and not in the home.

        One variable is enough: a forgotten endpoint must be an error and not silently a folder.
        """
        return any(
            (
                self.lakefs_endpoint,
                self.lakefs_access_key_id,
                self.lakefs_secret_access_key,
                self.lakefs_storage_namespace,
            )
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
    def scratch_folder(self) -> Path:
        """Downloads and tables that are not committed yet; swept after their owner died."""
        return self.root / "scratch"

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
    def predictions_folder(self) -> Path:
        """The logs of what `automl predict` answered, one folder a model name."""
        return self.root / "predictions"

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


def _system_user() -> str:
    """Return the operating system's user, as requests name their owner."""
    try:
        user = getpass.getuser()
    except OSError:
        # A container may run as a user id without a name.
        user = "unknown"
    return re.sub(r"[^A-Za-z0-9_.@-]", "-", user).lstrip("_.@-")[:64] or "unknown"


def _unfit(name: str, reason: str) -> RequestError:
    variable, _, rest = name.partition(".")
    return RequestError(
        "The operator's settings must have the form that docs/settings.md names. "
        f"AUTOML_{variable.upper()}{f' ({rest})' if rest else ''} has not: {reason}. "
        "Correct the variable."
    )
