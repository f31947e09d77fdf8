"""From a file to a committed snapshot, in the embedded store."""

import hashlib
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from automl_assets.core.errors import AutoMLError, RequestError, SnapshotError
from automl_assets.core.ingest import find_snapshot, ingest
from automl_assets.core.ports import SourceTable
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import AcceptedRequest, DataSnapshot, RowStep
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

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


class FileTable(SourceTable):
    """A CSV file in the local folder, as it is."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.description = file.name
        self.frame = pl.scan_csv(file, try_parse_dates=True)

    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def state(self) -> str:
        return str(self.file.stat().st_mtime_ns)


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

    def ingest(self, *, contract: str | None = None, **data: Any) -> DataSnapshot:
        return ingest(
            self.accepted(**data),
            source=FileTable(self.source),
            store=self.store,
            scratch=self.scratch,
            contract=contract,
        )

    def table(self, snapshot: DataSnapshot) -> pl.DataFrame:
        return self.store.scan(snapshot.repository, snapshot.commit_id, snapshot.path).collect()

    def left_behind(self) -> list[Path]:
        """What is in the scratch folder, but for its lock."""
        return [path for path in self.scratch.glob("*") if path.name != ".lock"]

    def is_untouched(self, accepted: AcceptedRequest) -> bool:
        """Whether nothing was committed and nothing is left behind."""
        return find_snapshot(accepted, store=self.store) is None and not self.left_behind()


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
    assert place.left_behind() == []


def test_the_commit_tells_what_it_was_made_for(place: Workplace) -> None:
    accepted = place.accepted()
    snapshot = place.ingest()

    commit = place.store.resolve("churn", accepted.request_id)
    assert commit.commit_id == snapshot.commit_id
    assert commit.content_sha256 == snapshot.content_sha256
    told = {
        "request_id": accepted.request_id,
        "request_sha256": accepted.request_sha256,
        "owner": "ada",
        "source_sha256": snapshot.source_sha256,
        "key": f"{accepted.request_id}/data_snapshot",
    }
    assert told.items() <= dict(commit.metadata).items()
    assert "source_commit" not in commit.metadata
    assert snapshot.contract_path == snapshot.source_commit == ""


def test_the_commit_of_a_repository_is_kept_with_the_rows(place: Workplace) -> None:
    commit_id = "ab" * 32

    snapshot = place.ingest(path=None, repository="shop", table="churn.parquet", commit=commit_id)

    commit = place.store.resolve("churn", snapshot.commit_id)
    assert commit.metadata["source_commit"] == snapshot.source_commit == commit_id


def test_the_contract_lies_beside_the_rows(place: Workplace) -> None:
    snapshot = place.ingest(contract="columns: {}\n")

    kept = place.store.read_bytes("churn", snapshot.commit_id, snapshot.contract_path)
    assert kept == b"columns: {}\n"


def test_the_waterfall_and_the_duplicates_are_told(place: Workplace) -> None:
    pl.concat([TABLE, TABLE.head(10), TABLE.tail(5)]).write_csv(place.source)
    where = {"where": "\"a/b\\c\" <> 'gold'"}

    kept = place.ingest(rows=where)
    dropped = place.ingest(rows={**where, "duplicates": "drop"})

    assert [(step.step, step.n_rows) for step in kept.rows] == [
        ("read", 135),
        ("where", 90),
        ("target present", 90),
    ]
    assert kept.profile.n_duplicates == 10
    assert dropped.rows == (*kept.rows, RowStep(step="duplicates", n_rows=80))
    assert dropped.profile.n_duplicates == 0
    assert place.table(dropped).equals(TABLE.filter(pl.col("a/b\\c") != "gold"))


def test_suspects_leave_the_features_and_are_told(place: Workplace) -> None:
    leak = pl.Series(range(N_ROWS)) % 4 + pl.Series(range(N_ROWS)) / 1_000
    pl.concat([TABLE.with_columns(leak=leak)] * 5).write_csv(place.source)

    profile = place.ingest(id="customer").profile

    assert "leak" not in profile.features
    assert "leak" in [finding.column for finding in profile.findings]
    assert "leak" in [dropped.name for dropped in profile.dropped]


def test_blocked_personal_data_commit_nothing(place: Workplace) -> None:
    mails = [f"someone.{n % 40}@example.org" for n in range(N_ROWS)]
    TABLE.with_columns(mail=pl.Series(mails)).write_csv(place.source)

    with pytest.raises(RequestError, match="blocks the run"):
        place.ingest(privacy={"pii": "block"})

    assert place.is_untouched(place.accepted(privacy={"pii": "block"}))


def test_what_a_killed_process_left_is_removed_by_the_next(place: Workplace) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from automl_assets.core.staging import Staging; "
        "staging = Staging(Path(sys.argv[1])); (staging.folder / 'table.parquet').touch(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(place.scratch)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert place.left_behind()

    place.ingest()

    assert place.left_behind() == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(place: Workplace) -> None:
    code = (
        "import resource, sys; from pathlib import Path; import polars as pl; "
        "from automl_assets.core.request import TrainingRequest; "
        "from automl_assets.core.rows.table import write_rows; "
        "request = TrainingRequest.model_validate(dict(apiVersion='automl/v1', "
        "kind='TrainingRequest', name='x', owner='x', data=dict(path='x.csv', target='a', "
        "rows=dict(duplicates='drop', where='b > -9')))); "
        "frame = pl.scan_csv(sys.argv[1]); "
        "write_rows(frame, request, Path(sys.argv[2]), source='x.csv'); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks = []
    for n_rows in (400_000, 2_400_000):
        with place.source.open("wb") as file:
            for start in range(0, n_rows, 200_000):
                numbers = np.arange(start, start + 200_000)
                piece = pl.DataFrame({name: numbers + n for n, name in enumerate("abcdefgh")})
                piece.write_csv(file, include_header=start == 0)
        found = subprocess.run(
            [sys.executable, "-c", code, str(place.source), str(place.source) + ".parquet"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(found.stdout))

    assert peaks[1] - peaks[0] < 150


def test_the_second_call_finds_the_first(place: Workplace) -> None:
    first = place.ingest(contract="columns: {}\n")

    assert place.ingest(contract="columns: {}\n") == first


def test_a_snapshot_is_found_without_its_source(place: Workplace) -> None:
    first = place.ingest()
    place.source.unlink()

    assert find_snapshot(place.accepted(), store=place.store) == first


def test_another_contract_or_source_makes_another_commit(place: Workplace) -> None:
    first = place.ingest(contract="columns: {}\n")
    second = place.ingest()
    TABLE.head(100).write_csv(place.source)
    third = place.ingest()

    assert len({first.commit_id, second.commit_id, third.commit_id}) == 3
    assert (second.contract_path, second.n_rows, third.n_rows) == ("", 120, 100)
    assert find_snapshot(place.accepted(), store=place.store) == third


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
