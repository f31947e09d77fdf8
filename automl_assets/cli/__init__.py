"""The `automl` command.

This module imports typer and nothing heavier, so that `automl --help` and
`automl validate` answer at once; each command loads what it needs.
"""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from automl_assets.cli import data as data_commands
from automl_assets.cli import models as model_commands
from automl_assets.cli.models import MODELS, PLATFORM, REQUESTS
from automl_assets.core.errors import AutoMLError, ContractError, RequestError, SearchError

EXIT_BAD_REQUEST, EXIT_NO_MODEL, EXIT_ERROR = 2, 3, 1
EXIT_INTERRUPTED = 130
STORAGE_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="automl",
    help="From a request file to a registered model, with honest metrics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_commands.app, rich_help_panel=PLATFORM)
app.add_typer(model_commands.app)

Target = Annotated[str | None, typer.Option("--target", "-t", help="Column to predict.")]


@app.command(rich_help_panel=REQUESTS)
def train(
    data: Annotated[str, typer.Argument(help="A CSV or Parquet file, or a request file (.yaml).")],
    target: Target = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Time for the search, such as 90s or 30m. Default: 2m.")
    ] = None,
    n_trials: Annotated[int | None, typer.Option(help="Number of trials.", min=1)] = None,
    family: Annotated[
        list[str] | None, typer.Option(help="Model family; may be given again. Default: all.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="binary, multiclass or regression.")] = None,
    metric: Annotated[str | None, typer.Option(help="What the search optimises.")] = None,
    positive: Annotated[str | None, typer.Option(help="Positive value of a binary target.")] = None,
    row_id: Annotated[str | None, typer.Option("--id", help="Column that names the row.")] = None,
    time: Annotated[str | None, typer.Option(help="Time column; splits by time.")] = None,
    group: Annotated[str | None, typer.Option(help="Group column; groups stay together.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Column to leave out; may be given again.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column that stays though it looks like a leak; may be given again."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help='Predicate over columns, such as "age >= 18".')
    ] = None,
    expect: Annotated[str | None, typer.Option(help="Data contract that must hold.")] = None,
    name: Annotated[str | None, typer.Option(help="Registered-model name. Default: file.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who asks. Default: the user.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides every random choice.")] = None,
    workers: Annotated[int | None, typer.Option(help="Search workers.", min=1)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Who proposes models: tpe, random or grid.")
    ] = None,
    monotonic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=DIRECTION",
            help="Column whose effect is increasing or decreasing; may be given again.",
        ),
    ] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Largest model, in MB.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Largest p99 latency of one row, in milliseconds.")
    ] = None,
) -> None:
    """Train, evaluate and register a model, here and now; no server is needed."""
    from automl_assets.cli.train import TrainOptions, train_file

    options = TrainOptions(
        target=target,
        time_limit=time_limit,
        n_trials=n_trials,
        families=tuple(family or ()),
        task=task,
        metric=metric,
        positive=positive,
        id=row_id,
        time=time,
        group=group,
        exclude=tuple(exclude or ()),
        keep=tuple(keep or ()),
        where=where,
        expect=expect,
        name=name,
        owner=owner,
        seed=seed,
        workers=workers,
        sampler=sampler,
        monotonic=tuple(monotonic or ()),
        max_size_mb=max_size_mb,
        max_latency_ms=max_latency_ms,
    )
    train_file(Path(data), options)


@app.command(rich_help_panel=REQUESTS)
def resume(
    request_id: Annotated[str, typer.Argument(help="As `automl list` shows it.")],
    add_time: Annotated[
        str | None,
        typer.Option(help="Search longer, such as 10m, also after the end; then the model is new."),
    ] = None,
) -> None:
    """Go on with a request that was stopped or killed; finished trials are not repeated."""
    from automl_assets.cli.train import resume_request

    resume_request(request_id, add_time=add_time)


@app.command(rich_help_panel=REQUESTS)
def validate(
    files: Annotated[list[Path], typer.Argument(help="Request files.")],
) -> None:
    """Check request files; all errors of a file are told at once."""
    from automl_assets.cli.files import read_request_file
    from automl_assets.core.request.file import parse_request

    bad = False
    for path in files:
        try:
            request = parse_request(read_request_file(path), filename=str(path))
        except RequestError as error:
            bad = True
            typer.echo(str(error), err=True)
        else:
            typer.echo(f"ok  {path}  {request.request_id}")
    if bad:
        raise typer.Exit(EXIT_BAD_REQUEST)


@app.command(rich_help_panel=REQUESTS)
def submit(
    files: Annotated[list[Path], typer.Argument(help="Request files.")],
) -> None:
    """Check request files and drop them into the inbox of the running platform."""
    from automl_assets.cli.requests import submit_files

    submit_files(files)


@app.command(rich_help_panel=REQUESTS)
def status(
    request_id: Annotated[str | None, typer.Argument(help="One request; all if left out.")] = None,
) -> None:
    """Tell what became of a request."""
    from automl_assets.cli.requests import show_all, show_one

    if request_id is None:
        show_all()
    else:
        show_one(request_id)


@app.command("list", rich_help_panel=REQUESTS)
def list_requests() -> None:
    """List all requests, the newest first."""
    from automl_assets.cli.requests import show_all

    show_all()


@app.command(rich_help_panel=MODELS)
def predict(
    model: Annotated[
        str, typer.Argument(help="NAME, or NAME@ and a version number, semantic version or alias.")
    ],
    data: Annotated[str, typer.Argument(help="A CSV or Parquet file with the feature columns.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or Parquet file. Default: CSV here.")
    ] = None,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Give predictions no ids, and keep no log of them.")
    ] = False,
) -> None:
    """Predict the rows of a file with a registered model."""
    from automl_assets.cli.predict import predict_file

    predict_file(model, Path(data), output, is_logged=not no_log)


@app.command("open", rich_help_panel=REQUESTS)
def open_report(
    request_id: Annotated[str, typer.Argument(help="As `automl list` shows it.")],
) -> None:
    """Open a request's report in the browser, and print where it is."""
    from automl_assets.cli.requests import open_report as run

    run(request_id)


@app.command(rich_help_panel=REQUESTS)
def stale() -> None:
    """List the requests whose data, code or preprocessing moved since they ran."""
    from automl_assets.cli.stale import show_stale

    show_stale()


@app.command(rich_help_panel=PLATFORM)
def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the web UI. Default: a free one.")
    ] = None,
) -> None:
    """Start the platform: web UI, queue, sensor of the inbox, MLflow. Ctrl-C stops it."""
    from automl_assets.cli.up import up as run

    raise typer.Exit(run(port))


@app.command(rich_help_panel=PLATFORM)
def schema(
    contract: Annotated[bool, typer.Option("--contract", help="That of data contracts.")] = False,
    card: Annotated[bool, typer.Option("--card", help="That of model cards.")] = False,
) -> None:
    """Print the JSON Schema of request files, of data contracts or of model cards."""
    import json

    if card:
        from automl_assets.core.report.schema import card_json_schema as make_schema
    elif contract:
        from automl_assets.core.contract import contract_json_schema as make_schema
    else:
        from automl_assets.core.request import request_json_schema as make_schema
    typer.echo(json.dumps(make_schema(), indent=2))


@app.command(rich_help_panel=PLATFORM)
def version() -> None:
    """Print the version."""
    from automl_assets import __version__

    typer.echo(__version__)


def exit_code(error: AutoMLError) -> int:
    """Return the exit code of an error: 2 a bad request or bad data, 3 no model, else 1."""
    if isinstance(error, SearchError):
        return EXIT_NO_MODEL
    from automl_assets.core.errors import SnapshotError

    bad_input = isinstance(error, RequestError | ContractError | SnapshotError)
    return EXIT_BAD_REQUEST if bad_input else EXIT_ERROR


def main() -> None:
    """Run the command line; errors of ours are one message, never a traceback."""
    try:
        app()
    except AutoMLError as error:
        typer.echo(f"error    {error}", err=True)
        sys.exit(exit_code(error))
    except SystemExit as leaving:
        # Typer leaves with 130 after Ctrl-C; our own codes are 0 to 5.
        sys.exit(EXIT_ERROR if leaving.code == EXIT_INTERRUPTED else leaving.code)
    except Exception as error:
        cure = storage_problem(error)
        if cure is None:
            raise
        typer.echo(f"error    {cure}", err=True)
        sys.exit(EXIT_ERROR)


def storage_problem(error: BaseException) -> str | None:
    """Return what to tell when the disk or a database under us failed; None for other errors."""
    cause: BaseException | None = error
    seen: set[int] = set()
    # An error that is raised from one behind it closes a circle.
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        full = "No space left" in str(cause) or "disk is full" in str(cause)
        if full:
            return (
                "The platform must be able to write, but a disk is full. What was finished is "
                "kept. Free space where AUTOML_HOME is, and go on with `automl resume`."
            )
        database = type(cause).__module__.startswith(("sqlalchemy", "sqlite3"))
        if database or (isinstance(cause, OSError) and cause.errno in STORAGE_ERRNOS):
            what = " ".join(str(cause).split())[:200]
            return (
                f"The platform must be able to read and write AUTOML_HOME, but: {what}. "
                "Check the disk and who owns the folder."
            )
        cause = cause.__cause__ or cause.__context__
    return None
