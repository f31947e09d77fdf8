"""Personal data in the columns of a table: found by pattern, told by count, never shown.

What follows is the choice of `data.privacy.pii`:

- `block`: the run is refused before anything is committed, whatever the column is used for.
- `warn`, also when the request has no privacy section: a feature that tells persons apart is
  dropped, because a model would learn persons by heart and carry their data with it. A
  feature with few values, such as the address of one of three shops, is a category: it stays
  and is told. So is a column that is no feature, because it is in the snapshot all the same.
- `allow`: nobody looks.

A column that is named under `features.keep` is kept and told, whatever the choice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.leakage.personal_patterns import PATTERNS, Pattern
from automl_assets.core.profile.personal import PERSONAL
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.sample import gather, sampled_rows
from automl_assets.core.values import ColumnProfile, Finding, TableProfile

MIN_MATCHES = 20
"""Fewer values than this may look like anything by chance."""

MAX_CATEGORIES = 50
"""A column with more different values tells persons apart; `core.profile` counts identifiers
from the same number on."""

_MAX_SAMPLE = 10_000
_BATCH_COLUMNS = 100
_SCREEN = 0.5
"""Part of the limits that a column must reach on the sample before all its rows are counted."""

_SHORTEST_NUMBER = 10**6


def find_personal(
    table: pl.LazyFrame, profile: TableProfile, request: TrainingRequest
) -> tuple[Finding, ...]:
    """Find columns that hold personal data: among all columns but the target, not only features.

    A sample of rows makes a column suspicious; then all its rows are counted. No finding
    holds a value of the data.
    """
    choice = request.data.privacy.pii if request.data.privacy else "warn"
    if choice == "allow":
        return ()
    others = [column for column in profile.columns if column.name != request.data.target]
    return tuple(
        _told(match, profile, request)
        for match in matching_columns(table, others, profile.n_rows, seed=request.seed)
    )


@dataclass(frozen=True, kw_only=True)
class Match:
    """A column that holds personal data.

    Attributes:
        n_present: Its values, in all rows.
        n_matches: How many of them match the pattern.
    """

    name: str
    pattern: Pattern
    n_present: int
    n_matches: int


def matching_columns(
    table: pl.LazyFrame, columns: Iterable[ColumnProfile], n_rows: int, *, seed: int
) -> Iterator[Match]:
    """Yield the columns that hold personal data, whatever they are for.

    Args:
        columns: Those to look at, with their largest values.
        n_rows: Rows of the table.
        seed: Decides which rows are looked at first.
    """
    names = _readable(table.collect_schema(), columns)
    for name, pattern in _suspects(table, names, sampled_rows(n_rows, _MAX_SAMPLE, seed=seed)):
        n_present, n_matches = _count(table, name, pattern)
        if n_matches >= MIN_MATCHES and n_matches >= pattern.share * n_present:
            yield Match(name=name, pattern=pattern, n_present=n_present, n_matches=n_matches)


def _readable(schema: pl.Schema, columns: Iterable[ColumnProfile]) -> list[str]:
    """Return the columns that could hold personal data: texts, and whole numbers of many digits."""
    return [
        column.name
        for column in columns
        if isinstance(schema[column.name], pl.String | pl.Enum | pl.Categorical)
        or (schema[column.name].is_integer() and _is_long(column.maximum))
    ]


def _is_long(maximum: str | None) -> bool:
    return maximum is not None and int(float(maximum)) >= _SHORTEST_NUMBER


def _suspects(table: pl.LazyFrame, names: list[str], rows: np.ndarray) -> list[tuple[str, Pattern]]:
    found: list[tuple[str, Pattern]] = []
    for start in range(0, len(names), _BATCH_COLUMNS):
        sample = gather(table, tuple(names[start : start + _BATCH_COLUMNS]), rows)
        for name in sample.columns:
            pattern = _first_match(sample, name)
            if pattern is not None:
                found.append((name, pattern))
    return found


def _first_match(sample: pl.DataFrame, name: str) -> Pattern | None:
    frame = sample.lazy()
    for pattern in PATTERNS:
        if not pattern.fits(name):
            continue
        n_present, n_matches = _count(frame, name, pattern)
        if n_matches and n_matches >= _SCREEN * pattern.share * n_present:
            return pattern
    return None


def _count(frame: pl.LazyFrame, name: str, pattern: Pattern) -> tuple[int, int]:
    """Return how many values a column has, and how many match."""
    text = pl.col(name).cast(pl.String)
    found = frame.select(n_present=text.count(), n_matches=pattern.matches(text).sum())
    n_present, n_matches = found.collect(engine="streaming").row(0)
    return n_present, n_matches


def _told(match: Match, profile: TableProfile, request: TrainingRequest) -> Finding:
    name, share = match.name, match.n_matches / match.n_present
    found = (
        f"{name!r} holds {match.pattern.kind} in {match.n_matches:,} of {match.n_present:,} "
        f"values ({share:.1%})"
    )
    is_feature = name in profile.features
    action = "warned"
    if name in request.data.features.keep:
        action, what = "kept", "It stays, since features.keep names it."
    elif request.data.privacy and request.data.privacy.pii == "block":
        action = "blocked"
        what = (
            "data.privacy.pii is block: exclude it under data.features.exclude, or name it under "
            "features.keep."
        )
    elif is_feature and profile.column(name).n_distinct > MAX_CATEGORIES:
        action = "dropped"
        what = (
            "A model would learn persons by heart. It is still in the snapshot: exclude it under "
            "data.features.exclude, or name it under features.keep."
        )
    elif is_feature:
        what = (
            f"With {profile.column(name).n_distinct} different values it stays as a category; "
            "exclude it under data.features.exclude if it names persons."
        )
    else:
        what = (
            "It is no feature, but it is in the snapshot: exclude it under data.features.exclude "
            "if it is not needed."
        )
    return Finding(
        rule=PERSONAL,
        column=name,
        action=action,
        value=share,
        limit=match.pattern.share,
        detail=f"{found}. {what}",
    )
