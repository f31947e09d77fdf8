"""Columns that know the answer, and what follows for the features."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError
from automl_assets.core.leakage import MAX_SAMPLE, find_suspects, refuse_blocked, with_findings
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.sample import gather, sampled_rows
from automl_assets.core.values import Finding, TableProfile

N_ROWS = 2_000
START = date(2026, 1, 1)


def make_request(task: dict[str, Any] | None = None, **data: Any) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", **data},
            "task": task or {},
        }
    )


def binary_table(n_rows: int = N_ROWS, **columns: Any) -> pl.DataFrame:
    """Return a target of two words, one of five rows `yes`, and three honest features."""
    generator = np.random.default_rng(7)
    positive = generator.random(n_rows) < 0.2
    return pl.DataFrame(
        {
            "y": np.where(positive, "yes", "no"),
            "age": generator.integers(18, 90, n_rows),
            "spend": generator.normal(size=n_rows) + positive,
            "plan": generator.choice(["basic", "plus", "gold"], n_rows),
            **columns,
        }
    )


def answers(table: pl.DataFrame) -> np.ndarray:
    return (table["y"] == "yes").to_numpy()


def suspects(table: pl.DataFrame, **data: Any) -> dict[str, Finding]:
    request = make_request(**data)
    found = find_suspects(table.lazy(), profile_table(table.lazy(), request), request)
    assert len({finding.column for finding in found}) == len(found)
    return {finding.column: finding for finding in found}


def test_honest_columns_are_not_suspected() -> None:
    assert suspects(binary_table()) == {}


def test_a_number_that_separates_the_classes_is_dropped_with_its_score() -> None:
    table = binary_table()
    noise = np.random.default_rng(1).normal(size=N_ROWS)

    found = suspects(table.with_columns(score=pl.Series(6 * answers(table) + noise)))

    assert set(found) == {"score"}
    assert found["score"].action == "dropped"
    assert found["score"].rule == "single feature"
    assert found["score"].value is not None
    assert found["score"].value > 0.99
    assert "'score' alone reaches AUC 0.99" in found["score"].detail
    assert "on all 2,000 rows" in found["score"].detail
    assert "name it under features.keep." in found["score"].detail


def test_the_direction_of_a_leak_does_not_matter() -> None:
    table = binary_table()
    noise = np.random.default_rng(1).normal(size=N_ROWS)
    extreme = np.where(answers(table), np.sign(noise) * (9 + noise), noise)

    found = suspects(table.with_columns(down=-9 * answers(table) + noise, both=extreme))

    assert {name: finding.action for name, finding in found.items()} == {
        "down": "dropped",
        "both": "dropped",
    }


def test_a_reason_that_is_given_only_for_the_event_is_told_with_its_gaps() -> None:
    table = binary_table()
    generator = np.random.default_rng(2)
    is_filled = np.where(answers(table), generator.random(N_ROWS) < 0.99, False)
    is_filled |= ~answers(table) & (generator.random(N_ROWS) < 0.003)
    reasons = pl.Series(generator.choice(["price", "moved", "service"], N_ROWS))

    found = suspects(table.with_columns(cancel_reason=pl.when(pl.Series(is_filled)).then(reasons)))

    detail = found["cancel_reason"].detail
    assert found["cancel_reason"].action == "dropped"
    assert "'cancel_reason' alone reaches AUC 0.99" in detail
    assert "and is empty for 99.8 % of 'no': known only after the event?" in detail
    assert "Exclude it, set data.available_at, or name it under features.keep." in detail


def test_a_number_that_is_missing_for_one_class_only_is_told_with_counts() -> None:
    table = binary_table()
    spend = pl.when(pl.col("y") == "yes").then(pl.col("spend"))

    found = suspects(table.with_columns(refund=spend))["refund"]

    n_yes = int(answers(table).sum())
    assert found.rule == "missing with the target"
    assert found.action == "dropped"
    assert f"is empty in {N_ROWS - n_yes:,} of {N_ROWS - n_yes:,} rows of 'no'" in found.detail
    assert f"filled in {n_yes:,} of {n_yes:,} rows of 'yes'" in found.detail


def test_a_number_that_some_rows_of_one_class_have_is_told_although_its_score_is_low() -> None:
    table = binary_table()
    is_known = pl.Series(np.random.default_rng(3).random(N_ROWS) < 0.3)
    found = suspects(
        table.with_columns(body=pl.when(is_known & (pl.col("y") == "yes")).then(pl.col("age")))
    )["body"]

    assert found.rule == "missing with the target"
    assert "is filled in" in found.detail
    assert "'yes', against" in found.detail


def test_gaps_that_follow_the_class_only_by_chance_are_not_suspected() -> None:
    table = binary_table()
    # 8 rows of the class that has four of five rows: as chance would have it.
    is_known = pl.Series(np.cumsum(~answers(table)) <= 8) & (pl.col("y") == "no")

    assert suspects(table.with_columns(rare=pl.when(is_known).then(pl.col("age")))) == {}


def test_a_class_code_is_a_copy_although_a_few_rows_differ() -> None:
    table = binary_table(4_000)
    code = np.where(answers(table), 7, 3)
    code[:3] = 10 - code[:3]

    found = suspects(table.with_columns(code=code))["code"]

    assert found.rule == "copy of the target"
    assert found.value == pytest.approx(1 - 3 / 4_000)
    assert "says the same as 'y' in 99.9 % of 4,000 rows" in found.detail


def test_a_column_that_is_alike_in_nearly_all_rows_is_no_copy_of_a_rare_class() -> None:
    rare = np.zeros(20_000, int)
    rare[:20] = 1
    flag = np.zeros(20_000, int)
    flag[10:25] = 1

    table = pl.DataFrame({"y": rare, "flag": flag, "x": np.arange(20_000) % 9})

    assert "flag" not in suspects(table)


def regression_table(**columns: Any) -> pl.DataFrame:
    generator = np.random.default_rng(5)
    x = generator.normal(size=N_ROWS)
    return pl.DataFrame({"y": np.exp(x + generator.normal(size=N_ROWS)), "x": x, **columns})


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_a_linear_copy_of_a_number_is_found_in_spite_of_single_wrong_rows(dtype: Any) -> None:
    table = regression_table()
    cents = (pl.col("y") * 119 - 4).cast(dtype)
    wrong = pl.int_range(pl.len()) % 1_500 == 7

    found = suspects(table.with_columns(cents=pl.when(wrong).then(-5.0).otherwise(cents)))["cents"]

    assert found.rule == "copy of the target"
    assert found.value == pytest.approx(1 - 2 / N_ROWS)


def test_a_curved_copy_of_a_number_is_found_by_its_score() -> None:
    table = regression_table()

    found = suspects(table.with_columns(grade=-pl.col("y").log().round(2)))["grade"]

    assert found.rule == "single feature"
    assert "'grade' alone reaches R2 of ranks 0.99" in found.detail


def test_a_column_of_zeros_is_no_copy_of_a_target_that_is_mostly_zero() -> None:
    generator = np.random.default_rng(4)
    y = np.where(np.arange(20_000) % 1_000 == 0, generator.normal(size=20_000), 0.0)
    other = np.where(np.arange(20_000) % 1_000 == 1, generator.normal(size=20_000), 0.0)

    table = pl.DataFrame({"y": y, "other": other, "x": generator.normal(size=20_000)})

    assert suspects(table) == {}


def test_classes_are_each_told_from_the_rest() -> None:
    generator = np.random.default_rng(6)
    y = generator.integers(0, 3, N_ROWS)
    table = pl.DataFrame(
        {
            "y": np.array(["a", "b", "c"])[y],
            "x": generator.normal(size=N_ROWS) + y,
            "leak": 8.0 * y + generator.normal(size=N_ROWS),
        }
    )

    found = suspects(table)

    assert set(found) == {"leak"}
    assert "macro AUC" in found["leak"].detail


def test_with_few_rows_a_suspect_stays_a_feature_and_is_told() -> None:
    table = binary_table(150)

    found = suspects(table.with_columns(late=pl.col("age") + pl.Series(200 * answers(table))))

    assert found["late"].action == "warned"
    assert "It stays a feature until more rows make it certain" in found["late"].detail


def test_kept_columns_stay_and_are_told() -> None:
    table = binary_table()
    leaks = table.with_columns(code=9 * answers(table), late=pl.col("age") + 99 * answers(table))
    request = make_request(features={"keep": ["code", "late"]})
    profile = profile_table(leaks.lazy(), request)

    kept = with_findings(profile, find_suspects(leaks.lazy(), profile, request))

    assert {finding.action for finding in kept.findings} == {"kept"}
    assert kept.features == profile.features
    assert all("It stays, since features.keep names it." in text for text in kept.warnings[-2:])


def test_an_answer_that_a_group_shares_is_not_learned_from_its_other_rows() -> None:
    generator = np.random.default_rng(8)
    shop = np.repeat(np.arange(400), 5)
    answer = (generator.random(400) < 0.4)[shop]
    table = pl.DataFrame(
        {
            "y": np.where(answer, "yes", "no"),
            "shop": shop,
            "street": [f"street {n}" for n in shop],
            "x": generator.normal(size=2_000),
        }
    )

    assert suspects(table)["street"].rule == "single feature"
    assert suspects(table, group="shop") == {}


def timed(known: Any, time: Any = None) -> pl.DataFrame:
    days = [START + timedelta(days=n % 90) for n in range(N_ROWS)]
    return binary_table().with_columns(
        pl.Series("when", time if time is not None else days),
        pl.Series("known", known),
        pl.Series("calls", [n % 7 for n in range(N_ROWS)]),
    )


POINT_IN_TIME: dict[str, Any] = {"time": "when", "available_at": {"calls": "known"}}


def test_one_value_known_after_its_row_drops_the_column() -> None:
    known = [START + timedelta(days=n % 90 + (n == 1_234)) for n in range(N_ROWS)]

    found = suspects(timed(known), **POINT_IN_TIME)["calls"]

    assert found.rule == "time availability"
    assert found.action == "dropped"
    assert "known only after 'when' in 1 of 2,000 rows (0.05%)" in found.detail
    assert "the first of them row 1,234" in found.detail


def test_values_known_in_time_are_not_suspected() -> None:
    known = [START + timedelta(days=n % 90 - n % 3) for n in range(N_ROWS)]

    assert suspects(timed(known), **POINT_IN_TIME) == {}


def test_times_that_are_missing_are_only_warned_of() -> None:
    known = [None if n % 4 == 0 else START for n in range(N_ROWS)]

    found = suspects(timed(known), **POINT_IN_TIME)["calls"]

    assert found.action == "warned"
    assert "in 500 of 2,000 rows (25.00%)" in found.detail


def test_a_date_is_compared_with_a_time_by_day() -> None:
    hours = [datetime(2026, 1, 1, 9) + timedelta(days=n % 90) for n in range(N_ROWS)]

    assert suspects(timed([h.date() for h in hours], hours), **POINT_IN_TIME) == {}


def test_dates_in_text_are_read() -> None:
    known = [f"2026-02-{n % 28 + 1:02}" for n in range(N_ROWS)]

    found = suspects(timed(known), **POINT_IN_TIME)["calls"]

    assert found.action == "dropped"


def test_times_of_different_zones_are_compared_in_utc() -> None:
    time = pl.Series([datetime(2026, 1, 1, n % 20, tzinfo=UTC) for n in range(N_ROWS)])
    known = time.dt.convert_time_zone("Asia/Tokyo")

    assert suspects(timed(known, time), **POINT_IN_TIME) == {}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (["soon"] * N_ROWS, r"Column 'known' \(String\) holds 2,000 values that are none"),
        ([1] * N_ROWS, r"Column 'known' \(Int64\) holds 2,000 values that are none"),
        ([datetime(2026, 1, 1, tzinfo=UTC)] * N_ROWS, "Column 'when' has none, the other has one"),
    ],
)
def test_times_that_cannot_be_compared_are_refused(known: list[Any], message: str) -> None:
    time = [datetime(2026, 1, 1) + timedelta(hours=n % 99) for n in range(N_ROWS)]

    with pytest.raises(RequestError, match=message):
        suspects(timed(known, time), **POINT_IN_TIME)


def test_a_time_column_that_is_not_there_is_refused() -> None:
    table = timed([START] * N_ROWS).lazy()
    profile = profile_table(table, make_request(time="when"))
    request = make_request(time="when", available_at={"calls": "nowhere"})

    with pytest.raises(RequestError, match="There is no 'nowhere'"):
        find_suspects(table, profile, request)


def small_profile(*features: str) -> TableProfile:
    return TableProfile(
        n_rows=60,
        columns=(),
        task_type="binary",
        classes=("no", "yes"),
        features=features,
        dropped=(),
        warnings=("first",),
    )


def finding(column: str, action: Any) -> Finding:
    return Finding(rule="single feature", column=column, action=action, detail=f"{column} told.")


def test_findings_decide_the_features_and_the_warnings() -> None:
    found = (finding("a", "dropped"), finding("b", "warned"), finding("c", "kept"))

    profile = with_findings(small_profile("a", "b", "c"), found)

    assert profile.features == ("b", "c")
    assert [(c.name, c.reason) for c in profile.dropped] == [("a", "single feature: a told.")]
    assert profile.warnings == ("first", "b told.", "c told.")
    assert profile.findings == found


@pytest.mark.parametrize(
    ("values", "keep"),
    [
        ([f"ada{n}@example.org" for n in range(N_ROWS)], []),
        ([f"shop{n % 3}@example.org" for n in range(N_ROWS)], []),
        ([f"ada{n}@example.org" for n in range(N_ROWS)], ["contact_phone"]),
        ([4_917_000_000 + 7 * n for n in range(N_ROWS)], []),
    ],
    ids=["names rows", "category", "kept", "numbers"],
)
def test_no_value_of_a_personal_column_is_in_the_profile(values: list[Any], keep: list) -> None:
    table = binary_table(contact_phone=values).lazy()
    request = make_request(features={"keep": keep})
    profile = profile_table(table, request)

    profile = with_findings(profile, find_suspects(table, profile, request))

    stored = profile.column("contact_phone")
    assert [item.column for item in profile.findings] == ["contact_phone"]
    assert (stored.minimum, stored.maximum, stored.quantiles, stored.top) == (None, None, (), ())
    assert "example.org" not in profile.model_dump_json()
    assert stored.n_distinct == len(set(values))
    assert profile.column("plan").top
    assert profile.column("age").quantiles


def test_the_time_from_which_a_column_is_known_is_no_feature() -> None:
    table = timed([START + timedelta(days=n % 90 - n % 3) for n in range(N_ROWS)]).lazy()

    profile = profile_table(table, make_request(**POINT_IN_TIME))
    kept = profile_table(table, make_request(**POINT_IN_TIME, features={"keep": ["known"]}))

    assert "known" not in profile.features
    assert {c.name: c.reason for c in profile.dropped}["known"].startswith("says when another")
    assert "known" in kept.features


def test_a_kept_column_that_was_known_too_late_is_not_told_to_be_left_out() -> None:
    known = [START + timedelta(days=n % 90 + 1) for n in range(N_ROWS)]

    found = suspects(timed(known), **POINT_IN_TIME, features={"keep": ["calls"]})["calls"]

    assert found.action == "kept"
    assert found.detail.endswith("It stays, since features.keep names it.")


def test_a_table_without_any_other_feature_is_refused() -> None:
    found = (finding("a", "dropped"), finding("b", "dropped"))

    with pytest.raises(RequestError, match=r"'a', 'b'; the first by .* features\.keep"):
        with_findings(small_profile("a", "b"), found)


def test_blocked_findings_stop_the_run() -> None:
    refuse_blocked([finding("a", "dropped"), finding("b", "warned")])

    with pytest.raises(RequestError, match=r"blocks the run; nothing was trained\. b told\."):
        refuse_blocked([finding("a", "dropped"), finding("b", "blocked")])


@given(st.integers(1, 5_000), st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_sampled_rows_are_sorted_distinct_and_spread(n_rows: int, size: int, seed: int) -> None:
    rows = sampled_rows(n_rows, size, seed=seed)

    assert len(rows) == min(n_rows, size)
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < n_rows
    assert np.array_equal(rows, sampled_rows(n_rows, size, seed=seed))
    assert np.abs(rows - np.arange(len(rows)) * n_rows / len(rows)).max() <= n_rows / len(rows)


def test_sampled_rows_are_gathered_in_order_from_a_file(tmp_path: Path) -> None:
    pl.DataFrame({"n": np.arange(50_000), "n_": 1}).write_parquet(
        tmp_path / "t.parquet", row_group_size=999
    )
    rows = sampled_rows(50_000, 700, seed=3)

    frame = gather(pl.scan_parquet(tmp_path / "t.parquet"), ("n", "n_"), rows)

    assert frame["n"].to_list() == rows.tolist()


def test_a_long_table_is_scored_on_a_sample_and_counted_whole() -> None:
    n_rows = MAX_SAMPLE + 50_000
    table = binary_table(n_rows)
    table = table.with_columns(
        code=3 * answers(table), late=pl.col("age") + pl.Series(99 * answers(table))
    )

    found = suspects(table)

    assert f"in 100 % of {n_rows:,} rows" in found["code"].detail
    assert f"on a sample of {MAX_SAMPLE:,} of {n_rows:,} rows" in found["late"].detail


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "wine", "diabetes", "iris"])
def test_known_tables_lose_no_feature(name: str) -> None:
    from sklearn import datasets

    table = pl.from_pandas(getattr(datasets, f"load_{name}")(as_frame=True).frame)
    request = make_request(target="target")
    found = find_suspects(table.lazy(), profile_table(table.lazy(), request), request)

    assert [item for item in found if item.action != "warned"] == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("adult", "income"),
        ("california", "median_house_value"),
        ("diabetes130", "readmitted"),
        ("hflights", "late15"),
        ("king_county", "price"),
    ],
)
def test_real_tables_raise_no_alarm(
    name: str, target: str, real_data: Callable[[str], Path]
) -> None:
    table = pl.scan_parquet(real_data(name))
    request = make_request(target=target)

    assert find_suspects(table, profile_table(table, request), request) == ()
