"""What a table holds, which columns become features, and which task the target calls for."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from automl_assets.core.errors import RequestError
from automl_assets.core.profile import class_text, profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import TableProfile

N_ROWS = 120
ROWS = range(N_ROWS)


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


def profile(
    columns: dict[str, Any], task: dict[str, Any] | None = None, **data: Any
) -> TableProfile:
    table = pl.DataFrame({"x": [n % 9 for n in ROWS], "y": [n % 2 for n in ROWS]} | columns)
    return profile_table(table.lazy(), make_request(task, **data))


def target(values: list[Any], task: dict[str, Any] | None = None, **data: Any) -> TableProfile:
    return profile({"y": values}, task, **data)


def reasons(found: TableProfile) -> dict[str, str]:
    return {column.name: column.reason for column in found.dropped}


def repeated(*values: Any) -> list[Any]:
    return [values[n % len(values)] for n in ROWS]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (repeated(1, 2, 3), "numeric"),
        (repeated(1.5, 2.5, None), "numeric"),
        (repeated(Decimal("1.5"), Decimal("2.5")), "numeric"),
        (repeated(2**70, 2**71), "numeric"),
        (repeated(True, False), "boolean"),
        (repeated("a", "b"), "categorical"),
        (pl.Series(repeated("a", "b"), dtype=pl.Enum(["a", "b"])), "categorical"),
        (pl.Series(repeated("a", "b"), dtype=pl.Categorical), "categorical"),
        (repeated(date(2026, 1, 1), date(2026, 1, 2)), "datetime"),
        (repeated(datetime(2026, 1, 1), datetime(2026, 1, 2)), "datetime"),
    ],
)
def test_the_type_of_a_column_decides_its_kind(values: Any, kind: str) -> None:
    found = profile({"c": values})

    assert found.column("c").kind == kind
    assert found.features == ("x", "c")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (repeated(7), "all values are equal"),
        (pl.Series([None] * N_ROWS, dtype=pl.Float64), "all values are missing"),
        (pl.Series([None] * N_ROWS), "all values are missing"),
        (repeated(float("nan")), "all values are missing"),
        ([f"id-{n}" for n in ROWS], "names rows: 100% of its values are different"),
        ([f"id-{n % 117}" for n in ROWS], "names rows: 98% of its values are different"),
        (list(ROWS), "numbers the rows: whole numbers in order, none twice"),
        ([1_000 - 3 * n for n in ROWS], "numbers the rows: whole numbers in order, none twice"),
        (repeated(time(1), time(2)), "values of type Time cannot be used"),
        (
            repeated(timedelta(1), timedelta(2)),
            "values of type Duration(time_unit='us') cannot be used",
        ),
    ],
)
def test_columns_that_cannot_be_features_are_dropped_with_a_reason(
    values: Any, reason: str
) -> None:
    found = profile({"c": values})

    assert reasons(found) == {"c": reason}
    assert found.column("c").kind is None


@pytest.mark.parametrize(
    "values",
    [
        [f"id-{n % 50}" for n in ROWS],
        [f"id-{n % 100}" for n in ROWS],
        [(n * 7) % N_ROWS for n in ROWS],
        [float(n) for n in ROWS],
        [7, *[None] * (N_ROWS - 1)],
    ],
    ids=["few texts", "repeated texts", "shuffled numbers", "rising floats", "one known value"],
)
def test_columns_that_may_teach_something_are_kept(values: list[Any]) -> None:
    assert profile({"c": values}).features == ("x", "c")


def test_columns_with_a_role_are_no_features_but_keep_their_kind() -> None:
    columns = {
        "who": repeated("a", "b", "c"),
        "when": repeated(date(2026, 1, 1), date(2026, 1, 2)),
        "home": repeated("north", "south"),
    }

    found = profile(columns, id="who", time="when", group="home")

    assert reasons(found) == {
        "who": "names a row, not a feature",
        "when": "names the time of a row, not a feature",
        "home": "names the group of a row, not a feature",
    }
    assert [found.column(name).kind for name in columns] == [
        "categorical",
        "datetime",
        "categorical",
    ]


def test_the_column_that_deals_out_the_rows_is_no_feature() -> None:
    parts = repeated("train", "validation", "calibration", "analysis")
    table = pl.LazyFrame(
        {"x": [n % 9 for n in ROWS], "part": parts, "y": [n // 4 % 2 for n in ROWS]}
    )
    content = make_request().model_dump(mode="json", exclude_defaults=True)
    request = TrainingRequest.model_validate(
        {**content, "split": {"strategy": "column", "column": "part"}}
    )

    found = profile_table(table, request)

    assert reasons(found) == {"part": "names the part of a row, not a feature"}


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (repeated(0, 1), repeated(0.0, 1.0)),
        (repeated("0", "1"), repeated(0, 1)),
        (repeated(True, False), repeated(True, False)),
        ([n * 0.5 for n in ROWS], [n * 0.5 for n in ROWS]),
    ],
)
def test_a_copy_of_the_target_is_no_feature(values: list[Any], answer: list[Any]) -> None:
    found = profile({"copy": values, "y": answer})

    assert reasons(found) == {"copy": "equals the target in every row"}
    assert any("'copy' equals the target in every row" in text for text in found.warnings)


def test_a_copy_of_the_target_that_is_kept_is_left_to_the_rules_about_leaks() -> None:
    values = [n % 2 for n in ROWS]

    found = profile({"copy": values}, features={"keep": ["copy"]})

    assert "copy" in found.features


@pytest.mark.parametrize(
    ("values", "kind"),
    [([f"C{n}" for n in ROWS], "categorical"), (list(ROWS), "numeric")],
    ids=["texts", "numbers"],
)
def test_identifiers_stay_features_if_they_are_kept_and_it_is_told(
    values: list[Any], kind: str
) -> None:
    found = profile({"key": values}, features={"keep": ["key"]})

    assert "key" in found.features
    assert found.column("key").kind == kind
    assert [text for text in found.warnings if "'key'" in text and "features.keep" in text]


def test_numbers_describe_the_values_that_are_known_and_finite() -> None:
    found = profile({"c": [float("nan"), float("inf"), None, *[1.0, 2.0, 3.0] * 39]}).column("c")

    assert (found.dtype, found.n_nulls, found.n_distinct) == ("Float64", 2, 4)
    assert (found.minimum, found.maximum, found.mean) == ("1.0", "3.0", 2.0)


def test_infinite_values_are_told() -> None:
    found = profile({"c": [float("inf"), float("-inf"), *[1.0, 2.0] * 59]})

    assert found.warnings == ("'c' is infinite in 2 rows; these count as missing.",)
    assert found.features == ("x", "c")


def test_numbers_that_are_read_as_text_are_told() -> None:
    found = profile({"c": ["NA", *[str(n % 5) for n in range(N_ROWS - 1)]]})

    assert found.warnings == (
        "'c' is text, but 119 of its 120 values are numbers; "
        "write numbers only, and nothing where one is missing.",
    )


def test_distinct_values_are_counted_exactly_up_to_ten_thousand() -> None:
    n_rows = 30_000
    table = pl.DataFrame(
        {
            "few": pl.Series(range(n_rows)) % 2,
            "many": (pl.Series(range(n_rows)) * 7) % 10_000,
            "y": pl.Series(range(n_rows)) % 3,
        }
    )

    found = profile_table(table.lazy(), make_request())

    assert [column.n_distinct for column in found.columns] == [2, 10_000, 3]


@pytest.mark.parametrize(
    ("values", "task_type", "classes"),
    [
        (repeated(True, False), "binary", ("false", "true")),
        (repeated("yes", "no"), "binary", ("no", "yes")),
        (repeated("Negative", "Positive"), "binary", ("Negative", "Positive")),
        (repeated("Y", "Z"), "binary", ("Z", "Y")),
        (repeated("good", "bad"), "binary", ("bad", "good")),
        (repeated(2, 10), "binary", ("2", "10")),
        (repeated(1, 2), "binary", ("2", "1")),
        (repeated(0.0, 1.0), "binary", ("0", "1")),
        (repeated(0.5, 1.5), "binary", ("0.5", "1.5")),
        (repeated("c", "a", "b"), "multiclass", ("a", "b", "c")),
        (repeated(10, 9, 8), "multiclass", ("8", "9", "10")),
        (repeated(1.0, 2.0, 3.0), "regression", ()),
        (repeated(*range(15)), "multiclass", tuple(map(str, range(15)))),
        (repeated(*range(21)), "regression", ()),
        ([n * 0.5 for n in ROWS], "regression", ()),
        (repeated(Decimal("1.50"), Decimal("2.00")), "binary", ("1.5", "2")),
    ],
)
def test_the_target_calls_for_a_task(
    values: list[Any], task_type: str, classes: tuple[str, ...]
) -> None:
    found = target(values)

    assert (found.task_type, found.classes) == (task_type, classes)


def test_classes_are_counted_in_their_order() -> None:
    found = target(["a"] * 20 + ["b"] * 100, positive="a")

    assert (found.classes, found.class_counts) == (("b", "a"), (100, 20))


@pytest.mark.parametrize(
    ("values", "positive", "last"),
    [
        (repeated("yes", "no"), "no", "no"),
        (repeated("Yes", "No"), "no", "No"),
        (repeated(True, False), False, "false"),
        (repeated("True", "False"), True, "True"),
        (repeated(0, 1), 0, "0"),
        (repeated(0, 1), "0", "0"),
        (repeated(0.0, 1.0), 0, "0"),
        (repeated(0, 1), False, "0"),
        (repeated(1.5, 2.5), 1.5, "1.5"),
        (repeated("0", "1"), 0, "0"),
    ],
)
def test_the_positive_class_is_the_one_asked_for(
    values: list[Any], positive: Any, last: str
) -> None:
    assert target(values, positive=positive).classes[-1] == last


def test_a_positive_value_that_is_absent_is_refused() -> None:
    with pytest.raises(RequestError, match=r"data\.positive is true but y holds 'N' and 'Y'"):
        target(repeated("Y", "N"), positive=True)


@pytest.mark.parametrize(
    ("values", "task", "task_type"),
    [
        (repeated(1, 2, 3), {"type": "regression"}, "regression"),
        (repeated(*[float(n) for n in range(4)]), {"type": "multiclass"}, "multiclass"),
        (repeated(0, 1), {"type": "regression"}, "regression"),
        (repeated(0, 1), {"type": "binary", "metric": "roc_auc"}, "binary"),
    ],
)
def test_the_task_may_be_asked_for(values: list[Any], task: dict[str, Any], task_type: str) -> None:
    assert target(values, task).task_type == task_type


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (repeated(1, 2, 3), {"type": "binary"}, "has two values.*holds 3 .* task.type to multi"),
        (repeated(1, 2), {"type": "multiclass"}, "3 to 100 values.*Set task.type to binary"),
        (repeated("a", "b"), {"type": "regression"}, "holds numbers.*Set task.type to binary"),
        ([f"v{n}" for n in ROWS], {}, "has 2 to 100 values.*holds 120 .*Group its values"),
        (repeated("a"), {}, r"holds only 'a' in all 120 rows\. Name another target"),
        (repeated(1.5), {"type": "regression"}, r"holds only '1\.5' in all 120 rows"),
        (repeated(None), {}, "is empty in all rows"),
        (["b"] * 115 + ["a"] * 5, {}, r"at least 8 rows, .* 'a' has 5\. Take more rows"),
        (
            [float("nan"), float("nan"), float("inf"), *[1.5] * 117],
            {},
            "has 2 NaN and 1 infinite values",
        ),
        (repeated(date(2026, 1, 1), date(2026, 1, 2)), {}, r"Column 'y' holds Date\."),
        (repeated(0, 1), {"metric": "rmse"}, "'y' makes it binary, .* Choose from: .*roc_auc"),
        (repeated(0, 1), {"report": ["mae"]}, "task.report must suit .* 'mae' is no binary metric"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(
    values: list[Any], task: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        target(values, task)


def test_too_few_rows_are_refused() -> None:
    table = pl.LazyFrame({"x": range(49), "y": [0, 1] * 24 + [0]})

    with pytest.raises(RequestError, match=r"at least 50 rows, .* The table has 49\."):
        profile_table(table, make_request())


def test_a_table_without_a_feature_is_refused() -> None:
    with pytest.raises(RequestError, match=r"All columns were left out: 'x' \(all values are eq"):
        profile({"x": repeated(1)})
    with pytest.raises(RequestError, match="no column but the target"):
        profile_table(pl.LazyFrame({"y": repeated(0, 1)}), make_request())


def test_a_missing_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"no 'yy'\. Did you mean 'y'\?"):
        profile({}, target="yy")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([True, False, None]), ["true", "false", None]),
        (pl.Series([1, -2, None]), ["1", "-2", None]),
        (pl.Series([1.0, -0.0, 0.25, 1e20]), ["1", "0", "0.25", "1e+20"]),
        (pl.Series(["a", None], dtype=pl.Enum(["a"])), ["a", None]),
        (pl.Series([Decimal("1.50"), Decimal("3.00")]), ["1.5", "3"]),
    ],
)
def test_class_text_is_short_and_the_same_for_equal_numbers(
    values: pl.Series, expected: list[str | None]
) -> None:
    frame = values.alias("v").to_frame()

    assert frame.select(class_text(pl.col("v"), values.dtype))["v"].to_list() == expected
