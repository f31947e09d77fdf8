"""`automl promote`, `automl rollback`, `automl approve`: who decides about a version, and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import typer
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.reference import split_reference
from automl_assets.core.promotion import (
    Release,
    ReleaseDesk,
    approve,
    promote,
    require_reason,
    roll_back,
)
from automl_assets.core.release import CHAMPION
from automl_assets.core.request.text import visible
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings


def promote_version(model: str, *, to: str, reason: str) -> None:
    """Give a version an alias.

    Args:
        model: `NAME`, or `NAME@` and a version number, a semantic version or an alias.
        to: `champion` or `challenger`.
        reason: Kept in the release log.

    Raises:
        RequestError: There is no such version, no reason, or an approval is missing.
        SnapshotError: What is registered is not what was registered.
    """
    name, reference = split_reference(model)
    require_reason(reason)
    with _open_desk(Settings()) as desk:
        done = promote(desk, desk.registry.find(name, reference), to, reason=reason)
        _tell(desk, done, to)


def roll_back_version(name: str, *, reason: str) -> None:
    """Give `champion` back to the version that had it before.

    Raises:
        RequestError: There is none, or no reason.
        SnapshotError: It predicts its probe otherwise than recorded.
    """
    require_reason(reason)
    with _open_desk(Settings()) as desk:
        _tell(desk, roll_back(desk, name, reason=reason), CHAMPION)


def approve_version(model: str, *, digest: str, on_behalf_of: str | None, comment: str) -> None:
    """Record an approval of a version by the digest of its report.

    Args:
        model: `NAME`, or `NAME@` and a version number, a semantic version or an alias.
        digest: First digits of the SHA-256 of the `card.json` that was read.
        on_behalf_of: Group or person of the request; the user if None.
        comment: Kept in the release log.

    Raises:
        RequestError: The approval would not count.
        SnapshotError: The report is not the one that was registered.
    """
    settings = Settings()
    name, reference = split_reference(model)
    with _open_desk(settings) as desk:
        version = desk.registry.find(name, reference)
        event, missing = approve(
            desk,
            version,
            digest=digest,
            on_behalf_of=on_behalf_of or desk.by,
            comment=comment,
            groups=settings.groups,
        )
    typer.echo(
        f"approved {_named(version)} as {event.on_behalf_of} by {event.by}, "
        f"digest {event.card_sha256[:12]}"
    )
    for sentence in missing:
        typer.echo(f"missing  {sentence}")
    if not missing and not version.aliases:
        typer.echo(f"next     automl promote {version.name}@{version.version} --reason '...'")


@contextmanager
def _open_desk(settings: Settings) -> Iterator[ReleaseDesk]:
    from automl_assets.definitions import build_adapters
    from resources.code_origin import cpu_family

    with build_for_cli(settings, Console(stderr=True)) as cli:
        yield ReleaseDesk(
            registry=cli.model_registry,
            log=build_adapters(cli.settings).release_log,
            store=cli.snapshot_store,
            by=settings.user,
            now=datetime.now(UTC),
            cpu=cpu_family(),
        )


def _named(version: ModelVersion) -> str:
    return f"{version.name} {version.semver or version.version} (version {version.version})"


def _tell(desk: ReleaseDesk, done: Release, alias: str) -> None:
    typer.echo(f"probe    {done.probe}")
    if done.event is None:
        typer.echo(f"{alias:8} {_named(done.version)}: was recorded before; the alias is there")
        return
    reason = visible(done.event.reason)
    typer.echo(f"{alias:8} {_named(done.version)}, by {done.event.by}: {reason}")
    typer.echo(f"log      event {done.event.number}, sha256 {done.event.sha256[:12]}")
