"""Decides whose a run is before it is queued, so that limits per owner hold."""

from pathlib import Path

import dagster as dg

from automl_assets.core.errors import AutoMLError
from resources.request_store import RequestStore

OWNER_TAG = "automl/owner"
PRIORITY_TAG = "dagster/priority"
POD_CONFIG_TAG = "dagster-k8s/config"
USER_HEADER = "X-Forwarded-User"
IMMEDIATE_JOBS = ("submit_request",)
"""Jobs of seconds, which must not wait behind trainings of hours."""


class OwnerRunCoordinator(dg.QueuedRunCoordinator):
    """Queues runs, each under an owner, a bounded priority and no pod settings of its own.

    The owner of a run is, in this order: the user whom the authenticating proxy
    names, the owner written in the request of the run's partition, the tag that
    the run came with, `anonymous`.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Set the tags that the queue relies on, then queue the run."""
        run = context.dagster_run
        tags = {OWNER_TAG: self._owner(context)}
        if PRIORITY_TAG in run.tags:
            tags[PRIORITY_TAG] = clamped_priority(run.tags[PRIORITY_TAG])
        if POD_CONFIG_TAG in run.tags:
            # A tag cannot be removed. The empty object changes nothing in the
            # Pod, whose settings are the operator's alone.
            tags[POD_CONFIG_TAG] = "{}"
        self._instance.add_run_tags(run.run_id, tags)
        if run.job_name in IMMEDIATE_JOBS and run.status == dg.DagsterRunStatus.NOT_STARTED:
            return self._instance.launch_run(run.run_id, context.workspace)
        return super().submit_run(context)

    def _owner(self, context: dg.SubmitRunContext) -> str:
        header = (context.get_request_header(USER_HEADER) or "").strip()
        if header:
            return header[:128]
        tags = context.dagster_run.tags
        partition = tags.get("dagster/partition")
        return (partition and self._requested_by(partition)) or tags.get(OWNER_TAG) or "anonymous"

    def _requested_by(self, request_id: str) -> str | None:
        """Return who asked for a partition, or None if no such request was accepted."""
        home = Path(self._instance.root_directory).parent
        store = RequestStore(
            requests_folder=str(home / "requests"), inbox_folder=str(home / "inbox")
        )
        try:
            return store.load(request_id).request.owner
        except AutoMLError:
            return None


def clamped_priority(text: str) -> str:
    """Return a run priority between -1 and 1; what is no number counts as 0.

    Examples:
        >>> [clamped_priority(text) for text in ("99", "-7", "1", "urgent")]
        ['1', '-1', '1', '0']
    """
    try:
        return str(max(-1, min(1, int(text))))
    except ValueError:
        return "0"
