"""Search workers as processes of this machine."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg

from automl_assets.core.errors import ServiceError
from automl_assets.core.ports import SearchRunner
from automl_assets.core.search.plan import SearchPlan, SearchStatus
from automl_assets.core.values import CandidateSet
from resources.study_storage import SQLiteStudyStorage, open_storage, storage_lock

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

POLL_SECONDS = 1.0
STOP_GRACE_SECONDS = 2.0
"""How long a fit may take to end with the model so far, once the time is used."""

MAX_DEATHS = 5
"""Deaths in a row without a trial settled in between; a deadly trial is settled by its third."""

USED = "seconds_used"


class _Worker:
    """One worker process and its lifeline."""

    def __init__(self, url: str, plan: SearchPlan, folder: Path) -> None:
        self.name = f"worker-{uuid4().hex[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{self.name}.log"
        threads = {
            name: str(plan.n_threads)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
        }
        command = [sys.executable, "-m", "automl_assets.worker"]
        command += ["--storage", url, "--study", plan.study_name, "--worker", self.name]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads},
                # Ctrl-C in a terminal goes to the supervisor alone, which ends its workers.
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        """Ask for the end of the running fit; a worker that is gone already does not mind."""
        lifeline = self.process.stdin
        if lifeline is not None and not lifeline.closed:
            try:
                lifeline.write(b"stop\n")
                lifeline.flush()
            except BrokenPipeError:
                return

    def kill(self) -> None:
        """End the process at once and wait for it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            # The lifeline may still hold an unread `stop`.
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                return

    def last_words(self) -> str:
        """Return the last line of the worker's log, for an error message."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


class LocalSearchRunner(dg.ConfigurableResource, SearchRunner):
    """Supervises worker processes: starts them, replaces dead ones, ends them in time.

    The workers hold a lifeline to this process: if it dies, however, they die
    within a moment, and a later call goes on with what was finished.
    """

    studies_folder: str

    def run(self, plan: SearchPlan, on_progress: Callable[[SearchStatus], None]) -> CandidateSet:
        """Run, or go on with, the search of a plan; return what it found."""
        from automl_assets.core.search.outcome import collect_candidates, sweep_packages
        from automl_assets.core.search.study import open_study, quiet_optuna

        quiet_optuna()
        places = SQLiteStudyStorage(Path(self.studies_folder))
        url = places.url(plan.study_name)
        folder = places.study_folder(plan.study_name)
        with _exclusive(folder):
            storage = open_storage(url)
            with storage_lock(url):
                study = open_study(plan, storage)
            search = _Search(plan, url, storage, study, on_progress)
            search.run(folder / "workers")
            candidates = collect_candidates(study, plan, seconds=search.seconds)
            sweep_packages(candidates, Path(plan.artifacts))
        return candidates


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Refuse a second supervisor of the same search; the kernel frees a dead one's lock."""
    with (folder / "supervisor.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ServiceError(
                f"A search has one supervisor, but process {file.read() or 'unknown'} is running "
                f"this one ({folder.name}). Wait for it, or end it and resume."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class _Search:
    """One attempt at a search, under the supervisor's lock."""

    def __init__(
        self,
        plan: SearchPlan,
        url: str,
        storage: "RDBStorage",
        study: "optuna.Study",
        on_progress: Callable[[SearchStatus], None],
    ) -> None:
        self._plan = plan
        self._url = url
        self._storage = storage
        self._study = study
        self._on_progress = on_progress
        self._used_before = float(study.user_attrs.get(USED, 0.0))
        self._started = time.monotonic()
        self.seconds = self._used_before
        """Time the search used as last told, all attempts together."""
        self._workers: list[_Worker] = []
        self._n_deaths = 0
        self._settled_at_death = -1

    def run(self, log_folder: Path) -> None:
        """Supervise until all trials are settled or the time is used."""
        from automl_assets.core.search.study import is_over, search_status

        self._release("its worker and supervisor died", retry=True)
        if is_over(search_status(self._study, self._plan, self.seconds)):
            # Found as it was left: the same search gives the same value, to the second.
            return
        with ExitStack() as stack:
            stack.callback(self._end)
            while not is_over(status := self._tell()):
                self._start_workers(log_folder, status)
                left = status.seconds_left
                time.sleep(POLL_SECONDS if left is None else min(POLL_SECONDS, left))
                self._reap_workers(status)
            self._stop_in_time()
        self._release("ended by the time limit", retry=False)
        self._tell()

    def _tell(self) -> SearchStatus:
        from automl_assets.core.search.study import search_status

        self.seconds = self._used_before + time.monotonic() - self._started
        self._study.set_user_attr(USED, self.seconds)
        status = search_status(self._study, self._plan, self.seconds)
        self._on_progress(status)
        return status

    def _release(self, reason: str, *, retry: bool) -> None:
        from automl_assets.core.search.study import release_trials

        alive = {worker.name for worker in self._workers if worker.process.poll() is None}
        with storage_lock(self._url):
            release_trials(
                self._study, self._plan, self._storage, alive=alive, retry=retry, reason=reason
            )

    def _start_workers(self, log_folder: Path, status: SearchStatus) -> None:
        """Start workers up to the planned number, as long as trials are left for them."""
        wanted = self._plan.n_workers
        if status.n_trials is not None:
            wanted = min(wanted, status.n_trials - status.n_finished)
        while len(self._workers) < wanted:
            self._workers.append(_Worker(self._url, self._plan, log_folder))

    def _reap_workers(self, status: SearchStatus) -> None:
        """Take leave of workers that ended; what a dead one was running is queued again."""
        for worker in [item for item in self._workers if item.process.poll() is not None]:
            self._workers.remove(worker)
            code = worker.process.returncode
            worker.kill()
            if code == 0:
                continue
            n_settled = status.n_finished
            self._n_deaths = self._n_deaths + 1 if n_settled == self._settled_at_death else 1
            self._settled_at_death = n_settled
            self._release(f"its worker ended with exit code {code}", retry=True)
            if self._n_deaths > MAX_DEATHS:
                raise ServiceError(
                    f"Search workers must stay alive, but {self._n_deaths} in a row ended, the "
                    f"last with exit code {code}: {worker.last_words()}. Its log: {worker.log}"
                )

    def _stop_in_time(self) -> None:
        for worker in self._workers:
            worker.ask_to_stop()
        patience = time.monotonic() + STOP_GRACE_SECONDS
        while time.monotonic() < patience and any(
            worker.process.poll() is None for worker in self._workers
        ):
            time.sleep(0.05)

    def _end(self) -> None:
        """Leave no worker behind, whatever ended this attempt."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
