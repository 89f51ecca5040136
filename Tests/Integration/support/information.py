# SPDX-License-Identifier: Apache-2.0
"""INFO of both servers, field by field: a field with Redis's name has its place and format."""

from __future__ import annotations

import re
import time

from .driver import Report, wait_until
from .resp import Client, connect, encode
from .server import Server

# Fields that a Redis before 7.2 does not have, and Martlet's own.
NEWER = {
    "listener0", "acl_access_denied_auth", "client_query_buffer_limit_disconnections",
    "client_output_buffer_limit_disconnections",
}
# Fields of Redis that README names as missing.
MISSING = {"current_eviction_exceeded_time", "total_eviction_exceeded_time"}
OWN = {"martlet_version", "threads", "tenants", "departed_tenants", "tenant_default"}
# Fields that monitors and clients read.
NEEDED = """
    redis_version redis_mode process_id process_supervised run_id tcp_port server_time_usec
    uptime_in_seconds uptime_in_days lru_clock executable config_file io_threads_active
    connected_clients maxclients client_recent_max_input_buffer client_recent_max_output_buffer
    blocked_clients used_memory used_memory_rss used_memory_peak used_memory_peak_perc
    used_memory_dataset_perc mem_fragmentation_ratio allocator_frag_ratio maxmemory maxmemory_policy
    lazyfreed_objects loading async_loading total_connections_received total_commands_processed
    instantaneous_ops_per_sec instantaneous_input_kbps instantaneous_output_kbps
    total_net_input_bytes total_net_output_bytes rejected_connections expired_keys evicted_keys
    expired_time_cap_reached_count expire_cycle_cpu_milliseconds keyspace_hits keyspace_misses
    total_error_replies total_reads_processed total_writes_processed role connected_slaves
    used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children cluster_enabled db0
""".split()
SHAPES = {
    "number": r"-?\d+", "hundredths": r"-?\d+\.\d\d", "microseconds": r"\d+\.\d{6}",
    "percentage": r"-?\d+\.\d\d%", "size": r"(\d+B|\d+\.\d\d[KMGT])", "id": r"[0-9a-f]{40}",
    "counts": r"[a-z_]+=[^,]*(,[a-z_]+=[^,]*)*",
}
REQUEST = encode(["SET", "large", b"x" * 300_000])


def shape(text: str) -> str:
    """What kind of value a field has."""
    for name, pattern in SHAPES.items():
        if re.fullmatch(pattern, text):
            return name
    return "text"


def fields(client: Client, *sections: str) -> list[tuple[str, str, str]]:
    """Section, name and value of each line."""
    section = ""
    found = []
    for line in client.value("INFO", *sections).decode().split("\r\n"):
        if line.startswith("# "):
            section = line
        elif line:
            name, _, value = line.partition(":")
            found.append((section, name, value))
    return found


def values(client: Client, *sections: str) -> dict[str, str]:
    """Values by name."""
    return {name: value for _, name, value in fields(client, *sections)}


def formats(reference: Server, candidate: Server, report: Report) -> None:
    """Each common field is in the same section, in the same order, in the same format."""
    both = []
    for server in (reference, candidate):
        with server.client() as client:
            client.call("FLUSHALL")
            client.call("SET", "a", 1)
            both.append(fields(client, "everything"))
    theirs, ours = both
    names = [{name for _, name, _ in side} for side in both]
    common = names[0] & names[1]
    for place in ("# Commandstats", "# Errorstats", "# Latencystats"):
        counted = {name for side in both for section, name, _ in side if section == place}
        common -= counted
        names = [side - counted for side in names]
    placed = [[(part, name) for part, name, _ in side if name in common] for side in both]
    report.equal("sections and order", placed[1], placed[0])
    kinds = [{name: shape(value) for _, name, value in side} for side in both]
    for name in sorted(common - {"config_file", "redis_version"}):
        report.equal(f"format of {name}", kinds[1][name], kinds[0][name])
    expected = set() if candidate.is_redis else NEWER | OWN
    report.equal("fields that Redis has not", names[1] - names[0], expected)
    expected = set() if candidate.is_redis else MISSING
    report.equal("fields that only Redis has", names[0] - names[1], expected)
    report.equal("fields that are missed", set(NEEDED) - names[1], set())
    report.check("there are many", len(theirs) > 100 and len(common) > 70, len(common))


def of_a_tenant(binary: str, report: Report) -> None:
    """A tenant's session sees what clients decide by and its own figures, and nobody else's."""
    directives = [("requirepass", "boss"), ("tenant", "acme secret=one"), ("tenant", "beta secret=two")]
    with Server(binary, directives) as server, server.client() as client:
        client.call("AUTH", "two")
        client.call("MSET", "x", 1, "y", 2, "z", 3)
        client.call("AUTH", "one")
        client.call("SET", "k", 1)
        for words in ([], ["all"], ["everything"], ["default", "commandstats", "records", "memory"]):
            found = values(client, *words)
            report.equal(
                f"fields of INFO {' '.join(words)}", set(found),
                {
                    "redis_version", "martlet_version", "redis_mode", "loading", "async_loading",
                    "role", "cluster_enabled", "db0", "tenant_acme",
                },
            )
            role = (found["role"], found["redis_mode"], found["loading"])
            report.equal("role, mode, loading", role, ("master", "standalone", "0"))
            report.equal("own keys only", found["db0"].split(",")[0], "keys=1")
        report.equal("INFO clients", values(client, "clients"), {})


def client_memory(server: Server, report: Report) -> None:
    """mem_clients_normal follows what clients send and do not finish."""
    def size(client: Client) -> int:
        return int(values(client, "memory")["mem_clients_normal"])

    with server.client() as client:
        before = size(client)
        with connect(server.address, 10) as stream:
            stream.sendall(REQUEST[:-10])
            grown = wait_until(lambda: size(client) >= before + 300_000, 5)
            report.check("an unfinished request", grown is not None, size(client) - before)
        shrunk = wait_until(lambda: size(client) == before, 5)
        report.check("its client is gone", shrunk is not None, size(client) - before)


def rates(server: Server, report: Report) -> None:
    """The instantaneous figures follow the work, and fall to 0 on an idle server."""
    with server.client() as client, server.client() as worker:
        end = time.monotonic() + 2.2
        done = 0
        block = encode(["SET", "rate", "v"]) * 20
        began = time.monotonic()
        while time.monotonic() < end:
            worker.socket.sendall(block)
            for _ in range(20):
                worker.read()
            done += 20
            time.sleep(0.005)
        found = values(client, "stats")
        expected = done / (time.monotonic() - began)
        each = float(found["instantaneous_ops_per_sec"]) / expected
        report.check("operations a second", 0.6 < each < 1.5, f"{each:.2f} of {expected:.0f}")
        kilobytes = expected * len(block) / 20 / 1024
        each = float(found["instantaneous_input_kbps"]) / kilobytes
        report.check("kilobytes a second", 0.6 < each < 1.5, f"{each:.2f} of {kilobytes:.0f}")
        time.sleep(2.5)
        report.equal("idle", values(client, "stats")["instantaneous_ops_per_sec"], "0")


def counts(server: Server, report: Report) -> None:
    """Buffers, refused passwords and freed objects are counted."""
    with server.client() as client:
        before = values(client)
        with connect(server.address, 10) as stream:
            stream.sendall(REQUEST[:-10])
            name = "client_recent_max_input_buffer"
            wide = wait_until(lambda: int(values(client, "clients")[name]) >= 250_000, 5)
            report.check("an unfinished request's buffer", wide is not None)
        client.call("SADD", "many", *range(5000))
        for number in range(200):
            client.call("SET", f"e{number}", 1)
        client.call("FLUSHALL", "ASYNC")
        freed = wait_until(
            lambda: int(values(client, "memory")["lazyfreed_objects"])
            > int(before["lazyfreed_objects"]), 5
        )
        report.check("objects freed aside", freed is not None)
        name = "acl_access_denied_auth"
        for words in (["AUTH", "nobody", "x"], ["HELLO", 3, "AUTH", "nobody", "x"]):
            client.call(*words)
        if name in before:
            report.equal(name, int(values(client, "stats")[name]) - int(before[name]), 2)
            client.call("CONFIG", "RESETSTAT")
            report.equal(f"{name} after RESETSTAT", values(client, "stats")[name], "0")
            report.equal("freed after RESETSTAT", values(client)["lazyfreed_objects"], "0")
