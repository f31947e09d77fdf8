"""Services start, are restarted, and never outlive the one who started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from automl_assets.cli.home import locked_home
from automl_assets.cli.services import Service, Supervisor, supervised
from automl_assets.core.errors import ServiceError
from automl_assets.settings import Settings

# Writes its number, starts a child in the same group, and ignores SIGTERM if asked to.
PROGRAM = """
import os, pathlib, signal, subprocess, sys, time
folder, stubborn = pathlib.Path(sys.argv[1]), sys.argv[2] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "100"])
(folder / f"{child.pid}.pid").touch()
(folder / f"{os.getpid()}.pid").touch()
time.sleep(100)
"""

OWNER = """
import pathlib, sys
from automl_assets.cli.services import Service, supervised
folder = pathlib.Path(sys.argv[1])
service = Service(name="one", command=(sys.executable, "-S", "-c", sys.argv[2], sys.argv[1], ""),
                  log=folder / "log", is_ready=lambda: len(list(folder.glob("*.pid"))) == 2)
with supervised({}) as supervisor:
    supervisor.start([service])
    print("ready", flush=True)
    supervisor.watch()
"""


def service(folder: Path, kind: str = "polite") -> Service:
    return Service(
        name="one",
        command=(sys.executable, "-S", "-c", PROGRAM, str(folder), kind),
        log=folder / "logs" / "one.log",
        is_ready=lambda: len(pids(folder)) == 2,
    )


def pids(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.pid"))


def living(numbers: list[int]) -> list[int]:
    """Return which processes run; one that ended and waits for its parent does not."""

    def runs(number: int) -> bool:
        try:
            return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [number for number in numbers if runs(number)]


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)


@contextmanager
def looking_on(look: Callable[[], bool]) -> Iterator[None]:
    """Call a function again and again in a thread until it is true."""
    thread = threading.Thread(target=wait_until, args=[look])
    thread.start()
    yield
    thread.join()


@contextmanager
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program that supervises one service; yields once the service is up."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), PROGRAM], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with supervised({"PATH": os.environ["PATH"]}) as supervisor:
        yield supervisor


def test_a_service_and_its_children_are_stopped(tmp_path: Path) -> None:
    with supervised({"PATH": os.environ["PATH"]}) as supervisor:
        supervisor.start([service(tmp_path)])
        running = living(pids(tmp_path))

    assert running == pids(tmp_path)
    assert living(pids(tmp_path)) == []


@pytest.mark.slow
def test_a_service_that_will_not_end_is_killed(tmp_path: Path) -> None:
    with supervised({"PATH": os.environ["PATH"]}) as supervisor:
        supervisor.start([service(tmp_path, "stubborn")])
        began = time.monotonic()

    assert living(pids(tmp_path)) == []
    assert 9 < time.monotonic() - began < 15


def test_a_service_that_does_not_start_ends_with_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = Service(
        name="broken one",
        command=(sys.executable, "-S", "-c", "raise SystemExit('no such module')"),
        log=tmp_path / "one.log",
        is_ready=lambda: False,
    )

    with pytest.raises(ServiceError, match=r"(?s)broken one must start.*code 1.*no such module"):
        supervisor.start([broken])


def test_a_service_that_was_killed_is_restarted(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([service(tmp_path)])
    first = pids(tmp_path)
    os.killpg(os.getpgid(first[0]), signal.SIGKILL)

    def stop_when_back() -> bool:
        # A process that was killed may be seen alive for a moment longer.
        supervisor.is_stopping = len(set(living(pids(tmp_path))) - set(first)) == 2
        return supervisor.is_stopping

    # The main thread watches, as in `automl up`; another one looks on.
    with looking_on(stop_when_back):
        supervisor.watch()

    assert set(living(pids(tmp_path))).isdisjoint(first)


def test_a_service_that_keeps_dying_stops_everything(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl_assets.cli.services.MAX_RESTARTS", 1)
    dying = Service(
        name="dying one",
        command=(sys.executable, "-S", "-c", "import time; print('ouch'); time.sleep(0.3)"),
        log=tmp_path / "one.log",
        is_ready=lambda: True,
    )
    supervisor.start([dying])

    with pytest.raises(ServiceError, match=r"(?s)dying one ended 2 times.*code 0.*ouch"):
        supervisor.watch()


def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        running = living(pids(tmp_path))
        process.kill()

    assert len(running) == 2
    wait_until(lambda: living(pids(tmp_path)) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with owner(tmp_path) as process:
        process.send_signal(number)
        code = process.wait(timeout=20)

    assert code == 0
    assert living(pids(tmp_path)) == []


def test_a_home_is_held_by_one(settings: Settings) -> None:
    with locked_home(settings) as lock:
        lock.announce({"web": "http://127.0.0.1:3000"})

        with (
            pytest.raises(
                ServiceError, match=rf"process {os.getpid()}; web at http://127\.0\.0\.1:3000"
            ),
            locked_home(settings),
        ):
            pass

    with locked_home(settings):
        pass
