"""The file parser: places, sentences, all problems at once, and hostile input."""

import re
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError
from automl_assets.core.families import load_families
from automl_assets.core.request.file import MAX_BYTES, RequestFileError, parse_request

HEAD = """\
# a comment, so that the request begins on line 2
apiVersion: automl/v1
kind: TrainingRequest
name: churn
owner: analyst-7
"""
DATA = """\
data:
  path: churn.csv
  target: churned
"""
GOOD = HEAD + DATA
FAMILIES = ", ".join(load_families())


def messages(content: bytes | str) -> list[str]:
    with pytest.raises(RequestFileError) as caught:
        parse_request(content, filename="churn.yaml")
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_is_a_request() -> None:
    assert parse_request(GOOD.encode(), filename="churn.yaml").data.target == "churned"
    assert parse_request("\ufeff" + GOOD, filename="churn.yaml").name == "churn"
    assert parse_request(GOOD.replace("\n", "\r\n"), filename="churn.yaml").name == "churn"


def test_json_is_read_too() -> None:
    text = (
        '{"apiVersion": "automl/v1", "kind": "TrainingRequest", "name": "churn", "owner": "a",'
        ' "purpose": "\\ud83d\\ude00", "data": {"path": "x.csv", "target": "y", "positive": 1e0}}'
    )

    made = parse_request(text, filename="churn.json")

    assert made.purpose == "\N{GRINNING FACE}"
    assert made.data.positive == 1.0


def test_the_error_is_a_request_error_with_places() -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(GOOD + "seed: -1\n", filename="churn.yaml")

    (problem,) = caught.value.problems  # pyright: ignore[reportAttributeAccessIssue]
    assert (problem.line, problem.column, problem.path) == (9, 1, "seed")
    assert problem.message == "must be at least 0; found -1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD.replace("target", "targett"),
            [
                "churn.yaml:6:1: data.target: this key is required; found nothing; add it",
                "churn.yaml:8:3: unknown key 'targett'; did you mean 'target'?",
            ],
        ),
        (
            GOOD + "search:\n  n_trails: 3\n",
            ["churn.yaml:10:3: unknown key 'n_trails'; did you mean 'n_trials'?"],
        ),
        (
            GOOD + "n_trials: 3\n",
            ["churn.yaml:9:1: unknown key 'n_trials'; did you mean 'search.n_trials'?"],
        ),
        (GOOD + "xyz: 3\n", ["churn.yaml:9:1: unknown key 'xyz'; remove it"]),
        (
            GOOD + "task:\n  type: binary\n  metric: rmse\n",
            [
                "churn.yaml:9:1: task: metric 'rmse' is not a binary metric (it belongs to "
                "regression). Choose from: accuracy, average_precision, balanced_accuracy, "
                "brier, f1, log_loss, mcc, precision, recall, roc_auc"
            ],
        ),
        (
            GOOD + "model:\n  families: [linear, catbost]\n",
            [
                f"churn.yaml:10:22: model.families.1: 'catbost' is not one of {FAMILIES}; did you "
                "mean 'catboost'?"
            ],
        ),
        (
            GOOD + "  time: snapshot_date\nsplit: {strategy: random}\n",
            [
                "churn.yaml:2:1: request: split.strategy is 'random' but the data has time = "
                "'snapshot_date': future or same-group rows would leak into training. Use 'time' "
                "or 'group', or remove the key"
            ],
        ),
        (
            GOOD + "  features: {include: [churned]}\n",
            [
                "churn.yaml:6:1: data: target 'churned' is also listed under features.include: "
                "the model would see the answer"
            ],
        ),
        (
            GOOD + "  time: day\n  rows:\n    from: 2027-01-01\n    until: 2026-10-01\n",
            [
                "churn.yaml:10:3: data.rows: 'from' (2027-01-01) must be before 'until' "
                "(2026-10-01); 'until' is exclusive"
            ],
        ),
        (
            GOOD + "split: {validation: 50%, calibration: 15%, analysis: 15%}\n",
            [
                "churn.yaml:9:1: split: validation+calibration+analysis = 80%; leave at least "
                "40% for training"
            ],
        ),
        (
            GOOD + "approval:\n  required: [analyst-7]\n",
            [
                "churn.yaml:2:1: request: 'analyst-7' owns this request and cannot be its own "
                "approver",
            ],
        ),
        (
            GOOD + "model: {families: [linear], fix: {xgboost.max_depth: 6}}\n",
            [
                "churn.yaml:9:1: model: 'xgboost.max_depth' constrains 'xgboost', which is not in "
                "families [linear]; name it under model.families or remove the key",
            ],
        ),
        (
            GOOD + "search:\n  workers: 2\n  workers: 3\n",
            [
                "churn.yaml:11:3: key 'workers' appears twice (first on line 10); remove one",
            ],
        ),
        (
            GOOD + "search:\n  time_limit: 3 hours\n",
            [
                "churn.yaml:10:3: search.time_limit: write a duration like 90s, 30m, 3h or 7d; "
                "found '3 hours'"
            ],
        ),
        (
            GOOD + "  positive: NO\n",
            [
                "churn.yaml:9:13: YAML reads NO as false; write 'NO' in quotes if it is a word, "
                "true/false if it is a switch"
            ],
        ),
        (
            GOOD + "\tseed: 1\n",
            [
                "churn.yaml:9:1: not valid YAML: found character '\\t' that cannot start any "
                "token; indent with spaces"
            ],
        ),
        (
            GOOD + "deploy: {target: churn-api}\n",
            ["churn.yaml:9:1: not supported yet: deploy; remove the key"],
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_cure(text: str, expected: list[str]) -> None:
    assert messages(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("name: 5", "name: must be text; found 5, a number; write '5' in quotes"),
        ("name: 2024-01-01", "must be text; found 2024-01-01, a date; write '2024-01-01' in quo"),
        ("name:", "name: must be text; found nothing; give it a value or remove the key"),
        ("name: Churn Model", "use 1 to 40 small letters, digits and hyphens"),
        ("name: ../churn", "use 1 to 40 small letters, digits and hyphens"),
        ("owner: a/b", "use 1 to 64 letters, digits and"),
        ("apiVersion: automl/v2", "apiVersion: must be 'automl/v1'; found 'automl/v2'; did you"),
        ("seed: '7'", "seed: must be a whole number; found '7'"),
        ("seed: 1.5", "seed: must be a whole number; found 1.5, a number"),
        ("seed: true", "seed: must be a whole number; found true, a switch"),
        ("seed: .nan", "a number must be finite and short; found '.nan'"),
        ("seed: -.INF", "a number must be finite and short; found '-.INF'"),
        ("seed: 1e999", "'1e999' is too large a number"),
        ("seed: 010", "YAML reads 010 as 8; write '010' in quotes if it is text"),
        ("seed: 1_000", "YAML reads 1_000 as 1000;"),
        ("seed: 12:30", "YAML reads 12:30 as 750;"),
        ("seed: 0x_", "YAML reads 0x_ as a number;"),
        (f"seed: {'9' * 5000}", "a number must be finite and short; found '9999"),
        ("task: [binary]", "task: must be a section of keys; found a list"),
        ("search:", "search: must be a section of keys; found nothing; give it a value or remo"),
        ("split: {analysis: 15}", "split.analysis: write a share above 0 and below 1, or a perc"),
        ("split: {analysis: 0%}", "write a share above 0 and below 1"),
        ("split: {analysis: 100 %}", "write a share above 0 and below 1"),
        ("search: {time_limit: 0s}", "a duration is from 1s to 366d; found '0s'"),
        ("search: {time_limit: true}", "write a duration like 90s, 30m, 3h or 7d; found True"),
        ("search: {n_trials: 0}", "search.n_trials: must be at least 1; found 0"),
        ("search: {n_trials: 1000000}", "search.n_trials: must be at most 100000; found 1000000"),
        ("search: {sampler: tpee}", "must be 'grid', 'random' or 'tpe'; found 'tpee'; did you m"),
        ("resources: {priority: urgent}", "must be 'low', 'normal' or 'high'; found 'urgent'"),
        ("model: {families: linear}", "must be a list; found 'linear'; put it in square brackets"),
        ("model: {families: []}", "must have at least 1 entries; found an empty list"),
        ("model: {fix: {depth: 6}}", "write family.parameter, such as catboost.depth; found 'd"),
        ("model: {max_depth: 0}", "model.max_depth: must be at least 1; found 0"),
        ("model: {interactions: [a]}", "model.interactions.0: must be a list; found 'a'; put it"),
        ("model: {interactions: [[a, a]]}", "a set names a column once; found 'a' twice"),
        ("model: {monotonic: {a: up}}", "must be 'increasing' or 'decreasing'; found 'up'"),
        ("resources: {memory: 32 GB}", "write a size like 512Mi or 32Gi; found '32 GB'"),
        ("search: {ensemble: gredy}", "must be 'greedy' or 'none'; found 'gredy'; did you mean"),
        (
            "constraints: {p99_latency_ms: {max: 5, batch: 1000000}}",
            "constraints.p99_latency_ms.batch: must be at most 100000; found 1000000",
        ),
        ("constraints: {model_size_mb: {}}", "model_size_mb.max: this key is required"),
        ("2020: x", "a key must be text; found 2020, a number; write '2020' in quotes"),
        ("? [a]: b", "a key must be text; found a list or a mapping"),
        ("? [a]\n: b", "a key must be text; found a list or a mapping"),
        ("<<: {seed: 1}", "merge keys '<<' are not allowed; write the keys out"),
        ("purpose: !!python/object/apply:os.system [ls]", "tags are not allowed; found 'tag:yam"),
        ("purpose: !secret x", "tags are not allowed; found '!secret'; remove it"),
        ("purpose: *nowhere", "alias 'nowhere' names nothing that ends above it"),
        ('purpose: "a\\0b"', "the character U+0000 is not allowed; remove it"),
        ('purpose: "\\ud800"', "not allowed; remove it"),
        ("purpose: a\x07b", "churn.yaml:9:11: the character U+0007 is not allowed; remove it"),
        ("purpose: a\u202eb", "churn.yaml:9:11: the character U+202E is not allowed; remove it"),
        ("purpose: [", "not valid YAML"),
        ("---\nname: other", "found a second document; write two files"),
    ],
)
def test_a_wrong_line_is_explained(line: str, expected: str) -> None:
    key = line.partition(":")[0]
    text = re.sub(rf"^{re.escape(key)}: .*\n", "", GOOD, flags=re.MULTILINE)

    found = "\n".join(messages(f"{text}{line}\n"))

    assert expected in found
    assert "Input should" not in found
    assert "pydantic" not in found


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("{from: 2024-02-31}", "'2024-02-31' is not a date of the calendar"),
        ("{from: yesterday}", "data.rows.from: write a date like 2026-10-01 or 2026-10-01T06"),
        ("{from: 20240101}", "write a date like 2026-10-01 or 2026-10-01T06:00:00; found 20240101"),
        ("{from: 2024-01-01T25:00:00}", "write a date like 2026-10-01"),
        ("{from: '0001-01-01T00:00:00+14:00'}", "is out of range"),
    ],
)
def test_a_wrong_date_is_explained(rows: str, expected: str) -> None:
    assert expected in messages(f"{GOOD}  time: day\n  rows: {rows}\n")[0]


def test_all_problems_are_told_at_once() -> None:
    text = (
        GOOD.replace("name: churn", "name: Churn!")
        + "  time: day\n  rows: {from: 2027-01-01, until: 2026-01-01}\n"
        + "split: {strategy: random}\n"
        + "task: {metric: rmsee}\n"
        + "model: {families: [5, catbost], max_leaves: 1}\n"
        + "search: {time_limit: long, select: simplest_of_tied}\n"
        + "robustness: {jitter: 7}\n"
    )

    places = [message.split(": ", 1)[0].removeprefix("churn.yaml:") for message in messages(text)]

    assert places == [
        "2:1", "4:1", "10:3", "12:8", "13:20", "13:23", "13:33", "14:10", "15:14",
    ]  # fmt: skip


def test_a_rule_waits_for_the_values_it_reads() -> None:
    text = GOOD + "  time: 5\n  rows: {from: 2024-01-01}\nsplit: {strategy: time}\n"

    assert messages(text) == [
        "churn.yaml:9:3: data.time: must be text; found 5, a number; write '5' in quotes"
    ]


def test_aliases_are_values() -> None:
    text = HEAD + "purpose: &text churn\ndata: {path: *text, target: churned}\n"

    assert parse_request(text, filename="churn.yaml").data.path == "churn"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file_says_what_to_write(text: str) -> None:
    assert messages(text) == [
        "churn.yaml:1:1: the file is empty; write at least apiVersion, kind, name, owner, "
        "data.path and data.target"
    ]


@pytest.mark.parametrize(
    ("text", "found"), [("- a\n", "a list"), ("hello\n", "'hello'"), ("5", "5, a number")]
)
def test_a_file_that_is_no_mapping_is_refused(text: str, found: str) -> None:
    assert messages(text) == [f"churn.yaml:1:1: a request is a mapping of keys; found {found}"]


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    content = GOOD.encode() + "purpose: café".encode("latin-1")

    assert messages(content) == [
        "churn.yaml:9:13: not UTF-8 text; found the byte 0xE9; save it as UTF-8"
    ]


def test_a_lone_surrogate_in_text_is_refused() -> None:
    assert "not UTF-8 text" in messages(GOOD + "purpose: \ud800")[0]


BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 2)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP_BY_ALIAS = "a: &a [[[[[[[[[[[x]]]]]]]]]]]\nb: [[[[[[[[[[*a]]]]]]]]]]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 200_000, "churn.yaml:1:21: at most 20 levels of nesting"),
        ("{" * 200_000, "at most 20 levels of nesting"),
        ("- " * 100_000, "at most 20 levels of nesting"),
        ("? " * 100_000, "at most 20 levels of nesting"),
        (DEEP_BY_ALIAS, "at most 20 levels of nesting"),
        ("[" + "1," * 100_000 + "]", "at most 20000 values"),
        (BOMB, "a: unknown"[3:]),
        (BOMB + "k: [*j, *j, *j]", "at most 20 aliases"),
        ("a: &a [*a]\n", "alias 'a' names nothing that ends above it"),
        ("a: &a {b: " + "[" * 10 + "1," * 9000 + "]" * 10 + "}\nb: *a\nc: *a", "20000 values"),
        ("x" * (MAX_BYTES + 1), "a request has at most 256 kB; found 256 kB"),
        ("".join(f"k{n}: 1\n" for n in range(2000)), "problems more"),
    ],
    ids=lambda text: text[:10],
)
def test_hostile_yaml_is_refused_fast(text: str, expected: str) -> None:
    start = time.process_time()

    found = messages(text)

    assert expected in "\n".join(found)
    assert time.process_time() - start < 5


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


PATHS = """
    name data data.target data.positive data.rows data.rows.from data.features.include
    data.available_at split split.validation task task.report model.families model.search
    search search.time_limit search.n_trials constraints.slice_gap approval deploy
    resources.gpu version
"""


def outcome(content: bytes | str) -> str:
    try:
        parse_request(content, filename="churn.yaml")
    except RequestFileError as error:
        return str(error)
    return "accepted"


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(PATHS.split()), value=values)
def test_any_value_under_any_key_is_accepted_or_explained(path: str, value: Any) -> None:
    content = yaml.safe_load(GOOD)
    *sections, key = path.split(".")
    node = content
    for section in sections:
        node = node.setdefault(section, {})
    node[key] = value

    said = outcome(yaml.safe_dump(content))

    assert said
    assert "Input should" not in said


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_refused_with_a_sentence(content: bytes | str) -> None:
    assert messages(content)


def test_reading_a_request_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from automl_assets.core.request.file import parse_request\n"
        f"parse_request({GOOD!r} + 'model: {{families: [linear]}}', filename='x')\n"
        "heavy = {'numpy', 'polars', 'sklearn', 'dagster', 'typer', 'optuna', 'pandas'}\n"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
