"""Intervals and sets around predictions that hold the truth as often as they say.

Split conformal prediction (V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a
random world", 2005), by mapie: how far predictions were off on rows that no fit saw says how
far they will be off on rows that are like these.
"""

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Method = Literal["absolute", "normalised", "lac", "aps"]

LEVELS = (0.8, 0.9, 0.95)
"""Shares of truths that intervals and sets are to hold."""


class Band(NamedTuple):
    """The coverage that a calibration part of some rows leaves open."""

    low: float
    high: float


def coverage_band(n_rows: int, level: float, *, confidence: float) -> Band:
    """Return between which values the true coverage lies, whatever the data.

    Given the calibration rows it is Beta distributed, with n + 1 - l and l = floor((n + 1) *
    (1 - level)) (V. Vovk, "Conditional validity of inductive conformal predictors", 2012).

    Args:
        n_rows: Rows of the calibration part.
        level: Coverage that is asked for.
        confidence: Share of calibration parts for which it holds.

    Examples:
        >>> low, high = coverage_band(1000, 0.9, confidence=0.95)
        >>> round(low, 3), round(high, 3)
        (0.881, 0.918)
    """
    from scipy.stats import beta

    n_out = math.floor(round((n_rows + 1) * (1 - level), 9))
    if n_out < 1:
        # Too few rows to leave any out: everything is held.
        return Band(1.0, 1.0)
    tail = (1 - confidence) / 2
    low, high = beta.ppf((tail, 1 - tail), n_rows + 1 - n_out, n_out)
    return Band(float(low), float(high))


def _echo(n_classes: int) -> "BaseEstimator":
    """Return an estimator that predicts what it is given: the model has predicted already."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Values(RegressorMixin, BaseEstimator):
        fitted_ = True

        def fit(self, X: np.ndarray, y: np.ndarray) -> "Values":
            return self

        def predict(self, X: np.ndarray) -> np.ndarray:
            return X[:, 0]

    class Probabilities(ClassifierMixin, BaseEstimator):
        fitted_ = True
        classes_ = np.arange(n_classes)

        def fit(self, X: np.ndarray, y: np.ndarray) -> "Probabilities":
            return self

        def predict(self, X: np.ndarray) -> np.ndarray:
            return X.argmax(axis=1)

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return X

    return Probabilities() if n_classes else Values()


def prediction_intervals(
    y: np.ndarray, prediction: np.ndarray, new: np.ndarray, *, method: Method, seed: int
) -> np.ndarray:
    """Return intervals of new predictions at each of `LEVELS`, `(n_new, 2, n_levels)`.

    Args:
        y: Values of the calibration rows, `(n_rows,)`.
        prediction: Their predictions.
        new: Predictions that get intervals, `(n_new,)`.
        method: `absolute`: equally wide everywhere; `normalised`: as wide as predictions of
            that size were off, learned on half of the rows (mapie's `ResidualNormalisedScore`).
        seed: Decides the halves.
    """
    from mapie.conformity_scores import ResidualNormalisedScore
    from mapie.regression import SplitConformalRegressor

    # mapie's tolerances are absolute: of targets of 1e12 rounding alone is beyond them.
    centre = float(np.median(prediction))
    unit = math.ldexp(1.0, math.frexp(float(abs(y - prediction).max()))[1])
    y, prediction, new = (
        (np.asarray(values, np.float64) - centre) / unit for values in (y, prediction, new)
    )
    score: Any = "absolute" if method == "absolute" else ResidualNormalisedScore(random_state=seed)
    found = SplitConformalRegressor(_echo(0), confidence_level=LEVELS, conformity_score=score)
    found.conformalize(prediction.reshape(-1, 1), y)
    ends = found.predict_interval(new.reshape(-1, 1), allow_infinite_bounds=True)[1]
    return centre + unit * ends


def prediction_sets(
    y: np.ndarray, prediction: np.ndarray, new: np.ndarray, *, method: Method, seed: int
) -> np.ndarray:
    """Return which classes are in the set of each new row, `(n_new, n_classes, n_levels)`.

    Args:
        y: Class codes of the calibration rows, `(n_rows,)`.
        prediction: Their probabilities, `(n_rows, n_classes)`.
        new: Probabilities that get sets, `(n_new, n_classes)`.
        method: `lac`: the smallest sets (M. Sadinle, J. Lei and L. Wasserman, 2019); `aps`:
            sets that grow with doubt (Y. Romano, M. Sesia and E. Candes, 2020), drawn at their
            edge so that they are no larger than they need be.
        seed: Decides what is drawn.
    """
    from mapie.classification import SplitConformalClassifier

    n_classes = prediction.shape[1]
    options: dict[str, Any] = {}
    if method == "aps":
        options = {"conformity_score_params": {"include_last_label": "randomized"}}
    found = SplitConformalClassifier(
        _echo(n_classes),
        confidence_level=LEVELS,
        conformity_score=method,
        random_state=seed % 2**32,
    )
    with warnings.catch_warnings():
        # A class without calibration rows is told by the section.
        warnings.filterwarnings("ignore", message=".*less labels than your training")
        found.conformalize(_shares(prediction), y)
    return found.predict_set(_shares(new), **options)[1]


def _shares(prediction: np.ndarray) -> np.ndarray:
    """Return rows whose sum is one to the last bits, as mapie asks."""
    kept = np.asarray(prediction, np.float64)
    return kept / kept.sum(axis=1, keepdims=True)
