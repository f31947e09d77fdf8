"""Values between assets as JSON files."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from automl_assets.core.errors import RequestError
from automl_assets.core.values import ModelVersion, RowStep
from resources.value_store import JsonValueStore

KEYS = dg.StaticPartitionsDefinition(["churn-0123456789"])
KEY = "churn-0123456789"
ROWS = RowStep(step="read", n_rows=7)


def run(folder: Path, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets,
        partition_key=KEY,
        resources={"io_manager": JsonValueStore(folder=str(folder))},
        instance=dg.DagsterInstance.ephemeral(),
    )


@dg.asset(partitions_def=KEYS)
def waterfall() -> dg.MaterializeResult[RowStep]:
    return dg.MaterializeResult(value=ROWS)


def test_a_value_reaches_the_next_asset_and_stays_readable(tmp_path: Path) -> None:
    seen: list[RowStep] = []

    @dg.asset(partitions_def=KEYS)
    def reader(waterfall: RowStep) -> None:
        seen.append(waterfall)

    run(tmp_path, waterfall, reader)

    assert seen == [ROWS]
    assert (tmp_path / "waterfall" / f"{KEY}.json").read_text().startswith("{\n")
    assert JsonValueStore(folder=str(tmp_path)).read("waterfall", KEY, RowStep) == ROWS


def test_what_is_no_value_is_refused(tmp_path: Path) -> None:
    @dg.asset(partitions_def=KEYS)
    def table() -> Any:
        return {"n_rows": 7}

    with pytest.raises(TypeError, match="asset 'table' returned a dict"):
        run(tmp_path, table)
    assert list(tmp_path.iterdir()) == []


def test_an_input_without_a_value_type_is_refused(tmp_path: Path) -> None:
    @dg.asset(partitions_def=KEYS)
    def reader(waterfall: Any) -> None: ...

    with pytest.raises(TypeError, match=r"input for asset 'waterfall' is annotated with"):
        run(tmp_path, waterfall, reader)


def test_an_input_that_was_not_made_says_what_to_do(tmp_path: Path) -> None:
    @dg.asset(partitions_def=KEYS)
    def reader(waterfall: RowStep) -> None: ...

    with pytest.raises(FileNotFoundError, match="Materialize the asset first"):
        dg.materialize(
            [waterfall, reader],
            selection=[reader],
            partition_key=KEY,
            resources={"io_manager": JsonValueStore(folder=str(tmp_path))},
            instance=dg.DagsterInstance.ephemeral(),
        )


def test_a_value_that_was_not_made_is_none(tmp_path: Path) -> None:
    assert JsonValueStore(folder=str(tmp_path)).read("registered_model", KEY, ModelVersion) is None


@pytest.mark.parametrize("request_id", ["../churn", "a/b", "", ".hidden", "a\n"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, request_id: str) -> None:
    with pytest.raises(RequestError, match="Check the request id"):
        JsonValueStore(folder=str(tmp_path)).read("waterfall", request_id, RowStep)
