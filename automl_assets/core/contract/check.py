"""A user's contract tried on every row of a table, in one streaming pass."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from automl_assets.core.contract.examples import first_rows, new_categories
from automl_assets.core.contract.freshness import freshness_rule, newest
from automl_assets.core.contract.measured import measured
from automl_assets.core.contract.model import DataContract
from automl_assets.core.contract.report import (
    ContractReport,
    ContractRule,
    hidden_cases,
    percent,
    tried_rule,
)
from automl_assets.core.contract.row_rules import RowRule, Untried, known, row_rules
from automl_assets.core.contract.schema_rules import schema_rules
from automl_assets.core.contract.statistics import statistics_rules, with_statistics
from automl_assets.core.contract.uniqueness import key_rules
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.request.text import shown
from automl_assets.core.values import ColumnProfile, TableProfile

MAX_LOOKED_UP = 50
"""Broken rules whose first rows are looked up, each in a pass over one column."""

_COLUMNS_A_PASS = 500
"""A plan of polars with tens of thousands of expressions takes longer than another pass."""


def check_contract(
    frame: pl.LazyFrame,
    contract: DataContract,
    *,
    previous: TableProfile | None,
    as_of: datetime,
    profile: TableProfile | None = None,
    left_out: Collection[str] = (),
    scratch: Path | None = None,
) -> ContractReport:
    """Try every rule of a contract on every row.

    All rules about values are counted in one streaming pass; each key that must
    be unique, and the first rows of each broken rule, take a pass over their own
    columns. Memory does not grow with the rows.

    Args:
        frame: The table.
        previous: The last accepted snapshot of the same repository, if there is one.
        as_of: The moment that ages are counted to, with a time zone.
        profile: What the table was found to hold; measured here if None and needed. Of the
            columns that it knows to hold personal data no value is told.
        left_out: Columns that the request did not take; none of their rules is tried.
        scratch: Folder for temporary files, 8 bytes a row. Default: the system's.
    """
    schema = frame.collect_schema()
    structure = list(schema_rules(contract, frame, left_out))
    mistyped = {
        rule.column for rule in structure if rule.name.endswith(" type") and not rule.passed
    }
    sound = [name for name in contract.columns if name in schema and name not in mistyped]
    rules = [
        rule for name in sound for rule in row_rules(name, contract.columns[name], schema[name])
    ]
    counts = _count(frame, contract, rules, as_of)
    asked = with_statistics(contract, sound)
    now = _profiles(frame, list(asked), profile)
    hidden = personal_columns(profile)
    with TemporaryDirectory(prefix="contract-", dir=scratch) as folder:
        found = [
            *_row_count(contract, counts.n_rows),
            *freshness_rule(contract, schema, counts.newest, as_of),
            *structure,
            *_tried(frame, rules, counts, hidden),
            *statistics_rules(
                {name: contract.columns[name] for name in asked}, now, counts.n_rows, previous
            ),
            *key_rules(frame, contract.keys, left_out, Path(folder), hidden=hidden),
        ]
    return ContractReport.of(_in_order(found, contract))


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """What the pass over the table found.

    Attributes:
        present: Column -> rows with a value.
        bad: Of each rule, the rows that break it.
        newest: The newest moment of the freshness column that is not in the future.
    """

    n_rows: int
    present: dict[str, int]
    bad: list[int]
    newest: datetime | None


def _count(
    frame: pl.LazyFrame, contract: DataContract, rules: list[RowRule | Untried], as_of: datetime
) -> _Counts:
    schema = frame.collect_schema()
    columns = list(dict.fromkeys(rule.column for rule in rules))
    expressions: dict[str, pl.Expr] = {"rows": pl.len()}
    moment = newest(contract, schema, as_of)
    if moment is not None:
        expressions["newest"] = moment
    found = dict.fromkeys(expressions)
    bad: dict[str, dict[str, pl.Expr]] = {name: {} for name in columns}
    for position, rule in enumerate(rules):
        if isinstance(rule, RowRule):
            bad[rule.column][f"bad {position}"] = rule.bad.sum()
    for start in range(0, max(len(columns), 1), _COLUMNS_A_PASS):
        block = columns[start : start + _COLUMNS_A_PASS]
        for position, name in enumerate(block, start=start):
            expressions[f"present {position}"] = known(name, schema[name]).count()
            expressions |= bad[name]
        found |= frame.select(**expressions).collect(engine="streaming").row(0, named=True)
        expressions = {}
    return _Counts(
        n_rows=_int(found["rows"]),
        present={name: _int(found[f"present {i}"]) for i, name in enumerate(columns)},
        bad=[_int(found.get(f"bad {position}")) for position in range(len(rules))],
        newest=found.get("newest"),
    )


def _int(value: Any) -> int:
    return int(value or 0)


def _profiles(
    frame: pl.LazyFrame, names: list[str], profile: TableProfile | None
) -> dict[str, ColumnProfile]:
    if not names:
        return {}
    hidden = personal_columns(profile)
    given = {c.name: c for c in profile.columns if c.name not in hidden} if profile else {}
    missing = [name for name in names if name not in given]
    return given | {column.name: column for column in measured(frame, missing)}


def _row_count(contract: DataContract, n_rows: int) -> Iterator[ContractRule]:
    if contract.rows is None:
        return
    for key, limit in (("min", contract.rows.min), ("max", contract.rows.max)):
        if limit is not None:
            missed = limit - n_rows if key == "min" else n_rows - limit
            word = "at least" if key == "min" else "at most"
            yield tried_rule(
                column="",
                name=f"rows {key}",
                n_tried=n_rows,
                n_violations=max(0, missed),
                expected=f"{word} {limit:,} rows",
                found=f"{n_rows:,} rows, expected {word} {limit:,}",
            )


def _tried(
    frame: pl.LazyFrame,
    rules: list[RowRule | Untried],
    counts: _Counts,
    hidden: Collection[str],
) -> Iterator[ContractRule]:
    n_looked_up = 0
    for rule, n_bad in zip(rules, counts.bad, strict=True):
        if isinstance(rule, Untried):
            yield tried_rule(
                column=rule.column,
                name=rule.name,
                n_tried=0,
                n_violations=0,
                expected=rule.expected,
                found=rule.found,
                passed=False,
                cure="Convert the column where the table is made, or correct the contract.",
            )
            continue
        n_tried = counts.n_rows if rule.of_all else counts.present[rule.column]
        # A share that is written with few digits must not fail by the last binary one.
        passed = n_bad <= rule.allowed * n_tried * (1 + 1e-12)
        looks_up = not passed and n_looked_up < MAX_LOOKED_UP
        n_looked_up += looks_up
        share = n_bad / n_tried if n_tried else 0.0
        found = f"{n_bad:,} {'row' if n_bad == 1 else 'rows'} {rule.broken}"
        if rule.allowed:
            found += f" ({percent(share)}, {percent(rule.allowed)} allowed)"
        first = first_rows(frame, rule) if looks_up else ()
        if rule.column in hidden:
            first = hidden_cases(first)
        elif rule.name == "values" and looks_up:
            found = _told_categories(frame, rule, n_tried)
        yield tried_rule(
            column=rule.column,
            name=rule.name,
            n_tried=n_tried,
            n_violations=n_bad,
            passed=passed,
            expected=rule.expected,
            found=found,
            first=first,
        )


def _told_categories(frame: pl.LazyFrame, rule: RowRule, n_tried: int) -> str:
    categories, are_all = new_categories(frame, rule)
    told = [f"{shown(name)} ({percent(n / n_tried)})" for name, n in categories]
    word = "new category" if are_all and len(told) == 1 else "new categories"
    return f"{word} {', '.join(told)}{'' if are_all else ' and others'}"


def _in_order(rules: list[ContractRule], contract: DataContract) -> list[ContractRule]:
    """Put the rules of one column together: the table first, then columns as in the contract."""
    order = {name: position for position, name in enumerate(contract.columns)}
    return sorted(
        rules, key=lambda rule: order.get(rule.column, -1 if not rule.column else len(order))
    )
