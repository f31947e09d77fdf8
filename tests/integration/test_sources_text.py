"""The one pass over delimited text sees what a careful reader sees."""

import csv
import hashlib
import io
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from resources.formats import _passes
from resources.formats._passes import read_through

CELLS = st.sampled_from(
    (
        *("", "0", "01", "-01", "+00", "0.5", "00.5", "10", "-0.1", "2024-01-05", "x0", "é"),
        *("a,b", 'say "01"', "line\n01", "end\r\n02,03", "-", "+", "007 "),
    )
)


def written(rows: list[list[str]], *, line_end: str, quoting: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerows(rows)
    return text.getvalue()


@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=60)
    ),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.sampled_from([64, 128, 1 << 18]),
    last_end=st.booleans(),
)
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_cells_lines_and_codes_are_found_wherever_blocks_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[list[str]],
    line_end: str,
    quoting: int,
    block: int,
    last_end: bool,
) -> None:
    monkeypatch.setattr(_passes, "BLOCK_BYTES", block)
    n_columns = len(rows[0])
    header = [f"0{n}" for n in range(n_columns)]
    text = written([header, *rows], line_end=line_end, quoting=quoting)
    content = (text if last_end else text.removesuffix(line_end)).encode()
    path = tmp_path / "t.csv"
    path.write_bytes(content)

    facts = read_through(path, separator=",", n_columns=n_columns)

    codes = re.compile(r"[+-]?0[0-9]")
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert facts.n_lines == 1 + len(rows)
    assert facts.n_separators == (n_columns - 1) * (1 + len(rows))
    assert facts.n_bare_returns == 0
    assert not facts.has_open_quote
    assert facts.coded == tuple(
        any(codes.match(row[column]) for row in rows) for column in range(n_columns)
    )


@pytest.mark.parametrize("block", [64, 1 << 18])
@pytest.mark.parametrize("length", range(120, 136))
def test_encoding_is_checked_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, length: int
) -> None:
    monkeypatch.setattr(_passes, "BLOCK_BYTES", block)
    path = tmp_path / "t.csv"
    path.write_text("a" * length + "日本\n" * 3, encoding="utf-8")

    assert read_through(path, separator=",", n_columns=1).n_lines == 3


def test_a_quote_that_nobody_closed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"2\n3,4\n')

    assert read_through(path, separator=",", n_columns=2).has_open_quote


def test_blank_lines_are_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\n\na,b\r\n\r\n1,2\n\n\r\n01,2\n\n")

    facts = read_through(path, separator=",", n_columns=2)

    assert (facts.n_lines, facts.n_separators, facts.coded) == (3, 3, (True, False))
