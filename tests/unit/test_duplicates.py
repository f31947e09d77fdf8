"""Rows that equal an earlier row."""

import struct
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.rows import duplicates
from automl_assets.core.rows.duplicates import count_duplicates, later_copies, row_digests

NAN = float("nan")


def digests_of(table: pl.DataFrame, folder: Path, columns: list[str] | None = None) -> list[int]:
    found = row_digests(table.lazy(), columns or table.columns, folder / "digests")
    return found.tolist()


def folded(state: int, word: int, factor: int) -> int:
    mixed = (state ^ word) * factor % 2**64
    return mixed ^ (mixed >> 32)


def plain_digest(*values: int | float | str | None) -> int:
    """The format of a digest, a value at a time."""
    digest = 0x9E3779B97F4A7C15
    for value in values:
        if value is None:
            word = 0x94D049BB133111EB
        elif isinstance(value, str):
            content = value.encode()
            word = folded(0x2545F4914F6CDD1D, len(content), 0x94D049BB133111EB)
            for start in range(0, max(1, len(content)), 8):
                piece = int.from_bytes(content[start : start + 8], "little")
                word = folded(word, piece, 0x94D049BB133111EB)
        elif isinstance(value, float):
            (word,) = struct.unpack("<Q", struct.pack("<d", value))
        else:
            word = value % 2**64
        digest = folded(digest, word, 0xBF58476D1CE4E5B9)
    return digest


def test_digests_never_change(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "n": [1, -1, None],
            "x": [0.5, -0.0, NAN],
            "s": ["", "eight by", "\N{EURO SIGN} longer than eight"],
            "b": [True, False, None],
            "day": [date(2026, 1, 31), date(1969, 12, 31), None],
        }
    )

    assert digests_of(table, tmp_path) == [
        plain_digest(1, 0.5, "", 1, 20_484),
        plain_digest(-1, 0.0, "eight by", 0, -1),
        plain_digest(None, None, "\N{EURO SIGN} longer than eight", None, None),
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pl.Series([1, 2, None]), pl.Series([1, 2, None], dtype=pl.UInt8)),
        (pl.Series([0.0, NAN, 1.5]), pl.Series([-0.0, None, 1.5], dtype=pl.Float32)),
        (pl.Series(["a", "b", None]), pl.Series(["a", "b", None], dtype=pl.Categorical)),
        (pl.Series(["a", "b"]), pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"]))),
    ],
)
def test_equal_values_of_other_types_have_equal_digests(
    left: pl.Series, right: pl.Series, tmp_path: Path
) -> None:
    one, other = (digests_of(pl.DataFrame({"a": s}), tmp_path) for s in (left, right))

    assert one == other
    assert len(set(one)) == len(one)


VALUES: dict[str, list[Any]] = {
    "text": ["", "a", "b", "ab", "ba", "aaaaaaaa", "aaaaaaaaa", "\0", "\0\0", None],
    "number": [0, 1, -1, 2**40, None],
    "float": [0.0, 1.0, -1.0, 0.1, None],
    "moment": [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1), None],
    "list": [[1], [1, 1], [], None],
    "struct": [{"a": 1}, {"a": 2}, None],
    "bytes": [b"", b"a", b"\xff", None],
    "big": pl.Series([2**64 - 1, 1, None], dtype=pl.UInt64).to_list(),
    "boolean": [True, False, None],
}


@pytest.mark.parametrize("kind", VALUES)
def test_different_values_have_different_digests(kind: str, tmp_path: Path) -> None:
    dtype = pl.UInt64 if kind == "big" else None
    values = pl.Series("a", VALUES[kind], dtype=dtype)

    found = digests_of(values.to_frame(), tmp_path)

    assert len(set(found)) == len(values)


def test_the_place_of_a_value_counts(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, 2], "b": [2, 1]})

    one, other = digests_of(table, tmp_path)

    assert one != other
    assert digests_of(table, tmp_path, ["b", "a"]) == [other, one]


def test_only_the_columns_asked_for_count(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, 1, 2], "b": [1, 2, 3]})

    assert count_duplicates(table.lazy(), ["a"], scratch=tmp_path) == 1
    assert count_duplicates(table.lazy(), ["a", "b"], scratch=tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_rows_has_no_copies(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": []}, schema={"a": pl.Int64})

    assert digests_of(table, tmp_path) == []
    assert count_duplicates(table.lazy(), ["a"], scratch=tmp_path) == 0
    assert later_copies(np.empty(0, np.uint64)).tolist() == []


def test_the_order_of_rows_is_kept_over_many_pieces(tmp_path: Path) -> None:
    numbers = np.arange(200_000) % 70_000
    table = pl.DataFrame({"n": numbers, "s": pl.Series(numbers).cast(pl.String)})
    table.write_parquet(tmp_path / "t.parquet", row_group_size=10_000)

    found = row_digests(pl.scan_parquet(tmp_path / "t.parquet"), ["n", "s"], tmp_path / "digests")

    assert later_copies(found).tolist() == list(range(70_000, 200_000))


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(0, 30), max_size=60),
    bucket_rows=st.sampled_from([2, 5, 1_000]),
)
def test_later_copies_are_the_rows_that_were_seen_before(
    values: list[int], bucket_rows: int
) -> None:
    spread = np.array(values, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    seen: set[int] = set()
    expected = [row for row, value in enumerate(values) if value in seen or seen.add(value)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BUCKET_ROWS", bucket_rows)
        found = later_copies(spread)

    assert found.tolist() == expected


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["", "a", "aaaaaaaaa", None]), st.sampled_from([0.0, 1.5, None])),
        max_size=30,
    )
)
def test_counts_are_those_of_polars(
    rows: list[tuple[str | None, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = pl.DataFrame(rows, schema={"s": pl.String, "x": pl.Float64}, orient="row")
    folder = tmp_path_factory.mktemp("scratch")

    assert count_duplicates(table.lazy(), table.columns, scratch=folder) == (
        table.height - table.n_unique() if rows else 0
    )
