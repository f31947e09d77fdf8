"""Inputs that are wrong in every way we could think of: each gets a message that names the cure."""

import io
import os
import socket
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from automl_assets.core.errors import AutoMLError
from automl_assets.core.request.sections import Data
from automl_assets.core.rows import reading_errors
from resources.data_sources import ConfiguredDataSources
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from tests.web_server import Page, Website, serving


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def zip_bytes(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "a,b\n1,2\n")
    return buffer.getvalue()


@dataclass
class World:
    """A folder that requests may read from, what lies around it, and a web server.

    Attributes:
        root: The allowed folder; the platform's home is in it.
        outside: A folder beside it, with `secret.csv`.
        site: Pages of the web server at `url`.
    """

    root: Path
    outside: Path
    site: Website
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    root, outside, site = folder / "root", folder / "outside", Website()
    (root / "home").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.csv").write_text("a,b\n1,2\n")
    (root / "home" / "others.csv").write_text("a,b\n1,2\n")
    with sqlite3.connect(root / "home" / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (a INTEGER, b TEXT)")
        connection.execute("INSERT INTO orders VALUES ('many', 'x')")
        connection.execute("CREATE TABLE empty (a INTEGER)")
        connection.execute("CREATE TABLE blobs (a INTEGER, b BLOB)")
    connection.close()
    with serving(site) as url:
        yield World(root, outside, site, url)


def sources(world: World, **options: Any) -> ConfiguredDataSources:
    return ConfiguredDataSources(
        roots=(world.root,),
        home=world.root / "home",
        scratch=world.root / "home" / "scratch",
        **{
            "url_prefixes": (world.url, "https://data.example.org/sales/", "s3://lake/sales/"),
            "connections": {
                "shop": SecretStr(f"sqlite:///{world.root / 'home' / 'shop.db'}"),
                "gone": SecretStr("sqlite:////nowhere/hunter2.db"),
                "torn": SecretStr("postgresql://ada:hunter2@x@db:port/shop"),
            },
            "snapshot_store": EmbeddedSnapshotStore(folder=str(world.root / "home" / "store")),
            **options,
        },
    )


@dataclass(frozen=True)
class Case:
    """What is put into the world, what the request says, and what it is answered."""

    message: str
    data: dict[str, Any] | str = "t.csv"
    put: Callable[[World], object] = lambda world: None
    options: dict[str, Any] = field(default_factory=dict)


def text(content: str | bytes, message: str, name: str = "t.csv") -> Case:
    return Case(message, name, lambda world: world.write(name, content))


def files(contents: dict[str, str | bytes], message: str, path: str) -> Case:
    def put(world: World) -> None:
        for name, content in contents.items():
            world.write(name, content)

    return Case(message, path, put)


def page(answer: Page, message: str, **options: Any) -> Case:
    def put(world: World) -> None:
        world.site.pages["/t.csv"] = answer

    return Case(message, "URL/t.csv", put, {"allow_private_addresses": True, **options})


def private(url: str) -> Case:
    prefix = url.rpartition("/")[0]
    return Case("private or reserved address", url, options={"url_prefixes": (prefix,)})


def link(name: str, target: str) -> Callable[[World], object]:
    def put(world: World) -> None:
        path = world.root / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(world.outside / target)

    return put


def bound_socket(world: World) -> None:
    here = os.getcwd()
    os.chdir(world.root)  # names of sockets must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("t.csv")
    finally:
        os.chdir(here)


def odd_name(world: World) -> None:
    path = os.fsencode(world.root) + b"/caf\xe9.csv"
    with open(path, "wb") as file:
        file.write(b"a,b\n1\n")


FLAT = parquet_bytes(pl.DataFrame({"a": list(range(1000)), "b": ["x"] * 1000}))
LIST = parquet_bytes(pl.DataFrame({"a": [[1]], "b": [{"c": 1}]}))
MANY = ",".join(["1"] * 200) + "\n"
WIDE = ",".join(f"c{n}" for n in range(200)) + "\n" + MANY * 10_500
ROWS = '{"a": 1, "b": "x"}\n' * 3

CASES = {
    # Parquet
    "truncated parquet": text(FLAT[:-30], "stops in the middle", "t.parquet"),
    "parquet of four bytes": text(b"PAR1", "stops in the middle, after 4 bytes", "t.parquet"),
    "parquet with a broken index": text(
        FLAT[:-60] + b"\xff" * 50 + FLAT[-10:], "readable as Parquet", "t.parquet"
    ),
    "parquet with broken pages": text(
        FLAT[:4] + b"\xff" * 200 + FLAT[204:], "Every row of the data must be readable", "t.parquet"
    ),
    "nested parquet": text(LIST, r"'a' \(List\(Int64\)\), 'b' \(Struct", "t.parquet"),
    "parquet without rows": text(
        parquet_bytes(pl.DataFrame({"a": []})), "columns and 0 rows", "t.parquet"
    ),
    "text named parquet": text("a,b\n1,2\n", "is a text file, not Parquet", "t.parquet"),
    # Text that is something else
    "nothing": text("", r"is empty \(0 bytes\)"),
    "empty parquet": text("", r"is empty \(0 bytes\)", "t.parquet"),
    "header only": text("a,b\n", "a header and 0 rows"),
    "blank lines only": text("\n\n\n", "a header and 0 rows"),
    "gzip named csv": text(b"\x1f\x8b\x08\x00abc", "gzip archive, not CSV. Unpack it"),
    "zip named csv": text(zip_bytes("t.csv"), "zip archive, not CSV. Unpack it"),
    "excel named csv": text(zip_bytes("[Content_Types].xml"), "Excel workbook.*as CSV"),
    "old excel named csv": text(b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
    "html named csv": text("<!DOCTYPE html><html></html>", "an HTML or XML page"),
    "pdf named csv": text(b"%PDF-1.7", "a PDF file"),
    "json named csv": text('[{"a": 1}]', "a JSON file, not CSV"),
    "sqlite named csv": text(b"SQLite format 3\x00", "an SQLite database"),
    "unknown ending": text("a\n1\n", r"'\.xlsx'\. Known: \.csv", "t.xlsx"),
    "no ending": text("a\n1\n", r"ends in ''\. Known", "data"),
    # Encodings
    "latin-1": text("a,b\ncafé,2\n".encode("latin-1"), "byte 0xe9 at offset 7 .line 2.*iconv"),
    "utf-16": text("a,b\n1,2\n".encode("utf-16"), "text in UTF-16.*Convert it to UTF-8"),
    "utf-16 without mark": text("a,b\n1,2\n".encode("utf-16-le"), "a binary file, not CSV"),
    "late latin-1": text(
        b"a,b\n" + b"1,2\n" * 200_000 + b"\xe9,2\n", "offset 800,004 .line 200,002"
    ),
    "cut in a character": text("a,b\n1,é".encode()[:-1], "in the middle of a character"),
    "late nul byte": text(b"a,b\n" + b"1,2\n" * 200_000 + b"1,\x00\n", "NUL.* offset 800,006"),
    # Rows and cells
    "short row": text("a,b,c\n1,2,3\n4,5\n", "2 in line 3 and 3 in the header"),
    "long row": text("a,b,c\n1,2,3\n4,5,6,7\n", "4 in line 3 and 3 in the header"),
    "short and long row": text("a,b,c\n1,2\n1,2,3,4\n", "fields|cells"),
    "open quote": text('a,b\n1,"2\n3,4\n', "breaks this at line 3"),
    "late open quote": text('a,b\n1,2\n3,4\n5,"6\n', "breaks this at line"),
    "single quote": text('a,b\n5" pipe,2\n6 pipe,3\n', "single quotes inside values"),
    "line ends of old macs": text("a,b\r1,2\r", "only CR"),
    "one such line end": text("a,b\n1,2\r3,4\n5,6\n", "has 1 CR without LF"),
    "late text among numbers": text(WIDE + "x" + MANY[1:], "could not parse `x`"),
    "late date out of range": text(
        "d\n" + "2024-01-31\n" * 2_000_001 + "2024-02-31\n", "could not parse `2024-02-31`"
    ),
    # Names of columns
    "name given twice": text("a,b,a\n1,2,3\n", "names columns twice: 'a'"),
    "column without name": text(",a\n1,2\n", "no name for column 1 of 2"),
    "control character in a name": text('"a\x07",b\n1,2\n', r"control characters.*'a\\x07'"),
    "line break in a name": text('"a\nb",c\n1,2\n', r"control characters.*'a\\nb'"),
    "name that is a pattern": text("^x$,b\n1,2\n", r"read as patterns: '\^x\$'"),
    "name that is a star": text("*,b\n1,2\n", r"read as patterns: '\*'"),
    # NDJSON
    "json array": text('[{"a": 1}, {"a": 2}]', "is a JSON array.*jq", "t.ndjson"),
    "broken line": text(ROWS + '{"a": 1, "b"\n' + ROWS, "in line 4", "t.ndjson"),
    "cut line": text(ROWS + '{"a": 1, "b": "x', "in line 4", "t.jsonl"),
    "nested object": text(ROWS + '{"a": {"c": 1}}\n', "an object under 'a' in line 4", "t.jsonl"),
    "array among text": text(ROWS + '{"b": [1]}\n', "an array under 'b' in line 4", "t.jsonl"),
    "line that is a number": text(ROWS + "5\n", "a int in line 4", "t.jsonl"),
    "nan in json": text(ROWS + '{"a": NaN}\n', "NaN is no JSON", "t.jsonl"),
    "latin-1 in json": text(b'{"a": "caf\xe9"}\n', "byte 0xe9 at offset 10", "t.jsonl"),
    "byte order mark": text(b'\xef\xbb\xbf{"a": 1}\n', "byte order mark", "t.jsonl"),
    "array without end": text('{"a": ' + "[" * 100_000 + "\n", "breaks this in line 1", "t.jsonl"),
    "line without end": text(
        '{"a": "' + "x" * 40_000_000 + '"}\n', "16,777,216 bytes.*longer one at byte 0", "t.jsonl"
    ),
    "values as keys": text(
        "".join(f'{{"k{n}": 1}}\n' for n in range(10_001)), "10,001 keys or more", "t.jsonl"
    ),
    "csv named ndjson": text("a,b\n1,2\n", "other text.*rename it", "t.jsonl"),
    # Paths
    "path upwards": Case("is outside", "../outside/secret.csv"),
    "path down and upwards": Case("is outside", "home/../../outside/secret.csv"),
    "absolute path": Case("is outside", "/etc/passwd"),
    "link to a file outside": Case("is outside", "t.csv", link("t.csv", "secret.csv")),
    "link to a folder outside": Case("is outside", "folder/secret.csv", link("folder", ".")),
    "folder with a link outside": Case("is outside", "folder", link("folder/t.csv", "secret.csv")),
    "pattern with a link outside": Case(
        "is outside", "folder/*.csv", link("folder/t.csv", "secret.csv")
    ),
    "folder that links to itself": Case(
        "link to a folder that it lies in",
        "folder",
        lambda world: (world.write("folder/t.csv", "a\n1\n"), loop(world)),
    ),
    "link to nothing": Case(
        "no 't.csv'",
        "t.csv",
        lambda world: (world.root / "t.csv").symlink_to(world.root / "none.csv"),
    ),
    "link to nothing in a folder": Case(
        "link to nothing",
        "*.csv",
        lambda world: (world.root / "t.csv").symlink_to(world.root / "none.csv"),
    ),
    "pattern outside": Case("is outside", "../outside/*.csv"),
    "pattern upwards": Case("with '..' in it", "home/../*.csv"),
    "pattern elsewhere": Case("is outside", "/etc/*.csv"),
    "the platform's own file": Case("outside the platform's own folder", "home/others.csv"),
    "the platform's own folder": Case("outside the platform's own folder", "home"),
    "pattern into it": Case("outside the platform's own folder", "*/others.csv"),
    "pipe": Case("device, pipe", "t.csv", lambda world: os.mkfifo(world.root / "t.csv")),
    "pipe in a folder": Case(
        "device, pipe",
        "folder",
        lambda world: ((world.root / "folder").mkdir(), os.mkfifo(world.root / "folder/t.csv")),
    ),
    "socket": Case("device, pipe or socket", "t.csv", bound_socket),
    "device": Case("is outside", "/dev/zero"),
    "file that is missing": files({"churn.csv": "a\n1\n"}, "Did you mean 'churn.csv'", "chrun.csv"),
    "name that is no text": Case("in line 2", "*.csv", odd_name),
    # Folders and patterns
    "pattern without match": Case("pattern matches no file", "*.parquet"),
    "empty folder": Case(
        "folder has no data files", "folder", lambda world: (world.root / "folder").mkdir()
    ),
    "folder without data": files({"f/_SUCCESS": "", "f/.x": ""}, "no data files", "f"),
    "folder with notes": files({"f/README": "Hello", "f/a.csv": "a\n1\n"}, "ends in ''", "f"),
    "two formats": files({"f/a.csv": "a\n1\n", "f/b.parquet": FLAT}, "have one format", "f"),
    "other columns": files(
        {"f/a.csv": "a,b\n1,2\n", "f/b.csv": "a,c\n1,2\n"},
        "'b.csv' differs from 'a.csv': it lacks 'b' and it adds 'c'",
        "f/*.csv",
    ),
    "other types": files(
        {"f/a.csv": "a,b\n1,2\n", "f/b.csv": "a,b\n1,x\n"},
        "Column 'b' is String in 'b.csv' and Int64 in 'a.csv'",
        "f",
    ),
    "other folders": files(
        {"f/year=2024/a.csv": "a\n1\n", "f/b.csv": "a\n1\n"}, "folders of the same columns", "f"
    ),
    # URLs
    "loopback": private("http://127.0.0.1/t.csv"),
    "loopback by name": private("http://localhost/t.csv"),
    "private network": private("http://10.1.2.3/t.csv"),
    "another private network": private("https://192.168.1.1/t.csv"),
    "metadata of a cloud": private("http://169.254.169.254/t.csv"),
    "shared address space": private("http://100.64.0.1/t.csv"),
    "loopback in ipv6": private("http://[::1]/t.csv"),
    "link-local in ipv6": private("http://[fe80::1]/t.csv"),
    "ipv4 in ipv6": private("http://[::ffff:127.0.0.1]/t.csv"),
    "ipv4 by nat64": private("http://[64:ff9b::7f00:1]/t.csv"),
    "ipv4 by 6to4": private("http://[2002:7f00:1::]/t.csv"),
    "one large number": private("http://2130706433/t.csv"),
    "hexadecimal": private("http://0x7f000001/t.csv"),
    "short form": private("http://127.1/t.csv"),
    "any address": private("http://0.0.0.0/t.csv"),
    "multicast": private("http://224.0.0.1/t.csv"),
    "redirect to another host": page(
        Page(status=302, headers={"Location": "http://169.254.169.254/x.csv"}),
        "not below one of them",
    ),
    "redirect to a file": page(
        Page(status=302, headers={"Location": "file:///etc/passwd"}), "leads elsewhere"
    ),
    "redirects without end": page(
        Page(status=302, headers={"Location": "/t.csv"}), "at most 5 redirects"
    ),
    "url that nobody allowed": Case("AUTOML_DATA_URLS", "https://example.com/t.csv"),
    "longer host": Case("not below", "https://data.example.org.evil.com/sales/t.csv"),
    "other scheme": Case("not below", "http://data.example.org/sales/t.csv"),
    "other port": Case("not below", "https://data.example.org:444/sales/t.csv"),
    "folder with a similar name": Case("not below", "https://data.example.org/sales2/t.csv"),
    "url upwards": Case(r"has '\.\.' as a part", "https://data.example.org/sales/../t.csv"),
    "url upwards, encoded": Case("as a part", "https://data.example.org/sales/%2e%2e/t.csv"),
    "encoded slash": Case("in two ways", "https://data.example.org/sales/..%2ft.csv"),
    "encoded twice": Case("encoded twice", "https://data.example.org/sales/%252e%252e/t.csv"),
    "backslash": Case("backslash", "https://data.example.org/sales/..\\t.csv"),
    "password in a url": Case(
        "user or password", "https://ada:hunter2@data.example.org/sales/t.csv"
    ),
    "user that looks like a host": Case(
        "user or password", "https://data.example.org@evil.com/sales/t.csv"
    ),
    "other protocol": Case("none of them", "ftp://data.example.org/sales/t.csv"),
    "file url": Case("none of them", "file:///etc/passwd"),
    "bucket that nobody allowed": Case("AUTOML_DATA_URLS", "s3://other/sales/t.csv"),
    "prefix that nobody allowed": Case("not below", "s3://lake/hr/t.csv"),
    "download too large": page(
        Page(b"a\n" + b"1\n" * 100), "at most 50 bytes. 't.csv' has 202", max_download_bytes=50
    ),
    "download larger than it says": page(
        Page(b"a\n" + b"1\n" * 100, headers={"Transfer-Encoding": "identity"}),
        "at most 50 bytes",
        max_download_bytes=50,
    ),
    "download that breaks off": page(
        Page(b"a\n1\n2\n", n_cut=2), "did not deliver '/t.csv' in 3 attempts"
    ),
    "page that is missing": page(Page(status=404), "answered 404"),
    "server that fails": page(Page(status=503), "answered 503"),
    "packed answer": page(Page(b"x", headers={"Content-Encoding": "gzip"}), "packed"),
    "login page": page(Page(b"<!doctype html><title>Log in</title>"), "an HTML or XML page"),
    # Databases
    "unknown connection": Case(
        "'shopp' is none of: gone, shop, torn. Did you mean 'shop'",
        {"connection": "shopp", "table": "orders"},
    ),
    "unknown table": Case("Did you mean 'orders'", {"connection": "shop", "table": "order"}),
    "unknown schema": Case("no schema 'sales'", {"connection": "shop", "table": "sales.orders"}),
    "sql in a table's name": Case(
        "must be a name", {"connection": "shop", "table": "orders; DROP TABLE orders"}
    ),
    "quotes in a table's name": Case(
        "must be a name", {"connection": "shop", "table": 'orders" UNION SELECT 1 --'}
    ),
    "text in a column of numbers": Case(
        "Column 'a' of 'orders' is Int64, and row 1 holds 'many'",
        {"connection": "shop", "table": "orders"},
    ),
    "table without rows": Case("has none", {"connection": "shop", "table": "empty"}),
    "binary column": Case(
        "'b' of 'blobs' is BLOB.*features.exclude", {"connection": "shop", "table": "blobs"}
    ),
    "database that is gone": Case(
        "SQLite file does not", {"connection": "gone", "table": "orders"}
    ),
    "connection that cannot be read": Case(
        "must be one of SQLAlchemy", {"connection": "torn", "table": "orders"}
    ),
    # Repositories
    "unknown repository": Case("warehouse", {"repository": "warehouse", "table": "t"}),
}


def loop(world: World) -> None:
    (world.root / "folder" / "again").symlink_to(world.root / "folder")


def read(world: World, case: Case) -> pl.DataFrame:
    place = {"path": case.data} if isinstance(case.data, str) else case.data
    place = {key: value.replace("URL", world.url) for key, value in place.items()}
    opened = sources(world, **case.options)
    data = opened.pin(Data.model_validate({"target": "a", **place}))
    with opened.open(data) as table, reading_errors(table.description):
        return table.frame.collect(engine="streaming")


@pytest.mark.parametrize("name", CASES)
def test_malformed_inputs_are_answered_clearly(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    with make_world(tmp_path) as world:
        case.put(world)

        with pytest.raises(AutoMLError, match=case.message) as caught:
            read(world, case)

    said = str(caught.value)
    assert said.endswith((".", "?"))
    assert "hunter2" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_ten_thousand_columns_are_read(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({f"c{n}": [n, n + 1] for n in range(10_000)})
    writers = {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}

    with make_world(tmp_path) as world:
        writers[suffix](world.root / f"t.{suffix}")
        data = Data.model_validate({"path": f"t.{suffix}", "target": "c0"})
        with sources(world).open(data) as table:
            assert table.frame.collect(engine="streaming").equals(frame)


def test_dates_before_year_one_stay_what_they_are(tmp_path: Path) -> None:
    with make_world(tmp_path) as world:
        world.write("t.csv", "d,e\n0001-01-01,9999-12-31\n")
        data = Data.model_validate({"path": "t.csv", "target": "d"})
        with sources(world).open(data) as table:
            assert table.frame.collect().row(0) == (date(1, 1, 1), date(9999, 12, 31))
