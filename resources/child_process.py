"""A piece of work in a process of its own that can be killed, and that cannot take all the memory.

The process is a fork: what the parent has loaded is there already, and shared.
So the parent must not have used OpenMP or Polars, whose threads a fork does not
have; it may have imported them.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from automl_assets.core.files import publish_text
from resources.processes import die_with_parent, own_mb, wait_for_end

SAMPLE_SECONDS = 0.1
"""Between two looks at a child's memory: at 2 GB/s it gets 200 MB further than it may."""

INFRASTRUCTURE = 75
_MAX_ERROR_BYTES = 500

Ending = Literal["done", "error", "out of time", "out of memory", "killed", "infrastructure"]


@dataclass(frozen=True, kw_only=True)
class ChildReport:
    """How a child ended, and what it took.

    Attributes:
        ending: `killed` is a death that we did not cause.
        result: What the work returned; None unless `ending` is `done`.
        error: Why there is no result.
        peak_mb: Largest memory that it held beyond what it got from its parent.
        io_mb: Bytes that it read from and wrote to disks.
    """

    ending: Ending
    result: dict[str, Any] | None
    error: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    io_mb: float


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a child's work has taken until now; nothing while it prepares.

    Attributes:
        seconds: By the clock on the wall.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class _Work:
    prepare: Callable[[], None] | None
    do: Callable[[], dict[str, Any]]


@dataclass
class _Samples:
    """What was seen of a child; its memory without the files and pages that others hold, too."""

    inherited_mb: float
    begun: float | None
    peak_mb: float = 0.0
    io_mb: float = 0.0
    cpu_seconds: float = 0.0
    cpu_before: float = 0.0

    def begin(self) -> None:
        self.begun, self.cpu_before = time.monotonic(), self.cpu_seconds

    def spent(self) -> Spent:
        if self.begun is None:
            return Spent()
        return Spent(
            seconds=time.monotonic() - self.begun, cpu_seconds=self.cpu_seconds - self.cpu_before
        )

    def take(self, process: psutil.Process) -> None:
        with suppress(psutil.Error, AttributeError):
            self.peak_mb = max(self.peak_mb, own_mb(process) - self.inherited_mb)
            times = process.cpu_times()
            self.cpu_seconds = times.user + times.system
            counters = process.io_counters()
            self.io_mb = (counters.read_bytes + counters.write_bytes) / 1e6


def _child(work: _Work, result_file: Path, parent: int, told: int) -> None:
    """Do the work and leave without running anything of the parent's."""
    code = 0
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        publish_text(result_file, json.dumps(_outcome(work, _ready_file(result_file))))
    except BaseException as error:
        code = INFRASTRUCTURE
        os.write(told, f"{type(error).__name__}: {error}".encode()[:_MAX_ERROR_BYTES])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _outcome(work: _Work, ready_file: Path) -> dict[str, Any]:
    before = set(sys.modules)
    outcome: dict[str, Any]
    try:
        if work.prepare is not None:
            work.prepare()
            unfinished = ready_file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps({"modules": sorted(set(sys.modules) - before)}))
            unfinished.replace(ready_file)
        outcome = {"result": work.do()}
    except OSError:
        # The disk is full, or a file is gone: not the work's fault.
        raise
    except MemoryError:
        outcome = {"error": "MemoryError: there was no memory left"}
    except Exception as error:
        # Whatever a library raises is the work's own result.
        text = " ".join(str(error).split())[:300]
        outcome = {"error": f"{type(error).__name__}: {text}"}
    # A short one may end between two looks of its parent.
    held = own_mb(psutil.Process())
    return {**outcome, "held_mb": held, "modules": sorted(set(sys.modules) - before)}


def _ready_file(result_file: Path) -> Path:
    return result_file.with_suffix(".ready")


def _end_group(pid: int) -> None:
    """Kill a child and all that it started: files appear whole or not, so nothing is torn."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    # Just forked, it leads no group yet.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def run_in_child(
    work: Callable[[], dict[str, Any]],
    result_file: Path,
    *,
    prepare: Callable[[], None] | None = None,
    is_late: Callable[[Spent], bool] = lambda spent: False,
    memory_mb: float | None = None,
    on_tick: Callable[[], None] = lambda: None,
) -> ChildReport:
    """Do a piece of work in a fork and wait for its end.

    Args:
        work: Returns what can be written as JSON.
        result_file: Where the child leaves it.
        prepare: What the child does before, such as loading libraries; not part of what
            its work takes.
        is_late: Asked ten times a second; True ends the child.
        memory_mb: Most memory of its own that it may hold.
        on_tick: Called ten times a second.
    """
    ready_file = _ready_file(result_file)
    result_file.parent.mkdir(parents=True, exist_ok=True)
    for file in (result_file, ready_file):
        file.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    started, parent = time.monotonic(), os.getpid()
    samples = _Samples(
        inherited_mb=own_mb(psutil.Process()), begun=started if prepare is None else None
    )
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _child(_Work(prepare, work), result_file, parent, writing)
        os.close(writing)
        try:
            ended_by = _watch(pid, samples, ready_file, is_late, memory_mb, on_tick)
        finally:
            _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - started
        code = os.waitstatus_to_exitcode(status)
        trouble = "" if code != INFRASTRUCTURE else os.read(reading, _MAX_ERROR_BYTES).decode()
    finally:
        os.close(reading)
    told = _read(result_file)
    # One that was killed has told what it had loaded until it was ready.
    _import_what_it_needed(told or _read(ready_file))
    ending, error = _ending(code, ended_by, told, memory_mb, trouble)
    return ChildReport(
        ending=ending,
        result=told.get("result") if ending == "done" else None,
        error=error,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=max(samples.peak_mb, told.get("held_mb", 0.0) - samples.inherited_mb),
        io_mb=samples.io_mb,
    )


def _watch(
    pid: int,
    samples: _Samples,
    ready_file: Path,
    is_late: Callable[[Spent], bool],
    memory_mb: float | None,
    on_tick: Callable[[], None],
) -> Ending | None:
    """Wait until a child has ended, and end it where it must; tell why. It is not reaped yet."""
    process = psutil.Process(pid)
    ended_by: Ending | None = None
    try:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            samples.take(process)
            if samples.begun is None and ready_file.exists():
                samples.begin()
            on_tick()
            ended_by = ended_by or _why_end(samples, is_late, memory_mb)
            if ended_by is not None:
                _end_group(pid)
            wait_for_end([pid], SAMPLE_SECONDS)
    finally:
        # What it started itself has no use without it; nor has it, if this was interrupted.
        _end_group(pid)
    return ended_by


def _why_end(
    samples: _Samples, is_late: Callable[[Spent], bool], memory_mb: float | None
) -> Ending | None:
    if memory_mb is not None and samples.peak_mb > memory_mb:
        return "out of memory"
    return "out of time" if is_late(samples.spent()) else None


def _read(result_file: Path) -> dict[str, Any]:
    try:
        return json.loads(result_file.read_bytes())
    except OSError:
        # How the child ended tells why there is none.
        return {}


def _ending(
    code: int,
    ended_by: Ending | None,
    told: dict[str, Any],
    memory_mb: float | None,
    trouble: str,
) -> tuple[Ending, str]:
    if "result" in told and code == 0:
        return "done", ""
    if ended_by == "out of memory":
        return ended_by, f"out of memory: it held more than {memory_mb:,.0f} MB"
    if ended_by is not None:
        return ended_by, "ended by the time limit"
    if "error" in told:
        return "error", str(told["error"])
    if code == INFRASTRUCTURE:
        return "infrastructure", trouble or "the disk or the storage failed"
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return "killed", f"its process was ended by signal {-code}"
    return "error", f"its process ended with code {code}"


def _import_what_it_needed(told: dict[str, Any]) -> None:
    """Import in the parent what the child had to import, so that the next fork has it."""
    for name in told.get("modules", ()):
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)
