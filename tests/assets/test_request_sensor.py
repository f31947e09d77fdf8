"""From a file in the inbox to a partition and a run, and never to a second one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from automl_assets.assets.submission import submit_request
from automl_assets.core.inbox import InboxFile
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import parse_request
from automl_assets.core.values import AcceptedRequest
from automl_assets.dagit import fenced
from automl_assets.partitions import training_requests
from automl_assets.sensors.requests import request_files
from resources.data_sources import ConfiguredDataSources
from resources.request_store import RequestStore
from resources.value_store import JsonValueStore


class PatientStore(RequestStore):
    """A store for which ten seconds have passed since the files were dropped."""

    def pending(self, *, now: datetime, limit: int = 50) -> list[InboxFile]:
        return super().pending(now=now + timedelta(seconds=10), limit=limit)


class FullDisk(PatientStore):
    """A store that cannot write requests."""

    def accept(
        self,
        request: TrainingRequest,
        *,
        text: str,
        source: str,
        now: datetime,
        data_commit: str = "",
    ) -> AcceptedRequest:
        raise OSError(28, "No space left on device")


def request_text(name: str = "churn", owner: str = "ann", extra: str = "") -> str:
    return (
        "apiVersion: automl/v1\nkind: TrainingRequest\n"
        f"name: {name}\nowner: {owner}\ndata: {{path: churn.csv, target: churned}}\n{extra}"
    )


@pytest.fixture
def store(tmp_path: Path) -> RequestStore:
    (tmp_path / "churn.csv").write_text("churned\n1\n")
    (tmp_path / "home" / "inbox").mkdir(parents=True)
    return PatientStore(
        requests_folder=str(tmp_path / "home" / "requests"),
        inbox_folder=str(tmp_path / "home" / "inbox"),
    )


def sources(store: RequestStore) -> ConfiguredDataSources:
    """The folder that holds the home may be read, but not the home itself."""
    home = Path(store.requests_folder).parent
    return ConfiguredDataSources(roots=(home.parent,), home=home, scratch=home / "scratch")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.asset(partitions_def=training_requests)
def anything() -> None:
    """Stands for the platform's assets."""


@dg.job
def no_job() -> None:
    """Stands for the job of a run."""


def evaluate(store: RequestStore, instance: dg.DagsterInstance) -> dg.SensorResult:
    definitions = dg.Definitions(
        assets=[anything],
        jobs=[dg.define_asset_job("train", selection=[anything])],
        sensors=[request_files],
    )
    context = dg.build_sensor_context(
        instance=instance,
        definitions=definitions,
        resources={"request_store": store, "data_sources": sources(store)},
    )
    result = request_files(context)
    assert isinstance(result, dg.SensorResult)
    return result


def drop(store: RequestStore, name: str, text: str) -> Path:
    path = Path(store.inbox_folder) / name
    path.write_text(text)
    return path


def note(path: Path) -> str:
    return path.with_name(f"{path.name}.rejected.txt").read_text()


def add_run(
    instance: dg.DagsterInstance, request_id: str, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    tags = {"dagster/run_key": request_id, "dagster/partition": request_id}
    return instance.create_run_for_job(no_job, tags=tags, status=status)


def test_the_name_that_dagster_remembers_runs_by_does_not_change() -> None:
    assert request_files.name == "request_files"
    assert request_files.job_name == "train"
    assert request_files.default_status == dg.DefaultSensorStatus.RUNNING


def test_a_valid_file_becomes_a_partition_and_a_run(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    path = drop(store, "churn.yaml", request_text(extra="resources: {priority: high}\n"))
    request = parse_request(path.read_bytes(), filename="churn.yaml")

    result = evaluate(store, instance)

    (run,) = result.run_requests or []
    assert run.run_key == run.partition_key == request.request_id
    assert run.tags["automl/owner"] == "ann"
    assert run.tags["automl/request_sha256"] == request.sha256
    assert run.tags["dagster/priority"] == "1"
    (added,) = result.dynamic_partitions_requests or []
    assert list(added.partition_keys) == [request.request_id]
    assert store.load(request.request_id).request == request
    assert path.exists()


def test_a_file_stays_until_its_run_exists_although_its_partition_does(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    drop(store, "churn.yaml", request_text())
    first = evaluate(store, instance).run_requests or []
    instance.add_dynamic_partitions("training_request", [str(first[0].partition_key)])

    second = evaluate(store, instance).run_requests

    assert second == first


def test_a_run_that_was_made_but_not_queued_is_asked_for_again(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    drop(store, "churn.yaml", request_text())
    (first,) = evaluate(store, instance).run_requests or []
    add_run(instance, str(first.run_key), dg.DagsterRunStatus.NOT_STARTED)

    (second,) = evaluate(store, instance).run_requests or []

    assert second.run_key == first.run_key


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS])
def test_a_file_whose_run_exists_is_removed_and_not_run_again(
    store: RequestStore, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    path = drop(store, "churn.yaml", request_text())
    (first,) = evaluate(store, instance).run_requests or []
    add_run(instance, str(first.run_key), status)

    result = evaluate(store, instance)

    assert not result.run_requests
    assert result.skip_reason == dg.SkipReason("No new request files.")
    assert not path.exists()


@pytest.mark.parametrize(
    ("status", "word"),
    [(dg.DagsterRunStatus.FAILURE, "failed"), (dg.DagsterRunStatus.CANCELED, "was canceled")],
)
def test_a_file_whose_run_ended_badly_is_removed_and_the_tick_says_how_to_go_on(
    store: RequestStore, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, word: str
) -> None:
    path = drop(store, "churn.yaml", request_text())
    (first,) = evaluate(store, instance).run_requests or []
    add_run(instance, str(first.run_key), status)

    result = evaluate(store, instance)

    assert not result.run_requests
    assert f"request {first.run_key} ran already and {word}" in str(result.skip_reason)
    assert f"`automl resume {first.run_key}`" in str(result.skip_reason)
    assert not path.exists()


def test_how_the_newest_run_ended_counts(store: RequestStore, instance: dg.DagsterInstance) -> None:
    drop(store, "churn.yaml", request_text())
    (first,) = evaluate(store, instance).run_requests or []
    add_run(instance, str(first.run_key), dg.DagsterRunStatus.FAILURE)
    add_run(instance, str(first.run_key), dg.DagsterRunStatus.SUCCESS)

    assert evaluate(store, instance).skip_reason == dg.SkipReason("No new request files.")


def test_two_files_with_the_same_request_are_one_run(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    drop(store, "a.yaml", request_text())
    drop(store, "b.yaml", "# the same, with a remark\n" + request_text())

    assert len(evaluate(store, instance).run_requests or []) == 1


def test_broken_files_are_reported_beside_them_and_stop_nothing(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    broken = drop(store, "broken.yaml", request_text().replace("target", "targett"))
    nowhere = drop(store, "nowhere.yaml", request_text().replace("churn.csv", "chrun.csv"))
    drop(store, "bytes.yaml", "").write_bytes(b"\xff\xfe\x00")
    drop(store, "good.yaml", request_text())

    first, second = evaluate(store, instance), evaluate(store, instance)

    assert not first.run_requests
    for name in ("broken.yaml", "nowhere.yaml", "bytes.yaml"):
        assert f"{name} was rejected" in str(first.skip_reason)
    assert [run.tags["automl/owner"] for run in second.run_requests or []] == ["ann"]
    assert "did you mean 'target'" in note(broken)
    assert "data.path must name a file" in note(nowhere)
    assert "bytes.yaml" in note(broken.with_name("bytes.yaml"))


def test_a_tick_without_runs_tells_what_was_rejected_once(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    drop(store, "broken.yaml", "kind: [")

    first, second = evaluate(store, instance), evaluate(store, instance)

    assert "broken.yaml was rejected" in str(first.skip_reason)
    assert "No new request files" in str(second.skip_reason)


def test_a_rejection_waits_for_runs_that_were_asked_for_earlier_and_is_then_told(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    drop(store, "good.yaml", request_text())
    broken = drop(store, "newer.yaml", "kind: [")

    (run,) = evaluate(store, instance).run_requests or []
    assert not broken.with_name("newer.yaml.rejected.txt").exists()
    add_run(instance, str(run.run_key), dg.DagsterRunStatus.STARTED)
    second = evaluate(store, instance)

    assert "newer.yaml was rejected" in str(second.skip_reason)
    assert "not valid YAML" in note(broken)


def test_a_mended_file_is_run(store: RequestStore, instance: dg.DagsterInstance) -> None:
    path = drop(store, "broken.yaml", "kind: [")
    evaluate(store, instance)
    path.write_text(request_text())

    assert len(evaluate(store, instance).run_requests or []) == 1


def test_no_more_than_fifty_files_are_taken_in_one_tick(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    for number in range(53):
        drop(store, f"{number}.yaml", request_text(name=f"model-{number}"))

    assert len(evaluate(store, instance).run_requests or []) == 50


def test_a_full_disk_rejects_nothing_and_loses_nothing(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    path = drop(store, "churn.yaml", request_text())
    full = FullDisk(**store.model_dump())

    result = evaluate(full, instance)

    assert "churn.yaml waits" in str(result.skip_reason)
    assert [file.path for file in store.pending(now=datetime.now(UTC))] == [path]


def test_the_job_submits_a_request_to_the_inbox(
    store: RequestStore, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    result = submit_request.execute_in_process(
        run_config={"ops": {"checked_request": {"config": {"request": request_text()}}}},
        resources={
            "request_store": store,
            "data_sources": sources(store),
            "io_manager": JsonValueStore(folder=str(tmp_path)),
        },
        instance=instance,
    )

    assert result.success
    (file,) = store.pending(now=datetime.now(UTC))
    assert file.content.decode() == request_text()


def test_no_text_gets_out_of_its_fence() -> None:
    shown = fenced("purpose: ````\n# out", language="yaml").value

    assert shown == "`````yaml\npurpose: ````\n# out\n`````"
    assert fenced("plain").value == "```\nplain\n```"


def test_the_job_fails_with_the_messages_of_a_broken_request(
    store: RequestStore, instance: dg.DagsterInstance
) -> None:
    config = {"request": request_text().replace("target", "targett")}

    with pytest.raises(dg.Failure, match="did you mean 'target'"):
        submit_request.execute_in_process(
            run_config={"ops": {"checked_request": {"config": config}}},
            resources={"request_store": store, "data_sources": sources(store)},
            instance=instance,
        )
    assert store.pending(now=datetime.now(UTC)) == []
