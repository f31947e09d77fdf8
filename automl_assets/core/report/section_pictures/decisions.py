"""Pictures of decisions: what other thresholds would cost, and how much they would help."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.result import Points
from automl_assets.core.evaluation.sections.decisions import DecisionsResult, NetBenefit
from automl_assets.core.evaluation.wording import percent, shown
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = (0, (4, 3))


def pictures(result: DecisionsResult) -> tuple[Picture, ...]:
    """Return the pictures of the task."""
    found = []
    if result.cost_curve:
        found.append(_cost(result))
    if result.net_benefit is not None:
        found.append(_benefit(result, result.net_benefit))
    return tuple(found)


def _cost(result: DecisionsResult) -> Picture:
    assert result.cost is not None
    cost = result.cost

    def draw(axes: "Axes", palette: Palette) -> None:
        thresholds, costs = zip(*result.cost_curve, strict=True)
        axes.plot(thresholds, costs, color=palette.accent, linewidth=1.8)
        _mark(axes, palette, _threshold(result))
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Threshold")
        axes.set_ylabel(f"{cost.currency} per 1,000 rows")

    return Picture(
        name="cost",
        title="Cost by threshold",
        caption=f"What decisions on these {result.n_rows:,} rows cost, by the probability from "
        f"which the model says yes; dashed: its own threshold, {shown(_threshold(result))}. There "
        f"it costs {shown(cost.per_1000)}, {percent(result.confidence)} interval "
        f"{shown(cost.low)} to {shown(cost.high)}.",
        draw=draw,
    )


def _benefit(result: DecisionsResult, benefit: NetBenefit) -> Picture:
    def draw(axes: "Axes", palette: Palette) -> None:
        highest = max(value for _, value in (*benefit.model, *benefit.everyone))
        top = 1.15 * max(highest, 0.01)
        axes.plot(*_columns(benefit.everyone), color=palette.muted, linewidth=1.2)
        axes.axhline(0, color=palette.muted, linewidth=1)
        axes.plot(*_columns(benefit.model), color=palette.accent, linewidth=1.8)
        _mark(axes, palette, _threshold(result))
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.25 * top, top)
        axes.set_xlabel("Threshold")
        axes.set_ylabel("Net benefit per row")

    return Picture(
        name="net-benefit",
        title="Net benefit",
        caption=f"True positives less false ones, weighed by the odds of the threshold, on "
        f"{result.n_rows:,} rows. The model (thick) helps where it lies above saying yes to all "
        "(thin, falling) and above saying no to all (zero); dashed: its own threshold.",
        draw=draw,
    )


def _columns(points: Points) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def _threshold(result: DecisionsResult) -> float:
    return 0.5 if result.threshold is None else result.threshold


def _mark(axes: "Axes", palette: Palette, threshold: float) -> None:
    axes.axvline(threshold, color=palette.ink, linewidth=1, linestyle=_DASHES)


PICTURES = SectionPictures(name="decisions", pictures=pictures)
