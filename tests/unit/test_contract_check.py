"""A user's contract on a table: every kind of rule kept, and every kind broken."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from automl_assets.core.contract import (
    ContractReport,
    ContractRule,
    check_contract,
    parse_contract,
)
from automl_assets.core.contract.check import MAX_LOOKED_UP
from automl_assets.core.profile import profile_columns
from automl_assets.core.profile.personal import without_values
from automl_assets.core.values import Finding, TableProfile

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
INFINITY, NAN = float("inf"), float("nan")
N_ROWS = 1000


def check(
    table: dict[str, Any] | pl.DataFrame,
    body: str,
    *,
    previous: TableProfile | None = None,
    **options: Any,
) -> ContractReport:
    contract = parse_contract(
        f"apiVersion: automl/v1\nkind: DataContract\n{body}", filename="c.yaml"
    )
    frame = pl.DataFrame(table).lazy()
    return check_contract(frame, contract, previous=previous, as_of=NOW, **options)


def broken(report: ContractReport) -> dict[str, ContractRule]:
    return {rule.name: rule for rule in report.broken}


def profile_of(table: dict[str, Any]) -> TableProfile:
    frame = pl.DataFrame(table)
    return TableProfile(
        n_rows=frame.height,
        columns=profile_columns(frame.lazy()),
        task_type="regression",
        classes=(),
        features=(),
        dropped=(),
    )


TABLE = {
    "id": list(range(N_ROWS)),
    "tenure": [n % 90 for n in range(N_ROWS)],
    "plan": ["basic", "plus"] * (N_ROWS // 2),
    "price": [n / 10 for n in range(N_ROWS)],
    "day": [date(2026, 10, 1) + timedelta(days=n % 19) for n in range(N_ROWS)],
    "at": [datetime(2026, 10, 1) + timedelta(minutes=n) for n in range(N_ROWS)],
    "ok": [True, False] * (N_ROWS // 2),
}
CONTRACT = """
rows: {min: 900, max: 1100}
freshness: {column: day, max_age: 7d}
unique: [[plan, id]]
other_columns: refuse
columns:
  id: {type: integer, nulls: {max: 0}, unique: true, min: 0, max: 999}
  tenure: {type: integer, min: 0, max: 89.5, quantiles: {p50: {min: 40, max: 50}}}
  plan: {type: text, values: [basic, plus, gold], pattern: '[a-z]+'}
  price: {type: number, min: 0, max: 99.9, mean: {min: 49, max: 51}, std: {min: 28, max: 30}}
  day: {type: date, min: 2026-10-01, max: 2026-10-19}
  at: {type: datetime, min: 2026-10-01, max: 2026-10-01T16:39:00}
  ok: {type: boolean, values: [true, false]}
  later: {type: text, required: false}
"""


def test_a_table_that_is_as_agreed_keeps_every_rule() -> None:
    report = check(TABLE, CONTRACT)

    assert report.findings == ()
    assert report.message("c.yaml") == f"All {len(report.rules)} rules hold."
    assert len(report.rules) == 31
    tried = {rule.name: rule.n_tried for rule in report.rules}
    assert tried["tenure min"] == tried["id unique"] == tried["plan + id unique"] == N_ROWS
    assert tried["later required"] == 0


BREAKS: list[tuple[dict[str, Any], str, int, str]] = [
    ({"tenure": [5] * 999 + [-3]}, "tenure min", 1, "1 row below 0"),
    ({"tenure": [90, 91] + [5] * 998}, "tenure max", 2, "2 rows above 89.5"),
    ({"id": [None, *range(1, N_ROWS)]}, "id nulls", 1, "1 row without a value"),
    ({"id": [0, *range(N_ROWS - 1)]}, "id unique", 1, "1 row repeats an earlier one"),
    ({"plan": ["family", *TABLE["plan"][1:]]}, "plan values", 1, "new category 'family' (0.1 %)"),
    ({"plan": ["Basic", *TABLE["plan"][1:]]}, "plan pattern", 1, "1 row not like '[a-z]+'"),
    ({"price": [NAN, INFINITY, *TABLE["price"][2:]]}, "price max", 1, "1 row above 99.9"),
    ({"price": [-0.1, *TABLE["price"][1:]]}, "price min", 1, "1 row below 0"),
    ({"price": [1.0] * N_ROWS}, "price mean", 1, "mean 1, expected 49 to 51"),
    ({"price": [1.0] * N_ROWS}, "price std", 1, "std 0, expected 28 to 30"),
    (
        {"tenure": [3] * N_ROWS},
        "tenure quantiles p50",
        1,
        "p50 3, expected 40 to 50",
    ),
    (
        {"day": [date(2026, 9, 30), *TABLE["day"][1:]]},
        "day min",
        1,
        "1 row below 2026-10-01",
    ),
    (
        {"day": [date(2026, 10, 1)] * N_ROWS},
        "day freshness",
        1,
        "its newest value, 2026-10-01, is 19 days old (7d allowed)",
    ),
    (
        {"at": [datetime(2026, 10, 1, 16, 39, 0, 1), *TABLE["at"][1:]]},
        "at max",
        1,
        "1 row above 2026-10-01 16:39:00",
    ),
    ({"ok": ["no"] * N_ROWS}, "ok type", 1, "holds String, expected boolean"),
    ({"new": [1] * N_ROWS}, "other_columns", 1, "does not list: 'new'"),
]


@pytest.mark.parametrize(
    ("columns", "name", "n", "found"), BREAKS, ids=lambda value: str(value)[:40]
)
def test_a_broken_rule_tells_how_often_and_what(
    columns: dict[str, Any], name: str, n: int, found: str
) -> None:
    rule = broken(check(TABLE | columns, CONTRACT))[name]

    assert rule.n_violations == n
    assert found in rule.found
    assert rule.cure
    assert rule.expected


def test_the_other_rules_are_still_kept_where_one_is_broken() -> None:
    assert list(broken(check(TABLE | BREAKS[0][0], CONTRACT))) == [
        "tenure min",
        "tenure quantiles p50",
    ]


@pytest.mark.parametrize(("n", "key"), [(899, "min"), (1101, "max")])
def test_the_number_of_rows_is_bounded(n: int, key: str) -> None:
    report = check({"a": [0] * n}, "rows: {min: 900, max: 1100}")

    assert [rule.name for rule in report.broken] == [f"rows {key}"]
    assert f"{n:,} rows, expected" in report.message("c.yaml")


def test_a_missing_column_is_told_and_a_left_out_one_is_not() -> None:
    body = "columns: {gone: {type: integer, unique: true}, left: {nulls: {max: 0}, unique: true}}"

    report = check({"a": [1]}, body, left_out={"left"})

    assert list(broken(report)) == ["gone required", "gone unique"]


def test_the_message_names_count_place_and_cure() -> None:
    n = 100_000
    tenure = [1] * n
    plan = ["basic"] * n
    for row in range(88_102, 88_102 + 214):
        tenure[row] = -1
    for row in range(2_100):
        plan[row] = "family"

    report = check(
        {"tenure_days": tenure, "plan": plan, "x": [None, *[1.0] * (n - 1)]},
        "columns:\n  tenure_days: {min: 0}\n  plan: {values: [basic, plus]}\n"
        "  x: {nulls: {max: 0}}",
    )

    assert report.message("subscriptions.yaml") == (
        "3 checks failed. tenure_days: 214 rows below 0 (first: row 88,102). "
        "plan: new category 'family' (2.1 %) (first: row 0). "
        "x: 1 row without a value (first: row 0). "
        "Fix the data, or change subscriptions.yaml and submit again"
    )
    first = broken(report)["tenure_days min"].first
    assert [(case.row, case.value) for case in first] == [
        (88_102 + offset, "-1") for offset in range(5)
    ]


def test_a_long_message_counts_what_it_does_not_tell() -> None:
    table = {f"c{n}": [-1] for n in range(MAX_LOOKED_UP + 1)}
    body = "columns: {" + ", ".join(f"{name}: {{min: 0}}" for name in table) + "}"

    report = check(table, body)

    assert "And 41 more. Fix the data, or change" in report.message("c.yaml")
    assert [bool(rule.first) for rule in report.rules].count(False) == 1


@pytest.mark.parametrize(("n_null", "passed"), [(50, True), (51, False)])
def test_a_share_of_missing_values_may_be_allowed(n_null: int, passed: bool) -> None:
    table = {"a": [None] * n_null + [1.0] * (N_ROWS - n_null)}

    report = check(table, "columns: {a: {nulls: {max: 5%}}}")

    assert report.passed is passed
    assert report.rules[0].share == n_null / N_ROWS


def test_nan_counts_as_missing_and_breaks_no_bound() -> None:
    report = check({"a": [NAN, None, 1.0]}, "columns: {a: {min: 0, max: 2, nulls: {max: 0}}}")

    assert list(broken(report)) == ["a nulls"]
    assert broken(report)["a nulls"].n_violations == 2


@pytest.mark.parametrize(("n_other", "passed"), [(10, True), (11, False)])
def test_a_share_of_other_categories_may_be_allowed(n_other: int, passed: bool) -> None:
    plan = ["x"] * n_other + ["basic"] * (N_ROWS - n_other) + [None] * 500

    report = check({"plan": plan}, "columns: {plan: {values: [basic], other: {max: 1%}}}")

    assert report.passed is passed
    assert report.rules[0].n_tried == N_ROWS


def test_new_categories_are_counted_in_all_rows_most_frequent_first() -> None:
    plan = ["rare"] * 3 + ["basic"] * 900 + ["often"] * 97

    report = check({"plan": plan}, "columns: {plan: {values: [basic]}}")

    assert report.rules[0].found == "new categories 'often' (9.7 %), 'rare' (0.3 %)"


def test_many_new_categories_are_cut() -> None:
    report = check({"plan": [f"p{n}" for n in range(9)]}, "columns: {plan: {values: [p0]}}")

    assert report.rules[0].found.endswith(" and others")
    assert report.rules[0].found.count("%") == 5


@pytest.mark.parametrize(
    ("values", "dtype", "listed", "n_bad"),
    [
        ([1, 2, 300], pl.Int16, "[1, 2, 5000000000]", 1),
        ([1, 2, 255], pl.UInt8, "[1, 2, -1]", 1),
        ([1.0, 2.5], pl.Float32, "[1, 2.5]", 0),
        ([1, 2], pl.Int64, "[1.0, 2.5]", 1),
        ([Decimal("1.50"), Decimal("2.00")], pl.Decimal(10, 2), "[1.5]", 1),
        (["a", "b"], pl.Categorical, "[a]", 1),
        (["a", "b"], pl.Enum(["a", "b"]), "[a, z]", 1),
        ([True, False], pl.Boolean, "[true]", 1),
    ],
)
def test_categories_are_compared_as_what_they_mean(
    values: list[Any], dtype: Any, listed: str, n_bad: int
) -> None:
    table = pl.DataFrame({"a": pl.Series(values, dtype=dtype)})

    report = check(table, f"columns: {{a: {{values: {listed}}}}}")

    assert report.rules[0].n_violations == n_bad


@pytest.mark.parametrize(
    ("dtype", "rule", "found"),
    [
        (pl.String, "min: 4", "holds String, and min 4 needs numbers"),
        (pl.Int64, "max: 2026-01-01", "holds Int64, and max 2026-01-01 needs dates or times"),
        (pl.Int64, "values: [a]", "holds Int64, and the values are of another kind: 'a'"),
        (pl.Boolean, "values: [1]", "holds Boolean, and the values are of another kind: 1"),
        (pl.Date, "pattern: a", "holds Date, and a pattern needs texts"),
    ],
)
def test_a_rule_that_does_not_suit_the_column_is_broken(dtype: Any, rule: str, found: str) -> None:
    report = check(pl.DataFrame({"a": pl.Series([], dtype=dtype)}), f"columns: {{a: {{{rule}}}}}")

    (told,) = report.broken
    assert told.found == found
    assert told.n_tried == 0


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (pl.UInt8, "integer"),
        (pl.Int32, "number"),
        (pl.Float32, "number"),
        (pl.Decimal(9, 2), "number"),
        (pl.Categorical, "text"),
        (pl.Enum(["a"]), "text"),
        (pl.Datetime("ns", "Europe/Berlin"), "datetime"),
    ],
)
def test_a_type_stands_for_all_types_of_its_kind(dtype: Any, kind: str) -> None:
    table = pl.DataFrame({"^a$": pl.Series([], dtype=dtype), "a": pl.Series([], dtype=pl.Binary)})

    assert check(table, f"columns: {{'^a$': {{type: {kind}}}}}").passed


def test_a_column_of_another_type_is_told_once() -> None:
    report = check({"a": ["1"]}, "columns: {a: {type: integer, min: 5, mean: {min: 0}}}")

    assert [rule.name for rule in report.rules] == ["a type"]
    assert report.message("c.yaml").startswith(
        "1 check failed. a: holds String, expected integer; its other rules were not tried. "
    )


def test_a_name_that_looks_like_a_pattern_is_a_name() -> None:
    table = {"^.*$": [1, 2], "row": [5, 5], "_row": [0, 0]}

    report = check(
        table,
        "unique: [row]\ncolumns: {'^.*$': {type: integer, max: 1}, row: {max: 4}}",
    )

    assert {rule.name: rule.n_violations for rule in report.broken} == {
        "^.*$ max": 1,
        "row max": 2,
        "row unique": 1,
    }


def test_bounds_of_times_are_compared_in_utc() -> None:
    zone = pl.Series([datetime(2026, 10, 1)]).dt.replace_time_zone("Europe/Berlin")

    bounds = "min: 2026-09-30T22:00:00Z, max: 2026-10-01T00:00:00+02:00"

    assert check(pl.DataFrame({"a": zone}), f"columns: {{a: {{{bounds}}}}}").passed
    assert not check(pl.DataFrame({"a": zone}), "columns: {a: {min: 2026-10-01}}").passed
    assert check({"a": [date(2026, 10, 1)]}, "columns: {a: {max: 2026-10-01T00:00:01}}").passed


def test_rows_without_a_whole_key_are_not_tried_and_keep_their_numbers() -> None:
    table = {"a": [None, None, 1, 1, 2, 1], "b": ["x", "x", "x", None, "y", "x"]}

    report = check(table, "unique: [[a, b]]")

    (rule,) = report.rules
    assert (rule.n_tried, rule.n_violations) == (3, 1)
    assert [(case.row, case.value) for case in rule.first] == [(5, "(1, 'x')")]


@pytest.mark.parametrize("head_rows", [10, 2**20])
def test_many_copies_are_counted_without_listing_them(
    head_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl_assets.core.contract.uniqueness._HEAD_ROWS", head_rows)

    (rule,) = check({"a": [0, 1, 2, *[1] * 997]}, "unique: [a]").broken

    assert rule.n_violations == 997
    assert [case.row for case in rule.first] == [3, 4, 5, 6, 7]


def test_a_key_of_a_column_that_is_not_there_is_broken() -> None:
    (rule,) = check({"a": [1]}, "unique: [[a, b]]").broken

    assert rule.found == "'b' is not in the table"


@pytest.mark.parametrize(
    ("newest", "passed"),
    [
        (date(2026, 10, 18), True),
        (date(2026, 10, 17), False),
        (datetime(2026, 10, 18, 12), True),
        (datetime(2026, 10, 18, 11, 59), False),
        ("2026-10-18T12:00:00", True),
        ("2026-10-18", False),
    ],
)
def test_the_newest_row_must_be_young_enough(newest: Any, passed: bool) -> None:
    assert check({"a": [newest]}, "freshness: {column: a, max_age: 2d}").passed is passed


def test_a_date_in_the_future_does_not_make_old_data_look_fresh() -> None:
    days = [date(2026, 10, 1), date(2062, 10, 20)]

    (rule,) = check({"a": days}, "freshness: {column: a, max_age: 2d}").broken

    assert rule.found == "its newest value, 2026-10-01, is 19 days old (2d allowed)"


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"b": [1]}, "is missing"),
        ({"a": [None]}, "holds no date"),
        ({"a": [7]}, "holds no date"),
        ({"a": ["soon"]}, "holds no date"),
    ],
)
def test_data_without_a_date_are_not_fresh(table: dict[str, Any], found: str) -> None:
    (rule,) = check(table, "freshness: {column: a, max_age: 2d}").broken

    assert found in rule.found


def near(before: list[Any], after: list[Any], tolerance: float = 0.1) -> ContractReport:
    body = f"columns: {{a: {{statistics: {{tolerance: {tolerance}}}}}}}"
    return check({"a": after}, body, previous=profile_of({"a": before}))


BEFORE = [100.0 + n % 10 for n in range(N_ROWS)]


def test_statistics_are_those_of_the_last_accepted_snapshot() -> None:
    report = near(BEFORE, BEFORE)

    assert report.passed
    assert [rule.name.removeprefix("a statistics ") for rule in report.rules] == [
        "mean",
        "median",
        "std",
        "share of nulls",
    ]
    assert {rule.origin for rule in report.rules} == {"last accepted"}


@pytest.mark.parametrize(
    ("after", "broken_names"),
    [
        ([value + 10 for value in BEFORE], set()),
        ([value + 11 for value in BEFORE], {"mean", "median"}),
        ([104.5 + (value - 104.5) * 1.05 for value in BEFORE], set()),
        ([104.5 + (value - 104.5) * 1.2 for value in BEFORE], {"std"}),
        ([None] * 20 + BEFORE[20:], {"share of nulls"}),
        ([None] * 5 + BEFORE[5:], set()),
    ],
)
def test_statistics_may_move_by_the_tolerance(after: list[Any], broken_names: set[str]) -> None:
    report = near(BEFORE, after)

    assert {rule.name.removeprefix("a statistics ") for rule in report.broken} == broken_names


def test_near_zero_the_deviation_is_the_scale() -> None:
    before = [n % 11 - 5.0 for n in range(1001)]

    assert near(before, [value + 0.3 for value in before]).passed
    assert not near(before, [value + 0.4 for value in before]).passed


def test_a_constant_may_move_by_a_share_of_itself() -> None:
    assert near([5.0] * 100, [5.4] * 100).passed
    assert not near([5.0] * 100, [5.6] * 100).passed
    assert not near([0.0] * 100, [0.1] * 100).passed


def test_texts_are_compared_by_their_missing_values() -> None:
    report = near(["a"] * 100, ["b"] * 90 + [None] * 10)

    assert [rule.name for rule in report.rules] == ["a statistics share of nulls"]
    assert report.rules[0].found == (
        "share of nulls 10 %, was 0 % in the last accepted snapshot (1 % more or less allowed)"
    )


def test_without_an_accepted_snapshot_there_is_nothing_to_compare_with() -> None:
    body = "columns: {a: {statistics: {tolerance: 0.1}}}"

    first = check({"a": [1]}, body)
    new_column = check({"a": [1]}, body, previous=profile_of({"b": [1]}))

    assert first.passed
    assert "nothing to compare with (there is none)" in first.rules[0].detail
    assert "nothing to compare with (the column was not in it)" in new_column.rules[0].detail


def test_statistics_are_taken_from_a_profile_that_is_given() -> None:
    profile = profile_of({"a": [1.0, 3.0]})

    report = check({"a": [100.0]}, "columns: {a: {mean: {max: 2}}}", profile=profile)

    assert report.passed


def test_values_of_personal_columns_are_counted_and_not_told() -> None:
    table = {"mail": [f"ada{n % 60}@example.org" for n in range(N_ROWS)], "n": range(N_ROWS)}
    found = Finding(rule="personal data", column="mail", action="warned", detail="Told.")
    profile = profile_of(table).model_copy(update={"findings": (found,)})
    body = "columns: {mail: {values: [nobody], pattern: 'x+', unique: true}, n: {max: 1}}"

    report = check(table, body, profile=profile)

    rules = broken(report)
    assert set(rules) == {"mail values", "mail pattern", "mail unique", "n max"}
    assert "1,000 rows of no listed value (first: row 0: hidden" in rules["mail values"].detail
    assert [case.row for case in rules["mail unique"].first] == [60, 61, 62, 63, 64]
    assert rules["n max"].first[0].value == "2"
    assert "example.org" not in report.model_dump_json()


def test_statistics_that_a_profile_hides_are_measured_again() -> None:
    table = {"phone": [10**9 + n for n in range(N_ROWS)]}
    found = Finding(rule="personal data", column="phone", action="warned", detail="Told.")
    hidden = without_values(profile_of(table).model_copy(update={"findings": (found,)}))

    report = check(table, "columns: {phone: {quantiles: {p50: {min: 1.0e+9}}}}", profile=hidden)

    assert hidden.columns[0].quantiles == ()
    assert report.passed


def test_an_empty_table_breaks_only_what_needs_rows() -> None:
    table = pl.DataFrame(schema={"a": pl.Int64, "d": pl.Date})

    report = check(
        table,
        "rows: {min: 1}\nfreshness: {column: d, max_age: 7d}\nunique: [a]\n"
        "columns: {a: {min: 0, nulls: {max: 0}, mean: {min: 0}}}",
    )

    assert list(broken(report)) == ["rows min", "a mean", "d freshness"]


def test_a_report_survives_json() -> None:
    report = check(TABLE | BREAKS[0][0], CONTRACT)

    assert ContractReport.model_validate_json(report.model_dump_json()) == report
