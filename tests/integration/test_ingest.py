"""From a file to a committed snapshot, in the embedded store."""

import hashlib
import os
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automl_assets.core.errors import AutoMLError, SnapshotError
from automl_assets.core.ingest import find_snapshot, ingest
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import AcceptedRequest, DataSnapshot
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.sources import open_source

N_ROWS = 120
TABLE = pl.DataFrame(
    {
        "customer": [f"c{n}" for n in range(N_ROWS)],
        "../x": [n % 7 for n in range(N_ROWS)],
        "/etc/passwd": [n * 0.5 for n in range(N_ROWS)],
        "a/b\\c": ["basic", "plus", "gold"] * 40,
        "day": [date(2026, 1 + n % 3, 1) for n in range(N_ROWS)],
        "churned": ["yes" if n % 4 == 0 else "no" for n in range(N_ROWS)],
    }
)


class Workplace:
    """A store, a scratch folder and a source file.

    Attributes:
        store: Empty at first.
        scratch: Must be empty whenever nothing is being read.
        source: `churn.csv`.
    """

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedSnapshotStore(folder=str(folder / "store"))
        self.scratch = folder / "scratch"
        self.source = folder / "churn.csv"

    def accepted(self, **data: Any) -> AcceptedRequest:
        content = {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "churned", **data},
        }
        request = TrainingRequest.model_validate(content)
        return AcceptedRequest(
            request_id=request.request_id,
            request_sha256=request.sha256,
            accepted_at="2026-10-01T00:00:00+00:00",
            request=request,
        )

    def ingest(self, **data: Any) -> DataSnapshot:
        accepted = self.accepted(**data)
        _, frame = open_source(self.source)
        return ingest(
            accepted, source=self.source, frame=frame, store=self.store, scratch=self.scratch
        )

    def table(self, snapshot: DataSnapshot) -> pl.DataFrame:
        return self.store.scan(snapshot.repository, snapshot.commit_id, snapshot.path).collect()

    def is_untouched(self, accepted: AcceptedRequest) -> bool:
        """Whether nothing was committed and nothing is left behind."""
        left = list(self.scratch.iterdir()) if self.scratch.exists() else []
        return find_snapshot(accepted, store=self.store) is None and not left


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path)
    TABLE.write_csv(made.source)
    return made


def test_a_file_becomes_a_table_that_is_read_by_commit(place: Workplace) -> None:
    snapshot = place.ingest(id="customer", time="day")

    assert place.table(snapshot).equals(TABLE)
    assert snapshot.n_rows == N_ROWS
    assert snapshot.source_sha256 == hashlib.sha256(place.source.read_bytes()).hexdigest()
    assert snapshot.uri == f"lakefs://churn/{snapshot.commit_id}/data/table.parquet"
    assert snapshot.profile.features == ("../x", "/etc/passwd", "a/b\\c")
    assert list(place.scratch.iterdir()) == []


def test_the_commit_tells_what_it_was_made_for(place: Workplace) -> None:
    accepted = place.accepted()
    snapshot = place.ingest()

    commit = place.store.resolve("churn", accepted.request_id)
    assert commit.commit_id == snapshot.commit_id
    assert commit.content_sha256 == snapshot.content_sha256
    assert dict(commit.metadata) == {
        "request_id": accepted.request_id,
        "request_sha256": accepted.request_sha256,
        "owner": "ada",
        "source_sha256": snapshot.source_sha256,
        "key": f"{accepted.request_id}/data_snapshot",
    }


def test_the_second_call_finds_the_first_without_the_source(place: Workplace) -> None:
    accepted = place.accepted()
    first = place.ingest()
    place.source.unlink()

    again = ingest(
        accepted,
        source=place.source,
        frame=pl.LazyFrame(),
        store=place.store,
        scratch=place.scratch,
    )

    assert again == first == find_snapshot(accepted, store=place.store)


def test_equal_files_make_equal_content(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        place = Workplace(tmp_path / name)
        TABLE.write_csv(place.source)
        digests.add(place.ingest().content_sha256)

    assert len(digests) == 1


def test_a_sample_of_a_period_keeps_the_order(place: Workplace) -> None:
    snapshot = place.ingest(
        time="day",
        features={"exclude": ["../x"]},
        rows={"from": date(2026, 2, 1), "sample": {"max_rows": 60}},
    )

    kept = place.table(snapshot)
    numbers = kept["customer"].str.slice(1).cast(pl.Int64)
    assert [(step.step, step.n_rows) for step in snapshot.rows] == [
        ("read", 120),
        ("from/until", 80),
        ("target present", 80),
        ("sample", 60),
    ]
    assert numbers.is_sorted()
    assert "../x" not in kept.columns


def test_a_changed_file_is_refused_if_the_request_names_its_digest(place: Workplace) -> None:
    digest = hashlib.sha256(place.source.read_bytes()).hexdigest()
    place.source.write_bytes(place.source.read_bytes() + b"c999,1,1.0,plus,2026-01-01,yes\n")

    with pytest.raises(SnapshotError, match=f"names, {digest}.* the file changed"):
        place.ingest(sha256=digest)

    assert place.is_untouched(place.accepted(sha256=digest))


def test_a_file_that_grows_while_it_is_read_is_refused(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = pl.LazyFrame.sink_parquet

    def sink_and_touch(frame: pl.LazyFrame, *args: Any, **kwargs: Any) -> None:
        sink(frame, *args, **kwargs)
        os.utime(place.source, ns=(0, 0))

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", sink_and_touch)
    with pytest.raises(SnapshotError, match="must not change while it is read"):
        place.ingest()

    assert place.is_untouched(place.accepted())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1,x\n2\n3,y\n", r"has 1 in line 103 and 2 in the header"),
        (b"1,x\n2,y,z\n3,y\n", r"has 3 in line 103 and 2 in the header"),
        (b'5" pipe,yes\n6" pipe,no\n', "quotes between quotes"),
    ],
)
def test_rows_that_do_not_fit_the_header_commit_nothing(
    place: Workplace, line: bytes, message: str
) -> None:
    place.source.write_bytes(b"size,churned\n" + b"1,yes\n2,no\n" * 50 + line)

    with pytest.raises(SnapshotError, match=message):
        place.ingest()

    assert place.is_untouched(place.accepted())


def test_one_short_and_one_long_row_are_found_while_reading(place: Workplace) -> None:
    place.source.write_bytes(b"a,b,churned\n" + b"1,2,yes\n2,3,no\n" * 50 + b"1,2\n3,4,5,6\n")

    with pytest.raises(SnapshotError, match=r"found more fields .* as many cells as the header"):
        place.ingest()

    assert place.is_untouched(place.accepted())


def test_a_late_value_of_another_type_commits_nothing(place: Workplace) -> None:
    n_columns = 250
    header = ",".join(["churned", *(f"c{n}" for n in range(1, n_columns))])
    cells = ",".join(["1"] * n_columns)
    text = f"{header}\n" + f"{cells}\n" * 10_500 + f"{cells[:-1]}late\n"
    place.source.write_text(text)

    with pytest.raises(SnapshotError, match=r"could not parse `late` .* at column 'c249'"):
        place.ingest()

    assert place.is_untouched(place.accepted())


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TABLE.head(40), "at least 50 rows"),
        (TABLE.with_columns(churned=pl.lit("no")), "holds only 'no' in all 120 rows"),
        (TABLE.with_columns(churned=pl.lit(None, pl.String)), "is empty in all 120 rows"),
        (TABLE.rename({"churned": "left"}), "There is no 'churned'"),
        (TABLE.select("customer", "churned"), "at least one feature"),
    ],
)
def test_data_that_cannot_be_learned_from_commit_nothing(
    place: Workplace, frame: pl.DataFrame, message: str
) -> None:
    frame.write_csv(place.source)

    with pytest.raises(AutoMLError, match=message):
        place.ingest()

    assert place.is_untouched(place.accepted())


def test_a_thousand_columns_are_profiled(place: Workplace) -> None:
    wide = pl.DataFrame({f"c{n}": [n + m % 5 for m in range(N_ROWS)] for n in range(999)})
    wide.with_columns(TABLE["churned"]).write_csv(place.source)

    assert len(place.ingest().profile.features) == 999
