"""Train, validation, calibration and analysis: four disjoint parts that cover the table.

Every function returns the part of each row as one small number, so that a table
of 100 million rows costs 100 MB, and walks its rows in blocks of its own: how a
file was read decides nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.values import PARTS, Part

Fractions = Mapping[Part, float]

BLOCK_ROWS = 1 << 20
"""Rows that are worked on at once. Changing it changes what a seed draws."""

NO_FOLD = -1
"""Fold of the rows outside train."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Where each row of a table went.

    Attributes:
        part: Position in `PARTS`, int8 `(n_rows,)`.
        fold: Fold inside train from 0, `NO_FOLD` elsewhere, int8 `(n_rows,)`.
        n_folds: Number of folds; 0 where train could not be folded.
    """

    part: np.ndarray
    fold: np.ndarray
    n_folds: int

    def blocks(self, part: Part) -> Iterator[np.ndarray]:
        """Yield the sorted row numbers (int64) of a part, some at a time."""
        number = PARTS.index(part)
        for start in range(0, len(self.part), BLOCK_ROWS):
            yield np.flatnonzero(self.part[start : start + BLOCK_ROWS] == number) + start

    def rows(self, part: Part) -> np.ndarray:
        """Return the sorted row numbers (int64) of a part."""
        return np.concatenate([np.empty(0, np.int64), *self.blocks(part)])

    def n_rows(self, part: Part) -> int:
        """Return how many rows a part has."""
        return int(np.count_nonzero(self.part == PARTS.index(part)))

    def sha256(self, part: Part) -> str:
        """Return `rows_sha256` of a part's rows, without holding them."""
        digest = hashlib.sha256()
        for block in self.blocks(part):
            digest.update(np.ascontiguousarray(block, dtype="<i8").data)
        return digest.hexdigest()

    def folds_sha256(self) -> str:
        """Return the digest of every row's fold."""
        return hashlib.sha256(np.ascontiguousarray(self.fold).data).hexdigest()


def rows_sha256(rows: np.ndarray) -> str:
    """Return the digest of row numbers as little-endian int64: independent of the file format."""
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").data).hexdigest()


def marked_rows(table: pl.LazyFrame, is_marked: np.ndarray) -> pl.LazyFrame:
    """Return the rows of a table that are marked, streaming and in their order.

    Args:
        is_marked: A boolean for each row.
    """
    names = table.collect_schema().names()
    mark = "is_marked"
    while mark in names:
        mark = f"_{mark}"
    marks = pl.LazyFrame({mark: is_marked})
    return pl.concat([table, marks], how="horizontal").filter(pl.col(mark)).select(names)


def deal(strata: np.ndarray, counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Deal labels to rows at random, an exact number of each to each stratum.

    The labels of a block are drawn from those that are left (multivariate
    hypergeometric), so each arrangement of the whole is equally likely, and no
    permutation of all rows is ever in memory.

    Args:
        strata: Small code of each row from 0, shape `(n_rows,)`.
        counts: Rows of each stratum that get each label, `(n_strata, n_labels)`.
        generator: Decides who gets what.

    Returns:
        Label of each row, int8.
    """
    left = counts.copy()
    labels = np.arange(counts.shape[1], dtype=np.int8)
    dealt = np.empty(len(strata), np.int8)
    for start in range(0, len(strata), BLOCK_ROWS):
        block = strata[start : start + BLOCK_ROWS]
        sizes = np.bincount(block, minlength=len(counts))
        pieces = []
        for stratum in np.flatnonzero(sizes):
            drawn = generator.multivariate_hypergeometric(
                left[stratum], sizes[stratum], method="marginals"
            )
            left[stratum] -= drawn
            pieces.append(generator.permutation(np.repeat(labels, drawn)))
        by_stratum = np.argsort(block, kind="stable")
        dealt[start : start + BLOCK_ROWS][by_stratum] = np.concatenate(pieces)
    return dealt


def _allocate(n: int, fractions: Fractions) -> list[int]:
    """Share `n` rows by largest remainder, in the order of `PARTS`; each within one row."""
    exact = np.array([fractions[part] for part in PARTS]) * n
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: n - int(counts.sum())]] += 1
    return counts.tolist()


def random_split(n_rows: int, fractions: Fractions, *, seed: int) -> np.ndarray:
    """Split rows at random; each part holds its share within one row.

    Args:
        fractions: Share of each part; they sum to 1.
        seed: Decides who goes where.

    Returns:
        Part of each row, int8.
    """
    return stratified_split(np.zeros(n_rows, np.int8), fractions, seed=seed)


def stratified_split(strata: np.ndarray, fractions: Fractions, *, seed: int) -> np.ndarray:
    """Split at random so that each part holds its share of each stratum, within one row.

    Args:
        strata: Small code of each row from 0, shape `(n_rows,)`.
        fractions: Share of each part; they sum to 1.
        seed: Decides who goes where.

    Returns:
        Part of each row, int8.

    Examples:
        >>> f = {"train": 0.4, "validation": 0.2, "calibration": 0.2, "analysis": 0.2}
        >>> part = stratified_split(np.repeat([0, 1], 5), f, seed=0)
        >>> np.bincount(part).tolist()
        [4, 2, 2, 2]
    """
    counts = np.array([_allocate(int(n), fractions) for n in count_codes(strata)])
    return deal(strata, counts, np.random.default_rng(seed))


def count_codes(codes: np.ndarray) -> np.ndarray:
    """Count small codes in blocks: numpy alone would make 8 bytes of each."""
    if len(codes) == 0:
        return np.zeros(1, np.int64)
    n_codes = int(codes.max()) + 1
    counts = np.zeros(n_codes, np.int64)
    for start in range(0, len(codes), BLOCK_ROWS):
        counts += np.bincount(codes[start : start + BLOCK_ROWS], minlength=n_codes)
    return counts


def require_all_parts(part: np.ndarray, column: str, what: str) -> np.ndarray:
    """Return `part` if every part has rows.

    Raises:
        RequestError: A part is empty.
    """
    counts = np.zeros(len(PARTS), np.int64)
    found = count_codes(part)
    counts[: len(found)] = found
    if not counts.all():
        empty = [name for name, n in zip(PARTS, counts, strict=True) if n == 0]
        raise RequestError(
            f"Each of the four parts needs rows, but column {column!r} has too few {what} for "
            f"{', '.join(empty)}. Name a column with more {what}, or remove it from the request."
        )
    return part


def bounds_of(fractions: Fractions) -> np.ndarray:
    """Return the shares at which one part ends and the next begins."""
    return np.cumsum([fractions[part] for part in PARTS])[:-1]
