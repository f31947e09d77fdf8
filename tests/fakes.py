"""In-memory ports that pass the contract suites of the real adapters, and small inputs for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.encoding import ColumnEncoding, Preprocessing
from automl_assets.core.families import FittedModel
from automl_assets.core.package import verify_package, write_package
from automl_assets.core.ports import ModelRegistry, Registration, RegistryRecord, ReleaseLog
from automl_assets.core.release import ReleaseEvent
from automl_assets.core.values import ModelVersion
from automl_assets.core.versioning import Predecessor, VersionFacts, decide_version
from resources.mlflow_records import version_tags
from resources.model_registry import select_version


class InMemoryModelRegistry(ModelRegistry):
    """Versions in a list; packages and reports stay where they were."""

    def __init__(self) -> None:
        self._versions: list[ModelVersion] = []
        self._given: dict[tuple[str, str], Registration] = {}

    def register(self, registration: Registration) -> ModelVersion:
        name, tags = registration.name, version_tags(registration)
        identity = ("automl.request_sha256", "automl.artifact_sha256")
        ours = [version for version in self._versions if version.name == name]
        for version in ours:
            if all(version.tags[key] == tags[key] for key in identity):
                return version
        decision = decide_version(self._last(ours), registration.facts, registration.bump)
        made = ModelVersion(
            name=name,
            version=str(len(ours) + 1),
            aliases=(),
            mlflow_run_id=f"run-{len(self._versions) + 1}",
            artifact_sha256=registration.artifact_sha256,
            card_sha256=registration.card_sha256,
            tags={**tags, "semver": decision.semver, "semver_reason": decision.reason},
            semver=decision.semver,
            semver_reason=decision.reason,
            is_hidden=registration.is_hidden,
        )
        self._versions.append(made)
        self._given[name, made.version] = registration
        if registration.alias is not None:
            self._move(made, registration.alias)
        return self.find(name, made.version)

    def _last(self, ours: list[ModelVersion]) -> Predecessor | None:
        if not ours:
            return None
        facts = self._given[ours[-1].name, ours[-1].version].facts
        return Predecessor(version=ours[-1].version, semver=ours[-1].semver, facts=facts)

    def _move(self, version: ModelVersion, alias: str) -> None:
        self._versions = [
            held.model_copy(update={"aliases": _aliases(held, version, alias)})
            if held.name == version.name
            else held
            for held in self._versions
        ]

    def find(self, name: str, reference: str | None = None) -> ModelVersion:
        return select_version(self._versions, name, reference)

    def fetch(self, name: str, reference: str | None = None) -> tuple[ModelVersion, Path]:
        version = self.find(name, reference)
        package = self._given[version.name, version.version].package
        verify_package(package, sha256=version.artifact_sha256)
        return version, package

    @contextmanager
    def inspect(self, version: ModelVersion) -> Iterator[RegistryRecord]:
        given = self._given[version.name, version.version]
        yield RegistryRecord(
            where=str(given.report),
            report=given.report,
            model=given.package.parent,
            package=given.package,
            request_yaml=given.request_yaml.encode(),
            facts=given.facts.canonical_json().encode(),
            tags=version.tags,
            metrics=given.metrics,
            params=given.params,
            description=(given.report / "card.md").read_text(),
        )

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        self._move(version, alias)
        self._versions = [
            held.model_copy(update={"is_hidden": held.is_hidden and not _same(held, version)})
            for held in self._versions
        ]

    def remove_alias(self, version: ModelVersion, alias: str) -> None:
        self._versions = [
            held.model_copy(update={"aliases": tuple(a for a in held.aliases if a != alias)})
            if _same(held, version)
            else held
            for held in self._versions
        ]

    def list_versions(self) -> list[ModelVersion]:
        return self._versions[::-1]

    def version_url(self, version: ModelVersion) -> str | None:
        return None


def _same(left: ModelVersion, right: ModelVersion) -> bool:
    return (left.name, left.version) == (right.name, right.version)


def _aliases(held: ModelVersion, holder: ModelVersion, alias: str) -> tuple[str, ...]:
    others = tuple(known for known in held.aliases if known != alias)
    return tuple(sorted((*others, alias))) if _same(held, holder) else others


class InMemoryReleaseLog(ReleaseLog):
    """Events in a list."""

    def __init__(self) -> None:
        self._events: list[ReleaseEvent] = []
        self._lock = threading.Lock()

    def append(self, event: ReleaseEvent) -> ReleaseEvent:
        with self._lock:
            ours = self.events(event.name)
            for known in ours:
                if event.key and known.key == event.key:
                    return known
            previous = ours[-1].sha256 if ours else ""
            update = {"number": len(ours) + 1, "previous_sha256": previous}
            self._events.append(event.model_copy(update=update))
            return self._events[-1]

    def events(self, name: str) -> list[ReleaseEvent]:
        return [event for event in self._events if event.name == name]


class ConstantModel(FittedModel):
    """Predicts one value for every row; its file is only as real as a package needs."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), self.value)

    def save(self, folder: Path) -> None:
        (folder / "value.txt").write_text(str(self.value))


def facts(**changes: Any) -> VersionFacts:
    """Return what a version of the constant model is compared with."""
    given: dict[str, Any] = {
        "columns": {"age": "Int64", "plan": "String"},
        "target": "spend",
        "task_type": "regression",
        "classes": (),
        "decision": "",
        "data_commit": "d" * 64,
        "data_sha256": "e" * 64,
        "features": ("age", "plan"),
        "family": "linear",
    }
    return VersionFacts(**{**given, **changes})


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
    report.mkdir(exist_ok=True)
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
        facts=facts(),
        tags={"automl.code_version": "0.1.0"},
    )
