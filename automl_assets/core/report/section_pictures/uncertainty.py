"""Where intervals and sets hold the truth, and where they do not."""

from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.sections.uncertainty import Uncertainty
from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _by_stretch(found: Uncertainty) -> Picture | None:
    if not found.methods or len(found.methods[0].stretches) < 2:
        return None
    drawn = found.methods[0].stretches[::-1]
    level = found.shown_level

    def draw(axes: "Axes", palette: Palette) -> None:
        names = [
            short(item.name) if item.name else f"{shown(item.low or 0)} to {shown(item.high or 0)}"
            for item in drawn
        ]
        places = range(len(drawn))
        axes.hlines(
            places,
            [item.observed.low for item in drawn],
            [item.observed.high for item in drawn],
            color=palette.accent,
            linewidth=1.2,
        )
        values = [item.observed.value for item in drawn]
        axes.plot(values, places, "o", markersize=4.5, color=palette.accent)
        axes.axvline(level, color=palette.muted, linestyle="--", linewidth=1)
        axes.set_yticks(list(places), names)
        axes.grid(visible=False, axis="y")
        axes.margins(y=0.08)
        axes.set_xlabel("Share of rows that are held")

    worst = min(drawn, key=lambda item: item.observed.value)
    where = "by true class" if worst.name else "by size of the prediction"
    return Picture(
        name="uncertainty-coverage",
        title=f"Held {where}",
        caption=f"Asked for: {percent(level)} (dashed). The least is "
        f"{percent(worst.observed.value)} of {worst.observed.n_rows:,} rows; bars are intervals. "
        f"Made {found.methods[0].name}.",
        draw=draw,
        height=0.9 + 0.24 * len(drawn),
    )


def _pictures(found: Any) -> tuple[Picture, ...]:
    picture = _by_stretch(Uncertainty.model_validate(found))
    return () if picture is None else (picture,)


PICTURES = SectionPictures(name="uncertainty", pictures=_pictures)
