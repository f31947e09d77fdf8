"""What is told about a slice beside the metric: decisions, calibration, errors."""

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.slicing.inference import interval
from automl_assets.core.evaluation.slicing.scores import Judged, Score, mean, score, share
from automl_assets.core.evaluation.slicing.study import MIN_CLASS_ROWS
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import TaskType, Value

DOMINANT_SHARE = 0.9
COMMON_SHARE = 0.7
"""A class that is predicted for more than 90% of rows though fewer than 70% are of it."""


class SliceFigure(Value):
    """One number about a slice; None where it has no rows to be computed from.

    Attributes:
        note: What it is of, such as the worst class.
    """

    name: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class DominantLabel(Value):
    """A class that nearly all rows of a slice are predicted as, though many are not of it."""

    label: str
    predicted: float
    observed: float


def figures_of(
    task_type: TaskType,
    classes: tuple[str, ...],
    rows: Judged,
    decisions: np.ndarray | None,
    *,
    confidence: float,
    seed: int,
) -> tuple[SliceFigure, ...]:
    """Return the numbers that suit the task, each with its interval.

    Args:
        rows: Of the slice, with probabilities or values as the model gives them.
        decisions: Class codes; None for regression.
        confidence: Of each interval by itself.
        seed: Decides resamples.
    """
    if decisions is None:
        error = rows.prediction - rows.y
        found = {
            ("mae", "MAE"): mean(np.abs(error), rows.clusters),
            ("bias", "Predicted minus actual"): mean(error, rows.clusters),
        }
    elif task_type == "binary":
        found = _binary(rows, decisions)
    else:
        return _multiclass(classes, rows, decisions, confidence, seed)
    return tuple(_figure(*key, item, confidence) for key, item in found.items())


def dominant_label(
    classes: tuple[str, ...], y: np.ndarray, decisions: np.ndarray
) -> DominantLabel | None:
    """Return the class that swallows the others, if there is one.

    Examples:
        >>> dominant_label(("no", "yes"), np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]))
        DominantLabel(label='no', predicted=1.0, observed=0.5)
    """
    if not len(y):
        return None
    predicted = np.bincount(decisions, minlength=len(classes)) / len(y)
    code = int(predicted.argmax())
    observed = float((y == code).mean())
    if predicted[code] <= DOMINANT_SHARE or observed >= COMMON_SHARE:
        return None
    return DominantLabel(label=classes[code], predicted=float(predicted[code]), observed=observed)


def _binary(rows: Judged, decisions: np.ndarray) -> dict[tuple[str, str], Score]:
    is_positive, is_decided = rows.y == 1, decisions == 1

    def of(terms: np.ndarray, counts: np.ndarray) -> Score:
        clusters = None if rows.clusters is None else rows.clusters[counts]
        return share(terms[counts].astype(float), clusters)

    every = np.ones(len(rows), np.bool_)
    return {
        ("recall", "Recall"): of(is_decided, is_positive),
        ("precision", "Precision"): of(is_positive, is_decided),
        ("false_positive_rate", "False positive rate"): of(is_decided, ~is_positive),
        ("selection_rate", "Predicted positive"): of(is_decided, every),
        ("base_rate", "Positive"): of(is_positive, every),
        ("calibration_gap", "Predicted minus observed"): mean(
            rows.prediction[:, 1] - rows.y, rows.clusters
        ),
    }


def _multiclass(
    classes: tuple[str, ...],
    rows: Judged,
    decisions: np.ndarray,
    confidence: float,
    seed: int,
) -> tuple[SliceFigure, ...]:
    certain = Judged(y=rows.y, prediction=np.eye(len(classes))[decisions], clusters=rows.clusters)
    figures: list[SliceFigure] = []
    try:
        macro = score(load_metrics()["f1_macro"], certain, seed=seed)
        figures.append(_figure("f1_macro", "Macro F1", macro, confidence))
    except ContractError:
        figures.append(SliceFigure(name="f1_macro", label="Macro F1", value=None))
    counts = np.bincount(rows.y.astype(np.intp), minlength=len(classes))
    right = np.bincount(rows.y.astype(np.intp), weights=decisions == rows.y, minlength=len(classes))
    judged = np.flatnonzero(counts >= MIN_CLASS_ROWS)
    if not len(judged):
        return (*figures, SliceFigure(name="worst_recall", label="Worst recall", value=None))
    worst = int(judged[np.argmin(right[judged] / counts[judged])])
    of_class = np.flatnonzero(rows.y == worst)
    clusters = None if rows.clusters is None else rows.clusters[of_class]
    found = share((decisions[of_class] == worst).astype(float), clusters)
    # The lowest of several is low by chance too: its interval is that of all of them.
    each = 1 - (1 - confidence) / len(judged)
    figure = _figure("worst_recall", "Worst recall", found, each)
    return (*figures, figure.model_copy(update={"note": classes[worst]}))


def _figure(name: str, label: str, found: Score, confidence: float) -> SliceFigure:
    if not np.isfinite(found.value):
        return SliceFigure(name=name, label=label, value=None)
    low, high = interval(found, confidence)
    is_known = bool(np.isfinite([low, high]).all())
    return SliceFigure(
        name=name,
        label=label,
        value=found.value,
        low=low if is_known else None,
        high=high if is_known else None,
    )
