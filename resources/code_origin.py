"""Which code, and in which environment: what a number can be made again with."""

import hashlib
import os
import platform
import re
import subprocess
from email import message_from_string
from email.message import Message
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

import automl_assets
from automl_assets.core.files import sha256_file
from automl_assets.core.judgement import environment
from automl_assets.settings import Settings

LOCK_FILE = "requirements.lock"

_GIT_SECONDS = 20


def code_origin(settings: Settings) -> dict[str, str]:
    """Return where the running code comes from, and what it runs on.

    Returns:
        What `core.judgement.environment` says (`code` is the digest of the source), and:
        `git_commit` and `git_state` (`clean`, `dirty`, or `unknown` where the operator
        names the commit); `lock_sha256` of the lock file beside the code;
        `installed_sha256` of the sorted `name==version` of all that is installed; `image`
        as the operator names it; `platform`, `cpu`. What is not known is left out.
    """
    known = {
        **environment(),
        **_git(settings),
        "lock_sha256": _lock_sha256(_project()),
        "installed_sha256": _installed_sha256(),
        "image": settings.image or "",
        "platform": f"{platform.system()}-{platform.machine()}",
        "cpu": cpu_family(),
    }
    return {key: value for key, value in known.items() if value}


@cache
def cpu_family(file: Path = Path("/proc/cpuinfo")) -> str:
    """Return the maker, family and model of the processor: equal ones calculate alike.

    Empty where the system does not tell.
    """
    try:
        text = file.read_text()
    except OSError:
        return platform.processor()
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    found = (re.search(rf"^{name}\s*:\s*(\S+)", text, re.MULTILINE) for name in names)
    return "-".join(match.group(1) for match in found if match)


def _project() -> Path:
    """Return the folder that holds our package."""
    return Path(automl_assets.__file__).parent.parent


def _git(settings: Settings) -> dict[str, str]:
    if settings.git_commit:
        return {"git_commit": settings.git_commit, "git_state": "unknown"}
    project = _project()
    # A package that is installed inside somebody else's repository does not belong to it.
    if _run_git(project, "ls-files", "--error-unmatch", automl_assets.__file__) is None:
        return {}
    commit = _run_git(project, "rev-parse", "HEAD")
    changes = _run_git(project, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return {}
    return {"git_commit": commit, "git_state": "dirty" if changes else "clean"}


def _run_git(folder: Path, *arguments: str) -> str | None:
    """Return what git answers, or None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
            # Looking must not write into the index, which others may hold.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _lock_sha256(project: Path) -> str:
    lock = project / LOCK_FILE
    return sha256_file(lock) if lock.is_file() else ""


@cache
def _installed_sha256() -> str:
    heads = (_head(item) for item in distributions())
    pins = {f"{head['Name'].lower()}=={head['Version']}" for head in heads if head["Name"]}
    return hashlib.sha256("\n".join(sorted(pins)).encode()).hexdigest()


def _head(item: Distribution) -> Message:
    """Return what a distribution says of itself, without its description.

    `Distribution.metadata` reads the description as well, which is most of the text.
    """
    files = ("METADATA", "PKG-INFO", "")
    text = next(filter(None, map(item.read_text, files)), "")
    return message_from_string(text.partition("\n\n")[0])
