"""Rows that equal an earlier row, found by a digest per row.

A digest is 64 bits, mixed from the values of a row. The mixing is our own
(multiply and fold, with the constants of SplitMix64 [1]) because polars does
not promise its hash: equal rows have equal digests in every run, on every
machine and with every version of polars. Different rows have the same digest
with probability 2**-64 a pair, which is one chance in 3,600 that a single pair
of a hundred million rows is taken for equal.

Values are compared as what they mean: 1 equals 1.0, 0.0 equals -0.0, NaN equals a
missing value, and text of any encoding equals the same text.

[1] Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.rows.text_digests import digest_texts

_CHUNK_ROWS = 32_768
_COLUMNS_AT_ONCE = 3
_BUCKET_ROWS = 4_194_304
_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_START = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)

Words = np.ndarray[tuple[int], np.dtype[np.uint64]]


def row_digests(frame: pl.LazyFrame, columns: Sequence[str], file: Path) -> Words:
    """Return a digest of each row, in row order, in memory that is mapped from a new file.

    Reads the frame in pieces, a few columns at a time: polars reads far ahead of
    whoever takes the pieces, and what it holds grows with their width. Rows with
    equal values in `columns` have equal digests, in every run and on every machine.

    Args:
        columns: In the order that counts; all of the frame.
        file: Eight bytes per row are written there. It must outlive the result.
    """
    prepared = _prepared(frame.collect_schema(), columns)
    file.write_bytes(b"")
    for first in range(0, len(prepared), _COLUMNS_AT_ONCE):
        batches = frame.select(prepared[first : first + _COLUMNS_AT_ONCE]).collect_batches(
            chunk_size=_CHUNK_ROWS, maintain_order=True, engine="streaming"
        )
        with file.open("r+b") as kept:
            for batch in batches:
                place = kept.tell()
                known = np.fromfile(kept, np.uint64, batch.height) if first else None
                digests = np.full(batch.height, _START) if known is None else known
                kept.seek(place)
                kept.write(_mixed_in(digests, batch).data)
    if not file.stat().st_size:  # an empty file cannot be mapped
        return np.empty(0, np.uint64)
    return np.memmap(file, np.uint64, mode="r")


def later_copies(digests: Words) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the sorted numbers of the rows whose digest an earlier row has.

    Memory is bounded by the number of copies: digests are sorted in buckets.
    """
    found = []
    for rows, values in _buckets(digests):
        values_sorted = np.sort(values)
        repeated = np.unique(values_sorted[1:][values_sorted[1:] == values_sorted[:-1]])
        if not repeated.size:
            continue
        place = np.searchsorted(repeated, values).clip(max=repeated.size - 1)
        candidates = np.flatnonzero(repeated[place] == values)
        order = candidates[np.argsort(values[candidates], kind="stable")]
        again = values[order][1:] == values[order][:-1]
        found.append(rows[order[1:][again]])
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def count_duplicates(frame: pl.LazyFrame, columns: Sequence[str], *, scratch: Path) -> int:
    """Return how many rows equal an earlier row in `columns`.

    Args:
        scratch: Folder for eight bytes per row, removed at the end.
    """
    descriptor, name = tempfile.mkstemp(prefix="digests-", dir=scratch)
    os.close(descriptor)
    file = Path(name)
    try:
        digests = row_digests(frame, columns, file)
        copies = 0
        for _, values in _buckets(digests):
            values.sort()
            copies += int(np.count_nonzero(values[1:] == values[:-1]))
        return copies
    finally:
        file.unlink()


def _buckets(
    digests: Words,
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Words]]:
    """Yield row numbers, rising, and digests of all rows whose digests begin alike."""
    bits = max(0, (digests.size // _BUCKET_ROWS).bit_length())
    if not bits:
        yield np.arange(digests.size), np.array(digests)
        return
    shift = np.uint64(64 - bits)
    for bucket in range(2**bits):
        rows, values = [], []
        for start in range(0, digests.size, _BUCKET_ROWS):
            piece = np.array(digests[start : start + _BUCKET_ROWS])
            _let_go(digests)
            inside = np.flatnonzero(piece >> shift == np.uint64(bucket))
            rows.append(inside + start)
            values.append(piece[inside])
        yield np.concatenate(rows), np.concatenate(values)


def _let_go(digests: Words) -> None:
    """Have the kernel forget the pages that were read, which count as ours until then."""
    if isinstance(digests.base, mmap.mmap):
        digests.base.madvise(mmap.MADV_DONTNEED)


def _prepared(schema: pl.Schema, columns: Sequence[str]) -> list[pl.Expr]:
    """Return the columns as numbers or text, so that equal values are equal words."""
    # Positions, because a column may have any name.
    return [_canonical(pl.col(name), schema[name]).alias(str(n)) for n, name in enumerate(columns)]


def _canonical(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return values.cast(pl.String)
    if dtype == pl.Boolean or dtype.is_integer() or isinstance(dtype, pl.Decimal):
        exact = dtype in (pl.UInt64, pl.Int128, pl.UInt128) or isinstance(dtype, pl.Decimal)
        return values.cast(pl.String if exact else pl.Int64)
    if dtype.is_float():
        return values.cast(pl.Float64)
    if dtype.is_temporal():
        return values.to_physical().cast(pl.Int64)
    if dtype == pl.Binary:
        return values.bin.encode("hex")
    if dtype == pl.Null:
        return values.cast(pl.String)
    return pl.when(values.is_not_null()).then(pl.struct(values).struct.json_encode())


def _mixed_in(digests: Words, batch: pl.DataFrame) -> Words:
    """Mix the values of a batch into the digests of its rows, in place."""
    for values in batch.iter_columns():
        words = _words(values)
        np.bitwise_xor(digests, words, out=digests)
        np.multiply(digests, _FACTOR, out=digests)
        np.right_shift(digests, _HALF, out=words)
        np.bitwise_xor(digests, words, out=digests)
    return digests


def _words(values: pl.Series) -> Words:
    """Return a word per value, of its own memory."""
    missing = None
    if values.null_count():
        missing = values.is_null().to_numpy()
        values = values.fill_null("" if values.dtype == pl.String else 0)
    if values.dtype == pl.String:
        words = digest_texts(values)
    elif values.dtype == pl.Float64:
        numbers = values.to_numpy() + 0.0  # which makes -0.0 to 0.0
        absent = np.isnan(numbers)
        missing = absent if missing is None else missing | absent
        words = numbers.view(np.uint64)
    else:
        words = values.to_numpy().astype(np.uint64, casting="unsafe")
    if missing is not None and missing.any():
        words[missing] = _MISSING
    return words
