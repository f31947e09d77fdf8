"""Which rows a section looks at where all of them would take too long."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.evaluation.examination import Examined, Rows

SLOW_SECONDS_PER_ROW = 2e-4
"""Where nobody had the time to measure what a prediction takes."""


def draw_rows(n_rows: int, n_drawn: int, *, seed: int) -> "np.ndarray":
    """Return the positions of the drawn rows, ascending; all where there are no more.

    Examples:
        >>> draw_rows(3, 10, seed=0).tolist()
        [0, 1, 2]
        >>> len(set(draw_rows(1000, 10, seed=0).tolist()))
        10
    """
    import numpy as np

    if n_drawn >= n_rows:
        return np.arange(n_rows)
    chosen = np.random.default_rng(seed).choice(n_rows, n_drawn, replace=False, shuffle=False)
    return np.sort(chosen)


def seconds_per_row(examined: "Examined") -> float:
    """Return what predicting one row is expected to take."""
    return examined.candidates.seconds_per_row or SLOW_SECONDS_PER_ROW


def affordable_rows(seconds: float, *, per_row: float, n_predictions: int, most: int) -> int:
    """Return how many rows can be predicted so many times in some CPU seconds.

    Examples:
        >>> affordable_rows(2.0, per_row=1e-5, n_predictions=100, most=5_000)
        2000
    """
    # Rounded: a quotient of floats may be a hair below a whole number.
    return max(0, min(most, int(round(seconds / (per_row * max(1, n_predictions)), 6))))


def taken(rows: "Rows", positions: "np.ndarray") -> "Rows":
    """Return some rows of a part.

    Args:
        positions: Ascending.
    """
    from dataclasses import replace

    import numpy as np

    if len(positions) == len(rows.y):
        return rows
    return replace(
        rows,
        rows=rows.rows[positions],
        frame=rows.frame[positions],
        X=np.asfortranarray(rows.X[positions]),
        y=rows.y[positions],
        prediction=rows.prediction[positions],
        groups=None if rows.groups is None else rows.groups[positions],
        times=None if rows.times is None else rows.times[positions],
    )


def seen_by_metric(examined: "Examined", prediction: "np.ndarray") -> "np.ndarray":
    """Return predictions as the search's metric looks at them: decisions, if it is about those."""
    from automl_assets.core.evaluation.judge import seen_by

    return seen_by(examined.metric, prediction, examined.threshold)
