"""The lakeFS adapter when answers are lost, late or refused, and when writers die or race."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.ports import Commit
from resources.snapshot_store._lakefs_answers import Patience
from resources.snapshot_store._lakefs_names import claim_branch
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
from tests.lakefs_server import LakeFSStandIn

FORK = multiprocessing.get_context("fork")
PATIENT = Patience(seconds=20, first_wait_seconds=0.01, longest_wait_seconds=0.05)
IMPATIENT = replace(PATIENT, seconds=0.3)


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


def connect(server: LakeFSStandIn, patience: Patience = PATIENT) -> LakeFSSnapshotStore:
    return LakeFSSnapshotStore(
        endpoint=server.endpoint,
        access_key_id=server.access_key_id,
        secret_access_key=SecretStr(server.secret_access_key),
        storage_namespace=server.storage_namespace,
        patience=patience,
    )


def write(
    store: LakeFSSnapshotStore, content: bytes = b"1", *, key: str = "k1", path: str = "a"
) -> Commit:
    with store.write(
        "churn", branch="main", key=f"main/{key}", message="Add data", metadata={}
    ) as transaction:
        transaction.put_bytes(path, content)
    return transaction.commit


def commits_of(server: LakeFSStandIn, key: str = "main/k1") -> list[str]:
    """The commits on the server's branch `main` itself that have a key."""
    log = server.repositories["churn"].log("main", first_parent=True)
    return [record.commit_id for record in log if record.metadata.get("key") == key]


CHANGES = {
    "a branch for the transaction": ("POST", "/repositories/churn/branches$"),
    "an upload": ("POST", "/objects[?]path="),
    "the commit": ("POST", "/commits$"),
    "the merge": ("POST", "/merge/main$"),
    "the deletion of the transaction's branch": ("DELETE", "/branches/automl-tx-"),
}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_whose_answer_is_lost_is_made_once(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, what: str, times: int
) -> None:
    write(store, b"0", key="k0")
    server.fail_next(*CHANGES[what], times=times, drop=True)

    commit = write(store)

    assert commits_of(server) == [commit.commit_id]
    assert store.log("churn", "main")[0] == commit
    assert len(store.log("churn", "main")) == 2
    assert store.read_bytes("churn", commit.commit_id, "a") == b"1"
    assert sorted(server.repositories["churn"].branches) == ["automl-empty", "main"]


@pytest.mark.parametrize("what", ["a branch for the transaction", "the commit"])
def test_a_new_branch_whose_answer_is_lost_is_made_once(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, what: str
) -> None:
    server.fail_next(*CHANGES[what], times=2, drop=True)

    commit = write(store)

    assert commits_of(server) == [commit.commit_id]
    assert commit.parents == ()
    assert store.log("churn", "main") == [commit]


def test_a_branch_whose_making_is_told_too_late_is_found(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    with store.write(
        "churn", branch="main", key="main/k1", message="m", metadata={}
    ) as transaction:
        transaction.put_bytes("a", b"1")
        server.fail_next("POST", "/repositories/churn/branches$", drop=True)

    assert commits_of(server) == [transaction.commit.commit_id]


def test_a_commit_that_takes_longer_than_its_answer_may_is_made_once(
    server: LakeFSStandIn,
) -> None:
    store = connect(server, replace(PATIENT, answer_seconds=0.2))
    store.ensure_repository("churn")
    server.fail_next("POST", "/commits$", times=2, delay_seconds=0.5)

    commit = write(store)
    time.sleep(1)  # until the late ones are done

    assert commits_of(server) == [commit.commit_id]
    assert store.resolve("churn", "main") == commit


def test_a_merge_whose_answer_is_lost_is_made_once(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    first = write(store)
    store.merge("churn", source="main", destination="other", message="Branch")
    second = write(store, b"2", key="k2")
    with store.write(
        "churn", branch="other", key="other/k", message="m", metadata={}
    ) as transaction:
        transaction.put_bytes("b", b"1")
    server.fail_next("POST", "/merge/other$", times=3, drop=True)

    merged = store.merge("churn", source="main", destination="other", message="Merge")

    assert set(merged.parents) == {transaction.commit.commit_id, second.commit_id}
    assert [commit.commit_id for commit in store.log("churn", "other")][-1] == first.commit_id
    assert len(store.log("churn", "other")) == 4
    assert store.read_bytes("churn", merged.commit_id, "a") == b"2"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_storm_is_sat_out(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, tmp_path: Path, status: int
) -> None:
    pl.DataFrame({"x": [1, 2]}).write_parquet(tmp_path / "t.parquet")
    write(store, b"0", key="k0")
    for method in ("GET", "POST", "DELETE"):
        server.fail_next(method, "", times=6, status=status)

    with store.write(
        "churn", branch="main", key="main/k1", message="m", metadata={}
    ) as transaction:
        transaction.put_file("t.parquet", tmp_path / "t.parquet")
    commit = transaction.commit.commit_id
    server.fail_next("GET", "objects[?]path=", times=3, status=status)
    store.download("churn", commit, "t.parquet", tmp_path / "copy")
    scanned = store.scan("churn", commit, "t.parquet")
    server.fail_next("GET", "", times=12, status=status)

    assert commits_of(server) == [commit]
    assert (tmp_path / "copy").stat().st_size > 0
    assert scanned.collect()["x"].to_list() == [1, 2]


def test_a_download_that_breaks_off_begins_anew(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, tmp_path: Path
) -> None:
    content = os.urandom(2**20)
    commit = write(store, content).commit_id
    server.fail_next("GET", "objects[?]path=a", times=2, drop=True)

    store.download("churn", commit, "a", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == content


def test_a_server_that_stays_silent_is_told_with_what_is_left_on_it(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    hasty = connect(server, IMPATIENT)
    write(store, b"0", key="k0")
    server.fail_next("POST", "/commits$", times=1_000, status=503)

    with pytest.raises(
        ServiceError,
        match=r"lakeFS at http://127.* commit of key 'main/k1' had no answer in \d+ tries within "
        r"0.3 s, the last: status 503 .* uploaded objects are on branch 'automl-tx-\w+' of 'churn'",
    ):
        write(hasty)

    assert commits_of(server) == []


def test_a_server_that_is_away_is_told(store: LakeFSSnapshotStore) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    away = LakeFSSnapshotStore(
        endpoint=address,
        access_key_id="AKIA",
        secret_access_key=SecretStr("s3cret"),
        storage_namespace="local://x",
        patience=IMPATIENT,
    )

    with pytest.raises(ServiceError, match=rf"{address} must answer.*refused.*Nothing was changed"):
        away.resolve("churn", "main")


ANSWERS: dict[int, tuple[type[Exception], str]] = {
    401: (ServiceError, "AUTOML_LAKEFS_ACCESS_KEY_ID"),
    403: (ServiceError, "AUTOML_LAKEFS_SECRET_ACCESS_KEY"),
    410: (SnapshotError, "garbage collection"),
    412: (SnapshotError, "hooks"),
    420: (SnapshotError, "answered 420 stand-in fault"),
    423: (ServiceError, "status 423"),
}


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("call", ["GET /branches/main$", "POST /commits$", "POST /objects[?]"])
def test_every_refusal_is_one_of_our_errors(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, status: int, call: str
) -> None:
    hasty = connect(server, IMPATIENT)
    method, pattern = call.split(maxsplit=1)
    server.fail_next(method, pattern, times=1_000, status=status)
    error, text = ANSWERS[status]

    with pytest.raises(error, match=text) as caught:
        write(hasty)

    assert server.secret_access_key not in str(caught.value)
    assert "main" not in server.repositories["churn"].branches


def test_a_commit_that_a_hook_refuses_leaves_the_branch_as_it_was(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    before = write(store, b"0", key="k0")
    server.fail_next("POST", "/merge/main$", status=412)

    with pytest.raises(SnapshotError, match=r"answered 412 stand-in fault.*hooks"):
        write(store)

    assert store.resolve("churn", "main") == before
    assert sorted(server.repositories["churn"].branches) == ["automl-empty", "main"]
    assert write(store).commit_id in commits_of(server)


def test_the_work_of_a_writer_that_died_is_finished_by_the_next(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, b"0", key="k0")
    server.fail_next("POST", "/merge/main$", times=1_000, status=503)
    with pytest.raises(ServiceError, match=r"The commit \w{64} waits for it in 'churn'"):
        write(connect(server, IMPATIENT), b"of the dead")
    assert claim_branch("main/k1") in server.repositories["churn"].branches
    server.heal()

    commit = write(store, b"of the living")

    assert commits_of(server) == [commit.commit_id]
    assert store.read_bytes("churn", commit.commit_id, "a") == b"of the dead"
    assert store.find("churn", "main/k1") == commit
    assert sorted(server.repositories["churn"].branches) == ["automl-empty", "main"]


def write_and_delete(store: LakeFSSnapshotStore) -> None:
    with store.write(
        "churn", branch="main", key="main/k1", message="m", metadata={}
    ) as transaction:
        transaction.put_bytes("a", b"1")
        store.delete_branch("churn", "main")


def test_a_branch_that_is_deleted_under_a_transaction_is_told(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, b"0", key="k0")

    with pytest.raises(SnapshotError, match=r"'main' of 'churn' was deleted meanwhile"):
        write_and_delete(store)

    assert store.branches("churn") == {}


def test_the_content_digest_is_right_after_a_race(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, b"0", key="k0", path="first")

    with store.write(
        "churn", branch="main", key="main/k1", message="m", metadata={}
    ) as transaction:
        transaction.put_bytes("a", b"1")
        other = write(store, b"2", key="k2", path="b")

    with store.write("churn", branch="both", key="both/k", message="m", metadata={}) as both:
        for path, content in {"first": b"0", "a": b"1", "b": b"2"}.items():
            both.put_bytes(path, content)
    assert transaction.commit.content_sha256 == both.commit.content_sha256
    assert transaction.commit.parents == (other.commit_id,)
    assert store.resolve("churn", "main") == transaction.commit


def test_a_transaction_that_changes_nothing_any_more_gets_the_commit_of_its_key(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    write(store, b"0", key="k0")

    with store.write(
        "churn", branch="main", key="main/k1", message="m", metadata={}
    ) as transaction:
        transaction.put_bytes("a", b"0")
        other = write(store, b"1")

    assert transaction.commit == other


def in_processes(server: LakeFSStandIn, work: Callable[[LakeFSSnapshotStore, int], None]) -> None:
    """Do the work in four processes at once, each with a connection of its own."""
    start = FORK.Barrier(4)

    def run(number: int) -> None:
        store = connect(server)
        start.wait(timeout=30)
        work(store, number)

    children = [FORK.Process(target=run, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]


@pytest.mark.parametrize("n_before", [0, 1])
def test_processes_that_write_one_key_at_once_make_one_commit(
    server: LakeFSStandIn, store: LakeFSSnapshotStore, n_before: int
) -> None:
    for number in range(n_before):
        write(store, b"0", key=f"before-{number}")

    in_processes(server, lambda store, number: write(store, b"of %d" % number) and None)

    (commit_id,) = commits_of(server)
    commit = store.resolve("churn", "main")
    assert commit.commit_id == commit_id
    assert len(store.log("churn", "main")) == n_before + 1
    (item,) = store.objects("churn", commit_id)
    assert store.read_bytes("churn", commit_id, "a") in {b"of %d" % n for n in range(4)}
    assert item.sha256


def test_processes_that_write_one_branch_at_once_lose_nothing(
    server: LakeFSStandIn, store: LakeFSSnapshotStore
) -> None:
    def work(store: LakeFSSnapshotStore, number: int) -> None:
        for turn in range(5):
            name = f"{number}-{turn}"
            write(store, name.encode(), key=name, path=name)

    in_processes(server, work)

    names = sorted(f"{number}-{turn}" for number in range(4) for turn in range(5))
    head = store.resolve("churn", "main").commit_id
    assert [item.path for item in store.objects("churn", head)] == names
    assert len(store.log("churn", "main")) == 20
    assert all(len(commits_of(server, f"main/{name}")) == 1 for name in names)
