"""What the columns of a table hold, whatever they are for, and how exact that is."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.profile import measures as profile_measure
from automl_assets.core.profile import profile_columns, profile_table
from automl_assets.core.profile.sample import SAMPLE_ROWS, is_sampled, rank_error
from automl_assets.core.profile.steady import steady
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.iso_dates import read_moment
from automl_assets.core.values import QUANTILES, ColumnProfile, PeriodCount

N_ROWS = 120


def described(values: Any) -> ColumnProfile:
    return profile_columns(pl.LazyFrame({"c": values}))[0]


def repeated(*values: Any) -> list[Any]:
    return [values[n % len(values)] for n in range(N_ROWS)]


@pytest.mark.parametrize(
    ("values", "holds", "kind"),
    [
        (repeated("2026-01-31", "2025-02-28", None), "dates", "datetime"),
        (repeated("2026-01-31T10:00", "2026-01-31 10:00:00.5"), "dates", "datetime"),
        (repeated("2026-01-31T10:00:00Z"), "dates", None),
        (["31.01.2026", *repeated("2026-01-31", "2026-02-01")[1:]], "", "categorical"),
        (repeated("2026-02-30", "2026-02-01"), "", "categorical"),
        (repeated(0, 1), "0/1", "numeric"),
        (repeated(0.0, 1.0, None), "0/1", "numeric"),
        (repeated(1, 2), "", "numeric"),
        (repeated(0.0, 1.0, float("inf")), "", "numeric"),
        (repeated("1", "2.5", "-3e2"), "numbers", "categorical"),
        (repeated("01", "02"), "", "categorical"),
        ([f"id-{n}" for n in range(N_ROWS)], "identifiers", None),
        (list(range(N_ROWS)), "identifiers", None),
        (repeated("a", "b"), "", "categorical"),
    ],
)
def test_what_values_look_like_is_told_beyond_their_type(
    values: list[Any], holds: str, kind: str | None
) -> None:
    found = described(values)

    assert found.holds == holds
    assert kind is None or found.kind == kind


def test_texts_that_are_dates_may_all_be_different() -> None:
    days = [str(np.datetime64("2020-01-01") + n) for n in range(N_ROWS)]

    assert (described(days).kind, described(days).holds) == ("datetime", "dates")


def test_one_row_late_in_the_table_that_is_no_date_makes_texts_of_dates() -> None:
    n_rows = 3 * SAMPLE_ROWS // 2
    day = pl.Series(["2026-01-31", "2026-02-01"] * (n_rows // 2))
    table = pl.DataFrame({"dates": day, "texts": [*day[:-1], "soon"]})

    dates, texts = profile_columns(table.lazy())

    assert (dates.holds, texts.holds) == ("dates", "")


def test_numbers_have_a_deviation_and_quantiles() -> None:
    found = described([*map(float, range(1, 101)), None, float("nan"), float("inf")])

    assert found.quantiles == (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
    assert found.std == pytest.approx(np.std(np.arange(1, 101), ddof=1))
    assert found.n_nulls == 2


@pytest.mark.parametrize(
    "values",
    [["a", "b"], [None, None], [float("nan")], [float("inf")], [True, False], [date(2026, 1, 1)]],
)
def test_columns_without_known_finite_numbers_have_no_quantiles(values: list[Any]) -> None:
    found = described(values)

    assert (found.quantiles, found.mean, found.std) == ((), None, None)


def test_the_largest_numbers_overflow_nothing() -> None:
    found = described([1.7e308, -1.7e308, 1.7e308])

    assert found.quantiles[0] == -1.7e308
    assert found.std is None


def test_the_most_frequent_texts_are_counted_and_equal_ones_are_sorted() -> None:
    found = described(["b"] * 5 + ["a"] * 5 + ["c"] * 9 + [None, "x" * 201])

    assert found.top == (("c", 9), ("a", 5), ("b", 5))
    assert found.n_distinct == 4


@pytest.mark.parametrize(
    ("values", "top"),
    [
        ([True, True, False], (("true", 2), ("false", 1))),
        ([1.0, 1.0, 2.5], (("1", 2), ("2.5", 1))),
        (pl.Series(["b", "a", "b"], dtype=pl.Enum(["a", "b"])), (("b", 2), ("a", 1))),
        ([*range(21), 1], ()),
        ([date(2026, 1, 1)], ()),
    ],
)
def test_few_levels_are_shown_as_texts(values: Any, top: tuple[tuple[str, int], ...]) -> None:
    assert described(values).top == top


def test_long_texts_count_as_different_by_their_end() -> None:
    found = described(["x" * 300 + "a", "x" * 300 + "b", "x" * 300 + "a"])

    assert (found.n_distinct, found.top) == (2, ())


def test_nested_columns_are_described_without_levels() -> None:
    found = described([[1, 2], [3], None])

    assert (found.n_nulls, found.n_distinct, found.kind) == (1, 0, None)


def test_a_table_without_rows_is_described() -> None:
    found = profile_columns(
        pl.LazyFrame({"a": [], "b": []}, schema={"a": pl.Int64, "b": pl.String})
    )

    assert [column.n_nulls for column in found] == [0, 0]


def test_columns_may_have_any_name() -> None:
    names = ["0 n_nulls", "level", "rows", "a_", "a", "<script>", "count", "row nr"]
    table = pl.DataFrame({name: repeated("x", "y", None) for name in names})

    found = profile_columns(table.lazy())

    assert [(column.name, column.n_nulls, column.n_distinct) for column in found] == [
        (name, 40, 2) for name in names
    ]


def test_a_wide_table_is_described_column_by_column() -> None:
    table = pl.DataFrame({f"c{n}": [n, n + 1] for n in range(700)})

    found = profile_columns(table.lazy())

    assert [column.mean for column in found] == [n + 0.5 for n in range(700)]


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More rows than the sample has."""
    rng = np.random.default_rng(0)
    n_rows = 2 * SAMPLE_ROWS
    values = rng.lognormal(size=n_rows)
    path = tmp_path_factory.mktemp("long") / "table.parquet"
    pl.DataFrame(
        {
            "all": values,
            "thin": pl.Series(values).set(pl.Series(rng.random(n_rows) < 0.7), None),
            "rare": pl.Series(values).set(pl.Series(rng.random(n_rows) < 0.9999), None),
            "sorted": np.sort(values),
            "few": rng.integers(0, 5000, n_rows),
            "many": pl.Series(rng.integers(0, 60_000, n_rows)).cast(pl.String),
            "skewed": np.where(rng.random(n_rows) < 0.3, "most", rng.integers(0, 10**6, n_rows)),
        }
    ).write_parquet(path, row_group_size=50_000)
    return path


@pytest.mark.parametrize("name", ["all", "thin", "rare", "sorted"])
def test_quantiles_of_a_sample_are_within_half_a_percent_of_rank(
    long_table: Path, name: str
) -> None:
    values = pl.read_parquet(long_table)[name].drop_nulls().to_numpy()

    found = profile_columns(pl.scan_parquet(long_table).select(name))[0]

    ranks = [np.mean(values <= quantile) for quantile in found.quantiles]
    # Of a small number of values, half a percent may be less than one value.
    assert ranks == pytest.approx(QUANTILES, abs=max(0.005, 1 / len(values)))


def test_counts_of_a_long_table_are_exact(long_table: Path) -> None:
    table = pl.read_parquet(long_table)

    found = {c.name: c for c in profile_columns(pl.scan_parquet(long_table))}

    assert found["few"].n_distinct == table["few"].n_unique()
    assert found["many"].n_distinct == pytest.approx(table["many"].n_unique(), rel=0.25)
    assert found["skewed"].top[0] == ("most", (table["skewed"] == "most").sum())
    assert found["thin"].n_nulls == table["thin"].null_count()
    counts = dict(table["many"].value_counts().iter_rows())
    assert all(counts[text] == n for text, n in found["many"].top)


def test_a_long_table_is_described_the_same_each_time(long_table: Path) -> None:
    first, *others = (profile_columns(pl.scan_parquet(long_table)) for _ in range(3))

    assert all(other == first for other in others)


def test_rows_are_sampled_whatever_the_row_groups(long_table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pl.read_parquet(long_table).write_parquet(other, row_group_size=400_000)

    found = profile_columns(pl.scan_parquet(other))

    assert found == profile_columns(pl.scan_parquet(long_table))


def test_samples_are_nested_and_about_as_large_as_wanted() -> None:
    rows = pl.select(row=pl.int_range(1_000_000, dtype=pl.UInt32))

    small = rows.filter(is_sampled(pl.col("row"), n_rows=rows.height, n_wanted=1_000))["row"]
    large = rows.filter(is_sampled(pl.col("row"), n_rows=rows.height, n_wanted=10_000))["row"]

    assert (small.len(), large.len()) == (
        pytest.approx(1_000, rel=0.2),
        pytest.approx(1e4, rel=0.1),
    )
    assert set(small) <= set(large)


def test_the_sample_keeps_the_promise_on_ranks() -> None:
    assert rank_error(SAMPLE_ROWS) < profile_measure.MAX_RANK_ERROR


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_in_which_numbers_are_added_does_not_show(
    values: list[float], random: Any
) -> None:
    shuffled = random.sample(values, len(values))
    scale = max(map(abs, values)) + 1.0

    apart = steady(sum(values), scale) - steady(sum(shuffled), scale)  # type: ignore[operator]

    assert abs(apart) <= 1.01e-8 * scale


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31)),
        ("2026-01-31T10:15", datetime(2026, 1, 31, 10, 15)),
        ("2026-01-31 10:15:30.25", datetime(2026, 1, 31, 10, 15, 30, 250_000)),
        ("2026-01-31T10:15:30Z", datetime(2026, 1, 31, 10, 15, 30)),
        ("2026-02-29", None),
        ("01/02/2026", None),
        ("20260131", None),
        ("", None),
    ],
)
def test_only_iso_dates_are_read(text: str, moment: datetime | None) -> None:
    assert pl.DataFrame({"c": [text]}).select(read_moment(pl.col("c"))).item() == moment


def over_time(when: Any, target: list[Any]) -> tuple[PeriodCount, ...]:
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", "time": "when"},
        }
    )
    x = [n % 9 for n in range(len(target))]
    return profile_table(
        pl.LazyFrame({"when": when, "x": x, "y": target}), request
    ).target_over_time


@pytest.mark.parametrize(
    ("when", "first", "n_periods"),
    [
        (pl.Series(repeated(date(2026, 1, 1), date(2026, 1, 31))), "2026-01-01", 2),
        (pl.Series(repeated(date(2025, 1, 1), date(2026, 1, 31))), "week of 2024-12-30", 2),
        (pl.Series(repeated(date(2023, 1, 15), date(2026, 1, 31))), "2023-01", 2),
        (pl.Series(repeated(date(1990, 1, 1), date(2026, 1, 31))), "1990", 2),
        (pl.Series(repeated("2026-01-01", "2026-01-02")), "2026-01-01", 2),
        (
            pl.Series(repeated(datetime(2026, 1, 1, 23, tzinfo=UTC))).dt.convert_time_zone(
                "Asia/Tokyo"
            ),
            "2026-01-01",
            1,
        ),
        (pl.Series([float(n) for n in range(N_ROWS)]), "0", 60),
        (pl.Series([0.01 * n for n in range(N_ROWS)]), "0", 60),
        (pl.Series(repeated("spring", "autumn")), None, 0),
    ],
)
def test_periods_are_few_and_named(when: pl.Series, first: str | None, n_periods: int) -> None:
    found = over_time(when, repeated("yes", "no"))

    assert len(found) == n_periods
    assert [period.period for period in found[:1]] == ([first] if first else [])


@given(
    st.lists(
        st.tuples(st.dates(), st.sampled_from(["a", "b", "c"])), min_size=N_ROWS, max_size=N_ROWS
    )
)
@settings(deadline=None, max_examples=30)
def test_periods_cover_all_rows_in_order(rows: list[tuple[date, str]]) -> None:
    target = [y if n >= 30 else "abc"[n % 3] for n, (_, y) in enumerate(rows)]

    found = over_time(pl.Series([day for day, _ in rows]), target)

    assert sum(period.n_rows for period in found) == N_ROWS
    assert [sum(counts) for counts in zip(*(p.class_counts for p in found), strict=True)] == [
        target.count(name) for name in "abc"
    ]
    assert len(found) <= 61
    assert [period.n_rows for period in found] == [sum(p.class_counts) for p in found]


def test_a_regression_has_the_mean_of_each_period() -> None:
    when = [date(2026, 1, 1)] * 60 + [date(2026, 1, 2)] * 59 + [None]

    found = over_time(pl.Series(when), [n * 0.5 for n in range(60)] * 2)

    assert [(period.period, period.n_rows) for period in found] == [
        ("2026-01-01", 60),
        ("2026-01-02", 59),
    ]
    assert [period.mean for period in found] == [14.75, 14.5]
