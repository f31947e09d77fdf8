"""A figure as a file, its parts put in place once."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG_DPI = 72
"""Matplotlib draws SVG in points, so that figures for it are laid out in them as well."""


def saved(figure: "Figure", kind: Literal["svg", "png"], **options: Any) -> bytes:
    """Return a figure with a constrained layout as a file; equal to what `savefig` makes of it.

    `savefig` would draw the figure twice: once only to get at the layout.

    Args:
        figure: For SVG its resolution is `SVG_DPI`.
        kind: Format of the file.
        options: Of `Figure.savefig`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # Texts are measured with the canvas that will draw them.
    (FigureCanvasSVG if kind == "svg" else FigureCanvasAgg)(figure)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        # Not "none": that stands for the engine that was, and `savefig` would draw for it.
        figure.set_layout_engine(None)
    buffer = BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
