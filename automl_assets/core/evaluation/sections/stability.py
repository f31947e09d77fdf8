"""Whether the model is as good in every stretch of time, and whether its seed matters."""

from itertools import combinations
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.drawn import draw_rows, seen_by_metric
from automl_assets.core.evaluation.examination import Examined, Refitter, Rows, Section
from automl_assets.core.evaluation.intervals import estimate, mean_interval
from automl_assets.core.evaluation.periods import Stretch, stretches
from automl_assets.core.evaluation.refits import (
    expected_seconds,
    member_name,
    refit_prediction,
    rows_for,
    std_interval,
)
from automl_assets.core.evaluation.wording import percent, shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import MetricEstimate, Value

MAX_PERIODS = 24
MAX_BOOTSTRAP_PERIODS = 12
"""Of a metric whose interval is a bootstrap: each costs about as much as a second headline."""

MAX_PERIOD_ROWS = 2_000
"""Rows of a period that a bootstrap sees."""

SMALL_PERIOD = 100
"""Below, a period is grey."""

MIN_ROWS = 2
N_SEEDS = 4
ALIKE = 0.05
"""Chance below which periods are said to differ."""


class Period(Value):
    """The metric in one stretch of time; None where it is undefined there."""

    name: str
    n_rows: int
    n_drawn: int
    estimate: MetricEstimate | None
    is_small: bool


class Refits(Value):
    """What fits of the same member with other seeds have in common.

    Attributes:
        who: What was fitted again, in words.
        scores: Of the search's metric, one a seed.
        std: Standard deviation of the scores, with its chi-squared interval.
        flips: Share of rows on which two fits decide differently, mean over pairs, or, for
            regression, the mean distance of two predictions in the target's unit.
        flips_share: For regression, that in standard deviations of the target.
        is_random: Whether the seed changes anything.
    """

    who: str
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    n_rows: int
    std: float
    std_low: float
    std_high: float
    flips: float
    flips_low: float
    flips_high: float
    flips_share: float | None = None
    method: str
    is_random: bool


class Stability(Value):
    """How steady the model is.

    Attributes:
        periods: Oldest first; empty without `data.time`.
        alike: Chance that periods that are all alike differ as much as these (Q of
            W. Cochran, Biometrics 10, 1954); None of fewer than two.
        refits: None where they were not made; `missing` says why.
        seconds: What the refits are expected to take.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    is_regression: bool
    confidence: float
    seed: int
    periods: tuple[Period, ...] = ()
    alike: float | None = None
    refits: Refits | None = None
    missing: str = ""
    seconds: float | None = None


def _period(examined: Examined, stretch: Stretch) -> Period:
    rows, metric = stretch.rows, examined.metric
    is_resampled = metric.interval == "bootstrap"
    if is_resampled and len(rows) > MAX_PERIOD_ROWS:
        rows = rows[draw_rows(len(rows), MAX_PERIOD_ROWS, seed=examined.seed)]
    of = examined.analysis
    found = None
    if len(rows) > 1:
        try:
            found = estimate(
                metric,
                of.y[rows],
                seen_by_metric(examined, of.prediction[rows]),
                seed=examined.seed,
                confidence=examined.confidence,
                groups=None if of.groups is None else clusters_of(of.groups[rows], None),
            )
        except ContractError:
            found = None
    return Period(
        name=stretch.name,
        n_rows=len(stretch.rows),
        n_drawn=len(rows),
        estimate=found,
        is_small=len(stretch.rows) < SMALL_PERIOD,
    )


def _periods(examined: Examined) -> tuple[Period, ...]:
    times = examined.analysis.times
    if times is None:
        return ()
    most = MAX_BOOTSTRAP_PERIODS if examined.metric.interval == "bootstrap" else MAX_PERIODS
    return tuple(_period(examined, stretch) for stretch in stretches(times, most=most))


def chance_alike(periods: tuple[Period, ...], *, confidence: float) -> float | None:
    """Return how likely periods that are alike would differ as much as these, by Cochran's Q.

    Small periods are left out: their intervals are no measure of their spread.
    """
    from scipy.stats import chi2

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    kept = [item.estimate for item in periods if item.estimate and not item.is_small]
    pairs = [(item.value, (item.high - item.low) / (2 * z)) for item in kept]
    pairs = [(value, error) for value, error in pairs if error > 0]
    if len(pairs) < 2:
        return None
    values, errors = (np.array(column) for column in zip(*pairs, strict=True))
    weights = 1 / errors**2
    centre = float(weights @ values / weights.sum())
    return float(chi2.sf(float(weights @ (values - centre) ** 2), len(pairs) - 1))


def _refits(examined: Examined, refitter: Refitter) -> Refits:
    rows = rows_for(examined, N_SEEDS)
    seeds = tuple((examined.seed + 7919 * (1 + number)) % 2**31 for number in range(N_SEEDS))
    found = [refit_prediction(examined, refitter, rows, seed=seed) for seed in seeds[:2]]
    # A fit that draws nothing gives the same model for every seed: two show it.
    is_random = not np.array_equal(found[0], found[1])
    if is_random:
        found += [refit_prediction(examined, refitter, rows, seed=seed) for seed in seeds[2:]]
    scores = [examined.metric.score(rows.y, seen_by_metric(examined, item)) for item in found]
    std = float(np.std(scores, ddof=1))
    low, high = std_interval(std, len(scores), examined.confidence)
    return Refits(
        who=member_name(examined),
        seeds=seeds[: len(found)],
        scores=tuple(float(score) for score in scores),
        n_rows=len(rows.y),
        std=std,
        std_low=low,
        std_high=high,
        is_random=is_random,
        **_flips(examined, rows, found),
    )


def _flips(examined: Examined, rows: Rows, predictions: list[np.ndarray]) -> dict[str, Any]:
    """Return how often, or how far, two fits differ, as a mean over rows and pairs."""
    of_rows = np.zeros(len(rows.y))
    pairs = list(combinations(predictions, 2))
    for one, other in pairs:
        if examined.classes:
            of_rows += examined.decisions(one) != examined.decisions(other)
        else:
            of_rows += np.abs(one - other)
    of_rows /= len(pairs)
    low, high, method = mean_interval(
        of_rows, examined.confidence, clusters_of(rows.groups, rows.times)
    )
    mean = float(of_rows.mean())
    share = None if examined.classes else mean / (float(np.std(rows.y)) or 1.0)
    return {
        "flips": mean,
        "flips_low": low,
        "flips_high": high,
        "flips_share": share,
        "method": method,
    }


def _why_not(examined: Examined, seconds: float | None) -> str:
    """Return why nothing is fitted again; empty where it is."""
    if seconds is None:
        return (
            "Fits with other seeds need the files of the search, which are no longer there. "
            "Run the request again to have them."
        )
    if seconds > examined.seconds:
        return (
            f"How much another seed changes is not known: {N_SEEDS} fits would take about "
            f"{shown(seconds)} CPU seconds, more than the {shown(examined.seconds)} that a section "
            "of this report may take."
        )
    if len(examined.analysis.y) < MIN_ROWS:
        return (
            f"Fits are compared on {MIN_ROWS} rows or more, but the analysis part has "
            f"{len(examined.analysis.y)}."
        )
    return ""


def examine(examined: Examined) -> Stability:
    """Score stretches of time, and fit the main member again where that is affordable."""
    periods, refitter = _periods(examined), examined.refitter
    seconds = None if refitter is None else expected_seconds(refitter, [1.0] * N_SEEDS)
    refits, missing = None, _why_not(examined, seconds)
    if refitter is not None and not missing:
        try:
            refits = _refits(examined, refitter)
        except ContractError as error:
            missing = str(error)
    return Stability(
        metric=examined.metric.name,
        direction=examined.metric.direction,
        is_regression=not examined.classes,
        confidence=examined.confidence,
        seed=examined.seed,
        periods=periods,
        alike=chance_alike(periods, confidence=examined.confidence),
        refits=refits,
        missing=missing,
        seconds=seconds,
    )


def worst_period(found: Stability) -> Period | None:
    """Return the period with the worst metric among those of enough rows."""
    kept = [(item.estimate.value, item) for item in found.periods if item.estimate]
    kept = [(value, item) for value, item in kept if not item.is_small]
    if not kept:
        return None
    pick = min if found.direction == "maximize" else max
    return pick(kept, key=lambda pair: pair[0])[1]


def _sentences(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Stability):
        return ()
    told = []
    worst = worst_period(value)
    if value.alike is not None and value.alike < ALIKE and worst and worst.estimate:
        told.append(
            f"{load_metrics()[value.metric].label} differs between stretches of time by more than "
            f"chance; it is worst in {worst.name}, with {shown(worst.estimate.value)}."
        )
    if value.refits is not None and value.refits.is_random:
        flips = value.refits.flips
        moved = f"move predictions by {shown(flips)} on average"
        changed = moved if value.is_regression else f"change {percent(flips)} of decisions"
        told.append(f"Another seed alone would {changed}.")
    return tuple(told)


def _limits(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Stability):
        return ()
    limits = []
    if not value.periods:
        limits.append("Nothing is known about how the model holds over time.")
    if value.refits is None:
        limits.append("How much another seed would change was not measured.")
    return tuple(limits)


SECTION = Section(
    name="stability",
    title="Stability",
    position=60,
    result=Stability,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
