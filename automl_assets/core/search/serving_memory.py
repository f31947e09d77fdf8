"""The memory that a process needs to predict with a package: measured in one that does only that.

    python -m automl_assets.core.search.serving_memory PACKAGE ROWS N_ROWS

loads the package, predicts, and prints its own peak in megabytes. The peak is read from
`/proc/self/status`: `ru_maxrss` survives `exec`, so that a child never seems to need less than
the process that started it.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from automl_assets.core.errors import SearchError

STATUS = Path("/proc/self/status")

BYTES_OF_MB = 1_000_000

BATCH_ROWS = 1_000
"""Rows of one prediction, where calls are not larger: what one row needs is lost beside code."""

_MODULE = "automl_assets.core.search.serving_memory"
_PEAK = "VmHWM:"


def peak_mb(status: Path = STATUS) -> float:
    """Return the largest resident memory of this process so far, in megabytes.

    Raises:
        SearchError: This system does not tell; Linux does.
    """
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith(_PEAK):
            # The kernel writes kB and means KiB.
            return int(line.split()[1]) * 1024 / BYTES_OF_MB
    raise SearchError(
        f"constraints.serving_memory_mb is measured from {_PEAK[:-1]} in {status}, but this system "
        f"({sys.platform}) has none. Search on Linux, or leave the limit out."
    )


def measure_memory(
    package: Path,
    rows_file: Path,
    *,
    run: Callable[[Sequence[str]], str],
    n_rows: int = BATCH_ROWS,
) -> float:
    """Measure the peak memory of a fresh process that serves a package, in megabytes.

    The interpreter and all imports are part of it; a web server around it is not. Costs two
    to three CPU seconds, most of them imports, so it is for finalists.

    Args:
        package: Folder written by `write_package`.
        rows_file: Parquet file with raw rows like those that will be served, at least one.
        run: Starts this Python with the arguments given, waits, and returns what it printed;
            raises if the process fails. Who calls decides environment, threads and time limit.
        n_rows: Rows of the largest call; fewer rows in the file are repeated.

    Raises:
        SearchError: This system does not tell what a process needs; Linux does.
    """
    peak_mb()
    printed = run(("-m", _MODULE, str(package), str(rows_file), str(n_rows)))
    return float(printed.strip().splitlines()[-1])


def serve_once(package: Path, rows_file: Path, n_rows: int) -> float:
    """Load a package, predict `n_rows` rows twice, and return this process's peak in megabytes."""
    import polars as pl

    from automl_assets.core.predictor import load_predictor
    from automl_assets.core.search.latency import repeat_rows

    predictor = load_predictor(package)
    rows = repeat_rows(pl.read_parquet(rows_file), n_rows)
    # The second call shows what the first one keeps.
    for _ in range(2):
        predictor.predict(rows)
    return peak_mb()


def main(arguments: Sequence[str]) -> None:
    """Print what `serve_once` measures."""
    package, rows_file, n_rows = arguments
    sys.stdout.write(f"{serve_once(Path(package), Path(rows_file), int(n_rows))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
