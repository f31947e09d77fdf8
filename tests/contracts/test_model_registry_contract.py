"""What every model registry promises; a new adapter joins by one line in `REGISTRIES`."""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.package import MANIFEST
from automl_assets.core.ports import ModelRegistry
from resources.model_registry import MlflowModelRegistry
from tests.fakes import InMemoryModelRegistry, facts, registration

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

    tags = dict(registry.register(given).tags)

    # What only this registry needs for itself begins with `automl.`, too.
    for own in ("arrived", "bump", "semver_after", "model_files_sha256"):
        tags.pop(f"automl.{own}", None)
    assert tags == {
        "automl.owner": "ada",
        "automl.request_id": given.request_id,
        "automl.request_sha256": given.request_sha256,
        "automl.data_uri": given.data_uri,
        "automl.data_sha256": given.data_sha256,
        "automl.card_sha256": given.card_sha256,
        "automl.artifact_sha256": given.artifact_sha256,
        "automl.facts_sha256": given.facts.sha256,
        "automl.code_version": "0.1.0",
        "semver": "1.0.0+data.dddddddd",
        "semver_reason": "first version",
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
    ("reference", "expected"),
    [
        ("1", "1"),
        ("2", "2"),
        ("challenger", "2"),
        (None, "2"),
        ("1.0.0", "1"),
        ("1.0.1+data.dddddddd", "2"),
    ],
)
def test_a_version_is_fetched_by_number_semantic_version_or_alias_or_as_the_newest(
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

    expected = (
        f"no version or alias '{reference}'. Versions, newest first: 1 (1.0.0); "
        "aliases: challenger (1)"
    )
    with pytest.raises(RequestError, match=re.escape(expected)):
        registry.fetch("churn", reference)


# --- semantic versions ---------------------------------------------------------------------------


def test_a_semantic_version_follows_from_the_version_before(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    fresh = facts(data_sha256="f" * 64, data_commit="f" * 64)
    wider = facts(columns={"age": "Int64", "plan": "String", "zip": "String"})
    given = [facts(), facts(), fresh, wider]

    made = [
        registry.register(replace(registration(tmp_path, value=float(i)), facts=item))
        for i, item in enumerate(given)
    ]

    assert [version.semver for version in made] == [
        "1.0.0+data.dddddddd",
        "1.0.1+data.dddddddd",
        "1.1.0+data.ffffffff",
        "2.0.0+data.dddddddd",
    ]
    assert made[3].semver_reason == "major since version 3: new columns 'zip'"
    assert registry.list_versions()[0].semver == made[3].semver


def test_registering_the_first_again_keeps_its_semantic_version(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    first = registration(tmp_path, value=1.0)
    made = registry.register(first)
    registry.register(registration(tmp_path, value=2.0))

    assert registry.register(first).semver == made.semver == "1.0.0+data.dddddddd"


def test_two_that_register_at_the_same_time_get_versions_of_their_own(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = [registration(tmp_path, value=float(i)) for i in range(4)]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(registry.register, given))

    found = sorted((int(version.version), version.semver.partition("+")[0]) for version in made)
    assert found == [(1, "1.0.0"), (2, "1.0.1"), (3, "1.0.2"), (4, "1.0.3")]


# --- aliases -------------------------------------------------------------------------------------


def test_a_version_without_an_alias_is_still_the_newest(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    version = registry.register(replace(registration(tmp_path), alias=None))

    assert (version.aliases, version.is_hidden) == ((), False)
    assert registry.find("churn") == version


def test_a_hidden_version_is_found_by_its_number_only_until_it_has_an_alias(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    shown = registry.register(registration(tmp_path, value=1.0))
    waiting = replace(registration(tmp_path, value=2.0), alias=None, is_hidden=True)
    hidden = registry.register(waiting)

    assert registry.find("churn").version == shown.version
    assert registry.find("churn", "2") == registry.find("churn", "1.0.1") == hidden

    registry.set_alias(hidden, "champion")

    found = registry.find("churn")
    assert (found.version, found.aliases, found.is_hidden) == ("2", ("champion",), False)


def test_a_name_with_nothing_but_hidden_versions_says_how_to_get_one(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    registry.register(replace(registration(tmp_path), alias=None, is_hidden=True))

    with pytest.raises(
        RequestError, match=r"no version that needs no approval\. .*: 1 \(1\.0\.0\)"
    ):
        registry.find("churn")


def test_an_alias_moves_from_version_to_version_also_back(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    first = registry.register(registration(tmp_path, value=1.0))
    second = registry.register(registration(tmp_path, value=2.0))

    for version in (first, second, first):
        registry.set_alias(version, "champion")

    assert registry.find("churn", "champion").version == "1"
    assert registry.find("churn", "2").aliases == ("challenger",)


def test_an_alias_is_taken_only_from_the_version_that_has_it(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    first = registry.register(registration(tmp_path, value=1.0))
    second = registry.register(registration(tmp_path, value=2.0))

    registry.remove_alias(first, "challenger")
    assert registry.find("churn", "challenger").version == "2"
    registry.remove_alias(second, "challenger")

    assert registry.find("churn", "2").aliases == ()


def test_a_version_that_lost_its_alias_does_not_get_it_back_by_registering_again(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    version = registry.register(given)
    registry.set_alias(version, "champion")
    registry.remove_alias(version, "challenger")

    assert registry.register(given).aliases == ("champion",)


def test_what_the_registry_holds_is_given_out_as_it_is(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    given = registration(tmp_path)
    version = registry.register(given)

    with registry.inspect(version) as record:
        assert record.report is not None
        assert (record.report / "card.md").read_text() == (given.report / "card.md").read_text()
        assert record.package is not None
        assert (record.package / MANIFEST).read_bytes() == (given.package / MANIFEST).read_bytes()
        assert record.request_yaml == given.request_yaml.encode()
