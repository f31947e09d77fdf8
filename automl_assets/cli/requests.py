"""`automl submit`, `status`, `list` and `open`."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from automl_assets.cli.execution import CommandLine, build_for_cli, open_instance, read_values
from automl_assets.cli.files import read_request_file
from automl_assets.cli.story import print_result, shown
from automl_assets.core.errors import AutoMLError, RequestError
from automl_assets.core.intake import reach
from automl_assets.core.request.file import parse_request
from automl_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg


def submit_files(files: list[Path]) -> None:
    """Check request files and drop them into the inbox.

    Raises:
        RequestError: A file is not valid; the valid ones are submitted all the same.
    """
    settings = Settings()
    problems: list[str] = []
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli:
        for path in files:
            try:
                typer.echo(_submit(cli, path))
            except AutoMLError as error:
                problems.append(str(error))
    if problems:
        raise RequestError("\n".join(problems))


def _submit(cli: CommandLine, path: Path) -> str:
    """Check a file and drop it into the inbox, unless its request has a run already."""
    content = read_request_file(path)
    request = parse_request(content, filename=str(path))
    request_id = request.request_id
    reach(request, cli.data_sources)
    if request_id in cli.request_store.list_ids():
        run_state = run_states(cli.settings, [request_id]).get(request_id)
        state = _state(cli.settings, request_id, run_state)
        has_model = read_values(cli.settings, request_id).registered_model is not None
        if run_state in (_STOPPED, _FAILED) and not has_model:
            raise RequestError(f"{path}: request {request_id} ran already: {state}")
        if run_state is not None:
            return f"known      {request_id}  {path}: {state}"
    cli.request_store.submit(content.decode(), path.name)
    return f"submitted  {request_id}  {path}"


_STOPPED = "stopped"
_FAILED = "stopped or failed"
"""Dagster calls a run that Ctrl-C stopped in a command failed, too."""

_WORDS = {
    "NOT_STARTED": "queued",
    "QUEUED": "queued",
    "STARTING": "starting",
    "STARTED": "running",
    "SUCCESS": "done",
    "FAILURE": _FAILED,
    "CANCELING": "stopping",
    "CANCELED": _STOPPED,
}


def _state(settings: Settings, request_id: str, run_state: str | None) -> str:
    """Say in words how far a request is, and how to go on with one that was stopped."""
    values = read_values(settings, request_id)
    if values.registered_model is not None:
        model = values.registered_model
        return f"registered as {model.name} version {model.version}"
    doing, step = "accepted", "acceptance"
    if values.evaluation_report is not None:
        doing, step = "evaluated", "the evaluation"
    elif values.candidate_models is not None:
        doing, step = "searched", "the search"
    elif values.data_snapshot is not None:
        doing = "searching" if run_state == "running" else "data read"
        step = "reading the data"
    if run_state in (_STOPPED, _FAILED):
        return f"{run_state} after {step}; go on with: automl resume {request_id}"
    return doing if run_state is None else f"{run_state}, {doing}"


def run_states(settings: Settings, request_ids: list[str]) -> dict[str, str]:
    """Return the state of each request's newest run."""
    import dagster as dg

    if not settings.dagster_home.exists():
        return {}
    states: dict[str, str] = {}
    with open_instance(settings) as instance:
        filters = dg.RunsFilter(tags={"dagster/partition": request_ids}) if request_ids else None
        for record in instance.get_run_records(filters, limit=10_000):
            key = record.dagster_run.tags.get("dagster/partition", "")
            states.setdefault(key, _run_state(record.dagster_run))
    return states


def _run_state(run: "dg.DagsterRun") -> str:
    from resources.launcher import known_stamp
    from resources.processes import is_alive

    stamp = known_stamp(run)
    # A killed process cannot say so; nobody else does while the platform is not up.
    if not run.is_finished and stamp is not None and not is_alive(stamp):
        return _STOPPED
    return _WORDS.get(run.status.value, "unknown")


def show_all() -> None:
    """Print all requests, the newest first."""
    settings = Settings()
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli:
        accepted = [cli.request_store.load(name) for name in cli.request_store.list_ids()]
    if not accepted:
        console.print(f"no requests yet in {shown(settings.root)}")
        return
    states = run_states(settings, [item.request_id for item in accepted])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("request", "owner", "accepted", "state"):
        table.add_column(heading, overflow="fold")
    for item in sorted(accepted, key=lambda item: item.accepted_at, reverse=True):
        state = _state(settings, item.request_id, states.get(item.request_id))
        table.add_row(item.request_id, item.request.owner, item.accepted_at[:16], state)
    console.print(table)


def show_one(request_id: str) -> None:
    """Print what became of one request.

    Raises:
        RequestError: There is no such request.
    """
    settings = Settings()
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli:
        accepted = cli.request_store.load(request_id)
    states = run_states(settings, [request_id])
    console.print(f"{request_id}  by {accepted.request.owner}, {accepted.accepted_at[:16]}")
    console.print(_state(settings, request_id, states.get(request_id)))
    print_result(settings, request_id, console)


def open_report(request_id: str) -> None:
    """Open a request's report in the browser, and print where it is.

    Raises:
        RequestError: There is no report yet.
    """
    settings = Settings()
    report = settings.reports_folder / request_id / "report.html"
    if not report.exists():
        raise RequestError(
            f"A report is there once a request was evaluated, but {request_id!r} has none. "
            f"See `automl status {request_id}`."
        )
    typer.echo(str(report))
    webbrowser.open(report.as_uri())
