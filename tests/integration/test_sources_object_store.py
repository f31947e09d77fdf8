"""Buckets behind servers that verify who asks: signed S3 requests, and Google's bearer tokens."""

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import urllib3

from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources
from tests.lakefs_server import LakeFSStandIn
from tests.web_server import GoogleBucket, serving

FRAME = pl.DataFrame({f"c{n}": pl.int_range(100_000, eager=True) ^ n for n in range(20)})
SECRET = "hunter2+/="


def sources(folder: Path, *prefixes: str) -> ConfiguredDataSources:
    home = folder / "home"
    return ConfiguredDataSources(
        roots=(), home=home, scratch=home / "scratch", url_prefixes=prefixes
    )


def section(path: str) -> Data:
    return Data.model_validate({"target": "c3", "path": path})


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


# A signed gateway: the bucket is a repository, and keys start with a branch


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[LakeFSStandIn]:
    """A lakeFS server with a table, as Parquet and as CSV, on `main`."""
    with LakeFSStandIn() as server:
        credentials = f"{server.access_key_id}:{server.secret_access_key}"
        headers = urllib3.make_headers(basic_auth=credentials)
        pool, api = urllib3.PoolManager(), f"{server.endpoint}/api/v1/repositories"
        made = {"name": "warehouse", "storage_namespace": "local://w", "default_branch": "main"}
        assert pool.request("POST", api, json=made, headers=headers).status == 201
        octets = headers | {"Content-Type": "application/octet-stream"}
        contents = {
            "sales/t.parquet": parquet_bytes(FRAME),
            "text/year=2024/a.csv": b"c3,word\n1,\xc3\xa9\n",
            "text/year=2025/b.csv": b"c3,word\n2,x\n",
        }
        for path, body in contents.items():
            url = f"{api}/warehouse/branches/main/objects?path={path.replace('=', '%3D')}"
            assert pool.request("POST", url, body=body, headers=octets).status == 201
        for name, value in {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        server.requests.clear()
        yield server


def test_parquet_is_read_in_ranges_by_signed_requests(tmp_path: Path, lake: LakeFSStandIn) -> None:
    place = sources(tmp_path, "s3://warehouse/main/")

    with place.open(section("s3://warehouse/main/sales/t.parquet")) as table:
        found = table.frame.select("c3").collect(engine="streaming")

    assert found.equals(FRAME.select("c3"))
    assert {request.status for request in lake.requests} <= {200, 206}
    fetched = [request for request in lake.requests if request.method == "GET"]
    assert all(request.byte_range for request in fetched)
    assert sum(request.sent for request in fetched) < len(parquet_bytes(FRAME)) / 2


def test_text_below_a_prefix_is_downloaded_by_signed_requests(
    tmp_path: Path, lake: LakeFSStandIn
) -> None:
    place = sources(tmp_path, "s3://warehouse/main/")

    with place.open(section("s3://warehouse/main/text")) as table:
        assert table.frame.collect().rows() == [(1, "é", 2024), (2, "x", 2025)]


@pytest.mark.parametrize("path", ["sales/t.parquet", "text", "none.csv"])
def test_a_wrong_secret_is_told_without_it(
    tmp_path: Path,
    lake: LakeFSStandIn,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    place = sources(tmp_path, "s3://warehouse/main/")

    with (
        pytest.raises(ServiceError, match="Check the bucket, and the keys") as caught,
        place.open(section(f"s3://warehouse/main/{path}")),
    ):
        pytest.fail("There is nothing to open.")

    check_tells_nothing(caught.value, caplog, SECRET)
    assert {request.status for request in lake.requests} == {403}


def test_an_object_that_may_be_listed_and_not_read_is_a_matter_of_rights(
    tmp_path: Path, lake: LakeFSStandIn
) -> None:
    lake.fail_next("GET", r"t\.parquet", times=99, status=403)
    place = sources(tmp_path, "s3://warehouse/main/")

    with (
        pytest.raises(ServiceError, match="Check the bucket, and the keys"),
        place.open(section("s3://warehouse/main/sales/t.parquet")),
    ):
        pytest.fail("There is nothing to open.")


def check_tells_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    assert secret not in f"{error} {error.__cause__} {caplog.text}"


# Google's XML API


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleBucket]:
    """The bucket `vault`, where the environment says."""
    made = GoogleBucket("vault", SECRET)
    with serving(made) as url:
        monkeypatch.setenv("GOOGLE_BASE_URL", url)
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", SECRET)
        yield made


def test_googles_objects_are_listed_and_of_parquet_only_ranges_are_read(
    tmp_path: Path, bucket: GoogleBucket
) -> None:
    for name, frame in {"a": FRAME[:50_000], "b": FRAME[50_000:]}.items():
        bucket.objects[f"sales/{name}.parquet"] = parquet_bytes(frame)
    n_bytes = sum(map(len, bucket.objects.values()))

    with sources(tmp_path, "gs://vault/").open(section("gs://vault/sales/*.parquet")) as table:
        found = table.frame.select("c3").collect(engine="streaming")

    assert found.equals(FRAME.select("c3"))
    assert 0 < bucket.n_bytes_sent < n_bytes / 2


def test_googles_text_is_downloaded(tmp_path: Path, bucket: GoogleBucket) -> None:
    bucket.objects["t.csv"] = b"c3\n1\n2\n"

    with sources(tmp_path, "gs://vault/").open(section("gs://vault/t.csv")) as table:
        assert table.frame.collect()["c3"].to_list() == [1, 2]


def test_a_wrong_token_is_told_without_it(
    tmp_path: Path,
    bucket: GoogleBucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket.objects["t.csv"] = b"c3\n1\n"
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "other-token")

    with (
        pytest.raises(ServiceError, match="Check the bucket, and the keys") as caught,
        sources(tmp_path, "gs://vault/").open(section("gs://vault/t.csv")),
    ):
        pytest.fail("There is nothing to open.")

    check_tells_nothing(caught.value, caplog, "other-token")


def test_what_google_does_not_have_is_told(tmp_path: Path, bucket: GoogleBucket) -> None:
    bucket.objects["t.csv"] = b"c3\n1\n"

    with (
        pytest.raises(SnapshotError, match=r"must name objects that exist.*gs://vault/u\.csv"),
        sources(tmp_path, "gs://vault/").open(section("gs://vault/u.csv")),
    ):
        pytest.fail("There is nothing to open.")
