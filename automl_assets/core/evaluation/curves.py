"""The data behind a report's figures, small whatever the number of rows."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.intervals import mean_interval, wilson_interval
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
    predicted: "np.ndarray", observed: "np.ndarray", *, share: bool
) -> tuple[Bin, ...]:
    """Return up to ten bins with about equally many rows, by rising prediction.

    Equal predictions stay in one bin.

    Args:
        predicted: Probabilities or values `(n_samples,)`.
        observed: 1 or 0 for what came true, or values `(n_samples,)`.
        share: Whether `observed` holds 1 and 0; its interval is then Wilson's.
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
        if share:
            low, high, _ = wilson_interval(float(values.sum()), n_rows)
        elif n_rows > 1:
            low, high, _ = mean_interval(values)
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


def class_results(counts: "np.ndarray", classes: tuple[str, ...]) -> tuple[ClassResult, ...]:
    """Return recall and precision of each class that has rows, in class order.

    Args:
        counts: True (rows) by predicted (columns) classes, `(n_classes, n_classes)`.
        classes: Names in code order.
    """
    results = []
    for code, name in enumerate(classes):
        row, n_predicted = counts[code].copy(), counts[:, code].sum()
        right, n_rows = float(row[code]), int(row.sum())
        if not n_rows:
            continue
        low, high, _ = wilson_interval(right, n_rows)
        row[code] = 0
        results.append(
            ClassResult(
                name=name,
                n_rows=n_rows,
                recall=right / n_rows,
                recall_low=low,
                recall_high=high,
                precision=right / float(n_predicted) if n_predicted else None,
                most_taken_for=classes[int(row.argmax())] if row.any() else None,
            )
        )
    return tuple(results)
