"""Work in a process of its own that can be killed, and that cannot take all the memory.

The process is a fork, and does one task after the other, so that libraries are loaded once and
by it alone. Where a task must be ended, the process is, and the next task gets a new one. The
parent must not have used OpenMP or Polars, whose threads a fork does not have; it may have
imported them.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from automl_assets.core.idle_memory import give_back_memory
from resources.child_loop import DONE, MAX_ERROR_BYTES, READY, Task, Work, serve
from resources.child_report import ChildReport, Ending, Spent, how_it_ended, read_result
from resources.processes import own_mb

SAMPLE_SECONDS = 0.1
"""Between two looks at a child's memory: at 2 GB/s it gets 200 MB further than it may."""


KEPT_SHARE = 0.1
"""Of its memory limit, what a child may keep between tasks: the next one holds that besides."""


def _nothing(task: Task) -> None:
    """Prepare nothing."""


class Child:
    """A process for tasks, forked when the first one comes, and again after one was ended.

    Args:
        do: Does a task; what a task is and what comes back can be written as JSON.
        prepare: What the child does before, such as loading libraries; not part of what a
            task takes.
    """

    def __init__(
        self, do: Callable[[Task], dict[str, Any]], *, prepare: Callable[[Task], None] = _nothing
    ) -> None:
        self._work = Work(prepare, do)
        self._forked: _Forked | None = None

    def run(
        self,
        task: Task,
        result_file: Path,
        *,
        is_late: Callable[[Spent], bool] = lambda spent: False,
        memory_mb: float | None = None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> ChildReport:
        """Do a task and wait for its end.

        Args:
            result_file: Where the child leaves what came of it.
            is_late: Asked ten times a second; True ends the child.
            memory_mb: Most memory that the task may hold. A child that keeps more than
                `KEPT_SHARE` of it when the task is done is replaced.
            on_tick: Called ten times a second.
        """
        result_file.parent.mkdir(parents=True, exist_ok=True)
        result_file.unlink(missing_ok=True)
        if self._forked is not None and self._forked.has_ended:
            self.close()
        forked = self._forked = self._forked or _Forked(self._work)
        look = _Look(is_late=is_late, memory_mb=memory_mb, on_tick=on_tick)
        try:
            report = forked.run(task, result_file, look)
        except BaseException:
            self.close()
            raise
        if forked.is_spent:
            self.close()
        return report

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the process that is there now, and of what it started."""
        return 0.0 if self._forked is None else self._forked.cpu_seconds()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._forked is not None:
            self._forked.end()
            self._forked = None


@dataclass(frozen=True, kw_only=True)
class _Look:
    is_late: Callable[[Spent], bool]
    memory_mb: float | None
    on_tick: Callable[[], None]

    def why_end(self, samples: "_Samples") -> Ending | None:
        if self.memory_mb is not None and samples.peak_mb > self.memory_mb:
            return "out of memory"
        return "out of time" if self.is_late(samples.spent()) else None


@dataclass(kw_only=True)
class _Samples:
    """What was seen of a task; memory without the files and pages that others hold, too."""

    process: psutil.Process
    held_before: float
    cpu_before: float
    io_before: float
    cpu_when_ready: float | None = None
    ready: float = 0.0
    peak_mb: float = 0.0
    io_mb: float = 0.0
    cpu_seconds: float = 0.0

    def begin(self) -> None:
        self.ready, self.cpu_when_ready = time.monotonic(), _cpu_of(self.process)

    def spent(self) -> Spent:
        if self.cpu_when_ready is None:
            return Spent()
        used = self.cpu_before + self.cpu_seconds - self.cpu_when_ready
        return Spent(seconds=time.monotonic() - self.ready, cpu_seconds=max(0.0, used))

    def take(self) -> None:
        with suppress(psutil.Error):
            self.peak_mb = max(self.peak_mb, own_mb(self.process) - self.held_before)
            self.cpu_seconds = _cpu_of(self.process) - self.cpu_before
            self.io_mb = _io_mb(self.process) - self.io_before


class _Forked:
    """One child process."""

    def __init__(self, work: Work) -> None:
        # A fork holds again what its parent has changed; of files it maps what it uses.
        give_back_memory()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        orders, self._orders = os.pipe()
        self._told, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(self._orders)
            os.close(self._told)
            serve(work, orders, told, parent)
        os.close(orders)
        os.close(told)
        # One that does not read, such as one that was stopped, must not hold its parent up.
        os.set_blocking(self._orders, False)
        self._unsent = b""
        self._pid = pid
        self._process = psutil.Process(pid)
        self._usage = 0.0
        self._code: int | None = None
        self._kept_from: float | None = None
        self.is_spent = False
        """Whether it must not get another task."""

    @property
    def has_ended(self) -> bool:
        """Whether it is not there any more; it is not reaped."""
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def cpu_seconds(self) -> float:
        """Return what it and what it started have used until now."""
        return _cpu_of(self._process)

    def end(self) -> None:
        """Kill it and all that it started: files appear whole or not, so nothing is torn."""
        self.is_spent = True
        if self._code is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        # Just forked, it leads no group yet.
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self._pid, 0)
            self._usage = usage.ru_utime + usage.ru_stime
            self._code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            # A signal came just after an earlier wait, before anybody was told how it ended.
            self._code = -signal.SIGKILL
        os.close(self._orders)
        os.close(self._told)

    def run(self, task: Task, result_file: Path, look: _Look) -> ChildReport:
        started = time.monotonic()
        samples = _Samples(
            process=self._process,
            held_before=own_mb(self._process),
            cpu_before=self.cpu_seconds(),
            io_before=_io_mb(self._process),
        )
        order = json.dumps({"task": task, "result_file": str(result_file)})
        self._unsent = f"{order}\n".encode()
        ended_by, trouble = self._watch(samples, look)
        told = read_result(result_file)
        if "cpu_seconds" in told:
            cpu_seconds = told["cpu_seconds"]
        else:
            cpu_seconds = self._usage - samples.cpu_before
        ending, error = how_it_ended(self._code or 0, ended_by, told, look.memory_mb, trouble)
        return ChildReport(
            ending=ending,
            result=told.get("result") if ending == "done" else None,
            error=error,
            seconds=time.monotonic() - started,
            cpu_seconds=cpu_seconds,
            peak_mb=max(samples.peak_mb, told.get("held_mb", 0.0) - samples.held_before),
            io_mb=samples.io_mb,
        )

    def _watch(self, samples: _Samples, look: _Look) -> tuple[Ending | None, str]:
        """Wait until a task is done or its process has ended, and end that where it must be.

        Returns:
            Why it was ended here, and what it told of a failure that is not the task's.
        """
        heard = b""
        while True:
            samples.take()
            look.on_tick()
            ended_by = look.why_end(samples)
            if ended_by is not None:
                self.end()
                return ended_by, ""
            has_ended = self.has_ended
            heard += self._exchange(0.0 if has_ended else SAMPLE_SECONDS)
            if heard.startswith(READY):
                heard = heard.removeprefix(READY)
                samples.begin()
                self._kept_from = self._kept_from or own_mb(self._process)
            if heard.startswith(DONE):
                samples.take()
                self._judge(look.memory_mb)
                return None, ""
            if has_ended:
                self.end()
                return None, heard.decode(errors="replace")

    def _exchange(self, seconds: float) -> bytes:
        """Send what the child takes of its order, and return what it tells, within a time."""
        asked = [self._orders] if self._unsent else []
        heard, takes, _ = select.select([self._told], asked, [], seconds)
        if takes:
            try:
                self._unsent = self._unsent[os.write(self._orders, self._unsent) :]
            except BrokenPipeError:
                # One that was killed just now is seen to have ended.
                self._unsent = b""
        return os.read(self._told, MAX_ERROR_BYTES) if heard else b""

    def _judge(self, memory_mb: float | None) -> None:
        """Find out whether what a task left forbids another one."""
        has_started_some = bool(self._process.children())
        kept = own_mb(self._process) - (self._kept_from or 0.0)
        self.is_spent = has_started_some or (
            memory_mb is not None and kept > KEPT_SHARE * memory_mb
        )


def _cpu_of(process: psutil.Process) -> float:
    """Return CPU seconds of a process and of its children that have ended; 0 if it is gone."""
    with suppress(psutil.Error):
        return sum(process.cpu_times()[:4])
    return 0.0


def _io_mb(process: psutil.Process) -> float:
    with suppress(psutil.Error, AttributeError):
        counters = process.io_counters()
        return (counters.read_bytes + counters.write_bytes) / 1e6
    return 0.0
