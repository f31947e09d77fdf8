"""What the child of a search worker does: trials, and the final model, each told as JSON."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.files import publish_text
from resources.child_loop import Task
from resources.child_process import Child
from resources.processes import die_with_parent

if TYPE_CHECKING:
    from automl_assets.core.encoding import Preprocessing
    from automl_assets.core.search.final import Finalist, FinalModel
    from automl_assets.core.search.plan import SearchPlan
    from automl_assets.core.search.selection import SelectionData
    from automl_assets.core.search.trial import Job

MEASURE_SECONDS = 120
"""What loading a model and predicting some rows never takes."""

_TRIAL, _FINALISTS, _LEFT, _ASKED = "job", "finalists", "left", "asked"


def trial_task(job: "Job") -> Task:
    """Return a trial as a task."""
    return {_TRIAL: job.model_dump(mode="json")}


def final_task(finalists: "Sequence[Finalist]", *, left: float) -> Task:
    """Return the final model as a task, to be begun now.

    Args:
        left: Seconds until the deadline.
    """
    told = [
        {"job": item.job.model_dump(mode="json"), "result": item.result.model_dump(mode="json")}
        for item in finalists
    ]
    return {_FINALISTS: told, _LEFT: left, _ASKED: time.monotonic()}


def safe_model(plan: "SearchPlan") -> Path:
    """Return where the child leaves the models as found, put together, before it improves them."""
    return Path(plan.artifacts) / "final.json"


class SearchWork:
    """The work of one search.

    Args:
        data: Mapped; the child makes its own copies.
    """

    def __init__(
        self, plan: "SearchPlan", data: "SelectionData", preprocessing: "Preprocessing"
    ) -> None:
        self._plan, self._data, self._preprocessing = plan, data, preprocessing
        self._clock = clock_of_child(plan)

    def child(self) -> Child:
        """Return a process for this work; forked at its first task."""
        return Child(self.do, prepare=self.prepare)

    def prepare(self, task: Task) -> None:
        """Load what a trial's family needs."""
        from automl_assets.core.search.trial import Job, warm_up

        if _TRIAL in task:
            warm_up(Job.model_validate(task[_TRIAL]), self._plan, self._data)

    def do(self, task: Task) -> dict[str, Any]:
        """Run a trial, or make the final model."""
        return self._trial(task) if _TRIAL in task else self._final(task)

    def _trial(self, task: Task) -> dict[str, Any]:
        from automl_assets.core.search.measuring import Timers
        from automl_assets.core.search.trial import Job, run_trial

        result = run_trial(
            Job.model_validate(task[_TRIAL]),
            self._plan,
            self._data,
            self._preprocessing,
            clock=self._clock,
            timers=Timers(wall=time.perf_counter, cpu=time.process_time),
        )
        return result.model_dump(mode="json")

    def _final(self, task: Task) -> dict[str, Any]:
        from automl_assets.core.search.final import Finalist, FinalModelMaker, Tools
        from automl_assets.core.search.measuring import Timers
        from automl_assets.core.search.serving_memory import measure_memory
        from automl_assets.core.search.trial import Job, TrialResult

        plan = self._plan
        begun = task[_ASKED] if plan.clock == "wall" else self._clock()
        tools = Tools(
            clock=self._clock,
            deadline=begun + task[_LEFT],
            timers=Timers(wall=time.perf_counter, cpu=time.process_time),
            memory_of=lambda package, rows: measure_memory(package, rows, run=_run_python),
            # Nobody else computes now, or holds much.
            n_threads=plan.n_threads * plan.n_workers,
        )
        finalists = [
            Finalist(
                job=Job.model_validate(item["job"]),
                result=TrialResult.model_validate(item["result"]),
            )
            for item in task[_FINALISTS]
        ]

        def told(model: "FinalModel | None") -> dict[str, Any]:
            dumped = None if model is None else model.model_dump(mode="json")
            return {"model": dumped, "refused": maker.refused}

        maker = FinalModelMaker(
            plan,
            self._data,
            self._preprocessing,
            finalists,
            tools,
            lambda found: publish_text(safe_model(plan), json.dumps(told(found))),
        )
        return told(maker.make())


def clock_of_child(plan: "SearchPlan") -> Callable[[], float]:
    """Return a clock that goes on from any origin, asked in one process."""
    if plan.clock == "wall":
        return time.monotonic
    return lambda: time.process_time() / plan.n_threads


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
