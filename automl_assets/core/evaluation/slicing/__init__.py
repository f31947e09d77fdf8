"""Which rows are looked at apart: what a request names, and columns of few values.

A column divides all rows by its values, a predicate takes the rows for which it is
true. Here rows are only named; what is said about them is in the sections.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.slicing.levels import MAX_LEVELS, Division, divide
from automl_assets.core.predicate import parse_predicate
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import TableProfile, Value

MAX_AUTOMATIC = 30
"""Slices that nobody asked for: each costs rows of memory and makes chance findings likelier."""

MAX_ASKED = 120
"""Slices that the request asks for: beyond, a report says nothing to a person."""

MAX_TRIED = 60
"""Columns of few values that are looked at, to find some with rows enough in two values."""


class LeftOut(Value):
    """Something that could have been looked at apart, and why it is not."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """Slices that belong together: no row is in two of them.

    Attributes:
        source: Column, or predicate as the request has it.
        column: The column; None for a predicate.
        is_asked: Whether the request names it.
        names: What people call each slice, such as `plan=prepaid`.
        codes: Slice of each row, -1 for none, `(n_rows,)`.
    """

    source: str
    column: str | None
    is_asked: bool
    names: tuple[str, ...]
    codes: np.ndarray

    def rows(self, number: int) -> np.ndarray:
        """Return the positions of a slice's rows, ascending."""
        return np.flatnonzero(self.codes == number)

    def others(self, number: int) -> np.ndarray:
        """Return the positions of all rows that are not in a slice, ascending."""
        return np.flatnonzero(self.codes != number)


@dataclass(frozen=True, kw_only=True)
class Slicings:
    """All that is looked at apart: first what was asked for, then columns of few values."""

    found: tuple[Slicing, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return sum(len(slicing.names) for slicing in self.found)


def make_slicings(
    request: TrainingRequest,
    profile: TableProfile,
    frame: pl.DataFrame,
    *,
    is_large: Callable[[np.ndarray], bool],
) -> Slicings:
    """Divide rows by what the request names, then by columns of few values.

    Numbers and times that the request names are cut at their quartiles; of other columns
    with many values the most frequent ones are taken. Nobody needs to ask for features with
    2 to 12 values: those with fewest come first, then in the order of the table, as long as
    there are at most 30 such slices. Columns with personal data never make slices.

    Args:
        profile: Of the whole table.
        frame: The rows; holds the features and what the request names.
        is_large: Takes positions of rows; whether they are enough to say something.

    Raises:
        RequestError: A predicate does not fit the columns.
    """
    asked, left_out = _asked(request, profile, frame)
    taken = {slicing.column for slicing in asked}
    more = _automatic(profile, frame, taken, is_large)
    return Slicings(found=(*asked, *more), left_out=left_out)


def asked_columns(request: TrainingRequest, frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns by which people asked to compare rows, each once.

    They are the entries of `slices` that are columns, then those of the limit `slice_gap`.
    """
    gap = request.constraints.slice_gap if request.constraints else None
    named = (*map(_bare, request.slices), *(gap.by if gap else ()))
    return tuple(dict.fromkeys(name for name in named if name in frame.columns))


def check_slices(request: TrainingRequest, schema: pl.Schema) -> None:
    """Refuse slices that a table cannot have.

    Args:
        schema: Of the table that the request is about.

    Raises:
        RequestError: An entry of `slices` is neither a column nor a predicate that fits.
    """
    for text in request.slices:
        if _bare(text) not in schema:
            _predicate(text, schema)


def slicing_of_column(name: str, frame: pl.DataFrame, *, is_asked: bool = True) -> Slicing | None:
    """Divide rows by one column; None where its values cannot be told apart by people."""
    division = divide(name, frame[name])
    return None if division is None else _slicing(name, division, is_asked)


def _slicing(name: str, division: Division, is_asked: bool) -> Slicing:
    return Slicing(
        source=name,
        column=name,
        is_asked=is_asked,
        names=division.names,
        codes=division.codes,
    )


def _bare(text: str) -> str:
    """Return the column that `"a column"` in quotes names; any other text as it is."""
    is_quoted = len(text) > 2 and text[0] == text[-1] == '"'
    return text[1:-1] if is_quoted and '"' not in text[1:-1] else text


def _predicate(text: str, schema: pl.Schema) -> pl.Expr:
    try:
        return parse_predicate(text).expression(schema)
    except RequestError as error:
        # The language is shared with data.rows.where, which its messages name.
        message = str(error).removeprefix("data.rows.where: ").replace("data.rows.where", "slices")
        raise RequestError(f"slices: {message}") from error


def _asked(
    request: TrainingRequest, profile: TableProfile, frame: pl.DataFrame
) -> tuple[list[Slicing], tuple[LeftOut, ...]]:
    hidden = personal_columns(profile)
    found: list[Slicing] = []
    left_out: list[LeftOut] = []
    for text in request.slices:
        name = _bare(text)
        if name in hidden:
            why = "it holds personal data, of which no value is shown"
            left_out.append(LeftOut(what=name, why=why))
        elif sum(len(slicing.names) for slicing in found) >= MAX_ASKED:
            left_out.append(LeftOut(what=text, why=f"there are {MAX_ASKED} slices without it"))
        elif name not in frame.columns:
            found.append(_of_predicate(text, frame))
        else:
            division = divide(name, frame[name])
            found += [] if division is None else [_slicing(name, division, is_asked=True)]
            left_out += _untold(name, division)
    return found, tuple(left_out)


def _of_predicate(text: str, frame: pl.DataFrame) -> Slicing:
    holds = frame.select(_predicate(text, frame.schema).fill_null(value=False).alias("holds"))
    # A predicate without a column, such as TRUE, is one value for all rows.
    column = (
        holds["holds"]
        if holds.height == frame.height
        else holds["holds"].new_from_index(0, frame.height)
    )
    return Slicing(
        source=text,
        column=None,
        is_asked=True,
        names=(text,),
        codes=np.where(column.to_numpy(), 0, -1).astype(np.int8),
    )


def _untold(name: str, division: Division | None) -> Iterable[LeftOut]:
    if division is None:
        yield LeftOut(what=name, why="its values are of no kind that can be compared")
    elif division.n_levels_left_out:
        yield LeftOut(
            what=f"{division.n_levels_left_out:,} more values of {name}",
            why=f"only the {MAX_LEVELS} most frequent ones are looked at apart",
        )


def _automatic(
    profile: TableProfile,
    frame: pl.DataFrame,
    taken: set[str | None],
    is_large: Callable[[np.ndarray], bool],
) -> list[Slicing]:
    found: list[Slicing] = []
    n_slices = 0
    for name in _of_few_values(profile, frame, taken)[:MAX_TRIED]:
        slicing = slicing_of_column(name, frame, is_asked=False)
        if slicing is None or n_slices + len(slicing.names) > MAX_AUTOMATIC:
            continue
        if sum(is_large(slicing.rows(number)) for number in range(len(slicing.names))) < 2:
            continue
        found.append(slicing)
        n_slices += len(slicing.names)
    return found


def _of_few_values(profile: TableProfile, frame: pl.DataFrame, taken: set[str | None]) -> list[str]:
    """Return the features with few values, fewest first, then in the order of the table."""
    hidden = personal_columns(profile) | taken
    known = {column.name: column for column in profile.columns}
    columns = [known[name] for name in profile.features if name not in hidden and name in known]
    few = [
        column
        for column in columns
        if column.kind in ("categorical", "boolean", "numeric")
        and column.n_distinct + bool(column.n_nulls) >= 2
        and column.n_distinct <= MAX_LEVELS
        and column.name in frame.columns
    ]
    return [column.name for column in sorted(few, key=lambda column: column.n_distinct)]
