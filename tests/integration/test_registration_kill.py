"""A registration that is killed at any point, and called again: one version, one event."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.utils import environment

from automl_assets.core import probe as probes
from automl_assets.core.release import broken_link
from automl_assets.core.values import ModelVersion
from resources import mlflow_model, mlflow_numbering, model_registry
from resources.mlflow_setup import configure_mlflow
from resources.model_registry import MlflowModelRegistry
from resources.release_log import StoredReleaseLog
from tests.releases import Releases, committed, real_package

pytestmark = pytest.mark.slow

FORKSERVER = multiprocessing.get_context("forkserver")

PRELOADED = [
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "pandas",
    "polars",
    "resources.model_registry",
    "skops.io",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "tests.releases",
]
"""Imported once, and not in each process that is killed."""

STEPS = [
    ("publish_bytes", 1, "before"),
    ("publish_bytes", 1, "after"),
    ("publish_bytes", 2, "after"),
    ("create_experiment", 1, "before"),
    ("create_experiment", 1, "after"),
    ("create_run", 1, "after"),
    ("log_batch", 1, "after"),
    ("log_batch", 2, "after"),
    ("log_inputs", 1, "after"),
    ("log_artifacts", 1, "after"),
    ("log_text", 1, "after"),
    ("log_text", 2, "after"),
    ("write_mlflow_model", 1, "after"),
    ("log_artifacts", 2, "before"),
    ("log_artifacts", 2, "after"),
    ("decide_version", 1, "after"),
    ("create_registered_model", 1, "after"),
    ("create_model_version", 1, "before"),
    ("create_model_version", 1, "after"),
    ("set_terminated", 1, "after"),
    ("set_registered_model_alias", 1, "before"),
    ("set_registered_model_alias", 1, "after"),
    ("set_model_version_tag", 1, "after"),
    ("_commit", 1, "before"),
    ("_commit", 1, "after"),
]
"""Every call that leaves something behind, in the order in which they come."""


class Stop:
    """Kills this process before or after the n-th call of one step."""

    def __init__(self, step: str, nth: int, when: str) -> None:
        self._step, self._left, self._when = step, nth, when

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        if name != self._step:
            return call

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **kwargs)
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


class StoppedClient:
    """MLflow's client, with a stop at one of its methods."""

    def __init__(self, client: Any, stop: Stop) -> None:
        self._client, self._stop = client, stop

    def __getattr__(self, name: str) -> Any:
        return self._stop.around(name, getattr(self._client, name))


def registry_in(folder: Path) -> MlflowModelRegistry:
    home = folder / "home"
    return MlflowModelRegistry(
        tracking_uri=f"sqlite:///{home}/mlflow.db",
        artifact_folder=str(home / "artifacts"),
        lock_folder=str(home / "locks"),
    )


def made_in(folder: Path) -> Releases:
    data = committed(folder)
    return Releases(
        folder=folder,
        data=data,
        registry=registry_in(folder),
        log=StoredReleaseLog(data.store),
    )


def register_and_die(folder: Path, number: int, step: str, nth: int, when: str) -> None:
    stop = Stop(step, nth, when)
    make_client = MlflowModelRegistry.client

    def stopped_client(self: MlflowModelRegistry) -> Any:
        return StoppedClient(make_client(self), stop)

    with_less_beside_the_point()
    setattr(MlflowModelRegistry, "client", stopped_client)  # noqa: B010
    for module, name in (
        (probes, "publish_bytes"),
        (model_registry, "write_mlflow_model"),
        (mlflow_numbering, "decide_version"),
        (StoredReleaseLog, "_commit"),
    ):
        setattr(module, name, stop.around(name, getattr(module, name)))
    made_in(folder).register(number)


def with_less_beside_the_point() -> None:
    """Leave out what takes long and no kill can tell apart: hundreds of files of code.

    And MLflow's search of all that is installed for the versions, which are those installed.
    """
    setattr(mlflow_model, "_SERVED_CODE", ("serving",))  # noqa: B010
    setattr(environment, "warn_dependency_requirement_mismatches", lambda pins: None)  # noqa: B010


@pytest.fixture(scope="module", autouse=True)
def _preloaded_forkserver() -> Iterator[None]:
    configure_mlflow()
    FORKSERVER.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_model, "_SERVED_CODE", ("serving",))
        patch.setattr(environment, "warn_dependency_requirement_mismatches", lambda pins: None)
        yield


@pytest.fixture(scope="module")
def folder_with_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database and models are made; making them takes seconds."""
    folder = tmp_path_factory.mktemp("made")
    registry_in(folder).client()
    for number in (1, 2):
        real_package(folder / f"real-{number}" / "package", C=float(number))
    return folder


@pytest.fixture
def folder(folder_with_database: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder_with_database, tmp_path / "work")


def killed(folder: Path, number: int, step: str, nth: int, when: str) -> None:
    child = FORKSERVER.Process(target=register_and_die, args=(folder, number, step, nth, when))
    child.start()
    child.join(180)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("step", "nth", "when"), STEPS)
def test_killed_at_any_point_a_second_call_leaves_one_version_and_one_event(
    folder: Path, step: str, nth: int, when: str
) -> None:
    killed(folder, 1, step, nth, when)

    version = made_in(folder).register(1)

    assert_registered_once(made_in(folder), [version], ["1.0.0"])


@pytest.mark.parametrize(
    ("step", "nth", "when"),
    [
        ("create_model_version", 1, "before"),
        ("create_model_version", 1, "after"),
        ("set_registered_model_alias", 1, "before"),
        ("set_registered_model_alias", 1, "after"),
        ("_commit", 1, "after"),
    ],
)
def test_a_second_version_that_is_killed_follows_the_first_once(
    folder: Path, step: str, nth: int, when: str
) -> None:
    first = made_in(folder).register(1)
    killed(folder, 2, step, nth, when)

    second = made_in(folder).register(2)

    first = made_in(folder).registry.find("churn", first.version)
    assert_registered_once(made_in(folder), [second, first], ["1.1.0", "1.0.0"])


def assert_registered_once(
    made: Releases, versions: list[ModelVersion], numbers: list[str]
) -> None:
    """Assert that there is one of everything for each version, newest first."""
    assert made.registry.list_versions() == versions
    assert [version.semver.partition("+")[0] for version in versions] == numbers
    assert made.aliases() == {"challenger": versions[0].version}
    events = made.log.events("churn")
    assert [event.kind for event in events] == ["registered"] * len(versions)
    assert [event.version for event in events] == [v.version for v in reversed(versions)]
    assert broken_link(events) is None

    registry = made.registry
    assert isinstance(registry, MlflowModelRegistry)
    client = registry.client()
    experiment = client.get_experiment_by_name("churn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == {v.mlflow_run_id for v in versions}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert list(Path(registry.lock_folder).glob("*.scratch")) == []
    for version in versions:
        _, package = registry.fetch("churn", version.version)
        assert (package / "model.json").is_file()
        with registry.inspect(version) as record:
            probe, predictions = probes.read_probe(record.report)  # type: ignore[arg-type]
        assert probe.predictions_sha256 == version.tags["probe_sha256"]
        assert len(predictions) == probe.n_rows
