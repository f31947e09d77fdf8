"""A first contract for a table: rules that the table keeps, with room for the next one."""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError

from automl_assets.core.contract.measured import measured
from automl_assets.core.contract.model import ColumnContract, DataContract
from automl_assets.core.contract.row_rules import exactly, known
from automl_assets.core.contract.schema_rules import type_of
from automl_assets.core.request.numbers import Scalar
from automl_assets.core.request.text import Column
from automl_assets.core.values import ColumnProfile, TableProfile

MAX_COLUMNS = 1000
"""Columns that an inferred contract describes; a file of the full length is no start."""

MAX_LISTED = 5_000
MAX_LISTED_BYTES = 200_000
"""Categories of all columns together: with more, the file would be too long to be read."""

MAX_CATEGORIES = 50
MIN_KEY_ROWS = 50
"""In fewer rows, values that are all different say nothing."""

_NEARLY_ALL = 0.9
_EXACT_DISTINCT = 10_000
_SLACK = 0.1
_LARGEST = 2**63 - 1

_NAME = TypeAdapter(Column)
_VALUE = TypeAdapter(Scalar)


def infer_contract(
    table: TableProfile | pl.LazyFrame, *, scratch: Path | None = None
) -> DataContract:
    """Return a contract that a table keeps: a start that people tighten.

    Types as found; half as many rows as there are, at least; the share of
    missing values and a half, and a hundredth; the range and a tenth of it on
    either side, but never across zero; up to 50 categories; columns of texts or
    whole numbers that are different in every row are unique.

    Args:
        table: The table, or its profile. A profile does not tell whether
            numbers are infinite, nor of more than 10,000 values whether they are
            all different; the first is then taken as no, and so is the second.
        scratch: Folder for temporary files, 8 bytes a row. Default: the system's.
    """
    if isinstance(table, TableProfile):
        columns, n_rows, ends = table.columns, table.n_rows, {}
        keys = [c.name for c in columns if _may_be_key(c, n_rows) and _is_exact_key(c, n_rows)]
    else:
        columns = measured(table, table.collect_schema().names())
        n_rows = table.select(pl.len()).collect(engine="streaming").item()
        ends = _infinite_ends(table)
        wide = [column.name for column in columns if _may_be_key(column, n_rows)]
        keys = _keys(table, wide, n_rows, scratch)
    described = {
        column.name: _column(column, n_rows, ends.get(column.name, ()), column.name in keys)
        for column in columns
        if _can_be_written(column.name)
    }
    content: dict[str, Any] = {
        "apiVersion": "automl/v1",
        "kind": "DataContract",
        "columns": _within_limits(dict(list(described.items())[:MAX_COLUMNS])),
    }
    if n_rows > 1:
        content["rows"] = {"min": n_rows // 2}
    return DataContract.model_validate(content)


def _within_limits(described: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the rules without the categories for which a file has no room left."""
    n_listed = n_bytes = 0
    for name, rules in described.items():
        names = rules.get("values", ())
        n, size = len(names), sum(len(text.encode()) for text in names)
        if n_listed + n > MAX_LISTED or n_bytes + size > MAX_LISTED_BYTES:
            described[name] = {key: rule for key, rule in rules.items() if key != "values"}
            continue
        n_listed, n_bytes = n_listed + n, n_bytes + size
    return described


def _can_be_written(name: str) -> bool:
    """Whether a contract file can name a column: no control characters, and no merge key."""
    try:
        return _NAME.validate_python(name) != "<<"
    except ValidationError:
        return False


def _infinite_ends(frame: pl.LazyFrame) -> dict[str, tuple[str, ...]]:
    """Return which bounds a column of floats cannot have, because it holds infinity."""
    names = [name for name, dtype in frame.collect_schema().items() if dtype.is_float()]
    if not names:
        return {}
    ends = {
        f"{position} {key}": (exactly(name) == pl.lit(value)).any()
        for position, name in enumerate(names)
        for key, value in (("min", -math.inf), ("max", math.inf))
    }
    found = frame.select(**ends).collect(engine="streaming").row(0, named=True)
    return {
        name: tuple(key for key in ("min", "max") if found[f"{position} {key}"])
        for position, name in enumerate(names)
    }


def _may_be_key(column: ColumnProfile, n_rows: int) -> bool:
    is_name = column.dtype == "String" or column.dtype.startswith(("Int", "UInt"))
    varied = column.n_distinct >= _NEARLY_ALL * n_rows
    return is_name and varied and n_rows >= MIN_KEY_ROWS and column.n_nulls == 0


def _is_exact_key(column: ColumnProfile, n_rows: int) -> bool:
    return column.n_distinct == n_rows and n_rows <= _EXACT_DISTINCT


def _keys(frame: pl.LazyFrame, names: list[str], n_rows: int, scratch: Path | None) -> set[str]:
    """Return the columns that hold another value in every row."""
    from automl_assets.core.rows.duplicates import later_copies, row_digests

    schema, found = frame.collect_schema(), set()
    for name in names:
        with TemporaryDirectory(prefix="keys-", dir=scratch) as folder:
            values = frame.select(known(name, schema[name]).alias("value"))
            digests = row_digests(values, ["value"], Path(folder) / "digests")
            if len(later_copies(digests)) == 0:
                found.add(name)
    return found


def _column(
    column: ColumnProfile, n_rows: int, infinite: tuple[str, ...], is_key: bool
) -> dict[str, Any]:
    kind = type_of(_dtype(column.dtype))
    share = column.n_nulls / n_rows if n_rows else 1.0
    rules: dict[str, Any] = {"nulls": {"max": _null_limit(share)}}
    if kind is not None:
        rules["type"] = kind
    if kind in ("integer", "number"):
        rules |= {k: v for k, v in _range(column, kind).items() if k not in infinite}
    elif kind in ("date", "datetime"):
        rules |= _first_day(column)
    elif kind == "text":
        rules |= _categories(column, n_rows)
    if is_key:
        rules["unique"] = True
    order = list(ColumnContract.model_fields)
    return dict(sorted(rules.items(), key=lambda item: order.index(item[0])))


_TYPES = {
    **{name: getattr(pl, name)() for name in ("String", "Boolean", "Date", "Float32", "Float64")},
    **{f"{sign}Int{bits}": pl.Int64() for sign in ("", "U") for bits in (8, 16, 32, 64, 128)},
}


def _dtype(text: str) -> pl.DataType:
    """Return a type of the same kind as the one that a profile names."""
    head = text.partition("(")[0]
    families = {
        "Datetime": pl.Datetime("us"),
        "Decimal": pl.Decimal(38, 0),
        "Categorical": pl.String(),
        "Enum": pl.String(),
    }
    return _TYPES.get(text) or families.get(head) or pl.Binary()


def _null_limit(share: float) -> float:
    if share == 0:
        return 0.0
    return min(1.0, math.ceil(round(1000 * (1.5 * share + 0.01), 6)) / 1000)


def _range(column: ColumnProfile, kind: str) -> dict[str, int | float]:
    if column.minimum is None or column.maximum is None:
        return {}
    read = int if kind == "integer" else float
    low, high = read(column.minimum), read(column.maximum)
    # A single value stands for a range of its own size.
    span = float(high - low) or abs(float(low)) or 1.0
    if not math.isfinite(span):
        return {}
    step = 10.0 ** (math.floor(math.log10(span)) - 1)
    ends = {
        "min": 0 if low >= 0 else min(low, _rounded(low - _SLACK * span, step, math.floor)),
        "max": 0 if high <= 0 else max(high, _rounded(high + _SLACK * span, step, math.ceil)),
    }
    if kind == "integer":
        ends = {"min": math.floor(ends["min"]), "max": math.ceil(ends["max"])}
    return {key: end for key, end in ends.items() if abs(end) <= _LARGEST}


def _rounded(value: float, step: float, towards: Any) -> float:
    """Round outwards to two digits of the range, and so that the number is short to read."""
    if not math.isfinite(value / step):
        return value
    digits = -math.floor(math.log10(step))
    return round(towards(value / step) * step, digits) if abs(digits) < 300 else value


def _first_day(column: ColumnProfile) -> dict[str, date]:
    """Return the first day of the oldest year; the newest date is not the last one to come."""
    try:
        oldest = datetime.fromisoformat(column.minimum or "")
    except ValueError:
        return {}
    if oldest.tzinfo is not None:
        try:
            oldest = oldest.astimezone(UTC)
        except OverflowError:
            return {}
    return {"min": date(oldest.year, 1, 1)}


def _categories(column: ColumnProfile, n_rows: int) -> dict[str, list[str]]:
    n_present = n_rows - column.n_nulls
    listed = sorted(name for name, _ in column.top)
    is_all = sum(n for _, n in column.top) == n_present
    if not is_all or not 1 <= len(listed) <= min(MAX_CATEGORIES, n_present / 2):
        return {}
    try:
        for name in listed:
            _VALUE.validate_python(name)
    except ValidationError:
        return {}
    return {"values": listed}
