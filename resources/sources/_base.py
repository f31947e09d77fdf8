"""What a source does: it opens what one kind of `data` section names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from automl_assets.core.ports import SnapshotStore, SourceTable

if TYPE_CHECKING:
    import polars as pl

    from automl_assets.core.request.sections import Data

DEFAULT_MAX_DOWNLOAD_BYTES = 50 * 2**30


@dataclass(frozen=True, kw_only=True)
class Access:
    """What the operator allows requests to read, and with what.

    Attributes:
        roots: Folders, absolute.
        home: The platform's own folder: closed even where it is inside a root.
        scratch: Where downloads go.
        url_prefixes: Starts of URLs.
        allow_private_addresses: Whether their hosts may be inside the company.
        max_download_bytes: Of one request, all files together.
        connections: SQLAlchemy URLs by name.
        snapshot_store: Where repositories are.
    """

    roots: tuple[Path, ...]
    home: Path
    scratch: Path
    url_prefixes: tuple[str, ...] = ()
    allow_private_addresses: bool = False
    max_download_bytes: int = DEFAULT_MAX_DOWNLOAD_BYTES
    connections: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    snapshot_store: SnapshotStore | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a source is wanted, beyond what the `data` section says.

    Attributes:
        text_columns: See `DataSources.open`.
        columns: Columns that are needed whatever `data.features` says, such as
            the column to split by.
    """

    text_columns: Collection[str] = ()
    columns: Collection[str] = ()


class Source(ABC):
    """A kind of place that rows come from. Stateless, so safe in threads and processes.

    Attributes:
        name: Equals the module's name.
    """

    name: str

    @abstractmethod
    def claims(self, data: "Data") -> bool:
        """Return whether this source, and no other, opens what the section names."""

    @abstractmethod
    def check(self, data: "Data", access: Access) -> None:
        """Check without reading rows that requests may read there; raises as `open`."""

    @abstractmethod
    def open(
        self, data: "Data", access: Access, wanted: Wanted
    ) -> AbstractContextManager[SourceTable]:
        """Open the rows; the exit removes what was downloaded. Raises as `DataSources.open`."""


class OpenedTable(SourceTable):
    """The rows of a source, opened.

    Attributes:
        warnings: What people should know about how the rows were read, in sentences.
    """

    def __init__(
        self,
        *,
        description: str,
        frame: "pl.LazyFrame",
        sha256: Callable[[], str],
        state: Callable[[], str],
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.description = description
        self.frame = frame
        self.warnings = warnings
        self._sha256 = sha256
        self._state = state

    def sha256(self) -> str:
        """Return the digest that names what is read."""
        return self._sha256()

    def state(self) -> str:
        """Return a text that changes if the source does."""
        return self._state()
