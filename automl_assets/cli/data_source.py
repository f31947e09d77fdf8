"""What the `automl data` commands look at: a file, what a request asks for, or a snapshot."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from automl_assets.cli.execution import CommandLine, build_for_cli, read_values
from automl_assets.cli.files import read_request_file
from automl_assets.core.errors import RequestError
from automl_assets.core.ports import SourceTable
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import parse_request
from automl_assets.core.request.sections import Data
from automl_assets.core.rows import reading_errors
from automl_assets.core.rows.table import scan_table, write_rows
from automl_assets.core.staging import Staging
from automl_assets.core.values import DataSnapshot, RowStep, Split
from automl_assets.settings import Settings

if TYPE_CHECKING:
    import polars as pl

REQUEST_SUFFIXES = (".yaml", ".yml", ".json")

_TABLE, _PARQUET = "table.parquet", (".parquet", ".pq")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """A table to look at; usable until the block that opened it ends.

    Attributes:
        description: How people know the source; holds no secret.
        frame: Lazy, of Parquet, so that it may be read again. Of a bare file every row and
            column; where there is a request, what it asks for.
        rows: How many rows each step left; empty for a bare file.
        request: What the columns mean; None for a bare file.
        snapshot: The committed table, of an accepted request.
        split: Its parts, if the request got that far.
        scratch: A folder for temporary files.
    """

    description: str
    frame: "pl.LazyFrame"
    scratch: Path
    rows: tuple[RowStep, ...] = ()
    request: TrainingRequest | None = None
    snapshot: DataSnapshot | None = None
    split: Split | None = None


@contextmanager
def opened_source(source: str, *, target: str | None = None) -> Iterator[OpenedSource]:
    """Open what a `SOURCE` argument names.

    Args:
        source: A data file that the user may read, a request file, or the id of an accepted
            request whose snapshot is committed.
        target: Column to predict in a bare file; its rows without a target are left out.

    Raises:
        RequestError: There is no such source, or `target` was given beside a request.
        SnapshotError: The rows cannot be read.
    """
    settings = Settings()
    with _scratch(settings) as scratch:
        if Path(source).suffix.lower() in REQUEST_SUFFIXES:
            _refuse_target(source, target)
            with _opened_request(settings, Path(source), scratch) as opened:
                yield opened
        elif _is_location(source):
            with _opened_file(settings, source, target, scratch) as opened:
                yield opened
        else:
            _refuse_target(source, target)
            with build_for_cli(settings, Console(stderr=True)) as cli:
                yield _opened_snapshot(cli, source, scratch)


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """Yield a folder on the disk of the home, where there is one, else among temporary files."""
    if settings.root.is_dir():
        with Staging(settings.scratch_folder) as staging:
            yield staging.folder
    else:
        with TemporaryDirectory(prefix="automl-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def _is_location(source: str) -> bool:
    """Say whether a source is a path or URL; ids have neither an end nor a folder."""
    path = Path(source).expanduser()
    looks_so = bool(path.suffix) or "/" in source or bool(_PATTERN.search(source))
    return looks_so or path.exists()


def _refuse_target(source: str, target: str | None) -> None:
    if target is not None:
        raise RequestError(
            "A request says itself which column is to be predicted, but --target was given "
            f"beside {source!r}. Leave out --target, or name the data file instead."
        )


@contextmanager
def _opened_request(settings: Settings, path: Path, scratch: Path) -> Iterator[OpenedSource]:
    request = parse_request(read_request_file(path), filename=str(path))
    # A request is run from the folder that its paths start from.
    with build_for_cli(settings, Console(stderr=True), extra_root=Path.cwd()) as cli:
        data = cli.data_sources.pin(request.data)
        request = request.model_copy(update={"data": data})
        with cli.data_sources.open(data) as table:
            yield _selected(table, request, scratch)


def _selected(table: SourceTable, request: TrainingRequest, scratch: Path) -> OpenedSource:
    """Write down the rows that a request asks for, as a run of it would."""
    file = scratch / _TABLE
    rows = write_rows(table.frame, request, file, source=table.description)
    return OpenedSource(
        description=table.description,
        frame=scan_table(file),
        scratch=scratch,
        rows=rows,
        request=request,
    )


def _whole(table: SourceTable, scratch: Path) -> OpenedSource:
    """Return all rows of a file; as Parquet, because they will be read more than once."""
    frame = table.frame
    with reading_errors(table.description):
        if not table.description.lower().endswith(_PARQUET):
            frame.sink_parquet(scratch / _TABLE, compression="lz4", maintain_order=True)
            frame = scan_table(scratch / _TABLE)
        frame.collect_schema()
    return OpenedSource(description=table.description, frame=frame, scratch=scratch)


@contextmanager
def _opened_file(
    settings: Settings, source: str, target: str | None, scratch: Path
) -> Iterator[OpenedSource]:
    location, root = source, None
    if not _URL.match(source):
        path = Path(source).expanduser().absolute()
        # What the user may read is the user's own affair.
        location, root = str(path), _fixed(path)
    # Only the place is known of this section; it is read before anybody names a target.
    data = Data.model_construct(path=location)
    with (
        build_for_cli(settings, Console(stderr=True), extra_root=root) as cli,
        cli.data_sources.open(data) as table,
    ):
        if target is None:
            yield _whole(table, scratch)
        else:
            yield _selected(table, _request_for(location, target), scratch)


def _fixed(path: Path) -> Path:
    """Return the file, or the folder below which a pattern begins."""
    for parent in reversed((path, *path.parents)):
        if _PATTERN.search(parent.name) and not parent.exists():
            return parent.parent
    return path


def _request_for(location: str, target: str) -> TrainingRequest:
    """Return a request that says nothing but what is to be predicted."""
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "data",
            "owner": "data",
            "data": {"path": location, "target": target},
        }
    )


def _opened_snapshot(cli: CommandLine, request_id: str, scratch: Path) -> OpenedSource:
    from resources.value_store import JsonValueStore

    accepted = cli.request_store.load(request_id)
    snapshot = read_values(cli.settings, request_id).data_snapshot
    if snapshot is None:
        raise RequestError(
            "Only data that were committed can be looked at by the id of their request. "
            f"{request_id!r} has no snapshot yet. Run `automl resume {request_id}`, or name its "
            "request file instead."
        )
    values = JsonValueStore(folder=str(cli.settings.values_folder))
    return OpenedSource(
        description=snapshot.uri,
        frame=cli.snapshot_store.scan(snapshot.repository, snapshot.commit_id, snapshot.path),
        rows=snapshot.rows,
        request=accepted.request,
        snapshot=snapshot,
        split=values.read("splits", request_id, Split),
        scratch=scratch,
    )
