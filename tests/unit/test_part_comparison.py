"""What the parts of a split share, and in what they differ."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.leakage import shared_rows
from automl_assets.core.leakage.part_comparison import (
    DOMAIN_LIMIT,
    PartComparison,
    summarise_parts,
)
from automl_assets.core.leakage.shared_rows import copies_of_train, n_straddling
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import PARTS, DataSnapshot, Split, SplitPart

N_ROWS = 4_000


class Tables:
    """Stands in for a store: gives frames by path, and can do nothing else."""

    def __init__(self, tables: dict[str, pl.LazyFrame]) -> None:
        self._tables = tables

    def scan(self, repository: str, commit_id: str, path: str) -> pl.LazyFrame:
        return self._tables[path]


def summary(
    table: pl.DataFrame, parts: np.ndarray, scratch: Path, *, strategy: str = "random", **data: Any
) -> PartComparison:
    snapshot, split, request, store = make(table, parts, strategy=strategy, **data)
    found = summarise_parts(snapshot, split, request, store=store, scratch=scratch)
    assert [path for path in scratch.iterdir() if path.is_dir()] == []
    return found


def make(
    table: pl.DataFrame, parts: np.ndarray, *, strategy: str, **data: Any
) -> tuple[DataSnapshot, Split, TrainingRequest, SnapshotStore]:
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", **data},
        }
    )
    rows = {part: np.flatnonzero(parts == place) for place, part in enumerate(PARTS)}
    snapshot = DataSnapshot(
        repository="churn",
        commit_id="c" * 64,
        path="data.parquet",
        content_sha256="d" * 64,
        source="churn.csv",
        source_sha256="e" * 64,
        rows=(),
        profile=profile_table(table.lazy(), request),
    )
    split = Split(
        repository="churn",
        commit_id="f" * 64,
        strategy=strategy,
        seed=3,
        parts=tuple(
            SplitPart(part=part, n_rows=len(rows[part]), path=part, sha256="0") for part in PARTS
        ),
        preprocessing_version="1",
        matrix_id="m",
        feature_names=(),
    )
    tables = {part: pl.LazyFrame({"row": numbers}) for part, numbers in rows.items()}
    store = cast("SnapshotStore", Tables({"data.parquet": table.lazy(), **tables}))
    return snapshot, split, request, store


def random_parts(n_rows: int = N_ROWS) -> np.ndarray:
    return np.random.default_rng(1).choice(4, n_rows, p=[0.6, 0.15, 0.1, 0.15])


def make_table(n_rows: int = N_ROWS, **columns: Any) -> pl.DataFrame:
    generator = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "y": generator.integers(0, 2, n_rows),
            "x": generator.normal(size=n_rows),
            "z": generator.normal(size=n_rows),
            "plan": generator.choice(["basic", "plus", None], n_rows),
            "since": [date(2020, 1, 1) + timedelta(days=n * 31 % 997) for n in range(n_rows)],
            **columns,
        }
    )


def test_random_parts_are_alike_and_share_nothing(tmp_path: Path) -> None:
    found = summary(make_table(), random_parts(), tmp_path)

    assert found.findings == ()
    assert found.copies == {"validation": 0, "calibration": 0, "analysis": 0}
    assert [score.part for score in found.domain] == ["analysis", "validation"]
    assert all(score.low < 0.5 < score.high + 0.02 for score in found.domain)
    assert found.n_shared_groups is None
    assert found.is_in_time_order is None


def test_the_same_parts_give_the_same_numbers(tmp_path: Path) -> None:
    first = summary(make_table(), random_parts(), tmp_path)

    assert summary(make_table(), random_parts(), tmp_path) == first


def test_parts_that_drifted_are_told_with_the_columns_that_tell(tmp_path: Path) -> None:
    parts = random_parts()
    table = make_table()
    drifted = table.with_columns(
        z=pl.col("z") + pl.Series(2.0 * (parts == 3)),
        plan=pl.when(pl.Series((parts == 3) & (np.arange(N_ROWS) % 2 == 0)))
        .then(pl.lit("gold"))
        .otherwise("plan"),
    )

    found = summary(drifted, parts, tmp_path)

    assert [finding.rule for finding in found.findings] == ["domain classifier"]
    assert found.findings[0].action == "warned"
    assert found.findings[0].limit == DOMAIN_LIMIT
    assert found.domain[0].low > 0.9
    assert set(found.domain[0].columns[:2]) == {"z", "plan"}
    assert "Rows of analysis can be told from rows of train with AUC 0.9" in (
        found.findings[0].detail
    )
    assert "not guaranteed under drift" in found.findings[0].detail


def test_rows_of_a_group_do_not_make_its_part_look_drifted(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    shop = np.repeat(np.arange(400), 10)
    size = generator.normal(size=400)[shop]
    parts = generator.choice(4, 400, p=[0.6, 0.15, 0.1, 0.15])[shop]

    table = make_table().with_columns(shop=pl.Series(shop), size=pl.Series(size))

    with_group = summary(table, parts, tmp_path, strategy="group", group="shop")
    without = summary(table.drop("shop"), parts, tmp_path, strategy="group")
    assert with_group.domain[0].auc < 0.6 < without.domain[0].auc


def test_parts_of_few_rows_are_not_compared(tmp_path: Path) -> None:
    parts = np.zeros(N_ROWS, int)
    parts[:40], parts[40:80], parts[80:300] = 1, 2, 3

    found = summary(make_table(), parts, tmp_path)

    assert [score.part for score in found.domain] == ["analysis"]


def test_rows_that_train_holds_too_are_counted_by_part(tmp_path: Path) -> None:
    parts = random_parts()
    table = make_table()
    of_part = {place: np.flatnonzero(parts == place) for place in range(4)}
    source = np.arange(N_ROWS)
    source[of_part[3][:100]] = of_part[0][:100]
    source[of_part[1][:3]] = of_part[0][:3]
    source[of_part[2][:50]] = of_part[3][200:250]

    found = summary(table[source], parts, tmp_path)

    n_analysis = len(of_part[3])
    assert found.copies == {"validation": 3, "calibration": 0, "analysis": 100}
    assert [finding.rule for finding in found.findings] == ["duplicates across parts"]
    assert f"100 of {n_analysis:,} rows of analysis" in found.findings[0].detail
    assert found.findings[0].value == pytest.approx(100 / n_analysis)


def test_rows_with_another_target_are_no_copies(tmp_path: Path) -> None:
    parts = random_parts()
    source = np.arange(N_ROWS)
    source[np.flatnonzero(parts == 3)[:100]] = np.flatnonzero(parts == 0)[:100]
    copied = make_table()[source]
    other = pl.when(pl.Series(parts == 3)).then(1 - pl.col("y")).otherwise("y")

    assert summary(copied, parts, tmp_path).copies["analysis"] == 100
    assert summary(copied.with_columns(y=other), parts, tmp_path).copies["analysis"] == 0


def test_a_group_in_two_parts_blocks(tmp_path: Path) -> None:
    shop = np.arange(N_ROWS) // 10
    parts = np.random.default_rng(5).choice(4, 400, p=[0.6, 0.15, 0.1, 0.15])[shop]
    table = make_table().with_columns(shop=pl.Series(shop))

    whole = summary(table, parts, tmp_path, strategy="group", group="shop")
    parts[7] = (parts[7] + 1) % 4
    cut = summary(table, parts, tmp_path, strategy="group", group="shop")

    assert whole.n_shared_groups == 0
    assert cut.n_shared_groups == 1
    assert [(item.rule, item.action) for item in cut.findings] == [("group overlap", "blocked")]
    assert "1 groups of 'shop' have rows in more than one part" in cut.findings[0].detail


@pytest.mark.parametrize("is_text", [False, True])
def test_parts_that_overlap_in_time_block(is_text: bool, tmp_path: Path) -> None:
    days = [date(2026, 1, 1) + timedelta(days=n // 100) for n in range(N_ROWS)]
    moments = pl.Series([str(day) for day in days] if is_text else days)
    parts = np.searchsorted([2_400, 3_000, 3_400], np.arange(N_ROWS), side="right")
    table = make_table().with_columns(when=moments).drop("since")

    ordered = summary(table, parts, tmp_path, strategy="time", time="when")
    parts[2_399] = 1
    tied = summary(table, parts, tmp_path, strategy="time", time="when")

    assert ordered.is_in_time_order is True
    assert ordered.findings == ()
    assert tied.is_in_time_order is False
    assert [(item.rule, item.action) for item in tied.findings] == [("time order", "blocked")]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 3)), min_size=1, max_size=60),
    st.sampled_from([4, 16, 10**6]),
)
@settings(max_examples=100, deadline=None)
def test_shared_values_are_counted_as_sets_would(
    rows: list[tuple[int, int]], bucket_rows: int
) -> None:
    mixed = {value: np.uint64((value + 1) * 0x9E3779B97F4A7C15 % 2**64) for value in range(13)}
    digests = np.array([mixed[value] for value, _ in rows])
    parts = np.array([part for _, part in rows], np.int8)
    in_parts = {value: {p for v, p in rows if v == value and p >= 0} for value in range(13)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_rows, "BUCKET_ROWS", bucket_rows)
        copies, straddling = copies_of_train(digests, parts), n_straddling(digests, parts)

    assert copies.tolist() == [
        0,
        *(sum(1 for v, p in rows if p == part and 0 in in_parts[v]) for part in (1, 2, 3)),
    ]
    assert straddling == sum(len(found) > 1 for found in in_parts.values())
