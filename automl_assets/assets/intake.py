"""What a user asked for."""

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.assets.metadata import lineage_metadata, request_metadata
from automl_assets.core.ports import AcceptedRequests, Progress
from automl_assets.core.search.budget import Stopwatch
from automl_assets.core.values import AcceptedRequest
from automl_assets.partitions import training_requests


@dg.asset(
    partitions_def=training_requests,
    group_name="intake",
    kinds={"yaml"},
    owners=["team:automl"],
    code_version=version_of("training_request"),
)
def training_request(
    context: dg.AssetExecutionContext,
    request_store: dg.ResourceParam[AcceptedRequests],
    progress: dg.ResourceParam[Progress],
    stopwatch: dg.ResourceParam[Stopwatch],
) -> dg.MaterializeResult[AcceptedRequest]:
    """A user's request for a model: this data, this target, this metric, these limits.

    Its text was checked before it was accepted, and it never changes: a changed
    request is another request.
    """
    stopwatch.start()
    accepted = request_store.load(context.partition_key)
    progress.stage("request", f"{accepted.request_id} by {accepted.request.owner}")
    return dg.MaterializeResult(
        value=accepted,
        data_version=dg.DataVersion(accepted.request_sha256),
        metadata={
            **request_metadata(accepted),
            **lineage_metadata("training_request", accepted, digest=accepted.request_sha256),
        },
    )
