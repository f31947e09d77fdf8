"""CPU seconds and memory of an evaluation: `python benchmarks/evaluation.py [--rows 1000000]`.

Judges a model of each task on made-up rows and examines it with every section there is. Each
section has a peak of memory of its own, beside what it grew by (Linux only). `--csv FILE` keeps
the table. Refits, a champion and files of a search are not there:
sections that need them say so, or have nothing to examine.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.judge import JudgeInput, judge
from automl_assets.core.evaluation.sections import load_sections
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")
LIMIT_SECONDS = 60
NOT_COUNTED = frozenset({"explanations"})
COST = {"task": {"cost": {"false_positive": 1.0, "false_negative": 5.0, "currency": "USD"}}}


def judged(examined: Examined) -> object:
    """Judge the winner as a run does."""
    rows = examined.analysis
    return judge(
        JudgeInput(
            task_type=examined.profile.task_type,
            classes=examined.classes,
            y_true=rows.y,
            prediction=rows.prediction,
            y_train=examined.y_train,
            metric=examined.metric.name,
            seed=examined.seed,
            threshold=examined.threshold,
            cost=examined.request.task.cost,
            groups=clusters_of(rows.groups, rows.times),
            confidence=examined.confidence,
        )
    )


def _memory_mb(line: str) -> float:
    """Return a line of this process's memory: `VmRSS`, or `VmHWM`, its peak."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{line}:")[1].split()[0]) / 1_000


def measured(work: Callable[[Examined], object], examined: Examined) -> tuple:
    """Return CPU seconds, growth and peak in MB, and what came of it."""
    # Linux starts the peak anew, so that each section has its own.
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _memory_mb("VmRSS"), time.process_time()
    try:
        outcome = "nothing" if work(examined) is None else "done"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    seconds, peak = time.process_time() - start, _memory_mb("VmHWM")
    return seconds, max(0.0, peak - before), peak, outcome


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the analysis part")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--clusters", choices=("none", "groups", "times"), default="none")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    table = []
    for task in options.tasks:
        # A quarter of the rows is the analysis part.
        examined = make_examined(
            task,
            n_rows=4 * options.rows,
            groups=options.clusters == "groups",
            times=options.clusters == "times",
            asked=COST if task == "binary" else {},
            threshold=0.3 if task == "binary" else None,
        )
        total = 0.0
        works = {"judge": judged, **{n: s.examine for n, s in load_sections().items()}}
        for name, work in works.items():
            seconds, growth, peak, outcome = measured(work, examined)
            total += 0.0 if name in NOT_COUNTED else seconds
            row = (task, len(examined.analysis.y), options.clusters, name)
            table.append((*row, round(seconds, 2), round(growth), round(peak), outcome))
            print(
                "{:<11}{:>9,} {:<7}{:<15}{:>8.2f} s{:>7.0f} MB{:>7.0f} MB  {}".format(
                    *table[-1][:4], seconds, growth, peak, outcome[:60]
                ),
                flush=True,
            )
        verdict = "within" if total <= LIMIT_SECONDS else "ABOVE"
        print(f"{task:<11}all but explanations {total:.1f} CPU s, {verdict} {LIMIT_SECONDS}")
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                (
                    "task",
                    "rows",
                    "clusters",
                    "section",
                    "cpu_seconds",
                    "growth_mb",
                    "peak_mb",
                    "outcome",
                )
            )
            writer.writerows(table)


if __name__ == "__main__":
    main()
