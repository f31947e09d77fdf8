"""One request through the platform's own job, measured; the other search benchmarks call it.

    python benchmarks/search_pipeline.py REQUEST.yaml

runs a request file in this process, as `automl train` does, and prints one line of JSON.
The platform is imported before the clocks start; see `preload`.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_assets.cli.execution import Values
    from automl_assets.settings import Settings

WARMED = (
    "mlflow.pyfunc, mlflow.artifacts",
    "sklearn, scipy.stats, lightgbm, catboost, xgboost, optuna",
    "matplotlib.figure, matplotlib.backends.backend_svg, PIL.Image, jinja2",
)
"""Libraries that a run loads on its way: their files are read before, but they are not loaded."""

SAMPLE_SECONDS = 0.05
PSS_SECONDS = 0.5


@dataclass(kw_only=True)
class Outcome:
    """What a request came to.

    Attributes:
        seconds: From accepting the request to the registered model.
        cpu_seconds: Of this process and all that it started, in the same time.
        failure: The error's type and text, where there is no model.
    """

    request_id: str
    seconds: float
    cpu_seconds: float
    failure: str = ""
    family: str = ""
    n_trials: int = 0
    n_finished: int = 0
    n_members: int = 0
    search_seconds: float = 0.0
    trial_cpu_seconds: float = 0.0
    stopped_by: str = ""
    score: float | None = None


def cpu_seconds() -> float:
    """Return CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def preload(settings: "Settings") -> None:
    """Load what `automl train` has loaded before it accepts a request, and set up the home.

    What a run loads on its way counts as its time and its memory. Only files are read before,
    in processes that end: no clock counts a cold disk, or what is done once in a home.
    """
    from rich.console import Console

    from automl_assets.cli.execution import build_for_cli, open_instance, quiet_environment

    quiet_environment(settings)
    for names in WARMED:
        subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {names}"], check=True)
    command = "from search_pipeline import set_up; set_up()"
    folder = str(Path(__file__).resolve().parent)
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "AUTOML_HOME": str(settings.root), "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", command], check=True, env=environment)
    with build_for_cli(settings, Console(stderr=True)), open_instance(settings):
        pass


def set_up() -> None:
    """Make the databases of the home that the environment names."""
    from rich.console import Console

    from automl_assets.cli.execution import build_for_cli, open_instance
    from automl_assets.settings import Settings

    settings = Settings()
    with build_for_cli(settings, Console(stderr=True)) as cli, open_instance(settings):
        cli.model_registry.list_versions()


def run_request_file(text: str, settings: "Settings", *, root: Path) -> "tuple[Outcome, Values]":
    """Accept and run a request as `automl train` does.

    Args:
        text: The request file.
        settings: The operator's.
        root: Folder that data may be read from.
    """
    from datetime import UTC, datetime

    from rich.console import Console

    from automl_assets.cli.execution import build_for_cli, read_values, run_request
    from automl_assets.core.intake import reach
    from automl_assets.core.request.file import parse_request

    request = parse_request(text, filename="benchmark")
    failure = ""
    with build_for_cli(settings, Console(stderr=True), extra_root=root) as cli:
        started, cpu_started = time.monotonic(), cpu_seconds()
        try:
            commit = reach(request, cli.data_sources)
            cli.request_store.accept(
                request, text=text, source="cli", now=datetime.now(UTC), data_commit=commit
            )
            run_request(cli, request.request_id, request.owner)
        except Exception as error:  # a run that fails is a result of a benchmark
            failure = f"{type(error).__name__}: {error}"
        seconds, used = time.monotonic() - started, cpu_seconds() - cpu_started
    values = read_values(settings, request.request_id)
    outcome = Outcome(
        request_id=request.request_id, seconds=seconds, cpu_seconds=used, failure=failure
    )
    found = values.candidate_models
    if found is not None:
        finished = [item for item in found.leaderboard if item.state == "complete"]
        outcome.family = found.model_family
        outcome.n_trials = len(found.leaderboard)
        outcome.n_finished = len(finished)
        outcome.n_members = max(1, len(found.members))
        outcome.search_seconds = found.seconds
        outcome.trial_cpu_seconds = sum(item.cpu_seconds or 0.0 for item in found.leaderboard)
        outcome.stopped_by = found.stopped_by
        outcome.score = found.score
    return outcome, values


def _tree(pid: int) -> list[Any]:
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def tree_mb(pid: int, *, proportional: bool) -> float:
    """Return the resident memory of a process and all below it, in MB.

    Args:
        proportional: Count a page that n processes share as one n-th of each (PSS), so
            that the sum is what the machine holds; else each counts it whole (RSS).
    """
    import psutil

    total = 0
    for process in _tree(pid):
        try:
            if proportional:
                total += process.memory_full_info().pss
            else:
                total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 1e6


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run in a process of its own.

    Attributes:
        peak_rss_mb: Largest sum over all its processes; shared pages count in each.
        peak_pss_mb: The same, a shared page counted once.
    """

    outcome: Outcome
    peak_rss_mb: float
    peak_pss_mb: float


def run_measured(request: Path, home: Path, *, environment: dict[str, str]) -> Measured:
    """Run a request file in a process of its own, and watch its memory."""
    command = [sys.executable, str(Path(__file__).resolve()), str(request)]
    log = home.parent / f"{request.stem}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=request.parent,
            env={**os.environ, "AUTOML_HOME": str(home), **environment},
        )
        peak_rss = peak_pss = 0.0
        next_pss = time.monotonic()
        while process.poll() is None:
            peak_rss = max(peak_rss, tree_mb(process.pid, proportional=False))
            if time.monotonic() >= next_pss:
                peak_pss = max(peak_pss, tree_mb(process.pid, proportional=True))
                next_pss = time.monotonic() + PSS_SECONDS
            time.sleep(SAMPLE_SECONDS)
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    if process.returncode or not lines:
        failure = f"exit status {process.returncode}, see {log}"
        outcome = Outcome(request_id="", seconds=0.0, cpu_seconds=0.0, failure=failure)
    else:
        outcome = Outcome(**json.loads(lines[-1]))
    return Measured(outcome=outcome, peak_rss_mb=peak_rss, peak_pss_mb=peak_pss)


def main() -> None:
    """Run one request file and print its outcome."""
    from automl_assets.settings import Settings

    settings = Settings()
    preload(settings)
    file = Path(sys.argv[1])
    outcome, _ = run_request_file(file.read_text(), settings, root=file.resolve().parent)
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
