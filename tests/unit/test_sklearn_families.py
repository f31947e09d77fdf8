"""What is special to the families of scikit-learn; the contract suite holds what all promise."""

from itertools import pairwise
from zipfile import ZipFile

import numpy as np
import pytest
from skops.io import get_untrusted_types
from threadpoolctl import threadpool_limits

from automl_assets.core.families import (
    DataShape,
    Encoded,
    FitOptions,
    Structure,
    _hist_bins,
    decision_tree,
    extra_trees,
    hist_gradient_boosting,
    knn,
    linear,
    mlp,
)
from automl_assets.core.families._features import (
    dense_features,
    dense_width,
    fit_features,
    one_hot_width,
    sparse_features,
)
from automl_assets.core.families._skops import FILE

FAMILIES = {
    module.FAMILY.name: module.FAMILY
    for module in (decision_tree, extra_trees, hist_gradient_boosting, knn, linear, mlp)
}
NAMES = tuple(FAMILIES)
TASKS = {"regression": 0, "binary": 2, "multiclass": 3}
CASES = [(name, task) for name in NAMES for task in TASKS]


def table(task: str, n: int = 300, seed: int = 0) -> Encoded:
    """Two numbers, one with holes, a category, and a target that depends on them."""
    generator = np.random.default_rng(seed)
    X = np.asfortranarray(generator.normal(size=(n, 3)).astype(np.float32))
    X[:, 2] = generator.integers(0, 6, n)
    signal = X[:, 0] + (X[:, 2] == 3) + generator.normal(scale=0.3, size=n)
    X[::7, 1] = np.nan
    y = {
        "regression": signal.astype(np.float64),
        "binary": (signal > 0).astype(np.int32),
        "multiclass": np.digitize(signal, [-0.5, 0.7]).astype(np.int32),
    }[task]
    return Encoded(X=X, y=y, n_levels=(0, 0, 8))


def options(task: str, **changes: object) -> FitOptions:
    return FitOptions(task_type=task, n_classes=TASKS[task], seed=7, **changes)  # type: ignore[arg-type]


def chosen(rows: Encoded, where: np.ndarray) -> Encoded:
    return Encoded(X=np.asfortranarray(rows.X[where]), y=rows.y[where], n_levels=rows.n_levels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seen", [(0, 2), (1, 2), (1,)])
def test_a_class_that_no_training_row_has_keeps_its_column(
    name: str, seen: tuple[int, ...], tmp_path
) -> None:
    family, rows = FAMILIES[name], table("multiclass")
    train = chosen(rows, np.isin(rows.y, seen))

    model = family.fit(train, rows, family.default_params(), options("multiclass"))
    prediction = model.predict(rows.X)
    model.save(tmp_path)
    again = family.load(tmp_path, {"task_type": "multiclass", "n_classes": 3})

    unseen = [code for code in range(3) if code not in seen]
    assert prediction.shape == (300, 3)
    np.testing.assert_allclose(prediction.sum(axis=1), 1.0, atol=1e-9)
    assert (prediction[:, unseen] > 0).all()
    assert (prediction[:, unseen] < 0.2).all()
    np.testing.assert_array_equal(again.predict(rows.X), prediction)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_file_holds_no_type_outside_the_list(name: str, task: str, tmp_path) -> None:
    family, rows = FAMILIES[name], table(task)

    family.fit(rows, rows, family.default_params(), options(task)).save(tmp_path)

    untrusted = get_untrusted_types(file=tmp_path / FILE)
    assert set(untrusted) <= set(family.trusted)
    assert not any(member.endswith(".pkl") for member in ZipFile(tmp_path / FILE).namelist())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_another_type_is_refused(name: str, tmp_path) -> None:
    from skops.io import dump

    dump({"shares": None, "n_iterations": None, "bad": FitOptions}, tmp_path / FILE)

    with pytest.raises(Exception, match="FitOptions"):
        FAMILIES[name].load(tmp_path, {"task_type": "regression", "n_classes": 0})


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting", "linear", "mlp"])
def test_the_number_of_iterations_that_was_found_gives_the_same_model(name: str, task: str) -> None:
    family, train, held_out = FAMILIES[name], table(task), table(task, seed=1)
    found = family.fit(train, held_out, family.default_params(), options(task))

    again = family.fit(
        train, None, family.default_params(), options(task, n_iterations=found.n_iterations)
    )

    assert again.n_iterations == found.n_iterations
    np.testing.assert_array_equal(again.predict(held_out.X), found.predict(held_out.X))


@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting", "mlp"])
def test_a_curve_ends_below_its_beginning_and_counts_iterations(name: str) -> None:
    family, train, held_out = FAMILIES[name], table("binary"), table("binary", seed=1)

    model = family.fit(train, held_out, family.default_params(), options("binary"))

    steps, losses = zip(*model.curve, strict=True)
    assert 2 <= len(steps) <= 50
    assert all(low < high for low, high in pairwise(steps))
    assert min(losses) < losses[0]


@pytest.mark.parametrize(
    ("name", "task"),
    [(name, task) for name, task in CASES if name not in ("decision_tree", "knn")],
)
def test_a_fit_asks_whether_to_stop_and_stops_at_once(name: str, task: str) -> None:
    family, rows = FAMILIES[name], table(task)
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return True

    stopping = options(task, should_stop=should_stop)
    model = family.fit(rows, rows, family.default_params(), stopping)

    assert len(asked) <= 2
    assert model.n_iterations is not None
    assert 1 <= model.n_iterations <= 3
    assert np.isfinite(model.predict(rows.X)).all()


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("name", ["decision_tree", "extra_trees", "hist_gradient_boosting"])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_bound_feature_moves_the_prediction_one_way(name: str, task: str, direction: int) -> None:
    family, train = FAMILIES[name], table(task)
    structure = Structure(monotonic=(direction, 0, 0))

    model = family.fit(train, None, family.default_params(), options(task, structure=structure))

    rows = np.repeat(train.X[:40], 21, axis=0)
    rows[:, 0] = np.tile(np.linspace(-3, 3, 21), 40)
    values = model.predict(np.asfortranarray(rows)).reshape(len(rows), -1)[:, -1].reshape(40, 21)
    assert (np.diff(values, axis=1) * direction >= -1e-12).all()


@pytest.mark.parametrize("name", ["decision_tree", "extra_trees", "hist_gradient_boosting"])
def test_trees_are_no_deeper_and_no_larger_than_asked(name: str) -> None:
    family, train = FAMILIES[name], table("multiclass")
    structure = Structure(max_depth=3, max_leaves=5, max_trees=7)

    model = family.fit(
        train, train, family.default_params(), options("multiclass", structure=structure)
    )

    trees = trees_of(model)
    assert 1 <= len(trees) <= 7
    assert all(depth <= 3 and leaves <= 5 for depth, leaves in trees)


def trees_of(model) -> list[tuple[int, int]]:
    """Depth and leaves of each tree."""
    estimator = model._state["estimator"]
    steps = getattr(estimator, "_predictors", None)
    if steps is not None:
        return [(tree.get_max_depth(), tree.get_n_leaf_nodes()) for step in steps for tree in step]
    trees = getattr(estimator, "estimators_", [estimator])
    return [(tree.get_depth(), tree.get_n_leaves()) for tree in trees]


def test_fewer_trees_than_classes_are_refused_by_boosting() -> None:
    family, train = FAMILIES["hist_gradient_boosting"], table("multiclass")

    with pytest.raises(ValueError, match="at most 2 trees may be grown for 3 classes"):
        family.fit(
            train,
            None,
            family.default_params(),
            options("multiclass", structure=Structure(max_trees=2)),
        )


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "linear"])
def test_features_outside_one_set_add_up_also_before_a_category(name: str) -> None:
    generator = np.random.default_rng(0)
    X = np.asfortranarray(generator.normal(size=(500, 4)).astype(np.float32))
    X[:, 3] = generator.integers(2, 6, 500)
    y = np.sign(X[:, 0] * X[:, 1]) + np.sign(X[:, 1] * X[:, 2]) * (X[:, 3] == 3)
    train = Encoded(X=X, y=y.astype(np.float64), n_levels=(0, 0, 0, 6))
    family, structure = FAMILIES[name], Structure(interactions=((0, 1),))

    model = family.fit(
        train, None, family.default_params(), options("regression", structure=structure)
    )

    # The third feature is in no set: what it adds is the same wherever the others are.
    low, high = X[:50].copy(), X[:50].copy()
    low[:, 2], high[:, 2] = -1.0, 1.0
    effect = model.predict(high) - model.predict(low)
    np.testing.assert_allclose(effect, effect[0], atol=1e-5)


def test_bound_directions_and_sets_hold_together_where_there_are_categories() -> None:
    family, train = FAMILIES["hist_gradient_boosting"], table("regression")
    structure = Structure(monotonic=(-1, 0, 0), interactions=((0, 2), (1,)))

    model = family.fit(
        train, None, family.default_params(), options("regression", structure=structure)
    )

    rows = np.repeat(train.X[:40], 21, axis=0)
    rows[:, 0] = np.tile(np.linspace(-3, 3, 21), 40)
    values = model.predict(np.asfortranarray(rows)).reshape(40, 21)
    assert (np.diff(values, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("n_rows", [300, 201_000])
def test_bins_made_in_blocks_are_those_of_scikit_learn(
    n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    monkeypatch.setattr(_hist_bins, "BLOCK_CELLS", n_rows // 2)
    family = FAMILIES["hist_gradient_boosting"]
    train, held_out = table("binary", n_rows), table("binary", 90, seed=1)
    settings = options("binary", n_iterations=3)
    params = family.default_params()
    own = HistGradientBoostingClassifier(**family.fit_settings(train, params, settings))
    own.set_params(max_iter=3, early_stopping=False)

    found = family.fit(train, None, params, settings).predict(held_out.X)

    np.testing.assert_array_equal(
        found, own.fit(train.X, train.y.astype(np.int64)).predict_proba(held_out.X)
    )


def test_a_family_leaves_no_trace_of_its_blocks_in_the_estimator() -> None:
    family, train = FAMILIES["hist_gradient_boosting"], table("regression")

    model = family.fit(train, None, family.default_params(), options("regression"))

    assert not {"_preprocess_X", "_bin_data"} & set(vars(model._state["estimator"]))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_threads_of_the_process_do_not_change_a_prediction(name: str, task: str) -> None:
    family, train, held_out = FAMILIES[name], table(task), table(task, seed=1)
    predictions = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            model = family.fit(
                train,
                held_out,
                family.default_params(),
                options(task, n_threads=n_threads, n_iterations=5),
            )
        predictions.append(model.predict(held_out.X))

    np.testing.assert_array_equal(predictions[0], predictions[1])


@pytest.mark.parametrize("scaling", ["standard", "quantile", "bins"])
def test_sparse_and_dense_preparation_are_the_same_numbers(scaling: str) -> None:
    rows = table("binary")
    features = fit_features(rows, scaling=scaling, max_levels=3, n_bins=8, seed=0)

    dense, sparse = dense_features(rows.X, features), sparse_features(rows.X, features)

    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert dense.shape == (300, dense_width(features) + one_hot_width(features))
    assert np.isfinite(dense).all()


def test_a_level_beyond_the_most_frequent_ones_shares_the_column_of_the_unseen() -> None:
    rows = table("binary")
    features = fit_features(rows, scaling="standard", max_levels=2, n_bins=0, seed=0)
    unseen = np.array([[0.0, 0.0, 1.0]], np.float32)

    rare = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 99.0]], np.float32)

    expected = np.repeat(dense_features(unseen, features), 2, axis=0)
    np.testing.assert_array_equal(dense_features(rare, features), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column", [np.nan, 5.0])
def test_a_column_that_says_nothing_does_no_harm(name: str, column: float) -> None:
    family, rows = FAMILIES[name], table("binary")
    rows.X[:, 1] = column

    for task in TASKS:
        train = Encoded(X=rows.X, y=table(task).y, n_levels=rows.n_levels)
        for scaling in ("standard", "quantile"):
            params = family.default_params()
            params |= {"scaling": scaling} if "scaling" in params else {}
            prediction = family.fit(train, None, params, options(task)).predict(rows.X)
            assert np.isfinite(prediction).all()


def test_neighbours_come_from_a_bounded_sample_of_the_rows(tmp_path) -> None:
    family, train = FAMILIES["knn"], table("binary", n=5000)
    params = {**family.default_params(), "max_rows": 200}

    family.fit(train, None, params, options("binary")).save(tmp_path)

    assert (tmp_path / FILE).stat().st_size < 20_000


@pytest.mark.parametrize("name", NAMES)
def test_expected_seconds_grow_with_rows(name: str) -> None:
    family = FAMILIES[name]
    few, many = (
        DataShape(n_rows=n_rows, n_levels=(0,) * 20, n_classes=2) for n_rows in (1000, 1_000_000)
    )

    params = family.default_params()

    assert 0 < family.expected_seconds(few, params) < family.expected_seconds(many, params)
    assert 0 < family.expected_bytes(few, params) < family.expected_bytes(many, params)
