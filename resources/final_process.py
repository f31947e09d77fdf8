"""The final model, made in a process of its own, which may be killed and leaves a model still."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from resources.child_process import Child
from resources.child_report import ChildReport, Spent
from resources.search_work import final_task, safe_model

if TYPE_CHECKING:
    from automl_assets.core.search.final import Finalist
    from automl_assets.core.search.plan import SearchPlan

OVERTIME_SECONDS = 0.8
"""How long after the deadline it may still write what it has. The supervisor waits longer."""

MAX_ATTEMPTS = 3
"""How often it is begun if something else kills it."""

logger = logging.getLogger("automl.worker")


def make_final_model(
    child: Child,
    plan: "SearchPlan",
    finalists: "Sequence[Finalist]",
    *,
    left: Callable[[], float],
    on_tick: Callable[[], None],
) -> dict[str, Any]:
    """Make the final model; where the time or the memory ends, the models as found are kept.

    Args:
        child: Does the work of this search.
        left: Seconds until the deadline.
        on_tick: Called ten times a second.

    Returns:
        `model`, None where none holds all limits, and what was `refused`.

    Raises:
        OSError: The disk failed.
        RuntimeError: Not even the models as found could be put together.
    """
    safe = safe_model(plan)
    safe.unlink(missing_ok=True)
    n_attempts, report = 0, None
    while report is None or (report.ending == "killed" and n_attempts < MAX_ATTEMPTS):
        report = _attempt(child, plan, finalists, left(), on_tick)
        n_attempts += 1
    if report.ending == "infrastructure":
        raise OSError(f"final model: {report.error}")
    if report.result is not None:
        return report.result
    if not safe.exists():
        raise RuntimeError(f"The final model could not be made: {report.error}")
    logger.warning("final model: %s; the models as found are kept", report.error)
    return json.loads(safe.read_bytes())


def _attempt(
    child: Child,
    plan: "SearchPlan",
    finalists: "Sequence[Finalist]",
    left: float,
    on_tick: Callable[[], None],
) -> ChildReport:
    # Nobody else holds much now.
    memory_mb = None if plan.memory_mb is None else plan.memory_mb * plan.n_workers

    def is_late(spent: Spent) -> bool:
        used = spent.seconds if plan.clock == "wall" else spent.cpu_seconds / plan.n_threads
        return used > max(left, 0.0) + OVERTIME_SECONDS

    return child.run(
        final_task(finalists, left=left),
        safe_model(plan).with_name("final-result.json"),
        is_late=is_late,
        memory_mb=memory_mb,
        on_tick=on_tick,
    )
