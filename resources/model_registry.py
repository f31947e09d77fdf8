"""The model registry on MLflow, over its client.

One MLflow run belongs to one model of one request; where the search was tracked, it is the
search's. Everything is looked for
before it is made, so a registration that was killed at any point goes on where
it stopped. `docs/decisions/0002-mlflow-client.md` says why the client, and not
dagster-mlflow, is used.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field

from automl_assets.core.errors import RequestError, ServiceError
from automl_assets.core.inventory import write_inventory
from automl_assets.core.package import verify_package
from automl_assets.core.ports import ModelRegistry, Registration, RegistryRecord
from automl_assets.core.values import ModelVersion
from automl_assets.core.versioning import base_of
from resources.mlflow_inspection import read_record
from resources.mlflow_model import PACKAGE_PATH, write_mlflow_model
from resources.mlflow_numbering import FACTS_PATH, Numbering
from resources.mlflow_place import MlflowPlace
from resources.mlflow_records import (
    ARTIFACT,
    HIDDEN,
    MODEL_FILES,
    create_version,
    find_or_start_run,
    find_version,
    log_training,
    pages,
    set_arrival_alias,
    to_model_version,
)
from resources.mlflow_setup import calling_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_MODEL_PATH = "model"


def select_version(
    versions: Iterable[ModelVersion], name: str, reference: str | None
) -> ModelVersion:
    """Choose a version by its number, semantic version or alias, or the newest.

    A hidden version is not the newest: it must be named.

    Raises:
        RequestError: There is none; the message lists what there is.
    """
    known: dict[str, list[ModelVersion]] = {}
    for version in versions:
        known.setdefault(version.name, []).append(version)
    if name not in known:
        listed = f"Known: {', '.join(sorted(known)[:10])}." if known else "There is none yet."
        near = get_close_matches(name, known, n=1)
        raise RequestError(
            f"A model must be registered before it can be used, but {name!r} is not. {listed}"
            + (f" Did you mean {near[0]!r}?" if near else "")
        )
    ours = sorted(known[name], key=lambda version: int(version.version), reverse=True)
    for version in ours:
        if reference in names_of(version) or (reference is None and not version.is_hidden):
            return version
    aliases = [f"{alias} ({version.version})" for version in ours for alias in version.aliases]
    listed = ", ".join(
        f"{version.version} ({base_of(version.semver)})" if version.semver else version.version
        for version in ours[:10]
    )
    wanted = f"version or alias {reference!r}" if reference else "version that needs no approval"
    raise RequestError(
        f"Model {name!r} has no {wanted}. Versions, newest first: {listed}; "
        f"aliases: {', '.join(aliases) or 'none'}."
    )


def names_of(version: ModelVersion) -> set[str]:
    """Return all that a version is called by after `NAME@`."""
    semantic = {version.semver, base_of(version.semver)} if version.semver else set[str]()
    return {version.version, *version.aliases, *semantic}


class MlflowModelRegistry(MlflowPlace, ModelRegistry):
    """Models in MLflow: a server, or SQLite and files in one folder."""

    ui_url: str | None = Field(default=None, description="Where people open MLflow.")

    def register(self, registration: Registration) -> ModelVersion:
        """Register a model, or find the version of an earlier call; see the port.

        Registrations of one name wait for each other on one machine. The alias
        never moves back to an older version.
        """
        doing = f"the registration of {registration.request_id!r}"
        with (
            calling_mlflow(self.tracking_uri, doing),
            self.locked(f"model {registration.name}"),
        ):
            client = self.client()
            version = find_version(client, registration) or self._create(client, registration)
            if version.status != "READY":
                raise ServiceError(
                    f"A version must be ready, but {version.name} {version.version} is "
                    f"{version.status}. Wait for MLflow, or delete that version; then go on."
                )
            version = self._numbering(client).settle(version)
            if client.get_run(str(version.run_id)).info.status != "FINISHED":
                client.set_terminated(str(version.run_id), "FINISHED")
            if registration.alias is not None:
                set_arrival_alias(client, version, registration.alias)
            aliases = client.get_registered_model(version.name).aliases
            return to_model_version(
                client.get_model_version(version.name, version.version), aliases
            )

    def find(self, name: str, reference: str | None = None) -> ModelVersion:
        """Return a version; see the port."""
        return select_version(self._versions_of(name) or self.list_versions(), name, reference)

    def fetch(self, name: str, reference: str | None = None) -> tuple[ModelVersion, Path]:
        """Return a version and the local folder of its model package; see the port.

        Raises:
            RequestError: No such model or version; the message lists what there is.
            SnapshotError: The package is not what was registered.
            ServiceError: MLflow refused or did not answer.
        """
        version = self.find(name, reference)
        with calling_mlflow(self.tracking_uri, f"the download of {name} {version.version}"):
            source = self.client().get_model_version_download_uri(name, version.version)
            folder = self._download(f"{source}/{PACKAGE_PATH}", version)
        verify_package(folder, sha256=version.artifact_sha256)
        return version, folder

    @contextmanager
    def inspect(self, version: ModelVersion) -> Iterator[RegistryRecord]:
        """Give out all that MLflow holds of a version, as it is now; see the port."""
        folder = Path(self.lock_folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="inspect-", dir=folder) as scratch:
            with calling_mlflow(self.tracking_uri, f"reading {version.name} {version.version}"):
                record = read_record(self.client(), version, Path(scratch), self.tracking_uri)
            yield record

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Point an alias to a version, which is hidden no more; see the port."""
        doing = f"moving the alias {alias} to {version.name} {version.version}"
        with calling_mlflow(self.tracking_uri, doing):
            client = self.client()
            client.set_registered_model_alias(version.name, alias, version.version)
            if version.is_hidden:
                client.delete_model_version_tag(version.name, version.version, HIDDEN)

    def remove_alias(self, version: ModelVersion, alias: str) -> None:
        """Take an alias away from a version that has it; see the port."""
        doing = f"taking the alias {alias} from {version.name} {version.version}"
        with calling_mlflow(self.tracking_uri, doing):
            client = self.client()
            holder = client.get_registered_model(version.name).aliases.get(alias)
            if str(holder) == version.version:
                client.delete_registered_model_alias(version.name, alias)

    def list_versions(self) -> list[ModelVersion]:
        """Return all versions that this platform registered, newest first."""
        with calling_mlflow(self.tracking_uri, "the list of models"):
            client = self.client()
            aliases = {
                model.name: model.aliases for model in pages(client.search_registered_models)
            }
            versions = sorted(
                pages(client.search_model_versions),
                key=lambda version: (version.creation_timestamp, int(version.version)),
                reverse=True,
            )
        return [
            to_model_version(version, aliases.get(version.name, {}))
            for version in versions
            if ARTIFACT in version.tags
        ]

    def version_url(self, version: ModelVersion) -> str | None:
        """Return the page of a version in MLflow's UI, or None where no UI is known."""
        if self.ui_url is None:
            return None
        name = quote(version.name, safe="")
        return f"{self.ui_url.rstrip('/')}/#/models/{name}/versions/{version.version}"

    def comparison_url(self, versions: Sequence[ModelVersion]) -> str | None:
        """Return the page of MLflow's UI that compares versions, or None where no UI is known."""
        if self.ui_url is None:
            return None
        with calling_mlflow(self.tracking_uri, "the runs of models"):
            client = self.client()
            runs = [client.get_run(version.mlflow_run_id).info for version in versions]
        experiments = json.dumps(sorted({run.experiment_id for run in runs}))
        query = {"runs": json.dumps([run.run_id for run in runs]), "experiments": experiments}
        return f"{self.ui_url.rstrip('/')}/#/compare-runs?{urlencode(query)}"

    def _versions_of(self, name: str) -> list[ModelVersion]:
        """Return the versions of one model that this platform registered; there may be none."""
        if "'" in name:  # no name of ours, and none that MLflow can be asked for
            return []
        with calling_mlflow(self.tracking_uri, f"the list of versions of {name}"):
            client = self.client()
            search = partial(client.search_model_versions, f"name = '{name}'")
            found = [v for v in pages(search) if ARTIFACT in v.tags]
            aliases = client.get_registered_model(name).aliases if found else {}
        return [to_model_version(version, aliases) for version in found]

    def _numbering(self, client: "MlflowClient") -> Numbering:
        return Numbering(client, tracking_uri=self.tracking_uri)

    def _create(self, client: "MlflowClient", registration: Registration) -> "MlflowVersion":
        run = find_or_start_run(client, registration, self.experiment(client, registration.name))
        log_training(client, run, registration)
        files_sha256 = self._upload(client, run.info.run_id, registration)
        tags = {**self._numbering(client).tags(registration), MODEL_FILES: files_sha256}
        return create_version(client, run, registration, _MODEL_PATH, tags=tags)

    def _upload(self, client: "MlflowClient", run_id: str, registration: Registration) -> str:
        """Upload the files of a version; return the digest of the inventory of what is served."""
        client.log_artifacts(run_id, str(registration.report), "report")
        client.log_text(run_id, registration.request_yaml, "request.yaml")
        client.log_text(run_id, registration.facts.canonical_json(), FACTS_PATH)
        # The lock of this name is held: what is in the folder was left by a killed process.
        scratch = Path(self.lock_folder) / f"{quote(registration.name, safe='')}.scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            model = write_mlflow_model(
                scratch,
                package=registration.package,
                artifact_sha256=registration.artifact_sha256,
                input_example=registration.input_example,
            )
            digest = write_inventory(model)
            client.log_artifacts(run_id, str(model), _MODEL_PATH)
            return digest
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _download(self, uri: str, version: ModelVersion) -> Path:
        """Return the local folder of a package; what came from a server is kept."""
        from mlflow.artifacts import download_artifacts

        if urlsplit(uri).scheme == "file":
            return Path(download_artifacts(uri))
        kept = Path(self.lock_folder) / "fetched" / version.artifact_sha256
        with self.locked(f"fetch {version.artifact_sha256}"):
            if not kept.exists():
                scratch = kept.with_suffix(".scratch")
                shutil.rmtree(scratch, ignore_errors=True)
                local = download_artifacts(
                    uri, dst_path=str(scratch), tracking_uri=self.tracking_uri
                )
                Path(local).rename(kept)
                shutil.rmtree(scratch, ignore_errors=True)
        return kept
