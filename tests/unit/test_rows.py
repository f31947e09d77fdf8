"""Which rows and columns of a source become the snapshot."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows import reading_errors, select


def make_request(**data: Any) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", **data},
        }
    )


TABLE = pl.DataFrame(
    {
        "key": range(100, 110),
        "day": [date(2026, 1, 1) + timedelta(days=n) for n in range(10)],
        "use_a": range(10),
        "use_b": [float(n) for n in range(10)],
        "y": [1, 0, None, 1, 0, 1, None, 0, 1, 0],
    }
)


def chosen(table: pl.DataFrame = TABLE, **data: Any) -> tuple[pl.DataFrame, dict[str, int]]:
    selection = select(table.lazy(), make_request(**data))
    frame = selection.frame.collect(engine="streaming")
    return frame, {step.step: step.n_rows for step in selection.rows}


def test_rows_without_a_target_are_left_out() -> None:
    frame, steps = chosen()

    assert frame.columns == TABLE.columns
    assert frame["key"].to_list() == [100, 101, 103, 104, 105, 107, 108, 109]
    assert steps == {"read": 10, "target present": 8}


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"include": ["use_*"]}, ["use_a", "use_b", "y"]),
        ({"include": ["use_b"]}, ["use_b", "y"]),
        ({"exclude": ["use_?"]}, ["key", "day", "y"]),
        ({"include": ["*"], "exclude": ["*"]}, ["y"]),
    ],
)
def test_patterns_choose_columns_in_table_order(
    features: dict[str, list[str]], expected: list[str]
) -> None:
    assert chosen(features=features)[0].columns == expected


def test_columns_with_a_role_are_always_kept() -> None:
    frame, _ = chosen(id="key", time="day", group="use_a", features={"include": ["use_b"]})

    assert frame.columns == ["key", "day", "use_a", "use_b", "y"]


def test_a_name_with_brackets_names_itself() -> None:
    table = pl.DataFrame({"a[1]": [1], "a1": [2], "y": [0]})

    assert chosen(table, features={"include": ["a[1]"]})[0].columns == ["a[1]", "a1", "y"]
    assert chosen(table, features={"exclude": ["a[[]1]"]})[0].columns == ["a1", "y"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"features": {"include": ["usee_a"]}}, r"include .* 'usee_a' matches none\. Did you mean"),
        ({"features": {"exclude": ["zz*"]}}, r"'zz\*' matches none\. Columns: 'key', 'day'"),
        ({"target": "yy"}, r"data\.target .* no 'yy'\. Did you mean 'y'\?"),
        ({"id": "kee"}, r"data\.id .* no 'kee'\. Did you mean 'key'\?"),
    ],
)
def test_unknown_columns_are_answered_with_near_names(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        chosen(**data)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"from": date(2026, 1, 8)}, [107, 108, 109]),
        ({"until": date(2026, 1, 3)}, [100, 101]),
        ({"from": date(2026, 1, 2), "until": date(2026, 1, 5)}, [101, 103]),
        ({"from": datetime(2026, 1, 9, 6)}, [109]),
    ],
)
def test_from_is_inclusive_and_until_exclusive(rows: dict[str, date], expected: list[int]) -> None:
    frame, steps = chosen(time="day", rows=rows)

    assert frame["key"].to_list() == expected
    assert list(steps) == ["read", "from/until", "target present"]
    assert steps["target present"] == len(expected)


@pytest.mark.parametrize(
    ("bound", "n_rows"),
    [(datetime(2026, 7, 1), 2), ("2026-07-01T00:00:00+02:00", 2), ("2026-07-01T00:00:00Z", 1)],
)
def test_bounds_are_compared_in_the_time_zone_of_the_column(
    bound: datetime | str, n_rows: int
) -> None:
    moments = [datetime(2026, 6, 30, 23), datetime(2026, 7, 1, 0), datetime(2026, 7, 1, 3)]
    table = pl.DataFrame({"when": moments, "y": [0, 1, 0]}).with_columns(
        pl.col("when").dt.replace_time_zone("Europe/Berlin")
    )

    assert chosen(table, time="when", rows={"from": bound})[0].height == n_rows


def test_a_zone_in_the_request_and_none_in_the_data_is_refused() -> None:
    with pytest.raises(RequestError, match="both with a time zone or both without"):
        chosen(time="day", rows={"from": "2026-01-01T00:00:00+02:00"})


def test_a_time_column_of_text_is_refused() -> None:
    with pytest.raises(RequestError, match="Column 'use_a' holds Int64"):
        chosen(time="use_a", rows={"from": date(2026, 1, 1)})


def test_a_period_without_rows_tells_what_the_data_hold() -> None:
    with pytest.raises(
        RequestError,
        match=r"Of 10 rows none .* from 2027-01-01 until the end; .* 2026-01-01 to 2026-01-10",
    ):
        chosen(time="day", rows={"from": date(2027, 1, 1)})


def test_a_target_without_values_is_refused() -> None:
    with pytest.raises(RequestError, match="Column 'y' is empty in all 10 rows"):
        chosen(TABLE.with_columns(y=pl.lit(None, pl.Int64)))


def test_a_sample_has_the_asked_size_and_keeps_the_order() -> None:
    table = pl.DataFrame({"n": range(10_000), "y": [0, 1] * 5_000})

    frame, steps = chosen(table, rows={"sample": {"max_rows": 1_234, "seed": 7}})

    assert steps == {"read": 10_000, "target present": 10_000, "sample": 1_234}
    assert frame.height == 1_234
    assert frame["n"].is_sorted()
    assert frame["n"].n_unique() == 1_234


def test_the_seed_decides_the_sample() -> None:
    table = pl.DataFrame({"n": range(1_000), "y": [0, 1] * 500})

    def sample(seed: int) -> list[int]:
        return chosen(table, rows={"sample": {"max_rows": 100, "seed": seed}})[0]["n"].to_list()

    assert sample(1) == sample(1)
    assert len(set(sample(1)) & set(sample(2))) < 30


def test_every_row_may_be_sampled() -> None:
    table = pl.DataFrame({"n": range(40), "y": [0, 1] * 20})
    seen: set[int] = set()
    for seed in range(60):
        frame, _ = chosen(table, rows={"sample": {"max_rows": 10, "seed": seed}})
        seen |= set(frame["n"].to_list())

    assert seen == set(range(40))


@settings(deadline=None, max_examples=40)
@given(n_rows=st.integers(1, 300), max_rows=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_a_sample_never_misses_its_size(n_rows: int, max_rows: int, seed: int) -> None:
    table = pl.DataFrame({"y": [1] * n_rows})

    frame, steps = chosen(table, rows={"sample": {"max_rows": max_rows, "seed": seed}})

    assert frame.height == min(n_rows, max_rows) == list(steps.values())[-1]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            pl.exceptions.ComputeError("could not parse `x`\nhints"),
            r"could not parse `x`\. Correct",
        ),
        (pl.exceptions.ComputeError("found more fields than"), "Give each row as many cells"),
        (pl.exceptions.ComputeError("No space left on device"), "The disk is full"),
        (OSError("os error 28"), "The disk is full"),
    ],
)
def test_errors_of_polars_are_told_in_our_words(raised: Exception, message: str) -> None:
    with pytest.raises(SnapshotError, match=message), reading_errors("churn.csv"):
        raise raised
