"""Versions as they are registered: a small search, its model, its records and its store."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.evaluation.judge import JudgeInput, judge
from automl_assets.core.inventory import write_inventory
from automl_assets.core.judgement import environment
from automl_assets.core.matrix import target_vector
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.prepare import (
    ensure_matrix,
    make_split,
    read_rows,
    rows_frame,
    write_sample_rows,
)
from automl_assets.core.probe import make_probe, write_probe
from automl_assets.core.profile import profile_table
from automl_assets.core.report.card import card_bytes
from automl_assets.core.reproduction import ReproductionReport, reproduce
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.measuring import SAMPLE_ROWS
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.planning import Machine, make_plan
from automl_assets.core.search.replay import write_records
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    ModelVersion,
    RowStep,
    Split,
)
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from tests.whole_searches import make_table, package_of, search

PATH = "data/table.parquet"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version with what was registered with it.

    Attributes:
        report: Its records.
        scratch: Where it may be made again.
    """

    version: ModelVersion
    report: Path
    store: SnapshotStore
    scratch: Path
    snapshot: DataSnapshot
    split: Split
    found: CandidateSet
    environment: dict[str, str]

    def again(self, **options: Any) -> ReproductionReport:
        """Make it again."""
        asked = {"environment": self.environment, "clock": lambda: 0.0, "at": "2026-11-21"}
        return reproduce(
            self.version, self.report, store=self.store, scratch=self.scratch, **asked | options
        )

    def with_card(self, change: Callable[[dict[str, Any]], None]) -> "Registered":
        """Return it with another card, as if it had always been so."""
        card = json.loads((self.report / "card.json").read_bytes())
        change(card)
        content = card_bytes(card)
        (self.report / "card.json").write_bytes(content)
        return self.sealed()

    def sealed(self) -> "Registered":
        """Return it with its files as they are now, as if they had been registered so."""
        digest = hashlib.sha256((self.report / "card.json").read_bytes()).hexdigest()
        tags = {**self.version.tags, "automl.report_sha256": write_inventory(self.report)}
        changes = {"card_sha256": digest, "tags": tags}
        return replace(self, version=self.version.model_copy(update=changes))

    def rewrite(self, name: str, change: Callable[[Any], None]) -> None:
        """Change one of the records behind the back of everybody."""
        content = json.loads((self.report / name).read_bytes())
        change(content)
        (self.report / name).write_text(json.dumps(content))


def register(
    folder: Path,
    kind: str = "binary",
    *,
    n_rows: int = 500,
    heavy: bool = False,
    clock: Callable[[], float] | None = None,
    change_plan: Callable[[SearchPlan], SearchPlan] = lambda plan: plan,
    **sections: dict[str, Any],
) -> Registered:
    """Search for a model, and write down what a registered version holds.

    Args:
        clock: Of the search; its time limit is counted by it.
        change_plan: Makes the search smaller.
        sections: Of the request.
    """
    store = EmbeddedSnapshotStore(folder=str(folder / "store"))
    accepted, snapshot = _commit(folder, kind, n_rows, heavy, store, sections)
    matrices = folder / "first" / "matrices"
    split = make_split(accepted, snapshot, store=store, matrices=matrices)
    limit = accepted.request.search.effective_time_limit
    artifacts = folder / "first" / "candidates"
    write_sample_rows(artifacts / SAMPLE_ROWS, snapshot, split, store=store)
    plan = make_plan(
        accepted.request,
        snapshot.profile,
        split,
        study_name="study",
        matrix=ensure_matrix(accepted, snapshot, split, store=store, matrices=matrices),
        artifacts=artifacts,
        machine=Machine(max_workers=1, memory_mb=None, seconds=limit),
    )
    plan = change_plan(plan)
    found, entries = search(plan) if clock is None else search(plan, clock=clock)
    report = folder / "report"
    write_records(report, plan, entries)
    predictor = load_predictor(package_of(plan, found))
    probe, predictions = make_probe(predictor, snapshot, split, store=store, seed=0)
    write_probe(report, probe, predictions)
    content = card_bytes(_card(accepted, snapshot, split, found, predictor, store))
    (report / "card.json").write_bytes(content)
    inventory = write_inventory(report)
    # Nothing of the search is needed, nor the model that it made.
    shutil.rmtree(folder / "first")
    return Registered(
        version=ModelVersion(
            name=accepted.request.name,
            version="3",
            aliases=("champion",),
            mlflow_run_id="run",
            artifact_sha256=found.artifact_sha256,
            card_sha256=hashlib.sha256(content).hexdigest(),
            tags={
                "automl.data_sha256": snapshot.content_sha256,
                "automl.report_sha256": inventory,
                "split_commit": split.commit_id,
            },
        ),
        report=report,
        store=store,
        scratch=folder / "scratch",
        snapshot=snapshot,
        split=split,
        found=found,
        environment=environment(),
    )


def _commit(
    folder: Path,
    kind: str,
    n_rows: int,
    heavy: bool,
    store: SnapshotStore,
    sections: dict[str, Any],
) -> tuple[AcceptedRequest, DataSnapshot]:
    frame = make_table(kind, n_rows, heavy=heavy).with_columns(twice=2 * pl.col("echo"))
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "made-up",
            "owner": "tests",
            "data": {"path": "table.parquet", "target": "target"},
            "split": {"validation": "20%", "calibration": "15%", "analysis": "20%"},
            **sections,
        }
    )
    accepted = AcceptedRequest(
        request_id=request.request_id,
        request_sha256=request.sha256,
        accepted_at="2026-11-21T09:00:00+00:00",
        request=request,
    )
    store.ensure_repository(request.name)
    file = folder / "table.parquet"
    frame.write_parquet(file)
    with store.write(
        request.name, branch="b", key="b/1", message="table", metadata={}
    ) as transaction:
        transaction.put_file(PATH, file)
    commit = transaction.commit
    return accepted, DataSnapshot(
        repository=request.name,
        commit_id=commit.commit_id,
        path=PATH,
        content_sha256=commit.content_sha256,
        source="table.parquet",
        source_sha256="0" * 64,
        rows=(RowStep(step="source", n_rows=n_rows),),
        profile=profile_table(frame.lazy(), request),
    )


def _card(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    found: CandidateSet,
    predictor: Predictor,
    store: SnapshotStore,
) -> dict[str, Any]:
    profile, target = snapshot.profile, accepted.request.data.target
    rows = read_rows(split, "analysis", store)
    frame = rows_frame(snapshot, rows, (*profile.features, target), store)
    evaluation = judge(
        JudgeInput(
            task_type=profile.task_type,
            classes=profile.classes,
            y_true=target_vector(frame[target], profile),
            prediction=predictor.predict_array(frame),
            y_train=np.arange(2) if profile.classes else np.array([0.0, 1.0]),
            metric=found.metric,
            threshold=predictor.manifest.threshold,
        )
    )
    return {
        "identity": {
            "request_id": accepted.request_id,
            "request_sha256": accepted.request_sha256,
            "accepted_at": accepted.accepted_at,
        },
        "request": json.loads(accepted.request.canonical_json()),
        "data": snapshot.model_dump(mode="json"),
        "split": split.model_dump(mode="json"),
        "search": found.model_dump(mode="json"),
        "evaluation": {"metrics": [item.model_dump(mode="json") for item in evaluation.metrics]},
        "environment": environment(),
    }
