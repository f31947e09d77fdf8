"""How the model grew with its rows, and whether more of them would pay."""

import math
from collections.abc import Sequence
from typing import Literal

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.comparison import Difference, compare
from automl_assets.core.evaluation.drawn import seen_by_metric
from automl_assets.core.evaluation.examination import Examined, Refitter, Section
from automl_assets.core.evaluation.intervals import estimate
from automl_assets.core.evaluation.refits import (
    expected_seconds,
    member_name,
    refit_prediction,
    rows_for,
)
from automl_assets.core.evaluation.wording import shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import MetricEstimate, Value

SHARES = (0.1, 0.3, 1.0)
FEWEST_ROWS = 200
"""Of the smallest fit has fewer, it tells about luck."""

MORE = 2.0
"""How many times as many rows the extrapolation asks about."""

_LARGEST_POWER = 3.0
"""A curve that falls faster than this has ended; its power is not to be told from three points."""


class Point(Value):
    """A fit on a share of the rows, judged on the analysis part."""

    share: float
    n_rows: int
    estimate: MetricEstimate


class LearningCurve(Value):
    """What more rows brought, and may bring.

    Attributes:
        who: What was fitted, in words.
        points: From few rows to all; empty where the fits were not made: `missing` says why.
        last: What the step to all rows brought, paired by row.
        pays: Whether more rows are expected to pay; `unclear` where three points do not say.
        gain_of_more: What `more` times as many rows would bring by a power law through the
            three points; None unless these improve at every step, ever more slowly.
        power: Of that law.
        seconds: What the fits are expected to take.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    seed: int
    confidence: float
    who: str = ""
    n_rows: int = 0
    points: tuple[Point, ...] = ()
    last: Difference | None = None
    pays: Literal["yes", "no", "unclear"] = "unclear"
    more: float = MORE
    gain_of_more: float | None = None
    power: float | None = None
    missing: str = ""
    seconds: float | None = None


def power_law_gain(
    n_rows: Sequence[int], losses: Sequence[float], *, more: float
) -> tuple[float, float] | None:
    """Return what more rows would take off a loss, and the power of the law through three points.

    The law is loss = a + b * n ** -c (C. Cortes et al., "Learning curves: asymptotic values and
    rate of convergence", NIPS 1993). It goes through three points only if the loss falls at
    both steps, and by less than it would along a logarithm.

    Args:
        n_rows: Three numbers of rows, rising.
        losses: Lower is better.
        more: How many times the last number of rows.

    Examples:
        >>> losses = [0.2 + n**-0.5 for n in (100, 300, 1000)]
        >>> gain, power = power_law_gain((100, 300, 1000), losses, more=2.0)
        >>> round(power, 6), round(gain, 6) == round(1000**-0.5 - 2000**-0.5, 6)
        (0.5, True)
        >>> power_law_gain((100, 300, 1000), (0.3, 0.4, 0.2), more=2.0) is None
        True
    """
    from scipy.optimize import brentq

    first, middle, last = (math.log(n) for n in n_rows)
    steps = losses[0] - losses[1], losses[1] - losses[2]
    if min(steps) <= 0:
        return None
    ratio = steps[0] / steps[1]

    def off(power: float) -> float:
        # Relative to the last number of rows, so that no power is too large for a float.
        low, mid = math.expm1(power * (last - first)), math.expm1(power * (last - middle))
        return (low - mid) / mid - ratio

    if off(1e-6) >= 0 or off(_LARGEST_POWER) <= 0:
        return None
    power = float(brentq(off, 1e-6, _LARGEST_POWER, xtol=1e-12))
    scale = steps[1] / math.expm1(power * (last - middle))
    return scale * -math.expm1(-power * math.log(more)), power


def _curve(examined: Examined, refitter: Refitter, empty: LearningCurve) -> LearningCurve:
    rows, metric = rows_for(examined, len(SHARES)), examined.metric
    clusters = clusters_of(rows.groups, rows.times)
    seen = [
        seen_by_metric(
            examined, refit_prediction(examined, refitter, rows, seed=examined.seed, share=share)
        )
        for share in SHARES
    ]
    try:
        points = tuple(
            Point(
                share=share,
                n_rows=round(share * refitter.n_rows),
                estimate=estimate(
                    metric,
                    rows.y,
                    prediction,
                    seed=examined.seed,
                    confidence=examined.confidence,
                    groups=clusters,
                ),
            )
            for share, prediction in zip(SHARES, seen, strict=True)
        )
        last = compare(
            metric,
            rows.y,
            seen[2],
            seen[1],
            seed=examined.seed,
            confidence=examined.confidence,
            groups=clusters,
        )
    except ContractError as error:
        return empty.model_copy(update={"missing": str(error)})
    sign = -1.0 if metric.direction == "maximize" else 1.0
    law = power_law_gain(
        [point.n_rows for point in points],
        [sign * point.estimate.value for point in points],
        more=MORE,
    )
    found = {
        "n_rows": len(rows.y),
        "points": points,
        "last": last,
        "pays": "yes" if last.is_better and law else "unclear" if last.is_better else "no",
        # What is within chance is not continued.
        "gain_of_more": law[0] if law and last.is_better else None,
        "power": law[1] if law and last.is_better else None,
    }
    return empty.model_copy(update=found)


def examine(examined: Examined) -> LearningCurve:
    """Fit on ever more rows, where that is affordable, and say whether more would pay."""
    refitter = examined.refitter
    seconds = None if refitter is None else expected_seconds(refitter, SHARES)
    empty = LearningCurve(
        metric=examined.metric.name,
        direction=examined.metric.direction,
        seed=examined.seed,
        confidence=examined.confidence,
        who=member_name(examined),
        seconds=seconds,
    )
    missing = ""
    if refitter is None or seconds is None:
        missing = (
            "Fits on fewer rows need the files of the search, which are no longer there. "
            "Run the request again to have them."
        )
    elif SHARES[0] * refitter.n_rows < FEWEST_ROWS:
        missing = (
            f"A tenth of {refitter.n_rows:,} rows is too few to fit on; "
            f"at least {round(FEWEST_ROWS / SHARES[0]):,} rows are needed."
        )
    elif seconds > examined.seconds:
        missing = (
            f"Fits on a tenth, three tenths and all of {refitter.n_rows:,} rows would take about "
            f"{shown(seconds)} CPU seconds, more than the {shown(examined.seconds)} that a section "
            "of this report may take."
        )
    if missing or refitter is None:
        return empty.model_copy(update={"missing": missing})
    return _curve(examined, refitter, empty)


def _sentences(value: Value) -> tuple[str, ...]:
    if not isinstance(value, LearningCurve) or value.last is None:
        return ()
    last, label = value.last, load_metrics()[value.metric].label
    if value.pays == "no":
        return (
            f"More rows are not expected to pay: from 30% of them to all, {label} changed within "
            "chance.",
        )
    step = f"the step from 30% of them to all improved {label} by {shown(last.gain)}"
    if value.gain_of_more is None:
        return (f"More rows helped so far: {step}; where that ends, three fits do not say.",)
    return (
        f"More rows would pay: {step}; {shown(value.more)} times as many may improve it by about "
        f"{shown(value.gain_of_more)} more.",
    )


def _limits(value: Value) -> tuple[str, ...]:
    if isinstance(value, LearningCurve) and value.gain_of_more is not None:
        return (
            "What more rows would bring is a curve through three fits, and holds only for rows "
            "like these.",
        )
    return ()


SECTION = Section(
    name="learning_curve",
    title="Learning curve",
    position=65,
    result=LearningCurve,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
