"""A new request from an old one: dotted keys, values as YAML, the same parser and messages."""

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.clone import cloned_request, key_path, request_difference
from automl_assets.core.request.file import parse_request
from tests.strategies import requests

OLD = parse_request(
    """
apiVersion: automl/v1
kind: TrainingRequest
name: churn
owner: ann
parent: churn-4c1f2a90b3
data: {path: churn.csv, target: churned, time: day}
model:
  families: [lightgbm, linear]
  fix: {lightgbm.num_leaves: 7}
  monotonic: {person.age: increasing}
search: {n_trials: 5}
""",
    filename="old.yaml",
)


def clone(*changes: str) -> TrainingRequest:
    return cloned_request(OLD, changes)[1]


@given(requests())
def test_a_clone_without_changes_means_the_same_but_for_its_parent(
    request: TrainingRequest,
) -> None:
    text, new = cloned_request(request, ())

    assert new == request.model_copy(update={"parent": None})
    assert parse_request(text, filename="clone.yaml") == new


@given(st.integers(1, 100_000))
def test_a_change_is_all_that_differs(n_trials: int) -> None:
    new = clone(f"search.n_trials={n_trials}")

    search = OLD.search.model_copy(update={"n_trials": n_trials})
    assert new == OLD.model_copy(update={"parent": None, "search": search})


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [
        ("seed=7", "seed", 7),
        ("purpose=Who leaves = who stays", "purpose", "Who leaves = who stays"),
        ("model.families=[lightgbm]", "model.families", ("lightgbm",)),
        ("model.fix.lightgbm.num_leaves=9", "model.fix", {"lightgbm.num_leaves": 9}),
        ("model.fix.lightgbm.num_leaves=", "model.fix", {}),
        ("model.monotonic.person.age=decreasing", "model.monotonic", {"person.age": "decreasing"}),
        ("model.search.lightgbm.max_depth.low=", "model.search", {}),
        ("search.time_limit=90s", "search.time_limit", 90),
        ("split.validation=20%", "split.validation", 0.2),
        ("data.time=null", "data.time", None),
        ("parent=churn-4c1f2a90b3", "parent", "churn-4c1f2a90b3"),
        ("constraints={model_size_mb: {max: 5}}", "constraints.model_size_mb.max", 5),
        ("constraints.model_size_mb.max=5", "constraints.model_size_mb.max", 5),
    ],
)
def test_keys_are_dotted_and_values_are_yaml(change: str, place: str, value: object) -> None:
    assert attrgetter(place)(clone(change)) == value


@pytest.mark.parametrize("change", ["seed", "=3", "search.=3", ".seed=3", "search..n_trials=3"])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(RequestError, match="A change is a dotted key"):
        clone(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("search.n_trails=3", "unknown key 'n_trails'; did you mean 'n_trials'"),
        ("model.families=[linaer]", "did you mean 'linear'"),
        ("split.strategy=random", "future"),
        ("search.n_trials=many", "search.n_trials"),
        ("data.target=", "data.target: this key is required"),
        ("name=Not A Name", "small letters, digits and hyphens"),
    ],
)
def test_a_clone_is_checked_as_every_request_is(change: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        clone(change)


def test_a_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(RequestError, match="Put texts with special characters in quotes"):
        clone("purpose=[a")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", ["a"]),
        ("data.rows.sample.seed", ["data", "rows", "sample", "seed"]),
        ("model.search.lightgbm.depth.high", ["model", "search", "lightgbm.depth", "high"]),
        ("data.available_at.a.b", ["data", "available_at", "a.b"]),
        ("nothing.of.the.kind", ["nothing", "of", "the", "kind"]),
    ],
)
def test_dots_in_names_of_columns_and_parameters_belong_to_the_name(
    key: str, path: list[str]
) -> None:
    assert key_path(key) == path


def test_a_difference_shows_the_lines_that_changed() -> None:
    lines = request_difference(
        OLD, clone("search.n_trials=6", "parent=churn-4c1f2a90b3")
    ).splitlines()

    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["-  n_trials: 5", "+  n_trials: 6"]
