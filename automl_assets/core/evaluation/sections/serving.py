"""What serving the model takes, and what training it took."""

import platform
import tempfile
from pathlib import Path

import numpy as np

from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.serving_profile import (
    BATCHES,
    FEWEST_CALLS,
    BatchLatency,
    measure_serving,
    summarise,
)
from automl_assets.core.evaluation.wording import shown
from automl_assets.core.package import package_bytes
from automl_assets.core.search.latency import QUANTILE
from automl_assets.core.values import Value

N_ROWS = 2_000
"""Raw rows that calls are made with, drawn from the analysis part."""

COLD_START_SECONDS = 4.0
"""What the start of the process may take of the section's time."""

LEAST_SECONDS, MOST_SECONDS = 0.5, 4.0
"""For all calls together; the 99th percentile has an interval from 368 calls on, at 95 %."""

WATTS, LOW_WATTS, HIGH_WATTS = 12.0, 3.0, 20.0
"""Power of one core at work. The middle is what Green Algorithms takes for an unknown processor
(L. Lannelongue, J. Grealey and M. Inouye, "Green Algorithms: quantifying the carbon footprint of
computation", Advanced Science, 2021); the ends span processors of servers with many cores and of
desktops with few, by their makers' thermal design power."""

_CPU_INFO = Path("/proc/cpuinfo")


class Energy(Value):
    """An estimate of what training used, without memory, cooling and losses.

    Attributes:
        watt_hours: At `watts` for each core at work.
        low, high: At the least and the most that a core may take.
    """

    watt_hours: float
    low: float
    high: float
    watts: float
    low_watts: float
    high_watts: float


class Serving(Value):
    """What serving the model takes, and what training it took.

    Attributes:
        machine: Model of the processor, or what the system calls it.
        latency: Of calls with raw rows, in one process, on one thread.
        cold_start_seconds: CPU time from the start of Python to the first prediction.
        memory_mb: Largest resident memory of that process; None where the system does not tell.
        package_bytes: All files of the package.
        training_cpu_seconds: CPU time of the search, all processes together.
        training_peak_mb: Largest memory of all its processes together.
    """

    machine: str
    n_cores: int | None
    n_rows: int
    confidence: float
    latency: tuple[BatchLatency, ...]
    cold_start_seconds: float
    memory_mb: float | None
    package_bytes: int
    training_cpu_seconds: float
    training_peak_mb: float
    energy: Energy


def examine(examined: Examined) -> Serving:
    """Measure the package in a fresh process; costs its start and `Examined.seconds` at most."""
    import psutil

    rows = examined.analysis.frame
    if rows.height > N_ROWS:
        rows = rows[np.linspace(0, rows.height - 1, N_ROWS).round().astype(np.intp)]
    seconds = max(LEAST_SECONDS, min(MOST_SECONDS, examined.seconds - COLD_START_SECONDS))
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        file = Path(folder) / "rows.parquet"
        rows.select([column.name for column in examined.predictor.columns]).write_parquet(file)
        measured = measure_serving(examined.package, file, seconds=seconds)
    return Serving(
        machine=machine(),
        n_cores=psutil.cpu_count(logical=False),
        n_rows=rows.height,
        confidence=examined.confidence,
        latency=summarise(measured, confidence=examined.confidence),
        cold_start_seconds=measured.cold_start_seconds,
        memory_mb=measured.peak_mb,
        package_bytes=package_bytes(examined.package),
        training_cpu_seconds=examined.candidates.cpu_seconds,
        training_peak_mb=examined.candidates.peak_mb,
        energy=energy(examined.candidates.cpu_seconds),
    )


def energy(cpu_seconds: float) -> Energy:
    """Estimate the energy of some CPU time.

    Examples:
        >>> energy(3_600).watt_hours
        12.0
    """
    hours = cpu_seconds / 3_600
    return Energy(
        watt_hours=hours * WATTS,
        low=hours * LOW_WATTS,
        high=hours * HIGH_WATTS,
        watts=WATTS,
        low_watts=LOW_WATTS,
        high_watts=HIGH_WATTS,
    )


def machine(cpu_info: Path = _CPU_INFO) -> str:
    """Return the model of this machine's processor."""
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _sentences(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Serving):
        return ()
    single = value.latency[0]
    slow = next(item for item in single.quantiles if item.quantile == QUANTILE)
    return (
        f"One row is answered in {shown(single.quantiles[0].value)} ms, in 99 of 100 calls within "
        f"{shown(slow.value)} ms, on one thread of this machine.",
    )


def _limits(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Serving):
        return ()
    return (
        f"Latency and memory were measured on {value.machine}, without a network or a web server "
        "around the model; the energy is an estimate from CPU time.",
    )


SECTION = Section(
    name="serving",
    title="Serving and training costs",
    position=70,
    result=Serving,
    examine=examine,
    fewest_rows=lambda request, n_columns: (1 + FEWEST_CALLS) * sum(BATCHES),
    is_measured=True,
    sentences=_sentences,
    limits=_limits,
)
