"""Rows and groups that lie in more than one part, counted by their digests."""

from collections.abc import Iterator

import numpy as np

BUCKET_ROWS = 4_000_000
"""Digests that are sorted at once: 32 MB."""

_PART_BITS = np.uint64(3)


def copies_of_train(digests: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Count the rows of each part that equal a row of the first part.

    Args:
        digests: Digest of each row (uint64), may be memory-mapped.
        parts: Position of each row's part in `PARTS`, int8; -1 for rows of none.

    Returns:
        Count by part, `(4,)`; 0 for the first part itself.

    Examples:
        >>> digests = np.array([8, 16, 8, 8, 32], np.uint64)
        >>> copies_of_train(digests, np.array([0, 0, 1, 3, 3], np.int8)).tolist()
        [0, 1, 0, 1]
    """
    counts = np.zeros(4, np.int64)
    for keys, starts in _buckets(digests, parts):
        of_part = (keys & _PART_BITS).astype(np.int8)
        sizes = np.diff(np.append(starts, len(keys)))
        # Within equal digests the first part comes first.
        in_train = np.repeat(of_part[starts] == 0, sizes)
        counts += np.bincount(of_part[in_train], minlength=4)
    counts[0] = 0
    return counts


def n_straddling(digests: np.ndarray, parts: np.ndarray) -> int:
    """Count the different values that lie in more than one part.

    Examples:
        >>> digests = np.array([8, 16, 8, 16], np.uint64)
        >>> n_straddling(digests, np.array([0, 1, 0, 2], np.int8))
        1
    """
    count = 0
    for keys, starts in _buckets(digests, parts):
        of_part = keys & _PART_BITS
        ends = np.append(starts[1:], len(keys)) - 1
        count += int((of_part[starts] != of_part[ends]).sum())
    return count


def _buckets(digests: np.ndarray, parts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield sorted digests, their lowest two bits replaced by the part, and where each begins.

    Each digest is in one bucket only. Of 64 bits 62 are left: in 100 million rows, one pair
    of different rows in about 1,000 tables would pass for equal.
    """
    n_bits = max(0, (len(digests) - 1).bit_length() - (BUCKET_ROWS - 1).bit_length())
    for bucket in range(2**n_bits):
        pieces = []
        for start in range(0, len(digests), BUCKET_ROWS):
            piece, part = digests[start : start + BUCKET_ROWS], parts[start : start + BUCKET_ROWS]
            chosen = part >= 0
            if n_bits:
                chosen &= piece >> np.uint64(64 - n_bits) == bucket
            pieces.append((piece[chosen] & ~_PART_BITS) | part[chosen].astype(np.uint64))
        keys = np.concatenate(pieces)
        keys.sort()
        if len(keys):
            values = keys >> np.uint64(2)
            yield keys, np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
