"""The final model, made in a process of its own, which may be killed and leaves a model still."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.files import publish_text
from resources.child_process import ChildReport, Spent, run_in_child
from resources.processes import die_with_parent

if TYPE_CHECKING:
    from automl_assets.core.encoding import Preprocessing
    from automl_assets.core.search.final import Finalist
    from automl_assets.core.search.plan import SearchPlan
    from automl_assets.core.search.selection import SelectionData

OVERTIME_SECONDS = 0.8
"""How long after the deadline it may still write what it has. The supervisor waits longer."""

MAX_ATTEMPTS = 3
"""How often it is begun if something else kills it."""

MEASURE_SECONDS = 120
"""What loading a model and predicting some rows never takes."""

logger = logging.getLogger("automl.worker")


def make_final_model(
    plan: "SearchPlan",
    data: "SelectionData",
    preprocessing: "Preprocessing",
    finalists: "Sequence[Finalist]",
    *,
    left: Callable[[], float],
    clock: Callable[[], float],
    on_tick: Callable[[], None],
) -> dict[str, Any]:
    """Make the final model; where the time or the memory ends, the models as found are kept.

    Args:
        left: Seconds until the deadline.
        clock: What time is counted by in the process that makes it.
        on_tick: Called ten times a second.

    Returns:
        `model`, None where none holds all limits, and what was `refused`.

    Raises:
        OSError: The disk failed.
        RuntimeError: Not even the models as found could be put together.
    """
    from automl_assets.core.search.final import FinalModel

    safe = Path(plan.artifacts) / "final.json"
    safe.unlink(missing_ok=True)
    n_attempts, report = 0, None
    while report is None or (report.ending == "killed" and n_attempts < MAX_ATTEMPTS):
        report = _attempt(plan, data, preprocessing, finalists, safe, left(), clock, on_tick)
        n_attempts += 1
    if report.ending == "infrastructure":
        raise OSError(f"final model: {report.error}")
    if report.result is not None:
        return report.result
    if not safe.exists():
        raise RuntimeError(f"The final model could not be made: {report.error}")
    logger.warning("final model: %s; the models as found are kept", report.error)
    found = FinalModel.model_validate_json(safe.read_bytes())
    return {"model": found.model_dump(mode="json"), "refused": []}


def _attempt(
    plan: "SearchPlan",
    data: "SelectionData",
    preprocessing: "Preprocessing",
    finalists: "Sequence[Finalist]",
    safe: Path,
    left: float,
    clock: Callable[[], float],
    on_tick: Callable[[], None],
) -> ChildReport:
    from automl_assets.core.search.final import FinalModelMaker, Tools
    from automl_assets.core.search.measuring import Timers
    from automl_assets.core.search.serving_memory import measure_memory

    forked = time.monotonic()
    # Nobody else computes now, or holds much.
    n_threads = plan.n_threads * plan.n_workers
    memory_mb = None if plan.memory_mb is None else plan.memory_mb * plan.n_workers

    def work() -> dict[str, Any]:
        tools = Tools(
            clock=clock,
            deadline=left + (forked if plan.clock == "wall" else 0.0),
            timers=Timers(wall=time.perf_counter, cpu=time.process_time),
            memory_of=lambda package, rows: measure_memory(package, rows, run=_run_python),
            n_threads=n_threads,
        )
        maker = FinalModelMaker(
            plan,
            data,
            preprocessing,
            finalists,
            tools,
            lambda found: publish_text(safe, found.model_dump_json()),
        )
        made = maker.make()
        model = None if made is None else made.model_dump(mode="json")
        return {"model": model, "refused": maker.refused}

    def is_late(spent: Spent) -> bool:
        used = spent.seconds if plan.clock == "wall" else spent.cpu_seconds / plan.n_threads
        return used > max(left, 0.0) + OVERTIME_SECONDS

    return run_in_child(
        work,
        safe.with_name("final-result.json"),
        is_late=is_late,
        memory_mb=memory_mb,
        on_tick=on_tick,
    )


def _run_python(arguments: Sequence[str]) -> str:
    """Run this Python, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=MEASURE_SECONDS,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    return done.stdout
