"""How a table, or what is asked of it, changed."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.contract import (
    ColumnDrift,
    compare_contracts,
    compare_profiles,
    parse_contract,
)
from automl_assets.core.contract.psi import stability_index
from automl_assets.core.profile import profile_columns

N_ROWS = 2000
BEFORE = {
    "x": [float(n % 100) for n in range(N_ROWS)],
    "plan": ["basic"] * 1500 + ["plus"] * 500,
    "gone": [1] * N_ROWS,
}


def drift(before: dict[str, Any], after: dict[str, Any]) -> dict[tuple[str, str], ColumnDrift]:
    old, new = pl.DataFrame(before), pl.DataFrame(after)
    found = compare_profiles(
        profile_columns(old.lazy()),
        profile_columns(new.lazy()),
        n_rows=(old.height, new.height),
    )
    return {(item.column, item.what): item for item in found}


def test_a_table_does_not_drift_from_itself() -> None:
    assert drift(BEFORE, BEFORE) == {}


def test_columns_types_and_rows_that_changed_are_named() -> None:
    after = {
        "x": ["1"] * 600,
        "plan": ["basic"] * 450 + ["family"] * 150,
        "new": [1] * 600,
    }

    found = drift(BEFORE, after)

    assert found["", "rows"].size == pytest.approx(-0.7)
    assert (found["x", "type"].before, found["x", "type"].after) == ("Float64", "String")
    assert found["new", "new column"].after == "Int64"
    assert found["gone", "lost column"].before == "Int64"
    assert found["plan", "new categories"].after == "'family'"
    assert found["plan", "lost categories"].before == "'plus'"
    assert all(item.notable for item in found.values())


def test_a_shift_is_measured_in_deviations_of_before() -> None:
    after = BEFORE | {"x": [value + 28.88 for value in BEFORE["x"]]}

    found = drift(BEFORE, after)

    assert {what for _, what in found} == {"mean", "median", "minimum", "maximum", "psi"}
    assert found["x", "mean"].size == pytest.approx(1.0, abs=0.01)
    assert found["x", "maximum"].size == pytest.approx(28.88 / 99)
    assert found["x", "psi"].size is not None
    assert found["x", "psi"].size > 0.25
    assert not found["x", "minimum"].notable


def test_small_changes_are_told_and_not_notable() -> None:
    after = BEFORE | {"x": [None] * 10 + [value + 0.5 for value in BEFORE["x"][10:]]}

    found = drift(BEFORE, after)

    assert found["x", "nulls"].after == "0.5 %"
    assert not any(item.notable for item in found.values())


def test_the_stability_index_of_texts_is_the_textbook_one() -> None:
    after = BEFORE | {"plan": ["basic"] * 1000 + ["plus"] * 1000}

    # (0.5 - 0.75) ln(0.5 / 0.75) + (0.5 - 0.25) ln(0.5 / 0.25)
    assert drift(BEFORE, after)["plan", "psi"].size == pytest.approx(0.274653, abs=1e-5)


def test_a_few_more_ones_among_zeros_are_no_other_distribution() -> None:
    before, after = [0] * 1010 + [1] * 990, [0] * 990 + [1] * 1010

    found = drift(BEFORE | {"flag": before}, BEFORE | {"flag": after})["flag", "psi"]

    # (0.495 - 0.505) ln(0.495 / 0.505), twice
    assert found.size == pytest.approx(0.0004, abs=1e-5)
    assert not found.notable


columns = st.lists(st.floats(-100, 100) | st.integers(-3, 3).map(float), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(columns, columns)
def test_the_stability_index_is_zero_for_equal_columns_and_never_below(
    first: list[float], second: list[float]
) -> None:
    (one,) = profile_columns(pl.LazyFrame({"a": first}))
    (two,) = profile_columns(pl.LazyFrame({"a": second}))

    assert stability_index(one, one, len(first), len(first)) == 0
    index = stability_index(one, two, len(first), len(second))
    assert index is not None
    assert index >= 0


def test_contracts_are_compared_key_by_key() -> None:
    head = "apiVersion: automl/v1\nkind: DataContract\n"
    before = parse_contract(
        f"{head}rows: {{min: 5}}\ncolumns: {{a: {{min: 0, type: integer}}, b: {{}}}}", filename="c"
    )
    after = parse_contract(
        f"{head}columns: {{a: {{min: -1, type: integer}}, c: {{values: [x, y]}}}}", filename="c"
    )

    found = compare_contracts(before, after)

    assert [(item.column, item.what, item.before, item.after) for item in found] == [
        ("", "rows", "min 5", "not asked"),
        ("a", "min", "0", "-1"),
        ("b", "column", "listed", "not asked"),
        ("c", "column", "not asked", "listed"),
        ("c", "values", "not asked", "x, y"),
    ]
    assert compare_contracts(before, before) == ()
    assert compare_contracts(None, before)[0].before == "not asked"
