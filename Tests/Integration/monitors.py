#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What monitoring sees: Debian's prometheus-redis-exporter against both servers.

Every family of metrics that the exporter makes of redis-server it must make of Martlet, with the
same type and with a number for each sample; what both must know equally is compared.
"""

from __future__ import annotations

import math
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from typing import NamedTuple

from support.driver import Report, parser, run, seed_of, wait_until
from support.process import die_with_parent, free_port
from support.resp import Client
from support.server import Directive, Server

EXPORTER = "prometheus-redis-exporter"
DIRECTIVES: list[Directive] = [
    ("latency-tracking", "yes"), ("slowlog-log-slower-than", 20_000),
    ("latency-monitor-threshold", 20), ("enable-debug-command", "yes"),
]
# Metrics about the exporter's own process.
OWN = re.compile(r"(go|process|promhttp|redis_exporter|redis_target|redis_start)_")
# Families whose values follow from what the driver did, or from a part that is off in both.
EQUAL = re.compile(
    r"redis_(up$|db_|aof_|rdb_(?!last_save|changes)|repl|second_repl|connected_slaves|cluster|"
    r"tracking_|pubsub|loading|module_|migrate_|slave_|active_defrag|defrag_|latest_fork|evicted|expired_"
    r"|keyspace_|blocked|dump_|unexpected|mem_clients_slaves|mem_not|number_of|config_max|"
    r"(commands_total|commands_failed|commands_rejected).*cmd=\"(set|get|hset|incr|debug)\""
    r"|errors_total|slowlog_len)"
)


class Metrics(NamedTuple):
    """What the exporter shows: families with their types, and samples by name and labels."""

    families: dict[str, str]
    samples: dict[str, float]


def scraped(server: Server) -> Metrics:
    """The metrics that an exporter makes of the server."""
    port = free_port()
    process = subprocess.Popen(
        [
            EXPORTER, "--redis.addr", f"redis://{server.host}:{server.port}",
            "--web.listen-address", f"127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    pages: list[str] = []

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
                pages.append(page.read().decode())
        except OSError:
            return False
        return True

    try:
        if wait_until(answers, 20, 0.05) is None:
            raise OSError(f"{EXPORTER} does not answer")
    finally:
        process.terminate()
        process.wait()
    families: dict[str, str] = {}
    samples: dict[str, float] = {}
    for line in pages[0].splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            families[name] = kind
        elif line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return Metrics(families, samples)


def prepare(client: Client) -> None:
    """Gives a server something to show."""
    client.call("CONFIG", "RESETSTAT")
    for words in (
        ["SET", "a", 1], ["SET", "b", 1, "EX", 1000], ["GET", "a"], ["GET", "none"],
        ["HSET", "h", "f", "v"], ["INCR", "h"], ["GET"], ["NOSUCH"], ["DEBUG", "SLEEP", "0.05"],
    ):
        client.call(*words)


def families(reference: Metrics, candidate: Metrics, report: Report) -> None:
    """Every family of the reference is one of the candidate's, and has values."""
    wanted = {name: kind for name, kind in reference.families.items() if not OWN.match(name)}
    found = {name: candidate.families.get(name) for name in wanted}
    report.equal("families", {n: k for n, k in found.items() if k != wanted[n]}, {})
    report.check("there are many", len(wanted) > 110, len(wanted))
    bases = {re.sub(r"(_sum|_count)?(\{.*)?$", "", name) for name in candidate.samples}
    report.equal("families without a value", {n for n in wanted if n not in bases}, set())
    values = candidate.samples.items()
    bad = {name for name, value in values if name.startswith("redis_") and not math.isfinite(value)}
    report.equal("values that are no number", bad, set())


def samples(reference: Metrics, candidate: Metrics, report: Report) -> None:
    """What both must know equally is equal."""
    wanted = {name: value for name, value in reference.samples.items() if EQUAL.match(name)}
    report.check("there are many", len(wanted) > 60, len(wanted))
    for name, value in sorted(wanted.items()):
        if name.startswith("redis_db_avg_ttl"):
            close = abs(candidate.samples.get(name, 0) - value) < 10
            report.check(name, close, candidate.samples.get(name))
        else:
            report.equal(name, candidate.samples.get(name), value)


def own_figures(server: Server, found: Metrics, report: Report) -> None:
    """What the server's own doing must show."""
    # Writing a new collection counts as two changes.
    changes = found.samples.get("redis_rdb_changes_since_last_save", 0)
    report.check("the changes", 3 <= changes <= 4, changes)
    slow = found.samples.get("redis_last_slow_execution_duration_seconds", 0)
    report.check("the slow request's time", 0.05 <= slow < 5, slow)
    spike = found.samples.get('redis_latency_spike_duration_seconds{event_name="command"}', 0)
    report.check("the slow command's event", 0.05 <= spike < 5, spike)
    name = 'redis_latency_percentiles_usec{cmd="debug",quantile="50"}'
    percentile = found.samples.get(name, 0)
    report.check("its percentile", 50_000 <= percentile < 5e6, percentile)
    with server.client() as client:
        [line] = [
            line for line in client.value("INFO", "latencystats").decode().split("\r\n")
            if line.startswith("latency_percentiles_usec_debug:")
        ]
        number = r"\d+\.\d{3}"
        form = rf"[^:]*:p50={number},p99={number},p99\.9={number}"
        report.check("INFO latencystats", re.fullmatch(form, line) is not None, line)
        histogram = client.value("LATENCY", "HISTOGRAM", "debug", "set")
        report.equal("LATENCY HISTOGRAM", (histogram[0], histogram[1][:2]),
                     (b"debug", [b"calls", 1]))
        (bound, count), = zip(*[iter(histogram[1][3])] * 2)
        report.check("its bound", 50_000 <= bound < 10_000_000 and count == 1, (bound, count))
        client.call("CONFIG", "RESETSTAT")
        report.equal("after RESETSTAT", client.value("LATENCY", "HISTOGRAM", "debug"), [])


def main() -> int:
    """All of it; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--reference-binary", default="redis-server")
    options = arguments.parse_args()
    seed_of(options)
    if shutil.which(EXPORTER) is None:
        print(f"monitors: {EXPORTER} is missing; run scripts/install-deps --dev")
        return 1
    report = Report("monitors")
    reference = Server(options.reference_binary, DIRECTIVES)
    candidate = Server(options.server_binary, DIRECTIVES)
    with reference, candidate:
        found = []
        for server in (reference, candidate):
            with server.client() as client:
                prepare(client)
            found.append(scraped(server))
        with report.section("families of metrics"):
            families(found[0], found[1], report)
        with report.section("samples that must be equal"):
            samples(found[0], found[1], report)
        with report.section("what the server did"):
            own_figures(candidate, found[1], report)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
