"""The inbox and the accepted requests on disk."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import MAX_BYTES, parse_request
from resources.request_store import RequestStore

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def request_text(name: str = "churn", owner: str = "ann", path: str = "churn.csv") -> str:
    return (
        "apiVersion: automl/v1\nkind: TrainingRequest\n"
        f"name: {name}\nowner: {owner}\ndata: {{path: {path}, target: churned}}\n"
    )


def parsed(text: str) -> TrainingRequest:
    return parse_request(text, filename="churn.yaml")


def soon() -> datetime:
    """Return a time at which what was just written has settled."""
    return datetime.now(UTC) + timedelta(seconds=10)


@pytest.fixture
def store(tmp_path: Path) -> RequestStore:
    inbox = tmp_path / "home" / "inbox"
    inbox.mkdir(parents=True)
    return RequestStore(
        requests_folder=str(tmp_path / "home" / "requests"),
        inbox_folder=str(inbox),
    )


def drop(store: RequestStore, name: str, content: str | bytes) -> Path:
    path = Path(store.inbox_folder) / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(store: RequestStore, now: datetime) -> list[str]:
    return [file.path.name for file in store.pending(now=now)]


def test_an_inbox_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    store = RequestStore(requests_folder=str(tmp_path / "r"), inbox_folder=str(tmp_path / "i"))

    assert store.pending(now=NOW) == []
    assert store.list_ids() == []


def test_settled_request_files_are_pending_oldest_first_and_others_are_ignored(
    store: RequestStore,
) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "d.txt", ".e.yaml", "f.yaml.tmp"):
        drop(store, name, request_text())

    assert names(store, soon()) == ["b.yaml", "a.yml", "c.json"]


def test_no_more_files_than_the_limit_are_taken(store: RequestStore) -> None:
    for number in range(4):
        drop(store, f"{number}.yaml", request_text())

    assert [f.path.name for f in store.pending(now=soon(), limit=2)] == ["0.yaml", "1.yaml"]


def test_a_file_written_just_now_waits(store: RequestStore) -> None:
    drop(store, "a.yaml", request_text())

    assert names(store, datetime.now(UTC)) == []


def test_an_old_modification_time_does_not_make_a_new_file_settled(store: RequestStore) -> None:
    path = drop(store, "copied-with-its-times.yaml", request_text())
    os.utime(path, (0, 0))

    assert names(store, datetime.now(UTC)) == []


def test_a_file_is_taken_although_the_clock_was_set_back(store: RequestStore) -> None:
    drop(store, "a.yaml", request_text())

    assert names(store, datetime.now(UTC) - timedelta(hours=1)) == ["a.yaml"]


def test_a_file_that_changes_between_the_looks_waits(store: RequestStore) -> None:
    path = drop(store, "a.yaml", "half")
    drop(store, "b.yaml", request_text())

    timer = threading.Timer(0.1, path.write_text, args=["half and more"])
    timer.start()
    found = names(store, soon())
    timer.join()

    assert found == ["b.yaml"]


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, _link])
def test_what_is_no_regular_file_comes_with_the_reason(
    store: RequestStore, make: Callable[[Path], None]
) -> None:
    make(Path(store.inbox_folder) / "odd.yaml")

    (file,) = store.pending(now=soon())

    assert file.content == b""
    assert file.problem is not None
    assert "The inbox takes regular files" in file.problem


def test_of_a_huge_file_one_byte_too_many_is_read(store: RequestStore) -> None:
    path = drop(store, "huge.yaml", b"")
    os.truncate(path, 50_000_000_000)

    (file,) = store.pending(now=soon())

    assert len(file.content) == MAX_BYTES + 1


def test_a_request_of_the_largest_size_is_read_whole_and_a_larger_one_is_refused(
    store: RequestStore,
) -> None:
    fits = f"{request_text()}#".ljust(MAX_BYTES, "x")
    drop(store, "a.yaml", fits)
    drop(store, "b.yaml", fits + "x")

    largest, larger = store.pending(now=soon())

    assert largest.content.decode() == fits
    assert parse_request(largest.content, filename="a.yaml") == parsed(request_text())
    with pytest.raises(RequestError, match="a request has at most 256 kB"):
        parse_request(larger.content, filename="b.yaml")


def test_a_rejected_file_is_left_alone_until_it_is_written_again(store: RequestStore) -> None:
    path = drop(store, "a.yaml", "kind: [")
    (file,) = store.pending(now=soon())

    store.reject(file, "a.yaml:1:7: not valid YAML")

    note = path.with_name("a.yaml.rejected.txt").read_text()
    assert "a.yaml:1:7: not valid YAML" in note
    assert "Mend the file where it is" in note
    assert names(store, soon()) == []
    path.write_text(request_text())
    assert names(store, soon()) == ["a.yaml"]


def test_forgetting_a_file_removes_the_note_of_its_earlier_rejection(store: RequestStore) -> None:
    path = drop(store, "a.yaml", "kind: [")
    store.reject(store.pending(now=soon())[0], "no")
    path.write_text(request_text())

    store.forget(store.pending(now=soon())[0])

    assert os.listdir(store.inbox_folder) == []


def test_a_file_that_was_replaced_meanwhile_is_not_forgotten(store: RequestStore) -> None:
    path = drop(store, "a.yaml", request_text())
    (file,) = store.pending(now=soon())
    path.write_text(request_text(owner="bob"))

    store.forget(file)

    assert path.read_text() == request_text(owner="bob")


def test_an_accepted_request_is_kept_as_it_was_written(store: RequestStore) -> None:
    text = "# for the call list\n" + request_text()

    accepted = store.accept(parsed(text), text=text, source="inbox/churn.yaml", now=NOW)

    assert accepted.request_id == parsed(text).request_id
    assert accepted.accepted_at == "2026-11-21T12:00:00+00:00"
    assert store.load(accepted.request_id) == accepted
    assert store.text(accepted.request_id) == text
    assert store.list_ids() == [accepted.request_id]
    folder = Path(store.requests_folder) / accepted.request_id
    assert (folder / "source.txt").read_text() == "inbox/churn.yaml\n"


def test_the_first_acceptance_wins(store: RequestStore) -> None:
    first = store.accept(parsed(request_text()), text="first", source="cli", now=NOW)

    second = store.accept(
        parsed(request_text()), text="second", source="inbox", now=NOW + timedelta(days=1)
    )

    assert second == first
    assert store.text(first.request_id) == "first"


def test_requests_accepted_at_the_same_time_are_accepted_once(store: RequestStore) -> None:
    request = parsed(request_text())
    texts = [f"text {number}" for number in range(8)]
    threads = [
        threading.Thread(
            target=store.accept, args=[request], kwargs={"text": text, "source": "cli", "now": NOW}
        )
        for text in texts
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.text(request.request_id) in texts
    assert os.listdir(store.requests_folder) == [request.request_id]


def test_an_unknown_id_is_answered_with_near_ones(store: RequestStore) -> None:
    known = store.accept(parsed(request_text()), text="", source="cli", now=NOW).request_id

    with pytest.raises(RequestError, match=f"Did you mean '{known}'.* `automl list` shows"):
        store.load("churn-0000000000")


@pytest.mark.parametrize("request_id", ["../inbox", "", ".", "/etc", "a\x00b"])
def test_an_id_that_is_a_path_is_unknown(store: RequestStore, request_id: str) -> None:
    with pytest.raises(RequestError, match="is not among the 0 accepted"):
        store.load(request_id)


def test_a_submitted_request_lands_in_the_inbox_once(store: RequestStore) -> None:
    first = store.submit(request_text(), "some/where/churn.yaml")
    again = store.submit(request_text(), "churn.yaml")
    other = store.submit(request_text(owner="bob"), "churn.yaml")

    assert first == again
    assert first.name.startswith("churn.")
    assert first.suffix == ".yaml"
    assert other.read_text() == request_text(owner="bob")
    assert sorted(names(store, soon())) == sorted({first.name, other.name})


@pytest.mark.parametrize("filename", ["churn.txt", ".churn.yaml", ""])
def test_a_name_that_the_inbox_would_ignore_is_refused(store: RequestStore, filename: str) -> None:
    with pytest.raises(RequestError, match=r"Request files end in \.yaml, \.yml, \.json"):
        store.submit(request_text(), filename)


def test_the_files_of_an_accepted_request_come_with_their_digests(store: RequestStore) -> None:
    text = request_text()
    accepted = store.accept(parsed(text), text=text, source="inbox/a.yaml", now=NOW)

    files = store.files(accepted.request_id)

    digests = json.loads(files.pop("files.json"))
    assert files["request.yaml"] == text.encode()
    assert sorted(files) == ["accepted.json", "request.yaml", "source.txt"]
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    with pytest.raises(RequestError, match="Did you mean"):
        store.files(f"{accepted.request_id[:-1]}x")
