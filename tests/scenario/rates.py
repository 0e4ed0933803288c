"""Rates: messages and bytes of a WebSocket (MessageRate, ByteRate, RateAction), new connections (ConnectionRate).

What has passed is compared with the time that went by: a rate is never exceeded by more than its burst, and whoever
is held gets everything in the end. A slow machine only makes that easier.
"""

import os
import threading
import time

import pmd
import wire2
from harness import equal, flavours, limit, tag, waits
from tls import Authority
from wire import BINARY, CLOSE, PING, PONG, TEXT, Listener, WebSocket, answer_101, check_101, connect, handshake_head, open_ws
from wire2 import H2

LISTEN = "[listen main]\nAddress=127.0.0.1:0\n"


def echo(*keys, path="/ws"):
    return f"[route echo]\nPath={path}\nAction=echo\n" + "\n".join(keys) + "\n"


def forward(backend, *keys, protocol="http"):
    keys = "\n".join(keys)
    return (
        f"[route app]\nPath=/app\nAction=forward\nBackend=app\n{keys}\n"
        f"[backend app]\nAddress={backend.address}\nProtocol={protocol}\n"
    )


class Watch:
    """Compares what has come with the time since the first of it could have been sent."""

    def __init__(self, rate):
        self.rate, self.start = rate, time.monotonic()

    def check(self, count):
        most = self.rate + (time.monotonic() - self.start) * self.rate + 1
        assert count <= most, f"{count} in {time.monotonic() - self.start:.3f} s at a rate of {self.rate}"


def echoes_at(ws, rate, count):
    """Sends so many messages at once; their echoes come in order and not faster than the rate."""
    watch = Watch(rate)
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(count)))
    for i in range(count):
        ws.expect(TEXT, str(i))
        watch.check(i + 1)


# ---- MessageRate


@waits
@tag("tsan")
def test_rates_messages_past_the_rate_are_delayed(t):
    daemon = t.daemon(LISTEN + echo("MessageRate=40") + echo("MessageRate=0", path="/free").replace("echo]", "free]"))
    ws, other = (open_ws(t, daemon.port("main")) for _ in range(2))
    free = open_ws(t, daemon.port("main"), "/free")
    echoes_at(ws, 40, 120)
    # each WebSocket has its own, and a route may have none
    for i in range(40):
        other.text(str(i))
        other.expect(TEXT, str(i))
    free.send(b"".join(free.frame(TEXT, str(i)) for i in range(5000)))
    for i in range(5000):
        free.expect(TEXT, str(i))
    for one in (ws, other, free):
        one.finish()


@waits
@tag("tsan")
def test_rates_messages_over_tls_and_http2(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    tls = f"[listen tls]\nAddress=127.0.0.1:0\nTLS=yes\nCertificate={pem}\nCertificateKey={key}\n"
    daemon = t.daemon(LISTEN + tls + echo("MessageRate=40"))
    context = ca.context()
    echoes_at(open_ws(t, daemon.port("tls"), tls=context, server_name="localhost"), 40, 100)
    client = H2(t, daemon.port("main"))
    ws, other = client.open_ws("/ws"), client.open_ws("/ws")
    echoes_at(ws, 40, 100)
    # one held stream holds no other one of the connection
    ws.send(b"".join(ws.frame(TEXT, "late") for _ in range(100)))
    watch = Watch(40)
    for i in range(20):
        other.text(str(i))
        other.expect(TEXT, str(i))
    for _ in range(60):
        ws.expect(TEXT, "late")
    watch.check(60)
    client = H2(t, daemon.port("tls"), tls=wire2.tls_context(ca.context()), server_name="localhost")
    echoes_at(client.open_ws("/ws"), 40, 100)


@waits
def test_rates_messages_to_backends_are_delayed(t):
    backend, lines = Listener(t), Listener(t)
    more = forward(lines, "MessageRate=40", protocol="lines").replace("app", "lines")
    daemon = t.daemon(LISTEN + forward(backend, "MessageRate=40") + more)
    ws = connect_app(t, daemon, backend)
    peer = ws.peer
    watch = Watch(40)
    ws.send(b"".join(ws.frame(BINARY, str(i)) for i in range(100)))
    for i in range(100):
        peer.expect(BINARY, str(i))
        watch.check(i + 1)
        # the other direction has no rate
        peer.text("x" * 1000)
        ws.expect(TEXT, "x" * 1000)
    ws = open_ws(t, daemon.port("main"), "/lines")
    peer = lines.accept()
    watch = Watch(40)
    ws.send(b"".join(ws.frame(TEXT, f"line {i}") for i in range(100)))
    for i in range(100):
        equal(peer.read_until(b"\n"), f"line {i}\n".encode())
        watch.check(i + 1)


def connect_app(t, daemon, backend):
    """A WebSocket through /app; .peer is the application's end."""
    ws = connect(t, daemon.port("main"), kind=WebSocket)
    ws.send(handshake_head("/app"))
    ws.peer = backend.accept_request()
    answer_101(ws.peer)
    check_101(ws.read_response())
    return ws


@tag("tsan")
def test_rates_close_is_1008(t):
    backend = Listener(t)
    limits = "MessageRate=10\nRateAction=close"
    daemon = t.daemon(LISTEN + echo(limits) + forward(backend, limits), access=True)
    ws = open_ws(t, daemon.port("main"))
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(1000)))
    heard = 0
    while (got := ws.recv_frame()).opcode == TEXT:
        equal(got.payload, str(heard).encode())
        heard += 1
    equal((got.opcode, got.code, got.reason), (CLOSE, 1008, "past the message rate"))
    assert 10 <= heard <= 100, heard
    (line,) = daemon.access(1)
    equal([line[k] for k in ("close_code", "closed_by", "reason", "messages_in")],
        [1008, "gateway", "past the message rate", heard])
    # the application sees whole messages and a client that is gone
    ws = connect_app(t, daemon, backend)
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(1000)))
    while (got := ws.peer.recv_frame()).opcode == TEXT:
        pass
    equal((got.opcode, got.code), (CLOSE, 1001))
    ws.expect_close(1008)
    # over HTTP/2
    ws = H2(t, daemon.port("main")).open_ws("/ws")
    ws.send(b"".join(ws.frame(TEXT, "x") for i in range(200)))
    ws.expect_close(1008, skip=(TEXT,))


@tag("tsan")
def test_rates_floods_of_pings_and_empty_fragments_are_covered(t):
    daemon = t.daemon(LISTEN + echo("MessageRate=10", "ByteRate=100K", "RateAction=close"))
    for flood in (PING, PONG):
        ws = open_ws(t, daemon.port("main"))
        ws.send_as_far_as_possible(b"".join(ws.frame(flood, "p") for _ in range(100)))
        ws.expect_close(1008, skip=(PONG,))
    ws = open_ws(t, daemon.port("main"))
    ws.send_frame(TEXT, "a", fin=False)
    empty = ws.frame(0, b"", fin=False) * 5000
    for _ in range(20):
        ws.send_as_far_as_possible(empty)
    skip = (TEXT, 0)
    ws.expect_close(1008, "past the byte rate", skip=skip)


# ---- ByteRate


@waits
@tag("tsan")
def test_rates_bytes_past_the_rate_are_delayed(t):
    daemon = t.daemon(LISTEN + echo("ByteRate=100K"))
    data = os.urandom(250 * 1024)
    for ws in (open_ws(t, daemon.port("main")), H2(t, daemon.port("main")).open_ws("/ws")):
        rate = 100 * 1024
        watch, came = Watch(rate), 0
        if ws.sock is None:
            ws.binary(data)  # its window opens as the bytes are taken
            watch.check(len(data) - 256 * 1024)
        else:
            sender = threading.Thread(target=ws.binary, args=(data,), daemon=True)
            sender.start()
        parts = []
        while came < len(data):
            got = ws.recv_frame()
            parts.append(got.payload)
            came += len(got.payload)
            watch.check(came)
        assert b"".join(parts) == data
        ws.text("still there")
        ws.expect(TEXT, "still there")
        ws.finish()


@waits
def test_rates_http2_window_is_not_given_back_while_held(t):
    rate = 10000
    daemon = t.daemon(LISTEN + echo(f"ByteRate={rate}", "MaxMessageSize=0"))
    client = H2(t, daemon.port("main"))
    ws = client.open_ws("/ws")
    first = ws.h2.c.local_flow_control_window(ws.id)
    watch = Watch(rate)
    message = memoryview(ws.frame(BINARY, bytes(4 << 20)))
    sent, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        room = ws.window()
        if room > 0:
            client.c.send_data(ws.id, bytes(message[sent : sent + room]))
            sent += room
            client.flush()
        client.pump_for(0.05)
    # the window, and what has passed; nghttp2 gives back by halves
    watch.check(sent - first)
    ws.reset()
    equal(client.open_ws("/ws").status, 200)


@tag("tsan")
def test_rates_bytes_close_is_1008(t):
    daemon = t.daemon(LISTEN + echo("ByteRate=10K", "RateAction=close"), access=True)
    ws = open_ws(t, daemon.port("main"))
    ws.binary(bytes(10 * 1024 - 100))
    ws.expect_message(BINARY, bytes(10 * 1024 - 100))
    ws.send_as_far_as_possible(ws.frame(BINARY, bytes(60 * 1024)))
    ws.expect_close(1008, "past the byte rate", skip=(BINARY, 0))
    equal(daemon.access(1)[0]["close_code"], 1008)


@waits
@tag("tsan")
def test_rates_compressed_bytes_count_as_what_they_become(t):
    rate = 256 * 1024
    keys = ("Compression=edge", "MaxMessageSize=0", f"ByteRate={rate}")
    daemon = t.daemon(LISTEN + echo(*keys) + echo(*keys, "RateAction=close", path="/close").replace("echo]", "close]"))
    side = pmd.Side()
    for ws in (
        open_ws(t, daemon.port("main"), fields=pmd.fields(pmd.NAME)),
        H2(t, daemon.port("main")).open_ws("/ws", [(pmd.FIELD.lower(), pmd.NAME)]),
    ):
        size, inflated = 600 * 1024, 0
        watch = Watch(rate)
        ws.send(ws.frame(BINARY, pmd.bomb(size), rsv=pmd.RSV1) + ws.frame(TEXT, "after it"))
        payload, side = b"", pmd.Side()
        while True:
            got = ws.recv_frame()
            payload += got.payload
            if got.fin:
                break
        inflated = len(side.inflate(payload))
        equal(inflated, size)
        watch.check(inflated - 128 * 1024)  # it goes on in steps of the inflater's buffer
        got = ws.recv_frame()
        equal(got.payload if not got.rsv else side.inflate(got.payload), b"after it")
    ws = open_ws(t, daemon.port("main"), "/close", fields=pmd.fields(pmd.NAME))
    ws.send(ws.frame(BINARY, pmd.bomb(8 << 20), rsv=pmd.RSV1))
    while (got := ws.recv_frame()).opcode != CLOSE:
        pass
    equal((got.code, got.reason), (1008, "past the byte rate"))


# ---- with everything else


@waits
def test_rates_a_held_client_is_not_taken_for_dead_or_idle(t):
    keys = ("MessageRate=2", "KeepAliveInterval=500ms", "KeepAliveTimeout=500ms", "IdleTimeout=1s")
    daemon = t.daemon(LISTEN + echo(*keys))
    ws = open_ws(t, daemon.port("main"))
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(12)))
    heard = 0
    while heard < 12:
        got = ws.recv_frame()
        assert got is not None and got.opcode in (TEXT, PING), got
        if got.opcode == PING:
            ws.send_frame(PONG, got.payload)
        else:
            equal(got.payload, str(heard).encode())
            heard += 1
    ws.finish()


@waits
@tag("tsan")
def test_rates_a_held_client_can_be_closed_and_drained(t):
    backend = Listener(t)
    daemon = t.daemon("[server]\nDrainTimeout=20s\n" + LISTEN + echo("MessageRate=1") + forward(backend, "MessageRate=1"))
    # by its application
    ws = connect_app(t, daemon, backend)
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(500)))
    ws.peer.expect(TEXT, "0")
    ws.peer.send_close(4000, "enough")
    ws.expect_close(4000, "enough")
    ws.send_close(4000, "enough")
    while (got := ws.peer.recv_frame(timeout=5)).opcode == TEXT:
        pass
    equal(got.code, 4000)
    ws.expect_end()
    # by vanishing
    for _ in range(20):
        ws = open_ws(t, daemon.port("main"))
        ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(500)))
        ws.expect(TEXT, "0")
        ws.abort()
    # by the drain: its Close stands behind 400 seconds of messages
    ws = open_ws(t, daemon.port("main"))
    ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(400)))
    ws.expect(TEXT, "0")
    start = time.monotonic()
    daemon.signal(15)
    ws.expect_close(1001, skip=(TEXT,), timeout=20)
    ws.send_close(1001)
    equal(daemon.wait_end(), 0)
    assert time.monotonic() - start < 60 * t.factor


@limit(90)
@flavours("plain")
def test_rates_of_nobody_else_suffer(t):
    """Many clients past their rates, one that is within it."""
    daemon = t.daemon(LISTEN + echo("MessageRate=100", "ByteRate=100K"))
    flood = []
    for _ in range(50):
        ws = open_ws(t, daemon.port("main"))
        ws.send_as_far_as_possible(b"".join(ws.frame(TEXT, "x" * 100) for _ in range(500)))
        flood.append(ws)
    ws = open_ws(t, daemon.port("main"))
    for i in range(100):
        ws.text(str(i))
        ws.expect(TEXT, str(i))
    before = daemon.cpu_seconds()
    ws.expect_silence(2)
    assert daemon.cpu_seconds() - before < 1, "held clients make it busy"
