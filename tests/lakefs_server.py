"""A stand-in lakeFS server: the API under /api/v1 and a signed S3 gateway on one port.

It promises only what lakeFS's public API contract and documentation promise, so that a
store that passes its tests here has a chance with a real server. It keeps no secrets and
forgets all when it is closed.
"""

import json
import re
import secrets
import shutil
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.lakefs_api import ApiExchange
from tests.lakefs_gateway import GatewayExchange, Upload, error_xml
from tests.lakefs_http import Answer
from tests.lakefs_state import CommitRecord, Refusal, Repository


@dataclass(frozen=True)
class Request:
    """One request that was answered.

    Attributes:
        target: Path and query, percent-decoded.
        sent: Bytes of the answer's body.
    """

    method: str
    target: str
    byte_range: str | None
    status: int
    sent: int


@dataclass
class Fault:
    """What goes wrong with requests that match; `left` counts down.

    Attributes:
        status: Answered instead of doing it; None to do it.
        drop: Close the connection instead of answering, after having done it.
    """

    method: str
    pattern: re.Pattern[str]
    left: int
    status: int | None
    drop: bool
    delay_seconds: float


class LakeFSStandIn:
    """The server, in threads of this process; a context manager.

    Args:
        page_size: It lists at most so many things on one page.
        keeps_upload_metadata: Whether uploads through the API may bring metadata in headers,
            as lakeFS's own tools do; the contract does not promise it.

    Attributes:
        requests: What was answered, in order.
    """

    def __init__(
        self,
        *,
        page_size: int = 20,
        keeps_upload_metadata: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.access_key_id = "AKIASTANDIN"
        self.secret_access_key = secrets.token_urlsafe(24) + "+/="
        self.storage_namespace = "local://stand-in"
        self.page_size = page_size
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self.folder = Path(tempfile.mkdtemp(prefix="lakefs-stand-in-"))
        self._faults: list[Fault] = []
        self.keeps_upload_metadata = keeps_upload_metadata
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> "LakeFSStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        """Its URL, without a path."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def fail_next(
        self,
        method: str,
        pattern: str,
        *,
        times: int = 1,
        status: int | None = None,
        drop: bool = False,
        delay_seconds: float = 0,
    ) -> None:
        """Let the next requests go wrong whose method and decoded target match.

        Args:
            pattern: Regular expression, searched in path and query.
            status: Answer so, without doing anything.
            drop: Do it, then close the connection without an answer.
            delay_seconds: Wait before it is done.
        """
        fault = Fault(method, re.compile(pattern), times, status, drop, delay_seconds)
        with self.lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        with self.lock:
            self._faults.clear()

    def fault(self, method: str, target: str) -> Fault | None:
        """Return what shall go wrong with this request, and count it."""
        with self.lock:
            for fault in self._faults:
                if fault.left and fault.method == method and fault.pattern.search(target):
                    fault.left -= 1
                    return fault
        return None

    def damage(self, repository: str, path: str, content: bytes) -> None:
        """Change the stored bytes of an object of branch `main` behind everyone's back."""
        self.repositories[repository].tree("main")[path].file.write_bytes(content)

    def commits(self, repository: str, branch: str) -> list[CommitRecord]:
        """All commits that led to a branch, newest first, as the server knows them."""
        return self.repositories[repository].log(branch, first_parent=False)


class _Handler(ApiExchange, GatewayExchange):
    """One connection to the stand-in."""

    stand_in: LakeFSStandIn

    def do_GET(self) -> None:
        """Answer, or let go wrong what shall."""
        self._handle()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        path, query = urlsplit(self.path)[2:4]
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        target = unquote(path) + (f"?{unquote(query)}" if query else "")
        self.rest = int(self.headers.get("Content-Length") or 0)
        is_signed = "AWS4-HMAC" in self.headers.get("Authorization", "")
        fault = self.stand_in.fault(self.command, target)
        time.sleep(fault.delay_seconds if fault else 0)
        if fault and fault.status:
            answer = self._refuse(fault.status, "stand-in fault", xml=is_signed)
        else:
            try:
                answer = self.s3(path, query) if is_signed else self.api(path)
            except Refusal as refusal:
                answer = self._refuse(refusal.status, str(refusal), xml=is_signed)
        self.drain()
        if fault and fault.drop:
            self.close_connection = True
            return
        self._answer(answer, target)

    def _refuse(self, status: int, message: str, *, xml: bool) -> Answer:
        return Answer(status, error_xml(message) if xml else {"message": message})

    def _answer(self, answer: Answer, target: str) -> None:
        body = answer.body
        content = body if isinstance(body, bytes) else b""
        kind = "application/octet-stream"
        if isinstance(body, str):
            kind, content = "text/html", body.encode()
        elif isinstance(body, dict):
            kind, content = "application/json", json.dumps(body).encode()
        length = answer.file[2] if answer.file else len(content)
        self.send_response(answer.status)
        headers = {"Content-Type": kind, "Content-Length": str(length), **dict(answer.headers)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = 0
        if self.command != "HEAD":
            sent = length
            self.send(content, answer.file)
        entry = Request(self.command, target, self.headers.get("Range"), answer.status, sent)
        self.stand_in.requests.append(entry)
