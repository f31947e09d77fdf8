"""`automl reproduce`: a registered version is made again from its records and its data."""

import time
from datetime import UTC, datetime

import typer
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.reference import split_reference
from automl_assets.core.reproduction import registered_report, reproduce
from automl_assets.core.reproduction.keeping import (
    REPRODUCTIONS,
    keep_report,
    reproduced,
)
from automl_assets.core.reproduction.words import level_title
from automl_assets.settings import Settings

EXIT_FAILED = 4

LABEL_WIDTH = 13


def reproduce_version(model: str, *, search: bool) -> int:
    """Make a version again, print how equal it is, and keep the report.

    Args:
        model: `NAME`, or `NAME@` and a version number, a semantic version or an alias.
        search: Whether every trial of its search is run again, too.

    Returns:
        The exit code: 4 if it could not be made again.

    Raises:
        RequestError: There is no such version.
        SnapshotError: Its records or its data are missing.
        ServiceError: A library is missing, or a server does not answer.
    """
    settings = Settings()
    name, reference = split_reference(model)
    with build_for_cli(settings, Console(stderr=True)) as cli:
        from automl_assets.definitions import build_adapters

        adapters = build_adapters(cli.settings)
        version = cli.model_registry.find(name, reference)
        tell("model", f"{version.name}@{version.version} {version.semver}".rstrip())
        with cli.model_registry.inspect(version) as record:
            report = reproduce(
                version,
                registered_report(record, version),
                store=cli.snapshot_store,
                scratch=settings.scratch_folder,
                environment=adapters.code_origin(),
                clock=time.monotonic,
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                search=search,
                tell=tell,
            )
        file = keep_report(settings.root / REPRODUCTIONS, report)
        adapters.release_log.append(reproduced(report, version, by=settings.user))
    tell("result", f"{level_title(report.level)}. {report.sentence}")
    tell("report", str(file.with_suffix(".md")))
    return EXIT_FAILED if report.failed else 0


def tell(label: str, text: str) -> None:
    """Print one finished thing."""
    typer.echo(f"{label:<{LABEL_WIDTH}}{text}")
