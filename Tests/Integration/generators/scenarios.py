# SPDX-License-Identifier: Apache-2.0
"""Random command lists: segments of single commands, and short scenes.

A scene is a few commands that belong together: a transaction that two
connections disturb, some commands in another database, keys that expire while
everybody waits.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

from support.resp import to_bytes

from . import hashes, keys, sets, strings
from .source import NOT_NUMBERS, Source

SLEEP = -1
RANDOM_PICKS = {b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"RANDOMKEY"}
CURSORS = {b"SCAN", b"HSCAN", b"SSCAN"}

FAMILIES = [
    (34, strings.command),
    (22, hashes.command),
    (20, sets.command),
    (21, keys.command),
]


class Step(NamedTuple):
    """A command for connection 0 or 1, or a pause when the connection is SLEEP."""

    connection: int
    arguments: list[bytes]

    @property
    def name(self) -> bytes:
        """The command's name in upper case."""
        return self.arguments[0].upper()


def step(connection: int, *arguments: object) -> Step:
    """A step from arguments of any type."""
    return Step(connection, [to_bytes(argument) for argument in arguments])


def pause(milliseconds: int) -> Step:
    """A step that sends nothing to either server."""
    return step(SLEEP, "PAUSE", milliseconds)


def mutate(source: Source, arguments: list) -> list:
    """Breaks a command: wrong arity, a wrong option, a value where none fits.

    It never puts in small positive numbers, because one of them could become
    a TTL that ends during the run.
    """
    result = list(arguments)
    kind = source.randrange(5)
    if kind == 0 and len(result) > 1:
        result.pop(source.randrange(1, len(result)))
    elif kind == 1:
        result.insert(source.randrange(1, len(result) + 1), source.choice(["BADOPT", "", "NX"]))
    elif kind == 2 and len(result) > 2:
        place = source.randrange(2, len(result))
        junk = [b"abc", b"-1", b"9223372036854775808", b"-9223372036854775808", b""]
        result[place] = source.choice(junk + [b" 1", b"1.5", b"\x00"])
    elif kind == 3:
        result = result[:1]
    else:
        result[0] = source.choice(["NOSUCH", "GETT", "", "HSETX", b"\xff\x00", "foo\r\nbar"])
    return result


def single(source: Source) -> list:
    """One command of any family, now and then a broken one."""
    weights = [weight for weight, _ in FAMILIES]
    arguments = source.choices(FAMILIES, weights)[0][1](source)
    if source.one_in(40):
        arguments = mutate(source, arguments)
    if source.one_in(20) and isinstance(arguments[0], str):
        arguments[0] = arguments[0].lower()
    return arguments


def followed(connection: int, arguments: list) -> Iterator[Step]:
    """The command, and the commands that must follow it at once.

    A SET with a time in the past leaves a key that either server may still
    count until a command touches it. A long argument list or value may have
    changed the key's encoding, which later commands might hide.
    """
    first = step(connection, *arguments)
    yield first
    name = first.name
    if name in (b"SET", b"GETEX") and len(first.arguments) > 3:
        yield Step(connection, [b"EXISTS", first.arguments[1]])
    elif name not in RANDOM_PICKS and len(first.arguments) > 1:
        long = any(len(argument) > 43 for argument in first.arguments[2:])
        if long or len(first.arguments) > 20:
            yield Step(connection, [b"OBJECT", b"ENCODING", first.arguments[1]])


def segment(source: Source) -> Iterator[Step]:
    """Commands that go out as one pipeline on one connection."""
    connection = source.randrange(2)
    for _ in range(source.randint(10, 80)):
        for item in followed(connection, single(source)):
            yield item
            if source.one_in(30) and len(item.arguments) > 1:
                yield Step(connection, [b"OBJECT", b"ENCODING", item.arguments[1]])


def deterministic(source: Source) -> list:
    """A command that EXEC may contain: no random pick, no cursor."""
    while True:
        arguments = single(source)
        name = to_bytes(arguments[0]).upper()
        if name not in RANDOM_PICKS and name not in CURSORS:
            return arguments


def transaction(source: Source) -> Iterator[Step]:
    """WATCH, MULTI, EXEC and DISCARD, with another connection in between."""
    mine = source.randrange(2)
    other = 1 - mine
    if source.one_in(10):
        yield step(mine, source.choice(["EXEC", "DISCARD", "UNWATCH"]))
    watched = source.keys("string", 3)
    if source.one_in(2):
        yield step(mine, "WATCH", *watched)
        if source.one_in(3):
            yield step(other, "SET", source.choice(watched), source.value())
        if source.one_in(6):
            yield step(other, *source.choice([["FLUSHDB"], ["SWAPDB", 0, 1], ["DEL", "missing"]]))
        if source.one_in(6):
            yield step(mine, "UNWATCH")
    yield step(mine, "MULTI")
    for _ in range(source.randint(0, 8)):
        yield step(mine, *deterministic(source))
        if source.one_in(8):
            yield from followed(other, deterministic(source))
        if source.one_in(25):
            yield step(mine, *source.choice([["MULTI"], ["WATCH", "a"], ["NOSUCH", "x"], ["GET"]]))
    end = source.randrange(12)
    if end == 0:
        yield step(mine, "RESET")
        if mine == 1:
            yield step(mine, "HELLO", 3)
    else:
        yield step(mine, "DISCARD" if end < 3 else "EXEC")


def excursion(source: Source) -> Iterator[Step]:
    """Some commands in another database, then back to the first."""
    connection = source.randrange(2)
    yield step(connection, "SELECT", source.choice([1, 1, 2, 3, 15, 16, -1, "x", ""]))
    for _ in range(source.randint(2, 20)):
        yield from followed(connection, single(source))
    if source.one_in(3):
        flush = source.choice([["FLUSHDB"], ["FLUSHDB", "ASYNC"], ["FLUSHDB", "SYNC"]])
        yield step(connection, *flush)
    if source.one_in(12):
        flush = source.choice([["FLUSHALL"], ["FLUSHDB", "BAD"], ["FLUSHALL", "x"]])
        yield step(connection, *flush)
    yield step(connection, "DBSIZE")
    yield step(connection, "SELECT", 0)


def expiry(source: Source) -> Iterator[Step]:
    """Keys that expire while both servers wait, seen only before and after."""
    connection = source.randrange(2)
    short = [f"short:{number}" for number in range(6)]
    life = source.randint(20, 40)
    yield step(connection, "SET", short[0], source.value(), "PX", life)
    yield step(connection, "HSET", short[1], "f", source.value(), "g", 1)
    yield step(connection, "PEXPIRE", short[1], life)
    yield step(connection, "SADD", short[2], 1, 2, "three")
    yield step(connection, "PEXPIRE", short[2], life, "NX")
    yield step(connection, "PSETEX", short[3], life, source.value())
    yield step(connection, "SET", short[4], 7)
    yield step(connection, "GETEX", short[4], "PX", life)
    yield step(connection, "SET", short[5], 1, "PX", life)
    yield step(connection, "PERSIST", short[5])
    watcher = 1 - connection
    if source.one_in(2):
        yield step(watcher, "WATCH", short[source.randrange(6)])
    yield pause(life + 25)
    for name in source.sample(short, 6):
        yield step(connection, *source.choice([
            ["GET", name], ["EXISTS", name, name], ["TTL", name], ["TYPE", name],
            ["HGETALL", name], ["SMEMBERS", name], ["SET", name, 1, "XX"], ["INCR", name],
            ["APPEND", name, "x"], ["RENAME", name, "short:0"], ["COPY", name, "short:1"],
            ["PERSIST", name], ["PEXPIRE", name, 10_000_000, "XX"], ["SCARD", name],
            ["HINCRBY", name, "f", 1], ["SADD", name, "x"], ["GETDEL", name],
            ["MSETNX", name, 1], ["SUNIONSTORE", name, short[2]],
        ]))
    yield step(watcher, "MULTI")
    yield step(watcher, "PING")
    yield step(watcher, "EXEC")
    yield step(connection, "DEL", *short)


def talk(source: Source) -> Iterator[Step]:
    """Commands about the connection itself."""
    connection = source.randrange(2)
    for _ in range(source.randint(1, 4)):
        yield step(connection, *source.choice([
            ["PING"], ["PING", source.value()], ["PING", 1, 2], ["ECHO", source.value()], ["ECHO"],
            ["AUTH", "x"], ["AUTH", "x", "y"], ["AUTH"], ["AUTH", "a", "b", "c"],
            ["HELLO", 4], ["HELLO", "x"], ["HELLO", 2 + connection, "BAD"],
            ["SELECT", 0], ["SELECT"], ["SELECT", source.choice(NOT_NUMBERS[1:])],
            ["CLIENT", "GETNAME"], ["CLIENT", "SETNAME", "name"], ["CLIENT", "SETNAME", ""],
            ["CLIENT", "SETNAME", "with space"], ["CLIENT", "REPLY", "ON"], ["CLIENT", "BAD"],
            ["OBJECT"], ["EXEC"], ["DISCARD"], ["UNWATCH"], ["WATCH"], ["MULTI", "x"],
            ["DBSIZE", "x"], ["RANDOMKEY", "x"], ["FLUSHDB", "ASYNC", "x"],
            ["COMMAND", "GETKEYS", *single(source)], ["COMMAND", "GETKEYS"],
            ["COMMAND", "GETKEYS", *single(source)], ["COMMAND", "GETKEYS", "PING"],
            ["COMMAND", "GETKEYSANDFLAGS", *deterministic(source)[:3]],
            ["CONFIG", "GET", "no-such-*"], ["CONFIG", "GET"], ["CONFIG", "BAD"],
            ["CONFIG", "SET", "no-such", 1], ["CONFIG", "SET", "maxmemory"],
            ["CONFIG", "SET", "hash-max-listpack-entries", "x"],
            ["CONFIG", "GET", "hash-max-listpack-*", "set-max-intset-entries"],
            ["MEMORY", "USAGE", "missing"], ["MEMORY", "USAGE"], ["MEMORY", "BAD"],
            ["MEMORY", "USAGE", source.any_key(), "SAMPLES", source.choice(["x", -1])],
            ["CLIENT", "NO-EVICT", "on"], ["CLIENT", "NO-EVICT", "x"], ["CLIENT", "REPLY", "x"],
            ["CLIENT", "KILL", "ID", "x"], ["CLIENT", "KILL", "1.2.3.4:5"], ["CLIENT", "ID", "x"],
            ["CLIENT", "LIST", "TYPE", "x"], ["CLIENT", "PAUSE", "x"], ["CLIENT", "PAUSE", -1],
            ["CLIENT", "UNPAUSE"], ["DEBUG"], ["SHUTDOWN", "BAD"], ["TIME", "x"],
            ["INFO", "no-such-section"],
        ]))


SCENES = [(60, segment), (16, transaction), (6, excursion), (8, talk)]


def steps(source: Source, count: int) -> Iterator[Step]:
    """At least `count` steps; never ends inside a scene."""
    made = 0
    waited_at = 0
    weights = [weight for weight, _ in SCENES]
    while made < count:
        scene = source.choices(SCENES, weights)[0][1]
        # Why: waiting costs time, so only once in a thousand or so commands.
        if made - waited_at > 1200:
            scene, waited_at = expiry, made
        for item in scene(source):
            made += 1
            yield item
