"""HTTP/2 flow control: large transfers, receivers that stand still, fairness between streams, memory."""

import hashlib
import os
import random
import struct
import threading
import time

import wire
import wire2
from harness import alone, equal, flavours, limit, tag, wait
from http2 import ECHO, forward, ini, relayed, static
from wire import BINARY, TEXT, Listener
from wire2 import H2, Raw

MIB = 1 << 20


def test_http2_messages_of_all_sizes(t):
    backend = Listener(t)
    client = H2(t, t.daemon(ini(ECHO + forward(backend))).port("main"))
    echo = client.open_ws("/ws")
    ws, peer = relayed(client, backend, "/app")
    edges = [0, 1, 2, 125, 126, 127, 128, 16383, 16384, 16385, 65535, 65536, 131071, 131072, 262143, 262144, MIB + 1]
    for size in edges:
        data = os.urandom(size)
        echo.binary(data)
        echo.expect_message(BINARY, data)
        sender = threading.Thread(target=peer.binary, args=(data,))
        sender.start()
        ws.expect_message(BINARY, data)
        sender.join()
        receiver = []
        reader = threading.Thread(target=lambda: receiver.append(peer.recv_message()))
        reader.start()
        ws.binary(data)
        reader.join()
        assert receiver[0] == (BINARY, data), f"{size} bytes came otherwise"


def test_http2_frames_cut_anywhere(t):
    """What HTTP/2 makes DATA frames of says nothing about WebSocket frames."""
    client = H2(t, t.daemon(ini()).port("main"))
    ws = client.open_ws()
    rnd = random.Random(1)
    messages = [os.urandom(rnd.choice((0, 1, 5, 125, 126, 700, 65536))) for _ in range(60)]
    stream = b"".join(ws.frame(BINARY, m) for m in messages)
    at = 0
    while at < len(stream):
        size = rnd.choice((1, 1, 2, 3, 10, 100, 5000, 16000))
        client.c.send_data(ws.id, stream[at : at + size], pad_length=rnd.choice((None, 0, 7, 255)))
        at += size
        if rnd.random() < 0.3:
            client.flush()
        if ws.window() < 40000:
            client.flush()
            client.wait(lambda: ws.window() >= 16384, "the window")
    client.flush()
    for message in messages:
        ws.expect_message(BINARY, message)
    equal(client.goaways, [])


class Mixer:
    """Bytes that need no memory: the same for both ends."""

    def __init__(self, seed):
        self.block = random.Random(seed).randbytes(MIB)

    def part(self, at, size):
        at %= MIB
        return (self.block + self.block[: size + MIB])[at : at + size] if size <= MIB else None


def both_ways(t, client, ws, peer, total):
    """total bytes in one message each way at once; every byte is compared."""
    errors = []

    def backend():
        try:
            mixer = Mixer(2)
            peer.send(wire.frame(BINARY, mask=None, announce=total))
            sent, got, head = 0, hashlib.sha256(), b""
            head_size = len(wire.frame(BINARY, announce=total))
            key, seen = None, 0
            peer.sock.setblocking(False)
            pending = b""
            end = time.monotonic() + 120 * t.factor
            while sent < total or pending or seen < total:
                assert time.monotonic() < end, f"sent {sent}, seen {seen} of {total}"
                progress = False
                try:
                    data = peer.sock.recv(1 << 18)
                    assert data, "the gateway closed"
                    progress = True
                    if key is None:
                        head += data
                        if len(head) >= head_size:
                            key, data = head[head_size - 4 : head_size], head[head_size:]
                        else:
                            data = b""
                    if data:
                        shift = seen % 4
                        rotated = key[shift:] + key[:shift]
                        got.update(wire.masked(data, rotated))
                        seen += len(data)
                except BlockingIOError:
                    pass
                if not pending and sent < total:
                    pending = mixer.part(sent, min(1 << 18, total - sent))
                    sent += len(pending)
                if pending:
                    try:
                        pending = pending[peer.sock.send(pending) :]
                        progress = True
                    except BlockingIOError:
                        pass
                if not progress:
                    time.sleep(0.0005)
            equal(got.hexdigest(), digest_of(1, total), "what the backend got")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=backend)
    thread.start()
    mixer, key, sent = Mixer(1), b"\1\2\3\4", 0
    client.c.send_data(ws.id, wire.frame(BINARY, announce=total, mask=key))
    seen, got, head = 0, hashlib.sha256(), b""
    head_size = len(wire.frame(BINARY, mask=None, announce=total))
    end = time.monotonic() + 120 * t.factor
    while (seen < total or sent < total) and not errors:
        assert time.monotonic() < end, f"sent {sent}, seen {seen} of {total}"
        room = min(ws.window(), total - sent)
        while room > 0:
            part = mixer.part(sent, room)
            shift = sent % 4
            client.c.send_data(ws.id, wire.masked(part, key[shift:] + key[:shift]))
            sent += room
            room = min(ws.window(), total - sent)
        client.flush()
        if seen < total:
            client.pump(end)
            data = bytes(ws.buffer)
            ws.buffer.clear()
            if len(head) < head_size:
                head += data
                data, head = head[head_size:], head[:head_size]
            got.update(data)
            seen += len(data)
        elif sent < total:
            client.pump(end)
    thread.join()
    if errors:
        raise errors[0]
    equal(got.hexdigest(), digest_of(2, total), "what the client got")


def digest_of(seed, total):
    mixer, digest = Mixer(seed), hashlib.sha256()
    for at in range(0, total, MIB):
        digest.update(mixer.part(at, min(MIB, total - at)))
    return digest.hexdigest()


@limit(150)
@tag("tsan")
def test_http2_transfer_both_ways_at_once(t):
    backend = Listener(t)
    daemon = t.daemon(ini(forward(backend, route="MaxMessageSize=0\n")))
    for total in (1, 300_000, (8 if t.sanitized else 64) * MIB):
        client = H2(t, daemon.port("main"))
        ws, peer = relayed(client, backend)
        both_ways(t, client, ws, peer, total)
        client.close()


def fill(client, ws, most=64 * MIB):
    """Sends until the window stays closed; returns how much was taken."""
    # the connection's window may be closed still by what another stream sent, and a busy machine
    ws.send(bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 40) + b"\0\0\0\0")
    sent, block = 0, bytes(16384)
    while sent < most:
        room = min(ws.window(), 16384)
        if room > 0:
            client.c.send_data(ws.id, block[:room])
            client.flush()
            sent += room
            continue
        before = time.monotonic()
        while ws.window() <= 0 and time.monotonic() < before + 0.5:
            client.pump_for(0.05)
        if ws.window() <= 0:
            return sent
    return sent


@tag("tsan")
def test_http2_stalled_websocket_disturbs_nobody(t):
    """The backend of some streams does not read: their windows close, memory is bounded, others go on."""
    backend = Listener(t, kind="unix")
    daemon = t.daemon(ini(ECHO + forward(backend, route="MaxMessageSize=0\nBufferLimit=64K\n"), listen="MaxStreams=64\n"))
    client = H2(t, daemon.port("main"))
    echo = client.open_ws("/ws")
    stalled = [relayed(client, backend, "/app") for _ in range(8)]
    taken = [fill(client, ws) for ws, _ in stalled]
    for size in taken:
        assert size < 8 * MIB, f"{size} bytes were taken for a backend that does not read"
    for i in range(50):
        echo.text(f"{i}" * 1000)
        echo.expect_message(TEXT, f"{i}" * 1000)
    equal(client.request("/none").status, 400)
    # and what was held comes when it is read
    ws, peer = stalled[0]
    got = 0
    while got < taken[0] + 14:
        got += len(peer.sock.recv(1 << 18))
    client.wait(lambda: ws.window() > 0, "the window")
    equal(got, taken[0] + 14)


@tag("tsan")
def test_http2_client_that_reads_one_stream_only(t):
    """The client's window of a stream stays closed: its backend is held, other streams go on."""
    backend = Listener(t, kind="unix")
    daemon = t.daemon(ini(ECHO + forward(backend, route="MaxMessageSize=0\nBufferLimit=64K\n")))
    client = H2(t, daemon.port("main"), window=50_000)
    client.c.increment_flow_control_window(32 * MIB)
    client.flush()
    echo = client.open_ws("/ws")
    ws, peer = relayed(client, backend, "/app")
    ws.hold_window = True
    peer.sock.setblocking(False)
    data, sent, quiet = wire.frame(BINARY, bytes(32 * MIB), mask=None), 0, time.monotonic()
    while time.monotonic() < quiet + 0.7 and sent < len(data):
        try:
            sent += peer.sock.send(data[sent : sent + 65536])
            quiet = time.monotonic()
        except BlockingIOError:
            client.pump_for(0.02)
    assert sent < 8 * MIB, f"{sent} bytes were taken for a client that does not read"
    assert 50_000 <= len(ws.buffer) + 10 <= 50_100, len(ws.buffer)
    for i in range(50):
        echo.text(f"{i}" * 1000)
        echo.expect_message(TEXT, f"{i}" * 1000)
    ws.hold_window = False
    client.acknowledge(ws)
    client.flush()
    client.wait(lambda: len(ws.buffer) > 60_000, "more")


@alone
@flavours("plain")
@limit(90)
def test_http2_memory_of_stalled_streams_is_bounded(t):
    backend = Listener(t, kind="unix")
    daemon = t.daemon(
        ini(forward(backend, route="MaxMessageSize=0\nBufferLimit=64K\n"), listen="MaxStreams=64\n", server="Workers=1\n")
    )
    client = H2(t, daemon.port("main"))
    streams = [relayed(client, backend, "/app") for _ in range(10)]
    before = daemon.rss_kib()
    for ws, _ in streams:
        fill(client, ws)
    grown = daemon.rss_kib() - before
    # a window and a queue for each, and some slack of the allocator
    assert grown < 10 * (64 + 64) + 1500, f"{grown} KiB more for ten stalled streams"
    for _, peer in streams:
        peer.sock.setblocking(False)
    data = wire.frame(BINARY, bytes(8 * MIB), mask=None)
    client.hold_windows = True
    before = daemon.rss_kib()
    for _, peer in streams:
        quiet, sent = time.monotonic(), 0
        while time.monotonic() < quiet + 0.3 and sent < len(data):
            try:
                sent += peer.sock.send(data[sent : sent + 65536])
                quiet = time.monotonic()
            except BlockingIOError:
                client.pump_for(0.02)
    grown = daemon.rss_kib() - before
    assert grown < 10 * 160 + 2500, f"{grown} KiB more for ten clients that do not read"


def test_http2_small_messages_pass_a_large_one(t):
    """While 100 MB go down one stream, echoes, PONGs and files of others come after a few frames."""
    backend = Listener(t)
    route, folder = static(t)
    (folder / "a.txt").write_bytes(b"a file")
    daemon = t.daemon(ini(ECHO + route + forward(backend, route="MaxMessageSize=0\n")))
    client = H2(t, daemon.port("main"))
    bulk, peer = relayed(client, backend, "/app")
    echo = client.open_ws("/ws")
    size = (20 if t.sanitized else 100) * MIB
    block = bytes(MIB)

    def send():
        peer.send(bytes([0x82, 127]) + struct.pack(">Q", size))
        for _ in range(size // MIB):
            peer.send(block)

    sender = threading.Thread(target=send)
    sender.start()
    client.wait(lambda: len(bulk.buffer) > MIB, "the large message")
    seen = len(bulk.buffer)
    waits = []
    for i in range(20):
        before = seen + len(bulk.buffer)
        bulk.buffer.clear()
        seen = before
        echo.text(f"small {i}")
        echo.ping(b"p")
        file = client.request("/files/a.txt", wait=False)
        echo.expect(TEXT, f"small {i}")
        echo.expect(wire.PONG, b"p")
        equal(file.read_all(), b"a file")
        waits.append(len(bulk.buffer))
        client.wait(lambda: len(bulk.buffer) > 100_000, "the large message going on")
    # what was in the kernel's buffers and in the client's window when the echo was sent comes first
    waits.sort()
    assert waits[10] < 2 * MIB, f"bytes of the large message that came before a small one: {waits}"
    while seen + len(bulk.buffer) < size + 10:
        seen += len(bulk.buffer)
        bulk.buffer.clear()
        client.pump(time.monotonic() + 20 * t.factor)
    sender.join()


def test_http2_little_waits_in_the_kernel(t):
    """A client on a slow link: what the gateway has written, but could not send yet, is no more than a few frames."""
    route, folder = static(t)
    with open(folder / "a.bin", "wb") as file:
        file.truncate(100 * MIB)
    daemon = t.daemon(ini(ECHO + route))
    client = H2(t, daemon.port("main"), window=2**31 - 1, receive_buffer=32768)
    client.c.increment_flow_control_window(2**30)
    client.hold_windows = True
    echo = client.open_ws("/ws")
    bulk = client.request("/files/a.bin", wait=False)
    client.wait(lambda: len(bulk.buffer) > MIB, "the file")
    daemon.wait_quiet()  # the buffers are full
    before = len(bulk.buffer)
    echo.text("small")
    echo.expect(TEXT, "small")
    assert len(bulk.buffer) - before < 800_000, f"{len(bulk.buffer) - before} bytes came before"


def test_http2_streams_take_turns(t):
    """Two equal transfers on one connection: DATA frames alternate, none larger than 16 KiB."""
    route, folder = static(t)
    (folder / "a.bin").write_bytes(bytes(4 * MIB))
    daemon = t.daemon(ini(route))
    client = H2(t, daemon.port("main"), window=8 * MIB)
    client.c.increment_flow_control_window(64 * MIB)
    client.hold_windows = True
    client.keep_order = True
    with client.corked():
        names = [client.request("/files/a.bin", wait=False) for _ in range(4)]
    for stream in names:
        client.wait(lambda: stream.ended, "the file")
        equal(len(stream.buffer), 4 * MIB)
    assert max(size for _, size in client.order) <= 16384
    got = dict.fromkeys((s.id for s in names), 0)
    worst = 0
    for number, size in client.order[: len(client.order) * 3 // 4]:
        got[number] += size
        worst = max(worst, max(got.values()) - min(got.values()))
    assert worst <= 512 * 1024, f"one stream was {worst} bytes ahead"


def test_http2_priorities_of_the_client_starve_nobody(t):
    """A client that says that its large file comes first, by RFC 7540 or RFC 9218, still gets the others."""
    route, folder = static(t)
    with open(folder / "a.bin", "wb") as file:
        file.truncate(96 * MIB)
    daemon = t.daemon(ini(ECHO + route))
    client = H2(t, daemon.port("main"), window=112 * MIB)
    client.c.increment_flow_control_window(112 * MIB)
    first = client.begin(client.fields_of("GET", "/files/a.bin", "a", [("priority", "u=0")]), end_stream=True)
    client.c.prioritize(first.id, weight=256)
    ws = client.begin_ws(fields=[("priority", "u=7")])
    client.c.prioritize(ws.id, weight=1, depends_on=first.id)
    ws.wait_headers()
    ws.text("x")
    ws.expect(TEXT, "x")
    assert len(first.buffer) < 96 * MIB, "the whole file came first"


def test_http2_windows_that_change_under_way(t):
    route, folder = static(t)
    data = os.urandom(MIB)
    (folder / "a.bin").write_bytes(data)
    raw = Raw(t, t.daemon(ini(route)).port("main"), settings=wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 0)))
    fields = list(raw.GET)
    fields[2] = (":path", "/files/a.bin")
    raw.headers(1, fields)
    raw.expect_status(1, 200)
    raw.expect_alive()
    assert not [f for f in raw.seen if f.kind == wire2.DATA and f.payload], "DATA with a window of 0"
    # RFC 9113, 6.9.2: the change applies to open streams, also to below zero
    raw.frame(wire2.SETTINGS, payload=wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 1000)))
    got = raw.recv_kind(wire2.DATA).payload
    equal(len(got), 1000)
    raw.frame(wire2.SETTINGS, payload=wire2.settings_payload((wire2.INITIAL_WINDOW_SIZE, 100)))
    raw.frame(wire2.WINDOW_UPDATE, stream=1, payload=struct.pack(">I", 900))
    raw.expect_alive()
    raw.frame(wire2.WINDOW_UPDATE, stream=1, payload=struct.pack(">I", 1))
    got += raw.recv_kind(wire2.DATA).payload
    equal(len(got), 1001)
    raw.frame(wire2.WINDOW_UPDATE, stream=1, payload=struct.pack(">I", 4 * MIB))
    while len(got) < 65535:
        got += raw.recv_kind(wire2.DATA).payload
    equal(len(got), 65535, "the connection's window (6.9.1)")
    raw.expect_alive()
    raw.frame(wire2.WINDOW_UPDATE, payload=struct.pack(">I", 4 * MIB))
    while len(got) < MIB:
        got += raw.recv_kind(wire2.DATA).payload
    assert got == data, "the file came otherwise"


@alone
@flavours("plain")
def test_http2_heap_of_an_idle_websocket(t):
    """At most 1 KiB for each of a hundred on a connection, its share of the connection included."""
    daemon = t.daemon(ini(server="Workers=1\n", listen="MaxStreams=100\n"))
    port = daemon.port("main")

    def connection():
        client = H2(t, port)
        sockets = [client.begin_ws() for _ in range(100)]
        for ws in sockets:
            ws.wait_headers()
        return client, sockets

    kept = [connection() for _ in range(5)]
    wait(lambda: True)
    before = daemon.rss_kib()
    kept += [connection() for _ in range(40)]
    per = (daemon.rss_kib() - before) * 1024 / 4000
    assert per <= 1024, f"{per:.0f} bytes for each WebSocket"
    print(f"{per:.0f} bytes for each idle WebSocket")
    assert kept
