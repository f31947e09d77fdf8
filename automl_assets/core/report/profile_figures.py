"""The small figures of a data profile as inline SVG: numbers only, no text from data."""

from collections.abc import Sequence
from html import escape

from automl_assets.core.evaluation.wording import percent, shown
from automl_assets.core.values import QUANTILES

_BOX_WIDTH, _BOX_HEIGHT = 150, 16
_CHART_WIDTH, _CHART_HEIGHT, _LEFT, _TOP = 420, 140, 52, 8
_PLOT = _CHART_HEIGHT - _TOP - 12


def quantile_box(quantiles: Sequence[float]) -> str:
    """Return a box from quartile to quartile, its median, and whiskers from 1 % to 99 %.

    Args:
        quantiles: At `QUANTILES`, rising.
    """
    low, high = quantiles[0], quantiles[-1]
    p1, p5, p25, p50, p75, p95, p99 = (
        2 + (_BOX_WIDTH - 4) * _share(value, low, high) for value in quantiles
    )
    pairs = zip(QUANTILES, quantiles, strict=True)
    spoken = ", ".join(f"{percent(share)} {shown(value)}" for share, value in pairs)
    middle = _BOX_HEIGHT / 2
    marks = (
        f'<path class="w" d="M{p1:.1f} {middle}H{p99:.1f}'
        f'M{p5:.1f} {middle - 3}v6M{p95:.1f} {middle - 3}v6"/>'
        f'<rect class="b" x="{p25:.1f}" y="2" width="{max(p75 - p25, 1):.1f}" height="12"/>'
        f'<path class="m" d="M{p50:.1f} 1v14"/>'
    )
    return _svg(f"Quantiles: {spoken}", _BOX_WIDTH, _BOX_HEIGHT, marks, "box")


def period_bars(values: Sequence[int], *, label: str) -> str:
    """Return one bar for each period, from 0 to the largest."""
    most = max([*values, 1])
    step = (_CHART_WIDTH - _LEFT) / max(1, len(values))
    marks = "".join(
        f'<rect class="b" x="{_LEFT + step * index + step * 0.1:.1f}" '
        f'y="{_TOP + _PLOT * (1 - value / most):.1f}" width="{step * 0.8:.1f}" '
        f'height="{_PLOT * value / most:.1f}"/>'
        for index, value in enumerate(values)
    )
    return _svg(label, _CHART_WIDTH, _CHART_HEIGHT, _scale(0, most) + marks, "chart")


def period_line(values: Sequence[float | None], *, label: str, low: float, high: float) -> str:
    """Return a line through the values of the periods; missing ones leave a gap."""
    step = (_CHART_WIDTH - _LEFT) / max(1, len(values))
    path, dots, pen = "", "", "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x = _LEFT + step * (index + 0.5)
        y = _TOP + _PLOT * (1 - _share(value, low, high))
        path += f"{pen}{x:.1f} {y:.1f}"
        dots += f'<circle class="d" cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>'
        pen = "L"
    marks = f'<path class="l" d="{path}"/>{dots}'
    return _svg(label, _CHART_WIDTH, _CHART_HEIGHT, _scale(low, high) + marks, "chart")


def _share(value: float, low: float, high: float) -> float:
    """Return how far a value is from one end to the other; the middle if they are one."""
    # Halves, because the distance of two floats may be more than a float holds.
    extent = high / 2 - low / 2
    return (value / 2 - low / 2) / extent if extent else 0.5


def _scale(low: float, high: float) -> str:
    """Return lines at both ends and in the middle, and their numbers."""
    marks = ""
    for share in (0.0, 0.5, 1.0):
        y = _TOP + _PLOT * (1 - share)
        text = shown(low * (1 - share) + high * share)
        marks += (
            f'<path class="g" d="M{_LEFT} {y:.1f}H{_CHART_WIDTH}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    return marks


def _svg(label: str, width: int, height: int, marks: str, kind: str) -> str:
    return (
        f'<svg class="{kind}" role="img" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {width} {height}">{marks}</svg>'
    )
