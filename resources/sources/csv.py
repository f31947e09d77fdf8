"""Rows from delimited text: .csv with `,` `;` tab or `|`, and .tsv."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.errors import SnapshotError
from resources.sources._delimited import (
    check_encoding,
    check_row_lengths,
    detect_separator,
    read_rows,
)
from resources.sources._files import FileSource, check_column_names, foreign_format, read_head

if TYPE_CHECKING:
    import polars as pl

_N_CELLS_TO_INFER = 2_000_000
_MIN_ROWS_TO_INFER = 10_000


class CsvSource(FileSource):
    """Delimited UTF-8 text with a header.

    Types are those of the first two million cells (10,000 rows at least); a later
    value of another type is an error when the rows are read, never a null. Numbers
    with leading zeros, anywhere in the file, are codes: their column stays text.
    """

    name = "csv"
    suffixes = (".csv", ".tsv")

    def scan(self, location: Path, *, text_columns: Collection[str] = ()) -> "pl.LazyFrame":
        """Open the rows lazily, with the names and types found; see the port."""
        import polars as pl

        head = read_head(location)
        _check_is_text(head, location)
        check_encoding(location)
        separator = "\t" if location.suffix.lower() == ".tsv" else _separator(head)
        header = _read_header(location, separator)
        check_column_names(header, location)
        check_row_lengths(location, separator, len(header))
        types = _infer_types(location, separator, len(header))
        # Polars leaves doubled quotes in names as they are.
        names = dict(zip(types, header, strict=True))
        types |= {own: pl.String() for own, name in names.items() if name in text_columns}
        coded = _with_leading_zeros(location, separator, types)
        types |= dict.fromkeys(coded, pl.String())
        frame = pl.scan_csv(
            location, separator=separator, schema=types, try_parse_dates=True, glob=False
        )
        return frame.rename(names)


SOURCE = CsvSource()


def _check_is_text(head: bytes, location: Path) -> None:
    if foreign := foreign_format(head):
        what, cure = foreign
        raise SnapshotError(f"A CSV file holds text. {location.name!r} is {what}, not CSV. {cure}")
    if b"\r" in head and b"\n" not in head:
        raise SnapshotError(
            f"Lines end with LF or CR LF. {location.name!r} has only CR, as on old Macs. "
            "Convert the line ends."
        )


def _separator(head: bytes) -> str:
    # The last line may be cut; it counts only if it is the only one.
    complete = head.rpartition(b"\n")[0] or head
    return detect_separator(complete.decode("utf-8-sig", errors="replace"))


def _read_header(location: Path, separator: str) -> list[str]:
    rows = (row for _, row in read_rows(location, separator) if row)
    header = next(rows, [])
    if next(rows, None) is None:
        raise SnapshotError(
            f"The data file must hold rows. {location.name!r} has a header and 0 rows. "
            "Check how it was written or copied."
        )
    return header


def _infer_types(location: Path, separator: str, n_columns: int) -> "dict[str, pl.DataType]":
    """Return the types by column, as polars names the columns."""
    import polars as pl

    n_rows = max(_MIN_ROWS_TO_INFER, _N_CELLS_TO_INFER // n_columns)
    types = pl.scan_csv(
        location,
        separator=separator,
        infer_schema_length=n_rows,
        try_parse_dates=True,
        glob=False,
    ).collect_schema()
    # 01/02/2024 is read as the first of February by some and as the second of January by
    # others: only dates that start with the year are dates, the rest stays text.
    dated = [name for name, dtype in types.items() if dtype.is_temporal()]
    if not dated:
        return dict(types)
    texts = pl.scan_csv(
        location, separator=separator, infer_schema=False, n_rows=n_rows, glob=False
    ).select(pl.col(dated).str.contains(r"^\d{4}-\d{2}-\d{2}|^\d{1,2}:").all())
    is_iso = texts.collect(engine="streaming").row(0, named=True)
    return {name: dtype if is_iso.get(name, True) else pl.String() for name, dtype in types.items()}


def _with_leading_zeros(
    location: Path, separator: str, types: "dict[str, pl.DataType]"
) -> list[str]:
    """Return the number columns that hold codes: as numbers, 01 and 1 would be the same.

    The whole file is read: a code after the rows that types are inferred from would
    lose its zeros without an error.
    """
    import polars as pl
    import polars.selectors as cs

    numbers = [name for name, dtype in types.items() if dtype.is_numeric()]
    if not numbers:
        return []
    found = (
        pl.scan_csv(location, separator=separator, infer_schema=False, glob=False)
        .select(cs.by_name(numbers).str.contains(r"^[+-]?0[0-9]").any())
        .collect(engine="streaming")
    )
    return [name for name, has_zeros in found.row(0, named=True).items() if has_zeros]
