"""The population stability index of a column, from two profiles of it."""

import math
from collections.abc import Iterable

import numpy as np

from automl_assets.core.values import QUANTILES, ColumnProfile

MIN_SHARE = 1e-4
"""A bin that is empty on one side counts as this share, or the index would be infinite."""


def stability_index(
    before: ColumnProfile, after: ColumnProfile, n_before: int | None, n_after: int | None
) -> float | None:
    """Return the population stability index, or None where the profiles cannot tell it.

    The sum over bins of (after - before) * ln(after / before), with shares of the
    values that are present. Texts, and numbers of few different values: a bin for
    each frequent value, and one for all others. Other numbers: the bins lie
    between the quantiles of before, and the shares of after are read off its own
    quantiles, in between by straight lines.

    Args:
        n_before, n_after: Rows of the tables; needed where values are counted.
    """
    # Seven quantiles of zeros and ones jump by a quarter where the share of ones moves by a
    # hundredth: what is counted is compared by its counts.
    if before.top and after.top and n_before and n_after:
        return _of_levels(before, after, n_before - before.n_nulls, n_after - after.n_nulls)
    if before.quantiles and after.quantiles:
        return _of_numbers(before, after)
    return None


def _of_numbers(before: ColumnProfile, after: ColumnProfile) -> float:
    edges, shares = _distribution(before)
    values, reached = _distribution(after)
    # Outside of what after holds its distribution is 0 or 1.
    found = np.interp(edges, values, reached, left=0.0, right=1.0)
    return _index(np.diff([0, *shares, 1]), np.diff([0, *found, 1]))


def _distribution(column: ColumnProfile) -> tuple[list[float], list[float]]:
    """Return values and the share of rows up to each; of equal values the largest share."""
    points = dict(zip(column.quantiles, QUANTILES, strict=True))
    return list(points), list(points.values())


def _of_levels(before: ColumnProfile, after: ColumnProfile, n_before: int, n_after: int) -> float:
    old, new = dict(before.top), dict(after.top)
    # A value that only one side lists may be among the others of the other side.
    names = (
        [name for name in old if name in new]
        if _hides(before, n_before) or _hides(after, n_after)
        else list(old | new)
    )
    return _index(*(_shares(side, names, n) for side, n in ((old, n_before), (new, n_after))))


def _hides(column: ColumnProfile, n_present: int) -> bool:
    return sum(n for _, n in column.top) < n_present


def _shares(counts: dict[str, int], names: list[str], n_present: int) -> list[float]:
    found = [counts.get(name, 0) / max(n_present, 1) for name in names]
    return [*found, max(0.0, 1 - sum(found))]


def _index(before: Iterable[float], after: Iterable[float]) -> float:
    pairs = ((max(a, MIN_SHARE), max(b, MIN_SHARE)) for a, b in zip(before, after, strict=True))
    # Rounded so that binary noise does not look like a change.
    return round(sum((b - a) * math.log(b / a) for a, b in pairs), 9)
