# SPDX-License-Identifier: Apache-2.0
"""Where random commands take keys, values and numbers from.

There are few keys, so that commands meet, and each family prefers its own keys,
so that most commands find a value of their type. One in eight takes any key,
which gives wrong types and missing keys. No command may depend on the clock by
less than hours: a TTL is long, or already over. `scenarios.py` has the short
ones, on keys that only it touches.
"""

from __future__ import annotations

import random
import time

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)

BORDERS = [
    INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, INT64_MAX + 1, INT64_MIN - 1,
    1 << 64, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, 32767, 32768, -32769,
    0, 1, -1,
]
NOT_NUMBERS = [
    b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"0x10", b"1e3", b"1.0", b"abc", b"--1",
    b"9" * 20, b"9" * 40, b"-", b"1\x00", b"\x00", b"nan", b"inf", b"-inf", b"1_0",
]
FLOATS = [
    b"0.1", b"-0.1", b"3.0e3", b"5.0e-3", b"1e17", b"1e-17", b"3.14159265358979323846",
    b"0.00000000000000001", b"123456789012345678", b"1e308", b"-1e308", b"1e400",
    b"1e4000", b"1e5000", b"inf", b"-inf", b"nan", b"+1.5", b" 1.5", b"1.5 ", b"0x1p3",
    b".5", b"5.", b"1e", b"", b"-0", b"-0.0", b"10.50", b"2.5e0", b"1.7976931348623157e308",
]
BINARY_KEYS = [
    b"", b"\x00", b"\r\n", b"a\x00b", b"\xff" * 3, bytes(range(256)), b"s:\xc3\xa9",
    b"[x]", b"*", b"back\\slash", b"{tag}x",
]


def names(prefix: str, count: int) -> list[bytes]:
    """Key names of one family."""
    return [f"{prefix}:{number}".encode() for number in range(count)]


class Source(random.Random):
    """A seeded random source of the parts of commands."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.pools = {
            "string": names("s", 14) + BINARY_KEYS,
            "hash": names("h", 10) + [b"h\x00\xff"],
            "set": names("m", 10) + [b"m\r\n"],
            "lcs": names("lcs", 4),
        }
        self.everything = [
            key for name, pool in self.pools.items() if name != "lcs" for key in pool
        ] + [b"missing"]

    def one_in(self, chance: int) -> bool:
        """True once in so many times."""
        return self.randrange(chance) == 0

    def key(self, family: str) -> bytes:
        """A key that usually holds the family's type."""
        return self.choice(self.everything if self.one_in(8) else self.pools[family])

    def any_key(self) -> bytes:
        """Any key but the LCS ones, which must stay short."""
        return self.choice(self.everything)

    def keys(self, family: str, most: int = 4) -> list[bytes]:
        """One or more keys, the same one possibly twice."""
        return [self.key(family) for _ in range(self.randint(1, most))]

    def integer(self) -> int | bytes:
        """A number for INCRBY and the like: small, at a border, or none at all."""
        kind = self.randrange(10)
        if kind < 6:
            return self.randint(-1000, 1000)
        return self.choice(BORDERS) if kind < 9 else self.choice(NOT_NUMBERS)

    def index(self) -> int | bytes:
        """An index into a short string."""
        if self.one_in(12):
            return self.integer()
        return self.randint(-12, 60)

    def count(self) -> int | bytes:
        """A count for random picks and LIMIT."""
        if self.one_in(15):
            return self.integer_without_magnitude()
        return self.choice([0, 1, 2, 3, 5, 10, 40, 1000])

    def integer_without_magnitude(self) -> int | bytes:
        """A count that is refused or harmless: never millions of picks."""
        return self.choice([INT64_MIN, INT64_MIN - 1, INT64_MAX + 1, *NOT_NUMBERS])

    def floating(self) -> bytes:
        """An increment for the float commands."""
        kind = self.randrange(10)
        if kind < 3:
            return self.choice(FLOATS)
        if kind < 6:
            return b"%d" % self.randint(-10000, 10000)
        digits = self.randint(0, 17)
        return f"{self.uniform(-1000, 1000):.{digits}f}".encode()

    def value(self) -> bytes:
        """A string value around every size where an encoding changes."""
        kind = self.randrange(24)
        if kind < 6:
            return b"%d" % self.randint(-20, 12000)
        if kind < 8:
            return b"%d" % self.choice(BORDERS)
        if kind == 8:
            return self.choice(NOT_NUMBERS)
        if kind == 9:
            return self.choice(FLOATS)
        if kind < 14:
            size = self.choice([0, 1, 19, 20, 21, 43, 44, 45, 63, 64, 65, 100])
            return bytes([self.randrange(97, 123)]) * size
        if kind < 18:
            return self.randbytes(self.randint(0, 80))
        if kind == 18 and self.one_in(6):
            return self.randbytes(self.choice([1000, 16384, 40000, 70000]))
        return b"v%d" % self.randrange(50)

    def field(self) -> bytes:
        """A hash field or set member that other commands may name too."""
        kind = self.randrange(20)
        if kind < 12:
            return b"f%d" % self.randrange(24)
        if kind < 17:
            return b"%d" % self.randint(-10, 30)
        if kind == 17:
            return self.choice([b"", b"\x00", b"\r\n", b"\xff\xfe", b"x" * 64, b"x" * 65])
        return self.value()

    def seconds(self) -> int:
        """A TTL in seconds that no run outlives, from a wide range, so that none is drawn twice."""
        return self.randint(10_000, 10_000_000)

    def milliseconds(self) -> int:
        """The same in milliseconds."""
        return self.randint(10_000_000, 10_000_000_000)

    def moment(self, unit_per_second: int) -> int:
        """A point in time, hours ahead."""
        return int(time.time() + self.seconds()) * unit_per_second

    def case(self, word: str) -> bytes:
        """An option's name in upper, lower or mixed case."""
        if self.one_in(4):
            word = word.lower() if self.one_in(2) else word.swapcase().title()
        return word.encode()

    def pattern(self) -> bytes:
        """A glob for KEYS and MATCH."""
        return self.choice([
            b"*", b"s:*", b"h:?", b"m:[0-3]", b"m:[^0-3]", b"[sh]:1*", b"\\*", b"*\\\\*",
            b"", b"s:1", b"*:*", b"f*", b"f1?", b"[", b"[a", b"s:[1-", b"s:[3-1]", b"**:*",
            b"\\", b"*\xff*", b"\x00", b"*[\\]]*", b"nothing",
        ])
