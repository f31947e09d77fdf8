"""The graph of assets: what there is, how it hangs together, and what stops it."""

from datetime import UTC, datetime
from pkgutil import iter_modules

import dagster as dg
import numpy as np
import polars as pl
import pytest

from automl_assets import core
from automl_assets.assets.code import MODULES, SHARED
from automl_assets.assets.data import splits
from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.ports import Progress
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.plan import SearchStatus
from automl_assets.core.values import DataSnapshot
from automl_assets.definitions import TRAIN_JOB, build_adapters, build_definitions
from automl_assets.partitions import registered_versions, training_requests
from automl_assets.settings import Settings

GRAPH = {
    "training_request": set(),
    "data_snapshot": {"training_request"},
    "splits": {"training_request", "data_snapshot"},
    "candidate_models": {"training_request", "data_snapshot", "splits"},
    "evaluation_report": {"training_request", "data_snapshot", "splits", "candidate_models"},
    "registered_model": {
        "training_request",
        "data_snapshot",
        "splits",
        "candidate_models",
        "evaluation_report",
    },
    "reproduction_report": set(),
}
OF_A_REQUEST = set(GRAPH) - {"reproduction_report"}


class SilentProgress(Progress):
    """Hears everything and says nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stage(self, name: str, text: str) -> None:
        self.told.append(f"{name} {text}")

    def search(self, status: SearchStatus) -> None:
        self.told.append(f"search {status.n_finished}")


def accept(settings: Settings, table: pl.DataFrame, **data: object) -> str:
    table.write_parquet(settings.root.parent / "table.parquet")
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "toy",
            "owner": "someone",
            "data": {"path": "table.parquet", "target": "y", **data},
            "search": {"n_trials": 1},
            "model": {"families": ["linear"]},
        }
    )
    store = build_adapters(settings).request_store
    store.accept(request, text=request.to_yaml(), source="test", now=datetime.now(UTC))
    return request.request_id


def toy(n_rows: int) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    x = generator.normal(size=n_rows)
    return pl.DataFrame({"x": x, "y": np.where(x + generator.normal(size=n_rows) > 0, "a", "b")})


def execute_data(settings: Settings, request_id: str):
    """Run what comes before the splits, with its check."""
    definitions = build_definitions(settings, SilentProgress())
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(training_requests.name), [request_id])
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key=request_id,
            raise_on_error=False,
            asset_selection=[dg.AssetKey("training_request"), dg.AssetKey("data_snapshot")],
        )


def execute(settings: Settings, request_id: str):
    definitions = build_definitions(settings, SilentProgress())
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(training_requests.name), [request_id])
        return definitions.resolve_job_def(TRAIN_JOB).execute_in_process(
            instance=instance,
            partition_key=request_id,
            raise_on_error=False,
        )


def test_the_graph_is_what_the_documents_say() -> None:
    definitions = build_definitions(Settings())

    graph = definitions.resolve_asset_graph()

    assert {
        key.to_user_string(): {up.to_user_string() for up in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    } == GRAPH
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_every_asset_explains_itself(name: str) -> None:
    graph = build_definitions(Settings()).resolve_asset_graph()

    node = graph.get(dg.AssetKey(name))

    assert node.description
    assert node.code_version
    assert node.owners == ["team:automl"]
    assert node.kinds
    assert node.group_name != "default"
    expected = training_requests if name in OF_A_REQUEST else registered_versions
    assert node.partitions_def == expected


def test_a_table_that_breaks_its_contract_is_not_trained_on(settings: Settings) -> None:
    request_id = accept(settings, toy(100))

    result = execute(settings, request_id)

    assert not result.success
    done = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert done == {"training_request", "data_snapshot"}
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "of at least 20 rows" in check.description


def test_a_contract_that_was_mended_is_read_anew_and_then_final(settings: Settings) -> None:
    contract = settings.root.parent / "contract.yaml"
    contract.write_text("apiVersion: automl/v1\nkind: DataContract\ncolumns: {x: {max: 0}}\n")
    request_id = accept(settings, toy(400), expect="contract.yaml")
    broken = execute_data(settings, request_id)

    contract.write_text("apiVersion: automl/v1\nkind: DataContract\ncolumns: {x: {max: 99}}\n")
    mended = execute_data(settings, request_id)
    contract.write_text("apiVersion: automl/v1\nkind: DataContract\ncolumns: {x: {max: 0}}\n")
    again = execute_data(settings, request_id)

    (check,) = broken.get_asset_check_evaluations()
    assert not check.passed
    assert "x:" in check.description
    assert [step.success for step in (broken, mended, again)] == [False, True, True]
    snapshots = [result.asset_value("data_snapshot") for result in (broken, mended, again)]
    assert snapshots[0].commit_id != snapshots[1].commit_id == snapshots[2].commit_id


def test_a_parquet_file_that_was_mended_is_read_anew(settings: Settings) -> None:
    contract = settings.root.parent / "contract.yaml"
    contract.write_text(
        "apiVersion: automl/v1\nkind: DataContract\ncolumns: {flag: {mean: {min: 0.9}}}\n"
    )
    table = toy(400).with_columns(flag=pl.Series([0, 1] * 20 + [0] * 360))
    request_id = accept(settings, table, expect="contract.yaml")
    broken = execute_data(settings, request_id)

    # The same types, sizes and ends: the footer may well be the same.
    accept(settings, table.with_columns(flag=1 - pl.col("flag")), expect="contract.yaml")
    mended = execute_data(settings, request_id)

    assert (broken.success, mended.success) == (False, True)


def test_the_version_of_the_preprocessing_is_part_of_the_code_version_of_the_splits() -> None:
    spec = splits.get_asset_spec()

    assert str(spec.code_version).endswith(f"-{preprocessing_version()}")


@pytest.mark.slow
def test_a_request_becomes_a_model_version_and_a_second_run_finds_it(settings: Settings) -> None:
    request_id = accept(settings, toy(400))

    first, second = execute(settings, request_id), execute(settings, request_id)

    assert first.success
    assert second.success
    for name in OF_A_REQUEST:
        assert first.asset_value(name) == second.asset_value(name)
    snapshot = first.asset_value("data_snapshot")
    assert isinstance(snapshot, DataSnapshot)
    assert snapshot.uri.startswith(f"lakefs://toy/{snapshot.commit_id}/")
    assert {
        event.asset_key.to_user_string() for event in first.get_asset_materialization_events()
    } == OF_A_REQUEST


def test_every_module_of_the_domain_belongs_to_the_version_of_an_asset() -> None:
    named = {name for modules in MODULES.values() for name in modules} | set(SHARED)

    modules = {f"automl_assets.core.{info.name}" for info in iter_modules(core.__path__)}

    assert modules - named == set()
    assert {name for name in named if name.startswith("automl_assets.core.")} - modules == set()


def test_parts_that_follow_the_target_are_refused_before_the_search(settings: Settings) -> None:
    table = pl.DataFrame(
        {"when": range(400), "x": np.sin(range(400)), "y": ["a"] * 200 + ["b"] * 200}
    )
    request_id = accept(settings, table, time="when")

    result = execute(settings, request_id)

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "splits"
    assert "The target follows data.time" in str(failure.event_specific_data.error.cause.message)
