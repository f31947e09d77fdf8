"""Search workers as processes of this machine."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psutil

from automl_assets.core.errors import ServiceError
from automl_assets.core.idle_memory import give_back_memory
from automl_assets.core.ports import SearchRunner
from automl_assets.core.search.budget import FIRST_MODEL_SECONDS
from automl_assets.core.search.plan import SearchPlan, SearchStatus
from automl_assets.core.values import CandidateSet
from resources.processes import wait_for_end
from resources.search_runner.supervision import supervising
from resources.search_runner.worker_process import WorkerProcess, adopted_workers, start_worker
from resources.study_storage import SQLiteStudyStorage, open_storage, patiently, storage_lock

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from automl_assets.core.search.plan import Addition
    from automl_assets.core.search.tracking import SearchLog

POLL_SECONDS = 1.0
GRACE_SECONDS = 1.5
"""How long after the time limit workers may take to end by themselves."""

MAX_DEATHS = 5
"""Deaths in a row without a trial settled in between; a deadly trial is settled by its third."""


class LocalSearchRunner(dg.ConfigurableResource, SearchRunner):
    """Supervises worker processes: starts them, replaces dead ones, ends them in time.

    If this process dies, its workers go on for a while: a later call adopts them,
    or they leave. What was finished is kept in any case.
    """

    studies_folder: str

    def run(
        self,
        plan: SearchPlan,
        on_progress: Callable[[SearchStatus], None],
        *,
        log: "SearchLog | None" = None,
        added: "Addition | None" = None,
    ) -> CandidateSet:
        """Run, or go on with, the search of a plan; return what it found.

        The study's folder then holds what the search can be replayed from.
        """
        from automl_assets.core.search.outcome import collect_candidates, sweep_packages
        from automl_assets.core.search.replay import write_records
        from automl_assets.core.search.standing import ledger
        from automl_assets.core.search.study import open_study, quiet_optuna

        quiet_optuna()
        places = SQLiteStudyStorage(Path(self.studies_folder))
        url = places.url(plan.study_name)
        folder = places.study_folder(plan.study_name)
        with supervising(folder) as supervisor:
            storage = open_storage(url)
            with storage_lock(url):
                study, plan = open_study(plan, storage, added)
            search = _Search(plan, url, storage, study, on_progress, log)
            # What was loaded to read the data only waits from now on.
            give_back_memory()
            search.run(folder / "workers", supervisor)
            candidates = collect_candidates(study, plan, seconds=search.seconds)
            write_records(folder, plan, ledger(study))
            if log is not None:
                log.finish(candidates)
            sweep_packages(candidates, Path(plan.artifacts))
        return candidates


class _Search:
    """One attempt at a search, under the supervisor's lock."""

    def __init__(
        self,
        plan: SearchPlan,
        url: str,
        storage: "RDBStorage",
        study: "optuna.Study",
        on_progress: Callable[[SearchStatus], None],
        log: "SearchLog | None",
    ) -> None:
        from automl_assets.core.search.study import (
            CPU_SECONDS,
            PEAK_MB,
            USED,
            usage_of,
        )

        self._plan = plan
        self._url = url
        self._storage = storage
        self._study = study
        self._on_progress = on_progress
        self._log = log
        before = usage_of(study)
        self._used_before = before.get(USED, 0.0)
        self._cpu_before = before.get(CPU_SECONDS, 0.0)
        self._peak_mb = before.get(PEAK_MB, 0.0)
        self._started = time.monotonic()
        self.seconds = self._used_before
        """Time the search used as last told, all attempts together."""
        self._workers: list[WorkerProcess] = []
        self._cpu: dict[str, float] = {}
        self._has_model = False
        self._n_logged = 0
        self._n_left = 0
        self._n_deaths = 0
        self._settled_at_death = -1

    def run(self, log_folder: Path, supervisor: Path) -> None:
        """Supervise until the final model is made, or the time is used."""
        from automl_assets.core.search.study import FINAL

        if self._is_over():
            # Found as it was left: the same search gives the same value, to the second.
            return
        self._workers = adopted_workers(log_folder)
        if not self._workers:
            # Whoever had begun the final model is gone.
            patiently(lambda: self._study.set_user_attr(FINAL, None))
        self._release("its worker and supervisor died", retry=True)
        with ExitStack() as stack:
            stack.callback(self._end)
            while not self._is_over():
                status = patiently(self._tell)
                if self._seconds_until_late() <= 0:
                    break
                self._start_workers(log_folder, supervisor, status)
                pids = [worker.pid for worker in self._workers]
                wait_for_end(pids, min(POLL_SECONDS, self._seconds_until_late()))
                self._reap_workers(status)
            # While they are there, workers tell what they have used.
            patiently(self._tell)
        self._release("ended by the time limit", retry=False)
        patiently(self._tell)

    def _is_over(self) -> bool:
        from automl_assets.core.search.study import final_is_made

        return patiently(lambda: final_is_made(self._study))

    def _seconds_until_late(self) -> float:
        limit = self._plan.time_limit_seconds
        if limit is None:
            return math.inf
        grace = GRACE_SECONDS if self._has_model else FIRST_MODEL_SECONDS + GRACE_SECONDS
        return limit + grace - self._used()

    def _used(self) -> float:
        if self._plan.clock == "cpu":
            n_cores = self._plan.n_threads * self._plan.n_workers
            return self._used_before + sum(self._cpu.values()) / n_cores
        return self._used_before + time.monotonic() - self._started

    def _tell(self) -> SearchStatus:
        from automl_assets.core.search.standing import search_status
        from automl_assets.core.search.study import (
            CPU_SECONDS,
            PEAK_MB,
            USAGE,
            USED,
        )

        usages = [worker.usage() for worker in self._workers]
        for worker, item in zip(self._workers, usages, strict=True):
            self._cpu[worker.name] = max(item.cpu_seconds, self._cpu.get(worker.name, 0.0))
        memory = psutil.Process().memory_info().rss / 1e6
        memory += sum(item.own_mb for item in usages)
        memory += max((item.shared_mb for item in usages), default=0.0)
        self._peak_mb = max(self._peak_mb, memory)
        cpu = self._cpu_before + sum(self._cpu.values())
        self.seconds = self._used()
        usage = {USED: self.seconds, CPU_SECONDS: cpu, PEAK_MB: self._peak_mb}
        self._study.set_user_attr(USAGE, usage)
        status = search_status(self._study, self._plan, self.seconds, memory_mb=memory)
        self._has_model = bool(status.leaders) or status.n_inadmissible > 0
        self._on_progress(status)
        self._write_down(status)
        return status

    def _write_down(self, status: SearchStatus) -> None:
        from automl_assets.core.search.outcome import settled_candidates

        if self._log is not None and status.n_finished > self._n_logged:
            self._log.add(settled_candidates(self._study, self._plan))
            self._n_logged = status.n_finished

    def _release(self, reason: str, *, retry: bool) -> None:
        from automl_assets.core.search.study import release_trials

        alive = {worker.name for worker in self._workers if worker.is_running}

        def release() -> None:
            with storage_lock(self._url):
                release_trials(self._study, self._storage, alive=alive, retry=retry, reason=reason)

        patiently(release)

    def _start_workers(self, folder: Path, supervisor: Path, status: SearchStatus) -> None:
        """Start workers up to the planned number, as long as trials are left for them."""
        wanted = self._plan.n_workers - self._n_left
        if status.n_trials is not None:
            wanted = min(wanted, status.n_trials - status.n_finished)
        if status.stage == "final model":
            wanted = 1
        while len(self._workers) < max(1, wanted):
            self._workers.append(
                start_worker(
                    self._url, self._plan, folder, used=self._used(), supervisor=supervisor
                )
            )

    def _reap_workers(self, status: SearchStatus) -> None:
        """Take leave of workers that ended; what a dead one was running is queued again."""
        for worker in [item for item in self._workers if not item.is_running]:
            self._workers.remove(worker)
            code = worker.exit_code
            worker.kill()
            self._release(f"its worker ended with exit code {code}", retry=True)
            if code == 0:
                # It found nothing to do beside what the others do: another would not either.
                self._n_left += 1
            else:
                self._count_death(worker, code, status.n_finished)

    def _count_death(self, worker: WorkerProcess, code: int | None, n_settled: int) -> None:
        self._n_deaths = self._n_deaths + 1 if n_settled == self._settled_at_death else 1
        self._settled_at_death = n_settled
        if self._n_deaths > MAX_DEATHS:
            raise ServiceError(
                f"Search workers must stay alive, but {self._n_deaths} in a row ended, the "
                f"last with exit code {code}: {worker.last_words()}. Its log: {worker.log}"
            )

    def _end(self) -> None:
        """Leave no worker behind, whatever ended this attempt; they have nothing to do any more."""
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
