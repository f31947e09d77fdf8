"""The calls of lakeFS's API that are not about bytes; the only module that knows lakefs-client.

The client is generated code that reached its end of life: its models go no further
than this module, and its uploads and downloads, which hold whole files in memory, are
not used.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3

from automl_assets.core.ports import ObjectInfo
from resources.snapshot_store._lakefs_answers import NOT_FOUND, Account, Refused, Server

_PAGE = 1_000
_LOG_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class CommitRecord:
    """A commit as the server tells it."""

    commit_id: str
    parents: tuple[str, ...]
    message: str
    metadata: Mapping[str, str]
    created_at: str


class ControlPlane:
    """Repositories, branches, commits, tags and the names of objects.

    Every method asks until there is an answer, but `commit` and `merge`, which ask
    once, raise `Unanswered`, and leave it to the caller to look what became of it.
    Safe in threads; a fork needs its own.
    """

    def __init__(self, server: Server, account: Account) -> None:
        import lakefs_client
        from lakefs_client import models
        from lakefs_client.client import LakeFSClient
        from lakefs_client.exceptions import ApiException, OpenApiException

        configuration = lakefs_client.Configuration(
            host=f"{server.endpoint}/api/v1",
            username=account.access_key_id,
            password=account.secret.get_secret_value(),
        )
        configuration.ssl_ca_cert = str(account.ca_bundle) if account.ca_bundle else None
        configuration.retries = False  # a repeated commit needs a look first
        configuration.connection_pool_maxsize = 16
        self._server = server
        self._client: Any = LakeFSClient(configuration)
        self._models: Any = models
        self._api_error: Any = ApiException
        self._client_error: Any = OpenApiException

    def create_repository(self, name: str, namespace: str, default_branch: str) -> None:
        """Make a repository; Refused 409 if there is one."""
        wanted = self._models.RepositoryCreation(
            name=name, storage_namespace=namespace, default_branch=default_branch
        )
        create = self._client.repositories_api.create_repository
        self._ask(f"Making repository {name!r}", create, wanted)

    def default_branch(self, repository: str) -> str | None:
        """Return the default branch of a repository, or None if there is no such one."""
        get = self._client.repositories_api.get_repository
        found = self._find(f"Looking for repository {repository!r}", get, repository)
        return found.default_branch if found else None

    def repositories(self) -> list[str]:
        """Return the names of all repositories."""
        pages = self._pages("Listing repositories", self._client.repositories_api.list_repositories)
        try:
            return [item.id for item in pages]
        except Refused as error:
            raise self._server.stranger(f"{error.status} {error.message}") from error

    def create_branch(self, repository: str, name: str, source: str, *, hidden: bool) -> None:
        """Make a branch at a commit; Refused 409 if there is one."""
        optional = {"hidden": True} if hidden else {}
        wanted = self._models.BranchCreation(name=name, source=source, **optional)
        create = self._client.branches_api.create_branch
        self._ask(f"Making branch {name!r} of {repository!r}", create, repository, wanted)

    def branch(self, repository: str, name: str) -> str | None:
        """Return the commit id of a branch's head, or None if there is no such branch."""
        get = self._client.branches_api.get_branch
        found = self._find(f"Looking for branch {name!r}", get, repository, name)
        return found.commit_id if found else None

    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch that is listed."""
        listed = self._client.branches_api.list_branches
        pages = self._pages(f"Listing the branches of {repository!r}", listed, repository)
        return {item.id: item.commit_id for item in pages}

    def delete_branch(self, repository: str, name: str) -> None:
        """Delete a branch, or do nothing if it is not there."""
        delete = self._client.branches_api.delete_branch
        self._find(f"Deleting branch {name!r} of {repository!r}", delete, repository, name)

    def commit(
        self, repository: str, branch: str, message: str, metadata: Mapping[str, str]
    ) -> CommitRecord:
        """Commit what is staged on a branch; asks once."""
        wanted = self._models.CommitCreation(message=message, metadata=dict(metadata))
        return _record(self._once(self._client.commits_api.commit, repository, branch, wanted))

    def get_commit(self, repository: str, commit_id: str) -> CommitRecord | None:
        """Return a commit, or None if the repository has none with this id."""
        get = self._client.commits_api.get_commit
        found = self._find(f"Looking for commit {commit_id}", get, repository, commit_id)
        return _record(found) if found and found.id == commit_id else None

    def log(self, repository: str, ref: str, *, first_parent: bool) -> Iterator[CommitRecord]:
        """Yield the commits that led to a ref, newest first."""
        listed = self._client.refs_api.log_commits
        pages = self._pages(
            f"Reading the log of {ref!r}",
            listed,
            repository,
            ref,
            amount=_LOG_PAGE,
            first_parent=first_parent,
        )
        return (_record(item) for item in pages)

    def diff(
        self, repository: str, left: str, right: str, *, since_base: bool
    ) -> Iterator[tuple[str, str]]:
        """Yield path and kind of each object at `right` that differs.

        Args:
            since_base: Compare with what both have in common, not with `left`; the kind
                is then `conflict` where `left` has changed it too.
        """
        pages = self._pages(
            f"Comparing {left!r} and {right!r}",
            self._client.refs_api.diff_refs,
            repository,
            left,
            right,
            amount=_PAGE,
            type="three_dot" if since_base else "two_dot",
        )
        return ((item.path, item.type) for item in pages)

    def merge(
        self,
        repository: str,
        source: str,
        destination: str,
        *,
        message: str,
        metadata: Mapping[str, str],
        strategy: str | None = None,
    ) -> None:
        """Merge a ref into a branch; asks once.

        Args:
            strategy: `source-wins` or `dest-wins`; a conflict is Refused 409 if None.
        """
        optional = {"strategy": strategy} if strategy else {}
        wanted = self._models.Merge(message=message, metadata=dict(metadata), **optional)
        merge = self._client.refs_api.merge_into_branch
        self._once(merge, repository, source, destination, merge=wanted)

    def create_tag(self, repository: str, name: str, commit_id: str) -> None:
        """Make a tag; Refused 409 if there is one."""
        wanted = self._models.TagCreation(id=name, ref=commit_id)
        create = self._client.tags_api.create_tag
        self._ask(f"Making tag {name!r} of {repository!r}", create, repository, wanted)

    def tag(self, repository: str, name: str) -> str | None:
        """Return the commit id of a tag, or None if there is no such tag."""
        get = self._client.tags_api.get_tag
        found = self._find(f"Looking for tag {name!r}", get, repository, name)
        return found.commit_id if found else None

    def tags(self, repository: str) -> dict[str, str]:
        """Return the commit id of each tag."""
        listed = self._client.tags_api.list_tags
        pages = self._pages(f"Listing the tags of {repository!r}", listed, repository)
        return {item.id: item.commit_id for item in pages}

    def objects(self, repository: str, ref: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects at a ref whose path starts with `prefix`."""
        pages = self._pages(
            f"Listing the objects at {ref!r}",
            self._client.objects_api.list_objects,
            repository,
            ref,
            amount=_PAGE,
            user_metadata=True,
            **({"prefix": prefix} if prefix else {}),
        )
        return (_object(item) for item in pages if item.path_type == "object")

    def stat(self, repository: str, ref: str, path: str) -> ObjectInfo | None:
        """Return one object at a ref, or None if it, the ref or the repository is not there."""
        stat = self._client.objects_api.stat_object
        found = self._find(f"Looking for {path!r}", stat, repository, ref, path, user_metadata=True)
        return _object(found) if found else None

    def delete_object(self, repository: str, branch: str, path: str) -> None:
        """Remove an object from a branch, or do nothing if it is not there."""
        delete = self._client.objects_api.delete_object
        self._find(f"Removing {path!r}", delete, repository, branch, path)

    def set_sha256(self, repository: str, branch: str, path: str, sha256: str) -> None:
        """Write the digest of an object's bytes into its metadata."""
        digest = self._models.ObjectUserMetadata(sha256=sha256)
        wanted = self._models.UpdateObjectUserMetadata(set=digest)
        update = self._client.objects_api.update_object_user_metadata
        self._ask(f"Describing {path!r}", update, repository, branch, path, wanted)

    def _once(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        patience = self._server.patience
        limits = (patience.connect_seconds, patience.answer_seconds)
        try:
            return call(*arguments, _request_timeout=limits, **options)
        except self._api_error as error:
            self._server.refuse(error.status, error.body)
        except (AttributeError, UnicodeDecodeError) as error:
            # The client decodes the answer's body, which may be no text or none at all.
            api_error: Any = error.__context__
            if not isinstance(api_error, self._api_error):
                raise
            if not api_error.status:
                self._server.unreachable(api_error)
            self._server.refuse(api_error.status, api_error.body)
        except urllib3.exceptions.HTTPError as error:
            self._server.unreachable(error)
        except self._client_error as error:
            raise self._server.stranger(str(error)) from error

    def _ask(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self._server.ask(what, lambda: self._once(call, *arguments, **options))

    def _find(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return self._ask(what, call, *arguments, **options)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise self._server.refused(what, error) from error
            return None

    def _pages(
        self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Iterator[Any]:
        after: dict[str, str] = {}
        options = {"amount": _PAGE} | options
        while True:
            page = self._ask(what, call, *arguments, **options, **after)
            yield from page.results
            if not page.pagination.has_more:
                return
            after = {"after": page.pagination.next_offset}
            options["amount"] = _PAGE  # who goes on reading reads far


def _record(found: Any) -> CommitRecord:
    return CommitRecord(
        commit_id=found.id,
        parents=tuple(found.parents),
        message=found.message,
        metadata=dict(found.get("metadata") or {}),
        created_at=datetime.fromtimestamp(found.creation_date, UTC).isoformat(),
    )


def _object(found: Any) -> ObjectInfo:
    """Read an object's digest from its metadata, however the server spells the key.

    Objects that came through the S3 gateway keep the header's name as the key.
    """
    for key, value in (found.to_dict().get("metadata") or {}).items():
        name = key.lower().removeprefix("x-amz-meta-").removeprefix("x-lakefs-meta-")
        if name == "sha256":
            sha256 = value
            break
    else:
        sha256 = ""
    return ObjectInfo(
        path=found.path,
        size_bytes=found.get("size_bytes") or 0,
        sha256=sha256,
        checksum=found.checksum,
    )
