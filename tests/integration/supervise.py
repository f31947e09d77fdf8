"""A supervisor in a process of its own, which tests kill: `python supervise.py STUDIES PLAN`."""

import signal
import sys
from pathlib import Path

from automl_assets.core.search.plan import SearchPlan
from resources.search_runner.local import LocalSearchRunner


def main() -> None:
    """Run a search to its end, and write down what it found."""
    # A shell without job control starts what runs in the background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    studies, file = Path(sys.argv[1]), Path(sys.argv[2])
    plan = SearchPlan.model_validate_json(file.read_bytes())
    found = LocalSearchRunner(studies_folder=str(studies)).run(plan, lambda status: None)
    file.with_suffix(".found").write_text(found.model_dump_json())


if __name__ == "__main__":
    main()
