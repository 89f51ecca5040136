# SPDX-License-Identifier: Apache-2.0
"""Random commands of the hash family."""

from __future__ import annotations

from .source import Source

Arguments = list


def field_value_pairs(source: Source) -> Arguments:
    """A few fields; sometimes enough of them to leave the packed encoding."""
    result: Arguments = []
    if source.one_in(25):
        start = source.randrange(100)
        for number in range(start, start + source.choice([30, 127, 128, 129, 200])):
            result += [b"f%d" % number, b"%d" % source.randrange(1000)]
        return result
    for _ in range(source.randint(1, 4)):
        result += [source.field(), source.value()]
    return result


def fields(source: Source, most: int = 5) -> Arguments:
    """One or more fields."""
    return [source.field() for _ in range(source.randint(1, most))]


def random_field(source: Source) -> Arguments:
    """HRANDFIELD with or without count and values."""
    arguments: Arguments = ["HRANDFIELD", source.key("hash")]
    if source.one_in(4):
        return arguments
    count = source.count()
    if isinstance(count, int) and source.one_in(2) and abs(count) <= 1000:
        count = -count
    arguments.append(count)
    if source.one_in(2):
        arguments.append(source.case("WITHVALUES"))
    return arguments


def scan(source: Source) -> Arguments:
    """HSCAN; the driver follows the cursor to the end."""
    arguments: Arguments = ["HSCAN", source.key("hash"), 0]
    if source.one_in(3):
        arguments += ["MATCH", source.pattern()]
    if source.one_in(3):
        arguments += ["COUNT", source.choice([1, 5, 100, 0, "x"])]
    return arguments


def delete(source: Source) -> Arguments:
    """HDEL of a few fields, sometimes of very many."""
    if source.one_in(20):
        return ["HDEL", source.key("hash"), *[b"f%d" % number for number in range(300)]]
    return ["HDEL", source.key("hash"), *fields(source)]


COMMANDS = [
    (12, lambda s: ["HSET", s.key("hash"), *field_value_pairs(s)]),
    (2, lambda s: ["HMSET", s.key("hash"), *field_value_pairs(s)]),
    (4, lambda s: ["HSETNX", s.key("hash"), s.field(), s.value()]),
    (6, lambda s: ["HGET", s.key("hash"), s.field()]),
    (5, lambda s: ["HMGET", s.key("hash"), *fields(s)]),
    (4, lambda s: ["HGETALL", s.key("hash")]),
    (2, lambda s: ["HKEYS", s.key("hash")]),
    (2, lambda s: ["HVALS", s.key("hash")]),
    (7, delete),
    (3, lambda s: ["HLEN", s.key("hash")]),
    (3, lambda s: ["HSTRLEN", s.key("hash"), s.field()]),
    (3, lambda s: ["HEXISTS", s.key("hash"), s.field()]),
    (6, lambda s: ["HINCRBY", s.key("hash"), s.field(), s.integer()]),
    (6, lambda s: ["HINCRBYFLOAT", s.key("hash"), s.field(), s.floating()]),
    (3, random_field),
    (2, scan),
]


def command(source: Source) -> Arguments:
    """One random command of the family."""
    weights = [weight for weight, _ in COMMANDS]
    return source.choices(COMMANDS, weights)[0][1](source)
