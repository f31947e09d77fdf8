"""The whole platform as `automl up` starts it: files dropped into the inbox become models."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dagster as dg
import psutil
import pytest

from automl_assets.core.request.file import parse_request
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings
from resources.value_store import JsonValueStore

pytestmark = pytest.mark.slow

START_SECONDS = 180.0
RUN_SECONDS = 420.0
DROP_TO_RUN_SECONDS = 15.0


def request_text(name: str, owner: str) -> str:
    return (
        "apiVersion: automl/v1\nkind: TrainingRequest\n"
        f"name: {name}\nowner: {owner}\n"
        "data: {path: diabetes.csv, target: target}\n"
        "task: {type: regression}\nmodel: {families: [linear]}\n"
        "search: {n_trials: 3, workers: 1}\n"
    )


def request_id(name: str, owner: str) -> str:
    return parse_request(request_text(name, owner), filename="request.yaml").request_id


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A running platform.

    Attributes:
        urls: Addresses by name, as `automl up` announces them.
    """

    settings: Settings
    process: subprocess.Popen[bytes]
    urls: dict[str, str]
    instance: dg.DagsterInstance

    def drop(self, filename: str, text: str) -> Path:
        """Put a file into the inbox as people do, without care."""
        path = self.settings.inbox_folder / filename
        path.write_text(text)
        return path

    def runs(self) -> dict[str, dg.RunRecord]:
        """Return the run of each partition; no partition has two."""
        records = self.instance.get_run_records(dg.RunsFilter(job_name="train"))
        partitions = [record.dagster_run.tags["dagster/partition"] for record in records]
        assert max(Counter(partitions).values(), default=0) <= 1
        return dict(zip(partitions, records, strict=True))

    def graphql(self, query: str, **headers: str) -> dict[str, object]:
        """Ask the web UI."""
        request = Request(
            f"{self.urls['web']}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        with urlopen(request, timeout=30) as response:
            return json.load(response)["data"]


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


def processes_of(home: Path) -> list[str]:
    """Return the commands of all processes that work on a home."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        environment = process.info["environ"] or {}
        if environment.get("AUTOML_HOME") == str(home) and process.info["cmdline"]:
            found.append(" ".join(process.info["cmdline"]))
    return found


def announced_urls(home: Path) -> dict[str, str]:
    try:
        return json.loads((home / "up.lock").read_text())["urls"]
    except (FileNotFoundError, ValueError):
        return {}


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """The platform on an empty home beside a real table; killed if the test did not stop it."""
    from sklearn.datasets import load_diabetes

    load_diabetes(as_frame=True).frame.to_csv(settings.root.parent / "diabetes.csv", index=False)
    environment = {**os.environ, "AUTOML_HOME": str(settings.root)}
    output = settings.root.parent / "up.txt"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "automl_assets", "up"],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            wait_until(
                lambda: announced_urls(settings.root) or process.poll() is not None,
                START_SECONDS,
                "the platform starts",
            )
            assert process.poll() is None, output.read_text()
            with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
                yield Platform(
                    settings=settings,
                    process=process,
                    urls=announced_urls(settings.root),
                    instance=instance,
                )
        finally:
            process.kill()


def test_request_files_become_registered_models(platform: Platform) -> None:
    requests = {
        request_id(name, owner): (name, owner)
        for name, owner in (("one", "ann"), ("two", "bob"), ("three", "ann"))
    }
    dropped_at = time.time()
    for name, owner in requests.values():
        platform.drop(f"{name}.yaml", request_text(name, owner))
    broken = platform.drop("broken.yaml", request_text("four", "cy").replace("target:", "targett:"))

    busiest = watch_until_finished(platform, set(requests))

    runs = platform.runs()
    for record in runs.values():
        assert record.create_timestamp.timestamp() - dropped_at < DROP_TO_RUN_SECONDS
        assert record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
    assert {key: record.dagster_run.tags["automl/owner"] for key, record in runs.items()} == {
        key: owner for key, (_, owner) in requests.items()
    }
    assert busiest == {"ann": 1, "bob": 1}
    assert "did you mean 'target'" in broken.with_name("broken.yaml.rejected.txt").read_text()
    store = JsonValueStore(folder=str(platform.settings.values_folder))
    for key, (name, _) in requests.items():
        version = store.read("registered_model", key, ModelVersion)
        assert version is not None
        assert (version.name, version.version) == (name, "1")

    # The same request again, under another name and with a remark: nothing new.
    again = platform.drop("again.yaml", "# once more\n" + request_text("one", "ann"))
    wait_until(lambda: not again.exists(), 30, "the file is taken")
    assert set(platform.runs()) == set(requests)

    assert platform.graphql("{version}") == {"version": dg.__version__}
    with pytest.raises(HTTPError, match="403"):
        platform.graphql("{version}", Origin="http://evil.example")
    with urlopen(f"{platform.urls['mlflow']}/health", timeout=10) as response:
        assert response.status == 200

    platform.process.send_signal(signal.SIGINT)
    assert platform.process.wait(timeout=60) == 0
    assert processes_of(platform.settings.root) == []


def watch_until_finished(platform: Platform, expected: set[str]) -> Counter[str]:
    """Wait for all runs to end; return the most that ran at once, by owner."""
    busiest: Counter[str] = Counter()

    def finished() -> bool:
        records = platform.runs().values()
        working = Counter(
            record.dagster_run.tags["automl/owner"]
            for record in records
            if record.dagster_run.status
            in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
        )
        assert working.total() <= 2
        for owner, n_runs in working.items():
            busiest[owner] = max(busiest[owner], n_runs)
        return set(platform.runs()) == expected and all(
            record.dagster_run.is_finished for record in records
        )

    wait_until(finished, RUN_SECONDS, "all runs end")
    return busiest
