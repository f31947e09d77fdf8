"""Every error that the platform raises on purpose.

    AutoMLError
    ├── RequestError (ValueError)   the request cannot be honoured as written
    ├── SnapshotError               data is missing, moved or unreadable
    │   └── AlteredError            bytes are not those that were committed
    ├── ContractError               data breaks its contract; carries the findings
    ├── SearchError                 the search ended without a usable candidate
    │   └── NoAdmissibleError       every candidate breaks a hard limit; carries the nearest misses
    └── ServiceError                a service refused or did not answer

A message has three parts, each a sentence: the rule, what was found, the cure.
"""

from collections.abc import Mapping


class AutoMLError(Exception):
    """Root of all errors raised on purpose; its text is written for users."""


class RequestError(AutoMLError, ValueError):
    """The request cannot be honoured as written."""


class SnapshotError(AutoMLError):
    """Data is missing, moved or unreadable."""


class AlteredError(SnapshotError):
    """Bytes are there, but are not those that were committed.

    Args:
        message: What is wrong, for a person.
        expected: The digest that was committed; empty where it is not known.
        found: The digest of the bytes as they are.
    """

    def __init__(self, message: str, *, expected: str, found: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class ContractError(AutoMLError):
    """Data breaks its contract.

    Args:
        message: What is wrong, for a person.
        findings: One sentence per broken rule.
    """

    def __init__(self, message: str, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class SearchError(AutoMLError):
    """The search ended without a usable candidate."""


class NoAdmissibleError(SearchError):
    """Candidates finished, but each of them breaks a hard limit.

    Args:
        message: What is wrong, for a person.
        nearest: The candidates that miss the limits by least, a sentence each, nearest first.
        removed_by: How many candidates break each limit, by the limit's name.
    """

    def __init__(
        self,
        message: str,
        nearest: tuple[str, ...] = (),
        removed_by: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.removed_by = dict(removed_by or {})


class ServiceError(AutoMLError):
    """A service refused or did not answer."""
