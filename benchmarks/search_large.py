"""A search on a table that is larger than most memory plans: in time, and in how much memory?

python benchmarks/search_large.py --rows 5000000 --budget 300
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import yaml
from search_pipeline import run_measured
from search_tables import write_large

N_FEATURES = 21


def main() -> None:
    """Write the table, run one request, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--budget", type=float, default=300.0)
    parser.add_argument("--cores", type=int, default=2, help="shared by all workers")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="*",
        default=[0],
        help="trials at the same time, one run for each; 0: as many as the search plans",
    )
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--folder", type=Path, help="where to work; default: temporary")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    matrix_mb = options.rows * N_FEATURES * 4 / 1e6
    rows = []
    for workers in options.workers:
        folder = Path(tempfile.mkdtemp(prefix="search_large_", dir=options.folder))
        write_large(folder / "table.parquet", n_rows=options.rows, n_features=N_FEATURES)
        content = {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "large",
            "owner": "benchmark",
            "data": {"path": "table.parquet", "target": "target"},
            "search": {
                "time_limit": f"{options.budget:g}s",
                **({"workers": workers} if workers else {}),
            },
        }
        request = folder / "request.yaml"
        request.write_text(yaml.safe_dump(content, sort_keys=False))
        measured = run_measured(
            request,
            folder / "home",
            environment={
                "AUTOML_SEARCH_CLOCK": options.clock,
                "AUTOML_MAX_WORKERS": str(options.cores),
            },
        )
        shutil.rmtree(folder)
        outcome = measured.outcome
        used = outcome.cpu_seconds / options.cores if options.clock == "cpu" else outcome.seconds
        rows.append(
            {
                "rows": options.rows,
                "cores": options.cores,
                "workers": workers or "planned",
                "clock": options.clock,
                "budget": options.budget,
                "used": round(used, 1),
                "trials": outcome.n_finished,
                "models": outcome.n_members,
                "peak_rss_mb": round(measured.peak_rss_mb),
                "peak_pss_mb": round(measured.peak_pss_mb),
                "matrix_mb": round(matrix_mb),
                "pss_over_matrix": round(measured.peak_pss_mb / matrix_mb, 2),
                "failure": outcome.failure,
            }
        )
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for name in rows[0]:
        print(f"| {name} | {' | '.join(str(row[name]) for row in rows)} |")


if __name__ == "__main__":
    main()
