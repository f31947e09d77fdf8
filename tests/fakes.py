"""In-memory ports that pass the contract suites of the real adapters, and small inputs for them."""

from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.encoding import ColumnEncoding, Preprocessing
from automl_assets.core.families import FittedModel
from automl_assets.core.package import verify_package, write_package
from automl_assets.core.ports import ModelRegistry, Registration
from automl_assets.core.values import ModelVersion
from resources.mlflow_records import version_tags
from resources.model_registry import select_version


class InMemoryModelRegistry(ModelRegistry):
    """Versions in a list; packages stay where they were."""

    def __init__(self) -> None:
        self._versions: list[ModelVersion] = []
        self._packages: dict[tuple[str, str], Path] = {}

    def register(self, registration: Registration) -> ModelVersion:
        name, tags = registration.name, version_tags(registration)
        identity = ("automl.request_sha256", "automl.artifact_sha256")
        ours = [version for version in self._versions if version.name == name]
        for version in ours:
            if all(version.tags[key] == tags[key] for key in identity):
                return version
        self._versions = [
            version.model_copy(
                update={"aliases": tuple(a for a in version.aliases if a != registration.alias)}
            )
            if version.name == name
            else version
            for version in self._versions
        ]
        made = ModelVersion(
            name=name,
            version=str(len(ours) + 1),
            aliases=(registration.alias,),
            mlflow_run_id=f"run-{len(self._versions) + 1}",
            artifact_sha256=registration.artifact_sha256,
            card_sha256=registration.card_sha256,
            tags=tags,
        )
        self._versions.append(made)
        self._packages[name, made.version] = registration.package
        return made

    def fetch(self, name: str, reference: str | None = None) -> tuple[ModelVersion, Path]:
        version = select_version(self._versions, name, reference)
        package = self._packages[version.name, version.version]
        verify_package(package, sha256=version.artifact_sha256)
        return version, package

    def list_versions(self) -> list[ModelVersion]:
        return self._versions[::-1]

    def version_url(self, version: ModelVersion) -> str | None:
        return None


class ConstantModel(FittedModel):
    """Predicts one value for every row; its file is only as real as a package needs."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), self.value)

    def save(self, folder: Path) -> None:
        (folder / "value.txt").write_text(str(self.value))


def registration(folder: Path, *, value: float = 1.0, name: str = "churn") -> Registration:
    """Write a package and a report, and return what registers them."""
    columns = (
        ColumnEncoding(name="age", kind="numeric", dtype="Int64"),
        ColumnEncoding(name="plan", kind="categorical", dtype="String", levels=("basic", "plus")),
    )
    package, report = folder / f"{name}-{value}" / "package", folder / f"{name}-{value}" / "report"
    artifact_sha256 = write_package(
        package,
        ConstantModel(value),
        Preprocessing(version="1", columns=columns),
        family="linear",
        params={},
        task_type="regression",
        classes=(),
        target="spend",
    )
    report.mkdir()
    (report / "card.md").write_text(f"# {name}\n\nPredicts {value}.\n")
    return Registration(
        name=name,
        owner="ada",
        request_id=f"{name}-4c1f2a90aa",
        request_sha256="a" * 64,
        request_yaml=f"name: {name}\n",
        artifact_sha256=artifact_sha256,
        card_sha256="c" * 64,
        package=package,
        report=report,
        input_example=pl.DataFrame({"age": [41, None], "plan": ["basic", "plus"]}),
        data_uri=f"lakefs://{name}/{'d' * 64}/data.parquet",
        data_sha256="e" * 64,
        params={"family": "linear", "linear.C": "1.0"},
        metrics={"rmse": 0.5},
        tags={"automl.code_version": "0.1.0"},
    )
