"""What every source promises; a new one joins by a place in `PLACES`."""

import io
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from automl_assets.core.errors import AutoMLError
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.sources import load_sources
from tests.web_server import Bucket, Page, Website, serving

FRAME = pl.DataFrame({"n": [3, 1, 2], "zip": [1234, 5, 6], "word": ["é", "b", None]})
OTHER = FRAME.with_columns(n=pl.col("n") + 1)


def csv_bytes(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@dataclass
class Place:
    """One kind of source, with data in it.

    Attributes:
        leaves_types_open: Whether its format leaves the type of a column open.
    """

    folder: Path
    leaves_types_open: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def put(self, frame: pl.DataFrame) -> None:
        raise NotImplementedError

    def data(self) -> dict[str, Any]:
        raise NotImplementedError

    def missing(self) -> dict[str, Any]:
        raise NotImplementedError

    def sources(self) -> ConfiguredDataSources:
        return ConfiguredDataSources(
            roots=(self.folder,),
            home=self.folder / "home",
            scratch=self.folder / "home" / "scratch",
            **self.options,
        )

    def section(self, **data: Any) -> Data:
        made = Data.model_validate({"target": "n", **(data or self.data())})
        return self.sources().pin(made)


class CsvFile(Place):
    def put(self, frame: pl.DataFrame) -> None:
        (self.folder / "t.csv").write_bytes(csv_bytes(frame))

    def data(self) -> dict[str, Any]:
        return {"path": "t.csv"}

    def missing(self) -> dict[str, Any]:
        return {"path": "u.csv"}


class NdjsonFile(CsvFile):
    def put(self, frame: pl.DataFrame) -> None:
        frame.write_ndjson(self.folder / "t.jsonl")

    def data(self) -> dict[str, Any]:
        return {"path": "t.jsonl"}


class ParquetFolder(CsvFile):
    def put(self, frame: pl.DataFrame) -> None:
        (self.folder / "t").mkdir(exist_ok=True)
        (self.folder / "t" / "1.parquet").write_bytes(parquet_bytes(frame[:2]))
        (self.folder / "t" / "2.parquet").write_bytes(parquet_bytes(frame[2:]))

    def data(self) -> dict[str, Any]:
        return {"path": "t"}


class WebPage(Place):
    def __init__(self, folder: Path, site: Website, url: str) -> None:
        super().__init__(folder)
        self._site, self._url = site, url
        self.options = {"url_prefixes": (url,), "allow_private_addresses": True}

    def put(self, frame: pl.DataFrame) -> None:
        self._site.pages["/t.csv"] = Page(csv_bytes(frame))

    def data(self) -> dict[str, Any]:
        return {"path": f"{self._url}/t.csv"}

    def missing(self) -> dict[str, Any]:
        return {"path": f"{self._url}/u.csv"}


class BucketObjects(Place):
    def __init__(self, folder: Path, bucket: Bucket, suffix: str) -> None:
        super().__init__(folder, leaves_types_open=suffix == "csv")
        self._bucket, self._suffix = bucket, suffix
        self.options = {"url_prefixes": ("s3://lake/sales/",)}

    def put(self, frame: pl.DataFrame) -> None:
        make = csv_bytes if self._suffix == "csv" else parquet_bytes
        self._bucket.objects[f"sales/a.{self._suffix}"] = make(frame[:2])
        self._bucket.objects[f"sales/b.{self._suffix}"] = make(frame[2:])

    def data(self) -> dict[str, Any]:
        return {"path": f"s3://lake/sales/*.{self._suffix}"}

    def missing(self) -> dict[str, Any]:
        return {"path": "s3://lake/sales/none.csv"}


class Database(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, leaves_types_open=False)
        self._file = folder / "shop.db"
        self.options = {"connections": {"shop": SecretStr(f"sqlite:///{self._file}")}}

    def put(self, frame: pl.DataFrame) -> None:
        with sqlite3.connect(self._file) as connection:
            connection.execute("DROP TABLE IF EXISTS t")
            connection.execute(
                "CREATE TABLE t (row INTEGER PRIMARY KEY, n INTEGER, zip INTEGER, word TEXT)"
            )
            rows = frame.with_row_index().rows()
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        connection.close()

    def data(self) -> dict[str, Any]:
        return {"connection": "shop", "table": "t", "features": {"exclude": ["row"]}}

    def missing(self) -> dict[str, Any]:
        return {"connection": "shop", "table": "u"}


class Repository(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, leaves_types_open=False)
        self._store = EmbeddedSnapshotStore(folder=str(folder / "home" / "store"))
        self._store.ensure_repository("warehouse")
        self._n_writes = 0
        self.options = {"snapshot_store": self._store}

    def put(self, frame: pl.DataFrame) -> None:
        self._n_writes += 1
        with self._store.write(
            "warehouse",
            branch="main",
            key=f"main/{self._n_writes}",
            message="Load",
            metadata={},
        ) as transaction:
            transaction.put_bytes("t/1.parquet", parquet_bytes(frame[:2]))
            transaction.put_bytes("t/2.parquet", parquet_bytes(frame[2:]))

    def data(self) -> dict[str, Any]:
        return {"repository": "warehouse", "table": "t"}

    def missing(self) -> dict[str, Any]:
        return {"repository": "warehouse", "table": "u"}


PLACES = ["csv", "ndjson", "parquet", "http", "s3 csv", "s3 parquet", "sql", "repository"]


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """One kind of place, with `FRAME` in it."""
    local = {"csv": CsvFile, "ndjson": NdjsonFile, "sql": Database, "repository": Repository}
    if request.param in local:
        made = local[request.param](tmp_path)
        made.put(FRAME)
        yield made
        return
    if request.param == "parquet":
        made = ParquetFolder(tmp_path, leaves_types_open=False)
        made.put(FRAME)
        yield made
        return
    site, bucket = Website(), Bucket("lake", "KEY")
    is_web = request.param == "http"
    with serving(site if is_web else bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        made = (
            WebPage(tmp_path, site, url)
            if is_web
            else BucketObjects(tmp_path, bucket, request.param.split()[1])
        )
        made.put(FRAME)
        yield made


def rows(place: Place, **options: Any) -> pl.DataFrame:
    with place.sources().open(place.section(), **options) as table:
        return table.frame.collect(engine="streaming")


def digest(place: Place) -> str:
    with place.sources().open(place.section()) as table:
        return table.sha256()


def state(place: Place) -> str:
    with place.sources().open(place.section()) as table:
        return table.state()


def test_every_source_has_a_place_here() -> None:
    kinds = {"files": "csv", "object_store": "s3 csv"}

    assert {kinds.get(name, name) for name in load_sources()} <= set(PLACES)


def test_rows_come_in_the_same_order_every_time(place: Place) -> None:
    assert rows(place).equals(FRAME)
    assert rows(place).equals(FRAME)


def test_the_digest_names_the_data(place: Place) -> None:
    first, again = digest(place), digest(place)
    place.put(OTHER)

    assert first == again
    assert len(first) == 64
    assert digest(place) != first


def test_the_state_changes_with_the_data(place: Place) -> None:
    first, again = state(place), state(place)
    place.put(OTHER)

    assert first == again
    assert state(place) != first


def test_text_is_asked_for_where_the_format_leaves_types_open(place: Place) -> None:
    texts = ["zip", "not there"]

    found = rows(place, text_columns=texts)["zip"].to_list()

    assert found == (["1234", "5", "6"] if place.leaves_types_open else [1234, 5, 6])


def test_a_check_passes_before_the_rows_are_read(place: Place) -> None:
    place.sources().check(place.section())


def test_what_is_missing_is_an_error_of_ours(place: Place) -> None:
    with (
        pytest.raises(AutoMLError, match=r"no|exist|404"),
        place.sources().open(place.section(**place.missing())),
    ):
        pytest.fail("There is nothing to open.")


def test_nothing_is_left_behind(place: Place) -> None:
    rows(place)

    assert not list((place.folder / "home" / "scratch").glob("*/"))


def test_the_description_says_where_the_rows_came_from(place: Place) -> None:
    with place.sources().open(place.section()) as table:
        said = table.description

    named = place.data()
    assert all(str(value) in said for key, value in named.items() if key != "features")
