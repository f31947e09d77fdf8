"""Things with a life cycle that several test modules share."""

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from automl_assets.settings import Settings

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home; the folder above it is what requests may read from."""
    home = tmp_path / "project" / ".automl"
    monkeypatch.setenv("AUTOML_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    home.parent.mkdir()
    return Settings()


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Finds a real dataset by name; skips where there are none, fails in CI."""
    folder = os.environ.get("AUTOML_TEST_DATA", "")

    def find(name: str) -> Path:
        path = Path(folder) / f"{name}.parquet"
        if folder and path.exists():
            return path
        reason = f"the dataset {name} is not in AUTOML_TEST_DATA ({folder or 'not set'})"
        if os.environ.get("CI"):
            pytest.fail(f"In CI {reason}.")
        pytest.skip(f"{reason}; it may not be redistributed with this project")

    return find
