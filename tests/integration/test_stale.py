"""`automl stale` sees what Dagster's graph does not: moved data, code and preprocessing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from automl_assets.cli.execution import CommandLine, build_for_cli
from automl_assets.cli.stale import stale_reasons
from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.files import publish_text
from automl_assets.core.ingest import ingest
from automl_assets.core.prepare import make_split
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import Value
from automl_assets.definitions import build_adapters
from automl_assets.settings import Settings


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def cli(settings: Settings) -> Iterator[CommandLine]:
    with build_for_cli(settings, Console(quiet=True)) as cli:
        yield cli


def keep(settings: Settings, asset: str, request_id: str, value: Value) -> None:
    publish_text(settings.values_folder / asset / f"{request_id}.json", value.model_dump_json())


def run_data_steps(settings: Settings) -> tuple[str, Path]:
    """Do what the assets up to the splits do, without a run."""
    source = settings.root.parent / "table.csv"
    pl.DataFrame({"x": range(400), "y": ["a", "b"] * 200}).sample(
        fraction=1.0, shuffle=True, seed=0
    ).write_csv(source)
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "toy",
            "owner": "someone",
            "data": {"path": "table.csv", "target": "y"},
        }
    )
    adapters = build_adapters(settings)
    accepted = adapters.request_store.accept(
        request, text=request.to_yaml(), source="test", now=datetime.now(UTC)
    )
    store = adapters.snapshot_store
    with adapters.data_sources.open(request.data) as table:
        snapshot = ingest(accepted, source=table, store=store, scratch=settings.scratch_folder)
    split = make_split(accepted, snapshot, store=store, matrices=settings.matrices_folder)
    keep(settings, "data_snapshot", accepted.request_id, snapshot)
    keep(settings, "splits", accepted.request_id, split)
    return accepted.request_id, source


def materialize(
    instance: dg.DagsterInstance, cli: CommandLine, request_id: str, **versions: str
) -> None:
    """Record that all assets of a request ran, with the present code where none is given."""
    for spec in cli.definitions.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        version = versions.get(name, str(spec.code_version))
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                spec.key, partition=request_id, tags={"dagster/code_version": version}
            )
        )


def test_nothing_is_stale_right_after_a_run(settings, cli, instance) -> None:
    request_id, _ = run_data_steps(settings)
    materialize(instance, cli, request_id)

    assert stale_reasons(cli, instance) == {}


def test_a_source_that_changed_is_named(settings, cli, instance) -> None:
    request_id, source = run_data_steps(settings)
    materialize(instance, cli, request_id)

    source.write_text(source.read_text() + "1,a\n")

    assert stale_reasons(cli, instance) == {
        request_id: ["DATA: table.csv changed since it was read"]
    }


def test_a_source_that_is_gone_is_named(settings, cli, instance) -> None:
    request_id, source = run_data_steps(settings)

    source.unlink()

    (reason,) = stale_reasons(cli, instance)[request_id]
    assert "the source cannot be read any more" in reason


def test_code_that_moved_is_named_by_its_asset(settings, cli, instance) -> None:
    request_id, _ = run_data_steps(settings)
    materialize(instance, cli, request_id, candidate_models="an older one")

    assert stale_reasons(cli, instance) == {request_id: ["CODE of candidate_models"]}


def test_only_the_newest_run_of_a_request_counts(settings, cli, instance) -> None:
    request_id, _ = run_data_steps(settings)
    materialize(instance, cli, request_id, candidate_models="an older one")
    materialize(instance, cli, request_id)

    assert stale_reasons(cli, instance) == {}


def test_moved_preprocessing_is_named(
    settings, cli, instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id, _ = run_data_steps(settings)
    materialize(instance, cli, request_id)

    monkeypatch.setattr("automl_assets.cli.stale.preprocessing_version", lambda: "another")

    assert preprocessing_version() != "another"
    assert stale_reasons(cli, instance) == {request_id: ["PREPROCESSING"]}
