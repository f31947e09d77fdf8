"""One request on the embedded store and on lakeFS: the same data, parts and predictions."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from automl_assets.core.judgement import PREDICTIONS
from automl_assets.core.prepare import read_rows
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import PARTS, DataSnapshot, EvaluationReport, Split
from automl_assets.definitions import TRAIN_JOB, build_adapters, build_definitions
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings
from tests.lakefs_server import LakeFSStandIn

pytestmark = pytest.mark.slow

N_ROWS = 2_000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    x, z = generator.normal(size=(2, N_ROWS))
    shop = generator.integers(0, 40, N_ROWS)
    frame = pl.DataFrame(
        {
            "x": x,
            "z": pl.Series(np.where(generator.random(N_ROWS) < 0.1, np.nan, z)).fill_nan(None),
            "shop": [f"shop {value}" for value in shop],
            "day": pl.Series((np.arange(N_ROWS) // 10).astype("datetime64[D]")),
            "sold": np.where(x + 0.2 * (shop % 5) + generator.normal(size=N_ROWS) > 0.4, "y", "n"),
        }
    )
    frame.write_csv(tmp_path / "sales.csv")
    return tmp_path / "sales.csv"


@pytest.fixture
def lakefs() -> Iterator[LakeFSStandIn]:
    with LakeFSStandIn() as server:
        yield server


def run(settings: Settings) -> tuple[DataSnapshot, Split, EvaluationReport]:
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "sold",
            "owner": "ann",
            "data": {
                "path": "sales.csv",
                "target": "sold",
                "rows": {"where": "x > -2 AND shop <> 'shop 3'", "sample": {"max_rows": 1500}},
            },
            "model": {"families": ["lightgbm"]},
            "search": {"n_trials": 2, "workers": 1},
        }
    )
    store = build_adapters(settings).request_store
    store.accept(request, text=request.to_yaml(), source="test", now=datetime.now(UTC))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(training_requests.name), [request.request_id])
        result = (
            build_definitions(settings)
            .resolve_job_def(TRAIN_JOB)
            .execute_in_process(instance=instance, partition_key=request.request_id)
        )
    return tuple(
        result.asset_value(name) for name in ("data_snapshot", "splits", "evaluation_report")
    )


def test_a_request_gives_the_same_on_both_stores(
    table: Path, tmp_path: Path, lakefs: LakeFSStandIn
) -> None:
    folder = tmp_path / "embedded"
    local = Settings(home=folder, data_roots=str(tmp_path))
    remote = Settings(
        home=tmp_path / "remote",
        data_roots=str(tmp_path),
        lakefs_endpoint=lakefs.endpoint,
        lakefs_access_key_id=lakefs.access_key_id,
        lakefs_secret_access_key=lakefs.secret_access_key,
        lakefs_storage_namespace=lakefs.storage_namespace,
    )

    (one, one_split, one_report), (two, two_split, two_report) = run(local), run(remote)

    assert one.commit_id != two.commit_id
    assert one.content_sha256 == two.content_sha256
    assert one.profile == two.profile
    assert [part.sha256 for part in one_split.parts] == [part.sha256 for part in two_split.parts]
    assert one_split.matrix_id == two_split.matrix_id
    stores = [build_adapters(settings).snapshot_store for settings in (local, remote)]
    for part in PARTS:
        rows = [
            read_rows(s, part, st) for s, st in zip((one_split, two_split), stores, strict=True)
        ]
        assert np.array_equal(*rows)
    predictions = [
        pl.read_parquet(settings.reports_folder / report.folder / PREDICTIONS)
        for settings, report in ((local, one_report), (remote, two_report))
    ]
    assert predictions[0].equals(predictions[1])
    assert not (remote.store_folder / "refs.sqlite3").exists()


def test_the_secret_is_in_no_file_of_the_home(
    table: Path, tmp_path: Path, lakefs: LakeFSStandIn
) -> None:
    remote = Settings(
        home=tmp_path / "remote",
        data_roots=str(tmp_path),
        lakefs_endpoint=lakefs.endpoint,
        lakefs_access_key_id=lakefs.access_key_id,
        lakefs_secret_access_key=lakefs.secret_access_key,
        lakefs_storage_namespace=lakefs.storage_namespace,
    )

    run(remote)

    secret = lakefs.secret_access_key.encode()
    files = [path for path in remote.root.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret in path.read_bytes()] == []
