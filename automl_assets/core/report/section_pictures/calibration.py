"""Pictures of calibration: how sure the model is, and each large class against all others."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.sections.calibration import CalibrationResult, ClassCalibration
from automl_assets.core.evaluation.wording import percent, short
from automl_assets.core.report.search_pictures import Palette, Picture
from automl_assets.core.report.section_pictures import SectionPictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = (0, (4, 3))


def pictures(result: CalibrationResult) -> tuple[Picture, ...]:
    """Return the pictures of the task."""
    found = [_histogram(result)] if result.histogram else []
    drawn = [item for item in result.classes if item.bins]
    found += [
        _reliability(number, item, result.confidence) for number, item in enumerate(drawn, start=1)
    ]
    return tuple(found)


def _histogram(result: CalibrationResult) -> Picture:
    counts, width = result.histogram, 1 / len(result.histogram)

    def draw(axes: "Axes", palette: Palette) -> None:
        starts = [number * width for number in range(len(counts))]
        axes.bar(starts, counts, width=0.9 * width, align="edge", color=palette.accent)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Predicted probability of the positive class")
        axes.set_ylabel("Rows")

    return Picture(
        name="sureness",
        title="How sure the model is",
        caption=f"{result.n_rows:,} rows by predicted probability. Only rows near 0 and 1 are "
        "told apart with little doubt.",
        draw=draw,
    )


def _reliability(number: int, item: ClassCalibration, confidence: float) -> Picture:
    def draw(axes: "Axes", palette: Palette) -> None:
        axes.plot((0, 1), (0, 1), color=palette.muted, linewidth=1, linestyle=_DASHES)
        shares = [b.observed for b in item.bins]
        errors = (
            [max(0.0, b.observed - b.low) for b in item.bins],
            [max(0.0, b.high - b.observed) for b in item.bins],
        )
        axes.errorbar(
            [b.predicted for b in item.bins],
            shares,
            yerr=errors,
            color=palette.accent,
            linewidth=1.4,
            elinewidth=1,
            capsize=2.5,
            marker="o",
            markersize=4.5,
        )
        axes.set_xlim(-0.015, 1.015)
        axes.set_ylim(-0.015, 1.03)
        axes.set_xlabel("Predicted probability")
        axes.set_ylabel("Share of the class")

    n_rows = sum(b.n_rows for b in item.bins)
    return Picture(
        name=f"class-{number}",
        title=f"Calibration of {short(item.name)}",
        caption=f"Share of class {short(item.name)} in {len(item.bins)} bins of all {n_rows:,} "
        f"rows, of which {item.n_rows:,} are of the class, with {percent(confidence)} Wilson "
        "intervals; dashed: perfect.",
        draw=draw,
    )


PICTURES = SectionPictures(name="calibration", pictures=pictures)
