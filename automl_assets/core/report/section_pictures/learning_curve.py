"""The metric by the number of rows."""

from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.sections.learning_curve import LearningCurve
from automl_assets.core.evaluation.wording import shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _curve(found: LearningCurve) -> Picture | None:
    if not found.points:
        return None
    label, points = load_metrics()[found.metric].label, found.points
    sign = 1.0 if found.direction == "maximize" else -1.0
    rows, values = [item.n_rows for item in points], [item.estimate.value for item in points]

    def draw(axes: "Axes", palette: Palette) -> None:
        axes.vlines(
            rows,
            [item.estimate.low for item in points],
            [item.estimate.high for item in points],
            color=palette.accent,
            linewidth=1.2,
        )
        axes.plot(rows, values, marker="o", markersize=4.5, color=palette.accent)
        if found.gain_of_more is not None:
            ahead = values[-1] + sign * found.gain_of_more
            axes.plot(
                [rows[-1], found.more * rows[-1]],
                [values[-1], ahead],
                linestyle="--",
                marker="o",
                markersize=4.5,
                markerfacecolor="none",
                color=palette.muted,
            )
        axes.set_xscale("log")
        ticks = [*rows, *([found.more * rows[-1]] if found.gain_of_more is not None else [])]
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("Rows fitted on")
        axes.set_ylabel(label)

    ahead = "" if found.gain_of_more is None else " The dashed line is a guess."
    return Picture(
        name="learning-curve",
        title=f"{label} by rows",
        caption=f"From {shown(values[0])} with {rows[0]:,} rows to {shown(values[-1])} with "
        f"{rows[-1]:,}, judged on {found.n_rows:,} rows; bars are intervals.{ahead}",
        draw=draw,
    )


def _pictures(found: Any) -> tuple[Picture, ...]:
    picture = _curve(LearningCurve.model_validate(found))
    return () if picture is None else (picture,)


PICTURES = SectionPictures(name="learning_curve", pictures=_pictures)
