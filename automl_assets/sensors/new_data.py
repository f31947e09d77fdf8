"""The sensor that asks for a new model when a repository has new data."""

from datetime import UTC, datetime

import dagster as dg

from automl_assets.core.errors import AutoMLError, ServiceError
from automl_assets.core.inbox import RequestInbox
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.retraining import follow_up

MAX_REQUESTS_PER_TICK = 20


@dg.sensor(
    name="new_data",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_data(
    context: dg.SensorEvaluationContext,
    request_store: dg.ResourceParam[RequestInbox],
    snapshot_store: dg.ResourceParam[SnapshotStore],
) -> dg.SkipReason:
    """Watches the branches of requests with `monitor.retrain_when.data: new_commit`.

    A new commit that changed the table becomes a request file in the inbox, with the
    commit pinned and the template as its parent; the sensor `request_files` takes it
    from there, after the same checks as every other. The newest accepted request of a
    model name is the template; without `retrain_when` it ends the retraining.
    """
    now = datetime.now(UTC)
    told: list[str] = []
    n_asked = 0
    for template in request_store.templates():
        if n_asked == MAX_REQUESTS_PER_TICK:
            told.append("The others wait for the next tick.")
            break
        try:
            request = follow_up(template, store=snapshot_store, now=now)
            if isinstance(request, str):
                told.append(f"{template.request_id}: {request}")
                continue
            if request_store.is_known(request.request_id):
                told.append(f"{template.request_id}: {request.request_id} was asked for already")
                continue
            request_store.submit(request.to_yaml(), f"{request.request_id}.yaml", again=False)
        except (AutoMLError, OSError) as error:
            context.log.exception(f"The data of {template.request_id} could not be looked at.")
            told.append(f"{template.request_id}: {error}")
            if isinstance(error, ServiceError):  # each look would wait for the same server
                told.append("The others wait for the next tick.")
                break
        else:
            n_asked += 1
            told.append(f"{template.request_id}: asked for {request.request_id}")
    return dg.SkipReason("\n".join(told) or "No request asks for retraining.")
