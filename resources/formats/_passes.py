"""One pass over the bytes of delimited text: what the CSV reader leaves unchecked, and the digest.

Characters become bit masks, 64 to a word, as simdjson does (Langdale and
Lemire, "Parsing Gigabytes of JSON per Second", 2019): what follows a separator
is a shift, what lies between quotes a running xor, and counting is cheap.
"""

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_assets.core.errors import SnapshotError

Bits = NDArray[np.uint64]

BLOCK_BYTES = 1 << 18
"""Masks of a block fit into the second-level cache; twice as much is slower."""

_ONE, _TOP = np.uint64(1), np.uint64(63)
_QUOTE, _NEWLINE, _RETURN, _ZERO, _PLUS, _MINUS = b'"\n\r0+-'


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What one pass found.

    Attributes:
        sha256: Digest of the bytes.
        n_separators: Those outside of quotes.
        n_lines: Lines outside of quotes that are not blank; the header is one.
        n_bare_returns: CR outside of quotes that no LF follows.
        has_open_quote: Whether the file ends within quotes.
        coded: By column, whether a row has a number with leading zeros in it.
    """

    sha256: str
    n_separators: int
    n_lines: int
    n_bare_returns: int
    has_open_quote: bool
    coded: tuple[bool, ...]


def read_through(location: Path, *, separator: str, n_columns: int) -> TextFacts:
    """Read a file to its end and tell what its text holds.

    Args:
        n_columns: Columns of the header.

    Raises:
        SnapshotError: It is no UTF-8 text.
    """
    digest = hashlib.sha256()
    encoding, cells = _Encoding(location), _Cells(separator, n_columns)
    with location.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            encoding.check(block)
            cells.count(block)
    encoding.finish()
    return cells.facts(digest.hexdigest())


class _Encoding:
    """Checks block by block that text is UTF-8 without NUL."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._offset = 0
        self._has_pending = False

    def check(self, block: bytes) -> None:
        if b"\x00" in block:
            self._refuse_nul(block.index(b"\x00"))
        if self._has_pending or not block.isascii():
            n_pending = len(self._decoder.getstate()[0])
            try:
                self._decoder.decode(block)
            except UnicodeDecodeError as error:
                self._refuse(error, error.start - n_pending)
            self._has_pending = bool(self._decoder.getstate()[0])
        self._offset += len(block)

    def finish(self) -> None:
        if self._has_pending:
            raise SnapshotError(
                f"Text must be in UTF-8. {self._location.name!r} stops in the middle of a "
                f"character, after {self._offset:,} bytes. Copy the file again."
            )

    def _refuse(self, error: UnicodeDecodeError, position: int) -> None:
        offset = self._offset + position
        raise SnapshotError(
            "Text must be in UTF-8. "
            f"{self._location.name!r} is not: byte 0x{error.object[error.start]:02x} at offset "
            f"{offset:,} (line {self._line(offset):,}). It is probably in latin-1 (windows-1252). "
            "Convert it to UTF-8: iconv -f windows-1252 -t utf-8."
        ) from error

    def _refuse_nul(self, position: int) -> None:
        offset = self._offset + position
        raise SnapshotError(
            f"Text holds no NUL bytes. {self._location.name!r} has one at offset {offset:,} "
            f"(line {self._line(offset):,}). Write the file again."
        )

    def _line(self, offset: int) -> int:
        """Return the line of a byte; read again, because only errors ask for it."""
        line = 1
        with self._location.open("rb") as file:
            while offset > 0 and (block := file.read(min(offset, BLOCK_BYTES))):
                line += block.count(b"\n")
                offset -= len(block)
        return line


class _Cells:
    """Counts cells and lines block by block, and finds numbers with leading zeros."""

    def __init__(self, separator: str, n_columns: int) -> None:
        self._separator = ord(separator)
        self._n_columns = n_columns
        self._coded = np.zeros(n_columns, bool)
        self._n_separators = self._n_newlines = self._n_blank = 0
        self._n_returns = self._n_returns_before_newline = 0
        self._is_quoted = False
        self._last = b"\n"
        self._buffer = np.empty(BLOCK_BYTES, np.uint8)
        # The bit that each mask's last character hands to the next block. Before the first
        # character a cell and a line begin.
        self._carry = {"cell": _ONE, "line": _ONE}

    def count(self, block: bytes) -> None:
        self._last = block[-1:]
        has_quotes, has_returns = b'"' in block, b"\r" in block
        # The masks have whole words; a zero byte is none of the characters looked for.
        padded = block + b"\x00" * (-len(block) % 64)
        where = _Characters(padded, self._buffer)
        separators, newlines = where.equal(self._separator), where.equal(_NEWLINE)
        quotes = inside = None
        if has_quotes or self._is_quoted or self._carry.get("quote"):
            quotes = where.equal(_QUOTE)
            inside = _running_xor(quotes, self._is_quoted)
            # Padding repeats the last state, so the last bit is that of the last character.
            self._is_quoted = bool(inside[-1] >> _TOP)
            separators, newlines = separators & ~inside, newlines & ~inside
        blank = self._blank_lines(newlines, where, inside, has_returns)
        ends = (separators | newlines) & ~blank
        n_before = self._n_separators + self._n_newlines - self._n_blank
        self._n_separators += _n_ones(separators)
        self._n_newlines += _n_ones(newlines)
        self._n_blank += _n_ones(blank)
        zeros = self._leading_zeros(where, separators | newlines, quotes)
        if zeros.any():
            self._note_columns(zeros, ends, n_before)

    def facts(self, sha256: str) -> TextFacts:
        # What follows the last line end, or a quote that nobody closed, is a line as well.
        n_lines = self._n_newlines - self._n_blank + (self._is_quoted or self._last != b"\n")
        return TextFacts(
            sha256=sha256,
            n_separators=self._n_separators,
            n_lines=n_lines,
            n_bare_returns=self._n_returns - self._n_returns_before_newline,
            has_open_quote=self._is_quoted,
            coded=tuple(self._coded.tolist()),
        )

    def _blank_lines(
        self, newlines: Bits, where: "_Characters", inside: Bits | None, has_returns: bool
    ) -> Bits:
        """Return the line ends that end nothing."""
        starts = self._next("line", newlines)
        if has_returns or self._carry.get("return") or self._carry.get("blank return"):
            returns = where.equal(_RETURN)
            if inside is not None:
                returns &= ~inside
            starts = starts | self._next("blank return", starts & returns)
            self._n_returns += _n_ones(returns)
            self._n_returns_before_newline += _n_ones(self._next("return", returns) & newlines)
        return newlines & starts

    def _leading_zeros(self, where: "_Characters", ends: Bits, quotes: Bits | None) -> Bits:
        """Return the digits that follow a zero, or sign and zero, at the start of a cell."""
        starts = self._next("cell", ends)
        if quotes is not None:
            starts = (starts & ~quotes) | self._next("quote", starts & quotes)
        starts = starts | self._next("sign", starts & where.signs())
        zeros = self._next("zero", starts & where.equal(_ZERO))
        return zeros & where.digits() if zeros.any() else zeros

    def _note_columns(self, found: Bits, ends: Bits, n_before: int) -> None:
        """Note in which columns cells were found: the ends before a cell are its number."""
        words = np.flatnonzero(found)
        bits = np.unpackbits(found[words].view(np.uint8), bitorder="little").reshape(-1, 64)
        word, bit = np.nonzero(bits)
        word = words[word]
        per_word = np.bitwise_count(ends).astype(np.int64)
        before_word = np.cumsum(per_word) - per_word
        below = (_ONE << bit.astype(np.uint64)) - _ONE
        cells = n_before + before_word[word] + np.bitwise_count(ends[word] & below)
        # The header's names are no values.
        self._coded[cells[cells >= self._n_columns] % self._n_columns] = True

    def _next(self, name: str, bits: Bits) -> Bits:
        """Return the mask of the characters that follow those of a mask."""
        moved = bits << _ONE
        moved[1:] |= bits[:-1] >> _TOP
        moved[0] |= self._carry.get(name, np.uint64(0))
        self._carry[name] = bits[-1] >> _TOP
        return moved


class _Characters:
    """Says where in a block some characters are; arrays of a block's size are made once."""

    def __init__(self, block: bytes, buffer: NDArray[np.uint8]) -> None:
        self._block = block
        self._codes = np.frombuffer(block, np.uint8)
        self._numbers = buffer[: len(block)]
        self._mask = self._numbers.view(np.bool_)

    def equal(self, code: int) -> Bits:
        return _packed(np.equal(self._codes, code, out=self._mask))

    def signs(self) -> Bits:
        minus = self.equal(_MINUS)
        return minus | self.equal(_PLUS) if b"+" in self._block else minus

    def digits(self) -> Bits:
        # Codes below that of 0 wrap around to large ones.
        np.subtract(self._codes, np.uint8(_ZERO), out=self._numbers)
        return _packed(np.less(self._numbers, 10, out=self._mask))


def _packed(mask: NDArray[np.bool_]) -> Bits:
    return np.packbits(mask, bitorder="little").view(np.uint64)


def _n_ones(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum())


def _running_xor(bits: Bits, first: bool) -> Bits:
    """Return a mask of the characters with an odd number of marked ones up to them."""
    odd = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(shift)
    ends_odd = (odd >> _TOP).astype(bool)
    before = np.logical_xor.accumulate(np.concatenate(([first], ends_odd[:-1])))
    odd[before] = ~odd[before]
    return odd
