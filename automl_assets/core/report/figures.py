"""The report's figures as inline SVG that follows the page's colours and fonts."""

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.wording import percent
from automl_assets.core.report.drawing import SVG_DPI, saved
from automl_assets.core.report.search_pictures import Palette, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from automl_assets.core.evaluation.result import Bin, Cell, Evaluation

_INK, _ACCENT, _MUTED = "#010203", "#040506", "#070809"
_COLOURS = {_INK: "currentColor", _ACCENT: "var(--accent)", _MUTED: "var(--muted)"}
"""Stand-ins that matplotlib can draw with, and what the page replaces them by."""

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _MUTED,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": _MUTED,
    "grid.linewidth": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "automl",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "xtick.major.size": 0,
    "ytick.color": _INK,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """One figure: its SVG holds what a screen reader says, and no markup from data."""

    name: str
    title: str
    caption: str
    svg: str


def draw_figures(evaluation: "Evaluation") -> tuple[ReportFigure, ...]:
    """Draw the figures of the task, in reading order."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        if evaluation.task_type == "binary":
            return (
                _precision_recall(evaluation),
                _roc(evaluation),
                _probability_calibration(evaluation, "of the positive class"),
            )
        if evaluation.task_type == "multiclass":
            return (_probability_calibration(evaluation, "of the predicted class"),)
        return (
            _predicted_actual(evaluation),
            _predicted_residual(evaluation),
            _value_calibration(evaluation),
        )


def draw_pictures(section: str, pictures: tuple[Picture, ...]) -> tuple[ReportFigure, ...]:
    """Draw the pictures of a section as figures of the report."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figures = []
    with mpl.rc_context(_STYLE):
        for picture in pictures:
            figure = Figure(figsize=(4.6, picture.height), dpi=SVG_DPI, layout="constrained")
            axes = figure.add_subplot()
            axes.set_axisbelow(True)
            picture.draw(axes, Palette(ink=_INK, accent=_ACCENT, muted=_MUTED))
            figures.append(
                _finished(figure, f"{section}-{picture.name}", picture.title, picture.caption)
            )
    return tuple(figures)


def _axes(x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.6), dpi=SVG_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_axisbelow(True)
    return figure, axes


def _finished(figure: "Figure", name: str, title: str, caption: str) -> ReportFigure:
    """Return the figure as SVG without header, sizes and metadata, its ids made unique."""
    svg = saved(figure, "svg", transparent=True, metadata={"Date": None}).decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    label = escape(f"{title}. {caption}", quote=True)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return ReportFigure(name=name, title=title, caption=caption, svg=svg)


def _unit_square(axes: "Axes") -> None:
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.03)


def _precision_recall(evaluation: "Evaluation") -> ReportFigure:
    figure, axes = _axes("Recall: share of positive rows found", "Precision")
    recall, precision = zip(*evaluation.precision_recall, strict=True)
    prevalence = sum(evaluation.confusion[1]) / evaluation.n_rows
    axes.step((0, *recall), (precision[0], *precision), where="pre", color=_ACCENT, linewidth=1.8)
    axes.axhline(prevalence, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        "no skill",
        (0.01, prevalence),
        xytext=(0, 3),
        textcoords="offset points",
        color=_MUTED,
        fontsize=8,
    )
    _unit_square(axes)
    return _finished(
        figure,
        "precision-recall",
        "Precision and recall",
        f"How pure the selection stays as more positive rows are found. A model without skill "
        f"stays at the positive rate, {prevalence:.3f}.",
    )


def _roc(evaluation: "Evaluation") -> ReportFigure:
    figure, axes = _axes("False positive rate", "True positive rate")
    axes.plot((0, 1), (0, 1), color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(*zip(*evaluation.roc, strict=True), color=_ACCENT, linewidth=1.8)
    _unit_square(axes)
    return _finished(
        figure,
        "roc",
        "ROC curve",
        "Positive rows found against negative rows wrongly selected, over all thresholds. "
        "A model without skill follows the dashed line.",
    )


def _error_bars(axes: "Axes", bins: "tuple[Bin, ...]") -> None:
    observed = [item.observed for item in bins]
    # A bin of few rows may have its mean on an end of the interval: rounding must not cross it.
    errors = (
        [max(0.0, item.observed - item.low) for item in bins],
        [max(0.0, item.high - item.observed) for item in bins],
    )
    axes.errorbar(
        [item.predicted for item in bins],
        observed,
        yerr=errors,
        color=_ACCENT,
        linewidth=1.4,
        elinewidth=1,
        capsize=2.5,
        marker="o",
        markersize=4.5,
    )


def _probability_calibration(evaluation: "Evaluation", of_class: str) -> ReportFigure:
    figure, axes = _axes(f"Predicted probability {of_class}", "Share that was right")
    if evaluation.task_type == "binary":
        axes.set_ylabel("Share that was positive")
    axes.plot((0, 1), (0, 1), color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _error_bars(axes, evaluation.calibration)
    _unit_square(axes)
    return _finished(
        figure,
        "calibration",
        "Calibration",
        f"Can the probabilities be taken at their word? {len(evaluation.calibration)} bins of "
        f"about equally many rows with {percent(evaluation.confidence)} Wilson intervals; dashed: "
        "perfect.",
    )


def _diagonal(axes: "Axes", *values: float) -> None:
    ends = (min(values), max(values))
    axes.plot(ends, ends, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))


def _bubbles(axes: "Axes", cells: "tuple[Cell, ...]") -> None:
    largest = max(cell.n_rows for cell in cells)
    axes.scatter(
        [cell.x for cell in cells],
        [cell.y for cell in cells],
        s=[8 + 42 * cell.n_rows / largest for cell in cells],
        color=_ACCENT,
        alpha=0.6,
        linewidths=0,
    )


def _predicted_actual(evaluation: "Evaluation") -> ReportFigure:
    figure, axes = _axes("Predicted", "Actual")
    cells = evaluation.predicted_actual
    _diagonal(axes, *(cell.x for cell in cells), *(cell.y for cell in cells))
    _bubbles(axes, cells)
    return _finished(
        figure,
        "predicted-actual",
        "Predicted and actual",
        "Each dot is the rows of one cell of a 40 by 40 grid, larger for more rows; on the "
        "dashed line the prediction is exact.",
    )


def _predicted_residual(evaluation: "Evaluation") -> ReportFigure:
    figure, axes = _axes("Predicted", "Residual (actual - predicted)")
    axes.axhline(0, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _bubbles(axes, evaluation.predicted_residual)
    return _finished(
        figure,
        "residuals",
        "Residuals",
        "What the model misses, by prediction. A trend or a funnel means that errors depend on "
        "the size of the prediction.",
    )


def _value_calibration(evaluation: "Evaluation") -> ReportFigure:
    figure, axes = _axes("Mean prediction", "Mean target")
    bins = evaluation.calibration
    _diagonal(axes, *(item.predicted for item in bins), *(item.observed for item in bins))
    _error_bars(axes, bins)
    return _finished(
        figure,
        "calibration",
        "Calibration",
        f"Mean target in {len(bins)} bins of about equally many rows, by rising prediction, with "
        f"{percent(evaluation.confidence)} intervals; dashed: perfect.",
    )
