"""`automl rerun` and `automl clone`: a request once more, as it is or with changes."""

from pathlib import Path

import typer
from rich.console import Console

from automl_assets.cli.execution import build_for_cli, open_instance, run_request
from automl_assets.cli.requests import run_states, submit_files
from automl_assets.cli.story import print_result
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publish_text
from automl_assets.core.request.clone import cloned_request, request_difference
from automl_assets.core.values import AcceptedRequest
from automl_assets.settings import Settings

_ALIVE = ("queued", "running", "stopping")


def rerun_request(request_id: str) -> None:
    """Run a request once more, in its own partition, as a new attempt.

    Raises:
        AutoMLError: There is no such request, it is running, or it cannot be finished.
    """
    settings = Settings()
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli:
        accepted = cli.request_store.load(request_id)
    state = run_states(settings, [request_id]).get(request_id)
    if state in _ALIVE:
        raise RequestError(
            f"A request has one run at a time, and {request_id} is {state}. Wait for its end "
            "(`automl status`), or stop it in Dagit first."
        )
    attempt = n_attempts(settings, request_id) + 1
    with build_for_cli(settings, console, extra_root=_root_of(accepted)) as cli:
        cli.progress.stage("attempt", f"{attempt} of {request_id}")
        tags = {"automl/attempt": str(attempt), "dagster/run_key": f"{request_id}-{attempt}"}
        run_request(cli, request_id, accepted.request.owner, tags=tags)
    print_result(settings, request_id, console)


def n_attempts(settings: Settings, request_id: str) -> int:
    """Return how many runs a request has had; resumed ones count."""
    import dagster as dg

    with open_instance(settings) as instance:
        return instance.get_runs_count(dg.RunsFilter(tags={"dagster/partition": request_id}))


def _root_of(accepted: AcceptedRequest) -> Path:
    """Return the folder that its data may be read from: only a command accepts one outside."""
    data = Path(accepted.request.data.path or "")
    return data.parent if data.is_absolute() else Path.cwd()


def clone_request(request_id: str, changes: tuple[str, ...], *, submit: bool) -> None:
    """Write a new request file from an accepted request, and print where and how it differs.

    Args:
        changes: `key=value` with dotted keys and YAML values.
        submit: Whether the new request is submitted, too.

    Raises:
        RequestError: There is no such request, nothing would change, or the new one is not
            valid; nothing was written then.
    """
    settings = Settings()
    with build_for_cli(settings, Console(stderr=True)) as cli:
        old = cli.request_store.load(request_id).request
    text, new = cloned_request(old, changes)
    if new.sha256 == old.sha256:
        raise RequestError(
            f"A clone is another request, but with {', '.join(changes) or 'no change'} it "
            f"would be {request_id} itself. Change something with --set KEY=VALUE, or say "
            f"`automl rerun {request_id}`."
        )
    path = Path.cwd() / f"{new.request_id}.yaml"
    _write(path, text)
    typer.echo(request_difference(old, new))
    typer.echo(f"\nwritten    {path}")
    if submit:
        submit_files([path])


def _write(path: Path, text: str) -> None:
    """Write a request file; one with the same name and another content is left alone."""
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise RequestError(
            f"The clone is written to {path}, but that file is there already and differs. "
            "Submit that one, or move it away."
        )
    try:
        publish_text(path, text)
    except OSError as error:
        raise RequestError(
            f"The clone is written to the current folder, but {path} cannot be: "
            f"{error.strerror or error}. Change to a folder that you may write to."
        ) from error
