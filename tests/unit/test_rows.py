"""Which rows and columns of a source become the snapshot."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows import check_roles, reading_errors, select_columns, thinning
from automl_assets.core.rows import table as row_table
from automl_assets.core.rows.table import scan_table, write_rows
from automl_assets.core.rows.thinning import KeptRows


def make_request(split: dict[str, Any] | None = None, **data: Any) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", **data},
            **({"split": split} if split else {}),
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


Chosen = Callable[..., tuple[pl.DataFrame, dict[str, int]]]


@pytest.fixture(params=["csv", "parquet", "memory"])
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chosen:
    """What is written of a table, from a source that is read once and from one read twice."""
    folder = tmp_path_factory.mktemp("rows")

    def opened(table: pl.DataFrame) -> pl.LazyFrame:
        file = folder / "source"
        if request.param == "csv":
            table.write_csv(file)
            return pl.scan_csv(file, schema=table.schema)
        if request.param == "parquet":
            table.write_parquet(file, row_group_size=3)
            return pl.scan_parquet(file)
        return table.lazy()

    def write(table: pl.DataFrame = TABLE, **data: Any) -> tuple[pl.DataFrame, dict[str, int]]:
        file = folder / "rows.parquet"
        steps = write_rows(opened(table), make_request(**data), file, source="churn.csv")
        frame = scan_table(file).collect()
        assert {path.name for path in folder.iterdir()} <= {"source", "rows.parquet"}
        return frame, {step.step: step.n_rows for step in steps}

    return write


def test_rows_without_a_target_are_left_out(chosen: Chosen) -> None:
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
    chosen: Chosen, features: dict[str, list[str]], expected: list[str]
) -> None:
    assert chosen(features=features)[0].columns == expected


def test_columns_with_a_role_are_always_kept(chosen: Chosen) -> None:
    frame, _ = chosen(id="key", time="day", group="use_a", features={"include": ["use_b"]})

    assert frame.columns == ["key", "day", "use_a", "use_b", "y"]


def test_a_name_with_brackets_names_itself(chosen: Chosen) -> None:
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
def test_unknown_columns_are_answered_with_near_names(
    chosen: Chosen, data: dict[str, Any], message: str
) -> None:
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
def test_from_is_inclusive_and_until_exclusive(
    chosen: Chosen, rows: dict[str, date], expected: list[int]
) -> None:
    frame, steps = chosen(time="day", rows=rows)

    assert frame["key"].to_list() == expected
    assert list(steps) == ["read", "from/until", "target present"]
    assert steps["target present"] == len(expected)


@pytest.mark.parametrize(
    ("bound", "n_rows"),
    [(datetime(2026, 7, 1), 2), ("2026-07-01T00:00:00+02:00", 2), ("2026-07-01T00:00:00Z", 1)],
)
def test_bounds_are_compared_in_the_time_zone_of_the_column(
    chosen: Chosen, bound: datetime | str, n_rows: int
) -> None:
    moments = [datetime(2026, 6, 30, 23), datetime(2026, 7, 1, 0), datetime(2026, 7, 1, 3)]
    table = pl.DataFrame({"when": moments, "y": [0, 1, 0]}).with_columns(
        pl.col("when").dt.replace_time_zone("Europe/Berlin")
    )

    assert chosen(table, time="when", rows={"from": bound})[0].height == n_rows


def test_a_zone_in_the_request_and_none_in_the_data_is_refused(chosen: Chosen) -> None:
    with pytest.raises(RequestError, match="both with a time zone or both without"):
        chosen(time="day", rows={"from": "2026-01-01T00:00:00+02:00"})


def test_a_time_column_of_text_is_refused(chosen: Chosen) -> None:
    with pytest.raises(RequestError, match="Column 'use_a' holds Int64"):
        chosen(time="use_a", rows={"from": date(2026, 1, 1)})


def test_a_period_without_rows_tells_what_the_data_hold(chosen: Chosen) -> None:
    with pytest.raises(
        RequestError,
        match=r"After dates 0\. 'day' reaches from 2026-01-01 to 2026-01-10; .* from 2027-01-01",
    ):
        chosen(time="day", rows={"from": date(2027, 1, 1)})


def test_a_target_without_values_is_refused(chosen: Chosen) -> None:
    with pytest.raises(RequestError, match="Column 'y' is empty in all 10 rows"):
        chosen(TABLE.with_columns(y=pl.lit(None, pl.Int64)))


def test_a_sample_has_the_asked_size_and_keeps_the_order(chosen: Chosen) -> None:
    table = pl.DataFrame({"n": range(10_000), "y": [0, 1] * 5_000})

    frame, steps = chosen(table, rows={"sample": {"max_rows": 1_234, "seed": 7}})

    assert steps == {"read": 10_000, "target present": 10_000, "sample": 1_234}
    assert frame.height == 1_234
    assert frame["n"].is_sorted()
    assert frame["n"].n_unique() == 1_234


def test_the_seed_decides_the_sample(chosen: Chosen) -> None:
    table = pl.DataFrame({"n": range(1_000), "y": [0, 1] * 500})

    def sample(seed: int) -> list[int]:
        return chosen(table, rows={"sample": {"max_rows": 100, "seed": seed}})[0]["n"].to_list()

    assert sample(1) == sample(1)
    assert len(set(sample(1)) & set(sample(2))) < 30


def test_every_row_may_be_sampled(chosen: Chosen) -> None:
    table = pl.DataFrame({"n": range(40), "y": [0, 1] * 20})
    seen: set[int] = set()
    for seed in range(60):
        frame, _ = chosen(table, rows={"sample": {"max_rows": 10, "seed": seed}})
        seen |= set(frame["n"].to_list())

    assert seen == set(range(40))


@settings(deadline=None, max_examples=150)
@given(
    n_rows=st.integers(1, 300),
    dropped=st.sets(st.integers(0, 299)),
    size=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
    piece=st.sampled_from([8, 64, 1 << 20]),
)
def test_a_sample_never_misses_its_size_and_takes_no_dropped_row(
    n_rows: int, dropped: set[int], size: int, seed: int, piece: int
) -> None:
    left = [row for row in range(n_rows) if row not in dropped]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "_PIECE", piece)
        rows = KeptRows(n_rows)
        rows.drop(np.array(sorted(dropped & set(range(n_rows))), np.int64))
        rows.sample(size, seed=seed)

    found = rows.filter(pl.LazyFrame({"n": range(n_rows)})).collect()["n"].to_list()

    assert len(found) == rows.n_rows == min(size, len(left))
    assert found == sorted(set(found) & set(left))


def test_a_sample_takes_one_row_of_each_stretch() -> None:
    rows = KeptRows(1_000)
    rows.sample(100, seed=3)

    found = rows.filter(pl.LazyFrame({"n": range(1_000)})).collect()["n"].to_list()

    assert [n // 10 for n in found] == list(range(100))


def test_copies_are_dropped_before_the_sample(chosen: Chosen) -> None:
    table = pl.DataFrame({"n": [5, 5, 6, 5, 7, 6], "s": [None, None, "a", "b", "a", "a"], "y": 1})

    frame, steps = chosen(table, rows={"duplicates": "drop"})

    assert frame["n"].to_list() == [5, 6, 5, 7]
    assert steps == {"read": 6, "target present": 6, "duplicates": 4}
    sampled, steps = chosen(table, rows={"duplicates": "drop", "sample": {"max_rows": 2}})
    assert steps["sample"] == sampled.height == 2
    assert not sampled.is_duplicated().any()


def test_copies_are_kept_unless_the_request_says_otherwise(chosen: Chosen) -> None:
    frame, steps = chosen(pl.DataFrame({"n": [5, 5], "y": [1, 1]}))

    assert frame.height == 2
    assert "duplicates" not in steps


def test_the_steps_are_counted_in_their_order(chosen: Chosen) -> None:
    frame, steps = chosen(
        time="day",
        features={"exclude": ["use_b"]},
        rows={
            "from": date(2026, 1, 2),
            "where": "use_b < 8 AND NOT use_a IN (3)",
            "duplicates": "drop",
            "sample": {"max_rows": 3},
        },
    )

    assert list(steps.items()) == [
        ("read", 10),
        ("from/until", 9),
        ("where", 6),
        ("target present", 4),
        ("duplicates", 4),
        ("sample", 3),
    ]
    assert frame.columns == ["key", "day", "use_a", "y"]
    assert set(frame["key"]) <= {101, 104, 105, 107}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"where": "plan = 'FR' AND key > 0"},
            r"^rows: 0 of 10 left\. After where 0\. plan holds 'gold', 'basic', not 'FR'\.",
        ),
        (
            {"from": date(2026, 1, 3), "where": "plan IN ('gold', 'x', 'y') AND key < 0"},
            r"^rows: 0 of 10 left\. After dates 8; after where 0\. plan holds .*, not 'x', 'y'\.",
        ),
        (
            {"where": "key < 0"},
            r"After where 0\. No row meets 'key < 0'\. Change data.rows.where\.",
        ),
        (
            {"where": "y IS NULL"},
            r"After where 2; after rows with a target 0\. Column 'y' is empty",
        ),
    ],
)
def test_a_predicate_that_leaves_nothing_is_answered_with_what_the_data_hold(
    chosen: Chosen, rows: dict[str, Any], message: str
) -> None:
    plans = pl.Series(["gold", "basic", "gold", "gold", None] * 2)

    with pytest.raises(RequestError, match=message):
        chosen(TABLE.with_columns(plan=plans), time="day", rows=rows)


def test_an_empty_source_is_refused(chosen: Chosen) -> None:
    with pytest.raises(RequestError, match=r"^rows: 0 of 0 left\..* The source is empty"):
        chosen(TABLE.head(0))


def test_counts_that_do_not_fit_the_file_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = row_table._Counter.__call__
    monkeypatch.setattr(
        row_table._Counter, "__call__", lambda self, met: (call(self, met), call(self, met))[1]
    )

    steps = write_rows(TABLE.lazy(), make_request(), tmp_path / "rows", source="churn.csv")

    assert [step.n_rows for step in steps] == [10, 8]


def test_constant_columns_are_counted_in_full(tmp_path: Path) -> None:
    frame = TABLE.lazy().with_columns(y=pl.lit(1))
    request = make_request(rows={"where": "y = 1"})

    steps = write_rows(frame, request, tmp_path / "rows", source="churn.csv")

    assert [step.n_rows for step in steps] == [10, 10, 10]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            make_request({"strategy": "column", "column": "prt"}),
            r"split\.column .* no 'prt'.*'part'",
        ),
        (make_request(time="day", available_at={"uze": "day"}), r"data\.available_at .* no 'uze'"),
        (make_request(time="day", available_at={"use": "dya"}), r"available_at .* no 'dya'.*'day'"),
        (make_request(features={"keep": ["usee"]}), r"features\.keep .* no 'usee'\. Did you mean"),
    ],
)
def test_every_column_that_a_request_names_must_exist(
    request_: TrainingRequest, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_roles(["part", "day", "use", "y"], request_)


def test_columns_that_other_parts_need_are_kept() -> None:
    request = make_request(
        {"strategy": "column", "column": "part"},
        time="day",
        available_at={"use": "known"},
        features={"include": ["use"]},
    )
    names = ["part", "day", "use", "known", "other", "y"]

    assert select_columns(names, request) == ["part", "day", "use", "known", "y"]
    assert check_roles(names, request) == {"part", "day", "known", "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"features": {"include": ["a"], "keep": ["b"]}},
            r"features\.keep names features\. 'b' is",
        ),
        (
            {"time": "t", "available_at": {"b": "t"}, "features": {"exclude": ["b"]}},
            r"available_at names features\. 'b' is left out",
        ),
    ],
)
def test_a_feature_cannot_be_left_out_and_used(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        select_columns(["a", "b", "t", "y"], make_request(**data))


def test_of_parquet_only_what_is_needed_is_read(tmp_path: Path) -> None:
    n_rows = 200_000
    noise = np.random.default_rng(0).normal(size=(n_rows, 20))
    table = pl.DataFrame(noise, [f"c{n}" for n in range(20)]).with_columns(
        day=pl.lit(date(2026, 1, 1)) + pl.duration(days=pl.int_range(n_rows) // 1_000), y=1
    )
    table.write_parquet(tmp_path / "source", row_group_size=5_000)
    request = make_request(
        time="day", features={"include": ["c[0-4]"]}, rows={"from": date(2026, 6, 1)}
    )
    before = bytes_read()

    steps = write_rows(
        pl.scan_parquet(tmp_path / "source"), request, tmp_path / "rows", source="source"
    )

    needed = (tmp_path / "rows").stat().st_size
    assert [step.n_rows for step in steps] == [n_rows, 49_000, 49_000]
    assert bytes_read() - before < 1.3 * needed < 0.1 * (tmp_path / "source").stat().st_size


def bytes_read() -> int:
    """Return the bytes that this process asked the kernel for."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


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


def test_columns_of_slices_are_kept_though_they_are_no_features() -> None:
    request = make_request(features={"include": ["use"]}).model_copy(
        update={"slices": ("sex", "age < 40")}
    )

    assert select_columns(["use", "sex", "age", "other", "y"], request) == [
        "use",
        "sex",
        "age",
        "y",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slices": ("sexx",)}, r"slices must name a column .* no 'sexx'\. Did you mean 'sex'"),
        ({"slices": ("agee < 40",)}, r"slices must name a column .* no 'agee'"),
    ],
)
def test_every_column_of_a_slice_must_exist(changes: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        select_columns(["sex", "age", "y"], make_request().model_copy(update=changes))


def test_every_column_of_a_constraint_on_shape_must_exist() -> None:
    request = make_request()
    model = request.model.model_copy(update={"monotonic": {"agee": "increasing"}})

    with pytest.raises(RequestError, match=r"model\.monotonic must name .* no 'agee'.*'age'"):
        select_columns(["age", "y"], request.model_copy(update={"model": model}))
