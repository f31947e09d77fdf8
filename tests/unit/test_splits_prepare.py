"""From a snapshot to committed row numbers: what is stored is what was split."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_assets.core.ports import SnapshotStore
from automl_assets.core.prepare import (
    ensure_matrix,
    make_split,
    read_assignment,
    read_rows,
    rows_frame,
)
from automl_assets.core.profile.steady import steady
from automl_assets.core.request import TrainingRequest
from automl_assets.core.splits import rows_sha256
from automl_assets.core.values import (
    PARTS,
    AcceptedRequest,
    ColumnProfile,
    DataSnapshot,
    RowStep,
    Split,
    TableProfile,
)
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

N_ROWS = 1_000


def table() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "x": rng.normal(size=N_ROWS),
            "shop": [f"s{shop}" for shop in rng.integers(0, 60, N_ROWS)],
            "day": [f"2026-01-{1 + row % 28:02d}" for row in range(N_ROWS)],
            "y": [("a", "b", "b")[row % 3] for row in range(N_ROWS)],
        }
    )


def accept(**more: dict) -> AcceptedRequest:
    request = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "toy",
        "owner": "someone",
        **more,
        "data": {"path": "table.csv", "target": "y", **more.get("data", {})},
    }
    return AcceptedRequest(
        request_id="toy-0123456789",
        request_sha256="0" * 64,
        accepted_at="2026-01-01T00:00:00+00:00",
        request=TrainingRequest.model_validate(request),
    )


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return EmbeddedSnapshotStore(folder=str(tmp_path / "store"))


def commit(store: SnapshotStore, folder: Path, *, is_regression: bool = False) -> DataSnapshot:
    frame = table()
    file = folder / "table.parquet"
    frame.write_parquet(file, row_group_size=300)
    store.ensure_repository("toy")
    with store.write("toy", branch="main", key="main/1", message="m", metadata={}) as transaction:
        transaction.put_file("data.parquet", file)
    target = "x" if is_regression else "y"
    kinds = {"x": "numeric", "shop": "categorical", "day": "datetime", "y": "categorical"}
    profile = TableProfile(
        n_rows=N_ROWS,
        columns=tuple(
            ColumnProfile(
                name=name, dtype=str(frame[name].dtype), kind=kind, n_nulls=0, n_distinct=60
            )
            for name, kind in kinds.items()
        ),
        task_type="regression" if is_regression else "binary",
        classes=() if is_regression else ("a", "b"),
        features=tuple(name for name in kinds if name != target),
        dropped=(),
    )
    return DataSnapshot(
        repository="toy",
        commit_id=transaction.commit.commit_id,
        path="data.parquet",
        content_sha256=transaction.commit.content_sha256,
        source="table.csv",
        source_sha256="0" * 64,
        rows=(RowStep(step="read", n_rows=N_ROWS),),
        profile=profile,
    )


def test_committed_rows_are_those_of_the_digests_with_folds_beside_train(store, tmp_path) -> None:
    snapshot = commit(store, tmp_path)

    split = make_split(accept(), snapshot, store=store, matrices=tmp_path / "matrices")

    rows = {part: read_rows(split, part, store) for part in PARTS}
    assert all(rows_sha256(rows[part]) == split.part(part).sha256 for part in PARTS)
    np.testing.assert_array_equal(np.sort(np.concatenate([*rows.values()])), np.arange(N_ROWS))
    train = store.scan(split.repository, split.commit_id, split.part("train").path).collect()
    assert train.schema == {"row": pl.Int64, "fold": pl.Int8}
    assert split.n_folds == 5
    assert train["fold"].value_counts()["count"].sort().to_list() == [120] * 5
    metadata = store.resolve(split.repository, split.commit_id).metadata
    assert metadata["folds_sha256"] == read_assignment(split, store).folds_sha256()


def test_parts_say_how_the_target_is_distributed(store, tmp_path) -> None:
    snapshot = commit(store, tmp_path)

    split = make_split(accept(), snapshot, store=store, matrices=tmp_path / "matrices")

    y = table()["y"]
    for part in split.parts:
        own = y.gather(read_rows(split, part.part, store))
        assert part.class_counts == ((own == "a").sum(), (own == "b").sum())
        assert part.target_mean is None


def test_parts_of_a_regression_say_the_mean(store, tmp_path) -> None:
    snapshot = commit(store, tmp_path, is_regression=True)
    accepted = accept(data={"target": "x"})

    split = make_split(accepted, snapshot, store=store, matrices=tmp_path / "matrices")

    for part in split.parts:
        own = table()["x"].gather(read_rows(split, part.part, store))
        assert part.target_mean == pytest.approx(own.mean())
        # Sums differ in their last digits with the order in which threads add.
        assert part.target_mean == steady(part.target_mean, max(abs(own.mean()), own.std()))
        assert part.class_counts == ()


def test_the_same_request_gives_the_same_split_and_another_seed_another(store, tmp_path) -> None:
    snapshot = commit(store, tmp_path)

    def split(seed: int) -> Split:
        matrices = tmp_path / "matrices"
        return make_split(accept(seed=seed), snapshot, store=store, matrices=matrices)

    assert split(1) == split(1)
    assert split(1).matrix_id != split(2).matrix_id


def test_the_number_of_folds_is_part_of_the_matrix(store, tmp_path) -> None:
    snapshot = commit(store, tmp_path)

    five, three = (
        make_split(
            accept(split={"folds": n}), snapshot, store=store, matrices=tmp_path / "matrices"
        )
        for n in (5, 3)
    )

    assert five.parts == three.parts
    assert read_assignment(three, store).fold.max() == 2
    assert read_assignment(five, store).fold.max() == 4
    assert five.matrix_id != three.matrix_id


def test_a_matrix_that_was_deleted_is_made_again_as_it_was(store, tmp_path) -> None:
    snapshot, accepted = commit(store, tmp_path), accept()
    split = make_split(accepted, snapshot, store=store, matrices=tmp_path / "first")

    again = ensure_matrix(accepted, snapshot, split, store=store, matrices=tmp_path / "again")

    for file in (tmp_path / "first" / split.matrix_id).iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()
    assert [path.name for path in (tmp_path / "again").iterdir()] == [split.matrix_id]


@pytest.mark.parametrize("rows", [[], [0], [3, 4, 299, 300, 999], range(N_ROWS)])
def test_rows_are_found_by_their_numbers(store, tmp_path, rows) -> None:
    snapshot = commit(store, tmp_path)

    frame = rows_frame(snapshot, np.array(rows, np.int64), ("y", "x"), store)

    assert frame.equals(table().select("y", "x")[list(rows)])
