# SPDX-License-Identifier: Apache-2.0
"""Commands of every kind at the same time, which meet on few keys and few tenants.

The load does not check the replies: its purpose is that everything happens
concurrently. The errors that such a mix causes are expected.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.queues import Queue

from .resp import Client, ConnectionLost, ProtocolError, encode

PASSWORD = "app"
ROWS = 200
NAMED, CREATED = 12, 6
EXPECTED = (
    b"ERR max ", b"ERR DB capacity", b"ERR no such key", b"ERR source and destination",
    b"ERR MULTI", b"ERR value is not an integer", b"ERR tenant", b"ERR no such tenant",
    b"ERR unknown tenant", b"ERR No such client", b"ERR No such user", b"ERR the tenant exists",
    b"ERR increment or decrement", b"ERR secret", b"ERR EXEC without",
    b"ERR hash value is not an integer", b"ERR The specified keys must", b"ERR DISCARD without",
    b"WRONGTYPE ", b"OOM ", b"NOPERM ", b"NOAUTH ", b"EXECABORT ", b"TRYAGAIN ", b"WRONGPASS ",
)
_context = multiprocessing.get_context("fork")


def secret(number: int) -> str:
    """The secret of a created tenant."""
    return f"secret-{number}"


class Mix:
    """One process: some connections, random batches on each."""

    def __init__(self, address: tuple[str, int], connections: int, seed: int) -> None:
        self.address = address
        self.random = random.Random(seed)
        self.clients: list[Client | None] = [None] * connections
        self.commands = 0
        self.unexpected: list[str] = []
        common = [
            (self.read, 30), (self.write, 30), (self.collection, 14), (self.many, 14),
            (self.expire, 8), (self.transfer, 8), (self.transaction, 5), (self.remove, 8),
            (self.whole, 3), (self.look, 3), (self.huge, 1),
        ]
        control = [
            (self.tenants, 8), (self.configure, 2), (self.clients_control, 2), (self.record, 8),
        ]
        self.kinds = common + control

    # Each kind returns a list of commands.

    def key(self) -> str:
        """A key of the application, of a named tenant, or a record's."""
        draw = self.random.random()
        if draw < 0.45:
            return f"tenant:n{self.random.randrange(NAMED)}:k{self.random.randrange(4)}"
        if draw < 0.5:
            return f"tenant:id:{self.random.randrange(ROWS)}"
        return f"k{self.random.randrange(400)}"

    def keys(self, most: int) -> list[str]:
        """Several keys, some perhaps twice."""
        return [self.key() for _ in range(self.random.randint(1, most))]

    def value(self) -> bytes:
        """A value of any size class."""
        return b"v" * self.random.choice((0, 1, 3, 11, 40, 100, 300, 1500, 9000))

    def read(self) -> list:
        """One key is looked at."""
        name = self.random.choice(
            (
                "GET", "GET", "GET", "STRLEN", "TTL", "TYPE", "HGETALL", "SMEMBERS", "HRANDFIELD",
                "SCARD",
            )
        )
        return [[name, self.key()]]

    def write(self) -> list:
        """One key is written."""
        key = self.key()
        return [
            self.random.choice(
                (
                    ["SET", key, self.value()],
                    ["SET", key, self.value(), "PX", self.random.randint(1, 80)],
                    ["APPEND", key, self.value()], ["INCR", key], ["SETRANGE", key, 5, "abc"],
                    ["SET", key, 1, "NX", "GET"], ["GETEX", key, "PX", 20],
                )
            )
        ]

    def collection(self) -> list:
        """A hash or a set, small or large enough for a table of its own."""
        key = self.key()
        members = [
            f"m{self.random.randrange(900)}" for _ in range(self.random.choice((1, 3, 40, 300)))
        ]
        pairs = [word for member in members for word in (member, self.value()[:40])]
        return [
            self.random.choice(
                (
                    ["SADD", key, *members], ["SREM", key, *members],
                    ["SADD", key, *range(len(members))], ["HSET", key, *pairs],
                    ["HDEL", key, *members], ["SPOP", key, 50], ["HINCRBY", key, "m1", 1],
                    ["SSCAN", key, 0, "COUNT", 40], ["SRANDMEMBER", key, -5],
                )
            )
        ]

    def many(self) -> list:
        """Several keys of several shards and tenants in one command."""
        keys = self.keys(self.random.choice((3, 10, 60)))
        values = [word for key in keys for word in (key, self.value())]
        return [
            self.random.choice(
                (
                    ["MGET", *keys], ["MSET", *values], ["DEL", *keys], ["EXISTS", *keys],
                    ["UNLINK", *keys], ["MSETNX", *values], ["SINTERSTORE", "k1", *keys],
                    ["SUNION", *keys], ["SDIFFSTORE", "k2", *keys],
                )
            )
        ]

    def expire(self) -> list:
        """Keys that expire soon."""
        return [["PEXPIRE", key, self.random.randint(0, 60)] for key in self.keys(6)]

    def transfer(self) -> list:
        """A value goes from key to key, from tenant to tenant, from database to database."""
        source, target = self.key(), self.key()
        number = self.random.randrange(4)
        return [
            self.random.choice(
                (
                    ["RENAME", source, target], ["RENAMENX", source, target],
                    ["COPY", source, target, "REPLACE"],
                    ["COPY", source, target, "DB", number, "REPLACE"], ["MOVE", source, number],
                    ["SMOVE", source, target, "m1"], ["GETDEL", source],
                    ["LCS", source, target, "LEN"],
                )
            )
        ]

    def transaction(self) -> list:
        """WATCH, some of the others, and EXEC."""
        inner = [
            command
            for _ in range(self.random.randint(0, 4))
            for command in self.random.choice(
                (self.read, self.write, self.many, self.transfer, self.whole, self.collection)
            )()
        ]
        last = self.random.choice((["EXEC"], ["EXEC"], ["EXEC"], ["DISCARD"]))
        return [["WATCH", *self.keys(5)], *self.write(), ["MULTI"], *inner, last]

    def remove(self) -> list:
        """Whole tenants go with their keys, and come back."""
        number = self.random.randrange(NAMED)
        return [["DEL", *(f"tenant:n{number}:k{key}" for key in range(4))]]

    def whole(self) -> list:
        """Commands that go over a whole database."""
        return [
            self.random.choice(
                (
                    ["FLUSHDB"], ["FLUSHDB", "ASYNC"], ["FLUSHALL"], ["DBSIZE"], ["RANDOMKEY"],
                    ["KEYS", "tenant:*"], ["SCAN", 0, "COUNT", 300],
                    ["SWAPDB", 0, self.random.randrange(1, 4)], ["SWAPDB", 1, 2],
                    ["SELECT", self.random.randrange(4)], ["SELECT", 0],
                )
            )
        ]

    def look(self) -> list:
        """Commands of administrators."""
        return [
            self.random.choice(
                (
                    ["INFO", "everything"], ["CLIENT", "LIST"], ["CLIENT", "INFO"],
                    ["MEMORY", "STATS"], ["MEMORY", "USAGE", self.key()], ["TENANT", "LIST"],
                    ["CONFIG", "GET", "*"], ["RECORDS", "STATS"],
                    ["OBJECT", "ENCODING", self.key()], ["CONFIG", "RESETSTAT"],
                    ["MEMORY", "PURGE"],
                )
            )
        ]

    def huge(self) -> list:
        """Values that another thread frees."""
        return [
            ["SADD", "huge", *range(3000)], ["MSET", *(f"h{n // 2}" for n in range(800))],
            ["DEL", "huge"],
        ]

    def tenants(self) -> list:
        """Created tenants come, change and go; implicit ones may too."""
        number = self.random.randrange(CREATED)
        name = self.random.choice((f"c{number}", f"c{number}", f"n{self.random.randrange(NAMED)}"))
        create = ["TENANT", "CREATE", f"c{number}", "SECRET", secret(number)]
        return [
            self.random.choice(
                (
                    create, create, create, ["TENANT", "DELETE", name], ["TENANT", "INFO", name],
                    ["TENANT", "PLAN", name, self.random.choice(("small", "slow", "default"))],
                    ["TENANT", "USAGE", name, "VERIFY"],
                    ["TENANT", "INVALIDATE", str(self.random.randrange(ROWS))],
                    ["AUTH", secret(number)], ["AUTH", PASSWORD],
                    ["TENANT", "CREATE", f"n{number}"],
                )
            )
        ]

    def configure(self) -> list:
        """Settings change while the load runs."""
        policy = self.random.choice(
            ("allkeys-lru", "allkeys-lfu", "volatile-ttl", "allkeys-random")
        )
        return [
            self.random.choice(
                (
                    [
                        "CONFIG", "SET", "maxmemory", self.random.choice(("0", "4mb", "8mb")),
                        "maxmemory-policy", policy,
                    ],
                    [
                        "CONFIG", "SET", "maxmemory", 0, "hash-max-listpack-entries",
                        self.random.choice((1, 128, 512)),
                    ],
                    ["CONFIG", "SET", "set-max-intset-entries", self.random.choice((2, 512))],
                    [
                        "CONFIG", "SET", "timeout", self.random.choice((0, 100)), "requirepass",
                        PASSWORD,
                    ],
                )
            )
        ]

    def clients_control(self) -> list:
        """Clients are killed, paused and unblocked."""
        identity = self.random.randrange(1, 400)
        return [
            self.random.choice(
                (
                    ["CLIENT", "KILL", "ID", identity],
                    ["CLIENT", "KILL", "USER", f"c{self.random.randrange(CREATED)}"],
                    [
                        "CLIENT", "PAUSE", self.random.randint(1, 15),
                        self.random.choice(("WRITE", "ALL")),
                    ],
                    ["CLIENT", "UNPAUSE"], ["CLIENT", "SETNAME", f"x{identity}"],
                    ["CLIENT", "NO-EVICT", "on"],
                )
            )
        ]

    def record(self) -> list:
        """Rows are asked for and dropped."""
        key = f"tenant:id:{self.random.randrange(ROWS + 20)}"
        return [
            self.random.choice(
                (
                    ["GET", key], ["GET", key], ["MGET", key, "tenant:id:3"], ["DEL", key],
                    ["RECORDS", "INVALIDATE", "tenants"],
                    ["TENANT", "INVALIDATE", key.rpartition(":")[2]],
                )
            )
        ]

    # Sending it.

    def open(self) -> Client:
        """A connection of the application or of a created tenant."""
        client = Client(self.address, timeout=30)
        word = PASSWORD
        if self.random.random() < 0.3:
            word = secret(self.random.randrange(CREATED))
        if client.call("AUTH", word).is_error:
            client.call("AUTH", PASSWORD)
        return client

    def batch(self) -> list:
        """Some commands for one write to the socket."""
        functions = [function for function, _ in self.kinds]
        weights = [weight for _, weight in self.kinds]
        chosen = self.random.choices(functions, weights, k=self.random.choice((1, 2, 8, 30)))
        return [command for function in chosen for command in function()]

    def turn(self, place: int) -> None:
        """One batch on one connection, which may be cut off in the middle."""
        client = self.clients[place] = self.clients[place] or self.open()
        commands = self.batch()
        self.commands += len(commands)
        data = b"".join(encode(command) for command in commands)
        if self.random.random() < 0.02:
            client.send_raw(data[: self.random.randrange(len(data))])
            client.close()
            self.clients[place] = None
            return
        client.send_raw(data)
        for command in commands:
            reply = client.read()
            if reply.is_error and not reply.value.startswith(EXPECTED):
                self.unexpected.append(f"{command[:3]}: {reply.value[:120]!r}")

    def run(self, seconds: float) -> None:
        """Sends batches until the time is up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.unexpected) < 20:
            place = self.random.randrange(len(self.clients))
            try:
                self.turn(place)
            except (ConnectionLost, ConnectionError):
                self.clients[place] = None  # It was killed, or its tenant is gone.
            except (ProtocolError, TimeoutError) as error:
                self.unexpected.append(f"{type(error).__name__}: {error}")
                self.clients[place] = None
        for client in self.clients:
            if client:
                client.close()


def _work(
    address: tuple[str, int], connections: int, seconds: float, seed: int, results: Queue
) -> None:
    mix = Mix(address, connections, seed)
    try:
        mix.run(seconds)
    except Exception as error:  # pylint: disable=broad-except
        mix.unexpected.append(f"{type(error).__name__}: {error}")
    results.put((mix.commands, mix.unexpected))


def run_mix(
    address: tuple[str, int], processes: int, connections: int, seconds: float, seed: int
) -> tuple[int, list[str]]:
    """The number of commands sent, and the replies that should not have come."""
    results: Queue = _context.Queue()
    workers = [
        _context.Process(
            target=_work, args=(address, connections, seconds, seed * 1000 + number, results)
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    done = [results.get(timeout=seconds + 120) for _ in workers]
    for worker in workers:
        worker.join()
    return sum(count for count, _ in done), [text for _, texts in done for text in texts]
