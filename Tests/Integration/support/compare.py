# SPDX-License-Identifier: Apache-2.0
"""When two replies to one command count as equal.

Byte for byte and type for type, with three exceptions: elements whose order
Redis leaves open are sorted first, times to live may differ by a tolerance,
and random picks need agree only in what all of them share (`check_pick`).
"""

from __future__ import annotations

from typing import Callable, Sequence

from .differences import explained
from .resp import Reply

UNORDERED = {b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"KEYS", b"HKEYS", b"HVALS"}
# Name to tolerance, in the command's own unit.
TIMES = {b"TTL": 3, b"EXPIRETIME": 3, b"PTTL": 3000, b"PEXPIRETIME": 3000}
SHAPE_ONLY = {b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"RANDOMKEY", b"SCAN", b"HSCAN", b"SSCAN"}


def ordered(name: bytes, reply: Reply) -> Reply:
    """The reply with its elements sorted if their order means nothing."""
    if name in UNORDERED and reply.kind in "*~" and reply.value:
        return Reply(reply.kind, sorted(reply.value, key=lambda item: item.value))
    if name == b"HGETALL":
        if reply.kind == "%":
            return Reply("%", sorted(reply.value))
        if reply.kind == "*" and reply.value:
            return Reply("*", sorted(zip(reply.value[0::2], reply.value[1::2])))
    return reply


def shape(reply: Reply) -> tuple[str, object]:
    """What two replies with random contents have in common."""
    if reply.is_error:
        return (reply.kind, reply.value)
    if isinstance(reply.value, tuple):
        return (reply.kind, len(reply.value))
    return (reply.kind, reply.value is None)


def same(arguments: Sequence[bytes], reference: Reply, candidate: Reply) -> bool:
    """True when the candidate's reply counts as equal to the reference's."""
    if reference == candidate:
        return True
    if not arguments:
        return False
    name = arguments[0].upper()
    if name in TIMES and reference.kind == candidate.kind == ":":
        if reference.value < 0 or candidate.value < 0:
            return False
        return abs(reference.value - candidate.value) <= TIMES[name]
    if name in SHAPE_ONLY:
        return shape(reference) == shape(candidate)
    if name == b"CONFIG" and reference.kind == candidate.kind and reference.kind in "*%":
        return reference.mapping() == candidate.mapping()
    if ordered(name, reference) == ordered(name, candidate):
        return True
    return explained(arguments, reference, candidate) is not None


def same_transaction(
    queue: Sequence[Sequence[bytes]],
    reference: Reply,
    candidate: Reply,
    allowed: Callable[[Sequence[bytes], Reply, Reply], bool],
) -> bool:
    """EXEC's reply: each element by the rules of the command that gave it.

    `allowed` decides if those do not suffice: it knows the data.
    """
    if reference == candidate:
        return True
    if reference.kind != candidate.kind or not isinstance(reference.value, tuple):
        return False
    if not isinstance(candidate.value, tuple):
        return False
    if not len(queue) == len(reference.value) == len(candidate.value):
        return False
    triples = zip(queue, reference.value, candidate.value)
    return all(same(*triple) or allowed(*triple) for triple in triples)


def picked(reply: Reply, with_values: bool) -> list:
    """The elements of a random pick; pairs as tuples, flat or nested on the wire."""
    if reply.kind in "$_":
        return [] if reply.value is None else [reply.value]
    items = reply.value or ()
    if not with_values:
        return [item.value for item in items]
    if items and items[0].kind == "*":
        return [(pair.value[0].value, pair.value[1].value) for pair in items]
    flat = [item.value for item in items]
    return list(zip(flat[0::2], flat[1::2]))


def check_pick(arguments: Sequence[bytes], population: dict | set, reply: Reply) -> str | None:
    """Why a random pick is wrong, given its choices; None if it is right."""
    if reply.is_error:
        return None
    with_values = any(word.upper() == b"WITHVALUES" for word in arguments[3:])
    items = picked(reply, with_values)
    if with_values:
        if any(population.get(field) != value for field, value in items):
            return "a pair that is not in the hash"
        items = [field for field, _ in items]
    if any(item not in population for item in items):
        return "an element that is not there"
    if len(arguments) == 2:
        expected = min(1, len(population))
        distinct = True
    else:
        count = int(arguments[2])
        distinct = count >= 0
        expected = min(count, len(population)) if distinct else -count
        expected = expected if population else 0
    if len(items) != expected:
        return f"{len(items)} elements instead of {expected}"
    if distinct and len(set(items)) != len(items):
        return "an element twice"
    return None
