"""The home folder: what must be in it before anything starts, and who is running it."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from automl_assets.core.errors import ServiceError
from automl_assets.core.files import publish_bytes, publish_text, sha256_file
from automl_assets.settings import Settings

CLI_CONFIG = "dagster.cli.yaml"


def prepare_home(settings: Settings) -> None:
    """Make the folders that people and Dagster expect, and Dagster's settings.

    A `dagster.yaml` that an operator changed stays; one that we wrote and
    nobody touched follows the shipped one.
    """
    for folder in (settings.inbox_folder, settings.reports_folder, settings.dagster_home):
        folder.mkdir(parents=True, exist_ok=True)
    shipped = _shipped_dagster_yaml().read_bytes()
    digest = hashlib.sha256(shipped).hexdigest()
    target = settings.dagster_home / "dagster.yaml"
    record = settings.dagster_home / ".dagster.yaml.sha256"
    written = record.read_text().strip() if record.exists() else None
    if target.exists() and sha256_file(target) != written:
        return
    if written != digest or not target.exists():
        publish_bytes(target, shipped)
        publish_text(record, digest + "\n")


def write_cli_config(settings: Settings) -> str:
    """Write Dagster's settings for runs inside a command, beside those of the platform.

    They differ in one thing: what a step prints goes to the terminal alone.
    Dagster's local logs would catch it in files, and show it late and through
    helper processes that do not outlive Ctrl-C quietly. The file is written only if
    it would change: commands that only read work on a home that cannot be written.

    Returns:
        The name of the file, in the same folder and so on the same storage.
    """
    content = yaml.safe_load((settings.dagster_home / "dagster.yaml").read_bytes())
    content["compute_logs"] = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    path, text = settings.dagster_home / CLI_CONFIG, yaml.safe_dump(content)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        publish_text(path, text)
    return CLI_CONFIG


def _shipped_dagster_yaml() -> Path:
    package = Path(__file__).parents[1]
    # In a wheel it lies within the package, in a checkout at the top.
    in_wheel = package / "platform" / "dagster.yaml"
    return in_wheel if in_wheel.exists() else package.parent / "dagster.yaml"


@dataclass(frozen=True)
class HomeLock:
    """Held while services run on a home.

    Attributes:
        descriptor: Inherited by the process that stops the services, so that
            the home is taken until the last of them is gone.
    """

    descriptor: int

    def announce(self, urls: Mapping[str, str]) -> None:
        """Write who holds the home and where its pages are, for whoever comes second."""
        content = json.dumps({"pid": os.getpid(), "urls": dict(urls)}).encode()
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, content, 0)


@contextmanager
def locked_home(settings: Settings) -> Iterator[HomeLock]:
    """Hold a home: two daemons on one home would run requests twice.

    Raises:
        ServiceError: Services are running on this home; the message says where.
    """
    path = settings.root / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(_taken(settings, path)) from error
        lock = HomeLock(descriptor)
        lock.announce({})
        yield lock
    finally:
        os.close(descriptor)


def _taken(settings: Settings, path: Path) -> str:
    rule = f"One platform runs on a home, and one is running on {settings.root}"
    try:
        holder = json.loads(path.read_text())
        pages = ", ".join(f"{name} at {url}" for name, url in holder["urls"].items())
        found = f"process {holder['pid']}; {pages or 'it is starting or stopping'}"
    except (OSError, ValueError, KeyError):
        found = "it is starting or stopping"
    return f"{rule} ({found}). Use it, stop it with Ctrl-C, or set AUTOML_HOME to another folder."
