"""A registered version, made again from its records and its data alone.

Three levels say how equal the two models are: `identical` (the predictions of
the probe rows have the same digest), `equal within 1e-9` (another processor or
thread library), `statistically equal` (other versions of libraries: the paired
difference of the search's metric may be zero, and 99.9 % of the decisions
agree). Anything else has failed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.errors import SnapshotError
from automl_assets.core.evaluation.judge import JudgeInput
from automl_assets.core.examined_rows import PartReader
from automl_assets.core.matrix import target_vector
from automl_assets.core.ports import RegistryRecord, SnapshotStore
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.prepare import rows_frame
from automl_assets.core.probe import probe_predictions
from automl_assets.core.reproduction import words
from automl_assets.core.reproduction.compare import compare_metrics, compare_probe
from automl_assets.core.reproduction.data import data_differences
from automl_assets.core.reproduction.environment import (
    environment_differences,
    require_families,
)
from automl_assets.core.reproduction.ledger import expected_seconds, replay_ledger, replayable
from automl_assets.core.reproduction.records import (
    Records,
    read_records,
    record_differences,
)
from automl_assets.core.reproduction.refit import rebuild
from automl_assets.core.reproduction.result import (
    MAX_TRIALS,
    Check,
    CheckName,
    EnvironmentDifference,
    Level,
    MetricComparison,
    ProbeComparison,
    ReproductionReport,
    TrialComparison,
    weakest,
)
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import replay_model
from automl_assets.core.staging import Staging
from automl_assets.core.values import ModelVersion

__all__ = ["Level", "ReproductionReport", "registered_report", "reproduce"]

Tell = Callable[[str, str], None]
"""Told of each thing that is done: a short label and a sentence."""


def registered_report(record: RegistryRecord, version: ModelVersion) -> Path:
    """Return the folder of what was registered as a version's report.

    Raises:
        SnapshotError: It is not in the registry any more.
    """
    if record.report is None:
        raise SnapshotError(
            f"A version is made again from what was registered with it, but the report of "
            f"{version.name}@{version.version} is not at {record.where}. Restore the files of the "
            "registry."
        )
    return record.report


def reproduce(
    version: ModelVersion,
    report: Path,
    *,
    store: SnapshotStore,
    scratch: Path,
    environment: Mapping[str, str],
    clock: Callable[[], float],
    at: str,
    search: bool = False,
    tell: Tell = lambda label, text: None,
) -> ReproductionReport:
    """Make a registered version again and say how equal it is.

    Neither the study nor the registered package is read, and nothing of the version or its
    request is changed. Records or data that changed end it before anything is fitted. It
    takes the memory and the time of the final fit, and the disk of the matrix.

    Args:
        report: Folder of what was registered as the version's report.
        store: Where the data commit and the split are.
        scratch: A folder to work in; what is written there is removed.
        environment: Versions of code, libraries and machine as they are here.
        clock: Seconds, to tell how long each part took.
        at: Now, UTC, ISO 8601.
        search: Whether to run every trial of the ledger again, too.

    Raises:
        SnapshotError: Records, a commit or an object are missing.
        ServiceError: A library is not here, or a server does not answer.
    """
    records = read_records(report, version)
    here = {**environment, "preprocessing": preprocessing_version()}
    recorded = {**records.environment, "preprocessing": records.split.preprocessing_version}
    attempt = _Attempt(records, environment_differences(recorded, here), clock, at, tell)
    with Staging(scratch) as staging:
        attempt.run(store, staging.folder, search=search)
    return attempt.report()


class _Attempt:
    """One reproduction while it goes on."""

    def __init__(
        self,
        records: Records,
        environment: tuple[EnvironmentDifference, ...],
        clock: Callable[[], float],
        at: str,
        tell: Tell,
    ) -> None:
        self._records, self._environment = records, environment
        self._clock, self._at, self._tell = clock, at, tell
        self._checks: list[Check] = []
        self._seconds: dict[str, float] = {}
        self._probe: ProbeComparison | None = None
        self._metrics: tuple[MetricComparison, ...] = ()
        self._trials: tuple[TrialComparison, ...] = ()
        self._refitted_sha256 = ""

    def run(self, store: SnapshotStore, folder: Path, *, search: bool) -> None:
        """Make all checks, as far as the records and the data are what was recorded."""
        records = self._records
        self._tell("environment", words.environment_text(self._environment))
        if self._check_facts("records", *record_differences(records)):
            return
        require_families((item.family for item in records.candidates.members), records.environment)
        with self._timed("data"):
            n_compared, told = data_differences(records, store)
        if self._check_facts("data", n_compared, told):
            return
        with self._timed("fit"):
            plan, told = rebuild(records, store=store, folder=folder)
            if told:
                self._add("feature sets", "failed", " ".join(told), told)
                return
            self._refitted_sha256 = replay_model(
                plan, records.entries, records.candidates, folder / "package"
            )
        self._tell("fit", f"{words.fit_text(records)}   {self._seconds['fit']:.0f} s")
        predictor = load_predictor(folder / "package", sha256=self._refitted_sha256)
        self._check_predictions(predictor, store)
        self._check_search(plan, search=search)

    def report(self) -> ReproductionReport:
        """Return what was found."""
        records = self._records
        level = weakest(check.level for check in self._checks)
        different = [item for item in self._trials if item.level != "identical"]
        return ReproductionReport(
            name=records.version.name,
            version=records.version.version,
            at=self._at,
            level=level,
            sentence=words.sentence(level, self._checks, self._environment),
            checks=tuple(self._checks),
            environment=self._environment,
            probe=self._probe,
            metrics=self._metrics,
            n_trials=len(replayable(records.entries)),
            n_replayed=len(self._trials),
            trials=tuple(different[:MAX_TRIALS]),
            request_id=records.accepted.request_id,
            data_commit=records.snapshot.commit_id,
            seed=records.plan.seed,
            card_sha256=records.version.card_sha256,
            model_sha256=records.version.artifact_sha256,
            refitted_sha256=self._refitted_sha256,
            seconds=self._seconds,
        )

    def _check_facts(self, name: CheckName, n_compared: int, told: tuple[str, ...]) -> bool:
        """Note whether what was recorded agrees; tell whether it does not."""
        text = words.records_text(n_compared, told)
        if name == "data":
            text = words.data_text(n_compared, told, self._records.snapshot.commit_id)
        self._add(name, "failed" if told else "identical", text, told)
        return bool(told)

    def _add(
        self, name: CheckName, level: Level, text: str, differences: tuple[str, ...] = ()
    ) -> None:
        self._checks.append(Check(name=name, level=level, text=text, differences=differences))
        self._tell(name, text)

    def _check_predictions(self, predictor: Predictor, store: SnapshotStore) -> None:
        from threadpoolctl import threadpool_limits

        records = self._records
        # As the evaluation predicted: the number of threads decides how sums are rounded.
        with self._timed("predictions"), threadpool_limits(1, user_api="blas"):
            rows = np.array(records.probe.rows, np.int64)
            found = probe_predictions(predictor, records.probe, records.snapshot, store)
            self._probe = compare_probe(
                found,
                records.predictions,
                _judged(records, predictor, rows, found, store),
                rows=records.probe.rows,
                recorded_threshold=records.candidates.threshold,
            )
            self._add("probe set", self._probe.level, words.probe_text(self._probe))
            # In the pieces of the evaluation: sums of other batches are rounded otherwise.
            analysis = PartReader(
                records.snapshot, records.split, records.accepted.request, predictor, store
            ).predict("analysis")
            judged = _judged(records, predictor, analysis.rows, analysis.prediction, store)
            self._metrics = compare_metrics(records.metrics, judged)
            level = weakest(item.level for item in self._metrics)
            self._add("metrics", level, words.metrics_text(self._metrics))

    def _check_search(self, plan: SearchPlan, *, search: bool) -> None:
        entries = self._records.entries
        if not search:
            n_trials, seconds = len(replayable(entries)), expected_seconds(entries)
            self._tell("search", words.not_replayed_text(n_trials, seconds))
            return
        require_families(
            (entry["job"]["family"] for entry in replayable(entries)), self._records.environment
        )
        with self._timed("search"):
            self._trials = replay_ledger(plan, entries, self._tell_trial)
        level = weakest(item.level for item in self._trials)
        self._add("search", level, words.search_text(self._trials))

    def _tell_trial(self, number: int, n_trials: int) -> None:
        if number % max(1, n_trials // 10) == 0 and number < n_trials:
            self._tell("search", f"trial {number} of {n_trials}")

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = self._clock()
        yield
        self._seconds[name] = round(self._clock() - begun, 3)


def _judged(
    records: Records,
    predictor: Predictor,
    rows: np.ndarray,
    prediction: np.ndarray,
    store: SnapshotStore,
) -> JudgeInput:
    """Return what scores predictions of some rows as the card was made."""
    profile, plan = records.snapshot.profile, records.plan
    frame = rows_frame(records.snapshot, rows, (plan.target,), store)
    return JudgeInput(
        task_type=profile.task_type,
        classes=profile.classes,
        y_true=target_vector(frame[plan.target], profile),
        prediction=prediction,
        y_train=np.empty(0),
        metric=plan.metric,
        seed=plan.seed,
        threshold=predictor.manifest.threshold,
    )
