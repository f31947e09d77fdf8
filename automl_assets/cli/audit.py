"""`automl audit`: from a prediction or a version back to its source, each digest made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.reference import split_reference
from automl_assets.core.audit import AuditReport, Link, Places, sentences
from automl_assets.core.audit import audit_version as follow
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publish_text
from automl_assets.core.ports import ModelRegistry
from automl_assets.core.prediction_log import (
    PredictionBatch,
    PredictionId,
    parse_prediction_id,
    read_batch,
)
from automl_assets.core.request.text import visible
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings

BROKEN = 5
"""Exit code where something was altered or is missing."""

_WIDTH = 13


def audit_version(
    model: str | None, *, prediction: str | None, as_json: bool, html: Path | None
) -> int:
    """Audit a version, or a prediction and the version that made it; print what was found.

    Args:
        model: `NAME`, or `NAME@` and a version number, a semantic version or an alias. It may
            be left out with a prediction, which names its version.
        prediction: As the column `prediction_id` has it.
        html: File for a page with all of it.

    Returns:
        0, or 5 if anything was altered or is missing.

    Raises:
        RequestError: There is no such model or prediction.
        SnapshotError: The log of the prediction cannot be read.
        ServiceError: A server does not answer.
    """
    if (model is None) == (prediction is None):
        raise RequestError(
            "An audit starts at a model or at a prediction; found "
            f"{'neither' if model is None else 'both'}. Say `automl audit NAME@VERSION` or "
            "`automl audit --prediction ID`."
        )
    settings = Settings()
    with places_of(settings) as places:
        start = None if prediction is None else _start(prediction, places)
        version = _version(places.registry, model, start)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        report = follow(places, version, at=at, prediction=start)
    if html is not None:
        _write_page(report, html)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(report, Console(highlight=False))
    return 0 if report.is_whole else BROKEN


@contextmanager
def places_of(settings: Settings) -> Iterator[Places]:
    """Wire what an audit looks at."""
    from resources.code_origin import code_origin
    from resources.release_log import StoredReleaseLog

    with build_for_cli(settings, Console(stderr=True)) as cli:
        yield Places(
            store=cli.snapshot_store,
            registry=cli.model_registry,
            requests=cli.request_store,
            releases=StoredReleaseLog(cli.snapshot_store),
            values=settings.values_folder,
            reports=settings.reports_folder,
            studies=settings.studies_folder,
            predictions=settings.predictions_folder,
            here=code_origin(settings),
        )


def _start(prediction: str, places: Places) -> tuple[PredictionId, PredictionBatch]:
    found = parse_prediction_id(prediction)
    return found, read_batch(places.predictions, found)


def _version(
    registry: ModelRegistry,
    model: str | None,
    start: tuple[PredictionId, PredictionBatch] | None,
) -> ModelVersion:
    if start is None:
        return registry.find(*split_reference(model or ""))
    prediction, batch = start
    # By its package: a changed version number in the log must not lead to another model.
    ours = [item for item in registry.list_versions() if item.name == prediction.name]
    same = [item for item in ours if item.artifact_sha256 == batch.artifact_sha256]
    same.sort(key=lambda item: item.version != batch.version)
    return same[0] if same else registry.find(prediction.name, batch.version)


def _write_page(report: AuditReport, html: Path) -> None:
    from automl_assets.core.report.audit_page import render_audit

    try:
        publish_text(html, render_audit(report))
    except OSError as error:
        raise RequestError(
            f"The page is written to a file that can be made; {str(html)!r} cannot: "
            f"{error.strerror or error}. Name another file."
        ) from error


def _print(report: AuditReport, console: Console) -> None:
    for link in report.links:
        _print_link(link, console)
    agreeing, compared = report.tally("record")
    verified, hashes = report.tally("hash")
    _line("records", f"{agreeing} of {compared} agree", console)
    _line("integrity", f"{verified} of {hashes} hashes verified", console)


def _print_link(link: Link, console: Console) -> None:
    label = link.name
    facts = [f"{fact.label}  {fact.text}" for fact in link.facts]
    for text in facts or ([] if link.notes else ["nothing is recorded"]):
        _line(label, text, console)
        label = ""
    for note in link.notes:
        _line(label, note, console)
        label = ""
    for sentence in sentences(link):
        _line("BROKEN", f"{link.name}: {sentence}", console, style="bold red")


def _line(label: str, text: str, console: Console, *, style: str = "") -> None:
    # Reasons, tags and names of files were written by others.
    console.print(Text(f"{label:<{_WIDTH}}{visible(text)}", style=style), soft_wrap=True)
