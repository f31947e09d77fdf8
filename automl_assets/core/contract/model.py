"""The data contract: what a table must hold, as a user writes it down."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from automl_assets.core.contract.numbers import Bound, Key, Pattern
from automl_assets.core.request.numbers import HUMAN, Duration, Number, Scalar, Share, Switch
from automl_assets.core.request.sections import Section
from automl_assets.core.request.text import Column, Loc, Prose, problem, shown
from automl_assets.core.request.yaml import write_yaml
from automl_assets.core.values import QUANTILES

SCHEMA_FILE = "automl-v1-contract.schema.json"
"""Name under which the JSON Schema lies beside contract files."""

MAX_VALUES = 1000

NAMES_OF_QUANTILES = tuple(f"p{round(100 * share)}" for share in QUANTILES)

Type = Literal["integer", "number", "text", "boolean", "date", "datetime"]
Rows = Annotated[int, Field(strict=True, ge=0, le=10**12)]
Tolerance = Annotated[float, Field(strict=True, gt=0, le=10, allow_inf_nan=False)]

_NUMBERS = ("integer", "number")
_TIMES = ("date", "datetime")


class Limit(Section):
    """The largest share of rows that may."""

    max: Share = Field(description="Share from 0 to 1, or a percentage such as 5%.")


class RowCount(Section):
    """How many rows a table has."""

    min: Rows | None = Field(default=None, description="At least so many.")
    max: Rows | None = Field(default=None, description="At most so many.")


class Band(Section):
    """Between what a number lies; both ends belong to it."""

    min: Number | None = Field(default=None, description="At least this.")
    max: Number | None = Field(default=None, description="At most this.")


class Quantiles(Section):
    """Bands of quantiles, known within half a percent of rank."""

    p1: Band | None = Field(default=None, description="1 % of the values are below.")
    p5: Band | None = Field(default=None, description="5 % of the values are below.")
    p25: Band | None = Field(default=None, description="The lower quartile.")
    p50: Band | None = Field(default=None, description="The median.")
    p75: Band | None = Field(default=None, description="The upper quartile.")
    p95: Band | None = Field(default=None, description="95 % of the values are below.")
    p99: Band | None = Field(default=None, description="99 % of the values are below.")


class Statistics(Section):
    """How near a column stays to what it was in the last accepted snapshot."""

    tolerance: Tolerance = Field(
        description="0.1 lets mean, median, standard deviation and the share of missing values "
        "move by a tenth of their scale."
    )


class Freshness(Section):
    """How old the newest row may be when the request is accepted."""

    column: Column = Field(description="Holds the date or time of a row.")
    max_age: Duration = Field(description="Age such as 36h or 7d.")


class ColumnContract(Section):
    """What one column holds; every rule is tried on every row."""

    type: Type | None = Field(default=None, description="Kind of its values.")
    required: Switch = Field(default=True, description="Whether the table must have it.")
    nulls: Limit | None = Field(
        default=None, description="Share of rows without a value; NaN counts as none."
    )
    min: Bound | None = Field(default=None, description="Smallest value: a number or a date.")
    max: Bound | None = Field(default=None, description="Largest value: a number or a date.")
    values: tuple[Scalar, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_VALUES, description="The categories."
    )
    other: Limit | None = Field(
        default=None, description="Share of present values that may be none of `values`."
    )
    pattern: Pattern | None = Field(
        default=None, description="Regular expression (Rust's) that each whole text matches."
    )
    unique: Switch = Field(default=False, description="Whether no value is there twice.")
    mean: Band | None = Field(default=None, description="Where the mean lies.")
    std: Band | None = Field(default=None, description="Where the standard deviation lies.")
    quantiles: Quantiles | None = Field(default=None, description="Where quantiles lie.")
    statistics: Statistics | None = Field(
        default=None, description="Compare with the last accepted snapshot."
    )

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        _refuse(type(self).__name__, _column_rules(self))
        return self


class DataContract(Section):
    """What a table must hold before anything is trained on it."""

    api_version: Literal["automl/v1"] = Field(
        alias="apiVersion", description="Version of this format."
    )
    kind: Literal["DataContract"] = Field(description="What the file is.")
    description: Prose = Field(default="", description="What the table is, in words.")
    rows: RowCount | None = Field(default=None, description="How many rows there are.")
    freshness: Freshness | None = Field(default=None, description="How old the data may be.")
    unique: tuple[Key, ...] = Field(
        default=(),
        max_length=20,
        description="Columns, or lists of columns, whose values together name a row.",
    )
    columns: dict[Column, ColumnContract] = Field(
        default={}, description="Column -> what it holds."
    )
    other_columns: Literal["allow", "refuse"] = Field(
        default="allow", description="Whether the table may have columns that are not listed."
    )

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        _refuse("DataContract", _table_rules(self))
        return self

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """Every list of columns that must be unique, each once."""
        single = ((name,) for name, column in self.columns.items() if column.unique)
        return tuple(dict.fromkeys((*self.unique, *single)))

    def to_yaml(self) -> str:
        """Return a contract file for people, which reads back as this very contract."""
        content = self.model_dump(mode="json", exclude_defaults=True, context=HUMAN)
        return f"# yaml-language-server: $schema={SCHEMA_FILE}\n{write_yaml(content)}"


def contract_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of contract files; rules between keys are left to the parser."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "automl/v1/contract",
        **DataContract.model_json_schema(),
    }


def _refuse(title: str, broken: Iterator[tuple[Loc, str]]) -> None:
    errors = [
        InitErrorDetails(type=problem("rule", message), loc=loc, input=None)
        for loc, message in broken
    ]
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def _column_rules(column: ColumnContract) -> Iterator[tuple[Loc, str]]:
    yield from _bound_rules(column)
    yield from _value_rules(column)
    numeric = column.type in (None, *_NUMBERS)
    for key in ("mean", "std", "quantiles"):
        if getattr(column, key) is not None and not numeric:
            yield (key,), f"only numbers have it; type is {column.type!r}; remove the key"
    bands = {"mean": column.mean, "std": column.std}
    if column.quantiles is not None:
        bands |= {("quantiles", name): getattr(column.quantiles, name) for name in _P}
    for name, band in bands.items():
        loc = name if isinstance(name, tuple) else (name,)
        if band is not None:
            yield from _order(loc, band.min, band.max)


_P = NAMES_OF_QUANTILES


def _order(loc: Loc, low: Any, high: Any) -> Iterator[tuple[Loc, str]]:
    if low is not None and high is not None and low > high:
        yield (
            (*loc, "min"),
            f"must be at most max; found {shown(low)} above {shown(high)}; swap them",
        )


def _bound_rules(column: ColumnContract) -> Iterator[tuple[Loc, str]]:
    bounds = {"min": column.min, "max": column.max}
    dated = {key: isinstance(bound, date) for key, bound in bounds.items() if bound is not None}
    for key, is_date in dated.items():
        fitting = _TIMES if is_date else _NUMBERS
        if column.type not in (None, *fitting):
            what = "a date" if is_date else "a number"
            yield (
                (key,),
                f"must suit the type, {column.type!r}; found {what}, {shown(bounds[key])}",
            )
    if len(set(dated.values())) > 1:
        yield ("min",), "min and max are both numbers or both dates; found one of each"
    elif len(dated) == 2:
        yield from _order((), *(_comparable(bound) for bound in bounds.values()))


def _comparable(bound: Any) -> Any:
    # A date and a time, or times with and without a zone, do not compare; their spelling does.
    return bound.isoformat() if isinstance(bound, date) else bound


_SCALARS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "boolean": (bool,),
}


def _value_rules(column: ColumnContract) -> Iterator[tuple[Loc, str]]:
    if column.other is not None and column.values is None:
        yield ("other",), "says how many values may be none of `values`; list them there"
    if column.pattern is not None and column.type not in (None, "text"):
        yield ("pattern",), f"only texts have it; type is {column.type!r}; remove the key"
    if column.type in _TIMES and column.values is not None:
        yield ("values",), f"type {column.type!r} has no list of values; use min and max"
        return
    seen: set[tuple[bool, Any]] = set()
    for index, value in enumerate(column.values or ()):
        loc, is_switch = ("values", index), isinstance(value, bool)
        fitting = _SCALARS.get(column.type or "", (str, int, float, bool))
        if not isinstance(value, fitting) or (is_switch and bool not in fitting):
            yield loc, f"must suit the type, {column.type!r}; found {shown(value)}"
        elif (is_switch, value) in seen:
            yield loc, f"{shown(value)} is listed twice; keep one"
        seen.add((is_switch, value))


def _table_rules(contract: DataContract) -> Iterator[tuple[Loc, str]]:
    if contract.rows is not None:
        yield from _order(("rows",), contract.rows.min, contract.rows.max)
    closed = contract.other_columns == "refuse"
    for index, key in enumerate(contract.unique):
        if len(set(key)) < len(key):
            yield ("unique", index), "a column is listed twice in one key; keep one"
        for name in key:
            if closed and name not in contract.columns:
                yield ("unique", index), f"{shown(name)} is not listed under columns; add it there"
    if contract.freshness is not None:
        name = contract.freshness.column
        column = contract.columns.get(name)
        if column is None and closed:
            yield (
                ("freshness", "column"),
                f"{shown(name)} is not listed under columns; add it there",
            )
        elif column is not None and column.type not in (None, "text", *_TIMES):
            yield (
                ("freshness", "column"),
                f"{shown(name)} must hold dates; its type is {column.type!r}",
            )
