"""What one candidate is measured for during a search, so that limits bind it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.limits import limits_of, measure_package, measure_predictions
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import SelectionData, prior_prediction

SAMPLE_ROWS = "rows.parquet"
"""Raw rows like those that will be served, beside the candidates."""

N_SAMPLE_ROWS = 2_000

N_TIMED_ROWS = 1_000

MemoryOf = Callable[[Path, Path], float]
"""Takes a package and a file of raw rows; returns what serving it holds, in MB."""


@dataclass(frozen=True, kw_only=True)
class Timers:
    """What latencies are timed by: seconds that pass, and CPU seconds of this process."""

    wall: Callable[[], float]
    cpu: Callable[[], float]


def seconds_per_row(
    predict: Callable[[np.ndarray], np.ndarray], X: np.ndarray, cpu: Callable[[], float]
) -> float:
    """Return the CPU time of predicting one encoded row, among a thousand, by a warm model.

    Args:
        X: At least one row; where they are fewer, they are taken again and again.
    """
    rows = np.asfortranarray(X[np.arange(N_TIMED_ROWS) % len(X)])
    predict(rows)
    begun = cpu()
    predict(rows)
    return (cpu() - begun) / N_TIMED_ROWS


def slice_codes(plan: SearchPlan, data: SelectionData) -> dict[str, np.ndarray]:
    """Return the slice of each selection row, by raw column."""
    return {
        name: np.nan_to_num(
            data.of_selection(data.validation.X[:, column], data.train.X[:, column]), nan=-1.0
        )
        for name, column in plan.slice_columns.items()
    }


def measure_candidate(
    plan: SearchPlan,
    data: SelectionData,
    *,
    package: Path,
    prediction: np.ndarray,
    timers: Timers,
    memory_of: MemoryOf | None = None,
) -> dict[str, float]:
    """Measure a candidate, or the final model, for the constraints of the plan.

    Args:
        prediction: Of the selection rows.
        memory_of: Starts a process, so it is asked for the final model only; None leaves
            the memory unmeasured.
    """
    if not limits_of(plan.constraints) or plan.constraints is None:
        return {}
    rows_file = Path(plan.artifacts) / SAMPLE_ROWS
    measured = measure_package(
        package,
        pl.read_parquet(rows_file),
        plan.constraints,
        clock=timers.wall,
        cpu_clock=timers.cpu,
    )
    y = data.y
    measured |= measure_predictions(
        prediction,
        y,
        plan.constraints,
        metrics=load_metrics(),
        slices=slice_codes(plan, data),
        baseline=prior_prediction(data.train.y, len(y), plan.n_classes),
        seed=plan.seed,
    )
    if plan.constraints.serving_memory_mb is not None and memory_of is not None:
        measured["serving_memory_mb"] = memory_of(package, rows_file)
    return measured
