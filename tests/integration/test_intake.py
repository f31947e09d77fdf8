"""What is looked at before a request is accepted, beyond its text."""

from pathlib import Path

import polars as pl
import pytest

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.intake import reach
from automl_assets.core.request import TrainingRequest
from resources.data_sources import ConfiguredDataSources
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

CONTRACT = b"apiVersion: automl/v1\nkind: DataContract\n"


@pytest.fixture
def sources(tmp_path: Path) -> ConfiguredDataSources:
    home = tmp_path / "home"
    store = EmbeddedSnapshotStore(folder=str(home / "store"))
    store.ensure_repository("warehouse")
    pl.DataFrame({"churned": [0, 1]}).write_parquet(tmp_path / "part.parquet")
    with store.write(
        "warehouse", branch="main", key="main/1", message="Sales", metadata={}
    ) as transaction:
        transaction.put_file("sales/part.parquet", tmp_path / "part.parquet")
        transaction.put_bytes(
            "contracts/sales.yaml", b"apiVersion: automl/v1\nkind: DataContract\n"
        )
    return ConfiguredDataSources(
        roots=(tmp_path,), home=home, scratch=home / "scratch", snapshot_store=store
    )


def request(**data: object) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ann",
            "data": {"target": "churned", **data},
        }
    )


def test_data_outside_the_allowed_folders_are_refused(sources: ConfiguredDataSources) -> None:
    with pytest.raises(RequestError, match=r"data\.path must lie"):
        reach(request(path="/etc/passwd"), sources)


def test_data_within_the_allowed_folders_pass(
    sources: ConfiguredDataSources, tmp_path: Path
) -> None:
    (tmp_path / "churn.csv").write_text("churned\n1\n")

    assert reach(request(path="churn.csv"), sources) == ""


@pytest.mark.parametrize("path", ["home/store/rows.csv", "link.csv"])
def test_data_within_the_home_are_refused(
    sources: ConfiguredDataSources, tmp_path: Path, path: str
) -> None:
    (tmp_path / "home" / "store" / "rows.csv").write_text("churned\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "home" / "store" / "rows.csv")

    with pytest.raises(RequestError, match=r"must lie outside the platform's own folder .*/home"):
        reach(request(path=path), sources)


def test_a_branch_is_resolved_to_the_commit_of_this_moment(
    sources: ConfiguredDataSources,
) -> None:
    asked = request(repository="warehouse", table="sales/", expect="contracts/sales.yaml")

    assert len(reach(asked, sources)) == 64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ref": "man"}, r"'man' is not a branch, tag or commit of warehouse.*'main'"),
        ({"expect": "contracts/none.yaml"}, r"contracts/none\.yaml"),
        ({"repository": "warehous"}, r"'warehous'.*'warehouse'"),
    ],
)
def test_what_is_not_there_is_refused_before_a_run(
    sources: ConfiguredDataSources, data: dict[str, str], message: str
) -> None:
    asked = request(**{"repository": "warehouse", "table": "sales/", **data})

    with pytest.raises((RequestError, SnapshotError), match=message):
        reach(asked, sources)


def test_a_contract_with_an_unknown_key_is_refused_before_a_run(
    sources: ConfiguredDataSources, tmp_path: Path
) -> None:
    (tmp_path / "churn.csv").write_text("churned\n1\n")
    (tmp_path / "bad.yaml").write_text("apiVersion: automl/v1\nkind: DataContract\ncolums: {}\n")

    with pytest.raises(RequestError, match=r"bad\.yaml:3:1: unknown key 'colums'.*'columns'"):
        reach(request(path="churn.csv", expect="bad.yaml"), sources)
