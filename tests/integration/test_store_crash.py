"""The embedded store under SIGKILL and on a full disk."""

import errno
import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit
from resources.snapshot_store import _gc, _publish, _refs
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

FORK = multiprocessing.get_context("fork")


def content_of(number: int) -> bytes:
    return hashlib.sha512(str(number).encode()).digest() * 2_000


def add(store: EmbeddedSnapshotStore, number: int, scratch: Path) -> Commit:
    """Commit one moved file and one small object."""
    local = scratch / f"{number}.bin"
    local.write_bytes(content_of(number))
    with store.write(
        "churn", branch="main", key=f"main/k{number}", message="m", metadata={}
    ) as transaction:
        transaction.put_file(f"data/{number}.bin", local)
        transaction.put_bytes(f"{number}.txt", str(number).encode())
    return transaction.commit


def add_for_ever(folder: Path, scratch: Path, first: int, log: Path) -> None:
    """Commit until killed; a number enters the log once its commit has been confirmed."""
    store = EmbeddedSnapshotStore(folder=str(folder))
    with log.open("a") as file:
        for number in count(first):
            add(store, number, scratch)
            file.write(f"{number}\n")
            file.flush()


def history(store: EmbeddedSnapshotStore) -> list[Commit]:
    """Return the commits of the branch, newest first."""
    commits = [store.resolve("churn", "main")]
    while commits[-1].parents:
        commits.append(store.resolve("churn", commits[-1].parents[0]))
    return commits


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedSnapshotStore:
    made = EmbeddedSnapshotStore(folder=str(tmp_path / "store"))
    made.ensure_repository("churn")
    return made


def test_a_killed_writer_loses_and_breaks_nothing(
    store: EmbeddedSnapshotStore, tmp_path: Path
) -> None:
    rng = random.Random(7)
    log, scratch = tmp_path / "log", tmp_path / "scratch"
    scratch.mkdir()
    log.touch()

    for _ in range(10):
        n_confirmed = len(log.read_text().splitlines())
        writer = FORK.Process(
            target=add_for_ever, args=(tmp_path / "store", scratch, n_confirmed, log)
        )
        writer.start()
        time.sleep(rng.uniform(0.02, 0.2))
        writer.kill()
        writer.join()
    confirmed = [int(line) for line in log.read_text().splitlines()]
    unconfirmed = len(confirmed)
    last = add(store, unconfirmed, scratch)

    assert confirmed == list(range(unconfirmed))
    assert unconfirmed > 0
    assert history(store)[0] == last
    assert len(history(store)) == unconfirmed + 1
    for number in range(unconfirmed + 1):
        commit = store.find("churn", f"main/k{number}")
        assert commit is not None
        assert store.read_bytes("churn", commit.commit_id, f"{number}.txt") == b"%d" % number
        moved = store.read_bytes("churn", commit.commit_id, f"data/{number}.bin")
        assert moved == content_of(number)
    assert list((tmp_path / "store" / "tmp").glob("*/")) == []


def test_processes_on_one_branch_lose_nothing(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    def add_some(first: int) -> None:
        for number in range(first, first + 5):
            add(store, number, tmp_path)

    writers = [FORK.Process(target=add_some, args=(100 * n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert len(history(store)) == 20
    head = store.resolve("churn", "main").commit_id
    assert len(store.objects("churn", head)) == 40


@pytest.mark.slow
def test_200_commits_by_8_processes_are_all_there(
    store: EmbeddedSnapshotStore, tmp_path: Path
) -> None:
    def branch_and_merge(worker: int) -> None:
        for number in range(25):
            name = f"r{worker}-{number}"
            with store.write(
                "churn", branch=name, key=f"{name}/k", message="m", metadata={}
            ) as transaction:
                transaction.put_bytes(f"{name}.txt", content_of(number))
            store.merge("churn", source=name, destination="main", message="m")

    writers = [FORK.Process(target=branch_and_merge, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0] * 8
    names = sorted(f"r{worker}-{number}" for worker in range(8) for number in range(25))
    head = store.resolve("churn", "main").commit_id
    assert [item.path for item in store.objects("churn", head)] == [f"{n}.txt" for n in names]
    assert list(store.branches("churn")) == ["main", *names]
    assert len(store.log("churn", "main", limit=1_000)) == 400
    assert store.fsck().problems == ()


@pytest.mark.slow
def test_after_each_of_20_kills_the_store_is_whole_and_the_next_run_completes(
    store: EmbeddedSnapshotStore, tmp_path: Path
) -> None:
    rng = random.Random(20)
    log = tmp_path / "log"
    log.touch()

    for _ in range(20):
        n_confirmed = len(log.read_text().splitlines())
        writer = FORK.Process(
            target=add_for_ever, args=(tmp_path / "store", tmp_path, n_confirmed, log)
        )
        writer.start()
        time.sleep(rng.uniform(0.005, 0.25))
        writer.kill()
        writer.join()

        assert store.fsck().problems == ()
        number = len(log.read_text().splitlines())
        commit = add(store, number, tmp_path)
        assert store.read_bytes("churn", commit.commit_id, f"{number}.txt") == b"%d" % number
        with log.open("a") as file:
            file.write(f"{number}\n")

    n_confirmed = len(log.read_text().splitlines())
    assert n_confirmed > 20
    assert len(history(store)) == n_confirmed
    store.collect_garbage()
    assert store.fsck().problems == ()
    assert len(history(store)) == n_confirmed


def die_at_call(number: int, owner: type | ModuleType, name: str, act: Callable[[], object]) -> int:
    """Run in a child that kills itself before the n-th call of a function; return its exit code."""
    original = getattr(owner, name)
    calls = count(1)

    def call_or_die(*args: object, **options: object) -> object:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **options)

    def run() -> None:
        setattr(owner, name, call_or_die)
        act()

    child = FORK.Process(target=run)
    child.start()
    child.join()
    return child.exitcode or 0


@pytest.mark.parametrize(
    ("owner", "name", "number", "n_left"),
    [
        (_refs.Refs, "delete_branch", 1, 3),
        (_refs.Refs, "forget_commits", 1, 3),
        (_gc, "_sweep", 1, 1),
        (Path, "unlink", 1, 1),
        (Path, "unlink", 3, 1),
        (_gc, "sweep", 1, 1),
    ],
)
def test_a_killed_collection_is_finished_by_the_next(
    store: EmbeddedSnapshotStore, owner: type, name: str, number: int, n_left: int
) -> None:
    kept = put(store, "main", b"kept")
    for branch in ("r1", "r2"):
        put(store, branch, branch.encode(), request_id=branch)
    now = datetime.now(UTC)

    died = die_at_call(number, owner, name, lambda: store.collect_garbage(expire_before=now))

    assert died == -signal.SIGKILL
    found = store.fsck()
    assert (found.problems, found.n_commits) == ((), n_left)
    store.collect_garbage(expire_before=now)
    assert store.branches("churn") == {"main": kept.commit_id}
    assert n_files(store) == store.fsck().n_objects == 3
    assert store.collect_garbage().n_objects == 0


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (_publish, "_stage_commit", 1),
        (Path, "replace", 1),
        (Path, "replace", 2),
        (_refs.Refs, "add_commit", 1),
    ],
)
def test_a_killed_merge_is_done_by_the_next(
    store: EmbeddedSnapshotStore, owner: type, name: str, number: int
) -> None:
    before = put(store, "main", b"1")
    theirs = put(store, "r1", b"2")

    def merge() -> Commit:
        return store.merge("churn", source="r1", destination="main", message="m")

    died = die_at_call(number, owner, name, merge)

    assert died == -signal.SIGKILL
    assert store.fsck().problems == ()
    assert store.resolve("churn", "main") == before
    merged = merge()
    assert merged.parents == (before.commit_id, theirs.commit_id)
    store.collect_garbage()
    found = store.fsck()
    assert (found.problems, found.n_commits) == ((), 3)
    assert n_files(store) == found.n_objects


def put(store: EmbeddedSnapshotStore, branch: str, content: bytes, **metadata: str) -> Commit:
    with store.write(
        "churn", branch=branch, key=f"{branch}/k", message="m", metadata=metadata
    ) as transaction:
        transaction.put_bytes(f"{branch}.txt", content)
    return transaction.commit


def n_files(store: EmbeddedSnapshotStore) -> int:
    return sum(file.is_file() for file in (Path(store.folder) / "objects").rglob("*"))


def test_objects_are_read_only(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    add(store, 1, tmp_path)

    objects = [file for file in (tmp_path / "store" / "objects").rglob("*") if file.is_file()]
    assert len(objects) == 4
    assert {file.stat().st_mode & 0o777 for file in objects} == {0o444}
    assert all(hashlib.sha256(file.read_bytes()).hexdigest() == file.name for file in objects)


def test_a_finished_file_is_moved_not_copied(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    local = tmp_path / "big.bin"
    local.write_bytes(b"x" * 1_000)
    inode = local.stat().st_ino

    with store.write("churn", branch="main", key="main/k", message="m", metadata={}) as transaction:
        transaction.put_file("big.bin", local)

    (item,) = store.objects("churn", transaction.commit.commit_id)
    assert (tmp_path / "store" / "objects" / item.sha256[:2] / item.sha256).stat().st_ino == inode
    assert not local.exists()


def test_a_file_with_a_second_name_is_copied(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    original = tmp_path / "original.bin"
    original.write_bytes(b"before")
    os.link(original, tmp_path / "link.bin")

    with store.write("churn", branch="main", key="main/k", message="m", metadata={}) as transaction:
        transaction.put_file("a.bin", tmp_path / "link.bin")
    original.write_bytes(b"after!")

    assert store.read_bytes("churn", transaction.commit.commit_id, "a.bin") == b"before"


def test_changed_bytes_are_not_handed_out(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    commit = add(store, 1, tmp_path)
    digest = hashlib.sha256(b"1").hexdigest()
    damaged = tmp_path / "store" / "objects" / digest[:2] / digest
    damaged.chmod(0o644)
    damaged.write_bytes(b"2")

    with pytest.raises(SnapshotError, match="the file was changed or the disk is failing"):
        store.read_bytes("churn", commit.commit_id, "1.txt")


def test_a_download_to_a_full_disk_leaves_no_file(
    store: EmbeddedSnapshotStore, small_disk: Path, tmp_path: Path
) -> None:
    with store.write("churn", branch="main", key="main/k", message="m", metadata={}) as transaction:
        transaction.put_bytes("large.bin", b"x" * 2_000_000)

    with pytest.raises(SnapshotError, match=r"needs 2,000,000 bytes for a copy of an object"):
        store.download("churn", transaction.commit.commit_id, "large.bin", small_disk / "copy.bin")

    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "function"), [(tempfile, "mkdtemp"), (Path, "write_bytes"), (Path, "replace")]
)
def test_a_disk_that_fills_up_leaves_the_branch_as_before(
    store: EmbeddedSnapshotStore, monkeypatch: pytest.MonkeyPatch, owner: object, function: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(content: bytes, key: str) -> Commit:
        with store.write(
            "churn", branch="main", key=f"main/{key}", message="m", metadata={}
        ) as transaction:
            transaction.put_bytes("a", content)
        return transaction.commit

    before = write(b"1", "k1")
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, refuse)
        with pytest.raises(SnapshotError, match=r"disk is full: .* to write, [\d,]+ free"):
            write(b"2", "k2")

    assert store.resolve("churn", "main") == before
    assert store.find("churn", "main/k2") is None
    assert write(b"2", "k2").parents == (before.commit_id,)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_really_full_disk_leaves_the_branch_as_before(small_disk: Path, tmp_path: Path) -> None:
    store = EmbeddedSnapshotStore(folder=str(small_disk / "store"))
    store.ensure_repository("churn")
    before = add(store, 1, tmp_path)
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * 2_000_000)

    with (
        pytest.raises(SnapshotError, match=r"disk is full: 2,000,000 bytes to write, [\d,]+ free"),
        store.write("churn", branch="main", key="main/k2", message="m", metadata={}) as transaction,
    ):
        transaction.put_file("large.bin", large)

    assert large.stat().st_size == 2_000_000
    assert store.resolve("churn", "main") == before
    assert list((small_disk / "store" / "tmp").glob("*/")) == []
    assert add(store, 2, tmp_path).parents == (before.commit_id,)
    assert store.fsck().problems == ()


def test_a_full_disk_is_freed_by_a_collection(small_disk: Path, tmp_path: Path) -> None:
    store = EmbeddedSnapshotStore(folder=str(small_disk / "store"))
    store.ensure_repository("churn")
    large = tmp_path / "large.bin"

    def fill(branch: str) -> Commit:
        large.write_bytes(os.urandom(500_000))
        with store.write(
            "churn", branch=branch, key=f"{branch}/k", message="m", metadata={}
        ) as transaction:
            transaction.put_file("large.bin", large)
        return transaction.commit

    fill("r1")
    with pytest.raises(SnapshotError, match=r"disk is full: 500,000 bytes to write, [\d,]+ free"):
        fill("r2")
    store.delete_branch("churn", "r1")
    assert store.collect_garbage().n_bytes > 500_000

    commit = fill("r2")
    assert store.branches("churn") == {"r2": commit.commit_id}
    assert store.fsck().problems == ()


def test_refs_on_a_full_disk_keep_what_they_hold(small_disk: Path, tmp_path: Path) -> None:
    store = EmbeddedSnapshotStore(folder=str(small_disk / "store"))
    store.ensure_repository("churn")
    before = add(store, 1, tmp_path)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * 2_000_000)

    with pytest.raises(SnapshotError, match="disk is full"):
        store.ensure_repository("prices")
    with pytest.raises(SnapshotError, match="disk is full"):
        add(store, 2, tmp_path)
    filler.unlink()

    assert store.resolve("churn", "main") == before
    assert add(store, 2, tmp_path).parents == (before.commit_id,)
