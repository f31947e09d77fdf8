"""A search as MLflow holds it: one run, and one below it for each trial that is worth it."""

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from automl_assets.core.report.search_words import final_model, why_not
from automl_assets.core.search.tracking import TrackedSearch
from automl_assets.core.values import Candidate, CandidateSet
from resources.mlflow_place import MlflowPlace
from resources.mlflow_records import KIND, METRICS_BATCH, STUDY, find_search_run, pages

if TYPE_CHECKING:
    from mlflow.entities import Run

N_BEST, N_LOST = 50, 50
"""Trials that get a run of their own: the best ones, and those that were pruned or failed. One
costs 24 ms of CPU time on SQLite; all are in the request's ledger and in Dagit."""

PARENT, TRIAL = "mlflow.parentRunId", "automl.trial"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "not begun": "KILLED"}
_MAX_TEXT = 5000


class MlflowTrials:
    """Writes one search; looks for everything before it makes it.

    Not safe in threads. Methods raise what MLflow raises; each may be repeated.
    """

    def __init__(self, place: MlflowPlace, search: TrackedSearch) -> None:
        self._search = search
        self._client = place.client()
        with place.locked(f"model {search.name}"):
            self._experiment_id = place.experiment(self._client, search.name)
            self._run = self._find_or_start()
        self._seen: dict[int, Candidate] = {}
        self._scored: set[int] = set()
        self._begun: dict[int, Run] = {}
        self._written: dict[int, tuple[str, str]] = {}
        """The run of each trial that is written, and the reason that it tells."""
        self._find_trials()

    @property
    def run_id(self) -> str:
        """The run of the search."""
        return self._run.info.run_id

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Write finished trials, and the course of the score."""
        self._seen.update((item.number, item) for item in candidates)
        for item in self._chosen():
            if item.number not in self._written:
                self._write(item)
        self._write_course()

    def finish(self, candidates: CandidateSet) -> None:
        """Write what is missing, the totals, and that the search is over."""
        from mlflow.entities import Metric, RunTag

        known = [
            item.model_copy(update={"reason": why_not(item, candidates.limits)})
            for item in candidates.leaderboard
        ]
        self.add(known)
        self._tell_reasons()
        totals = {
            "search.seconds": candidates.seconds,
            "search.cpu_seconds": candidates.cpu_seconds,
            "search.peak_mb": candidates.peak_mb,
            "search.trials": len(known),
            "search.failed": sum(item.state == "failed" for item in known),
            "search.not_begun": sum(item.state == "not begun" for item in known),
            "search.pruned": sum(item.state == "pruned" for item in known),
            "search.inadmissible": sum(bool(item.violated) for item in known),
            "search.score_of_model": candidates.score,
        }
        started, step = self._run.info.start_time, len(known)
        metrics = [Metric(key, value, started, step) for key, value in _finite(totals).items()]
        tags = {
            "automl.model": final_model(candidates),
            "automl.stopped_by": candidates.stopped_by,
            "automl.ledger_sha256": candidates.ledger_sha256,
            "automl.trials_with_a_run": f"{len(self._written)} of {len(known)}",
        }
        self._client.log_batch(
            self.run_id,
            metrics=metrics,
            tags=[RunTag(key, value[:_MAX_TEXT]) for key, value in tags.items()],
        )
        self._client.set_terminated(self.run_id, "FINISHED")

    def stop(self, reason: str) -> None:
        """Write that the search ended without a result; it may go on."""
        self._client.set_tag(self.run_id, "automl.stopped_by", reason[:_MAX_TEXT])
        self._client.set_terminated(self.run_id, "KILLED")

    def _find_or_start(self) -> "Run":
        search = self._search
        found = find_search_run(
            self._client, self._experiment_id, search.request_id, search.study_name
        )
        if found is not None:
            if found.info.status == "KILLED":
                self._client.update_run(found.info.run_id, status="RUNNING")
            self._log_params(found)
            return found
        tags = {
            KIND: "search",
            STUDY: search.study_name,
            "automl.request_id": search.request_id,
            "automl.request_sha256": search.request_sha256,
            "automl.owner": search.owner,
            "automl.metric": search.metric,
        }
        run = self._client.create_run(self._experiment_id, tags=tags, run_name=search.request_id)
        self._log_params(run)
        return run

    def _log_params(self, run: "Run") -> None:
        """Log the params that are not there; MLflow never changes one, so it is as first asked."""
        from mlflow.entities import Param

        params = self._search.params.items()
        missing = [Param(key, value) for key, value in params if key not in run.data.params]
        if missing:
            self._client.log_batch(run.info.run_id, params=missing)

    def _find_trials(self) -> None:
        """Find out what an earlier attempt wrote; a run that is not over was cut short."""

        def search(page_token: str | None) -> Sequence["Run"]:
            return self._client.search_runs(
                [self._experiment_id],
                f"tags.`{PARENT}` = '{self.run_id}'",
                max_results=1000,
                page_token=page_token,
            )

        for run in pages(search):
            number = int(run.data.tags[TRIAL])
            if run.info.status == "RUNNING":
                self._begun[number] = run
            else:
                self._written[number] = (run.info.run_id, run.data.tags.get("automl.reason", ""))

    def _chosen(self) -> list[Candidate]:
        """Return the trials that are worth a run by what is known now, in their order."""
        sign = -1.0 if self._search.direction == "maximize" else 1.0
        complete = [item for item in self._seen.values() if item.state == "complete"]
        complete.sort(key=lambda item: (not item.is_admissible, sign * _score(item), item.number))
        lost = [item for item in self._seen.values() if item.state != "complete"]
        lost.sort(key=lambda item: item.number)
        return sorted([*complete[:N_BEST], *lost[:N_LOST]], key=lambda item: item.number)

    def _write(self, item: Candidate) -> None:
        from mlflow.entities import Metric, Param

        run = self._begun.get(item.number) or self._start(item)
        started = run.info.start_time
        params = {"family": item.family, "features": item.features, **item.params}
        self._client.log_batch(
            run.info.run_id,
            # MLflow drops a metric that it has at the same time and step: a repetition adds none.
            metrics=[
                Metric(key, value, started, 0)
                for key, value in _finite(self._measures(item)).items()
            ],
            params=[Param(key, str(value)[:_MAX_TEXT]) for key, value in params.items()],
        )
        ended = started + round(1000 * (item.seconds or 0.0))
        self._client.set_terminated(run.info.run_id, _STATUS[item.state], ended)
        self._written[item.number] = (run.info.run_id, item.reason)
        self._begun.pop(item.number, None)

    def _tell_reasons(self) -> None:
        """Say why each trial lost: while others ran, that was not known."""
        for number, (run_id, told) in self._written.items():
            reason = self._seen[number].reason[:_MAX_TEXT] if number in self._seen else told
            if reason != told[:_MAX_TEXT]:
                self._client.set_tag(run_id, "automl.reason", reason)

    def _start(self, item: Candidate) -> "Run":
        """Start a trial's run; it lasts as long as the trial did, from when it is written."""
        tags = {
            PARENT: self.run_id,
            KIND: "trial",
            TRIAL: str(item.number),
            "automl.state": item.state,
            "automl.family": item.family,
            "automl.origin": item.origin,
            "automl.seed": str(item.seed),
            "automl.reason": item.reason[:_MAX_TEXT],
            "automl.broken_limits": ", ".join(sorted(item.violated)),
        }
        return self._client.create_run(
            self._experiment_id,
            start_time=round(1000 * time.time()),
            tags={key: value for key, value in tags.items() if value},
            run_name=f"trial {item.number} {item.family}",
        )

    def _measures(self, item: Candidate) -> dict[str, float | None]:
        metric, size = self._search.metric, item.model_bytes
        return {
            metric: item.score,
            f"{metric}.fitted_rows": item.train_score,
            "cpu_seconds": item.cpu_seconds,
            "seconds": item.seconds,
            "peak_mb": item.peak_mb,
            "io_mb": item.io_mb,
            "steps": item.n_iterations,
            "size_mb": None if size is None else size / 1e6,
            **item.measured,
        }

    def _write_course(self) -> None:
        """Write each new score, and the best so far, at the step of its trial."""
        from mlflow.entities import Metric

        better = max if self._search.direction == "maximize" else min
        started = self._run.info.start_time
        metrics: list[Metric] = []
        best: float | None = None
        for number, item in sorted(self._seen.items()):
            score = item.score
            if score is None or not math.isfinite(score):
                continue
            if item.is_admissible:
                best = score if best is None else better(best, score)
            if number not in self._scored:
                metrics.append(Metric("search.score", score, started, number))
                if best is not None:
                    metrics.append(Metric("search.best", best, started, number))
        for first in range(0, len(metrics), METRICS_BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[first : first + METRICS_BATCH])
        self._scored.update(self._seen)


def _score(item: Candidate) -> float:
    return math.inf if item.score is None or not math.isfinite(item.score) else item.score


def _finite(values: "dict[str, float | None]") -> dict[str, float]:
    return {
        key: float(value)
        for key, value in values.items()
        if value is not None and math.isfinite(value)
    }
