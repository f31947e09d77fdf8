"""From a card to pages for people."""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.wording import percent, short, shown, shown_alike, shown_interval
from automl_assets.core.report.figures import ReportFigure

if TYPE_CHECKING:
    import jinja2

NOTHING = "\N{EN DASH}"
ENDINGS = {
    "time_limit": "when the time was up",
    "n_trials": "when all trials were done",
    "exhausted": "when nothing was left to try",
}
MAX_LEADERS = 10
MAX_LISTED = 200
MAX_COLUMNS = 200
MAX_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class SectionPage:
    """One section of the evaluation as the report shows it.

    Attributes:
        found: What it found, as plain JSON.
    """

    name: str
    title: str
    found: dict[str, Any]
    figures: tuple[ReportFigure, ...]


def render_html(
    card: dict[str, Any],
    *,
    figures: tuple[ReportFigure, ...],
    search_figures: tuple[ReportFigure, ...],
    pages: tuple[SectionPage, ...],
    card_sha256: str,
) -> str:
    """Return one self-contained page without scripts; text from data is escaped."""
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            card=card,
            selection=_selection(card["search"]["selection"]),
            endings=ENDINGS,
            figures=figures,
            search_figures=search_figures,
            pages=pages,
            titles={"search": "Search"} | {page.name: page.title for page in pages},
            card_sha256=card_sha256,
            max_leaders=MAX_LEADERS,
            max_listed=MAX_LISTED,
            max_columns=MAX_COLUMNS,
            max_classes=MAX_CLASSES,
        )
    )


def render_markdown(card: dict[str, Any], *, card_sha256: str) -> str:
    """Return the card on one screen, as the registry shows it."""
    template = templates().get_template("card.md.j2")
    return template.render(card=card, card_sha256=card_sha256)


@cache
def templates() -> "jinja2.Environment":
    """Return the templates of all pages; text from data is escaped in those for HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("automl_assets.core.report"),
        autoescape=lambda name: name is not None and name.endswith((".html.j2", ".css.j2")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        shown=_shown,
        alike=_alike,
        interval=lambda estimate: shown_interval(estimate["low"], estimate["high"]),
        percent=percent,
        short=short,
        count=lambda number: f"{number:,}",
        bytes=_bytes,
        duration=_duration,
        megabytes=lambda number: _bytes(round(number * 1_000_000)),
        zip=zip,
        markdown=_markdown,
    )
    return environment


def _selection(selection: str) -> str:
    """Return what candidates were compared on as the end of a sentence."""
    if selection == "validation part":
        return "the validation part"
    return f"rows that no fit had seen ({selection})"


def _shown(value: Any) -> str:
    """Return a number as people read it, and anything else as text."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return shown(value)


def _alike(value: float | None, *rows: dict[str, Any]) -> str:
    """Return a number with the decimals of the estimates it stands beside."""
    if value is None:
        return NOTHING
    others = (row[key] for row in rows for key in ("value", "low", "high"))
    return shown_alike(value, *(other for other in others if other is not None))


def _bytes(number: int | None) -> str:
    if number is None:
        return NOTHING
    if number < 1_000_000:
        return f"{number / 1_000:,.0f} kB"
    return f"{number / 1_000_000:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.1f} min"


def _markdown(text: str) -> str:
    """Escape what Markdown or HTML would take for markup."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(text.split()))
