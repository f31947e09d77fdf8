"""The bytes of objects: streamed to lakeFS and from it, and scanned through its S3 gateway."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlencode

import urllib3

from automl_assets.core.errors import AlteredError, ServiceError
from automl_assets.core.files import sha256_file
from automl_assets.core.ports import ObjectInfo
from resources.snapshot_store._lakefs_answers import (
    GONE,
    NOT_FOUND,
    Account,
    Patience,
    Refused,
    Server,
)

if TYPE_CHECKING:
    import polars as pl

_BLOCK_BYTES = 2**18
_POOL_SIZE = 16
_NO_LIMIT = 10_000


class DataPlane:
    """Objects' bytes, never whole in memory. Safe in threads; a fork needs its own.

    Uploads and downloads are plain streams of the API: nothing of them lives in another
    thread, so they also work in a forked process, where Rust clients of S3 do not.
    """

    def __init__(self, server: Server, account: Account) -> None:
        self._server = server
        secret = account.secret.get_secret_value()
        self._headers = urllib3.make_headers(basic_auth=f"{account.access_key_id}:{secret}")
        self._pool = urllib3.PoolManager(
            maxsize=_POOL_SIZE,
            retries=False,
            timeout=server.patience.timeout,
            ca_certs=str(account.ca_bundle) if account.ca_bundle else None,
            blocksize=_BLOCK_BYTES,
        )

    def upload(
        self, repository: str, branch: str, path: str, content: Path | bytes, sha256: str
    ) -> bool:
        """Stage an object on a branch; return whether the server kept the digest with it.

        Raises:
            Refused: The server said no.
        """
        url = self._url(repository, "branches", branch, path)
        headers = {
            **self._headers,
            "Content-Type": "application/octet-stream",
            "x-lakefs-meta-sha256": sha256,
        }

        def attempt() -> bool:
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            with _opened(content) as body:
                answer = self._request(
                    "POST", url, body=body, headers={**headers, "Content-Length": str(size)}
                )
            found = json.loads(answer.data).get("metadata") or {}
            return sha256 in found.values()

        left = f"The uncommitted objects are on branch {branch!r} of {repository!r}."
        return self._server.ask(f"Uploading {path!r}", attempt, left=left)

    def fetch(self, repository: str, commit_id: str, info: ObjectInfo, target: BinaryIO) -> None:
        """Write an object to an empty open file, in pieces.

        Raises:
            SnapshotError: The bytes are not those that were put.
        """
        url = self._url(repository, "refs", commit_id, info.path)

        def attempt() -> tuple[int, str]:
            target.seek(0)
            target.truncate()
            digest, size = hashlib.sha256(), 0
            for block in self._blocks(url):
                digest.update(block)
                size += target.write(block)
            return size, digest.hexdigest()

        what = f"Downloading {info.path!r}"
        try:
            size, sha256 = self._server.ask(what, attempt)
        except Refused as error:
            raise self._server.refused(what, error) from error
        if size != info.size_bytes or (info.sha256 and sha256 != info.sha256):
            raise AlteredError(
                "An object never changes after its commit. The bytes of "
                f"{info.path!r} at commit {commit_id[:10]} of {repository!r} changed: "
                f"{size:,} bytes with SHA-256 {sha256}, expected {info.size_bytes:,} with "
                f"{info.sha256 or 'no known SHA-256'}. Restore lakeFS's bucket from a backup.",
                expected=info.sha256,
                found=sha256,
            )

    def sha256(self, repository: str, commit_id: str, path: str) -> str | None:
        """Return the digest of an object's bytes; None if the bucket has lost them."""
        url = self._url(repository, "refs", commit_id, path)

        def attempt() -> str:
            digest = hashlib.sha256()
            for block in self._blocks(url):
                digest.update(block)
            return digest.hexdigest()

        what = f"Reading {path!r}"
        try:
            return self._server.ask(what, attempt)
        except Refused as error:
            if error.status in (NOT_FOUND, GONE):
                return None
            raise self._server.refused(what, error) from error

    def _blocks(self, url: str) -> Iterator[bytes]:
        with closing(
            self._request("GET", url, headers=self._headers, preload_content=False)
        ) as answer:
            try:
                yield from answer.stream(_BLOCK_BYTES)
            except urllib3.exceptions.HTTPError as error:
                self._server.unreachable(error)

    def _url(self, repository: str, kind: str, ref: str, path: str) -> str:
        base = f"{self._server.endpoint}/api/v1/repositories"
        query = urlencode({"path": path}, quote_via=quote)
        return f"{base}/{quote(repository)}/{kind}/{quote(ref)}/objects?{query}"

    def _request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        try:
            answer = self._pool.request(method, url, **options)
            if answer.status not in (200, 201):
                self._server.refuse(answer.status, answer.data)
        except urllib3.exceptions.HTTPError as error:
            self._server.unreachable(error)
        return answer


def digest_of(content: Path | bytes) -> tuple[int, str]:
    """Return the size and SHA-256 of what is to be uploaded."""
    if isinstance(content, Path):
        return content.stat().st_size, sha256_file(content)
    return len(content), hashlib.sha256(content).hexdigest()


def _opened(content: Path | bytes) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The S3 gateway, where polars reads the ranges it needs and nothing else."""

    endpoint: str
    region: str
    account: Account

    def scan(
        self, repository: str, commit_id: str, path: str, patience: Patience
    ) -> "pl.LazyFrame":
        """Open a Parquet object lazily; it is read, and may fail, when it is collected.

        Raises:
            ServiceError: polars would not trust the gateway.
        """
        import polars as pl

        self._check_trust()
        options: dict[str, Any] = {
            "aws_endpoint_url": self.endpoint,
            "aws_access_key_id": self.account.access_key_id,
            "aws_secret_access_key": self.account.secret.get_secret_value(),
            "aws_region": self.region,
            "aws_allow_http": "true",
            "aws_virtual_hosted_style_request": "false",
            "max_retries": _NO_LIMIT,  # the time is the limit
            "retry_timeout_ms": int(patience.seconds * 1000),
            "retry_init_backoff_ms": int(patience.first_wait_seconds * 1000),
            "retry_max_backoff_ms": int(patience.longest_wait_seconds * 1000),
        }
        return pl.scan_parquet(
            f"s3://{repository}/{commit_id}/{path}",
            glob=False,
            hive_partitioning=False,
            storage_options=options,
        )

    def _check_trust(self) -> None:
        """Say at once what polars would find out when the time is over.

        Its S3 client takes no certificates; it reads these variables, once per process.
        """
        is_named = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        if self.account.ca_bundle and self.endpoint.startswith("https:") and not is_named:
            raise ServiceError(
                "Tables are read from a gateway whose certificates the system or SSL_CERT_FILE "
                f"knows. AUTOML_LAKEFS_CA_BUNDLE is {str(self.account.ca_bundle)!r}, and "
                "SSL_CERT_FILE is not set. Set it to the same file, with the system's certificates."
            )
