"""Which local files requests may read: those in the allowed folders, with links followed."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automl_assets.core.errors import RequestError
from resources.formats import format_of
from resources.sources._tables import MAX_FILES, check_number_of_files

_WILD = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Located:
    """Files that a request names, without links: what was checked is what will be read.

    Attributes:
        files: Path below the folder that was named, and the file; sorted.
        is_single: Whether the request names one file.
    """

    files: tuple[tuple[str, Path], ...]
    is_single: bool


def locate_files(path_text: str, roots: tuple[Path, ...], *, closed: Path) -> Located:
    """Return the files that a request names: one, those of a folder, or those of a pattern.

    Args:
        path_text: As the request writes it. A relative path is looked up in each root.
        roots: Folders that requests may read from, absolute.
        closed: The platform's own folder, which no request may read.

    Raises:
        RequestError: Nothing is there, or something that requests may not read.
    """
    listed = _listed(roots)
    pattern = PurePosixPath(path_text)
    is_wild = bool(_WILD & set(path_text)) and not _exists(path_text, roots, listed)
    if is_wild:
        base, matches = _match(pattern, path_text, roots, closed=closed)
    else:
        base = _existing(path_text, roots, closed=closed)
        if not base.is_dir():
            _check_regular(base, path_text)
            return Located(files=((base.name, base),), is_single=True)
        matches = sorted(_below(base, base, frozenset()))
    files = tuple(
        (path.relative_to(base).as_posix(), _checked(path, roots, closed=closed))
        for path in matches
    )
    _check_are_table(files, path_text, is_wild=is_wild)
    return Located(files=files, is_single=False)


def locate(path_text: str, roots: tuple[Path, ...], *, closed: Path | None = None) -> Path:
    """Return the one file that a request names, if requests may read it.

    Args:
        path_text: See `locate_files`.
        closed: See `locate_files`.

    Raises:
        RequestError: It is outside the roots, missing, in two roots, or not a regular file.
    """
    found = _existing(path_text, roots, closed=closed)
    _check_regular(found, path_text)
    return found


def _listed(roots: tuple[Path, ...]) -> str:
    if not roots:
        raise RequestError(
            "Requests may read from the folders that the operator allows, and none is allowed "
            "yet. Set AUTOML_DATA_ROOTS to the folder of the data."
        )
    return os.pathsep.join(map(str, roots))


def _exists(path_text: str, roots: tuple[Path, ...], listed: str) -> bool:
    return any(os.path.lexists(path) for path in _inside(path_text, roots, listed))


def _match(
    pattern: PurePosixPath, path_text: str, roots: tuple[Path, ...], *, closed: Path
) -> tuple[Path, list[Path]]:
    """Return the folder that a pattern starts from, and what it matches, sorted."""
    if ".." in pattern.parts:
        raise RequestError(
            f"A pattern goes down from a folder. Found {path_text!r}, with '..' in it. "
            "Write the path without."
        )
    start, rest = _split(pattern)
    bases = _found(start, roots)
    found = {base: matches for base in bases if (matches := sorted(_matches(base, rest)))}
    if len(found) > 1:
        raise RequestError(
            f"data.path must name files of one folder. {path_text!r} matches some in "
            f"{' and '.join(map(str, found))}. Write the whole path."
        )
    base, matches = next(iter(found.items()), (bases[0], []))
    _check_is_open(base, path_text, closed)
    return base, matches


def _existing(path_text: str, roots: tuple[Path, ...], *, closed: Path | None) -> Path:
    found = _found(path_text, roots)
    if len(found) > 1:
        raise RequestError(
            f"data.path must name one file. {path_text!r} is {' and '.join(map(str, found))}. "
            "Write the whole path."
        )
    _check_is_open(found[0], path_text, closed)
    return found[0]


def _found(path_text: str, roots: tuple[Path, ...]) -> list[Path]:
    """Return what a path names in the roots, at least one thing."""
    listed = _listed(roots)
    allowed = _inside(path_text, roots, listed)
    found = list(dict.fromkeys(path for path in allowed if os.path.lexists(path)))
    if not found:
        raise RequestError(
            f"data.path must name a file. There is no {path_text!r} in {listed}."
            f"{_near(allowed)} "
            "Correct the path, or have the operator add its folder to AUTOML_DATA_ROOTS."
        )
    return found


def _check_is_open(path: Path, path_text: str, closed: Path | None) -> None:
    if closed is not None and path.is_relative_to(closed.resolve()):
        raise RequestError(
            f"data.path must lie outside the platform's own folder {closed}; "
            f"{path_text!r} is inside. Copy the file elsewhere."
        )


def _check_regular(path: Path, path_text: str) -> None:
    if not path.is_file():
        raise RequestError(
            f"data.path must name a regular file. {path_text!r} is "
            f"{'a folder' if path.is_dir() else 'a device, pipe or socket'}. Name one file."
        )


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


def _split(pattern: PurePosixPath) -> tuple[str, str]:
    """Return the folders before the first wild one, and the rest."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if _WILD & set(part))
    return str(PurePosixPath(*parts[:first])), "/".join(parts[first:])


def _matches(base: Path, rest: str) -> Iterator[Path]:
    """Yield what a pattern matches; a name that starts with a dot only if the pattern says so."""
    wants_hidden = any(part.startswith(".") for part in rest.split("/"))
    n_files = 0
    try:
        for path in base.glob(rest):
            if path.is_dir():
                continue
            names = path.relative_to(base).parts
            if wants_hidden or not any(name.startswith(".") for name in names):
                n_files += 1
                check_number_of_files(n_files, rest)
                yield path
    except (ValueError, NotImplementedError) as error:
        raise RequestError(
            f"data.path must be a pattern such as 'sales/*.parquet'. {rest!r} is none: {error}. "
            "Correct it."
        ) from error


def _below(folder: Path, base: Path, seen: frozenset[Path]) -> Iterator[Path]:
    """Yield the files of a folder and of those in it; writers mark others with `.` or `_`."""
    own = folder.resolve()
    if own in seen:
        raise RequestError(
            f"data.path must name a folder that ends. {str(folder.relative_to(base))!r} is a "
            "link to a folder that it lies in. Remove the link."
        )
    for n_entries, path in enumerate(folder.iterdir(), 1):
        check_number_of_files(n_entries - MAX_FILES, str(base))
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            yield from _below(path, base, seen | {own})
        else:
            yield path


def _checked(path: Path, roots: tuple[Path, ...], *, closed: Path) -> Path:
    """Return a file that was found by its name, if requests may read what it links to."""
    (found, *_) = _inside(str(path), roots, _listed(roots))
    _check_is_open(found, str(path), closed)
    if not os.path.lexists(found):
        raise RequestError(
            f"data.path must name files. {str(path)!r} is a link to nothing. Remove it."
        )
    _check_regular(found, str(path))
    return found


def _check_are_table(files: tuple[tuple[str, Path], ...], path_text: str, *, is_wild: bool) -> None:
    if not files:
        what = "pattern matches no file" if is_wild else "folder has no data files"
        raise RequestError(
            f"data.path must name data. The {what}: {path_text!r}. Correct the path."
        )
    check_number_of_files(len(files), path_text)
    formats = {format_of(path).name: path for path, _ in files}
    if len(formats) > 1:
        raise RequestError(
            f"All files of a table have one format. {path_text!r} has "
            f"{' and '.join(map(repr, formats.values()))}. Name one kind, such as '*.parquet'."
        )
