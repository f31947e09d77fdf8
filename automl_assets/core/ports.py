"""What the domain asks of the outside world; `resources` holds the adapters.

Every adapter of a port passes the port's contract suite in `tests/contracts`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

    from automl_assets.core.release import ReleaseEvent
    from automl_assets.core.request.sections import Data
    from automl_assets.core.search.plan import Addition, SearchPlan, SearchStatus
    from automl_assets.core.search.tracking import SearchLog
    from automl_assets.core.values import AcceptedRequest, CandidateSet, ModelVersion
    from automl_assets.core.versioning import Bump, VersionFacts


@dataclass(frozen=True, kw_only=True)
class Commit:
    """An immutable state of a repository.

    Attributes:
        commit_id: 64 hexadecimal digits.
        content_sha256: Digest of the sorted (path, digest of the bytes) pairs
            of all objects: equal content has equal digests on every store.
        created_at: UTC, ISO 8601.
    """

    repository: str
    commit_id: str
    message: str
    metadata: Mapping[str, str]
    content_sha256: str
    parents: tuple[str, ...]
    created_at: str


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object at a commit.

    Attributes:
        sha256: Digest of the bytes; empty for an object that another program
            put into a repository without telling it.
        checksum: What the store itself knows the bytes by, such as an ETag; equal
            bytes that were put twice may have two.
    """

    path: str
    size_bytes: int
    sha256: str
    checksum: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """How one object differs between two commits."""

    path: str
    kind: Literal["added", "removed", "changed"]


class WriteTransaction(ABC):
    """Objects that become visible together, by one commit, or not at all."""

    commit: Commit
    """The commit; set once the `with` block has ended without error."""

    @abstractmethod
    def put_file(self, path: str, local: Path) -> None:
        """Add a finished local file; the store may move it, so it must not be used again."""

    @abstractmethod
    def put_bytes(self, path: str, content: bytes) -> None:
        """Add a small object."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Leave out an object of the branch's head, or one put before, if it is there."""


class SnapshotStore(ABC):
    """Tables under version control: repositories, commits, objects.

    Methods are safe in threads and processes. What was committed never changes
    and reads by commit id never see anything else. A method that changes
    something may be repeated after a failure whose outcome is unknown.

    All methods raise SnapshotError for what the caller or the data did wrong
    (no such repository, ref, path or commit; bad names) and ServiceError if a
    server refuses the credentials or does not answer, after retries. No message
    holds a secret.
    """

    @abstractmethod
    def ensure_repository(self, repository: str) -> None:
        """Make the repository if it is not there; the second call does nothing."""

    @abstractmethod
    def find(self, repository: str, key: str) -> Commit | None:
        """Return the commit that was written under an idempotency key, if there is one.

        A key names its branch: it starts with the branch's name, then `/`.
        """

    @abstractmethod
    def write(
        self,
        repository: str,
        *,
        branch: str,
        key: str,
        message: str,
        metadata: Mapping[str, str],
    ) -> AbstractContextManager[WriteTransaction]:
        """Open a transaction on a branch; a clean exit commits, an exception discards.

        The branch is made if it is not there, and then holds nothing but what is
        put. Objects of the branch's head stay unless their path is put again or
        removed.

        Args:
            key: Idempotency key, `<branch>/…`. If a commit with this key exists, the
                exit discards what was put and `commit` is the earlier one.
            metadata: Kept with the commit, together with the key and the content digest.

        Raises:
            SnapshotError: The disk is full or the store cannot be written, or the
                transaction changes nothing; the branch is as before.
        """

    @abstractmethod
    def resolve(self, repository: str, ref: str) -> Commit:
        """Return the commit of a commit id, branch name or tag name.

        Raises:
            SnapshotError: There is no such repository or ref; the message
                lists near names.
        """

    @abstractmethod
    def objects(self, repository: str, commit_id: str, prefix: str = "") -> list[ObjectInfo]:
        """List the objects at a commit whose path starts with `prefix`, sorted by path."""

    @abstractmethod
    def scan(self, repository: str, commit_id: str, path: str) -> "pl.LazyFrame":
        """Open a Parquet object lazily. Takes a commit id only: branches move.

        Raises:
            SnapshotError: No such commit or path.
        """

    @abstractmethod
    def read_bytes(self, repository: str, commit_id: str, path: str) -> bytes:
        """Read a small object whole; its digest is verified.

        Raises:
            SnapshotError: No such commit or path, or the bytes changed.
        """

    @abstractmethod
    def download(self, repository: str, commit_id: str, path: str, target: Path) -> None:
        """Copy an object of any size to a new local file, in pieces; its digest is verified.

        Raises:
            SnapshotError: No such commit or path, or the bytes changed; there is no file then.
        """

    @abstractmethod
    def read_sha256(self, repository: str, commit_id: str, path: str) -> str | None:
        """Read an object's bytes as they are now, in pieces, and return their SHA-256.

        Other than all that reads, it also answers for bytes that changed.

        Returns:
            None if the commit names the object, but its bytes are gone.

        Raises:
            SnapshotError: No such commit or path, or the bytes cannot be read.
        """

    @abstractmethod
    def log(
        self, repository: str, ref: str, *, limit: int = 100, after: str | None = None
    ) -> list[Commit]:
        """Return the commits that led to a ref, newest first.

        Args:
            limit: At most so many.
            after: A commit id that an earlier page ended with.
        """

    @abstractmethod
    def diff(self, repository: str, left: str, right: str) -> list[Change]:
        """Return how the objects at ref `right` differ from those at ref `left`, sorted by path."""

    @abstractmethod
    def branches(self, repository: str) -> dict[str, str]:
        """Return the commit id of each branch, sorted by name; pins are no branches."""

    @abstractmethod
    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch and its keys; its commits can still be read. Deleting none is fine."""

    @abstractmethod
    def tag(self, repository: str, name: str, commit_id: str) -> None:
        """Name a commit for good. The same name for the same commit again does nothing.

        Raises:
            SnapshotError: The name belongs to another commit, or is not valid.
        """

    @abstractmethod
    def tags(self, repository: str) -> dict[str, str]:
        """Return the commit id of each tag, sorted by name."""

    @abstractmethod
    def merge(self, repository: str, *, source: str, destination: str, message: str) -> Commit:
        """Bring the changes of branch `source` into branch `destination`, and return its head.

        If there is nothing to bring, the head stays as it is. A destination that is not
        there is made.

        Raises:
            SnapshotError: Both changed the same path to different content.
        """

    @abstractmethod
    def pin(self, repository: str, commit_id: str, owner: str) -> None:
        """Keep a commit from garbage collection on behalf of `owner`; idempotent."""

    @abstractmethod
    def unpin(self, repository: str, commit_id: str, owner: str) -> None:
        """Release what `owner` pinned; others' pins of the commit stay. Idempotent."""


class AcceptedRequests(ABC):
    """The requests that passed every check, as they were accepted; none ever changes."""

    @abstractmethod
    def load(self, request_id: str) -> "AcceptedRequest":
        """Return an accepted request.

        Raises:
            RequestError: There is none with this id; the message lists near ids.
        """

    @abstractmethod
    def files(self, request_id: str) -> Mapping[str, bytes]:
        """Return the files that were written when a request was accepted, as they are now.

        Raises:
            RequestError: There is none with this id; the message lists near ids.
        """


class SourceTable(ABC):
    """The rows of a source, opened to be read once.

    Attributes:
        description: How people know the source: a path, URL, `connection/table`
            or `lakefs://…`; holds no secret.
        frame: The rows, lazily, in a fixed order, with the names and types found.
        warnings: What a person should know about how they are read.
    """

    description: str
    frame: "pl.LazyFrame"
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def sha256(self) -> str:
        """Return the digest that names what is read.

        Of one file: of its bytes; of a Parquet file without `data.sha256`: of its
        footer, which tells sizes and statistics of all it holds. Of several: of the
        sorted (relative path, digest) pairs as canonical JSON. Of remote objects that
        are not downloaded: of their sorted (URL, size, ETag). Of an SQL table: of its
        rows as they were written down. Of a repository: its commit's content digest.
        """

    @abstractmethod
    def state(self) -> str:
        """Return a text that changes if the source does; cheap, asked before and after reading."""


class DataSources(ABC):
    """All places that requests may read from."""

    @abstractmethod
    def open(
        self, data: "Data", *, text_columns: Collection[str] = (), columns: Collection[str] = ()
    ) -> AbstractContextManager[SourceTable]:
        """Open what the `data` section of a request names; the exit removes what was downloaded.

        Args:
            text_columns: Columns that are read as the text that stands there, where
                the format leaves the type open. Names that are not there are ignored.
            columns: Columns that are needed beside those that the section names, where a
                source reads only what is needed.

        Raises:
            RequestError: The place is outside of what the operator allows, or unknown.
            SnapshotError: The data are missing, empty, of another format or unreadable.
            ServiceError: A server does not answer.
        """

    @abstractmethod
    def check(self, data: "Data") -> None:
        """Check without reading rows that requests may read there; raises as `open`."""

    @abstractmethod
    def pin(self, data: "Data") -> "Data":
        """Return the section with `ref` resolved to `commit`, where it names a repository.

        Raises:
            SnapshotError: There is no such repository or ref.
        """

    @abstractmethod
    def read_text(self, data: "Data", path: str, *, max_bytes: int) -> str:
        """Return a small text file that lies with the data, such as a contract.

        For a repository it is an object at the same commit; else a local file in the
        folders that requests may read from.

        Raises:
            RequestError: It is outside of them, missing, too large or no UTF-8 text.
        """


class StudyStorage(ABC):
    """Where Optuna keeps studies and trials."""

    @abstractmethod
    def url(self, study_name: str) -> str:
        """Return the storage URL of a study, as Optuna takes it; holds no secret."""


class EarlierSearches(ABC):
    """What searches found that ended before."""

    @abstractmethod
    def candidates(self, request_id: str) -> "CandidateSet | None":
        """Return what the search of a request found; None if it found nothing yet."""


class SearchRunner(ABC):
    """Runs the workers of a search until it is over."""

    @abstractmethod
    def run(
        self,
        plan: "SearchPlan",
        on_progress: "Callable[[SearchStatus], None]",
        *,
        log: "SearchLog | None" = None,
        added: "Addition | None" = None,
    ) -> "CandidateSet":
        """Run, or go on with, the search of a plan; return what it found.

        Finished trials of an earlier call are kept and not repeated; trials
        that were running when it died are run once more.

        Args:
            on_progress: Called about once a second with what is known.
            log: Where finished trials are written down.
            added: Time beyond the plan's; a number of trials no longer ends the search then.

        Raises:
            NoAdmissibleError: Candidates are there, and each breaks a limit.
            SearchError: No trial completed.
            ServiceError: Another process is running this search, or workers
                cannot be kept alive.
        """


@dataclass(frozen=True, kw_only=True)
class Registration:
    """All that is registered with a model version.

    Attributes:
        name: Registered-model name.
        request_sha256: With `artifact_sha256` the identity: registering the
            same pair again finds the version and makes no second one.
        package: Folder of the model package (`core.package`).
        report: Folder with report.html, card.json, card.md, and the probe.
        input_example: Up to five raw rows of the features.
        params, metrics, tags: For MLflow's run and version pages.
        data_uri: `lakefs://…` of the snapshot.
        facts: What the semantic version is decided by.
        bump: What the request says about it.
        alias: What the version gets when it arrives; None where it waits for approval.
        is_hidden: Whether it is found only by its number until it is promoted.
    """

    name: str
    owner: str
    request_id: str
    request_sha256: str
    request_yaml: str
    artifact_sha256: str
    card_sha256: str
    package: Path
    report: Path
    input_example: "pl.DataFrame"
    data_uri: str
    data_sha256: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    facts: "VersionFacts"
    bump: "Bump" = "auto"
    tags: Mapping[str, str] = field(default_factory=dict)
    alias: str | None = "challenger"
    is_hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class RegistryRecord:
    """All that a registry holds of one version, as it is now; nothing of it is verified.

    Attributes:
        where: How people find it, such as a URI; holds no secret.
        report: Folder with the files of the report; None where it is gone.
        model: Folder of what is served, the model package inside it; None where it is gone.
        package: Folder of the model package; None where it is gone.
        request_yaml: The request as it was registered; None where it is gone.
        facts: What the semantic version was decided by; None where it is gone.
        tags: Of the training run, which has those of the version, too.
        metrics: Of the training run.
        params: Of the training run.
        description: Of the version.
    """

    where: str
    report: Path | None
    model: Path | None
    package: Path | None
    request_yaml: bytes | None
    facts: bytes | None
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    description: str


class ModelRegistry(ABC):
    """Names and versions of models.

    A `reference` is a version number, a semantic version (`1.2.0`, with or without
    `+data…`) or an alias; None is the newest version that is not hidden.
    """

    @abstractmethod
    def register(self, registration: Registration) -> "ModelVersion":
        """Register a model, or find the version of an earlier call.

        May be killed at any point and called again: there is one version. Its semantic
        version follows from the version before it and is decided once; of two that
        register at the same time, each gets its own. The alias is set last, and only once:
        a version that was promoted or archived since keeps what it has.

        Raises:
            ServiceError: The registry refused or did not answer.
        """

    @abstractmethod
    def find(self, name: str, reference: str | None = None) -> "ModelVersion":
        """Return a version.

        Raises:
            RequestError: No such model or version; the message lists what there is.
        """

    @abstractmethod
    def fetch(self, name: str, reference: str | None = None) -> tuple["ModelVersion", Path]:
        """Return a version and the local folder of its model package.

        Raises:
            RequestError: No such model or version; the message lists what there is.
            SnapshotError: The package is not what was registered.
        """

    @abstractmethod
    def inspect(self, version: "ModelVersion") -> AbstractContextManager[RegistryRecord]:
        """Give out all that the registry holds of a version, as it is now; nothing is verified.

        What was downloaded is removed at the exit.

        Raises:
            ServiceError: The registry refused or did not answer.
        """

    @abstractmethod
    def set_alias(self, version: "ModelVersion", alias: str) -> None:
        """Point an alias to a version, wherever it points now; the version is hidden no more."""

    @abstractmethod
    def remove_alias(self, version: "ModelVersion", alias: str) -> None:
        """Take an alias away from a version, if it is the one that has it."""

    @abstractmethod
    def list_versions(self) -> "list[ModelVersion]":
        """Return all versions, newest first."""

    @abstractmethod
    def version_url(self, version: "ModelVersion") -> str | None:
        """Return the page of a version in the registry's UI, or None where no UI is known."""


class ReleaseLog(ABC):
    """What became of the versions of each model: events are added, and none ever changes.

    Methods are safe in threads and processes, also of several machines.
    """

    @abstractmethod
    def append(self, event: "ReleaseEvent") -> "ReleaseEvent":
        """Add an event at the end of its model's log.

        Args:
            event: Without `number` and `previous_sha256`. If it has a `key` that the log
                of its model holds already, nothing is added.

        Returns:
            The event as it stands in the log, with its number and the digest of the one before.

        Raises:
            SnapshotError: The log cannot be written.
            ServiceError: A server does not answer.
        """

    @abstractmethod
    def events(self, name: str) -> "list[ReleaseEvent]":
        """Return the events of a model, oldest first; there may be none.

        They are as the store holds them: `core.release.broken_link` says whether each
        follows from the one before it.

        Raises:
            SnapshotError: An event cannot be read, or is none.
        """


class Progress(ABC):
    """Hears what a run is doing; must return at once and never raise."""

    @abstractmethod
    def stage(self, name: str, text: str) -> None:
        """Tell one finished thing: a short label such as `read`, and a sentence."""

    @abstractmethod
    def search(self, status: "SearchStatus") -> None:
        """Tell how the search goes."""
