"""Keys: columns whose values together must name one row."""

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from automl_assets.core.contract.examples import row_label
from automl_assets.core.contract.report import (
    MAX_FIRST_ROWS,
    ContractRule,
    FailureCase,
    case,
    hidden_cases,
    tried_rule,
)
from automl_assets.core.contract.row_rules import exactly, known

_HEAD_ROWS = 2**20
"""Rows in which the first copies are looked for before all are listed."""


def key_rules(
    frame: pl.LazyFrame,
    keys: Collection[tuple[str, ...]],
    left_out: Collection[str],
    folder: Path,
    *,
    hidden: Collection[str] = (),
) -> Iterator[ContractRule]:
    """Try that no key is there twice; rows without a value in one of its columns are not tried.

    Rows are compared by a digest of 64 bits, kept in a file: two different rows
    of a hundred million are taken for equal once in four thousand tables.

    Args:
        left_out: Columns that are not asked for.
        folder: For the digests, 8 bytes a row.
        hidden: Columns whose values are not told.
    """
    schema = frame.collect_schema()
    for position, key in enumerate(keys):
        missing = [name for name in key if name not in schema]
        if missing:
            yield from _missing(key, missing, left_out)
            continue
        yield _tried(
            frame, key, folder / f"key-{position}", is_hidden=not set(key).isdisjoint(hidden)
        )


def _missing(
    key: tuple[str, ...], missing: list[str], left_out: Collection[str]
) -> Iterator[ContractRule]:
    asked = [name for name in missing if name not in left_out]
    if len(key) == 1 and not asked:
        return
    listed = ", ".join(map(repr, missing))
    yield tried_rule(
        column=_label(key),
        name="unique",
        n_tried=len(asked),
        n_violations=len(asked),
        expected="no key twice",
        found=f"{listed} {'is' if len(missing) == 1 else 'are'} not in the table"
        + ("" if asked else ", so the key was not tried"),
        unit="columns",
    )


def _tried(
    frame: pl.LazyFrame, key: tuple[str, ...], file: Path, *, is_hidden: bool
) -> ContractRule:
    from automl_assets.core.rows.duplicates import count_duplicates, later_copies, row_digests

    schema = frame.collect_schema()
    # Positions for names: a digest must not depend on what a column is called.
    present = frame.select(
        known(name, schema[name]).alias(f"c{position}") for position, name in enumerate(key)
    ).drop_nulls()
    columns = [f"c{position}" for position in range(len(key))]
    digests = row_digests(present, columns, file)
    n_tried = len(digests)
    copies = later_copies(digests[:_HEAD_ROWS])
    if n_tried > _HEAD_ROWS and len(copies) >= MAX_FIRST_ROWS:
        # A key that is none has millions of copies: they are counted, not listed.
        n = count_duplicates(present, columns, scratch=file.parent)
    else:
        copies = later_copies(digests)
        n = len(copies)
    first = _first(frame, key, copies[:MAX_FIRST_ROWS].tolist()) if n else ()
    return tried_rule(
        column=_label(key),
        name="unique",
        n_tried=n_tried,
        n_violations=n,
        expected="no value twice" if len(key) == 1 else "no key twice",
        found=f"{n:,} {'row repeats' if n == 1 else 'rows repeat'} an earlier one",
        first=hidden_cases(first) if is_hidden else first,
    )


def _label(key: tuple[str, ...]) -> str:
    return key[0] if len(key) == 1 else " + ".join(key)


def _first(
    frame: pl.LazyFrame, key: tuple[str, ...], positions: list[int]
) -> tuple[FailureCase, ...]:
    """Return rows by their position among those that have a value in each column of the key."""
    schema = frame.collect_schema()
    row = row_label(list(key))
    place = row_label([*key, row])
    complete = pl.all_horizontal(known(name, schema[name]).is_not_null() for name in key)
    found = (
        frame.select(exactly(name) for name in key)
        .with_row_index(row)
        .filter(complete)
        .with_row_index(place)
        .filter(exactly(place).is_in(positions))
        .head(len(positions))
        .collect(engine="streaming")
    )
    values = found.select(exactly(name) for name in key).rows()
    return tuple(
        case(number, value[0] if len(key) == 1 else value)
        for number, value in zip(found[row].to_list(), values, strict=True)
    )
