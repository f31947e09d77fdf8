"""CPU seconds of commands that must answer at once: `python benchmarks/command_start.py`.

Each command runs six times with compiled modules; the first run is left out.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "breast_cancer.yaml"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "automl --help": ["-m", "automl_assets", "--help"],
    "automl validate FILE": ["-m", "automl_assets", "validate", str(EXAMPLE)],
}


def cpu_seconds(arguments: list[str]) -> float:
    """Return user and system seconds of one run."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    for name, arguments in COMMANDS.items():
        runs = sorted([cpu_seconds(arguments) for _ in range(6)][1:])
        print(f"{name:<24}{runs[0]:.2f} to {runs[-1]:.2f} CPU s, median {runs[2]:.2f}")
