"""Rows from delimited text: .csv with `,` `;` tab or `|`, and .tsv."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.errors import SnapshotError
from resources.formats._base import FileContent, Format
from resources.formats._delimited import check_row_lengths, detect_separator, read_rows
from resources.formats._files import check_column_names, foreign_format, read_head
from resources.formats._passes import read_through

if TYPE_CHECKING:
    import polars as pl

_N_CELLS_TO_INFER = 2_000_000
_MIN_ROWS_TO_INFER = 10_000


class CsvFormat(Format):
    """Delimited UTF-8 text with a header.

    Types are those of the first two million cells (10,000 rows at least); a later
    value of another type is an error when the rows are read, never a null. Numbers
    with leading zeros, anywhere in the file, are codes: their column stays text.
    """

    name = "csv"
    suffixes = (".csv", ".tsv")
    media_types = ("text/csv", "application/csv", "text/tab-separated-values")

    def inspect(self, location: Path, *, text_columns: Collection[str] = ()) -> FileContent:
        """Check all bytes in one pass, then find the types; see the base class."""
        import polars as pl

        head = read_head(location)
        _check_is_text(head, location)
        separator = "\t" if location.suffix.lower() == ".tsv" else _separator(head)
        header = _read_header(location, separator)
        check_column_names(header, location.name)
        facts = read_through(location, separator=separator, n_columns=len(header))
        check_row_lengths(location, separator, len(header), facts)
        inferred = _infer_types(location, separator, len(header))
        # Polars leaves doubled quotes in names as they are.
        own_names = tuple(inferred)
        types = dict(zip(header, inferred.values(), strict=True))
        # As numbers, 01 and 1 would be the same.
        codes = {
            name
            for (name, dtype), is_coded in zip(types.items(), facts.coded, strict=True)
            if is_coded and dtype.is_numeric()
        }
        types |= {name: pl.String() for name in types if name in codes or name in text_columns}

        def scan(wanted: "Mapping[str, pl.DataType]") -> "pl.LazyFrame":
            schema = {own: wanted[name] for own, name in zip(own_names, header, strict=True)}
            frame = pl.scan_csv(
                location, separator=separator, schema=schema, try_parse_dates=True, glob=False
            )
            return frame.rename(dict(zip(own_names, header, strict=True)))

        return FileContent(
            types=types,
            has_open_types=True,
            codes=frozenset(codes),
            sha256=lambda: facts.sha256,
            scan=scan,
        )


FORMAT = CsvFormat()


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
    maybe_empty = [name for name, dtype in types.items() if dtype == pl.String]
    if not dated and not maybe_empty:
        return dict(types)
    texts = pl.scan_csv(
        location, separator=separator, infer_schema=False, n_rows=n_rows, glob=False
    ).select(
        pl.col(dated).str.contains(r"^\d{4}-\d{2}-\d{2}|^\d{1,2}:").all(),
        pl.col(maybe_empty).is_null().all(),
    )
    holds = texts.collect(engine="streaming").row(0, named=True)
    for name in dated:
        types[name] = types[name] if holds[name] else pl.String()
    for name in maybe_empty:
        types[name] = pl.Null() if holds[name] else pl.String()
    return dict(types)
