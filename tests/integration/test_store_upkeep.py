"""`fsck`, `gc` and the upgrade of the embedded store; who may not hold it."""

import hashlib
import json
import multiprocessing
import os
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import typer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from automl_assets.cli.data_upkeep import check_store, collect_garbage
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.ports import Commit
from automl_assets.core.staging import Staging, sweep
from automl_assets.settings import Settings
from resources.snapshot_store._file_systems import refuse_network_file_system
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

FORK = multiprocessing.get_context("fork")
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def store(settings: Settings) -> EmbeddedSnapshotStore:
    """The store of an empty home, with the empty repository `churn`."""
    made = EmbeddedSnapshotStore(folder=str(settings.store_folder))
    made.ensure_repository("churn")
    return made


def write(
    store: EmbeddedSnapshotStore,
    objects: dict[str, bytes],
    *,
    key: str = "k1",
    branch: str = "r1",
    request_id: str | None = None,
) -> Commit:
    metadata = {"request_id": request_id or branch}
    with store.write(
        "churn", branch=branch, key=f"{branch}/{key}", message="m", metadata=metadata
    ) as transaction:
        for path, content in objects.items():
            transaction.put_bytes(path, content)
    return transaction.commit


def object_file(store: EmbeddedSnapshotStore, digest: str) -> Path:
    return Path(store.folder) / "objects" / digest[:2] / digest


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def damage(file: Path, content: bytes = b"damaged") -> None:
    file.chmod(0o644)
    file.write_bytes(content)


def execute(store: EmbeddedSnapshotStore, statement: str) -> None:
    connection = sqlite3.connect(Path(store.folder) / "refs.sqlite3")
    with connection:
        connection.execute(statement)
    connection.close()


def n_object_files(store: EmbeddedSnapshotStore) -> int:
    return sum(file.is_file() for file in (Path(store.folder) / "objects").rglob("*"))


# fsck


def test_a_whole_store_has_no_problems(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1", "b": b"2"})
    write(store, {"b": b"3"}, key="k2")

    found = store.fsck()

    assert found.problems == ()
    assert (found.n_repositories, found.n_commits, found.n_objects) == (1, 2, 3 + 2 + 2)
    assert found.n_bytes == sum(
        file.stat().st_size
        for file in (Path(store.folder) / "objects").rglob("*")
        if file.is_file()
    )


def test_a_changed_object_is_named_with_all_that_hold_it(store: EmbeddedSnapshotStore) -> None:
    first = write(store, {"data/a": b"1", "b": b"1"})
    write(store, {"c": b"2"}, key="k2")
    damage(object_file(store, digest_of(b"1")))

    problems = store.fsck().problems

    assert {(p.repository, p.commit_id, p.path) for p in problems} == {
        ("churn", first.commit_id, "data/a"),
        ("churn", first.commit_id, "b"),
    }
    assert {p.n_commits for p in problems} == {2}
    assert all("the file was changed or the disk is failing" in p.what for p in problems)


def test_a_missing_object_is_named(store: EmbeddedSnapshotStore) -> None:
    commit = write(store, {"a": b"1"})
    object_file(store, digest_of(b"1")).unlink()

    (problem,) = store.fsck("churn").problems

    assert (problem.commit_id, problem.path) == (commit.commit_id, "a")
    assert "was removed from outside" in problem.what


@pytest.mark.parametrize("what", ["commit", "tree"])
def test_a_broken_commit_or_tree_is_named(store: EmbeddedSnapshotStore, what: str) -> None:
    commit = write(store, {"a": b"1"})
    whole = write(store, {"a": b"1"}, branch="r2")
    record = json.loads(object_file(store, commit.commit_id).read_bytes())
    damage(object_file(store, commit.commit_id if what == "commit" else record["tree"]))

    problems = store.fsck().problems

    (problem,) = problems
    assert (problem.commit_id, problem.path) == (commit.commit_id, None)
    assert problem.n_commits == (1 if what == "commit" else 2)
    assert whole.content_sha256 == commit.content_sha256


def test_a_tree_that_is_no_tree_is_named(store: EmbeddedSnapshotStore) -> None:
    commit = write(store, {"a": b"[1]"})
    record = json.loads(object_file(store, commit.commit_id).read_bytes())
    record["tree"] = digest_of(b"[1]")
    forged = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    target = object_file(store, digest_of(forged))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(forged)
    execute(store, f"UPDATE commits SET commit_id = '{target.name}'")
    execute(store, f"UPDATE branches SET commit_id = '{target.name}'")

    (problem,) = store.fsck().problems

    assert problem.commit_id == target.name
    assert "A tree has the fields that this program wrote" in problem.what


@pytest.mark.parametrize("table", ["branches", "tags", "pins"])
def test_a_ref_that_leads_nowhere_is_named(store: EmbeddedSnapshotStore, table: str) -> None:
    commit = write(store, {"a": b"1"})
    store.tag("churn", "v1", commit.commit_id)
    store.pin("churn", commit.commit_id, "model churn 1")
    execute(store, f"UPDATE {table} SET commit_id = '{'0' * 64}'")

    (problem,) = store.fsck().problems

    kind = {"branches": "Branch 'r1'", "tags": "Tag 'v1'", "pins": "The pin of 'model churn 1'"}
    assert problem.commit_id == "0" * 64
    assert problem.what.startswith(f"{kind[table]} leads to a commit")


def test_parents_that_the_refs_lost_are_named(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1"})
    second = write(store, {"a": b"2"}, key="k2")
    execute(store, "DELETE FROM parents")

    (problem,) = store.fsck().problems

    assert problem.commit_id == second.commit_id
    assert "the refs say []" in problem.what


def test_fsck_of_one_repository_reads_no_other(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1"})
    store.ensure_repository("prices")
    object_file(store, digest_of(b"1")).unlink()

    assert store.fsck("prices").problems == ()
    with pytest.raises(SnapshotError, match="Did you mean 'prices'"):
        store.fsck("price")


# gc


def test_what_no_ref_leads_to_is_removed(store: EmbeddedSnapshotStore) -> None:
    kept = write(store, {"a": b"kept", "both": b"both"})
    lost = write(store, {"a": b"lost", "both": b"both"}, branch="r2")
    store.delete_branch("churn", "r2")

    dry = store.collect_garbage(dry_run=True)
    assert store.resolve("churn", lost.commit_id) == lost
    garbage = store.collect_garbage()

    assert garbage == dry
    assert (garbage.n_commits, garbage.n_objects, garbage.n_kept_objects) == (1, 3, 4)
    assert garbage.n_bytes > len(b"lost")
    assert n_object_files(store) == 4
    assert store.fsck().problems == ()
    assert store.read_bytes("churn", kept.commit_id, "both") == b"both"
    with pytest.raises(SnapshotError, match="has no commit"):
        store.read_bytes("churn", lost.commit_id, "a")
    with pytest.raises(SnapshotError, match="has no commit"):
        store.pin("churn", lost.commit_id, "model churn 1")
    assert store.collect_garbage().n_objects == 0


@pytest.mark.parametrize("hold", ["pin", "tag", "merge"])
def test_what_a_ref_needs_stays_with_its_whole_past(
    store: EmbeddedSnapshotStore, hold: str
) -> None:
    first = write(store, {"a": b"1"})
    second = write(store, {"a": b"2"}, key="k2")
    if hold == "pin":
        store.pin("churn", second.commit_id, "model churn 1")
    elif hold == "tag":
        store.tag("churn", "v1", second.commit_id)
    else:
        store.merge("churn", source="r1", destination="accepted", message="m")
    store.delete_branch("churn", "r1")

    assert store.collect_garbage().n_commits == 0

    assert store.read_bytes("churn", first.commit_id, "a") == b"1"
    assert store.log("churn", second.commit_id) == [second, first]
    assert store.fsck().problems == ()


def test_what_was_unpinned_is_removed(store: EmbeddedSnapshotStore) -> None:
    commit = write(store, {"a": b"1"})
    for owner in ("one", "two"):
        store.pin("churn", commit.commit_id, owner)
    store.delete_branch("churn", "r1")

    store.unpin("churn", commit.commit_id, "one")
    assert store.collect_garbage().n_commits == 0
    store.unpin("churn", commit.commit_id, "two")
    assert store.collect_garbage().n_commits == 1


def test_old_branches_of_requests_expire(store: EmbeddedSnapshotStore) -> None:
    old = write(store, {"a": b"1"})
    pinned = write(store, {"a": b"2"}, branch="r2")
    tagged = write(store, {"a": b"3"}, branch="r3")
    write(store, {"b": b"3"}, branch="r3", key="k2")
    store.pin("churn", pinned.commit_id, "model churn 1")
    store.tag("churn", "v1", tagged.commit_id)
    for branch in ("main", "accepted", "quarterly"):
        write(store, {branch: b"1"}, branch=branch, request_id="r1")

    early = store.collect_garbage(expire_before=datetime.now(UTC) - timedelta(days=90))
    dry = store.collect_garbage(expire_before=LATER, dry_run=True)
    branches = store.branches("churn")
    garbage = store.collect_garbage(expire_before=LATER)

    assert (early.branches, early.n_commits) == ((), 0)
    assert list(branches) == ["accepted", "main", "quarterly", "r1", "r2", "r3"]
    assert garbage == dry
    assert garbage.branches == ("churn/r1",)
    assert list(store.branches("churn")) == ["accepted", "main", "quarterly", "r2", "r3"]
    assert store.find("churn", "r1/k1") is None
    assert store.find("churn", "r2/k1") == pinned
    assert write(store, {"a": b"1"}).commit_id != old.commit_id


def test_a_branch_that_was_written_to_again_does_not_expire(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1"})
    moment = datetime.now(UTC)
    write(store, {"a": b"2"}, key="k2")

    assert store.collect_garbage(expire_before=moment).branches == ()


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(
    store: EmbeddedSnapshotStore,
) -> None:
    folder = Path(store.folder) / "tmp"
    (folder / "tmpabcdef").mkdir(parents=True)  # as version 0.1 named them
    (folder / "tmpabcdef" / "1").write_bytes(b"x" * 1_000)

    with store.write("churn", branch="r1", key="r1/k1", message="m", metadata={}) as transaction:
        transaction.put_bytes("a", b"1")
        garbage = store.collect_garbage()

    assert (garbage.leftovers.n_folders, garbage.leftovers.n_bytes) == (1, 1_000)
    assert store.read_bytes("churn", transaction.commit.commit_id, "a") == b"1"
    assert list(folder.glob("*/")) == []


def test_objects_of_a_refused_commit_are_garbage(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1"})
    stray = object_file(store, digest_of(b"stray"))
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")

    assert store.collect_garbage().n_objects == 1
    assert not stray.exists()


def test_a_damaged_commit_stops_the_collection_before_it_removes(
    store: EmbeddedSnapshotStore,
) -> None:
    write(store, {"a": b"lost"}, branch="r2")
    store.delete_branch("churn", "r2")
    damage(object_file(store, write(store, {"a": b"1"}).commit_id))
    before = n_object_files(store)

    with pytest.raises(SnapshotError, match="the file was changed or the disk is failing"):
        store.collect_garbage()

    assert n_object_files(store) == before


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "delete", "tag", "pin", "unpin", "merge", "gc"]),
        st.integers(0, 2),
    ),
    min_size=4,
    max_size=24,
)


class Model:
    """What a store must hold after some operations, kept in plain dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedSnapshotStore(folder=str(folder))
        self.store.ensure_repository("churn")
        self.commits: dict[str, Commit] = {}
        self.tagged: set[str] = set()
        self.pinned: set[str] = set()

    def apply(self, number: int, verb: str, branch: str) -> None:
        head = self.store.branches("churn").get(branch)
        if verb == "write":
            self._add(write(self.store, {branch: b"%d" % number}, key=f"{number}", branch=branch))
        elif verb == "delete":
            self.store.delete_branch("churn", branch)
        elif verb == "gc":
            self.store.collect_garbage()
        elif head is not None:
            self._apply_to_commit(number, verb, branch, head)

    def _apply_to_commit(self, number: int, verb: str, branch: str, head: str) -> None:
        if verb == "tag":
            self.store.tag("churn", f"v{number}", head)
            self.tagged.add(head)
        elif verb == "pin":
            self.store.pin("churn", head, "model")
            self.pinned.add(head)
        elif verb == "unpin":
            self.store.unpin("churn", head, "model")
            self.pinned.discard(head)
        else:
            self._add(self.store.merge("churn", source=branch, destination="main", message="m"))

    def _add(self, commit: Commit) -> None:
        self.commits[commit.commit_id] = commit

    def needed(self) -> set[str]:
        found: set[str] = set()
        waiting = [*self.tagged, *self.pinned, *self.store.branches("churn").values()]
        while waiting:
            commit_id = waiting.pop()
            if commit_id not in found:
                found.add(commit_id)
                waiting.extend(self.commits[commit_id].parents)
        return found


@hypothesis_settings(max_examples=40, deadline=None)
@given(operations=OPERATIONS)
def test_a_collection_removes_exactly_what_no_ref_needs(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int]]
) -> None:
    model = Model(tmp_path_factory.mktemp("store"))
    for number, (verb, index) in enumerate(operations):
        model.apply(number, verb, f"r{index}")
    model.store.collect_garbage()

    needed = model.needed()
    found = model.store.fsck()
    assert found.problems == ()
    assert found.n_commits == len(needed)
    assert found.n_objects == n_object_files(model.store)
    for commit_id in needed:
        assert model.store.resolve("churn", commit_id) == model.commits[commit_id]
    for commit_id in model.commits.keys() - needed:
        with pytest.raises(SnapshotError, match="has no commit"):
            model.store.resolve("churn", commit_id)


def write_and_delete(folder: Path, name: str, seconds: float) -> None:
    """Commit to new branches, forget every second one; all that is kept must be readable."""
    store = EmbeddedSnapshotStore(folder=str(folder))
    deadline = time.monotonic() + seconds
    number = 0
    while time.monotonic() < deadline:
        branch = f"{name}-{number}"
        # Contents repeat: what one writer needs has just become the garbage of another.
        write(store, {"a": b"%d" % (number % 5), "b": b"%d" % number}, branch=branch)
        if number % 2:
            store.delete_branch("churn", branch)
        number += 1


@pytest.mark.slow
def test_a_collection_harms_no_writer(store: EmbeddedSnapshotStore) -> None:
    folder = Path(store.folder)
    writers = [FORK.Process(target=write_and_delete, args=(folder, f"w{n}", 5.0)) for n in range(4)]
    for writer in writers:
        writer.start()
    n_removed = 0
    while any(writer.is_alive() for writer in writers):
        n_removed += store.collect_garbage().n_commits
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert n_removed > 0
    assert store.fsck().problems == ()
    branches = store.branches("churn")
    assert len(branches) > 10
    for branch, commit_id in branches.items():
        number = int(branch.split("-")[1])
        assert store.read_bytes("churn", commit_id, "b") == b"%d" % number


# The command line


def test_the_command_says_that_all_is_well(
    store: EmbeddedSnapshotStore, capsys: pytest.CaptureFixture[str]
) -> None:
    write(store, {"a": b"1"})

    check_store(None)

    said = capsys.readouterr().out
    assert said.startswith("1 repositories, 1 commits, 3 objects, ")
    assert said.endswith(" read: 0 problems\n")


def test_the_command_names_what_is_wrong_and_exits_1(
    store: EmbeddedSnapshotStore, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = write(store, {"data/a b": b"1"})
    object_file(store, digest_of(b"1")).unlink()

    with pytest.raises(typer.Exit) as leaving:
        check_store("churn")

    said = capsys.readouterr().out
    assert leaving.value.exit_code == 1
    assert f"churn {commit.commit_id} data/a b: Objects stay as long as" in said
    assert said.endswith(": 1 problems\n")


def test_the_command_collects_what_expired(
    store: EmbeddedSnapshotStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(store, {"a": b"1"})
    execute(store, "UPDATE commits SET created = '2020-01-01T00:00:00.000000+00:00'")
    scratch = settings.scratch_folder
    (scratch / "owned-by-the-dead").mkdir(parents=True)
    (scratch / "of-somebody-else").mkdir()

    collect_garbage(expire="90d", dry_run=True)
    assert "would remove branch churn/r1\nwould remove 1 commits" in capsys.readouterr().out
    assert list(store.branches("churn")) == ["r1"]

    with Staging(scratch) as living:
        (scratch / "owned-by-the-dead").mkdir(exist_ok=True)
        collect_garbage(expire="90d", dry_run=False)
        assert living.folder.exists()

    said = capsys.readouterr().out
    assert said.startswith("removed branch churn/r1\nremoved 1 commits, 3 objects (")
    assert "1 folders of dead processes (0 B); 0 objects are needed" in said
    assert store.branches("churn") == {}
    assert [folder.name for folder in scratch.glob("*/")] == ["of-somebody-else"]


@pytest.mark.parametrize("age", ["90", "d", "0d", "-1d", "1.5d", "90 days", ""])
def test_an_age_has_a_unit(store: EmbeddedSnapshotStore, age: str) -> None:
    with pytest.raises(RequestError, match="Write it as 90d"):
        collect_garbage(expire=age, dry_run=False)


def test_a_home_without_a_store_has_nothing_to_keep(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    check_store(None)
    collect_garbage(expire=None, dry_run=False)

    assert capsys.readouterr().out.count("There is no snapshot store") == 2
    assert not settings.store_folder.exists()


def test_lakefs_keeps_its_own_house(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_LAKEFS_ENDPOINT", "https://lakefs.example.org")

    with pytest.raises(RequestError, match=r"lakeFS keeps its own house\. This program verifies"):
        check_store(None)
    with pytest.raises(RequestError, match="lakectl gc set-config"):
        collect_garbage(expire=None, dry_run=False)


# Staging


def test_a_staging_folder_dies_with_its_owner(tmp_path: Path) -> None:
    def hold() -> None:
        staging = Staging(tmp_path)
        (staging.folder / "file").write_bytes(b"x" * 10)
        os.kill(os.getpid(), 9)

    owner = FORK.Process(target=hold)
    owner.start()
    owner.join()
    assert len(list(tmp_path.glob("*/"))) == 1

    assert sweep(tmp_path, dry_run=True).n_bytes == 10
    with Staging(tmp_path) as staging:
        assert list(tmp_path.glob("*/")) == [staging.folder]
        assert sweep(tmp_path).n_folders == 0
    assert list(tmp_path.glob("*/")) == []


# Older files, other disks

VERSION_0_1 = """
CREATE TABLE repositories (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE commits (
    repository TEXT NOT NULL REFERENCES repositories (name),
    key TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    UNIQUE (repository, key)
) STRICT;
CREATE INDEX commits_by_id ON commits (repository, commit_id);
CREATE TABLE branches (
    repository TEXT NOT NULL REFERENCES repositories (name),
    name TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT;
CREATE TABLE pins (
    repository TEXT NOT NULL REFERENCES repositories (name),
    commit_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (repository, commit_id, owner)
) STRICT;
"""


@pytest.fixture
def old_store(tmp_path: Path) -> tuple[EmbeddedSnapshotStore, list[str]]:
    """A store as version 0.1 left it: two commits on branch `r1`, the first one pinned."""
    root = tmp_path / "store"

    def put(value: object) -> str:
        content = (
            value
            if isinstance(value, bytes)
            else json.dumps(
                value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
            ).encode()
        )
        digest = digest_of(content)
        file = root / "objects" / digest[:2] / digest
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return digest

    commits: list[str] = []
    for number in (1, 2):
        tree = [{"path": "a", "sha256": put(b"%d" % number), "size_bytes": 1}]
        record = {
            "created": f"2026-10-0{number}T00:00:00+00:00",
            "message": "m",
            "metadata": {"key": f"r1/k{number}", "owner": "ada"},
            "parents": commits[-1:],
            "tree": put(tree),
        }
        commits.append(put(record))
    connection = sqlite3.connect(root / "refs.sqlite3")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_0_1)
    with connection:
        connection.execute("INSERT INTO repositories VALUES ('churn')")
        for number, commit_id in enumerate(commits, start=1):
            connection.execute(
                "INSERT INTO commits VALUES ('churn', ?, ?)", (f"r1/k{number}", commit_id)
            )
        connection.execute("INSERT INTO branches VALUES ('churn', 'r1', ?)", (commits[1],))
        connection.execute("INSERT INTO pins VALUES ('churn', ?, 'model')", (commits[0],))
    connection.close()
    return EmbeddedSnapshotStore(folder=str(root)), commits


def test_a_store_of_version_0_1_goes_on(
    old_store: tuple[EmbeddedSnapshotStore, list[str]],
) -> None:
    store, (first, second) = old_store

    assert [commit.commit_id for commit in store.log("churn", "r1")] == [second, first]
    found = store.find("churn", "r1/k2")
    assert found is not None
    assert found.commit_id == second
    pairs = json.dumps([["a", digest_of(b"2")]], separators=(",", ":"))
    assert found.content_sha256 == digest_of(pairs.encode())
    assert store.read_bytes("churn", first, "a") == b"1"
    third = write(store, {"b": b"3"}, key="k3")
    assert third.parents == (second,)
    merged = store.merge("churn", source="r1", destination="accepted", message="m")
    assert [item.path for item in store.objects("churn", merged.commit_id)] == ["a", "b"]
    assert store.fsck().problems == ()
    store.delete_branch("churn", "accepted")
    store.delete_branch("churn", "r1")
    assert store.collect_garbage().n_commits == 3
    assert store.read_bytes("churn", first, "a") == b"1"


def test_many_processes_upgrade_a_store_once(
    old_store: tuple[EmbeddedSnapshotStore, list[str]],
) -> None:
    store, commits = old_store

    def read() -> None:
        assert len(store.log("churn", "r1")) == 2

    readers = [FORK.Process(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert [reader.exitcode for reader in readers] == [0] * 6
    assert store.branches("churn") == {"r1": commits[1]}


def test_an_old_store_with_a_damaged_commit_still_opens(
    old_store: tuple[EmbeddedSnapshotStore, list[str]],
) -> None:
    store, (first, second) = old_store
    damage(object_file(store, first))

    assert store.read_bytes("churn", second, "a") == b"2"
    assert {problem.commit_id for problem in store.fsck().problems} == {first}


def test_a_store_of_a_newer_version_is_left_alone(store: EmbeddedSnapshotStore) -> None:
    write(store, {"a": b"1"})
    execute(store, "PRAGMA user_version = 9")

    with pytest.raises(SnapshotError, match=r"has version 9: .* Update this program"):
        store.branches("churn")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="overlay"),
        SimpleNamespace(mountpoint=str(tmp_path), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    refuse_network_file_system.cache_clear()

    with pytest.raises(SnapshotError, match=rf"is on '{kind}'.* Set AUTOML_HOME to a folder on a"):
        EmbeddedSnapshotStore(folder=str(tmp_path / "home" / "store")).ensure_repository("churn")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["9p", "overlay", "tmpfs", "ext4"])
def test_a_disk_of_the_machine_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = [
        SimpleNamespace(mountpoint=str(tmp_path.parent), fstype="nfs4"),
        SimpleNamespace(mountpoint=str(tmp_path), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    refuse_network_file_system.cache_clear()

    EmbeddedSnapshotStore(folder=str(tmp_path / "store")).ensure_repository("churn")
