"""The checks of the data, run by Dagster: what stops a run, and what people see of it."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from automl_assets.checks.data import data_contract, split_comparison
from automl_assets.core.acceptance import last_acceptance
from automl_assets.core.ports import Progress
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.plan import SearchStatus
from automl_assets.core.values import AcceptedRequest, DataSnapshot, Finding, Split
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

TABLE_PATH, CONTRACT_PATH = "data/table.parquet", "contract.yaml"
CONTRACT = """apiVersion: automl/v1
kind: DataContract
columns:
  x: {type: integer, min: 0, statistics: {tolerance: 0.1}}
  plan: {values: [basic, plus]}
"""


class Told(Progress):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, text: str) -> None:
        self.lines.append(f"{name} {text}")

    def search(self, status: SearchStatus) -> None:
        raise AssertionError("no check searches")


def table(n_rows: int = 400, **columns: Any) -> pl.DataFrame:
    content = {
        "x": [n % 10 for n in range(n_rows)],
        "plan": ["basic", "plus"] * (n_rows // 2),
        "y": [n % 2 for n in range(n_rows)],
    }
    return pl.DataFrame(content | columns)


def accepted(purpose: str = "") -> AcceptedRequest:
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "toy",
            "owner": "ann",
            "purpose": purpose,
            "data": {"path": "toy.csv", "target": "y", "expect": "toy.contract.yaml"},
        }
    )
    return AcceptedRequest(
        request_id=request.request_id,
        request_sha256=request.sha256,
        accepted_at="2026-10-20T12:00:00+00:00",
        request=request,
    )


def open_store(folder: Path) -> EmbeddedSnapshotStore:
    store = EmbeddedSnapshotStore(folder=str(folder / "store"))
    store.ensure_repository("toy")
    return store


def commit(
    store: EmbeddedSnapshotStore,
    request: AcceptedRequest,
    content: pl.DataFrame,
    folder: Path,
    contract: str = CONTRACT,
) -> DataSnapshot:
    file = folder / "table.parquet"
    content.write_parquet(file)
    with store.write(
        "toy",
        branch=request.request_id,
        key=f"{request.request_id}/data_snapshot",
        message="a table",
        metadata={},
    ) as transaction:
        transaction.put_file(TABLE_PATH, file)
        if contract:
            transaction.put_bytes(CONTRACT_PATH, contract.encode())
    return DataSnapshot(
        repository="toy",
        commit_id=transaction.commit.commit_id,
        path=TABLE_PATH,
        content_sha256=transaction.commit.content_sha256,
        source="toy.csv",
        source_sha256="0" * 64,
        rows=(),
        profile=profile_table(content.lazy(), request.request),
        contract_path=CONTRACT_PATH if contract else "",
    )


def check(
    store: EmbeddedSnapshotStore, request: AcceptedRequest, snapshot: DataSnapshot
) -> tuple[dg.AssetCheckEvaluation, Told, bool]:
    """Materialize the snapshot with its check, and something behind it."""
    told = Told()

    @dg.asset(name="training_request", partitions_def=training_requests)
    def request_asset() -> AcceptedRequest:
        return request

    @dg.asset(name="data_snapshot", partitions_def=training_requests, deps=["training_request"])
    def snapshot_asset() -> DataSnapshot:
        return snapshot

    @dg.asset(name="behind", partitions_def=training_requests, deps=["data_snapshot"])
    def behind() -> None:
        return None

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(training_requests.name), [request.request_id])
        result = dg.materialize(
            [request_asset, snapshot_asset, behind, data_contract],
            instance=instance,
            partition_key=request.request_id,
            resources={
                "snapshot_store": store,
                "progress": told,
                "settings": Settings(home=Path(store.folder).parent / "home"),
            },
            raise_on_error=False,
        )
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation, told, bool(result.asset_materializations_for_node("behind"))


def rows_of(evaluation: dg.AssetCheckEvaluation, name: str) -> list[dict[str, Any]]:
    value = evaluation.metadata[name]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_a_snapshot_that_keeps_its_contract_is_accepted_and_goes_on(tmp_path: Path) -> None:
    store, request = open_store(tmp_path), accepted()
    snapshot = commit(store, request, table(), tmp_path)

    evaluation, told, went_on = check(store, request, snapshot)

    assert evaluation.passed
    assert evaluation.blocking
    assert went_on
    assert told.lines == []
    assert evaluation.description == f"All {len(rows_of(evaluation, 'rules'))} rules hold."
    assert "plan: {values: [basic, plus]}" in str(evaluation.metadata["contract"].value)
    last = last_acceptance("toy", store=store)
    assert last is not None
    assert (last.request_id, last.snapshot, last.contract) == (
        request.request_id,
        snapshot,
        CONTRACT,
    )


def test_a_broken_contract_stops_the_run_and_says_where(tmp_path: Path) -> None:
    store, request = open_store(tmp_path), accepted()
    bad = table(x=[-1, *([5] * 399)], plan=["family"] * 8 + ["basic"] * 392)
    snapshot = commit(store, request, bad, tmp_path)

    evaluation, told, went_on = check(store, request, snapshot)

    assert not evaluation.passed
    assert not went_on
    assert evaluation.description == (
        "2 checks failed. x: 1 row below 0 (first: row 0). "
        "plan: new category 'family' (2 %) (first: row 0). "
        "Fix the data, or change toy.contract.yaml and submit again"
    )
    assert [line.split(":")[0] for line in told.lines] == ["broken x min", "broken plan values"]
    assert all(line.endswith("Fix the data, or change the contract.") for line in told.lines)
    assert rows_of(evaluation, "rules")[0]["cure"] == "Fix the data, or change the contract."
    assert rows_of(evaluation, "first_rows")[:2] == [
        {"rule": "x min", "row": 0, "value": "-1"},
        {"rule": "plan values", "row": 0, "value": "'family'"},
    ]
    assert last_acceptance("toy", store=store) is None


def test_data_that_moved_are_held_against_the_last_accepted(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = accepted("first"), accepted("second")
    check(store, first, commit(store, first, table(), tmp_path))
    moved = commit(
        store,
        second,
        table(x=[n % 10 + 50 for n in range(400)]),
        tmp_path,
        CONTRACT.replace("min: 0", "min: 1"),
    )

    evaluation, _, went_on = check(store, second, moved)

    assert not went_on
    assert str(evaluation.description).startswith(
        "2 checks failed. x: mean 54.5, was 4.5 in the last accepted snapshot (0.45 more or less "
    )
    assert evaluation.metadata["compared_with"].value == first.request_id
    drift = {(row["column"], row["what"]) for row in rows_of(evaluation, "drift")}
    assert drift >= {("x", "mean"), ("x", "maximum"), ("x", "psi")}
    assert rows_of(evaluation, "contract_drift") == [
        {
            "column": "x",
            "what": "min",
            "before": "0",
            "after": "1",
            "size": "",
            "notable": True,
        }
    ]


def test_a_second_run_compares_with_what_the_first_one_did(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = accepted("first"), accepted("second")
    check(store, first, commit(store, first, table(), tmp_path))
    snapshot = commit(store, second, table(402), tmp_path)
    once, _, _ = check(store, second, snapshot)

    again, _, _ = check(store, second, snapshot)

    assert again.metadata["compared_with"].value == first.request_id
    assert rows_of(again, "drift") == rows_of(once, "drift")


def test_a_snapshot_without_a_contract_keeps_the_rules_of_the_platform(tmp_path: Path) -> None:
    store, request = open_store(tmp_path), accepted()
    snapshot = commit(store, request, table(100), tmp_path, contract="")

    evaluation, _, went_on = check(store, request, snapshot)

    assert not went_on
    assert "validation gets 15 of at least 20 rows" in str(evaluation.description)
    assert str(evaluation.description).endswith("Fix the data and submit again")
    assert "contract" not in evaluation.metadata


def compare(*findings: Finding) -> dg.AssetCheckEvaluation:
    split = Split(
        repository="toy",
        commit_id="0" * 64,
        strategy="random",
        seed=0,
        parts=(),
        preprocessing_version="1",
        matrix_id="m",
        feature_names=("x",),
        findings=findings,
    )

    @dg.asset(name="splits", partitions_def=training_requests)
    def splits_asset() -> Split:
        return split

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(training_requests.name), ["toy-1"])
        result = dg.materialize(
            [splits_asset, split_comparison], instance=instance, partition_key="toy-1"
        )
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation


def test_parts_that_share_rows_are_a_warning_that_stops_nothing() -> None:
    finding = Finding(
        rule="duplicates across parts",
        action="warned",
        value=0.25,
        limit=0.01,
        detail="25 % of the analysis rows equal a row of train.",
    )

    evaluation = compare(finding)

    assert not evaluation.passed
    assert not evaluation.blocking
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert evaluation.description == finding.detail
    assert rows_of(evaluation, "findings")[0]["value"] == "0.25"


def test_parts_that_are_strangers_pass() -> None:
    assert compare().passed
    assert compare(Finding(rule="group", action="kept", detail="Asked for.")).passed
