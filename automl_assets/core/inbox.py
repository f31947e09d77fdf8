"""The port through which request files come in, and what it hands out."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from automl_assets.core.ports import AcceptedRequests

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.values import AcceptedRequest


@dataclass(frozen=True, kw_only=True)
class InboxFile:
    """A file in the inbox that nobody is writing any more.

    Attributes:
        content: What it holds; one byte more than a request may have if it has more.
        fingerprint: Changes when the file is written again.
        problem: Why the file cannot be read at all; None if it can.
    """

    path: Path
    content: bytes
    fingerprint: str
    problem: str | None = None


class RequestInbox(AcceptedRequests):
    """Takes requests in: the inbox is the queue, a file leaves it when its run exists.

    Every method may be repeated, also after a kill at any point.
    """

    @abstractmethod
    def submit(self, text: str, filename: str, *, again: bool = True) -> Path:
        """Put a request into the inbox, as if its file were dropped there.

        Args:
            text: The request as it was written.
            filename: What the file is called where it came from.
            again: Whether a file that is there already, perhaps rejected, is tried again.

        Returns:
            The file in the inbox.
        """

    @abstractmethod
    def pending(self, *, now: datetime, limit: int) -> list[InboxFile]:
        """Return files that are settled and not rejected, oldest first."""

    @abstractmethod
    def accept(
        self,
        request: "TrainingRequest",
        *,
        text: str,
        source: str,
        now: datetime,
        data_commit: str = "",
    ) -> "AcceptedRequest":
        """Keep a request for good; the first acceptance wins and is returned ever after.

        Args:
            request: What was asked for.
            text: The request as it was written.
            source: Where it came from, for the audit.
            now: The time of acceptance, with its time zone.
            data_commit: The commit that `data.ref` stands for.
        """

    @abstractmethod
    def is_known(self, request_id: str) -> bool:
        """Return whether a request with this id was accepted."""

    @abstractmethod
    def templates(self) -> "list[AcceptedRequest]":
        """Return, for each model name whose newest request asks for retraining, that request."""

    @abstractmethod
    def reject(self, file: InboxFile, message: str) -> None:
        """Write why a file was refused beside it; it is not tried again until it changes."""

    @abstractmethod
    def forget(self, file: InboxFile) -> None:
        """Remove a file whose run exists, unless it was written again since."""
