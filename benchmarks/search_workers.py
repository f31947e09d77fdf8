"""What a second worker brings, and what a trial costs beside its fit.

    python benchmarks/search_workers.py --seconds 60

Runs the same search with one worker and with two, and counts trials per second of the search.
Then runs two searches of cheap trials, a short and a long one: the CPU time of all processes
less that of the trials grows by what a trial costs the supervisor, the worker and the storage.
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import yaml
from search_pipeline import Outcome, run_measured
from search_tables import table

FIELDS = ("search", "workers", "trials", "seconds", "trials_per_second", "cpu_seconds", "failure")


def run(name: str, search: dict, model: dict, *, n_rows: int) -> Outcome:
    """Run one search and return its outcome."""
    folder = Path(tempfile.mkdtemp(prefix="search_workers_"))
    table("hastie", n_rows=n_rows).write_parquet(folder / "table.parquet")
    content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": name,
        "owner": "benchmark",
        "data": {"path": "table.parquet", "target": "target"},
        "model": model,
        "search": search,
    }
    request = folder / "request.yaml"
    request.write_text(yaml.safe_dump(content, sort_keys=False))
    environment = {"AUTOML_MAX_WORKERS": str(search["workers"])}
    outcome = run_measured(request, folder / "home", environment=environment).outcome
    shutil.rmtree(folder)
    return outcome


def row_of(name: str, workers: int, outcome: Outcome) -> dict:
    """Return what is written of a search."""
    return {
        "search": name,
        "workers": workers,
        "trials": outcome.n_trials,
        "seconds": round(outcome.search_seconds, 2),
        "trials_per_second": round(outcome.n_trials / max(outcome.search_seconds, 1e-9), 3),
        "cpu_seconds": round(outcome.cpu_seconds, 2),
        "failure": outcome.failure,
    }


def main() -> None:
    """Run the four searches and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--trials", type=int, nargs=2, default=(20, 80))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    boosters = {"families": ["lightgbm"]}
    rates, rows = {}, []
    for workers in (1, 2):
        search = {"time_limit": f"{options.seconds:g}s", "workers": workers}
        outcome = run(f"workers-{workers}", search, boosters, n_rows=options.rows)
        rows.append(row_of("lightgbm", workers, outcome))
        rates[workers] = rows[-1]["trials_per_second"]
    beside = []
    for n_trials in options.trials:
        search = {"n_trials": n_trials, "workers": 1, "sampler": "random", "ensemble": "none"}
        cheap = {"families": ["decision_tree"]}
        outcome = run(f"trials-{n_trials}", search, cheap, n_rows=2_000)
        rows.append(row_of("decision_tree", 1, outcome))
        beside.append(outcome.cpu_seconds - outcome.trial_cpu_seconds)
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)
    few, many = options.trials
    each = (beside[1] - beside[0]) / (many - few)
    print(f"trials of two workers over those of one: {rates[2] / max(rates[1], 1e-9):.2f}")
    print(f"supervisor, worker and storage: {each * 1000:.0f} CPU ms a trial")


if __name__ == "__main__":
    main()
