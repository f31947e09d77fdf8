"""A metric of some of the rows: its value and how far that may be off.

A report holds some hundred such numbers, so each must be cheap: exact sums where a metric
is a mean or an area under the ROC curve, resamples of some rows where it is neither.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import dense_codes
from automl_assets.core.evaluation.ranking import placements
from automl_assets.core.metrics import Metric

N_RESAMPLES = 100
"""A standard error is then known within 7%; Student's quantile makes up for it."""

DRAWN_ROWS = 5_000
"""Rows of a resample; the error of all rows follows by the root of their number."""

MAX_DRAWN_ROWS = 50_000
RAREST_CLASS_ROWS = 50
"""A resample holds about this many of the rarest class, up to `MAX_DRAWN_ROWS`."""

MAX_OTHERS = 100_000
"""Rows that a slice is compared with, for metrics that need more than a sum."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Rows, and what a metric sees of them.

    Attributes:
        y: Class codes or values, `(n_rows,)`.
        prediction: Probabilities, certainty for what is decided on, or values.
        clusters: Codes from 0 without gaps; None where rows are independent.
    """

    y: np.ndarray
    prediction: np.ndarray
    clusters: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> "Judged":
        """Return some of the rows, by position; clusters keep their codes."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return Judged(y=self.y[rows], prediction=self.prediction[rows], clusters=clusters)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number about some rows.

    Attributes:
        error: Standard error.
        freedom: Degrees of freedom of the standard error.
        n_share: For a share: as many independent rows would tell as much; else None.
        lowest, highest: What it can be.
        on_logits: Whether its error is nearer to normal on the logit scale: an area or another
            number up to 1, near which errors have little room on one side.
        pulls: What each cluster adds to the error, by cluster; None without clusters, or
            where the error comes from resamples.
        method: How the error was found.
    """

    value: float
    error: float
    freedom: float
    method: str
    n_share: float | None = None
    lowest: float = -np.inf
    highest: float = np.inf
    on_logits: bool = False
    pulls: np.ndarray | None = None


def score(metric: Metric, rows: Judged, *, seed: int) -> Score:
    """Score some rows.

    Args:
        metric: Sees `rows.prediction` as it is.
        rows: At least two.
        seed: Decides the resamples, where there are some.

    Raises:
        ContractError: The metric is undefined for these rows.
    """
    if metric.interval == "delong":
        return _area(rows)
    terms, counts = _terms(metric, rows)
    if terms is None:
        return _resampled(metric, rows, seed)
    if not counts.any():
        return replace(share(terms[counts], None), value=metric.score(rows.y, rows.prediction))
    if not counts.all():
        rows, terms = rows.take(np.flatnonzero(counts)), terms[counts]
    return (
        share(terms, rows.clusters) if metric.interval == "wilson" else mean(terms, rows.clusters)
    )


def is_cheap(metric: Metric) -> bool:
    """Whether a score of a million rows costs no more than a sum over them."""
    return metric.row_losses is not None


def mean(terms: np.ndarray, clusters: np.ndarray | None) -> Score:
    """Return a mean; of one number or none the error is infinite."""
    n_rows = len(terms)
    if n_rows < 2:
        value = float(terms.mean()) if n_rows else float("nan")
        return Score(value=value, error=np.inf, freedom=1, method="too few rows")
    value = float(terms.mean())
    if clusters is None:
        error = float(terms.std(ddof=1)) / n_rows**0.5
        return Score(value=value, error=error, freedom=n_rows - 1, method="mean over rows")
    return _clustered(value, (terms - value) / n_rows, clusters, "mean over rows")


def share(is_right: np.ndarray, clusters: np.ndarray | None) -> Score:
    """Return a share of rows; clusters make it one of fewer rows, never of more."""
    n_rows = len(is_right)
    if not n_rows:
        return _share(float("nan"), 0.0, None, 1, "no rows")
    value = float(is_right.mean())
    if clusters is None:
        return _share(value, float(n_rows), None, max(n_rows - 1, 1), "share of rows")
    found = _clustered(value, (is_right - value) / n_rows, clusters, "share of rows")
    # Where all rows are alike nothing tells the design effect: clusters count as rows.
    worth = found.freedom + 1
    if 0 < value < 1:
        worth = min(n_rows, value * (1 - value) / found.error**2)
    return _share(value, worth, found.pulls, found.freedom, found.method)


def _share(
    value: float, n_share: float, pulls: np.ndarray | None, freedom: float, method: str
) -> Score:
    variance = value * (1 - value)
    if not variance:
        # A. Agresti and B. Coull, The American Statistician 52, 1998.
        centre = (value * n_share + 2) / (n_share + 4)
        variance = centre * (1 - centre)
    return Score(
        value=value,
        error=(variance / n_share) ** 0.5 if n_share else np.inf,
        freedom=freedom,
        method=method,
        n_share=n_share,
        lowest=0.0,
        highest=1.0,
        pulls=pulls,
    )


def _clustered(value: float, pulls: np.ndarray, clusters: np.ndarray, method: str) -> Score:
    """Return a number with the error that sums over clusters have (Liang and Zeger, 1986)."""
    of_cluster = np.bincount(clusters, weights=pulls)
    n_clusters = int((np.bincount(clusters) > 0).sum())
    of_cluster *= (n_clusters / max(n_clusters - 1, 1)) ** 0.5
    error = float(of_cluster @ of_cluster) ** 0.5 if n_clusters > 1 else np.inf
    return Score(
        value=value,
        error=error,
        freedom=max(n_clusters - 1, 1),
        method=f"{method}, {n_clusters:,} clusters",
        pulls=of_cluster,
    )


def _terms(metric: Metric, rows: Judged) -> tuple[np.ndarray | None, np.ndarray]:
    """Return each row's term of a mean, and which rows count; None if it is no mean."""
    every = np.ones(len(rows), np.bool_)
    if metric.row_losses is None or metric.interval == "bootstrap":
        return None, every
    terms = metric.row_losses(rows.y, rows.prediction)
    if len(terms) == len(rows):
        return terms, every
    if metric.interval != "wilson" or rows.prediction.ndim != 2 or rows.prediction.shape[1] != 2:
        return None, every
    # Which rows count follows from class and decision: each of the four pairs is asked about.
    pairs = [
        metric.row_losses(np.array([y]), np.eye(2)[[decision]])
        for y in (0, 1)
        for decision in (0, 1)
    ]
    cell = rows.y.astype(np.intp) * 2 + rows.prediction.argmax(axis=1)
    aligned = np.array([pair[0] if len(pair) else 0.0 for pair in pairs])[cell]
    return aligned, np.array([len(pair) > 0 for pair in pairs])[cell]


def _area(rows: Judged) -> Score:
    """Return the area under the ROC curve with DeLong's error.

    Clusters: N. Obuchowski, Biometrics 53, 1997.
    """
    positive, negative = placements(rows.y, rows.prediction[:, 1])
    area = float(positive.mean())
    n_rarer = min(len(positive), len(negative))
    if n_rarer < 2 or not 0 < area < 1:
        # Without variance the area is taken for a share of the rarer class, as intervals do.
        return _share(area, float(n_rarer), None, max(n_rarer - 1, 1), "share of the rarer class")
    limits = {"lowest": 0.0, "highest": 1.0, "on_logits": True}
    if rows.clusters is None:
        variance = float(
            positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
        )
        return Score(
            value=area, error=variance**0.5, freedom=len(rows) - 2, method="DeLong", **limits
        )
    pulls = np.empty(len(rows))
    is_positive = rows.y == 1
    pulls[is_positive] = (positive - area) / len(positive)
    pulls[~is_positive] = (negative - area) / len(negative)
    found = _clustered(area, pulls, rows.clusters, "DeLong")
    return Score(
        value=area,
        error=found.error,
        freedom=found.freedom,
        method=found.method,
        pulls=found.pulls,
        **limits,
    )


def _resampled(metric: Metric, rows: Judged, seed: int) -> Score:
    """Return a metric whose error comes from resamples of some of the rows."""
    if rows.prediction.ndim == 2 and rows.prediction.shape[1] == 2:
        # Rankings sort by the probability, which takes a third of the time where it is sorted.
        rows = rows.take(np.argsort(-rows.prediction[:, 1], kind="stable"))

    def statistic(drawn: np.ndarray) -> float:
        return metric.score(rows.y[drawn], rows.prediction[drawn])

    value = metric.score(rows.y, rows.prediction)
    # Losses are not below 0, and what is better for being larger is not above 1.
    lowest, highest = (0.0, np.inf) if metric.direction == "minimize" else (-np.inf, 1.0)
    found = resampled(statistic, rows, value=value, seed=seed)
    on_logits = metric.direction == "maximize" and "regression" not in metric.task_types
    return replace(found, lowest=lowest, highest=highest, on_logits=on_logits and 0 < value < 1)


def resampled(
    statistic: Callable[[np.ndarray], float], rows: Judged, *, value: float, seed: int
) -> Score:
    """Return any number with the error of 100 resamples, of rows or of whole clusters.

    Args:
        statistic: Takes positions of rows, repeats allowed; raises `ContractError` where it
            is undefined.
        rows: What it is computed from.
        value: What it is of all rows.
        seed: Decides the resamples.

    Raises:
        ContractError: It is undefined for more than half of the resamples.
    """
    draw, n_units, n_drawn = _draws(rows)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(N_RESAMPLES):
        try:
            values.append(statistic(draw(rng)))
        except ContractError:
            continue
    if len(values) < N_RESAMPLES / 2:
        raise ContractError(
            f"A standard error needs enough rows of each class, but the metric is undefined for "
            f"{N_RESAMPLES - len(values)} of {N_RESAMPLES} resamples of {len(rows):,} rows. "
            "Use more rows."
        )
    unit = "rows" if rows.clusters is None else "clusters"
    return Score(
        value=value,
        error=float(np.std(values, ddof=1)) * (n_drawn / n_units) ** 0.5,
        freedom=min(len(values), n_units) - 1,
        method=f"bootstrap, {len(values)} resamples of {n_drawn:,} {unit}, seed {seed}",
    )


def _draws(rows: Judged) -> tuple[Callable[[np.random.Generator], np.ndarray], int, int]:
    """Return what draws positions, how many units there are, and how many of them it draws."""
    n_rows = len(rows)
    wanted = DRAWN_ROWS
    if rows.prediction.ndim == 2:
        counts = np.bincount(rows.y.astype(np.int64))
        rarest = int(counts[counts > 0].min())
        wanted = min(max(wanted, RAREST_CLASS_ROWS * n_rows // rarest), MAX_DRAWN_ROWS)
    if rows.clusters is None:
        n_drawn = min(n_rows, wanted)
        return (lambda rng: np.sort(rng.integers(0, n_rows, n_drawn))), n_rows, n_drawn
    codes = dense_codes(rows.clusters)
    sizes = np.bincount(codes)
    order, starts = np.argsort(codes, kind="stable"), np.cumsum(sizes) - sizes
    n_clusters = len(sizes)
    n_drawn = max(min(n_clusters, 50), min(n_clusters, round(n_clusters * wanted / n_rows)))

    def draw(rng: np.random.Generator) -> np.ndarray:
        chosen = rng.integers(0, n_clusters, n_drawn)
        lengths = sizes[chosen]
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        return order[np.repeat(starts[chosen], lengths) + within]

    return draw, n_clusters, n_drawn
