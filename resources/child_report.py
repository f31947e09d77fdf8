"""What is told of a task that was done, or not done, in a child."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resources.child_loop import INFRASTRUCTURE

Ending = Literal["done", "error", "out of time", "out of memory", "killed", "infrastructure"]


@dataclass(frozen=True, kw_only=True)
class ChildReport:
    """How a task ended, and what it took.

    Attributes:
        ending: `killed` is a death that we did not cause.
        result: What the work returned; None unless `ending` is `done`.
        error: Why there is no result.
        peak_mb: Largest memory that its process held beyond what it held before.
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
    """What a task has taken until now; nothing while it is prepared.

    Attributes:
        seconds: By the clock on the wall.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


def read_result(result_file: Path) -> dict[str, Any]:
    """Return what a child left, nothing if it left nothing."""
    try:
        return json.loads(result_file.read_bytes())
    except OSError:
        # How the child ended tells why there is none.
        return {}


def how_it_ended(
    code: int,
    ended_by: Ending | None,
    told: dict[str, Any],
    memory_mb: float | None,
    trouble: str,
) -> tuple[Ending, str]:
    """Return how a task ended, and why there is no result.

    Args:
        code: With which its process ended; 0 as long as it has not.
        ended_by: Why we ended it, if we did.
        told: What it left.
        trouble: What it told of a failure that is not the task's.
    """
    if "result" in told:
        # It is whole, whatever ended the process a moment later.
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
