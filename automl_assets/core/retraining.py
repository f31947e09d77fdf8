"""When new data ask for a new model, and the request that follows."""

from datetime import datetime

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import parse_request
from automl_assets.core.request.sections import DEFAULT_REF
from automl_assets.core.values import AcceptedRequest


def follow_up(
    template: AcceptedRequest, *, store: SnapshotStore, now: datetime
) -> TrainingRequest | str:
    """Return the request that new data call for, or why there is none.

    The same template and the same commit give the same request, byte for byte,
    so that asking twice makes one partition and one run.

    Args:
        template: An accepted request with `monitor.retrain_when.data: new_commit`.
        store: Where its repository is.
        now: The time, with its zone.

    Raises:
        SnapshotError: The repository or the ref is gone.
    """
    request, data = template.request, template.request.data
    when = request.monitor.retrain_when if request.monitor else None
    if when is None or when.data is None or data.repository is None:
        return "does not ask for retraining"
    commit = store.resolve(data.repository, data.ref or DEFAULT_REF)
    if commit.commit_id == template.data_commit:
        return f"{data.repository}@{data.ref or DEFAULT_REF} has no new commit"
    age = (now - datetime.fromisoformat(template.accepted_at)).total_seconds()
    if when.at_most_every is not None and age < when.at_most_every:
        left = when.at_most_every - age
        return f"commit {commit.commit_id[:8]} is new; at_most_every leaves {left:,.0f} s to wait"
    if not _table_changed(template, commit.commit_id, store):
        return f"commit {commit.commit_id[:8]} left {data.table} as it was"
    followed = request.model_copy(
        update={
            "parent": template.request_id,
            "data": data.model_copy(update={"commit": commit.commit_id}),
        }
    )
    # Read back: what goes into the inbox is what a person could have written.
    return parse_request(followed.to_yaml(), filename=f"{template.request_id} (retraining)")


def _table_changed(template: AcceptedRequest, commit_id: str, store: SnapshotStore) -> bool:
    data = template.request.data
    repository, table = str(data.repository), str(data.table).strip("/")
    if not template.data_commit:
        return True
    try:
        changes = store.diff(repository, template.data_commit, commit_id)
    except SnapshotError:
        # The branch was made anew, and what it held before was cleared away since.
        return True
    return any(change.path == table or change.path.startswith(f"{table}/") for change in changes)
