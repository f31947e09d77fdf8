"""Rows from a repository of the snapshot store, at the commit that a request is pinned to."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.ports import ObjectInfo, SnapshotStore, SourceTable
from automl_assets.core.request.sections import DEFAULT_REF
from resources.formats import parquet_content
from resources.sources._base import Access, OpenedTable, Source, Wanted
from resources.sources._tables import TableFile, check_number_of_files, join_files

if TYPE_CHECKING:
    from automl_assets.core.request.sections import Data

_SUFFIX = ".parquet"


class RepositorySource(Source):
    """A Parquet object, or a folder of them, at a commit."""

    name = "repository"

    def claims(self, data: "Data") -> bool:
        """Return whether the section names a repository."""
        return data.repository is not None

    def check(self, data: "Data", access: Access) -> None:
        """Find the objects at the commit, or at what `ref` stands for now."""
        store = _store(access)
        _objects(store, data, _commit_of(store, data))

    @contextmanager
    def open(self, data: "Data", access: Access, wanted: Wanted) -> Iterator[SourceTable]:
        """Open the objects where they are, as one table; see the base class."""
        store, repository = _store(access), str(data.repository)
        if data.commit is None:
            raise SnapshotError(
                "Rows of a repository are read at a commit, because branches move. "
                "data.commit is not set. Resolve data.ref first."
            )
        base, objects = _objects(store, data, data.commit)
        files = [
            TableFile(
                path=info.path[len(base) :],
                content=parquet_content(
                    store.scan(repository, data.commit, info.path),
                    name=info.path,
                    sha256=lambda info=info: info.sha256,
                ),
            )
            for info in objects
        ]
        description = f"lakefs://{repository}/{data.commit}/{data.table}"
        digest = store.resolve(repository, data.commit).content_sha256
        yield OpenedTable(
            description=description,
            frame=join_files(files, description=description),
            sha256=lambda: digest,
            # A commit never changes.
            state=lambda: str(data.commit),
        )


SOURCE = RepositorySource()


def _store(access: Access) -> SnapshotStore:
    if access.snapshot_store is None:
        raise RequestError(
            "A repository is read from the snapshot store, and none is configured here. "
            "Name a file under data.path."
        )
    return access.snapshot_store


def _commit_of(store: SnapshotStore, data: "Data") -> str:
    return data.commit or store.resolve(str(data.repository), data.ref or DEFAULT_REF).commit_id


def _objects(store: SnapshotStore, data: "Data", commit: str) -> tuple[str, list[ObjectInfo]]:
    """Return the folder that the objects of the table lie in, with `/`, and the objects."""
    repository, table = str(data.repository), str(data.table).strip("/")
    found = store.objects(repository, commit, table)
    single = [info for info in found if info.path == table]
    if single:
        _check_is_parquet(single[0].path)
        return table.rpartition("/")[0] + "/" if "/" in table else "", single
    folder = f"{table}/"
    below = [info for info in found if info.path.startswith(folder) and _is_data(info, folder)]
    if not below:
        _refuse_missing(store, data, commit, table)
    check_number_of_files(len(below), table)
    for info in below:
        _check_is_parquet(info.path)
    return folder, below


def _is_data(info: ObjectInfo, folder: str) -> bool:
    """Return whether an object is one of the table; writers mark others with `.` or `_`."""
    return not any(part.startswith((".", "_")) for part in info.path[len(folder) :].split("/"))


def _check_is_parquet(path: str) -> None:
    if not path.endswith(_SUFFIX):
        raise RequestError(
            f"Tables of a repository are Parquet. {path!r} does not end in {_SUFFIX}. "
            "Name the Parquet object, or the folder that holds nothing else."
        )


def _refuse_missing(store: SnapshotStore, data: "Data", commit: str, table: str) -> None:
    paths = [info.path for info in store.objects(str(data.repository), commit)]
    tables = [path for path in paths if path.endswith(_SUFFIX)]
    folders = sorted({str(folder) for path in tables for folder in PurePosixPath(path).parents})
    near = difflib.get_close_matches(table, [*tables, *folders], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SnapshotError(
        f"data.table must name a Parquet object or folder of {data.repository} at commit "
        f"{commit[:12]}. There is no {table!r}.{hint} Correct it."
    )
