"""Rates of groups as fairlearn computes them, of a million rows as fast as of a few."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.values import Value

MAX_CLASSES = 12
"""Classes whose rates are compared: those with most rows."""


class Rate(Value):
    """What is compared, and of which class in a multiclass task."""

    name: str
    label: str
    of_class: str = ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A rate: of which rows it is the mean, and of what.

    Attributes:
        terms: What is averaged, `(n_rows,)`.
        counts: Which rows count; None: all.
        is_share: Whether terms are 0 and 1.
        metric: What computes it from true and predicted values and weights, as fairlearn asks.
    """

    rate: Rate
    terms: np.ndarray
    metric: Callable[..., float]
    counts: np.ndarray | None = None
    is_share: bool = True
    has_ratio: bool = True


def measures_of(examined: Examined, decisions: np.ndarray | None) -> list[Measure]:
    """Return what is compared between groups.

    Args:
        decisions: Class codes of the analysis part; None for regression.
    """
    rows = examined.analysis
    if decisions is None:
        return _of_values(rows.y, rows.prediction)
    if len(examined.classes) == 2:
        return _of_binary(rows.y == 1, decisions == 1)
    counts = np.bincount(rows.y.astype(np.intp), minlength=len(examined.classes))
    common = np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])
    return [
        Measure(
            rate=Rate(name="true_positive_rate", label="Recall", of_class=examined.classes[code]),
            terms=(decisions == code).astype(float),
            counts=rows.y == code,
            metric=_recall_of(int(code)),
        )
        for code in common
    ]


def _of_binary(is_positive: np.ndarray, is_decided: np.ndarray) -> list[Measure]:
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate

    terms = is_decided.astype(float)
    return [
        Measure(
            rate=Rate(name="selection_rate", label="Selection rate"),
            terms=terms,
            metric=selection_rate,
        ),
        Measure(
            rate=Rate(name="true_positive_rate", label="True positive rate"),
            terms=terms,
            counts=is_positive,
            metric=true_positive_rate,
        ),
        Measure(
            rate=Rate(name="false_positive_rate", label="False positive rate"),
            terms=terms,
            counts=~is_positive,
            metric=false_positive_rate,
        ),
    ]


def _of_values(y: np.ndarray, prediction: np.ndarray) -> list[Measure]:
    from fairlearn.metrics import mean_prediction
    from sklearn.metrics import mean_absolute_error

    error = prediction - y
    return [
        Measure(
            rate=Rate(name="bias", label="Predicted minus actual"),
            terms=error,
            metric=mean_prediction,
            is_share=False,
            has_ratio=False,
        ),
        Measure(
            rate=Rate(name="mae", label="MAE"),
            terms=np.abs(error),
            metric=mean_absolute_error,
            is_share=False,
        ),
    ]


def _recall_of(code: int) -> Callable[..., float]:
    def recall(y_true: Any, y_pred: Any, sample_weight: Any) -> float:
        is_class = np.asarray(y_true) == code
        weights = np.asarray(sample_weight)
        n_rows = weights[is_class].sum()
        right = weights[is_class & (np.asarray(y_pred) == code)].sum()
        return float(right / n_rows) if n_rows else float("nan")

    return recall


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """Rows that are alike, each kind once: what fairlearn is given in place of the rows."""

    group: np.ndarray
    y: np.ndarray
    prediction: np.ndarray
    n_rows: np.ndarray


def rates_by_group(
    measures: list[Measure],
    codes: np.ndarray,
    large: list[int],
    examined: Examined,
    decisions: np.ndarray | None,
) -> list[dict[int, float]]:
    """Return each rate by group, as fairlearn computes it.

    It is given cells with their sizes as weights, not rows: the rates are the same, and a
    million rows would take it half a minute.
    """
    from fairlearn.metrics import MetricFrame

    kept = np.flatnonzero(np.isin(codes, large))
    group, y = codes[kept].astype(np.int64), examined.analysis.y[kept]
    if decisions is None:
        cells = _cells_of_errors(group, examined.analysis.prediction[kept] - y)
    else:
        cells = _cells_of_classes(group, y, decisions[kept], len(examined.classes))
    metrics = {str(number): measure.metric for number, measure in enumerate(measures)}
    table = MetricFrame(
        metrics=metrics,
        y_true=cells.y,
        y_pred=cells.prediction,
        sensitive_features=cells.group,
        sample_params={name: {"sample_weight": cells.n_rows} for name in metrics},
    ).by_group
    return [{int(group): float(value) for group, value in table[name].items()} for name in metrics]


def _cells_of_classes(
    group: np.ndarray, y: np.ndarray, decisions: np.ndarray, n_classes: int
) -> _Cells:
    code = (group * n_classes + y.astype(np.int64)) * n_classes + decisions
    counts = np.bincount(code)
    cell = np.flatnonzero(counts)
    return _Cells(
        group=cell // n_classes**2,
        y=cell // n_classes % n_classes,
        prediction=cell % n_classes,
        n_rows=counts[cell],
    )


def _cells_of_errors(group: np.ndarray, error: np.ndarray) -> _Cells:
    """Errors above and below zero apart: their means say all about mean and mean size."""
    code = 2 * group + (error > 0)
    counts = np.bincount(code)
    cell = np.flatnonzero(counts)
    return _Cells(
        group=cell // 2,
        y=np.zeros(len(cell)),
        prediction=np.bincount(code, weights=error)[cell] / counts[cell],
        n_rows=counts[cell],
    )
