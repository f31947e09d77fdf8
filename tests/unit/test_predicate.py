"""The language of `data.rows.where`: what it means, and what it refuses."""

import sqlite3
import subprocess
import sys
import time
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError
from automl_assets.core.predicate import parse_predicate

TABLE = pl.DataFrame(
    {
        "n": [1, 2, 3, None],
        "x": [0.5, float("nan"), -1.5, None],
        "s": ["basic", "plus", "it's 100%", None],
        "b": [True, False, None, True],
        "day": [date(2026, 1, 1), date(2026, 2, 1), None, date(2026, 3, 1)],
        "at": [datetime(2026, 1, 1, 12), datetime(2026, 2, 1), None, datetime(2026, 3, 1)],
        "a.b": [1, 2, 3, 4],
        "left": [1, 2, 3, 4],
        "date": ["x", "y", "z", None],
        "list": [[1], None, [2], [3]],
    },
    schema_overrides={"n": pl.Int8},
).with_columns(
    category=pl.col("s").cast(pl.Categorical),
    big=pl.Series([2**64 - 1, 0, 5, None], dtype=pl.UInt64),
    price=pl.Series(["1.10", "2.50", "-3.00", None]).cast(pl.Decimal(10, 2)),
    single=pl.Series([0.1, 2.5, None, 3.0], dtype=pl.Float32),
    zoned=pl.col("at").dt.replace_time_zone("Europe/Berlin"),
    milli=pl.col("at").dt.cast_time_unit("ms"),
)


def rows(text: str, table: pl.DataFrame = TABLE) -> list[int]:
    kept = parse_predicate(text).expression(table.schema)
    numbered = table.lazy().with_row_index("row").filter(kept)
    return numbered.collect(engine="streaming")["row"].to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n >= 2", [1, 2]),
        ("2 <= n", [1, 2]),
        ("n <> 2", [0, 2]),
        ("n = 300", []),
        ("n < 300", [0, 1, 2]),
        ("n < 1.5", [0]),
        ("-n < -2", [2]),
        ("n = - 1 OR n = -(-2)", [1]),
        ("NOT n = 2", [0, 2]),
        ("n IN (1, 3, 300, 2.5)", [0, 2]),
        ("n NOT IN (1, 300)", [1, 2]),
        ("n IN (300)", []),
        ("n BETWEEN 2 AND 3", [1, 2]),
        ("n NOT BETWEEN 2 AND 3", [0]),
        ("n > x", [0, 2]),
        ("x > 0", [0]),
        ("x IS NULL", [1, 3]),
        ("x IS NOT NULL AND x < .75e0", [0, 2]),
        ("s = 'basic'", [0]),
        ("s > 'c'", [1, 2]),
        ("s LIKE '%s%'", [0, 1, 2]),
        ("s LIKE 'b_s%'", [0]),
        ("s NOT LIKE 'B%'", [0, 1, 2]),
        ("s ILIKE 'B%'", [0]),
        ("s LIKE '%100!%' ESCAPE '!'", [2]),
        ("s LIKE '%100!_' ESCAPE '!'", []),
        ("s NOT LIKE '%!%' ESCAPE '!'", [0, 1]),
        ("s = 'it''s 100%'", [2]),
        ("category = 'plus' OR category LIKE 'b%'", [0, 1]),
        ("category IN ('plus') AND category = s", [1]),
        ("b", [0, 3]),
        ("NOT b", [1]),
        ("b = FALSE", [1]),
        ("b OR n = 3", [0, 2, 3]),
        ("TRUE", [0, 1, 2, 3]),
        ("FALSE OR b IS NULL", [2]),
        ("day >= DATE '2026-02-01'", [1, 3]),
        ("day >= '2026-02-01'", [1, 3]),
        ("day < TIMESTAMP '2026-02-01 06:00:00'", [0, 1]),
        ("day IN ('2026-02-01', '2026-02-01 06:00')", [1]),
        ("day = at", [1, 3]),
        ("at > '2026-01-01'", [0, 1, 3]),
        ("at BETWEEN '2026-01-01T11:00' AND TIMESTAMP '2026-01-31 00:00'", [0]),
        ("milli > '2026-01-01 11:59:59.999999'", [0, 1, 3]),
        ("milli = '2026-01-01 12:00'", [0]),
        ("zoned = '2026-01-01 12:00'", [0]),
        ("zoned = '2026-01-01 11:00+00:00'", [0]),
        ('"a.b" > 2 AND left < 4', [2]),
        ("date = 'x'", [0]),
        ("list IS NULL", [1]),
        ("big = 18446744073709551615", [0]),
        ("big > -1", [0, 1, 2]),
        ("big > n", [0, 2]),
        ("price = 1.1 OR price < -2", [0, 2]),
        ("price > n", [0, 1]),
        ("single = 0.1", [0]),
        ("n = 1 AND s = 'basic' OR NOT (n = 1 OR n = 2)", [0, 2]),
    ],
)
def test_a_predicate_keeps_the_rows_where_it_is_true(text: str, expected: list[int]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("read_csv('/etc/passwd') = 1", r"functions are not allowed: 'read_csv'"),
        ("n = abs (1)", r"functions are not allowed: 'abs'"),
        ("date('2026-01-01') = day", r"functions are not allowed: 'date'"),
        ("n = ANY(1)", "functions are not allowed: 'ANY'"),
        ("n::text = '1'", "conversions are not allowed: '::'"),
        ("CAST(n AS text) = '1'", "conversions are not allowed: 'CAST'"),
        ("n = 1; DROP TABLE x", "one predicate only: found ';'"),
        ("n IN (SELECT 1)", "queries are not allowed: 'SELECT'"),
        ("EXISTS(SELECT 1)", "queries are not allowed: 'EXISTS'"),
        ("CASE WHEN b THEN b END", "CASE is not allowed"),
        ("n = 1 -- OR TRUE", "comments are not allowed: ' OR TRUE'"),
        ("n /* x */ = 1", "comments are not allowed"),
        ("{{ n }} = 1", "templates are not allowed"),
        ("{% n %} = 1", "templates are not allowed"),
        ("n + 1 > 2", r"'\+' at character 3 is not allowed"),
        ("s || 'x' = 'y'", r"'\|\|' at character 3"),
        ("`n` = 1", "'`' at character 1"),
        ("s = \N{LEFT SINGLE QUOTATION MARK}x", "at character 5 is not allowed"),
        ("n \N{FULLWIDTH EQUALS SIGN} 1", "at character 3 is not allowed"),
        ("s = N'x'", "\"N'x'\" at character 5 is not allowed"),
        ("s = x'00'", "cannot be read at character 6, near \"'00'\""),
        ("t.n = 1", "a column is one name: found '.'"),
        ("n = 0x10", "cannot be read at character 6, near 'x10'"),
        ("n = 1 AS m", "cannot be read at character 7, near 'AS'"),
        ("n = 1 LIMIT 1", "cannot be read at character 7, near 'LIMIT'"),
        ("n = interval '1 day'", "cannot be read at character 14"),
        ("n AND", "cannot be read at character 3, near 'AND'"),
        ("s = 'x", "a quote or comment does not end"),
        ("s LIKE s", "LIKE takes text in single quotes"),
        ("'a' LIKE 'a'", "LIKE needs a column on its left"),
        ("s LIKE 'a' ESCAPE '!!'", "ESCAPE takes one character; found '!!'"),
        ("s LIKE 'a!' ESCAPE '!'", "cannot end with its ESCAPE"),
        ("n = NULL", "nothing equals NULL; write IS NULL"),
        ("n IN (1, NULL)", "nothing equals NULL"),
        ("n IN ()", "IN needs a list of values"),
        ("n IN x", "IN needs a list of values"),
        ("n IN (x)", "IN takes values, no columns"),
        ("n IS TRUE", "IS is followed by NULL"),
        ("n = x = 1", "a column or a value is needed; found a condition"),
        ("(n, x) = (1, 2)", "a column or a value is needed; found something else"),
        ("1", "a condition such as age >= 30 is needed; found a value"),
        ("", "a predicate is needed; found nothing"),
        ("()", "a condition such as age >= 30 is needed"),
        ("n = 1e999", "'1e999' is too large a number"),
        ("n = -TRUE", "only numbers have a minus; found True"),
        ("day = DATE '2026-13-01'", "DATE is written like DATE '2026-01-31'; found '2026-13-01'"),
        ("n = 'a' 'b'", "a column or a value is needed"),
        (f"n IN ({'1,' * 1000}1)", "IN takes at most 1,000 values; found 1,001"),
        ("n = 1 AND " * 200 + "b", "at most 400 parts"),
        ("(" * 31 + "b" + ")" * 31, "at most 30 levels deep"),
        ("NOT " * 31 + "b", "at most 30 levels deep"),
        ("- " * 31 + "n = 1", "at most 30 levels deep"),
        ("n = " + "1" * 4_000, "at most 4,000 characters; found 4,004"),
        (f"s LIKE '{'_' * 201}'", "LIKE takes at most 200 characters; found 201"),
    ],
)
def test_what_the_language_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        parse_predicate(text)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sss = 'x'", r"^data\.rows\.where: no column 'sss'; columns: 'n', 'x', 's'"),
        ("prce > 1", r"^data\.rows\.where: no column 'prce'; did you mean 'price'\?"),
        ("N = 1", "no column 'N'"),
        ("n = '1'", r"column 'n' holds numbers \(Int8\), and '1' is text; write a number without"),
        ("s = 1", "column 's' holds text, and 1 is a number; write text in single quotes"),
        ("s IN ('a', 1)", "column 's' holds text, and 1 is a number"),
        ("s = DATE '2026-01-01'", "column 's' holds text, and 2026-01-01 is a date or time"),
        ("b = 1", "column 'b' holds booleans, and 1 is a number; write TRUE or FALSE"),
        ("day = 20260101", r"column 'day' holds dates or times \(Date\), and 20260101 is a number"),
        ("day > 'yesterday'", "and 'yesterday' is none; write a day like '2026-01-31'"),
        ("at > '2026-01-01 00:00+02:00'", "column 'at' has none. Remove it from the request"),
        ("zoned > '2026-03-29 02:30'", "There was no 2026-03-29 02:30:00: the clocks were moved"),
        ("at < zoned", "hold different kinds of values"),
        ("n = s", r"columns 'n' \(Int8\) and 's' \(String\) hold different kinds"),
        ("n LIKE '1%'", "column 'n' holds numbers .* LIKE looks at text"),
        ("n OR b", "column 'n' holds numbers .* which is no condition"),
        ("-s = 1", "only numbers have a minus"),
        ("list = 1", "cannot be compared; only IS NULL"),
        ("1 = 1", "1 is compared with another value"),
    ],
)
def test_values_must_fit_the_columns(text: str, message: str) -> None:
    predicate = parse_predicate(text)

    with pytest.raises(RequestError, match=message):
        predicate.expression(TABLE.schema)


def test_a_predicate_tells_its_columns_and_the_texts_they_are_compared_with() -> None:
    predicate = parse_predicate(
        "\"b c\" = 'x' AND ('y' = a OR NOT a IN ('z', 'y')) AND -n > 1 AND t LIKE 'q' AND u IS NULL"
    )

    assert predicate.columns == ("b c", "a", "n", "t", "u")
    assert predicate.texts == {"b c": ("x",), "a": ("y", "z")}


def test_the_module_loads_neither_polars_nor_the_parser() -> None:
    code = (
        "import sys; from automl_assets.core.predicate import parse_predicate; "
        "print(sorted({'polars', 'sqlglot'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([-1.5, 0.5, 2.0]))
TEXTS = st.text("aAb%_!'\n.é", max_size=3)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def numbers() -> st.SearchStrategy[str]:
    operand = st.one_of(NUMBERS.map(str), st.sampled_from(["i", "f", "-i", "- f"]))
    column = st.sampled_from(["i", "f"])
    sign = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
    values = st.lists(NUMBERS.map(str), min_size=1, max_size=3).map(", ".join)
    negation = st.sampled_from(["", "NOT "])
    return st.one_of(
        st.builds("{} {} {}".format, column, sign, operand),
        st.builds("{1} {2} {0}".format, column, operand, sign),
        st.builds("{} {}IN ({})".format, column, negation, values),
        st.builds("{} {}BETWEEN {} AND {}".format, column, negation, operand, operand),
        st.builds("{} IS {}NULL".format, column, negation),
    )


def texts() -> st.SearchStrategy[str]:
    text = TEXTS.map(quoted)
    values = st.lists(text, min_size=1, max_size=3).map(", ".join)
    negation = st.sampled_from(["", "NOT "])
    sign = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    column = st.sampled_from(["s", '"t t"'])
    # A pattern that ends with its escape character means nothing, and is refused.
    pattern = TEXTS.map(lambda text: quoted(text + "a"))
    return st.one_of(
        st.builds("{} {} {}".format, column, sign, st.one_of(text, column)),
        st.builds("{} {}IN ({})".format, column, negation, values),
        st.builds("{} {}LIKE {}".format, column, negation, text),
        st.builds("{} {}LIKE {} ESCAPE '!'".format, column, negation, pattern),
    )


CONDITIONS = st.recursive(
    st.one_of(numbers(), texts()),
    lambda inner: st.one_of(
        st.builds("NOT {}".format, inner.map("({})".format)),
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT {}".format, inner),
        inner.map("({})".format),
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-3, 3),
        st.none() | st.sampled_from([-1.5, 0.5, 1.0, 2.0]),
        st.none() | TEXTS,
        st.none() | TEXTS,
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=300)
@given(condition=CONDITIONS, cells=ROWS)
def test_a_predicate_means_what_sqlite_says(condition: str, cells: list[tuple[Any, ...]]) -> None:
    table = pl.DataFrame(
        cells,
        schema={"i": pl.Int64, "f": pl.Float64, "s": pl.String, "t t": pl.String},
        orient="row",
    )
    with sqlite3.connect(":memory:") as connection:
        connection.execute("PRAGMA case_sensitive_like = ON")
        connection.execute('CREATE TABLE t (i INTEGER, f REAL, s TEXT, "t t" TEXT)')
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", cells)
        found = connection.execute(f"SELECT rowid - 1 FROM t WHERE {condition}").fetchall()
    connection.close()

    assert rows(condition, table) == [row for (row,) in found]


VOCABULARY = """
    a b AND OR NOT IN BETWEEN LIKE ILIKE ESCAPE IS NULL TRUE FALSE DATE TIMESTAMP SELECT FROM CASE
    WHEN END CAST AS interval any array x'00' N'x' e'' $1 ? :x @ ( ) , = <> < <= > >= - + * / . ;
    :: -> [ ] { } {{ }} {% %} -- /* */ ' " ` \\ 1 1.5 1e5 .5 0x1F 1_000 '' 'text' '2026-01-31' "q"
    \u00e9 \uff4e \u2018 \u202e \u0301 \u0000
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n", "\t"])


@settings(deadline=None, max_examples=400)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(WORDS, max_size=14).map(" ".join),
        st.lists(WORDS, max_size=14).map("".join),
        st.builds(lambda word, n: word * n, WORDS, st.integers(1, 4_000)),
        st.builds(lambda word, n: f"{word} " * n, WORDS, st.integers(1, 2_000)),
    )
)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    begin = time.process_time()
    try:
        predicate = parse_predicate(text)
        answer = repr(predicate.columns)
    except RequestError as error:
        answer = str(error)
    assert len(answer) < 5_000
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4_000,
        "(" * 1_999 + "b" + ")" * 1_999,
        "n IN (" * 600,
        "n IN (" + "1," * 1_990 + "1)",
        "'" * 3_999,
        "/*" * 2_000,
        "CASE " * 800,
        "n." * 1_999,
        "n BETWEEN " * 400,
        "s LIKE " * 500,
        "n = 1 OR n = 2 AND " * 200 + "b",
        "\N{COMBINING ACUTE ACCENT}" * 4_000,
    ],
)
def test_long_and_deep_texts_are_refused_at_once(text: str) -> None:
    begin = time.process_time()

    with pytest.raises(RequestError):
        parse_predicate(text)

    assert time.process_time() - begin < 10


def test_the_longest_predicates_still_run() -> None:
    many = " OR ".join(["n = 1"] * 99)
    deep = "(" * 28 + "n = 1 OR b" + ")" * 28
    values = ", ".join(str(n) for n in range(800))

    assert rows(many) == [0]
    assert rows(deep) == [0, 3]
    assert rows(f"n IN ({values})") == [0, 1, 2]
