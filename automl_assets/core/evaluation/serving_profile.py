"""What serving a package costs: measured in a process that does only that.

    python -m automl_assets.core.evaluation.serving_profile PACKAGE ROWS SECONDS

loads the package, predicts one row, then calls with one row and with a thousand rows again and
again, each as a service would: raw rows in, predictions out, on one thread. It prints what it
measured as JSON. A call takes the time that passes or, if that is less, the CPU time of the
process: the rest was spent waiting for a core that another process had.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

from automl_assets.core.errors import SearchError
from automl_assets.core.idle_memory import give_back_memory
from automl_assets.core.values import Value

BATCHES = (1, 1_000)
N_WARM_UP, WARM_UP_SHARE = 200, 0.1
"""Calls before the first one that counts; fewer where they take this share of the time."""

MAX_CALLS = 5_000
FEWEST_CALLS = 5
"""Even if they take more than the time: a thousand rows of a large ensemble may take a second."""
N_BATCHES = 50
"""Different batches that calls take in turn, so that caches do not answer for the model."""

QUANTILES = (0.5, 0.95, 0.99)

LONGEST_SECONDS = 600.0
"""After so long the process is ended: loading a package takes seconds."""

_MODULE = "automl_assets.core.evaluation.serving_profile"


class LatencyQuantile(Value):
    """One quantile of the time of a call, in milliseconds, by nearest rank.

    Attributes:
        low, high: Interval from order statistics, whatever the distribution; None where there
            are too few calls for an end.
    """

    quantile: float
    value: float
    low: float | None
    high: float | None


class BatchLatency(Value):
    """The time of calls with so many rows.

    Attributes:
        rows_per_second: Rows of one process on one thread, by the median call.
    """

    n_rows: int
    n_calls: int
    n_warm_up: int
    quantiles: tuple[LatencyQuantile, ...]
    rows_per_second: float


class Measured(Value):
    """What the process found.

    Attributes:
        cold_start_seconds: CPU time from the start of Python to the first prediction: imports,
            digests of the files, loading. What disks take comes on top.
        peak_mb: Largest resident memory; None where the system does not tell.
        milliseconds: Time of each call that counted, by rows of a call.
    """

    cold_start_seconds: float
    peak_mb: float | None
    n_warm_up: dict[int, int]
    milliseconds: dict[int, tuple[float, ...]]


def order_statistics(n: int, quantile: float, confidence: float) -> tuple[int | None, int | None]:
    """Return the ranks, from 1, between which a quantile lies, for `n` independent values.

    The number of values below the quantile is binomial (W. Conover, "Practical nonparametric
    statistics", 1999, 3.2). None where even the smallest or largest value is no bound.

    Examples:
        >>> order_statistics(5_000, 0.99, 0.95)
        (4936, 4964)
        >>> order_statistics(100, 0.99, 0.95)
        (97, None)
    """
    from scipy.stats import binom

    alpha = (1 - confidence) / 2
    low = int(binom.ppf(alpha, n, quantile))
    high = int(binom.ppf(1 - alpha, n, quantile)) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def summarise(measured: Measured, *, confidence: float) -> tuple[BatchLatency, ...]:
    """Return the quantiles of what was measured, fewest rows first."""
    return tuple(
        _batch(n_rows, sorted(found), measured.n_warm_up[n_rows], confidence)
        for n_rows, found in sorted(measured.milliseconds.items())
    )


def _batch(n_rows: int, ordered: list[float], n_warm_up: int, confidence: float) -> BatchLatency:
    n_calls = len(ordered)
    quantiles = []
    for quantile in QUANTILES:
        low, high = order_statistics(n_calls, quantile, confidence)
        quantiles.append(
            LatencyQuantile(
                quantile=quantile,
                value=ordered[math.ceil(quantile * n_calls) - 1],
                low=None if low is None else ordered[low - 1],
                high=None if high is None else ordered[high - 1],
            )
        )
    return BatchLatency(
        n_rows=n_rows,
        n_calls=n_calls,
        n_warm_up=n_warm_up,
        quantiles=tuple(quantiles),
        rows_per_second=1000 * n_rows / quantiles[0].value,
    )


def measure_serving(package: Path, rows_file: Path, *, seconds: float) -> Measured:
    """Measure a package in a fresh process.

    Args:
        package: Folder written by `write_package`.
        rows_file: Parquet file with raw rows like those that will be served, at least one.
        seconds: For the calls; loading comes before.

    Raises:
        SearchError: The process failed, or did not end.
    """
    command = [sys.executable, "-m", _MODULE, str(package), str(rows_file), str(seconds)]
    give_back_memory()
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = (error.stderr or "").strip() if isinstance(error.stderr, str) else ""
        last = told.splitlines()[-1] if told else "nothing was written"
        raise SearchError(
            f"Serving is measured in a process of its own, but it did not end well: {last}. "
            f"Run `python -m {_MODULE}` on the package to see why."
        ) from error
    return Measured.model_validate_json(done.stdout.strip().splitlines()[-1])


def serve(
    package: Path,
    rows_file: Path,
    seconds: float,
    *,
    clock: Callable[[], float],
    cpu_clock: Callable[[], float],
) -> Measured:
    """Load a package and call it; the process must have done nothing else.

    Args:
        clock: Seconds that pass.
        cpu_clock: CPU seconds since this process started.
    """
    import polars as pl
    from threadpoolctl import threadpool_limits

    from automl_assets.core.predictor import load_predictor
    from automl_assets.core.search.latency import repeat_rows

    predictor = load_predictor(package)
    rows = pl.read_parquet(rows_file)
    predictor.predict(rows.head(1))
    cold_start = cpu_clock()
    milliseconds, n_warm_up = {}, {}
    with threadpool_limits(limits=1):
        for n_rows in BATCHES:
            most = min(N_BATCHES, max(1, rows.height // n_rows))
            many = repeat_rows(rows, n_rows * most)
            batches = [many.slice(index * n_rows, n_rows) for index in range(most)]
            n_warm_up[n_rows], found = _call(
                predictor.predict, batches, seconds / len(BATCHES), clock, cpu_clock
            )
            milliseconds[n_rows] = tuple(found)
    return Measured(
        cold_start_seconds=cold_start,
        peak_mb=_peak_mb(),
        n_warm_up=n_warm_up,
        milliseconds=milliseconds,
    )


def _call(
    predict: Callable[..., object],
    batches: Sequence[object],
    seconds: float,
    clock: Callable[[], float],
    cpu_clock: Callable[[], float],
) -> tuple[int, list[float]]:
    """Return the number of warm-ups, and the milliseconds of each call after them."""
    turns = cycle(batches)

    def call() -> float:
        batch = next(turns)
        started, started_work = clock(), cpu_clock()
        predict(batch)
        return 1000 * min(cpu_clock() - started_work, clock() - started)

    begin, n_warm_up = cpu_clock(), 0
    while n_warm_up < N_WARM_UP and cpu_clock() - begin < WARM_UP_SHARE * seconds:
        call()
        n_warm_up += 1
    found: list[float] = []
    while len(found) < MAX_CALLS:
        found.append(call())
        if len(found) >= FEWEST_CALLS and cpu_clock() - begin >= seconds:
            break
    return n_warm_up, found


def _peak_mb() -> float | None:
    from automl_assets.core.search.serving_memory import peak_mb

    try:
        return peak_mb()
    except SearchError:
        return None


def main(
    arguments: Sequence[str], clock: Callable[[], float], cpu_clock: Callable[[], float]
) -> None:
    """Print what `serve` measures."""
    package, rows_file, seconds = arguments
    found = serve(Path(package), Path(rows_file), float(seconds), clock=clock, cpu_clock=cpu_clock)
    sys.stdout.write(f"{found.model_dump_json()}\n")


if __name__ == "__main__":
    import os
    import time

    # Before Polars is imported: a service that answers one row needs no pool of threads.
    os.environ["POLARS_MAX_THREADS"] = "1"
    main(sys.argv[1:], time.perf_counter, time.process_time)
