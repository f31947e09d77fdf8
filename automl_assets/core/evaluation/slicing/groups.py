"""Groups of rows beside each other: rates, and the largest difference and ratio between two."""

from itertools import combinations

import numpy as np

from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.slicing import Slicing
from automl_assets.core.evaluation.slicing.fairlearn_rates import (
    Measure,
    Rate,
    measures_of,
    rates_by_group,
)
from automl_assets.core.evaluation.slicing.inference import Ends, interval, joined
from automl_assets.core.evaluation.slicing.scores import Score, mean, share
from automl_assets.core.evaluation.slicing.study import MIN_CLASS_ROWS, why_small
from automl_assets.core.values import Value

_NO_RATIO = (None, None, None)


class GroupRate(Value):
    """One rate of one group; None where the group has too few rows of a class for it."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Group(Value):
    """One group. Rates are in the order of the column's `rates`."""

    name: str
    n_rows: int
    why_small: str = ""
    rates: tuple[GroupRate, ...] = ()


class Disparity(Value):
    """The largest difference of a rate between two groups, and the smallest ratio.

    Attributes:
        low, high: Of the difference; it holds for all pairs of groups together.
        ratio: Smallest over largest; None where it has no meaning.
    """

    name: str
    label: str
    of_class: str = ""
    difference: float
    low: float
    high: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    lowest: str
    lowest_value: float
    highest: str
    highest_value: float


class FairnessColumn(Value):
    """Groups by the values of one column."""

    column: str
    rates: tuple[Rate, ...]
    groups: tuple[Group, ...]
    disparities: tuple[Disparity, ...]


def compare_groups(
    slicing: Slicing, examined: Examined, clusters: np.ndarray | None
) -> FairnessColumn | None:
    """Compare the groups that a column makes; None if fewer than two are large enough."""
    rows, n_classes = examined.analysis, len(examined.classes)
    decisions = examined.decisions(rows.prediction) if n_classes else None
    positions = [slicing.rows(number) for number in range(len(slicing.names))]
    small = [
        why_small(rows.y[chosen], n_classes, None if clusters is None else clusters[chosen])
        for chosen in positions
    ]
    large = [number for number, reason in enumerate(small) if not reason]
    if len(large) < 2:
        return None
    measures = measures_of(examined, decisions)
    scores = [
        {number: _score(measure, positions[number], clusters) for number in large}
        for measure in measures
    ]
    frame = rates_by_group(measures, slicing.codes, large, examined, decisions)
    disparities = [
        _disparity(measure, found, frame[column], slicing.names, examined.confidence)
        for column, (measure, found) in enumerate(zip(measures, scores, strict=True))
    ]
    return FairnessColumn(
        column=slicing.source,
        rates=tuple(measure.rate for measure in measures),
        groups=tuple(
            Group(
                name=slicing.names[number],
                n_rows=len(positions[number]),
                why_small=small[number],
                rates=tuple(
                    _rate(found[number], examined.confidence) for found in scores if number in found
                ),
            )
            for number in range(len(positions))
            if len(positions[number])
        ),
        disparities=tuple(item for item in disparities if item is not None),
    )


def _score(measure: Measure, rows: np.ndarray, clusters: np.ndarray | None) -> Score | None:
    """Return a group's rate; None where it has too few rows of the class."""
    if measure.counts is not None:
        rows = rows[measure.counts[rows]]
        if len(rows) < MIN_CLASS_ROWS:
            return None
    chosen = None if clusters is None else clusters[rows]
    return (share if measure.is_share else mean)(measure.terms[rows], chosen)


def _rate(found: Score | None, confidence: float) -> GroupRate:
    if found is None:
        return GroupRate(value=None)
    low, high = interval(found, confidence)
    return GroupRate(value=found.value, low=low, high=high)


def _disparity(
    measure: Measure,
    scores: dict[int, Score | None],
    by_group: dict[int, float],
    names: tuple[str, ...],
    confidence: float,
) -> Disparity | None:
    """Return the largest difference; None if fewer than two groups have the rate.

    The interval is that of the largest of all pairs: each pair's is Newcombe's at a level
    that makes all hold together (Bonferroni), and the largest ends count.
    """
    found = {number: item for number, item in scores.items() if item is not None}
    if len(found) < 2:
        return None
    n_pairs = len(found) * (len(found) - 1) // 2
    ends = {
        number: interval(item, 1 - (1 - confidence) / n_pairs) for number, item in found.items()
    }
    values = {number: by_group[number] for number in found}
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    pairs = [
        joined(values[one], ends[one], values[other], ends[other])
        for one, other in combinations(sorted(values, key=values.__getitem__, reverse=True), 2)
    ]
    ratio = _ratio(values, ends, lowest, highest) if measure.has_ratio else _NO_RATIO
    return Disparity(
        name=measure.rate.name,
        label=measure.rate.label,
        of_class=measure.rate.of_class,
        difference=values[highest] - values[lowest],
        low=max(0.0, *(pair.low for pair in pairs)),
        high=max(pair.high for pair in pairs),
        ratio=ratio[0],
        ratio_low=ratio[1],
        ratio_high=ratio[2],
        lowest=names[lowest],
        lowest_value=values[lowest],
        highest=names[highest],
        highest_value=values[highest],
    )


def _ratio(
    values: dict[int, float], ends: dict[int, Ends], lowest: int, highest: int
) -> tuple[float | None, float | None, float | None]:
    """Return the smallest ratio of two groups, and the interval that all pairs share.

    Differences of logarithms are joined as those of rates are (G. Zou and A. Donner,
    Statistics in Medicine 27, 2008).
    """
    if values[highest] <= 0:
        return _NO_RATIO
    pairs = [
        _ratio_ends(values[one], ends[one], values[other], ends[other])
        for one in values
        for other in values
        if one != other and values[one] <= values[other] and values[other] > 0
    ]
    return (
        values[lowest] / values[highest],
        min(pair.low for pair in pairs),
        min(1.0, *(pair.high for pair in pairs)),
    )


def _ratio_ends(ours: float, our_ends: Ends, theirs: float, their_ends: Ends) -> Ends:
    if ours <= 0 or our_ends.low <= 0 or their_ends.low <= 0:
        # A rate that may be zero has no logarithm: the ends of both are taken.
        low = max(0.0, our_ends.low) / their_ends.high
        return Ends(low, our_ends.high / their_ends.low if their_ends.low > 0 else np.inf)
    logs = (np.log([value, *pair]) for value, pair in ((ours, our_ends), (theirs, their_ends)))
    (our, our_low, our_high), (their, their_low, their_high) = logs
    low, high = joined(our, Ends(our_low, our_high), their, Ends(their_low, their_high))
    return Ends(float(np.exp(low)), float(np.exp(high)))
