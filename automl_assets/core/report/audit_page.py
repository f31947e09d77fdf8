"""An audit as one page for people: what was found first, then the chain, link by link."""

from automl_assets.core.audit.result import AuditReport, Link, sentences
from automl_assets.core.report.render import templates

MAX_SHOWN = 500
"""Checks of one link that are listed; all are in `automl audit --json`."""

MEANINGS = {
    "prediction": "One answer, as the log of its batch has it.",
    "version": "What the model registry says of the version, beside what the card says.",
    "model": "The files of the model, and all that is served with them.",
    "report": "The evaluation report: its card is what people approve.",
    "probe": "A few rows whose predictions tell the model from any other.",
    "candidate": "The trials of the search that the model is made of.",
    "ledger": "All trials of the search: enough to run them again.",
    "splits": "Which rows were learned from, and which the model was judged on.",
    "data": "The rows, at one commit that cannot change unnoticed.",
    "source": "Where the rows came from.",
    "request": "What was asked for, as it was written.",
    "owner": "Who asked, and what for.",
    "approvals": "Who registered, approved and promoted the version, and which card they saw.",
    "history": "The version before this one.",
    "code": "The code that made the model.",
    "lock": "The versions of the libraries that were installed.",
    "environment": "What it ran on.",
    "copies": "What is kept in the home beside the registry and the store.",
}


def render_audit(report: AuditReport) -> str:
    """Return one self-contained page without scripts; equal reports give equal bytes."""
    broken = [(link.name, sentence) for link in report.links for sentence in sentences(link)]
    template = templates().get_template("audit.html.j2")
    return template.render(
        report=report,
        broken=broken,
        links=[(link, link_state(link)) for link in report.links],
        hashes=report.tally("hash"),
        records=report.tally("record"),
        meanings=MEANINGS,
        max_shown=MAX_SHOWN,
    )


def link_state(link: Link) -> tuple[str, str]:
    """Return how a link stands in words, and the class of its badge."""
    outcomes = {check.outcome for check in link.broken}
    if outcomes:
        words = " and ".join(word for word in ("altered", "missing") if word in outcomes)
        return words, "bad"
    if link.checks:
        return f"{len(link.checks)} verified", "good"
    return "nothing to verify", "warn" if link.notes else ""
