"""What an audit says: links from a prediction or a version back to its source, each checked."""

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from automl_assets.core.errors import AlteredError, SnapshotError
from automl_assets.core.values import Value

Outcome = Literal["verified", "altered", "missing"]

EMPTY = "nothing"
"""What messages say was found where a value is empty."""


class Check(Value):
    """One thing that was recorded, looked at again now.

    `altered`: it is there and is not what was recorded. `missing`: it was recorded and
    is not there any more.
    """

    kind: Literal["hash", "record"] = Field(
        description="`hash`: a digest computed again from the bytes. `record`: two independent "
        "records of one fact, compared."
    )
    what: str = Field(description="What was looked at, for a person.")
    where: str = Field(description="The file, object, tag or log that was read.")
    expected: str = Field(description="As recorded.")
    found: str = Field(description="As it is now; empty where nothing is there.")
    outcome: Outcome
    detail: str = Field(default="", description="A sentence, where more is known.")


class Fact(Value):
    """Something that a link records, for people."""

    label: str
    text: str


class Link(Value):
    """One link of the chain: what it records, and what was found when it was checked."""

    name: str
    facts: tuple[Fact, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = Field(
        default=(), description="What could not be checked, and why; sentences."
    )

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome != "verified")


class AuditReport(Value):
    """The whole chain, the prediction or the version first."""

    subject: str = Field(description="What was asked about: `NAME@VERSION` or a prediction's id.")
    name: str
    version: str = Field(description="The registry's version number.")
    audited_at: str = Field(description="UTC, ISO 8601.")
    links: tuple[Link, ...]

    def checks(self, kind: Literal["hash", "record"]) -> list[Check]:
        """Return all checks of a kind, in order of the chain."""
        return [check for link in self.links for check in link.checks if check.kind == kind]

    @property
    def broken(self) -> list[tuple[Link, Check]]:
        """Each check that failed, with its link."""
        return [(link, check) for link in self.links for check in link.broken]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was altered and nothing is missing."""
        return not self.broken

    def tally(self, kind: Literal["hash", "record"]) -> tuple[int, int]:
        """Return how many checks of a kind were verified, and how many there are."""
        checks = self.checks(kind)
        return sum(check.outcome == "verified" for check in checks), len(checks)


class LinkBuilder:
    """Gathers what one link records and what was found; `build` returns the link."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._facts: list[Fact] = []
        self._checks: list[Check] = []
        self._notes: list[str] = []

    def fact(self, label: str, text: object) -> None:
        """Add a fact; an empty one is left out."""
        if text not in (None, ""):
            self._facts.append(Fact(label=label, text=str(text)))

    def note(self, sentence: str) -> None:
        """Add a sentence on what could not be checked, once."""
        if sentence not in self._notes:
            self._notes.append(sentence)

    def digest(
        self, what: str, where: str, *, expected: str, found: str | None, detail: str = ""
    ) -> bool:
        """Compare a recorded digest with that of the bytes as they are now.

        Args:
            found: None where the bytes are not there.

        Returns:
            Whether they are equal.
        """
        return self._compare("hash", what, where, expected, found, detail)

    def record(self, what: str, where: str, *, expected: object, found: object) -> bool:
        """Compare two independent records of one fact; None stands for a record that is gone."""
        text = None if found is None else _text(found)
        return self._compare("record", what, where, _text(expected), text, "")

    def _compare(
        self,
        kind: Literal["hash", "record"],
        what: str,
        where: str,
        expected: str,
        found: str | None,
        detail: str,
    ) -> bool:
        same = found == expected
        outcome: Outcome = "verified" if same else "missing" if found is None else "altered"
        self.add(
            Check(
                kind=kind,
                what=what,
                where=where,
                expected=expected,
                found=found or "",
                outcome=outcome,
                detail="" if same else detail,
            )
        )
        return same

    def add(self, check: Check) -> None:
        """Add a finished check."""
        self._checks.append(check)

    def fail(
        self,
        what: str,
        where: str,
        *,
        outcome: Literal["altered", "missing"],
        expected: str = "",
        found: str = "",
        detail: str = "",
    ) -> None:
        """Add a check that failed in a way of its own."""
        self.add(
            Check(
                kind="hash",
                what=what,
                where=where,
                expected=expected,
                found=found,
                outcome=outcome,
                detail=detail,
            )
        )

    def unreadable(self, what: str, where: str, error: SnapshotError) -> None:
        """Add a check of something that the store does not give out."""
        if isinstance(error, AlteredError):
            self.fail(
                what,
                where,
                outcome="altered",
                expected=error.expected,
                found=error.found,
                detail=str(error),
            )
        else:
            self.fail(what, where, outcome="missing", detail=str(error))

    def build(self) -> Link:
        """Return the link."""
        return Link(
            name=self.name,
            facts=tuple(self._facts),
            checks=tuple(self._checks),
            notes=tuple(self._notes),
        )


def _text(value: object) -> str:
    """Return a value as it is compared: equal JSON has equal texts."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def sentences(link: Link) -> Iterator[str]:
    """Yield what is wrong with a link, a sentence or two for each check that failed."""
    for check in link.broken:
        if check.outcome == "missing":
            found = f"missing: {check.where} is not there"
            expected = f"; expected {check.expected}" if check.expected else ""
            yield f"{check.what} {found}{expected}.{_more(check)}"
        else:
            yield (
                f"{check.what} altered: {check.where} has {check.found or EMPTY}, "
                f"expected {check.expected or EMPTY}.{_more(check)}"
            )


def _more(check: Check) -> str:
    return f" {check.detail}" if check.detail else ""
