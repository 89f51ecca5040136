# SPDX-License-Identifier: Apache-2.0
"""Random operations on the keys of many tenants, counted as they are made.

Every connection has its own key names in every tenant, so its replies do not
depend on what the others do at that moment. All connections share the tenants.
"""

from __future__ import annotations

import multiprocessing
import random
from multiprocessing.queues import Queue

from .resp import Client, encode
from .tenancy import Model

WINDOW = 400
KEYS_PER_KIND = 5
_context = multiprocessing.get_context("fork")


def pin_key(tenant: int) -> str:
    """A key that stays: an implicit tenant goes with its last key."""
    return f"tenant:{tenant}:pin"


class Worker:
    """One connection's operations, and its model of the stored data."""

    def __init__(self, connection: int, tenants: int, seed: int) -> None:
        self.random = random.Random(seed * 1000 + connection)
        self.connection = connection
        self.tenants = tenants
        self.model = Model()
        self.strings: dict[str, bytes] = {}
        self.hashes: dict[str, set[str]] = {}
        self.sets: dict[str, set[str]] = {}
        self.kinds = [
            (self.get, 30), (self.set, 20), (self.mget, 8), (self.incr, 5), (self.delete, 8),
            (self.hset, 8), (self.hget, 8), (self.hdel, 3), (self.sadd, 6), (self.sismember, 6),
            (self.srem, 3), (self.exists, 4), (self.append, 3), (self.getdel, 2),
        ]
        self.functions = [function for function, _ in self.kinds]
        self.weights = [weight for _, weight in self.kinds]

    def key(self, kind: str, tenant: int) -> str:
        """One of this connection's keys in a tenant."""
        return f"tenant:{tenant}:{kind}{self.connection}:{self.random.randrange(KEYS_PER_KIND)}"

    def operation(self) -> tuple[list, object]:
        """A random command, and the value that the model expects in the reply."""
        tenant = self.random.randrange(self.tenants)
        function = self.random.choices(self.functions, self.weights)[0]
        return function(tenant)

    def value(self) -> bytes:
        """A value of any size that the allocator treats differently."""
        return b"v" * self.random.choice((1, 5, 11, 30, 60, 100, 300, 1500))

    def get(self, tenant: int) -> tuple[list, object]:
        """GET, a hit or a miss."""
        key = self.key("s", tenant)
        self.model.read(tenant)
        self.model.look(tenant, key in self.strings)
        return ["GET", key], self.strings.get(key)

    def set(self, tenant: int) -> tuple[list, object]:
        """SET, with a long TTL at times."""
        key, value = self.key("s", tenant), self.value()
        self.model.write(tenant)
        self.strings[key] = value
        extra = ["EX", 100_000] if self.random.randrange(3) == 0 else []
        return ["SET", key, value, *extra], b"OK"

    def mget(self, tenant: int) -> tuple[list, object]:
        """MGET of two tenants' keys: one command for each tenant named."""
        other = self.random.randrange(self.tenants)
        keys = [self.key("s", tenant), self.key("s", other)]
        for owner in {tenant, other}:
            self.model.read(owner)
        for owner, key in zip((tenant, other), keys):
            self.model.look(owner, key in self.strings)
        return ["MGET", *keys], [self.strings.get(key) for key in keys]

    def incr(self, tenant: int) -> tuple[list, object]:
        """INCR of a key that holds integers only."""
        key = self.key("n", tenant)
        self.model.write(tenant)
        number = int(self.strings.get(key, b"0")) + 1
        self.strings[key] = b"%d" % number
        return ["INCR", key], number

    def append(self, tenant: int) -> tuple[list, object]:
        """APPEND up to a few kilobytes."""
        key = self.key("s", tenant)
        value = self.strings.get(key, b"")
        if len(value) > 3000:
            return self.delete(tenant)
        self.model.write(tenant)
        self.strings[key] = value + b"tail"
        return ["APPEND", key, "tail"], len(value) + 4

    def delete(self, tenant: int) -> tuple[list, object]:
        """DEL of a string."""
        key = self.key("s", tenant)
        self.model.write(tenant)
        return ["DEL", key], int(self.strings.pop(key, None) is not None)

    def getdel(self, tenant: int) -> tuple[list, object]:
        """GETDEL: a write that looks up for reading."""
        key = self.key("s", tenant)
        self.model.write(tenant)
        self.model.look(tenant, key in self.strings)
        return ["GETDEL", key], self.strings.pop(key, None)

    def exists(self, tenant: int) -> tuple[list, object]:
        """EXISTS of two keys of one tenant."""
        keys = [self.key("s", tenant), self.key("n", tenant)]
        self.model.read(tenant)
        for key in keys:
            self.model.look(tenant, key in self.strings)
        return ["EXISTS", *keys], sum(key in self.strings for key in keys)

    def hset(self, tenant: int) -> tuple[list, object]:
        """HSET of one field."""
        key, field = self.key("h", tenant), f"f{self.random.randrange(200)}"
        self.model.write(tenant)
        fields = self.hashes.setdefault(key, set())
        new = field not in fields
        fields.add(field)
        return ["HSET", key, field, self.value()], int(new)

    def hget(self, tenant: int) -> tuple[list, object]:
        """HGET: a hit when the key exists, with the field or not."""
        key = self.key("h", tenant)
        self.model.read(tenant)
        self.model.look(tenant, key in self.hashes)
        return ["HSTRLEN", key, "no such field"], 0

    def hdel(self, tenant: int) -> tuple[list, object]:
        """HDEL of one field; the key goes with its last."""
        key, field = self.key("h", tenant), f"f{self.random.randrange(200)}"
        self.model.write(tenant)
        return ["HDEL", key, field], self._remove(self.hashes, key, field)

    def sadd(self, tenant: int) -> tuple[list, object]:
        """SADD of an integer or a word."""
        key, member = self.key("m", tenant), self.member()
        self.model.write(tenant)
        members = self.sets.setdefault(key, set())
        new = member not in members
        members.add(member)
        return ["SADD", key, member], int(new)

    def srem(self, tenant: int) -> tuple[list, object]:
        """SREM of one member; the key goes with its last."""
        key, member = self.key("m", tenant), self.member()
        self.model.write(tenant)
        return ["SREM", key, member], self._remove(self.sets, key, member)

    def sismember(self, tenant: int) -> tuple[list, object]:
        """SISMEMBER: a hit when the key exists."""
        key, member = self.key("m", tenant), self.member()
        self.model.read(tenant)
        self.model.look(tenant, key in self.sets)
        return ["SISMEMBER", key, member], int(member in self.sets.get(key, ()))

    def member(self) -> str:
        """Mostly integers, so that the encoding changes during the run."""
        number = self.random.randrange(100)
        return f"word{number}" if number % 30 == 29 else str(number)

    @staticmethod
    def _remove(collections: dict[str, set[str]], key: str, item: str) -> int:
        members = collections.get(key, set())
        if item not in members:
            return 0
        members.remove(item)
        if not members:
            del collections[key]
        return 1

    def run(self, client: Client, operations: int) -> str:
        """Runs the operations in pipelines; returns the first wrong reply, or nothing."""
        left = operations
        while left > 0:
            block = [self.operation() for _ in range(min(WINDOW, left))]
            left -= len(block)
            client.send_raw(b"".join([encode(command) for command, _ in block]))
            for command, expected in block:
                reply = client.read()
                value = reply.value
                if isinstance(value, tuple):
                    value = [item.value for item in value]
                if reply.is_error or value != expected:
                    return f"{command[:3]!r} answered {reply!r}"[:300]
        return ""


def _work(
    queue: Queue, address: tuple[str, int], connection: int, tenants: int, seed: int, count: int
) -> None:
    worker = Worker(connection, tenants, seed)
    try:
        with Client(address, protocol=2 + connection % 2, timeout=120) as client:
            wrong = worker.run(client, count)
    except Exception as error:  # pylint: disable=broad-except
        wrong = f"{type(error).__name__}: {error}"
    queue.put((wrong, worker.model))


def run_load(
    address: tuple[str, int], tenants: int, operations: int, connections: int, seed: int
) -> tuple[Model, list[str]]:
    """All operations over some connections; the summed model and what went wrong."""
    model = Model()
    wrong: list[str] = []
    with Client(address) as client:
        client.pipeline([("SET", pin_key(tenant), "pinned") for tenant in range(tenants)])
    for tenant in range(tenants):
        model.write(tenant)
    queue: Queue = _context.Queue()
    share = operations // connections
    workers = [
        _context.Process(
            target=_work, args=(queue, address, number, tenants, seed, share), daemon=True
        )
        for number in range(connections)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        failure, counted = queue.get(timeout=1800)
        model.add(counted)
        if failure:
            wrong.append(failure)
    for worker in workers:
        worker.join()
    return model, wrong
