"""The data behind a report's figures, small whatever the number of rows."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import label_counts
from automl_assets.core.evaluation.intervals import mean_interval, share_interval
from automl_assets.core.evaluation.ranking import counts_by_threshold
from automl_assets.core.evaluation.result import Bin, Cell, ClassResult, Points

if TYPE_CHECKING:
    import numpy as np

MAX_POINTS = 200
MAX_BINS = 10
ROWS_PER_BIN = 20
CELLS_PER_AXIS = 40
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def roc_points(y_true: "np.ndarray", score: "np.ndarray") -> Points:
    """Return false and true positive rates, from (0, 0) to (1, 1)."""
    import numpy as np

    true_positives, selected = counts_by_threshold(y_true, score)
    false_positives = selected - true_positives
    return _thinned(
        np.append(0, false_positives / max(false_positives[-1], 1)),
        np.append(0, true_positives / max(true_positives[-1], 1)),
    )


def precision_recall_points(y_true: "np.ndarray", score: "np.ndarray") -> Points:
    """Return recall and precision, from the highest threshold to the lowest."""
    true_positives, selected = counts_by_threshold(y_true, score)
    return _thinned(true_positives / max(true_positives[-1], 1), true_positives / selected)


def _thinned(x: "np.ndarray", y: "np.ndarray") -> Points:
    """Keep points at equal steps along the curve, its two ends among them."""
    import numpy as np

    if len(x) > MAX_POINTS:
        length = np.append(0, np.cumsum(abs(np.diff(x)) + abs(np.diff(y))))
        steps = np.searchsorted(length, np.linspace(0, length[-1], MAX_POINTS))
        keep = np.unique(np.append(np.minimum(steps, len(x) - 1), len(x) - 1))
        x, y = x[keep], y[keep]
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


def calibration_bins(
    predicted: "np.ndarray",
    observed: "np.ndarray",
    *,
    share: bool,
    confidence: float = 0.95,
    groups: "np.ndarray | None" = None,
) -> tuple[Bin, ...]:
    """Return up to ten bins with about equally many rows, by rising prediction.

    Equal predictions stay in one bin.

    Args:
        predicted: Probabilities or values `(n_samples,)`.
        observed: 1 or 0 for what came true, or values `(n_samples,)`.
        share: Whether `observed` holds 1 and 0; its interval is then Wilson's.
        confidence: Of the intervals.
        groups: Cluster of each row; None: rows are independent.
    """
    import numpy as np

    n_bins = max(2, min(MAX_BINS, len(predicted) // ROWS_PER_BIN))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, n_bins + 1)[1:-1]))
    index = np.searchsorted(edges, predicted, side="left")
    bins = []
    for number in np.unique(index):
        rows = index == number
        values = observed[rows]
        n_rows = int(rows.sum())
        low, high = float(values.min()), float(values.max())
        of_rows = None if groups is None else groups[rows]
        if share:
            low, high, _ = share_interval(values, confidence, of_rows)
        elif n_rows > 1:
            low, high, _ = mean_interval(values, confidence, of_rows)
        bins.append(
            Bin(
                n_rows=n_rows,
                predicted=float(predicted[rows].mean()),
                observed=float(values.mean()),
                low=low,
                high=high,
            )
        )
    return tuple(bins)


def scatter_cells(x: "np.ndarray", y: "np.ndarray") -> tuple[Cell, ...]:
    """Count rows on a grid of 40 x 40; cells without rows are left out."""
    import numpy as np

    counts, x_edges, y_edges = np.histogram2d(x, y, bins=CELLS_PER_AXIS)
    centres_x, centres_y = (x_edges[1:] + x_edges[:-1]) / 2, (y_edges[1:] + y_edges[:-1]) / 2
    return tuple(
        Cell(x=float(centres_x[i]), y=float(centres_y[j]), n_rows=int(counts[i, j]))
        for i, j in np.argwhere(counts)
    )


def residual_quantiles(residual: "np.ndarray") -> Points:
    """Return seven quantiles of the residuals, as (share, residual)."""
    import numpy as np

    return tuple(zip(QUANTILES, np.quantile(residual, QUANTILES).tolist(), strict=True))


def class_results(
    y_true: "np.ndarray",
    labels: "np.ndarray",
    classes: tuple[str, ...],
    *,
    confidence: float = 0.95,
    groups: "np.ndarray | None" = None,
) -> tuple[ClassResult, ...]:
    """Return recall and precision of each class that has rows, in class order.

    Args:
        y_true: Class codes `(n_samples,)`.
        labels: Codes of the classes decided on `(n_samples,)`.
        classes: Names in code order.
        confidence: Of the intervals.
        groups: Cluster of each row; None: rows are independent.
    """
    import numpy as np

    counts = label_counts(y_true, labels, len(classes))
    right = labels == y_true
    order = np.argsort(y_true, kind="stable")
    starts = np.append(0, np.cumsum(counts.sum(axis=1))).astype(np.intp)
    results = []
    for code, name in enumerate(classes):
        rows = order[starts[code] : starts[code + 1]]
        if not len(rows):
            continue
        of_rows = None if groups is None else groups[rows]
        low, high, _ = share_interval(right[rows], confidence, of_rows)
        row, n_predicted = counts[code].copy(), float(counts[:, code].sum())
        found, row[code] = float(row[code]), 0
        results.append(
            ClassResult(
                name=name,
                n_rows=len(rows),
                recall=found / len(rows),
                recall_low=low,
                recall_high=high,
                precision=found / n_predicted if n_predicted else None,
                most_taken_for=classes[int(row.argmax())] if row.any() else None,
            )
        )
    return tuple(results)
