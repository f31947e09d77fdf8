"""One search worker as a process of this machine, as its supervisor sees it."""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from automl_assets.core.search.plan import SearchPlan
from resources.processes import is_alive, own_mb, pid_of
from resources.search_runner.supervision import write_stamp

_SUFFIX = ".worker"

PATIENCE_SECONDS = 2.0
"""How long a worker may take to end itself and its trial, on a busy machine, too."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a worker and its trials use.

    Attributes:
        own_mb: Memory that each of them holds alone.
        shared_mb: Mapped files, such as the matrix: the same for all workers.
    """

    cpu_seconds: float
    own_mb: float
    shared_mb: float


class WorkerProcess:
    """One worker process, started here or adopted from a supervisor that died."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes] | psutil.Process", log: Path):
        self.name = name
        self._process = process
        # It knows its process even where another one has got the same number.
        self._own = psutil.Process(process.pid)
        self.log = log
        self.pid = process.pid
        self._is_asked = False
        self.cpu_before = 0.0
        """CPU seconds that an earlier supervisor has counted."""

    @property
    def is_running(self) -> bool:
        """Whether it is still there."""
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll() is None
        with suppress(psutil.Error):
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and of an adopted one, whose end nobody is told."""
        return self._process.poll() if isinstance(self._process, subprocess.Popen) else None

    def ask_to_end(self) -> None:
        """Ask the process, once, to end itself and its trial, and do not wait for it."""
        if self._is_asked:
            return
        self._is_asked = True
        with suppress(ProcessLookupError, psutil.Error):
            self._process.terminate()

    def kill(self) -> None:
        """End the process and its trial, and wait for them.

        It is asked first: only what it has waited for itself adds to our children's CPU time.
        """
        self.ask_to_end()
        with suppress(psutil.Error, subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_SECONDS)
        for process in self._children():
            with suppress(psutil.Error):
                process.kill()
        with suppress(ProcessLookupError, psutil.Error):
            self._process.kill()
        with suppress(psutil.Error):
            self._process.wait()
        self.log.with_suffix(_SUFFIX).unlink(missing_ok=True)

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return self._own.children(recursive=True)
        return []

    def usage(self) -> "Usage":
        """Return what it and its trials have used and hold."""
        seconds = own = shared = 0.0
        with suppress(psutil.Error):
            times = self._own.cpu_times()
            seconds = times.user + times.system + times.children_user + times.children_system
            inherited = own = own_mb(self._own)
            shared = self._own.memory_info().rss / 1e6 - own
            for child in self._children():
                with suppress(psutil.Error):
                    times, held = child.cpu_times(), own_mb(child)
                    seconds += times.user + times.system
                    seconds += times.children_user + times.children_system
                    own += max(0.0, held - inherited)
                    shared = max(shared, child.memory_info().rss / 1e6 - held)
        return Usage(cpu_seconds=max(0.0, seconds - self.cpu_before), own_mb=own, shared_mb=shared)

    def last_words(self) -> str:
        """Return the last line of the worker's log, for an error message."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def start_worker(
    url: str, plan: SearchPlan, folder: Path, *, used: float, supervisor: Path
) -> WorkerProcess:
    """Start a worker of a search.

    Args:
        folder: For its log, and the stamp by which another supervisor finds it.
        used: Seconds that the search has used.
        supervisor: File that names who supervises.
    """
    name = f"worker-{uuid4().hex[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    threads = {
        variable: str(plan.n_threads)
        for variable in (
            *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"),
            *("MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),
        )
    }
    # Threads that wait must not take the time of other trials; but where they do not wait awake
    # at all, which is what this policy alone means, LightGBM was five times slower on two.
    threads |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
    command = [sys.executable, "-m", "automl_assets.worker"]
    command += ["--storage", url, "--study", plan.study_name, "--worker", name]
    command += ["--used", str(used), "--supervisor", str(supervisor)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads},
            # Ctrl-C in a terminal goes to the supervisor alone, which ends its workers.
            start_new_session=True,
        )
    write_stamp(log.with_suffix(_SUFFIX), process.pid)
    return WorkerProcess(name, process, log)


def adopted_workers(folder: Path) -> list[WorkerProcess]:
    """Return the workers that a dead supervisor left, and forget those that are gone."""
    found = []
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            stamp = file.read_text()
            process = psutil.Process(pid_of(stamp))
        except (ValueError, psutil.NoSuchProcess):
            stamp, process = "", None
        if process is not None and is_alive(stamp):
            found.append(WorkerProcess(file.stem, process, file.with_suffix(".log")))
            found[-1].cpu_before = found[-1].usage().cpu_seconds
        else:
            file.unlink(missing_ok=True)
    return found
