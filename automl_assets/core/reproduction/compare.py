"""How equal two sets of predictions are, and two numbers."""

import math
from dataclasses import replace

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.comparison import Difference, compare
from automl_assets.core.evaluation.judge import JudgeInput
from automl_assets.core.metrics import load_metrics
from automl_assets.core.probe import predictions_sha256
from automl_assets.core.reproduction.result import (
    FirstDifference,
    Level,
    MetricComparison,
    ProbeComparison,
)
from automl_assets.core.values import MetricEstimate, TaskType

TOLERANCE = 1e-9
"""Other processors and thread libraries add the same numbers in another order."""

MIN_AGREEMENT = 0.999
NEAR_SHARE = 1e-3
"""Two predicted numbers are one decision within so much of the target's standard deviation."""

NEGLIGIBLE = 1e-6
"""Share of the metric that a paired difference may be, though its interval leaves zero out: where
all rows differ by rounding in one direction, the interval is that narrow."""


def compare_probe(
    found: np.ndarray,
    recorded: np.ndarray,
    judged: JudgeInput,
    *,
    rows: tuple[int, ...],
    recorded_threshold: float | None,
) -> ProbeComparison:
    """Compare predictions of the same rows.

    Args:
        found: Of the model that was fitted again.
        recorded: As they were registered.
        judged: Targets of the rows, the metric, and the threshold of the model fitted again.
        rows: Row numbers in the snapshot.
        recorded_threshold: Probability from which the registered model says yes.
    """
    base = ProbeComparison(
        level="failed",
        n_rows=len(rows),
        recorded_sha256=predictions_sha256(recorded),
        found_sha256=predictions_sha256(found),
    )
    if found.shape != recorded.shape:
        note = f"Predictions have the shape {found.shape}, those recorded {recorded.shape}."
        return base.model_copy(update={"n_different": len(rows), "note": note})
    same_decisions = judged.threshold == recorded_threshold
    if base.recorded_sha256 == base.found_sha256 and same_decisions:
        return base.model_copy(update={"level": "identical"})
    gaps = np.abs(found - recorded).reshape(len(rows), -1)
    near = within_tolerance(found, recorded, judged.task_type, judged.y_true)
    agreement = decision_agreement(found, recorded, judged, recorded_threshold)
    difference, note = _paired(found, recorded, judged, recorded_threshold)
    level: Level = "failed"
    if near.all() and (same_decisions or _near(judged.threshold, recorded_threshold)):
        level = "equal within 1e-9"
    elif agreement >= MIN_AGREEMENT and _is_no_change(difference, judged, recorded):
        level = "statistically equal"
    return base.model_copy(
        update={
            "level": level,
            "n_different": int((gaps != 0).any(axis=1).sum()),
            "largest": float(np.nanmax(gaps, initial=0.0)),
            "first": _first(
                found, recorded, near if level == "failed" else gaps == 0, rows, judged
            ),
            "agreement": agreement,
            "difference": difference,
            "note": note,
        }
    )


def within_tolerance(
    found: np.ndarray, recorded: np.ndarray, task_type: TaskType, y: np.ndarray
) -> np.ndarray:
    """Tell which numbers are equal within 1e-9, `(n_rows, n_columns)`.

    Of a probability that is as it is; of a number relative to its size, or to the spread of
    the target where that is larger.
    """
    scale = float(np.std(y)) if task_type == "regression" else 1.0
    near = np.isclose(found, recorded, rtol=TOLERANCE, atol=TOLERANCE * scale)
    return near.reshape(len(found), -1)


def decision_agreement(
    found: np.ndarray,
    recorded: np.ndarray,
    judged: JudgeInput,
    recorded_threshold: float | None,
) -> float:
    """Return the share of rows that both models decide alike."""
    if judged.task_type == "regression":
        same = np.abs(found - recorded) <= NEAR_SHARE * float(np.std(judged.y_true))
    else:
        same = _decisions(found, judged.threshold) == _decisions(recorded, recorded_threshold)
    return float(np.mean(same))


def _decisions(prediction: np.ndarray, threshold: float | None) -> np.ndarray:
    if threshold is None:
        return prediction.argmax(axis=1)
    return (prediction[:, -1] >= threshold).astype(np.intp)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _paired(
    found: np.ndarray, recorded: np.ndarray, judged: JudgeInput, recorded_threshold: float | None
) -> tuple[Difference | None, str]:
    metric = load_metrics()[judged.metric]
    as_recorded = replace(judged, threshold=recorded_threshold)
    try:
        return compare(
            metric,
            judged.y_true,
            judged.seen_by(metric, found),
            as_recorded.seen_by(metric, recorded),
            seed=judged.seed,
        ), ""
    except ContractError as error:
        return None, f"The probe rows cannot show {metric.label}. {error}"


def _is_no_change(difference: Difference | None, judged: JudgeInput, recorded: np.ndarray) -> bool:
    """Tell whether no change of the metric can be excluded, or whether it is nothing but rounding.

    Where these rows cannot show the metric, decisions and the analysis part must do.
    """
    if difference is None:
        return True
    metric = load_metrics()[judged.metric]
    value = metric.score(judged.y_true, judged.seen_by(metric, recorded))
    margin = NEGLIGIBLE * abs(value)
    return difference.low - margin <= 0 <= difference.high + margin


def _first(
    found: np.ndarray,
    recorded: np.ndarray,
    same: np.ndarray,
    rows: tuple[int, ...],
    judged: JudgeInput,
) -> FirstDifference | None:
    different = np.argwhere(~same)
    if not len(different):
        return None
    row, column = different[0].tolist()
    return FirstDifference(
        row=rows[row],
        column=f"probability_{judged.classes[column]}" if judged.classes else "prediction",
        recorded=float(recorded.reshape(len(rows), -1)[row, column]),
        found=float(found.reshape(len(rows), -1)[row, column]),
    )


def number_level(found: float, recorded: float, *, low: float, high: float) -> Level:
    """Return how equal a number is to the one that was recorded.

    Args:
        low, high: Where it may lie to be statistically equal.

    Examples:
        >>> [number_level(x, 0.5, low=0.4, high=0.6) for x in (0.5, 0.5 + 1e-12, 0.55, 0.7)]
        ['identical', 'equal within 1e-9', 'statistically equal', 'failed']
    """
    if found == recorded:
        return "identical"
    if math.isclose(found, recorded, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return "equal within 1e-9"
    return "statistically equal" if low <= found <= high else "failed"


def compare_metrics(
    recorded: tuple[MetricEstimate, ...], judged: JudgeInput
) -> tuple[MetricComparison, ...]:
    """Score the analysis part again, in each metric of the card.

    Args:
        judged: Targets and predictions of the model that was fitted again.
    """
    compared = []
    for estimate in recorded:
        metric = load_metrics()[estimate.metric]
        found = metric.score(judged.y_true, judged.seen_by(metric, judged.prediction))
        level = number_level(found, estimate.value, low=estimate.low, high=estimate.high)
        compared.append(
            MetricComparison(metric=metric.name, level=level, recorded=estimate.value, found=found)
        )
    return tuple(compared)
