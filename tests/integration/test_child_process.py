"""Work in a process of its own: how it may end, and what is told of it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from resources.child_process import Child
from resources.child_report import ChildReport, Ending, Spent, how_it_ended
from resources.processes import wait_for_end


def run(
    tmp_path: Path, work: Callable[[], Any], prepare: Callable[[], Any] = dict, **options: Any
) -> ChildReport:
    """Do one task in a child of its own."""
    child = Child(lambda task: work(), prepare=lambda task: prepare())
    try:
        return child.run({}, tmp_path / "child" / "result.json", **options)
    finally:
        child.close()


def hold() -> dict[str, Any]:
    held = np.ones(20_000_000)
    time.sleep(0.4)
    return {"held": float(held.sum())}


@pytest.fixture
def worker() -> Iterator[Child]:
    """A child whose task names what it does."""
    deeds: dict[str, Callable[[], Any]] = {
        "who": lambda: {"pid": os.getpid()},
        "fail": failing(ValueError("no")),
        "hold": hold,
        "keep": lambda: kept.append(np.ones(20_000_000)) or {},
        "leave": lambda: {"child": subprocess.Popen(["sleep", "60"]).pid},
        "sleep": sleep,
        "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    }
    kept: list[np.ndarray] = []
    child = Child(lambda task: deeds[task["deed"]]())
    yield child
    child.close()


def pid_after(worker: Child, folder: Path) -> int:
    report = worker.run({"deed": "who"}, folder / "who.json")
    assert report.result is not None
    return report.result["pid"]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.02)


def failing(error: BaseException) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


def sleep() -> dict[str, Any]:
    time.sleep(60)
    return {}


def test_the_result_comes_back_as_it_was(tmp_path: Path) -> None:
    report = run(tmp_path, lambda: {"pid": os.getpid(), "score": 0.1, "folds": [1, 2]})

    assert (report.ending, report.error) == ("done", "")
    assert report.result is not None
    assert report.result["pid"] != os.getpid()
    assert (report.result["score"], report.result["folds"]) == (0.1, [1, 2])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("two\n lines"), "ValueError: two lines"),
        (MemoryError(), "MemoryError: there was no memory left"),
    ],
)
def test_what_the_work_raises_is_its_result(tmp_path: Path, error: Exception, message: str) -> None:
    report = run(tmp_path, failing(error))

    assert (report.ending, report.result, report.error) == ("error", None, message)


def test_a_full_disk_is_not_the_works_fault(tmp_path: Path) -> None:
    report = run(tmp_path, failing(OSError(errno.ENOSPC, "No space left on device")))

    assert report.ending == "infrastructure"
    assert report.error == "OSError: [Errno 28] No space left on device"


def test_a_result_that_cannot_be_written_is_not_the_works_fault(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        (tmp_path / "child").rmdir()
        (tmp_path / "child").touch()
        return {}

    report = run(tmp_path, work)

    assert report.ending == "infrastructure"
    assert "Error: [Errno" in report.error


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_somebody_else_ended_was_killed(tmp_path: Path, sent: signal.Signals) -> None:
    def work() -> dict[str, Any]:
        os.kill(os.getpid(), sent)
        return sleep()

    report = run(tmp_path, work)

    assert report.ending == "killed"
    assert report.error == f"its process was ended by signal {int(sent)}"


def test_a_crash_is_the_works_own_failure(tmp_path: Path) -> None:
    report = run(tmp_path, lambda: os._exit(3))

    assert (report.ending, report.error) == ("error", "its process ended with code 3")


def test_a_result_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    run(tmp_path, lambda: {"attempt": 1})

    report = run(tmp_path, lambda: os._exit(3))

    assert report.result is None


def test_too_much_memory_ends_it(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        held = []
        for _ in range(1000):
            held.append(np.ones(1_000_000))
            time.sleep(0.01)
        return {}

    report = run(tmp_path, work, memory_mb=200)

    assert report.ending == "out of memory"
    assert report.error == "out of memory: it held more than 200 MB"
    assert 200 < report.peak_mb < 800


def test_what_the_parent_holds_does_not_count_against_its_child(tmp_path: Path) -> None:
    held = np.ones(40_000_000)

    def work() -> dict[str, Any]:
        time.sleep(0.3)
        return {"sum": float(held[:10].sum())}

    report = run(tmp_path, work, memory_mb=200)

    assert report.result == {"sum": 10.0}
    assert report.peak_mb < 100


def test_a_child_that_is_late_is_ended_at_once(tmp_path: Path) -> None:
    report = run(tmp_path, sleep, is_late=lambda spent: spent.seconds > 0.3)

    assert (report.ending, report.error) == ("out of time", "ended by the time limit")
    assert 0.3 < report.seconds < 1.0


def test_a_child_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGSTOP)
        return {}

    report = run(tmp_path, work, is_late=lambda spent: True)

    assert report.ending == "out of time"
    assert report.seconds < 3


def test_lateness_may_be_counted_in_cpu_seconds(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        while True:
            sum(range(1000))

    report = run(tmp_path, work, is_late=lambda spent: spent.cpu_seconds > 0.3)

    assert report.ending == "out of time"
    assert 0.3 < report.cpu_seconds < 1.0


def test_what_a_child_took_is_told(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        held = np.ones(20_000_000)
        with (tmp_path / "written").open("wb") as file:
            file.write(bytes(5_000_000))
            file.flush()
            os.fsync(file.fileno())
        until = time.process_time() + 0.3
        while time.process_time() < until:
            held[:1000].sum()
        return {}

    report = run(tmp_path, work)

    assert 0.3 < report.cpu_seconds < 1.5
    assert report.seconds > 0.3
    assert 150 < report.peak_mb < 250
    assert report.io_mb > 4


@pytest.mark.parametrize("ending", ["done", "killed", "out of time"])
def test_what_a_child_started_ends_with_it(tmp_path: Path, ending: str) -> None:
    note = tmp_path / "grandchild"
    last_act = {
        "done": dict,
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "out of time": sleep,
    }[ending]

    def work() -> Any:
        note.write_text(str(subprocess.Popen(["sleep", "60"]).pid))
        return last_act()

    report = run(tmp_path, work, is_late=lambda spent: spent.seconds > 2)

    assert report.ending == ending
    wait_until(lambda: is_gone(int(note.read_text())))


def test_preparing_is_not_part_of_the_work(tmp_path: Path) -> None:
    seen: list[Spent] = []

    def is_late(spent: Spent) -> bool:
        seen.append(spent)
        return spent.seconds > 0.4

    report = run(tmp_path, sleep, prepare=lambda: time.sleep(0.6), is_late=is_late)

    assert report.ending == "out of time"
    assert report.seconds > 1.0
    assert seen[0] == Spent()


def test_an_interrupted_wait_leaves_no_child(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, sleep, on_tick=interrupt)

    assert psutil.Process().children() == []


def test_a_signal_that_comes_just_as_a_child_is_reaped_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, wait = Child(lambda task: {}), os.wait4
    child.run({}, tmp_path / "result.json")

    def interrupted(pid: int, options: int) -> None:
        monkeypatch.setattr(os, "wait4", wait)
        wait(pid, options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.close()

    child.close()

    assert psutil.Process().children() == []
    assert child.run({}, tmp_path / "result.json").ending == "done"
    child.close()


LONG = "x" * 1_000_000


def test_a_task_that_is_longer_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    child = Child(lambda task: {"length": len(task["text"])})

    first = child.run({"text": LONG}, tmp_path / "result.json")
    second = child.run({"text": LONG[:-1]}, tmp_path / "result.json")
    child.close()

    assert (first.result, second.result) == ({"length": 1_000_000}, {"length": 999_999})


def test_a_child_that_does_not_take_its_task_holds_nobody_up(worker: Child, tmp_path: Path) -> None:
    os.kill(pid_after(worker, tmp_path), signal.SIGSTOP)
    ticks: list[None] = []

    report = worker.run(
        {"deed": "who", "text": LONG},
        tmp_path / "who.json",
        is_late=lambda spent: len(ticks) > 2,
        on_tick=lambda: ticks.append(None),
    )

    assert report.ending == "out of time"
    assert pid_after(worker, tmp_path) > 0


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "child"
    script = (
        "import os, time, sys\n"
        "from pathlib import Path\n"
        "from resources.child_process import Child\n"
        "def work(task):\n"
        "    Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "Child(work).run({}, Path(sys.argv[1] + '.json'))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(note)])
    wait_until(lambda: note.exists() and note.read_text() != "")
    child = int(note.read_text())
    assert not is_gone(child)

    parent.kill()
    parent.wait()

    wait_until(lambda: is_gone(child))


@pytest.mark.parametrize("deed", ["who", "fail", "hold"])
def test_the_next_task_finds_the_same_process(worker: Child, tmp_path: Path, deed: str) -> None:
    first = pid_after(worker, tmp_path)

    worker.run({"deed": deed}, tmp_path / "deed.json", memory_mb=300)

    assert pid_after(worker, tmp_path) == first


@pytest.mark.parametrize(
    ("deed", "ending"), [("sleep", "out of time"), ("die", "killed"), ("leave", "done")]
)
def test_a_process_that_was_ended_or_left_another_is_replaced(
    worker: Child, tmp_path: Path, deed: str, ending: str
) -> None:
    first = pid_after(worker, tmp_path)

    report = worker.run(
        {"deed": deed}, tmp_path / "deed.json", is_late=lambda spent: spent.seconds > 1
    )

    assert report.ending == ending
    wait_until(lambda: is_gone(first))
    assert pid_after(worker, tmp_path) != first


def test_a_process_that_dies_between_tasks_is_replaced(worker: Child, tmp_path: Path) -> None:
    first = pid_after(worker, tmp_path)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: is_gone(first))

    assert pid_after(worker, tmp_path) != first


@pytest.mark.parametrize(("memory_mb", "is_replaced"), [(200.0, True), (2_000.0, False)])
def test_a_process_that_keeps_much_of_what_a_task_may_hold_is_replaced(
    worker: Child, tmp_path: Path, memory_mb: float, is_replaced: bool
) -> None:
    first = pid_after(worker, tmp_path)

    report = worker.run({"deed": "keep"}, tmp_path / "deed.json", memory_mb=memory_mb)

    assert report.ending == "done"
    assert (pid_after(worker, tmp_path) != first) == is_replaced


def test_each_task_is_told_what_it_took_itself(worker: Child, tmp_path: Path) -> None:
    first = worker.run({"deed": "hold"}, tmp_path / "first.json")
    second = worker.run({"deed": "hold"}, tmp_path / "second.json")
    third = worker.run({"deed": "who"}, tmp_path / "third.json")

    assert 150 < second.peak_mb < 250
    assert third.peak_mb < 50
    assert third.cpu_seconds <= first.cpu_seconds + second.cpu_seconds


def test_memory_counts_from_what_was_held_before_the_task(worker: Child, tmp_path: Path) -> None:
    worker.run({"deed": "keep"}, tmp_path / "first.json", memory_mb=500)

    report = worker.run({"deed": "hold"}, tmp_path / "second.json", memory_mb=200)

    assert report.ending == "done"


@pytest.mark.parametrize("ended_by", ["out of time", "out of memory", None])
def test_a_result_that_is_there_counts_however_its_process_ended(ended_by: Ending | None) -> None:
    told = {"result": {"score": 0.1}}

    assert how_it_ended(-signal.SIGKILL, ended_by, told, 100.0, "") == ("done", "")


def test_the_result_file_is_json(tmp_path: Path) -> None:
    run(tmp_path, lambda: {"score": 1})

    told = json.loads((tmp_path / "child" / "result.json").read_text())

    assert told["result"] == {"score": 1}


def test_waiting_ends_with_the_first_process_that_ends() -> None:
    slow = subprocess.Popen(["sleep", "60"])
    quick = subprocess.Popen(["sleep", "0.2"])
    begun = time.monotonic()

    wait_for_end([slow.pid, quick.pid], 10)

    assert 0.1 < time.monotonic() - begun < 5
    assert quick.wait() == 0
    slow.kill()
    slow.wait()


def test_waiting_for_a_process_that_is_gone_returns() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    begun = time.monotonic()

    wait_for_end([gone.pid], 10)

    assert time.monotonic() - begun < 1
