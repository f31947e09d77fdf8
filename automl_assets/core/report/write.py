"""Writing a report: report.html for people, card.json for programs, card.md for the registry."""

import hashlib
from pathlib import Path

from automl_assets.core.evaluation.importance import FeatureImportance
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.files import publish_bytes, publish_text
from automl_assets.core.report.card import build_card, card_bytes
from automl_assets.core.report.figures import draw_figures, draw_pictures
from automl_assets.core.report.render import render_html, render_markdown
from automl_assets.core.report.search_pictures import search_pictures
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    Split,
)


def write_report(
    folder: Path,
    *,
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    evaluation: Evaluation,
    importance: tuple[FeatureImportance, ...],
    environment: dict[str, str],
) -> EvaluationReport:
    """Write report.html, card.json and card.md; equal arguments give equal bytes.

    Args:
        folder: Made if missing. Files of an earlier report in it are replaced.
        accepted: The request.
        snapshot: The data.
        split: The parts; the analysis part is the one judged.
        candidates: What the search found.
        evaluation: The winner on the analysis part.
        importance: The most important feature first.
        environment: Versions that the numbers depend on, by name; `code` is ours.

    Returns:
        The report's value; it names the folder without its parents.
    """
    card = build_card(
        accepted=accepted,
        snapshot=snapshot,
        split=split,
        candidates=candidates,
        evaluation=evaluation,
        importance=importance,
        environment=environment,
    )
    content = card_bytes(card)
    digest = hashlib.sha256(content).hexdigest()
    publish_text(
        folder / "report.html",
        render_html(
            card,
            figures=draw_figures(evaluation),
            search_figures=draw_pictures(search_pictures(candidates)),
            card_sha256=digest,
        ),
    )
    publish_text(folder / "card.md", render_markdown(card, card_sha256=digest))
    # Last: who finds the card finds the rest.
    publish_bytes(folder / "card.json", content)
    return evaluation.as_report(folder=folder.name, card_sha256=digest)
