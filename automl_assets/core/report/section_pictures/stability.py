"""The metric over time."""

from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.sections.stability import Stability
from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LABELS = 8


def _over_time(found: Stability) -> Picture | None:
    drawn = [(item, item.estimate) for item in found.periods if item.estimate is not None]
    if len(drawn) < 2:
        return None
    label = load_metrics()[found.metric].label
    places = list(range(len(drawn)))

    def draw(axes: "Axes", palette: Palette) -> None:
        for place, (item, estimate) in enumerate(drawn):
            colour = palette.muted if item.is_small else palette.accent
            axes.vlines(place, estimate.low, estimate.high, color=colour, linewidth=1.2)
            axes.plot([place], [estimate.value], marker="o", markersize=4, color=colour)
        step = -(-len(drawn) // MAX_LABELS)
        names = [short(item.name).split(" to ")[0] for item, _ in drawn]
        axes.set_xticks(places[::step], names[::step], rotation=30, ha="right")
        axes.set_ylabel(label)
        axes.grid(visible=False, axis="x")

    values = [estimate.value for _, estimate in drawn]
    n_small = sum(item.is_small for item, _ in drawn)
    small = f" {n_small} with fewer than 100 rows are grey." if n_small else ""
    return Picture(
        name="stability-time",
        title=f"{label} over time",
        caption=f"From {shown(min(values))} to {shown(max(values))} in {len(drawn)} stretches of "
        f"{min(item.n_rows for item, _ in drawn):,} to "
        f"{max(item.n_rows for item, _ in drawn):,} rows; bars are "
        f"{percent(drawn[0][1].confidence)} intervals.{small}",
        draw=draw,
    )


def _pictures(found: Any) -> tuple[Picture, ...]:
    picture = _over_time(Stability.model_validate(found))
    return () if picture is None else (picture,)


PICTURES = SectionPictures(name="stability", pictures=_pictures)
