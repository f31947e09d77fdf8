"""The operator's settings: what requests may read when nobody says it."""

import traceback
from pathlib import Path

import pytest

from automl_assets.core.errors import RequestError
from automl_assets.settings import Settings


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "people" / "ann"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("AUTOML_DATA_ROOTS", raising=False)
    return folder


def test_by_default_requests_read_from_the_folder_that_holds_the_home(user_home: Path) -> None:
    project = user_home / "project"

    assert Settings(home=project / ".automl").allowed_data_roots == (project,)


def test_the_default_home_is_in_the_current_folder(
    user_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = user_home / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.delenv("AUTOML_HOME", raising=False)

    assert Settings().allowed_data_roots == (project,)


@pytest.mark.parametrize("home", ["/automl", "~/.automl", "~/../.automl", "~/project/../.automl"])
def test_a_folder_that_holds_all_that_a_user_has_is_never_the_default(
    user_home: Path, home: str
) -> None:
    assert Settings(home=Path(home)).allowed_data_roots == ()


def test_a_link_to_the_users_folder_is_no_way_around(user_home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(user_home)

    assert Settings(home=tmp_path / "link" / ".automl").allowed_data_roots == ()


def test_the_operator_may_name_any_folder(user_home: Path) -> None:
    settings = Settings(home=Path("/automl"), data_roots=f"~::{user_home}/data")

    assert settings.allowed_data_roots == (user_home, user_home / "data")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('{"crm": "postgresql://ada:hunter2@db', r"AUTOML_CONNECTIONS has not: it is not JSON"),
        ('{"crm": ["postgresql://ada:hunter2@db"]}', r"AUTOML_CONNECTIONS \(crm\) has not: "),
        ('["postgresql://ada:hunter2@db"]', r"AUTOML_CONNECTIONS has not: "),
        ("postgresql://ada:hunter2@db", r"AUTOML_CONNECTIONS has not: it is not JSON"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, value: str, found: str
) -> None:
    monkeypatch.setenv("AUTOML_CONNECTIONS", value)

    with pytest.raises(RequestError, match=found) as caught:
        Settings()

    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told


def test_a_number_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_MAX_WORKERS", "0")

    with pytest.raises(RequestError, match=r"AUTOML_MAX_WORKERS has not: .* greater than or equal"):
        Settings()


@pytest.mark.parametrize("name", ["ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"])
def test_one_variable_of_lakefs_is_enough_to_mean_lakefs(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"AUTOML_LAKEFS_{name}", "")
    assert not Settings().uses_lakefs

    monkeypatch.setenv(f"AUTOML_LAKEFS_{name}", "x")
    assert Settings().uses_lakefs


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()

    assert f"`AUTOML_{name.upper()}`" in text
