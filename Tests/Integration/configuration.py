#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Configuration as people have it: redis.conf, bind lines, limits, signals, and healthcheck."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from support.driver import SANITIZER, Report, parser, run, seed_of, wait_until
from support.process import cpu_seconds, free_port
from support.resp import Client, connect
from support.server import Server, ServerFailed, is_redis

DEBIAN_FILE = Path("/etc/redis/redis.conf")

# Runs the words behind it with fewer rights: descriptors, or no call that accepts clients.
FEW_FILES = """
import ctypes, os, resource, sys
soft, hard, *line = sys.argv[1:]
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), int(hard)))
os.execv(line[0], line)
"""
NO_ACCEPT = """
import ctypes, os, platform, struct, sys
error, *line = sys.argv[1:]
number = {"x86_64": 288, "aarch64": 242}[platform.machine()]
LOAD, EQUAL, RETURN, ALLOW, ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | int(error)), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, program):
    sys.exit(f"no seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(line[0], line)
"""


class WrappedServer(Server):
    """A server that another program starts: `wrapper` comes before its command line."""

    wrapper: list[str] = []

    def command_line(self) -> list[str]:
        return self.wrapper + super().command_line()


def in_namespace(preparation: str) -> list[str]:
    """A wrapper that mounts what `preparation` says, for the server alone."""
    return ["unshare", "-rm", "sh", "-ec", f'{preparation}; exec "$0" "$@"']


class Configurations:
    """The checks, each with servers of its own."""

    def __init__(self, report: Report, binary: str) -> None:
        self.report = report
        self.binary = binary
        done = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
        self.has_namespaces = done.returncode == 0

    def refusal(self, *words: str) -> str:
        """Why the server does not start: one line, with exit status 1."""
        done = subprocess.run(
            [self.binary, "serve", *words], capture_output=True, text=True, timeout=10, check=False
        )
        output = (done.stdout + done.stderr).strip()
        fine = done.returncode == 1 and output.count("\n") == 0
        return output if fine else f"exit status {done.returncode}: {output}"

    def refuses(self, what: str, *words: str) -> None:
        """The server does not start, and one line names `what`."""
        output = self.refusal(*words)
        fine = what in output and "exit status" not in output
        self.report.check(f"{' '.join(words)} is refused", fine, output)

    # The file

    def debian_file(self) -> None:
        """Debian's redis.conf starts the server; each directive without effect is named once."""
        try:
            text = DEBIAN_FILE.read_text(encoding="utf-8")
        except PermissionError as error:
            self.report.skip("Debian's redis.conf", str(error))
            return
        comments = sum(1 for line in text.splitlines() if line.startswith("#") and "'" in line)
        self.report.check("comments with apostrophes", comments > 50, comments)
        server = Server(self.binary, config_text=text)
        place = str(server.directory)
        server.directives += [
            ("logfile", place + "/log"), ("dir", place), ("pidfile", place + "/pid"),
        ]
        with server, server.client() as client:
            self.report.equal("SET", client.value("SET", "a", 1), b"OK")
            found = client.call("CONFIG", "GET", "*").mapping()
            log = Path(place, "log").read_text(encoding="utf-8")
            given = re.findall(r"(?m)^([a-z][a-z-]*) (.*)$", text)
            names = {name for name, _ in given}
            # The file's values of these ask for nothing.
            silent = (names & set(found) | {"notify-keyspace-events"}) - {"daemonize"}
            counts = {name: len(re.findall(f":[0-9]+: {name} has no effect: .+", log)) for name in names}
            bad = {name: count for name, count in counts.items() if count != (name not in silent)}
            self.report.equal(f"each of {len(names)} is known or named", bad, {})
            self.report.equal("daemonize", found["daemonize"], b"no")
            limits = b"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
            self.report.equal("output limits", found["client-output-buffer-limit"], limits)
            self.report.equal("hz is not there", client.call("CONFIG", "GET", "hz").mapping(), {})

    def every_directive(self) -> None:
        """Whatever redis-server has as a directive, a file may have at its default."""
        with Server("redis-server") as redis, redis.client() as client:
            known = client.call("CONFIG", "GET", "*").mapping()
        own = {"port", "bind", "dir", "logfile", "pidfile", "unixsocket"}
        lines = []
        for name, value in sorted(known.items()):
            if name not in own:
                lines.append(f"{name} {value.decode() or repr('')}")
        self.report.check("there are many", len(lines) > 150, len(lines))
        with Server(self.binary, config_text="\n".join(lines)) as server:
            with server.client() as client:
                self.report.equal("PING", client.value("PING"), b"PONG")

    def refused(self) -> None:
        """What would make the server less safe than its file says, or lose data, stops the start."""
        for name, values in {
            "rename-command": ["CONFIG ''"], "aclfile": ["/etc/users.acl"],
            "user": ["worker on >secret ~jobs:* +@read"], "tls-port": ["6380"],
            "tls-replication": ["yes"], "appendonly": ["yes"], "replicaof": ["10.0.0.1 6379"],
            "slaveof": ["10.0.0.1 6379"], "cluster-enabled": ["yes"],
            "min-replicas-to-write": ["1"], "loadmodule": ["/usr/lib/module.so"],
        }.items():
            own = name.replace("slaveof", "replicaof")
            self.refuses(f"--{name}: {own}: ", f"--{name}", *values)
        server = Server(self.binary, config_text="appendonly yes\nsave 900 1 300 10\n")
        self.refuses(f"{server.config_path}:1: appendonly: ", str(server.config_path))
        server.directives.append(("appendonly", "no"))
        with server, server.client() as client:
            self.report.equal("the command line overrides", client.value("PING"), b"PONG")
            warned = re.search(r" # \S+:2: save has no effect: nothing is saved", server.log())
            self.report.check("save is a warning", warned is not None, server.log())
            self.report.equal("CONFIG GET save", client.call("CONFIG", "GET", "save").mapping(), {"save": b""})
        self.refuses("threads: argument must be between 1 and 256", "--threads", "257")

    # Addresses

    def bind_lines(self) -> None:
        """Redis's own bind line, host names, and addresses that may be missing."""
        secret = [("requirepass", "secret")]
        for line, hosts in {
            "* -::*": ["127.0.0.1", "::1"], "-::* *": ["127.0.0.1", "::1"],
            "localhost 127.0.0.1": ["127.0.0.1"], "-192.0.2.1 -no..such..host 127.0.0.1": ["127.0.0.1"],
        }.items():
            with Server(self.binary, secret, bind=line) as server:
                for host in hosts:
                    with Client((host, server.port)) as client:
                        self.report.equal(f"bind {line}: {host}", client.value("AUTH", "secret"), b"OK")
        port = str(free_port())
        self.refuses("192.0.2.1 port", "--port", port, "--bind", "192.0.2.1")
        self.refuses("no..such..host port", "--port", port, "--bind", "no..such..host")
        self.refuses("no address of bind", "--port", port, "--bind", "-192.0.2.1")

    def host_names(self) -> None:
        """All addresses of a name, and a name that has only one of IPv6, as Fly.io's."""
        if not self.has_namespaces:
            self.report.skip("host names", "no mount namespaces")
            return
        for lines, hosts in [
            ("::1 fly-local-6pn", ["::1"]),
            ("127.0.0.1 fly-local-6pn\n127.0.0.2 fly-local-6pn", ["127.0.0.1", "127.0.0.2"]),
        ]:
            server = WrappedServer(self.binary, host=hosts[0], bind="fly-local-6pn")
            names = server.directory / "hosts"
            names.write_text(lines + "\n", encoding="ascii")
            server.wrapper = in_namespace(f"mount --bind {names} /etc/hosts")
            with server:
                for host in hosts:
                    with Client((host, server.port)) as client:
                        self.report.equal(f"at {host}", client.value("PING"), b"PONG")

    # The process

    def without_proc(self) -> None:
        """Without /proc the command line still counts, above all its password."""
        if not self.has_namespaces:
            self.report.skip("without /proc", "no mount namespaces")
            return
        if SANITIZER:
            self.report.skip("without /proc", f"the {SANITIZER} sanitizer reads it")
            return
        server = WrappedServer(self.binary, [("requirepass", "secret"), ("maxclients", 77)])
        server.wrapper = in_namespace("mount -t tmpfs none /proc")
        with server, server.client() as client:
            self.report.check("a password is wanted", client.call("GET", "a").is_error)
            self.report.equal("AUTH", client.value("AUTH", "secret"), b"OK")
            found = client.call("CONFIG", "GET", "maxclients").mapping()
            self.report.equal("maxclients", found["maxclients"], b"77")
            self.report.check("INFO", b"used_memory" in client.value("INFO"))

    def few_descriptors(self) -> None:
        """A low limit of open files is raised, or lowers maxclients, or stops the start."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for limits, clients in [((32, hard), None), ((64, 64), b"32"), ((33, 33), b"1"), ((32, 32), b"")]:
            title = f"limits {limits[0]} and {limits[1]}"
            server = WrappedServer(self.binary)
            server.wrapper = [sys.executable, "-c", FEW_FILES, str(limits[0]), str(limits[1])]
            try:
                server.start()
            except ServerFailed as error:
                lines = server.log().splitlines()
                fine = clients == b"" and "limit of open files" in lines[-1] and len(lines) == 1
                self.report.check(f"{title}: the reason", fine, error)
                server.remove()
                continue
            with server.client() as client:
                self.report.equal(title, client.value("PING"), b"PONG")
                found = client.call("CONFIG", "GET", "maxclients").mapping()["maxclients"]
                if clients is not None:
                    self.report.equal(f"{title}: maxclients", found, clients)
                    self.report.check("is logged", f"maxclients is {found.decode()} instead" in server.log())
            server.stop()
            server.remove()

    def accept_errors(self) -> None:
        """When the system refuses to hand over clients, no thread spins, and the log says it once."""
        for name in ("EPERM", "ENOMEM", "ENOBUFS"):
            number = getattr(errno, name)
            server = WrappedServer(self.binary, [("threads", 1)])
            server.wrapper = [sys.executable, "-c", NO_ACCEPT, str(number)]
            server.launch()
            waited = wait_until(lambda: "Ready" in server.log() or not server.alive(), 10)
            if "no seccomp" in server.log():
                self.report.skip(name, server.log())
                server.kill()
                server.remove()
                continue
            self.report.check(f"{name}: starts", waited is not None and server.alive(), server.log())
            with connect(server.address, 5):
                wait_until(lambda: "cannot accept" in server.log(), 5)
                before = cpu_seconds(server.pid)
                threading.Event().wait(1)
                used = cpu_seconds(server.pid) - before
            self.report.measured(f"{name}: nobody spins", used < 0.1, f"{used:.2f} s of CPU in 1 s")
            self.report.equal(f"{name}: log lines", server.log().count("cannot accept"), 1)
            self.report.equal(f"{name}: exit status", server.stop(), 0)
            server.remove()

    def hang_up(self) -> None:
        """SIGHUP opens the log file again; it never ends the server."""
        server = Server(self.binary)
        path = server.directory / "log"
        server.directives.append(("logfile", str(path)))
        with server, server.client() as client:
            path.rename(path.with_suffix(".1"))
            server.process.send_signal(signal.SIGHUP)
            took = wait_until(lambda: path.exists() and "SIGHUP" in path.read_text(), 5)
            self.report.check("a new file", took is not None)
            self.report.equal("PING", client.value("PING"), b"PONG")
            path.unlink()
            path.mkdir()
            server.process.send_signal(signal.SIGHUP)
            old = path.with_suffix(".1")
            self.report.equal("PING when it cannot be opened", client.value("PING"), b"PONG")
            self.report.check("the moved file is left alone", "SIGHUP" not in old.read_text())
        with Server(self.binary) as server, server.client() as client:
            for _ in range(3):
                server.process.send_signal(signal.SIGHUP)
                self.report.equal("standard output: PING", client.value("PING"), b"PONG")

    def supervised(self) -> None:
        """systemd hears when the server is ready, and when it stops."""
        server = Server(self.binary, [("supervised", "systemd")])
        for path in (str(server.directory / "notify"), f"@martlet-test-{os.getpid()}"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind(path.replace("@", "\0"))
                notify.settimeout(5)
                server.environment = {"NOTIFY_SOCKET": path}
                server.start()
                self.report.check(f"ready: {path[:1]}", b"READY=1" in notify.recv(1000))
                server.stop()
                self.report.equal("stopping", notify.recv(1000), b"STOPPING=1\n")
        server.remove()

    # healthcheck

    def health(self, *words: str) -> tuple[int, str]:
        """Exit status and output of martlet healthcheck."""
        done = subprocess.run(
            [self.binary, "healthcheck", *words], capture_output=True, text=True, timeout=20,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def healthcheck(self) -> None:
        """A server that answers anything is well; every address is tried."""
        with Server(self.binary, [("maxclients", 1)], bind="-192.0.2.1 127.0.0.1") as server:
            line = ["--port", str(server.port), "--bind", "-192.0.2.1 127.0.0.1"]
            self.report.equal("an address is missing", self.health(*line), (0, ""))
            with server.client() as client:
                client.value("PING")
                results = {self.health(*line) for _ in range(20)}
                self.report.equal("at maxclients", results, {(0, "")})
                client.value("CONFIG", "SET", "requirepass", "secret")
            wait_until(lambda: self.health(*line)[0] == 0, 5)
            self.report.equal("a password since", self.health(*line), (0, ""))
            line += ["--requirepass", "another"]
            self.report.equal("another password", self.health(*line), (0, ""))
        status, output = self.health(*line, "--unixsocket", "/no/such/socket")
        named = all(part in output for part in ("192.0.2.1", "127.0.0.1", "/no/such/socket"))
        self.report.check("without a server", status == 1 and named, output)
        self.report.equal("one line", output.count("\n"), 1)
        with socket.create_server(("127.0.0.1", 0)) as other:

            def answer() -> None:
                peer, _ = other.accept()
                peer.recv(100)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.close()

            thread = threading.Thread(target=answer)
            thread.start()
            status, output = self.health("--port", str(other.getsockname()[1]), "--bind", "127.0.0.1")
            thread.join()
            self.report.check("another protocol", status == 1 and "another protocol" in output, output)


def main() -> int:
    """All of it; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    seed_of(options)
    report = Report("configuration")
    if is_redis(options.server_binary):
        report.skip("configuration", "Martlet's own answers to Redis's files")
        return report.finish()
    checks = Configurations(report, options.server_binary)
    for check in (
        checks.debian_file, checks.every_directive, checks.refused, checks.bind_lines,
        checks.host_names, checks.without_proc, checks.few_descriptors, checks.accept_errors,
        checks.hang_up, checks.supervised, checks.healthcheck,
    ):
        with report.section(check.__name__.replace("_", " ")):
            check()
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
