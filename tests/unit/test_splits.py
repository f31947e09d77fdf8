"""The four parts and the folds: disjoint, complete, honest about strata, groups and time."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core import splits
from automl_assets.core.errors import RequestError
from automl_assets.core.prepare import check_parts
from automl_assets.core.request import TrainingRequest
from automl_assets.core.splits import (
    NO_FOLD,
    Assignment,
    random_split,
    rows_sha256,
    stratified_split,
)
from automl_assets.core.splits.assignment import assign_rows
from automl_assets.core.splits.columns import column_split, group_split, read_moments, time_split
from automl_assets.core.splits.folds import group_folds, random_folds, time_folds
from automl_assets.core.values import PARTS

FRACTIONS = {"train": 0.6, "validation": 0.15, "calibration": 0.1, "analysis": 0.15}
SHARES = np.array([FRACTIONS[part] for part in PARTS])


def request(split: dict | None = None, **data: str) -> TrainingRequest:
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "toy",
            "owner": "someone",
            "data": {"path": "table.csv", "target": "y", **data},
            "split": split or {},
        }
    )


def without_folds(part: np.ndarray) -> Assignment:
    return Assignment(part=part, fold=np.full(len(part), NO_FOLD, np.int8), n_folds=0)


def customers(values: list) -> pl.LazyFrame:
    return pl.LazyFrame({"customer": values})


many_groups = st.lists(st.integers(0, 40), min_size=200, max_size=400).filter(
    lambda values: len(set(values)) >= 30
)


# --- parts ----------------------------------------------------------------------------------------


@given(n_rows=st.integers(1, 500), seed=st.integers(0, 2**31))
def test_rows_of_the_parts_are_disjoint_and_cover_the_table(n_rows: int, seed: int) -> None:
    assignment = without_folds(random_split(n_rows, FRACTIONS, seed=seed))

    rows = [assignment.rows(part) for part in PARTS]

    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(n_rows))
    assert all(abs(len(own) - share * n_rows) < 1 for own, share in zip(rows, SHARES, strict=True))


@given(strata=st.lists(st.integers(0, 4), min_size=1, max_size=300), seed=st.integers(0, 99))
def test_each_stratum_is_shared_within_one_row(strata: list[int], seed: int) -> None:
    codes = np.array(strata)

    part = stratified_split(codes, FRACTIONS, seed=seed)

    for code in np.unique(codes):
        found = np.bincount(part[codes == code], minlength=4)
        assert (np.abs(found - SHARES * (codes == code).sum()) < 1).all()


@settings(max_examples=20)
@given(strata=st.lists(st.integers(0, 2), min_size=50, max_size=200), seed=st.integers(0, 99))
def test_strata_are_shared_within_one_row_over_many_blocks(strata: list[int], seed: int) -> None:
    codes = np.array(strata)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "BLOCK_ROWS", 7)
        part = stratified_split(codes, FRACTIONS, seed=seed)
        digest = without_folds(part).sha256("train")

    for code in np.unique(codes):
        found = np.bincount(part[codes == code], minlength=4)
        assert (np.abs(found - SHARES * (codes == code).sum()) < 1).all()
    assert digest == rows_sha256(np.flatnonzero(part == 0))


def test_every_row_is_equally_likely_to_be_in_a_part_wherever_it_stands(monkeypatch) -> None:
    monkeypatch.setattr(splits, "BLOCK_ROWS", 10)

    drawn = [random_split(40, FRACTIONS, seed=seed) == 0 for seed in range(2000)]

    # Four standard errors of a share of 0.6 in 2,000 draws.
    assert np.abs(np.mean(drawn, axis=0) - 0.6).max() < 4 * (0.6 * 0.4 / 2000) ** 0.5


@given(groups=many_groups, seed=st.integers(0, 99))
def test_no_group_is_in_two_parts(groups: list[int], seed: int) -> None:
    part = group_split(customers(groups), "customer", FRACTIONS, seed=seed)

    assert len(set(zip(groups, part.tolist(), strict=True))) == len(set(groups))
    assert len(part) == len(groups)


def test_rows_without_a_group_are_one_group() -> None:
    groups = [None if i % 40 == 0 else f"c{i % 40}" for i in range(400)]

    part = group_split(customers(groups), "customer", FRACTIONS, seed=1)

    assert len(set(part[::40])) == 1


def test_groups_follow_their_values_and_not_the_order_of_rows() -> None:
    groups = np.array([f"c{i % 50:02d}" for i in range(500)])

    part = group_split(customers(groups.tolist()), "customer", FRACTIONS, seed=3)
    again = group_split(customers(groups[::-1].tolist()), "customer", FRACTIONS, seed=3)

    np.testing.assert_array_equal(part, again[::-1])


def test_groups_stored_as_categories_are_the_same_groups() -> None:
    table = customers([f"c{i * 7 % 50}" for i in range(500)])
    stored = table.with_columns(pl.col("customer").cast(pl.Categorical))

    part, again = (group_split(t, "customer", FRACTIONS, seed=3) for t in (table, stored))

    np.testing.assert_array_equal(part, again)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(RequestError, match="'customer' has too few groups for"):
        group_split(customers(["a"] * 50 + ["b"] * 50), "customer", FRACTIONS, seed=0)


@given(times=st.lists(st.integers(0, 60), min_size=100, max_size=300))
def test_no_part_is_older_than_the_one_before_it_and_ties_stay_together(times: list[int]) -> None:
    moments = np.array([*times, *range(1000, 1400, 4)])

    part = time_split(moments, FRACTIONS, column="day")

    for earlier, later in pairwise(range(4)):
        assert moments[part == earlier].max() < moments[part == later].min()


def test_rows_of_one_moment_share_a_part() -> None:
    moments = np.repeat(np.arange(20), 10)

    part = time_split(moments, FRACTIONS, column="day")

    assert np.bincount(part).tolist() == [120, 30, 20, 30]


def test_too_few_times_are_refused() -> None:
    with pytest.raises(RequestError, match="'day' has too few distinct times for"):
        time_split(np.repeat([1, 2], 50), FRACTIONS, column="day")


@pytest.mark.parametrize("empty", [None, float("nan")])
def test_rows_without_a_time_are_refused(empty: float | None) -> None:
    table = pl.LazyFrame({"day": [1.0, empty, 3.0, empty]})

    with pytest.raises(RequestError, match="'day' is empty in 2 of 4 rows"):
        read_moments(table, "day")


def test_times_that_could_be_read_in_two_ways_are_refused() -> None:
    table = pl.LazyFrame({"day": ["28/01/2022", "31/01/2022", "02/02/2022"]})

    with pytest.raises(RequestError, match=r"'day' holds String such as \['28/01/2022'\]"):
        read_moments(table, "day")


def test_dates_written_as_text_year_first_are_times() -> None:
    table = pl.LazyFrame({"day": ["2022-01-31", "2021-12-31", "2022-02-01"]})

    assert read_moments(table, "day").argsort().tolist() == [1, 0, 2]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (
        without_folds(random_split(1000, FRACTIONS, seed=seed)) for seed in (1, 1, 2)
    )

    assert first.sha256("train") == again.sha256("train")
    assert first.sha256("train") != other.sha256("train")


# --- the part that a column names -----------------------------------------------------------------


def test_a_column_names_the_part_of_each_row() -> None:
    table = pl.LazyFrame({"use": ["analysis", "train", "calibration", "validation", "train"]})

    assert column_split(table, "use").tolist() == [3, 0, 2, 1, 0]


def test_values_that_are_no_part_are_counted() -> None:
    table = pl.LazyFrame({"use": ["test", "train", None, "test", "Train", "analysis"]})

    message = r"'use' does not in 4 of 6 rows: 'test' in 2, .*empty in 1.*data\.rows\.where"
    with pytest.raises(RequestError, match=message):
        column_split(table, "use")


def test_a_column_without_a_part_is_refused() -> None:
    table = pl.LazyFrame({"use": ["train", "validation", "analysis"]})

    with pytest.raises(RequestError, match="'use' has too few rows for calibration"):
        column_split(table, "use")


def test_shares_beside_a_column_are_said_to_have_no_effect() -> None:
    table = pl.LazyFrame({"use": list(PARTS) * 10})
    asked = request({"strategy": "column", "column": "use", "analysis": 0.2})

    _, findings = assign_rows(table, asked, n_rows=40, strata=None)

    assert [finding.rule for finding in findings] == ["split by column"]
    assert "split.analysis had no effect" in findings[0].detail


def test_a_column_that_cuts_groups_is_refused() -> None:
    table = pl.LazyFrame({"use": list(PARTS) * 10, "customer": [i // 5 for i in range(40)]})
    asked = request({"strategy": "column", "column": "use"}, group="customer")

    with pytest.raises(RequestError, match="'use' puts 8 of 8 groups of 'customer'"):
        assign_rows(table, asked, n_rows=40, strata=None)


# --- group and time together ----------------------------------------------------------------------


@given(rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 50)), min_size=50, max_size=200))
def test_groups_in_time_are_whole_and_ordered_by_their_last_time(rows) -> None:
    # Groups of one row each spread over later times, so that there are four parts.
    rows = [*rows, *((1000 + i, 60 + i) for i in range(300))]
    table = pl.LazyFrame(rows, schema=["customer", "day"], orient="row")
    asked = request(time="day", group="customer")

    assignment, _ = assign_rows(table, asked, n_rows=len(rows), strata=None)

    groups, days = np.array(rows).T
    assert len(set(zip(groups, assignment.part, strict=True))) == len(set(groups))
    last = {group: days[groups == group].max() for group in set(groups.tolist())}
    moments = np.array([last[group] for group in groups])
    for earlier, later in pairwise(range(4)):
        is_earlier, is_later = assignment.part == earlier, assignment.part == later
        assert moments[is_earlier].max() < moments[is_later].min()
    # Nothing of what came later is in train.
    assert days[assignment.part == 0].max() < moments[assignment.part > 0].min()


def test_old_rows_of_groups_that_went_on_are_counted() -> None:
    table = pl.LazyFrame(
        {"customer": [*range(100), 99], "day": [*range(100), 0]},
    )

    _, findings = assign_rows(table, request(time="day", group="customer"), n_rows=101, strata=None)

    (finding,) = findings
    assert finding.rule == "order of time"
    assert "1 of 40 rows of validation, calibration, analysis are older" in finding.detail


def test_groups_of_one_time_each_need_no_finding() -> None:
    table = pl.LazyFrame({"customer": range(100), "day": range(100)})

    _, findings = assign_rows(table, request(time="day", group="customer"), n_rows=100, strata=None)

    assert findings == ()


# --- folds ----------------------------------------------------------------------------------------


def assert_folds_cover_train(assignment: Assignment) -> None:
    folds = assignment.fold[assignment.part == 0]
    assert set(folds.tolist()) == set(range(assignment.n_folds))
    assert (assignment.fold[assignment.part > 0] == NO_FOLD).all()


@given(
    strata=st.lists(st.integers(0, 4), min_size=60, max_size=300),
    n_folds=st.integers(2, 10),
    seed=st.integers(0, 99),
)
def test_folds_hold_each_stratum_and_all_rows_within_one(strata, n_folds, seed) -> None:
    codes = np.array(strata)
    part = stratified_split(codes, FRACTIONS, seed=seed)

    assignment = random_folds(part, n_folds, seed=seed, strata=codes)

    assert_folds_cover_train(assignment)
    for chosen in (part == 0, *((part == 0) & (codes == code) for code in range(5))):
        sizes = np.bincount(assignment.fold[chosen], minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1


@given(groups=many_groups, n_folds=st.integers(2, 8), seed=st.integers(0, 99))
def test_no_group_is_in_two_folds(groups, n_folds, seed) -> None:
    table = customers(groups)
    part = group_split(table, "customer", FRACTIONS, seed=seed)

    assignment = group_folds(table, "customer", part, n_folds, seed=seed)

    assert_folds_cover_train(assignment)
    train = part == 0
    pairs = set(zip(np.array(groups)[train], assignment.fold[train], strict=True))
    assert len(pairs) == len({group for group, _ in pairs})
    largest = np.bincount(np.array(groups)[train]).max()
    sizes = np.bincount(assignment.fold[train])
    assert sizes.max() - sizes.min() <= largest


def test_very_many_small_groups_fill_the_folds_up_evenly() -> None:
    groups = np.concatenate([np.zeros(3_000, int), np.arange(1, 20_001), np.arange(1, 15_001)])
    part = np.zeros(len(groups), np.int8)

    assignment = group_folds(customers(groups.tolist()), "customer", part, 5, seed=0)

    sizes = np.bincount(assignment.fold)
    assert sizes.max() - sizes.min() <= 4
    assert len(set(zip(groups, assignment.fold, strict=True))) == 20_001


@given(times=st.lists(st.integers(0, 80), min_size=50, max_size=300), n_folds=st.integers(2, 8))
def test_folds_in_time_are_stretches_that_cut_no_tie(times, n_folds) -> None:
    moments = np.array(times)

    assignment = time_folds(np.zeros(len(moments), np.int8), moments, n_folds)

    for earlier, later in pairwise(range(assignment.n_folds)):
        own, following = assignment.fold == earlier, assignment.fold == later
        assert moments[own].max() < moments[following].min()


def test_fewer_times_than_folds_make_fewer_folds_and_it_is_said() -> None:
    table = pl.LazyFrame({"day": np.repeat(np.arange(10), 30)})
    asked = request({"validation": 0.2, "calibration": 0.2, "analysis": 0.2}, time="day")

    assignment, findings = assign_rows(table, asked, n_rows=300, strata=None)

    assert_folds_cover_train(assignment)
    assert assignment.fold[::30].tolist() == [0, 1, 2, 3, *[NO_FOLD] * 6]
    assert [(finding.rule, finding.value) for finding in findings] == [("fewer folds", 4)]


def test_one_group_in_train_makes_no_folds() -> None:
    table = customers(["a"] * 60 + ["b"] * 15 + ["c"] * 10 + ["d"] * 15)
    part = np.repeat(np.arange(4, dtype=np.int8), [60, 15, 10, 15])

    assignment = group_folds(table, "customer", part, 5, seed=0)

    assert assignment.n_folds == 0


def test_the_number_of_folds_does_not_move_the_parts() -> None:
    table = pl.LazyFrame({"y": range(300)})

    three, five = (
        assign_rows(table, request({"folds": n}), n_rows=300, strata=None)[0] for n in (3, 5)
    )

    np.testing.assert_array_equal(three.part, five.part)
    assert three.folds_sha256() != five.folds_sha256()


# --- what a part needs ----------------------------------------------------------------------------


def test_a_part_without_a_class_of_the_target_is_refused() -> None:
    assignment = without_folds(time_split(np.arange(400), FRACTIONS, column="day"))
    counts = {"train": (200, 40), "validation": (0, 60), "calibration": (0, 40)}

    with pytest.raises(RequestError, match="validation has no row of 'no'"):
        check_parts(assignment, {**counts, "analysis": (0, 60)}, ("no", "yes"))


def test_a_part_with_too_few_rows_is_refused() -> None:
    assignment = without_folds(random_split(100, FRACTIONS, seed=0))

    with pytest.raises(RequestError, match="at least 20 rows, but validation got 15"):
        check_parts(assignment, dict.fromkeys(PARTS, ()), ())
