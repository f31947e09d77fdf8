"""Folders, patterns, databases, buckets and repositories as tables."""

import io
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from automl_assets.core.errors import AutoMLError, RequestError, ServiceError, SnapshotError
from automl_assets.core.ports import SourceTable
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.sources._base import OpenedTable
from resources.sources._sql_types import write_batches
from tests.web_server import Bucket, serving


def sources(folder: Path, **options: Any) -> ConfiguredDataSources:
    return ConfiguredDataSources(
        roots=(folder,), home=folder / "home", scratch=folder / "home" / "scratch", **options
    )


def section(**data: Any) -> Data:
    return Data.model_validate({"target": "a", **data})


def read(folder: Path, path: str, **options: Any) -> pl.DataFrame:
    with sources(folder, **options).open(section(path=path)) as table:
        return table.frame.collect(engine="streaming")


def write(folder: Path, contents: dict[str, str]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


# Files


def test_a_pattern_is_one_table_in_the_order_of_the_names(tmp_path: Path) -> None:
    write(
        tmp_path, {f"s/{n}.csv": f"a\n{n}\n" for n in (3, 1, 2)} | {"s/x.txt": "", "s/.h.csv": ""}
    )

    assert read(tmp_path, "s/*.csv")["a"].to_list() == [1, 2, 3]
    assert read(tmp_path, "**/*.csv")["a"].to_list() == [1, 2, 3]
    assert read(tmp_path, str(tmp_path / "s" / "[12].csv"))["a"].to_list() == [1, 2]


def test_folders_named_by_a_value_become_columns(tmp_path: Path) -> None:
    rows = {"year=2023/day=2023-05-01/p=a%20b": 1, "year=2024/day=2024-05-01/p=c": 2}
    write(tmp_path, {f"s/{folder}/x.csv": f"a\n{n}\n" for folder, n in rows.items()})

    frame = read(tmp_path, "s")

    assert frame.rows() == [(1, 2023, date(2023, 5, 1), "a b"), (2, 2024, date(2024, 5, 1), "c")]
    assert frame.columns == ["a", "year", "day", "p"]
    assert read(tmp_path, "s/year=*/**/*.csv").columns == ["a", "year", "day", "p"]
    assert read(tmp_path, "s/year=2024/**/*.csv").columns == ["a", "day", "p"]


def test_a_folder_without_value_is_a_null_and_codes_stay_text(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"s/z=01/x.csv": "a\n1\n", "s/z=2/x.csv": "a\n2\n"}
        | {"s/z=__HIVE_DEFAULT_PARTITION__/x.csv": "a\n3\n"},
    )

    assert read(tmp_path, "s").rows() == [(1, "01"), (2, "2"), (3, None)]


def test_a_column_of_the_files_is_kept_beside_its_folder(tmp_path: Path) -> None:
    frame = pl.DataFrame({"year": [2024], "a": [1]})
    (tmp_path / "s" / "year=2024").mkdir(parents=True)
    frame.write_parquet(tmp_path / "s" / "year=2024" / "x.parquet")

    assert read(tmp_path, "s").equals(frame)


def test_types_of_text_files_are_those_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, {"1.csv": "a,b,c\n1,,01\n", "2.csv": "a,b,c\n1.5,2024-01-01,x\n"})

    assert read(tmp_path, "*.csv").rows() == [(1.0, None, "01"), (1.5, date(2024, 1, 1), "x")]


def test_a_code_in_one_file_makes_text_of_a_column_in_all(tmp_path: Path) -> None:
    write(tmp_path, {"1.csv": "a,b\n1,12\n", "2.csv": "a,b\n2,012\n"})

    assert read(tmp_path, "*.csv")["b"].to_list() == ["12", "012"]


def test_columns_may_come_in_another_order(tmp_path: Path) -> None:
    write(tmp_path, {"1.csv": "a,b\n1,2\n", "2.csv": "b,a\n3,4\n"})

    assert read(tmp_path, "*.csv").rows() == [(1, 2), (4, 3)]


def test_a_file_that_is_added_changes_the_state_and_the_digest(tmp_path: Path) -> None:
    write(tmp_path, {"s/1.csv": "a\n1\n"})
    with sources(tmp_path).open(section(path="s")) as table:
        state, digest = table.state(), table.sha256()

        write(tmp_path, {"s/2.csv": "a\n1\n"})

        assert table.state() != state
    with sources(tmp_path).open(section(path="s")) as table:
        assert table.sha256() != digest


def test_ndjson_takes_names_and_types_of_the_whole_file(tmp_path: Path) -> None:
    rows = '{"a": 1, "b": "2024-01-31", "c": null, "t": "2024-01-31T10:00:00"}\n' * 200
    write(tmp_path, {"t.jsonl": rows + '{"a": 1.5, "d": true, "c": "x"}\n'})

    frame = read(tmp_path, "t.jsonl")

    assert frame.columns == ["a", "b", "c", "t", "d"]
    assert frame.row(0) == (1.0, date(2024, 1, 31), None, datetime(2024, 1, 31, 10), None)
    assert frame.row(200) == (1.5, None, "x", None, True)


# Databases


@pytest.fixture
def shop(tmp_path: Path) -> ConfiguredDataSources:
    """A database with `orders` (20 rows, newest first) and `loose`, which has no key."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, a NUMERIC(10, 2), day DATE, "
            'paid BOOLEAN, "odd name" TEXT, secret TEXT)'
        )
        for n in range(20, 0, -1):
            row = (n, n + 0.5, f"2024-01-{n:02}", n % 2, "x", "never read")
            connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", row)
        connection.execute("CREATE TABLE loose (a INTEGER, b)")
        connection.execute("INSERT INTO loose VALUES (1, 2.5), (2, NULL)")
    return sources(tmp_path, connections={"shop": SecretStr(f"sqlite:///{file}")})


def open_rows(place: ConfiguredDataSources, **data: Any) -> tuple[pl.DataFrame, SourceTable]:
    with place.open(section(connection="shop", **data)) as table:
        return table.frame.collect(), table


def test_a_table_is_read_in_the_order_of_its_key_with_declared_types(
    shop: ConfiguredDataSources,
) -> None:
    frame, _ = open_rows(shop, table="main.orders", features={"exclude": ["secret"]})

    assert frame["id"].to_list() == list(range(1, 21))
    assert frame.row(0) == (1, 1.5, date(2024, 1, 1), True, "x")
    assert frame.columns == ["id", "a", "day", "paid", "odd name"]


def test_only_columns_that_are_needed_are_read(shop: ConfiguredDataSources) -> None:
    data = section(connection="shop", table="orders", features={"include": ["odd*"]}, time="day")

    with shop.open(data, columns=["paid"]) as table:
        assert table.frame.collect_schema().names() == ["a", "day", "paid", "odd name"]


def test_columns_of_the_predicate_are_read(shop: ConfiguredDataSources) -> None:
    rows = {"where": "id > 3 AND paid"}
    frame, _ = open_rows(shop, table="orders", features={"include": ["odd*"]}, rows=rows)

    assert frame.columns == ["id", "a", "paid", "odd name"]
    assert frame.height == 20


def test_a_range_of_time_leaves_most_other_rows_in_the_database(
    shop: ConfiguredDataSources,
) -> None:
    rows = {"from": "2024-01-10", "until": "2024-01-12"}
    frame, _ = open_rows(shop, table="orders", time="day", rows=rows)

    # A day more on each side: the exact cut is made on the rows that were read.
    assert frame["id"].to_list() == [9, 10, 11, 12]


def test_a_table_without_key_is_told(shop: ConfiguredDataSources) -> None:
    frame, table = open_rows(shop, table="loose")

    assert frame.rows() == [(1, 2.5), (2, None)]
    assert isinstance(table, OpenedTable)
    assert "no primary key" in table.warnings[0]


def test_many_batches_are_one_table(tmp_path: Path) -> None:
    batches = [[(1, "x"), (2, None)], [(3, "y")], [(None, "z")]]
    declared = {"a": pl.Int64(), "b": None}

    n_rows = write_batches(batches, ["a", "b"], declared, tmp_path / "t.parquet", table="t")

    assert n_rows == 4
    assert pl.read_parquet(tmp_path / "t.parquet").rows() == [
        *((1, "x"), (2, None), (3, "y"), (None, "z"))
    ]


def test_a_late_value_of_another_type_names_its_row(tmp_path: Path) -> None:
    batches = [[(1,), (2,)], [(3,), ("many",)]]

    with pytest.raises(SnapshotError, match="Column 'a' of 't' is Int64, and row 4 holds 'many'"):
        write_batches(batches, ["a"], {"a": None}, tmp_path / "t.parquet", table="t")


def test_a_value_that_no_number_is_made_of_names_its_row(tmp_path: Path) -> None:
    batches = [[(1.5,), (b"x",)]]

    with pytest.raises(SnapshotError, match=r"Column 'a' of 't' is Float64, and row 2 holds b'x'"):
        write_batches(batches, ["a"], {"a": pl.Float64()}, tmp_path / "t.parquet", table="t")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_our_words(tmp_path: Path) -> None:
    full = tmp_path / "t.parquet"
    full.symlink_to("/dev/full")

    with pytest.raises(SnapshotError, match="The rows of 't' need room on the disk"):
        write_batches([[(1,)]], ["a"], {"a": None}, full, table="t")


def test_rows_that_a_killed_process_left_are_swept(shop: ConfiguredDataSources) -> None:
    scratch = shop._access.scratch
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pydantic import SecretStr\n"
        "from automl_assets.core.request.sections import Data\n"
        "from resources.data_sources import ConfiguredDataSources\n"
        "scratch, url = Path(sys.argv[1]), SecretStr(sys.argv[2])\n"
        "place = ConfiguredDataSources(\n"
        "    roots=(), home=scratch.parent, scratch=scratch, connections={'shop': url})\n"
        "data = Data.model_validate({'connection': 'shop', 'table': 'orders', 'target': 'a'})\n"
        "with place.open(data):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    url = shop._access.connections["shop"].get_secret_value()
    killed = subprocess.run([sys.executable, "-c", program, str(scratch), url], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(scratch.glob("*/rows.parquet"))) == 1

    with shop.open(section(connection="shop", table="orders")):
        assert len(list(scratch.glob("*/rows.parquet"))) == 1
    assert not list(scratch.glob("*/"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@127.0.0.1:1/shop",
        "mysql+none://ada:hunter2@db/shop",
        "postgresql://ada:hunter2@x@db:port/shop",
        "sqlite:////nowhere/hunter2.db",
        "hunter2",
    ],
)
def test_errors_never_show_the_url(tmp_path: Path, url: str) -> None:
    place = sources(tmp_path, connections={"shop": SecretStr(url)})

    with pytest.raises(ServiceError) as caught, place.open(section(connection="shop", table="t")):
        pytest.fail("There is nothing to open.")

    cause = caught.value.__cause__
    assert "hunter2" not in f"{caught.value} {cause} {place._access}"
    assert cause is None


def test_a_database_where_reading_only_is_not_known_is_refused_before_it_is_asked(
    tmp_path: Path,
) -> None:
    place = sources(tmp_path, connections={"shop": SecretStr("mysql+pymysql://ada:hunter2@db/t")})

    with pytest.raises(ServiceError, match="Connections are to sqlite or postgresql"):
        place.check(section(connection="shop", table="t"))


def test_a_driver_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    place = sources(tmp_path, connections={"shop": SecretStr("postgresql://ada:hunter2@db/t")})

    with (
        pytest.raises(ServiceError, match=r"no module 'psycopg2'.*automl-assets\[cluster\]"),
        place.open(section(connection="shop", table="t")),
    ):
        pytest.fail("There is nothing to open.")


def test_a_database_cannot_be_written_by_reading(shop: ConfiguredDataSources) -> None:
    before, _ = open_rows(shop, table="loose")

    with pytest.raises(RequestError):
        open_rows(shop, table="loose; DELETE FROM loose")

    assert open_rows(shop, table="loose")[0].equals(before)


# Buckets


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The bucket `lake`, where the environment says."""
    made = Bucket("lake", "KEY")
    with serving(made) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield made


def test_of_parquet_only_what_is_needed_is_read(tmp_path: Path, bucket: Bucket) -> None:
    frame = pl.DataFrame({f"c{n}": pl.int_range(200_000, eager=True) ^ n for n in range(20)})
    bucket.objects["s/t.parquet"] = parquet_bytes(frame)

    with sources(tmp_path, url_prefixes=("s3://lake/s",)).open(
        section(path="s3://lake/s/t.parquet")
    ) as table:
        found = table.frame.select("c3").collect(engine="streaming")

    assert found.equals(frame.select("c3"))
    assert bucket.n_bytes_sent < len(bucket.objects["s/t.parquet"]) / 5


def test_a_prefix_with_folders_of_values_is_a_table(tmp_path: Path, bucket: Bucket) -> None:
    for year in (2024, 2023):
        frame = pl.DataFrame({"a": [year + 1]})
        bucket.objects[f"s/year={year}/x.parquet"] = parquet_bytes(frame)
    bucket.objects["s/_SUCCESS"] = b""
    bucket.objects["s2/x.parquet"] = b"not ours"

    found = read(tmp_path, "s3://lake/s/", url_prefixes=("s3://lake/s/",))

    assert found.rows() == [(2024, 2023), (2025, 2024)]


def test_objects_of_other_formats_have_a_limit(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects["s/t.csv"] = b"a\n1\n2\n"

    with pytest.raises(RequestError, match=r"at most 5 bytes.*have 6"):
        read(tmp_path, "s3://lake/s/t.csv", url_prefixes=("s3://lake",), max_download_bytes=5)


def test_a_refused_key_is_told_without_the_secret(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OTHER")

    with pytest.raises(ServiceError, match="Check the bucket, and the keys") as caught:
        read(tmp_path, "s3://lake/s/t.csv", url_prefixes=("s3://lake",))

    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


# Repositories


@pytest.fixture
def warehouse(tmp_path: Path) -> ConfiguredDataSources:
    """A repository with the branches `main` and `staging`."""
    store = EmbeddedSnapshotStore(folder=str(tmp_path / "store"))
    store.ensure_repository("warehouse")
    for branch, n in (("main", 1), ("staging", 2)):
        with store.write(
            "warehouse", branch=branch, key=f"{branch}/1", message="Load", metadata={}
        ) as transaction:
            frame = pl.DataFrame({"a": [n]})
            transaction.put_bytes("orders/year=2024/x.parquet", parquet_bytes(frame))
            transaction.put_bytes("orders.yaml", b"columns: {}\n")
    return sources(tmp_path, snapshot_store=store)


def test_a_ref_is_resolved_once_and_main_is_meant_without_one(
    warehouse: ConfiguredDataSources,
) -> None:
    staging = section(repository="warehouse", table="orders", ref="staging")
    pinned = warehouse.pin(staging)

    assert warehouse.pin(pinned) == pinned
    assert pinned.commit != warehouse.pin(staging.model_copy(update={"ref": None})).commit
    with warehouse.open(pinned) as table:
        assert table.frame.collect().rows() == [(2, 2024)]
        assert table.description == f"lakefs://warehouse/{pinned.commit}/orders"


def test_a_ref_that_is_misspelt_is_answered_with_the_branches(
    warehouse: ConfiguredDataSources,
) -> None:
    message = (
        r"data\.ref 'man' is not a branch, tag or commit of warehouse\. "
        r"Branches: main, staging; did you mean 'main'\?"
    )

    with pytest.raises(SnapshotError, match=message):
        warehouse.pin(section(repository="warehouse", table="orders", ref="man"))


def test_a_table_that_is_misspelt_is_answered_with_the_nearest(
    warehouse: ConfiguredDataSources,
) -> None:
    data = section(repository="warehouse", table="order")

    with pytest.raises(SnapshotError, match=r"no 'order'\. Did you mean 'orders'\?"):
        warehouse.check(data)


def test_without_a_store_repositories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="none is configured"):
        sources(tmp_path).check(section(repository="warehouse", table="orders"))


# Text that lies with the data


def test_a_contract_is_read_from_the_repository_at_the_commit(
    warehouse: ConfiguredDataSources,
) -> None:
    data = section(repository="warehouse", table="orders")

    assert warehouse.read_text(data, "orders.yaml", max_bytes=100) == "columns: {}\n"
    with pytest.raises(RequestError, match=r"Did you mean 'orders\.yaml'"):
        warehouse.read_text(data, "order.yaml", max_bytes=100)
    with pytest.raises(RequestError, match="may have 5 bytes"):
        warehouse.read_text(data, "orders.yaml", max_bytes=5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../outside.yaml", "is outside"),
        ("large.yaml", "may have 10 bytes. It has 100"),
        ("latin.yaml", "byte 0xe9 at offset 3"),
        ("none.yaml", "There is no 'none.yaml'"),
        ("home/x.yaml", "outside the platform's own folder"),
    ],
)
def test_a_contract_is_read_from_the_allowed_folders(
    tmp_path: Path, path: str, message: str
) -> None:
    write(tmp_path, {"root/large.yaml": "x" * 100, "root/home/x.yaml": "x", "outside.yaml": "x"})
    (tmp_path / "root" / "latin.yaml").write_bytes(b"caf\xe9")
    (tmp_path / "root" / "good.yaml").write_text("é: 1\n")
    place, data = sources(tmp_path / "root"), section(path="t.csv")

    assert place.read_text(data, "good.yaml", max_bytes=10) == "é: 1\n"
    with pytest.raises(AutoMLError, match=message):
        place.read_text(data, path, max_bytes=10)
