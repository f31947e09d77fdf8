"""What came of trying rules on a table: every rule, with counts, places and the cure."""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field

from automl_assets.core.request.text import shown
from automl_assets.core.values import Value

MAX_FIRST_ROWS = 5
MAX_TOLD = 10
"""Broken rules that one message names; the report holds all."""


class FailureCase(Value):
    """One value that breaks a rule."""

    row: int = Field(description="Position in the table, from 0, as in the files of a split.")
    value: str


class ContractRule(Value):
    """One rule, tried on a whole snapshot.

    Attributes:
        n_tried: Rows, columns, classes or parts that the rule looked at.
        n_violations: How many of them break it.
        detail: A sentence: what was tried and what was found.
        origin: `platform` rules hold for every table; the others are the user's.
        column: Empty where the rule is about the table or several columns.
        share: Violations among what was tried.
        first: The first rows that break it, at most five.
        expected: What the contract says.
        found: What the table holds, without the name of the column.
        cure: What to do about it.
    """

    name: str
    passed: bool
    n_tried: int
    n_violations: int
    detail: str
    origin: Literal["platform", "contract", "last accepted"] = "platform"
    column: str = ""
    share: float | None = None
    first: tuple[FailureCase, ...] = ()
    expected: str = ""
    found: str = ""
    cure: str = ""

    @property
    def told(self) -> str:
        """What is wrong, as the message of a report tells it."""
        if self.origin == "platform":
            return f"{self.name}: {self.detail.removesuffix('.')}"
        place = f" (first: row {self.first[0].row:,})" if self.first else ""
        return f"{self.column or 'table'}: {self.found}{place}"


class ContractReport(Value):
    """Every rule that was tried; training goes on only if all are kept."""

    passed: bool
    rules: tuple[ContractRule, ...]

    @classmethod
    def of(cls, rules: Iterable[ContractRule]) -> Self:
        """Return the report on some rules."""
        tried = tuple(rules)
        return cls(passed=all(rule.passed for rule in tried), rules=tried)

    @property
    def broken(self) -> tuple[ContractRule, ...]:
        """The rules that are not kept."""
        return tuple(rule for rule in self.rules if not rule.passed)

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence for each broken rule."""
        return tuple(f"{rule.name}: {rule.detail}" for rule in self.broken)

    def message(self, contract: str = "") -> str:
        """Return what a person reads first: how many rules are broken, which, and the cure.

        Args:
            contract: Name of the user's contract file; empty if there is none.

        Examples:
            >>> ContractReport.of([]).message()
            'All 0 rules hold.'
        """
        broken = self.broken
        if not broken:
            return f"All {len(self.rules)} rules hold."
        told = [rule.told for rule in broken[:MAX_TOLD]]
        if len(broken) > MAX_TOLD:
            told.append(f"And {len(broken) - MAX_TOLD} more")
        ours = any(rule.origin != "platform" for rule in broken)
        cure = f"Fix the data, or change {contract}" if ours and contract else "Fix the data"
        checks = "1 check" if len(broken) == 1 else f"{len(broken)} checks"
        return f"{checks} failed. {'. '.join(told)}. {cure} and submit again"


def tried_rule(
    *,
    column: str,
    name: str,
    n_tried: int,
    n_violations: int,
    expected: str,
    found: str,
    passed: bool | None = None,
    first: tuple[FailureCase, ...] = (),
    unit: str = "rows",
    origin: Literal["contract", "last accepted"] = "contract",
    cure: str = "Fix the data, or change the contract.",
) -> ContractRule:
    """Return a rule of the user's contract with its sentence.

    Args:
        name: Key of the contract, such as `min`.
        found: What was found; told only of a broken rule.
        passed: Whether it is kept; where None, a single violation breaks it.
    """
    kept = n_violations == 0 if passed is None else passed
    cases = ", ".join(f"row {case.row:,}: {case.value}" for case in first)
    where = f" (first: {cases})" if cases else ""
    outcome = "all keep it" if kept else f"{found}{where}"
    if kept and n_violations:
        outcome = f"{n_violations:,} do not keep it, which is allowed"
    if not n_tried and kept:
        outcome = found
    return ContractRule(
        name=f"{column} {name}".strip(),
        passed=kept,
        n_tried=n_tried,
        n_violations=n_violations,
        detail=f"{n_tried:,} {unit} tried, {outcome}; expected {expected}.",
        origin=origin,
        column=column,
        share=n_violations / n_tried if n_tried else None,
        first=first,
        expected=expected,
        found=found,
        cure="" if kept else cure,
    )


def case(row: int, value: object) -> FailureCase:
    """Return a failure case; long values are cut."""
    return FailureCase(row=row, value=shown(value))


def hidden_cases(cases: Iterable[FailureCase]) -> tuple[FailureCase, ...]:
    """Return failure cases of a column of personal data: where they are, not what they are."""
    return tuple(item.model_copy(update={"value": "hidden: personal data"}) for item in cases)


def percent(share: float) -> str:
    """Write a share for people; a small one is never shown as none.

    Examples:
        >>> percent(0.0214), percent(0), percent(0.00001)
        ('2.1 %', '0 %', '0.001 %')
    """
    if share == 0 or share >= 0.001:
        return f"{100 * share:.1f}".removesuffix(".0") + " %"
    return f"{100 * share:.1g} %"
