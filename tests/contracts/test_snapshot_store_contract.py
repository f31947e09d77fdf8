"""What every snapshot store promises; a new adapter joins by one line in `STORES`.

Each test works in a repository of its own, because a live server keeps what earlier
runs wrote. The live server is named by LAKEFS_ENDPOINT, LAKEFS_ACCESS_KEY_ID,
LAKEFS_SECRET_ACCESS_KEY and LAKEFS_STORAGE_NAMESPACE, and if needed LAKEFS_S3_ENDPOINT
and LAKEFS_REGION; with LAKEFS_CONTRACT_REQUIRED=1 its absence is a failure.
"""

import hashlib
import json
import multiprocessing
import os
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pytest

from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.ports import Change, Commit, SnapshotStore
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

FORK = multiprocessing.get_context("fork")
LIVE_VARIABLES = {
    "endpoint": "LAKEFS_ENDPOINT",
    "access_key_id": "LAKEFS_ACCESS_KEY_ID",
    "secret_access_key": "LAKEFS_SECRET_ACCESS_KEY",
    "storage_namespace": "LAKEFS_STORAGE_NAMESPACE",
}
OPTIONAL_LIVE_VARIABLES = {"s3_endpoint": "LAKEFS_S3_ENDPOINT", "region": "LAKEFS_REGION"}
LARGE_BYTES = 60 * 2**20
MAX_PYTHON_BYTES = 24 * 2**20
WRONG_SECRET = "wr0ng+secret/that-must-not-be-told"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A store, a fresh repository in it, and what a test may do behind its back.

    Attributes:
        n_listed: More objects than the store's server lists on one page.
        damage: Changes the stored bytes of an object of a repository's branch `main`
            without telling the store; None where a test cannot reach them.
        with_wrong_secret: Opens the same server with the secret `WRONG_SECRET`; None
            where there is no server.
    """

    store: SnapshotStore
    n_listed: int
    damage: Callable[[str, str, bytes], None] | None = None
    with_wrong_secret: Callable[[], SnapshotStore] | None = None
    repository: str = field(default_factory=lambda: f"ct-{uuid.uuid4().hex[:8]}")

    def write(
        self,
        objects: Mapping[str, bytes],
        *,
        key: str = "k1",
        branch: str = "main",
        metadata: Mapping[str, str] | None = None,
    ) -> Commit:
        with self.transaction(key, branch=branch, metadata=metadata) as transaction:
            for path, content in objects.items():
                transaction.put_bytes(path, content)
        return transaction.commit

    def transaction(
        self, key: str, *, branch: str = "main", metadata: Mapping[str, str] | None = None
    ):
        return self.store.write(
            self.repository,
            branch=branch,
            key=f"{branch}/{key}",
            message="Add data",
            metadata=metadata or {"owner": "ada"},
        )

    def find(self, key: str) -> Commit | None:
        return self.store.find(self.repository, key)

    def resolve(self, ref: str) -> Commit:
        return self.store.resolve(self.repository, ref)

    def read(self, commit: Commit, path: str) -> bytes:
        return self.store.read_bytes(self.repository, commit.commit_id, path)

    def paths(self, commit: Commit, prefix: str = "") -> list[str]:
        listed = self.store.objects(self.repository, commit.commit_id, prefix)
        return [item.path for item in listed]

    def log(self, ref: str = "main", **options) -> list[str]:
        return [commit.commit_id for commit in self.store.log(self.repository, ref, **options)]

    def diff(self, left: str, right: str) -> dict[str, str]:
        changes = self.store.diff(self.repository, left, right)
        assert changes == sorted(changes, key=lambda change: change.path)
        assert all(isinstance(change, Change) for change in changes)
        return {change.path: change.kind for change in changes}

    def merge(self, source: str, destination: str = "main") -> Commit:
        return self.store.merge(
            self.repository, source=source, destination=destination, message="Merge it"
        )


@contextmanager
def embedded(folder: Path) -> Iterator[Case]:
    """The store in a folder."""
    store = EmbeddedSnapshotStore(folder=str(folder / "store"))

    def damage(repository: str, path: str, content: bytes) -> None:
        head = store.resolve(repository, "main").commit_id
        (item,) = (item for item in store.objects(repository, head) if item.path == path)
        file = folder / "store" / "objects" / item.sha256[:2] / item.sha256
        file.chmod(0o644)
        file.write_bytes(content)

    yield Case(store=store, n_listed=40, damage=damage)


@contextmanager
def lakefs_stand_in(folder: Path) -> Iterator[Case]:
    """The lakeFS adapter against the server that the tests bring."""
    from resources.snapshot_store.lakefs import LakeFSSnapshotStore
    from tests.lakefs_server import LakeFSStandIn

    with LakeFSStandIn() as server:
        options: dict[str, Any] = {
            "endpoint": server.endpoint,
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            "storage_namespace": server.storage_namespace,
        }
        yield Case(
            store=LakeFSSnapshotStore(**options),
            n_listed=server.page_size + 3,
            damage=server.damage,
            with_wrong_secret=lambda: LakeFSSnapshotStore(
                **dict(options, secret_access_key=WRONG_SECRET)
            ),
        )


@contextmanager
def lakefs_live(folder: Path) -> Iterator[Case]:
    """The lakeFS adapter against the server that the environment names."""
    missing = [name for name in LIVE_VARIABLES.values() if not os.environ.get(name)]
    if missing and os.environ.get("LAKEFS_CONTRACT_REQUIRED") == "1":
        pytest.fail(f"LAKEFS_CONTRACT_REQUIRED=1 needs a live server; not set: {missing}.")
    if missing:
        pytest.skip(f"no live lakeFS server; not set: {', '.join(missing)}")
    from resources.snapshot_store.lakefs import LakeFSSnapshotStore

    variables = LIVE_VARIABLES | OPTIONAL_LIVE_VARIABLES
    options: dict[str, Any] = {
        k: os.environ[name] for k, name in variables.items() if os.environ.get(name)
    }
    yield Case(
        store=LakeFSSnapshotStore(**options),
        n_listed=1_003,
        with_wrong_secret=lambda: LakeFSSnapshotStore(
            **dict(options, secret_access_key=WRONG_SECRET)
        ),
    )


STORES: dict[str, Callable[[Path], AbstractContextManager[Case]]] = {
    "embedded": embedded,
    "lakefs-stand-in": lakefs_stand_in,
    "lakefs-live": lakefs_live,
}


@pytest.fixture(params=list(STORES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """A store with a fresh, empty repository."""
    with STORES[request.param](tmp_path) as made:
        made.store.ensure_repository(made.repository)
        yield made


# Repositories and names


def test_a_repository_is_made_once(case: Case) -> None:
    commit = case.write({"a": b"1"})

    case.store.ensure_repository(case.repository)

    assert case.resolve("main") == commit


@pytest.mark.parametrize("name", ["", "Churn", "-ab", "a_bc", "a/bc", "..", "a" * 64])
def test_bad_repository_names_are_refused(case: Case, name: str) -> None:
    with pytest.raises(SnapshotError, match="A repository is named with"):
        case.store.ensure_repository(name)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a.b", "..", "0" * 64, "keep-0123456789abcdef"])
def test_bad_branch_names_are_refused(case: Case, name: str) -> None:
    with pytest.raises(SnapshotError, match="A branch is named with"):
        case.write({"a": b"1"}, branch=name)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a", "/a", "a//b", "a/../b", "./a", "a/", "a\nb", "a\x00b"]
)
def test_paths_that_leave_the_commit_are_refused(case: Case, path: str) -> None:
    with pytest.raises(SnapshotError, match="relative and normalised"):
        case.write({path: b"1"})

    assert case.find("main/k1") is None


def test_an_unknown_branch_is_answered_with_near_names(case: Case) -> None:
    case.write({"a": b"1"})

    with pytest.raises(SnapshotError, match=r"'man'.* Did you mean 'main'\?"):
        case.resolve("man")
    with pytest.raises(SnapshotError, match=r"'man'.* Did you mean 'main'\?"):
        case.log("man")


def test_an_unknown_repository_is_answered_with_near_names(case: Case) -> None:
    wrong = f"{case.repository}x"

    with pytest.raises(SnapshotError, match=rf"'{wrong}'.* Did you mean '{case.repository}'\?"):
        case.store.resolve(wrong, "main")
    with pytest.raises(SnapshotError, match=f"'{wrong}'"):
        case.store.find(wrong, "main/k1")


def test_an_unknown_path_is_answered_with_near_names(case: Case, tmp_path: Path) -> None:
    commit = case.write({"data/table.parquet": b"1"}).commit_id
    expected = r"'data/tabel.parquet'.* Did you mean 'data/table.parquet'\?"

    with pytest.raises(SnapshotError, match=expected):
        case.store.scan(case.repository, commit, "data/tabel.parquet")
    with pytest.raises(SnapshotError, match=expected):
        case.store.read_bytes(case.repository, commit, "data/tabel.parquet")
    with pytest.raises(SnapshotError, match=expected):
        case.store.download(case.repository, commit, "data/tabel.parquet", tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


def test_an_unknown_commit_is_refused(case: Case) -> None:
    case.write({"a": b"1"})
    unknown = "0" * 64

    with pytest.raises(SnapshotError, match=unknown):
        case.store.objects(case.repository, unknown)
    with pytest.raises(SnapshotError, match=unknown):
        case.resolve(unknown)
    with pytest.raises(SnapshotError, match=unknown):
        case.store.pin(case.repository, unknown, "model churn 1")
    with pytest.raises(SnapshotError, match=unknown):
        case.store.tag(case.repository, "v1", unknown)


def test_data_is_never_read_by_branch(case: Case) -> None:
    case.write({"a": b"1"})

    with pytest.raises(SnapshotError, match=r"because branches move\. Found 'main'"):
        case.store.scan(case.repository, "main", "a")


def test_repositories_are_apart(case: Case) -> None:
    other = f"{case.repository}-other"
    case.store.ensure_repository(other)
    commit = case.write({"a": b"1"})

    assert case.store.find(other, "main/k1") is None
    with pytest.raises(SnapshotError, match=commit.commit_id):
        case.store.objects(other, commit.commit_id)


def test_an_object_may_look_like_a_commit(case: Case) -> None:
    forged = json.dumps({"created": "", "message": "", "metadata": {}, "parents": [], "tree": ""})
    case.write({"forged.json": forged.encode()})
    digest = hashlib.sha256(forged.encode()).hexdigest()

    with pytest.raises(SnapshotError, match=digest):
        case.resolve(digest)


# Commits


def test_what_is_written_is_read_by_commit_id(case: Case) -> None:
    commit = case.write({"a.json": b"{}", "data/b.bin": b"\x00\x01"})

    assert case.read(commit, "data/b.bin") == b"\x00\x01"
    assert case.paths(commit) == ["a.json", "data/b.bin"]


def test_a_listed_object_tells_its_size_and_digest(case: Case) -> None:
    commit = case.write({"empty": b"", "six": b"abcdef"})

    listed = case.store.objects(case.repository, commit.commit_id)

    assert [(item.path, item.size_bytes) for item in listed] == [("empty", 0), ("six", 6)]
    assert [item.sha256 for item in listed] == [
        hashlib.sha256(b"").hexdigest(),
        hashlib.sha256(b"abcdef").hexdigest(),
    ]


def test_a_commit_tells_who_wrote_it_and_under_which_key(case: Case) -> None:
    metadata = {"owner": "ada", "note": "Größe €, 数据", "long": "x y" * 700}
    commit = case.write({"a": b"1"}, metadata=metadata)
    read = case.resolve(commit.commit_id)

    assert read == commit
    assert (read.message, read.repository) == ("Add data", case.repository)
    assert metadata.items() <= dict(read.metadata).items()
    assert read.metadata["key"] == "main/k1"
    assert read.metadata["content_sha256"] == read.content_sha256
    assert len(read.commit_id) == 64
    assert set(read.commit_id) <= set("0123456789abcdef")
    assert datetime.fromisoformat(read.created_at).utcoffset() == timedelta(0)


def test_a_second_commit_keeps_the_objects_of_the_first(case: Case) -> None:
    first = case.write({"a": b"1", "b": b"1"})
    second = case.write({"b": b"2", "c": b"2"}, key="k2")

    assert second.parents == (first.commit_id,)
    assert case.paths(second) == ["a", "b", "c"]
    assert case.read(second, "b") == b"2"
    assert case.read(first, "b") == b"1"
    assert case.resolve("main") == second


def test_a_commit_stays_readable_when_its_branch_is_deleted(case: Case) -> None:
    commit = case.write({"a": b"1"}, branch="request-1")

    case.store.delete_branch(case.repository, "request-1")
    case.store.delete_branch(case.repository, "request-1")

    assert case.read(commit, "a") == b"1"
    assert case.resolve(commit.commit_id) == commit
    assert "request-1" not in case.store.branches(case.repository)
    with pytest.raises(SnapshotError, match="'request-1'"):
        case.resolve("request-1")


def test_a_key_commits_once(case: Case) -> None:
    first = case.write({"a": b"1"})
    again = case.write({"a": b"changed", "z": b"new"})

    assert again == first
    assert case.resolve("main") == first
    assert case.paths(first) == ["a"]


def test_what_a_repeated_key_put_is_in_no_later_commit(case: Case) -> None:
    case.write({"a": b"1"})
    case.write({"a": b"changed", "z": b"new"})
    later = case.write({"b": b"2"}, key="k2")

    assert case.paths(later) == ["a", "b"]
    assert case.read(later, "a") == b"1"


def test_a_commit_is_found_by_its_key(case: Case) -> None:
    assert case.find("main/k1") is None

    first = case.write({"a": b"1"})
    case.write({"a": b"2"}, key="k2")

    assert case.find("main/k1") == first
    assert case.find("request-1/k1") is None


@pytest.mark.parametrize("key", ["k1", "main", "main/", "/k1", "other/k1", ""])
def test_a_key_that_does_not_name_the_branch_is_refused(case: Case, key: str) -> None:
    with (
        pytest.raises(SnapshotError, match="An idempotency key starts with its branch"),
        case.store.write(case.repository, branch="main", key=key, message="m", metadata={}),
    ):
        pytest.fail("the block must not run")


def test_a_deleted_branch_takes_its_keys_with_it(case: Case) -> None:
    first = case.write({"a": b"1"}, branch="request-1")
    case.store.delete_branch(case.repository, "request-1")

    assert case.find("request-1/k1") is None
    second = case.write({"b": b"2"}, branch="request-1")

    assert second.commit_id != first.commit_id
    assert case.paths(second) == ["b"]


def test_a_new_branch_holds_nothing_but_what_is_put(case: Case) -> None:
    case.write({"a": b"1"})
    commit = case.write({"b": b"2"}, branch="request-1")

    assert case.paths(commit) == ["b"]
    assert case.store.branches(case.repository)["request-1"] == commit.commit_id
    assert case.resolve("request-1") == commit


def put_and_fail(case: Case, branch: str) -> None:
    with case.transaction("k2", branch=branch) as transaction:
        transaction.put_bytes("b", b"2")
        transaction.put_bytes("a", b"changed")
        transaction.remove("c")
        raise RuntimeError("stop")


def test_an_exception_discards_what_was_put(case: Case) -> None:
    before = case.write({"a": b"1", "c": b"3"})
    log = case.log()

    with pytest.raises(RuntimeError, match="stop"):
        put_and_fail(case, "main")

    assert case.resolve("main") == before
    assert case.log() == log
    assert case.find("main/k2") is None
    later = case.write({"d": b"4"}, key="k3")
    assert case.paths(later) == ["a", "c", "d"]
    assert case.read(later, "a") == b"1"


def test_an_exception_leaves_no_new_branch(case: Case) -> None:
    before = case.store.branches(case.repository)

    with pytest.raises(RuntimeError, match="stop"):
        put_and_fail(case, "request-1")

    assert case.store.branches(case.repository) == before


def test_nothing_is_visible_before_the_commit(case: Case) -> None:
    before = case.write({"a": b"1"})

    with case.transaction("k2") as transaction:
        transaction.put_bytes("a", b"2")
        assert case.resolve("main") == before
        assert case.find("main/k2") is None

    assert case.resolve("main") == transaction.commit


def test_a_transaction_that_changes_nothing_is_refused(case: Case) -> None:
    before = case.write({"a": b"1"})

    with pytest.raises(SnapshotError, match="changes nothing"):
        case.write({}, key="k2")
    with pytest.raises(SnapshotError, match="changes nothing"):
        case.write({"a": b"1"}, key="k3")
    with (
        pytest.raises(SnapshotError, match="changes nothing"),
        case.transaction("k4") as transaction,
    ):
        transaction.remove("b")

    assert case.resolve("main") == before


def test_an_empty_transaction_makes_no_branch(case: Case) -> None:
    before = case.store.branches(case.repository)

    with pytest.raises(SnapshotError, match="changes nothing"):
        case.write({}, branch="request-1")

    assert case.store.branches(case.repository) == before


def test_a_removed_object_is_in_no_later_commit(case: Case) -> None:
    first = case.write({"a": b"1", "b": b"1"})

    with case.transaction("k2") as transaction:
        transaction.put_bytes("c", b"2")
        transaction.put_bytes("d", b"2")
        transaction.remove("a")
        transaction.remove("c")
        transaction.remove("b")
        transaction.put_bytes("b", b"2")
        transaction.remove("was/never/there")

    assert case.paths(transaction.commit) == ["b", "d"]
    assert case.read(transaction.commit, "b") == b"2"
    assert case.read(first, "a") == b"1"


def test_the_last_of_two_puts_of_a_path_counts(case: Case, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"2")

    with case.transaction("k1") as transaction:
        transaction.put_bytes("a", b"1")
        transaction.put_file("a", tmp_path / "local")

    assert case.read(transaction.commit, "a") == b"2"


def test_equal_content_has_an_equal_digest_whoever_wrote_it(case: Case) -> None:
    one = case.write({"a": b"1", "b": b"2"}, branch="one")
    two = case.write({"b": b"2", "a": b"1"}, branch="two")
    other = case.write({"a": b"1", "c": b"2"}, branch="three")

    assert one.content_sha256 == two.content_sha256
    assert one.commit_id != two.commit_id
    assert other.content_sha256 != one.content_sha256


def test_the_content_digest_is_that_of_sorted_paths_and_digests(case: Case) -> None:
    objects = {"é/b c.txt": b"2", "a": b"1", "Z": b"3"}
    pairs = sorted([path, hashlib.sha256(content).hexdigest()] for path, content in objects.items())
    text = json.dumps(pairs, separators=(",", ":"), ensure_ascii=False)

    many = case.write(objects, branch="many")
    one = case.write({"a": b"1"})

    assert many.content_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert one.content_sha256 == "7bb70fd1a78f6635ee365af8488b44d0fc860c4be7315935c36e572e8f47091f"


# Log, diff, listings


def test_the_log_tells_the_newest_commit_first(case: Case) -> None:
    commits = [case.write({"a": b"%d" % n}, key=f"k{n}").commit_id for n in range(5)]
    case.write({"other": b"1"}, branch="request-1")
    newest_first = commits[::-1]

    assert case.log()[:5] == newest_first
    assert case.log(commits[2])[:3] == newest_first[2:]
    assert case.store.log(case.repository, "main")[0] == case.resolve("main")


def test_the_log_is_read_in_pages(case: Case) -> None:
    commits = [case.write({"a": b"%d" % n}, key=f"k{n}").commit_id for n in range(7)]
    whole = case.log()

    pages: list[str] = []
    while page := case.log(limit=3, after=pages[-1] if pages else None):
        assert len(page) <= 3
        pages.extend(page)

    assert pages == whole
    assert whole[:7] == commits[::-1]
    assert case.log(limit=1) == whole[:1]


def test_a_diff_tells_what_was_added_removed_and_changed(case: Case) -> None:
    first = case.write({"same": b"1", "removed": b"1", "changed": b"1"})
    with case.transaction("k2") as transaction:
        transaction.put_bytes("added", b"2")
        transaction.put_bytes("changed", b"2")
        transaction.remove("removed")
    second = transaction.commit

    forwards = {"added": "added", "changed": "changed", "removed": "removed"}
    backwards = {"added": "removed", "changed": "changed", "removed": "added"}
    assert case.diff(first.commit_id, second.commit_id) == forwards
    assert case.diff("main", first.commit_id) == backwards
    assert case.diff("main", second.commit_id) == {}


def test_a_diff_of_unrelated_branches_compares_what_they_hold(case: Case) -> None:
    case.write({"same": b"1", "a": b"1"}, branch="one")
    case.write({"same": b"1", "b": b"1"}, branch="two")

    assert case.diff("one", "two") == {"a": "removed", "b": "added"}


def test_more_objects_than_one_page_are_listed(case: Case) -> None:
    names = sorted(f"part-{number:05d}" for number in range(case.n_listed))
    commit = case.write(dict.fromkeys(names, b"1"))

    assert case.paths(commit) == names
    assert set(case.diff("main", commit.commit_id)) == set()


def test_objects_are_listed_by_prefix(case: Case) -> None:
    commit = case.write({"data/a": b"1", "data/b": b"1", "data.txt": b"1", "z": b"1"})

    assert case.paths(commit, "data/") == ["data/a", "data/b"]
    assert case.paths(commit, "data") == ["data.txt", "data/a", "data/b"]
    assert case.paths(commit, "none") == []


# Tags, merges, pins


def test_a_tag_names_a_commit_for_good(case: Case) -> None:
    first = case.write({"a": b"1"})
    second = case.write({"a": b"2"}, key="k2")

    case.store.tag(case.repository, "v1.0", first.commit_id)
    case.store.tag(case.repository, "v1.0", first.commit_id)
    case.store.tag(case.repository, "u2", second.commit_id)

    with pytest.raises(SnapshotError, match=f"'v1.0'.*{first.commit_id[:10]}"):
        case.store.tag(case.repository, "v1.0", second.commit_id)
    expected = {"u2": second.commit_id, "v1.0": first.commit_id}
    assert list(case.store.tags(case.repository).items()) == list(expected.items())
    assert case.resolve("v1.0") == first
    assert case.log("v1.0")[0] == first.commit_id


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "a..b", ".a", "a.lock", "0" * 64])
def test_bad_tag_names_are_refused(case: Case, name: str) -> None:
    commit = case.write({"a": b"1"})

    with pytest.raises(SnapshotError, match="A tag is named with"):
        case.store.tag(case.repository, name, commit.commit_id)


def branched(case: Case) -> Commit:
    """Make branch `request-1` with what `main` holds, by merging; return its head."""
    case.write({"a": b"1", "b": b"1", "gone": b"1"})
    return case.merge("main", "request-1")


def test_a_merge_brings_the_changes_of_a_branch(case: Case) -> None:
    source = case.write({"a": b"1"}, branch="request-1")
    before = case.write({"b": b"2"})

    merged = case.merge("request-1")

    assert case.paths(merged) == ["a", "b"]
    assert case.resolve("main") == merged
    assert merged.message == "Merge it"
    assert set(merged.parents) == {before.commit_id, source.commit_id}
    assert {source.commit_id, before.commit_id} < set(case.log())
    assert case.log()[0] == merged.commit_id
    assert case.paths(case.resolve("request-1")) == ["a"]


def test_a_merge_has_the_content_digest_of_what_it_holds(case: Case) -> None:
    case.write({"a": b"1"}, branch="request-1")
    case.write({"b": b"2"})
    both = case.write({"b": b"2", "a": b"1"}, branch="both")

    assert case.merge("request-1").content_sha256 == both.content_sha256


def test_a_second_merge_brings_nothing(case: Case) -> None:
    case.write({"a": b"1"}, branch="request-1")
    case.write({"b": b"2"})
    merged = case.merge("request-1")

    assert case.merge("request-1") == merged

    later = case.write({"c": b"3"}, key="k2")
    assert case.merge("request-1") == later
    assert case.resolve("main") == later


def test_a_branch_is_merged_again_after_it_went_on(case: Case) -> None:
    branched(case)
    case.write({"a": b"2"}, branch="request-1")
    case.write({"b": b"3"}, key="k2")
    case.merge("request-1")
    case.write({"a": b"4"}, branch="request-1", key="k2")

    merged = case.merge("request-1")

    assert (case.read(merged, "a"), case.read(merged, "b")) == (b"4", b"3")


def test_a_merge_removes_what_the_branch_removed(case: Case) -> None:
    branched(case)
    with case.transaction("k1", branch="request-1") as transaction:
        transaction.remove("gone")
    case.write({"c": b"3"}, key="k2")

    merged = case.merge("request-1")

    assert case.paths(merged) == ["a", "b", "c"]


def test_branches_that_merge_each_other_have_a_common_past(case: Case) -> None:
    branched(case)
    case.write({"a": b"2"}, branch="request-1")
    case.write({"b": b"2"}, key="k2")
    case.merge("request-1")
    case.merge("main", "request-1")
    case.write({"a": b"3"}, branch="request-1", key="k2")
    case.write({"b": b"3"}, key="k3")

    merged = case.merge("request-1")

    assert (case.read(merged, "a"), case.read(merged, "b")) == (b"3", b"3")


def test_a_conflict_is_refused_and_changes_nothing(case: Case) -> None:
    branched(case)
    case.write({"a": b"2", "c": b"2"}, branch="request-1")
    before = case.write({"a": b"3"}, key="k2")

    with pytest.raises(SnapshotError, match=r"conflict|[Bb]oth"):
        case.merge("request-1")

    assert case.resolve("main") == before
    assert case.paths(before) == ["a", "b", "gone"]


def test_removing_what_the_other_changed_is_a_conflict(case: Case) -> None:
    branched(case)
    case.write({"gone": b"2"}, branch="request-1")
    with case.transaction("k2") as transaction:
        transaction.remove("gone")

    with pytest.raises(SnapshotError, match=r"conflict|[Bb]oth"):
        case.merge("request-1")

    assert case.resolve("main") == transaction.commit


def test_only_a_branch_is_merged(case: Case) -> None:
    case.write({"a": b"1"})

    with pytest.raises(SnapshotError, match=r"'man'.* Did you mean 'main'\?"):
        case.merge("man", "main")


def test_a_pinned_commit_stays_and_is_no_branch(case: Case) -> None:
    commit = case.write({"a": b"1"}, branch="request-1")
    case.write({"b": b"1"})

    case.store.pin(case.repository, commit.commit_id, "model churn 1")
    case.store.pin(case.repository, commit.commit_id, "model churn 1")
    case.store.delete_branch(case.repository, "request-1")

    assert case.read(commit, "a") == b"1"
    assert list(case.store.branches(case.repository)) == ["main"]
    assert case.store.tags(case.repository) == {}


def test_unpinning_twice_is_unpinning_once(case: Case) -> None:
    commit = case.write({"a": b"1"})
    case.store.pin(case.repository, commit.commit_id, "model churn 1")
    case.store.pin(case.repository, commit.commit_id, "model churn 2")

    for _ in range(2):
        case.store.unpin(case.repository, commit.commit_id, "model churn 1")

    assert case.read(commit, "a") == b"1"
    assert list(case.store.branches(case.repository)) == ["main"]


# Many at once


def test_writers_of_many_branches_lose_nothing(case: Case) -> None:
    def add(number: int) -> Commit:
        return case.write({f"{number}.txt": b"%d" % number}, branch=f"request-{number}")

    with ThreadPoolExecutor(max_workers=8) as pool:
        commits = list(pool.map(add, range(16)))

    branches = case.store.branches(case.repository)
    assert list(branches) == sorted(branches)
    for number, commit in enumerate(commits):
        assert branches[f"request-{number}"] == commit.commit_id
        assert case.paths(commit) == [f"{number}.txt"]


def test_writers_of_one_branch_lose_nothing_quietly(case: Case) -> None:
    case.write({"first.txt": b"1"}, key="first")
    barrier = Barrier(4)

    def add(number: int) -> Commit | None:
        barrier.wait(timeout=30)
        try:
            return case.write({f"{number}.txt": b"%d" % number}, key=f"k{number}")
        except (SnapshotError, ServiceError):
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        commits = list(pool.map(add, range(4)))

    made = [number for number, commit in enumerate(commits) if commit]
    assert made
    expected = sorted(["first.txt", *(f"{number}.txt" for number in made)])
    assert case.paths(case.resolve("main")) == expected
    assert {commit.commit_id for commit in commits if commit} < set(case.log())


def test_writers_with_one_key_make_one_commit(case: Case) -> None:
    def add(number: int) -> Commit | None:
        try:
            return case.write({"a": b"%d" % number}, branch="request-1")
        except (SnapshotError, ServiceError):
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        commits = list(pool.map(add, range(8)))

    assert {commit.commit_id for commit in commits if commit} == {
        case.resolve("request-1").commit_id
    }
    assert case.find("request-1/k1") == case.resolve("request-1")


def test_merges_into_one_branch_lose_nothing(case: Case) -> None:
    case.write({"first.txt": b"1"})

    def add(number: int) -> Commit:
        case.write({f"{number}.txt": b"%d" % number}, branch=f"request-{number}")
        return case.merge(f"request-{number}")

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(add, range(8)))

    expected = sorted(["first.txt", *(f"{number}.txt" for number in range(8))])
    assert case.paths(case.resolve("main")) == expected


# Tables and files


def test_a_table_is_scanned_as_it_was_written(case: Case, tmp_path: Path) -> None:
    n_rows = 20_000
    frame = pl.DataFrame(
        {
            "x": range(n_rows),
            "y": [number % 7 / 3 for number in range(n_rows)],
            "z": [f"größe {number % 5}" for number in range(n_rows)],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=1_000)
    with case.transaction("k1") as transaction:
        transaction.put_file("data/table.parquet", tmp_path / "t.parquet")

    scanned = case.store.scan(case.repository, transaction.commit.commit_id, "data/table.parquet")
    chosen = scanned.filter((pl.col("x") >= 5_000) & (pl.col("x") < 5_010)).select("z", "x")

    assert scanned.collect().equals(frame)
    assert chosen.collect(engine="streaming").equals(frame[5_000:5_010].select("z", "x"))


def test_a_column_named_like_a_path_is_only_a_column(case: Case, tmp_path: Path) -> None:
    frame = pl.DataFrame({"../x": [1], "/etc/passwd": [2], "a/b\\c": [3]})
    frame.write_parquet(tmp_path / "t.parquet")
    with case.transaction("k1") as transaction:
        transaction.put_file("t.parquet", tmp_path / "t.parquet")

    scanned = case.store.scan(case.repository, transaction.commit.commit_id, "t.parquet")

    assert scanned.collect().equals(frame)


ODD_PATHS = [
    "data/day=2024-01-01/part 1.parquet",
    "a+b&c/x%20y.parquet",
    "größe/数据 #1?.parquet",
    "[ab]*/{x}.parquet",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_paths_may_hold_odd_characters(case: Case, tmp_path: Path, path: str) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3]})
    frame.write_parquet(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    with case.transaction("k1") as transaction:
        transaction.put_file(path, tmp_path / "t.parquet")
        transaction.put_bytes(f"{path}.copy", content)
    commit = transaction.commit

    case.store.download(case.repository, commit.commit_id, path, tmp_path / "copy")

    assert case.paths(commit) == [path, f"{path}.copy"]
    assert case.read(commit, f"{path}.copy") == content
    assert (tmp_path / "copy").read_bytes() == content
    assert case.store.scan(case.repository, commit.commit_id, path).collect().equals(frame)


def test_a_download_makes_a_new_file(case: Case, tmp_path: Path) -> None:
    commit = case.write({"a": b"1"})
    target = tmp_path / "copy"

    case.store.download(case.repository, commit.commit_id, "a", target)
    target.write_bytes(b"changed by its user")

    assert case.read(commit, "a") == b"1"


def test_changed_bytes_are_not_handed_out(case: Case, tmp_path: Path) -> None:
    commit = case.write({"a": b"good", "b": b"good too"})
    if case.damage is None:
        pytest.skip("the bytes of a live server are out of reach")
    case.damage(case.repository, "a", b"evil")

    with pytest.raises(SnapshotError, match="changed"):
        case.read(commit, "a")
    with pytest.raises(SnapshotError, match="changed"):
        case.store.download(case.repository, commit.commit_id, "a", tmp_path / "copy")
    assert list(tmp_path.glob("*copy*")) == []
    assert case.read(commit, "b") == b"good too"


def test_the_digest_of_bytes_is_that_of_what_is_there_now(case: Case) -> None:
    commit = case.write({"a": b"good", "b": b"good too"})
    ask = partial(case.store.read_sha256, case.repository, commit.commit_id)

    assert ask("b") == hashlib.sha256(b"good too").hexdigest()
    with pytest.raises(SnapshotError):
        ask("c")
    if case.damage is not None:
        case.damage(case.repository, "a", b"evil")
        assert ask("a") == hashlib.sha256(b"evil").hexdigest()


def copy_there_and_back(case: Case, folder: Path, answer) -> None:
    """Write a large file and read it again; answer with the most memory that Python held."""
    local = folder / "large.bin"
    tracemalloc.start()
    with case.transaction("k1") as transaction:
        transaction.put_file("large.bin", local)
    put_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    commit = transaction.commit.commit_id
    case.store.download(case.repository, commit, "large.bin", folder / "copy.bin")
    answer.send((put_bytes, tracemalloc.get_traced_memory()[1]))


def test_a_large_file_is_never_in_memory(case: Case, tmp_path: Path) -> None:
    block = os.urandom(2**20)
    digest = hashlib.sha256()
    with (tmp_path / "large.bin").open("wb") as file:
        for number in range(LARGE_BYTES // 2**20):
            part = number.to_bytes(4, "big") + block[4:]
            digest.update(part)
            file.write(part)
    receiver, sender = FORK.Pipe(duplex=False)

    # In a child, so that the memory of a server inside of this process is not counted.
    child = FORK.Process(target=copy_there_and_back, args=(case, tmp_path, sender))
    child.start()
    sender.close()
    child.join(timeout=120)

    assert child.exitcode == 0
    put_bytes, download_bytes = receiver.recv()
    assert put_bytes < MAX_PYTHON_BYTES
    assert download_bytes < MAX_PYTHON_BYTES
    with (tmp_path / "copy.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()


# Servers


def test_wrong_credentials_are_told_without_the_secret(case: Case) -> None:
    commit = case.write({"a": b"1"})
    if case.with_wrong_secret is None:
        pytest.skip("a folder asks for no credentials")
    store = case.with_wrong_secret()
    attempts: list[Callable[[], object]] = [
        lambda: store.ensure_repository(case.repository),
        lambda: store.resolve(case.repository, "main"),
        lambda: store.read_bytes(case.repository, commit.commit_id, "a"),
    ]

    for attempt in attempts:
        started = time.monotonic()
        with pytest.raises(ServiceError) as caught:
            attempt()
        assert time.monotonic() - started < 10  # what is refused is not tried again for long
        assert WRONG_SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert WRONG_SECRET not in f"{store!r} {store}"
