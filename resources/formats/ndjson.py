"""Rows from NDJSON: one flat JSON object a line, in .ndjson and .jsonl."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.errors import SnapshotError
from resources.formats._base import FileContent, Format
from resources.formats._files import check_column_names, foreign_format, read_head
from resources.formats._passes import read_through

if TYPE_CHECKING:
    import polars as pl

_N_ROWS_FOR_DATES = 10_000
_MAX_LINE_BYTES = 16 * 2**20
_BLOCK_BYTES = 2**16
_MAX_KEYS = 10_000
_MAYBE_NESTED = r":\s*[\[{]|^\s*[^\s{]"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"
_MOMENT_UTC = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"


class NdjsonFormat(Format):
    """One flat JSON object a line.

    Names and types are those of the whole file; a key that a line lacks is a null.
    Text is a date or time if the first 10,000 rows write it as ISO 8601; a later
    value of another kind is then an error when the rows are read.
    """

    name = "ndjson"
    suffixes = (".jsonl", ".ndjson")
    media_types = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")

    def inspect(self, location: Path, *, text_columns: Collection[str] = ()) -> FileContent:
        """Check all lines, then find the types; see the base class."""
        import polars as pl

        _check_is_ndjson(read_head(location), location)
        _check_is_no_pattern(location)
        _check_has_lines(location)
        # Of what is counted only the digest matters: JSON has quotes and separators of its own.
        facts = read_through(location, separator=",", n_columns=1)
        with _reading(location):
            _check_keys(location)
            found = _infer_types(location)
            _check_is_flat(location, found)
            frame = pl.scan_ndjson(location, schema=found)
            texts = [name for name in found if name not in text_columns]
            types = found | _dates(frame, texts)
        check_column_names(list(found), location.name)

        def scan(wanted: "Mapping[str, pl.DataType]") -> "pl.LazyFrame":
            as_is = {name: _read_as(dtype) for name, dtype in wanted.items()}
            rows = pl.scan_ndjson(location, schema=as_is)
            return rows.with_columns(
                _parsed(name, dtype) for name, dtype in wanted.items() if dtype.is_temporal()
            )

        types |= {name: pl.String() for name in found if name in text_columns}
        return FileContent(types=types, has_open_types=True, sha256=lambda: facts.sha256, scan=scan)


FORMAT = NdjsonFormat()


def _check_is_ndjson(head: bytes, location: Path) -> None:
    foreign = foreign_format(head)
    start = head.lstrip()
    if start.startswith(b"["):
        what, cure = "a JSON array", "Write one object a line: jq -c '.[]'."
    elif foreign and foreign[0] != "a JSON file":
        what, cure = foreign
    elif head.startswith(b"\xef\xbb\xbf"):
        what, cure = "text with a byte order mark in front", "Write it without."
    elif not start.startswith(b"{"):
        what, cure = "other text", "If it is CSV, rename it to end in .csv."
    else:
        return
    raise SnapshotError(
        f"An NDJSON file holds one JSON object a line. {location.name!r} is {what}. {cure}"
    )


def _check_is_no_pattern(location: Path) -> None:
    # Polars 2.1 takes such a name for a pattern here, and cannot be told otherwise.
    if set(str(location)) & set("*?["):
        raise SnapshotError(
            "The path of an NDJSON file has none of the characters * ? [ in it. "
            f"Found {str(location)!r}. Rename it."
        )


def _check_has_lines(location: Path) -> None:
    """Raise SnapshotError if a line is so long that reading it would fill the memory.

    Looks for the end of the line that each 16 MiB begin in, and so reads little; lines up
    to twice as long may pass.
    """
    size = location.stat().st_size
    with location.open("rb") as file:
        for start in range(0, size - _MAX_LINE_BYTES + 1, _MAX_LINE_BYTES):
            file.seek(start)
            for _ in range(_MAX_LINE_BYTES // _BLOCK_BYTES):
                if b"\n" in file.read(_BLOCK_BYTES):
                    break
            else:
                raise SnapshotError(
                    f"A line of an NDJSON file has at most {_MAX_LINE_BYTES:,} bytes. "
                    f"{location.name!r} has a longer one at byte {start:,}. Write one object a "
                    "line, and leave large values out."
                )


def _check_keys(location: Path) -> None:
    """Raise SnapshotError if the first lines have more keys than a table has columns."""
    import polars as pl

    # As many lines as keys are enough; polars takes quadratic time in them.
    n_keys = len(pl.scan_ndjson(location, infer_schema_length=_MAX_KEYS + 1).collect_schema())
    if n_keys > _MAX_KEYS:
        raise SnapshotError(
            f"A table has at most {_MAX_KEYS:,} columns. {location.name!r} has {n_keys:,} keys or "
            "more. Write what varies as values, not as keys."
        )


@contextmanager
def _reading(location: Path) -> Iterator[None]:
    """Turn what polars says into the line where it happened."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError, ValueError, RecursionError) as error:
        _refuse_line(location)
        raise SnapshotError(
            "An NDJSON file holds one JSON object a line, and the values of a key have one type. "
            f"{location.name!r} does not: {str(error).splitlines()[0]}. Correct the values."
        ) from error


def _infer_types(location: Path) -> "dict[str, pl.DataType]":
    """Return the types of the whole file: the reader drops keys that it does not expect.

    Polars 2.1 returns many columns in an order that differs from run to run.
    """
    import polars as pl

    found = pl.scan_ndjson(location, infer_schema_length=None).collect_schema()
    first = [name for name in json.loads(_first_line(location)) if name in found]
    order = [*first, *sorted(set(found) - set(first))]
    return {name: found[name] for name in order}


def _first_line(location: Path) -> bytes:
    with location.open("rb") as file:
        return next((line for line in file if line.strip()), b"{}")


def _refuse_line(location: Path) -> None:
    """Raise with the first line that is no flat object, if there is one."""
    with location.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                raise SnapshotError(
                    f"An NDJSON file holds one JSON object a line. {location.name!r} breaks this "
                    f"in line {number:,}: {error}. Correct the line."
                ) from error
            _check_row(row, number, location)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _check_row(row: Any, number: int, location: Path) -> None:
    if not isinstance(row, dict):
        raise SnapshotError(
            f"An NDJSON file holds one JSON object a line. {location.name!r} has a "
            f"{type(row).__name__} in line {number:,}. Correct the line."
        )
    for name, value in row.items():
        if isinstance(value, dict | list):
            what = "an object" if isinstance(value, dict) else "an array"
            raise SnapshotError(
                "A cell holds one value: a number, a text, a date or true/false. "
                f"{location.name!r} has {what} under {name!r} in line {number:,}. "
                "Flatten the objects, or leave the key out."
            )


def _check_is_flat(location: Path, types: "Mapping[str, pl.DataType]") -> None:
    """Raise SnapshotError if a value is an object or array; mixed with text it reads as text."""
    import polars as pl

    if any(dtype.is_nested() for dtype in types.values()):
        _refuse_line(location)
    # Each line as one cell: no character below the space can stand in a line of JSON.
    lines = pl.scan_csv(
        location,
        has_header=False,
        separator="\x01",
        quote_char=None,
        schema={"line": pl.String()},
        glob=False,
    )
    suspects = lines.filter(pl.col("line").str.contains(_MAYBE_NESTED))
    for batch in suspects.collect_batches(chunk_size=10_000):
        if any(_is_nested(line) for line in batch["line"]):
            _refuse_line(location)


def _is_nested(line: str) -> bool:
    row = json.loads(line)
    return not isinstance(row, dict) or any(
        isinstance(value, dict | list) for value in row.values()
    )


def _dates(frame: "pl.LazyFrame", names: Collection[str]) -> "dict[str, pl.DataType]":
    """Return the types of the text columns that hold dates or times in ISO 8601."""
    import polars as pl

    schema = frame.collect_schema()
    texts = [name for name in names if schema[name] == pl.String]
    kinds = (
        (_DATE, pl.Date()),
        (_MOMENT, pl.Datetime("us")),
        (_MOMENT_UTC, pl.Datetime("us", "UTC")),
    )
    head = frame.select(texts).head(_N_ROWS_FOR_DATES).collect(engine="streaming")
    return {
        name: dtype
        for name in texts
        for pattern, dtype in kinds
        if head[name].null_count() < head.height and head[name].str.contains(pattern).all()
    }


def _read_as(dtype: "pl.DataType") -> "pl.DataType":
    import polars as pl

    return pl.String() if dtype.is_temporal() else dtype


def _parsed(name: str, dtype: "pl.DataType") -> "pl.Expr":
    import polars as pl

    text = pl.col(name).str
    if dtype == pl.Date:
        return text.to_date("%Y-%m-%d", strict=True)
    zone = getattr(dtype, "time_zone", None)
    return text.to_datetime(time_unit="us", time_zone=zone, strict=True)
