"""The rules of a contract about columns: which there are, and of which type; tried by pandera."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl

from automl_assets.core.contract.model import DataContract, Type
from automl_assets.core.contract.report import ContractRule, tried_rule
from automl_assets.core.contract.row_rules import is_text

if TYPE_CHECKING:
    import pandera.polars as pa

_COLUMNS_AT_ONCE = 100
"""The time of pandera 0.35 grows with the square of the columns."""

_FITS: dict[Type, Callable[[pl.DataType], bool]] = {
    "integer": lambda dtype: dtype.is_integer(),
    "number": lambda dtype: dtype.is_numeric(),
    "text": is_text,
    "boolean": lambda dtype: dtype == pl.Boolean,
    "date": lambda dtype: dtype == pl.Date,
    "datetime": lambda dtype: isinstance(dtype, pl.Datetime),
}
_USUAL: dict[Type, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "text": pl.String(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}


def type_of(dtype: pl.DataType) -> Type | None:
    """Return the type that a contract would name, or None where it has no word for it."""
    return next((name for name, fits in _FITS.items() if fits(dtype)), None)


def pandera_schema(
    contract: DataContract,
    found: pl.Schema,
    left_out: Collection[str] = (),
    *,
    names: Mapping[str, str] | None = None,
) -> "pa.DataFrameSchema":
    """Return what pandera can try of a contract: names, types, required columns.

    Args:
        found: The table's schema: `integer` stands for any type of integers,
            pandera wants one of them.
        left_out: Columns that are not asked for.
        names: Column -> how the schema calls it. Default: as it is. pandera's
            polars takes a name such as `^a$` for a pattern.
    """
    import pandera.polars as pa

    def dtype_of(name: str, kind: Type | None) -> pl.DataType | None:
        if kind is None:
            return None
        actual = found.get(name)
        return actual if actual is not None and _FITS[kind](actual) else _USUAL[kind]

    return pa.DataFrameSchema(
        {
            (names or {}).get(name, name): pa.Column(
                dtype_of(name, column.type),
                nullable=True,
                required=column.required and name not in left_out,
            )
            for name, column in contract.columns.items()
        },
        strict=contract.other_columns == "refuse",
    )


def schema_rules(
    contract: DataContract, frame: pl.LazyFrame, left_out: Collection[str]
) -> Iterator[ContractRule]:
    """Try what a contract says about columns; a rule for each column of the contract."""
    found = frame.collect_schema()
    listed = list(contract.columns.items())
    for start in range(0, len(listed), _COLUMNS_AT_ONCE):
        block = dict(listed[start : start + _COLUMNS_AT_ONCE])
        part = contract.model_copy(update={"columns": block, "other_columns": "allow"})
        yield from _column_rules(part, found, *_refused(part, found, left_out))
    if contract.other_columns == "refuse":
        yield _others([name for name in found if name not in contract.columns], len(found))


def _refused(
    contract: DataContract, found: pl.Schema, left_out: Collection[str]
) -> tuple[set[str], set[str]]:
    """Return the columns that pandera misses, and those of another type."""
    import pandera.polars as pa

    names = {name: f"c{position}" for position, name in enumerate(contract.columns)}
    back = {alias: name for name, alias in names.items()}
    schema = pandera_schema(contract, found, left_out, names=names)
    # Only names and types are tried here, so no row is needed.
    empty = pl.LazyFrame(schema={a: found[name] for a, name in back.items() if name in found})
    try:
        schema.validate(empty, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.to_dicts()
        missing = {c["failure_case"] for c in cases if c["check"] == "column_in_dataframe"}
        wrong = {c["column"] for c in cases if c["schema_context"] == "Column"}
        return {back[alias] for alias in missing}, {back[alias] for alias in wrong}
    return set(), set()


def _column_rules(
    contract: DataContract, found: pl.Schema, missing: set[str], wrong: set[str]
) -> Iterator[ContractRule]:
    for name, column in contract.columns.items():
        if name not in found:
            yield tried_rule(
                column=name,
                name="required",
                n_tried=int(name in missing),
                n_violations=int(name in missing),
                expected="the column" if column.required else "nothing",
                found="is missing" if name in missing else "not there, and none of its rules tried",
                unit="columns",
                cure="Add the column, or write `required: false` in the contract.",
            )
        elif column.type is not None:
            dtype = found[name]
            yield tried_rule(
                column=name,
                name="type",
                n_tried=1,
                n_violations=int(name in wrong),
                expected=column.type,
                found=f"holds {dtype}, expected {column.type}; its other rules were not tried",
                unit="columns",
                cure="Convert the column where the table is made, or change its type in the "
                "contract.",
            )


def _others(extra: list[str], n_columns: int) -> ContractRule:
    listed = ", ".join(map(repr, extra[:5])) + (f" and {len(extra) - 5} more" * (len(extra) > 5))
    return tried_rule(
        column="",
        name="other_columns",
        n_tried=n_columns,
        n_violations=len(extra),
        expected="only the columns of the contract",
        found=f"columns that the contract does not list: {listed}",
        unit="columns",
        cure="Leave the columns out, list them in the contract, or write `other_columns: allow`.",
    )
