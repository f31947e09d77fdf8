"""Sources against good, odd and bad files."""

import io
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from automl_assets.core.errors import AutoMLError, RequestError, SnapshotError
from resources.formats import format_of, load_formats
from resources.sources import load_sources
from resources.sources._local import locate
from resources.sources._tables import TableFile, join_files


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def open_file(path: Path, *, text_columns: Sequence[str] = ()) -> pl.LazyFrame:
    content = format_of(path.name).inspect(path, text_columns=text_columns)
    return join_files([TableFile(path=path.name, content=content)], description=path.name)


def read(path: Path) -> pl.DataFrame:
    return open_file(path).collect(engine="streaming")


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_all_sources_are_found() -> None:
    assert list(load_sources()) == ["files", "http", "object_store", "repository", "sql"]
    assert list(load_formats()) == ["csv", "ndjson", "parquet"]


@pytest.mark.parametrize(
    ("name", "separator"),
    [("t.csv", ","), ("t.csv", ";"), ("t.csv", "\t"), ("t.csv", "|"), ("t.tsv", "\t")],
)
def test_separators_are_detected(tmp_path: Path, name: str, separator: str) -> None:
    rows = [["id", "note, long", "price"], ["1", "a", "2.5"], ["2", "b", "3.5"]]
    text = "\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)

    frame = read(write(tmp_path, name, text + "\n"))

    assert frame.columns == ["id", "note, long", "price"]
    assert frame["price"].to_list() == [2.5, 3.5]


@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_a_long_text_is_read(tmp_path: Path, name: str) -> None:
    long = "word " * 60_000
    content = f"a,b\n{long},1\nx,2\n"
    if name == "t.ndjson":
        content = f'{{"a": "{long}", "b": 1}}\n{{"a": "x", "b": 2}}\n'

    assert read(write(tmp_path, name, content)).rows() == [(long, 1), ("x", 2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\r\n1,x\r\n2,y\r\n", [(1, "x"), (2, "y")]),
        ("\ufeffa,b\n1,x\n2,y\n", [(1, "x"), (2, "y")]),
        ("a,b\n1,x\n2,y", [(1, "x"), (2, "y")]),
        ('a,b\n1,"x\n,z"\n2,"y ""q"""\n', [(1, "x\n,z"), (2, 'y "q"')]),
        ("a,b\n1,\n2,y\n", [(1, None), (2, "y")]),
        ("a,b\n1,é\n2,日本\n", [(1, "é"), (2, "日本")]),
    ],
    ids=["crlf", "bom", "no last newline", "quotes", "missing", "unicode"],
)
def test_odd_but_good_text_is_read(
    tmp_path: Path, text: str, expected: list[tuple[int, str | None]]
) -> None:
    frame = read(write(tmp_path, "t.csv", text))

    assert frame.columns == ["a", "b"]
    assert [(a, b if b is None else b.replace('""', '"')) for a, b in frame.rows()] == expected


def test_column_names_are_those_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", '../x,/etc/passwd,"a/b\\c","say ""hi"""\n1,2,3,4\n5,6,7,8\n')

    assert read(path).columns == ["../x", "/etc/passwd", "a/b\\c", 'say "hi"']


def test_dates_that_start_with_the_year_are_dates_and_others_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "iso,other\n2024-02-01,01/02/2024\n2024-02-02,02/02/2024\n")

    frame = read(path)

    assert frame["iso"].to_list() == [date(2024, 2, 1), date(2024, 2, 2)]
    assert frame["other"].to_list() == ["01/02/2024", "02/02/2024"]


def test_a_late_value_of_another_type_is_read_right(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "a,b\n" + "1,2\n" * 50_000 + "x,2.5\n")

    frame = read(path)

    assert frame["a"].null_count() == 0
    assert frame["a"][-1] == "x"
    assert frame["b"][-1] == 2.5


def test_a_very_late_value_of_another_type_is_an_error_and_no_null(tmp_path: Path) -> None:
    cells = ",".join(["1"] * 200)
    header = ",".join(f"c{n}" for n in range(200))
    path = write(tmp_path, "t.csv", f"{header}\n" + f"{cells}\n" * 10_500 + f"x{cells[1:]}\n")

    with pytest.raises(pl.exceptions.ComputeError, match="could not parse `x`"):
        read(path)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["01", "1"], ["01", "1"]),
        (["1", "-007"], ["1", "-007"]),
        (['"01234"', "AB"], ["01234", "AB"]),
        (["1.5", "00.5"], ["1.5", "00.5"]),
        (["0", "10"], [0, 10]),
        (["0.5", "-0.25"], [0.5, -0.25]),
    ],
)
def test_numbers_with_leading_zeros_are_codes_and_stay_text(
    tmp_path: Path, cells: list[str], expected: list[object]
) -> None:
    text = "\n".join(["n,code", *(f"1,{cell}" for cell in cells)])

    frame = read(write(tmp_path, "t.csv", text))

    assert frame["code"].to_list() == expected
    assert frame["n"].dtype == pl.Int64


def test_a_leading_zero_after_the_rows_that_types_are_inferred_from_is_seen(
    tmp_path: Path,
) -> None:
    header = ",".join(f'"c{n}"' for n in range(200))
    rows = f"{','.join(['1'] * 200)}\n" * 10_500
    path = write(tmp_path, "t.csv", f"{header}\n{rows}01{',1' * 199}\n")

    frame = read(path)

    assert frame["c0"][-1] == "01"
    assert frame["c1"].dtype == pl.Int64


def test_columns_are_read_as_text_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'zip,"say ""hi""",day,n\n1234,TRUE,2024-01-02,1\n,,,2\n')
    texts = ("zip", 'say "hi"', "day", "not there")

    frame = open_file(path, text_columns=texts)

    assert frame.collect().rows() == [("1234", "TRUE", "2024-01-02", 1), (None, None, None, 2)]


def test_parquet_keeps_its_types_whatever_is_asked_for(tmp_path: Path) -> None:
    frame = pl.DataFrame({"zip": [1, 2]})
    path = write(tmp_path, "t.parquet", parquet_bytes(frame))

    assert open_file(path, text_columns=["zip"]).collect().equals(frame)


def test_files_of_a_thousand_columns_are_read(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1_000)]
    path = write(tmp_path, "t.csv", "\n".join([",".join(names), *[",".join(["1"] * 1_000)] * 60]))

    assert read(path).shape == (60, 1_000)


def test_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    frame = pl.DataFrame({"../x": [1, 2], "when": [date(2024, 1, 1), None]})

    assert read(write(tmp_path, "t.parquet", parquet_bytes(frame))).equals(frame)


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024 [a]"
    folder.mkdir()
    path = write(folder, "t*.parquet", parquet_bytes(pl.DataFrame({"a": [1]})))

    assert read(path).columns == ["a"]


PARQUET = parquet_bytes(pl.DataFrame({"a": list(range(100))}))
BAD_FILES = {
    "empty.csv": (b"", r"is empty \(0 bytes\)"),
    "empty.parquet": (b"", r"is empty \(0 bytes\)"),
    "header.csv": (b"a,b\n", "has a header and 0 rows"),
    "header_only.csv": (b"a,b", "has a header and 0 rows"),
    "blank.csv": (b"\n\n\n", "has a header and 0 rows"),
    "parquet.csv": (PARQUET, "is a Parquet file, not CSV. Rename it to end in .parquet"),
    "gzip.csv": (b"\x1f\x8b\x08\x00", "is a gzip archive, not CSV. Unpack it first"),
    "zip.csv": (b"PK\x03\x04\x14\x00data.csv", "is a zip archive, not CSV. Unpack it"),
    "xlsx.csv": (b"PK\x03\x04[Content_Types].xml", "is an Excel workbook, not CSV. Save its"),
    "json.csv": (b'[{"a": 1}]', "is a JSON file, not CSV"),
    "jsonl.csv": (b'{"a": 1}\n{"a": 2}', "is a JSON file, not CSV"),
    "html.csv": (b"<!DOCTYPE html><html>", "is an HTML or XML page, not CSV"),
    "binary.csv": (b"\x01\x00\x02\x00", "is a binary file, not CSV"),
    "utf16.csv": ("a,b\n1,2\n".encode("utf-16"), "is text in UTF-16, not CSV. Convert it to UTF-8"),
    "latin.csv": (
        "a,b\ncafé,2\n".encode("latin-1"),
        r"is not: byte 0xe9 at offset 7 \(line 2\). It is probably in latin-1",
    ),
    "cut.csv": ("a,b\n1,é".encode()[:-1], "stops in the middle of a character"),
    "mac.csv": (b"a,b\r1,2\r3,4\r", "has only CR"),
    "twice.csv": (b"a,b,a\n1,2,3\n", "names columns twice: 'a'"),
    "nameless.csv": (b",a,b\n1,2,3\n", "has no name for column 1 of 3"),
    "control.csv": (b'"a\x07",b\n1,2\n', r"control characters in the names of columns: 'a\\x07'"),
    "newline.csv": (b'"a\nb",b\n1,2\n', r"control characters in the names of columns: 'a\\nb'"),
    "pattern.csv": (b"^a.*$,b\n1,2\n", r"names read as patterns: '\^a\.\*\$'"),
    "short.csv": (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", "has 2 in line 3 and 3 in the header"),
    "long.csv": (b"a,b,c\n1,2,3\n4,5,6,7\n", "has 4 in line 3 and 3 in the header"),
    "short_quoted.csv": (b'a,b\n"1,5",2\n"x"\n', "has 1 in line 3 and 2 in the header"),
    "open.csv": (b'a,b\n1,"2\n3,4\n', "breaks this at line 3: unexpected end of data"),
    "inch.csv": (b'a,b\n5" pipe,2\n6 pipe,3\n', "has single quotes inside values"),
    "text.parquet": (b"a,b\n1,2\n", "is a text file, not Parquet. Rename it to end in .csv"),
    "cut.parquet": (PARQUET[:-20], "stops in the middle"),
    "tiny.parquet": (b"PAR1", "stops in the middle, after 4 bytes"),
    "garbled.parquet": (PARQUET[:-40] + b"\xff" * 32 + PARQUET[-8:], "readable as Parquet"),
    "rows.parquet": (parquet_bytes(pl.DataFrame({"a": []})), "has columns and 0 rows"),
    "nested.parquet": (
        parquet_bytes(pl.DataFrame({"a": [[1]], "b": [{"c": 1}], "d": [b"1"], "e": [1]})),
        r"'a' \(List\(Int64\)\), 'b' \(Struct\({'c': Int64}\)\), 'd' \(Binary\)\. Unnest",
    ),
    "nameless.parquet": (parquet_bytes(pl.DataFrame({"": [1]})), "has no name for column 1 of 1"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_told_from_each_other(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]

    with pytest.raises(SnapshotError, match=message):
        open_file(write(tmp_path, name, content))


def test_a_long_utf8_file_tells_the_offset_of_a_bad_byte(tmp_path: Path) -> None:
    good = "é,b\n".encode() * 1_500_000
    path = write(tmp_path, "t.csv", good + b"\xe9,2\n")

    with pytest.raises(SnapshotError, match=r"offset 7,500,000 \(line 1,500,001\)"):
        open_file(path)


def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"'\.xlsx'\. Known: \.csv, \.jsonl, \.ndjson, \.parquet, \.tsv\."
    ):
        open_file(write(tmp_path, "t.xlsx", b"PK"))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="No such file or directory"):
        open_file(tmp_path / "none.csv")


def test_relative_paths_are_looked_up_in_each_root(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (two / "sub").mkdir(parents=True)
    one.mkdir()
    path = write(two / "sub", "t.csv", "a\n1\n")

    assert locate("sub/t.csv", (one, two)) == path.resolve()
    assert locate(str(path), (one, two)) == path.resolve()
    assert locate("sub/../sub/t.csv", (one, two)) == path.resolve()


@pytest.mark.parametrize("path_text", ["../secret.csv", "link.csv", "sub/../../secret.csv"])
def test_paths_that_leave_the_roots_are_refused(tmp_path: Path, path_text: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    secret = write(tmp_path, "secret.csv", "a\n1\n")
    (root / "link.csv").symlink_to(secret)

    for text in (path_text, str(root / path_text)):
        with pytest.raises(RequestError, match=r"is outside\. .* AUTOML_DATA_ROOTS"):
            locate(text, (root,))


def test_a_root_with_a_similar_name_is_another_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    path = write(tmp_path / "data2", "t.csv", "a\n1\n")

    with pytest.raises(RequestError, match="is outside"):
        locate(str(path), (tmp_path / "data",))


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = write(tmp_path / "real", "t.csv", "a\n1\n")
    (tmp_path / "alias").symlink_to(tmp_path / "real")

    assert locate("t.csv", (tmp_path / "alias",)) == path.resolve()


def test_a_misspelt_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "churn.csv", "a\n1\n")

    with pytest.raises(RequestError, match=r"no 'chrun\.csv' in .* Did you mean 'churn\.csv'\?"):
        locate("chrun.csv", (tmp_path,))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(RequestError, match="is a device, pipe or socket"):
        locate("pipe.csv", (tmp_path,))
    with pytest.raises(RequestError, match="is a folder"):
        locate("folder.csv", (tmp_path,))


@pytest.mark.parametrize("path_text", ["a\x00b.csv", "x" * 5_000, "loop/t.csv"])
def test_impossible_paths_are_refused(tmp_path: Path, path_text: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(AutoMLError, match=r"data\.path must name a file"):
        locate(path_text, (tmp_path,))


def test_a_name_that_two_roots_hold_is_refused(tmp_path: Path) -> None:
    roots = tuple(tmp_path / name for name in ("one", "two"))
    for root in roots:
        root.mkdir()
        (root / "t.csv").write_text("a\n1\n")

    with pytest.raises(RequestError, match=r"must name one file.*Write the whole path"):
        locate("t.csv", roots)
    assert locate(str(roots[1] / "t.csv"), roots) == roots[1] / "t.csv"


def test_the_platforms_own_folder_is_closed(tmp_path: Path) -> None:
    home = tmp_path / ".automl"
    home.mkdir()
    (home / "t.csv").write_text("a\n1\n")

    with pytest.raises(RequestError, match="outside the platform's own folder"):
        locate(".automl/t.csv", (tmp_path,), closed=home)


def test_without_roots_nothing_can_be_read() -> None:
    with pytest.raises(RequestError, match=r"none is allowed yet. Set AUTOML_DATA_ROOTS"):
        locate("t.csv", ())
