"""Checks of delimited text that the CSV reader leaves out: it pads short rows with nulls."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from resources.formats._passes import TextFacts

SEPARATORS = ",;\t|"
_N_ROWS_TO_COMPARE = 100
_MAX_CELL_CHARACTERS = 16 * 2**20


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
        sizes = _row_lengths(sample, separator)
        if not sizes or sizes[0] == 1:
            continue
        score = (sizes.count(sizes[0]) / len(sizes), sizes[0])
        if score > best_score:
            best, best_score = separator, score
    return best


def _row_lengths(sample: str, separator: str) -> list[int]:
    """Return the lengths of the first rows, up to one that cannot be read."""
    sizes = []
    rows = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    with suppress(csv.Error):
        for row in rows:
            if row:
                sizes.append(len(row))
            if len(sizes) == _N_ROWS_TO_COMPARE:
                break
    return sizes


def read_rows(location: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its last line; blank lines are empty rows.

    Bytes that are no UTF-8 are read as something: `read_through` tells where they are.

    Raises:
        SnapshotError: The quotes of a row are not closed, or close too early.
    """
    csv.field_size_limit(_MAX_CELL_CHARACTERS)  # of the process; 131,072 is too little for texts
    with location.open(encoding="utf-8-sig", errors="replace", newline="") as file:
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


def check_row_lengths(location: Path, separator: str, n_columns: int, facts: TextFacts) -> None:
    """Raise SnapshotError unless each row has as many cells as the header.

    Rows are looked at one by one only if the numbers of separators and lines do not fit.
    """
    if facts.n_bare_returns:
        raise SnapshotError(
            f"Lines end with LF or CR LF. {location.name!r} has {facts.n_bare_returns:,} CR "
            "without LF. Convert the line ends, or put values that hold them between quotes."
        )
    fits = facts.n_separators == facts.n_lines * (n_columns - 1)
    if fits and not facts.has_open_quote:
        return
    for line, row in read_rows(location, separator):
        if row and len(row) != n_columns:
            raise SnapshotError(
                f"Each row has as many cells as the header. {location.name!r} has "
                f"{len(row)} in line {line:,} and {n_columns} in the header. Correct the line, or "
                "put values that hold the separator between quotes."
            )
    raise SnapshotError(
        "A value that holds quotes stands between quotes, and quotes in it are doubled. "
        f"{location.name!r} has single quotes inside values. "
        'Write "5"" pipe" for 5" pipe, or write the table as Parquet.'
    )
