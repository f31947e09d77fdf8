"""The 99th percentile of the latency of a call, as the search measures it.

What a number here claims, and what it does not, is in docs/decisions/0011.
"""

import math
from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from automl_assets.core.request.release import LatencyLimit

QUANTILE = 0.99

N_WARM_UP = 10
"""Calls before the first one that counts: the first loads code and fills caches."""

BLOCK_CALLS = 100
"""Calls of one block: the fewest whose 99th percentile is not simply their slowest."""

N_BLOCKS = 5
"""Blocks of one measurement. Their second slowest is an upper bound of the median block at 81 %
confidence (order statistics: 1 - 6/32), and stands if something else disturbs one of them."""

N_FIRST_CALLS = 20
"""After so many calls a hopeless candidate is told from others."""

CLEAR = 4.0
"""A first block whose 99th percentile is this many times below the limit is enough."""

WARM_UP_SECONDS, LONGEST_SECONDS = 0.25, 1.0
"""Warm-up and the whole measurement end after the call in which this time has passed."""

N_BATCHES = 50
"""Different batches that calls take in turn, so that caches do not answer for the model."""


def p99(latencies: list[float]) -> float:
    """Return the 99th percentile by nearest rank: of fewer than 100 calls, the slowest.

    Examples:
        >>> p99([float(i) for i in range(1, 101)])
        99.0
        >>> p99([3.0, 1.0])
        3.0
    """
    return sorted(latencies)[math.ceil(QUANTILE * len(latencies)) - 1]


def bad_end(latencies: list[float]) -> float:
    """Return the second slowest of the 99th percentiles of whole blocks.

    Of fewer than three blocks it is the slowest one, and of no whole block that of all calls.

    Examples:
        >>> quiet, disturbed = [1.0] * 100, [1.0] * 90 + [50.0] * 10
        >>> bad_end(quiet + disturbed + quiet)
        1.0
        >>> bad_end(quiet + disturbed)
        50.0
    """
    starts = range(0, len(latencies) - BLOCK_CALLS + 1, BLOCK_CALLS)
    blocks = [latencies[start : start + BLOCK_CALLS] for start in starts]
    of_blocks = sorted(p99(block) for block in blocks or [latencies])
    return of_blocks[-2] if len(of_blocks) > 2 else of_blocks[-1]


def measure_latency_ms(
    predict: "Callable[[pl.DataFrame], object]",
    rows: "pl.DataFrame",
    limit: "LatencyLimit",
    *,
    clock: Callable[[], float],
    cpu_clock: Callable[[], float] | None = None,
) -> float:
    """Measure the 99th percentile of the latency of `predict`, in milliseconds.

    A call takes the time that passes or, if that is less, the CPU time of the process: the
    rest was spent waiting for a core that another process of the search had. OpenMP and BLAS
    are held to `limit.threads`; Polars keeps the threads with which the process was started.
    The measurement ends early where more calls would not change the verdict.

    Args:
        predict: Takes raw rows, such as `Predictor.predict`.
        rows: Raw rows like those that will be served, at least one.
        limit: The batch and the threads of a call, and the limit.
        clock: Seconds that pass, such as `time.perf_counter`.
        cpu_clock: CPU seconds of this process, such as `time.process_time`; None lets waiting
            for a core count.
    """
    from threadpoolctl import threadpool_limits

    batches = cycle(_batches(rows, limit.batch))
    work = cpu_clock or clock

    def call() -> float:
        batch = next(batches)
        started, started_work = clock(), work()
        predict(batch)
        return min(work() - started_work, clock() - started)

    # The first call loads the libraries whose threads are to be held.
    call()
    with threadpool_limits(limits=limit.threads):
        return 1000 * bad_end(_latencies(call, limit.max / 1000, clock))


def _latencies(call: Callable[[], float], limit: float, clock: Callable[[], float]) -> list[float]:
    """Call until the verdict on `limit`, in seconds, is clear or the time is over."""
    begin = clock()
    for _ in range(N_WARM_UP - 1):
        if clock() - begin >= WARM_UP_SECONDS:
            break
        call()
    latencies: list[float] = []
    while not _is_enough(latencies, limit):
        latencies.append(call())
        if clock() - begin >= LONGEST_SECONDS:
            break
    return latencies


def _is_enough(latencies: list[float], limit: float) -> bool:
    """Whether more calls would not change the verdict, or there are all that were planned."""
    n_calls = len(latencies)
    if n_calls == N_FIRST_CALLS:
        # Nothing on a machine makes a call faster than it is: the fastest is no accident.
        return min(latencies) > limit
    if n_calls == BLOCK_CALLS:
        return p99(latencies) * CLEAR < limit
    return n_calls == N_BLOCKS * BLOCK_CALLS


def _batches(rows: "pl.DataFrame", n_rows: int) -> "list[pl.DataFrame]":
    rows = rows if rows.height >= n_rows else repeat_rows(rows, n_rows)
    n_batches = min(N_BATCHES, rows.height // n_rows)
    return [rows.slice(index * n_rows, n_rows) for index in range(n_batches)]


def repeat_rows(rows: "pl.DataFrame", n_rows: int) -> "pl.DataFrame":
    """Return exactly `n_rows` rows: the first ones, or all of them again and again."""
    import polars as pl

    return pl.concat([rows] * math.ceil(n_rows / rows.height)).head(n_rows).rechunk()
