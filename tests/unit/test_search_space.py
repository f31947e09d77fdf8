"""The space of a search: a request's limits, compiled for the data."""

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.encoding import ColumnEncoding, Preprocessing
from automl_assets.core.errors import RequestError
from automl_assets.core.families import (
    Choice,
    DataShape,
    Dimension,
    Integer,
    Real,
    Structure,
    load_families,
)
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.model_rules import admits
from automl_assets.core.search.space import (
    CompiledSpace,
    check_space,
    compile_space,
    draw,
    grid,
)
from automl_assets.core.values import LeftOut, TaskType
from tests.fake_families import FakeFamily, use_families

TREES = FakeFamily(
    "trees",
    {
        "depth": Integer(low=1, high=12),
        "rate": Real(low=1e-4, high=1.0, log=True),
        "kind": Choice(values=("plain", "dart", None)),
    },
    honours=("monotonic", "interactions", "max_depth", "max_trees"),
    gpu=True,
)
LINE = FakeFamily("line", {"C": Real(low=1e-4, high=1e3, log=True)}, interpretable=True)
NEAR = FakeFamily("near", {"k": Integer(low=1, high=99)}, honours=("max_leaves",), by_default=False)
CURVE = FakeFamily("curve", {}, tasks=("regression",))

COLUMNS = Preprocessing(
    version="1",
    columns=(
        ColumnEncoding(name="tenure", kind="numeric", dtype="Int64"),
        ColumnEncoding(
            name="plan",
            kind="categorical",
            dtype="String",
            levels=("a", "b"),
            counts=(0.0, 0.0, 3.0, 2.0),
        ),
        ColumnEncoding(
            name="day",
            kind="datetime",
            dtype="Date",
            date_parts=("days", "year", "month", "weekday"),
        ),
        ColumnEncoding(name="paid", kind="boolean", dtype="Boolean"),
    ),
)
SHAPE = DataShape(n_rows=1000, n_levels=COLUMNS.n_levels, n_classes=2)


@pytest.fixture(autouse=True)
def _families(monkeypatch: pytest.MonkeyPatch) -> None:
    use_families(monkeypatch, TREES, LINE, NEAR, CURVE)


def request(**model: Any) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "analyst-7",
            "data": {"path": "churn.csv", "target": "churned"},
            "model": model,
        }
    )


def compiled(task_type: TaskType = "binary", **model: Any) -> CompiledSpace:
    return compile_space(request(**model), task_type=task_type, preprocessing=COLUMNS, shape=SHAPE)


def test_without_limits_every_default_family_has_its_own_space() -> None:
    space = compiled()

    assert space.families == ("line", "trees")
    assert space.spaces == {"line": LINE.space(SHAPE), "trees": TREES.space(SHAPE)}
    assert space.structure == Structure()
    assert space.left_out == (LeftOut(family="curve", reason="does not learn binary tasks"),)


def test_named_families_are_tried_in_their_order_whether_by_default_or_not() -> None:
    assert compiled(families=["trees", "near"]).families == ("trees", "near")


def test_a_family_that_cannot_honour_a_limit_is_left_out_with_the_reason() -> None:
    space = compiled(max_depth=3, monotonic={"tenure": "increasing"})

    assert space.families == ("trees",)
    assert dict((item.family, item.reason) for item in space.left_out)["line"] == (
        "cannot honour model.max_depth and model.monotonic"
    )


def test_a_family_whose_smallest_model_has_too_many_trees_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeFamily, "fewest_trees", lambda self, shape: 3, raising=False)

    with pytest.raises(RequestError, match=r"trees: has 3 trees at least, and .* is 2. Allow"):
        compiled(max_trees=2)
    assert compiled(max_trees=3).families == ("trees",)


def test_a_family_beside_the_default_is_tried_where_no_other_can_honour_a_limit() -> None:
    space = compiled(max_leaves=8)

    assert space.families == ("near",)
    assert {item.family for item in space.left_out} == {"curve", "line", "trees"}


def test_only_readable_families_are_tried_where_models_must_be_readable() -> None:
    space = compiled(interpretable_only=True)

    assert space.families == ("line",)
    assert "a person cannot read" in space.left_out[-1].reason


def test_readable_families_beside_the_default_are_tried_where_models_must_be_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = FakeFamily("tree", {}, interpretable=True, by_default=False)
    use_families(monkeypatch, TREES, LINE, tree)

    assert compiled(interpretable_only=True).families == ("line", "tree")


def test_a_range_of_the_request_replaces_the_family_s_own() -> None:
    space = compiled(
        search={
            "trees.depth": {"low": 2, "high": 4},
            "trees.rate": {"low": 0.1, "high": 0.3, "log": True},
        }
    )

    assert space.spaces["trees"] == {
        "depth": Integer(low=2, high=4),
        "rate": Real(low=0.1, high=0.3, log=True),
        "kind": TREES.parameters["kind"],
    }
    assert set(space.bounds["trees"]) == {"depth", "rate"}
    assert space.bounds["line"] == {}


def test_a_fixed_hyperparameter_is_not_searched_and_has_its_own_type() -> None:
    space = compiled(fix={"trees.rate": 1, "trees.depth": 6, "trees.kind": "dart"})

    assert space.spaces["trees"] == {}
    assert space.fixed == {"line": {}, "trees": {"rate": 1.0, "depth": 6, "kind": "dart"}}
    assert isinstance(space.fixed["trees"]["rate"], float)


def test_what_a_limit_of_the_shape_would_cut_is_not_searched() -> None:
    assert compiled(max_depth=3).spaces["trees"]["depth"] == Integer(low=1, high=3)


def test_hyperparameters_from_elsewhere_are_admitted_as_the_request_allows() -> None:
    space = compiled(fix={"trees.kind": "dart"}, search={"trees.depth": {"low": 2, "high": 4}})

    admitted = space.admitted("trees", {"depth": 9, "rate": 5.0, "kind": "plain"})

    # The family's own range binds nobody: it only says what is worth searching.
    assert admitted == {"depth": 4, "rate": 5.0, "kind": "dart"}
    assert isinstance(admitted["depth"], int)


def test_a_range_binds_a_hyperparameter_that_only_the_library_knows_a_default_of() -> None:
    space = compiled(search={"trees.rate": {"low": 0.01, "high": 0.04, "log": True}})

    assert space.admitted("trees", {}) == {"rate": pytest.approx(0.02)}


def test_directions_bind_numbers_switches_and_the_trend_of_dates() -> None:
    space = compiled(monotonic={"tenure": "decreasing", "day": "increasing", "paid": "increasing"})

    names = COLUMNS.feature_names
    bound = {name: way for name, way in zip(names, space.structure.monotonic, strict=True) if way}
    assert bound == {"tenure": -1, "day (days)": 1, "day (year)": 1, "paid": 1}


def test_a_category_has_no_direction() -> None:
    with pytest.raises(RequestError, match=r"but 'plan' holds categories\. Store it as a number"):
        compiled(monotonic={"plan": "increasing"})


@pytest.mark.parametrize(
    "model", [{"monotonic": {"tenur": "increasing"}}, {"interactions": [["tenur", "plan"]]}]
)
def test_a_column_that_is_no_feature_is_refused_with_a_near_name(model: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="'tenur' is none of them; did you mean 'tenure'"):
        compiled(**model)


def test_sets_of_interactions_hold_every_feature_of_their_columns_and_every_column() -> None:
    space = compiled(interactions=[["plan", "tenure"]])

    assert space.structure.interactions == ((0, 1, 2), (3, 4, 5, 6), (7,))


def test_an_empty_space_is_refused_when_the_task_is_known() -> None:
    asked = request(families=["curve"])

    with pytest.raises(RequestError, match="all that is asked: curve does not learn binary"):
        check_space(asked, task_type="binary")
    check_space(asked, task_type="regression")


def test_a_hyperparameter_of_a_family_that_does_not_learn_the_task_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curve = FakeFamily("curve", {"k": Integer(low=1, high=9)}, tasks=("regression",))
    use_families(monkeypatch, TREES, curve)
    asked = request(fix={"curve.k": 3})

    check_space(asked, task_type="regression")
    with pytest.raises(RequestError, match=r"'curve\.k' constrains 'curve', which does not learn"):
        check_space(asked, task_type="binary")


@pytest.mark.parametrize(
    ("model", "task_type", "message"),
    [
        ({"calibration": "isotonic"}, "regression", "'isotonic' tunes probabilities"),
        ({"monotonic": {"tenure": "increasing"}}, "multiclass", "model.monotonic: an effect has"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_when_the_task_is_known(
    model: dict[str, Any], task_type: TaskType, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_space(request(**model), task_type=task_type)


def test_costs_are_refused_when_the_task_turns_out_not_to_be_binary() -> None:
    content = request().model_dump(mode="json", exclude_defaults=True)
    asked = TrainingRequest.model_validate(
        {**content, "task": {"cost": {"false_positive": 1, "false_negative": 5}}}
    )

    check_space(asked, task_type="binary")
    with pytest.raises(RequestError, match=r"task\.cost: costs pick the threshold.*is multiclass"):
        check_space(asked, task_type="multiclass")


def test_a_draw_names_each_value_by_its_family_and_stays_within_the_dimensions() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    dims = TREES.space(SHAPE)

    for _ in range(20):
        trial = study.ask()
        params = draw(trial, "trees", dims)
        assert {f"trees.{name}": value for name, value in params.items()} == trial.params
        assert all(admits(dims[name], value) for name, value in params.items())


def dimensions() -> st.SearchStrategy[Dimension]:
    def real(low: float, width: float, log: bool) -> Dimension:
        return Real(low=low, high=low + width, log=log)

    def integer(low: int, width: int, log: bool) -> Dimension:
        return Integer(low=low, high=low + width, log=log)

    positive = st.floats(1e-6, 1e6)
    return (
        st.builds(real, positive, positive, st.booleans())
        | st.builds(integer, st.integers(1, 1000), st.integers(0, 1000), st.booleans())
        | st.builds(
            Choice, values=st.lists(st.integers(), min_size=1, max_size=4, unique=True).map(tuple)
        )
    )


@given(st.dictionaries(st.sampled_from("abcd"), dimensions()), st.integers(1, 4))
def test_a_grid_holds_each_combination_once_and_only_admitted_values(
    dims: dict[str, Dimension], points: int
) -> None:
    combinations = grid(dims, points)

    made = list(combinations)
    assert len(made) == len(combinations)
    assert len({tuple(item.items()) for item in made}) == len(made)
    assert all(admits(dims[name], value) for item in made for name, value in item.items())
    assert made == grid(dims, points)[:]


def test_a_grid_has_both_ends_of_a_number_and_the_middle_of_its_scale() -> None:
    made = grid({"rate": Real(low=1e-4, high=1.0, log=True)})

    assert [made[place]["rate"] for place in range(3)] == pytest.approx([1e-4, 1.0, 1e-2])


def test_a_large_grid_is_not_made_before_it_is_asked_for() -> None:
    dims: dict[str, Dimension] = {f"p{n}": Integer(low=0, high=10**6) for n in range(30)}

    combinations = grid(dims)

    assert len(combinations) == 3**30
    assert len({tuple(item.values()) for item in combinations[:100]}) == 100


def test_the_first_tenth_of_a_grid_has_seen_every_value() -> None:
    dims: dict[str, Dimension] = {name: Integer(low=0, high=2) for name in "abcdef"}
    combinations = grid(dims)

    seen = combinations[: len(combinations) // 10]

    assert all({item[name] for item in seen} == {0, 1, 2} for name in dims)


def test_every_family_searches_only_values_that_a_request_may_name() -> None:
    for family in load_families().values():
        for name, dimension in family.space(SHAPE).items():
            values = grid({name: dimension})[:]
            assert all(admits(family.parameters[name], item[name]) for item in values), name
