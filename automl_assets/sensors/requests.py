"""The sensor that turns request files into partitions and runs."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from automl_assets.core.errors import AutoMLError, ServiceError
from automl_assets.core.inbox import InboxFile, RequestInbox
from automl_assets.core.intake import reach
from automl_assets.core.ports import DataSources
from automl_assets.core.request import TrainingRequest
from automl_assets.partitions import training_requests

MAX_FILES_PER_TICK = 50
"""A tick submits runs one after the other and must end well within its minute."""

PRIORITIES: Mapping[str, str] = {"low": "-1", "normal": "0", "high": "1"}

BAD_ENDS: Mapping[dg.DagsterRunStatus, str] = {
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "was canceled",
}


@dg.sensor(
    # Dagster remembers under this name which requests have a run: a new name runs them again.
    name="request_files",
    job_name="train",
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def request_files(
    context: dg.SensorEvaluationContext,
    request_store: dg.ResourceParam[RequestInbox],
    data_sources: dg.ResourceParam[DataSources],
) -> dg.SensorResult:
    """Watches the inbox: a valid request file becomes a partition and a run.

    A file stays in the inbox until its run exists, so a kill at any point loses
    nothing, and the run key makes the second run of a request impossible. A file
    that is not valid gets a note beside it and stops nothing else.

    A tick shows either runs or why there are none, as Dagster has it: the oldest
    file says which, and files of the other kind wait for the next tick.
    """
    now = datetime.now(UTC)
    requests: dict[str, dg.RunRequest] = {}
    told: list[str] = []
    waiting: list[str] = []
    for file in request_store.pending(now=now, limit=MAX_FILES_PER_TICK):
        try:
            taken = _take(context.instance, request_store, data_sources, file, now=now)
            if taken is None or (isinstance(taken, str) and not requests):
                request_store.forget(file)
        # A full disk, or a server that is away: the file is tried again on the next tick.
        except (OSError, ServiceError) as error:
            context.log.exception(f"{file.path.name} could not be taken in.")
            waiting.append(f"{file.path.name} waits: {error}")
            if isinstance(error, ServiceError):
                break  # the others would wait for the same server, beyond the end of the tick
        except Exception as error:
            if not requests:
                told.append(_reject(context, request_store, file, error))
        else:
            if isinstance(taken, dg.RunRequest) and not told:
                requests[str(taken.run_key)] = taken
            elif isinstance(taken, str) and not requests:
                told.append(f"{file.path.name}: {taken}")
    return _answer(requests, told + waiting)


def _answer(requests: dict[str, dg.RunRequest], notes: list[str]) -> dg.SensorResult:
    if not requests:
        return dg.SensorResult(skip_reason="\n".join(notes) or "No new request files.")
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[training_requests.build_add_request(list(requests))],
    )


def _take(
    instance: dg.DagsterInstance,
    store: RequestInbox,
    sources: DataSources,
    file: InboxFile,
    *,
    now: datetime,
) -> dg.RunRequest | str | None:
    """Accept a file and return the run to ask for.

    Once that run exists: what its owner must know of how it ended, None if nothing.
    """
    request = _read(file)
    if _has_run(instance, request.request_id):
        return _bad_end(instance, request.request_id)
    accepted = store.accept(
        request,
        text=file.content.decode(),
        source=f"inbox/{file.path.name}",
        now=now,
        data_commit=reach(request, sources),
    )
    return dg.RunRequest(
        run_key=accepted.request_id,
        partition_key=accepted.request_id,
        tags={
            "automl/owner": request.owner,
            "automl/request_sha256": accepted.request_sha256,
            "dagster/priority": PRIORITIES[request.resources.priority],
        },
    )


def _reject(
    context: dg.SensorEvaluationContext, store: RequestInbox, file: InboxFile, error: Exception
) -> str:
    """Write why a file is refused beside it, and return it for the tick."""
    message = _reason(error)
    context.log.warning(f"{file.path.name} was rejected:\n{message}", exc_info=error)
    store.reject(file, message)
    return f"{file.path.name} was rejected: {message}"


def _read(file: InboxFile) -> TrainingRequest:
    from automl_assets.core.request.file import parse_request

    if file.problem is not None:
        raise AutoMLError(file.problem)
    return parse_request(file.content, filename=file.path.name)


def _has_run(instance: dg.DagsterInstance, request_id: str) -> bool:
    """Tell whether a request has a run that was queued; partitions prove nothing.

    A run that was made but never queued (the daemon died in between) is queued
    when it is asked for again.
    """
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request_id}), limit=1)
    return any(run.status != dg.DagsterRunStatus.NOT_STARTED for run in runs)


def _bad_end(instance: dg.DagsterInstance, request_id: str) -> str | None:
    """Say how the newest run of a request ended, if it made no model."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": request_id}), limit=1)
    word = BAD_ENDS.get(runs[0].status) if runs else None
    return word and (
        f"request {request_id} ran already and {word}; go on with `automl resume {request_id}`, "
        "or re-execute it in Dagit"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, AutoMLError):
        return str(error)
    return (
        f"The platform failed while it read this file ({type(error).__name__}: {error}). "
        "This is a fault of the platform; its log has the details."
    )
