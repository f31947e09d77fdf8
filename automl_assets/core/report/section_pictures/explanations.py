"""How predictions move with the most important columns."""

from functools import partial
from typing import TYPE_CHECKING

from automl_assets.core.evaluation.explaining.dependence import Dependence, DependencePoint
from automl_assets.core.evaluation.explaining.result import Explanations
from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMES = 12


Range = tuple[float, float]


def pictures(value: Explanations) -> tuple[Picture, ...]:
    """Return a picture for each column, the most important first, all on one scale."""
    points = [point for item in value.dependence for point in item.points]
    if not points:
        return ()
    ends = min(point.low for point in points), max(point.high for point in points)
    margin = 0.04 * (ends[1] - ends[0]) or 1e-6
    scale = (ends[0] - margin, ends[1] + margin)
    return tuple(
        _picture(number, item, value, scale) for number, item in enumerate(value.dependence, 1)
    )


def _picture(number: int, item: Dependence, value: Explanations, scale: Range) -> Picture:
    by_name = item.kind == "name"
    points = item.points[:MAX_NAMES] if by_name else item.points
    first, *_, last = sorted(points, key=lambda point: point.mean)
    more = len(item.points) - len(points)
    others = f" {more} less frequent values are in card.json." if more else ""
    return Picture(
        name=f"dependence-{number}",
        title=short(item.column),
        # A column's name keeps its case.
        caption=f"Mean {value.outcome} of {item.n_rows} rows: "
        f"{shown(first.mean)} at {first.label}, {shown(last.mean)} at {last.label}; "
        f"{percent(value.confidence)} intervals are ±{shown(item.error)} or narrower.{others}",
        draw=partial(_draw_names if by_name else _draw_line, points, item.kind, value, scale),
        height=0.9 + 0.22 * len(points) if by_name else 2.5,
    )


def _draw_line(
    points: tuple[DependencePoint, ...],
    kind: str,
    value: Explanations,
    scale: Range,
    axes: "Axes",
    palette: Palette,
) -> None:
    line = [(p.x, p.mean, p.low, p.high) for p in points if p.x is not None]
    x, means, lows, highs = zip(*line, strict=True)
    axes.fill_between(x, lows, highs, color=palette.accent, alpha=0.18, linewidth=0)
    axes.plot(x, means, color=palette.accent, linewidth=1.6, marker="o", markersize=2.5)
    for point in points:
        if point.x is None:
            axes.axhline(point.mean, color=palette.muted, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                point.label,
                (x[0], point.mean),
                xytext=(0, 3),
                textcoords="offset points",
                color=palette.muted,
                fontsize=8,
            )
    if kind == "date":
        _date_axis(axes)
    else:
        _number_axis(axes)
    axes.set_ylabel(value.outcome)
    axes.set_ylim(scale)


def _date_axis(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _number_axis(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))


def _draw_names(
    points: tuple[DependencePoint, ...],
    kind: str,
    value: Explanations,
    scale: Range,
    axes: "Axes",
    palette: Palette,
) -> None:
    places = range(len(points))[::-1]
    lows, highs = [p.low for p in points], [p.high for p in points]
    axes.hlines(places, lows, highs, color=palette.accent, alpha=0.25, linewidth=6)
    axes.scatter([p.mean for p in points], places, s=20, color=palette.accent, zorder=3)
    axes.set_yticks(list(places), [p.label for p in points])
    axes.set_ylim(-0.7, len(points) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(value.outcome)
    axes.set_xlim(scale)


PICTURES = SectionPictures(name="explanations", pictures=pictures)
