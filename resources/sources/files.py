"""Rows from local files: one, those that a pattern matches, or those of a partitioned folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import SourceTable
from resources.formats import format_of
from resources.sources._base import Access, OpenedTable, Source, Wanted
from resources.sources._local import Located, locate_files
from resources.sources._tables import TableFile, digest_of_files, join_files

if TYPE_CHECKING:
    from automl_assets.core.request.sections import Data


class FileSource(Source):
    """Files of this machine, inside the folders that the operator allows."""

    name = "files"

    def claims(self, data: "Data") -> bool:
        """Return whether `data.path` is no URL."""
        return data.path is not None and "://" not in data.path

    def check(self, data: "Data", access: Access) -> None:
        """Find the files, and a format for them."""
        for path, _ in self._locate(data, access).files:
            format_of(path)

    @contextmanager
    def open(self, data: "Data", access: Access, wanted: Wanted) -> Iterator[SourceTable]:
        """Inspect all files, and open them as one table; see the base class."""
        located = self._locate(data, access)
        before = _state(located)
        description = str(data.path)
        files = [
            TableFile(
                path=path,
                content=format_of(path).inspect(file, text_columns=wanted.text_columns),
            )
            for path, file in located.files
        ]

        @cache
        def sha256() -> str:
            if located.is_single:
                return _digest(files[0], data)
            return digest_of_files((file.path, _digest(file, data)) for file in files)

        def state() -> str:
            # Found again: a file that was added changes the table as well.
            return _state(self._locate(data, access))

        frame = join_files(files, description=description)
        if state() != before:
            raise SnapshotError(
                f"A file must not change while it is read. {description!r} did. "
                "Run again when it is complete."
            )
        yield OpenedTable(description=description, frame=frame, sha256=sha256, state=state)

    def _locate(self, data: "Data", access: Access) -> Located:
        return locate_files(str(data.path), access.roots, closed=access.home)


def _digest(file: TableFile, data: "Data") -> str:
    """Return the digest of the bytes, or that of the index if nobody asks for the bytes.

    Of a large Parquet file only the rows and columns that are asked for are read then.
    """
    content = file.content
    if data.sha256 is None and content.index_sha256 is not None:
        return content.index_sha256()
    return content.sha256()


SOURCE = FileSource()


def _state(located: Located) -> str:
    found = []
    for path, file in located.files:
        try:
            status = file.stat()
        except OSError as error:
            raise SnapshotError(
                f"The data file must be readable. {path!r} is not: {error.strerror}. "
                "Check the path and the permissions."
            ) from error
        found.append((path, f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"))
    return found[0][1] if located.is_single else digest_of_files(found)
