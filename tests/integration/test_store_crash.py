"""The embedded store under SIGKILL and on a full disk."""

import errno
import hashlib
import multiprocessing
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Commit
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

FORK = multiprocessing.get_context("fork")


def content_of(number: int) -> bytes:
    return hashlib.sha512(str(number).encode()).digest() * 2_000


def add(store: EmbeddedSnapshotStore, number: int, scratch: Path) -> Commit:
    """Commit one moved file and one small object."""
    local = scratch / f"{number}.bin"
    local.write_bytes(content_of(number))
    with store.write(
        "churn", branch="main", key=f"k{number}", message="m", metadata={}
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
        commit = store.find("churn", f"k{number}")
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

    with store.write("churn", branch="main", key="k", message="m", metadata={}) as transaction:
        transaction.put_file("big.bin", local)

    (item,) = store.objects("churn", transaction.commit.commit_id)
    assert (tmp_path / "store" / "objects" / item.sha256[:2] / item.sha256).stat().st_ino == inode
    assert not local.exists()


def test_a_file_with_a_second_name_is_copied(store: EmbeddedSnapshotStore, tmp_path: Path) -> None:
    original = tmp_path / "original.bin"
    original.write_bytes(b"before")
    os.link(original, tmp_path / "link.bin")

    with store.write("churn", branch="main", key="k", message="m", metadata={}) as transaction:
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


@pytest.mark.parametrize(
    ("owner", "function"), [(tempfile, "mkdtemp"), (Path, "write_bytes"), (Path, "replace")]
)
def test_a_disk_that_fills_up_leaves_the_branch_as_before(
    store: EmbeddedSnapshotStore, monkeypatch: pytest.MonkeyPatch, owner: object, function: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(content: bytes, key: str) -> Commit:
        with store.write("churn", branch="main", key=key, message="m", metadata={}) as transaction:
            transaction.put_bytes("a", content)
        return transaction.commit

    before = write(b"1", "k1")
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, refuse)
        with pytest.raises(SnapshotError, match=r"disk is full: .* to write, [\d,]+ free"):
            write(b"2", "k2")

    assert store.resolve("churn", "main") == before
    assert store.find("churn", "k2") is None
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
        store.write("churn", branch="main", key="k2", message="m", metadata={}) as transaction,
    ):
        transaction.put_file("large.bin", large)

    assert large.stat().st_size == 2_000_000
    assert store.resolve("churn", "main") == before
    assert list((small_disk / "store" / "tmp").glob("*/")) == []
    assert add(store, 2, tmp_path).parents == (before.commit_id,)


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
