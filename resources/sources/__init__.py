"""Where rows come from; each module defines one `SOURCE` and the suffixes it reads."""

import difflib
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError
from automl_assets.core.plugins import load_plugins
from automl_assets.core.ports import DataSource
from resources.sources._files import FileSource

if TYPE_CHECKING:
    import polars as pl


def load_sources() -> dict[str, DataSource]:
    """Return all sources by name."""
    return load_plugins("resources.sources", "SOURCE")


def open_source(
    location: Path, *, text_columns: Collection[str] = ()
) -> "tuple[DataSource, pl.LazyFrame]":
    """Open a file with the source that reads its suffix.

    Args:
        text_columns: See `DataSource.scan`.

    Raises:
        RequestError: No source reads the suffix.
        SnapshotError: The file is empty, of another format or unreadable.
    """
    by_suffix = {
        suffix: source
        for source in load_sources().values()
        if isinstance(source, FileSource)
        for suffix in source.suffixes
    }
    suffix = location.suffix.lower()
    if suffix not in by_suffix:
        raise RequestError(
            f"The end of a data file's name says how it is read. {location.name!r} ends in "
            f"{suffix!r}. Known: {', '.join(sorted(by_suffix))}."
        )
    source = by_suffix[suffix]
    return source, source.scan(location, text_columns=text_columns)


def locate(path_text: str, roots: tuple[Path, ...], *, closed: Path | None = None) -> Path:
    """Return the file that a request names, if requests may read it.

    Args:
        path_text: As the request writes it. A relative path is looked up in
            each root.
        roots: Folders that requests may read from, absolute.
        closed: A folder that no request may read, even inside a root: the
            platform's own, which holds the data of everybody's requests.

    Returns:
        The file without links: what was checked is what will be read.

    Raises:
        RequestError: It is outside the roots, missing, in two roots, or not a regular file.
    """
    if not roots:
        raise RequestError(
            "Requests may read from the folders that the operator allows, and none is allowed "
            "yet. Set AUTOML_DATA_ROOTS to the folder of the data."
        )
    listed = os.pathsep.join(map(str, roots))
    allowed = _inside(path_text, roots, listed)
    found = list(dict.fromkeys(path for path in allowed if os.path.lexists(path)))
    if not found:
        raise RequestError(
            f"data.path must name a file. There is no {path_text!r} in {listed}.{_near(allowed)} "
            "Correct the path, or have the operator add its folder to AUTOML_DATA_ROOTS."
        )
    if len(found) > 1:
        raise RequestError(
            f"data.path must name one file. {path_text!r} is {' and '.join(map(str, found))}. "
            "Write the whole path."
        )
    if closed is not None and found[0].is_relative_to(closed.resolve()):
        raise RequestError(
            f"data.path must lie outside the platform's own folder {closed}; "
            f"{path_text!r} is inside. Copy the file elsewhere."
        )
    if not found[0].is_file():
        raise RequestError(
            f"data.path must name a regular file. {path_text!r} is "
            f"{'a folder' if found[0].is_dir() else 'a device, pipe or socket'}. Name one file."
        )
    return found[0]


def _inside(path_text: str, roots: tuple[Path, ...], listed: str) -> list[Path]:
    """Return where the file may be: below a root, with links followed."""
    try:
        # An absolute path replaces the root it is joined to.
        candidates = [(root / path_text).resolve() for root in roots]
        folders = [root.resolve() for root in roots]
    except (OSError, RuntimeError, ValueError) as error:
        raise RequestError(
            f"data.path must name a file. {path_text!r} names none: {error}. Correct the path."
        ) from error
    allowed = [
        path for path in candidates if any(path.is_relative_to(folder) for folder in folders)
    ]
    if not allowed:
        raise RequestError(
            f"data.path must lie, with links followed, in a folder that requests may read: "
            f"{listed}. {path_text!r} is outside. "
            "Move the file there, or have the operator add its folder to AUTOML_DATA_ROOTS."
        )
    return allowed


def _near(missing: list[Path]) -> str:
    """Return a hint with the most similar file beside one of the missing ones, if there is one."""
    for path in missing:
        names = [entry.name for entry in path.parent.glob("*")] if path.parent.is_dir() else []
        if nearest := difflib.get_close_matches(path.name, names, n=1):
            return f" Did you mean {nearest[0]!r}?"
    return ""
