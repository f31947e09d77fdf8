"""Who supervises a search, as its workers and other supervisors see it."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from automl_assets.core.errors import ServiceError
from resources.search_runner.supervision import Supervision, supervising, write_stamp


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_supervisor_is_seen_while_it_supervises(tmp_path: Path) -> None:
    with supervising(tmp_path) as file:
        supervision = Supervision(file)

        assert supervision.is_there()
        assert supervision.is_resumed()
        assert not supervision.is_given_up()


def test_one_process_supervises_at_a_time(tmp_path: Path) -> None:
    with (
        supervising(tmp_path),
        pytest.raises(ServiceError, match=f"process {os.getpid()} is running this one"),
        supervising(tmp_path),
    ):
        pass


def test_a_search_may_be_supervised_again(tmp_path: Path) -> None:
    with supervising(tmp_path):
        pass
    with supervising(tmp_path) as file:
        assert Supervision(file).is_there()


def test_a_dead_supervisor_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    file = tmp_path / "supervisor.lock"
    write_stamp(file, dead_process())
    supervision = Supervision(file, patience=1.0)
    begun = time.monotonic()

    assert not supervision.is_resumed()

    assert 1.0 < time.monotonic() - begun < 5.0


def test_a_zombie_supervises_nothing(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    file = tmp_path / "supervisor.lock"
    write_stamp(file, zombie.pid)

    assert not Supervision(file).is_there()

    zombie.wait()


def test_who_needs_no_supervisor_is_always_supervised() -> None:
    assert Supervision(None).is_there()
    assert not Supervision(None).is_given_up()
