"""`automl data commit`: a file of the user becomes a commit of a repository."""

import getpass
import hashlib
import shutil
from pathlib import Path

import typer
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.files import file_data
from automl_assets.core.acceptance import BRANCH as ACCEPTED
from automl_assets.core.errors import RequestError
from automl_assets.core.files import sha256_file
from automl_assets.core.rows import reading_errors
from automl_assets.core.rows.table import COMPRESSION_LEVEL, ROW_GROUP_ROWS
from automl_assets.core.staging import Staging
from automl_assets.settings import Settings


def commit_file(file: Path, repository: str, *, path: str, branch: str, message: str) -> None:
    """Commit a file under `path`, and print the commit.

    A table goes to a path that ends in `.parquet` and is written as Parquet; any
    other file is kept as it is. The repository and the branch are made if needed.

    Raises:
        RequestError: The file cannot be read, or the branch belongs to the platform.
        SnapshotError: The branch holds this very file there already.
    """
    if branch == ACCEPTED:
        raise RequestError(
            f"Branch {ACCEPTED!r} is the platform's memory of accepted snapshots. "
            "Name another branch."
        )
    settings = Settings()
    with (
        build_for_cli(settings, Console(stderr=True), extra_root=file) as cli,
        Staging(settings.scratch_folder) as staging,
    ):
        staged = staging.folder / "file"
        if path.endswith(".parquet"):
            with cli.data_sources.open(file_data(file)) as table, reading_errors(table.description):
                table.frame.sink_parquet(
                    staged,
                    compression="zstd",
                    compression_level=COMPRESSION_LEVEL,
                    row_group_size=ROW_GROUP_ROWS,
                    maintain_order=True,
                )
        else:
            _copy(file, staged)
        store = cli.snapshot_store
        store.ensure_repository(repository)
        head = store.branches(repository).get(branch, "")
        named = f"{head} {path} {sha256_file(staged)}"
        with store.write(
            repository,
            branch=branch,
            key=f"{branch}/{hashlib.sha256(named.encode()).hexdigest()[:32]}",
            message=message or f"Put {file.name} at {path}",
            metadata={"owner": getpass.getuser()},
        ) as transaction:
            transaction.put_file(path, staged)
    typer.echo(f"lakefs://{repository}/{transaction.commit.commit_id}/{path}")


def _copy(file: Path, target: Path) -> None:
    try:
        shutil.copyfile(file, target)
    except OSError as error:
        raise RequestError(
            f"A file to commit must be readable. {str(file)!r} is not: {error.strerror}. "
            "Check the path."
        ) from error
