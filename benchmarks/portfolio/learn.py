"""Learn the portfolio from recorded runs.

    python benchmarks/portfolio/learn.py --date 2026-11-22

Picks greedily what lowers the mean regret over tables most for its cost, after the two
baselines that every search tries first (the greedy step of Feurer et al. 2022, "Auto-Sklearn
2.0"). The regret of a run is the logarithm of its error over the smallest recorded error of
its table, so that its mean is the logarithm of a geometric mean of error ratios. Prints how a
portfolio that was learned without a table does on that table.
"""

import argparse
import csv
import hashlib
import json
import platform
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
OUTPUT = HERE.parents[1] / "automl_assets/core/search/portfolio.json"
BASELINES = ("lightgbm-default", "catboost-default")
CAP = np.log(1.15)
"""Regrets above are equally bad: one table on which some are hopeless must not decide an order."""

N_BEST = 2
"""Candidates whose mean error is lowered: the final model is a mean of a few, so that the second
best counts, too."""

MIN_GAIN = 1e-4
"""Log error below which an entry is not worth its place."""

N_FALLBACKS = 3

LARGE_ROWS_SHARE = 0.5
"""Of the rows of the large tables' fits: what was learned from them is for so many and more."""
LIBRARIES = ("lightgbm", "catboost", "xgboost-cpu", "scikit-learn", "numpy", "polars")
SHOWN = (0, 1, 2, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Runs:
    """Recorded runs as arrays `(n_tables, n_candidates)`.

    Attributes:
        validation, test: Logarithms of errors.
        cost: CPU seconds over those of plain LightGBM on the same table.
    """

    tables: list[str]
    candidates: list[str]
    validation: np.ndarray
    test: np.ndarray
    cost: np.ndarray
    rows: dict[tuple[str, str], dict]

    @property
    def plain(self) -> np.ndarray:
        """Position of plain LightGBM, for each table: what errors are measured by."""
        return np.full(len(self.tables), self.candidates.index(BASELINES[0]))

    @property
    def regret(self) -> np.ndarray:
        """Logarithm of the error over the table's smallest, from both held-out parts."""
        error = (self.validation + self.test) / 2
        return np.minimum(error - error.min(axis=1, keepdims=True), CAP)


def pick_large(runs: Runs, *, cost_weight: float) -> tuple[int, float]:
    """Return the candidate to try after plain LightGBM where rows are many, and its gain."""
    everything = np.arange(len(runs.tables))
    plain = runs.candidates.index(BASELINES[0])
    cost = np.median(runs.cost, axis=0) ** cost_weight
    gains = {
        j: float(-cross_scored(runs, everything, [plain, j]).mean())
        for j in range(len(runs.candidates))
        if j != plain
    }
    best = max(gains, key=lambda j: gains[j] / cost[j])
    return best, gains[best]


def read(path: Path) -> Runs:
    """Return the candidates that were run on every table."""
    with path.open(newline="") as file:
        rows = {(row["table"], row["candidate"]): row for row in csv.DictReader(file)}
    tables = sorted({table for table, _ in rows})
    seen = defaultdict(int)
    for _, candidate in rows:
        seen[candidate] += 1
    candidates = [name for name, n in seen.items() if n == len(tables)]
    shape = len(tables), len(candidates)
    arrays = {name: np.full(shape, np.nan) for name in ("validation_error", "test_error")}
    seconds = np.full(shape, np.nan)
    for i, table in enumerate(tables):
        for j, candidate in enumerate(candidates):
            row = rows[table, candidate]
            if row["failure"]:
                continue
            seconds[i, j] = float(row["seconds"])
            for name, array in arrays.items():
                array[i, j] = np.log(max(float(row[name]), 1e-6))
    for array in (*arrays.values(), seconds):
        # A run that failed is as bad, and as slow, as the worst one of its table.
        worst = np.broadcast_to(np.nanmax(array, axis=1, keepdims=True), shape)
        np.copyto(array, worst, where=np.isnan(array))
    plain = seconds[:, [candidates.index(BASELINES[0])]]
    return Runs(
        tables,
        candidates,
        arrays["validation_error"],
        arrays["test_error"],
        np.maximum(seconds, 0.02) / np.maximum(plain, 0.02),
        rows,
    )


def cross_scored(
    runs: Runs, tables: np.ndarray, tried: list[int], *, n_best: int = 1
) -> np.ndarray:
    """Return for each table the mean log error of the best of some candidates.

    Chosen on one held-out part and scored on the other, both ways: what is best on both by
    chance is no better.
    """
    parts = [
        part[np.ix_(tables, tried)] - part[tables, runs.plain[tables]][:, None]
        for part in (runs.validation, runs.test)
    ]
    scored = [
        np.take_along_axis(other, one.argsort(axis=1)[:, :n_best], axis=1).mean(axis=1)
        for one, other in (parts, parts[::-1])
    ]
    return np.clip(np.mean(scored, axis=0), -CAP, CAP)


def pick(runs: Runs, tables: np.ndarray, *, n: int, cost_weight: float) -> list[tuple[int, float]]:
    """Return positions of candidates in the order in which to try them, with their gains."""
    cost = np.median(runs.cost[tables], axis=0) ** cost_weight
    tried = [runs.candidates.index(name) for name in BASELINES]
    # A search tries the other families' defaults anyway, when it has tried the portfolio.
    left = [j for j, name in enumerate(runs.candidates) if not name.endswith("-default")]
    best = cross_scored(runs, tables, tried, n_best=N_BEST).mean()
    chosen: list[tuple[int, float]] = []
    while len(chosen) < n:
        gains = {
            j: best - cross_scored(runs, tables, [*tried, j], n_best=N_BEST).mean() for j in left
        }
        useful = [j for j in left if gains[j] >= MIN_GAIN]
        if not useful:
            break
        j = max(useful, key=lambda j: gains[j] / cost[j])
        chosen.append((j, float(gains[j])))
        best -= gains[j]
        tried.append(j)
        left.remove(j)
    return chosen


def realised(runs: Runs, table: int, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return, after each trial, the log error over the better baseline's, and the cost so far."""
    baselines = [runs.candidates.index(name) for name in BASELINES]
    tried = [*baselines, *order]
    stops = range(len(baselines), len(tried) + 1)
    errors = [float(cross_scored(runs, np.array([table]), tried[:stop])[0]) for stop in stops]
    costs = [runs.cost[table, tried[:stop]].sum() for stop in stops]
    return np.array(errors) - errors[0], np.array(costs)


def anytime(errors: np.ndarray, costs: np.ndarray, horizon: float) -> float:
    """Return the mean of log error over the logarithm of cost, from the baselines to a horizon."""
    edges = [*np.log(np.minimum(costs, horizon)), np.log(horizon)]
    widths = np.array([right - left for left, right in pairwise(edges)])
    return float((errors * widths).sum() / max(widths.sum(), 1e-9))


def left_out(runs: Runs, *, n: int, cost_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Return error curves and costs on each table of what was learned from the others."""
    curves, costs = [], []
    for table in range(len(runs.tables)):
        others = np.array([i for i in range(len(runs.tables)) if i != table])
        order = [j for j, _ in pick(runs, others, n=n, cost_weight=cost_weight)]
        curve, cost = realised(runs, table, order)
        padding = n + 1 - len(curve)
        curves.append(np.pad(curve, (0, padding), mode="edge"))
        costs.append(np.pad(cost, (0, padding), mode="edge"))
    return np.array(curves), np.array(costs)


def at_random(runs: Runs, *, n: int, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for random orders of the candidates that are no defaults."""
    generator = np.random.default_rng(seed)
    drawn = [j for j, name in enumerate(runs.candidates) if not name.endswith("-default")]
    curves, costs = [], []
    for table in range(len(runs.tables)):
        pairs = [
            realised(runs, table, generator.permutation(drawn)[:n].tolist()) for _ in range(n_draws)
        ]
        curves.append(np.mean([curve for curve, _ in pairs], axis=0))
        costs.append(np.mean([cost for _, cost in pairs], axis=0))
    return np.array(curves), np.array(costs)


def report(runs: Runs, *, n: int, cost_weight: float) -> dict[str, float]:
    """Print the check on tables that were left out; return its figures."""
    n = min(n, sum(not name.endswith("-default") for name in runs.candidates))
    random_curves, random_costs = at_random(runs, n=n, n_draws=20, seed=0)
    print("error over the better baseline's, geometric mean of the tables (cost):")
    print(f"{'entries':>8}{'left out':>18}{'random order':>18}")
    curves, costs = left_out(runs, n=n, cost_weight=cost_weight)
    shown = [k for k in SHOWN if k <= n]
    for k in shown:
        learned = f"{np.exp(curves[:, k].mean()):.4f} ({np.median(costs[:, k]):.0f})"
        drawn = f"{np.exp(random_curves[:, k].mean()):.4f} ({np.median(random_costs[:, k]):.0f})"
        print(f"{k:>8}{learned:>18}{drawn:>18}")
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        found, used = left_out(runs, n=n, cost_weight=weight)
        areas = {
            horizon: np.mean([anytime(e, c, horizon) for e, c in zip(found, used, strict=True)])
            for horizon in (10.0, 30.0, 100.0)
        }
        told = "  ".join(f"{horizon:.0f}: {np.exp(area):.4f}" for horizon, area in areas.items())
        print(f"cost weight {weight:.2f}: anytime error to a cost of {told}")
    return {f"left out, {k} entries": round(float(np.exp(curves[:, k].mean())), 4) for k in shown}


def entry(runs: Runs, j: int, *, fallback: bool = False) -> dict:
    """Return a candidate as the portfolio writes it."""
    name = runs.candidates[j]
    rows = [runs.rows[table, name] for table in runs.tables]
    written = {
        "family": rows[0]["family"],
        "params": json.loads(rows[0]["params"]),
        "cost": round(float(np.median(runs.cost[:, j])), 2),
    }
    return written | ({"fallback": True} if fallback else {})


def fallbacks(runs: Runs, chosen: list[int]) -> list[dict]:
    """Return the best of each family that was not chosen, for requests that ask for it alone."""
    families = [runs.rows[runs.tables[0], name]["family"] for name in runs.candidates]
    known = {families[j] for j in chosen}
    means = runs.regret.mean(axis=0)
    found = []
    for family in dict.fromkeys(families):
        own = [j for j, name in enumerate(families) if name == family and family not in known]
        own = [j for j in own if not runs.candidates[j].endswith("-default")]
        found += [entry(runs, j, fallback=True) for j in sorted(own, key=lambda j: means[j])]
    counts: dict[str, int] = defaultdict(int)
    kept = []
    for item in found:
        counts[item["family"]] += 1
        if counts[item["family"]] <= N_FALLBACKS:
            kept.append(item)
    return kept


def main() -> None:
    """Check, learn from all tables, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=HERE / "runs.csv")
    parser.add_argument("--large-runs", type=Path, default=HERE / "large_runs.csv")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--entries", type=int, default=12)
    parser.add_argument("--cost-weight", type=float, default=0.25)
    parser.add_argument("--date", required=True, help="goes into the provenance")
    options = parser.parse_args()
    runs = read(options.runs)
    print(f"{len(runs.tables)} tables, {len(runs.candidates)} candidates")
    check = report(runs, n=options.entries, cost_weight=options.cost_weight)
    everything = np.arange(len(runs.tables))
    chosen = pick(runs, everything, n=options.entries, cost_weight=options.cost_weight)
    for j, gain in chosen:
        print(f"{runs.candidates[j]:<28}gain {gain:.4f}  cost {np.median(runs.cost[:, j]):.1f}")
    large = read(options.large_runs)
    best, gain = pick_large(large, cost_weight=options.cost_weight)
    fewest = min(int(row["n_rows"]) for row in large.rows.values())
    of_large = entry(large, best) | {"min_rows": round(LARGE_ROWS_SHARE * fewest)}
    print(f"{len(large.tables)} large tables: {of_large['params']}  gain {gain:.4f}")
    first = next(iter(runs.rows.values()))
    portfolio = {
        "entries": [of_large]
        + [entry(runs, j) for j, _ in chosen]
        + fallbacks(runs, [j for j, _ in chosen]),
        "provenance": {
            "date": options.date,
            "command": f"learn.py --entries {options.entries} --cost-weight {options.cost_weight}",
            "runs_sha256": hashlib.sha256(options.runs.read_bytes()).hexdigest(),
            "large_runs_sha256": hashlib.sha256(options.large_runs.read_bytes()).hexdigest(),
            "code": sorted({row["code"] for row in (*runs.rows.values(), *large.rows.values())}),
            "seed": int(first["seed"]),
            "tables": runs.tables + large.tables,
            "n_candidates": len(runs.candidates),
            "check": {name: str(value) for name, value in check.items()},
            "versions": {name: version(name) for name in LIBRARIES}
            | {"python": platform.python_version()},
        },
    }
    options.output.write_text(json.dumps(portfolio, indent=2) + "\n")


if __name__ == "__main__":
    main()
