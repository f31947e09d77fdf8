"""A file of the user becomes a commit that requests can name."""

from pathlib import Path

import polars as pl
import pytest

from automl_assets.cli.data_commit import commit_file
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.request.sections import Data
from automl_assets.definitions import build_adapters
from automl_assets.settings import Settings


@pytest.fixture
def table(settings: Settings) -> Path:
    file = settings.root.parent / "sales.csv"
    file.write_text("zip,sold\n01234,1\n99999,2\n")
    return file


def put(file: Path, path: str = "sales/1.parquet", branch: str = "main") -> None:
    commit_file(file, "warehouse", path=path, branch=branch, message="")


def test_a_committed_table_is_read_by_its_repository(
    settings: Settings, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(table)

    uri = capsys.readouterr().out.strip()
    sources = build_adapters(settings).data_sources
    data = sources.pin(
        Data.model_construct(repository="warehouse", table="sales/", ref=None, path=None)
    )
    assert uri == f"lakefs://warehouse/{data.commit}/sales/1.parquet"
    with sources.open(data) as opened:
        assert opened.frame.collect().rows() == [("01234", 1), ("99999", 2)]


def test_other_files_are_kept_as_they_are(settings: Settings, tmp_path: Path) -> None:
    contract = tmp_path / "sales.yaml"
    contract.write_bytes(b"kind: DataContract\n")

    put(contract, "contracts/sales.yaml")

    store = build_adapters(settings).snapshot_store
    head = store.branches("warehouse")["main"]
    assert store.read_bytes("warehouse", head, "contracts/sales.yaml") == b"kind: DataContract\n"
    assert contract.exists()


def test_a_table_may_come_back_to_what_it_was(settings: Settings, table: Path) -> None:
    first = table.read_text()
    for text in (first, first + "1,3\n", first):
        table.write_text(text)
        put(table)

    store = build_adapters(settings).snapshot_store
    frames = [
        store.scan("warehouse", commit.commit_id, "sales/1.parquet").select(pl.len()).collect()
        for commit in store.log("warehouse", "main")
    ]
    assert [frame.item() for frame in frames] == [2, 3, 2]


def test_the_same_file_again_is_no_commit(settings: Settings, table: Path) -> None:
    put(table)

    with pytest.raises(SnapshotError, match="changes nothing"):
        put(table)


def test_the_platforms_own_branch_is_not_for_users(settings: Settings, table: Path) -> None:
    with pytest.raises(RequestError, match="Name another branch"):
        put(table, branch="accepted")
