"""What a file format does: it tells what one file holds, and reads its rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """What one file holds.

    Attributes:
        types: By column, in the order of the file; Null where no value was seen.
        has_open_types: Whether the types are a reading of text, so that whole
            numbers in one file and others in the next are one column of numbers.
        codes: Columns that are text only because numbers in them have leading zeros.
        sha256: Returns the digest of the bytes.
        index_sha256: Returns the digest of the file's index, where it has one that
            tells sizes and statistics of all it holds; it is had without reading the rest.
        scan: Returns the rows lazily, with the types that are given for all columns.
    """

    types: "Mapping[str, pl.DataType]"
    has_open_types: bool
    sha256: Callable[[], str]
    scan: "Callable[[Mapping[str, pl.DataType]], pl.LazyFrame]"
    codes: frozenset[str] = frozenset()
    index_sha256: Callable[[], str] | None = None


class Format(ABC):
    """A way to write tables into files. Stateless, so safe in threads.

    Attributes:
        name: Equals the module's name.
        suffixes: Ends of the names of its files, lower case, with the dot.
        media_types: What web servers call it.
    """

    name: str
    suffixes: tuple[str, ...]
    media_types: tuple[str, ...]

    @abstractmethod
    def inspect(self, location: Path, *, text_columns: Collection[str] = ()) -> FileContent:
        """Check a file and tell its columns, types and digest.

        Args:
            text_columns: Columns that are read as the text that stands there, where
                the format leaves the type open. Names that are not there are ignored.

        Raises:
            SnapshotError: The file is empty, of another format or unreadable.
        """
