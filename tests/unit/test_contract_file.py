"""Contract files: what they may say, and what people read when they say something else."""

import json

import pytest

from automl_assets.core.contract import MAX_BYTES, contract_json_schema, parse_contract
from automl_assets.core.request.problems import RequestFileError

HEAD = "apiVersion: automl/v1\nkind: DataContract\n"
EVERYTHING = (
    HEAD
    + """
description: Subscriptions, one row a customer and month.
rows: {min: 1000, max: 1000000}
freshness: {column: month, max_age: 36h}
unique: [customer_id, [email, month]]
other_columns: refuse
columns:
  customer_id: {type: integer, nulls: {max: 0%}, unique: true}
  email: {type: text, pattern: '[^@]+@[^@]+'}
  month: {type: date, min: 2020-01-01, max: 2030-12-31}
  seen: {type: datetime, min: 2020-01-01T06:00:00Z, required: false}
  'NO': {type: boolean, values: [true]}
  plan: {type: text, values: [basic, 'yes', '2020-01-01'], other: {max: 0.5%}}
  price:
    type: number
    min: 0
    max: 1.0e+300
    mean: {min: 5, max: 20}
    std: {max: 9.5}
    quantiles: {p1: {min: 0}, p50: {min: 4, max: 8}}
    statistics: {tolerance: 0.1}
"""
)


def problems_of(body: str) -> list[str]:
    with pytest.raises(RequestFileError) as found:
        parse_contract(HEAD + body, filename="c.yaml")
    return [str(problem) for problem in found.value.problems]


def test_a_contract_survives_its_own_file() -> None:
    contract = parse_contract(EVERYTHING, filename="c.yaml")

    assert parse_contract(contract.to_yaml(), filename="again.yaml") == contract
    assert contract.keys == (("customer_id",), ("email", "month"))


def test_a_contract_may_be_json() -> None:
    content = parse_contract(EVERYTHING, filename="c.yaml").model_dump(mode="json")
    without_nothing = json.loads(json.dumps(content), object_hook=_without_nothing)

    read = parse_contract(json.dumps(without_nothing), filename="c.json")

    assert read == parse_contract(EVERYTHING, filename="c.yaml")


def _without_nothing(item: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in item.items() if value is not None}


def test_the_file_that_is_written_says_only_what_differs_from_the_defaults() -> None:
    contract = parse_contract(HEAD + "columns: {a: {nulls: {max: 0.05}}}", filename="c.yaml")

    lines = contract.to_yaml().splitlines()

    assert lines[0].startswith("# yaml-language-server: $schema=")
    assert lines[1:] == [
        "apiVersion: automl/v1",
        "kind: DataContract",
        "columns:",
        "  a:",
        "    nulls:",
        "      max: 5%",
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("colums: {}", "c.yaml:3:1: unknown key 'colums'; did you mean 'columns'?"),
        ("nulls: {max: 0}", "c.yaml:3:1: unknown key 'nulls'; did you mean columns.NAME.nulls?"),
        ("wat: 1", "c.yaml:3:1: unknown key 'wat'; remove it"),
        ("rows: {mn: 1}", "c.yaml:3:8: unknown key 'mn'; did you mean 'min'?"),
        ("rows: {min: -1}", "c.yaml:3:8: rows.min: must be at least 0; found -1"),
        (
            "rows: {min: 2, max: 1}",
            "c.yaml:3:8: rows.min: must be at most max; found 2 above 1; swap them",
        ),
        (
            "freshness: {column: d, max_age: 7 weeks}",
            "c.yaml:3:24: freshness.max_age: write a duration like 90s, 30m, 3h or 7d; "
            "found '7 weeks'",
        ),
        (
            "freshness: {max_age: 7d}",
            "c.yaml:3:1: freshness.column: this key is required; found nothing; add it",
        ),
        (
            "columns: {n: {type: integer}}\nfreshness: {column: n, max_age: 7d}",
            "c.yaml:4:13: freshness.column: 'n' must hold dates; its type is 'integer'",
        ),
        (
            "other_columns: refuse\nfreshness: {column: n, max_age: 7d}",
            "c.yaml:4:13: freshness.column: 'n' is not listed under columns; add it there",
        ),
        (
            "other_columns: refuse\nunique: [n]",
            "c.yaml:4:10: unique.0: 'n' is not listed under columns; add it there",
        ),
        ("unique: [[n, n]]", "c.yaml:3:10: unique.0: a column is listed twice in one key"),
        ("other_columns: ignore", "c.yaml:3:1: other_columns: must be 'allow' or 'refuse'"),
        ("columns: {a: }", "c.yaml:3:11: columns.a: must be a section of keys; found nothing"),
        ("columns: {a: {type: int}}", "c.yaml:3:15: columns.a.type: must be 'integer', 'number',"),
        ("columns: {a: {}, a: {}}", "c.yaml:3:18: key 'a' appears twice (first on line 3)"),
        ("columns: {a: {nulls: 5%}}", "c.yaml:3:15: columns.a.nulls: must be a section of keys"),
        (
            "columns: {a: {nulls: {max: 5}}}",
            "c.yaml:3:23: columns.a.nulls.max: write a share from 0 to 1, or a percentage",
        ),
        (
            "columns: {a: {min: x}}",
            "c.yaml:3:15: columns.a.min: write a date like 2026-10-01",
        ),
        (
            "columns: {a: {min: true}}",
            "c.yaml:3:15: columns.a.min: write a number or a date; found True",
        ),
        (
            "columns: {a: {min: 5, max: 4}}",
            "c.yaml:3:15: columns.a.min: must be at most max; found 5 above 4; swap them",
        ),
        (
            "columns: {a: {min: 2026-01-02, max: 2026-01-01}}",
            "c.yaml:3:15: columns.a.min: must be at most max; found",
        ),
        (
            "columns: {a: {min: 5, max: 2026-01-01}}",
            "c.yaml:3:15: columns.a.min: min and max are both numbers or both dates",
        ),
        (
            "columns: {a: {type: text, max: 4}}",
            "c.yaml:3:27: columns.a.max: must suit the type, 'text'; found a number, 4",
        ),
        (
            "columns: {a: {type: integer, values: [1, b, 1]}}",
            "c.yaml:3:42: columns.a.values.1: must suit the type, 'integer'; found 'b'",
        ),
        (
            "columns: {a: {type: integer, values: [1, b, 1]}}",
            "c.yaml:3:45: columns.a.values.2: 1 is listed twice; keep one",
        ),
        (
            "columns: {a: {type: date, values: [b]}}",
            "c.yaml:3:27: columns.a.values: type 'date' has no list of values; use min and max",
        ),
        ("columns: {a: {values: []}}", "c.yaml:3:15: columns.a.values: must have at least 1"),
        (
            "columns: {a: {other: {max: 1%}}}",
            "c.yaml:3:15: columns.a.other: says how many values may be none of `values`",
        ),
        (
            "columns: {a: {pattern: 'a('}}",
            "c.yaml:3:15: columns.a.pattern: not a regular expression: unclosed group; found 'a('",
        ),
        (
            "columns: {a: {pattern: 'a)(b'}}",
            "c.yaml:3:15: columns.a.pattern: not a regular expression: unopened group",
        ),
        (
            "columns: {a: {pattern: '((a{1000}){1000}){1000}'}}",
            "c.yaml:3:15: columns.a.pattern: not a regular expression: Compiled regex exceeds",
        ),
        (
            "columns: {a: {type: boolean, mean: {min: 0}}}",
            "c.yaml:3:30: columns.a.mean: only numbers have it; type is 'boolean'",
        ),
        (
            "columns: {a: {quantiles: {p50: {min: 3, max: 2}}}}",
            "c.yaml:3:33: columns.a.quantiles.p50.min: must be at most max",
        ),
        (
            "columns: {a: {quantiles: {p10: {min: 3}}}}",
            "c.yaml:3:27: unknown key 'p10'; did you mean 'p1'?",
        ),
        (
            "columns: {a: {statistics: {tolerance: 0}}}",
            "c.yaml:3:28: columns.a.statistics.tolerance: must be above 0; found 0",
        ),
        ("columns: {a: {min: !!int 5}}", "c.yaml:3:20: tags are not allowed"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: str, problem: str) -> None:
    assert any(text.startswith(problem) for text in problems_of(body)), problems_of(body)


def test_all_that_is_wrong_is_told_at_once_and_by_place() -> None:
    told = problems_of(
        "rows: {min: many}\n"
        "other_columns: refuse\n"
        "unique: [id, b]\n"
        "columns:\n"
        "  a: {type: integr, minn: 0}\n"
        "  b: {min: 3, max: 2}\n"
    )

    assert [text.split(": ")[0] for text in told] == [
        "c.yaml:3:8",
        "c.yaml:5:10",
        "c.yaml:7:7",
        "c.yaml:7:21",
        "c.yaml:8:7",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "c.yaml:1:1: the file is empty; write at least apiVersion, kind and columns"),
        ("[a]", "c.yaml:1:1: a contract is a mapping of keys; found a list"),
        ("a: [", "c.yaml:1:5: not valid YAML"),
        ("a: \u202e", "c.yaml:1:4: the character U+202E is not allowed; remove it"),
        ("#" * (MAX_BYTES + 1), "c.yaml:1:1: a contract has at most 1000 kB; found 1000 kB"),
        ("kind: DataContract", "c.yaml:1:1: apiVersion: this key is required"),
        ("apiVersion: automl/v1\nkind: Contract", "c.yaml:2:1: kind: must be 'DataContract'"),
    ],
)
def test_a_file_that_is_no_contract_says_so(text: str, problem: str) -> None:
    with pytest.raises(RequestFileError) as found:
        parse_contract(text, filename="c.yaml")

    assert str(found.value).startswith(problem)


def test_the_schema_lists_every_key_with_its_meaning() -> None:
    schema = contract_json_schema()

    column = schema["$defs"]["ColumnContract"]["properties"]
    assert {"type", "nulls", "values", "pattern", "statistics"} <= set(column)
    assert all(entry["description"] for entry in column.values())
    assert set(schema["properties"]) >= {"rows", "freshness", "unique", "columns", "other_columns"}
