"""A snapshot store on a lakeFS server."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.files import publishing
from automl_assets.core.ports import Change, Commit, ObjectInfo, SnapshotStore, WriteTransaction
from resources.snapshot_store._lakefs_answers import CONFLICT, Account, Patience, Refused, Server
from resources.snapshot_store._lakefs_client import ControlPlane
from resources.snapshot_store._lakefs_data import DataPlane, Gateway
from resources.snapshot_store._lakefs_lookup import Lookup
from resources.snapshot_store._lakefs_merge import Merge, changes
from resources.snapshot_store._lakefs_names import check_lakefs_branch, pin_branch
from resources.snapshot_store._lakefs_publish import Publisher, Target
from resources.snapshot_store._lakefs_transaction import KnownTransaction, LakeFSTransaction
from resources.snapshot_store._names import branch_of_key, check_key, check_tag_name

if TYPE_CHECKING:
    import polars as pl

    from automl_assets.settings import Settings


@dataclass(frozen=True, kw_only=True)
class _Connection:
    """What one process has open."""

    process_id: int
    control: ControlPlane
    data: DataPlane
    lookup: Lookup


class LakeFSSnapshotStore(SnapshotStore):
    """Tables under version control on a lakeFS server.

    Names, commits and uploads go through the API, tables are scanned through the S3
    gateway. A new branch starts at the repository's first commit, which holds nothing
    and is therefore told to nobody. Pins are hidden branches, since lakeFS collects
    what only tags name.

    Args:
        endpoint: URL of the server.
        storage_namespace: Where lakeFS keeps the objects of new repositories; each gets a
            folder in it.
        s3_endpoint: URL of the S3 gateway; the server itself if None.
        ca_bundle: Certificates to trust, in PEM; those of the system if None. Scans
            trust what the environment variable SSL_CERT_FILE names.
        patience: How long to go on asking.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        access_key_id: str,
        secret_access_key: SecretStr | str,
        storage_namespace: str,
        s3_endpoint: str | None = None,
        region: str = "us-east-1",
        ca_bundle: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        if isinstance(secret_access_key, str):
            secret_access_key = SecretStr(secret_access_key)
        self._account = Account(
            access_key_id=access_key_id, secret=secret_access_key, ca_bundle=ca_bundle
        )
        self._storage_namespace = storage_namespace.rstrip("/")
        self._region = region
        endpoint = endpoint.rstrip("/").removesuffix("/api/v1")
        self._s3_endpoint = (s3_endpoint or endpoint).rstrip("/")
        self._server = Server(endpoint, secret_access_key, patience or Patience())
        self._connection: _Connection | None = None

    def __repr__(self) -> str:
        """Tell the server and no secret."""
        return f"{type(self).__name__}(endpoint={self._server.endpoint!r})"

    @classmethod
    def from_settings(cls, settings: "Settings") -> "LakeFSSnapshotStore":
        """Return the store that the operator's settings name.

        Raises:
            RequestError: A variable is missing.
        """
        needed = {
            name: getattr(settings, f"lakefs_{name}")
            for name in ("endpoint", "access_key_id", "secret_access_key", "storage_namespace")
        }
        missing = [f"AUTOML_LAKEFS_{name.upper()}" for name, value in needed.items() if not value]
        if missing:
            raise RequestError(
                "A lakeFS server is named with its endpoint, both keys and a storage namespace. "
                f"Not set: {', '.join(missing)}. Set them, or none to keep data in a folder."
            )
        return cls(
            **needed,
            s3_endpoint=settings.lakefs_s3_endpoint,
            region=settings.lakefs_region,
            ca_bundle=settings.lakefs_ca_bundle,
        )

    def ensure_repository(self, repository: str) -> None:
        """Make the repository if it is not there; the second call does nothing."""
        self._lookup.ensure_repository(repository, f"{self._storage_namespace}/{repository}")

    def find(self, repository: str, key: str) -> Commit | None:
        """Return the commit that was written under an idempotency key, if there is one."""
        return self._lookup.find(repository, branch_of_key(key), key)

    @contextmanager
    def write(
        self,
        repository: str,
        *,
        branch: str,
        key: str,
        message: str,
        metadata: Mapping[str, str],
    ) -> Iterator[WriteTransaction]:
        """Open a transaction on a branch; see the port."""
        check_lakefs_branch(branch)
        check_key(key, branch)
        known = self.find(repository, key)
        if known is not None:
            done = KnownTransaction()
            yield done
            done.commit = known
            return
        head = self._lookup.head(repository, branch)
        target = Target(
            repository=repository,
            branch=branch,
            key=key,
            message=message,
            metadata=metadata,
            base=head or self._lookup.first_commit(repository),
            is_new=head is None,
        )
        server, control = self._server, self._control
        transaction = LakeFSTransaction(target, server=server, control=control, data=self._data)
        try:
            yield transaction
            staged = transaction.commit_staged()
            record = Publisher(target, server=server, control=control).publish(staged)
            transaction.commit = self._lookup.commit(repository, record)
        finally:
            transaction.discard()

    def resolve(self, repository: str, ref: str) -> Commit:
        """Return the commit of a commit id, branch name or tag name; see the port."""
        return self._lookup.commit(repository, self._lookup.resolve(repository, ref))

    def objects(self, repository: str, commit_id: str, prefix: str = "") -> list[ObjectInfo]:
        """List the objects at a commit whose path starts with `prefix`, sorted by path."""
        self._lookup.record(repository, commit_id)
        listed = self._control.objects(repository, commit_id, prefix)
        return sorted(listed, key=lambda item: item.path)

    def scan(self, repository: str, commit_id: str, path: str) -> "pl.LazyFrame":
        """Open a Parquet object lazily; see the port."""
        self._lookup.object(repository, commit_id, path)
        gateway = Gateway(endpoint=self._s3_endpoint, region=self._region, account=self._account)
        return gateway.scan(repository, commit_id, path, self._server.patience)

    def read_bytes(self, repository: str, commit_id: str, path: str) -> bytes:
        """Read a small object whole; its digest is verified."""
        info = self._lookup.object(repository, commit_id, path)
        content = BytesIO()
        self._data.fetch(repository, commit_id, info, content)
        return content.getvalue()

    def download(self, repository: str, commit_id: str, path: str, target: Path) -> None:
        """Copy an object of any size to a new local file; see the port."""
        info = self._lookup.object(repository, commit_id, path)
        with publishing(target) as temporary, temporary.open("wb") as file:
            self._data.fetch(repository, commit_id, info, file)

    def read_sha256(self, repository: str, commit_id: str, path: str) -> str | None:
        """Return the SHA-256 of an object's bytes as they are now; see the port."""
        info = self._lookup.object(repository, commit_id, path)
        return self._data.sha256(repository, commit_id, info.path)

    def log(
        self, repository: str, ref: str, *, limit: int = 100, after: str | None = None
    ) -> list[Commit]:
        """Return the commits that led to a ref, newest first; see the port."""
        start = self._lookup.resolve(repository, ref).commit_id
        records = self._lookup.log(repository, start)
        if after is not None and all(record.commit_id != after for record in records):
            raise SnapshotError(
                "A page of a log begins after a commit of that log. "
                f"{after!r} did not lead to {ref!r} of {repository!r}. Read it from its start."
            )
        page = islice(records, limit)  # goes on where the search for `after` ended
        return [self._lookup.commit(repository, record) for record in page]

    def diff(self, repository: str, left: str, right: str) -> list[Change]:
        """Return how the objects at ref `right` differ from those at ref `left`."""
        before = self._lookup.resolve(repository, left).commit_id
        after = self._lookup.resolve(repository, right).commit_id
        return changes(self._control, repository, before, after)

    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch, sorted by name; pins are no branches."""
        return self._lookup.heads(repository)

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch; its commits can still be read. Deleting none does nothing."""
        check_lakefs_branch(branch)
        if self._lookup.head(repository, branch) is not None:
            self._control.delete_branch(repository, branch)

    def tag(self, repository: str, name: str, commit_id: str) -> None:
        """Name a commit for good; see the port."""
        check_tag_name(name)
        self._lookup.record(repository, commit_id)
        try:
            self._control.create_tag(repository, name, commit_id)
        except Refused as error:
            found = self._control.tag(repository, name) if error.status == CONFLICT else None
            if found is None:
                raise self._server.refused(f"Making tag {name!r}", error) from error
            if found != commit_id:
                raise SnapshotError(
                    f"A tag names one commit for good. {name!r} of {repository!r} names commit "
                    f"{found[:10]}, not {commit_id[:10]}. Choose another name."
                ) from error

    def tags(self, repository: str) -> dict[str, str]:
        """Return the commit id of each tag, sorted by name."""
        self._lookup.root(repository)
        return dict(sorted(self._control.tags(repository).items()))

    def merge(self, repository: str, *, source: str, destination: str, message: str) -> Commit:
        """Bring the changes of branch `source` into branch `destination`; see the port."""
        check_lakefs_branch(destination)
        head = self._lookup.head(repository, source)
        if head is None:
            self._lookup.unknown_ref(repository, source, "branch")
        merge = Merge(
            server=self._server,
            control=self._control,
            repository=repository,
            source=source,
            source_commit=head,
            destination=destination,
            message=message,
        )
        return self._lookup.commit(repository, self._lookup.record(repository, merge.run()))

    def pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Keep a commit from garbage collection on behalf of `owner`; idempotent."""
        self._lookup.record(repository, commit_id)
        name = pin_branch(commit_id, owner)
        try:
            self._control.create_branch(repository, name, commit_id, hidden=True)
        except Refused as error:
            if error.status != CONFLICT or self._control.branch(repository, name) != commit_id:
                raise self._server.refused(f"Making branch {name!r}", error) from error

    def unpin(self, repository: str, commit_id: str, owner: str) -> None:
        """Release what `owner` pinned; others' pins of the commit stay. Idempotent."""
        self._lookup.record(repository, commit_id)
        self._control.delete_branch(repository, pin_branch(commit_id, owner))

    @property
    def _control(self) -> ControlPlane:
        return self._connected().control

    @property
    def _data(self) -> DataPlane:
        return self._connected().data

    @property
    def _lookup(self) -> Lookup:
        return self._connected().lookup

    def _connected(self) -> _Connection:
        """Connect in each process anew: a forked one must not share its parent's sockets."""
        connection = self._connection
        if connection is None or connection.process_id != os.getpid():
            control = ControlPlane(self._server, self._account)
            connection = _Connection(
                process_id=os.getpid(),
                control=control,
                data=DataPlane(self._server, self._account),
                lookup=Lookup(self._server, control),
            )
            self._connection = connection
        return connection
