"""Numbers as people read them."""

import math


def shown(value: float) -> str:
    """Return a number with four significant digits at most, and no exponent where avoidable.

    Examples:
        >>> [shown(v) for v in (0.98765, 12345.678, 3.0, 0.000012, -0.5, 151.26)]
        ['0.9877', '12,346', '3', '1.2e-05', '-0.5', '151.3']
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 14:
        return f"{value:.3g}"
    text = f"{value:,.{max(0, 3 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown_alike(value: float, *others: float) -> str:
    """Return a number with the decimals that suit the largest of several, for a table's row.

    Examples:
        >>> row = (0.02403, 0.0075714, 0.2337)
        >>> [shown_alike(value, *row) for value in row]
        ['0.0240', '0.0076', '0.2337']
        >>> shown_alike(0.5, 1.0)
        '0.5000'
    """
    sizes = [math.floor(math.log10(abs(v))) for v in (value, *others) if v and math.isfinite(v)]
    size = max(sizes, default=0)
    if size < -4 or size > 14 or not math.isfinite(value):
        return shown(value)
    return f"{value:,.{max(0, 4 if size == 0 else 3 - size)}f}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number and what it counts.

    Examples:
        >>> [counted(n, "fit", "fits") for n in (1, 0, 1200)]
        ['1 fit', '0 fits', '1,200 fits']
    """
    return f"{number:,} {one if number == 1 else many}"


def short(text: str) -> str:
    """Return a text of at most 48 characters: long names often differ only at their end.

    Examples:
        >>> short("plan")
        'plan'
        >>> short("x" * 90 + "_17")
        'xxxxxxxxxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxxxxxx_17'
    """
    return text if len(text) <= 48 else f"{text[:28]}…{text[-19:]}"


def shown_interval(low: float, high: float) -> str:
    """Return an interval in brackets.

    Examples:
        >>> shown_interval(0.9123456, 1.0)
        '[0.9123, 1]'
    """
    return f"[{shown(low)}, {shown(high)}]"


def percent(share: float) -> str:
    """Return a share in percent; never 0% or 100% for what is not exactly that.

    Examples:
        >>> [percent(v) for v in (0.5, 0.12345, 0.99999, 1.0, 0.0)]
        ['50%', '12.3%', '>99.9%', '100%', '0%']
    """
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{100 * share:.1f}".removesuffix(".0") + "%"
