"""The end of the daemon under load: who is served to the end, and how evenly the WebSockets are closed."""

import pathlib
import selectors
import signal
import time

from harness import equal, in_threads, limit, tag, waits
from wire import CLOSE, TEXT, Listener, WebSocket, check_101, connect, frame, handshake_head
from wire import request_head

INI = """
[server]
Workers={workers}
DrainTimeout={drain}
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
"""
PROXY = """
[route app]
Path=/app/*
Action=proxy
Backend=app
[backend app]
Address={address}
"""


def ini(drain="5s", workers=2, more=""):
    return INI.format(drain=drain, workers=workers) + more


class Crowd:
    """WebSockets that answer their Close; when each of them was closed, after the signal."""

    def __init__(self, t, port, count):
        self.sockets = []
        for _ in range(count):
            ws = connect(t, port, kind=WebSocket)
            ws.send(handshake_head())
            self.sockets.append(ws)
        for ws in self.sockets:
            check_101(ws.read_response())

    def closes(self, began, deadline):
        """The times, in seconds, at which their Closes came; every one is 1001 and is answered."""
        times = []
        with selectors.DefaultSelector() as selector:
            for ws in self.sockets:
                ws.sock.setblocking(False)
                selector.register(ws.sock, selectors.EVENT_READ, [ws, b""])
            while len(times) < len(self.sockets):
                assert time.monotonic() - began < deadline, f"{len(times)} of {len(self.sockets)} were closed"
                for key, _ in selector.select(1):
                    ws, had = key.data
                    had += ws.sock.recv(100)
                    key.data[1] = had
                    if len(had) < 4:
                        assert had, "an end without a Close"
                        continue
                    equal((had[0], had[2:4]), (0x88, (1001).to_bytes(2, "big")), "the Close")
                    times.append(time.monotonic() - began)
                    ws.sock.send(frame(CLOSE, had[2:4]))
                    selector.unregister(ws.sock)
                    ws.sock.close()
        return times


@waits
@limit(90)
def test_drain_of_500_websockets_is_even(t):
    seconds, count = 10, 500
    daemon = t.daemon(ini(f"{seconds}s", workers=3))
    crowd = Crowd(t, daemon.port("main"), count)
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    times = crowd.closes(began, 4 * seconds * t.factor)
    equal(daemon.wait_end(), 0)
    # the reserve for the last answers is a quarter of it: bins of a tenth of what is left
    spread = seconds * 0.75
    bins = [0] * 10
    for at in times:
        bins[min(9, int(at / spread * 10))] += 1
    # a busy machine sees closes late, never early; an even spread is 50 a bin
    assert sum(bins[:5]) <= count * 0.6, bins
    assert max(bins[:9]) <= 110, bins
    assert min(bins) >= 15, bins
    steps = daemon.log.count("of 500 connections left")
    assert 5 <= steps <= 11, daemon.log


@waits
def test_drain_of_few_websockets_on_many_workers_is_spread_too(t):
    daemon = t.daemon(ini("8s", workers=4))
    crowd = Crowd(t, daemon.port("main"), 4)
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    times = crowd.closes(began, 30 * t.factor)
    # one on each worker: at 0.75, 2.25, 3.75 and 5.25 s
    assert times[-1] - times[0] > 2.5, times
    assert times[0] < 3 * t.factor, times
    equal(daemon.wait_end(), 0)


def workers(daemon):
    """Threads of workers, beside the main one."""
    names = [(task / "comm").read_text() for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()]
    return sum(name.startswith("worker-") for name in names)


@waits
def test_drain_of_the_only_worker_which_is_the_main_thread(t):
    daemon = t.daemon(ini("4s", workers=1))
    crowd = Crowd(t, daemon.port("main"), 20)
    equal(workers(daemon), 0)
    equal(workers(t.daemon(ini(workers=3))), 3)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done")
    for ws in crowd.sockets:
        ws.send_frame(TEXT, b"still here")
        ws.expect_message(TEXT, b"still here")
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    equal(len(crowd.closes(began, 20 * t.factor)), 20)
    equal(daemon.wait_end(), 0)


def frozen(t, daemon, *steps):
    """The main thread stands still while the steps are made: what they do waits for it all at once."""
    daemon.signal(signal.SIGSTOP)
    try:
        for step in steps:
            step()
    finally:
        daemon.signal(signal.SIGCONT)


@tag("tsan")
def test_drain_serves_who_has_connected_already(t):
    daemon = t.daemon(ini())
    port = daemon.port("main")
    early = connect(t, port, kind=WebSocket)  # accepted, and its request is on its way
    waiting = []

    def knock():
        waiting.extend(connect(t, port, kind=WebSocket) for _ in range(150))  # more than one turn accepts
        early.send(handshake_head())
        for ws in waiting[1:]:
            ws.send(handshake_head())
        daemon.signal(signal.SIGTERM)

    frozen(t, daemon, knock)
    waiting[0].send(handshake_head())  # its request comes after the drain has begun
    for ws in [early, *waiting]:
        check_101(ws.read_response())

    def served(ws):
        ws.text("still served")
        got = ws.recv_frame()
        if got.opcode == TEXT:
            equal(got.payload, b"still served")
            ws.expect_fail(1001)
        else:
            equal(got.code, 1001)
        ws.close()

    in_threads(*(lambda ws=ws: served(ws) for ws in [early, *waiting]))
    equal(daemon.wait_end(), 0)


def test_drain_does_not_wait_for_who_says_nothing(t):
    daemon = t.daemon(ini("10min"))
    silent, idle = connect(t, daemon.port("main")), connect(t, daemon.port("main"))
    equal(idle.request(target="/none").status, 404)
    daemon.signal(signal.SIGTERM)
    idle.expect_end()
    silent.expect_end()
    equal(daemon.wait_end(), 0)


def test_drain_lets_running_requests_finish(t):
    backend = Listener(t)
    daemon = t.daemon(ini("30s", more=PROXY.format(address=backend.address)))
    port = daemon.port("main")
    down, up = connect(t, port), connect(t, port)
    down.send(request_head(target="/app/down"))
    peer = backend.accept_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    up.send(request_head("POST", "/app/up", [("Content-Length", "10")]) + b"01234")
    taker = backend.accept_request()
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("draining")
    up.send(b"56789")
    equal(taker.read(10), b"0123456789")
    taker.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    equal(up.read_response().status, 204)
    peer.send(b"56789")
    equal(down.read_response().body, b"0123456789")
    down.expect_end()
    up.expect_end()
    equal(daemon.wait_end(), 0)


def test_drain_again_ends_at_once(t):
    daemon = t.daemon(ini("10min"))
    crowd = Crowd(t, daemon.port("main"), 20)
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("draining")
    daemon.signal(signal.SIGTERM)
    equal(daemon.wait_end(10), 0)
    for ws in crowd.sockets:
        ws.read_all()


def test_drain_in_no_time_closes_all_at_once_with_a_code(t):
    daemon = t.daemon(ini("0"))
    crowd = Crowd(t, daemon.port("main"), 30)
    daemon.signal(signal.SIGTERM)
    for ws in crowd.sockets:
        ws.expect_close(1001)
        ws.close()
    equal(daemon.wait_end(), 0)
