#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything a person types: redis-cli, redis-cli --pipe, redis-benchmark."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from support.driver import Report, parser, run, seed_of
from support.resp import encode
from support.server import Server

# Command line, and what redis-cli prints when its output is not a terminal.
CONVERSATION = [
    ("PING", "PONG"),
    ("SET a 1 EX 10", "OK"),
    ("GET a", "1"),
    ("TTL a", re.compile(r"^(9|10)$")),
    ("MSET b 2 c 3", "OK"),
    ("MGET a b none c", "1\n2\n\n3"),
    ("HSET h f1 v1 f2 v2", "2"),
    ("HGETALL h", "f1\nv1\nf2\nv2"),
    ("SADD s x", "1"),
    ("SMEMBERS s", "x"),
    ("INCR h", "WRONGTYPE Operation against a key holding the wrong kind of value\n"),
    ("NOSUCH x", "ERR unknown command 'NOSUCH', with args beginning with: 'x' \n"),
    ("GET", "ERR wrong number of arguments for 'get' command\n"),
    ("DBSIZE", "5"),
    ("TYPE h", "hash"),
    ("OBJECT ENCODING a", "int"),
    ("CONFIG GET maxmemory", re.compile(r"^maxmemory\n\d+$")),
    ("COMMAND COUNT", re.compile(r"^\d+$")),
    ("COMMAND INFO get", re.compile(r"^get\n2\n")),
    ("CLIENT GETNAME", ""),
    ("TIME", re.compile(r"^\d+\n\d+$")),
    ("LOLWUT", re.compile(r"ver\. ")),
    ("MEMORY USAGE a", re.compile(r"^\d+$")),
    ("INFO server", re.compile(r"redis_version:7\.")),
    ("FLUSHALL", "OK"),
]
BENCHMARKS = "ping_inline,ping_mbulk,set,get,incr,sadd,hset,spop,mset"


class CommandLine:
    """The programs of redis-tools against one server."""

    def __init__(self, server: Server, report: Report) -> None:
        self.server = server
        self.report = report

    def cli(self, *arguments: str, stdin: object = subprocess.DEVNULL) -> str:
        """Output of one redis-cli."""
        command = ["redis-cli", "-h", self.server.host, "-p", str(self.server.port), *arguments]
        done = subprocess.run(
            command, stdin=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout + done.stderr

    def conversation(self) -> None:
        """One redis-cli per command, as a person types."""
        for line, expected in CONVERSATION:
            output = self.cli(*line.split())
            output = output[:-1] if output.endswith("\n") else output
            if isinstance(expected, str):
                self.report.equal(line, output, expected)
            else:
                self.report.check(line, bool(expected.search(output)), output[:60])

    def resp3(self) -> None:
        """redis-cli -3 shows maps and sets as such."""
        self.cli("HSET", "h3", "f", "v")
        output = self.cli("-3", "--no-raw", "HGETALL", "h3").strip()
        self.report.equal("-3 HGETALL", output, '1# "f" => "v"')

    def scan(self) -> None:
        """--scan, --bigkeys and --memkeys walk the keyspace."""
        self.cli("MSET", *[word for n in range(100) for word in (f"scan:{n}", "v")])
        names = self.cli("--scan", "--pattern", "scan:*").split()
        self.report.equal("--scan", len(set(names)), 100)
        self.report.check("--bigkeys", "Sampled" in self.cli("--bigkeys"))
        self.report.check("--memkeys", "Sampled" in self.cli("--memkeys"))

    def watched(self) -> None:
        """--stat and --latency, which run until they are stopped, or print once to a pipe."""
        command = ["redis-cli", "-h", self.server.host, "-p", str(self.server.port)]
        unbuffered = ["timeout", "2.5", "stdbuf", "-oL", *command, "--stat", "-i", "0.2"]
        done = subprocess.run(unbuffered, capture_output=True, text=True, timeout=30, check=False)
        rows = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
        self.report.check("--stat has lines", len(rows) >= 5, done.stdout + done.stderr)
        # Keys, memory, clients, blocked, requests (more of them), connections.
        right = all(len(row) == 7 and row[5].startswith("(+") for row in rows)
        self.report.check("--stat has all columns", right, rows[-1:])
        counts = [int(row[4]) for row in rows]
        self.report.check("--stat counts", sorted(set(counts)) == counts, counts)
        latency = self.cli("--latency", "--raw", "-i", "1").split()
        self.report.check("--latency", len(latency) == 4 and int(latency[3]) > 10, latency)

    def pipe(self, count: int) -> None:
        """redis-cli --pipe with a million commands."""
        with tempfile.TemporaryFile() as file:
            for start in range(0, count, 1000):
                block = [encode(["SET", f"pipe:{n}", n]) for n in range(start, start + 1000)]
                file.write(b"".join(block))
            file.seek(0)
            output = self.cli("--pipe", stdin=file)
        expected = f"errors: 0, replies: {count}"
        self.report.check(f"--pipe of {count}", expected in output, output.splitlines()[-1])
        stored = self.cli("GET", f"pipe:{count - 1}").strip()
        self.report.equal("the last value", stored, str(count - 1))

    def benchmark(self, requests: int) -> None:
        """redis-benchmark's default tests for our families, plain and pipelined."""
        for extra in ([], ["-P", "16"], ["-3"]):
            command = ["redis-benchmark", "-h", self.server.host, "-p", str(self.server.port)]
            command += ["-n", str(requests), "-t", BENCHMARKS, "--csv", *extra]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=300, check=False
            )
            rows = [line for line in done.stdout.splitlines() if line.startswith('"')][1:]
            title = "redis-benchmark " + " ".join(extra)
            wanted = len(BENCHMARKS.split(","))
            detail = f"{len(rows)} of {wanted} tests {done.stderr[:200]}"
            right = done.returncode == 0 and len(rows) == wanted
            self.report.check(title, right and "rror" not in done.stderr, detail)


def main() -> int:
    """All of it; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--pipe", type=int, default=1_000_000)
    arguments.add_argument("--requests", type=int, default=100_000)
    options = arguments.parse_args()
    seed_of(options)
    report = Report("rediscli")
    with Server(options.server_binary) as server:
        line = CommandLine(server, report)
        with report.section("redis-cli"):
            line.conversation()
            line.resp3()
            line.scan()
            line.watched()
        with report.section("redis-cli --pipe"):
            line.pipe(options.pipe)
        with report.section("redis-benchmark"):
            line.benchmark(options.requests)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
