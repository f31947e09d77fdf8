"""What candidates are compared on: every row is predicted by a model that has not seen it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core import row_copies
from automl_assets.core.families import Encoded
from automl_assets.core.search.selection import (
    MAX_OUT_OF_FOLD_ROWS,
    Fold,
    SelectionData,
    choose_fits,
    fit_shape,
    load_selection,
    prior_prediction,
    take_rows,
)
from tests.searches import make_matrix, make_plan


def part(identities: np.ndarray) -> Encoded:
    """Return rows that carry who they are in their first feature and in their target."""
    X = np.asfortranarray(np.column_stack([identities, identities % 3]).astype(np.float32))
    return Encoded(X=X, y=identities.astype(np.float64), n_levels=(0, 3))


def selection(folds: np.ndarray | None, n_fits: int, n_validation: int = 4) -> SelectionData:
    n_train = 10 if folds is None else len(folds)
    train = part(np.arange(n_train))
    return SelectionData(train, part(1000 + np.arange(n_validation)), folds, n_fits)


def identities(fold_part: Encoded) -> set[int]:
    return {int(value) for value in fold_part.X[:, 0]}


@st.composite
def folded(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    n_folds = draw(st.integers(2, 5))
    extra = draw(st.lists(st.integers(0, n_folds - 1), max_size=30))
    folds = draw(st.permutations([*range(n_folds), *extra]))
    return np.array(folds, np.int8), draw(st.integers(2, n_folds + 1))


def every_fold(data: SelectionData) -> list[Fold]:
    return [data.fold(number) for number in range(data.n_folds)]


@settings(max_examples=60)
@given(folded())
def test_no_fit_sees_the_rows_that_judge_it(case: tuple[np.ndarray, int]) -> None:
    for fold in every_fold(selection(*case)):
        assert not identities(fold.fit) & identities(fold.held_out)


@settings(max_examples=60)
@given(folded())
def test_each_selection_row_is_held_out_once_and_named_by_its_position(
    case: tuple[np.ndarray, int],
) -> None:
    data = selection(*case)

    found = np.full(len(data.y), np.nan)
    for fold in every_fold(data):
        assert np.isnan(found[fold.rows]).all()
        found[fold.rows] = fold.held_out.X[:, 0]

    np.testing.assert_array_equal(found, data.y)


@settings(max_examples=60)
@given(folded())
def test_after_the_first_each_fit_sees_all_other_rows(case: tuple[np.ndarray, int]) -> None:
    data = selection(*case)
    everyone = identities(data.train) | identities(data.validation)

    first, *others = every_fold(data)

    assert identities(first.fit) == identities(data.train)
    assert identities(first.held_out) == identities(data.validation)
    for fold in others:
        assert identities(fold.fit) | identities(fold.held_out) == everyone


@settings(max_examples=60)
@given(folded())
def test_rows_of_one_fold_stay_together_so_groups_do(case: tuple[np.ndarray, int]) -> None:
    folds, n_fits = case
    for number, fold in enumerate(every_fold(selection(folds, n_fits))[1:]):
        held = identities(fold.held_out)
        assert held == {int(row) for row in np.flatnonzero(folds == number)}


@settings(max_examples=30)
@given(folded())
def test_fit_and_target_belong_together_in_every_fold(case: tuple[np.ndarray, int]) -> None:
    for fold in every_fold(selection(*case)):
        for each in (fold.fit, fold.held_out):
            np.testing.assert_array_equal(each.X[:, 0], each.y)
            assert each.n_levels == (0, 3)
            assert each.X.dtype == np.float32


def test_a_held_out_part_is_one_fit_on_train() -> None:
    data = selection(None, 1)

    (fold,) = every_fold(data)

    assert identities(fold.fit) == set(range(10))
    assert fold.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(data.y, data.validation.y)
    assert data.n_fit_rows == 10


@pytest.mark.parametrize(("folds", "n_fits"), [(np.array([0, 1, 0, 1]), 1), (None, 3)])
def test_without_folds_or_with_one_fit_the_validation_part_judges(folds, n_fits: int) -> None:
    data = selection(folds, n_fits)

    assert data.n_folds == 1
    assert len(data.y) == 4
    assert every_fold(data)[0].fit is data.train


def test_what_is_known_of_both_parts_is_ordered_as_the_selection_rows_are() -> None:
    folds = np.array([0, 2, 1, 0, 2, 1])
    data = selection(folds, 3)

    of_rows = data.of_selection(data.validation.X[:, 0], data.train.X[:, 0])

    np.testing.assert_array_equal(of_rows, data.y)
    assert data.y.tolist() == [1000, 1001, 1002, 1003, 0, 2, 3, 5]


def test_rows_of_a_fit_are_about_as_many_as_counted() -> None:
    data = selection(np.arange(100) % 5, 6, n_validation=25)

    mean = np.mean([len(fold.fit.y) for fold in every_fold(data)])

    assert data.n_fit_rows == pytest.approx(mean, rel=0.05)


def test_all_rows_are_validation_and_train_in_columns() -> None:
    data = selection(None, 1)

    assert data.all_rows.X.flags.f_contiguous
    np.testing.assert_array_equal(data.all_rows.X[:, 0], data.all_rows.y)
    assert len(data.all_rows.y) == 14
    assert data.all_rows is data.all_rows


def test_other_features_leave_rows_and_folds_as_they_are() -> None:
    data = selection(np.array([0, 1, 0, 1]), 3)

    narrow = data.mapped(lambda e: Encoded(X=e.X[:, :1], y=e.y, n_levels=(0,)))

    assert narrow.n_folds == 3
    np.testing.assert_array_equal(narrow.y, data.y)
    for mine, theirs in zip(every_fold(narrow), every_fold(data), strict=True):
        np.testing.assert_array_equal(mine.rows, theirs.rows)
        np.testing.assert_array_equal(mine.fit.X, theirs.fit.X[:, :1])


def test_taken_rows_are_a_copy_in_columns() -> None:
    whole = part(np.arange(6))

    taken = take_rows(whole, np.array([4, 1]))
    taken.X[:] = -1

    assert taken.y.tolist() == [4, 1]
    assert taken.X.flags.f_contiguous
    assert whole.X[4, 0] == 4


# --- how often ------------------------------------------------------------------------------------

SMALL = {"n_train": 8_000, "n_validation": 2_000, "n_features": 9, "n_folds": 5}


@pytest.mark.parametrize("strategy", ["random", "group"])
def test_few_rows_are_compared_out_of_fold(strategy: str) -> None:
    assert choose_fits(**SMALL, strategy=strategy, plain_share=0.0) == 6


@pytest.mark.parametrize("strategy", ["time", "column"])
def test_rows_that_follow_each_other_are_never_compared_out_of_fold(strategy: str) -> None:
    assert choose_fits(**SMALL, strategy=strategy, plain_share=0.0) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"n_train": MAX_OUT_OF_FOLD_ROWS},
        {"n_train": 14_000, "n_features": 2_000},
        {"n_folds": 0},
        {"n_folds": 1},
    ],
)
def test_many_rows_or_cells_or_no_folds_make_one_fit(change: dict[str, int]) -> None:
    assert choose_fits(**{**SMALL, **change}, strategy="random", plain_share=0.0) == 1


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_less_time_never_makes_more_fits(one: float, other: float) -> None:
    shares = sorted((one, other))
    fits = [choose_fits(**SMALL, strategy="random", plain_share=share) for share in shares]

    assert 6 >= fits[0] >= fits[1] >= 1


# --- from a matrix --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_fits", "n_rows"), [(1, 90), (3, 90 + 144), (6, 450)])
def test_a_matrix_gives_the_rows_that_a_plan_asks_for(
    tmp_path: Path, n_fits: int, n_rows: int
) -> None:
    plan = make_plan(matrix=str(make_matrix(tmp_path / "m")), n_fits=n_fits)

    data, preprocessing = load_selection(plan)

    assert data.n_folds == n_fits
    assert len(data.y) == n_rows
    assert data.train.n_levels == preprocessing.n_levels
    shape = fit_shape(plan, data)
    assert (shape.n_rows, shape.n_features) == (data.n_fit_rows, data.train.X.shape[1])


def test_without_a_model_the_shares_of_the_classes_are_predicted_or_the_mean() -> None:
    shares = prior_prediction(np.array([0, 1, 1, 1]), 2, 3)
    np.testing.assert_array_equal(shares, [[0.25, 0.75, 0.0]] * 2)

    np.testing.assert_array_equal(prior_prediction(np.array([1.0, 4.0]), 3, 0), [2.5] * 3)


def test_all_rows_of_a_large_matrix_are_mapped_and_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(matrix=str(make_matrix(tmp_path / "m")), artifacts=str(tmp_path))
    in_memory = load_selection(plan)[0].all_rows
    monkeypatch.setattr(row_copies, "LARGE_BYTES", 1)

    mapped = load_selection(plan)[0].all_rows

    assert isinstance(mapped.X, np.memmap)
    assert not isinstance(in_memory.X, np.memmap)
    np.testing.assert_array_equal(mapped.X, in_memory.X)
    np.testing.assert_array_equal(mapped.y, in_memory.y)
