"""Where the code comes from: what is recorded, and what is left out where it is not known."""

import hashlib
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from automl_assets.core.errors import RequestError
from automl_assets.core.files import sha256_file
from automl_assets.core.judgement import environment
from automl_assets.settings import Settings
from resources import code_origin as origins
from resources.code_origin import LOCK_FILE, code_origin, cpu_family

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is taken for the one that holds our package."""
    package = tmp_path / "automl_assets" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setattr(origins.automl_assets, "__file__", str(package))
    monkeypatch.setattr(origins, "environment", dict)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_it_says_all_that_the_report_says_and_more(settings: Settings) -> None:
    found = code_origin(settings)

    assert environment().items() <= found.items()
    assert found["lock_sha256"] == sha256_file(ROOT / LOCK_FILE)
    assert len(found["installed_sha256"]) == 64
    assert "" not in found.values()


def test_all_that_is_installed_is_named_as_its_own_metadata_names_it(settings: Settings) -> None:
    named = {(item.metadata["Name"], item.metadata["Version"]) for item in distributions()}
    pins = sorted({f"{name.lower()}=={version}" for name, version in named if name})

    found = code_origin(settings)["installed_sha256"]

    assert found == hashlib.sha256("\n".join(pins).encode()).hexdigest()


def test_a_commit_is_clean_until_a_file_of_it_changes(project: Path, settings: Settings) -> None:
    git(project, "init", "--quiet")
    git(project, "add", "automl_assets/__init__.py")
    git(project, "commit", "--quiet", "--message", "first")
    (project / "notes.txt").write_text("not of the commit")

    found = code_origin(settings)
    assert (found["git_commit"], found["git_state"]) == (git(project, "rev-parse", "HEAD"), "clean")

    (project / "automl_assets" / "__init__.py").write_text("changed = 1")
    assert code_origin(settings)["git_state"] == "dirty"


def test_a_package_inside_somebody_elses_repository_has_no_commit(
    project: Path, settings: Settings
) -> None:
    git(project, "init", "--quiet")
    (project / "theirs.txt").write_text("")
    git(project, "add", "theirs.txt")
    git(project, "commit", "--quiet", "--message", "theirs")

    assert "git_commit" not in code_origin(settings)


def test_without_git_or_a_lock_file_nothing_is_made_up(
    project: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))

    found = code_origin(settings)

    assert not {"git_commit", "git_state", "lock_sha256", "image"} & set(found)


def test_the_operator_names_what_an_image_cannot_know(project: Path, settings: Settings) -> None:
    told = settings.model_copy(update={"git_commit": "51ac9e2", "image": "automl@sha256:77ab"})

    found = code_origin(told)

    assert (found["git_commit"], found["git_state"]) == ("51ac9e2", "unknown")
    assert found["image"] == "automl@sha256:77ab"


def test_a_commit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_GIT_COMMIT", "main")

    with pytest.raises(RequestError, match="AUTOML_GIT_COMMIT has not"):
        Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: x\n",
            "AuthenticAMD-25-17",
        ),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "0x41-0xd0c"),
    ],
)
def test_a_processor_is_known_by_maker_family_and_model(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "cpuinfo").write_text(text)

    assert cpu_family(tmp_path / "cpuinfo") == expected
