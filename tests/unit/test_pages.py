"""Pages of mapped rows are given back, and the rows stay what they are."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from automl_assets.core import pages, row_copies
from automl_assets.core.pages import give_back, given_back
from automl_assets.core.row_copies import copied_rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell nothing")

N_BYTES = 4_000_000


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LARGE_BYTES", N_BYTES)
    monkeypatch.setattr(row_copies, "LARGE_BYTES", N_BYTES)


def written(folder: Path, n_bytes: int = N_BYTES) -> Path:
    file = folder / "rows.npy"
    values = np.arange(n_bytes // 4, dtype=np.float32).reshape(-1, 10)
    np.save(file, np.asfortranarray(values))
    return file


def resident(file: Path) -> int:
    """Return how much of a mapped file this process holds, in KiB."""
    held, is_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_it = words[-1] == str(file)
        elif is_it and words[0] == "Rss:":
            held += int(words[1])
    return held


def test_pages_that_were_read_are_given_back_and_read_again(tmp_path: Path) -> None:
    file = written(tmp_path)
    rows = np.load(file, mmap_mode="r")
    total = float(rows.sum(dtype=np.float64))
    held = resident(file)

    give_back(rows[:, 3:5])

    assert held > N_BYTES // 2048
    assert resident(file) == 0
    assert float(rows.sum(dtype=np.float64)) == total


def test_few_rows_are_left_where_they_are(tmp_path: Path) -> None:
    file = written(tmp_path, N_BYTES // 2)
    rows = np.load(file, mmap_mode="r")
    rows.sum()

    give_back(rows)

    assert resident(file) > 0


def test_rows_that_may_be_changed_keep_their_changes(tmp_path: Path) -> None:
    rows = np.load(written(tmp_path), mmap_mode="c")
    rows[5, 5] = -1.0

    give_back(rows)

    assert rows[5, 5] == -1.0


def test_rows_in_memory_stay_as_they_are() -> None:
    rows = np.ones((N_BYTES // 40, 10), np.float32, order="F")

    give_back(rows)

    assert (rows == 1.0).all()


def test_pages_are_given_back_while_work_goes_on(tmp_path: Path) -> None:
    file = written(tmp_path)
    rows = np.load(file, mmap_mode="r")
    until = time.monotonic() + 30.0

    with given_back(rows, rows[:10]):
        rows.sum()
        while resident(file) and time.monotonic() < until:
            time.sleep(0.01)
        held = resident(file)

    assert held == 0


def test_a_failure_ends_the_giving_back(tmp_path: Path) -> None:
    rows = np.load(written(tmp_path), mmap_mode="r")
    before, during = threading.active_count(), []

    def fail() -> None:
        with given_back(rows):
            during.append(threading.active_count())
            raise ArithmeticError("of the fit")

    with pytest.raises(ArithmeticError, match="of the fit"):
        fail()

    assert (during, threading.active_count()) == ([before + 1], before)


def copy_of(rows: np.ndarray, n_rows: int) -> np.ndarray:
    return copied_rows(lambda number: rows[:n_rows, number], n_rows=n_rows, n_columns=10, like=rows)


def test_a_large_copy_of_mapped_rows_is_mapped_from_a_file_without_a_name(tmp_path: Path) -> None:
    file = written(tmp_path, 2 * N_BYTES)
    rows = np.load(file, mmap_mode="r")

    copy = copy_of(rows, N_BYTES // 40)

    assert isinstance(copy, np.memmap)
    assert (copy.mode, copy.dtype) == ("r", np.float32)
    assert copy.flags.f_contiguous
    assert np.array_equal(copy, rows[: N_BYTES // 40])
    assert list(tmp_path.iterdir()) == [file]


def test_a_small_copy_and_one_of_rows_in_memory_are_in_memory(tmp_path: Path) -> None:
    mapped = np.load(written(tmp_path), mmap_mode="r")
    in_memory = np.array(mapped, order="F")

    for copy in (copy_of(mapped, 20), copy_of(in_memory, len(in_memory))):
        assert not isinstance(copy, np.memmap)
        assert copy.flags.f_contiguous
        assert np.array_equal(copy, in_memory[: len(copy)])


def test_a_copy_is_in_memory_where_the_disk_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.load(written(tmp_path), mmap_mode="r")

    def full(dir: Path) -> None:
        raise OSError(28, "No space left on device", str(dir))

    monkeypatch.setattr(row_copies, "TemporaryFile", full)
    copy = copy_of(rows, len(rows))

    assert not isinstance(copy, np.memmap)
    assert np.array_equal(copy, rows)
