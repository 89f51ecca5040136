# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL in a directory of its own, with a seeded `tenants` table."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from .process import die_with_parent, free_port

ROLE = "martlet"
DATABASE = "app"

SCHEMA = """
create extension if not exists pg_stat_statements;
create table tenants (
    id text primary key,
    name text not null,
    subdomain text unique,
    custom_domain text unique,
    plan_type text not null default 'free',
    user_id text,
    version bigint not null default 1
);
insert into tenants
select n::text, 'Tenant ' || n, 'sub' || n,
       case when n % 2 = 0 then 'www.tenant' || n || '.example' end,
       (array['free', 'pro', 'enterprise'])[1 + n % 3], 'user' || n, 1
  from generate_series(1, {rows}) as n;
"""


class PostgresMissing(Exception):
    """No PostgreSQL server programs on this machine."""


def find_programs() -> Path:
    """The folder with initdb and postgres, newest version first."""
    root = Path("/usr/lib/postgresql")
    found = sorted(root.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise PostgresMissing("install postgresql and postgresql-contrib")


class Postgres:
    """One server process. PostgreSQL refuses to run as root, so root becomes postgres."""

    def __init__(self, rows: int = 1000) -> None:
        self.programs = find_programs()
        self.rows = rows
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="martlet-postgres-"))
        self.data = self.directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, object] = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._identity = {
                "user": account.pw_uid,
                "group": account.pw_gid,
                "extra_groups": [],
            }

    @property
    def url(self) -> str:
        """The connection string for clients."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{DATABASE}"

    def __enter__(self) -> "Postgres":
        try:
            self._initialize()
            self.start()
            self.psql(f"create database {DATABASE}", database="postgres")
            self.psql(SCHEMA.format(rows=self.rows))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initialize(self) -> None:
        command = [self.programs / "initdb", "-D", self.data, "-U", ROLE]
        command += ["-A", "trust", "-N", "-E", "UTF8", "--no-locale"]
        self._run([str(part) for part in command])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.track": "all",
            "fsync": "off",
            "max_connections": 50,
        }
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            for name, value in settings.items():
                file.write(f"{name} = '{value}'\n")

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False, **self._identity
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, timeout: float = 20.0) -> None:
        """Starts the server and waits until it takes connections."""
        log_path = self.directory / "postgres.log"
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # Why: SIGQUIT is PostgreSQL's immediate shutdown of all backends.
                preexec_fn=die_with_parent(signal.SIGQUIT),
                **self._identity,
            )
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1"]
        ready += ["-p", str(self.port), "-U", ROLE, "-d", "postgres"]
        deadline = time.monotonic() + timeout
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + log_path.read_text())
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops the server: SIGINT ends sessions cleanly, SIGQUIT at once."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)

    def psql(self, sql: str, database: str = DATABASE) -> str:
        """Runs SQL in one psql process and returns its unaligned output."""
        command = [str(self.programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", "127.0.0.1", "-p", str(self.port), "-U", ROLE]
        command += ["-d", database, "-c", sql]
        return self._run(command).strip()

    def session(self) -> "Session":
        """A psql process that stays, for statements whose time matters."""
        return Session(self)

    def reset_statements(self) -> None:
        """Sets pg_stat_statements back to nothing."""
        self.psql("select pg_stat_statements_reset()")

    def calls_reading(self, table: str) -> int:
        """How many SELECT statements on a table were run since the last reset."""
        return int(
            self.psql(
                "select coalesce(sum(calls), 0) from pg_stat_statements "
                f"where query ~* '\\m{table}\\M' and query ~* '^\\s*(select|with|execute)' "
                "and query !~* 'pg_stat_statements|pg_trigger|pg_catalog|information_schema'"
            )
        )


class Session:
    """One psql process fed over a pipe: a statement costs a round trip, not a start."""

    _MARKER = "--done--"

    def __init__(self, server: Postgres) -> None:
        command = [str(server.programs / "psql"), "-XAtq", "-h", "127.0.0.1"]
        command += ["-p", str(server.port), "-U", ROLE, "-d", DATABASE]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            preexec_fn=die_with_parent(signal.SIGKILL),
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def execute(self, sql: str) -> list[str]:
        """Runs one statement to its end and returns the lines it printed."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("psql has no pipes")
        self.process.stdin.write(f"{sql};\n\\echo {self._MARKER}\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.rstrip("\n") == self._MARKER:
                return lines
            if line.startswith(("ERROR:", "FATAL:", "psql:")):
                raise RuntimeError(line.strip())
            lines.append(line.rstrip("\n"))
        raise RuntimeError("psql ended: " + " ".join(lines))
