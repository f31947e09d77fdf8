"""Train, validation, calibration and analysis: four disjoint parts that cover the table."""

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.values import PARTS, Part

Fractions = Mapping[Part, float]
Rows = dict[Part, np.ndarray]


def _allocate(n: int, fractions: Fractions) -> list[int]:
    """Share `n` rows by largest remainder, in the order of `PARTS`; each within one row."""
    exact = np.array([fractions[part] for part in PARTS]) * n
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: n - int(counts.sum())]] += 1
    return counts.tolist()


def _sorted_parts(pieces: list[np.ndarray]) -> Rows:
    return {
        part: np.sort(piece.astype(np.int64)) for part, piece in zip(PARTS, pieces, strict=True)
    }


def random_split(n_rows: int, fractions: Fractions, *, seed: int) -> Rows:
    """Split rows at random.

    Args:
        n_rows: Number of rows; a row is named by its position, from 0.
        fractions: Share of each part; they sum to 1.
        seed: Decides the permutation.

    Returns:
        Sorted row numbers (int64) of each part.
    """
    return stratified_split(np.zeros(n_rows, np.int8), fractions, seed=seed)


def stratified_split(strata: np.ndarray, fractions: Fractions, *, seed: int) -> Rows:
    """Split at random so that each part holds its share of each stratum, within one row.

    Args:
        strata: A code for each row, shape `(n_rows,)`.
        fractions: Share of each part; they sum to 1.
        seed: Decides the permutations.

    Returns:
        Sorted row numbers (int64) of each part.

    Examples:
        >>> f = {"train": 0.4, "validation": 0.2, "calibration": 0.2, "analysis": 0.2}
        >>> rows = stratified_split(np.repeat([0, 1], 5), f, seed=0)
        >>> [len(rows[part]) for part in PARTS]
        [4, 2, 2, 2]
    """
    generator = np.random.default_rng(seed)
    pieces: list[list[np.ndarray]] = [[] for _ in PARTS]
    for stratum in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == stratum))
        bounds = np.cumsum(_allocate(len(rows), fractions))[:-1]
        for piece, chunk in zip(pieces, np.split(rows, bounds), strict=True):
            piece.append(chunk)
    return _sorted_parts([np.concatenate(piece) for piece in pieces])


def _cut(codes: np.ndarray, order: np.ndarray, fractions: Fractions) -> Rows:
    """Give whole blocks of equal code to the parts, in the given order of the blocks."""
    sizes = np.bincount(codes)[order]
    # A block belongs to the part in which its middle row falls.
    middle = (np.cumsum(sizes) - sizes / 2) / len(codes)
    bounds = np.cumsum([fractions[part] for part in PARTS])[:-1]
    part_of_block = np.empty(len(order), np.int8)
    part_of_block[order] = np.searchsorted(bounds, middle, side="right")
    part_of_row = part_of_block[codes]
    return _sorted_parts([np.flatnonzero(part_of_row == index) for index in range(len(PARTS))])


def _require_all_parts(rows: Rows, column: str, what: str) -> Rows:
    empty = [part for part in PARTS if len(rows[part]) == 0]
    if empty:
        raise RequestError(
            f"Each of the four parts needs rows, but column {column!r} has too few {what} for "
            f"{', '.join(empty)}. Name a column with more {what}, or remove it from the request."
        )
    return rows


def group_split(groups: pl.Series, fractions: Fractions, *, seed: int) -> Rows:
    """Split so that all rows of a group are in one part.

    Args:
        groups: Group of each row; nulls form one group.
        fractions: Share of rows of each part; met as nearly as whole groups allow.
        seed: Decides the order of the groups.

    Raises:
        RequestError: There are too few groups for four parts.
    """
    # Codes by value, not by first appearance: the split follows the data, not its order.
    codes = groups.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    _, codes = np.unique(codes, return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    return _require_all_parts(_cut(codes, order, fractions), groups.name, "groups")


def time_split(times: pl.Series, fractions: Fractions) -> Rows:
    """Split by time: train is oldest, then validation, calibration, analysis.

    Rows with equal times stay together: cutting a tie in two would show the
    model the very moment it is asked to predict.

    Args:
        times: Time of each row, without nulls.
        fractions: Share of rows of each part.

    Raises:
        RequestError: The column holds no times, some are missing, or too few
            are distinct for four parts.
    """
    if not (times.dtype.is_numeric() or isinstance(times.dtype, pl.Date | pl.Datetime)):
        raise RequestError(
            f"A split by time needs dates, times or numbers, but {times.name!r} holds "
            f"{times.dtype} such as {times.drop_nulls().head(1).to_list()}. "
            "Write dates year first, like 2026-01-31."
        )
    if n_nulls := times.null_count():
        raise RequestError(
            f"A split by time needs the time of every row, but {times.name!r} is empty in "
            f"{n_nulls:,} of {len(times):,} rows. Fill them, or remove data.time."
        )
    codes = times.rank("dense").to_numpy().astype(np.int64) - 1
    order = np.arange(int(codes.max()) + 1)
    return _require_all_parts(_cut(codes, order, fractions), times.name, "distinct times")


def rows_sha256(rows: np.ndarray) -> str:
    """Return the digest of row numbers as little-endian int64: independent of the file format."""
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()
