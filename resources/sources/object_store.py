"""Rows from objects in S3 or Google Cloud Storage, below URLs that the operator allows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_assets.core.errors import AutoMLError, RequestError, ServiceError, SnapshotError
from automl_assets.core.ports import SourceTable
from automl_assets.core.staging import Staging
from resources.formats import FileContent, format_of, parquet_content
from resources.sources._base import Access, OpenedTable, Source, Wanted
from resources.sources._tables import (
    TableFile,
    check_number_of_files,
    digest_of_files,
    join_files,
    local_name,
)
from resources.sources._urls import Address, check_allowed, parse_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

    from automl_assets.core.request.sections import Data

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Object:
    """An object as the store lists it."""

    key: str
    size_bytes: int
    etag: str


class ObjectStoreSource(Source):
    """Objects of a bucket: one, those below a prefix, or those that a pattern with `*` matches.

    Parquet is read where it is, and only what is needed of it; other formats
    are downloaded. Keys are those of the operator's environment (`AWS_…`,
    `GOOGLE_…`), `AWS_ENDPOINT_URL` and `GOOGLE_BASE_URL` included.

    Tried with servers of ours that verify S3's signatures and Google's bearer
    tokens. Getting such a token for a service account is left to the libraries:
    they ask Google itself for it, so no test here can.
    """

    name = "object_store"

    def claims(self, data: "Data") -> bool:
        """Return whether `data.path` is an s3 or gs URL."""
        return data.path is not None and data.path.lower().startswith(("s3://", "gs://"))

    def check(self, data: "Data", access: Access) -> None:
        """Check the URL; the store is not asked."""
        _allowed_address(str(data.path), access)

    @contextmanager
    def open(self, data: "Data", access: Access, wanted: Wanted) -> Iterator[SourceTable]:
        """List the objects and open them as one table; see the base class."""
        url = str(data.path)
        address = _allowed_address(url, access)
        store = _connect(address)
        base, objects = _list(store, address)
        # One kind of files for one table, named before anything is fetched.
        formats = {format_of(item.key).name: item.key for item in objects}
        if len(formats) > 1:
            raise RequestError(
                f"All files of a table have one format. {url!r} has "
                f"{' and '.join(map(repr, formats.values()))}. Name one kind, such as '*.parquet'."
            )
        with Staging(access.scratch) as staging:
            if "parquet" in formats:
                files = [_in_place(item, address, base) for item in objects]
                digest = cache(lambda: _state(address, objects))
            else:
                with _service_errors(address):
                    files = _downloaded(store, objects, base, access, staging.folder, wanted)
                digest = cache(lambda: _digest(files))
            yield OpenedTable(
                description=url,
                frame=join_files(files, description=url),
                sha256=digest,
                state=lambda: _state(address, _list(store, address)[1]),
            )


SOURCE = ObjectStoreSource()


def _allowed_address(url: str, access: Access) -> Address:
    address = parse_url(url)
    # Keys are written as they are: nothing in them is encoded, and `?` belongs to no key.
    if "%" in url or "?" in url:
        raise RequestError(
            "data.path must be a plain URL: keys of objects are written as they are. "
            "It has a % or ? in it. Write a prefix, or * for any characters."
        )
    check_allowed(address, access.url_prefixes)
    return address


def _connect(address: Address) -> Any:
    from obstore.store import GCSStore, S3Store

    retries: RetryConfig = {"max_retries": 4}
    timeouts: ClientConfig = {"connect_timeout": "10s", "timeout": "120s"}
    with _service_errors(address):
        is_plain = _endpoint(address).startswith("http://")
        options: ClientConfig = {**timeouts, "allow_http": is_plain}
        kind = GCSStore if address.scheme == "gs" else S3Store
        return kind(address.host, client_options=options, retry_config=retries)


def _endpoint(address: Address) -> str:
    """Return where the environment says that the store is; empty for the cloud itself."""
    if address.scheme == "gs":
        return os.environ.get("GOOGLE_BASE_URL", "")
    # The same names that the AWS tools and both libraries read.
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")


@contextmanager
def _service_errors(address: Address) -> Iterator[None]:
    """Turn what the store says into our words; answers may quote keys, so none is shown."""
    from obstore.exceptions import BaseError

    place = f"{address.scheme}://{address.host}"
    try:
        yield
    except AutoMLError:
        raise
    except FileNotFoundError as error:
        raise SnapshotError(
            f"data.path must name objects that exist. {place}{address.path} or its bucket does "
            "not. Correct the URL."
        ) from error
    except (BaseError, PermissionError) as error:
        raise ServiceError(
            f"The store of data.path must answer. {place} did not let us read "
            f"{address.path!r}: {type(error).__name__}. Check the bucket, and the keys in the "
            "operator's environment."
        ) from error


def _list(store: Any, address: Address) -> tuple[str, list[_Object]]:
    """Return the prefix that the objects lie below, with `/`, and the objects, sorted."""
    import obstore

    fixed = []
    for segment in address.segments:
        if set(segment) & set("*["):
            break
        fixed.append(segment)
    base = "/".join(fixed)
    is_wild = len(fixed) < len(address.segments)
    with _service_errors(address):
        if not is_wild:
            try:
                return f"{base.rpartition('/')[0]}/".lstrip("/"), [
                    _read_meta(obstore.head(store, base))
                ]
            except FileNotFoundError:
                pass
        found: list[_Object] = []
        for chunk in obstore.list(store, prefix=base or None):
            found.extend(_read_meta(meta) for meta in chunk)
            check_number_of_files(len(found), base)
    folder = f"{base}/" if base else ""
    pattern = "/".join(address.segments[len(fixed) :])
    objects = [item for item in found if _is_data(item.key[len(folder) :], pattern)]
    if not objects:
        raise SnapshotError(
            "data.path must name objects that exist. "
            f"There are none at {address.scheme}://{address.host}{address.path}. Correct the URL."
        )
    return folder, sorted(objects, key=lambda item: item.key)


def _read_meta(meta: Any) -> _Object:
    return _Object(key=meta["path"], size_bytes=meta["size"], etag=meta["e_tag"] or "")


def _is_data(path: str, pattern: str) -> bool:
    """Return whether an object is one of the table; writers mark others with `.` or `_`."""
    if any(part.startswith((".", "_")) for part in path.split("/")):
        return False
    return not pattern or _matches(path.split("/"), pattern.split("/"))


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def _state(address: Address, objects: Sequence[_Object]) -> str:
    place = f"{address.scheme}://{address.host}"
    return digest_of_files(
        (f"{place}/{item.key}", f"{item.size_bytes} {item.etag}") for item in objects
    )


def _in_place(item: _Object, address: Address, base: str) -> TableFile:
    import polars as pl

    # Named although polars reads the same variables: it keeps connections by these options.
    endpoint = _endpoint(address)
    name = "aws_endpoint_url" if address.scheme == "s3" else "google_base_url"
    options = {name: endpoint} if endpoint else {}
    if endpoint.startswith("http://"):
        options["allow_http"] = "true"
    frame = pl.scan_parquet(
        f"{address.scheme}://{address.host}/{item.key}",
        glob=False,
        hive_partitioning=False,
        storage_options=options,
        credential_provider=None,
    )
    with _service_errors(address):
        try:
            content = parquet_content(frame, name=item.key, sha256=lambda: item.etag)
        except SnapshotError as error:
            if isinstance(error.__cause__, PermissionError):
                raise error.__cause__ from None  # the keys are at fault, not the file
            raise
    return TableFile(path=item.key[len(base) :], content=content)


def _downloaded(
    store: Any,
    objects: Sequence[_Object],
    base: str,
    access: Access,
    folder: Path,
    wanted: Wanted,
) -> list[TableFile]:
    import obstore

    n_bytes = sum(item.size_bytes for item in objects)
    if n_bytes > access.max_download_bytes:
        raise RequestError(
            f"A download has at most {access.max_download_bytes:,} bytes. The objects have "
            f"{n_bytes:,}. Name fewer, or have the operator raise AUTOML_MAX_DOWNLOAD_BYTES."
        )
    files = []
    for index, item in enumerate(objects):
        file_format = format_of(item.key)
        file = folder / str(index) / local_name(item.key.rpartition("/")[2], file_format)
        file.parent.mkdir()
        try:
            response = obstore.get(store, item.key)
            with file.open("wb") as target:
                for chunk in response.stream(min_chunk_size=_CHUNK_BYTES):
                    target.write(chunk)
        except OSError as error:
            raise SnapshotError(
                f"A download must complete. {item.key!r} did not: {error.strerror or error}. "
                "Check the room on the disk, and run again."
            ) from error
        _check_complete(file, item)
        content: FileContent = file_format.inspect(file, text_columns=wanted.text_columns)
        files.append(TableFile(path=item.key[len(base) :], content=content))
    return files


def _check_complete(file: Path, item: _Object) -> None:
    if file.stat().st_size != item.size_bytes:
        raise SnapshotError(
            f"An object must not change while it is read. {item.key!r} had {item.size_bytes:,} "
            f"bytes and now {file.stat().st_size:,}. Run again when it is complete."
        )


def _digest(files: Sequence[TableFile]) -> str:
    if len(files) == 1:
        return files[0].content.sha256()
    return digest_of_files((file.path, file.content.sha256()) for file in files)
