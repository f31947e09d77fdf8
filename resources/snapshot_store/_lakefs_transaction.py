"""One transaction: a hidden branch where objects wait for their commit."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from automl_assets.core.errors import AutoMLError
from automl_assets.core.ports import ObjectInfo, WriteTransaction
from resources.snapshot_store._lakefs_answers import (
    CONFLICT,
    Refused,
    Server,
)
from resources.snapshot_store._lakefs_client import CommitRecord, ControlPlane
from resources.snapshot_store._lakefs_data import DataPlane, digest_of
from resources.snapshot_store._lakefs_names import (
    BASE,
    CONTENT,
    KEY,
    check_lakefs_path,
    staging_branch,
)
from resources.snapshot_store._lakefs_publish import Target, act_once
from resources.snapshot_store._names import content_digest

_logger = logging.getLogger(__name__)


class KnownTransaction(WriteTransaction):
    """A transaction whose key was committed before: what is put is checked and forgotten."""

    def put_file(self, path: str, local: Path) -> None:
        """Check the path."""
        check_lakefs_path(path)

    def put_bytes(self, path: str, content: bytes) -> None:
        """Check the path."""
        check_lakefs_path(path)

    def remove(self, path: str) -> None:
        """Check the path."""
        check_lakefs_path(path)


class LakeFSTransaction(WriteTransaction):
    """Objects that are uploaded to a hidden branch of their own as they are put.

    So neither readers nor other writers of the branch ever see them before the commit.
    """

    def __init__(
        self, target: Target, *, server: Server, control: ControlPlane, data: DataPlane
    ) -> None:
        self._target = target
        self._server = server
        self._control = control
        self._data = data
        self._staging: str | None = None
        self._before: dict[str, ObjectInfo] | None = None
        self._after: dict[str, ObjectInfo] = {}

    def put_file(self, path: str, local: Path) -> None:
        """Add a finished local file."""
        self._put(path, local)

    def put_bytes(self, path: str, content: bytes) -> None:
        """Add a small object."""
        self._put(path, content)

    def remove(self, path: str) -> None:
        """Leave out an object of the branch's head, or one put before, if it is there."""
        check_lakefs_path(path)
        self._look()
        if self._after.pop(path, None) is not None:
            repository, branch = self._target.repository, self._open()
            self._control.delete_object(repository, branch, path)

    def discard(self) -> None:
        """Delete the hidden branch; what a dead server leaves behind does no harm."""
        if self._staging is None:
            return
        try:
            self._control.delete_branch(self._target.repository, self._staging)
        except AutoMLError as error:
            _logger.warning("branch %r is left in lakeFS: %s", self._staging, error)

    def commit_staged(self) -> CommitRecord | None:
        """Commit the hidden branch; None if nothing differs from the branch's head."""
        target, staging = self._target, self._staging
        if staging is None or _digests(self._after) == _digests(self._before or {}):
            return None
        metadata = {
            **target.metadata,
            KEY: target.key,
            CONTENT: digest_of_objects(self._after.values()),
            BASE: target.base,
        }

        def find() -> CommitRecord | None:
            head = self._control.branch(target.repository, staging)
            moved = head is not None and head != target.base
            return self._control.get_commit(target.repository, head) if head and moved else None

        return act_once(
            self._server,
            f"The commit of key {target.key!r}",
            find,
            lambda: self._control.commit(target.repository, staging, target.message, metadata),
            left=f"The uploaded objects are on branch {staging!r} of {target.repository!r}.",
        )

    def _put(self, path: str, content: Path | bytes) -> None:
        check_lakefs_path(path)
        self._look()
        size, sha256 = digest_of(content)
        known = self._after.get(path)
        if known is not None and known.sha256 == sha256:
            return
        repository, branch = self._target.repository, self._open()
        try:
            kept = self._data.upload(repository, branch, path, content, sha256)
        except Refused as error:
            raise self._server.refused(f"Uploading {path!r}", error) from error
        if not kept:
            self._control.set_sha256(repository, branch, path, sha256)
        self._after[path] = ObjectInfo(path=path, size_bytes=size, sha256=sha256)

    def _look(self) -> None:
        """Learn what the branch's head holds."""
        if self._before is None:
            found = self._control.objects(self._target.repository, self._target.base)
            self._before = {} if self._target.is_new else {item.path: item for item in found}
            self._after = dict(self._before)

    def _open(self) -> str:
        if self._staging is None:
            name = staging_branch()
            try:
                self._control.create_branch(
                    self._target.repository, name, self._target.base, hidden=True
                )
            except Refused as error:
                if error.status != CONFLICT:  # an earlier try, whose answer was lost, made it
                    raise self._server.refused(f"Making branch {name!r}", error) from error
            self._staging = name
        return self._staging


def digest_of_objects(objects: Iterable[ObjectInfo]) -> str:
    """Return the content digest; an object without a digest counts by its checksum."""
    return content_digest(
        item if item.sha256 else replace(item, sha256=f"etag:{item.checksum}") for item in objects
    )


def _digests(objects: Mapping[str, ObjectInfo]) -> dict[str, str]:
    return {path: item.sha256 or f"etag:{item.checksum}" for path, item in objects.items()}
