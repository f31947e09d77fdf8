"""Writes the rows that a request asks for as one Parquet file, and counts what each step left."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows import Selection, nothing_left, reading_errors, select
from automl_assets.core.rows.duplicates import later_copies, row_digests
from automl_assets.core.rows.thinning import KeptRows
from automl_assets.core.values import RowStep

ROW_GROUP_ROWS = 131_072
COMPRESSION_LEVEL = 3
"""Of zstd. Against level 1 files of numbers with two decimals are 11 % smaller for 3 % more CPU;
numbers that cannot be compressed cost 17 % more CPU here, and 7 % of the whole way to a commit."""


def write_rows(
    frame: pl.LazyFrame, request: TrainingRequest, file: Path, *, source: str
) -> tuple[RowStep, ...]:
    """Write the rows and columns of a request to a new file, and return the waterfall of rows.

    Rows keep the order of the source. Text is read once; of Parquet, whose
    columns and row groups can be left out, only what is asked for is read.

    Args:
        frame: All rows of the source, lazily.
        file: In a folder where a second file of its size may lie for a while.
        source: What people know the source by, for messages.

    Raises:
        RequestError: The request does not fit the data, or no row is left.
        SnapshotError: The source cannot be read to its end, or the disk is full.
    """
    with reading_errors(source):
        schema = frame.collect_schema()
    selection = select(schema, request)
    with reading_errors(source):
        n_read, *n_left = _write_selected(frame, selection, file)
        if not n_left[-1]:
            raise nothing_left(frame, selection, n_read, n_left, request)
        steps = [RowStep(step="read", n_rows=n_read)]
        for step, n_rows in zip(selection.conditions, n_left, strict=True):
            steps.append(RowStep(step=step, n_rows=n_rows))
        return (*steps, *_thin(file, request, n_left[-1]))


def scan_table(file: Path) -> pl.LazyFrame:
    """Open a file that `write_rows` wrote."""
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def _write_selected(frame: pl.LazyFrame, selection: Selection, file: Path) -> list[int]:
    """Write the rows that meet all conditions; return the rows read and left by each condition."""
    if _is_parquet(frame):
        counts = _count(frame, selection)
        if counts[-1]:
            _sink(frame.filter(selection.condition).select(selection.columns), file)
        return counts
    # With a number in it no batch is constant; polars evaluates those for one row only.
    number = max(frame.collect_schema().names(), key=len) + "_"
    met = [met.alias(str(n)) for n, met in enumerate(selection.cumulative.values())]
    counter = _Counter(len(met))
    kept = pl.struct(pl.col(number), *met).map_batches(
        counter, return_dtype=pl.Boolean, is_elementwise=True
    )
    _sink(frame.with_row_index(number).filter(kept).select(selection.columns), file)
    n_written = scan_table(file).select(pl.len()).collect().item()
    if counter.saw_each_row_once and counter.n_left[-1] == n_written:
        return [counter.n_read, *counter.n_left]
    return _count(frame, selection)


class _Counter:
    """Counts the rows that meet each condition while they stream by; safe in threads.

    polars does not promise to call a function once for each row, so the numbers
    of the rows are summed as well: they tell whether it did.
    """

    def __init__(self, n_conditions: int) -> None:
        self.n_read = 0
        self.n_left = [0] * n_conditions
        self._last = -1
        self._sum = 0
        self._lock = threading.Lock()

    def __call__(self, rows: pl.Series) -> pl.Series:
        number, *met = (rows.struct.field(name) for name in rows.struct.fields)
        n_met = [int(values.sum()) for values in met]
        last, total = int(number.max() or 0), int(number.cast(pl.UInt64).sum())  # pyright: ignore[reportArgumentType]
        with self._lock:
            self.n_read += len(rows)
            self.n_left = [before + n for before, n in zip(self.n_left, n_met, strict=True)]
            self._sum += total
            if len(rows):
                self._last = max(self._last, last)
        return met[-1]

    @property
    def saw_each_row_once(self) -> bool:
        """Whether the numbers of the rows are those from 0 to one less than their count."""
        return self._last == self.n_read - 1 and self._sum * 2 == self.n_read * (self.n_read - 1)


def _is_parquet(frame: pl.LazyFrame) -> bool:
    """Return whether all rows come from Parquet, where counting apart is cheap.

    A wrong answer costs time, not rows.
    """
    scans = re.findall(r"^\s*(\w+) SCAN ", frame.explain(optimized=False), re.MULTILINE)
    return set(scans) == {"Parquet"}


def _count(frame: pl.LazyFrame, selection: Selection) -> list[int]:
    met = {str(n): met.sum() for n, met in enumerate(selection.cumulative.values())}
    counts = frame.select(n_read=pl.len(), **met).collect(engine="streaming")
    return list(counts.row(0))


def _thin(file: Path, request: TrainingRequest, n_rows: int) -> Sequence[RowStep]:
    """Drop copies and draw the sample, in a second pass over the finished file."""
    rows = request.data.rows
    kept = KeptRows(n_rows)
    steps = []
    if rows.duplicates == "drop":
        digests = file.with_name(f"{file.name}.digests")
        table = scan_table(file)
        try:
            kept.drop(later_copies(row_digests(table, table.collect_schema().names(), digests)))
        finally:
            digests.unlink(missing_ok=True)
        steps.append(RowStep(step="duplicates", n_rows=kept.n_rows))
    if rows.sample.max_rows is not None and rows.sample.max_rows < kept.n_rows:
        kept.sample(rows.sample.max_rows, seed=request.sample_seed)
        steps.append(RowStep(step="sample", n_rows=kept.n_rows))
    if kept.n_rows < n_rows:
        thinned = file.with_name(f"{file.name}.thinned")
        _sink(kept.filter(scan_table(file)), thinned)
        thinned.replace(file)
    return steps


def _sink(frame: pl.LazyFrame, file: Path) -> None:
    frame.sink_parquet(
        file,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
        maintain_order=True,
    )
