"""The metric of each slice, beside that of all rows."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.sections.slices import SliceReport
from automl_assets.core.evaluation.wording import percent, short, shown, shown_interval
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SLICES = 20


def pictures(found: SliceReport) -> tuple[Picture, ...]:
    """Return the picture of the slices; none if fewer than two are large enough."""
    ranked = [
        (item, item.value, item.low, item.high)
        for item in found.slices
        if item.value is not None and item.low is not None and item.high is not None
    ]
    if len(ranked) < 2:
        return ()
    drawn = ranked[:MAX_SLICES][::-1]

    def draw(axes: "Axes", palette: Palette) -> None:
        places = range(len(drawn))
        axes.axvspan(
            found.overall_low, found.overall_high, color=palette.muted, alpha=0.15, linewidth=0
        )
        axes.axvline(found.overall, color=palette.muted, linewidth=1, linestyle=(0, (4, 3)))
        for is_flagged in (False, True):
            chosen = [
                (place, *row[1:])
                for place, row in zip(places, drawn, strict=True)
                if (row[0].standing in ("worse", "better")) == is_flagged
            ]
            if not chosen:
                continue
            colour = palette.accent if is_flagged else palette.muted
            where, values, lows, highs = zip(*chosen, strict=True)
            axes.hlines(where, lows, highs, color=colour, linewidth=1.4)
            axes.scatter(
                values,
                where,
                s=26,
                zorder=3,
                facecolors=colour if is_flagged else "none",
                edgecolors=colour,
            )
        axes.set_yticks(list(places), [short(row[0].name) for row in drawn], fontsize=7)
        axes.grid(visible=False, axis="y")
        axes.margins(y=0.04)
        axes.set_xlabel(found.label)

    more = "" if len(ranked) <= MAX_SLICES else f" The {MAX_SLICES} worst of {len(ranked):,}."
    return (
        Picture(
            name="slices",
            title=f"{found.label} by slice",
            caption=f"The worst at the top, with intervals that hold together with "
            f"{percent(found.confidence)}; full dots differ from the rest beyond chance. Dashed: "
            f"all {found.n_rows:,} rows, {shown(found.overall)} "
            f"{shown_interval(found.overall_low, found.overall_high)}.{more}",
            draw=draw,
            height=1.1 + 0.2 * len(drawn),
        ),
    )


PICTURES = SectionPictures(name="slices", pictures=pictures)
