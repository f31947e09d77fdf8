"""Ours as one system of a benchmark that calls a shell command.

    cmd:python benchmarks/search_adapter.py

The environment names two places: `BENCH_JSON`, a file with `dataset` (Parquet), `test_idx`,
`target`, `task`, `metric`, `budget`, `threads`, `seed` and `clock`; and `BENCH_OUT`, the folder
for `pred.npy` (a row for each test row; binary: the probability of the class that is last as
text; multiclass: columns sorted as text) and `meta.json`.

The rows outside the test set go into a file, and that file through the platform's own job; the
test rows are predicted by the registered model through the serving path. With the clock `cpu`
a second is a CPU second of all processes divided by the threads.

This process is the platform's supervisor, as `automl train` is. What it has loaded when a request
can be accepted does not count as time; what the run loads from then on does. All of it counts as
memory, and so do all processes that the run starts. Files are cut in a process of their own, which
ends before: the platform would not hold the table.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from search_pipeline import preload, run_request_file

SPLIT = "split-rows"
TRAIN, TEST = "train.parquet", "test.parquet"
LATENCY_ROWS = 1_000
LATENCY_RUNS = 5


def request_of(spec: dict, data: Path) -> str:
    """Return the request file: small last parts, since the test rows are outside."""
    content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "benchmark",
        "owner": "benchmark",
        "seed": spec["seed"],
        "data": {"path": data.name, "target": spec["target"]},
        "split": {"strategy": "random", "calibration": "1%", "analysis": "1%"},
        "task": {"type": spec["task"], "metric": spec["metric"]},
        "search": {"time_limit": f"{spec['budget']:g}s", "workers": spec["threads"]},
    }
    return yaml.safe_dump(content, sort_keys=False)


def split_rows(spec: dict, out: Path) -> None:
    """Write the rows to learn from and the test rows, each in the table's order."""
    frame = pl.read_parquet(spec["dataset"])
    is_test = np.zeros(frame.height, bool)
    is_test[np.load(spec["test_idx"])] = True
    frame.filter(~is_test).write_parquet(out / TRAIN)
    frame.filter(is_test).write_parquet(out / TEST)


def arranged(prediction: np.ndarray, classes: tuple[str, ...], task: str) -> np.ndarray:
    """Return predictions as the benchmark scores them."""
    if task == "regression":
        return prediction
    order = sorted(range(len(classes)), key=lambda code: classes[code])
    return prediction[:, order[-1]] if task == "binary" else prediction[:, order]


def main() -> None:
    """Train, predict, and write what the benchmark reads."""
    spec = json.loads(Path(os.environ["BENCH_JSON"]).read_text())
    out = Path(os.environ["BENCH_OUT"])
    if sys.argv[1:] == [SPLIT]:
        split_rows(spec, out)
        return
    os.environ["AUTOML_HOME"] = str(out / "home")
    os.environ["AUTOML_MAX_WORKERS"] = str(spec["threads"])
    os.environ["AUTOML_SEARCH_CLOCK"] = spec["clock"]
    from automl_assets.cli.execution import build_for_cli
    from automl_assets.core.package import package_bytes
    from automl_assets.core.predictor import load_predictor
    from automl_assets.settings import Settings

    settings = Settings()
    subprocess.run([sys.executable, __file__, SPLIT], check=True)
    preload(settings)
    outcome, values = run_request_file(request_of(spec, out / TRAIN), settings, root=out)
    if values.registered_model is None:
        raise SystemExit(f"No model was registered: {outcome.failure}")
    from rich.console import Console

    with build_for_cli(settings, Console(stderr=True)) as cli:
        found, folder = cli.model_registry.fetch("benchmark")
        predictor = load_predictor(folder, sha256=found.artifact_sha256)
    rows = pl.read_parquet(out / TEST).drop(spec["target"])
    started = time.monotonic()
    prediction = predictor.predict_array(rows)
    batch_seconds = time.monotonic() - started
    np.save(out / "pred.npy", arranged(prediction, predictor.manifest.classes, spec["task"]))
    times = []
    few = rows.head(LATENCY_ROWS)
    for _ in range(LATENCY_RUNS):
        started = time.monotonic()
        predictor.predict_array(few)
        times.append(time.monotonic() - started)
    used = outcome.cpu_seconds / spec["threads"] if spec["clock"] == "cpu" else outcome.seconds
    meta = {
        "fit_s": round(used, 2),
        "latency_1k_ms": round(statistics.median(times) * 1e6 / few.height, 2),
        "batch_rows_per_s": round(rows.height / batch_seconds),
        "model_mb": round(package_bytes(folder) / 1e6, 3),
        "n_models": outcome.n_members,
        "note": f"{outcome.family}; {outcome.n_finished} of {outcome.n_trials} trials; "
        f"search {outcome.search_seconds:.1f} s of {outcome.seconds:.1f} s wall; "
        f"{outcome.stopped_by}",
    }
    (out / "meta.json").write_text(json.dumps(meta))


if __name__ == "__main__":
    main()
