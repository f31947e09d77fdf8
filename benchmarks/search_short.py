"""Short budgets: does each run end with a model, and in time?

    python benchmarks/search_short.py --runs 100

Each run draws a table and a budget of 5 to 60 s, in a process of its own. `used` is the time
from accepting the request to the registered model over the budget.
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml
from search_pipeline import run_measured
from search_tables import NAMES, table

LATE_SECONDS = 2.0
FIELDS = ("run", "table", "rows", "budget", "seconds", "cpu_seconds", "trials", "models", "failure")


def one_run(number: int, folder: Path, *, seed: int, workers: int, clock: str) -> dict:
    """Run one request and return its row."""
    generator = np.random.default_rng([seed, number])
    name = str(generator.choice(NAMES))
    budget = round(float(np.exp(generator.uniform(np.log(5), np.log(60)))), 1)
    n_rows = int(np.exp(generator.uniform(np.log(500), np.log(100_000))))
    frame = table(name, n_rows=n_rows, seed=number)
    frame.write_parquet(folder / "table.parquet")
    content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": f"short-{number}",
        "owner": "benchmark",
        "seed": number,
        "data": {"path": "table.parquet", "target": "target"},
        # One of the tables has 178 rows.
        "split": {"calibration": "15%"},
        "search": {"time_limit": f"{budget:g}s", "workers": workers},
    }
    request = folder / "request.yaml"
    request.write_text(yaml.safe_dump(content, sort_keys=False))
    measured = run_measured(
        request,
        folder / "home",
        environment={"AUTOML_SEARCH_CLOCK": clock, "AUTOML_MAX_WORKERS": str(workers)},
    )
    outcome = measured.outcome
    return {
        "run": number,
        "table": name,
        "rows": frame.height,
        "budget": budget,
        "seconds": round(outcome.seconds, 2),
        "cpu_seconds": round(outcome.cpu_seconds, 2),
        "trials": outcome.n_finished,
        "models": outcome.n_members,
        "failure": outcome.failure,
    }


def summary(rows: list[dict], *, clock: str, workers: int) -> str:
    """Return what the runs show, in Markdown."""
    used = [row["cpu_seconds"] / workers if clock == "cpu" else row["seconds"] for row in rows]
    late = sum(time > row["budget"] + LATE_SECONDS for time, row in zip(used, rows, strict=True))
    shares = [time / row["budget"] for time, row in zip(used, rows, strict=True)]
    facts = {
        "runs": len(rows),
        "without a model": sum(bool(row["failure"]) for row in rows),
        f"later than the budget + {LATE_SECONDS:g} s": late,
        "median time used / budget": f"{np.median(shares):.2f}",
        "largest time used / budget": f"{max(shares):.2f}",
        "median trials": f"{np.median([row['trials'] for row in rows]):.0f}",
    }
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items())]
    return "\n".join(lines)


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    rows = []
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for number in range(options.runs):
            folder = Path(tempfile.mkdtemp(prefix="search_short_"))
            row = one_run(
                number, folder, seed=options.seed, workers=options.workers, clock=options.clock
            )
            rows.append(row)
            writer.writerow(row)
            file.flush()
            print(row)
            shutil.rmtree(folder)
    print(summary(rows, clock=options.clock, workers=options.workers))


if __name__ == "__main__":
    main()
