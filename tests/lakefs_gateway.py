"""The S3 gateway of the stand-in lakeFS server: signatures that are verified, and a few calls."""

import hashlib
import hmac
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.lakefs_http import Answer, Exchange, entry_of
from tests.lakefs_state import Refusal, Repository

MAX_SKEW = timedelta(minutes=15)
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass
class Upload:
    """A multipart upload that is not complete."""

    repository: str
    branch: str
    path: str
    metadata: dict[str, str]
    content_type: str
    parts: dict[int, tuple[Path, str]] = field(default_factory=dict)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(
        f"{name}={value}"
        for name, value in sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in pairs)
    )


def verify_signature(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    credentials: tuple[str, str],
) -> str:
    """Return the digest that the body must have; raise unless the request is signed.

    AWS Signature Version 4 as documented for Amazon S3; the region is taken as it was sent.
    """
    access_key_id, secret = credentials
    scheme, _, fields = headers.get("authorization", "").partition(" ")
    parts = dict(item.strip().split("=", 1) for item in fields.split(",") if "=" in item)
    if scheme != "AWS4-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= {*parts}:
        raise Refusal(403, "AccessDenied")
    key_id, date, region, service, _ = parts["Credential"].split("/")
    stamp = headers["x-amz-date"]
    sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - sent) > MAX_SKEW:
        raise Refusal(403, "RequestTimeTooSkewed")
    signed = parts["SignedHeaders"].split(";")
    if "host" not in signed:
        raise Refusal(403, "AccessDenied")
    payload = headers["x-amz-content-sha256"]
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed]
    canonical = "\n".join(
        [method, path, _canonical_query(query), *lines, "", ";".join(signed), payload]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for step in (date, region, service, "aws4_request"):
        key = _hmac(key, step)
    expected = _hmac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    if key_id != access_key_id:
        raise Refusal(403, "InvalidAccessKeyId")
    if not hmac.compare_digest(expected, parts["Signature"]):
        raise Refusal(403, "SignatureDoesNotMatch")
    return payload


def check_payload(payload: str, found: str) -> None:
    """Raise unless the body has the digest that was signed."""
    if payload.startswith("STREAMING-"):
        raise Refusal(501, "NotImplemented")
    if payload not in (UNSIGNED, found):
        raise Refusal(400, "XAmzContentSHA256Mismatch")


def error_xml(code: str) -> bytes:
    """Return the body of a refusal."""
    return f"<Error><Code>{escape(code)}</Code><Message>{escape(code)}</Message></Error>".encode()


def listing_xml(repository: str, keys: list[tuple[str, int, str]], token: str | None) -> bytes:
    """Return a page of ListObjectsV2: keys, sizes, ETags."""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>&quot;{etag}&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, size, etag in keys
    )
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    return (
        f"<ListBucketResult><Name>{repository}</Name><KeyCount>{len(keys)}</KeyCount>"
        f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}{contents}</ListBucketResult>"
    ).encode()


class GatewayExchange(Exchange):
    """Answers signed requests."""

    def s3(self, path: str, query: str) -> Answer:
        """Answer one request whose signature is right."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        credentials = (self.stand_in.access_key_id, self.stand_in.secret_access_key)
        payload = verify_signature(self.command, path, query, headers, credentials)
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        try:
            repository = self.repository(bucket)
        except Refusal as error:
            raise Refusal(404, "NoSuchBucket") from error
        if not key:
            return self._s3_list(repository)
        ref, _, name = key.partition("/")
        if self.command in ("GET", "HEAD"):
            return self._s3_get(repository, ref, name)
        return self._s3_change(repository, ref, name, payload)

    def _s3_get(self, repository: Repository, ref: str, path: str) -> Answer:
        try:
            entry = repository.tree(ref)[path]
        except (Refusal, KeyError) as error:
            raise Refusal(404, "NoSuchKey") from error
        headers = {
            f"x-amz-meta-{key.removeprefix('X-Amz-Meta-')}": value
            for key, value in entry.metadata.items()
        }
        headers["Last-Modified"] = self.date_time_string(entry.mtime)
        return self.slice(entry, headers)

    def _s3_list(self, repository: Repository) -> Answer:
        prefix = self.query.get("prefix", "")
        ref, _, start = prefix.partition("/")
        after = self.query.get("continuation-token", self.query.get("start-after", ""))
        tree = repository.tree(ref)
        keys = [f"{ref}/{path}" for path in sorted(tree) if path.startswith(start)]
        keys = [key for key in keys if key > after]
        page = keys[: self.stand_in.page_size]
        token = page[-1] if len(keys) > len(page) else None
        entries = [(key, tree[key.partition("/")[2]]) for key in page]
        listed = [(key, entry.size, entry.etag) for key, entry in entries]
        return Answer(200, listing_xml(repository.name, listed, token))

    def _s3_change(self, repository: Repository, ref: str, path: str, payload: str) -> Answer:
        body = self.store_body()
        with body.open("rb") as file:
            check_payload(payload, hashlib.file_digest(file, "sha256").hexdigest())
        repository.branch(ref)
        if self.command == "DELETE":
            return self._s3_delete(repository, ref, path)
        metadata = {
            "X-Amz-Meta-" + name.lower().removeprefix("x-amz-meta-"): value
            for name, value in self.headers.items()
            if name.lower().startswith("x-amz-meta-")
        }
        kind = self.headers.get("Content-Type") or ""
        if self.command == "POST" and "uploads" in self.query:
            upload_id = secrets.token_hex(16)
            self.stand_in.uploads[upload_id] = Upload(repository.name, ref, path, metadata, kind)
            text = f"<UploadId>{upload_id}</UploadId>"
            return _xml("InitiateMultipartUploadResult", text)
        if self.command == "POST":
            return self._s3_complete(repository, body)
        entry = entry_of(body, metadata, kind)
        if "uploadId" in self.query:
            upload = self.stand_in.uploads[self.query["uploadId"]]
            upload.parts[int(self.query["partNumber"])] = (body, entry.etag)
        else:
            repository.stage(ref, path, entry)
        return Answer(200, headers={"ETag": f'"{entry.etag}"'})

    def _s3_complete(self, repository: Repository, body: Path) -> Answer:
        upload = self.stand_in.uploads.pop(self.query["uploadId"], None)
        if upload is None:
            raise Refusal(404, "NoSuchUpload")
        listed = ElementTree.fromstring(body.read_bytes()).iter()
        numbers = [int(item.text or "") for item in listed if item.tag.endswith("PartNumber")]
        whole = self.stand_in.folder / secrets.token_hex(16)
        digest = hashlib.md5(usedforsecurity=False)
        with whole.open("wb") as target:
            for number in numbers:
                part, etag = upload.parts[number]
                digest.update(bytes.fromhex(etag))
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target)
        etag = f"{digest.hexdigest()}-{len(numbers)}"
        entry = entry_of(whole, upload.metadata, upload.content_type, etag=etag)
        repository.stage(upload.branch, upload.path, entry)
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{etag}&quot;</ETag>")

    def _s3_delete(self, repository: Repository, ref: str, path: str) -> Answer:
        if "uploadId" in self.query:
            self.stand_in.uploads.pop(self.query["uploadId"], None)
        elif path in repository.tree(ref):
            repository.stage(ref, path, None)
        return Answer(204)


def _xml(name: str, text: str) -> Answer:
    return Answer(200, f"<{name}>{text}</{name}>".encode())
