"""Writing a report: report.html for people, card.json for programs, card.md for the registry."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_assets.core.evaluation.openings import Opening
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.files import publish_bytes, publish_text
from automl_assets.core.report.card import build_card, card_bytes
from automl_assets.core.report.figures import draw_figures, draw_pictures
from automl_assets.core.report.limits import NO_FAILURES
from automl_assets.core.report.render import SectionPage, render_html, render_markdown
from automl_assets.core.report.search_pictures import search_pictures
from automl_assets.core.report.section_pictures import load_section_pictures
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
    Value,
)


def write_report(
    folder: Path,
    *,
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    evaluation: Evaluation,
    sections: Mapping[str, Value],
    opening: Opening,
    environment: dict[str, str],
    failed: Mapping[str, str] = NO_FAILURES,
) -> EvaluationReport:
    """Write report.html, card.json and card.md; equal arguments give equal bytes.

    Args:
        folder: Made if missing. Files of an earlier report in it are replaced.
        accepted: The request.
        snapshot: The data.
        split: The parts; the analysis part is the one judged.
        candidates: What the search found.
        evaluation: The winner on the analysis part.
        sections: What each section found, by name, in order.
        opening: How often the analysis part has been opened.
        environment: Versions that the numbers depend on, by name; `code` is ours.
        failed: Why a section failed, by its name.

    Returns:
        The report's value; it names the folder without its parents.
    """
    card = build_card(
        accepted=accepted,
        snapshot=snapshot,
        split=split,
        candidates=candidates,
        evaluation=evaluation,
        sections=sections,
        opening=opening,
        environment=environment,
        failed=failed,
    )
    content = card_bytes(card)
    digest = hashlib.sha256(content).hexdigest()
    publish_text(
        folder / "report.html",
        render_html(
            card,
            figures=draw_figures(evaluation),
            search_figures=draw_pictures("search", search_pictures(candidates)),
            pages=_pages(card, sections),
            card_sha256=digest,
        ),
    )
    publish_text(folder / "card.md", render_markdown(card, card_sha256=digest))
    # Last: who finds the card finds the rest.
    publish_bytes(folder / "card.json", content)
    return evaluation.as_report(folder=folder.name, card_sha256=digest)


def _pages(card: dict[str, Any], sections: Mapping[str, Value]) -> tuple[SectionPage, ...]:
    known, drawn = load_sections(), load_section_pictures()
    return tuple(
        SectionPage(
            name=name,
            title=known[name].title,
            found=card["sections"][name],
            figures=draw_pictures(name, drawn[name].pictures(found)) if name in drawn else (),
        )
        for name, found in sections.items()
    )
