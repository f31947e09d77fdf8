"""Counts and target encodings: numbers for many levels that leak nothing into train."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_assets.core.encoding import (
    MISSING,
    N_SPECIAL,
    OTHER,
    ColumnEncoding,
    Preprocessing,
    encode,
    encode_column,
)
from automl_assets.core.encoding import fit as encoding_fit
from automl_assets.core.encoding.fit import count_levels, fit_columns
from automl_assets.core.encoding.target import (
    MANY_LEVELS,
    SMOOTHING_ROWS,
    LevelSums,
    sum_levels,
    with_numbers,
)
from automl_assets.core.matrix import read_part, write_matrix
from automl_assets.core.metrics import load_metrics
from automl_assets.core.splits import Assignment, random_split
from automl_assets.core.splits.folds import random_folds
from automl_assets.core.values import ColumnProfile, TableProfile, TaskType

FRACTIONS = {"train": 0.6, "validation": 0.15, "calibration": 0.1, "analysis": 0.15}


def profile_of(
    table: pl.DataFrame, task_type: TaskType = "binary", classes: tuple[str, ...] = ("0", "1")
) -> TableProfile:
    features = tuple(name for name in table.columns if name != "y")
    columns = tuple(
        ColumnProfile(
            name=name,
            dtype=str(table[name].dtype),
            kind="categorical" if table[name].dtype == pl.String else "numeric",
            n_nulls=0,
            n_distinct=table[name].n_unique(),
        )
        for name in table.columns
    )
    return TableProfile(
        n_rows=table.height,
        columns=columns,
        task_type=task_type,
        classes=classes if task_type != "regression" else (),
        features=features,
        dropped=(),
    )


def assign(n_rows: int, n_folds: int = 5) -> Assignment:
    return random_folds(random_split(n_rows, FRACTIONS, seed=0), n_folds, seed=0)


def carriers(n_rows: int, n_levels: int, *, seed: int = 0) -> pl.DataFrame:
    """A category of many levels and a target that knows nothing of it."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, n_levels, n_rows)
    return pl.DataFrame(
        {"carrier": [f"c{level:05d}" for level in levels], "y": rng.integers(0, 2, n_rows)}
    )


def auc(y: np.ndarray, score: np.ndarray) -> float:
    return load_metrics()["roc_auc"].score(y, np.column_stack([1 - score, score]))


def test_a_category_that_says_nothing_looks_so_on_train_and_would_not_if_encoded_naively(
    tmp_path: Path,
) -> None:
    table = carriers(20_000, 4_000)

    preprocessing = write_matrix(
        tmp_path / "m", table.lazy(), profile_of(table), "y", assign(table.height)
    )

    train = read_part(tmp_path / "m", "train", preprocessing)
    target = preprocessing.feature_names.index("carrier (target)")
    naive = encode(table[assign(table.height).rows("train")], preprocessing)
    assert 0.46 < auc(train.y, train.X[:, target]) < 0.54
    assert auc(train.y, naive[:, target]) > 0.75


def test_a_category_that_says_much_is_told_to_train_and_to_the_rest(tmp_path: Path) -> None:
    table = carriers(20_000, 200)
    is_late = table["carrier"].str.slice(-1).is_in(["1", "3", "5", "7"])
    table = table.with_columns(y=is_late.cast(pl.Int64))

    preprocessing = write_matrix(
        tmp_path / "m", table.lazy(), profile_of(table), "y", assign(table.height)
    )

    target = preprocessing.feature_names.index("carrier (target)")
    for part in ("train", "validation", "analysis"):
        encoded = read_part(tmp_path / "m", part, preprocessing)
        assert auc(encoded.y, encoded.X[:, target]) > 0.999


def test_a_row_of_train_never_sees_a_target_of_its_own_fold(tmp_path: Path) -> None:
    table = carriers(3_000, 40)
    assignment = assign(table.height)
    own = assignment.fold == 2
    changed = table.with_columns(y=pl.when(pl.Series(own)).then(1 - pl.col("y")).otherwise("y"))

    matrices = []
    for number, frame in enumerate((table, changed)):
        folder = tmp_path / str(number)
        preprocessing = write_matrix(folder, frame.lazy(), profile_of(frame), "y", assignment)
        train = read_part(folder, "train", preprocessing).X
        matrices.append(train[assignment.fold[assignment.part == 0] == 2])

    np.testing.assert_array_equal(*matrices)


def test_counts_and_means_are_those_of_the_train_part(tmp_path: Path) -> None:
    table = carriers(5_000, 30)
    assignment = assign(table.height)
    train = table[assignment.rows("train")]

    preprocessing = write_matrix(tmp_path / "m", table.lazy(), profile_of(table), "y", assignment)

    assert preprocessing.feature_names == ("carrier", "carrier (count)", "carrier (target)")
    assert preprocessing.n_levels == (32, 0, 0)
    (column,) = preprocessing.columns
    level = column.levels[7]
    y = train.filter(pl.col("carrier") == level)["y"]
    prior = train["y"].mean()
    assert column.counts[7 + N_SPECIAL] == len(y)
    assert column.means[0][7 + N_SPECIAL] == pytest.approx(
        (y.sum() + SMOOTHING_ROWS * prior) / (len(y) + SMOOTHING_ROWS)
    )


def test_the_target_of_a_regression_is_averaged(tmp_path: Path) -> None:
    table = carriers(4_000, 25).with_columns(y=pl.int_range(pl.len()).cast(pl.Float64))

    preprocessing = write_matrix(
        tmp_path / "m", table.lazy(), profile_of(table, "regression"), "y", assign(4_000)
    )

    (column,) = preprocessing.columns
    assert column.outputs == ("",)
    assert 1_000 < min(column.means[0]) < max(column.means[0]) < 3_000


@pytest.mark.parametrize(("n_classes", "n_outputs"), [(3, 3), (10, 10), (11, 0)])
def test_each_of_a_few_classes_has_a_feature_and_many_have_none(
    tmp_path: Path, n_classes: int, n_outputs: int
) -> None:
    classes = tuple(f"k{number:02d}" for number in range(n_classes))
    table = carriers(4_000, 25).with_columns(
        y=pl.Series([classes[number % n_classes] for number in range(4_000)])
    )

    preprocessing = write_matrix(
        tmp_path / "m", table.lazy(), profile_of(table, "multiclass", classes), "y", assign(4_000)
    )

    (column,) = preprocessing.columns
    assert column.outputs == classes[:n_outputs]
    assert len(column.feature_names) == 2 + n_outputs
    assert all(f"carrier (target: {name})" in column.feature_names for name in column.outputs)
    assert np.sum(column.means, axis=0) == pytest.approx(1.0 if n_outputs else 0.0)


def test_few_levels_have_no_numbers_and_one_more_has(tmp_path: Path) -> None:
    rows = range(4_000)
    table = pl.DataFrame(
        {
            "few": [f"f{i % MANY_LEVELS}" for i in rows],
            "many": [f"m{i % (MANY_LEVELS + 1)}" for i in rows],
            "number": [i % 500 for i in rows],
            "y": [i % 2 for i in rows],
        }
    )

    preprocessing = write_matrix(
        tmp_path / "m", table.lazy(), profile_of(table), "y", assign(4_000)
    )

    assert preprocessing.feature_names == (
        *("few", "many", "many (count)", "many (target)", "number"),
    )


def test_without_folds_there_are_counts_and_no_means(tmp_path: Path) -> None:
    table = carriers(4_000, 25)
    part = random_split(4_000, FRACTIONS, seed=0)
    assignment = Assignment(part=part, fold=np.full(4_000, -1, np.int8), n_folds=0)

    preprocessing = write_matrix(tmp_path / "m", table.lazy(), profile_of(table), "y", assignment)

    assert preprocessing.feature_names == ("carrier", "carrier (count)")


def test_what_is_rare_missing_or_unseen_has_numbers_too() -> None:
    sums = LevelSums(rows=np.array([[4, 50, 10]]), targets=np.array([[[4.0, 10.0, 0.0]]]))
    fitted = ColumnEncoding(name="c", kind="categorical", dtype="String", levels=("a",))
    column = with_numbers(fitted, sums, ("",))

    codes, counts, means = encode_column(pl.Series("c", ["a", "new", None]), column)

    prior = 14 / 64
    expected = [(10 * prior) / 20, (10 + 10 * prior) / 60, (4 + 10 * prior) / 14]
    assert codes.tolist() == [N_SPECIAL, OTHER, MISSING]
    assert counts.tolist() == [10.0, 1.0, 4.0]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_a_level_that_only_its_own_fold_knows_gets_the_mean_of_all() -> None:
    codes = np.array([2, 2, 1, 1, 1, 1])
    blocks = iter([(codes, np.array([0, 0, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 1, 0]))])

    sums = sum_levels(blocks, n_codes=3, n_folds=2, outputs=("",))

    assert sums.means_of_others()[0, 0, 2] == pytest.approx(0.5)


# --- fitting -------------------------------------------------------------------------------------


def test_levels_counted_in_several_passes_are_the_same_levels() -> None:
    table = carriers(5_000, 300).lazy()

    assert count_levels(table, "carrier", n_passes=7) == count_levels(table, "carrier")


def test_the_most_frequent_levels_are_kept_and_the_profile_decides_the_passes(monkeypatch) -> None:
    monkeypatch.setattr(encoding_fit, "MAX_LEVELS", 10)
    monkeypatch.setattr(encoding_fit, "LEVELS_AT_ONCE", 100)
    values = [f"c{level}" for level in range(400) for _ in range(2 + (level < 10) * level)]

    (column,) = fit_columns(
        pl.LazyFrame({"c": values}), {"c": "categorical"}, n_distinct={"c": 400}
    )

    assert column.levels == (*(f"c{level}" for level in range(9, 0, -1)), "c0")


def test_dates_held_as_text_are_dates_and_have_hours_only_if_they_have() -> None:
    days = pl.Series("at", ["2026-01-31", None])
    times = pl.Series("at", ["2026-01-31", "2026-01-31 18:00"])

    (of_days,), (of_times,) = (
        fit_columns(values.to_frame().lazy(), {"at": "datetime"}) for values in (days, times)
    )

    assert of_days.date_parts == ("days", "year", "month", "weekday")
    assert of_times.date_parts == (*of_days.date_parts, "hour")
    assert [feature[1] for feature in encode_column(times, of_times)][-1] == 18.0


# --- packages of earlier versions ----------------------------------------------------------------

OLD_PREPROCESSING = """
{"version": "0123456789ab", "columns": [
 {"name": "age", "kind": "numeric", "dtype": "Int64", "levels": [], "date_parts": []},
 {"name": "plan", "kind": "categorical", "dtype": "String", "levels": [
  "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"],
  "date_parts": []},
 {"name": "since", "kind": "datetime", "dtype": "Date", "levels": [],
  "date_parts": ["days", "year", "month", "weekday"]}]}
"""


def test_preprocessing_of_an_earlier_version_encodes_as_it_did() -> None:
    preprocessing = Preprocessing.model_validate_json(OLD_PREPROCESSING)
    frame = pl.DataFrame(
        {"age": [41, None], "plan": ["c", "z"], "since": ["1970-01-02", "2026-01-31"]}
    )

    matrix = encode(frame, preprocessing)

    expected = [[41, 4, 1, 1970, 1, 5], [np.nan, OTHER, 20484, 2026, 1, 6]]
    np.testing.assert_array_equal(matrix, np.array(expected, np.float32))
    assert preprocessing.n_levels == (0, 20, 0, 0, 0, 0)
    assert preprocessing.feature_names[:2] == ("age", "plan")
