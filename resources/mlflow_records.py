"""What MLflow holds about a model: looked for first, then made, so that it is there once."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from automl_assets.core.ports import Registration
from automl_assets.core.values import ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

# Limits of MLflow: params in one call, characters of a data set's digest and of a description.
_BATCH = 100
METRICS_BATCH = 1000
_DIGEST_LENGTH = 36
_DESCRIPTION_LENGTH = 5000
# Below the limits of every release: that of a run's tags was 250 once, then 5,000, and is 8,000.
_TAG_LENGTH = 1000


ARTIFACT, HIDDEN, ARRIVED = "automl.artifact_sha256", "automl.hidden", "automl.arrived"
"""Tags of a version: what is registered, whether it waits, and the alias that it arrived with."""

MODEL_FILES = "automl.model_files_sha256"
"""Tag of a version: digest of the inventory of all files of the MLflow model."""

SEMVER, SEMVER_REASON = "semver", "semver_reason"
"""Tags of a version, under the names that people search for."""

KIND, STUDY = "automl.kind", "automl.study"
"""Tags of the run of a search."""


def version_tags(registration: Registration) -> dict[str, str]:
    """Return the tags of a version: the caller's own, and our lineage under `automl.`."""
    lineage = {
        "owner": registration.owner,
        "request_id": registration.request_id,
        "request_sha256": registration.request_sha256,
        "data_uri": registration.data_uri,
        "data_sha256": registration.data_sha256,
        "card_sha256": registration.card_sha256,
        "artifact_sha256": registration.artifact_sha256,
        "facts_sha256": registration.facts.sha256,
    }
    given = {key: shortened(value) for key, value in registration.tags.items()}
    return {**given, **{f"automl.{key}": value for key, value in lineage.items()}}


def shortened(text: str, length: int = _TAG_LENGTH) -> str:
    """Return a text that every MLflow server takes as the value of a tag.

    Examples:
        >>> shortened("abcdef", 4)
        'abc…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def pages(search: Any) -> Iterator[Any]:
    """Yield what a search method of MLflow's client finds, page after page."""
    token: str | None = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def find_version(client: "MlflowClient", registration: Registration) -> "MlflowVersion | None":
    """Return the version of an earlier call."""
    found = client.search_model_versions(
        f"name = '{registration.name}'"
        f" and tags.`automl.request_sha256` = '{registration.request_sha256}'"
        f" and tags.`automl.artifact_sha256` = '{registration.artifact_sha256}'",
        order_by=["version_number ASC"],
    )
    return found[0] if found else None


def find_or_start_run(
    client: "MlflowClient", registration: Registration, experiment_id: str
) -> "Run":
    """Return the MLflow run of an earlier call, or that of the search, or start one."""
    found = client.search_runs(
        [experiment_id],
        f"tags.`automl.request_id` = '{registration.request_id}'"
        f" and tags.`automl.artifact_sha256` = '{registration.artifact_sha256}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    if found:
        return found[0]
    tags = version_tags(registration)
    search = find_search_run(
        client, experiment_id, registration.request_id, registration.tags.get("study", "")
    )
    if search is None or "automl.artifact_sha256" in search.data.tags:
        return client.create_run(experiment_id, tags=tags, run_name=registration.request_id)
    from mlflow.entities import RunTag

    # The search becomes the model's run; all tags at once, so that the next call finds it.
    client.log_batch(search.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    return search


def find_search_run(
    client: "MlflowClient", experiment_id: str, request_id: str, study_name: str
) -> "Run | None":
    """Return the run that a search was tracked under, if there is one."""
    found = client.search_runs(
        [experiment_id],
        f"tags.`{KIND}` = 'search' and tags.`automl.request_id` = '{request_id}'"
        f" and tags.`{STUDY}` = '{study_name}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return found[0] if found else None


def log_training(client: "MlflowClient", run: "Run", registration: Registration) -> None:
    """Log params, metrics and the dataset; logging them again changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    run_id, started = run.info.run_id, run.info.start_time
    for params in _batches(Param(key, value) for key, value in registration.params.items()):
        client.log_batch(run_id, params=params)
    # MLflow drops a metric that it has at the same time and step, so a retry adds none.
    metrics = (Metric(key, value, started, 0) for key, value in registration.metrics.items())
    for batch in _batches(metrics):
        client.log_batch(run_id, metrics=batch)
    dataset = Dataset(
        name=registration.name,
        digest=registration.data_sha256[:_DIGEST_LENGTH],
        source_type="lakefs",
        source=json.dumps({"uri": registration.data_uri}),
    )
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def create_version(
    client: "MlflowClient",
    run: "Run",
    registration: Registration,
    model_path: str,
    *,
    tags: Mapping[str, str],
) -> "MlflowVersion":
    """Make a version of the model that the run's artifacts hold, described by its card.

    Args:
        tags: Of the version alone; the run's follow from the registration.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(registration.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    card = (registration.report / "card.md").read_text("utf-8")
    hidden = {HIDDEN: "true"} if registration.is_hidden else {}
    return client.create_model_version(
        registration.name,
        f"{run.info.artifact_uri}/{model_path}",
        run.info.run_id,
        tags={**version_tags(registration), **tags, **hidden},
        description=card[:_DESCRIPTION_LENGTH],
    )


def set_arrival_alias(client: "MlflowClient", version: "MlflowVersion", alias: str) -> None:
    """Point an alias to a version that is new, unless it points to a newer one.

    A version arrives once: where it was given the alias before, whoever moved it since is right.
    """
    if ARRIVED in version.tags:
        return
    holder = client.get_registered_model(version.name).aliases.get(alias)
    if holder is None or int(holder) < int(version.version):
        client.set_registered_model_alias(version.name, alias, str(version.version))
    client.set_model_version_tag(version.name, str(version.version), ARRIVED, alias)


def to_model_version(version: "MlflowVersion", aliases: Mapping[str, str]) -> ModelVersion:
    """Convert MLflow's version; `aliases` are those of its model, which searches leave out."""
    number = str(version.version)
    return ModelVersion(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, holder in aliases.items() if str(holder) == number)),
        mlflow_run_id=version.run_id or "",
        artifact_sha256=version.tags[ARTIFACT],
        card_sha256=version.tags.get("automl.card_sha256", ""),
        tags=dict(version.tags),
        semver=version.tags.get(SEMVER, ""),
        semver_reason=version.tags.get(SEMVER_REASON, ""),
        is_hidden=version.tags.get(HIDDEN) == "true",
    )
