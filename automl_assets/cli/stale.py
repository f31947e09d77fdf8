"""`automl stale`: requests whose data, code or preprocessing moved since they ran.

Dagster's graph shows partitioned assets as fresh whatever changed upstream, so
the versions that were recorded with each materialization are compared here.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from automl_assets.cli.execution import CommandLine, build_for_cli, open_instance
from automl_assets.core.encoding import preprocessing_version
from automl_assets.core.errors import AutoMLError
from automl_assets.core.files import sha256_file
from automl_assets.core.values import AcceptedRequest, DataSnapshot, Split
from automl_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

PAGE = 1000


def recorded_code_versions(
    instance: "dg.DagsterInstance", asset_key: "dg.AssetKey"
) -> dict[str, str]:
    """Return the code version of the newest materialization of each partition of an asset."""
    versions: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(asset_key, limit=PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event is not None and event.partition is not None and event.tags is not None:
                versions.setdefault(event.partition, event.tags.get("dagster/code_version", ""))
        if not page.has_more:
            return versions
        cursor = page.cursor


def _moved_data(
    cli: CommandLine, accepted: AcceptedRequest, snapshot: DataSnapshot | None
) -> str | None:
    """Say how the source differs from what was read; databases and downloads are not read again."""
    data = accepted.request.data
    if snapshot is None or data.connection or (data.path or "").startswith(("http:", "https:")):
        return None
    try:
        moved = _is_moved(cli, accepted, snapshot)
    except (AutoMLError, OSError) as error:
        return f"DATA: the source cannot be read any more (the snapshot is kept): {error}"
    return f"DATA: {snapshot.source} changed since it was read" if moved else None


def _is_moved(cli: CommandLine, accepted: AcceptedRequest, snapshot: DataSnapshot) -> bool:
    data = accepted.request.data
    if data.repository is not None:
        return cli.data_sources.pin(data).commit != accepted.data.commit
    # Only a command can have read a file outside the operator's folders.
    path = Path(str(data.path))
    if path.is_absolute() and path.is_file() and data.sha256 is not None:
        return sha256_file(path) != snapshot.source_sha256
    with cli.data_sources.open(data) as table:
        return table.sha256() != snapshot.source_sha256


def stale_reasons(cli: CommandLine, instance: "dg.DagsterInstance") -> dict[str, list[str]]:
    """Return for each request that ran why it would come out differently now."""
    from resources.value_store import JsonValueStore

    values = JsonValueStore(folder=str(cli.settings.values_folder))
    reasons: dict[str, list[str]] = {}
    keys = cli.definitions.resolve_all_asset_specs()
    for spec in sorted(keys, key=lambda spec: spec.key.to_user_string()):
        for request_id, version in recorded_code_versions(instance, spec.key).items():
            if version != spec.code_version:
                name = spec.key.to_user_string()
                reasons.setdefault(request_id, []).append(f"CODE of {name}")
    for request_id in cli.request_store.list_ids():
        split = values.read("splits", request_id, Split)
        if split is not None and split.preprocessing_version != preprocessing_version():
            reasons.setdefault(request_id, []).append("PREPROCESSING")
        snapshot = values.read("data_snapshot", request_id, DataSnapshot)
        moved = _moved_data(cli, cli.request_store.load(request_id), snapshot)
        if moved:
            reasons.setdefault(request_id, []).append(moved)
    return reasons


def show_stale() -> None:
    """Print the requests that are stale, and why."""
    settings = Settings()
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli, open_instance(settings) as instance:
        reasons = stale_reasons(cli, instance)
    if not reasons:
        console.print("nothing is stale")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("request")
    table.add_column("moved since it ran", overflow="fold")
    for request_id, why in sorted(reasons.items()):
        table.add_row(request_id, "; ".join(why))
    console.print(table)
