"""The matrix on disk: the same as encoding each row, whole or not there at all."""

import errno
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_assets.core import matrix
from automl_assets.core.encoding import encode
from automl_assets.core.errors import SnapshotError
from automl_assets.core.matrix import read_part, read_preprocessing, write_matrix
from automl_assets.core.matrix.files import ArrayFile, scratch_folder
from automl_assets.core.splits import Assignment, random_split
from automl_assets.core.splits.folds import random_folds
from automl_assets.core.values import PARTS, ColumnProfile, TableProfile

FRACTIONS = {"train": 0.6, "validation": 0.15, "calibration": 0.1, "analysis": 0.15}
KINDS = {"age": "numeric", "member": "boolean", "shop": "categorical", "day": "datetime"}
N_ROWS = 2_000


def table(n_rows: int = N_ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "age": rng.normal(size=n_rows),
            "member": rng.random(n_rows) < 0.5,
            "shop": [f"s{shop}" for shop in rng.integers(0, 50, n_rows)],
            "day": pl.Series(rng.integers(0, 20_000, n_rows)).cast(pl.Int32).cast(pl.Date),
            "y": [("no", "yes")[i] for i in rng.integers(0, 2, n_rows)],
        }
    )
    empty = pl.int_range(pl.len()) % 11 == 4
    return frame.with_columns(pl.when(~empty).then(pl.col(name)) for name in KINDS)


def profile_of(frame: pl.DataFrame, kinds: dict = KINDS) -> TableProfile:
    columns = tuple(
        ColumnProfile(name=name, dtype=str(frame[name].dtype), kind=kind, n_nulls=0, n_distinct=50)
        for name, kind in kinds.items()
    )
    return TableProfile(
        n_rows=frame.height,
        columns=columns,
        task_type="binary",
        classes=("no", "yes"),
        features=tuple(kinds),
        dropped=(),
    )


def assign(n_rows: int = N_ROWS) -> Assignment:
    return random_folds(random_split(n_rows, FRACTIONS, seed=0), 5, seed=0)


def write(folder: Path, frame: pl.DataFrame | None = None) -> None:
    frame = table() if frame is None else frame
    write_matrix(folder, frame.lazy(), profile_of(frame), "y", assign())


@pytest.mark.parametrize("part", PARTS[1:])
def test_a_part_holds_what_encoding_its_rows_gives(tmp_path: Path, part: str) -> None:
    write(tmp_path / "m")

    preprocessing = read_preprocessing(tmp_path / "m")
    encoded = read_part(tmp_path / "m", part, preprocessing)
    frame = table()[assign().rows(part)]
    np.testing.assert_array_equal(encoded.X, encode(frame, preprocessing))
    assert encoded.y.tolist() == [("no", "yes").index(value) for value in frame["y"]]


def test_train_differs_from_encoding_its_rows_in_the_target_encoding_only(tmp_path: Path) -> None:
    write(tmp_path / "m")

    preprocessing = read_preprocessing(tmp_path / "m")
    train = read_part(tmp_path / "m", "train", preprocessing)
    naive = encode(table()[assign().rows("train")], preprocessing)
    differs = [not np.array_equal(*both, equal_nan=True) for both in zip(train.X.T, naive.T)]  # noqa: B905
    assert [n for n, d in zip(preprocessing.feature_names, differs, strict=True) if d] == [
        "shop (target)"
    ]
    assert train.X.flags.f_contiguous
    assert train.n_levels == (0, 0, 52, 0, 0, 0, 0, 0, 0)


def test_how_many_rows_and_columns_are_read_at_once_changes_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    write(tmp_path / "whole")
    monkeypatch.setattr(matrix, "BATCH_ROWS", 97)
    monkeypatch.setattr(matrix, "COLUMNS_AT_ONCE", 1)
    write(tmp_path / "pieces")

    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "pieces" / file.name).read_bytes()


def test_only_train_rows_are_learned_from(tmp_path: Path) -> None:
    write(tmp_path / "m")
    others = pl.Series(assign().part != 0)
    changed = table().with_columns(
        pl.when(others).then(pl.lit("elsewhere")).otherwise("shop").alias("shop"),
        pl.when(others).then(pl.lit("yes")).otherwise("y").alias("y"),
        pl.when(others).then(pl.lit(date(2026, 1, 1))).otherwise("day").alias("day"),
    )
    write(tmp_path / "changed", changed)

    assert read_preprocessing(tmp_path / "m") == read_preprocessing(tmp_path / "changed")


def test_a_feature_may_have_any_name(tmp_path: Path) -> None:
    frame = table().rename({"age": "is_marked"})
    kinds = {"is_marked": "numeric", "shop": "categorical"}

    fitted = write_matrix(tmp_path / "m", frame.lazy(), profile_of(frame, kinds), "y", assign())

    assert fitted.feature_names == ("is_marked", "shop", "shop (count)", "shop (target)")


@pytest.mark.parametrize("n_rows", [N_ROWS - 1, N_ROWS + 1])
def test_a_table_of_another_length_than_was_split_is_refused(tmp_path: Path, n_rows: int) -> None:
    frame = table(n_rows)
    assignment = assign()

    message = f"split at 2,000 rows, but it has {n_rows:,}"
    with pytest.raises(SnapshotError, match=message):
        write_matrix(tmp_path / "m", frame.lazy(), profile_of(frame), "y", assignment)
    assert list(tmp_path.iterdir()) == []


def test_a_matrix_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path / "m")
    before = (tmp_path / "m" / "train.X.npy").stat().st_mtime_ns

    write(tmp_path / "m")

    assert (tmp_path / "m" / "train.X.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync"])
def test_a_full_disk_is_said_leaves_nothing_and_is_no_harm_later(
    tmp_path: Path, monkeypatch, call: str
) -> None:
    calls = []

    def full(*args: int) -> int:
        calls.append(args)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        message = "room for the matrix of 2,000 rows and 9 features .* the disk is full"
        with pytest.raises(SnapshotError, match=message):
            write(tmp_path / "m")

    assert list(tmp_path.iterdir()) == []
    assert calls
    write(tmp_path / "m")
    assert (tmp_path / "m" / "train.X.npy").exists()


def test_a_matrix_that_does_not_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    shape = (1 << 40, 1 << 10)

    with pytest.raises(OSError, match=r"No space left|File too large"):
        ArrayFile(tmp_path / "X.npy", shape, np.dtype(np.float32))

    assert (tmp_path / "X.npy").stat().st_size < 1_000


WRITER = """
import sys, time
from pathlib import Path
from automl_assets.core.matrix.files import scratch_folder
with scratch_folder(Path(sys.argv[1]), needed_for="a test") as folder:
    (folder / "half").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        (theirs,) = tmp_path.iterdir()
        with scratch_folder(tmp_path, needed_for="a test"):
            alive = (theirs / "half").exists()
        writer.send_signal(signal.SIGKILL)
        writer.wait()

    left_behind = (theirs / "half").exists()
    with scratch_folder(tmp_path, needed_for="a test") as ours:
        assert list(tmp_path.iterdir()) == [ours]

    assert alive
    assert left_behind


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch
) -> None:
    made = []

    def make(prefix: str, dir: Path) -> str:
        folder = dir / f"{prefix}{len(made)}"
        folder.mkdir()
        made.append(folder)
        if len(made) == 1:
            folder.rmdir()
        return str(folder)

    monkeypatch.setattr("automl_assets.core.matrix.files.mkdtemp", make)

    with scratch_folder(tmp_path, needed_for="a test") as folder:
        assert folder == made[1]
        assert folder.is_dir()


def test_many_columns_of_a_short_table_are_read_at_once(tmp_path: Path, monkeypatch) -> None:
    frame = table().select(*(pl.col("age").alias(f"a{n}") for n in range(40)), "y")
    kinds = {name: "numeric" for name in frame.columns if name != "y"}
    passes = []
    batches = matrix._Parts.batches
    monkeypatch.setattr(
        matrix._Parts,
        "batches",
        lambda parts, frame, columns: passes.append(columns) or batches(parts, frame, columns),
    )

    write_matrix(tmp_path / "m", frame.lazy(), profile_of(frame, kinds), "y", assign())

    assert [len(columns) for columns in passes] == [40, 1]


def test_values_come_back_from_where_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    with ArrayFile(path, (5, 2), np.dtype(np.float32)) as file:
        file.write(np.array([1, 2, 3]), row=0, column=1)
        file.write(np.array([4, 5]), row=3, column=1)

        assert file.read(1, 4, column=1).tolist() == [2, 3, 4]
        assert file.read(4, 100, column=1).tolist() == [5]

    assert np.load(path).T.tolist() == [[0] * 5, [1, 2, 3, 4, 5]]
