"""What every snapshot store promises; a new adapter joins by one line in `STORES`."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit, SnapshotStore
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

STORES: dict[str, Callable[[Path], SnapshotStore]] = {
    "embedded": lambda folder: EmbeddedSnapshotStore(folder=str(folder)),
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    """A store with the empty repository `churn`."""
    made = STORES[request.param](tmp_path / "store")
    made.ensure_repository("churn")
    return made


def write(
    store: SnapshotStore, objects: dict[str, bytes], *, key: str = "k1", branch: str = "main"
) -> Commit:
    with store.write(
        "churn", branch=branch, key=key, message="Add data", metadata={"owner": "ada"}
    ) as transaction:
        for path, content in objects.items():
            transaction.put_bytes(path, content)
    return transaction.commit


def paths(store: SnapshotStore, commit: Commit) -> list[str]:
    return [item.path for item in store.objects("churn", commit.commit_id)]


def test_what_is_written_is_read_by_commit_id(store: SnapshotStore) -> None:
    commit = write(store, {"a.json": b"{}", "data/b.bin": b"\x00\x01"})

    assert store.read_bytes("churn", commit.commit_id, "data/b.bin") == b"\x00\x01"
    assert paths(store, commit) == ["a.json", "data/b.bin"]


def test_a_commit_tells_who_wrote_it_and_under_which_key(store: SnapshotStore) -> None:
    commit = store.resolve("churn", write(store, {"a": b"1"}).commit_id)

    assert dict(commit.metadata) == {"owner": "ada", "key": "k1"}
    assert (commit.message, commit.parents, commit.repository) == ("Add data", (), "churn")
    assert len(commit.commit_id) == 64
    assert commit.created_at.endswith("+00:00")


def test_a_local_file_becomes_a_table_that_polars_scans(
    store: SnapshotStore, tmp_path: Path
) -> None:
    frame = pl.DataFrame({"x": [3, 1, 2], "y": ["a", "b", "c"]})
    frame.write_parquet(tmp_path / "t.parquet")

    with store.write("churn", branch="b", key="k", message="m", metadata={}) as transaction:
        transaction.put_file("data/table.parquet", tmp_path / "t.parquet")

    lazy = store.scan("churn", transaction.commit.commit_id, "data/table.parquet")
    assert lazy.collect().equals(frame)


def test_a_second_commit_keeps_the_objects_of_the_first(store: SnapshotStore) -> None:
    first = write(store, {"a": b"1", "b": b"1"})
    second = write(store, {"b": b"2", "c": b"2"}, key="k2")

    assert second.parents == (first.commit_id,)
    assert paths(store, second) == ["a", "b", "c"]
    assert store.read_bytes("churn", second.commit_id, "b") == b"2"
    assert store.read_bytes("churn", first.commit_id, "b") == b"1"


def test_a_branch_name_resolves_to_its_newest_commit(store: SnapshotStore) -> None:
    write(store, {"a": b"1"})
    second = write(store, {"a": b"2"}, key="k2")

    assert store.resolve("churn", "main") == second


def test_a_key_commits_once(store: SnapshotStore) -> None:
    first = write(store, {"a": b"1"})
    again = write(store, {"a": b"changed", "z": b"new"})

    assert again == first
    assert store.resolve("churn", "main") == first
    assert paths(store, first) == ["a"]


def test_a_commit_is_found_by_its_key(store: SnapshotStore) -> None:
    assert store.find("churn", "k1") is None

    commit = write(store, {"a": b"1"})

    assert store.find("churn", "k1") == commit


def test_keys_of_two_repositories_are_apart(store: SnapshotStore) -> None:
    store.ensure_repository("prices")
    commit = write(store, {"a": b"1"})

    assert store.find("prices", "k1") is None
    with pytest.raises(SnapshotError, match=f"'prices' has no commit {commit.commit_id}"):
        store.objects("prices", commit.commit_id)


def put_and_fail(store: SnapshotStore) -> None:
    with store.write("churn", branch="main", key="k2", message="m", metadata={}) as transaction:
        transaction.put_bytes("b", b"2")
        raise RuntimeError("stop")


def test_an_exception_discards_what_was_put(store: SnapshotStore) -> None:
    before = write(store, {"a": b"1"})

    with pytest.raises(RuntimeError, match="stop"):
        put_and_fail(store)

    assert store.resolve("churn", "main") == before
    assert store.find("churn", "k2") is None


def test_equal_content_has_an_equal_digest_whoever_wrote_it(store: SnapshotStore) -> None:
    one = write(store, {"a": b"1", "b": b"2"}, key="k1", branch="one")
    two = write(store, {"b": b"2", "a": b"1"}, key="k2", branch="two")
    other = write(store, {"a": b"1", "c": b"2"}, key="k3", branch="three")

    assert one.content_sha256 == two.content_sha256
    assert one.commit_id != two.commit_id
    assert other.content_sha256 != one.content_sha256


def test_the_content_digest_is_that_of_sorted_paths_and_digests(store: SnapshotStore) -> None:
    commit = write(store, {"a": b"1"})

    assert commit.content_sha256 == (
        "7bb70fd1a78f6635ee365af8488b44d0fc860c4be7315935c36e572e8f47091f"
    )


def test_writers_on_one_branch_lose_nothing(store: SnapshotStore) -> None:
    def add(number: int) -> Commit:
        return write(store, {f"{number}.txt": str(number).encode()}, key=f"k{number}")

    with ThreadPoolExecutor(max_workers=4) as pool:
        commits = list(pool.map(add, range(16)))

    head = store.resolve("churn", "main")
    assert paths(store, head) == sorted(f"{number}.txt" for number in range(16))
    assert len({commit.commit_id for commit in commits}) == 16


def test_writers_with_one_key_get_one_commit(store: SnapshotStore) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        commits = list(pool.map(lambda n: write(store, {"a": str(n).encode()}), range(8)))

    assert len({commit.commit_id for commit in commits}) == 1


def test_a_column_named_like_a_path_is_only_a_column(store: SnapshotStore, tmp_path: Path) -> None:
    frame = pl.DataFrame({"../x": [1], "/etc/passwd": [2], "a/b\\c": [3]})
    frame.write_parquet(tmp_path / "t.parquet")

    with store.write("churn", branch="b", key="k", message="m", metadata={}) as transaction:
        transaction.put_file("t.parquet", tmp_path / "t.parquet")

    assert store.scan("churn", transaction.commit.commit_id, "t.parquet").collect().equals(frame)


def test_pinning_twice_is_pinning_once(store: SnapshotStore) -> None:
    commit = write(store, {"a": b"1"})

    store.pin("churn", commit.commit_id, "model churn 1")
    store.pin("churn", commit.commit_id, "model churn 1")

    with pytest.raises(SnapshotError, match="has no commit"):
        store.pin("churn", "0" * 64, "model churn 1")


def test_an_object_may_look_like_a_commit(store: SnapshotStore) -> None:
    forged = json.dumps({"created": "", "message": "", "metadata": {}, "parents": [], "tree": ""})
    commit = write(store, {"forged.json": forged.encode()})
    digest = store.objects("churn", commit.commit_id)[0].sha256

    with pytest.raises(SnapshotError, match="has no commit"):
        store.resolve("churn", digest)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a", "/a", "a//b", "a/../b", "./a", "a/", "a\nb", "a\x00b"]
)
def test_paths_that_leave_the_commit_are_refused(store: SnapshotStore, path: str) -> None:
    with pytest.raises(SnapshotError, match="relative and normalised"):
        write(store, {path: b"1"})

    assert store.find("churn", "k1") is None


@pytest.mark.parametrize("name", ["", "Churn", "-a", "a_b", "a/b", "..", "a" * 64])
def test_bad_repository_names_are_refused(store: SnapshotStore, name: str) -> None:
    with pytest.raises(SnapshotError, match="A repository is named with"):
        store.ensure_repository(name)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a.b", "..", "0" * 64])
def test_bad_branch_names_are_refused(store: SnapshotStore, name: str) -> None:
    with pytest.raises(SnapshotError, match="A branch is named with"):
        write(store, {"a": b"1"}, branch=name)


def test_an_unknown_branch_is_answered_with_near_names(store: SnapshotStore) -> None:
    write(store, {"a": b"1"})

    with pytest.raises(SnapshotError, match=r"Found 'man'\. Known: main\. Did you mean 'main'\?"):
        store.resolve("churn", "man")


def test_an_unknown_repository_is_answered_with_near_names(store: SnapshotStore) -> None:
    with pytest.raises(SnapshotError, match=r"Found no 'chrun' .* Did you mean 'churn'\?"):
        store.resolve("chrun", "main")


def test_an_unknown_path_is_answered_with_near_names(store: SnapshotStore) -> None:
    commit = write(store, {"data/table.parquet": b"1"})

    with pytest.raises(SnapshotError, match=r"Did you mean 'data/table.parquet'\?"):
        store.scan("churn", commit.commit_id, "data/tabel.parquet")


def test_data_is_never_read_by_branch(store: SnapshotStore) -> None:
    write(store, {"a": b"1"})

    with pytest.raises(SnapshotError, match=r"because branches move\. Found 'main'"):
        store.scan("churn", "main", "a")
