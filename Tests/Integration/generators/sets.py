# SPDX-License-Identifier: Apache-2.0
"""Random commands of the set family."""

from __future__ import annotations

from .source import Source

Arguments = list


def members(source: Source) -> Arguments:
    """A few members; sometimes enough to leave the intset or the packed encoding."""
    if source.one_in(25):
        start = source.randrange(100)
        size = source.choice([50, 127, 128, 129, 511, 512, 513])
        form = source.choice([b"%d", b"%d", b"f%d"])
        return [form % number for number in range(start, start + size)]
    if source.one_in(2):
        return [source.randint(-10, 30) for _ in range(source.randint(1, 5))]
    return [source.field() for _ in range(source.randint(1, 4))]


def remove(source: Source) -> Arguments:
    """SREM of a few members, sometimes of a whole range."""
    if source.one_in(15):
        form = source.choice([b"%d", b"f%d"])
        return ["SREM", source.key("set"), *[form % number for number in range(650)]]
    return ["SREM", source.key("set"), *members(source)]


def intersection_size(source: Source) -> Arguments:
    """SINTERCARD with and without LIMIT, its numkeys right or wrong."""
    keys = source.keys("set")
    count: object = len(keys)
    if source.one_in(10):
        count = source.choice([0, -1, len(keys) + 1, len(keys) - 1, "x", 1 << 63])
    arguments: Arguments = ["SINTERCARD", count, *keys]
    if source.one_in(2):
        arguments += [source.case("LIMIT"), source.choice([0, 1, 2, 10, -1, "x"])]
    return arguments


def pick(source: Source, name: str) -> Arguments:
    """SPOP or SRANDMEMBER, with or without a count."""
    arguments: Arguments = [name, source.key("set")]
    if source.one_in(3):
        return arguments
    count = source.count()
    if isinstance(count, int) and abs(count) <= 1000:
        if source.one_in(8 if name == "SPOP" else 2):
            count = -count
        if name == "SPOP" and count > 10 and not source.one_in(4):
            count = 2
    return [*arguments, count]


def scan(source: Source) -> Arguments:
    """SSCAN; the driver follows the cursor to the end."""
    arguments: Arguments = ["SSCAN", source.key("set"), 0]
    if source.one_in(3):
        arguments += ["MATCH", source.pattern()]
    if source.one_in(3):
        arguments += ["COUNT", source.choice([1, 5, 100, 0, "x"])]
    return arguments


def combine(source: Source, store: bool) -> Arguments:
    """SINTER, SUNION, SDIFF, or their STORE forms."""
    name = source.choice(["SINTER", "SUNION", "SDIFF"])
    if not store:
        return [name, *source.keys("set")]
    return [name + "STORE", source.key("set"), *source.keys("set")]


COMMANDS = [
    (12, lambda s: ["SADD", s.key("set"), *members(s)]),
    (8, remove),
    (4, lambda s: ["SISMEMBER", s.key("set"), s.field()]),
    (3, lambda s: ["SMISMEMBER", s.key("set"), *members(s)]),
    (3, lambda s: ["SCARD", s.key("set")]),
    (4, lambda s: ["SMEMBERS", s.key("set")]),
    (4, lambda s: ["SMOVE", s.key("set"), s.key("set"), s.field()]),
    (2, lambda s: pick(s, "SPOP")),
    (2, lambda s: pick(s, "SRANDMEMBER")),
    (6, lambda s: combine(s, store=False)),
    (5, lambda s: combine(s, store=True)),
    (4, intersection_size),
    (2, scan),
]


def command(source: Source) -> Arguments:
    """One random command of the family."""
    weights = [weight for weight, _ in COMMANDS]
    return source.choices(COMMANDS, weights)[0][1](source)
