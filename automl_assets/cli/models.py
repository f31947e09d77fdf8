"""The commands about registered models and finished requests.

Each loads what it needs when it is called, so that `automl --help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

MODEL_ARGUMENT = typer.Argument(
    metavar="MODEL", help="NAME, or NAME@ and a version number, a semantic version or an alias."
)
Model = Annotated[str, MODEL_ARGUMENT]
Why = Annotated[str | None, typer.Option("--reason", help="Why; kept for ever.")]


@app.command()
def promote(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="champion or challenger.")] = "champion",
    reason: Why = None,
) -> None:
    """Make a version the champion or the challenger; refused without the approvals it needs."""
    from automl_assets.cli.release import promote_version

    promote_version(model, to=to, reason=reason or "")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    reason: Why = None,
) -> None:
    """Give the alias champion back to the version that had it before."""
    from automl_assets.cli.release import roll_back_version

    roll_back_version(name, reason=reason or "")


@app.command()
def approve(
    model: Model,
    digest: Annotated[
        str, typer.Option(help="Of the report that you read: SHA-256 of card.json, 8 digits or up.")
    ],
    as_: Annotated[
        str | None, typer.Option("--as", help="Group or person of the request. Default: yourself.")
    ] = None,
    comment: Annotated[str, typer.Option(help="Kept for ever.")] = "",
) -> None:
    """Approve a version, by the report that you read; void as soon as the report changes."""
    from automl_assets.cli.release import approve_version

    approve_version(model, digest=digest, on_behalf_of=as_, comment=comment)


@app.command()
def reproduce(
    model: Model,
    search: Annotated[
        bool, typer.Option("--search", help="Fit every trial of the search again, too.")
    ] = False,
) -> None:
    """Fit a registered model again and compare; exit code 4 if it is another model."""
    from automl_assets.cli.reproduce import reproduce_version

    raise typer.Exit(reproduce_version(model, search=search))


@app.command()
def audit(
    model: Annotated[str | None, MODEL_ARGUMENT] = None,
    prediction: Annotated[
        str | None, typer.Option(help="Start at a prediction, by its id.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one HTML file.")] = None,
) -> None:
    """Follow a model back to its source and verify every digest now; exit code 5: one is wrong."""
    from automl_assets.cli.audit import audit_version

    raise typer.Exit(audit_version(model, prediction=prediction, as_json=as_json, html=html))


@app.command()
def rerun(
    request_id: Annotated[str, typer.Argument(help="As `automl list` shows it.")],
) -> None:
    """Run a request once more: same request, new attempt."""
    from automl_assets.cli.again import rerun_request

    rerun_request(request_id)


@app.command()
def clone(
    request_id: Annotated[str, typer.Argument(help="As `automl list` shows it.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What differs; may be given again."),
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="Drop it into the inbox instead of printing it.")
    ] = False,
) -> None:
    """Make a new request from an old one."""
    from automl_assets.cli.again import clone_request

    clone_request(request_id, tuple(changes or ()), submit=submit)


@app.command()
def compare(
    models: Annotated[
        list[str], typer.Argument(help="Two or more of NAME@VERSION, and request ids.")
    ],
    html: Annotated[Path | None, typer.Option(help="Write one HTML file.")] = None,
) -> None:
    """Compare models on the same rows: differences with intervals, limits, who is decided anew."""
    from automl_assets.cli.compare import compare_models

    raise typer.Exit(compare_models(tuple(models), html=html))
