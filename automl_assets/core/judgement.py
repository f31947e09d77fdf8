"""From a search's winner to its report: predict the analysis part, judge, write."""

import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.encoding import encode
from automl_assets.core.evaluation.importance import affordable_shuffles, permutation_importance
from automl_assets.core.evaluation.judge import JudgeInput, judge
from automl_assets.core.files import publishing
from automl_assets.core.matrix import target_vector
from automl_assets.core.metrics import load_metrics
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import load_predictor
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.report.write import write_report
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
)

IMPORTANCE_SECONDS = 2.0
"""CPU time for the importance of features: a slow model is asked about fewer rows."""

SLOW_SECONDS_PER_ROW = 2e-4
"""Where nobody had the time to measure it."""

PREDICTIONS = "analysis_predictions.parquet"

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


def judge_winner(
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    *,
    store: SnapshotStore,
    package: Path,
    folder: Path,
) -> EvaluationReport:
    """Judge the winner on the analysis part and write the report.

    Args:
        package: The winner's model package.
        folder: Where the report goes, with the predictions it was made from.

    Raises:
        SnapshotError: The package or the data changed since they were written.
    """
    request, profile = accepted.request, snapshot.profile
    target = request.data.target
    predictor = load_predictor(package, sha256=candidates.artifact_sha256)
    rows = read_rows(split, "analysis", store)
    frame = rows_frame(snapshot, rows, (*profile.features, target), store)
    y = target_vector(frame[target], profile)
    predictions = predictor.predict(frame)
    # What is given out, read back: predicting once more would double the time.
    prediction = (predictions.drop("prediction") if profile.classes else predictions).to_numpy()
    prediction = prediction if profile.classes else prediction[:, 0]
    evaluation = judge(
        JudgeInput(
            task_type=profile.task_type,
            classes=profile.classes,
            y_true=y,
            prediction=prediction,
            y_train=_train_target(snapshot, split, target, store),
            metric=candidates.metric,
            report=request.task.report or (),
            seed=request.seed,
            threshold=predictor.manifest.threshold,
            cost=request.task.cost,
        )
    )
    n_rows, n_repeats = affordable_shuffles(
        IMPORTANCE_SECONDS,
        seconds_per_row=candidates.seconds_per_row or SLOW_SECONDS_PER_ROW,
        n_features=len(predictor.preprocessing.feature_names),
    )
    importance = permutation_importance(
        predictor.predict_matrix,
        encode(frame, predictor.preprocessing),
        y,
        load_metrics()[candidates.metric],
        feature_names=predictor.preprocessing.feature_names,
        seed=request.seed,
        n_repeats=n_repeats,
        max_rows=n_rows,
    )
    with publishing(folder / PREDICTIONS) as temporary:
        pl.DataFrame({"row": rows}).hstack(predictions).write_parquet(temporary)
    return write_report(
        folder,
        accepted=accepted,
        snapshot=snapshot,
        split=split,
        candidates=candidates,
        evaluation=evaluation,
        importance=importance,
        environment=environment(),
    )


def _train_target(
    snapshot: DataSnapshot, split: Split, target: str, store: SnapshotStore
) -> np.ndarray:
    frame = rows_frame(snapshot, read_rows(split, "train", store), (target,), store)
    return target_vector(frame[target], snapshot.profile)
