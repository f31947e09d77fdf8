"""`automl train` and `automl resume`: the platform's own job, run in this process."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from automl_assets.cli.execution import build_for_cli, read_values, run_request
from automl_assets.cli.files import file_data, read_request_file
from automl_assets.cli.story import print_result
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publish_text
from automl_assets.core.intake import reach
from automl_assets.core.request import SCHEMA_FILE, TrainingRequest, request_json_schema
from automl_assets.core.request.file import parse_request
from automl_assets.core.request.numbers import Duration
from automl_assets.settings import Settings

REQUEST_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the command line says, beside the data; None where it says nothing."""

    target: str | None
    time_limit: str | None
    n_trials: int | None
    families: tuple[str, ...]
    task: str | None
    metric: str | None
    positive: str | None
    id: str | None
    time: str | None
    group: str | None
    exclude: tuple[str, ...]
    keep: tuple[str, ...]
    where: str | None
    expect: str | None
    name: str | None
    owner: str | None
    seed: int | None
    workers: int | None
    sampler: str | None
    monotonic: tuple[str, ...]
    max_size_mb: float | None
    max_latency_ms: float | None


def _slug(text: str, fallback: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return slug or fallback


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, (), [], "", {})}


def _about_models(options: TrainOptions) -> dict[str, Any]:
    """Return the sections on what may be built, how it is looked for, and its limits."""
    return {
        "model": _present(
            families=list(options.families), monotonic=_directions(options.monotonic or ())
        ),
        "search": _present(
            time_limit=options.time_limit,
            n_trials=options.n_trials,
            workers=options.workers,
            sampler=options.sampler,
        ),
        "constraints": _present(
            model_size_mb=_present(max=options.max_size_mb),
            p99_latency_ms=_present(max=options.max_latency_ms),
        ),
    }


def _directions(options: tuple[str, ...]) -> dict[str, str]:
    """Return the direction of each column from options like `age=increasing`."""
    directions: dict[str, str] = {}
    for option in options:
        column, _, direction = option.rpartition("=")
        if not column or direction not in ("increasing", "decreasing"):
            raise RequestError(
                "--monotonic takes a column and a direction, such as age=increasing or "
                f"age=decreasing, but found {option!r}. Write one of the two."
            )
        if directions.setdefault(column, direction) != direction:
            raise RequestError(
                f"A column has one direction, but --monotonic gives {column!r} two. Keep one."
            )
    return directions


def _located(data: Path, settings: Settings) -> str:
    """Return how a request names a file: relative to the first root that holds it."""
    path = data.expanduser().resolve()
    for root in settings.allowed_data_roots:
        if path.is_relative_to(root.resolve()):
            return path.relative_to(root.resolve()).as_posix()
    return str(path)


def request_for(
    data: Path, options: TrainOptions, settings: Settings, *, sha256: str
) -> TrainingRequest:
    """Write the request that the command line means.

    The digest of the data goes into the request: other data under the same
    name is another request.

    Raises:
        RequestError: An option is not valid.
    """
    if options.target is None:
        raise RequestError(
            "A model needs a column to predict, but --target is missing. "
            f"Say `automl train {data} --target COLUMN`."
        )
    content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": options.name or _slug(data.stem, "model"),
        "owner": options.owner or Settings().user,
        "data": _present(
            path=_located(data, settings),
            sha256=sha256,
            target=options.target,
            positive=options.positive,
            id=options.id,
            time=options.time,
            group=options.group,
            features=_present(exclude=list(options.exclude), keep=list(options.keep)),
            rows=_present(where=options.where),
            expect=options.expect and _located(Path(options.expect), settings),
        ),
        "task": _present(type=options.task, metric=options.metric),
        **_about_models(options),
        "seed": options.seed,
    }
    content = {key: value for key, value in content.items() if value not in ({}, None)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return parse_request(text, filename="automl train")


def _refuse_options(data: Path, options: TrainOptions) -> None:
    """A request file says everything; an option beside it would be ignored."""
    given = [name for name, value in vars(options).items() if value not in (None, ())]
    if given:
        raise RequestError(
            f"A request file says all that is asked for, but {', '.join(given)} was given beside "
            f"{data}. Write it into the file."
        )


def train_file(data: Path, options: TrainOptions) -> None:
    """Train on a data file, or on what a request file says.

    Raises:
        AutoMLError: The request or its data cannot be used, or nothing was found.
    """
    settings = Settings()
    is_request = data.suffix.lower() in REQUEST_SUFFIXES
    console = Console(highlight=False)
    # What the user may read is the user's own affair: a file is named on the command line,
    # a request is run from the folder that its paths start from.
    root = Path.cwd() if is_request else data.expanduser().absolute().parent
    with build_for_cli(settings, console, extra_root=root) as cli:
        if is_request:
            _refuse_options(data, options)
            content = read_request_file(data)
            request = parse_request(content, filename=str(data))
            text = content.decode()
        else:
            with cli.data_sources.open(file_data(data, sha256="")) as table:
                names = table.frame.collect_schema().names()
                request = request_for(data, options, settings, sha256=table.sha256())
            _require_target(request, names)
            text = _with_schema(request, settings)
        commit = reach(request, cli.data_sources)
        if read_values(settings, request.request_id).registered_model is None:
            now = datetime.now(UTC)
            cli.request_store.accept(request, text=text, source="cli", now=now, data_commit=commit)
            run_request(cli, request.request_id, request.owner)
    print_result(settings, request.request_id, console)


def _with_schema(request: TrainingRequest, settings: Settings) -> str:
    """Return the request as a file beside which editors find its schema."""
    schema = json.dumps(request_json_schema(), indent=2) + "\n"
    publish_text(settings.root / SCHEMA_FILE, schema)
    return request.to_yaml().replace(f"={SCHEMA_FILE}", f"=../../{SCHEMA_FILE}", 1)


def _require_target(request: TrainingRequest, names: list[str]) -> None:
    """Refuse a target that the file does not have, before anything is written."""
    from difflib import get_close_matches

    if request.data.target in names:
        return
    near = get_close_matches(request.data.target, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RequestError(
        f"The target must be a column of the data, but there is no {request.data.target!r}. "
        f"Columns: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}.{hint}"
    )


def resume_request(request_id: str, *, add_time: str | None = None) -> None:
    """Go on with a request that was accepted before.

    Args:
        add_time: How much longer to search, as a request file writes durations; then a request
            that has its model goes on as well, and gets a new version.

    Raises:
        AutoMLError: There is no such request, or it cannot be finished.
    """
    add_seconds = 0.0 if add_time is None else _seconds(add_time)
    settings = Settings()
    console = Console(highlight=False)
    with build_for_cli(settings, console) as cli:
        accepted = cli.request_store.load(request_id)
    # Only a command can have accepted a file outside the operator's folders.
    data = Path(accepted.request.data.path or "")
    root = data.parent if data.is_absolute() else Path.cwd()
    with build_for_cli(settings, console, extra_root=root) as cli:
        if add_seconds or read_values(settings, request_id).registered_model is None:
            run_request(cli, request_id, accepted.request.owner, add_seconds=add_seconds)
    print_result(settings, request_id, console)


def _seconds(add_time: str) -> float:
    try:
        return TypeAdapter(Duration).validate_python(add_time)
    except ValidationError as error:
        raise RequestError(f"--add-time: {error.errors()[0]['msg']}.") from error
