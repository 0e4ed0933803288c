"""HTTP/2 abuse: floods and bombs end the connection with ENHANCE_YOUR_CALM, others notice nothing, memory is bounded; and
what a busy honest client does is no abuse."""

import os
import socket
import struct
import time

import proxy_slow
import wire2
from harness import alone, equal, flavours, limit, tag, waits
from http2 import ECHO, forward, ini, static
from wire import CLOSE, TEXT, Listener, close_payload, frame
from wire2 import CANCEL, ENHANCE_YOUR_CALM, H2, Raw

MIB = 1 << 20


class Bystander:
    """A client on a connection of its own, which has to go on."""

    def __init__(self, t, daemon):
        self.daemon = daemon
        self.client = H2(t, daemon.port("main"))
        self.ws = self.client.open_ws("/ws")
        self.said = 0

    def echo(self):
        self.said += 1
        self.ws.text(f"message {self.said}")
        self.ws.expect(TEXT, f"message {self.said}")

    def check(self, ended=0):
        """Still served; the log tells of so many connections that were ended for what their clients did."""
        self.echo()
        if ended:
            self.daemon.wait_log(r"connection ended: ", count=ended)
        equal(self.daemon.log.count("connection ended: "), ended, "connections that were ended")


def flood(raw, data, times, reads=False):
    """Sends data again and again until the other side has had enough; returns how often."""
    for i in range(times):
        try:
            raw.send(data)
        except OSError:
            return i
        if reads:
            raw.sock.setblocking(False)
            try:
                raw.fill(0)
            except BlockingIOError:
                pass
            if raw.ended or b"\0\0\x08\x07\0\0\0\0\0" in raw.buffer:
                return i
    return times


def expect_calm(raw):
    raw.expect_goaway(ENHANCE_YOUR_CALM)


def rapid_resets(count, path="/ws"):
    """So many WebSockets, each opened and reset."""
    block = Raw.block([(n, path if n == ":path" else v) for n, v in Raw.WS])
    reset = struct.pack(">I", CANCEL)
    return b"".join(
        wire2.raw_frame(wire2.HEADERS, wire2.END_HEADERS, number, block)
        + wire2.raw_frame(wire2.RST_STREAM, 0, number, reset)
        for number in range(1, 2 * count, 2)
    )


@tag("tsan")
def test_http2_rapid_reset(t):
    """CVE-2023-44487: 10,000 streams opened and dropped."""
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    data = rapid_resets(10_000)
    raw = Raw(t, daemon.port("main"))
    raw.send_as_far_as_possible(data)
    expect_calm(raw)
    bystander.check(ended=1)
    daemon.wait_log("too many streams were reset by the client")


@tag("tsan")
def test_http2_rapid_reset_of_forwarded_websockets(t):
    """The same with a backend: it does not get 10,000 connections."""
    backend = Listener(t, backlog=4096)
    daemon = t.daemon(ini(ECHO + forward(backend)))
    bystander = Bystander(t, daemon)
    data = rapid_resets(10_000, "/app")
    raw = Raw(t, daemon.port("main"))
    raw.send_as_far_as_possible(data)
    expect_calm(raw)
    bystander.check(ended=1)
    count = 0
    backend.sock.settimeout(0.3)
    try:
        while True:
            backend.sock.accept()[0].close()
            count += 1
    except TimeoutError:
        pass
    assert count <= 1200, f"{count} connections to the backend"


def test_http2_resets_that_the_client_provokes(t):
    """MadeYouReset (CVE-2025-8671): errors of the client make the gateway reset, again and again."""
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    for bad in (
        lambda s: wire2.raw_frame(wire2.WINDOW_UPDATE, 0, s, struct.pack(">I", 0)),
        lambda s: wire2.raw_frame(wire2.WINDOW_UPDATE, 0, s, struct.pack(">I", 2**31 - 1)),
        lambda s: wire2.raw_frame(wire2.PRIORITY, 0, s, struct.pack(">IB", s, 1)),
        lambda s: wire2.raw_frame(wire2.DATA, wire2.END_STREAM, s, b"x") + wire2.raw_frame(wire2.DATA, 0, s, b"more"),
    ):
        raw = Raw(t, daemon.port("main"))
        block = raw.block(raw.WS)
        for i in range(12_000):
            number_of = 1 + 2 * i
            open_it = wire2.raw_frame(wire2.HEADERS, wire2.END_HEADERS, number_of, block)
            if flood(raw, open_it + bad(number_of), 1, reads=i % 50 == 0) == 0:
                break
        got = raw.recv_kind(wire2.GOAWAY)
        # some errors end the connection at once, which is as good (RFC 9113, 5.4.1)
        expected = (ENHANCE_YOUR_CALM, wire2.STREAM_CLOSED, wire2.PROTOCOL_ERROR)
        assert got is None or wire2.goaway_of(got.payload)[1] in expected, got
    bystander.check(ended=4)


def test_http2_malformed_requests_again_and_again(t):
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    raw = Raw(t, daemon.port("main"))
    block = raw.block([*raw.GET, ("Upper", "case")])
    frames = [wire2.raw_frame(wire2.HEADERS, 5, 1 + 2 * i, block) for i in range(5000)]
    for i in range(0, 5000, 20):
        if flood(raw, b"".join(frames[i : i + 20]), 1, reads=True) == 0:
            break
    expect_calm(raw)
    bystander.check(ended=1)


def test_http2_frames_of_no_use(t):
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    ended = 0
    for frame in (
        wire2.raw_frame(wire2.PING, payload=b"12345678"),
        wire2.raw_frame(wire2.SETTINGS),
        wire2.raw_frame(wire2.SETTINGS, payload=wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 70_000))),
        wire2.raw_frame(wire2.PRIORITY, 0, 1, b"\0\0\0\0\5"),
    ):
        for reads in (True, False):
            raw = Raw(t, daemon.port("main"))
            flooded = flood(raw, frame * 100, 3000, reads)
            if reads:
                assert flooded < 3000, f"{frame} never ended it"
                expect_calm(raw)
            raw.close()
            ended += 1
            bystander.check(ended=ended)


def test_http2_empty_data_frames(t):
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    for number, frame in enumerate(
        (wire2.raw_frame(wire2.DATA, 0, 1), wire2.raw_frame(wire2.DATA, wire2.PADDED, 1, b"\3\0\0\0"))
    ):
        raw = Raw(t, daemon.port("main"))
        raw.headers(1, raw.WS, wire2.END_HEADERS)
        raw.expect_status(1, 200)
        assert flood(raw, frame * 100, 3000, reads=True) < 3000, "empty DATA frames for ever"
        expect_calm(raw)
        bystander.check(ended=number + 1)


def test_http2_window_updates_for_nothing(t):
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    raw = Raw(t, daemon.port("main"))
    update = wire2.raw_frame(wire2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))
    assert flood(raw, update * 500, 3000, reads=True) < 3000
    expect_calm(raw)
    bystander.check(ended=1)


def test_http2_continuation_flood(t):
    """CVE-2024-27316 and its kin: a header block that never ends."""
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    before = daemon.rss_kib()
    for number, piece in enumerate((b"", Raw.block([("x", "y" * 4000)]), Raw.block([("x", "y" * 16000)]))):
        raw = Raw(t, daemon.port("main"))
        raw.headers(1, raw.GET, 0)
        flood(raw, wire2.raw_frame(wire2.CONTINUATION, 0, 1, piece), 20_000, reads=True)
        expect_calm(raw)
        bystander.check(ended=number + 1)
    if not t.sanitized:
        assert daemon.rss_kib() - before < 2048


def test_http2_header_bombs(t):
    daemon = t.daemon(ini())
    bystander = Bystander(t, daemon)
    # a little too much is answered
    raw = Raw(t, daemon.port("main"))
    for number, fields in enumerate(
        (
            [("x", "y" * 16000)] * 3,
            [("x", "y")] * 101,
            [("cookie", "y" * 8000)] * 5,
            [(":path", "/" + "y" * 9000)],
        )
    ):
        stream = 1 + 2 * number
        own = [f for f in raw.GET if f[0] != fields[0][0]] if fields[0][0] == ":path" else [*raw.GET]
        block = raw.block(own + fields)
        for i in range(0, len(block), 16384):
            flags = (wire2.END_STREAM if i == 0 else 0) | (wire2.END_HEADERS if i + 16384 >= len(block) else 0)
            raw.frame(wire2.CONTINUATION if i else wire2.HEADERS, flags, stream, block[i : i + 16384])
        raw.expect_status(stream, 431)
    raw.expect_alive()
    # HPACK: one field in the dynamic table, named again and again
    raw = Raw(t, daemon.port("main"))
    value = b"v" * 3900
    bomb = b"\x40" + b"\1x" + b"\x7f" + bytes([(3900 - 127) % 128 | 128, (3900 - 127) // 128]) + value
    raw.frame(wire2.HEADERS, 1, 1, raw.block(raw.GET) + bomb + b"\xbe" * 12000)
    expect_calm(raw)
    bystander.check(ended=1)
    # 100 cookies are no bomb
    client = H2(t, daemon.port("main"))
    client.open_ws(fields=[("cookie", f"name{i}={i}") for i in range(300)]).finish()


def test_http2_hpack_that_cannot_be_decoded(t):
    daemon = t.daemon(ini())
    for number, block in enumerate((b"\xff\xff\xff\xff\xff\xff", b"\xbf", b"\x80", b"\x3f\xff\xff\xff\x0f", b"\0\x85\xff")):
        raw = Raw(t, daemon.port("main"))
        raw.frame(wire2.HEADERS, 5, 1, block)
        raw.expect_goaway(wire2.COMPRESSION_ERROR)
        daemon.wait_log("connection ended", count=number + 1)


def test_http2_window_overflows(t):
    daemon = t.daemon(ini())
    raw = Raw(t, daemon.port("main"))
    raw.headers(1, raw.WS, wire2.END_HEADERS)
    raw.expect_status(1, 200)
    raw.frame(wire2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**31 - 1))
    raw.expect_reset(1, wire2.FLOW_CONTROL_ERROR)
    raw.frame(wire2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1))
    raw.expect_goaway(wire2.FLOW_CONTROL_ERROR)
    # more than the window allows is an error, too
    raw = Raw(t, daemon.port("main"))
    raw.headers(1, raw.WS, wire2.END_HEADERS)
    raw.expect_status(1, 200)
    flood(raw, wire2.raw_frame(wire2.DATA, 0, 1, bytes(16384)), 3000, reads=True)
    got = raw.recv_kind(wire2.GOAWAY, wire2.RST_STREAM)
    assert got is not None


@alone
@flavours("plain")
@waits
@limit(90)
def test_http2_peer_that_never_reads(t):
    """Requests, PINGs and messages from a client that does not read: memory is bounded, and in the end it is cut."""
    route, folder = static(t)
    (folder / "a.bin").write_bytes(os.urandom(4 * MIB))
    daemon = t.daemon(ini(ECHO + route, listen="IdleConnectionTimeout=3s\n", server="Workers=1\n"), access=True)
    bystander = Bystander(t, daemon)
    before = daemon.rss_kib()
    settings = wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 2**31 - 1))
    raws = []
    for _ in range(5):
        raw = Raw(t, daemon.port("main"), settings=settings)
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.frame(wire2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 65536))
        fields = [(n, "/files/a.bin" if n == ":path" else v) for n, v in raw.GET]
        for i in range(100):
            raw.headers(1 + 2 * i, fields)
        raws.append(raw)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        bystander.check()
    grown = daemon.rss_kib() - before
    assert grown < 5 * 100 * 40 + 4096, f"{grown} KiB more"  # two pieces of each file, of 16 KiB
    daemon.wait_log("connection ended: the client does not read", timeout=15, count=5)
    lines = daemon.access(500)
    equal({line["reason"] for line in lines}, {"the response was broken off"})
    bystander.check(ended=5)


@waits
def test_http2_echo_to_a_peer_that_never_reads(t):
    daemon = t.daemon(ini(listen="IdleConnectionTimeout=2s\n"))
    bystander = Bystander(t, daemon)
    raw = Raw(t, daemon.port("main"))
    raw.headers(1, raw.WS, wire2.END_HEADERS)
    frame = wire2.raw_frame(wire2.DATA, 0, 1, bystander.ws.frame(2, bytes(16000)))
    sent = 0
    raw.sock.setblocking(False)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            sent += raw.sock.send(frame)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    # the stream's window (65,535 bytes of ours are never given back), and it is an error to send more
    bystander.check(ended=1 if sent > 300_000 else 0)


WITHOUT_WINDOW = wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 0))


def expect_resets(raw, streams):
    """Each of the streams is reset, in whatever order."""
    left = set(streams)
    while left:
        got = raw.recv_kind(wire2.RST_STREAM, wire2.GOAWAY)
        assert got is not None and got.kind == wire2.RST_STREAM, f"{got} instead of the resets of {left}"
        left.discard(got.stream)


@waits
def test_http2_responses_that_nobody_gives_a_window_for(t):
    """The application is through with its responses, and the client never takes them: they do not wait for ever."""
    app = proxy_slow.server(t, proxy_slow.sends_until_the_end(200_000))
    route = f"[route app]\nPath=/app\nAction=proxy\nBackend=app\n[backend app]\nAddress={app}\n"
    daemon = t.daemon(ini(ECHO + route, listen="IdleConnectionTimeout=2s\n"), access=True)
    raw = Raw(t, daemon.port("main"), settings=WITHOUT_WINDOW)
    fields = [(n, "/app" if n == ":path" else v) for n, v in raw.GET]
    streams = range(1, 40, 2)
    for number in streams:
        raw.headers(number, fields)
    raw.headers(41, raw.WS, wire2.END_HEADERS)
    raw.headers(43, [(n, "/nowhere" if n == ":path" else v) for n, v in raw.GET])
    raw.headers(45, [*raw.GET, *[("x-many", "x")] * 110])  # refused before it is a request
    daemon.access(len(streams) + 2)
    expect_resets(raw, [*streams, 43, 45])
    raw.expect_alive()


@waits
def test_http2_websockets_that_nobody_gives_a_window_for(t):
    """Both sides are through, and what the client was sent stays in our queue."""
    daemon = t.daemon(ini("[websocket]\nCloseTimeout=1s\n" + ECHO), access=True)
    raw = Raw(t, daemon.port("main"), settings=WITHOUT_WINDOW)
    streams = range(1, 40, 2)
    for number in streams:
        raw.headers(number, raw.WS, wire2.END_HEADERS)
        raw.frame(wire2.DATA, 0, number, frame(TEXT, bytes(16000)))
        raw.frame(wire2.DATA, wire2.END_STREAM, number, frame(CLOSE, close_payload(1000)))
    daemon.access(len(streams))
    expect_resets(raw, streams)
    raw.expect_alive()


@waits
def test_http2_a_slow_reader_gets_its_whole_response(t):
    app = proxy_slow.server(t, proxy_slow.sends_until_the_end(200_000))
    route = f"[route app]\nPath=/app\nAction=proxy\nBackend=app\n[backend app]\nAddress={app}\n"
    daemon = t.daemon(ini(ECHO + route, listen="IdleConnectionTimeout=4s\n"), access=True)
    raw = Raw(t, daemon.port("main"), settings=WITHOUT_WINDOW)
    raw.headers(1, [(n, "/app" if n == ":path" else v) for n, v in raw.GET])
    daemon.access()
    raw.expect_status(1, 200)
    raw.frame(wire2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20))
    left = 200_000
    for _ in range(5):  # each within the time, all of them not
        raw.expect_silence(1)
        raw.frame(wire2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 40_000))
        part = 0
        while part < 40_000:
            got = raw.recv_kind(wire2.DATA, wire2.RST_STREAM, wire2.GOAWAY)
            assert got.kind == wire2.DATA, got
            part += len(got.payload)
        left -= part
    equal(left, 0)
    if not got.flags & wire2.END_STREAM:
        got = raw.recv_kind(wire2.DATA, wire2.RST_STREAM, wire2.GOAWAY)
    equal((got.kind, got.flags & wire2.END_STREAM), (wire2.DATA, wire2.END_STREAM))


@limit(120)
def test_http2_busy_honest_clients_are_never_cut(t):
    """Thousands of tiny frames, of PINGs that are answered, of requests, of WebSockets opened and closed."""
    route, folder = static(t)
    (folder / "a.txt").write_bytes(b"a file")
    daemon = t.daemon(ini(ECHO + route))
    client = H2(t, daemon.port("main"))
    ws = client.open_ws()
    count = 4000 if t.sanitized else 20_000
    # tiny DATA frames, a byte each
    data = b"".join(ws.frame(TEXT, b"x") for _ in range(count // 7))
    for i in range(0, len(data), 500):
        with client.corked():
            for byte in data[i : i + 500]:
                client.c.send_data(ws.id, bytes([byte]))
        client.wait(lambda: ws.window() > 10_000, "the window")
    for _ in range(count // 7):
        ws.expect(TEXT, b"x")
    # WINDOW_UPDATE for each DATA frame, as that client does; PINGs now and then
    for i in range(count // 10):
        ws.text(f"{i}")
        if i % 20 == 0:
            client.c.ping(b"12345678")
        ws.expect(TEXT, f"{i}")
    for i in range(count // 10):
        equal(client.request("/files/a.txt").body, b"a file")
    for i in range(count // 20):
        client.open_ws().finish()
    # all 256 streams reset at once, four times in a row: a page full of sockets that is left
    for _ in range(4):
        sockets = []
        with client.corked():
            for _ in range(255):
                sockets.append(client.begin_ws())
        for each in sockets:
            each.wait_headers()
        with client.corked():
            for each in sockets:
                each.reset()
    ws.finish()
    equal(client.goaways, [])
    equal(daemon.log.count("connection ended"), 0)


def test_http2_abuse_on_one_connection_leaves_the_others_fast(t):
    daemon = t.daemon(ini(server="Workers=1\n"))
    bystander = Bystander(t, daemon)
    worst = 0
    data = rapid_resets(10_000)
    for _ in range(5):
        raw = Raw(t, daemon.port("main"))
        raw.sock.setblocking(False)
        at = 0
        while at < len(data):
            try:
                at += raw.sock.send(data[at : at + 65536])
            except BlockingIOError:
                pass
            except OSError:
                break
            before = time.monotonic()
            bystander.echo()
            worst = max(worst, time.monotonic() - before)
        raw.close()
    assert worst < 1 * t.factor, f"an echo took {worst:.3f} s"
    daemon.wait_logged("connection ended: too many streams were reset by the client")
