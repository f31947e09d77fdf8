"""The schedule that makes one champion again each night."""

import dagster as dg

from automl_assets.core.ports import ModelRegistry
from automl_assets.core.reproduction.keeping import champion_of_the_day
from automl_assets.partitions import registered_versions

REPRODUCE_JOB = "reproduce"


@dg.schedule(
    name="nightly_reproduction",
    job_name=REPRODUCE_JOB,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def nightly_reproduction(
    context: dg.ScheduleEvaluationContext, model_registry: dg.ResourceParam[ModelRegistry]
) -> dg.RunRequest | dg.SkipReason:
    """Makes a champion, chosen at random with the day as seed, again from its records.

    A tick that is repeated chooses the same one and starts no second run.
    """
    day = context.scheduled_execution_time.date().isoformat()
    version = champion_of_the_day(model_registry.list_versions(), day)
    if version is None:
        return dg.SkipReason("No registered model has a champion yet.")
    key = f"{version.name}@{version.version}"
    context.instance.add_dynamic_partitions(str(registered_versions.name), [key])
    return dg.RunRequest(
        run_key=f"reproduce/{day}",
        partition_key=key,
        tags={"automl/owner": "reproduction", "automl/source": "schedule"},
    )
