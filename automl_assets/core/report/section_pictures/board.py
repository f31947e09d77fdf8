"""The best candidates' scores, and which of them are tied."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.sections.board import Leaderboard
from automl_assets.core.evaluation.wording import percent, shown, shown_interval
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _scores(found: Leaderboard) -> Picture:
    entries = found.entries[::-1]

    def draw(axes: "Axes", palette: Palette) -> None:
        names = [f"{item.number} {item.family}" for item in entries]
        axes.axvspan(found.low, found.high, color=palette.accent, alpha=0.12, linewidth=0)
        axes.axvline(found.corrected, color=palette.accent, linewidth=1, linestyle="--")
        # All at once, so that they keep their order.
        axes.scatter(
            [item.score for item in entries],
            names,
            s=26,
            facecolors=[palette.accent if item.is_tied else "none" for item in entries],
            edgecolors=[palette.accent if item.is_tied else palette.muted for item in entries],
            linewidths=1,
            zorder=3,
        )
        axes.margins(x=0.08, y=0.06)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{load_metrics()[found.metric].label}, {found.selection}")

    return Picture(
        name="ties",
        title="Scores, and who is tied",
        caption=f"Each dot is a candidate's score on {found.n_rows:,} rows; a full one cannot be "
        f"told apart from the best. Dashed: what the best is worth with its luck taken off, "
        f"{shown(found.corrected)}; shaded: its {percent(found.confidence)} interval "
        f"{shown_interval(found.low, found.high)}.",
        draw=draw,
        height=1.1 + 0.22 * len(entries),
    )


def pictures(found: Leaderboard) -> tuple[Picture, ...]:
    """Return the picture of the scores; none of a single candidate."""
    return (_scores(found),) if len(found.entries) > 1 else ()


PICTURES = SectionPictures(name="board", pictures=pictures)
