"""What every release log promises; a new adapter joins by one line in `LOGS`."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import ReleaseLog
from automl_assets.core.release import ReleaseEvent, broken_link
from resources.release_log import REPOSITORY, StoredReleaseLog, branch_of
from resources.snapshot_store._lakefs_names import check_lakefs_branch
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
from tests.fakes import InMemoryReleaseLog
from tests.lakefs_server import LakeFSStandIn

SPAWN = multiprocessing.get_context("spawn")


def stored(folder: Path) -> StoredReleaseLog:
    return StoredReleaseLog(EmbeddedSnapshotStore(folder=str(folder / "store")))


@pytest.fixture
def in_memory() -> ReleaseLog:
    return InMemoryReleaseLog()


@pytest.fixture
def embedded(tmp_path: Path) -> ReleaseLog:
    return stored(tmp_path)


@pytest.fixture
def lakefs() -> Iterator[ReleaseLog]:
    with LakeFSStandIn() as server:
        yield StoredReleaseLog(
            LakeFSSnapshotStore(
                endpoint=server.endpoint,
                access_key_id=server.access_key_id,
                secret_access_key=server.secret_access_key,
                storage_namespace=server.storage_namespace,
            )
        )


LOGS = ["in_memory", "embedded", "lakefs"]


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest) -> ReleaseLog:
    """A log that holds nothing."""
    return request.getfixturevalue(request.param)


def event(version: str = "1", *, name: str = "churn", **more: str) -> ReleaseEvent:
    given = {"kind": "promoted", "by": "ada", "at": "2026-11-17T14:02:00+00:00", **more}
    return ReleaseEvent.model_validate({"name": name, "version": version, **given})


def test_a_new_log_holds_nothing(log: ReleaseLog) -> None:
    assert log.events("churn") == []


def test_events_come_back_oldest_first_as_they_were_appended(log: ReleaseLog) -> None:
    given = [event("1", reason="a reason with é"), event("2"), event("1", kind="rolled_back")]

    appended = [log.append(item) for item in given]

    assert log.events("churn") == appended
    assert [item.number for item in appended] == [1, 2, 3]
    bare = [item.model_copy(update={"number": 0, "previous_sha256": ""}) for item in appended]
    assert bare == given


def test_each_event_holds_the_digest_of_the_one_before(log: ReleaseLog) -> None:
    first, second = log.append(event("1")), log.append(event("2"))

    assert (first.previous_sha256, second.previous_sha256) == ("", first.sha256)
    assert broken_link(log.events("churn")) is None


def test_the_same_event_twice_is_two_events(log: ReleaseLog) -> None:
    log.append(event())
    log.append(event())

    assert len(log.events("churn")) == 2


def test_an_event_with_a_key_that_is_there_is_the_first_one(log: ReleaseLog) -> None:
    first = log.append(event("1", key="registered 1"))
    log.append(event("2", key="registered 2"))

    again = log.append(event("1", key="registered 1", at="2027-01-01T00:00:00+00:00"))

    assert again == first
    assert len(log.events("churn")) == 2


def test_each_model_has_a_log_of_its_own(log: ReleaseLog) -> None:
    log.append(event(name="churn", key="registered 1"))

    assert log.append(event(name="price", key="registered 1")).number == 1
    assert [item.name for item in log.events("churn")] == ["churn"]


@pytest.mark.parametrize(
    "name", ["main", "keep-0123456789abcdef", "automl-empty", "Été (1)/x", "a" * 300]
)
def test_models_may_have_names_that_branches_may_not(log: ReleaseLog, name: str) -> None:
    assert log.append(event(name=name)) == log.events(name)[0]


def test_events_that_are_appended_at_the_same_time_all_get_a_place(log: ReleaseLog) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log.append, [event(str(i)) for i in range(8)]))

    events = log.events("churn")
    assert {item.version for item in events} == {str(i) for i in range(8)}
    assert broken_link(events) is None


def test_one_key_at_the_same_time_is_one_event(log: ReleaseLog) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(log.append, [event(key="registered 1", by=f"u{i}") for i in range(4)])
        )

    assert log.events("churn") == found[:1]
    assert len(set(map(str, found))) == 1


# --- in the snapshot store -----------------------------------------------------------------------


def append_some(folder: Path, user: str) -> None:
    log = stored(folder)
    for number in range(5):
        log.append(event(str(number), by=user))


@pytest.mark.slow
def test_processes_that_append_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    children = [SPAWN.Process(target=append_some, args=(tmp_path, user)) for user in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join(120)

    assert [child.exitcode for child in children] == [0, 0]
    events = stored(tmp_path).events("churn")
    assert broken_link(events) is None
    for user in "ab":
        assert [item.version for item in events if item.by == user] == list("01234")


def test_an_object_that_is_no_event_is_named(tmp_path: Path) -> None:
    store = EmbeddedSnapshotStore(folder=str(tmp_path / "store"))
    log = StoredReleaseLog(store)
    log.append(event())
    branch = branch_of("churn")
    with store.write(
        REPOSITORY, branch=branch, key=f"{branch}/other", message="", metadata={}
    ) as transaction:
        transaction.put_bytes("events/00000002.json", b'{"kind": "dropped"}')

    with pytest.raises(SnapshotError, match=r"'events/00000002\.json' at commit .* is none: "):
        log.events("churn")


@given(name=st.text(min_size=1, max_size=300))
def test_every_name_has_a_branch_that_every_store_takes(name: str) -> None:
    check_lakefs_branch(branch_of(name))


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6, unique=True))
def test_two_names_never_share_a_branch(names: list[str]) -> None:
    assert len({branch_of(name) for name in names}) == len(names)
