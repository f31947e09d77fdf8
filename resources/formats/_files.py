"""What a file really holds, whatever its name says."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from automl_assets.core.errors import SnapshotError

HEAD_BYTES = 65_536

_SIGNATURES = (
    (b"PAR1", "a Parquet file", "Rename it to end in .parquet."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it first."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save its sheet as CSV (UTF-8)."),
    (b"%PDF", "a PDF file", "Export the table as CSV or Parquet."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV or Parquet."),
    (b"ARROW1", "an Arrow file", "Write the table as Parquet."),
    (b"\x89HDF", "an HDF5 file", "Write the table as Parquet."),
    (b"\xff\xfe", "text in UTF-16", "Convert it to UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Convert it to UTF-8."),
)
_HTML = re.compile(rb"\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
_JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{"])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def read_head(location: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        SnapshotError: It cannot be read, or is empty.
    """
    try:
        with location.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise SnapshotError(
            f"The data file must be readable. {location.name!r} is not: {error.strerror}. "
            "Check the path and the permissions."
        ) from error
    if not head:
        raise SnapshotError(
            f"The data file must hold a table. {location.name!r} is empty (0 bytes). "
            "Check how it was written or copied."
        )
    return head


def foreign_format(head: bytes) -> tuple[str, str] | None:
    """Return what the first bytes of a file are and the cure, or None for plain text.

    Examples:
        >>> foreign_format(b"PAR1...")
        ('a Parquet file', 'Rename it to end in .parquet.')
        >>> foreign_format(b"a,b")
    """
    if head.startswith(b"PK\x03\x04"):
        is_workbook = b"[Content_Types].xml" in head or b"xl/" in head
        if is_workbook:
            return "an Excel workbook", "Save its sheet as CSV (UTF-8)."
        return "a zip archive", "Unpack it first."
    for signature, what, cure in _SIGNATURES:
        if head.startswith(signature):
            return what, cure
    if _HTML.match(head):
        return "an HTML or XML page", "Download the data itself, as CSV or Parquet."
    if _JSON.match(head):
        return "a JSON file", "Export the table as CSV or Parquet, or as NDJSON, an object a line."
    if b"\x00" in head:
        return "a binary file", "Export the table as CSV or Parquet."
    return None


def check_column_names(names: Sequence[str], file_name: str) -> None:
    """Raise SnapshotError unless each column has a name of its own that can be printed."""
    found = ""
    repeated = [name for name, n in Counter(names).items() if n > 1 and name]
    nameless = [str(position) for position, name in enumerate(names, 1) if not name.strip()]
    # Polars takes a name between ^ and $ for a regular expression over all names.
    patterns = [
        name for name in names if name == "*" or (name.startswith("^") and name.endswith("$"))
    ]
    unprintable = [name for name in names if _CONTROL.search(name)]
    if repeated:
        found = f"names columns twice: {', '.join(map(repr, repeated[:5]))}. Rename them"
    elif nameless:
        found = (
            f"has no name for column {', '.join(nameless[:5])} of {len(names)}. "
            "Name it, or write the file without row labels"
        )
    elif unprintable:
        found = (
            "has control characters in the names of columns: "
            f"{', '.join(map(repr, unprintable[:5]))}. Rename them"
        )
    elif patterns:
        found = (
            f"has columns whose names read as patterns: {', '.join(map(repr, patterns[:5]))}. "
            "Take the ^, $ or * out of the names"
        )
    if found:
        raise SnapshotError(
            f"Each column has a name of its own, in printable characters. {file_name!r} {found}."
        )
