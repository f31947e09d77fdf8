"""Semantic versions in MLflow: each decided once, against the version before it."""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from automl_assets.core.ports import Registration
from automl_assets.core.versioning import (
    Bump,
    Predecessor,
    VersionDecision,
    VersionFacts,
    decide_version,
)
from resources.mlflow_records import ARTIFACT, SEMVER, SEMVER_REASON, pages, shortened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

FACTS_PATH = "version.json"
"""Artifact of a version's run: what the version after it is compared with."""

_AFTER, _BUMP, _FACTS_SHA256 = "automl.semver_after", "automl.bump", "automl.facts_sha256"


class Numbering:
    """Gives versions their semantic versions.

    Registrations of a name wait for each other on one machine only. So a version says
    which one it was numbered after; if another machine registered one in between, the
    version is numbered again, before anybody is told of it.
    """

    def __init__(self, client: "MlflowClient", *, tracking_uri: str) -> None:
        self._client = client
        self._tracking_uri = tracking_uri

    def tags(self, registration: Registration) -> dict[str, str]:
        """Return the tags of a version that would be made now."""
        last = self._last_before(registration.name, None)
        decision = decide_version(
            self._predecessor(last) if last else None, registration.facts, registration.bump
        )
        return {**_tags(decision, last), _BUMP: registration.bump}

    def settle(self, version: "MlflowVersion") -> "MlflowVersion":
        """Return a version that is numbered after the one before it."""
        before = self._last_before(version.name, int(version.version))
        if before is None or int(before.version) <= int(version.tags.get(_AFTER) or 0):
            return version
        facts = self._facts(version)
        if SEMVER not in version.tags or facts is None:
            return version
        bump = cast("Bump", version.tags.get(_BUMP, "auto"))
        decision = decide_version(self._predecessor(self.settle(before)), facts, bump)
        for key, value in _tags(decision, before).items():
            self._client.set_model_version_tag(version.name, version.version, key, value)
        return self._client.get_model_version(version.name, version.version)

    def _last_before(self, name: str, version: int | None) -> "MlflowVersion | None":
        """Return the newest version of a name that is ours, below a number if one is given."""
        below = "" if version is None else f" and version_number < {version}"
        search = partial(
            self._client.search_model_versions,
            f"name = '{name}'{below}",
            max_results=10,
            order_by=["version_number DESC"],
        )
        return next((found for found in pages(search) if ARTIFACT in found.tags), None)

    def _predecessor(self, version: "MlflowVersion") -> Predecessor:
        return Predecessor(
            version=str(version.version),
            semver=version.tags.get(SEMVER, ""),
            facts=self._facts(version),
        )

    def _facts(self, version: "MlflowVersion") -> VersionFacts | None:
        """Return the facts of a version; None where they are gone, or are not what was kept."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        run_id = str(version.run_id)
        try:
            # Asked first: a server says of a file that is gone only that something went wrong.
            held = {item.path for item in self._client.list_artifacts(run_id)}
            if FACTS_PATH not in held:
                return None
            uri = f"{self._client.get_run(run_id).info.artifact_uri}/{FACTS_PATH}"
            with tempfile.TemporaryDirectory(prefix="facts-") as scratch:
                file = download_artifacts(uri, dst_path=scratch, tracking_uri=self._tracking_uri)
                facts = VersionFacts.model_validate_json(Path(file).read_bytes())
        except ValidationError:
            return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # the run was deleted for good
        return facts if facts.sha256 == version.tags.get(_FACTS_SHA256) else None


def _tags(decision: VersionDecision, after: "MlflowVersion | None") -> dict[str, str]:
    return {
        SEMVER: decision.semver,
        SEMVER_REASON: shortened(decision.reason),
        _AFTER: str(after.version) if after else "0",
    }
