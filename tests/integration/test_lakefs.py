"""What the lakeFS adapter leaves on the server, reads through the gateway and tells people."""

import hashlib
import ssl
import subprocess
import sys
import traceback
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import obstore
import polars as pl
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from obstore.store import S3Store
from pydantic import SecretStr

from automl_assets.core.errors import RequestError, ServiceError, SnapshotError
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.settings import Settings
from resources.snapshot_store._lakefs_answers import Patience
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
from tests.lakefs_server import LakeFSStandIn

IMPATIENT = Patience(seconds=2, first_wait_seconds=0.01, longest_wait_seconds=0.05)


@pytest.fixture
def server() -> Iterator[LakeFSStandIn]:
    with LakeFSStandIn() as made:
        yield made


@pytest.fixture
def store(server: LakeFSStandIn) -> LakeFSSnapshotStore:
    """A store with the empty repository `churn`."""
    made = connect(server)
    made.ensure_repository("churn")
    return made


def connect(server: LakeFSStandIn, **options) -> LakeFSSnapshotStore:
    return LakeFSSnapshotStore(
        **{
            "endpoint": server.endpoint,
            "access_key_id": server.access_key_id,
            "secret_access_key": SecretStr(server.secret_access_key),
            "storage_namespace": server.storage_namespace,
            "patience": IMPATIENT,
        }
        | options
    )


def write(
    store: SnapshotStore, objects: dict[str, bytes], *, key: str = "k1", branch: str = "request-1"
) -> Commit:
    with store.write(
        "churn",
        branch=branch,
        key=f"{branch}/{key}",
        message="Add data",
        metadata={"owner": "ada", "request": "churn-1"},
    ) as transaction:
        for path, content in objects.items():
            transaction.put_bytes(path, content)
    return transaction.commit


def put_as_others_do(server: LakeFSStandIn, branch: str, path: str, content: bytes) -> None:
    """Upload and commit with no knowledge of the platform."""
    headers = urllib3.make_headers(basic_auth=f"{server.access_key_id}:{server.secret_access_key}")
    pool = urllib3.PoolManager()
    url = f"{server.endpoint}/api/v1/repositories/churn/branches/{branch}"
    octets = headers | {"Content-Type": "application/octet-stream"}
    pool.request("POST", f"{url}/objects?path={path}", body=content, headers=octets)
    done = pool.request("POST", f"{url}/commits", json={"message": "By hand"}, headers=headers)
    assert done.status == 201


def gateway(server: LakeFSStandIn) -> S3Store:
    return S3Store(
        "churn",
        endpoint=server.endpoint,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        region="eu-somewhere-9",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
    )


# What is on the server


def test_the_server_knows_who_wrote_what_and_why(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    commit = write(store, {"a": b"1"})

    (record, first) = server.commits("churn", "request-1")
    assert record.commit_id == commit.commit_id
    assert record.message == "Add data"
    assert {
        "owner": "ada",
        "request": "churn-1",
        "key": "request-1/k1",
        "content_sha256": commit.content_sha256,
    }.items() <= dict(record.metadata).items()
    assert (first.parents, dict(first.tree)) == ((), {})


def test_an_object_carries_its_digest(server: LakeFSStandIn, store: LakeFSSnapshotStore) -> None:
    write(store, {"a": b"1"})

    entry = server.repositories["churn"].tree("request-1")["a"]
    assert dict(entry.metadata) == {"sha256": hashlib.sha256(b"1").hexdigest()}


def test_a_server_that_ignores_headers_is_told_the_digest_by_the_api(tmp_path: Path) -> None:
    with LakeFSStandIn(keeps_upload_metadata=False) as server:
        store = connect(server)
        store.ensure_repository("churn")
        commit = write(store, {"a": b"1"})

        (listed,) = store.objects("churn", commit.commit_id)
        assert listed.sha256 == hashlib.sha256(b"1").hexdigest()


def test_no_branch_of_a_transaction_is_left(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, {"a": b"1"})
    write(store, {"a": b"2"}, key="k2")

    assert sorted(server.repositories["churn"].branches) == ["automl-empty", "request-1"]


def test_a_pin_is_a_hidden_branch_of_its_owner(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    commit = write(store, {"a": b"1"}).commit_id
    store.pin("churn", commit, "model churn 1")
    store.pin("churn", commit, "model churn 2")

    branches = server.repositories["churn"].branches
    pins = {name: branch for name, branch in branches.items() if name.startswith("keep-")}
    assert all(name.startswith(f"keep-{commit[:16]}-") for name in pins)
    assert [(pin.commit_id, pin.hidden) for pin in pins.values()] == [(commit, True)] * 2
    assert list(store.branches("churn")) == ["request-1"]

    store.unpin("churn", commit, "model churn 1")

    assert sum(name.startswith("keep-") for name in branches) == 1


def test_a_new_branch_is_empty_in_a_repository_that_others_filled(server: LakeFSStandIn) -> None:
    headers = urllib3.make_headers(basic_auth=f"{server.access_key_id}:{server.secret_access_key}")
    body = {"name": "churn", "storage_namespace": "local://others", "default_branch": "main"}
    url = f"{server.endpoint}/api/v1/repositories"
    assert urllib3.request("POST", url, json=body, headers=headers).status == 201
    store = connect(server)
    assert store.branches("churn") == {"main": server.commits("churn", "main")[0].commit_id}
    put_as_others_do(server, "main", "theirs", b"1")

    store.ensure_repository("churn")
    commit = write(store, {"ours": b"2"})

    assert [item.path for item in store.objects("churn", commit.commit_id)] == ["ours"]
    assert list(store.branches("churn")) == ["main", "request-1"]
    assert server.repositories["churn"].branches["automl-empty"].hidden


def test_what_others_put_has_a_checksum_and_no_digest(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, tmp_path: Path
) -> None:
    write(store, {"ours": b"1"}, branch="main")
    put_as_others_do(server, "main", "theirs", b"2")
    commit = store.resolve("churn", "main")

    ours, theirs = store.objects("churn", commit.commit_id)
    store.download("churn", commit.commit_id, "theirs", tmp_path / "theirs")

    assert ours.sha256 == hashlib.sha256(b"1").hexdigest()
    assert (theirs.sha256, bool(theirs.checksum)) == ("", True)
    assert (tmp_path / "theirs").read_bytes() == b"2"
    assert store.resolve("churn", "main") == commit
    before = commit.content_sha256
    put_as_others_do(server, "main", "theirs", b"3")
    assert store.resolve("churn", "main").content_sha256 != before


def test_a_digest_that_came_through_the_gateway_is_known(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, {"a": b"1"}, branch="main")
    sha256 = hashlib.sha256(b"2").hexdigest()

    obstore.put(gateway(server), "main/b", b"2", attributes={"sha256": sha256})
    server.repositories["churn"].commit("main", "By hand", {})

    commit = store.resolve("churn", "main")
    assert [item.sha256 for item in store.objects("churn", commit.commit_id)][1] == sha256


def test_the_same_bytes_put_on_both_sides_are_no_conflict(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, {"a": b"1"}, branch="main")
    store.merge("churn", source="main", destination="request-1", message="Branch")
    sha256 = hashlib.sha256(b"2").hexdigest()
    obstore.put(gateway(server), "main/a", b"2", attributes={"sha256": sha256})
    server.repositories["churn"].commit("main", "By hand", {})
    write(store, {"a": b"2", "b": b"2"})
    assert store.diff("churn", "main", "request-1")[0].path == "b"

    merged = store.merge("churn", source="request-1", destination="main", message="Merge")

    assert [item.path for item in store.objects("churn", merged.commit_id)] == ["a", "b"]
    assert store.read_bytes("churn", merged.commit_id, "a") == b"2"


OBJECTS = st.dictionaries(
    st.from_regex(r"[a-zé0-9 +%#=~'()]{1,8}(/[A-Z_.,;@$!]{1,4}x)?", fullmatch=True),
    st.binary(max_size=40),
    min_size=1,
    max_size=6,
)


@given(objects=OBJECTS)
@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_both_stores_name_the_same_content_alike(
    store: LakeFSSnapshotStore, tmp_path: Path, objects: dict[str, bytes]
) -> None:
    folder = EmbeddedSnapshotStore(folder=str(tmp_path / "store"))
    folder.ensure_repository("churn")
    branch = hashlib.sha256(repr(sorted(objects.items())).encode()).hexdigest()[:20]

    on_server, in_folder = (write(each, objects, branch=branch) for each in (store, folder))

    assert on_server.content_sha256 == in_folder.content_sha256
    assert {
        item.path: store.read_bytes("churn", on_server.commit_id, item.path)
        for item in store.objects("churn", on_server.commit_id)
    } == objects


# What is read


def test_a_filtered_scan_reads_little_and_only_ranges(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, tmp_path: Path
) -> None:
    n_rows = 400_000
    frame = pl.DataFrame({f"x{number}": range(n_rows) for number in range(8)})
    frame = frame.with_columns(pl.all().hash().cast(pl.Float64).name.suffix("_noise"))
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=20_000, compression="uncompressed")
    size = (tmp_path / "t.parquet").stat().st_size
    with store.write("churn", branch="b", key="b/k", message="m", metadata={}) as transaction:
        transaction.put_file("data/t.parquet", tmp_path / "t.parquet")
    scanned = store.scan("churn", transaction.commit.commit_id, "data/t.parquet")
    server.requests.clear()

    found = (
        scanned.filter((pl.col("x0") >= 100_000) & (pl.col("x0") < 100_010))
        .select("x0", "x3_noise")
        .collect(engine="streaming")
    )

    assert found.equals(frame[100_000:100_010].select("x0", "x3_noise"))
    gets = [request for request in server.requests if request.method == "GET"]
    assert gets
    assert gets == server.requests
    assert all(request.byte_range and request.status == 206 for request in gets)
    assert all(transaction.commit.commit_id in request.target for request in gets)
    assert sum(request.sent for request in gets) < size / 20


def test_an_unsigned_or_badly_signed_request_is_refused(server: LakeFSStandIn) -> None:
    with pytest.raises(urllib.request.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.endpoint}/churn/main/a").close()
    wrong = S3Store(
        "churn",
        endpoint=server.endpoint,
        access_key_id=server.access_key_id,
        secret_access_key="wrong",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    with pytest.raises(obstore.exceptions.PermissionDeniedError):
        obstore.get(wrong, "main/a")


def test_large_uploads_through_the_gateway_come_in_parts(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, {"a": b"1"}, branch="main")
    content = bytes(range(256)) * 2**16

    obstore.put(gateway(server), "main/large", content, chunk_size=5 * 2**20)
    server.repositories["churn"].commit("main", "By hand", {})

    commit = store.resolve("churn", "main").commit_id
    assert store.read_bytes("churn", commit, "large") == content
    assert obstore.get(gateway(server), f"{commit}/large").bytes() == content
    assert [meta["path"] for meta in obstore.list(gateway(server), f"{commit}/").collect()] == [
        f"{commit}/a",
        f"{commit}/large",
    ]


COPY = """
import resource, sys
from pathlib import Path
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
endpoint, key, secret, namespace, folder = sys.argv[1:]
store = LakeFSSnapshotStore(
    endpoint=endpoint, access_key_id=key, secret_access_key=secret, storage_namespace=namespace
)
store.ensure_repository("churn")
def peak():  # ru_maxrss would begin with what the parent used
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) // 1024
with store.write("churn", branch="b", key="b/small", message="m", metadata={}) as transaction:
    transaction.put_bytes("small", b"1")
store.read_bytes("churn", transaction.commit.commit_id, "small")
before = peak()
with store.write("churn", branch="b", key="b/k", message="m", metadata={}) as transaction:
    transaction.put_file("large", Path(folder) / "large")
put = peak()
store.download("churn", transaction.commit.commit_id, "large", Path(folder) / "copy")
usage = resource.getrusage(resource.RUSAGE_SELF)
print(before, put, peak(), round(usage.ru_utime + usage.ru_stime, 2))
"""


@pytest.mark.slow
def test_200_megabytes_go_both_ways_in_little_memory(server: LakeFSStandIn, tmp_path: Path) -> None:
    block = bytes(range(256)) * 4096
    with (tmp_path / "large").open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(4, "big") + block[4:])
    arguments = [
        server.endpoint,
        server.access_key_id,
        server.secret_access_key,
        server.storage_namespace,
        str(tmp_path),
    ]

    done = subprocess.run(
        [sys.executable, "-c", COPY, *arguments], capture_output=True, text=True, check=True
    )

    before, put, both, cpu_seconds = map(float, done.stdout.split())
    assert put - before < 20, done.stdout
    assert both - before < 20, done.stdout
    assert cpu_seconds < 30
    original, copy = (
        hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("large", "copy")
    )
    assert original == copy


# What people are told


def every_text(error: BaseException, *others: object) -> str:
    """All that a log could show of an error, its causes and these objects."""
    shown = "".join(traceback.format_exception(error))
    return shown + repr(error) + "".join(f"{other!r} {other}" for other in others)


def test_no_error_holds_the_secret(server: LakeFSStandIn, caplog: pytest.LogCaptureFixture) -> None:
    store = connect(server, patience=replace(IMPATIENT, seconds=0.3))
    store.ensure_repository("churn")
    path = server.folder / "t.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with store.write("churn", branch="b", key="b/k", message="m", metadata={}) as transaction:
        transaction.put_file("t.parquet", path)
    commit = transaction.commit.commit_id
    scanned = store.scan("churn", commit, "t.parquet")
    explained = scanned.explain()
    secret = server.secret_access_key
    server.secret_access_key = "changed meanwhile"

    with pytest.raises(ServiceError, match="AUTOML_LAKEFS_SECRET_ACCESS_KEY") as refused:
        store.resolve("churn", "b")
    with pytest.raises((OSError, pl.exceptions.PolarsError)) as scan_refused:
        scanned.collect()
    server.fail_next("GET", "", times=10_000, status=500)
    with pytest.raises((OSError, pl.exceptions.PolarsError)) as scan_failed:
        scanned.collect()

    assert len(secret) > 20
    shown = every_text(refused.value, store, store._connection, store._account)
    shown += every_text(scan_refused.value) + every_text(scan_failed.value)
    assert secret not in shown + repr(scanned) + explained + caplog.text


def test_a_name_that_lakefs_does_not_allow_is_refused(store: LakeFSSnapshotStore) -> None:
    with pytest.raises(SnapshotError, match=r"at least 3 characters .* Found 'ab'"):
        store.ensure_repository("ab")
    with pytest.raises(SnapshotError, match=r"unlike those of the platform .*'automl-empty'"):
        write(store, {"a": b"1"}, branch="automl-empty")
    with pytest.raises(SnapshotError, match=r"at most 1024 bytes .* Found one of 1200"):
        write(store, {"é" * 600: b"1"})


def test_settings_name_the_variable_that_is_missing(
    settings: Settings, server: LakeFSStandIn
) -> None:
    some = settings.model_copy(
        update={
            "lakefs_endpoint": f"{server.endpoint}/api/v1/",
            "lakefs_access_key_id": server.access_key_id,
            "lakefs_storage_namespace": server.storage_namespace,
        }
    )
    with pytest.raises(RequestError, match=r"Not set: AUTOML_LAKEFS_SECRET_ACCESS_KEY\."):
        LakeFSSnapshotStore.from_settings(some)

    secret = SecretStr(server.secret_access_key)
    store = LakeFSSnapshotStore.from_settings(
        some.model_copy(update={"lakefs_secret_access_key": secret})
    )

    store.ensure_repository("churn")
    assert repr(store) == f"LakeFSSnapshotStore(endpoint='{server.endpoint}')"
    path = server.folder / "t.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with store.write("churn", branch="b", key="b/k", message="m", metadata={}) as transaction:
        transaction.put_file("t.parquet", path)
    assert store.scan("churn", transaction.commit.commit_id, "t.parquet").collect().height == 1


def test_a_server_that_is_no_lakefs_is_named(server: LakeFSStandIn) -> None:
    store = connect(server, endpoint=f"{server.endpoint}/elsewhere")

    with pytest.raises((ServiceError, SnapshotError), match=server.endpoint):
        store.resolve("churn", "main")


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority of our own, and what a server needs that it vouches for."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("ca", "server")]
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    for number, extension in enumerate((x509.BasicConstraints(ca=True, path_length=None), address)):
        made = (
            x509.CertificateBuilder(names[0], names[number], keys[number].public_key())
            .serial_number(number + 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=number == 0)
            .sign(keys[0], hashes.SHA256())
        )
        (folder / f"{number}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "1.pem", folder / "key.pem")
    return folder / "0.pem", context


def test_a_server_with_certificates_of_its_own_is_trusted_if_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    ca_bundle, tls = certificates(tmp_path)
    with LakeFSStandIn(tls=tls) as server:
        with pytest.raises(ServiceError, match=r"certificate .* AUTOML_LAKEFS_CA_BUNDLE"):
            connect(server).ensure_repository("churn")

        store = connect(server, ca_bundle=ca_bundle)
        store.ensure_repository("churn")
        commit = write(store, {"a": b"1"}).commit_id

        assert store.read_bytes("churn", commit, "a") == b"1"
        with pytest.raises(ServiceError, match=r"SSL_CERT_FILE is not set"):
            store.scan("churn", commit, "a")
