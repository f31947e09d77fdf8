"""One HTTP exchange of the stand-in lakeFS server: reading requests, writing answers."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO

from tests.lakefs_state import Entry, Refusal, Repository

BLOCK = 2**18


@dataclass(frozen=True)
class Answer:
    """What a handler answers with: JSON, text, bytes or a slice of a file."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: tuple[Path, int, int] | None = None


class Exchange(BaseHTTPRequestHandler):
    """One connection; `stand_in` is the server's state."""

    stand_in: Any
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    query: dict[str, str]
    rest = 0
    """Bytes of the request's body that are not read yet."""

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""

    def send(self, content: bytes, file: tuple[Path, int, int] | None) -> None:
        """Write an answer's body."""
        self.wfile.write(content)
        if file is None:
            return
        path, start, length = file
        with path.open("rb") as source:
            source.seek(start)
            while length and (block := source.read(min(BLOCK, length))):
                length -= len(block)
                self.wfile.write(block)

    def read(self, target: BinaryIO | None = None) -> bytes:
        """Read the body, into a file if there is one."""
        blocks = []
        while self.rest:
            block = self.rfile.read(min(BLOCK, self.rest))
            if not block:
                raise Refusal(400, "IncompleteBody")
            self.rest -= len(block)
            target.write(block) if target else blocks.append(block)
        return b"".join(blocks)

    def drain(self) -> None:
        """Read what nobody wanted, so that the connection can go on."""
        while self.rest and (block := self.rfile.read(min(BLOCK, self.rest))):
            self.rest -= len(block)

    def json(self) -> dict:
        """The body, if it is a JSON object."""
        found = json.loads(self.read() or b"{}")
        return found if isinstance(found, dict) else {}

    def store_body(self) -> Path:
        """Write the body to a new file."""
        path = self.stand_in.folder / secrets.token_hex(16)
        with path.open("wb") as file:
            self.read(file)
        return path

    def repository(self, name: str) -> Repository:
        """The repository, or a refusal."""
        if name not in self.stand_in.repositories:
            raise Refusal(404, "repository not found")
        return self.stand_in.repositories[name]

    def slice(self, entry: Entry, headers: Mapping[str, str]) -> Answer:
        """An object, or the range of its bytes that was asked for."""
        size = entry.file.stat().st_size
        shared = {**headers, "ETag": f'"{entry.etag}"', "Accept-Ranges": "bytes"}
        asked = byte_range(self.headers.get("Range"), size)
        if asked is None:
            return Answer(200, headers=shared, file=(entry.file, 0, size))
        start, stop = asked
        shared["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Answer(206, headers=shared, file=(entry.file, start, stop - start))


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open range of bytes that a Range header asks for; None for all."""
    if not header or not header.startswith("bytes="):
        return None
    first, _, last = header.removeprefix("bytes=").partition("-")
    start = max(size - int(last), 0) if not first else int(first)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size:
        raise Refusal(416, "InvalidRange")
    return start, stop


def entry_of(
    file: Path,
    metadata: Mapping[str, str],
    content_type: str = "application/octet-stream",
    *,
    etag: str | None = None,
) -> Entry:
    """Describe a stored file as an object."""
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False))
    return Entry(
        size=file.stat().st_size,
        etag=etag or digest.hexdigest(),
        metadata=dict(metadata),
        content_type=content_type,
        file=file,
        mtime=int(time.time()),
    )
