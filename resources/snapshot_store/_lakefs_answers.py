"""What a lakeFS server may answer, and how long to go on asking."""

import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import urllib3
from pydantic import SecretStr

from automl_assets.core.errors import ServiceError, SnapshotError

_logger = logging.getLogger(__name__)
_Found = TypeVar("_Found")

_COME_BACK = {408, 423, 429, 500, 502, 503, 504}
"""A lost race within lakeFS is 429 or 500, a locked repository 423; the others are proxies'."""

BAD_REQUEST, NOT_FOUND, CONFLICT, GONE = 400, 404, 409, 410

_LONGEST_QUOTE = 300


@dataclass(frozen=True, kw_only=True)
class Account:
    """How to be let in, and whom to trust.

    Attributes:
        ca_bundle: Certificates in PEM; those of the system if None.
    """

    access_key_id: str
    secret: SecretStr
    ca_bundle: Path | None


class Refused(SnapshotError):
    """The server understood and said no.

    Args:
        endpoint: Of the server.
        status: Of HTTP, such as 404 or 409.
        message: What it said.
    """

    def __init__(self, endpoint: str, status: int, message: str) -> None:
        super().__init__(
            f"lakeFS at {endpoint} must allow what is asked of it. It answered {status} "
            f"{message}. See what its hooks and protection rules say."
        )
        self.status = status
        self.message = message


class Unanswered(Exception):
    """Whether it was done is not known, or the server asked to come back later."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to go on asking a server that does not answer.

    Waits double and are drawn from zero to their length ("full jitter"), so that many
    clients do not come back together; see M. Brooker, "Exponential Backoff and Jitter".

    Attributes:
        seconds: Nothing is tried again after so long.
        connect_seconds: How long to wait for a connection.
        answer_seconds: How long to wait for an answer, or for its next bytes. Commits
            and merges of many objects take minutes.
    """

    seconds: float = 120
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 15
    connect_seconds: float = 10
    answer_seconds: float = 300

    @property
    def timeout(self) -> urllib3.Timeout:
        """The limits of one request."""
        return urllib3.Timeout(connect=self.connect_seconds, read=self.answer_seconds)

    def tries(self) -> Iterator[int]:
        """Yield 1, 2, … with a wait before each but the first, until the time is over."""
        started = time.monotonic()
        longest, number = self.first_wait_seconds, 1
        while True:
            yield number
            left = self.seconds - (time.monotonic() - started)
            if left <= 0:
                return
            time.sleep(min(random.uniform(0, longest), left))
            longest = min(2 * longest, self.longest_wait_seconds)
            number += 1


class Server:
    """A lakeFS server as messages name it, and the rules of asking it."""

    def __init__(self, endpoint: str, secret: SecretStr, patience: Patience) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self._secret = secret

    def ask(
        self, what: str, attempt: Callable[[], _Found], *, left: str = "Nothing was changed."
    ) -> _Found:
        """Try until there is an answer; what is tried must be harmless to repeat.

        Args:
            what: Begins the sentence about what was asked, such as "Listing branches".
            left: A sentence about what is left on the server if it does not answer.

        Raises:
            Refused: The server said no.
            ServiceError: It refused the credentials, or did not answer in time.
        """
        number, last = 0, Unanswered("it was not asked")
        for number in self.patience.tries():
            try:
                return attempt()
            except Unanswered as error:
                last = error
                _logger.warning("%s at lakeFS, try %d: %s", what, number, self.safe(str(error)))
        raise ServiceError(
            f"lakeFS at {self.endpoint} must answer. {what} had no answer in {number} tries within "
            f"{self.patience.seconds:g} s, the last: {self.safe(str(last))}. {left} Run again once "
            "the server is well; AUTOML_LAKEFS_ENDPOINT names it."
        ) from last

    def refuse(self, status: int, body: bytes | str) -> NoReturn:
        """Raise what an answer other than success means."""
        message = self.safe(_message(body))
        if status in _COME_BACK:
            raise Unanswered(f"status {status} {message}".rstrip())
        if status in (401, 403):
            raise ServiceError(
                f"lakeFS at {self.endpoint} must accept the credentials. It answered {status}"
                f"{f' {message}' if message else ''}. Check AUTOML_LAKEFS_ACCESS_KEY_ID, "
                "AUTOML_LAKEFS_SECRET_ACCESS_KEY and what that user may do."
            )
        if status == 410:
            raise SnapshotError(
                "Data of a commit can be read until garbage collection takes it. lakeFS at "
                f"{self.endpoint} answered 410 {message}. Pin what must stay; write the data again."
            )
        raise Refused(self.endpoint, status, message)

    def unreachable(self, error: Exception) -> NoReturn:
        """Raise what a failed connection means."""
        cause = _root_cause(error)
        if "CERTIFICATE" in cause.upper():
            raise ServiceError(
                f"lakeFS at {self.endpoint} must show a certificate that is trusted here. "
                f"{self.safe(cause)}. Name the certificates in AUTOML_LAKEFS_CA_BUNDLE."
            ) from error
        raise Unanswered(self.safe(cause)) from error

    def stranger(self, answer: str) -> ServiceError:
        """Return the error for an answer that no lakeFS server gives."""
        return ServiceError(
            f"A lakeFS server must be at {self.endpoint}. It answered {self.safe(answer)!r}, which "
            "is not how lakeFS answers. Check AUTOML_LAKEFS_ENDPOINT."
        )

    def refused(self, what: str, error: Refused) -> SnapshotError:
        """Return the error for a no that nobody expected."""
        return SnapshotError(
            f"{what} must be allowed by lakeFS at {self.endpoint}. It answered {error.status} "
            f"{error.message}. Nothing was changed; see what its hooks and protection rules say."
        )

    def safe(self, text: str) -> str:
        """Return a text that may be shown: no secret, no line breaks, not endless."""
        secret = self._secret.get_secret_value()
        shown = text.replace(secret, "…") if secret else text
        return " ".join(shown.split())[:_LONGEST_QUOTE].rstrip(". ")


def _message(body: bytes | str) -> str:
    try:
        found = json.loads(body)
        return str(found["message"])
    except (ValueError, KeyError, TypeError):
        return ""  # a proxy's page


def _root_cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _root_cause(reason)
    return f"{type(error).__name__}: {error}"
