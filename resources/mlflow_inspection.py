"""Reads what MLflow holds of a version, as it is now, without trusting any of it."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from automl_assets.core.ports import RegistryRecord
from automl_assets.core.values import ModelVersion
from resources.mlflow_model import PACKAGE_PATH
from resources.mlflow_numbering import FACTS_PATH
from resources.mlflow_setup import without_passwords

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPORT_PATH, REQUEST_PATH = "report", "request.yaml"


def read_record(
    client: "MlflowClient", version: ModelVersion, scratch: Path, tracking_uri: str
) -> RegistryRecord:
    """Return what MLflow holds of a version.

    Files of a local registry are given out where they are; those of a server are
    downloaded, and never taken from an earlier download.

    Args:
        scratch: An empty folder for what is downloaded.
    """
    held = client.get_model_version(version.name, version.version)
    run = client.get_run(version.mlflow_run_id)
    artifacts = run.info.artifact_uri or ""
    source = client.get_model_version_download_uri(version.name, version.version)
    model = _local(source, scratch / "model", tracking_uri)
    # Asked first: a server says of a file that is gone only that something went wrong.
    names = {item.path for item in client.list_artifacts(version.mlflow_run_id)}

    def artifact(path: str, folder: str) -> Path | None:
        if path not in names:
            return None
        return _local(f"{artifacts}/{path}", scratch / folder, tracking_uri)

    request, facts = artifact(REQUEST_PATH, "request"), artifact(FACTS_PATH, "facts")
    package = None if model is None else model / PACKAGE_PATH
    return RegistryRecord(
        where=without_passwords(artifacts),
        report=artifact(REPORT_PATH, "report"),
        model=model,
        package=package if package is not None and package.is_dir() else None,
        request_yaml=None if request is None else request.read_bytes(),
        facts=None if facts is None else facts.read_bytes(),
        tags=dict(run.data.tags),
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        description=held.description or "",
    )


def _local(uri: str, target: Path, tracking_uri: str) -> Path | None:
    """Return the local path of an artifact; None where there is none."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if urlsplit(uri).scheme == "file":
        path = Path(unquote(urlsplit(uri).path))
        return path if path.exists() else None
    target.mkdir()
    try:
        return Path(download_artifacts(uri, dst_path=str(target), tracking_uri=tracking_uri))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
