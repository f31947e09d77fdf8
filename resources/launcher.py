"""A run launcher that notices when a run's process has died."""

import os

import dagster as dg

# Dagster publishes the launcher but not the answer type of its health check;
# pyproject.toml holds Dagster to the series in which this was tried.
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from resources.processes import is_alive, pid_of, process_stamp

WORKER_TAG = "automl/run_worker"


def own_worker_tags(run_id: str) -> dict[str, str]:
    """Return the tags of a run that this very process executes.

    Dagster announces the process only of runs that it launches. Without the
    tags, a run that is killed with its program would stay STARTED for ever.
    """
    return {WORKER_TAG: f"{run_id}/{process_stamp(os.getpid())}"}


def known_stamp(run: dg.DagsterRun) -> str | None:
    """Return the stamp of the process that executes a run, or None if no tag names it."""
    # A retry inherits the tags of its parent, hence the run id in the tag.
    run_id, _, stamp = run.tags.get(WORKER_TAG, "").partition("/")
    return stamp if run_id == run.run_id else None


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Launches runs as processes of the code server, and sees when one is gone.

    Dagster's own launcher cannot: a run that was killed together with the code
    server (a reboot, `kill -9`, out of memory) stays STARTED for ever. With this
    one, run monitoring marks it failed, and run retries start it again.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask for the health of a run's process."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tell whether the process of a started run is alive.

        The process is known from the event that it wrote when it began. Its
        stamp is kept in a tag of the run, so that a later process with the same
        number is not taken for it.
        """
        known = known_stamp(run)
        if known is not None:
            return self._health(pid_of(known), alive=is_alive(known))
        pid = self._announced_pid(run.run_id)
        if pid is None:
            # Started, but not yet announced: the start timeout covers this.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        stamp = process_stamp(pid)
        if stamp is not None:
            self._instance.add_run_tags(run.run_id, {WORKER_TAG: f"{run.run_id}/{stamp}"})
        return self._health(pid, alive=stamp is not None)

    def _announced_pid(self, run_id: str) -> int | None:
        entries = self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        for entry in entries:
            if entry.dagster_event is None or "Started process for run" not in entry.message:
                continue
            pid = entry.dagster_event.engine_event_data.metadata.get("pid")
            if pid is not None:
                return int(str(pid.value))
        return None

    @staticmethod
    def _health(pid: int, *, alive: bool) -> CheckRunHealthResult:
        if alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(pid))
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"The process of this run (pid {pid}) is gone; it was killed or the machine restarted.",
            run_worker_id=str(pid),
        )
