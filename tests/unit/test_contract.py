"""The rules that a snapshot keeps before anything is trained on it."""

from typing import Any

import polars as pl
import pytest

from automl_assets.core.contract import ContractReport, check_snapshot
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest

N_ROWS = 300
TABLE = pl.DataFrame(
    {
        "x": [n % 9 for n in range(N_ROWS)],
        "plan": ["basic", "plus", "gold"] * 100,
        "y": [float(n % 2) for n in range(N_ROWS)],
        "price": [n * 0.5 for n in range(N_ROWS)],
    }
)


def make_request(target: str = "y", **split: float) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": target},
            "split": split,
        }
    )


def check(
    table: pl.DataFrame, target: str = "y", profiled: pl.DataFrame = TABLE, **split: float
) -> ContractReport:
    request = make_request(target, **split)
    return check_snapshot(table.lazy(), profile_table(profiled.lazy(), request), request)


def test_a_snapshot_as_profiled_keeps_every_rule() -> None:
    report = check(TABLE)

    assert report.passed
    assert report.findings == ()
    assert {rule.name: rule.n_tried for rule in report.rules} == {
        "columns as profiled, in order": 4,
        "types as profiled": 4,
        "features present": 3,
        "rows as profiled": 300,
        "target known": 300,
        "target finite": 300,
        "enough rows for each part": 4,
        "classes as profiled": 300,
        "at least two classes": 2,
        "each class in each part": 8,
    }
    assert report.rules[4].detail == "300 rows tried, all keep it."


def test_a_regression_has_no_rules_about_classes() -> None:
    report = check(TABLE, "price")

    assert report.passed
    assert "classes as profiled" not in [rule.name for rule in report.rules]


def test_a_report_survives_json() -> None:
    report = check(TABLE)

    assert ContractReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("columns", "finding"),
    [
        ({"y": [None, *[1.0, 0.0] * 149, 1.0]}, "target known: 300 rows tried, 1 have no 'y'."),
        ({"y": [float("inf"), *TABLE["y"][1:]]}, "target finite: 300 rows tried, 1 have NaN or"),
        ({"y": [7.0, *TABLE["y"][1:]]}, "classes as profiled: 300 rows tried, 1 are of another"),
        ({"y": [1.0] * N_ROWS}, "at least two classes: 1 classes tried, only '1' has rows."),
        ({"x": [1.5] * N_ROWS}, "types as profiled: 4 columns tried, 'x' is Float64, expected"),
    ],
)
def test_values_that_break_a_rule_are_counted(columns: dict[str, Any], finding: str) -> None:
    report = check(TABLE.with_columns(**{name: pl.Series(v) for name, v in columns.items()}))

    assert not report.passed
    assert any(text.startswith(finding) for text in report.findings)


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        (TABLE.drop("x"), "'x' breaks column_in_dataframe"),
        (TABLE.drop("x"), "features present: 3 features tried, 'x' is missing."),
        (TABLE.with_columns(z=1), "'z' breaks column_in_schema"),
        (TABLE.select("plan", "x", "y", "price"), "'plan' breaks column_ordered"),
    ],
)
def test_other_columns_stop_the_check(table: pl.DataFrame, finding: str) -> None:
    report = check(table)

    assert any(finding in text for text in report.findings)
    assert "target known" not in [rule.name for rule in report.rules]


def test_lost_rows_are_noticed() -> None:
    report = check(TABLE.head(290))

    assert report.findings == ("rows as profiled: 290 rows tried, 10 more or fewer than 300.",)


def test_each_part_needs_rows() -> None:
    small = TABLE.head(190)

    report = check(small, profiled=small)

    assert report.findings == (
        "enough rows for each part: 4 parts tried, calibration gets 19 of at least 20 rows "
        "(give it split.calibration: 11%).",
    )
    tiny = check(TABLE.head(90), profiled=TABLE.head(90))
    assert "calibration gets 9 of at least 20 rows;" in tiny.findings[0]
    assert check(TABLE.head(200), profiled=TABLE.head(200)).passed


def test_each_class_is_expected_in_each_part() -> None:
    rare = TABLE.with_columns(y=pl.Series([1.0] * 19 + [0.0] * 281))

    report = check(rare, profiled=rare)

    assert report.findings == (
        "each class in each part: 8 pairs tried, '1' gives calibration 1.9 of at least 2 rows.",
    )
    assert check(rare, profiled=rare, calibration=0.15).passed
