"""Each set of candidates opens the analysis part once, and every opening is counted for good."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from automl_assets.core.errors import SnapshotError
from automl_assets.core.evaluation.openings import Opening, list_openings, open_analysis
from automl_assets.core.ingest import TABLE_PATH
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.values import PARTS, Split, SplitPart
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.snapshot_store.lakefs import LakeFSSnapshotStore
from tests.lakefs_server import LakeFSStandIn

REPOSITORY = "spend"


def split_in(
    store: SnapshotStore, request_id: str, *, table: bytes = b"rows", analysis: str = "a"
) -> Split:
    """Commit a split as `make_split` does: row numbers beside the table, on a request's branch."""
    store.ensure_repository(REPOSITORY)
    with store.write(
        REPOSITORY,
        branch=request_id,
        key=f"{request_id}/splits",
        message="Split",
        metadata={"request_id": request_id},
    ) as transaction:
        transaction.put_bytes(TABLE_PATH, table)
        transaction.put_bytes("splits/analysis.parquet", request_id.encode())
    digest = hashlib.sha256(analysis.encode()).hexdigest()
    return Split(
        repository=REPOSITORY,
        commit_id=transaction.commit.commit_id,
        strategy="random",
        seed=0,
        parts=tuple(
            SplitPart(part=part, n_rows=10, path=f"splits/{part}.parquet", sha256=digest)
            for part in PARTS
        ),
        preprocessing_version="1",
        matrix_id="m",
        feature_names=("x",),
    )


@contextmanager
def embedded(folder: Path) -> Iterator[SnapshotStore]:
    yield EmbeddedSnapshotStore(folder=str(folder / "store"))


@contextmanager
def lakefs(folder: Path) -> Iterator[SnapshotStore]:
    with LakeFSStandIn() as server:
        yield LakeFSSnapshotStore(
            endpoint=server.endpoint,
            access_key_id=server.access_key_id,
            secret_access_key=server.secret_access_key,
            storage_namespace=server.storage_namespace,
        )


@pytest.fixture(params=[embedded, lakefs], ids=lambda of: of.__name__)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SnapshotStore]:
    with request.param(tmp_path) as made:
        yield made


def opened(store: SnapshotStore, split: Split, candidates: str, by: str = "first-1") -> Opening:
    return open_analysis(store, split, request_id=by, candidates_sha256=candidates * 64)


def test_the_first_opening_is_number_one_at_95_percent(store):
    found = opened(store, split_in(store, "first-1"), "a")

    assert (found.number, found.confidence) == (1, 0.95)


def test_the_same_candidates_open_the_rows_once(store):
    split = split_in(store, "first-1")

    first, again = opened(store, split, "a"), opened(store, split, "a", by="second-2")

    assert first == again
    assert list_openings(store, split) == (first,)


def test_each_further_set_of_candidates_halves_the_chance_of_error(store):
    split = split_in(store, "first-1")

    found = [opened(store, split, candidates) for candidates in "abc"]

    assert [item.number for item in found] == [1, 2, 3]
    assert [item.confidence for item in found] == pytest.approx([0.95, 0.975, 0.9875])
    assert opened(store, split, "a") == found[0]


def test_the_same_rows_are_counted_across_requests(store):
    first, second = split_in(store, "first-1"), split_in(store, "second-2")

    opened(store, first, "a")
    found = opened(store, second, "b", by="second-2")

    assert found.number == 2
    assert [item.request_id for item in list_openings(store, first)] == ["first-1", "second-2"]
    assert list_openings(store, first, "second-2") == (found,)


@pytest.mark.parametrize("changes", [{"table": b"other rows"}, {"analysis": "b"}])
def test_other_rows_have_openings_of_their_own(store, changes):
    opened(store, split_in(store, "first-1"), "a")

    other = split_in(store, "second-2", **changes)

    assert list_openings(store, other) == ()
    assert opened(store, other, "b").number == 1


def test_a_confidence_stays_below_one_however_often_rows_are_opened():
    found = Opening(number=500, analysis="analysis-1", candidates_sha256="a", request_id="r")

    assert 0.95 < found.confidence < 1


def test_more_openings_than_a_page_of_the_log_are_counted(store, monkeypatch):
    monkeypatch.setattr("automl_assets.core.evaluation.openings._PAGE", 2)
    split = split_in(store, "first-1")

    found = [opened(store, split, candidates) for candidates in "abcde"]

    assert [item.number for item in found] == [1, 2, 3, 4, 5]
    assert list_openings(store, split) == tuple(found)


def test_a_split_that_is_not_there_is_not_opened(store):
    split = split_in(store, "first-1").model_copy(update={"commit_id": "0" * 64})

    with pytest.raises(SnapshotError, match="commit"):
        opened(store, split, "a")


def test_openings_at_once_get_different_numbers(store):
    split = split_in(store, "first-1")

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: opened(store, split, name), "aabbccddee"))

    numbers = {item.candidates_sha256: item.number for item in found}
    assert sorted(numbers.values()) == [1, 2, 3, 4, 5]
    assert all(item.number == numbers[item.candidates_sha256] for item in found)
