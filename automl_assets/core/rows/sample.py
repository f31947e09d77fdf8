"""A random sample of a table's rows that is the same on every machine."""

import numpy as np
import polars as pl

_VALUES_AT_ONCE, _MIN_WIDTH = 2**24, 8
"""Columns of a long table are read a few at a time: what polars reads ahead grows with them."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def sampled_rows(n_rows: int, size: int, *, seed: int) -> np.ndarray:
    """Choose rows: a random one of each of `size` equal stretches.

    Nothing but the row number and the seed decides (SplitMix64, Steele et al. 2014).

    Args:
        n_rows: Rows to choose from, named 0 to `n_rows - 1`.
        size: Rows to choose; all rows if there are no more.
        seed: Decides the rows.

    Returns:
        Sorted row numbers, int64.

    Examples:
        >>> sampled_rows(5, 9, seed=0).tolist()
        [0, 1, 2, 3, 4]
        >>> (sampled_rows(100, 4, seed=0) // 25).tolist()
        [0, 1, 2, 3]
    """
    if size >= n_rows:
        return np.arange(n_rows)
    return chosen_places(n_rows, size, range(size), seed=seed)


def chosen_places(n_rows: int, size: int, stretches: range, *, seed: int) -> np.ndarray:
    """Return the chosen place in some of the `size` equal stretches of `n_rows` places."""
    number = np.arange(stretches.start, stretches.stop + 1)
    # ceil(number * n_rows / size): where each stretch starts.
    start = (number * n_rows + size - 1) // size
    drawn = _mixed(number[:-1].astype(np.uint64), seed) % np.diff(start).astype(np.uint64)
    return start[:-1] + drawn.astype(np.int64)


def gather(frame: pl.LazyFrame, columns: tuple[str, ...], rows: np.ndarray) -> pl.DataFrame:
    """Return some rows of a table, in order; the table streams by.

    Args:
        columns: Columns to return.
        rows: Sorted row numbers.
    """
    if not len(rows):
        return frame.select(columns).head(0).collect()
    number = max(columns, key=len) + "_"
    chosen = pl.Series(rows, dtype=pl.UInt32).implode()
    width = max(_MIN_WIDTH, _VALUES_AT_ONCE // (int(rows[-1]) + 1))
    pieces = [
        frame.select(columns[first : first + width])
        .with_row_index(number)
        .filter(pl.col(number).is_in(chosen))
        .drop(number)
        .collect(engine="streaming")
        for first in range(0, len(columns), width)
    ]
    return pl.concat(pieces, how="horizontal")


def _mixed(number: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 bits that look random for each number."""
    offset = np.uint64((seed * 0xD1342543DE82EF95 + 1) % 2**64)
    mixed = (number + offset) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
