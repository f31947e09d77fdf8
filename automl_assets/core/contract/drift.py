"""How a table, or what is asked of it, changed against an earlier one."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from automl_assets.core.contract.model import DataContract
from automl_assets.core.contract.psi import stability_index
from automl_assets.core.contract.report import percent
from automl_assets.core.contract.statistics import median
from automl_assets.core.request.text import shown
from automl_assets.core.values import ColumnProfile, TableProfile, Value

NOTABLE_SHIFT = 0.1
"""In standard deviations of before, or in shares of the former range."""

NOTABLE_NULLS = 0.01
NOTABLE_ROWS = 0.5
NOTABLE_PSI = 0.1
"""Below 0.1 a distribution is commonly called stable, above 0.25 changed (Siddiqi, 2006)."""

MAX_NAMES = 5

Columns = Sequence[ColumnProfile]


class ColumnDrift(Value):
    """One thing that is different from before.

    A table that is the same as before has none. `notable` ones are large enough
    to ask why; new rows always move a mean a little.
    """

    column: str = Field(default="", description="Empty where it is about the table.")
    what: str = Field(description="For example `type`, `nulls`, `mean`, `categories`, `psi`.")
    before: str
    after: str
    size: float | None = Field(default=None, description="How large, in the unit of `what`.")
    notable: bool


def compare_profiles(
    before: TableProfile | Columns,
    after: TableProfile | Columns,
    *,
    n_rows: tuple[int | None, int | None] = (None, None),
) -> tuple[ColumnDrift, ...]:
    """Return how a table changed: rows, columns, types, missing values, statistics, categories.

    Args:
        before, after: Whole profiles, or only their columns.
        n_rows: Rows before and after, where only columns are given; without them
            nothing is said of rows and of shares.
    """
    n_before, old = _parts(before, n_rows[0])
    n_after, new = _parts(after, n_rows[1])
    found: list[ColumnDrift] = []
    if n_before is not None and n_after is not None and n_before != n_after:
        size = n_after / n_before - 1 if n_before else None
        found.append(
            ColumnDrift(
                what="rows",
                before=f"{n_before:,}",
                after=f"{n_after:,}",
                size=size,
                notable=size is None or abs(size) >= NOTABLE_ROWS,
            )
        )
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            there = new.get(name) or old[name]
            texts = ("", there.dtype) if name in new else (there.dtype, "")
            what = "new column" if name in new else "lost column"
            found.append(
                ColumnDrift(column=name, what=what, before=texts[0], after=texts[1], notable=True)
            )
        else:
            found += _column(old[name], new[name], n_before, n_after)
    return tuple(found)


def compare_contracts(
    before: DataContract | None, after: DataContract | None
) -> tuple[ColumnDrift, ...]:
    """Return how what is asked of a table changed, key by key."""
    old, new = (_keys(contract) for contract in (before, after))
    return tuple(
        ColumnDrift(
            column=column,
            what=key,
            before=old.get((column, key), "not asked"),
            after=new.get((column, key), "not asked"),
            notable=True,
        )
        for column, key in dict.fromkeys([*old, *new])
        if old.get((column, key)) != new.get((column, key))
    )


def _parts(
    profile: TableProfile | Columns, n_rows: int | None
) -> tuple[int | None, dict[str, ColumnProfile]]:
    if isinstance(profile, TableProfile):
        profile, n_rows = profile.columns, profile.n_rows
    return n_rows, {column.name: column for column in profile}


def _keys(contract: DataContract | None) -> dict[tuple[str, str], str]:
    """Return the keys of a contract that are not as the defaults, with their column."""
    if contract is None:
        return {}
    content = contract.model_dump(mode="json", exclude_defaults=True)
    columns: dict[str, Any] = content.pop("columns", {})
    found = {
        ("", key): _text(value)
        for key, value in content.items()
        if key not in ("apiVersion", "kind")
    }
    for name, column in columns.items():
        found[name, "column"] = "listed"
        found |= {(name, key): _text(value) for key, value in column.items()}
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _column(
    old: ColumnProfile, new: ColumnProfile, n_old: int | None, n_new: int | None
) -> Iterator[ColumnDrift]:
    if old.dtype != new.dtype:
        yield ColumnDrift(
            column=new.name, what="type", before=old.dtype, after=new.dtype, notable=True
        )
    if n_old and n_new:
        yield from _nulls(old, new, n_old, n_new)
    yield from _moments(old, new)
    yield from _range(old, new)
    yield from _categories(old, new, n_old, n_new)
    index = stability_index(old, new, n_old, n_new)
    if index:
        yield ColumnDrift(
            column=new.name,
            what="psi",
            before="0",
            after=f"{index:.3g}",
            size=index,
            notable=index >= NOTABLE_PSI,
        )


def _nulls(old: ColumnProfile, new: ColumnProfile, n_old: int, n_new: int) -> Iterator[ColumnDrift]:
    before, after = old.n_nulls / n_old, new.n_nulls / n_new
    if before != after:
        yield ColumnDrift(
            column=new.name,
            what="nulls",
            before=percent(before),
            after=percent(after),
            size=after - before,
            notable=abs(after - before) >= NOTABLE_NULLS,
        )


def _moments(old: ColumnProfile, new: ColumnProfile) -> Iterator[ColumnDrift]:
    scale = old.std or abs(old.mean or 0.0)
    pairs = {
        "mean": (old.mean, new.mean),
        "median": (median(old), median(new)),
        "std": (old.std, new.std),
    }
    for what, (before, after) in pairs.items():
        if before is None or after is None or before == after:
            continue
        size = (after - before) / scale if scale else None
        yield ColumnDrift(
            column=new.name,
            what=what,
            before=f"{before:.6g}",
            after=f"{after:.6g}",
            size=size,
            notable=size is None or abs(size) >= NOTABLE_SHIFT,
        )


def _range(old: ColumnProfile, new: ColumnProfile) -> Iterator[ColumnDrift]:
    """Compare the ends; one that moved far beyond the former range is notable."""
    ends = {"minimum": (old.minimum, new.minimum), "maximum": (old.maximum, new.maximum)}
    low, high = position(old.minimum), position(old.maximum)
    span = None if low is None or high is None else high - low
    for what, (before, after) in ends.items():
        if before is None or after is None or before == after:
            continue
        start, end = position(before), position(after)
        size = (end - start) / span if span and start is not None and end is not None else None
        wider = size is None or (size < 0 if what == "minimum" else size > 0)
        yield ColumnDrift(
            column=new.name,
            what=what,
            before=before,
            after=after,
            size=size,
            notable=wider and (size is None or abs(size) >= NOTABLE_SHIFT),
        )


def position(text: str | None) -> float | None:
    """Return where a minimum or maximum of a profile lies: a number, or seconds of a date.

    Examples:
        >>> position("2.5"), position("1970-01-02"), position("gold")
        (2.5, 86400.0, None)
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


def _categories(
    old: ColumnProfile, new: ColumnProfile, n_old: int | None, n_new: int | None
) -> Iterator[ColumnDrift]:
    """Compare categories where both profiles list all of them."""
    if not (_lists_all(old, n_old) and _lists_all(new, n_new)):
        return
    before, after = {name for name, _ in old.top}, {name for name, _ in new.top}
    for what, names in (("new categories", after - before), ("lost categories", before - after)):
        if names:
            listed = sorted(names)
            text = ", ".join(map(shown, listed[:MAX_NAMES]))
            more = f" and {len(listed) - MAX_NAMES} more" if len(listed) > MAX_NAMES else ""
            sides = ("", text + more) if what.startswith("new") else (text + more, "")
            yield ColumnDrift(
                column=new.name,
                what=what,
                before=sides[0],
                after=sides[1],
                size=float(len(names)),
                notable=True,
            )


def _lists_all(column: ColumnProfile, n_rows: int | None) -> bool:
    if not column.top or n_rows is None:
        return False
    return sum(n for _, n in column.top) == n_rows - column.n_nulls
