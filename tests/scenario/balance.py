"""Backends with several addresses: who gets a connection, what is down, and what becomes of it."""

import os
import signal
import socket
import threading
import time

from harness import contains, equal, tag, wait, waits
from wire import CLOSE, PING, PONG, READ_S, TEXT, WebSocket, accept_of, check_101, connect, frame, handshake_head
from wire import open_ws, status_of


class Backend:
    """A WebSocket server that says its name to each client and to each GET, and echoes. It can be killed, and started
    again in its place.

    kind is tcp or unix. health is the status that a GET of /up gets (0: none at all); requests are the heads that came.
    """

    def __init__(self, t, name, kind="unix", running=True):
        self.t = t
        self.name = name
        self.health = 200
        self.mood = "good"  # or "mute" (no response), "rude" (the connection is closed instead of a response)
        self.requests = []
        self.opened = 0
        self._lock = threading.Lock()
        self._open = set()  # WebSockets
        self._all = set()
        self._listener = None
        if kind == "tcp":
            probe = socket.socket()
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            self._where = probe.getsockname()
            self._reserved = probe  # nobody else gets the port, and nobody listens on it
            self.address = f"127.0.0.1:{self._where[1]}"
        else:
            self._where = str(t.tmp / f"{name}.sock")
            self._reserved = None
            self.address = f"unix:{self._where}"
        t.at_end(self.kill, late=True)
        if running:
            self.start()

    def start(self):
        if self._reserved is not None:
            listener, self._reserved = self._reserved, None
        elif isinstance(self._where, tuple):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._where)
        else:
            if os.path.exists(self._where):
                os.unlink(self._where)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self._where)
        listener.listen(512)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def kill(self):
        """As a killed process goes: nobody listens, and all connections break."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            conns = list(self._all)
        for conn in conns:
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def count(self):
        """WebSockets that are open here."""
        with self._lock:
            return len(self._open)

    def heads(self, line):
        return [head for head in list(self.requests) if head.line.startswith(line)]

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(WebSocket(sock, client=False),), daemon=True).start()

    def _serve(self, conn):
        with self._lock:
            self._all.add(conn)
        try:
            self._talk(conn)
        except (OSError, AssertionError):
            pass
        finally:
            with self._lock:
                self._open.discard(conn)
                self._all.discard(conn)
            conn.close()

    def _talk(self, conn):
        head = conn.read_head(60)
        self.requests.append(head)
        if head.line.startswith("GET /up"):
            if self.health != 0:
                conn.send(f"HTTP/1.1 {self.health} X\r\nContent-Length: 2\r\nLocation: /\r\n\r\nhi")
            conn.read_all(60)
            return
        while not head.get("Upgrade"):
            conn.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.name)}\r\n\r\n{self.name}")
            head = conn.read_head(60)
            self.requests.append(head)
        if self.mood == "rude":
            return
        if self.mood == "mute":
            conn.read_all(60)
            return
        accept = accept_of(head.get("Sec-WebSocket-Key"))
        with self._lock:
            self._open.add(conn)
            self.opened += 1
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            + frame(TEXT, self.name.encode(), mask=None)
        )
        while True:
            got = conn.recv_frame(600)
            if got is None:
                return
            if got.opcode == PING:
                conn.send_frame(PONG, got.payload)
            elif got.opcode == TEXT:
                conn.send_frame(TEXT, got.payload)
            elif got.opcode == CLOSE:
                with self._lock:
                    self._open.discard(conn)
                conn.send_frame(CLOSE, got.payload)
                return


class Blackhole:
    """A Unix socket whose backlog is full: a connection to it is neither made nor refused."""

    def __init__(self, t):
        path = str(t.tmp / f"hole-{os.urandom(4).hex()}.sock")
        self.address = f"unix:{path}"
        self.sock = socket.socket(socket.AF_UNIX)
        t.at_end(self.sock.close, late=True)
        self.sock.bind(path)
        self.sock.listen(0)
        while True:
            filler = socket.socket(socket.AF_UNIX)
            t.at_end(filler.close, late=True)
            filler.setblocking(False)
            try:
                filler.connect(path)
            except BlockingIOError:
                break


def ini(backends, backend="", server="Workers=2"):
    addresses = "".join(f"Address={b.address}\n" for b in backends)
    return f"""
[server]
{server}
[listen main]
Address=127.0.0.1:0
[websocket]
KeepAliveInterval=0
[route ws]
Path=/*
Action=forward
Backend=app
[backend app]
{addresses}{backend}
"""


def named(t, port, **options):
    """A WebSocket, and the name of the backend that has it."""
    ws = open_ws(t, port, **options)
    return ws, ws.recv_message()[1].decode()


def visit(t, port):
    """Opens and closes one; the name of the backend."""
    ws, name = named(t, port)
    ws.finish()
    return name


def status(t, port):
    return status_of(t, port, handshake_head()).status


def counts(names):
    return {name: names.count(name) for name in sorted(set(names))}


def from_address(t, port, host):
    """A WebSocket of a client with this address."""
    sock = socket.socket()
    t.at_end(sock.close)
    sock.bind((host, 0))
    sock.settimeout(READ_S * t.factor)
    sock.connect(("127.0.0.1", port))
    ws = WebSocket(sock)
    ws.send(handshake_head())
    ws.response = ws.read_response()
    check_101(ws.response)
    return ws, ws.recv_message()[1].decode()


# ---- who gets a connection


@tag("tsan")
def test_balance_least_connections_over_all_workers(t):
    backends = [Backend(t, name, kind) for name, kind in (("a", "unix"), ("b", "tcp"), ("c", "unix"))]
    daemon = t.daemon(ini(backends, server="Workers=4"), access=True)
    port = daemon.port("main")
    opened = [named(t, port) for _ in range(30)]
    equal(counts([name for _, name in opened]), {"a": 10, "b": 10, "c": 10})
    # who lost some gets the next
    for ws, name in opened:
        if name == "b":
            ws.finish()
    lines = daemon.access(10)
    equal({line["backend"] for line in lines}, {backends[1].address})
    equal(counts([named(t, port)[1] for _ in range(10)]), {"b": 10})
    # those that are open stay where they are
    for ws, name in opened:
        if name != "b":
            ws.text("still here")
            ws.expect(TEXT, "still here")
    # short ones go round, more or less: what has just ended may still be counted
    got = counts([visit(t, port) for _ in range(30)])
    assert all(got.get(name, 0) >= 5 for name in "abc"), got


def test_balance_least_connections_when_many_come_at_once(t):
    backends = [Backend(t, name) for name in "abcd"]
    port = t.daemon(ini(backends, server="Workers=4")).port("main")
    conns = [connect(t, port, kind=WebSocket) for _ in range(80)]
    for ws in conns:
        ws.send(handshake_head())
    for ws in conns:
        check_101(ws.read_response())
    equal(counts([ws.recv_message()[1].decode() for ws in conns]), {name: 20 for name in "abcd"})


def test_balance_round_robin(t):
    backends = [Backend(t, name) for name in "abc"]
    port = t.daemon(ini(backends, "Balance=round-robin")).port("main")
    held = [named(t, port)[1] for _ in range(6)]
    equal(counts(held), {"a": 2, "b": 2, "c": 2})
    assert held[:3] == held[3:], held
    equal(counts([visit(t, port) for _ in range(9)]), {"a": 3, "b": 3, "c": 3})


def test_balance_source_keeps_each_client_at_its_backend(t):
    backends = [Backend(t, name) for name in "abc"]
    hosts = [f"127.0.0.{k}" for k in range(1, 41)]
    daemon = t.daemon(ini(backends, "Balance=source\nMaxFails=1\nFailTimeout=1h"))
    port = daemon.port("main")

    def homes():
        found = {}
        for host in hosts:
            ws, found[host] = from_address(t, port, host)
            ws.finish()
        return found

    first = homes()
    equal(sorted(set(first.values())), ["a", "b", "c"])
    equal(homes(), first)
    # the order in the file and a reload do not matter
    daemon.ini.write_text(ini(backends[::-1], "Balance=source\nMaxFails=1\nFailTimeout=1h"))
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done")
    equal(homes(), first)
    # where one goes away only its own clients move
    backends[0].kill()
    moved = homes()
    equal({host for host in hosts if moved[host] != first[host]}, {host for host in hosts if first[host] == "a"})
    equal(sorted(set(moved.values())), ["b", "c"])


def test_balance_max_connections(t):
    backends = [Backend(t, name) for name in "ab"]
    daemon = t.daemon(ini(backends, "MaxConnections=3", server="Workers=3"), access=True)
    port = daemon.port("main")
    opened = [named(t, port) for _ in range(6)]
    equal(counts([name for _, name in opened]), {"a": 3, "b": 3})
    for _ in range(3):
        response = status_of(t, port, handshake_head())
        equal(response.status, 503)
        assert response.get("Retry-After"), response
    line = daemon.access(3)[0]
    equal((line["status"], line["backend"]), (503, None))
    contains(line["reason"], "MaxConnections")
    opened.pop(0)[0].finish()
    wait(lambda: status(t, port) == 101)


# ---- what fails


def test_balance_refused_goes_on_to_the_next(t):
    for kind in ("unix", "tcp"):
        dead, good = Backend(t, f"dead-{kind}", kind, running=False), Backend(t, f"good-{kind}", kind)
        daemon = t.daemon(ini([dead, good], "MaxFails=2\nFailTimeout=1h"), access=True)
        port = daemon.port("main")
        equal(counts([visit(t, port) for _ in range(10)]), {good.name: 10})
        equal({line["backend"] for line in daemon.access(10)}, {good.address})
        equal(len(daemon_lines(daemon, dead, "is down")), 1)
        # it rests now, whether it is back or not
        dead.start()
        equal(counts([visit(t, port) for _ in range(10)]), {good.name: 10})
        equal(dead.requests, [])
        daemon.stop()


def daemon_lines(daemon, backend, what):
    return [line for line in daemon.log.splitlines() if f"address={backend.address} {what}" in line]


@waits
def test_balance_rest_ends_after_fail_timeout(t):
    back, good = Backend(t, "back", running=False), Backend(t, "good")
    daemon = t.daemon(ini([back, good], "MaxFails=1\nFailTimeout=2s\nBalance=round-robin"))
    port = daemon.port("main")
    began = time.monotonic()
    while not daemon_lines(daemon, back, "is down"):
        equal(visit(t, port), "good")
    back.start()
    wait(lambda: visit(t, port) == "back", 20, "the end of the rest")
    assert time.monotonic() - began > 1.9, "it did not rest"
    daemon.wait_logged(f"address={back.address} is up")
    equal(len(daemon_lines(daemon, back, "is up")), 1)
    equal(counts([visit(t, port) for _ in range(10)]), {"back": 5, "good": 5})


@waits
def test_balance_connect_timeout_then_the_next(t):
    hole, good = Blackhole(t), Backend(t, "good")
    daemon = t.daemon(ini([hole, good], "ConnectTimeout=1s\nMaxFails=1\nFailTimeout=1h\nBalance=round-robin"))
    port = daemon.port("main")
    began = time.monotonic()
    slow = 0
    for _ in range(6):
        before = time.monotonic()
        equal(visit(t, port), "good")
        slow += time.monotonic() - before > 0.9
    equal(slow, 1)
    assert time.monotonic() - began > 0.9
    daemon.wait_logged(f"address={hole.address} is down")


@waits
def test_balance_none_is_left(t):
    hole, dead = Blackhole(t), Backend(t, "dead", running=False)
    for addresses, keys, expected in (
        ([hole], "", 504),
        ([dead], "", 502),
        ([dead, Backend(t, "dead2", "tcp", running=False)], "", 502),
        ([dead, hole], "Balance=round-robin", 504),
        ([hole, dead], "Balance=round-robin", 502),
    ):
        daemon = t.daemon(ini(addresses, "ConnectTimeout=500ms\n" + keys), access=True)
        response = status_of(t, daemon.port("main"), handshake_head())
        equal(response.status, expected, str([a.address for a in addresses]))
        equal(daemon.access()[0]["status"], expected)
        daemon.stop()


def test_balance_all_down_is_told_at_once(t):
    holes = [Blackhole(t) for _ in range(2)]
    daemon = t.daemon(ini(holes, "ConnectTimeout=300ms\nMaxFails=1\nFailTimeout=1h"))
    port = daemon.port("main")
    equal(status(t, port), 504)
    began = time.monotonic()
    for _ in range(20):
        equal(status(t, port), 502)
    assert time.monotonic() - began < 0.3 * 20 * t.factor, "each waits for the time-out"


@tag("tsan")
def test_balance_application_that_comes_back_is_found_at_once(t):
    """Where all addresses refuse, asking costs nothing."""
    only = Backend(t, "only")
    daemon = t.daemon(ini([only], "MaxFails=2\nFailTimeout=1h"))
    port = daemon.port("main")
    equal(visit(t, port), "only")
    for _ in range(3):
        only.kill()
        for _ in range(5):
            equal(status(t, port), 502)
        only.start()
        equal(visit(t, port), "only")
    equal(len(daemon_lines(daemon, only, "is down")), 3)
    equal(len(daemon_lines(daemon, only, "is up")), 3)


@waits
def test_balance_backends_that_take_a_connection_and_no_more(t):
    # closed without a response: nobody has seen the handshake, so another backend may
    rude, good = Backend(t, "rude"), Backend(t, "good")
    rude.mood = "rude"
    daemon = t.daemon(ini([rude, good], "MaxFails=3\nFailTimeout=1h"))
    port = daemon.port("main")
    equal(counts([visit(t, port) for _ in range(12)]), {"good": 12})
    equal(len(rude.requests), 3)
    equal(len(daemon_lines(daemon, rude, "is down")), 1)
    daemon.stop()
    # no response in time: somebody may be working on it
    mute, good = Backend(t, "mute"), Backend(t, "good2")
    mute.mood = "mute"
    daemon = t.daemon(ini([mute, good], "MaxFails=2\nFailTimeout=1h\nResponseTimeout=500ms\nBalance=round-robin"))
    port = daemon.port("main")
    got = [status(t, port) for _ in range(10)]
    equal(counts(got), {101: 8, 504: 2})
    equal(len(mute.requests), 2)


@tag("tsan")
def test_balance_killed_and_restarted_under_load(t):
    """No handshake is lost that need not be, and nobody moves who is not at the backend that was killed."""
    backends = [Backend(t, name, kind) for name, kind in (("a", "unix"), ("b", "tcp"), ("c", "unix"))]
    daemon = t.daemon(ini(backends, "MaxFails=2\nFailTimeout=200ms", server="Workers=3"))
    port = daemon.port("main")
    steady = [named(t, port) for _ in range(12)]
    done = threading.Event()
    results = []

    def client():
        while not done.is_set():
            try:
                ws, name = named(t, port)
                ws.text("hello")
                got = ws.recv_frame()
                results.append((101, name, got is not None and got.opcode == TEXT))
                ws.close()
            except AssertionError as error:
                results.append((str(error), None, False))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()

    def progress(name, more=10):
        """Waits until so many more were served by this one."""
        start = len(results)
        wait(lambda: sum(r[1] == name for r in results[start:]) >= more, 20, f"{more} more at {name}")

    for victim in (backends[0], backends[1], backends[0]):
        progress(victim.name)
        victim.kill()
        wait(lambda victim=victim: len(daemon_lines(daemon, victim, "is down")), 20, "that it is noticed")
        progress("c")
        victim.start()
        progress(victim.name)
    done.set()
    for thread in threads:
        thread.join()
    refused = [r for r in results if r[0] != 101]
    equal(refused, [], f"of {len(results)} handshakes")
    for ws, name in steady:
        if name == "c":
            ws.text("still here")
            ws.expect(TEXT, "still here")
        else:
            ws.expect_close(1014)


# ---- ordinary requests


@tag("tsan")
def test_balance_ordinary_requests(t):
    backends = [Backend(t, name, kind) for name, kind in (("a", "unix"), ("b", "tcp"), ("c", "unix"))]
    config = ini(backends, "MaxFails=2\nFailTimeout=200ms\nBalance=round-robin", server="Workers=3")
    daemon = t.daemon(config.replace("Action=forward", "Action=proxy"))
    port = daemon.port("main")
    client = connect(t, port)
    equal(counts([client.request().body.decode() for _ in range(30)]), {"a": 10, "b": 10, "c": 10})
    equal(visit(t, port) in "abc", True)
    # killed and started again under load: a GET may be asked twice, so none is lost
    done = threading.Event()
    results = []

    def load():
        conn = connect(t, port)
        while not done.is_set():
            response = conn.request()
            results.append((response.status, response.body.decode()))

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for victim in backends:
        start = len(results)
        wait(lambda: sum(r[1] == victim.name for r in results[start:]) >= 10)  # noqa: B023
        victim.kill()
        wait(lambda: daemon_lines(daemon, victim, "is down"))  # noqa: B023
        victim.start()
    wait(lambda: len(daemon_lines(daemon, backends[2], "is up")) > 0)
    done.set()
    for thread in threads:
        thread.join()
    equal([r for r in results if r[0] != 200], [], f"of {len(results)} requests")


# ---- active checks


@waits
@tag("tsan")
def test_balance_active_checks_by_connecting(t):
    for kind in ("unix", "tcp"):
        one, two = Backend(t, f"one-{kind}", kind), Backend(t, f"two-{kind}", kind)
        daemon = t.daemon(ini([one, two], "HealthCheckInterval=100ms\nMaxFails=0\nBalance=round-robin"))
        port = daemon.port("main")
        equal(counts([visit(t, port) for _ in range(4)]), {one.name: 2, two.name: 2})
        one.kill()
        wait(lambda: daemon_lines(daemon, one, "is down: health check"))  # noqa: B023
        equal(counts([visit(t, port) for _ in range(4)]), {two.name: 4})
        two.kill()
        wait(lambda: daemon_lines(daemon, two, "is down: health check"))  # noqa: B023
        equal([status(t, port) for _ in range(3)], [502] * 3)
        one.start()
        wait(lambda: daemon_lines(daemon, one, "is up: health check passed"))  # noqa: B023
        equal(counts([visit(t, port) for _ in range(4)]), {one.name: 4})
        for backend, what, times in ((one, "is down", 1), (one, "is up", 1), (two, "is down", 1), (two, "is up", 0)):
            equal(len(daemon_lines(daemon, backend, what)), times)
        equal(daemon.stop(), 0)


@waits
def test_balance_active_checks_by_get(t):
    one, two = Backend(t, "one"), Backend(t, "two", "tcp")
    keys = "HealthCheckInterval=100ms\nHealthCheckPath=/up?deep=yes\nConnectTimeout=3s\nBalance=round-robin"
    daemon = t.daemon(ini([one, two], keys))
    port = daemon.port("main")
    for status_code, up in ((500, False), (204, True), (404, False), (302, True), (0, False), (200, True)):
        before = [len(daemon_lines(daemon, one, what)) for what in ("is down", "is up")]
        one.health = status_code
        wait(lambda: len(daemon_lines(daemon, one, "is up" if up else "is down")) > before[up])  # noqa: B023
        equal("one" in [visit(t, port) for _ in range(4)], up)
    daemon.wait_logged("is down: health check: status 500", "is down: health check: status 404")
    equal(daemon_lines(daemon, two, "is"), [])
    head = one.heads("GET /up")[0]
    equal((head.line, head.get("Host")), ("GET /up?deep=yes HTTP/1.1", "localhost"))
    contains(head.get("User-Agent"), "wsrelayd")
    equal(two.heads("GET /up")[0].get("Host"), two.address)
    # about ten a second
    seen = len(two.heads("GET /up"))
    began = time.monotonic()
    wait(lambda: len(two.heads("GET /up")) >= seen + 10)
    assert time.monotonic() - began > 0.7, "too often"


@waits
def test_balance_active_checks_of_raw_backends(t):
    path = str(t.tmp / "packets.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    t.at_end(listener.close, late=True)
    listener.bind(path)
    backend = type("", (), {"address": f"unix:{path}"})
    daemon = t.daemon(ini([backend], "Protocol=packet\nHealthCheckInterval=100ms"))
    port = daemon.port("main")
    wait(lambda: daemon_lines(daemon, backend, "is down: health check"))
    equal(status(t, port), 502)
    listener.listen(64)
    wait(lambda: daemon_lines(daemon, backend, "is up"))
    equal(status(t, port), 101)


# ---- reload


@tag("tsan")
def test_balance_state_survives_a_reload(t):
    dead, good = Backend(t, "dead", running=False), Backend(t, "good")
    keys = "MaxFails=1\nFailTimeout=1h\nMaxConnections=2"
    daemon = t.daemon(ini([dead, good], keys))
    port = daemon.port("main")
    held = [named(t, port)[0] for _ in range(2)]
    equal(len(daemon_lines(daemon, dead, "is down")), 1)
    equal(status(t, port), 503)
    dead.start()
    # an address more, in front
    more = Backend(t, "more")
    daemon.ini.write_text(ini([more, good, dead], keys))
    for number in range(3):
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("reload: done", count=number + 1)
    wait(lambda: status(t, port) == 101)
    equal(counts([visit(t, port) for _ in range(6)]), {"more": 6})
    equal(dead.requests, [])
    for ws in held:
        ws.finish()
    wait(lambda: "good" in [visit(t, port) for _ in range(4)])
    # another name: nothing is known of it
    daemon.ini.write_text(ini([dead], keys).replace("app", "other"))
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done", count=4)
    wait(lambda: visit(t, port) == "dead")


@waits
def test_balance_reload_switches_checks(t):
    one = Backend(t, "one")
    one.health = 500
    checked = "HealthCheckInterval=100ms\nHealthCheckPath=/up"
    daemon = t.daemon(ini([one], checked))
    port = daemon.port("main")
    wait(lambda: status(t, port) == 502)
    daemon.ini.write_text(ini([one]))
    daemon.signal(signal.SIGHUP)
    wait(lambda: status(t, port) == 101)
    equal(len(daemon_lines(daemon, one, "is up: it is not checked any more")), 1)
    daemon.ini.write_text(ini([one], checked))
    daemon.signal(signal.SIGHUP)
    wait(lambda: status(t, port) == 502)
    # a configuration that is refused changes nothing
    daemon.ini.write_text("[nonsense]\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("nothing is changed")
    equal(status(t, port), 502)
    one.health = 200
    wait(lambda: status(t, port) == 101)
