"""The links about data: the parts, the snapshot and where its rows came from."""

import hashlib
from typing import Any

import numpy as np

from automl_assets.core.audit.evidence import Evidence, canonical_sha256
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import ObjectInfo, SnapshotStore

_BLOCK_ROWS = 1 << 20


def splits_link(evidence: Evidence) -> Link:
    """Hash the files of the four parts again, and the row numbers in them."""
    link, split = LinkBuilder("splits"), evidence.told("split")
    if not isinstance(split, dict):
        link.fail("splits", "card.json", outcome="missing", detail="No card names them.")
        return link.build()
    repository, commit_id = str(split.get("repository")), str(split.get("commit_id"))
    link.fact("commit", f"lakefs://{repository}/{commit_id}")
    link.fact("strategy", split.get("strategy"))
    objects = _objects(link, evidence.places.store, repository, commit_id, prefix="splits/")
    for part in split.get("parts", []):
        name, path = str(part.get("part")), str(part.get("path"))
        link.fact(name, f"{part.get('n_rows', 0):,} rows, sha256 {part.get('sha256')}")
        if objects is None:
            continue
        where = f"lakefs://{repository}/{commit_id}/{path}"
        if path not in objects:
            link.digest(f"part {name}", where, expected=str(part.get("sha256")), found=None)
        elif _object(link, evidence.places.store, repository, commit_id, objects[path]):
            # Parsers of altered files are not asked.
            n_rows, found = _rows_sha256(evidence.places.store, repository, commit_id, path)
            link.digest(f"rows of {name}", where, expected=str(part.get("sha256")), found=found)
            link.record(f"number of rows of {name}", where, expected=part["n_rows"], found=n_rows)
    return link.build()


def _rows_sha256(
    store: SnapshotStore, repository: str, commit_id: str, path: str
) -> tuple[int, str]:
    """Return how many row numbers a file holds and `splits.rows_sha256` of them, in blocks."""
    digest, n_rows = hashlib.sha256(), 0
    rows = store.scan(repository, commit_id, path).select("row")
    for batch in rows.collect_batches(chunk_size=_BLOCK_ROWS, maintain_order=True):
        numbers = np.ascontiguousarray(batch["row"].to_numpy(), dtype="<i8")
        digest.update(numbers.data)
        n_rows += len(numbers)
    return n_rows, digest.hexdigest()


def data_link(evidence: Evidence) -> Link:
    """Read every object at the data commit again, and compute the content digest from them."""
    link, data = LinkBuilder("data"), evidence.told("data")
    if not isinstance(data, dict):
        link.fail("data", "card.json", outcome="missing", detail="No card names the data commit.")
        return link.build()
    repository, commit_id = str(data.get("repository")), str(data.get("commit_id"))
    link.fact("commit", f"lakefs://{repository}/{commit_id}/{data.get('path')}")
    link.fact("content", f"sha256 {data.get('content_sha256')}")
    for step in data.get("rows", []):
        link.fact(str(step.get("step")), f"{step.get('n_rows', 0):,} rows")
    store = evidence.places.store
    objects = _objects(link, store, repository, commit_id)
    if objects is None:
        return link.build()
    uri = f"lakefs://{repository}/{commit_id}/"
    found = {
        path: _object_sha256(link, store, repository, commit_id, info)
        for path, info in objects.items()
    }
    whole = None if None in found.values() else canonical_sha256(sorted(map(list, found.items())))
    link.digest("content digest", uri, expected=str(data.get("content_sha256")), found=whole)
    return link.build()


def _objects(
    link: LinkBuilder, store: SnapshotStore, repository: str, commit_id: str, prefix: str = ""
) -> dict[str, ObjectInfo] | None:
    """Return the objects at a commit by path, or None and a failed check."""
    where = f"lakefs://{repository}/{commit_id}/"
    try:
        return {item.path: item for item in store.objects(repository, commit_id, prefix)}
    except SnapshotError as error:
        link.unreadable("commit", where, error)
        return None


def _object_sha256(
    link: LinkBuilder, store: SnapshotStore, repository: str, commit_id: str, info: ObjectInfo
) -> str | None:
    """Check the bytes of an object, and return their digest as they are now."""
    where = f"lakefs://{repository}/{commit_id}/{info.path}"
    try:
        found = store.read_sha256(repository, commit_id, info.path)
    except SnapshotError as error:
        link.fail(info.path, where, outcome="missing", expected=info.sha256, detail=str(error))
        return None
    link.digest(info.path, where, expected=info.sha256, found=found)
    return found


def _object(
    link: LinkBuilder, store: SnapshotStore, repository: str, commit_id: str, info: ObjectInfo
) -> bool:
    return _object_sha256(link, store, repository, commit_id, info) == info.sha256


def source_link(evidence: Evidence, accepted_commit: str | None) -> Link:
    """Compare what was recorded of the source; its bytes are those of the snapshot now.

    Args:
        accepted_commit: What the accepted request says the source's ref stood for; None
            where the request cannot be read.
    """
    link, data = LinkBuilder("source"), evidence.told("data")
    if not isinstance(data, dict):
        return link.build()
    link.fact("source", data.get("source"))
    link.fact("sha256", data.get("source_sha256"))
    told = _told_sources(evidence)
    for where, digest in told.items():
        expected = data.get("source_sha256")
        link.record("digest of the source", where, expected=expected, found=digest)
    commit = str(data.get("source_commit") or "")
    if commit:
        link.fact("commit", commit)
        if accepted_commit is not None:
            where = "accepted.json of the request"
            link.record("commit of the source", where, expected=commit, found=accepted_commit)
    link.note("The source itself is not read again: the model was made from the data commit.")
    return link.build()


def _told_sources(evidence: Evidence) -> dict[str, Any]:
    """Return the other records of the source's digest, by where they stand."""
    told = {"identity in card.json": evidence.told("identity", "source_sha256")}
    asked = evidence.told("request", "data", "sha256")
    return {**told, **({"data.sha256 of the request": asked} if asked else {})}
