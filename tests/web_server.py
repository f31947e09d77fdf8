"""Small servers on this machine: web pages that are set by path, and a bucket that speaks S3."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Page:
    """What one path answers; `n_cut` bytes at the end are promised and not sent."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    n_cut: int = 0


Answer = Callable[["Request"], Page]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve until the block ends; yields `http://127.0.0.1:port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            headers = {key.lower(): value for key, value in self.headers.items()}
            page = answer(Request(self.command, unquote(parts.path), query, headers))
            body = page.body
            if asked := _range(headers, len(body)):
                first, last = asked
                page.headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
                page.status, body = 206, body[first : last + 1]
            self.send_response(page.status)
            for key, value in page.headers.items():
                self.send_header(key, value)
            if "Transfer-Encoding" not in page.headers and "Content-Length" not in page.headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                with suppress(ConnectionError):  # who asked may have heard enough
                    self.wfile.write(body[: len(body) - page.n_cut])
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Website:
    """Pages by path; counts what is asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Page:
        self.requests.append(request)
        page = self.pages.get(request.path, Page(status=404))
        return Page(page.body, page.status, dict(page.headers), page.n_cut)


class Bucket:
    """One bucket that answers listing, HEAD and GET to whoever signs with its key."""

    def __init__(self, name: str, access_key: str) -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.n_bytes_sent = 0
        self._access_key = access_key

    def __call__(self, request: Request) -> Page:
        if not self._is_signed(request.headers.get("authorization", "")):
            return Page(b"<Error><Code>AccessDenied</Code></Error>", 403)
        root, _, key = request.path.lstrip("/").partition("/")
        if root != self.name:
            return Page(b"<Error><Code>NoSuchBucket</Code></Error>", 404)
        if "list-type" in request.query:
            return self._listing(request.query.get("prefix", [""])[0])
        if key not in self.objects:
            return Page(b"<Error><Code>NoSuchKey</Code></Error>", 404)
        body = self.objects[key]
        if request.method == "GET":
            self.n_bytes_sent += self._asked_for(request, len(body))
        return Page(body, headers={"ETag": _etag(body), "Last-Modified": _WHEN})

    def _is_signed(self, authorization: str) -> bool:
        return authorization.startswith(f"AWS4-HMAC-SHA256 Credential={self._access_key}/")

    def _asked_for(self, request: Request, size: int) -> int:
        first, last = _range(request.headers, size) or (0, size - 1)
        return last - first + 1

    def _listing(self, prefix: str) -> Page:
        found = [
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z"
            f"</LastModified><ETag>{_etag(body)}</ETag><Size>{len(body)}</Size></Contents>"
            for key, body in sorted(self.objects.items())
            if key.startswith(prefix)
        ]
        text = (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.name}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
            f"{''.join(found)}</ListBucketResult>"
        )
        return Page(text.encode(), headers={"Content-Type": "application/xml"})


class GoogleBucket(Bucket):
    """One bucket that answers as Google's XML API does to whoever brings its token."""

    def _is_signed(self, authorization: str) -> bool:
        return authorization == f"Bearer {self._access_key}"


_WHEN = "Thu, 01 Jan 2026 00:00:00 GMT"


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _range(headers: dict[str, str], size: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if match is None:
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), size - 1
    return int(match[1]), min(int(match[2] or size - 1), size - 1)
