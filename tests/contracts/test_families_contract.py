"""What every model family promises; a new family joins by being there."""

import dataclasses
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.special import softmax

from automl_assets.core.families import (
    Choice,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    FittedModel,
    Params,
    Real,
    Structure,
    lightgbm,
    load_families,
)
from automl_assets.core.families._base import CURVE_POINTS
from automl_assets.core.metrics import load_metrics

FAMILIES = sorted(load_families())
CASES = [
    (name, task) for name, family in load_families().items() for task in sorted(family.task_types)
]
EXPLAINS = ("catboost", "lightgbm", "linear", "xgboost")
"""Families that tell what each feature adds to a prediction."""
N_CLASSES = {"regression": 0, "binary": 2, "multiclass": 3}


def honouring(limit: str, tasks: tuple[str, ...] = tuple(N_CLASSES)) -> list[tuple[str, str]]:
    return [
        (name, task)
        for name, task in CASES
        if limit in load_families()[name].honours and task in tasks
    ]


def table(task: str, n: int = 400, seed: int = 0) -> Encoded:
    """Two numeric features with holes, one categorical, and a target that depends on them."""
    generator = np.random.default_rng(seed)
    X = np.asfortranarray(generator.normal(size=(n, 3)).astype(np.float32))
    X[:, 2] = generator.integers(0, 5, n)
    signal = X[:, 0] + (X[:, 2] == 3) + generator.normal(scale=0.3, size=n)
    X[::7, 1] = np.nan
    return Encoded(X=X, y=target(signal, task), n_levels=(0, 0, 6))


def tangled_table(task: str, n: int = 500, seed: int = 0) -> Encoded:
    """Three numeric features that act together and turn back, and one categorical."""
    generator = np.random.default_rng(seed)
    X = np.asfortranarray(generator.normal(size=(n, 4)).astype(np.float32))
    X[:, 3] = generator.integers(0, 5, n)
    signal = X[:, 0] * X[:, 1] + np.sin(3 * X[:, 0]) - X[:, 2] * (X[:, 3] > 2)
    return Encoded(X=X, y=target(signal, task), n_levels=(0, 0, 0, 6))


def target(signal: np.ndarray, task: str) -> np.ndarray:
    if task == "regression":
        return signal.astype(np.float64)
    edges = [0.0] if task == "binary" else [-0.5, 0.7]
    return np.digitize(signal, edges).astype(np.int32)


def options(task: str, **changes: Any) -> FitOptions:
    return FitOptions(task_type=task, n_classes=N_CLASSES[task], seed=7, **changes)  # type: ignore[arg-type]


def shape_of(part: Encoded, task: str) -> DataShape:
    return DataShape(n_rows=len(part.y), n_levels=part.n_levels, n_classes=N_CLASSES[task])


def drawn(dims: dict[str, Dimension], seed: int) -> Params:
    """Hyperparameters as a study draws them."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()

    def value(name: str, dim: Dimension) -> Any:
        if isinstance(dim, Choice):
            return trial.suggest_categorical(name, dim.values)
        suggest = trial.suggest_float if isinstance(dim, Real) else trial.suggest_int
        return suggest(name, dim.low, dim.high, log=dim.log)  # type: ignore[arg-type]

    return {name: value(name, dim) for name, dim in dims.items()}


def largest(dims: dict[str, Dimension]) -> Params:
    """The last or highest value of each dimension: the least bounded trees."""
    return {
        name: dim.values[-1] if isinstance(dim, Choice) else dim.high for name, dim in dims.items()
    }


def several_params(name: str, shape: DataShape) -> Iterator[Params]:
    family = load_families()[name]
    space = family.space(shape)
    yield family.default_params()
    yield largest(space)
    yield drawn(space, 1)


def stop_after(n_asked: int) -> Any:
    count = itertools.count(1)
    return lambda: next(count) >= n_asked


@cache
def default_fit(name: str, task: str) -> FittedModel:
    """One default fit of each case, for the tests that only read a model."""
    family = load_families()[name]
    return family.fit(table(task), table(task, seed=1), family.default_params(), options(task))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_predictions_have_one_row_each_and_probabilities_sum_to_one(name: str, task: str) -> None:
    prediction = default_fit(name, task).predict(table(task, seed=1).X)

    shape = {"regression": (400,), "binary": (400, 2), "multiclass": (400, 3)}[task]
    assert prediction.shape == shape
    assert np.isfinite(prediction).all()
    totals = prediction.reshape(400, -1).sum(axis=1)
    np.testing.assert_allclose(totals if task != "regression" else 1.0, 1.0, atol=1e-6)


def linked(margin: np.ndarray, task: str) -> np.ndarray:
    """Return what a model predicts that says `margin`."""
    if task == "regression":
        return margin[:, 0]
    scores = np.column_stack([np.zeros(len(margin)), margin]) if task == "binary" else margin
    return softmax(scores, axis=1)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_contributions_add_up_to_what_the_model_says_and_predicts(name: str, task: str) -> None:
    X, background = table(task, n=60, seed=1).X, table(task).X

    found = default_fit(name, task).contributions(X, background=background)

    assert (found is not None) == (name in EXPLAINS)
    n_outputs = 3 if task == "multiclass" else 1
    if found is not None:
        assert found.values.shape == (60, n_outputs, 3)
        assert found.base.shape == (n_outputs,)
        np.testing.assert_allclose(found.values.sum(axis=2) + found.base, found.margin, atol=1e-4)
        predicted = default_fit(name, task).predict(X)
        np.testing.assert_allclose(linked(found.margin, task), predicted, atol=1e-5)


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[0] in EXPLAINS])
def test_contributions_are_the_same_after_the_model_was_saved(
    name: str, task: str, tmp_path: Path
) -> None:
    X = table(task, n=20, seed=1).X
    model = default_fit(name, task)
    model.save(tmp_path)
    about = {"task_type": task, "n_classes": N_CLASSES[task]}

    again = load_families()[name].load(tmp_path, about).contributions(X, background=X)

    found = model.contributions(X, background=X)
    assert found is not None
    assert again is not None
    np.testing.assert_array_equal(found.values, again.values)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_default_fit_is_far_better_than_no_model(name: str, task: str) -> None:
    held_out = table(task, seed=1)

    prediction = default_fit(name, task).predict(held_out.X).reshape(400, -1)

    if_regression = np.corrcoef(prediction[:, 0], held_out.y)[0, 1]
    accuracy = (prediction.argmax(axis=1) == held_out.y).mean()
    assert {"regression": if_regression}.get(task, accuracy) > 0.7


@pytest.mark.parametrize("drawing", ["default", "drawn"])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_same_seed_gives_the_same_predictions_on_any_number_of_threads(
    name: str, task: str, drawing: str
) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    space = family.space(shape_of(train, task))
    params = family.default_params() if drawing == "default" else drawn(space, 0)

    one, two = (
        # Threads that wait for each other are slow on a busy machine: few iterations are enough.
        family.fit(train, held_out, params, options(task, n_threads=n, n_iterations=20)).predict(
            held_out.X
        )
        for n in (1, 2)
    )

    np.testing.assert_array_equal(one, two)


# The seed decides between splits that are equally good; a mean of such trees is no better.
DECIDES_TIES = {"decision_tree"}


@pytest.mark.parametrize("drawing", ["default", "drawn"])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_another_seed_gives_another_model_if_and_only_if_the_family_says_so(
    name: str, task: str, drawing: str
) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    space = family.space(shape_of(train, task))
    params = family.default_params() if drawing == "default" else drawn(space, 0)

    one, two = (
        family.fit(
            train, held_out, params, replace(options(task, n_iterations=20), seed=seed)
        ).predict(held_out.X)
        for seed in (7, 8)
    )

    if name in DECIDES_TIES:
        assert not family.is_random(params)
    else:
        assert np.array_equal(one, two) != family.is_random(params)


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_drawn_set_fits(name: str, task: str, seed: int) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    params = drawn(family.space(shape_of(train, task)), seed)

    model = family.fit(train, held_out, params, options(task))

    assert np.isfinite(model.predict(held_out.X)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_set_that_a_request_may_fix_fits(name: str, task: str, seed: int) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    params = drawn(dict(family.parameters), seed)

    model = family.fit(train, held_out, params, options(task, should_stop=stop_after(3)))

    assert np.isfinite(model.predict(held_out.X)).all()


@pytest.mark.parametrize("n_rows", [60, 3_000, 20_000_000])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_spaces_and_defaults_hold_only_what_a_request_may_fix(
    name: str, task: str, n_rows: int
) -> None:
    family = load_families()[name]
    shape = DataShape(n_rows=n_rows, n_levels=(0,) * 25 + (4, 300), n_classes=N_CLASSES[task])

    for params in several_params(name, shape):
        assert params.keys() <= family.parameters.keys()
        for key, value in params.items():
            assert is_within(value, family.parameters[key]), (key, value)


def is_within(value: Any, dim: Dimension) -> bool:
    if isinstance(dim, Choice):
        return value in dim.values
    return dim.low <= value <= dim.high and (isinstance(dim, Real) or isinstance(value, int))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_model_read_back_predicts_the_same(name: str, task: str, tmp_path) -> None:
    family, model, X = load_families()[name], default_fit(name, task), table(task, seed=1).X

    model.save(tmp_path)
    again = family.load(tmp_path, {"task_type": task, "n_classes": N_CLASSES[task]})

    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.n_iterations == model.n_iterations


@pytest.mark.parametrize(("name", "task"), CASES)
def test_unseen_categories_and_missing_values_can_be_predicted(name: str, task: str) -> None:
    strange = np.asfortranarray(
        np.array([[np.nan, np.nan, 1.0], [0.0, np.nan, 0.0], [1.0, 1.0, 5.0]], np.float32)
    )

    assert np.isfinite(default_fit(name, task).predict(strange)).all()


@pytest.mark.parametrize("name", [name for name, task in CASES if task == "multiclass"])
def test_a_class_that_the_train_rows_lack_keeps_its_column(name: str) -> None:
    family, train, held_out = (
        load_families()[name],
        table("multiclass"),
        table("multiclass", seed=1),
    )
    poorer = dataclasses.replace(train, y=np.minimum(train.y, 1).astype(np.int32))

    prediction = family.fit(
        poorer, held_out, family.default_params(), options("multiclass")
    ).predict(held_out.X)

    assert prediction.shape == (400, 3)
    np.testing.assert_allclose(prediction.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_callers_matrix_stays_writable_and_as_it_was(name: str) -> None:
    family, rows = load_families()[name], table("regression")
    numbers = Encoded(X=np.asfortranarray(rows.X[:, :2]), y=rows.y, n_levels=(0, 0))
    before = numbers.X.copy()

    family.fit(numbers, numbers, family.default_params(), options("regression")).predict(numbers.X)

    assert numbers.X.flags.writeable
    np.testing.assert_array_equal(numbers.X, before)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_fit_that_is_asked_to_stop_ends_and_gives_a_model(name: str, task: str) -> None:
    family, train, held_out = load_families()[name], table(task, 5000), table(task, seed=1)
    start = time.process_time()

    model = family.fit(
        train, held_out, family.default_params(), options(task, should_stop=lambda: True)
    )

    assert time.process_time() - start < 3.0
    assert np.isfinite(model.predict(held_out.X)).all()
    assert (model.n_iterations or 0) <= 3


WATCHED = ("catboost", "hist_gradient_boosting", "lightgbm", "mlp", "xgboost")


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[0] in WATCHED])
def test_a_fit_tells_its_losses_and_ends_where_they_are_hopeless(name: str, task: str) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    told: list[list[float]] = []
    most: set[int] = set()

    def is_hopeless(losses: Sequence[float], n_most: int) -> bool:
        told.append(list(losses))
        most.add(n_most)
        return len(losses) == 5

    model = family.fit(
        train, held_out, family.default_params(), options(task, is_hopeless=is_hopeless)
    )

    assert [len(losses) for losses in told] == [1, 2, 3, 4, 5]
    assert len(most) == 1
    assert min(most) >= 100
    assert [losses[:-1] for losses in told[1:]] == told[:-1]
    assert (model.n_iterations or 0) <= 5
    # Losses of different families are compared: each is that of the model, on the same scale.
    metric = load_metrics()["rmse" if task == "regression" else "log_loss"]
    own = metric.score(held_out.y, model.predict(held_out.X))
    assert own == pytest.approx(min(told[-1]), rel=1e-4)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_so_many_iterations_as_were_found_give_the_same_model_again(name: str, task: str) -> None:
    family, model = load_families()[name], default_fit(name, task)
    again = family.fit(
        table(task),
        None,
        family.default_params(),
        options(task, n_iterations=model.n_iterations),
    )

    X = table(task, seed=1).X
    assert again.n_iterations == model.n_iterations
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_curves_count_upwards_to_the_best_iteration_at_least(name: str, task: str) -> None:
    model = default_fit(name, task)
    iterations = [iteration for iteration, _ in model.curve]
    losses = [loss for _, loss in model.curve]

    assert len(iterations) <= CURVE_POINTS
    assert iterations == sorted(set(iterations))
    assert np.isfinite(losses).all()
    if iterations and model.n_iterations:
        assert iterations[0] == 1
        assert iterations[-1] >= model.n_iterations


@pytest.mark.parametrize(("name", "task"), CASES)
def test_expected_costs_are_positive_and_grow_with_rows_and_features(name: str, task: str) -> None:
    family = load_families()[name]

    def cost(n_rows: int, n_features: int) -> tuple[float, int]:
        shape = DataShape(
            n_rows=n_rows, n_levels=(0,) * n_features + (30,), n_classes=N_CLASSES[task]
        )
        params = family.default_params()
        return family.expected_seconds(shape, params), family.expected_bytes(shape, params)

    for measure in (0, 1):
        small, longer, wider = (cost(*size)[measure] for size in ((500, 5), (10**6, 5), (500, 80)))
        assert 0 < small < longer
        assert small <= wider


@pytest.mark.parametrize(("name", "task"), honouring("monotonic", ("binary", "regression")))
def test_bound_directions_hold_wherever_the_feature_is_moved(name: str, task: str) -> None:
    family, train, held_out = (
        load_families()[name],
        tangled_table(task),
        tangled_table(task, 200, 1),
    )
    structure = Structure(monotonic=(1, 0, -1, 0))
    steps = np.linspace(-3, 3, 40, dtype=np.float32)

    for params in several_params(name, shape_of(train, task)):
        model = family.fit(train, held_out, params, options(task, structure=structure))
        for feature, direction in ((0, 1), (2, -1)):
            swept = swept_rows(held_out.X[:30], feature, steps)
            prediction = model.predict(swept).reshape(30, len(steps), -1)[:, :, -1]
            assert (direction * np.diff(prediction, axis=1) >= -1e-7).all(), params


def swept_rows(rows: np.ndarray, feature: int, steps: np.ndarray) -> np.ndarray:
    """Each row once for each step of one feature."""
    swept = np.asfortranarray(np.repeat(rows, len(steps), axis=0))
    swept[:, feature] = np.tile(steps, len(rows))
    return swept


@pytest.mark.parametrize(("name", "task"), honouring("interactions"))
def test_features_of_different_sets_do_not_act_together(name: str, task: str) -> None:
    family, train, held_out = (
        load_families()[name],
        tangled_table(task),
        tangled_table(task, 200, 1),
    )
    structure = Structure(interactions=((0, 2), (2, 3)))

    for params in several_params(name, shape_of(train, task)):
        model = family.fit(train, held_out, params, options(task, structure=structure))
        for first, second in ((0, 1), (1, 2), (0, 3)):
            assert interaction(model, held_out.X, first, second, task) < 1e-3, params


@pytest.mark.parametrize(
    ("name", "task"), [case for case in honouring("interactions") if case[0] != "linear"]
)
def test_features_of_one_set_may_act_together(name: str, task: str) -> None:
    family, train = load_families()[name], tangled_table(task)
    structure = Structure(interactions=((0, 1), (2, 3)))

    model = family.fit(
        train,
        tangled_table(task, 200, 1),
        family.default_params(),
        options(task, structure=structure),
    )

    assert interaction(model, train.X, 0, 1, task) > 0.1


def interaction(model: FittedModel, X: np.ndarray, first: int, second: int, task: str) -> float:
    """How far the model's score is from a sum of effects of the two features."""
    base = X[:60].copy()
    moved = {name: np.asfortranarray(base.copy()) for name in ("first", "second", "both")}
    other = X[60:120]
    for name in ("first", "both"):
        moved[name][:, first] = other[:, first]
    for name in ("second", "both"):
        moved[name][:, second] = other[:, second]
    scores = {name: score(model, rows, task) for name, rows in moved.items()}
    rest = scores["both"] - scores["first"] - scores["second"]
    return float(np.abs(rest + score(model, np.asfortranarray(base), task)).max())


def score(model: FittedModel, X: np.ndarray, task: str) -> np.ndarray:
    prediction = model.predict(X)
    if task == "regression":
        return prediction[:, None]
    logs = np.log(np.clip(prediction, 1e-300, None))
    return logs[:, 1:] - logs[:, :1]


LIMITS = {
    "max_depth": Structure(max_depth=2),
    "max_leaves": Structure(max_leaves=5),
    "max_trees": Structure(max_trees=7),
}


@pytest.mark.parametrize(
    ("limit", "name", "task"),
    [(limit, *case) for limit in LIMITS for case in honouring(limit)],
)
def test_bounds_of_the_trees_hold_whatever_the_hyperparameters_say(
    limit: str, name: str, task: str
) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)

    for params in several_params(name, shape_of(train, task)):
        model = family.fit(train, held_out, params, options(task, structure=LIMITS[limit]))
        trees = trees_of(name, model)
        found = {
            "max_depth": max((depth for depth, _ in trees), default=0),
            "max_leaves": max((leaves for _, leaves in trees), default=0),
            "max_trees": len(trees),
        }
        assert found[limit] <= getattr(LIMITS[limit], limit), params
        assert trees or name not in PROBES, params


@pytest.mark.parametrize("name", sorted(load_families()))
def test_a_family_that_grows_trees_shows_them_to_these_tests(name: str) -> None:
    treeless = {"linear", "knn", "mlp"}

    assert (name in PROBES) != (name in treeless)


def test_naming_the_families_imports_no_library() -> None:
    code = (
        "import sys; from automl_assets.core.families import load_families; load_families(); "
        "print([m for m in ('catboost', 'lightgbm', 'xgboost', 'sklearn', 'skops', 'pandas') "
        "if m in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


# What follows reads models of each library: (depth, leaves) of every tree.


def nested(node: Any, children: Any) -> tuple[int, int]:
    below = [nested(child, children) for child in children(node)]
    if not below:
        return 0, 1
    return 1 + max(depth for depth, _ in below), sum(leaves for _, leaves in below)


def lightgbm_trees(model: Any) -> list[tuple[int, int]]:
    def children(node: dict) -> list[dict]:
        return [node[side] for side in ("left_child", "right_child") if side in node]

    trees = model._booster.dump_model()["tree_info"]
    return [nested(tree["tree_structure"], children) for tree in trees]


def xgboost_trees(model: Any) -> list[tuple[int, int]]:
    import json

    dumped = model._booster.get_dump(dump_format="json")
    return [nested(json.loads(tree), lambda node: node.get("children", [])) for tree in dumped]


def catboost_trees(model: Any) -> list[tuple[int, int]]:
    import json
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model._model.save_model(str(path), format="json")
        stored = json.loads(path.read_text())

    def children(node: dict) -> list[dict]:
        return [node[side] for side in ("left", "right") if side in node]

    symmetric = [
        (len(tree["splits"] or []), 2 ** len(tree["splits"] or []))
        for tree in stored.get("oblivious_trees", [])
    ]
    return symmetric + [nested(tree, children) for tree in stored.get("trees", [])]


def forest_trees(model: Any) -> list[tuple[int, int]]:
    estimator = model._state["estimator"]
    trees = getattr(estimator, "estimators_", [estimator])
    return [(tree.get_depth(), tree.get_n_leaves()) for tree in trees]


def histogram_trees(model: Any) -> list[tuple[int, int]]:
    predictors = itertools.chain.from_iterable(model._state["estimator"]._predictors)
    return [(tree.get_max_depth(), tree.get_n_leaf_nodes()) for tree in predictors]


PROBES = {
    "catboost": catboost_trees,
    "decision_tree": forest_trees,
    "extra_trees": forest_trees,
    "hist_gradient_boosting": histogram_trees,
    "lightgbm": lightgbm_trees,
    "xgboost": xgboost_trees,
}


def trees_of(name: str, model: FittedModel) -> list[tuple[int, int]]:
    return PROBES[name](model) if name in PROBES else []


@pytest.mark.parametrize(
    "name", [name for name, family in load_families().items() if "max_trees" in family.honours]
)
def test_the_smallest_model_of_many_classes_has_the_trees_that_it_says(name: str) -> None:
    family = load_families()[name]
    shape = DataShape(n_rows=60, n_levels=(0, 0), n_classes=4)
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(60, 2)).astype(np.float32))
    train = Encoded(X=X, y=np.arange(60) % 4, n_levels=(0, 0))

    def fit(most: int) -> FittedModel:
        options = FitOptions(
            task_type="multiclass", n_classes=4, seed=0, structure=Structure(max_trees=most)
        )
        return family.fit(train, train, family.default_params(), options)

    fewest = family.fewest_trees(shape)
    assert fit(max(1, fewest)).predict(X).shape == (60, 4)
    if fewest > 1:
        with pytest.raises(ValueError, match="class"):
            fit(fewest - 1)


def test_lightgbm_counts_rounds_that_left_no_tree() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_200, 6)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=1_200) > 0).astype(int)
    train, held_out = (
        Encoded(X=np.asfortranarray(X[rows]), y=y[rows], n_levels=(0,) * 6)
        for rows in (slice(0, 800), slice(800, None))
    )
    params = {
        "extra_trees": True,
        "bagging_fraction": 0.7,
        "min_gain_to_split": 1.0,
        "lambda_l1": 1.5,
        "learning_rate": 0.05,
    }
    options = FitOptions(task_type="binary", n_classes=2, seed=1)
    family = load_families()["lightgbm"]

    found = family.fit(train, held_out, params, options)
    again = family.fit(train, None, params, replace(options, n_iterations=found.n_iterations))

    np.testing.assert_array_equal(found.predict(X), again.predict(X))
    assert again.n_iterations == found.n_iterations


@pytest.mark.parametrize("task", list(N_CLASSES))
def test_large_lightgbm_models_predict_in_passes_and_small_ones_at_once(
    task: str, tmp_path, monkeypatch
) -> None:
    train, family = table(task, n=2_000), load_families()["lightgbm"]
    params = {"n_estimators": 30, "num_leaves": 20}
    small = family.fit(train, None, params, options(task))
    monkeypatch.setattr(lightgbm, "_LEAVES_PER_PASS", 100)
    large = family.fit(train, None, params, options(task))

    predicted = large.predict(train.X)

    np.testing.assert_allclose(predicted, small.predict(train.X), rtol=1e-12)
    # A row has the same prediction in any company, and once the model was read back.
    alone = np.concatenate([large.predict(train.X[row : row + 1]) for row in range(50)])
    np.testing.assert_array_equal(alone, predicted[:50])
    assert not np.array_equal(predicted, small.predict(train.X))
    for name, model in (("large", large), ("small", small)):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
        again = family.load(tmp_path / name, {"task_type": task})
        np.testing.assert_array_equal(again.predict(train.X), model.predict(train.X))
    # Models that were written before say nothing of passes.
    (tmp_path / "small" / "passes.json").unlink()
    again = family.load(tmp_path / "small", {"task_type": task})
    np.testing.assert_array_equal(again.predict(train.X), small.predict(train.X))
