# SPDX-License-Identifier: Apache-2.0
"""All deliberate differences from redis-server 7.0.15, in one table.

Martlet follows Redis 7.2. If 7.2 answers differently from the oracle's 7.0.15,
the pair of replies is listed here with its reason. Any other difference is a
fault.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

from .resp import Reply

Test = Callable[[Sequence[bytes], Reply, Reply], bool]

LISTPACK_ENTRIES = 128
LISTPACK_VALUE_BYTES = 64
INTSET_ENTRIES = 512


class Difference(NamedTuple):
    """One deliberate difference: `test` gets command, reference and candidate."""

    name: str
    reason: str
    test: Test


def _is_object(arguments: Sequence[bytes], subcommand: bytes) -> bool:
    upper = [word.upper() for word in arguments[:2]]
    return upper == [b"OBJECT", subcommand]


def _both_integers(reference: Reply, candidate: Reply) -> bool:
    return reference.kind == candidate.kind == ":" and candidate.value >= 0


TABLE = [
    Difference(
        "OBJECT REFCOUNT",
        "7.0.15 shares the objects of small integers and shows it as a huge count, but a copy by "
        "COPY is an object of its own. Martlet shows that count for every small integer.",
        lambda arguments, reference, candidate: _is_object(arguments, b"REFCOUNT")
        and (reference.kind, reference.value) == (":", 1)
        and (candidate.kind, candidate.value) == (":", 2147483647),
    ),
    Difference(
        "OBJECT IDLETIME",
        "The clock of the idle time is coarse in both, and small integers, which 7.0.15 shares, "
        "are there as idle as the server is old.",
        lambda arguments, reference, candidate: _is_object(arguments, b"IDLETIME")
        and _both_integers(reference, candidate)
        and candidate.value <= reference.value + 20,
    ),
    Difference(
        "MEMORY USAGE",
        "Another layout and another allocator: the size of an entry is its own.",
        lambda arguments, reference, candidate: [word.upper() for word in arguments[:2]]
        == [b"MEMORY", b"USAGE"]
        and reference.kind == candidate.kind == ":"
        and reference.value > 0
        and candidate.value > 0,
    ),
    Difference(
        "COMMAND GETKEYS",
        "7.0.15 wants an argument behind the command's name; 7.2 takes the name alone.",
        lambda arguments, reference, candidate: arguments[0].upper() == b"COMMAND"
        and len(arguments) == 3
        and reference.kind == candidate.kind == "-"
        and reference.value.startswith(b"ERR wrong number of arguments for 'command|getkeys"),
    ),
    Difference(
        "HELLO",
        "Names another server, another version and another connection id.",
        lambda arguments, reference, candidate: arguments[0].upper() == b"HELLO"
        and reference.kind == candidate.kind in ("*", "%")
        and set(reference.mapping()) <= set(candidate.mapping()),
    ),
]


def explained(arguments: Sequence[bytes], reference: Reply, candidate: Reply) -> str | None:
    """The name of the difference that explains this pair of replies, if any."""
    for difference in TABLE:
        if difference.test(arguments, reference, candidate):
            return difference.name
    return None


def set_encoding_allowed(
    reference: bytes, candidate: bytes, members: Sequence[bytes], after_pop: bool
) -> bool:
    """OBJECT ENCODING of a set: 7.2 packs small sets that 7.0.15 keeps in a table.

    `after_pop`: SPOP with a count rebuilds the set in 7.0.15, in an encoding
    that fits the rest, so its answer depends on what was popped.
    """
    if candidate == b"intset":
        integers = all(_is_integer(member) for member in members)
        return after_pop and integers and len(members) <= INTSET_ENTRIES
    if reference == b"intset" and not after_pop:
        return False
    if candidate == b"listpack":
        small = all(len(member) <= LISTPACK_VALUE_BYTES for member in members)
        return small and len(members) <= LISTPACK_ENTRIES
    return candidate == b"hashtable" and after_pop


def _is_integer(member: bytes) -> bool:
    try:
        return str(int(member)).encode() == member
    except ValueError:
        return False
