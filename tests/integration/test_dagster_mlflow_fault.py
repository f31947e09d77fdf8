"""Why dagster-mlflow does not track our runs; see docs/decisions/0002-mlflow-client.md.

These tests pass as long as the fault is there. The day one fails, upstream has
repaired it, and the decision can be taken again.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# A job of three steps, each in a process of its own, that fails in the last one and is then
# restarted from the failure. The second step only looks at what MLflow shows meanwhile.
RESTARTED_JOB = """
import json
from pathlib import Path

import dagster as dg
from dagster_mlflow import mlflow_tracking

folder = Path(__file__).resolve().parent
uri = f"sqlite:///{folder}/mlflow.db"


def runs():
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("fault")
    return [
        {"status": run.info.status, "params": sorted(run.data.params)}
        for run in client.search_runs([experiment.experiment_id])
    ]


@dg.op(required_resource_keys={"mlflow"})
def first(context):
    context.resources.mlflow.log_params({"first": 1})


@dg.op(ins={"start": dg.In(dg.Nothing)})
def watch():
    (folder / "meanwhile.json").write_text(json.dumps(runs()))


@dg.op(ins={"start": dg.In(dg.Nothing)}, required_resource_keys={"mlflow"})
def last(context):
    context.resources.mlflow.log_params({"last": 1})
    if not (folder / "failed").exists():
        (folder / "failed").touch()
        raise RuntimeError("the first attempt fails")


tracking = mlflow_tracking.configured(
    {"experiment_name": "fault", "mlflow_tracking_uri": uri, "env": {}, "extra_tags": {}}
)


@dg.job(resource_defs={"mlflow": tracking})
def tracked():
    last(start=watch(start=first()))


if __name__ == "__main__":
    job = dg.reconstructable(tracked)
    (folder / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        with dg.execute_job(job, instance=instance) as failed:
            assert not failed.success
            again = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        with dg.execute_job(job, instance=instance, reexecution_options=again) as restarted:
            assert restarted.success
    (folder / "after.json").write_text(json.dumps(runs()))
"""


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """MLflow's runs while the job was running, and after it was restarted and ended well."""
    folder = tmp_path_factory.mktemp("fault")
    script = folder / "restarted_job.py"
    script.write_text(RESTARTED_JOB)
    command = [sys.executable, "-W", "ignore", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    seen = ("meanwhile", "after")
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in seen}


def test_the_mlflow_run_is_finished_while_the_job_is_running(
    observed: dict[str, list[dict[str, Any]]],
) -> None:
    # It unregisters `mlflow.end_run` at exit; MLflow 3 registers another function.
    assert observed["meanwhile"] == [{"status": "FINISHED", "params": ["first"]}]


def test_a_restarted_job_has_two_mlflow_runs_with_half_of_the_story_each(
    observed: dict[str, list[dict[str, Any]]],
) -> None:
    # It looks for its run by Dagster's run id, and a restart has a new one.
    assert sorted(run["params"] for run in observed["after"]) == [["first", "last"], ["last"]]
