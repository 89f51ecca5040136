# SPDX-License-Identifier: Apache-2.0
"""Random commands on keys of any type, and on databases."""

from __future__ import annotations

from .source import Source

Arguments = list
PAST = [0, 1, -1, 1000, -(1 << 40)]
REFUSED = [(1 << 63) - 1, -(1 << 63), 1 << 63, "x", "", "1.5"]


def expire(source: Source) -> Arguments:
    """EXPIRE in its four forms with NX, XX, GT, LT."""
    name = source.choice(["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])
    amount = {
        "EXPIRE": source.seconds,
        "PEXPIRE": source.milliseconds,
        "EXPIREAT": lambda: source.moment(1),
        "PEXPIREAT": lambda: source.moment(1000),
    }[name]()
    if source.one_in(10):
        amount = source.choice([0, -1, -1000] if not name.endswith("AT") else PAST)
    elif source.one_in(15):
        amount = source.choice(REFUSED)
    options = []
    if source.one_in(2):
        options.append(source.case(source.choice(["NX", "XX", "GT", "LT"])))
        if source.one_in(5):
            options.append(source.case(source.choice(["NX", "XX", "GT", "LT", "BAD"])))
    return [name, source.any_key(), amount, *options]


def copy(source: Source) -> Arguments:
    """COPY within a database or to another one."""
    arguments: Arguments = ["COPY", source.any_key(), source.any_key()]
    if source.one_in(4):
        arguments += [source.case("DB"), source.choice([0, 1, 2, 16, -1, "x"])]
    if source.one_in(2):
        arguments.append(source.case("REPLACE"))
    return arguments


def scan(source: Source) -> Arguments:
    """SCAN with its options; the driver follows the cursor to the end."""
    arguments: Arguments = ["SCAN", 0]
    if source.one_in(2):
        arguments += [source.case("MATCH"), source.pattern()]
    if source.one_in(3):
        arguments += [source.case("COUNT"), source.choice([1, 3, 10, 1000, 0, "x"])]
    if source.one_in(3):
        arguments += [source.case("TYPE"), source.choice(["string", "hash", "SET", "list"])]
    return arguments


def object_command(source: Source) -> Arguments:
    """OBJECT's subcommands."""
    name = source.choice(["ENCODING"] * 6 + ["REFCOUNT", "IDLETIME", "FREQ", "BAD"])
    return ["OBJECT", source.case(name), source.any_key()]


def rename(source: Source) -> Arguments:
    """RENAME and RENAMENX, source and destination possibly the same."""
    return [source.choice(["RENAME", "RENAMENX"]), source.any_key(), source.any_key()]


COMMANDS = [
    (6, lambda s: ["DEL", *s.keys("string", 3)]),
    (3, lambda s: ["DEL", s.any_key()]),
    (3, lambda s: ["UNLINK", *s.keys("set", 3)]),
    (5, lambda s: ["EXISTS", *s.keys("hash", 5)]),
    (2, lambda s: ["TOUCH", *s.keys("string", 4)]),
    (16, expire),
    (4, lambda s: ["TTL", s.any_key()]),
    (4, lambda s: ["PTTL", s.any_key()]),
    (3, lambda s: ["EXPIRETIME", s.any_key()]),
    (3, lambda s: ["PEXPIRETIME", s.any_key()]),
    (4, lambda s: ["PERSIST", s.any_key()]),
    (5, lambda s: ["TYPE", s.any_key()]),
    (8, rename),
    (6, copy),
    (3, lambda s: ["MOVE", s.any_key(), s.choice([0, 1, 1, 2, 15, 16, -1, "x"])]),
    (1, lambda s: ["RANDOMKEY"]),
    (2, lambda s: ["KEYS", s.pattern()]),
    (1, scan),
    (8, object_command),
    (3, lambda s: ["DBSIZE"]),
    (1, lambda s: ["SWAPDB", s.choice([0, 1, 2]), s.choice([0, 1, 2, 16, -1, "x"])]),
]


def command(source: Source) -> Arguments:
    """One random command of the family."""
    weights = [weight for weight, _ in COMMANDS]
    return source.choices(COMMANDS, weights)[0][1](source)
