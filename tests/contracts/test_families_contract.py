"""What every model family promises; a new family joins by being there."""

import numpy as np
import optuna
import pytest

from automl_assets.core.families import Encoded, FitOptions, load_families

CASES = [
    (name, task) for name, family in load_families().items() for task in sorted(family.task_types)
]


def table(task: str, n: int = 400, seed: int = 0) -> Encoded:
    """Two numeric features with holes, one categorical, and a target that depends on them."""
    generator = np.random.default_rng(seed)
    X = np.asfortranarray(generator.normal(size=(n, 3)).astype(np.float32))
    X[:, 2] = generator.integers(0, 5, n)
    signal = X[:, 0] + (X[:, 2] == 3) + generator.normal(scale=0.3, size=n)
    X[::7, 1] = np.nan
    y = {
        "regression": signal.astype(np.float64),
        "binary": (signal > 0).astype(np.int32),
        "multiclass": np.digitize(signal, [-0.5, 0.7]).astype(np.int32),
    }[task]
    return Encoded(X=X, y=y, n_levels=(0, 0, 6))


def options(task: str, **changes: object) -> FitOptions:
    n_classes = {"regression": 0, "binary": 2, "multiclass": 3}[task]
    return FitOptions(task_type=task, n_classes=n_classes, seed=7, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_predictions_have_one_row_each_and_probabilities_sum_to_one(name: str, task: str) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)

    prediction = family.fit(train, held_out, family.default_params(), options(task)).predict(
        held_out.X
    )

    shape = {"regression": (400,), "binary": (400, 2), "multiclass": (400, 3)}[task]
    assert prediction.shape == shape
    assert np.isfinite(prediction).all()
    totals = prediction.reshape(400, -1).sum(axis=1)
    np.testing.assert_allclose(totals if task != "regression" else 1.0, 1.0, atol=1e-6)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_default_fit_is_far_better_than_no_model(name: str, task: str) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)

    prediction = family.fit(train, held_out, family.default_params(), options(task)).predict(
        held_out.X
    )

    if_regression = np.corrcoef(prediction.reshape(400, -1)[:, 0], held_out.y)[0, 1]
    accuracy = (prediction.reshape(400, -1).argmax(axis=1) == held_out.y).mean()
    assert {"regression": if_regression, "binary": accuracy, "multiclass": accuracy}[task] > 0.7


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_same_seed_gives_the_same_predictions_on_any_number_of_threads(
    name: str, task: str
) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    params = family.suggest(optuna.trial.FixedTrial(drawn(name)))

    one, two = (
        family.fit(train, held_out, params, options(task, n_threads=n)).predict(held_out.X)
        for n in (1, 2)
    )

    np.testing.assert_array_equal(one, two)


def drawn(name: str, seed: int = 0) -> dict[str, object]:
    """Hyperparameters as a study draws them, by their full names."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    load_families()[name].suggest(trial)
    return trial.params


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_drawn_set_fits(name: str, task: str, seed: int) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    params = family.suggest(optuna.trial.FixedTrial(drawn(name, seed)))

    model = family.fit(train, held_out, params, options(task))

    assert np.isfinite(model.predict(held_out.X)).all()


@pytest.mark.parametrize("name", sorted(load_families()))
def test_names_of_hyperparameters_carry_the_family(name: str) -> None:
    assert all(key.startswith(f"{name}.") for key in drawn(name))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_model_read_back_predicts_the_same(name: str, task: str, tmp_path) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)
    model = family.fit(train, held_out, family.default_params(), options(task))

    model.save(tmp_path)
    again = family.load(tmp_path, {"task_type": task, "n_classes": options(task).n_classes})

    np.testing.assert_array_equal(again.predict(held_out.X), model.predict(held_out.X))
    assert again.n_iterations == model.n_iterations


@pytest.mark.parametrize(("name", "task"), CASES)
def test_unseen_categories_and_missing_values_can_be_predicted(name: str, task: str) -> None:
    family, train = load_families()[name], table(task)
    model = family.fit(train, table(task, seed=1), family.default_params(), options(task))
    strange = np.asfortranarray(np.array([[np.nan, np.nan, 1.0], [0.0, np.nan, 0.0]], np.float32))

    assert np.isfinite(model.predict(strange)).all()


@pytest.mark.parametrize("name", sorted(load_families()))
def test_the_callers_matrix_stays_writable_and_as_it_was(name: str) -> None:
    family, rows = load_families()[name], table("regression")
    numbers = Encoded(X=np.asfortranarray(rows.X[:, :2]), y=rows.y, n_levels=(0, 0))
    before = numbers.X.copy()

    family.fit(numbers, numbers, family.default_params(), options("regression")).predict(numbers.X)

    assert numbers.X.flags.writeable
    np.testing.assert_array_equal(numbers.X, before)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_fit_that_is_asked_to_stop_gives_a_model(name: str, task: str) -> None:
    family, train, held_out = load_families()[name], table(task), table(task, seed=1)

    model = family.fit(
        train, held_out, family.default_params(), options(task, should_stop=lambda: True)
    )

    assert np.isfinite(model.predict(held_out.X)).all()
    assert (model.n_iterations or 0) <= 3
