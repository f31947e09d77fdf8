"""Tables of a real PostgreSQL server: what they become, what they cost, and what goes wrong."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from automl_assets.core.errors import RequestError, ServiceError, SnapshotError
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources
from resources.sources._base import OpenedTable
from tests.postgres import PostgresServer, postgres_server

pytestmark = pytest.mark.slow

PASSWORD = "hunter2-%"
ENCODED = "hunter2-%25"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server whose role `reader` may connect, and read what is made in `public` later."""
    with postgres_server() as made:
        made.execute(
            f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
            # A zone with summer time: what the server hands over is not UTC.
            "ALTER DATABASE shop SET timezone = 'America/New_York'",
        )
        yield made


@pytest.fixture
def place(server: PostgresServer, tmp_path: Path) -> ConfiguredDataSources:
    """Sources with the connection `shop`, as `reader`."""
    return connected_by(server.url("reader", ENCODED), tmp_path)


def connected_by(url: str, folder: Path) -> ConfiguredDataSources:
    return ConfiguredDataSources(
        roots=(),
        home=folder / "home",
        scratch=folder / "home" / "scratch",
        connections={"shop": SecretStr(url)},
    )


def section(table: str, **data: Any) -> Data:
    return Data.model_validate({"target": "a", "connection": "shop", "table": table, **data})


def read(place: ConfiguredDataSources, table: str, **data: Any) -> pl.DataFrame:
    with place.open(section(table, **data)) as opened:
        return opened.frame.collect(engine="streaming")


def digest(place: ConfiguredDataSources, table: str) -> str:
    with place.open(section(table)) as opened:
        return opened.sha256()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)


def sessions(server: PostgresServer, condition: str = "true") -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND {condition}"
    return server.rows(query)[0][0]


def selects_from(server: PostgresServer, table: str) -> list[str]:
    """Return the queries that `reader` sent for rows of a table, white space squeezed."""
    statements = re.split(r"^reader: ", server.log(), flags=re.MULTILINE)
    squeezed = [" ".join(statement.split()) for statement in statements]
    return [text for text in squeezed if "CURSOR" in text and f"FROM {table}" in text]


# What columns become

TYPES: dict[str, tuple[str, str, pl.DataType, Any]] = {
    "small": ("int2", "-32768", pl.Int64(), -32768),
    "plain": ("int4", "2147483647", pl.Int64(), 2**31 - 1),
    "large": ("int8", "9223372036854775807", pl.Int64(), 2**63 - 1),
    "exact": ("numeric(12,3)", "1.125", pl.Float64(), 1.125),
    "open": ("numeric", "1e20", pl.Float64(), 1e20),
    "single": ("float4", "0.1", pl.Float64(), 0.1),
    "double": ("float8", "'-infinity'", pl.Float64(), float("-inf")),
    "words": ("text", "'é''\"; \\'", pl.String(), "é'\"; \\"),
    "short": ("varchar(5)", "'abc'", pl.String(), "abc"),
    "flag": ("bool", "false", pl.Boolean(), False),
    "day": ("date", "'2024-02-29'", pl.Date(), date(2024, 2, 29)),
    "naive": (
        *("timestamp", "'2024-03-10 02:30:00.000001'"),
        *(pl.Datetime("us"), datetime(2024, 3, 10, 2, 30, 0, 1)),
    ),
    "summer": (
        *("timestamptz", "'2024-07-01 12:00+02'"),
        *(pl.Datetime("us", "UTC"), datetime(2024, 7, 1, 10, tzinfo=UTC)),
    ),
    "clock": ("time", "'23:59:59'", pl.Time(), time_of_day(23, 59, 59)),
    "key": (
        *("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
        *(pl.String(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ),
    "mood": ("mood", "'ok'", pl.String(), "ok"),
    "count": ("positive", "7", pl.Int64(), 7),
    "host": ("inet", "'10.0.0.1'", pl.String(), "10.0.0.1"),
    "bits": ("bit(3)", "B'101'", pl.String(), "101"),
}


def test_declared_types_are_kept_and_nulls_are_nulls(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, *_) in TYPES.items())
    values = ", ".join(literal for _, literal, *_ in TYPES.values())
    server.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        f"CREATE TABLE kinds (a int PRIMARY KEY, {columns})",
        f"INSERT INTO kinds VALUES (2, {values})",
        "INSERT INTO kinds VALUES (1)",
    )

    frame = read(place, "kinds").drop("a")

    assert dict(frame.schema) == {name: dtype for name, (_, _, dtype, _) in TYPES.items()}
    assert set(frame.row(0)) == {None}
    assert frame.row(1, named=True) == {name: value for name, (*_, value) in TYPES.items()}


def test_instants_of_both_sides_of_a_clock_change_are_utc(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE VIEW instants AS SELECT timestamptz '2024-11-03 04:30Z' + n * interval '1 hour' "
        "AS a FROM generate_series(0, 3) n"
    )

    assert read(place, "instants")["a"].to_list() == [
        datetime(2024, 11, 3, hour, 30, tzinfo=UTC) for hour in (4, 5, 6, 7)
    ]


@pytest.mark.parametrize(
    "kind",
    ["json", "jsonb", "int[]", "bytea", "interval", "timetz", "money", "int4range", "tsvector"],
)
def test_what_is_no_plain_value_is_refused_unless_it_is_left_out(
    server: PostgresServer, place: ConfiguredDataSources, kind: str
) -> None:
    server.execute(
        "DROP TABLE IF EXISTS odd",
        f"CREATE TABLE odd (a int, b {kind})",
        "INSERT INTO odd VALUES (1)",
    )

    with pytest.raises(SnapshotError, match=r"Column 'b' of 'odd' is .*features\.exclude"):
        read(place, "odd")
    assert read(place, "odd", features={"exclude": ["b"]}).rows() == [(1,)]


def test_a_domain_keeps_its_type_where_the_first_rows_are_null(
    server: PostgresServer, place: ConfiguredDataSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.sources.sql.BATCH_ROWS", 10)
    server.execute(
        "CREATE DOMAIN score AS numeric(5, 2)",
        "CREATE TABLE scores (id int PRIMARY KEY, a score)",
        "INSERT INTO scores SELECT n, CASE WHEN n > 20 THEN 1.5 END FROM generate_series(1, 21) n",
    )

    assert read(place, "scores")["a"].to_list() == [None] * 20 + [1.5]


# What is read


@pytest.mark.parametrize("driver", ["", "+psycopg2"])
def test_a_url_may_leave_the_driver_open(
    server: PostgresServer, tmp_path: Path, driver: str
) -> None:
    server.execute("CREATE OR REPLACE VIEW one AS SELECT 1 AS a")

    place = connected_by(server.url("reader", ENCODED, driver=driver), tmp_path)

    assert read(place, "one").rows() == [(1,)]


def test_rows_come_in_the_order_of_the_whole_key_with_the_same_digest(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE TABLE ordered (a int, day date, part text, PRIMARY KEY (part, day))",
        "INSERT INTO ordered SELECT n, date '2024-01-01' + n % 50, (n % 3)::text "
        "FROM generate_series(1, 150) n",
    )
    first = digest(place, "ordered")
    # Where the rows lie on the disk changes; the rows do not.
    server.execute(
        "CREATE INDEX odd_order ON ordered ((a % 7))",
        "CLUSTER ordered USING odd_order",
        "UPDATE ordered SET a = a WHERE a % 2 = 0",
    )

    frame = read(place, "ordered")

    assert frame.height == 150
    assert frame.equals(frame.sort("part", "day"))
    assert digest(place, "ordered") == first
    server.execute("UPDATE ordered SET a = -1 WHERE a = 1")
    assert digest(place, "ordered") != first


def test_only_needed_columns_and_a_range_of_time_are_asked_for(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE TABLE events (id int PRIMARY KEY, a int, happened timestamptz, secret text)",
        "INSERT INTO events SELECT n, n, timestamptz '2024-01-01 12:00Z' + n * interval '1 day' "
        "FROM generate_series(0, 30) n",
        "REVOKE ALL ON events FROM reader",
        # Rights to what is needed are enough.
        "GRANT SELECT (id, a, happened) ON events TO reader",
    )
    rows = {"from": "2024-01-10", "until": "2024-01-12"}

    frame = read(
        place, "public.events", time="happened", rows=rows, features={"include": ["none*"]}
    )

    # A day more on each side: the exact cut is made on the rows that were read.
    assert frame["a"].to_list() == [8, 9, 10, 11]
    [query] = selects_from(server, "public.events")
    asked, _, condition = query.partition(" WHERE ")
    assert "SELECT public.events.a, public.events.happened FROM" in asked
    assert condition.startswith("public.events.happened >= '2024-01-09T00:00:00+00:00'::")
    assert "public.events.happened < '2024-01-13T00:00:00+00:00'::" in condition
    assert condition.endswith("ORDER BY public.events.id")


def test_a_column_without_the_right_to_read_it_is_named_a_matter_of_rights(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE TABLE closed (a int, secret text)",
        "REVOKE ALL ON closed FROM reader",
        "GRANT SELECT (a) ON closed TO reader",
    )

    with pytest.raises(ServiceError, match="failed with InsufficientPrivilege"):
        read(place, "closed")


def test_odd_names_are_quoted(server: PostgresServer, place: ConfiguredDataSources) -> None:
    names = ["rate %", 'quo"te', "a:b", "%(x)s", "group", "Ünï", "it's"]
    columns = ", ".join('"{}" int'.format(name.replace('"', '""')) for name in names)
    server.execute(
        'CREATE SCHEMA "sales-eu"',
        f'CREATE TABLE "sales-eu"."Order Items$" (a int PRIMARY KEY, {columns})',
        'INSERT INTO "sales-eu"."Order Items$" VALUES (1, 2, 3, 4, 5, 6, 7, 8)',
        'GRANT USAGE ON SCHEMA "sales-eu" TO reader',
        'GRANT SELECT ON ALL TABLES IN SCHEMA "sales-eu" TO reader',
    )

    frame = read(place, "sales-eu.Order Items$")

    assert frame.columns == ["a", *names]
    assert frame.rows() == [tuple(range(1, 9))]
    with pytest.raises(RequestError, match="Did you mean 'Order Items"):
        read(place, "sales-eu.order items$")
    with pytest.raises(RequestError, match=r"no schema 'sales_eu'.* Did you mean 'sales-eu'"):
        read(place, "sales_eu.Order Items$")


@pytest.mark.parametrize(
    "made",
    [
        "CREATE MATERIALIZED VIEW rel AS SELECT 1 AS a",
        "CREATE VIEW rel AS SELECT 1 AS a",
        "CREATE TABLE rel (a int) PARTITION BY RANGE (a)",
    ],
)
def test_views_and_partitioned_tables_are_tables(
    server: PostgresServer, place: ConfiguredDataSources, made: str
) -> None:
    server.execute("DROP SCHEMA IF EXISTS kinds_of CASCADE", "CREATE SCHEMA kinds_of")
    server.execute(made.replace("rel", "kinds_of.rel"))
    if "PARTITION" in made:
        partition = "PARTITION OF kinds_of.rel FOR VALUES FROM (0) TO (9)"
        server.execute(
            f"CREATE TABLE kinds_of.part {partition}", "INSERT INTO kinds_of.rel VALUES (1)"
        )
    server.execute(
        "GRANT USAGE ON SCHEMA kinds_of TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA kinds_of TO reader",
    )

    with place.open(section("kinds_of.rel")) as table:
        assert table.frame.collect().rows() == [(1,)]
        assert isinstance(table, OpenedTable)
        assert "no primary key" in table.warnings[0]


PROGRAM = """
import sys
from pathlib import Path
from pydantic import SecretStr
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources

scratch = Path(sys.argv[1])
place = ConfiguredDataSources(
    roots=(), home=scratch.parent, scratch=scratch, connections={"shop": SecretStr(sys.argv[2])})

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

for table in ("few", "many"):
    data = {"connection": "shop", "table": table, "target": "a"}
    with place.open(Data.model_validate(data)) as opened:
        n_rows = opened.frame.select("a").collect(engine="streaming").height
    print(n_rows, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_ten_batches_need_no_more_memory_than_three(server: PostgresServer, tmp_path: Path) -> None:
    filler = ", ".join(f"repeat(md5((n * {i})::text), 10) AS t{i}" for i in range(4))
    for table, n_rows in (("few", 60_000), ("many", 200_000)):
        server.execute(
            f"CREATE VIEW {table} AS SELECT n AS a, {filler} FROM generate_series(1, {n_rows}) n"
        )
    url = server.url("reader", ENCODED)

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "scratch"), url],
        capture_output=True,
        text=True,
        check=True,
    )

    (few, small), (many, large) = (map(int, line.split()) for line in ended.stdout.splitlines())
    assert (few, many) == (60_000, 200_000)
    # The text alone has 4 * 320 bytes a row: 179 MB in the rows that are more.
    assert large - small < 80e6, f"{(large - small) / 1e6:.0f} MB"
    assert len(re.findall(r"FETCH FORWARD 20000 ", server.log())) >= 9


def test_a_batch_of_a_wide_table_has_fewer_rows(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    columns = ", ".join(f"n + {i} AS c{i}" for i in range(199))
    server.execute(f"CREATE VIEW wide AS SELECT n AS a, {columns} FROM generate_series(1, 10001) n")

    with place.open(section("public.wide")) as opened:
        assert opened.frame.select(pl.len()).collect().item() == 10_001

    fetched = server.log().partition("FROM public.wide")[2]
    sizes = [int(size) for size in re.findall(r"FETCH FORWARD (\d+)", fetched)]
    assert sizes
    assert max(sizes) == 5000


# Only reading


@pytest.mark.parametrize(
    "table", ["t; DROP TABLE safe", 'safe"; DROP TABLE safe; --', "safe' OR 'a'='a", "a.b.c", "%s"]
)
def test_a_name_that_is_more_than_a_name_is_refused(
    server: PostgresServer, place: ConfiguredDataSources, table: str
) -> None:
    server.execute("CREATE TABLE IF NOT EXISTS safe (a int)")

    with pytest.raises(RequestError, match=r"data\.table must be a name"):
        read(place, table)

    assert server.rows("SELECT count(*) FROM safe") == [(0,)]


def test_a_view_that_writes_is_stopped(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE TABLE visits (a int)",
        "GRANT INSERT, DELETE ON visits TO reader",
        "CREATE FUNCTION visit() RETURNS int LANGUAGE sql VOLATILE AS "
        "'INSERT INTO visits VALUES (1) RETURNING a'",
        "CREATE VIEW visiting AS SELECT visit() AS a",
    )

    with pytest.raises(ServiceError, match="failed with ReadOnlySqlTransaction"):
        read(place, "visiting")

    assert server.rows("SELECT count(*) FROM visits") == [(0,)]


def test_all_is_read_in_one_transaction_that_sees_one_state(
    server: PostgresServer, place: ConfiguredDataSources
) -> None:
    server.execute(
        "CREATE VIEW own_session AS SELECT current_setting('transaction_read_only') AS a, "
        "current_setting('transaction_isolation') AS b"
    )

    assert read(place, "own_session").rows() == [("on", "repeatable read")]


# What goes wrong


def test_a_wrong_password_is_told_without_it(
    server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = connected_by(server.url("reader", "not-the-secret"), tmp_path)

    with pytest.raises(ServiceError, match="must answer") as caught:
        read(place, "one")

    check_tells_nothing(caught.value, caplog, "not-the-secret", str(server.folder))
    assert 'password authentication failed for user "reader"' in server.log()


def test_a_server_that_is_not_there_is_told_without_its_url(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = tmp_path / "nowhere"
    place = connected_by(f"postgresql://reader:{ENCODED}@/shop?host={nowhere}", tmp_path)

    with pytest.raises(ServiceError, match="failed with OperationalError") as caught:
        read(place, "one")

    check_tells_nothing(caught.value, caplog, PASSWORD, str(nowhere))


def check_tells_nothing(error: Exception, caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    assert error.__cause__ is None
    for secret in (*secrets, "reader"):
        assert secret not in f"{error} {caplog.text}"


def test_an_error_in_the_middle_leaves_no_session(
    server: PostgresServer, place: ConfiguredDataSources, tmp_path: Path
) -> None:
    server.execute(
        "CREATE VIEW broken AS SELECT 1 / (30000 - n) AS a FROM generate_series(1, 50000) n"
    )

    with pytest.raises(ServiceError, match="Reading 'broken' failed with DivisionByZero"):
        read(place, "broken")

    wait_until(lambda: sessions(server) == 0)
    assert not list((tmp_path / "home" / "scratch").glob("*/"))


@pytest.mark.parametrize("end", ["session", "server"])
def test_what_is_ended_in_the_middle_is_told_and_can_be_read_again(
    server: PostgresServer, place: ConfiguredDataSources, tmp_path: Path, end: str
) -> None:
    # Stops in the second batch until it is let go on.
    server.execute(
        "CREATE TABLE IF NOT EXISTS gate (is_open bool)",
        "DELETE FROM gate",
        "CREATE OR REPLACE VIEW slow AS SELECT n AS a FROM generate_series(1, 50000) n WHERE "
        "n <> 30000 OR EXISTS (SELECT FROM gate) OR pg_sleep(60) IS NULL",
    )

    def finish() -> None:
        wait_until(lambda: sessions(server, "wait_event = 'PgSleep'") == 1)
        if end == "server":
            server.kill()
        else:
            server.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'"
            )

    ending = threading.Thread(target=finish)
    ending.start()
    try:
        with pytest.raises(ServiceError, match="Reading 'slow' failed with") as caught:
            read(place, "slow")
    finally:
        ending.join()
        if end == "server":
            server.start()

    assert PASSWORD not in str(caught.value)
    assert not list((tmp_path / "home" / "scratch").glob("*/"))
    assert sessions(server) == 0
    server.execute("INSERT INTO gate VALUES (true)")
    assert read(place, "slow").height == 50_000
    wait_until(lambda: sessions(server) == 0)
