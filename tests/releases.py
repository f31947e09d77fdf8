"""A registered version as small as promotions, probes and audits of releases need it."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.encoding import ColumnKind, Preprocessing, encode, fit_column
from automl_assets.core.families import Encoded, FitOptions, load_families
from automl_assets.core.files import sha256_file
from automl_assets.core.package import MANIFEST, write_package
from automl_assets.core.ports import ModelRegistry, Registration, ReleaseLog, SnapshotStore
from automl_assets.core.predictor import load_predictor
from automl_assets.core.probe import make_probe, write_probe
from automl_assets.core.promotion import ReleaseDesk
from automl_assets.core.release import ReleaseEvent
from automl_assets.core.values import (
    ColumnProfile,
    DataSnapshot,
    ModelVersion,
    RowStep,
    Split,
    SplitPart,
    TableProfile,
)
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from tests.fakes import InMemoryModelRegistry, InMemoryReleaseLog, facts, registration

NOW = datetime(2026, 11, 18, 9, 12, tzinfo=UTC)
CPU = "here"
KINDS: dict[str, ColumnKind] = {"age": "numeric", "plan": "categorical"}
TABLE, ROWS = "data/table.parquet", "splits/analysis.parquet"


def rows(n_rows: int = 100) -> pl.DataFrame:
    """Return rows with a target that follows from both columns."""
    rng = np.random.default_rng(7)
    age, plan = rng.integers(18, 80, n_rows), rng.choice(["basic", "plus"], n_rows)
    return pl.DataFrame({"age": age, "plan": plan, "churned": (age > 50) ^ (plan == "plus")})


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A snapshot whose odd rows are the analysis part."""

    store: SnapshotStore
    snapshot: DataSnapshot
    split: Split
    analysis_rows: list[int]


def committed(folder: Path) -> Committed:
    """Commit a table and its analysis part."""
    store = EmbeddedSnapshotStore(folder=str(folder / "store"))
    table, analysis = rows(), list(range(1, 100, 2))
    store.ensure_repository("churn")
    files = {TABLE: table, ROWS: pl.DataFrame({"row": analysis}, schema={"row": pl.Int64})}
    with store.write("churn", branch="main", key="main/1", message="", metadata={}) as transaction:
        for path, frame in files.items():
            frame.write_parquet(folder / "part.parquet")
            transaction.put_file(path, folder / "part.parquet")
    commit = transaction.commit
    profile = TableProfile(
        n_rows=table.height,
        columns=tuple(
            ColumnProfile(
                name=name, dtype=str(table[name].dtype), kind=kind, n_nulls=0, n_distinct=2
            )
            for name, kind in KINDS.items()
        ),
        task_type="binary",
        classes=("false", "true"),
        features=tuple(KINDS),
        dropped=(),
    )
    snapshot = DataSnapshot(
        repository="churn",
        commit_id=commit.commit_id,
        path=TABLE,
        content_sha256=commit.content_sha256,
        source="churn.csv",
        source_sha256="0" * 64,
        rows=(RowStep(step="read", n_rows=table.height),),
        profile=profile,
    )
    split = Split(
        repository="churn",
        commit_id=commit.commit_id,
        strategy="random",
        seed=0,
        parts=(SplitPart(part="analysis", n_rows=len(analysis), path=ROWS, sha256="0" * 64),),
        preprocessing_version="1",
        matrix_id="m",
        feature_names=tuple(KINDS),
    )
    return Committed(store=store, snapshot=snapshot, split=split, analysis_rows=analysis)


def real_package(folder: Path, *, C: float = 1.0) -> str:
    """Fit a linear model on the rows, and write its package."""
    table = rows()
    columns = tuple(fit_column(table[name], kind=kind) for name, kind in KINDS.items())
    preprocessing = Preprocessing(version="1", columns=columns)
    encoded = Encoded(
        X=encode(table, preprocessing),
        y=table["churned"].cast(pl.Int32).to_numpy(),
        n_levels=preprocessing.n_levels,
    )
    plugin = load_families()["linear"]
    params = {**plugin.default_params(), "C": C}
    options = FitOptions(task_type="binary", n_classes=2, seed=0)
    return write_package(
        folder,
        plugin.fit(encoded, encoded, params, options),
        preprocessing,
        family="linear",
        params=params,
        task_type="binary",
        classes=("false", "true"),
        target="churned",
    )


@dataclass(frozen=True, kw_only=True)
class Releases:
    """A registry and a log, with real models that predict a real probe."""

    folder: Path
    data: Committed
    registry: ModelRegistry
    log: ReleaseLog

    def desk(self, by: str = "bob", **changes: Any) -> ReleaseDesk:
        """Return what somebody releases with."""
        desk = ReleaseDesk(
            registry=self.registry,
            log=self.log,
            store=self.data.store,
            by=by,
            now=NOW,
            cpu=CPU,
        )
        return replace(desk, **changes)

    def given(self, number: int = 1, *, approval: dict[str, Any] | None = None) -> Registration:
        """Return what registers a model; each number is another one."""
        base = registration(self.folder / "given", value=float(number))
        package = self.folder / f"real-{number}" / "package"
        # Made once, as by a search: a registration that goes on finds what was there.
        if not package.exists():
            real_package(package, C=float(number))
        sha256 = sha256_file(package / MANIFEST)
        predictor = load_predictor(package)
        probe, predictions = make_probe(
            predictor, self.data.snapshot, self.data.split, store=self.data.store, seed=0
        )
        write_probe(base.report, probe, predictions)
        card = {
            "identity": {"owner": "ada", "number": number},
            "request": {} if approval is None else {"approval": approval},
            "data": self.data.snapshot.model_dump(mode="json"),
        }
        content = json.dumps(card).encode()
        (base.report / "card.json").write_bytes(content)
        waits = approval is not None and approval.get("before", "champion") != "champion"
        return replace(
            base,
            package=package,
            artifact_sha256=sha256,
            card_sha256=hashlib.sha256(content).hexdigest(),
            facts=facts(data_sha256=f"{number:064d}"),
            tags={"probe_sha256": probe.predictions_sha256, "env.cpu": CPU},
            alias=None if waits else "challenger",
            is_hidden=approval is not None and approval.get("before") == "register",
        )

    def register(self, number: int = 1, *, approval: dict[str, Any] | None = None) -> ModelVersion:
        """Register a model, as a run does."""
        given = self.given(number, approval=approval)
        version = self.registry.register(given)
        self.log.append(
            ReleaseEvent(
                kind="registered",
                name=version.name,
                version=version.version,
                semver=version.semver,
                alias=given.alias or "",
                by="ada",
                at=NOW.isoformat(),
                card_sha256=version.card_sha256,
                key=f"registered {version.version}",
            )
        )
        return version

    def aliases(self) -> dict[str, str]:
        """Return the version of each alias."""
        versions = self.registry.list_versions()
        return {alias: version.version for version in versions for alias in version.aliases}

    def told(self) -> list[tuple[str, str, str]]:
        """Return kind, version and alias of each event."""
        return [(event.kind, event.version, event.alias) for event in self.log.events("churn")]


def releases(folder: Path) -> Releases:
    """Return a registry and a log that hold nothing."""
    return Releases(
        folder=folder,
        data=committed(folder),
        registry=InMemoryModelRegistry(),
        log=InMemoryReleaseLog(),
    )
