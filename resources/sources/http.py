"""Rows from a file behind an http or https URL, downloaded once."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from automl_assets.core.errors import AutoMLError, RequestError, ServiceError, SnapshotError
from automl_assets.core.ports import SourceTable
from automl_assets.core.staging import Staging
from resources.formats import Format, format_of
from resources.sources._addresses import resolve
from resources.sources._base import Access, OpenedTable, Source, Wanted
from resources.sources._tables import TableFile, join_files, local_name
from resources.sources._urls import Address, check_allowed, parse_url

if TYPE_CHECKING:
    import urllib3

    from automl_assets.core.request.sections import Data

N_REDIRECTS = 5
N_ATTEMPTS = 3
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
WHOLE_SECONDS = 6 * 3600
"""For a whole download: a server that sends a byte a minute must not hold a run for ever."""
_CHUNK_BYTES = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)


class HttpSource(Source):
    """One file of a web server that the operator allows.

    Proxies of the environment are not used: the address that was checked is the
    one that is connected to.
    """

    name = "http"

    def claims(self, data: "Data") -> bool:
        """Return whether `data.path` is an http or https URL."""
        return data.path is not None and data.path.lower().startswith(("http://", "https://"))

    def check(self, data: "Data", access: Access) -> None:
        """Check the URL; the server is not asked."""
        check_allowed(parse_url(str(data.path)), access.url_prefixes)

    @contextmanager
    def open(self, data: "Data", access: Access, wanted: Wanted) -> Iterator[SourceTable]:
        """Download the file and open it; see the base class."""
        url = str(data.path)
        check_allowed(parse_url(url), access.url_prefixes)
        with Staging(access.scratch) as staging:
            file, digest, file_format = _download(url, access, staging.folder)
            content = file_format.inspect(file, text_columns=wanted.text_columns)
            frame = join_files([TableFile(path=file.name, content=content)], description=url)
            yield OpenedTable(
                description=url.partition("?")[0],
                frame=frame,
                sha256=lambda: digest,
                # What is read is the copy, which nobody changes.
                state=lambda: digest,
            )


SOURCE = HttpSource()


def _download(url: str, access: Access, folder: Path) -> tuple[Path, str, Format]:
    """Return the file, its digest and format; a broken connection is tried again."""
    import urllib3

    for attempt in range(1, N_ATTEMPTS + 1):
        try:
            return _try_download(url, access, folder)
        except urllib3.exceptions.HTTPError as error:
            if attempt == N_ATTEMPTS or isinstance(error, urllib3.exceptions.SSLError):
                address = parse_url(url)
                raise ServiceError(
                    f"The server of data.path must answer. {address.host!r} did not deliver "
                    f"{address.path!r} in {attempt} attempts: {type(error).__name__}. "
                    "Try again later, or check the URL."
                ) from error
    raise AssertionError("the loop returns or raises")


def _try_download(url: str, access: Access, folder: Path) -> tuple[Path, str, Format]:
    with _final_response(url, access) as (address, response):
        _check_response(response, address)
        file_format = format_of(address.name, media_type=response.headers.get("Content-Type", ""))
        announced = _announced(response)
        if announced > access.max_download_bytes:
            _refuse_size(address, announced, access)
        room = shutil.disk_usage(folder).free
        if announced > room:
            raise SnapshotError(
                f"A download needs room on the disk. {address.name!r} has {announced:,} bytes, and "
                f"{room:,} are free in {folder.parent}. Free some space and run again."
            )
        file = folder / local_name(address.name, file_format)
        return file, _save(response, file, address, access), file_format


def _announced(response: "urllib3.BaseHTTPResponse") -> int:
    """Return the size that the server tells; 0 if it tells none, or no number."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _save(
    response: "urllib3.BaseHTTPResponse", file: Path, address: Address, access: Access
) -> str:
    digest, n_bytes = hashlib.sha256(), 0
    deadline = time.monotonic() + WHOLE_SECONDS
    try:
        with file.open("wb") as target:
            for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
                n_bytes += len(chunk)
                if time.monotonic() > deadline:
                    _refuse_slowness(address, n_bytes)
                if n_bytes > access.max_download_bytes:
                    _refuse_size(address, n_bytes, access)
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise SnapshotError(
            f"A download needs room on the disk. After {n_bytes:,} bytes of {address.name!r} "
            f"writing failed: {error.strerror}. Free some space and run again."
        ) from error
    return digest.hexdigest()


def _refuse_slowness(address: Address, n_bytes: int) -> None:
    raise ServiceError(
        f"A download ends within {WHOLE_SECONDS // 3600} hours. Of {address.name!r}, "
        f"{n_bytes:,} bytes had come by then. Copy the file to a faster place."
    )


@contextmanager
def _final_response(
    url: str, access: Access
) -> "Iterator[tuple[Address, urllib3.BaseHTTPResponse]]":
    """Yield the response at the end of the redirects; each is checked as the first URL was."""
    for _ in range(N_REDIRECTS + 1):
        address = parse_url(url)
        check_allowed(address, access.url_prefixes)
        with _pool(address, access) as pool:
            response = _request(pool, address)
            try:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield address, response
                    return
            finally:
                response.close()
        url = _redirected(url, location, address)
    raise ServiceError(
        f"A download has at most {N_REDIRECTS} redirects. {parse_url(url).host!r} leads on. "
        "Name the file itself."
    )


def _redirected(url: str, location: str, address: Address) -> str:
    try:
        found = urljoin(url, location)
    except ValueError:
        found = ""
    if not found.lower().startswith(("http://", "https://")):
        raise RequestError(
            "Redirects lead to http or https. "
            f"{address.host!r} leads elsewhere. Name the file itself."
        )
    return found


def _pool(address: Address, access: Access) -> "urllib3.HTTPConnectionPool":
    """Return connections to the one address that was checked; names are not asked for again."""
    import urllib3

    port = address.port or 0
    ip = resolve(address.host, port, allow_private=access.allow_private_addresses)
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    if address.scheme == "http":
        return urllib3.HTTPConnectionPool(ip, port, timeout=timeout, retries=False)
    return urllib3.HTTPSConnectionPool(
        ip,
        port,
        timeout=timeout,
        retries=False,
        server_hostname=address.host,
        assert_hostname=address.host,
    )


def _request(pool: "urllib3.HTTPConnectionPool", address: Address) -> "urllib3.BaseHTTPResponse":
    host = f"[{address.host}]" if ":" in address.host else address.host
    is_default = address.port == (443 if address.scheme == "https" else 80)
    return pool.urlopen(
        "GET",
        address.path + (f"?{address.query}" if address.query else ""),
        headers={
            "Host": host if is_default else f"{host}:{address.port}",
            "Accept-Encoding": "identity",
            "User-Agent": "automl-assets",
        },
        redirect=False,
        preload_content=False,
        decode_content=False,
        assert_same_host=False,
    )


def _check_response(response: "urllib3.BaseHTTPResponse", address: Address) -> None:
    error: AutoMLError | None = None
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if response.status >= 500 or response.status == 429:
        error = ServiceError(
            f"The server of data.path must answer. {address.host!r} answered {response.status} for "
            f"{address.path!r}. Try again later."
        )
    elif response.status != 200:
        error = SnapshotError(
            f"data.path must lead to a file. {address.host!r} answered {response.status} for "
            f"{address.path!r}. Check the URL, and whether it needs a login."
        )
    elif encoding not in ("identity", ""):
        error = SnapshotError(
            f"A file is sent as it is. {address.host!r} packed {address.path!r} as {encoding!r}. "
            "Have the server send it unpacked."
        )
    if error is not None:
        raise error


def _refuse_size(address: Address, n_bytes: int, access: Access) -> None:
    raise RequestError(
        f"A download has at most {access.max_download_bytes:,} bytes. {address.name!r} has "
        f"{n_bytes:,} or more. Name a smaller file, or have the operator raise "
        "AUTOML_MAX_DOWNLOAD_BYTES."
    )
