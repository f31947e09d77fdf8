"""From a search's winner to its report: predict the analysis part, judge, examine, write."""

import json
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.comparing.incumbent import Incumbent
from automl_assets.core.errors import AutoMLError, SnapshotError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.examination import Examined, Refitter, Section
from automl_assets.core.evaluation.judge import JudgeInput, judge
from automl_assets.core.evaluation.openings import open_analysis
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.examined_rows import MAX_CALIBRATION_ROWS, PartReader, PredictedPart
from automl_assets.core.files import publish_bytes, publishing
from automl_assets.core.metrics import load_metrics
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.report.write import write_report
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.refitting import make_refitter
from automl_assets.core.search.replay import LEDGER_FILE, PLAN_FILE
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
    Value,
)

SECTION_SHARE = 0.01
"""Of a time limit, what one section may take where it can do with fewer rows."""

FEWEST_SECONDS, MOST_SECONDS = 0.5, 60.0
"""Bounds of that; without a time limit a section has ten seconds."""

UNLIMITED_SECONDS = 10.0

PREDICTING_SECTIONS = 2
"""Sections that predict as many rows as they have time for: explanations and robustness."""

PREDICTIONS = "analysis_predictions.parquet"
MEASURED = "measured"
"""Folder of what was measured: made once for a model, so that a report can be made again."""

_logger = logging.getLogger("automl.judgement")

_LIBRARIES = (
    *("automl-assets", "catboost", "lightgbm", "numpy", "optuna", "polars", "scikit-learn"),
    "xgboost-cpu",
)


def environment() -> dict[str, str]:
    """Return what the numbers depend on: versions of code, Python and libraries."""
    return {
        "code": code_version("automl_assets.core"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: version(name) for name in _LIBRARIES},
    }


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a judgement reads and writes.

    Attributes:
        package: The winner's model package.
        study: Folder of the study, with what the search left.
        matrix: Folder of the encoded matrix.
        folder: Where the report goes.
    """

    package: Path
    study: Path
    matrix: Path
    folder: Path


def judge_winner(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    *,
    store: SnapshotStore,
    places: Places,
    clock: Callable[[], float],
    incumbent: Incumbent | None = None,
) -> EvaluationReport:
    """Judge the winner on the analysis part and write the report.

    Args:
        clock: CPU seconds of this process, for what is measured.
        incumbent: The version that is in use.

    Raises:
        SnapshotError: The package or the data changed since they were written.
    """
    from threadpoolctl import threadpool_limits

    # How a product is divided among threads decides its last digits; and predictions of few
    # rows waste them: a small network took thirty times the CPU time on two threads.
    with threadpool_limits(limits=1, user_api="blas"):
        return _judge_winner(
            accepted,
            snapshot,
            split,
            candidates,
            store=store,
            places=places,
            clock=clock,
            incumbent=incumbent,
        )


def _judge_winner(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    *,
    store: SnapshotStore,
    places: Places,
    clock: Callable[[], float],
    incumbent: Incumbent | None,
) -> EvaluationReport:
    opening = open_analysis(
        store,
        split,
        request_id=accepted.request_id,
        # Not the model's files: libraries write the same model in other bytes.
        candidates_sha256=candidates.ledger_sha256,
    )
    predictor = load_predictor(places.package, sha256=candidates.artifact_sha256)
    reader = PartReader(snapshot, split, accepted.request, predictor, store)
    analysis = reader.predict("analysis")
    rows = reader.examined(analysis)
    examined = Examined(
        request=accepted.request,
        profile=snapshot.profile,
        split=split,
        candidates=candidates,
        predictor=predictor,
        package=places.package,
        metric=load_metrics()[candidates.metric],
        analysis=rows,
        calibration=reader.examined(reader.predict("calibration"), max_rows=MAX_CALIBRATION_ROWS),
        y_train=reader.target("train"),
        seed=accepted.request.seed,
        confidence=opening.confidence,
        seconds=section_seconds(accepted),
        clock=clock,
        refitter=_refitter(places, candidates),
        champion=incumbent and incumbent.as_rival(rows.frame, snapshot, split, store),
    )
    evaluation = _judged(examined, analysis, reader)
    failed: dict[str, str] = {}
    sections = examine(examined, places.folder, failed=failed)
    _write_predictions(places.folder / PREDICTIONS, analysis, predictor)
    for name in (PLAN_FILE, LEDGER_FILE):
        publish_bytes(places.folder / name, (places.study / name).read_bytes())
    return write_report(
        places.folder,
        accepted=accepted,
        snapshot=snapshot,
        split=split,
        candidates=candidates,
        evaluation=evaluation,
        sections=sections,
        failed=failed,
        opening=opening,
        environment=environment(),
    )


def section_seconds(accepted: AcceptedRequest) -> float:
    """Return the CPU seconds that one section may take where it can do with fewer rows."""
    limit = accepted.request.search.effective_time_limit
    if limit is None:
        return UNLIMITED_SECONDS
    return min(max(FEWEST_SECONDS, SECTION_SHARE * limit), MOST_SECONDS)


def judged_rows(accepted: AcceptedRequest, split: Split) -> int:
    """Return how many rows are predicted to judge a model, however slow it is."""
    n_columns = len(split.feature_names)
    sections = load_sections().values()
    drawn = sum(section.fewest_rows(accepted.request, n_columns) for section in sections)
    n_calibration = min(split.part("calibration").n_rows, MAX_CALIBRATION_ROWS)
    return drawn + n_calibration + split.part("analysis").n_rows


def judging_seconds(accepted: AcceptedRequest) -> float:
    """Return the CPU seconds that are kept back for the prediction of these rows anyway."""
    return PREDICTING_SECTIONS * section_seconds(accepted)


def _refitter(places: Places, candidates: CandidateSet) -> Refitter | None:
    plan = SearchPlan.model_validate_json((places.study / PLAN_FILE).read_bytes())
    plan = plan.model_copy(update={"matrix": str(places.matrix)})
    return make_refitter(plan, json.loads((places.study / LEDGER_FILE).read_bytes()), candidates)


def _judged(examined: Examined, analysis: PredictedPart, reader: PartReader) -> Evaluation:
    request = examined.request
    groups = clusters_of(*reader.clusters(analysis))
    return judge(
        JudgeInput(
            task_type=examined.profile.task_type,
            classes=examined.classes,
            y_true=analysis.y,
            prediction=analysis.prediction,
            y_train=examined.y_train,
            metric=examined.candidates.metric,
            report=request.task.report or (),
            seed=examined.seed,
            threshold=examined.threshold,
            cost=request.task.cost,
            groups=groups,
            confidence=examined.confidence,
        )
    )


def examine(
    examined: Examined, folder: Path, *, failed: dict[str, str] | None = None
) -> dict[str, Value]:
    """Return what each section found, in the order of the report.

    Args:
        folder: What was measured for this model before is found there, and kept there.
        failed: Gets the reason why a section failed, by its name, and the others go on: a
            search of hours is not lost to one of them. None: its error is raised.

    Raises:
        SnapshotError: The package or the data changed since they were written.
    """
    found: dict[str, Value] = {}
    sections = load_sections()
    # What starts a process of its own comes before others load libraries that wait beside it.
    for name, section in sorted(sections.items(), key=lambda item: not item[1].is_measured):
        kept = folder / MEASURED / f"{name}.json"
        try:
            result = _found(examined, section, kept)
        except SnapshotError:
            raise
        except Exception as error:
            if failed is None:
                raise
            _logger.exception("Section %r of the evaluation failed.", name)
            failed[name] = _reason(error)
        else:
            if result is not None:
                found[name] = result
    return {name: found[name] for name in sections if name in found}


def _found(examined: Examined, section: Section, kept: Path) -> Value | None:
    """Return what a section finds, or what it once measured."""
    if section.is_measured and kept.exists():
        told = json.loads(kept.read_bytes())
        if told["model"] == examined.candidates.artifact_sha256:
            return section.result.model_validate(told["result"])
    result = section.examine(examined)
    if result is None:
        return None
    # What cannot be told has failed, too, and must show here.
    section.sentences(result)
    section.limits(result)
    if section.is_measured:
        told = {
            "model": examined.candidates.artifact_sha256,
            "result": result.model_dump(mode="json"),
        }
        publish_bytes(kept, json.dumps(told, sort_keys=True).encode())
    return result


def _reason(error: Exception) -> str:
    """Return why a section failed; messages that are not ours may hold values of rows."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, AutoMLError) else name


def _write_predictions(file: Path, part: PredictedPart, predictor: Predictor) -> None:
    predictions = predictor.named(part.prediction)
    with publishing(file) as temporary:
        pl.DataFrame({"row": part.rows}).hstack(predictions).write_parquet(temporary)
