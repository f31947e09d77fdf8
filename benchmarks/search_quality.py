"""Quality, time, size and memory of the search, beside other systems.

    python benchmarks/search_quality.py --bench BENCH.py --budgets 60 240 --seeds 0 1 2

`BENCH.py` runs one (dataset, system, budget, seed) a call and appends a row to a CSV; its
environments are in the folder that `BENCH_HOME` names. Rows that are in the files given by
`--known`, or in the output, are not run again. Prints, and writes beside the CSV, a table in
Markdown: the error (RMSE, log loss, or 1 - ROC AUC) of ours over that of each other system on
the same dataset, budget and seed, and the geometric mean over datasets.
"""

import argparse
import csv
import math
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

OURS = "ours"
ADAPTER = Path(__file__).with_name("search_adapter.py")
COST_FIELDS = (
    ("time used / budget", "over_budget_ratio"),
    ("latency, ms per 1,000 rows", "latency_1k_ms"),
    ("model, MB", "model_mb"),
    ("peak RSS, MB", "peak_rss_mb"),
)
Row = dict[str, str]
Setting = tuple[str, str, str]


def read(paths: Iterable[Path]) -> list[Row]:
    """Return the rows of all files that are there, ours under one name."""
    rows: list[Row] = []
    for path in paths:
        if path.exists():
            with path.open(newline="") as file:
                rows += csv.DictReader(file)
    for row in rows:
        if ADAPTER.name in row["system"]:
            row["system"] = OURS
    return rows


def key_of(row: Row) -> tuple[str, ...]:
    """Return what a row is a run of."""
    budget = f"{float(row['budget_s']):g}"
    return (row["dataset"], row["system"], budget, row["clock"], row["threads"], row["seed"])


def error_of(row: Row) -> float | None:
    """Return what is to be small, or None for a run without a result."""
    if not row["test_metric"]:
        return None
    value = float(row["test_metric"])
    return 1.0 - value if row["task"] == "binary" else value


def run(options: argparse.Namespace, done: set[tuple[str, ...]]) -> None:
    """Run what was asked for and is not known yet."""
    python = Path(os.environ["BENCH_HOME"]) / "venv_pt/bin/python"
    for budget in options.budgets:
        for seed in options.seeds:
            for system in options.systems:
                for dataset in options.datasets:
                    threads, clock = str(options.threads), options.clock
                    if (dataset, system, f"{budget:g}", clock, threads, str(seed)) in done:
                        continue
                    command = f"cmd:{sys.executable} {ADAPTER}" if system == OURS else system
                    subprocess.run(
                        [
                            *(python, options.bench, "--dataset", dataset, "--system", command),
                            *("--budget", f"{budget:g}", "--threads", threads, "--clock", clock),
                            *("--seed", str(seed), "--out", options.output),
                        ],
                        check=True,
                    )


def grouped(rows: list[Row]) -> dict[Setting, dict[str, dict[tuple[str, str], Row]]]:
    """Return rows by setting (budget, clock, threads), system, and (dataset, seed)."""
    found: dict[Setting, dict[str, dict[tuple[str, str], Row]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for row in rows:
        dataset, system, budget, clock, threads, seed = key_of(row)
        found[budget, clock, threads][system][dataset, seed] = row
    return found


def log_ratios(
    ours: dict[tuple[str, str], Row], theirs: dict[tuple[str, str], Row]
) -> dict[str, list[float]]:
    """Return for each dataset the log error ratios of the seeds that both ran.

    A system whose seed decides nothing is run once, and compared with each of ours.
    """
    only = {dataset: row for (dataset, _), row in theirs.items()}
    seeds = {seed for _, seed in theirs}
    ratios: dict[str, list[float]] = defaultdict(list)
    for (dataset, seed), row in sorted(ours.items()):
        other = theirs.get((dataset, seed)) or (only.get(dataset) if len(seeds) == 1 else None)
        mine, other_error = error_of(row), error_of(other) if other else None
        if mine and other_error:
            ratios[dataset].append(math.log(mine / other_error))
    return ratios


def ratio_table(systems: dict[str, dict[tuple[str, str], Row]]) -> list[str]:
    """Return the table of error ratios of one setting; nothing where ours ran alone."""
    ours = systems[OURS]
    if len(systems) == 1:
        return []
    datasets = sorted({dataset for dataset, _ in ours})
    lines = [
        f"| ours over | geometric mean | {' | '.join(datasets)} |",
        f"| --- | --- |{' --- |' * len(datasets)}",
    ]
    for name, theirs in sorted(systems.items()):
        ratios = log_ratios(ours, theirs)
        if name == OURS or not ratios:
            continue
        means = {dataset: fmean(values) for dataset, values in ratios.items()}
        cells = (f"{math.exp(means[d]):.4f}" if d in means else "" for d in datasets)
        lines.append(f"| {name} | {math.exp(fmean(means.values())):.4f} | {' | '.join(cells)} |")
    return lines


def cost_table(systems: dict[str, dict[tuple[str, str], Row]]) -> list[str]:
    """Return means, and the largest time used, of each system in one setting."""
    heads = ["largest time used / budget", *(head for head, _ in COST_FIELDS), "failed runs"]
    lines = [f"| system | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name, runs in sorted(systems.items(), key=lambda item: (item[0] != OURS, item[0])):
        used = [float(row["over_budget_ratio"] or "nan") for row in runs.values()]
        cells = [f"{max(used):.3f}"]
        for _, field in COST_FIELDS:
            values = [float(row[field]) for row in runs.values() if row[field]]
            cells.append(f"{fmean(values):,.3g}" if values else "")
        failed = sum(error_of(row) is None for row in runs.values())
        lines.append(f"| {name} | {' | '.join(cells)} | {failed} of {len(runs)} |")
    return lines


def report(rows: list[Row]) -> str:
    """Return all tables in Markdown."""
    lines = []
    for (budget, clock, threads), systems in sorted(grouped(rows).items()):
        if OURS not in systems:
            continue
        seeds = sorted({seed for _, seed in systems[OURS]})
        lines += [
            f"**{budget} s, clock {clock}, {threads} thread(s), seeds {', '.join(seeds)}**",
            "",
            *ratio_table(systems),
            "",
            *cost_table(systems),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--datasets", nargs="*", help="all in the benchmark's data folder")
    parser.add_argument("--systems", nargs="*", default=[OURS])
    parser.add_argument("--budgets", nargs="*", type=float, default=[60.0])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    parser.add_argument("--known", nargs="*", type=Path, default=[], help="rows run before")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    parser.add_argument("--no-runs", action="store_true", help="only write the tables")
    options = parser.parse_args()
    options.bench, options.output = options.bench.resolve(), options.output.resolve()
    if not options.datasets:
        data = Path(os.environ.get("BENCH_DATA", options.bench.parents[1] / "data"))
        options.datasets = sorted(path.stem for path in data.glob("*.json"))
    if not options.no_runs:
        run(options, {key_of(row) for row in read([*options.known, options.output])})
    text = report(read([*options.known, options.output]))
    options.output.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
