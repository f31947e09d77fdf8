"""From a new commit in a repository to one request, and never to a second one."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from automl_assets.core.errors import ServiceError
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import parse_request
from automl_assets.core.retraining import follow_up
from automl_assets.core.values import AcceptedRequest
from automl_assets.sensors.new_data import new_data
from resources.request_store import RequestStore
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)

Put = Callable[..., str]


def text(monitor: str = "{retrain_when: {data: new_commit, at_most_every: 7d}}") -> str:
    return (
        "apiVersion: automl/v1\nkind: TrainingRequest\nname: churn\nowner: ann\n"
        "data: {repository: warehouse, table: sales/, target: churned}\n"
        + (f"monitor: {monitor}\n" if monitor else "")
    )


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotStore:
    store = EmbeddedSnapshotStore(folder=str(tmp_path / "home" / "store"))
    store.ensure_repository("warehouse")
    return store


@pytest.fixture
def put(snapshots: SnapshotStore, tmp_path: Path) -> Put:
    """Commits one table of so many rows to `main`, and returns the commit id."""

    def commit(n_rows: int, path: str = "sales/part.parquet") -> str:
        file = tmp_path / "part.parquet"
        pl.DataFrame({"churned": range(n_rows)}).write_parquet(file)
        key = f"main/{path}/{n_rows}"
        with snapshots.write(
            "warehouse", branch="main", key=key, message="New data", metadata={}
        ) as transaction:
            transaction.put_file(path, file)
        return transaction.commit.commit_id

    return commit


@pytest.fixture
def requests(tmp_path: Path) -> RequestStore:
    (tmp_path / "home" / "inbox").mkdir(parents=True, exist_ok=True)
    return RequestStore(
        requests_folder=str(tmp_path / "home" / "requests"),
        inbox_folder=str(tmp_path / "home" / "inbox"),
    )


def accept(
    requests: RequestStore, content: str, *, commit: str, now: datetime = NOW - 8 * DAY
) -> AcceptedRequest:
    request = parse_request(content, filename="churn.yaml")
    return requests.accept(request, text=content, source="test", now=now, data_commit=commit)


def tick(requests: RequestStore, snapshots: SnapshotStore) -> str:
    context = dg.build_sensor_context(
        resources={"request_store": requests, "snapshot_store": snapshots}
    )
    skipped = new_data(context)
    assert isinstance(skipped, dg.SkipReason)
    return str(skipped.skip_message)


def inbox(requests: RequestStore) -> list[Path]:
    return sorted(Path(requests.inbox_folder).iterdir())


def test_a_new_commit_becomes_one_request_however_often_it_is_looked_at(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    template = accept(requests, text(), commit=put(10))
    second = put(20)

    for _ in range(3):
        assert "asked for" in tick(requests, snapshots)

    (file,) = inbox(requests)
    asked = parse_request(file.read_bytes(), filename=file.name)
    assert (asked.parent, asked.data.commit) == (template.request_id, second)
    assert asked.monitor == template.request.monitor


def test_an_accepted_follower_is_the_next_template(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    accept(requests, text(), commit=put(10))
    second = put(20)
    tick(requests, snapshots)
    (file,) = inbox(requests)

    follower = accept(requests, file.read_text(), commit=second, now=NOW)
    file.unlink()

    assert requests.templates() == [follower]
    assert "has no new commit" in tick(requests, snapshots)
    assert inbox(requests) == []


def test_a_rejected_follower_is_not_asked_for_again(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    accept(requests, text(), commit=put(10))
    put(20)
    tick(requests, snapshots)
    (rejected,) = requests.pending(now=datetime.now(UTC) + DAY)
    requests.reject(rejected, "no")

    tick(requests, snapshots)

    assert requests.pending(now=datetime.now(UTC) + DAY) == []


def test_the_newest_request_of_a_name_ends_the_retraining(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    first = put(10)
    accept(requests, text(), commit=first)
    accept(requests, text(monitor=""), commit=first, now=NOW)
    put(20)

    assert tick(requests, snapshots) == "No request asks for retraining."


def test_an_older_request_does_not_become_the_template_again(
    requests: RequestStore, put: Put
) -> None:
    first = put(10)
    accept(requests, text(), commit=first)
    newest = accept(requests, text("{retrain_when: {data: new_commit}}"), commit=first, now=NOW)

    accept(requests, text(), commit=first)

    assert requests.templates() == [newest]


def test_a_repository_that_is_gone_is_told_and_stops_no_other(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    accept(requests, text().replace("warehouse", "lost").replace("churn\n", "a\n"), commit="")
    accept(requests, text(), commit=put(10))
    put(20)

    told = tick(requests, snapshots)

    assert "'lost'" in told
    assert len(inbox(requests)) == 1


def test_a_commit_that_was_cleared_away_since_does_not_end_the_retraining(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    accept(requests, text(), commit="0" * 64)
    put(20)

    assert "asked for" in tick(requests, snapshots)


def test_a_request_that_was_removed_or_damaged_stops_no_other(
    requests: RequestStore,
    snapshots: SnapshotStore,
    put: Put,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = put(10)
    folder = Path(requests.requests_folder)
    removed = accept(requests, text().replace("churn\n", "a\n"), commit=first)
    shutil.rmtree(folder / removed.request_id)
    damaged = accept(requests, text().replace("churn\n", "b\n"), commit=first)
    (folder / damaged.request_id / "accepted.json").write_text("{")
    accept(requests, text(), commit=first)
    put(20)

    told = tick(requests, snapshots)

    assert told.count("asked for") == len(inbox(requests)) == 1
    assert "the newest request of 'b' cannot be read" in caplog.text


def test_a_server_that_is_away_is_asked_once_a_tick(
    requests: RequestStore, snapshots: SnapshotStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(10)
    for name in "abc":
        accept(requests, text().replace("churn\n", f"{name}\n"), commit=first)
    asked: list[str] = []

    def resolve(_: SnapshotStore, repository: str, ref: str) -> Commit:
        asked.append(f"{repository}@{ref}")
        raise ServiceError("lakeFS does not answer.")

    monkeypatch.setattr(EmbeddedSnapshotStore, "resolve", resolve)

    assert "The others wait for the next tick." in tick(requests, snapshots)
    assert asked == ["warehouse@main"]


def follower(template: AcceptedRequest, store: SnapshotStore, now: datetime) -> TrainingRequest:
    request = follow_up(template, store=store, now=now)
    assert isinstance(request, TrainingRequest)
    return request


def test_the_same_commit_gives_the_same_request(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    template = accept(requests, text(), commit=put(10))
    put(20)

    first, later = (follower(template, snapshots, NOW + n * DAY) for n in (0, 1))

    assert first.request_id == later.request_id


def test_requests_keep_their_distance(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    template = accept(requests, text(), commit=put(10), now=NOW)
    put(20)

    told = follow_up(template, store=snapshots, now=NOW + 6 * DAY)

    assert "at_most_every leaves 86,400 s to wait" in str(told)
    assert follower(template, snapshots, NOW + 7 * DAY).parent == template.request_id


def test_a_commit_that_left_the_table_alone_asks_for_nothing(
    requests: RequestStore, snapshots: SnapshotStore, put: Put
) -> None:
    template = accept(requests, text(), commit=put(10))
    put(20, path="sales-old/part.parquet")

    assert "left sales/ as it was" in str(follow_up(template, store=snapshots, now=NOW))
