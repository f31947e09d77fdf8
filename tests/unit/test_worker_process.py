"""How a search worker is started."""

import os
from pathlib import Path
from typing import Any

import pytest

from resources.search_runner import worker_process
from resources.search_runner.worker_process import start_worker
from tests.searches import make_plan


def test_threads_of_a_worker_are_bounded_and_wait_awake_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}

    class Started:
        pid = os.getpid()

        def __init__(self, command: list[str], *, env: dict[str, str], **others: Any) -> None:
            told.update(env)

    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    monkeypatch.setattr(worker_process.subprocess, "Popen", Started)

    start_worker(
        "sqlite://",
        make_plan(n_workers=2, n_threads=3),
        tmp_path,
        used=0.0,
        supervisor=tmp_path / "supervisor",
    )

    assert told["OMP_NUM_THREADS"] == told["POLARS_MAX_THREADS"] == "3"
    assert told["OMP_WAIT_POLICY"] == "PASSIVE"
    # Asleep at once, two threads took up to five times as long as one.
    assert 0 < int(told["GOMP_SPINCOUNT"]) <= 100_000
