# SPDX-License-Identifier: Apache-2.0
"""Random commands of the string family."""

from __future__ import annotations

from .source import Source

Arguments = list


def expiry_option(source: Source) -> Arguments:
    """EX, PX, EXAT or PXAT with a time that is hours ahead, or refused."""
    if source.one_in(12):
        bad = source.choice([0, -1, (1 << 63) - 1, 1 << 63, "abc", "", "1.5", " 5"])
        return [source.choice(["EX", "PX"]), bad]
    option = source.choice(["EX", "PX", "EXAT", "PXAT"])
    amount = {
        "EX": source.seconds,
        "PX": source.milliseconds,
        "EXAT": lambda: source.moment(1),
        "PXAT": lambda: source.moment(1000),
    }[option]()
    return [source.case(option), amount]


def set_command(source: Source) -> Arguments:
    """SET with any mixture of its options, the refused mixtures too."""
    options: Arguments = []
    if source.one_in(3):
        options.append([source.case(source.choice(["NX", "XX"]))])
    if source.one_in(4):
        options.append([source.case("GET")])
    if source.one_in(3):
        options.append(expiry_option(source))
    if source.one_in(6):
        options.append([source.case("KEEPTTL")])
    if source.one_in(40):
        options.append([source.choice(["NX", "XX", "EX", "PX", "GETX", "", "KEEP", "PERSIST"])])
    source.shuffle(options)
    flat = [word for option in options for word in option]
    return ["SET", source.key("string"), source.value(), *flat]


def getex(source: Source) -> Arguments:
    """GETEX with an expiry, PERSIST, both, or neither."""
    options: Arguments = []
    if source.one_in(2):
        options += expiry_option(source)
    if source.one_in(4):
        options.append(source.case("PERSIST"))
    return ["GETEX", source.key("string"), *options]


def lcs(source: Source) -> Arguments:
    """LCS of short strings over a small alphabet; SET makes them, in turn."""
    if source.one_in(2):
        size = source.randint(0, 40)
        text = "".join(source.choice("abcd") for _ in range(size))
        return ["SET", source.choice(source.pools["lcs"]), text]
    first = source.choice(source.pools["lcs"])
    pool = source.pools[source.choice(["lcs", "lcs", "lcs", "lcs", "hash", "set"])]
    arguments: Arguments = ["LCS", first, source.choice(pool)]
    for option in ("LEN", "IDX", "WITHMATCHLEN"):
        if source.one_in(3):
            arguments.append(source.case(option))
    if source.one_in(3):
        arguments += [source.case("MINMATCHLEN"), source.choice([0, 1, 2, 3, 5, -1, "x"])]
    return arguments


def pairs(source: Source) -> Arguments:
    """Keys and values for MSET and MSETNX."""
    result: Arguments = []
    for _ in range(source.randint(1, 4)):
        result += [source.key("string"), source.value()]
    return result


def setrange(source: Source) -> Arguments:
    """SETRANGE within a kilobyte, or beyond what a string may hold."""
    offset: object = source.randint(0, 90)
    if source.one_in(6):
        offset = source.choice([1000, -1, 536870912, 1 << 40, (1 << 63) - 1, "x", "-0"])
    value = b"" if source.one_in(6) else source.randbytes(source.randint(0, 20))
    return ["SETRANGE", source.key("string"), offset, value]


COMMANDS = [
    (14, set_command),
    (9, lambda s: ["GET", s.key("string")]),
    (4, getex),
    (3, lambda s: ["GETDEL", s.key("string")]),
    (3, lambda s: ["GETSET", s.key("string"), s.value()]),
    (3, lambda s: ["SETNX", s.key("string"), s.value()]),
    (2, lambda s: ["SETEX", s.key("string"), _ttl(s, s.seconds), s.value()]),
    (2, lambda s: ["PSETEX", s.key("string"), _ttl(s, s.milliseconds), s.value()]),
    (5, setrange),
    (5, lambda s: ["GETRANGE", s.key("string"), s.index(), s.index()]),
    (2, lambda s: ["SUBSTR", s.key("string"), s.index(), s.index()]),
    (5, lambda s: ["APPEND", s.key("string"), s.value()]),
    (3, lambda s: ["STRLEN", s.key("string")]),
    (3, lambda s: ["INCR", s.key("string")]),
    (3, lambda s: ["DECR", s.key("string")]),
    (5, lambda s: ["INCRBY", s.key("string"), s.integer()]),
    (5, lambda s: ["DECRBY", s.key("string"), s.integer()]),
    (7, lambda s: ["INCRBYFLOAT", s.key("string"), s.floating()]),
    (4, lambda s: ["MSET", *pairs(s)]),
    (3, lambda s: ["MSETNX", *pairs(s)]),
    (5, lambda s: ["MGET", *s.keys("string", 6)]),
    (6, lcs),
]


def _ttl(source: Source, amount: object) -> object:
    return source.choice([0, -1, "x", 1 << 63]) if source.one_in(10) else amount()


def command(source: Source) -> Arguments:
    """One random command of the family."""
    weights = [weight for weight, _ in COMMANDS]
    return source.choices(COMMANDS, weights)[0][1](source)
