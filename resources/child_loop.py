"""What runs in a child: one task after the other, each with a result file of its own."""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from automl_assets.core.files import publish_text
from automl_assets.core.idle_memory import give_back_memory, trim_heap
from resources.processes import die_with_parent, own_mb

INFRASTRUCTURE = 75
"""Exit code of a child that could not go on, through no fault of its work."""

READY, DONE = b"+", b"."
"""What a child tells when it has prepared a task, and when the result is there."""

MAX_ERROR_BYTES = 500

Task = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What a child can do.

    Attributes:
        prepare: What comes before a task and is not part of what it takes, such as
            loading libraries.
        do: Returns what can be written as JSON.
    """

    prepare: Callable[[Task], None]
    do: Callable[[Task], dict[str, Any]]


def serve(work: Work, orders: int, told: int, parent: int) -> NoReturn:
    """Do what is ordered, a JSON object a line, until nobody orders any more.

    Never returns, so that nothing of the parent's runs.

    Args:
        orders: Descriptor to read from: a `task` and its `result_file`.
        told: Descriptor to tell to; where no result can be left, why.
        parent: Its process, asked before the fork.
    """
    code = 0
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # What the parent left to be collected may be open files that it still uses.
        gc.freeze()
        with os.fdopen(orders) as lines:
            for line in lines:
                order = json.loads(line)
                outcome = _outcome(work, order["task"], told)
                publish_text(Path(order["result_file"]), json.dumps(outcome))
                gc.collect()
                trim_heap()
                os.write(told, DONE)
    except BaseException as error:
        # An interrupt, too, must not reach the parent's frames below.
        code = INFRASTRUCTURE
        os.write(told, f"{type(error).__name__}: {error}".encode()[:MAX_ERROR_BYTES])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _outcome(work: Work, task: Task, told: int) -> dict[str, Any]:
    outcome: dict[str, Any]
    begun = _cpu_seconds()
    try:
        n_modules = len(sys.modules)
        work.prepare(task)
        if len(sys.modules) > n_modules:
            gc.collect()
            gc.freeze()
            give_back_memory()
        os.write(told, READY)
        outcome = {"result": work.do(task)}
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
    return {**outcome, "held_mb": held, "cpu_seconds": _cpu_seconds() - begun}


def _cpu_seconds() -> float:
    """Return CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])
