"""The request: rules about models, hard limits and resources, none of which needs data."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from automl_assets.core.families import Choice, Integer, Real
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.file import RequestFileError, parse_request
from tests.fake_families import FakeFamily, use_families

ROOT = Path(__file__).parents[2]

TREES = FakeFamily(
    "trees",
    {
        "depth": Integer(low=1, high=16),
        "rate": Real(low=1e-4, high=1.0, log=True),
        "dart": Choice(values=(True, False)),
        "kind": Choice(values=("plain", "sampled", None)),
    },
    honours=("monotonic", "max_depth", "max_trees"),
    gpu=True,
)
LINE = FakeFamily(
    "line",
    {"C": Real(low=1e-4, high=1e3, log=True)},
    honours=("interactions",),
    interpretable=True,
)
NEAR = FakeFamily("near", {"k": Integer(low=1, high=99)}, by_default=False)
CURVE = FakeFamily("curve", {}, tasks=("regression",))


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_families(monkeypatch, TREES, LINE, NEAR, CURVE)


def request(**sections: Any) -> TrainingRequest:
    data = {"path": "churn.csv", "target": "churned", "id": "key", **sections.pop("data", {})}
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "analyst-7",
            "data": data,
            **sections,
        }
    )


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"fix": {"trees.depth": 16, "trees.dart": True, "line.C": 1}}},
        {"model": {"search": {"trees.rate": {"low": 1e-4, "high": 1.0}}}},
        {"model": {"families": ["near"], "fix": {"near.k": 5}}},
        {"model": {"max_depth": 6, "fix": {"trees.depth": 6}}},
        {"model": {"monotonic": {"age": "increasing"}, "interactions": []}},
        {"model": {"interpretable_only": True}},
        {"model": {"calibration": "temperature"}, "task": {"type": "multiclass"}},
        {"resources": {"gpu": 1, "cpu": 4}, "search": {"workers": 4}},
        {"search": {"sampler": "grid", "ensemble": "none"}},
        {"task": {"type": "binary", "cost": {"false_positive": 0, "false_negative": 2}}},
    ],
)
def test_a_request_within_its_families_bounds_is_accepted(sections: dict[str, Any]) -> None:
    made = request(**sections)

    assert TrainingRequest.model_validate_json(made.canonical_json()) == made


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"fix": {"trees.dept": 6}}, "'trees' has no hyperparameter 'dept'.*did you mean 'depth'"),
        (
            {"search": {"trees.speed": {"low": 1, "high": 2}}},
            "no hyperparameter 'speed'; known: dart, depth, kind, rate",
        ),
        ({"fix": {"tree.depth": 6}}, "constrains 'tree', which is not in.*did you mean 'trees'"),
        ({"fix": {"near.k": 6}}, "which is not in families .*name it under model.families"),
        (
            {"fix": {"trees.depth": 6}, "families": ["line"]},
            r"'trees.depth' constrains 'trees', which is not in families \[line\]",
        ),
        (
            {"fix": {"line.C": 1}, "max_depth": 3},
            "'line.C' constrains 'line', which cannot honour model.max_depth; remove it",
        ),
        ({"fix": {"trees.depth": 17}}, "must be a whole number from 1 to 16; found 17"),
        ({"fix": {"trees.depth": 6.5}}, "must be a whole number from 1 to 16; found 6.5"),
        ({"fix": {"trees.depth": True}}, "must be a whole number from 1 to 16; found True"),
        ({"fix": {"trees.rate": "0.1"}}, "must be a number from 0.0001 to 1; found '0.1'"),
        ({"fix": {"trees.dart": 1}}, "must be one of true, false; found 1"),
        ({"fix": {"trees.kind": "none"}}, "must be one of 'plain', 'sampled'; found 'none'"),
        (
            {"fix": {"trees.depth": 6}, "search": {"trees.depth": {"low": 1, "high": 6}}},
            "'trees.depth' is fixed under model.fix, so it cannot be searched",
        ),
        ({"search": {"trees.depth": {"low": 4, "high": 4}}}, "'low' must be below 'high'"),
        (
            {"search": {"trees.rate": {"low": 0, "high": 1, "log": True}}},
            "above 0 if 'log' is true",
        ),
        (
            {"search": {"trees.rate": {"low": 0.1, "high": 2}}},
            "'high' must be a number from 0.0001 to 1; found 2",
        ),
        (
            {"search": {"trees.depth": {"low": 1.5, "high": 4}}},
            "'low' must be a whole number from 1 to 16; found 1.5",
        ),
        ({"search": {"trees.dart": {"low": 0, "high": 1}}}, "one of true, false, not a range"),
        (
            {"fix": {"trees.depth": 8}, "max_depth": 6},
            "must be at most model.max_depth 6; found 8; change one of them",
        ),
        (
            {"search": {"trees.depth": {"low": 7, "high": 9}}, "max_depth": 6},
            "must be at most model.max_depth 6; found 7",
        ),
    ],
)
def test_a_hyperparameter_outside_its_family_s_bounds_is_told(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        request(model=model)


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"interactions": [["a"]], "max_depth": 3, "families": ["trees", "line"]},
            "no model family can do all that is asked: trees cannot honour model.interactions; "
            "line cannot honour model.max_depth. Remove one of these keys",
        ),
        (
            {"max_leaves": 8},
            "curve cannot honour model.max_leaves; line .*; trees .*; near cannot honour",
        ),
        (
            {"interpretable_only": True, "families": ["trees"]},
            "trees makes models that a person cannot read",
        ),
    ],
)
def test_an_empty_space_is_refused_with_each_family_s_reason(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        request(model=model)


@pytest.mark.usefixtures("_fakes")
def test_a_graphics_processor_needs_a_family_that_can_use_it() -> None:
    with pytest.raises(ValidationError, match=r"\[line\] can use .*; name one of \[trees\]"):
        request(model={"families": ["line"]}, resources={"gpu": 1})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"monotonic": {"churned": "increasing"}}}, "but 'churned' is the target"),
        ({"model": {"interactions": [["age", "key"]]}}, "but 'key' is the id; remove it"),
        (
            {"model": {"monotonic": {"tmp_1": "decreasing"}}},
            r"'tmp_1' is excluded by 'tmp_\*' under data.features.exclude",
        ),
        ({"model": {"interactions": [["a", "b", "a"]]}}, "names a column once; found 'a' twice"),
        (
            {"task": {"type": "multiclass"}, "model": {"monotonic": {"age": "increasing"}}},
            "a multiclass task has a probability of each class; remove the key",
        ),
        (
            {
                "task": {
                    "type": "regression",
                    "cost": {"false_positive": 1, "false_negative": 1},
                }
            },
            "costs pick the threshold of a binary task, but the task is regression",
        ),
        (
            {"task": {"cost": {"false_positive": 0, "false_negative": 0.0}}},
            "must cost something; found 0 and 0",
        ),
        (
            {"task": {"type": "regression"}, "model": {"calibration": "sigmoid"}},
            "'sigmoid' tunes probabilities, and a regression has none",
        ),
        (
            {"constraints": {"slice_gap": {"metric": "recal", "by": ["region"], "max": 0.1}}},
            "'recal' is not one of .*did you mean 'recall'",
        ),
        (
            {"constraints": {"slice_gap": {"metric": "recall", "by": ["churned"], "max": 0.1}}},
            "slices are made from features, but 'churned' is the target; name another",
        ),
        (
            {"constraints": {"slice_gap": {"metric": "recall", "by": ["a", "a"], "max": 0.1}}},
            "'a' is listed twice; keep one",
        ),
        (
            {
                "task": {"type": "regression"},
                "constraints": {"beat_baseline_by": {"metric": "roc_auc", "min": 0.1}},
            },
            r"metric 'roc_auc' is not a regression metric \(it belongs to binary",
        ),
        (
            {"constraints": {"p99_latency_ms": {"max": 5, "threads": 8}}, "resources": {"cpu": 4}},
            "found 8 threads and resources.cpu 4",
        ),
        (
            {"search": {"workers": 8}, "resources": {"cpu": 4}},
            "each worker needs a core; found search.workers 8 and resources.cpu 4",
        ),
    ],
)
def test_a_contradiction_about_models_and_limits_is_told(
    sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        request(data={"features": {"exclude": ["tmp_*"]}}, **sections)


@pytest.mark.parametrize(
    ("sections", "combines"),
    [
        ({}, True),
        ({"search": {"ensemble": "none"}}, False),
        ({"model": {"interpretable_only": True}}, False),
        ({"model": {"max_trees": 100}}, False),
        ({"model": {"interactions": [["a"]]}}, False),
        ({"model": {"max_depth": 3, "monotonic": {"a": "increasing"}}}, True),
    ],
)
def test_candidates_are_combined_unless_a_limit_would_not_survive_it(
    sections: dict[str, Any], combines: bool
) -> None:
    assert request(**sections).may_combine is combines


def test_memory_is_told_in_millions_of_bytes() -> None:
    assert request(resources={"memory": "2Gi"}).resources.memory_mb == 2 * 2**30 / 1e6
    assert request().resources.memory_mb is None


def test_a_request_without_limits_on_models_loads_no_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from automl_assets.core import families

    def refuse() -> dict[str, Any]:
        raise AssertionError("families were loaded")

    monkeypatch.setattr(families, "load_families", refuse)

    request(
        search={"sampler": "grid"},
        constraints={"model_size_mb": {"max": 5}},
        resources={"cpu": 4, "memory": "4Gi"},
    )


def test_problems_with_models_are_told_at_their_place_in_the_file() -> None:
    text = """\
apiVersion: automl/v1
kind: TrainingRequest
name: churn
owner: analyst-7
data: {path: churn.csv, target: churned}
model:
  families: [linear]
  fix:
    linear.c: 1
  monotonic: {churned: increasing}
  max_leaves: 1
"""
    with pytest.raises(RequestFileError) as caught:
        parse_request(text, filename="churn.yaml")

    places = [(problem.line, problem.path) for problem in caught.value.problems]
    assert (11, "model.max_leaves") in places
    assert (10, "model.monotonic.churned") in places
    assert (9, "model.fix.linear.c") in places


def test_the_examples_of_the_reference_are_requests() -> None:
    reference = (ROOT / "docs" / "request.md").read_text()
    first, *others = [block.partition("```")[0] for block in reference.split("```yaml\n")[1:]]

    content = yaml.safe_load(first)

    assert len(others) == 1
    made = parse_request(yaml.safe_dump({**content, **yaml.safe_load(others[0])}), filename="r")
    assert made.model.max_trees == 500
