"""Checks of delimited text that the CSV reader leaves out: it pads short rows with nulls."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from automl_assets.core.errors import SnapshotError

SEPARATORS = ",;\t|"
_BLOCK_BYTES = 1 << 22
_QUOTE, _NEWLINE = ord('"'), ord("\n")


def detect_separator(sample: str) -> str:
    r"""Return the separator that cuts most rows into as many cells as the header.

    Args:
        sample: The first lines of a file.

    Examples:
        >>> detect_separator("a;b\n1,5;2,5\n")
        ';'
        >>> detect_separator("a\n1\n")
        ','
    """
    best, best_score = ",", (0.0, 1)
    for separator in SEPARATORS:
        rows = csv.reader(io.StringIO(sample), delimiter=separator)
        sizes = [len(row) for row in rows if row][:100]
        if not sizes or sizes[0] == 1:
            continue
        score = (sizes.count(sizes[0]) / len(sizes), sizes[0])
        if score > best_score:
            best, best_score = separator, score
    return best


def check_encoding(location: Path) -> None:
    """Raise SnapshotError unless the whole file is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    for block in _blocks(location):
        n_pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            position = error.start - n_pending
            line += block.count(b"\n", 0, max(position, 0))
            raise SnapshotError(
                "Text must be in UTF-8. "
                f"{location.name!r} is not: byte 0x{error.object[error.start]:02x} at offset "
                f"{offset + position:,} (line {line:,}). It is probably in latin-1 (windows-1252). "
                "Convert it to UTF-8: iconv -f windows-1252 -t utf-8."
            ) from error
        offset += len(block)
        line += block.count(b"\n")
    if decoder.getstate()[0]:
        raise SnapshotError(
            f"Text must be in UTF-8. {location.name!r} stops in the middle of a character, "
            f"after {offset:,} bytes. Copy the file again."
        )


def read_rows(location: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its last line; blank lines are empty rows.

    Raises:
        SnapshotError: The quotes of a row are not closed, or close too early.
    """
    with location.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise SnapshotError(
                "A value with quotes, separators or line breaks stands between quotes, and quotes "
                f"in it are doubled. {location.name!r} breaks this at line {reader.line_num:,}: "
                f"{error}. Correct the line, or write the table as Parquet."
            ) from error


def check_row_lengths(location: Path, separator: str, n_columns: int) -> None:
    """Raise SnapshotError unless each row has as many cells as the header.

    The quick way counts separators and line ends outside quotes; rows are looked
    at one by one only if the numbers do not fit.
    """
    n_separators, n_lines = _count_outside_quotes(location, separator)
    if n_separators == n_lines * (n_columns - 1):
        return
    n_blank = 0
    for line, row in read_rows(location, separator):
        if row and len(row) != n_columns:
            raise SnapshotError(
                f"Each row has as many cells as the header. {location.name!r} has "
                f"{len(row)} in line {line:,} and {n_columns} in the header. Correct the line, or "
                "put values that hold the separator between quotes."
            )
        n_blank += not row
    if n_separators != (n_lines - n_blank) * (n_columns - 1):
        raise SnapshotError(
            "A value that holds quotes stands between quotes, and quotes in it are doubled. "
            f"{location.name!r} has single quotes inside values. "
            'Write "5"" pipe" for 5" pipe, or write the table as Parquet.'
        )


def _count_outside_quotes(location: Path, separator: str) -> tuple[int, int]:
    """Return the numbers of separators and of lines."""
    n_separators = n_newlines = 0
    is_quoted, last = False, b""
    for block in _blocks(location):
        last = block[-1:]
        if not is_quoted and b'"' not in block:
            n_separators += block.count(separator.encode())
            n_newlines += block.count(b"\n")
            continue
        codes = np.frombuffer(block, np.uint8)
        quoted = np.bitwise_xor.accumulate(codes == _QUOTE) ^ is_quoted
        n_separators += np.count_nonzero((codes == ord(separator)) & ~quoted)
        n_newlines += np.count_nonzero((codes == _NEWLINE) & ~quoted)
        is_quoted = bool(quoted[-1])
    # What follows the last line end, or a quote that nobody closed, is a line as well.
    return int(n_separators), int(n_newlines) + (is_quoted or last != b"\n")


def _blocks(location: Path) -> Iterator[bytes]:
    with location.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
