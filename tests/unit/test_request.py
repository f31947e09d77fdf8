"""The request: canonical form, digest, rules between keys, published schema."""

import json
import runpy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from automl_assets.core.contract import contract_json_schema
from automl_assets.core.contract.model import SCHEMA_FILE as CONTRACT_SCHEMA_FILE
from automl_assets.core.report.schema import card_json_schema
from automl_assets.core.request import SCHEMA_FILE, TrainingRequest, request_json_schema
from automl_assets.core.request.file import parse_request
from automl_assets.core.request.rules import NOT_SUPPORTED
from tests.strategies import requests

ROOT = Path(__file__).parents[2]
CARD_SCHEMA_FILE = "automl-card-v1.schema.json"
EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*.yaml") if ".contract" not in path.name
)


def request(**sections: Any) -> TrainingRequest:
    content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "churn",
        "owner": "analyst-7",
        "data": {"path": "churn.csv", "target": "churned"},
    }
    data = {**content["data"], **sections.pop("data", {})}
    return TrainingRequest.model_validate({**content, **sections, "data": data})


@settings(max_examples=100, deadline=None)
@given(requests())
def test_a_request_survives_json(made: TrainingRequest) -> None:
    read = TrainingRequest.model_validate_json(made.canonical_json())

    assert read == made
    assert read.canonical_json() == made.canonical_json()


@settings(max_examples=100, deadline=None)
@given(requests())
def test_a_request_survives_its_yaml_file(made: TrainingRequest) -> None:
    read = parse_request(made.to_yaml(), filename="request.yaml")

    assert read == made
    assert read.sha256 == made.sha256


@settings(max_examples=30, deadline=None)
@given(requests())
def test_canonical_json_is_a_request_file_too(made: TrainingRequest) -> None:
    assert parse_request(made.canonical_json(), filename="request.json") == made
    assert parse_request(json.dumps(json.loads(made.canonical_json())), filename="r.json") == made


def test_the_canonical_form_holds_only_what_differs_from_the_defaults() -> None:
    made = request(split={"validation": 0.15}, search={"n_trials": 5}, seed=0)

    assert made.canonical_json() == (
        '{"apiVersion":"automl/v1","data":{"path":"churn.csv","target":"churned"},'
        '"kind":"TrainingRequest","name":"churn","owner":"analyst-7","search":{"n_trials":5}}'
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"split": {"validation": "12.5%"}}, {"split": {"validation": 0.125}}),
        ({"split": {"validation": "12.3%"}}, {"split": {"validation": 0.123}}),
        ({"search": {"time_limit": "2m"}}, {"search": {"time_limit": 120}}),
        ({"search": {"time_limit": "3h"}}, {"search": {"time_limit": "180m"}}),
        (
            {"data": {"time": "t", "rows": {"from": "2024-01-01"}}},
            {"data": {"time": "t", "rows": {"from": "2024-01-01T00:00:00"}}},
        ),
        (
            {"data": {"time": "t", "rows": {"from": "2024-01-01T02:00:00+02:00"}}},
            {"data": {"time": "t", "rows": {"from": "2024-01-01T00:00:00Z"}}},
        ),
        ({"task": {}, "resources": {"gpu": 0}}, {}),
        ({"constraints": {}, "model": {"preprocessing": {}}}, {}),
        (
            {"model": {"interactions": [["b", "a"], ["c"]]}},
            {"model": {"interactions": [["c"], ["a", "b"], ["b", "a"]]}},
        ),
    ],
)
def test_equal_meanings_have_equal_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert request(**one).sha256 == request(**other).sha256


def test_a_changed_value_is_another_request() -> None:
    assert request(seed=1).request_id != request(seed=2).request_id


def test_the_request_id_is_the_name_and_ten_digits_of_the_digest() -> None:
    made = request()

    assert made.request_id == f"churn-{made.sha256[:10]}"
    assert len(made.sha256) == 64


def test_the_yaml_file_is_written_for_people() -> None:
    made = request(split={"validation": 0.2}, search={"time_limit": 5400, "n_trials": 7})

    assert made.to_yaml() == (
        f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
        "apiVersion: automl/v1\n"
        "kind: TrainingRequest\n"
        "name: churn\n"
        "owner: analyst-7\n"
        "data:\n"
        "  path: churn.csv\n"
        "  target: churned\n"
        "split:\n"
        "  validation: 20%\n"
        "search:\n"
        "  n_trials: 7\n"
        "  time_limit: 90m\n"
    )


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        request().seed = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("search", "seconds"),
    [({}, 120.0), ({"n_trials": 3}, None), ({"time_limit": "90s"}, 90.0)],
)
def test_a_search_without_any_limit_gets_two_minutes(
    search: dict[str, Any], seconds: float | None
) -> None:
    assert request(search=search).search.effective_time_limit == seconds


@pytest.mark.parametrize(
    ("data", "strategy"),
    [({}, "random"), ({"group": "g"}, "group"), ({"group": "g", "time": "t"}, "time")],
)
def test_the_data_decide_the_split_strategy(data: dict[str, str], strategy: str) -> None:
    assert request(data=data).split_strategy == strategy


def test_the_training_part_is_what_the_others_leave() -> None:
    assert request().split.train == 0.6


def test_the_sample_takes_the_seed_of_the_request_unless_it_has_its_own() -> None:
    own = {"rows": {"sample": {"max_rows": 10, "seed": 3}}}

    assert request(seed=7).sample_seed == 7
    assert request(seed=7, data=own).sample_seed == 3


def test_dates_and_times_are_read_as_such() -> None:
    rows = {"from": "2024-01-01", "until": "2024-02-01T06:30:00Z"}
    with pytest.raises(ValidationError, match="both have a time zone or both none"):
        request(data={"time": "t", "rows": rows})

    rows = {"from": "2024-01-01", "until": "2024-02-01T06:30:00"}
    made = request(data={"time": "t", "rows": rows}).data.rows

    assert (made.from_, made.until) == (date(2024, 1, 1), datetime(2024, 2, 1, 6, 30))


def test_times_with_a_zone_are_kept_in_utc() -> None:
    rows = {"from": "2024-01-01T01:00:00+01:00", "until": "2024-01-01T00:30:00Z"}
    made = request(data={"time": "t", "rows": rows}).data.rows

    assert made.from_ == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"data": {"path": "https://joe:secret@example.org/x.csv"}},
            "its URL holds no user and no password",
        ),
        ({"data": {"path": None}}, "say where the rows are"),
        ({"data": {"id": "churned"}}, "target 'churned' is also the id"),
        ({"data": {"time": "churned"}}, "target 'churned' is also the time"),
        ({"data": {"group": "churned"}}, "target 'churned' is also the group"),
        (
            {"data": {"features": {"include": ["age", "churned"]}}},
            "target 'churned' is also listed under features.include: the model would see",
        ),
        (
            {"data": {"id": "key", "features": {"include": ["key"]}}},
            "an id is never a feature",
        ),
        (
            {"data": {"positive": "yes"}, "task": {"type": "regression"}},
            "'positive' names a value of a binary target",
        ),
        ({"data": {"rows": {"from": "2024-01-01"}}}, "the data has no time; add data.time"),
        ({"split": {"strategy": "time"}}, "found no data.time"),
        ({"split": {"strategy": "group"}}, "found no data.group"),
        (
            {"split": {"strategy": "random"}, "data": {"group": "g"}},
            "split.strategy is 'random' but the data has group = 'g'",
        ),
        ({"split": {"validation": 0.4}}, "analysis = 65%; leave at least 40% for training"),
        ({"task": {"metric": "auc"}}, "did you mean 'roc_auc'"),
        (
            {"task": {"type": "regression", "metric": "log_loss"}},
            r"metric 'log_loss' is not a regression metric \(it belongs to binary and multiclass\)",
        ),
        ({"model": {"families": ["linear", "linear"]}}, "'linear' is listed twice"),
    ],
)
def test_a_broken_rule_is_told(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        request(**sections)


REPOSITORY = {"path": None, "repository": "warehouse", "table": "sales/"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"path": None}}, "say where the rows are"),
        ({"data": {"repository": "warehouse"}}, "found 'path' and 'repository'; keep one"),
        ({"data": {"path": None, "connection": "crm"}}, "'connection' holds many tables"),
        ({"data": {"ref": "main"}}, "'ref' belongs to repository, not to 'path'"),
        ({"data": {**REPOSITORY, "sha256": "0" * 64}}, "'sha256' belongs to path"),
        ({"data": {"available_at": {"calls": "day"}}}, "there is none; add data.time"),
        (
            {"data": {"available_at": {"churned": "day"}, "time": "day"}},
            "'churned' is no feature",
        ),
        ({"data": {"rows": {"where": "read_csv('x')"}}}, "functions are not allowed: 'read_csv'"),
        ({"data": {"id": "cid", "features": {"keep": ["cid"]}}}, "'cid' is the id and never"),
        ({"split": {"strategy": "column"}}, "need each other; found one"),
        ({"split": {"column": "part"}}, "need each other; found one"),
        ({"split": {"strategy": "column", "column": "churned"}}, "has another role already"),
        (
            {"monitor": {"retrain_when": {"data": "new_commit"}}},
            "found no data.repository; add it",
        ),
        ({"monitor": {"retrain_when": {"at_most_every": "7d"}}}, "limits 'data: new_commit'"),
    ],
)
def test_a_contradiction_about_data_is_told(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        request(**sections)


def test_a_repository_may_be_watched_for_new_commits() -> None:
    made = request(
        data=REPOSITORY, monitor={"retrain_when": {"data": "new_commit", "at_most_every": "7d"}}
    )

    assert made.monitor.retrain_when.at_most_every == 7 * 86_400


def test_excluding_the_target_is_fine() -> None:
    assert request(data={"features": {"exclude": ["churned"]}}).data.target == "churned"


UNSUPPORTED: dict[str, Any] = {
    "data.privacy.k_anonymity": 20,
    "resources.max_cost": "25 EUR",
    "deploy": {"target": "churn-api", "as": "challenger", "traffic": "10%"},
    "monitor.labels_after": "30d",
    "monitor.retrain_when.drift_psi": 0.2,
    "monitor.retrain_when.metric_drop": 0.03,
}


def test_every_refused_key_is_tried_below() -> None:
    assert list(UNSUPPORTED) == [entry.path for entry in NOT_SUPPORTED]


@pytest.mark.parametrize(("path", "value"), UNSUPPORTED.items())
def test_what_is_not_supported_yet_is_refused_and_never_ignored(path: str, value: Any) -> None:
    content: Any = value
    for key in reversed(path.split(".")):
        content = {key: content}

    with pytest.raises(ValidationError, match=f"not supported yet: {path}.*; "):
        request(**content)


def test_the_schema_beside_the_examples_is_the_published_one() -> None:
    stored = json.loads((ROOT / "examples" / SCHEMA_FILE).read_text())

    assert stored == request_json_schema(), "run: automl schema > examples/automl-v1.schema.json"


def test_the_schema_of_contracts_beside_the_examples_is_the_published_one() -> None:
    stored = json.loads((ROOT / "examples" / CONTRACT_SCHEMA_FILE).read_text())

    told = "run: automl schema --contract > examples/automl-v1-contract.schema.json"
    assert stored == contract_json_schema(), told


def test_the_schema_of_cards_beside_the_examples_is_the_published_one() -> None:
    stored = json.loads((ROOT / "examples" / CARD_SCHEMA_FILE).read_text())

    told = "run: automl schema --card > examples/automl-card-v1.schema.json"
    assert stored == card_json_schema(), told


def test_the_schema_names_its_dialect_and_forbids_unknown_keys() -> None:
    schema = request_json_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "automl/v1"
    sections = [schema, *schema["$defs"].values()]
    assert all(section["additionalProperties"] is False for section in sections)
    keys = [key for section in sections for key in section["properties"].values()]
    # A reference to a section is described by the section itself.
    assert all("$ref" in key or key["description"].endswith(".") for key in keys)


def test_the_schema_says_what_is_not_supported_yet() -> None:
    schema = request_json_schema()

    assert "Not supported yet" in schema["properties"]["deploy"]["description"]
    select = schema["$defs"]["Search"]["properties"]["select"]["description"]
    assert "Not supported yet" not in select
    nested = schema["$defs"]["Privacy"]["properties"]["k_anonymity"]["description"]
    assert "Not supported yet" in nested


def test_the_schema_accepts_percentages_and_durations() -> None:
    definitions = request_json_schema()["$defs"]

    types = {kind["type"] for kind in definitions["Split"]["properties"]["analysis"]["anyOf"]}
    assert types == {"number", "string"}
    types = {kind["type"] for kind in definitions["Search"]["properties"]["time_limit"]["anyOf"]}
    assert types == {"number", "string", "null"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_request_with_a_schema_for_editors(path: Path) -> None:
    text = path.read_text()
    first_line = text.splitlines()[0]

    assert first_line == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert parse_request(text, filename=path.name).search.time_limit <= 120


def test_there_is_an_example_of_each_task() -> None:
    made = [parse_request(path.read_text(), filename=path.name) for path in EXAMPLES]

    assert {item.task.type for item in made} == {"binary", "multiclass", "regression"}


def test_the_reference_describes_every_key() -> None:
    reference = (ROOT / "docs" / "request.md").read_text()
    refused = {entry.path for entry in NOT_SUPPORTED}

    for path in _paths(request_json_schema()):
        row = next((line for line in reference.splitlines() if line.startswith(f"| `{path}` ")), "")
        assert row, f"docs/request.md lacks a row for {path}"
        parts = path.split(".")
        above = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        assert ("not yet" in row.rsplit("|", 2)[1]) == bool(above & refused), row


def _paths(schema: dict[str, Any]) -> list[str]:
    """Return the dotted paths of all keys that hold a value."""

    def walk(node: dict[str, Any], prefix: str) -> list[str]:
        found = []
        for key, value in node["properties"].items():
            references = [item.get("$ref") for item in (value, *value.get("anyOf", []))]
            names = [ref.rpartition("/")[2] for ref in references if ref]
            inner = [walk(schema["$defs"][name], f"{prefix}{key}.") for name in names]
            found += inner[0] if inner else [f"{prefix}{key}"]
        return found

    return walk(schema, "")


def test_the_example_tables_hold_the_columns_that_the_requests_name(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "examples" / "make_data.py"))

    first = {path.name: path.read_bytes() for path in script["write_tables"](tmp_path)}
    second = {path.name: path.read_bytes() for path in script["write_tables"](tmp_path)}

    assert first == second
    for path in EXAMPLES:
        data = parse_request(path.read_text(), filename=path.name).data
        header, *rows = first[Path(str(data.path)).name].decode().splitlines()
        assert data.target == header.split(",")[-1]
        assert len(rows) > 400
