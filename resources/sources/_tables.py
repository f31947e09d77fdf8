"""Several files that are one table: equal columns, and columns from the names of folders."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from automl_assets.core.errors import SnapshotError
from resources.formats import FileContent, Format

if TYPE_CHECKING:
    import polars as pl

MAX_FILES = 10_000
"""More files than that are a mistake, or a table that should be compacted first."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # as Hive, Spark and pyarrow write a null


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """One file of a table.

    Attributes:
        path: Below the folder or URL that all files share, with `/`; names the
            file in digests and messages.
    """

    path: str
    content: FileContent


def join_files(files: Sequence[TableFile], *, description: str) -> "pl.LazyFrame":
    """Return the rows of all files, one file after the other.

    Folders named `column=value` become columns behind the file's own, unless the
    files hold a column of that name themselves.

    Raises:
        SnapshotError: Their columns, types or folders differ.
    """
    import polars as pl

    types = _common_types(files, description)
    partitions = _partitions([file.path for file in files], description)
    added = {name: values for name, values in partitions.items() if name not in types}
    frames = []
    for index, file in enumerate(files):
        frame = file.content.scan(types)
        if list(file.content.types) != list(types):
            frame = frame.select(list(types))
        if added:
            frame = frame.with_columns(
                pl.lit(values[index], dtype=values.dtype).alias(name)
                for name, values in added.items()
            )
        frames.append(frame)
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical")


def digest_of_files(digests: Iterable[tuple[str, str]]) -> str:
    """Return the digest of several files: of the sorted (path, digest) pairs as canonical JSON."""
    pairs = sorted([path, digest] for path, digest in digests)
    text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def check_number_of_files(n_files: int, description: str) -> None:
    """Raise SnapshotError if there are too many files for one table."""
    if n_files > MAX_FILES:
        raise SnapshotError(
            f"A table has at most {MAX_FILES:,} files. {description!r} has more. "
            "Name fewer, or write them together."
        )


def local_name(name: str, file_format: Format) -> str:
    """Return what a download is called: its own name where that is plain and says the format.

    Args:
        name: Last part of its URL.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in file_format.suffixes:
        return name if _PLAIN_NAME.fullmatch(name) else f"data{suffix}"
    return f"data{file_format.suffixes[0]}"


def _common_types(files: Sequence[TableFile], description: str) -> "dict[str, pl.DataType]":
    import polars as pl

    first = files[0]
    codes = {name for file in files for name in file.content.codes}
    common = dict(first.content.types) | dict.fromkeys(codes, pl.String())
    for file in files[1:]:
        types = dict(file.content.types)
        _check_columns(file, first, description)
        for name in types.keys() - codes:
            is_open = file.content.has_open_types and first.content.has_open_types
            joined = _common_type(common[name], types[name], is_open=is_open)
            if joined is None:
                raise SnapshotError(
                    f"All files of {description!r} have the same types. Column {name!r} is "
                    f"{types[name]} in {file.path!r} and {common[name]} in {first.path!r}. "
                    "Write the files alike, or as Parquet, which has types."
                )
            common[name] = joined
    if first.content.has_open_types:
        return {name: pl.String() if dtype == pl.Null else dtype for name, dtype in common.items()}
    return common


def _check_columns(file: TableFile, first: TableFile, description: str) -> None:
    names, common = file.content.types.keys(), first.content.types.keys()
    missing = [name for name in common if name not in names]
    further = [name for name in names if name not in common]
    if missing or further:
        raise SnapshotError(
            f"All files of {description!r} have the same columns. {file.path!r} differs from "
            f"{first.path!r}: {_differences(missing, further)}. "
            "Write the files alike, or name fewer."
        )


def _differences(missing: Sequence[str], further: Sequence[str]) -> str:
    said = []
    if missing:
        said.append(f"it lacks {', '.join(map(repr, missing[:5]))}")
    if further:
        said.append(f"it adds {', '.join(map(repr, further[:5]))}")
    return " and ".join(said)


def _common_type(
    one: "pl.DataType", other: "pl.DataType", *, is_open: bool
) -> "pl.DataType | None":
    import polars as pl

    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if is_open and one.is_numeric() and other.is_numeric():
        return pl.Float64()
    return None


def _partitions(paths: Sequence[str], description: str) -> "Mapping[str, pl.Series]":
    """Return the values of the folders `column=value`, by column, one value a file."""
    import polars as pl

    keys = [_folder_values(path) for path in paths]
    for path, values in zip(paths, keys, strict=True):
        if list(values) != list(keys[0]):
            raise SnapshotError(
                f"All files of {description!r} lie in folders of the same columns. {path!r} does "
                f"not, beside {paths[0]!r}. Move it, or name fewer files."
            )
    typed = {}
    for name in keys[0]:
        typed[name] = pl.Series(name, *_read_values([values[name] for values in keys]))
    return typed


def _folder_values(path: str) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name:
            values[unquote(name)] = None if value == _NO_VALUE else unquote(value)
    return values


def _read_values(texts: list[str | None]) -> "tuple[list[object], pl.DataType]":
    import polars as pl

    given = [text for text in texts if text is not None]
    if given and all(_WHOLE_NUMBER.fullmatch(text) for text in given):
        return [None if text is None else int(text) for text in texts], pl.Int64()
    if given and all(len(text) == 10 for text in given):
        try:
            return [text and date.fromisoformat(text) for text in texts], pl.Date()
        except ValueError:
            pass
    return list(texts), pl.String()
