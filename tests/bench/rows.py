"""What is measured: the rows of the table, and the goals that they have."""

import dataclasses
import fnmatch

from peers import NullProxy, Wsrelayd
from proc import CPUS, HttpLoad, Load, most_connections

KIB, MIB = 1024, 1 << 20
CARRIERS = {"clear": "in the clear", "tls": "TLS 1.3", "h2": "HTTP/2, TLS 1.3"}


@dataclasses.dataclass
class Goal:
    """At most factor times what `of` needs: a gateway's name, or "best" for the best of them but the null proxy.

    ours may be "most": the column with the largest number."""

    factor: float
    of: str
    ours: str = "wsrelayd"
    absolute: bool = False      # factor is the figure itself
    after: bool = False         # of memory: after use

    def text(self, unit):
        if self.absolute:
            return f"at most {self.factor:g} {unit}" + " after 64 KiB" * self.after
        return f"at most {self.factor:g} x {'the best' if self.of == 'best' else self.of}"


@dataclasses.dataclass
class Row:
    """A work that each gateway does in turn."""

    id: str
    group: str
    title: str
    work: str = "forward"       # see Gateway.path_for
    carrier: str = "clear"
    connections: int = 100
    in_flight: int = 1
    size: int = 125
    answer: int = -1            # bytes of each answer; -1: an echo
    opens: bool = False
    http: bool = False
    offer: str = ""             # --compress=...
    goals: list = dataclasses.field(default_factory=list)
    unit: str = "µs"

    def able(self, bench):
        return bench.pool.able(self.work, self.carrier)

    def query(self):
        return f"?answer={self.answer}" if self.answer >= 0 else ""

    def load(self, bench, gateway, connections=0):
        """Clients of it, started."""
        connections = min(connections or self.connections, most_connections(10**6))
        port = gateway.port_for(self.carrier)
        path = gateway.path_for(self.work) + self.query()
        if self.http:
            return HttpLoad(bench.folder, port, path, connections, self.carrier == "tls")
        args = ["--http1.1"]
        if self.carrier == "h2":
            streams = min(10, gateway.streams, connections)
            connections = max(1, connections // streams)
            args = ["--http2", "--streams", str(streams)]
        if self.offer:
            args.append(f"--compress={self.offer}" if self.offer != "-" else "--compress")
        if self.answer >= 0:
            args += ["--answer", str(self.answer)]
        mode = ["--opens", str(connections)] if self.opens else ["--load", f"{connections},1,{self.size}"]
        scheme = "ws" if self.carrier == "clear" else "wss"
        return Load(bench.folder, f"{scheme}://127.0.0.1:{port}{path}", mode, args)

    def runs(self, bench, stack):
        """(name, gateway, load) of each; what fails is said and left out."""
        found = []
        for gateway in self.able(bench):
            try:
                found.append((gateway.name, gateway, stack.enter_context(self.load(bench, gateway))))
            except RuntimeError as why:
                bench.say(f"{gateway.name} is left out of {self.id}: {why}")
        return found


@dataclasses.dataclass
class StaticRow(Row):
    def query(self):
        return f"{self.size}.bin"


@dataclasses.dataclass
class GrowRow(Row):
    """More and more busy connections, each number on a gateway of its own."""

    counts: tuple = (10, 100, 1000, 10000)
    kind: type = Wsrelayd

    def runs(self, bench, stack):
        found = []
        for n in self.counts[:-1] if bench.quick else self.counts:
            n = most_connections(n)     # as many as descriptors allow
            gateway = stack.enter_context(self.kind(bench.folder, bench.pool.pem))
            found.append((str(n), gateway, stack.enter_context(self.load(bench, gateway, n))))
        return found


@dataclasses.dataclass
class WorkersRow(Row):
    """One worker and two, which may run on every processor, as may load and backend."""

    def runs(self, bench, stack):
        found = []
        for n in (1, 2):
            gateway = stack.enter_context(Wsrelayd(bench.folder, bench.pool.pem, n, set(CPUS.all)))
            name = f"{n} worker" + "s" * (n > 1)
            found.append((name, gateway, stack.enter_context(self.load(bench, gateway))))
        return found


@dataclasses.dataclass
class IdleRow(Row):
    """Memory: see Bench.idle."""

    unit: str = "KiB"
    settle_s: int = 5       # after this long a WebSocket that was busy counts as idle


def forward_rows():
    goals = {
        "clear-125": [Goal(1.05, "null proxy"), Goal(1, "nginx")],
        "clear-125x16": [Goal(1.1, "null proxy")],
        "clear-16k": [Goal(1.1, "null proxy")],
        "clear-1m": [Goal(1.1, "null proxy")],
        "tls-125": [Goal(1.05, "null proxy"), Goal(1, "h2o")],
        "tls-16k": [Goal(1.05, "null proxy"), Goal(1, "h2o")],
        "tls-1m": [Goal(1.05, "null proxy"), Goal(1, "h2o")],
        "h2-125": [Goal(0.8, "HAProxy")],
        "h2-125x16": [Goal(0.8, "HAProxy")],
        "h2-16k": [Goal(0.85, "best")],
        "h2-1m": [Goal(0.85, "best")],
    }
    rows = []
    for carrier, name in CARRIERS.items():
        for what, title, more in (
            ("125", "125 B", {}),
            ("125x16", "125 B, 16 in flight", {"in_flight": 16}),
            ("16k", "16 KiB", {"size": 16 * KIB}),
            ("1m", "1 MiB both ways", {"size": MIB}),
            ("1m-down", "1 MiB to the client", {"answer": MIB}),
            ("1m-up", "1 MiB from the client", {"size": MIB, "answer": 16}),
        ):
            id_ = f"{carrier}-{what}"
            rows.append(Row(id_, f"forward, {name}", title, carrier=carrier, goals=goals.get(id_, []), **more))
        rows.append(Row(f"{carrier}-open", f"forward, {name}",
                        "stream opened and closed" if carrier == "h2" else "handshake, and close",
                        carrier=carrier, connections=50, opens=True, goals=[Goal(1, "best")]))
    return rows


def echo_rows():
    rows = []
    for carrier, name in CARRIERS.items():
        for what, title, more in (
            ("125", "125 B", {}),
            ("125x16", "125 B, 16 in flight", {"in_flight": 16}),
            ("16k", "16 KiB", {"size": 16 * KIB}),
            ("1m", "1 MiB", {"size": MIB}),
        ):
            goals = [Goal(1, "uWebSockets")] if carrier == "clear" and what != "125x16" else []
            rows.append(Row(f"echo-{carrier}-{what}", f"echo, {name}", title, work="echo", carrier=carrier, goals=goals,
                            **more))
    return rows


def http_rows():
    group = "ordinary requests"
    rows = []
    for carrier in ("clear", "tls"):
        name = "" if carrier == "clear" else ", TLS 1.3"
        rows += [
            Row(f"get-{carrier}-1k", group, f"forwarded GET of 1 KiB{name}", work="get", carrier=carrier, http=True,
                answer=KIB, goals=[Goal(1, "best")]),
            Row(f"get-{carrier}-1m", group, f"forwarded GET of 1 MiB{name}", work="get", carrier=carrier, http=True,
                answer=MIB, goals=[Goal(1, "best")]),
            StaticRow(f"static-{carrier}-4k", group, f"static file of 4 KiB{name}", work="static", carrier=carrier,
                      http=True, size=4096, goals=[Goal(1, "best")]),
            StaticRow(f"static-{carrier}-1m", group, f"static file of 1 MiB{name}", work="static", carrier=carrier,
                      http=True, size=MIB, goals=[Goal(1, "best")]),
        ]
    return rows


def deflate_rows():
    rows = []
    takeovers = (("takeover", "context takeover", "-"),
                 ("none", "no takeover", "server_no_context_takeover; client_no_context_takeover"))
    for what, name, offer in takeovers:
        for size in (1, 16):
            rows.append(Row(f"deflate-{what}-{size}k", "echo, permessage-deflate", f"{size} KiB of text, {name}",
                            work="deflate", size=size * KIB, connections=50, offer=offer))
    return rows


def idle_goals(kib):
    return [Goal(kib, "", absolute=True), Goal(kib, "", absolute=True, after=True)]


def other_rows():
    return [
        GrowRow("grow", "busy connections", "125 B in the clear", goals=[Goal(1.2, "100", "most")]),
        GrowRow("grow-null", "busy connections", "125 B in the clear, null proxy", kind=NullProxy),
        GrowRow("grow-tls", "busy connections", "125 B, TLS 1.3", carrier="tls", goals=[Goal(1.2, "100", "most")]),
        GrowRow("grow-tls-null", "busy connections", "125 B, TLS 1.3, null proxy", carrier="tls", kind=NullProxy),
        WorkersRow("workers", "workers", "125 B in the clear, 100 connections",
                   goals=[Goal(1.05, "1 worker", "2 workers")]),
        WorkersRow("workers-16k", "workers", "16 KiB in the clear, 100 connections", size=16 * KIB,
                   goals=[Goal(1.05, "1 worker", "2 workers")]),
        IdleRow("idle-clear", "idle WebSockets", "in the clear", connections=8000,
                goals=idle_goals(0.5)),
        IdleRow("idle-tls", "idle WebSockets", "TLS 1.3", carrier="tls", connections=8000,
                goals=idle_goals(15)),
        IdleRow("idle-h2", "idle WebSockets", "HTTP/2, TLS 1.3, 100 on a connection", carrier="h2", connections=8000,
                goals=idle_goals(1)),
        IdleRow("idle-deflate", "idle WebSockets", "echo, permessage-deflate with context takeover", work="deflate",
                connections=2000, offer="-", settle_s=75),
    ]


def all_rows():
    return forward_rows() + echo_rows() + http_rows() + deflate_rows() + other_rows()


# What --quick leaves out: it shows where things stand, not all there is.
SLOW = ("*-1m-down", "*-1m-up", "echo-h2-*", "echo-tls-*", "get-tls-*", "static-tls-*", "deflate-none-*", "grow-*",
        "workers-16k")


def select(patterns, quick):
    rows = all_rows()
    if patterns:
        for pattern in patterns:
            if not any(fnmatch.fnmatch(row.id, pattern) for row in rows):
                raise SystemExit(f"bench: no row is {pattern}; --list names them")
        return [row for row in rows if any(fnmatch.fnmatch(row.id, pattern) for pattern in patterns)]
    if quick:
        return [row for row in rows if not any(fnmatch.fnmatch(row.id, pattern) for pattern in SLOW)]
    return rows
