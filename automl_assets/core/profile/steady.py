"""Sums that come out the same however many threads add: what is stored has a digest."""

import math

_SIGNIFICANT_DIGITS = 9


def steady(value: float | None, scale: float) -> float | None:
    """Return a number without the digits that depend on the order in which threads add.

    Args:
        value: None or not finite gives None.
        scale: Size of the values that were added.

    Examples:
        >>> steady(-0.00020674018505753404, 0.9995783222206303)
        -0.00020674
    """
    if value is None or not math.isfinite(value) or not math.isfinite(scale):
        return None
    if scale == 0:
        return value
    return round(value, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(scale))) + 0.0
