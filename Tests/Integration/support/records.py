# SPDX-License-Identifier: Apache-2.0
"""Martlet over a real PostgreSQL: directives, keys and rows of the tenants table."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Callable

from .postgres import Postgres
from .resp import Client, Reply
from .server import Directive

SOURCE = (
    "tenants table=tenants key=tenant:id:{id} key=tenant:subdomain:{subdomain} "
    "key=tenant:domain:{custom_domain} tenant=id plan=plan_type ttl=3600"
)
COLUMNS = ("id", "name", "subdomain", "custom_domain", "plan_type", "user_id")
UNAVAILABLE = b"TRYAGAIN record source tenants is unavailable"


def directives(postgres: Postgres) -> list[Directive]:
    """The directives that make Martlet answer tenant records."""
    plans = [("tenant-plan", name) for name in ("free", "pro", "enterprise")]
    return [("postgres-url", postgres.url), ("record-source", SOURCE), *plans]


def setup(binary: str, postgres: Postgres, mode: str) -> subprocess.CompletedProcess[str]:
    """`martlet postgres-setup` with --print or --apply."""
    command = [binary, "postgres-setup", mode, "--postgres-url", postgres.url]
    command += ["--record-source", SOURCE]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def row_of(reply: Reply) -> dict | None:
    """The row in a record's reply; None for no such key."""
    value = reply.native()
    return None if value is None else json.loads(value)


def expected_row(number: int) -> dict:
    """The row as the seed made it."""
    return {
        "id": str(number),
        "name": f"Tenant {number}",
        "subdomain": f"sub{number}",
        "custom_domain": f"www.tenant{number}.example" if number % 2 == 0 else None,
        "plan_type": ("free", "pro", "enterprise")[number % 3],
        "user_id": f"user{number}",
    }


def matches(reply: Reply, number: int) -> bool:
    """True when a reply is the seeded row."""
    if reply.is_error or reply.value is None:
        return False
    row = json.loads(reply.value)
    return all(row.get(name) == value for name, value in expected_row(number).items())


def prefill(client: Client, rows: int) -> None:
    """Stores every row by hand, which redis-server needs in Martlet's place."""
    numbers = range(1, rows + 1)
    client.pipeline([("SET", f"tenant:id:{n}", json.dumps(expected_row(n))) for n in numbers])


class Repeated:
    """Calls a function in a thread until the block ends, and keeps its first failure."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.count = 0
        self.failure = ""

    def _run(self) -> None:
        while not self._stop.is_set() and not self.failure:
            try:
                self._function()
                self.count += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failure = f"{type(error).__name__}: {error}"

    def __enter__(self) -> "Repeated":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)


class History:
    """When each version was committed, and which versions a read may return."""

    def __init__(self, first: int) -> None:
        self._commits: list[tuple[float, int]] = [(time.monotonic(), first)]

    def committed(self, version: int) -> None:
        """Called as soon as COMMIT has answered."""
        self._commits.append((time.monotonic(), version))

    def lateness(self, read_began: float, version: int) -> float:
        """How long before the read its version was replaced; 0 if it was not."""
        for moment, newer in list(self._commits):
            if newer > version:
                return max(0.0, read_began - moment)
        return 0.0


class Stalls:
    """The longest delay that this machine adds to a trivial statement or a short sleep.

    Work of milliseconds takes longer if other programs use the processors; this measures how
    much of a delay is the machine's.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._session = postgres.session()
        self.longest = 0.0

    def probe(self) -> None:
        """One statement and one sleep."""
        began = time.monotonic()
        self._session.execute("select 1")
        time.sleep(0.001)
        self.longest = max(self.longest, time.monotonic() - began)
