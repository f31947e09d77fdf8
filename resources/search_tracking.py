"""Searches in MLflow, written by a thread beside the search."""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pydantic import Field

from automl_assets.core.errors import ServiceError
from automl_assets.core.search.tracking import SearchLog, SearchTracker, TrackedSearch
from automl_assets.core.values import Candidate, CandidateSet
from resources.mlflow_place import MlflowPlace
from resources.mlflow_setup import calling_mlflow
from resources.mlflow_trials import MlflowTrials

MAX_WAITING = 1000
"""Trials that wait to be written; what is older is dropped, and written at the end."""

BATCH_SECONDS = 5.0
NICENESS = 10

_logger = logging.getLogger(__name__)


class MlflowSearchTracker(MlflowPlace, SearchTracker):
    """Tracks searches in MLflow: a server, or SQLite and files in one folder."""

    quiet_seconds: float = Field(
        default=600.0,
        description="How long a search runs before MLflow is loaded: that takes seconds of CPU "
        "time and 100 MB beside the workers, and the registration of a short search needs it "
        "anyway, when the workers have ended.",
    )

    def begin(self, search: TrackedSearch) -> "MlflowSearchLog":
        """Begin, or go on with, the run of a search; see the port."""
        return MlflowSearchLog(self, search)


class MlflowSearchLog(SearchLog):
    """One attempt at a search; its thread ends after `finish` or `stop`, or with the process."""

    def __init__(self, tracker: MlflowSearchTracker, search: TrackedSearch) -> None:
        self._tracker = tracker
        self._search = search
        self._waiting: deque[Candidate] = deque(maxlen=MAX_WAITING)
        self._known: set[int] = set()
        self._result: CandidateSet | None = None
        self._reason = ""
        self._ended = threading.Event()
        self._trials: MlflowTrials | None = None
        # No daemon: what `finish` was given is written before the process ends.
        self._thread = threading.Thread(target=self._work, name=f"tracking {search.study_name}")
        self._thread.start()

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Write finished trials down within seconds; those known already are ignored."""
        new = [item for item in candidates if item.number not in self._known]
        self._known.update(item.number for item in new)
        self._waiting.extend(new)

    def finish(self, candidates: CandidateSet) -> None:
        """Have written down what is missing, and the totals."""
        self._result = candidates
        self._ended.set()

    def stop(self, reason: str) -> None:
        """End without a result; a search that MLflow does not know yet leaves nothing."""
        self._reason = reason
        self._ended.set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until all is written; tell whether it is."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        if sys.platform == "linux":
            # Of this thread alone: the workers' fits come first.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        if not self._pause(self._tracker.quiet_seconds):
            self._write_while_running()
        if self._result is not None or self._trials is not None:
            self._attempt(self._write_end, "Run the request again to write what is missing")

    def _pause(self, seconds: float) -> bool:
        """Wait; tell whether the attempt has ended, be it by the death of its thread."""
        waited = 0.0
        while waited < seconds and not self._ended.wait(min(1.0, seconds - waited)):
            waited += 1.0
            if not threading.main_thread().is_alive():
                self.stop("the process ended")
        return self._ended.is_set()

    def _write_while_running(self) -> None:
        while self._attempt(self._write_waiting, "It is tried again when the search is over"):
            if self._pause(BATCH_SECONDS):
                return
        while not self._pause(BATCH_SECONDS):
            pass

    def _attempt(self, write: Callable[[], None], next_step: str) -> bool:
        """Write; tell whether that went well, and the log if it did not."""
        try:
            with calling_mlflow(self._tracker.tracking_uri, "the record of a search"):
                write()
        except ServiceError as error:
            self._trials = None
            _logger.warning("%s %s; the search is not affected.", error, next_step)
            return False
        return True

    def _writer(self) -> MlflowTrials:
        if self._trials is None:
            self._trials = MlflowTrials(self._tracker, self._search)
        return self._trials

    def _write_waiting(self) -> None:
        trials = self._writer()
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if batch:
            trials.add(batch)

    def _write_end(self) -> None:
        if self._result is not None:
            self._writer().finish(self._result)
        elif self._trials is not None:
            self._trials.stop(self._reason)
