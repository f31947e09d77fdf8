"""Entry point of a search worker: `python -m automl_assets.worker`.

It gets a storage URL, a study's name and its own name; the plan and the place of
the matrix are kept with the study. Trials run in a fork of this process, one after
the other; it never trains itself. `--supervisor` names a file that holds who supervises:
while nobody does, the worker finishes its trial, waits a while to be adopted,
and leaves.

Exit codes: 0 nothing left to do, 75 the storage, the disk or the matrix failed, 143
nobody supervises any more.
"""

import argparse
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.child_process import Child
from resources.child_report import ChildReport, Spent
from resources.search_runner.supervision import Supervision
from resources.search_work import SearchWork, trial_task
from resources.study_storage import open_storage, patiently, storage_lock, try_lock

if TYPE_CHECKING:
    from automl_assets.core.search.claim import Claim
    from automl_assets.core.search.forecast import Scale
    from automl_assets.core.search.plan import SearchPlan
    from automl_assets.core.search.selection import SelectionData
    from automl_assets.core.search.trial import Job

EXIT_DONE, EXIT_INFRASTRUCTURE, EXIT_ORPHANED = 0, 75, 143

LEAST_PATIENCE_SECONDS, MOST_PATIENCE_SECONDS = 2.0, 5.0
"""How long a trial may go on after the time of its fits, for predictions, its package and
measurements: half of that time, within these bounds. Then it is killed."""

POLL_SECONDS = 0.2

logger = logging.getLogger("automl.worker")


class Worker:
    """One worker process of one search.

    Args:
        url: Storage URL of the study.
        name: Marks the trials that it runs.
        used: Seconds that the search had used when this process was started.
    """

    def __init__(
        self, url: str, study_name: str, name: str, *, used: float, supervision: Supervision
    ) -> None:
        import optuna

        from automl_assets.core.search.budget import Budget
        from automl_assets.core.search.selection import load_selection
        from automl_assets.core.search.study import quiet_optuna, read_plan

        quiet_optuna()
        self._url, self._name, self._supervision = url, name, supervision
        self._storage = patiently(lambda: open_storage(url))
        self._study: optuna.Study = patiently(
            lambda: optuna.load_study(study_name=study_name, storage=self._storage)
        )
        self._plan: SearchPlan = patiently(lambda: read_plan(self._study))
        data, preprocessing = load_selection(self._plan)
        self._child = SearchWork(self._plan, data, preprocessing).child()
        clock, startup = _clock_of_search(self._plan, self._child)
        self._budget = Budget(
            self._plan.time_limit_seconds, used_before=used + startup, clock=clock
        )
        self._scale = _scale(self._plan, data)

    def run(self) -> int:
        """Run trials until none is left, then make the final model if nobody else does.

        Returns:
            The exit code.
        """
        try:
            while self._supervision.is_resumed():
                claim = patiently(self._claim, again=self._claim_again)
                if claim is not None:
                    self._run_trial(claim)
                elif self._finish():
                    return EXIT_DONE
            return EXIT_ORPHANED
        finally:
            # Whoever started this process is told the CPU time of what was waited for only.
            self._child.close()

    def _claim(self) -> "Claim | None":
        from automl_assets.core.search.claim import claim_trial

        left = self._budget.left()
        with storage_lock(self._url):
            return claim_trial(self._study, self._plan, self._name, scale=self._scale, left=left)

    def _claim_again(self) -> "Claim | None":
        """Claim after a claim that was cut short, which may have left a trial that nobody runs."""
        from automl_assets.core.search.study import WORKER, release_trials

        with storage_lock(self._url):
            trials = self._study.get_trials(deepcopy=False)
            alive = {str(trial.user_attrs.get(WORKER)) for trial in trials} - {self._name}
            release_trials(self._study, self._storage, alive=alive, retry=True, reason="not begun")
        return self._claim()

    def _run_trial(self, claim: "Claim") -> None:
        from automl_assets.core.search.trial import RESULT_FILE

        job, plan = claim.job, self._plan
        report = self._child.run(
            trial_task(job),
            Path(plan.artifacts) / str(job.number) / RESULT_FILE,
            is_late=self._is_late(job),
            memory_mb=plan.memory_mb,
            on_tick=self._check,
        )
        if report.ending == "infrastructure":
            raise OSError(f"trial {job.number}: {report.error}")
        patiently(lambda: self._tell(claim, report), again=lambda: self._tell_again(claim, report))

    def _is_late(self, job: "Job") -> Callable[[Spent], bool]:
        """Return what tells whether a trial, begun now, must be ended."""
        from automl_assets.core.search.budget import FIRST_MODEL_SECONDS
        from automl_assets.core.search.forecast import FINAL_SECONDS

        seconds, plan = job.seconds, self._plan
        if seconds is None:
            return lambda spent: False
        patience = min(max(seconds / 2, LEAST_PATIENCE_SECONDS), MOST_PATIENCE_SECONDS)
        # Whatever it waits for, the final model must have its time, if there is one to make.
        begun, last = time.monotonic(), max(seconds, self._budget.left() - FINAL_SECONDS)
        if job.is_first:
            patience, last = FIRST_MODEL_SECONDS, math.inf

        def is_late(spent: Spent) -> bool:
            if plan.clock == "cpu":
                return spent.cpu_seconds / plan.n_threads > seconds + patience
            is_last = time.monotonic() - begun > last
            return is_last or spent.seconds > seconds + patience

        return is_late

    def _check(self) -> None:
        """Leave at once if nobody supervises any more; a running trial dies with this process."""
        if self._supervision.is_given_up():
            logger.warning("nobody supervises this search any more")
            os._exit(EXIT_ORPHANED)

    def _tell(self, claim: "Claim", report: ChildReport) -> None:
        from automl_assets.core.search.study import (
            requeue_trial,
            tell_failure,
            tell_result,
        )
        from automl_assets.core.search.trial import TrialResult

        number = claim.trial.number
        with storage_lock(self._url):
            if report.ending == "killed":
                logger.warning("trial %s: %s", number, report.error)
                requeue_trial(self._study, self._storage, number, report.error)
            elif report.result is None:
                logger.warning("trial %s failed: %s", number, report.error)
                tell_failure(self._study, claim.trial, report.error)
            else:
                took = ("cpu_seconds", "seconds", "peak_mb", "io_mb")
                result = TrialResult.model_validate(
                    {**report.result, **{name: getattr(report, name) for name in took}}
                )
                tell_result(self._study, claim.trial, result)
                logger.info("trial %s (%s): %.6g", number, claim.job.family, result.score)

    def _tell_again(self, claim: "Claim", report: ChildReport) -> None:
        """Tell, unless the storage had failed after it had kept what it was told."""
        trials = self._study.get_trials(deepcopy=False)
        if not trials[claim.trial.number].state.is_finished():
            self._tell(claim, report)

    def _finish(self) -> bool:
        """Make the final model, or see that another worker does; False to look for trials again."""
        from automl_assets.core.search.study import FINAL, final_is_made

        with try_lock(self._url, "final") as is_mine:
            if not is_mine:
                return True
            while patiently(self._must_wait):
                self._check()
                time.sleep(POLL_SECONDS)
            if patiently(self._may_claim):  # one came back while others were waited for
                return False
            if not patiently(lambda: final_is_made(self._study)):
                patiently(lambda: self._study.set_user_attr(FINAL, "begun"))
                final = self._make_final()
                patiently(lambda: self._study.set_user_attr(FINAL, final))
            return True

    def _must_wait(self) -> bool:
        """Tell whether others still run trials that the final model should know of."""
        from automl_assets.core.search.claim import has_model
        from automl_assets.core.search.forecast import is_first_running
        from automl_assets.core.search.study import others_run

        if self._may_claim():
            return False
        if self._budget.left() <= 0:
            # One that may still become the only model ends by itself soon.
            trials = self._study.get_trials(deepcopy=False)
            return not has_model(trials) and is_first_running(trials)
        return others_run(self._study, self._name)

    def _may_claim(self) -> bool:
        from automl_assets.core.search.claim import is_queue_open

        return is_queue_open(self._study, self._plan, self._scale, left=self._budget.left())

    def _make_final(self) -> dict[str, Any]:
        from automl_assets.core.search.standing import finalists
        from automl_assets.core.search.trial import PACKAGE
        from resources.final_process import make_final_model

        artifacts = Path(self._plan.artifacts)
        # Of a search that goes on with more time, the worse packages were swept.
        candidates = [
            item
            for item in patiently(lambda: finalists(self._study, self._plan))
            if (artifacts / str(item.job.number) / PACKAGE).is_dir()
        ]
        if not candidates:
            return {"model": None, "refused": []}
        return make_final_model(
            self._child, self._plan, candidates, left=self._budget.left, on_tick=self._check
        )


def _scale(plan: "SearchPlan", data: "SelectionData") -> "Scale":
    from automl_assets.core.search.forecast import Scale
    from automl_assets.core.search.selection import fit_shape

    shape = fit_shape(plan, data)
    n_rows = len(data.train.y) + len(data.validation.y)
    return Scale(fit=shape, n_fits=data.n_folds, everything=replace(shape, n_rows=n_rows))


def _clock_of_search(plan: "SearchPlan", child: Child) -> tuple[Callable[[], float], float]:
    """Return a clock, and what it has counted since this process was started."""
    if plan.clock == "wall":
        import psutil

        return time.monotonic, max(0.0, time.time() - psutil.Process().create_time())

    def cpu_clock() -> float:
        used = os.times()
        seconds = used.user + used.system + used.children_user + used.children_system
        return (seconds + child.cpu_seconds()) / plan.n_threads

    return cpu_clock, cpu_clock()


def main() -> int:
    """Parse the command line and work."""
    parser = argparse.ArgumentParser(prog="automl-worker", description=__doc__)
    parser.add_argument("--storage", required=True, help="storage URL of the study")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--worker", required=True, help="name of this worker")
    parser.add_argument("--used", type=float, default=0.0, help="seconds the search has used")
    parser.add_argument("--supervisor", type=Path, help="file that holds who supervises")
    arguments = parser.parse_args()
    # An exception: the child is ended and waited for on its way.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(EXIT_ORPHANED))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        worker = Worker(
            arguments.storage,
            arguments.study,
            arguments.worker,
            used=arguments.used,
            supervision=Supervision(arguments.supervisor),
        )
        return worker.run()
    except Exception:
        logger.exception("this worker cannot go on")
        return EXIT_INFRASTRUCTURE


if __name__ == "__main__":
    sys.exit(main())
