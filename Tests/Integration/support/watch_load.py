# SPDX-License-Identifier: Apache-2.0
"""Sessions that watch a hundred keys each, while other sessions change what they watch.

Each process sees to its sessions one after the other, so it knows what was answered before an EXEC
was sent. That is enough to say how some EXECs must end, whatever the other processes do meanwhile:
all of that can only break a watch, never mend it.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import struct
import time
from collections import Counter
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from .resp import Client, ConnectionLost, ProtocolError, Reply, encode

PASSWORD = "app"
KEYS_EACH = 100
NAMED, CREATED = 4, 3
EXPIRY_MILLISECONDS = 30
_context = multiprocessing.get_context("fork")


def secret(number: int) -> str:
    """The secret of a created tenant."""
    return f"secret-{number}"


class Session:
    """A connection, and the keys that it watches."""

    def __init__(self, client: Client, kind: str, keys: list[str], database: int) -> None:
        self.client = client
        # "wide": keys of no tenant; "named": of one that keys name; "created": logged in to one.
        self.kind = kind
        self.keys = keys
        self.database = database
        self.id = client.value("CLIENT", "ID")

    def watch(self) -> None:
        """Forgets what it watched and begins anew."""
        for reply in self.client.pipeline([["UNWATCH"], ["WATCH", *self.keys]]):
            reply.native()

    def execute(self) -> Reply:
        """What EXEC answers to a transaction that writes nothing."""
        return self.client.pipeline([["MULTI"], ["EXISTS", *self.keys[::20]], ["EXEC"]])[-1]


class Storm:
    """One process with its sessions, and two more connections that change and administer."""

    def __init__(
        self, address: tuple[str, int], number: int, sessions: int, seed: int, tenants: bool
    ) -> None:
        self.address = address
        self.number = number
        self.tenants = tenants
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.writer = self.connect(PASSWORD)
        self.sessions: list[Session | None] = [self.open() for _ in range(sessions)]

    def connect(self, word: str) -> Client:
        """A connection with a password or a tenant's secret."""
        client = Client(self.address, timeout=60)
        client.value("AUTH", word)
        return client

    def open(self) -> Session | None:
        """A session that watches; None where its tenant is gone."""
        kind = self.random.choice(("wide", "named", "created") if self.tenants else ("wide",))
        number = self.random.randrange(CREATED)
        try:
            client = self.connect(secret(number) if kind == "created" else PASSWORD)
            database = self.random.randrange(2)
            client.value("SELECT", database)
            session = Session(client, kind, self.names(kind), database)
            session.watch()
            return session
        except Exception:  # pylint: disable=broad-except
            if kind != "created":
                raise
            return None

    def names(self, kind: str) -> list[str]:
        """What a session watches: half of it many sessions do, half of it this process alone."""
        prefix = private = ""
        if kind == "named":
            prefix = f"tenant:n{self.random.randrange(NAMED)}:"
            private = f"tenant:p{self.number}:"
        half = KEYS_EACH // 2
        shared = [f"{prefix}k{self.random.randrange(5000)}" for _ in range(half)]
        return shared + [
            f"{private}p{self.number}-{self.random.randrange(10 ** 9)}" for _ in range(half)
        ]

    def choose(self, kinds: str) -> Session | None:
        """One of the sessions, if it is of one of `kinds`."""
        place = self.random.randrange(len(self.sessions))
        session = self.sessions[place] = self.sessions[place] or self.open()
        return session if session and session.kind in kinds else None

    def lose(self, session: Session) -> None:
        """The session is over."""
        session.client.close()
        self.sessions[self.sessions.index(session)] = None

    def ask(self, *commands: list, database: int = 0) -> list[Reply]:
        """What the writer is answered in a database."""
        return self.writer.pipeline([["SELECT", database], *commands])[1:]

    # Steps with one possible outcome.

    def must_fail(self) -> None:
        """A watched key changes, that is answered, and then EXEC is sent."""
        session = self.choose("wide named")
        if session is None:
            return
        database = session.database
        key = self.random.choice(session.keys[: KEYS_EACH // 2])
        changes: dict[str, list] = {
            "written": ["SET", key, 1], "removed": ["DEL", key], "flushed": ["FLUSHDB"],
            "swapped": ["SWAPDB", database, 1 - database], "expired": ["PING"],
            "moved": ["MOVE", key, 2], "given an expiry": ["PEXPIRE", key, 60_000],
        }
        if session.kind == "named":
            changes["of a tenant that was deleted"] = ["TENANT", "DELETE", key.split(":")[1]]
        name = self.random.choice(list(changes))
        expiry = ["PX", EXPIRY_MILLISECONDS] if name == "expired" else []
        self.ask(["SET", key, 0, *expiry], database=database)
        session.watch()
        # Another client may have removed the key before the watch began; then nothing can change.
        if session.client.value("EXISTS", key) == 0 and name != "written":
            return
        if name == "expired":
            time.sleep(EXPIRY_MILLISECONDS / 1000 + 0.005)
        changed = self.ask(changes[name], database=database)[0]
        if name == "moved" and changed.value == 0:
            return  # The other database has such a key.
        reply = session.execute()
        self.counts[f"changed: {name}"] += 1
        if reply != Reply("*", None):
            self.wrong.append(f"EXEC with a watched key {name}: {reply}")

    def must_run(self) -> None:
        """Nobody ever writes the keys that only this process watches."""
        session = self.choose("wide named")
        if session is None:
            return
        session.client.value("UNWATCH")
        session.client.value("WATCH", *session.keys[KEYS_EACH // 2 :])
        self.ask(["MSET", *self.pairs()], database=session.database)
        reply = session.execute()
        self.counts["unchanged"] += 1
        if reply.kind != "*" or reply.value is None:
            self.wrong.append(f"EXEC with nothing changed: {reply}")

    # Steps with two possible outcomes.

    def pairs(self) -> list:
        """Keys that sessions watch, with values."""
        keys = self.names("named" if self.tenants and self.random.random() < 0.5 else "wide")
        return [word for key in keys[:10] for word in (key, "v" * self.random.randrange(40))]

    def write(self) -> None:
        """Several keys are written, some of them for a moment."""
        commands: list[list] = [["MSET", *self.pairs()], ["DEL", *self.pairs()[0::2]]]
        commands += [
            ["SET", key, 1, "PX", self.random.randint(1, 20)] for key in self.pairs()[0::2]
        ]
        self.ask(*commands, database=self.random.randrange(2))

    def whole(self) -> None:
        """A database goes, or two change places."""
        self.ask(
            self.random.choice((["FLUSHDB"], ["SWAPDB", 0, 1], ["SWAPDB", 1, 2], ["FLUSHALL"])),
            database=self.random.randrange(2),
        )

    def transact(self) -> None:
        """A session runs a transaction and watches again, all in one go."""
        session = self.choose("wide named created")
        if session:
            pairs = self.pairs() if session.kind != "created" else ["k1", 1, "k2", 2]
            last = self.random.choice((["EXEC"], ["EXEC"], ["DISCARD"], ["RESET"]))
            commands = [["MULTI"], ["MSET", *pairs], ["GET", pairs[0]], last]
            replies = session.client.pipeline(commands)
            if last == ["RESET"]:
                return self.lose(session)
            self.counts[f"{last[0]} {replies[-1].kind}"] += 1
            session.watch()

    def kill(self) -> None:
        """The server ends a session."""
        session = self.choose("wide named created")
        if session:
            self.ask(["CLIENT", "KILL", "ID", session.id])
            self.counts["killed"] += 1
            self.lose(session)

    def drop(self) -> None:
        """A session ends in the middle of a request, half of them by a reset."""
        session = self.choose("wide named created")
        if session:
            data = encode(["WATCH", *session.keys])
            session.client.send_raw(data[: self.random.randrange(len(data))])
            if self.random.random() < 0.5:
                session.client.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self.counts["dropped"] += 1
            self.lose(session)

    def delete(self) -> None:
        """A tenant is deleted; one that was created comes back."""
        number = self.random.randrange(CREATED)
        self.ask(
            ["TENANT", "DELETE", f"c{number}"],
            ["TENANT", "CREATE", f"c{number}", "SECRET", secret(number)],
            ["TENANT", "DELETE", f"n{self.random.randrange(NAMED)}"],
        )
        self.counts["tenants deleted"] += 1

    def run(self, seconds: float) -> None:
        """Turns until the time is up."""
        turns: list[tuple[Any, int]] = [
            (self.must_fail, 30), (self.must_run, 15), (self.write, 20), (self.transact, 15),
            (self.whole, 4), (self.kill, 5), (self.drop, 5), (self.delete, 3 * self.tenants),
        ]
        functions = [function for function, _ in turns]
        weights = [weight for _, weight in turns]
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.wrong) < 20:
            turn = self.random.choices(functions, weights)[0]
            try:
                turn()
            except (ConnectionLost, ConnectionError):
                self.forget_lost()

    def forget_lost(self) -> None:
        """A tenant's deletion ends its sessions; nothing else ends one behind its back."""
        for session in [session for session in self.sessions if session]:
            try:
                session.client.value("PING")
            except (ConnectionLost, ConnectionError):
                self.lose(session)
                if session.kind != "created":
                    self.wrong.append(f"a session was lost: {session.kind}")


def _work(
    arguments: tuple[Any, ...], seconds: float, barrier: Barrier, results: Queue
) -> None:
    """A process: its sessions, then the storm."""
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    try:
        storm = Storm(*arguments)
        counts["watches"] = KEYS_EACH * sum(session is not None for session in storm.sessions)
        results.put((counts, wrong))
        barrier.wait()
        storm.run(seconds)
        counts, wrong = storm.counts, storm.wrong
    except (Exception, ProtocolError) as error:  # pylint: disable=broad-except
        wrong.append(f"{type(error).__name__}: {error}")
        barrier.abort()
    results.put((counts, wrong))


class Storms:
    """Several processes; `watches` once all their sessions watch, then `finish`."""

    def __init__(
        self, address: tuple[str, int], processes: int, sessions: int, seconds: float, seed: int,
        tenants: bool,
    ) -> None:
        self.seconds = seconds
        self.results: Queue = _context.Queue()
        self.barrier = _context.Barrier(processes + 1)
        self.workers = [
            _context.Process(
                target=_work,
                args=(
                    (address, number, sessions // processes, seed * 100 + number, tenants),
                    seconds, self.barrier, self.results,
                ),
            )
            for number in range(processes)
        ]
        for worker in self.workers:
            worker.start()
        self.watches, self.wrong = self._collect(120)

    def _collect(self, timeout: float) -> tuple[Counter[str], list[str]]:
        """What each process reports next."""
        counts: Counter[str] = Counter()
        wrong: list[str] = []
        for _ in self.workers:
            more, texts = self.results.get(timeout=timeout)
            counts.update(more)
            wrong += texts
        return counts, wrong

    def finish(self) -> tuple[Counter[str], list[str]]:
        """Lets the storm begin; what was done, and what was wrong, once it is over."""
        self.barrier.wait()
        counts, wrong = self._collect(self.seconds + 120)
        for worker in self.workers:
            worker.join()
        return counts, self.wrong + wrong
