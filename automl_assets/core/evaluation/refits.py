"""Fits of the winner's main member beside the winner: what they take, and what they predict."""

from collections.abc import Sequence

import numpy as np

from automl_assets.core.evaluation.drawn import affordable_rows, draw_rows, seconds_per_row, taken
from automl_assets.core.evaluation.examination import Examined, Refitter, Rows

MAX_ROWS = 20_000
"""Rows that refits predict."""

FEWEST_ROWS = 1_000

PREDICTING_SHARE = 0.25
"""Of the seconds of a section, what predicting may take."""


def expected_seconds(refitter: Refitter, shares: Sequence[float]) -> float:
    """Return what fits on these shares of the rows are expected to take together."""
    return sum(refitter.expected_seconds(share) for share in shares)


def rows_for(examined: Examined, n_predictions: int) -> Rows:
    """Return rows of the analysis part that can be predicted so many times."""
    n_all = len(examined.analysis.y)
    most = affordable_rows(
        PREDICTING_SHARE * examined.seconds,
        per_row=seconds_per_row(examined),
        n_predictions=n_predictions,
        most=MAX_ROWS,
    )
    chosen = draw_rows(n_all, max(most, FEWEST_ROWS), seed=examined.seed)
    return taken(examined.analysis, chosen)


def refit_prediction(
    examined: Examined, refitter: Refitter, rows: Rows, *, seed: int, share: float = 1.0
) -> np.ndarray:
    """Return what a refit predicts, through the winner's calibration where it has one."""
    prediction = refitter.fit(seed=seed, share=share)(rows.X)
    calibration = examined.predictor.calibration
    return prediction if calibration is None else calibration.apply(prediction)


def member_name(examined: Examined) -> str:
    """Return which model is fitted again, in words."""
    members = examined.candidates.members
    if len(members) < 2:
        return f"the model ({examined.candidates.best.family})"
    return f"the ensemble's main member ({examined.candidates.best.family})"


def std_interval(std: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the interval of a standard deviation of `n` normal numbers, by chi-squared.

    Examples:
        >>> low, high = std_interval(1.0, 5, 0.95)
        >>> round(low, 2), round(high, 2)
        (0.6, 2.87)
    """
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    upper, lower = chi2.ppf((1 - tail, tail), n - 1)
    return float(std * ((n - 1) / upper) ** 0.5), float(std * ((n - 1) / lower) ** 0.5)
