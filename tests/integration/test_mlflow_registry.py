"""The registry on MLflow: models that stand alone, nothing twice, nothing left over."""

import json
import multiprocessing
import os
import pickletools
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from automl_assets.core.encoding import ColumnKind, Preprocessing, encode, fit_column
from automl_assets.core.errors import ServiceError
from automl_assets.core.families import Encoded, FitOptions, load_families
from automl_assets.core.package import write_package
from automl_assets.core.ports import Registration
from automl_assets.core.predictor import load_predictor
from resources.mlflow_model import requirements
from resources.mlflow_setup import configure_mlflow
from resources.model_registry import MlflowModelRegistry
from tests.fakes import registration

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FORKSERVER = multiprocessing.get_context("forkserver")
KINDS: dict[str, ColumnKind] = {
    "age": "numeric",
    "income": "numeric",
    "plan": "categorical",
    "zip": "categorical",
    "member": "boolean",
    "since": "datetime",
}


@pytest.fixture(scope="session", autouse=True)
def _preloaded_forkserver() -> None:
    configure_mlflow()
    FORKSERVER.set_forkserver_preload(["mlflow.pyfunc", "resources.model_registry"])


@pytest.fixture(scope="session")
def folder_with_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database is made; making one takes seconds."""
    folder = tmp_path_factory.mktemp("made")
    embedded(folder).client()
    return folder


@pytest.fixture
def registry(folder_with_database: Path, tmp_path: Path) -> MlflowModelRegistry:
    """A registry in `tmp_path` that holds nothing."""
    shutil.copytree(folder_with_database, tmp_path, dirs_exist_ok=True)
    return embedded(tmp_path)


def embedded(folder: Path, registry: type[MlflowModelRegistry] = MlflowModelRegistry, **more: Any):
    home = folder / "home" / "mlflow"
    return registry(
        tracking_uri=f"sqlite:///{home}/mlflow.db",
        artifact_folder=str(home / "artifacts"),
        lock_folder=str(home / "locks"),
        **more,
    )


def model_folder(registry: MlflowModelRegistry) -> Path:
    """Return the one model that the artifact store holds."""
    (found,) = Path(str(registry.artifact_folder)).rglob("MLmodel")
    return found.parent


def rows(n_rows: int = 80) -> pl.DataFrame:
    """Return rows of every kind of column; the fifth row has values in two columns only."""
    rng = np.random.default_rng(7)
    table = pl.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows),
            "income": rng.normal(50.0, 9.0, n_rows).round(2),
            "plan": rng.choice(["basic", "plus", "max"], n_rows),
            "zip": rng.integers(8000, 8004, n_rows).astype(str),
            "member": rng.random(n_rows) < 0.5,
            "since": pl.Series(rng.integers(16_000, 18_000, n_rows)).cast(pl.Date),
        }
    )
    empty = pl.int_range(pl.len()) % 10 == 4
    return table.with_columns(
        pl.when(~empty).then(pl.col(name)) for name in ("age", "plan", "zip", "member")
    )


def real_package(folder: Path, family: str) -> str:
    """Fit a family on a small table of every kind of column, and write its package."""
    table = rows()
    columns = tuple(fit_column(table[name], kind=kind) for name, kind in KINDS.items())
    preprocessing = Preprocessing(version="1", columns=columns)
    encoded = Encoded(
        X=encode(table, preprocessing),
        y=np.asarray(table["income"] > 50, dtype=np.int32),
        n_levels=preprocessing.n_levels,
    )
    plugin = load_families()[family]
    params = plugin.default_params()
    options = FitOptions(task_type="binary", n_classes=2, seed=0)
    return write_package(
        folder,
        plugin.fit(encoded, encoded, params, options),
        preprocessing,
        family=family,
        params=params,
        task_type="binary",
        classes=("no", "yes"),
        target="bought",
    )


def real_registration(folder: Path, family: str) -> Registration:
    package = folder / "real" / "package"
    sha256 = real_package(package, family)
    given = registration(folder)
    return replace(given, package=package, artifact_sha256=sha256, input_example=rows().head(5))


# --- a model stands alone ------------------------------------------------------------------------

LOAD_ALONE = """
import json, sys
from importlib.machinery import PathFinder
model_folder, csv, selection = sys.argv[1:]
class NotInstalled:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("automl_assets", "resources"):
            spec = PathFinder.find_spec(name, [p for p in sys.path if p.startswith(model_folder)])
            if spec is None:
                raise ModuleNotFoundError(name)
            return spec
sys.meta_path.insert(0, NotInstalled)
import pandas as pd
from mlflow.pyfunc import load_model
model = load_model(model_folder, suppress_warnings=True)
frame = pd.read_csv(csv, dtype={"zip": str})  # digits that are text
out = [model.predict(part).to_dict("list") for part in eval(selection, {"frame": frame})]
import automl_assets
print(json.dumps({
    "code": automl_assets.__file__,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "predictions": out,
}))
"""


def predict_alone(model: Path, csv: Path, selection: str, cwd: Path) -> dict[str, Any]:
    """Load a model where only its requirements are installed, and predict parts of a CSV file."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-W", "ignore", "-c", LOAD_ALONE, model, csv, selection],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("family", sorted(load_families()))
def test_a_model_predicts_alone_what_it_predicts_here(
    registry: MlflowModelRegistry, tmp_path: Path, family: str
) -> None:
    given = real_registration(tmp_path, family)
    registry.register(given)
    csv = tmp_path / "new.csv"
    rows().with_columns(not_a_feature=pl.lit(1)).write_csv(csv)
    empty = tmp_path / "empty"
    empty.mkdir()

    # `age` is float64 to pandas in all rows, Int64 in the first; the fifth lacks four values.
    selection = "[frame, frame.head(1).convert_dtypes(), frame.iloc[[4]], frame.head(0)]"
    found = predict_alone(model_folder(registry), csv, selection, empty)

    expected = load_predictor(given.package).predict(rows()).to_dict(as_series=False)
    assert found["code"].startswith(str(model_folder(registry)))
    assert not {"dagster", "optuna", "typer"} & set(found["modules"])
    assert found["predictions"][0]["prediction"] == expected["prediction"]
    assert found["predictions"][0]["probability_yes"] == pytest.approx(expected["probability_yes"])
    for part, row in ((1, 0), (2, 4)):
        probability = found["predictions"][part]["probability_yes"]
        assert probability == pytest.approx([expected["probability_yes"][row]])
    assert found["predictions"][3] == {
        "prediction": [],
        "probability_no": [],
        "probability_yes": [],
    }


def test_a_missing_column_and_a_wrong_value_are_named(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    registry.register(real_registration(tmp_path, "linear"))
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(model_folder(registry)), suppress_warnings=True)
    frame = rows(3).to_pandas()

    with pytest.raises(Exception, match=r"Model is missing inputs \['plan'\]"):
        model.predict(frame.drop(columns="plan"))
    with pytest.raises(Exception, match=r"Column 'age' must hold numeric values .* 'forty'"):
        model.predict(frame.assign(age=["forty", 30, None]))


def test_every_family_names_what_a_prediction_needs() -> None:
    assert all(len(requirements(family)) > 6 for family in load_families())


# --- what is stored ------------------------------------------------------------------------------


def is_pickle(path: Path) -> bool:
    """Tell whether the pickle machine would read the file to its end."""
    try:
        return len(list(pickletools.genops(path.read_bytes()))) > 1
    except Exception:  # whatever the parser says, it is no pickle
        return False


@pytest.mark.parametrize("family", sorted(load_families()))
def test_nothing_of_a_model_is_a_pickle_or_a_compiled_file(
    registry: MlflowModelRegistry, tmp_path: Path, family: str
) -> None:
    registry.register(real_registration(tmp_path, family))

    files = [path for path in model_folder(registry).rglob("*") if path.is_file()]

    assert [path for path in files if is_pickle(path)] == []
    suffixes = {path.suffix for path in files}
    assert not suffixes & {".pkl", ".pickle", ".joblib", ".pyc", ".npy", ".pt"}
    # A file of that name keeps Python from making the folder.
    assert "__pycache__" not in {part for path in files for part in path.parent.parts}
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_the_run_tells_what_was_trained_on_what(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    version = registry.register(given)

    client = registry.client()
    run = client.get_run(version.mlflow_run_id)
    (dataset,) = [item.dataset for item in run.inputs.dataset_inputs]

    assert (run.info.status, run.info.run_name) == ("FINISHED", given.request_id)
    assert (run.data.params, run.data.metrics) == (given.params, given.metrics)
    assert json.loads(dataset.source) == {"uri": given.data_uri}
    assert [item.path for item in client.list_artifacts(version.mlflow_run_id)] == [
        "model",
        "report",
        "request.yaml",
        "version.json",
    ]
    assert client.get_model_version("churn", "1").description == "# churn\n\nPredicts 1.0.\n"


def test_the_page_of_a_version_is_known_where_the_ui_is(tmp_path: Path) -> None:
    registry = embedded(tmp_path, ui_url="http://localhost:5000/")
    version = registry.register(registration(tmp_path))

    assert registry.version_url(version) == "http://localhost:5000/#/models/churn/versions/1"


REGISTER = """
import sys
from pathlib import Path
from resources.model_registry import MlflowModelRegistry
from tests.fakes import registration
home, made = map(Path, sys.argv[1:])
registry = MlflowModelRegistry(
    tracking_uri=f"sqlite:///{home}/mlflow.db",
    artifact_folder=str(home / "artifacts"),
    lock_folder=str(home / "locks"),
)
registry.register(registration(made))
registry.fetch("churn")
"""


def test_a_registration_says_nothing_and_writes_nowhere_else(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("cwd", "user", "temp", "home", "made")}
    for folder in folders.values():
        folder.mkdir()

    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folders["user"]),
        "TMPDIR": str(folders["temp"]),
    }
    arguments = [sys.executable, "-B", "-c", REGISTER, folders["home"], folders["made"]]
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=folders["cwd"], env=environment, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [list(folders[name].rglob("*")) for name in ("cwd", "user", "temp")] == [[], [], []]
    assert list(folders["home"].rglob("*.scratch")) == []


# --- nothing twice -------------------------------------------------------------------------------


class KilledClient:
    """MLflow's client, until the n-th call of one method has been done."""

    def __init__(self, client: Any, step: str, nth: int) -> None:
        self._client, self._step, self._left = client, step, nth

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._last(method) if name == self._step else method

    def _last(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


class KilledRegistry(MlflowModelRegistry):
    """A registry whose process dies right after a step."""

    step: str
    nth: int

    def client(self) -> Any:
        return KilledClient(super().client(), self.step, self.nth)


class HalfUploadRegistry(MlflowModelRegistry):
    """A registry whose process dies when one file of the model is uploaded."""

    def client(self) -> Any:
        client = super().client()

        class Half:
            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def log_artifacts(self, run_id: str, folder: str, path: str) -> None:
                client.log_artifact(run_id, str(next(Path(folder).glob("*.*"))), path)
                os.kill(os.getpid(), signal.SIGKILL)

        return Half()


def register(folder: Path, kind: type[MlflowModelRegistry], fields: dict[str, Any]) -> None:
    embedded(folder, kind, **fields).register(registration(folder / f"made-{os.getpid()}"))


def register_in_child(
    folder: Path, kind: type[MlflowModelRegistry] = MlflowModelRegistry, **fields: Any
) -> Any:
    child = FORKSERVER.Process(target=register, args=(folder, kind, fields))
    child.start()
    return child


def assert_registered_once(registry: MlflowModelRegistry, folder: Path) -> None:
    """Assert that one more call leaves one of everything."""
    version = registry.register(registration(folder / "again"))

    client = registry.client()
    experiment = client.get_experiment_by_name("churn")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_id) == ("FINISHED", version.mlflow_run_id)
    assert len(client.get_metric_history(run.info.run_id, "rmse")) == 1
    assert len(run.inputs.dataset_inputs) == 1
    assert registry.list_versions() == [version]
    assert (version.version, version.aliases) == ("1", ("challenger",))
    assert registry.fetch("churn")[1].name == "package"
    assert list(Path(registry.lock_folder).glob("*.scratch")) == []


STEPS = [
    ("create_experiment", 1),
    ("create_run", 1),
    ("log_batch", 1),
    ("log_batch", 2),
    ("log_inputs", 1),
    ("log_artifacts", 1),
    ("log_text", 1),
    ("log_text", 2),
    ("log_artifacts", 2),
    ("create_registered_model", 1),
    ("create_model_version", 1),
    ("set_terminated", 1),
    ("set_registered_model_alias", 1),
    ("set_model_version_tag", 1),
]


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_killed_after_any_step_a_second_call_leaves_one_version(
    registry: MlflowModelRegistry, tmp_path: Path, step: str, nth: int
) -> None:
    child = register_in_child(tmp_path, KilledRegistry, step=step, nth=nth)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL

    assert_registered_once(registry, tmp_path)


def test_killed_in_the_middle_of_an_upload_a_second_call_leaves_one_version(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    child = register_in_child(tmp_path, HalfUploadRegistry)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL

    assert_registered_once(registry, tmp_path)


def test_killed_while_the_database_is_made_a_second_call_makes_it(tmp_path: Path) -> None:
    registry = embedded(tmp_path)
    child = register_in_child(tmp_path)
    database = Path(registry.tracking_uri.removeprefix("sqlite:///"))
    deadline = time.monotonic() + 60
    # An unfinished database is larger than nothing and does not have its name yet.
    while not any(path.stat().st_size for path in database.parent.glob(".*.tmp")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.kill()
    child.join(60)
    assert not database.exists()

    assert_registered_once(registry, tmp_path)
    assert list(database.parent.glob(".*")) == []


def test_two_processes_that_find_nothing_register_the_same_model_once(tmp_path: Path) -> None:
    registry = embedded(tmp_path)
    children = [register_in_child(tmp_path) for _ in range(2)]
    for child in children:
        child.join(120)

    assert [child.exitcode for child in children] == [0, 0]
    assert_registered_once(registry, tmp_path)


# --- semantic versions ---------------------------------------------------------------------------


class OvertakenRegistry(MlflowModelRegistry):
    """A registry on a machine of its own; others register just before its version is made."""

    others: int

    def client(self) -> Any:
        client, registry = super().client(), self

        class Overtaken:
            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def create_model_version(self, *args: Any, **kwargs: Any) -> Any:
                for number in range(registry.others):
                    register_elsewhere(registry, number)
                return client.create_model_version(*args, **kwargs)

        return Overtaken()


def register_elsewhere(registry: MlflowModelRegistry, number: int) -> None:
    folder = Path(registry.lock_folder).parent / f"machine-{number}"
    other = MlflowModelRegistry(
        tracking_uri=registry.tracking_uri,
        artifact_folder=registry.artifact_folder,
        lock_folder=str(folder / "locks"),
    )
    other.register(registration(folder, value=10.0 + number))


def test_a_version_that_another_machine_overtook_is_numbered_after_it(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    registry.register(registration(tmp_path, value=1.0))
    overtaken = embedded(tmp_path, OvertakenRegistry, others=2)

    version = overtaken.register(registration(tmp_path, value=2.0))

    found = [(item.version, item.semver[:5]) for item in registry.list_versions()]
    assert found == [("4", "1.0.3"), ("3", "1.0.2"), ("2", "1.0.1"), ("1", "1.0.0")]
    assert version.semver_reason == "patch since version 3: fitted again on the same data"


@pytest.mark.parametrize("damage", ["gone", "altered", "no json"])
def test_a_version_whose_facts_are_not_what_was_kept_is_followed_by_a_major_one(
    registry: MlflowModelRegistry, tmp_path: Path, damage: str
) -> None:
    registry.register(registration(tmp_path, value=1.0))
    (file,) = Path(str(registry.artifact_folder)).rglob("version.json")
    content = {"gone": None, "altered": file.read_text().replace("Int64", "Int32"), "no json": "{"}
    file.unlink()
    if (text := content[damage]) is not None:
        file.write_text(text)

    version = registry.register(registration(tmp_path, value=2.0))

    assert version.semver == "2.0.0+data.dddddddd"
    assert "what that version reads and means is not known any more" in version.semver_reason


def test_a_long_tag_is_cut_and_told_so(registry: MlflowModelRegistry, tmp_path: Path) -> None:
    given = registration(tmp_path)

    version = registry.register(replace(given, tags={"verdict": "x" * 5000}))

    assert version.tags["verdict"] == "x" * 999 + "…"


# --- what can go wrong ---------------------------------------------------------------------------


def test_a_version_that_is_not_ready_is_not_given_an_alias(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    registry.register(given)
    with sqlite3.connect(registry.tracking_uri.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE model_versions SET status = 'PENDING_REGISTRATION'")
    database.close()

    with pytest.raises(ServiceError, match="churn 1 is PENDING_REGISTRATION"):
        registry.register(given)


def test_a_server_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = MlflowModelRegistry(
        tracking_uri=f"http://ada:secret@127.0.0.1:{free_port()}", lock_folder=str(tmp_path / "l")
    )

    with pytest.raises(ServiceError, match=r"MLflow at http://127\.0\.0\.1") as caught:
        registry.register(registration(tmp_path))
    assert "the registration of 'churn-4c1f2a90aa'" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_without_a_folder_for_files_is_refused(tmp_path: Path) -> None:
    registry = MlflowModelRegistry(
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", lock_folder=str(tmp_path / "locks")
    )

    with pytest.raises(ServiceError, match="artifact_folder is not set"):
        registry.register(registration(tmp_path))
    assert not (tmp_path / "mlflow.db").exists()


# --- a server ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server that keeps models itself."""
    port, folder = free_port(), tmp_path / "server"
    folder.mkdir()
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    arguments += ["--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("The MLflow server did not start.")


def test_a_server_keeps_the_model_and_gives_it_back(server: str, tmp_path: Path) -> None:
    registry = MlflowModelRegistry(tracking_uri=server, lock_folder=str(tmp_path / "locks"))
    given = registration(tmp_path)

    version = registry.register(given)
    assert registry.register(given) == version
    _, folder = registry.fetch("churn", "challenger")

    assert folder.is_relative_to(tmp_path / "locks")
    assert (folder / "model" / "value.txt").read_text() == "1.0"
    assert registry.fetch("churn")[1] == folder
