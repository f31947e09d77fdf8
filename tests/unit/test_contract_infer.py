"""A contract that is inferred from a table is kept by it, and is room for the next one."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from automl_assets.core.contract import (
    DataContract,
    check_contract,
    infer_contract,
    parse_contract,
)
from automl_assets.core.contract.infer import MAX_COLUMNS
from automl_assets.core.profile import profile_columns
from automl_assets.core.values import TableProfile

NOW = datetime(2026, 10, 20, tzinfo=UTC)

_VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (pl.Int8, st.integers(-128, 127)),
    (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    (pl.UInt64, st.integers(0, 2**64 - 1)),
    (pl.Float32, st.floats(width=32)),
    (pl.Float64, st.floats()),
    (pl.String, st.text(max_size=5)),
    (pl.Categorical, st.sampled_from(["a", "b", "NO", "2020-01-01"])),
    (pl.Boolean, st.booleans()),
    (pl.Date, st.dates()),
    (pl.Datetime("us"), st.datetimes()),
    (pl.Datetime("us", "Asia/Tokyo"), st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1))),
    (pl.List(pl.Int64), st.lists(st.integers(0, 5), max_size=2)),
    (pl.Null, st.none()),
]


def tables() -> st.SearchStrategy[pl.DataFrame]:
    """Small tables of all types, with missing values, few or many levels, and odd names."""
    names = st.lists(
        st.text(max_size=6) | st.sampled_from(["<<", "^.*$", "NO", "row", "1", "a\nb"]),
        min_size=1,
        max_size=4,
        unique=True,
    )

    @st.composite
    def draw_table(draw: st.DrawFn) -> pl.DataFrame:
        n_rows = draw(st.integers(0, 60))
        columns = []
        for name in draw(names):
            dtype, values = draw(st.sampled_from(_VALUES))
            maybe = values | st.none() if draw(st.booleans()) else values
            cells = draw(st.lists(maybe, min_size=n_rows, max_size=n_rows))
            if isinstance(dtype, pl.Datetime) and dtype.time_zone:
                column = pl.Series(name, cells, dtype=pl.Datetime("us"))
                columns.append(
                    column.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
                )
            else:
                columns.append(pl.Series(name, cells, dtype=dtype))
        return pl.DataFrame(columns)

    return draw_table()


def findings(table: pl.DataFrame, contract: DataContract) -> tuple[str, ...]:
    report = check_contract(table.lazy(), contract, previous=None, as_of=NOW)
    return report.findings


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
@example(pl.DataFrame({"a": [float("inf"), -float("inf"), 1.0]}))
@example(pl.DataFrame({"a": [2**63 - 1, -(2**63)]}))
@example(pl.DataFrame({"a": [1e308, -1e308, 5e-324]}))
@example(pl.DataFrame({"a": [1e15, 1e15 + 0.125]}))
@example(pl.DataFrame({"a": pl.Series([0.1], dtype=pl.Float32)}))
@example(pl.DataFrame({"a": [date.max, date.min]}))
def test_a_table_keeps_the_contract_that_is_inferred_from_it(table: pl.DataFrame) -> None:
    contract = infer_contract(table.lazy())

    assert findings(table, contract) == ()
    assert parse_contract(contract.to_yaml(), filename="c.yaml") == contract


N_ROWS = 200
TABLE = pl.DataFrame(
    {
        "id": range(N_ROWS),
        "code": [f"k{n}" for n in range(N_ROWS)],
        "age": [20 + n % 50 for n in range(N_ROWS)],
        "change": [n - 100.0 for n in range(N_ROWS)],
        "price": [None if n % 10 == 0 else n / 8 for n in range(N_ROWS)],
        "plan": ["basic", "plus"] * 100,
        "ok": [True, False] * 100,
        "day": [date(2024, 5, 1 + n % 30) for n in range(N_ROWS)],
    }
)


def test_what_is_inferred_can_be_read_and_has_room() -> None:
    contract = infer_contract(TABLE.lazy())

    assert contract.to_yaml().split("kind: DataContract\n")[1] == (
        "rows:\n  min: 100\n"
        "columns:\n"
        "  id:\n    type: integer\n    nulls:\n      max: 0%\n    min: 0\n    max: 220\n"
        "    unique: true\n"
        "  code:\n    type: text\n    nulls:\n      max: 0%\n    unique: true\n"
        "  age:\n    type: integer\n    nulls:\n      max: 0%\n    min: 0\n    max: 74\n"
        "  change:\n    type: number\n    nulls:\n      max: 0%\n    min: -120.0\n    max: 120.0\n"
        "  price:\n    type: number\n    nulls:\n      max: 16%\n    min: 0\n    max: 28.0\n"
        "  plan:\n    type: text\n    nulls:\n      max: 0%\n    values:\n    - basic\n    - plus\n"
        "  ok:\n    type: boolean\n    nulls:\n      max: 0%\n"
        "  day:\n    type: date\n    nulls:\n      max: 0%\n    min: '2024-01-01'\n"
    )


def test_a_profile_gives_the_contract_of_its_table() -> None:
    profile = TableProfile(
        n_rows=N_ROWS,
        columns=profile_columns(TABLE.lazy()),
        task_type="regression",
        classes=(),
        features=(),
        dropped=(),
    )

    assert infer_contract(profile) == infer_contract(TABLE.lazy())


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ({"id": [0, *range(N_ROWS - 1)]}, "id unique"),
        ({"plan": ["gold", *TABLE["plan"][1:]]}, "plan values"),
        ({"age": [-1, *TABLE["age"][1:]]}, "age min"),
        ({"price": [1.0, *[None] * (N_ROWS - 1)]}, "price nulls"),
        ({"day": ["2024-05-01"] * N_ROWS}, "day type"),
    ],
)
def test_another_table_can_break_it(column: dict[str, Any], rule: str) -> None:
    contract = infer_contract(TABLE.lazy())
    other = TABLE.with_columns(**{name: pl.Series(cells) for name, cells in column.items()})

    assert any(text.startswith(f"{rule}: ") for text in findings(other, contract))


def test_a_very_wide_table_gives_a_file_that_can_be_read() -> None:
    table = pl.DataFrame({f"column {n}": [n, n + 1] for n in range(MAX_COLUMNS + 5)})

    contract = infer_contract(table.lazy())

    assert len(contract.columns) == MAX_COLUMNS
    assert parse_contract(contract.to_yaml(), filename="c.yaml") == contract


@pytest.mark.parametrize("word", ["v", "v" * 150], ids=["many", "long"])
def test_a_contract_of_many_categories_can_be_read_again(word: str) -> None:
    table = pl.DataFrame(
        {f"c{n}": [f"{word}{row % 20}" for row in range(60)] for n in range(MAX_COLUMNS)}
    ).lazy()

    contract = infer_contract(table)

    assert parse_contract(contract.to_yaml(), filename="c.yaml") == contract
    assert contract.columns["c0"].values is not None
    assert contract.columns[f"c{MAX_COLUMNS - 1}"].values is None
