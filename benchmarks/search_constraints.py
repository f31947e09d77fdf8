"""Do limits hold? Random sets of constraints, and what the registered models really are.

    python benchmarks/search_constraints.py --sets 30

Each set is a request on a bundled or generated table. A run may end with a model, with a refusal
before the data are read, or with the statement that nothing admissible was found; what it may
not do is to register a model that breaks a limit. Limits are checked on the package that was
registered: trees are read from its files, directions and interactions are tried out, sizes and
times are measured again.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import yaml
from search_constraint_sets import Content, draw_request
from search_pipeline import preload, run_request_file
from search_shapes import columns_that_matter, largest_fall, largest_interaction, tree_shapes
from search_tables import table

if TYPE_CHECKING:
    from automl_assets.settings import Settings

TIGHT = 1e-6
FIELDS = ("set", "table", "outcome", "model", "asked", "violated", "seconds", "failure")


def _p99(predict: Any, row: pl.DataFrame, *, n: int = 300) -> float:
    """Return the smallest of three 99th percentiles of single calls, in ms of CPU time.

    CPU time, because another program on the machine is no fault of the model.
    """
    found = []
    for _ in range(3):
        times = []
        for _ in range(n):
            started = time.process_time()
            predict(row)
            times.append((time.process_time() - started) * 1e3)
        found.append(float(np.quantile(times, 0.99)))
    return min(found)


def _memory_mb(package: Path, rows: Path) -> float:
    command = [
        *(sys.executable, "-m", "automl_assets.core.search.serving_memory"),
        *(str(package), str(rows), "1000"),
    ]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(printed.strip().splitlines()[-1])


def _broken_shapes(model: Content, predictor: Any, package: Path) -> list[str]:
    if not model.keys() & {"max_depth", "max_leaves", "max_trees"}:
        return []
    shapes = tree_shapes(predictor, package)
    found = {
        "max_depth": max((depth for depth, _ in shapes), default=0),
        "max_leaves": max((n for _, n in shapes), default=0),
        "max_trees": len(shapes),
    }
    return [
        f"{name} {found[name]} > {model[name]}"
        for name in found
        if name in model and found[name] > model[name]
    ]


def _broken_answers(model: Content, predictor: Any, X: np.ndarray) -> list[str]:
    broken = []
    names = list(predictor.preprocessing.feature_names)
    spread = float(np.ptp(np.asarray(predictor.model.predict(X)))) or 1.0
    for name, direction in model.get("monotonic", {}).items():
        if name not in names:
            continue
        sign = 1 if direction == "increasing" else -1
        turned = np.array(X, order="F")
        turned[:, names.index(name)] *= sign
        # A falling answer is a rising one of the turned feature; turned back inside the model.
        fall = largest_fall(_Turned(predictor, names.index(name), sign), turned, names.index(name))
        if fall > TIGHT * spread:
            broken.append(f"monotonic {name} by {fall / spread:.2g}")
    groups = [set(group) for group in model.get("interactions", [])]
    pairs = [
        (first, second)
        for first in names
        for second in names
        if first < second and groups and not any({first, second} <= group for group in groups)
    ]
    for first, second in pairs:
        size = largest_interaction(predictor, X, names.index(first), names.index(second))
        if size > 1e-4:
            broken.append(f"interaction {first} x {second} {size:.2g}")
    return broken


class _Turned:
    """A predictor of rows in which one feature's sign was turned."""

    def __init__(self, predictor: Any, feature: int, sign: int) -> None:
        self.model = self
        self._predictor, self._feature, self._sign = predictor, feature, sign

    def predict(self, X: np.ndarray) -> np.ndarray:
        back = np.array(X, order="F")
        back[:, self._feature] *= self._sign
        return self._predictor.model.predict(back)


def _broken_members(model: Content, members: Any) -> list[str]:
    broken = []
    for member in members:
        if member.family not in model.get("families", [member.family]):
            broken.append(f"family {member.family}")
        for key, value in model.get("fix", {}).items():
            family, _, name = key.partition(".")
            if family == member.family and member.params.get(name) != value:
                broken.append(f"fix {key} {member.params.get(name)}")
        for key, bounds in model.get("search", {}).items():
            family, _, name = key.partition(".")
            value = member.params.get(name)
            if family == member.family and not (
                isinstance(value, int | float) and bounds["low"] <= value <= bounds["high"]
            ):
                broken.append(f"search {key} {value}")
    return broken


def _broken_measures(limits: Content, predictor: Any, package: Path, rows: Path) -> list[str]:
    from automl_assets.core.package import package_bytes

    found: dict[str, float] = {}
    if "model_size_mb" in limits:
        found["model_size_mb"] = package_bytes(package) / 1e6
    if "max_features" in limits:
        found["max_features"] = columns_that_matter(predictor, pl.read_parquet(rows).head(300))
    if "p99_latency_ms" in limits:
        found["p99_latency_ms"] = _p99(predictor.predict, pl.read_parquet(rows).head(1))
    if "serving_memory_mb" in limits:
        found["serving_memory_mb"] = _memory_mb(package, rows)
    asked = {name: limits[name] for name in found}
    numbers = {k: v["max"] if isinstance(v, dict) else v for k, v in asked.items()}
    return [f"{k} {found[k]:.3g} > {numbers[k]}" for k in found if found[k] > numbers[k]]


def _broken_claims(candidates: Any) -> list[str]:
    """Return limits on predictions that the run's own figures break: they need its rows."""
    measured, limits = candidates.measured, candidates.limits
    broken = []
    if "slice_gap" in limits and measured.get("slice_gap", np.inf) > limits["slice_gap"]:
        broken.append(f"slice_gap {measured.get('slice_gap')}")
    lead = limits.get("beat_baseline_by")
    if lead is not None and measured.get("beat_baseline_by", -np.inf) < lead:
        broken.append(f"beat_baseline_by {measured.get('beat_baseline_by')}")
    return broken


def check(content: Content, values: Any, package: Path, rows: Path) -> list[str]:
    """Return the limits that a registered model breaks."""
    from automl_assets.core.encoding import encode
    from automl_assets.core.predictor import load_predictor

    model, limits = content.get("model", {}), content.get("constraints", {})
    predictor = load_predictor(package)
    X = encode(pl.read_parquet(rows).head(200), predictor.preprocessing)
    return [
        *_broken_shapes(model, predictor, package),
        *_broken_answers(model, predictor, X),
        *_broken_members(model, values.candidate_models.members),
        *_broken_measures(limits, predictor, package, rows),
        *_broken_claims(values.candidate_models),
    ]


def run_set(number: int, folder: Path, settings: "Settings", *, seed: int, n_trials: int) -> dict:
    """Run one request and return its row."""
    from rich.console import Console

    from automl_assets.cli.execution import build_for_cli
    from automl_assets.core.errors import RequestError

    name, content = draw_request(number, seed=seed, n_trials=n_trials)
    rows = folder / f"{name}.parquet"
    if not rows.exists():
        table(name).write_parquet(rows)
    asked = {**content.get("model", {}), **content.get("constraints", {})}
    row = {"set": number, "table": name, "asked": yaml.safe_dump(asked, default_flow_style=True)}
    row["asked"] = " ".join(row["asked"].split())
    started = time.monotonic()
    try:
        outcome, values = run_request_file(
            yaml.safe_dump(content, sort_keys=False), settings, root=folder
        )
    except RequestError as error:
        return {**row, "outcome": "refused", "failure": str(error)}
    row["seconds"] = round(time.monotonic() - started, 1)
    if values.registered_model is None:
        kind = outcome.failure.partition(":")[0]
        known = {"NoAdmissibleError": "nothing admissible", "RequestError": "refused"}
        return {**row, "outcome": known.get(kind, "failed"), "failure": outcome.failure}
    with build_for_cli(settings, Console(stderr=True)) as cli:
        _, package = cli.model_registry.fetch(str(content["name"]))
    broken = check(content, values, package, rows)
    return {
        **row,
        "outcome": "violated" if broken else "model",
        "model": outcome.family,
        "violated": "; ".join(broken),
    }


def main() -> None:
    """Run all sets and report."""
    from automl_assets.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        settings = Settings(home=Path(folder) / "home")
        preload(settings)
        for number in range(options.first, options.first + options.sets):
            row = run_set(
                number, Path(folder), settings, seed=options.seed, n_trials=options.trials
            )
            writer.writerow(row)
            file.flush()
            counts[row["outcome"]] += 1
            print(row, flush=True)
    print("| outcome | sets |\n| --- | --- |")
    for outcome, n in counts.most_common():
        print(f"| {outcome} | {n} |")


if __name__ == "__main__":
    main()
