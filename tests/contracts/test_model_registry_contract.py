"""What every model registry promises; a new adapter joins by one line in `REGISTRIES`."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.package import MANIFEST
from automl_assets.core.ports import ModelRegistry
from resources.model_registry import MlflowModelRegistry
from tests.fakes import InMemoryModelRegistry, registration

Make = Callable[[Path], ModelRegistry]


def mlflow_registry(folder: Path) -> MlflowModelRegistry:
    return MlflowModelRegistry(
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        artifact_folder=str(folder / "artifacts"),
        lock_folder=str(folder / "locks"),
    )


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow folder whose database is made; making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    mlflow_registry(folder).list_versions()
    return folder


@pytest.fixture
def mlflow(empty_mlflow: Path, tmp_path: Path) -> ModelRegistry:
    return mlflow_registry(shutil.copytree(empty_mlflow, tmp_path / "mlflow"))


@pytest.fixture
def in_memory() -> ModelRegistry:
    return InMemoryModelRegistry()


REGISTRIES = ["in_memory", pytest.param("mlflow", marks=pytest.mark.slow)]


@pytest.fixture(params=REGISTRIES)
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    """A registry that holds nothing."""
    return request.getfixturevalue(request.param)


def test_a_new_registry_holds_nothing(registry: ModelRegistry) -> None:
    assert registry.list_versions() == []


def test_a_registered_model_is_the_first_version(registry: ModelRegistry, tmp_path: Path) -> None:
    given = registration(tmp_path)

    version = registry.register(given)

    assert (version.name, version.version, version.aliases) == ("churn", "1", ("challenger",))
    assert (version.artifact_sha256, version.card_sha256) == (given.artifact_sha256, "c" * 64)
    assert registry.list_versions() == [version]


def test_a_version_carries_its_lineage_and_the_tags_given(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)

    assert registry.register(given).tags == {
        "automl.owner": "ada",
        "automl.request_id": given.request_id,
        "automl.request_sha256": given.request_sha256,
        "automl.data_uri": given.data_uri,
        "automl.data_sha256": given.data_sha256,
        "automl.card_sha256": given.card_sha256,
        "automl.artifact_sha256": given.artifact_sha256,
        "automl.code_version": "0.1.0",
    }


def test_registering_the_same_again_makes_no_second_version(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    first = registry.register(registration(tmp_path))

    assert registry.register(registration(tmp_path / "elsewhere")) == first
    assert len(registry.list_versions()) == 1


def test_another_model_of_a_name_is_the_next_version_and_takes_the_alias(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    registry.register(registration(tmp_path, value=1.0))
    registry.register(registration(tmp_path, value=2.0))

    found = [(version.version, version.aliases) for version in registry.list_versions()]
    assert found == [("2", ("challenger",)), ("1", ())]


def test_registering_an_older_model_again_does_not_move_the_alias_back(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    older = registration(tmp_path, value=1.0)
    registry.register(older)
    registry.register(registration(tmp_path, value=2.0))

    assert registry.register(older).aliases == ()
    assert registry.fetch("churn", "challenger")[0].version == "2"


def test_the_same_model_for_another_request_is_another_version(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    registry.register(given)

    other = replace(given, request_id="churn-bbbbbbbbbb", request_sha256="b" * 64)

    assert registry.register(other).version == "2"


def test_names_count_their_versions_apart(registry: ModelRegistry, tmp_path: Path) -> None:
    registry.register(registration(tmp_path, name="churn"))

    assert registry.register(registration(tmp_path, name="price")).version == "1"


@pytest.mark.parametrize(
    ("reference", "expected"), [("1", "1"), ("2", "2"), ("challenger", "2"), (None, "2")]
)
def test_a_version_is_fetched_by_number_by_alias_or_as_the_newest(
    registry: ModelRegistry, tmp_path: Path, reference: str | None, expected: str
) -> None:
    registry.register(registration(tmp_path, value=1.0))
    registry.register(registration(tmp_path, value=2.0))

    assert registry.fetch("churn", reference)[0].version == expected


def test_the_fetched_folder_is_the_package_that_was_registered(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    registry.register(given)

    _, folder = registry.fetch("churn")

    assert (folder / MANIFEST).read_bytes() == (given.package / MANIFEST).read_bytes()
    assert (folder / "model" / "value.txt").read_text() == "1.0"


def test_a_changed_byte_of_a_registered_package_is_refused(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    registry.register(registration(tmp_path))
    (registry.fetch("churn")[1] / "model" / "value.txt").write_text("9.0")

    with pytest.raises(SnapshotError, match=r"'model/value.txt' is missing, changed or new"):
        registry.fetch("churn")


def test_an_empty_registry_says_that_it_is_empty(registry: ModelRegistry) -> None:
    with pytest.raises(RequestError, match=r"'churn' is not\. There is none yet\."):
        registry.fetch("churn")


def test_an_unknown_name_is_answered_with_the_names_there_are(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    registry.register(registration(tmp_path, name="churn"))
    registry.register(registration(tmp_path, name="price"))

    with pytest.raises(RequestError, match=r"Known: churn, price\. Did you mean 'churn'\?"):
        registry.fetch("chrun")


@pytest.mark.parametrize("reference", ["7", "champion"])
def test_an_unknown_reference_is_answered_with_the_versions_and_aliases_there_are(
    registry: ModelRegistry, tmp_path: Path, reference: str
) -> None:
    registry.register(registration(tmp_path))

    expected = f"no version or alias '{reference}'. Versions, newest first: 1; aliases: challenger"
    with pytest.raises(RequestError, match=expected):
        registry.fetch("churn", reference)
