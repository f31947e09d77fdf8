"""Which rows of a table stay when copies are dropped and a sample is drawn.

A row is a bit, so that a hundred million rows take 12 MB.
"""

import numpy as np
import polars as pl

from automl_assets.core.rows.sample import chosen_places

_PIECE = 1 << 20

Bits = np.ndarray[tuple[int], np.dtype[np.uint8]]
Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


class KeptRows:
    """The rows of a table that are kept; all at first.

    Attributes:
        n_rows: How many are kept.
    """

    def __init__(self, n_rows: int) -> None:
        self._size = self.n_rows = n_rows
        self._bits: Bits = np.full(-(-n_rows // 8), 255, np.uint8)

    def drop(self, rows: Rows) -> None:
        """Drop rows, each named once by its number from 0."""
        np.bitwise_and.at(self._bits, rows >> 3, ~(np.uint8(128) >> (rows & 7).astype(np.uint8)))
        self.n_rows -= rows.size

    def sample(self, size: int, *, seed: int) -> None:
        """Keep `size` of the rows that are kept: a random one of each of so many equal stretches.

        Nothing but the place of a row among them and the seed decides, so the
        same rows are kept on every machine. All stay if there are no more.
        """
        if size >= self.n_rows:
            return
        n_before = first = 0
        for start in range(0, self._size, _PIECE):
            mask = self._mask(start, min(start + _PIECE, self._size))
            kept = np.flatnonzero(mask)
            # Stretches whose chosen place lies among the kept rows of this piece.
            last = min(size, -(-(n_before + kept.size) * size // self.n_rows))
            places = chosen_places(self.n_rows, size, range(first, last), seed=seed)
            places = places[(places >= n_before) & (places < n_before + kept.size)]
            mask[:] = False
            mask[kept[places - n_before]] = True
            self._bits[start >> 3 : (start + mask.size + 7) >> 3] = np.packbits(mask)
            n_before += kept.size
            # The stretch that this piece ends in may have its chosen place in the next one.
            first = max(first, last - 1)
        self.n_rows = size

    def filter(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows of the table that are kept, in order; streams."""
        number = max(frame.collect_schema().names(), key=len) + "_"
        kept = pl.col(number).map_batches(self._holds, return_dtype=pl.Boolean, is_elementwise=True)
        return frame.with_row_index(number).filter(kept).drop(number)

    def _holds(self, rows: pl.Series) -> pl.Series:
        numbers = rows.to_numpy()
        bits = self._bits[numbers >> 3] >> (7 - (numbers & 7)).astype(np.uint8)
        return pl.Series((bits & 1).astype(bool))

    def _mask(self, start: int, end: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        bits = np.unpackbits(self._bits[start >> 3 : (end + 7) >> 3], count=end - start)
        return bits.astype(bool)
