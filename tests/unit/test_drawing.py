"""A figure as a file: what Matplotlib would write, with one drawing less."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import pytest

from automl_assets.core.report.drawing import SVG_DPI, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(*, dpi: int) -> "Figure":
    """Return a figure whose labels and legend need room that only a layout gives them."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(4.6, 3.0), dpi=dpi, layout="constrained")
    axes = made.add_subplot()
    axes.plot([0.0, 1.0, 2.0], [1e6, 3e6, 2e6], label="a curve")
    axes.set_yticks([1e6, 3e6], ["a label that is rather long", "another"])
    axes.set_xlabel("Trial")
    made.legend(loc="outside lower center")
    return made


@pytest.mark.parametrize(
    ("kind", "made_at", "options"),
    [
        ("svg", 100, {"transparent": True, "metadata": {"Date": None}}),
        ("png", 80, {"metadata": {"Software": None}}),
    ],
)
def test_a_file_is_what_savefig_writes(
    kind: Literal["svg", "png"], made_at: int, options: dict[str, Any]
) -> None:
    import matplotlib as mpl

    expected = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "automl", "svg.fonttype": "none"}):
        figure(dpi=made_at).savefig(expected, format=kind, **options)
        found = saved(figure(dpi=SVG_DPI if kind == "svg" else made_at), kind, **options)

    assert found == expected.getvalue()


def test_a_figure_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn, draw = [], Axes.draw
    monkeypatch.setattr(
        Axes, "draw", lambda axes, renderer: (drawn.append(1), draw(axes, renderer))
    )

    saved(figure(dpi=SVG_DPI), "svg")

    assert len(drawn) == 1
