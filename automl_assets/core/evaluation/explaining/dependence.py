"""How the prediction moves when one column is set to other values and all others stay.

The mean over rows is the partial dependence (J. Friedman, "Greedy function approximation", 2001);
the spread is that of the rows' own curves, each moved to the same mean (A. Goldstein et al.,
"Peeking inside the black box", 2015): where it is wide, the effect depends on other columns.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from automl_assets.core.evaluation.explaining.columns import RawFeatures, label
from automl_assets.core.values import Value

MAX_POINTS, MAX_ROWS, MAX_COLUMNS = 20, 200, 6
FEWEST_POINTS, FEWEST_ROWS, FEWEST_COLUMNS = 10, 50, 3
"""What a slow model is asked for."""

FIRST_RANK, LAST_RANK = 0.01, 0.99
"""Ends of the values that are tried: beyond them few rows say what the model does."""

SPREAD = (0.1, 0.9)
"""Between these quantiles lie the middle four fifths of the rows' curves."""

LEAST_MISSING = 0.01
"""Share of missing values from which they are tried, too."""

_BLOCK_VALUES = 20_000_000
"""Encoded values in memory at once: 80 MB."""

Predict = Callable[[np.ndarray], np.ndarray]
"""Takes encoded rows; returns one number for each."""


class DependencePoint(Value):
    """The prediction where all rows have one value of a column.

    Attributes:
        label: The value, in the column's own units.
        x: Where it is drawn: the number itself, or days since 1970 of a date; None for a name.
        mean: Mean prediction.
        low, high: Between these lie the middle four fifths of the rows' curves.
    """

    label: str
    x: float | None
    mean: float
    low: float
    high: float


class Dependence(Value):
    """How the prediction moves with one raw column.

    Attributes:
        kind: Numbers and dates are drawn as a line, names as marks.
        points: By rising value, or the most frequent name first; missing values last.
        span: Highest mean less lowest mean.
        error: Largest half-width of the intervals of the means over rows (Student's t).
    """

    column: str
    kind: Literal["number", "date", "name"]
    n_rows: int
    points: tuple[DependencePoint, ...]
    span: float
    error: float


def affordable_grid(seconds: float, *, seconds_per_row: float) -> tuple[int, int, int]:
    """Return how many columns, points and rows fit into some CPU time.

    Rows are given up first, then points, then columns.

    Examples:
        >>> affordable_grid(0.6, seconds_per_row=1e-6)
        (6, 20, 200)
        >>> affordable_grid(0.63, seconds_per_row=5e-5)
        (6, 20, 105)
        >>> affordable_grid(0.6, seconds_per_row=1e-2)
        (3, 10, 50)
    """
    predictions = seconds / max(seconds_per_row, 1e-9)
    rows = min(MAX_ROWS, max(FEWEST_ROWS, int(predictions / (MAX_COLUMNS * MAX_POINTS))))
    points = min(MAX_POINTS, max(FEWEST_POINTS, int(predictions / (MAX_COLUMNS * rows))))
    columns = min(MAX_COLUMNS, max(FEWEST_COLUMNS, int(predictions / (points * rows))))
    return columns, points, rows


def fewest_predicted() -> int:
    """Return how many rows are predicted even if that takes long, at least."""
    # One more point is that of missing values.
    return FEWEST_COLUMNS * (1 + FEWEST_POINTS) * FEWEST_ROWS


def dependence(
    predict: Predict,
    X: np.ndarray,
    column: RawFeatures,
    *,
    n_points: int,
    n_rows: int,
    confidence: float,
    is_share: bool = False,
) -> Dependence | None:
    """Return how the prediction moves with one column; None where it has fewer than two values.

    All features of the column move together: each tried value is that of a row which has it.

    Args:
        X: Drawn rows, at least two; the values tried are theirs.
        n_points: Most values that are tried, beside missing ones.
        n_rows: So many of the drawn rows, evenly spread, have their curves taken.
        is_share: Whether predictions lie between 0 and 1; the spread then does, too.
    """
    examples = _examples(X[:, column.positions[0]], column, n_points)
    if len(examples) < 2:
        return None
    spread = np.linspace(0, len(X) - 1, min(n_rows, len(X))).round().astype(np.intp)
    curves = _curves(predict, X[spread], X[examples][:, column.positions], column)
    lead = X[examples, column.positions[0]]
    means = curves.mean(axis=1)
    moved = curves - curves.mean(axis=0) + curves.mean()
    ends = (0.0, 1.0) if is_share else (-np.inf, np.inf)
    low, high = np.quantile(moved, SPREAD, axis=1).clip(*ends)
    kind = {"datetime": "date", "numeric": "number"}.get(column.encoding.kind, "name")
    return Dependence(
        column=column.name,
        kind=kind,  # type: ignore[arg-type]
        n_rows=curves.shape[1],
        points=tuple(
            DependencePoint(
                label=label(column.encoding, value),
                x=None if kind == "name" or np.isnan(value) else float(value),
                mean=float(mean),
                low=float(lower),
                high=float(upper),
            )
            for value, mean, lower, upper in zip(lead, means, low, high, strict=True)
        ),
        span=float(means.max() - means.min()),
        error=_error(moved, confidence),
    )


def _error(moved: np.ndarray, confidence: float) -> float:
    from scipy.stats import t

    n_rows = moved.shape[1]
    reach = float(t.ppf((1 + confidence) / 2, n_rows - 1))
    return float(moved.std(axis=1, ddof=1).max()) * reach / n_rows**0.5


def _examples(values: np.ndarray, column: RawFeatures, n_points: int) -> np.ndarray:
    """Return rows that have the values to try, in the order in which they are shown."""
    present = np.flatnonzero(~np.isnan(values))
    found, first, counts = np.unique(values[present], return_index=True, return_counts=True)
    if column.is_categorical:
        order = np.argsort(-counts, kind="stable")[:n_points]
        return present[first[order]]
    if len(found) > n_points:
        ordered = present[np.argsort(values[present], kind="stable")]
        ranks = np.linspace(FIRST_RANK, LAST_RANK, n_points) * (len(ordered) - 1)
        chosen = ordered[ranks.round().astype(np.intp)]
        _, keep = np.unique(values[chosen], return_index=True)
        examples = chosen[keep]
    else:
        examples = present[first]
    missing = np.flatnonzero(np.isnan(values))
    if len(missing) >= max(1, LEAST_MISSING * len(values)):
        examples = np.append(examples, missing[0])
    return examples


def _curves(predict: Predict, X: np.ndarray, values: np.ndarray, column: RawFeatures) -> np.ndarray:
    """Return predictions `(n_points, n_rows)` where all rows have the values of a point."""
    step = max(1, _BLOCK_VALUES // X.size)
    blocks = []
    for start in range(0, len(values), step):
        points = values[start : start + step]
        rows = np.asfortranarray(np.tile(X, (len(points), 1)))
        for place, position in enumerate(column.positions):
            rows[:, position] = np.repeat(points[:, place], len(X))
        blocks.append(predict(rows).reshape(len(points), len(X)))
    return np.concatenate(blocks)
