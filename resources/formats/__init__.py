"""How tables are written into files; each module defines one `FORMAT`."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from automl_assets.core.errors import RequestError
from automl_assets.core.plugins import load_plugins
from resources.formats._base import FileContent, Format
from resources.formats._parquet import parquet_content

__all__ = ["FileContent", "Format", "format_of", "load_formats", "parquet_content"]


def load_formats() -> dict[str, Format]:
    """Return all formats by name."""
    return load_plugins("resources.formats", "FORMAT")


def format_of(name: str, *, media_type: str = "") -> Format:
    """Return the format that the end of a file's name says, else its media type.

    Args:
        name: Name or path of the file.
        media_type: What a web server calls its content; parameters are ignored.

    Raises:
        RequestError: Neither is known.

    Examples:
        >>> format_of("2024/Sales.TSV").name
        'csv'
        >>> format_of("export", media_type="text/csv; charset=utf-8").name
        'csv'
    """
    formats = load_formats().values()
    file = PurePosixPath(name)
    suffix = file.suffix.lower()
    kind = media_type.partition(";")[0].strip().lower()
    for fitting in (
        [item for item in formats if suffix in item.suffixes],
        [item for item in formats if kind in item.media_types],
    ):
        if fitting:
            return fitting[0]
    said = f" and its type is {kind!r}" if kind else ""
    raise RequestError(
        f"The end of a data file's name says how it is read. {file.name!r} ends in "
        f"{suffix!r}{said}. Known: {', '.join(sorted(_suffixes(formats)))}."
    )


def _suffixes(formats: Iterable[Format]) -> list[str]:
    return [suffix for item in formats for suffix in item.suffixes]
