"""A PostgreSQL server of our own, on a socket in its own folder, gone when the block ends."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

PORT = 5432
SETTINGS = (
    # Others on the machine cannot even ask for a password.
    "-c listen_addresses='' -c unix_socket_permissions=0700",
    # Nothing has to survive a crash of the machine.
    "-c fsync=off -c full_page_writes=off -c shared_buffers=16MB -c max_connections=20",
    "-c log_statement=all -c log_line_prefix='%u: '",
)


class PostgresServer:
    """A cluster with the database `shop`; roles have passwords, checked by SCRAM."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._password = secrets.token_urlsafe(16)
        # PostgreSQL refuses to run as root.
        self._account = _unprivileged() if os.geteuid() == 0 else None

    def create(self) -> None:
        """Make the cluster, start it and make the database."""
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        password_file.chmod(0o644)
        self._run(
            *("initdb", "--pgdata", self._data, "--username", "admin", "--no-sync"),
            *("--auth", "scram-sha-256", "--pwfile", str(password_file)),
            *("--encoding", "UTF8", "--locale", "C"),
        )
        self.start()
        self.execute("CREATE DATABASE shop", database="postgres")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = " ".join((*SETTINGS, f"-p {PORT} -k {self.folder}"))
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", log, "-o", options)

    def kill(self) -> None:
        """End all its processes without a word to whom they serve."""
        self._run("pg_ctl", "stop", "--wait", "-D", self._data, "-m", "immediate")

    def url(self, user: str, password: str, *, driver: str = "+psycopg2") -> str:
        """Return the URL of the database for a role."""
        return f"postgresql{driver}://{user}:{password}@/shop?host={self.folder}&port={PORT}"

    def execute(self, *statements: str, database: str = "shop") -> None:
        """Run statements as the administrator, each on its own."""
        import psycopg2

        with closing(psycopg2.connect(**self._admin(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        """Return what the administrator is answered."""
        import psycopg2

        with (
            closing(psycopg2.connect(**self._admin("shop"))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return cursor.fetchall()

    def log(self) -> str:
        """Return what the server wrote: all statements, each behind its role."""
        return (self.folder / "log").read_text()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _admin(self, database: str) -> dict[str, Any]:
        return {
            **{"user": "admin", "password": self._password, "dbname": database},
            **{"host": str(self.folder), "port": PORT},
        }

    def _run(self, program: str, *arguments: str) -> None:
        rights: dict[str, Any] = {}
        if self._account is not None:
            rights = {
                **{"user": self._account.pw_uid, "group": self._account.pw_gid},
                "extra_groups": (),
            }
        # Its output goes to a file: the server inherits it, and a pipe would never end.
        with (self.folder / "programs.log").open("ab") as output:
            subprocess.run(
                [self._programs / program, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # Neither the operator's PG… variables nor another locale.
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                timeout=60,
                **rights,
            )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server; skips the test where PostgreSQL is not installed, fails it in CI."""
    programs = _programs()
    if programs is None:
        reason = "PostgreSQL's initdb is neither in /usr/lib/postgresql nor on the PATH"
        if os.environ.get("CI"):
            pytest.fail(f"In CI {reason}.")
        pytest.skip(reason)
    # Not pytest's folder: that is closed to other accounts, and too long for a socket's path.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = PostgresServer(programs, folder)
    try:
        server.create()
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.kill()
        shutil.rmtree(folder)


def _programs() -> Path | None:
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: float(path.parts[4]), default=None)
    on_path = shutil.which("initdb")
    if newest is None and on_path:
        newest = Path(on_path).resolve()
    return newest.parent if newest else None


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.fail("As root, PostgreSQL needs another account to run as: postgres or nobody.")
