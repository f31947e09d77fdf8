"""Digests of texts, many at a time."""

import numpy as np
import polars as pl

_FACTOR = np.uint64(0x94D049BB133111EB)
_START = np.uint64(0x2545F4914F6CDD1D)
_HALF = np.uint64(32)
_WORD_BYTES = 8
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(_WORD_BYTES + 1)], np.uint64)
_BLOCK_ROWS = 8_192
"""Texts at a time: their words then stay in the processor's cache."""

Words = np.ndarray[tuple[int], np.dtype[np.uint64]]


def digest_texts(texts: pl.Series) -> Words:
    """Return 64 bits per text, the same for equal texts in every run and on every machine.

    The UTF-8 bytes are taken as little-endian words of eight, the last one
    filled with zeros; each is folded into the digest, and the length at first.

    Args:
        texts: Strings without nulls.
    """
    offsets, content = _buffers(texts)
    # A word may begin at any byte: numpy reads unaligned memory through a stride of one.
    words = np.lib.stride_tricks.as_strided(
        content[:_WORD_BYTES].view("<u8"), (content.size - _WORD_BYTES + 1,), (1,)
    )
    digests = np.empty(len(texts), np.uint64)
    for start in range(0, digests.size, _BLOCK_ROWS):
        block = offsets[start : start + _BLOCK_ROWS + 1]
        digests[start : start + _BLOCK_ROWS] = _digest_block(words, block)
    return digests


def _digest_block(words: Words, offsets: np.ndarray) -> Words:
    """Return the digests of the texts between offsets into the bytes that words begin at."""
    starts, left = offsets[:-1], np.diff(offsets)
    digests = _fold(np.full(starts.size, _START), left.astype(np.uint64))
    digests = _fold(digests, words[starts] & _MASKS[np.minimum(left, _WORD_BYTES)])
    longer = np.flatnonzero(left > _WORD_BYTES)
    starts, left = starts[longer], left[longer]
    while longer.size:
        starts, left = starts + _WORD_BYTES, left - _WORD_BYTES
        found = words[starts] & _MASKS[np.minimum(left, _WORD_BYTES)]
        digests[longer] = _fold(digests[longer], found)
        more = left > _WORD_BYTES
        longer, starts, left = longer[more], starts[more], left[more]
    return digests


def _fold(digests: Words, words: Words) -> Words:
    folded = (digests ^ words) * _FACTOR
    folded ^= folded >> _HALF
    return folded


def _buffers(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return where each text begins, and all bytes with eight more behind them."""
    import pyarrow as pa

    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    array = array.cast(pa.large_string())
    _, offsets_buffer, content_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset :][: len(array) + 1]
    size = int(offsets[-1]) if len(array) else 0
    content = np.zeros(size + _WORD_BYTES, np.uint8)
    if size:
        content[:size] = np.frombuffer(content_buffer, np.uint8, count=size)
    return offsets, content
