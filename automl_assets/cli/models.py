"""The commands about registered models and finished requests.

Each loads what it needs when it is called, so that `automl --help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

REQUESTS, MODELS, PLATFORM = "Requests", "Models", "Data and platform"
"""Groups of the commands in `automl --help`."""

MODEL_ARGUMENT = typer.Argument(
    metavar="MODEL", help="NAME, or NAME@ and a version number, a semantic version or an alias."
)
Model = Annotated[str, MODEL_ARGUMENT]
Why = Annotated[str | None, typer.Option("--reason", help="Why: must be said, and is kept.")]


@app.command(rich_help_panel=REQUESTS)
def rerun(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="As `automl list` shows it.")],
) -> None:
    """Run a request once more; trials of an unchanged search are not repeated."""
    from automl_assets.cli.again import rerun_request

    rerun_request(request_id)


@app.command(rich_help_panel=REQUESTS)
def clone(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="As `automl list` shows it.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What differs; may be given again."),
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Drop it into the inbox, too.")] = False,
) -> None:
    """Write a new request file from an accepted request, with some keys changed."""
    from automl_assets.cli.again import clone_request

    clone_request(request_id, tuple(changes or ()), submit=submit)


@app.command(rich_help_panel=MODELS)
def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Two or more, named as for `predict`.")
    ],
    html: Annotated[Path | None, typer.Option(help="Write one HTML file.")] = None,
) -> None:
    """Compare models on rows new to all: differences, and for whom decisions change."""
    from automl_assets.cli.compare import compare_models

    raise typer.Exit(compare_models(tuple(models), html=html))


@app.command(rich_help_panel=MODELS)
def approve(
    model: Model,
    digest: Annotated[
        str, typer.Option(help="Of the report that you read: SHA-256 of card.json, 8 digits or up.")
    ],
    as_: Annotated[
        str | None, typer.Option("--as", help="Group or person of the request. Default: yourself.")
    ] = None,
    comment: Annotated[str, typer.Option(help="What you looked at; is kept.")] = "",
) -> None:
    """Approve a version, by the report that you read; void as soon as the report changes."""
    from automl_assets.cli.release import approve_version

    approve_version(model, digest=digest, on_behalf_of=as_, comment=comment)


@app.command(rich_help_panel=MODELS)
def promote(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="champion or challenger.")] = "champion",
    reason: Why = None,
) -> None:
    """Make a version champion or challenger, if it has the approvals it needs."""
    from automl_assets.cli.release import promote_version

    promote_version(model, to=to, reason=reason or "")


@app.command(rich_help_panel=MODELS)
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    reason: Why = None,
) -> None:
    """Give the alias champion back to the version that had it before."""
    from automl_assets.cli.release import roll_back_version

    roll_back_version(name, reason=reason or "")


@app.command(rich_help_panel=MODELS)
def reproduce(
    model: Model,
    search: Annotated[
        bool, typer.Option("--search", help="Fit every trial of the search again, too.")
    ] = False,
) -> None:
    """Fit a version again and compare; exit code 4: it is another model."""
    from automl_assets.cli.reproduce import reproduce_version

    raise typer.Exit(reproduce_version(model, search=search))


@app.command(rich_help_panel=MODELS)
def audit(
    model: Annotated[str | None, MODEL_ARGUMENT] = None,
    prediction: Annotated[
        str | None, typer.Option(help="Start at a prediction, by its id.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one HTML file.")] = None,
) -> None:
    """Follow a version to its source, verify each digest; exit code 5: one is wrong."""
    from automl_assets.cli.audit import audit_version

    raise typer.Exit(audit_version(model, prediction=prediction, as_json=as_json, html=html))
