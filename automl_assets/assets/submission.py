"""The job through which a request is submitted from Dagster's own pages."""

import dagster as dg
from pydantic import Field

from automl_assets.core.errors import AutoMLError
from automl_assets.core.inbox import RequestInbox
from automl_assets.core.intake import reach
from automl_assets.core.ports import DataSources
from automl_assets.dagit import fenced


class RequestText(dg.Config):
    """A request file, pasted."""

    request: str = Field(description="The text of a request file (`automl/v1`, YAML or JSON).")


@dg.op
def checked_request(
    context: dg.OpExecutionContext,
    config: RequestText,
    request_store: dg.ResourceParam[RequestInbox],
    data_sources: dg.ResourceParam[DataSources],
) -> None:
    """Checks a request and puts it into the inbox; its run follows within seconds."""
    from automl_assets.core.request.file import parse_request

    try:
        request = parse_request(config.request.encode(), filename="request.yaml")
        reach(request, data_sources)
        path = request_store.submit(config.request, f"{request.name}.yaml")
    except AutoMLError as error:
        raise dg.Failure(
            f"The request was not accepted.\n{error}",
            metadata={"messages": fenced(str(error))},
            allow_retries=False,
        ) from error
    context.log.info(f"Accepted as {request.request_id}; the sensor request_files starts its run.")
    context.add_output_metadata(
        {
            "request_id": request.request_id,
            "owner": request.owner,
            "file": dg.MetadataValue.path(str(path)),
        }
    )


@dg.job(executor_def=dg.in_process_executor)
def submit_request() -> None:
    """Submits a request: paste the request file into `ops.checked_request.config.request`."""
    checked_request()
