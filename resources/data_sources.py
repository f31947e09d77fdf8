"""All places that requests may read from, as the operator configured them."""

import difflib
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.ports import DataSources, SnapshotStore, SourceTable
from automl_assets.core.request.sections import DEFAULT_REF
from resources.sources import Access, Source, Wanted, load_sources
from resources.sources._base import DEFAULT_MAX_DOWNLOAD_BYTES

if TYPE_CHECKING:
    from automl_assets.core.request.sections import Data


class ConfiguredDataSources(DataSources):
    """Opens what requests name through the source plugins; see `resources.sources`.

    Not one of Dagster's configurable resources: their configuration is shown in
    the UI, and URLs of databases hold passwords.

    Args:
        roots: Folders that requests may read from.
        home: The platform's own folder: closed even where it is inside a root.
        scratch: Where downloads go until they are read; made at the first use.
        url_prefixes: Starts of URLs that requests may download from.
        allow_private_addresses: Whether their hosts may have private addresses.
        max_download_bytes: Largest download of one request.
        connections: SQLAlchemy URLs of the databases that requests may name.
        snapshot_store: Where repositories are.
    """

    def __init__(
        self,
        *,
        roots: tuple[Path, ...],
        home: Path,
        scratch: Path,
        url_prefixes: tuple[str, ...] = (),
        allow_private_addresses: bool = False,
        max_download_bytes: int = DEFAULT_MAX_DOWNLOAD_BYTES,
        connections: Mapping[str, SecretStr] | None = None,
        snapshot_store: SnapshotStore | None = None,
    ) -> None:
        self._access = Access(
            roots=roots,
            home=home,
            scratch=scratch,
            url_prefixes=url_prefixes,
            allow_private_addresses=allow_private_addresses,
            max_download_bytes=max_download_bytes,
            connections=connections or {},
            snapshot_store=snapshot_store,
        )

    def open(
        self,
        data: "Data",
        *,
        text_columns: Collection[str] = (),
        columns: Collection[str] = (),
    ) -> AbstractContextManager[SourceTable]:
        """Open what the `data` section of a request names; see the port.

        Args:
            columns: Columns that are needed although `data` does not name them; of
                a database nothing is read that is not needed.
        """
        wanted = Wanted(text_columns=text_columns, columns=columns)
        return _source_of(data).open(data, self._access, wanted)

    def check(self, data: "Data") -> None:
        """Check without reading rows that requests may read there; raises as `open`."""
        _source_of(data).check(data, self._access)

    def pin(self, data: "Data") -> "Data":
        """Return the section with `ref` resolved to `commit`, where it names a repository."""
        if data.repository is None or data.commit is not None:
            return data
        store, ref = self._store(), data.ref or DEFAULT_REF
        try:
            commit = store.resolve(data.repository, ref)
        except SnapshotError as error:
            branches = list(store.branches(data.repository))
            names = [*branches, *store.tags(data.repository)]
            near = difflib.get_close_matches(ref, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise SnapshotError(
                f"data.ref {ref!r} is not a branch, tag or commit of {data.repository}. "
                f"Branches: {', '.join(branches) or 'none'}{hint}"
            ) from error
        return data.model_copy(update={"commit": commit.commit_id})

    def read_text(self, data: "Data", path: str, *, max_bytes: int) -> str:
        """Return a small text file that lies with the data, such as a contract; see the port."""
        if data.repository is not None:
            content = self._read_object(self.pin(data), path, max_bytes)
        else:
            content = self._read_file(path, max_bytes)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RequestError(
                f"{path!r} must be text in UTF-8. It has byte 0x{content[error.start]:02x} at "
                f"offset {error.start:,}. Convert it to UTF-8."
            ) from error

    def _store(self) -> SnapshotStore:
        if self._access.snapshot_store is None:
            raise RequestError(
                "A repository is read from the snapshot store, and none is configured here. "
                "Name a file under data.path."
            )
        return self._access.snapshot_store

    def _read_object(self, data: "Data", path: str, max_bytes: int) -> bytes:
        store, repository, commit = self._store(), str(data.repository), str(data.commit)
        objects = {info.path: info for info in store.objects(repository, commit, path)}
        if path not in objects:
            near = difflib.get_close_matches(
                path, [info.path for info in store.objects(repository, commit)], n=1
            )
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise RequestError(
                f"{path!r} must be an object of {repository} at commit {commit[:12]}. "
                f"There is none.{hint} Correct the path."
            )
        _check_size(path, objects[path].size_bytes, max_bytes)
        return store.read_bytes(repository, commit, path)

    def _read_file(self, path: str, max_bytes: int) -> bytes:
        from resources.sources._local import locate

        file = locate(path, self._access.roots, closed=self._access.home)
        try:
            with file.open("rb") as opened:
                content = opened.read(max_bytes + 1)
        except OSError as error:
            raise RequestError(
                f"{path!r} must be readable. It is not: {error.strerror}. Check the permissions."
            ) from error
        _check_size(path, max(len(content), file.stat().st_size), max_bytes)
        return content


def _check_size(path: str, n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        raise RequestError(
            f"{path!r} may have {max_bytes:,} bytes. It has {n_bytes:,}. Make it smaller."
        )


def _source_of(data: "Data") -> Source:
    sources = load_sources().values()
    claiming = [source for source in sources if source.claims(data)]
    if len(claiming) != 1:
        raise RequestError(
            "Rows come from a file, a URL that starts with http, https, s3 or gs, a connection, or "
            f"a repository. {data.path or 'The data section'!r} is none of them. Correct it."
        )
    return claiming[0]
