"""How often conformal intervals and sets hold the truth, and how wide they are."""

from collections.abc import Iterator

import numpy as np

from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.conformal import (
    LEVELS,
    Method,
    coverage_band,
    prediction_intervals,
    prediction_sets,
)
from automl_assets.core.evaluation.examination import Examined, Rows
from automl_assets.core.evaluation.intervals import share_interval
from automl_assets.core.values import Value

SHOWN_LEVEL = 0.9
MAX_CLASSES = 20
N_BINS = 10
ROWS_PER_BIN = 20
_NAMES: dict[Method, str] = {
    "absolute": "equally wide",
    "normalised": "wider where predictions were off by more",
    "lac": "smallest sets (LAC)",
    "aps": "sets that grow with doubt (APS)",
}


class Share(Value):
    """A share of rows, with its interval."""

    value: float
    low: float
    high: float
    n_rows: int
    method: str


class Coverage(Value):
    """How often the truth is inside, at one level.

    Attributes:
        level: Share that was asked for.
        observed: On the analysis part.
        band_low, band_high: What the calibration part allows the true coverage to be.
        width: Mean width of the intervals; None for classification or where one is endless.
        size: Mean number of classes in a set; None for regression.
        empty: Share of sets with no class.
        several: Share of sets with two classes or more.
    """

    level: float
    observed: Share
    band_low: float
    band_high: float
    width: float | None = None
    size: float | None = None
    empty: float | None = None
    several: float | None = None


class Stretch(Value):
    """Rows of about equal prediction, or of one class, at the shown level.

    Attributes:
        low, high: Of the predictions; None for a class.
        name: Of the class; empty for a stretch of predictions.
    """

    name: str = ""
    low: float | None = None
    high: float | None = None
    observed: Share
    width: float | None = None
    size: float | None = None


class MethodResult(Value):
    """One way to make intervals or sets."""

    method: Method
    name: str
    levels: tuple[Coverage, ...]
    stretches: tuple[Stretch, ...]


class _Counter:
    """Counts shares of rows, with intervals that know which rows belong together."""

    def __init__(self, rows: Rows, confidence: float) -> None:
        self._clusters = clusters_of(rows.groups, rows.times)
        self._confidence = confidence

    def share(self, inside: np.ndarray, chosen: np.ndarray | None = None) -> Share:
        clusters = self._clusters
        if chosen is not None:
            inside = inside[chosen]
            clusters = None if clusters is None else clusters[chosen]
        low, high, method = share_interval(inside, self._confidence, clusters)
        return Share(
            value=float(inside.mean()), low=low, high=high, n_rows=len(inside), method=method
        )


def of_intervals(method: Method, calibration: Rows, rows: Rows, examined: Examined) -> MethodResult:
    """Return how often intervals from the calibration rows hold, on the others."""
    ends = prediction_intervals(
        calibration.y, calibration.prediction, rows.prediction, method=method, seed=examined.seed
    )
    inside = (ends[:, 0] <= rows.y[:, None]) & (rows.y[:, None] <= ends[:, 1])
    widths = ends[:, 1] - ends[:, 0]
    # Half of the rows taught the width.
    n_rows = len(calibration.y) // (2 if method == "normalised" else 1)
    levels, count = [], _Counter(rows, examined.confidence)
    for place, level in enumerate(LEVELS):
        band = coverage_band(n_rows, level, confidence=examined.confidence)
        levels.append(
            Coverage(
                level=level,
                observed=count.share(inside[:, place]),
                band_low=band.low,
                band_high=band.high,
                width=_finite(float(widths[:, place].mean())),
            )
        )
    shown_place = LEVELS.index(SHOWN_LEVEL)
    stretches = tuple(
        Stretch(
            low=float(rows.prediction[chosen].min()),
            high=float(rows.prediction[chosen].max()),
            observed=count.share(inside[:, shown_place], chosen),
            width=_finite(float(widths[chosen, shown_place].mean())),
        )
        for chosen in _deciles(rows.prediction)
    )
    return MethodResult(
        method=method, name=_NAMES[method], levels=tuple(levels), stretches=stretches
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _deciles(prediction: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of each stretch of predictions, rising; equal ones stay together."""
    n_bins = max(1, min(N_BINS, len(prediction) // ROWS_PER_BIN))
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, n_bins + 1)[1:-1]))
    place = np.searchsorted(edges, prediction, side="left")
    for number in np.unique(place):
        yield np.flatnonzero(place == number)


def of_sets(method: Method, calibration: Rows, rows: Rows, examined: Examined) -> MethodResult:
    """Return how often sets from the calibration rows hold, on the others."""
    sets = prediction_sets(
        calibration.y, calibration.prediction, rows.prediction, method=method, seed=examined.seed
    )
    codes = rows.y.astype(np.intp)
    inside = sets[np.arange(len(codes)), codes]
    sizes = sets.sum(axis=1)
    levels, count = [], _Counter(rows, examined.confidence)
    for place, level in enumerate(LEVELS):
        band = coverage_band(len(calibration.y), level, confidence=examined.confidence)
        levels.append(
            Coverage(
                level=level,
                observed=count.share(inside[:, place]),
                band_low=band.low,
                band_high=band.high,
                size=float(sizes[:, place].mean()),
                empty=float((sizes[:, place] == 0).mean()),
                several=float((sizes[:, place] > 1).mean()),
            )
        )
    shown_place = LEVELS.index(SHOWN_LEVEL)
    counts = np.bincount(codes, minlength=len(examined.classes))
    largest = sorted(np.argsort(-counts, kind="stable")[:MAX_CLASSES].tolist())
    stretches = tuple(
        Stretch(
            name=examined.classes[code],
            observed=count.share(inside[:, shown_place], codes == code),
            size=float(sizes[codes == code, shown_place].mean()),
        )
        for code in largest
        if counts[code]
    )
    return MethodResult(
        method=method, name=_NAMES[method], levels=tuple(levels), stretches=stretches
    )
