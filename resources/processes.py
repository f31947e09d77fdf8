"""Processes of this machine: who is still there, what they hold, and when they end."""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
"""Found before any fork: a fork of a process with threads may wait for the loader for ever."""

_PAUSE_SECONDS = 0.025
"""Where a process cannot be waited for, the caller looks again after this."""

_ORPHANED = 75


def process_stamp(pid: int) -> str | None:
    """Return what tells a live process from all others, or None if there is none.

    The stamp of a process never changes, not even when the clock is set or the
    machine sleeps, and another process that gets its number, before or after a
    restart of the machine, has another stamp. A zombie counts as dead.

    Examples:
        >>> import os
        >>> process_stamp(os.getpid()) == process_stamp(os.getpid())
        True
        >>> process_stamp(2**22 + 1) is None
        True
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{pid}@{_start(process)}"
    except psutil.NoSuchProcess:
        return None


def pid_of(stamp: str) -> int:
    """Return the number of the process that a stamp names.

    Examples:
        >>> pid_of("17@boot+3")
        17
    """
    return int(stamp.partition("@")[0])


def is_alive(stamp: str) -> bool:
    """Tell whether the process with this stamp still runs on this machine."""
    return process_stamp(pid_of(stamp)) == stamp


def _start(process: psutil.Process) -> str:
    """Return when a process began, on a scale that does not follow the clock."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Field 22 of proc(5); the name in field 2 may hold blanks and brackets.
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:  # not Linux, or gone just now
        return f"{process.create_time():.2f}"
    return f"{boot}+{ticks}"


def own_mb(process: psutil.Process) -> float:
    """Return the memory of a process without files and others' memory that it has mapped."""
    memory = process.memory_info()
    return (memory.rss - getattr(memory, "shared", 0)) / 1e6


def die_with_parent(parent: int) -> None:
    """Let this process, just forked, be killed when its parent ends in whatever way.

    Args:
        parent: The parent's id, asked before the fork.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_ORPHANED)


def wait_for_end(pids: Collection[int], seconds: float) -> None:
    """Wait until one of some processes ends, or for a time; none is reaped."""
    if not pids or not hasattr(os, "pidfd_open"):
        time.sleep(min(seconds, _PAUSE_SECONDS))
        return
    poll, descriptors = select.poll(), []
    try:
        for pid in pids:
            descriptors.append(os.pidfd_open(pid))
            poll.register(descriptors[-1], select.POLLIN)
        poll.poll(1000 * seconds)
    except ProcessLookupError:
        # One is gone already.
        return
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
