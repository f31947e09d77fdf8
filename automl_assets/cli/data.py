"""`automl data`: look at data, write and compare contracts, keep the store in order."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="data",
    help="Look at data, write and compare contracts, keep the snapshot store in order.",
    no_args_is_help=True,
)

Source = Annotated[
    str,
    typer.Argument(help="A data file, a request file (.yaml), or the id of an accepted request."),
]


@app.command()
def profile(
    source: Source,
    target: Annotated[str | None, typer.Option("--target", "-t", help="Column to predict.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the whole profile to this file.")] = None,
) -> None:
    """Print what a table holds: types, missing values, ranges, duplicates, suspects."""
    from automl_assets.cli.data_profile import profile_source

    profile_source(source, target=target, html=html)


@app.command("infer-contract")
def infer_contract(
    source: Source,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: the terminal.")
    ] = None,
) -> None:
    """Write a data contract that the table keeps, as a start for your own."""
    from automl_assets.cli.data_contract import infer_contract_of

    infer_contract_of(source, output=output)


@app.command()
def check(
    source: Source,
    contract: Annotated[Path, typer.Option("--contract", "-c", help="The data contract.")],
) -> None:
    """Try every rule of a data contract on every row; exit 2 if one is broken."""
    from automl_assets.cli.data_contract import check_source

    check_source(source, contract=contract)


@app.command()
def drift(
    before: Source,
    after: Source,
) -> None:
    """Show how a table changed against another: columns, types, missing values, statistics."""
    from automl_assets.cli.data_contract import show_drift

    show_drift(before, after)


@app.command()
def commit(
    file: Annotated[Path, typer.Argument(help="A data file, or a data contract.")],
    repository: Annotated[str, typer.Argument(help="Repository; made if it is not there.")],
    to: Annotated[
        str, typer.Option(help="Path in the repository; tables end in .parquet.")
    ] = "data/table.parquet",
    branch: Annotated[str, typer.Option(help="Branch; made if it is not there.")] = "main",
    message: Annotated[str, typer.Option("--message", "-m", help="What changed.")] = "",
) -> None:
    """Put a file into a repository of the snapshot store, where requests can name it."""
    from automl_assets.cli.data_commit import commit_file

    commit_file(file, repository, path=to, branch=branch, message=message)


@app.command()
def fsck(
    repository: Annotated[
        str | None, typer.Option(help="Only this repository. Default: all.")
    ] = None,
) -> None:
    """Read every object of the snapshot store and compare it with its digest."""
    from automl_assets.cli.data_upkeep import check_store

    check_store(repository)


@app.command()
def gc(
    expire: Annotated[
        str | None,
        typer.Option(help="Also forget branches of requests older than this, such as 90d."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be removed.")] = False,
) -> None:
    """Remove what no branch, tag or model needs; never what a model was made from."""
    from automl_assets.cli.data_upkeep import collect_garbage

    collect_garbage(expire=expire, dry_run=dry_run)
