"""The four parts: disjoint, complete, honest about strata, groups and time."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError
from automl_assets.core.prepare import check_parts
from automl_assets.core.splits import (
    group_split,
    random_split,
    rows_sha256,
    stratified_split,
    time_split,
)
from automl_assets.core.values import PARTS

FRACTIONS = {"train": 0.6, "validation": 0.15, "calibration": 0.1, "analysis": 0.15}


def assert_disjoint_and_complete(rows: dict, n_rows: int) -> None:
    everything = np.concatenate([rows[part] for part in PARTS])
    np.testing.assert_array_equal(np.sort(everything), np.arange(n_rows))


@given(n_rows=st.integers(1, 500), seed=st.integers(0, 2**31))
def test_random_parts_are_disjoint_complete_and_within_one_row(n_rows: int, seed: int) -> None:
    rows = random_split(n_rows, FRACTIONS, seed=seed)

    assert_disjoint_and_complete(rows, n_rows)
    assert all(abs(len(rows[part]) - FRACTIONS[part] * n_rows) < 1 for part in PARTS)


@given(strata=st.lists(st.integers(0, 4), min_size=1, max_size=300), seed=st.integers(0, 99))
def test_each_stratum_is_shared_within_one_row(strata: list[int], seed: int) -> None:
    codes = np.array(strata)

    rows = stratified_split(codes, FRACTIONS, seed=seed)

    assert_disjoint_and_complete(rows, len(codes))
    for code in np.unique(codes):
        n = (codes == code).sum()
        for part in PARTS:
            assert abs((codes[rows[part]] == code).sum() - FRACTIONS[part] * n) < 1


@given(
    groups=st.lists(st.integers(0, 40), min_size=200, max_size=400).filter(
        lambda values: len(set(values)) >= 30
    ),
    seed=st.integers(0, 99),
)
def test_no_group_is_in_two_parts(groups: list[int], seed: int) -> None:
    rows = group_split(pl.Series("customer", groups), FRACTIONS, seed=seed)

    assert_disjoint_and_complete(rows, len(groups))
    seen = [set(np.array(groups)[rows[part]]) for part in PARTS]
    assert sum(map(len, seen)) == len(set(groups))


@given(times=st.lists(st.integers(0, 1000), min_size=100, max_size=300, unique=True))
def test_no_part_is_older_than_the_one_before_it(times: list[int]) -> None:
    rows = time_split(pl.Series("day", times), FRACTIONS)

    assert_disjoint_and_complete(rows, len(times))
    moments = np.array(times)
    for earlier, later in pairwise(PARTS):
        assert moments[rows[earlier]].max() < moments[rows[later]].min()


def test_rows_of_one_moment_share_a_part() -> None:
    times = pl.Series("day", np.repeat(np.arange(20), 10))

    rows = time_split(times, FRACTIONS)

    for part in PARTS:
        _, counts = np.unique(times.to_numpy()[rows[part]], return_counts=True)
        assert (counts == 10).all()


def test_groups_follow_their_values_and_not_the_order_of_rows() -> None:
    groups = pl.Series("customer", [f"c{i % 50:02d}" for i in range(500)])
    shuffled = groups.reverse()

    rows, again = (group_split(column, FRACTIONS, seed=3) for column in (groups, shuffled))

    for part in PARTS:
        assert set(groups.gather(rows[part])) == set(shuffled.gather(again[part]))


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(RequestError, match="'customer' has too few groups for"):
        group_split(pl.Series("customer", ["a"] * 50 + ["b"] * 50), FRACTIONS, seed=0)


def test_rows_without_a_time_are_refused() -> None:
    with pytest.raises(RequestError, match="'day' is empty in 2 of 4 rows"):
        time_split(pl.Series("day", [1, None, 3, None]), FRACTIONS)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (random_split(1000, FRACTIONS, seed=seed) for seed in (1, 1, 2))

    assert rows_sha256(first["train"]) == rows_sha256(again["train"])
    assert rows_sha256(first["train"]) != rows_sha256(other["train"])


def test_times_written_as_text_are_refused() -> None:
    with pytest.raises(RequestError, match=r"'day' holds String such as \['28/01/2022'\]"):
        time_split(pl.Series("day", ["28/01/2022", "31/01/2022", "02/02/2022"]), FRACTIONS)


def test_a_part_without_a_class_of_the_target_is_refused() -> None:
    rows = time_split(pl.Series("day", range(400)), FRACTIONS)
    classes = np.repeat([0, 1], 200)

    with pytest.raises(RequestError, match="validation has no row of 'no'"):
        check_parts(rows, classes, ("no", "yes"))


def test_a_part_with_too_few_rows_is_refused() -> None:
    rows = random_split(100, FRACTIONS, seed=0)

    with pytest.raises(RequestError, match="at least 20 rows, but validation got 15"):
        check_parts(rows, None, ())
