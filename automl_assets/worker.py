"""Entry point of a search worker: `python -m automl_assets.worker`.

It gets a storage URL, a study's name and its own name, and nothing else; the
plan and the place of the matrix are kept with the study. Its standard input is a
lifeline: the line `stop` asks it to end its fit with the model so far, and the
end of the input means that its supervisor is gone, so it leaves at once.

Exit codes: 0 nothing left to do, 75 the storage or the disk failed.
"""

import argparse
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

    from automl_assets.core.search.plan import SearchPlan
    from automl_assets.core.search.trial import TrialData

EXIT_DONE, EXIT_INFRASTRUCTURE, EXIT_ORPHANED = 0, 75, 143

logger = logging.getLogger("automl.worker")


def _watch_lifeline(stop: threading.Event) -> None:
    """Wait for `stop` or for the end of the input. Reads the file descriptor, not a buffer."""
    while chunk := os.read(0, 64):
        if b"stop" in chunk:
            stop.set()
    os._exit(EXIT_ORPHANED)


def _run_one(
    trial: "optuna.Trial",
    study: "optuna.Study",
    plan: "SearchPlan",
    data: "TrialData",
    stop: threading.Event,
) -> None:
    from optuna.trial import TrialState

    from automl_assets.core.search.study import REASON, RESULT
    from automl_assets.core.search.trial import run_trial

    try:
        result = run_trial(trial, plan, data, should_stop=stop.is_set, cpu_clock=time.process_time)
    except OSError:
        raise
    except Exception as error:
        # Whatever a library raises for these hyperparameters is this trial's result.
        logger.exception("trial %s failed", trial.number)
        text = " ".join(str(error).split())[:300]
        trial.set_user_attr(REASON, f"{type(error).__name__}: {text}")
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr(RESULT, result.model_dump(mode="json"))
    study.tell(trial, result.score)
    logger.info("trial %s scored %.6g", trial.number, result.score)


def work(url: str, study_name: str, worker: str) -> int:
    """Run trials until none is left or the supervisor says stop.

    Returns:
        The exit code.
    """
    import optuna

    from automl_assets.core.search.study import claim_trial, quiet_optuna, read_plan
    from automl_assets.core.search.trial import load_trial_data
    from resources.study_storage import open_storage, storage_lock

    stop = threading.Event()
    threading.Thread(target=_watch_lifeline, args=(stop,), daemon=True).start()
    quiet_optuna()
    study = optuna.load_study(study_name=study_name, storage=open_storage(url))
    plan = read_plan(study)
    data = load_trial_data(plan)
    while not stop.is_set():
        with storage_lock(url):
            trial = claim_trial(study, plan, worker)
        if trial is None:
            break
        _run_one(trial, study, plan, data, stop)
    return EXIT_DONE


def main() -> int:
    """Parse the command line and work."""
    parser = argparse.ArgumentParser(prog="automl-worker", description=__doc__)
    parser.add_argument("--storage", required=True, help="storage URL of the study")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--worker", required=True, help="name of this worker")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return work(arguments.storage, arguments.study, arguments.worker)
    except Exception:
        logger.exception("worker stops: the storage or the disk failed")
        return EXIT_INFRASTRUCTURE


if __name__ == "__main__":
    sys.exit(main())
