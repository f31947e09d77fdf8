"""What each row adds to a score, also where the score is no mean over rows.

A row's value is the score plus the row's influence on it (F. Hampel, "The influence curve
and its role in robust estimation", 1974): the mean of the values is the score, and the
score of a resample is, to first order, the mean of its rows' values. So thousands of
resamples of many candidates are one product of matrices.
"""

from typing import TYPE_CHECKING

import numpy as np

from automl_assets.core.evaluation.confusion import confusion_counts, predicted_labels
from automl_assets.core.evaluation.ranking import placements

if TYPE_CHECKING:
    from automl_assets.core.metrics import Metric


def row_values(metric: "Metric", y: np.ndarray, prediction: np.ndarray) -> np.ndarray | None:
    """Return a value of each row whose mean is the score; None where no way is known.

    Args:
        metric: Its losses are taken where each row has one.
        y: As `Metric.score` takes it.
        prediction: As `Metric.score` takes it.

    Raises:
        ContractError: The metric is undefined for these rows.

    Examples:
        >>> from automl_assets.core.metrics import load_metrics
        >>> y, prediction = np.array([0.0, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 3.0])
        >>> row_values(load_metrics()["mae"], y, prediction).tolist()
        [1.0, 1.0, 1.0, 3.0]
        >>> values = row_values(load_metrics()["rmse"], y, prediction)
        >>> float(values.mean()) == 3 ** 0.5
        True
    """
    if metric.row_losses is not None:
        losses = metric.row_losses(y, prediction)
        if metric.counted is not None:
            return _of_counted(losses, metric.counted(y, prediction))
        if len(losses) == len(y):
            return losses
    influence = _INFLUENCES.get(metric.name)
    if influence is None:
        return None
    return metric.score(y, prediction) + influence(y, prediction.astype(np.float64))


def has_row_values(metric: "Metric") -> bool:
    """Tell whether there is a way to rows' values, for all or for most predictions."""
    return metric.name in _INFLUENCES or metric.row_losses is not None


def _of_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return each row's influence on a ratio of two means; none where nothing is below."""
    mean = float(below.mean())
    if mean == 0:
        return np.zeros(len(above))
    return (above - float(above.mean()) / mean * below) / mean


def _of_counted(losses: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the values of all rows of a mean over some: those that count, by chance, too."""
    above = np.zeros(len(counted))
    above[counted] = losses
    mean = float(losses.mean()) if len(losses) else 0.0
    return mean + _of_ratio(above, counted.astype(np.float64))


def _rmse(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    squares = (y - prediction) ** 2
    mean = float(squares.mean())
    return (squares - mean) / (2 * mean**0.5) if mean else np.zeros(len(y))


def _r2(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return -_of_ratio((y - prediction) ** 2, (y - y.mean()) ** 2)


def _wape(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return _of_ratio(abs(y - prediction), abs(y).astype(np.float64))


def _masks(y: np.ndarray, prediction: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each row is of a class, and whether it is predicted so, as 0 and 1."""
    is_label = (y == label).astype(np.float64)
    return is_label, (predicted_labels(prediction) == label).astype(np.float64)


def _recall(y: np.ndarray, prediction: np.ndarray, label: int) -> np.ndarray:
    true, predicted = _masks(y, prediction, label)
    return _of_ratio(true * predicted, true)


def _f1(y: np.ndarray, prediction: np.ndarray, label: int = 1) -> np.ndarray:
    true, predicted = _masks(y, prediction, label)
    return _of_ratio(2 * true * predicted, true + predicted)


def _balanced_accuracy(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    labels = np.unique(y).astype(int)
    return sum((_recall(y, prediction, label) for label in labels), np.zeros(len(y))) / len(labels)


def _f1_macro(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    labels = np.union1d(y, predicted_labels(prediction)).astype(int)
    return sum((_f1(y, prediction, label) for label in labels), np.zeros(len(y))) / len(labels)


def _mcc(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Derive it by the count of each cell of the confusion matrix."""
    counts = confusion_counts(y, prediction)
    n_rows, right = counts.sum(), counts.trace()
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    spread_actual = n_rows**2 - actual @ actual
    spread_predicted = n_rows**2 - predicted @ predicted
    root = (spread_actual * spread_predicted) ** 0.5
    if root == 0:
        return np.zeros(len(y))
    score = (right * n_rows - actual @ predicted) / root
    true, label = y.astype(np.intp), predicted_labels(prediction)
    agreement = (true == label) * n_rows + right - predicted[true] - actual[label]
    spread = (n_rows - actual[true]) / spread_actual
    spread = spread + (n_rows - predicted[label]) / spread_predicted
    return n_rows * (agreement / root - score * spread)


def _roc_auc(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Take DeLong's placements (E. DeLong et al., 1988) for each class's share of the rows."""
    of_positive, of_negative = placements(y, prediction[:, 1])
    influence = np.empty(len(y))
    for rows, values in ((y == 1, of_positive), (y != 1, of_negative)):
        influence[rows] = (values - values.mean()) * len(y) / len(values)
    return influence


def _average_precision(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Derive the mean of precision over positive rows by the weight of each row."""
    score = prediction[:, 1]
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    tie = np.searchsorted(last_of_tie, np.arange(len(y)))
    is_positive = (y[order] == 1).astype(np.float64)
    n_right = np.cumsum(is_positive)[last_of_tie]
    n_selected = last_of_tie + 1.0
    n_positive = n_right[-1]
    steps = np.diff(n_right, prepend=0)
    precision = n_right / n_selected
    area = float(steps @ precision) / n_positive
    # A row counts at its own threshold and at all lower ones.
    more_right = np.cumsum((steps / n_selected)[::-1])[::-1]
    more_selected = np.cumsum((steps * precision / n_selected)[::-1])[::-1]
    of_row = is_positive * (precision - area + more_right)[tie] - more_selected[tie]
    influence = np.empty(len(y))
    influence[order] = of_row * len(y) / n_positive
    return influence


_INFLUENCES = {
    "average_precision": _average_precision,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "mcc": _mcc,
    "r2": _r2,
    "rmse": _rmse,
    "roc_auc": _roc_auc,
    "wape": _wape,
}
"""Of the metrics that are no mean over all rows; others are resampled as they are."""
