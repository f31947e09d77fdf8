"""Hard limits: what a candidate is measured for, how far it is off, and which limit cost how many.

A measurement has the name of its key under `constraints`. What is read from a saved package
is in `latency` and `serving_memory` beside this module, what is computed from predictions in
`prediction_limits`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.composite import CompositeModel
from automl_assets.core.errors import NoAdmissibleError
from automl_assets.core.feature_sets import raw_columns
from automl_assets.core.package import package_bytes
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.search.latency import measure_latency_ms
from automl_assets.core.search.prediction_limits import lead_over_baseline, slice_gap
from automl_assets.core.search.serving_memory import BYTES_OF_MB

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from automl_assets.core.metrics import Metric
    from automl_assets.core.request.release import Constraints
    from automl_assets.core.values import Candidate

FARTHEST = 1e9
"""Largest distance that is told: beyond it, and for what is no number; JSON knows no infinity."""

N_NEAREST = 3

AT_LEAST = frozenset({"beat_baseline_by"})
"""Limits from below; all others are from above."""

_CURES = {
    "p99_latency_ms": "fewer or smaller trees (model.max_trees, model.max_leaves)",
    "model_size_mb": "fewer or smaller trees (model.max_trees, model.max_leaves)",
    "serving_memory_mb": "families with smaller libraries (model.families)",
    "max_features": "fewer columns (features.include, model.preprocessing.feature_selection)",
    "slice_gap": "more rows of the slices that are worse off",
    "beat_baseline_by": "a longer search.time_limit, or more rows",
}
_CURE = "Loosen one of constraints, or raise search.time_limit."


def limits_of(constraints: "Constraints | None") -> dict[str, float]:
    """Return the limits that are set, by name, in the order of the request's schema.

    Examples:
        >>> from automl_assets.core.request.release import Constraints
        >>> limits_of(Constraints.model_validate({"model_size_mb": {"max": 5}, "max_features": 9}))
        {'model_size_mb': 5.0, 'max_features': 9.0}
        >>> limits_of(None)
        {}
    """
    limits: dict[str, float] = {}
    for name in type(constraints).model_fields if constraints is not None else ():
        section = getattr(constraints, name)
        if section is None:
            continue
        number = getattr(section, "min" if name in AT_LEAST else "max", section)
        limits[name] = float(number)
    return limits


def measure_package(
    package: Path,
    rows: "pl.DataFrame",
    constraints: "Constraints | None",
    *,
    clock: Callable[[], float],
    cpu_clock: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Measure a saved package as it will be served, for the limits that are set.

    These are `p99_latency_ms`, `model_size_mb` and `max_features`; what a prediction needs in
    memory takes a process of its own (`measure_memory`). Costs about a second at most, and
    nothing where no such limit is set.

    Args:
        package: The candidate's folder, written by `write_package`.
        rows: Raw rows like those that will be served, at least one.
        clock: Seconds that pass, such as `time.perf_counter`.
        cpu_clock: CPU seconds of this process, such as `time.process_time`: time in which
            other processes had the core does not count then.

    Raises:
        SnapshotError: A file of the package is missing, changed, or was added.
    """
    measured: dict[str, float] = {}
    if constraints is None:
        return measured
    if constraints.model_size_mb is not None:
        measured["model_size_mb"] = package_bytes(package) / BYTES_OF_MB
    latency = constraints.p99_latency_ms
    if latency is None and constraints.max_features is None:
        return measured
    predictor = load_predictor(package, n_threads=1 if latency is None else latency.threads)
    if constraints.max_features is not None:
        measured["max_features"] = float(len(columns_read(predictor)))
    if latency is not None:
        measured["p99_latency_ms"] = measure_latency_ms(
            predictor.predict, rows, latency, clock=clock, cpu_clock=cpu_clock
        )
    return measured


def columns_read(predictor: Predictor) -> tuple[str, ...]:
    """Return the raw columns that any member of a model looks at, in table order."""
    every = tuple(column.name for column in predictor.preprocessing.columns)
    model = predictor.model
    if not isinstance(model, CompositeModel):
        return every
    read: set[str] = set()
    for member in model.members:
        if member.transform is None:
            return every
        read.update(raw_columns(member.transform, predictor.preprocessing))
    return tuple(name for name in every if name in read)


def measure_predictions(
    prediction: "np.ndarray",
    y: "np.ndarray",
    constraints: "Constraints | None",
    *,
    metrics: "Mapping[str, Metric]",
    slices: "Mapping[str, np.ndarray]",
    baseline: "np.ndarray",
    seed: int,
) -> dict[str, float]:
    """Measure predictions of the selection rows, for the limits that are set.

    Args:
        prediction: As `Metric.score` takes it.
        y: As `Metric.score` takes it.
        metrics: By name: `load_metrics()`.
        slices: For each column under `slice_gap.by`, the slice of each row: codes, `(n_rows,)`.
        baseline: The prior's predictions of the same rows.
        seed: Decides how rows are dealt into groups.

    Raises:
        SearchError: A column has fewer than two slices that can be compared.
        ContractError: A metric is undefined for these rows.
        ArithmeticError: A measurement is not a finite number.
    """
    measured: dict[str, float] = {}
    if constraints is None:
        return measured
    if (gap := constraints.slice_gap) is not None:
        columns = {name: slices[name] for name in gap.by}
        measured["slice_gap"] = slice_gap(metrics[gap.metric], y, prediction, columns, seed=seed)
    if (lead := constraints.beat_baseline_by) is not None:
        measured["beat_baseline_by"] = lead_over_baseline(
            metrics[lead.metric], y, prediction, baseline, confidence=lead.confidence, seed=seed
        )
    for name, value in measured.items():
        if not math.isfinite(value):
            raise ArithmeticError(f"A measurement must be a finite number, but {name} is {value}.")
    return measured


def distances(measured: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Return how far each measurement is beyond its limit: above 0 it is broken, else it holds.

    This is what Optuna's `Trial.set_constraint` takes. A limit from above is missed by a share
    of itself: 0.1 is a tenth above. A limit from below may be 0 and is in the unit of a metric,
    so its distance is a share of the larger of both numbers. What was not measured is left
    out, and a measurement that is no finite number is as far off as can be.

    Args:
        limits: As `limits_of` returns them.

    Examples:
        >>> distances({"model_size_mb": 6.0}, {"model_size_mb": 5.0, "slice_gap": 0.1})
        {'model_size_mb': 0.2}
        >>> distances({"beat_baseline_by": -0.01}, {"beat_baseline_by": 0.0})
        {'beat_baseline_by': 1.0}
    """
    return {
        name: _distance(name, measured[name], limit)
        for name, limit in limits.items()
        if name in measured
    }


def _distance(name: str, value: float, limit: float) -> float:
    if not math.isfinite(value):
        return FARTHEST
    if name not in AT_LEAST:
        return min((value - limit) / limit, FARTHEST)
    larger = max(abs(limit), abs(value))
    # The difference of two huge numbers is infinite; no share of the larger one is above 2.
    return min(max((limit - value) / larger, -2.0), 2.0) if larger else 0.0


def violations(measured: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Return the distances of the broken limits only, the farthest first.

    Examples:
        >>> limits = {"model_size_mb": 5.0, "p99_latency_ms": 15.0}
        >>> violations({"model_size_mb": 6.0, "p99_latency_ms": 3.0}, limits)
        {'model_size_mb': 0.2}
    """
    broken = {name: far for name, far in distances(measured, limits).items() if far > 0}
    return dict(sorted(broken.items(), key=lambda item: -item[1]))


def unmeasured(measured: Mapping[str, float], limits: Mapping[str, float]) -> tuple[str, ...]:
    """Return the limits that nothing was measured for: a model with one may not be registered."""
    return tuple(name for name in limits if name not in measured)


def removed_by(candidates: "Sequence[Candidate]") -> dict[str, int]:
    """Return how many finished candidates break each limit, the most frequent first.

    One that breaks two limits counts for both.
    """
    counts: dict[str, int] = {}
    for candidate in candidates:
        for name in candidate.violated if candidate.state == "complete" else ():
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def nearest_misses(
    candidates: "Sequence[Candidate]", limits: Mapping[str, float], n: int = N_NEAREST
) -> tuple[str, ...]:
    """Return who misses the limits by least, a line each: by the limit it misses most."""
    misses = [item for item in candidates if item.state == "complete" and item.violated]
    misses.sort(key=lambda item: (max(item.violated.values()), len(item.violated), item.number))
    return tuple(_miss(item, limits) for item in misses[:n])


def _miss(candidate: "Candidate", limits: Mapping[str, float]) -> str:
    broken = sorted(candidate.violated, key=lambda name: -candidate.violated[name])
    pairs = (_pair(name, candidate.measured.get(name), limits[name]) for name in broken)
    return f"trial {candidate.number} ({candidate.family}) {', '.join(pairs)}"


def _pair(name: str, value: float | None, limit: float) -> str:
    bound = f"{'at least ' if name in AT_LEAST else ''}{limit:.4g}"
    if value is None:
        return f"{name} unknown against {bound}"
    text = f"{value:.3g}"
    # 15.04 must not read as 15 against 15.
    return f"{name} {text if text != f'{limit:.3g}' else f'{value:.9g}'} against {bound}"


def no_admissible(
    candidates: "Sequence[Candidate]",
    limits: Mapping[str, float],
    finals: Sequence[Mapping[str, float]] = (),
) -> NoAdmissibleError:
    """Return the error that ends a search in which candidates finished and no model may be used.

    Args:
        candidates: All trials of the search.
        limits: As `limits_of` returns them.
        finals: What final models were measured at that candidates were made into, and that
            broke a limit: memory, for example, is measured of them alone.
    """
    removed = removed_by(candidates)
    nearest = nearest_misses(candidates, limits)
    for measured in finals:
        broken = violations(measured, limits)
        pairs = ", ".join(_pair(name, measured[name], limits[name]) for name in broken)
        nearest = (f"final model {pairs}", *nearest)
        removed |= {name: removed.get(name, 0) + 1 for name in broken}
    n_finished = sum(item.state == "complete" for item in candidates)
    told = [f"{n_finished} of {len(candidates)} trials finished"]
    told += [", ".join(f"{name} removed {count}" for name, count in removed.items())]
    told += [f"nearest: {'; '.join(nearest)}"] if nearest else []
    hardest = max(removed, key=removed.__getitem__, default=None)
    cure = f"Loosen constraints.{hardest}, or try {_CURES[hardest]}." if hardest else _CURE
    return NoAdmissibleError(
        f"A model must be within all limits, but no candidate is: {'; '.join(filter(None, told))}. "
        f"{cure}",
        nearest=nearest,
        removed_by=removed,
    )
