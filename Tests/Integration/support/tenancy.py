# SPDX-License-Identifier: Apache-2.0
"""A driver's questions about tenants, and its own counts."""

from __future__ import annotations

from collections import Counter
from typing import Iterable

from .resp import Client, Reply

FIELDS = (
    "id plan memory keys commands reads writes hits misses "
    "bytes_in bytes_out expired evicted rejected connections"
).split()


class Model:
    """The driver's own count of its commands, per tenant."""

    def __init__(self) -> None:
        self.commands: Counter[int] = Counter()
        self.reads: Counter[int] = Counter()
        self.writes: Counter[int] = Counter()
        self.hits: Counter[int] = Counter()
        self.misses: Counter[int] = Counter()

    def add(self, other: "Model") -> None:
        """Adds what another process counted."""
        for name, counter in vars(self).items():
            counter.update(getattr(other, name))

    def read(self, tenant: int) -> None:
        """One read command that names keys of the tenant."""
        self.commands[tenant] += 1
        self.reads[tenant] += 1

    def write(self, tenant: int) -> None:
        """One write command that names keys of the tenant."""
        self.commands[tenant] += 1
        self.writes[tenant] += 1

    def look(self, tenant: int, found: bool) -> None:
        """One key looked up for reading."""
        (self.hits if found else self.misses)[tenant] += 1

    def total(self, name: str) -> int:
        """The sum over all tenants."""
        return sum(getattr(self, name).values())


def tenant_info(client: Client, tenant: str) -> dict:
    """TENANT INFO as a dict with text keys; raises on an error reply."""
    return client.call("TENANT", "INFO", tenant).mapping()


def tenant_infos(client: Client, tenants: Iterable[str]) -> dict[str, dict]:
    """TENANT INFO of many tenants in one pipeline."""
    names = list(tenants)
    replies = client.pipeline([("TENANT", "INFO", name) for name in names])
    return {name: reply.mapping() for name, reply in zip(names, replies)}


def measured_memory(client: Client, tenant: str) -> int:
    """The tenant's memory, measured entry by entry and not taken from a counter.

    Only this function knows the command: `TENANT USAGE id VERIFY` answers an
    integer, or a map with the field `measured`.
    """
    reply: Reply = client.call("TENANT", "USAGE", tenant, "VERIFY")
    if reply.kind == ":":
        return reply.value
    return int(reply.mapping()["measured"])


def info_number(client: Client, section: str, field: str) -> int:
    """A number from INFO."""
    text = client.value("INFO", section).decode()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value)
    raise KeyError(f"INFO {section} has no {field}")
