"""The three strategies of keep-alive toward both sides, and the other timers of a WebSocket.

Every bound has a margin of a second or more: what must not happen early is looked at a second before its time.
"""

import select
import time

from harness import contains, equal, in_threads, tag, waits
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, frame, open_ws, relayed

LISTEN = "[listen main]\nAddress=127.0.0.1:0\n"


def echo_route(name, *keys):
    return f"[route {name}]\nPath=/{name}\nAction=echo\n" + "\n".join(keys) + "\n"


def forward_ini(backend, websocket=(), keys=()):
    return (
        LISTEN
        + "[route ws]\nPath=/ws\nAction=forward\nBackend=app\n"
        + "\n".join(websocket)
        + f"\n[backend app]\nAddress={backend.address}\n"
        + "\n".join(keys)
        + "\n"
    )


def ends_without_close(ws, timeout=10):
    """The peer aborts: the end of the stream, and no Close before it. PINGs may come."""
    while True:
        got = ws.recv_frame(timeout)
        if got is None:
            return
        assert got.opcode in (PING, PONG), f"{got} before the end"


# ---- toward the client


@waits
def test_keepalive_off_sends_nothing(t):
    ini = LISTEN + echo_route("zero", "KeepAliveInterval=0", "KeepAliveTimeout=1s")
    ini += echo_route("never", "KeepAliveInterval=infinity", "KeepAliveTimeout=1s")
    port = t.daemon(ini).port("main")
    first, second = open_ws(t, port, "/zero"), open_ws(t, port, "/never")
    first.expect_silence(3.5)
    second.expect_silence(0)
    first.finish()
    second.finish()


@waits
def test_keepalive_unsolicited_pong_every_interval(t):
    ini = LISTEN + echo_route("infinite", "KeepAliveInterval=1s", "KeepAliveTimeout=infinity")
    ini += echo_route("zero", "KeepAliveInterval=1s", "KeepAliveTimeout=0") + echo_route("slow", "KeepAliveInterval=3s")
    port = t.daemon(ini).port("main")
    sockets = [open_ws(t, port, path) for path in ("/infinite", "/zero")]
    slow = open_ws(t, port, "/slow")
    began = time.monotonic()
    for ws in sockets:
        for _ in range(3):
            equal(ws.recv_frame().opcode, PONG)
    assert time.monotonic() - began > 1.9, "three PONGs came too early"
    # what a busy peer gets is the same
    ws = sockets[0]
    seen = 0
    end = time.monotonic() + 20 * t.factor
    while seen < 2:
        ws.text("busy")
        got = ws.recv_frame()
        while got.opcode == PONG:
            seen += 1
            got = ws.recv_frame()
        equal(got.payload, b"busy")
        seen += sum(f.opcode == PONG for f in ws.frames_for(0.2))
        assert time.monotonic() < end, "no PONGs beside data"
    # the default of KeepAliveTimeout is infinity
    equal(slow.recv_frame().opcode, PONG)
    for ws in (*sockets, slow):
        ws.send_close()
        ws.expect_close(1000, skip=(PONG,))


@tag("tsan")
@waits
def test_keepalive_ping_is_answered_and_repeated(t):
    port = t.daemon(LISTEN + echo_route("ws", "KeepAliveInterval=1s", "KeepAliveTimeout=4s")).port("main")
    ws = open_ws(t, port)
    tokens = []
    for _ in range(3):
        got = ws.recv_frame()
        equal(got.opcode, PING)
        equal(len(got.payload), 8, "bytes of the token")
        tokens.append(got.payload)
        ws.send_frame(PONG, got.payload)
    equal(len(set(tokens)), 3, "different tokens")
    ws.text("still here")
    ws.expect(TEXT, "still here")
    ws.finish()


@waits
def test_keepalive_ping_only_after_silence_of_the_peer(t):
    port = t.daemon(LISTEN + echo_route("ws", "KeepAliveInterval=3s", "KeepAliveTimeout=30s")).port("main")
    texting, pinging = open_ws(t, port), open_ws(t, port)
    began = time.monotonic()
    while time.monotonic() - began < 5:
        texting.text("x")
        texting.expect(TEXT, "x")
        pinging.ping("y")
        pinging.expect(PONG, "y")
        texting.expect_silence(0.2)
    pinging.expect_silence(0)
    equal(texting.recv_frame().opcode, PING)
    equal(pinging.recv_frame().opcode, PING)


@waits
def test_keepalive_without_its_pong_the_connection_is_aborted(t):
    ini = LISTEN + echo_route("ws", "KeepAliveInterval=1s", "KeepAliveTimeout=2500ms")
    daemon = t.daemon(ini, access=True)
    silent, wrong, answering = (open_ws(t, daemon.port("main")) for _ in range(3))
    equal(silent.recv_frame().opcode, PING)
    began = time.monotonic()
    wrong.recv_frame()
    wrong.send_frame(PONG, b"\xff" * 8)
    wrong.send_frame(PONG)
    answering.send_frame(PONG, answering.recv_frame().payload)
    ends_without_close(silent)
    assert time.monotonic() - began > 1.4, "aborted too early"
    ends_without_close(wrong)
    lines = daemon.access(2)
    for line in lines:
        equal(line["closed_by"], "gateway")
        contains(line["reason"].lower().replace("-", "").replace(" ", ""), "keepalive")
        assert line["close_code"] in (None, 1006), line
    for got in answering.frames_for(0):
        answering.send_frame(PONG, got.payload)
    answering.send_close()
    answering.expect_close(1000, skip=(PING,))


@waits
def test_keepalive_ping_comes_only_between_frames(t):
    backend = Listener(t)
    ini = forward_ini(backend, ("KeepAliveInterval=1s", "KeepAliveTimeout=30s"))
    client, app = relayed(t, t.daemon(ini).port("main"), backend)
    whole = app.frame(BINARY, b"x" * 1000)
    app.send(whole[:500])
    head = client.read(4)
    equal(head, whole[:4])
    began = time.monotonic()
    got = b""
    while time.monotonic() - began < 3:
        if select.select([client.sock], [], [], 0.2)[0]:
            client.fill(time.monotonic() + 1)
            got += client.read(len(client.buffer))
    equal(got, b"x" * len(got))
    app.send(whole[500:])
    equal(got + client.read(1000 - len(got)), b"x" * 1000)
    got = client.recv_frame()
    equal(got.opcode, PING)
    client.send_frame(PONG, got.payload)
    # within a message, but between its frames, it may come
    app.send_frame(TEXT, "one", fin=False)
    client.expect(TEXT, "one", fin=False)
    got = client.recv_frame()
    equal(got.opcode, PING)
    client.send_frame(PONG, got.payload)
    app.send_frame(CONT, "two")
    client.expect(CONT, "two")


@waits
def test_keepalive_pong_stuck_behind_a_slow_backend_is_no_reason_to_abort(t):
    backend = Listener(t)
    ini = forward_ini(backend, ("KeepAliveInterval=1s", "KeepAliveTimeout=2500ms", "MaxMessageSize=0"))
    client, app = relayed(t, t.daemon(ini).port("main"), backend)
    ping = client.recv_frame()
    equal(ping.opcode, PING)
    # the PONG comes behind more data than all buffers take, of which the backend reads nothing
    count = 300
    data = client.frame(BINARY, b"x" * 65536) * count + client.frame(PONG, ping.payload)
    sent, began = 0, time.monotonic()
    client.sock.setblocking(False)
    while time.monotonic() - began < 7:
        readable, writable, _ = select.select([client.sock], [client.sock] if sent < len(data) else [], [], 0.2)
        if readable:
            assert client.fill(0), "the client was cut off"
        if writable:
            sent += client.sock.send(data[sent : sent + 65536])
    assert sent < len(data), "the backend's slowness is not passed on"
    # now it reads: all is there

    def drain():
        for _ in range(count):
            app.expect(BINARY, b"x" * 65536)

    in_threads(lambda: client.send(data[sent:]), drain)
    client.text("alive")
    app.expect(TEXT, "alive")


@waits
def test_keepalive_client_that_reads_late_is_not_aborted(t):
    ini = LISTEN + echo_route("ws", "KeepAliveInterval=1s", "KeepAliveTimeout=1s", "MaxMessageSize=0")
    daemon = t.daemon(ini)
    ws = open_ws(t, daemon.port("main"), receive_buffer=4096)
    data = ws.frame(BINARY, b"x" * 65536)
    ws.sock.setblocking(False)
    count, left, full_since = 0, b"", None
    # until the gateway has not taken anything for 5 s
    end = time.monotonic() + 60 * t.factor
    while full_since is None or time.monotonic() - full_since < 5:
        assert time.monotonic() < end, "the gateway takes everything"
        if not select.select([], [ws.sock], [], 0.1)[1]:
            full_since = full_since or time.monotonic()
            continue
        full_since = None
        if not left:
            left, count = data, count + 1
        left = left[ws.sock.send(left) :]
    ws.sock.setblocking(True)

    def read():
        for _ in range(count):
            got = ws.recv_frame(30)
            while got is not None and got.opcode == PING:
                got = ws.recv_frame(30)
            assert got is not None, "aborted"
            size = len(got.payload)
            while size < 65536:
                got = ws.recv_frame(30)
                size += len(got.payload) if got.opcode != PING else 0
            equal(size, 65536)

    in_threads(lambda: ws.send(left), read)


# ---- toward the backend


@waits
def test_keepalive_backend_gets_pongs_unasked(t):
    backend = Listener(t)
    client, app = relayed(t, t.daemon(forward_ini(backend, keys=("KeepAliveInterval=1s",))).port("main"), backend)
    for _ in range(2):
        got = app.recv_frame()
        equal(got.opcode, PONG)
        assert got.mask is not None
    client.expect_silence(0)


@waits
def test_keepalive_backend_is_off_by_default(t):
    backend = Listener(t)
    ini = forward_ini(backend, ("KeepAliveInterval=1s", "KeepAliveTimeout=30s"))
    client, app = relayed(t, t.daemon(ini).port("main"), backend)
    got = client.recv_frame()
    equal(got.opcode, PING)
    client.send_frame(PONG, got.payload)
    # neither the gateway's PING nor the answer to it is the backend's affair
    app.expect_silence(2.5)


@waits
def test_keepalive_backend_is_pinged_and_its_pongs_are_not_passed_on(t):
    backend = Listener(t)
    ini = forward_ini(backend, keys=("KeepAliveInterval=1s", "KeepAliveTimeout=5s"))
    client, app = relayed(t, t.daemon(ini).port("main"), backend)
    for _ in range(2):
        got = app.recv_frame()
        equal((got.opcode, len(got.payload)), (PING, 8))
        assert got.mask is not None
        app.send_frame(PONG, got.payload)
    client.expect_silence(1.5)
    # while those of the peers pass from end to end, also with 8 bytes
    for got in app.frames_for(0):
        app.send_frame(PONG, got.payload)
    client.ping(b"\0\0\0\0\0\0\0\1")
    got = app.recv_frame()
    while got.payload != b"\0\0\0\0\0\0\0\1":
        equal(got.opcode, PING)
        app.send_frame(PONG, got.payload)
        got = app.recv_frame()
    equal(got.opcode, PING)
    app.send_frame(PONG, got.payload)
    client.expect(PONG, b"\0\0\0\0\0\0\0\1")


@waits
def test_keepalive_dead_backend_is_aborted_and_the_client_gets_1014(t):
    backend = Listener(t)
    ini = forward_ini(backend, keys=("KeepAliveInterval=1s", "KeepAliveTimeout=1500ms"))
    daemon = t.daemon(ini, access=True)
    client, app = relayed(t, daemon.port("main"), backend)
    equal(app.recv_frame().opcode, PING)
    client.expect_close(1014)
    client.send_frame(CLOSE, b"\x03\xf6")
    client.expect_end()
    ends_without_close(app)
    line = daemon.access()[0]
    equal(line["close_code"], 1014)
    contains(line["reason"].lower().replace("-", "").replace(" ", ""), "keepalive")


# ---- the other timers


@waits
def test_keepalive_idle_timeout_closes_with_1001(t):
    ini = LISTEN + echo_route("ws", "IdleTimeout=2500ms", "KeepAliveInterval=0")
    daemon = t.daemon(ini, access=True)
    port = daemon.port("main")
    idle, pinging, busy = (open_ws(t, port) for _ in range(3))
    began = time.monotonic()
    end = began + 15 * t.factor
    closed = None
    last_text = began
    while closed is None:
        assert time.monotonic() < end, "PINGs keep it open"
        pinging.ping("x")
        got = pinging.recv_frame()
        while got.opcode == PONG and pinging.buffer:
            got = pinging.recv_frame()
        closed = got if got.opcode == CLOSE else None
        last_text = time.monotonic()
        busy.text("x")
        busy.expect(TEXT, "x")
        busy.expect_silence(0.2)
    equal(closed.code, 1001)
    assert time.monotonic() - began > 1.4, "closed too early"
    idle.expect_fail(1001)
    # the busy one has its own time since its last message
    busy.expect_silence(1)
    busy.expect_fail(1001)
    assert time.monotonic() - last_text > 1.4
    equal({line["close_code"] for line in daemon.access(3)}, {1001})


@waits
def test_keepalive_idle_timeout_counts_messages_of_both_directions(t):
    backend = Listener(t)
    ini = forward_ini(backend, ("IdleTimeout=2500ms", "KeepAliveInterval=0"))
    client, app = relayed(t, t.daemon(ini).port("main"), backend)
    for _ in range(5):
        app.text("news")
        client.expect(TEXT, "news")
        client.expect_silence(1)
    app.expect_silence(0)
    client.expect_close(1001)
    got = app.recv_frame()
    equal((got.opcode, got.code), (CLOSE, 1001))


@waits
def test_keepalive_max_age_closes_a_busy_websocket_with_1001(t):
    port = t.daemon(LISTEN + echo_route("ws", "MaxAge=2500ms", "KeepAliveInterval=0")).port("main")
    ws = open_ws(t, port)
    began = time.monotonic()
    while True:
        assert time.monotonic() - began < 15 * t.factor, "it got too old"
        ws.send_as_far_as_possible(ws.frame(TEXT, "x"))
        got = ws.recv_frame()
        if got.opcode == CLOSE:
            break
        equal(got.payload, b"x")
        select.select([ws.sock], [], [], 0.2)
    equal(got.code, 1001)
    assert time.monotonic() - began > 1.4, "closed too early"
    ws.send_as_far_as_possible(ws.frame(CLOSE, got.payload))
    ws.expect_end()


@waits
def test_keepalive_close_timeout_drops_who_does_not_answer(t):
    backend = Listener(t)
    ini = forward_ini(backend, ("CloseTimeout=1500ms", "KeepAliveInterval=0"))
    ini += echo_route("echo", "CloseTimeout=1500ms", "MaxAge=500ms", "KeepAliveInterval=0")
    daemon = t.daemon(ini)
    port = daemon.port("main")
    # the gateway's own Close
    ws = open_ws(t, port, "/echo")
    ws.expect_close(1001)
    ws.expect_end()
    # the backend's: the client does not answer
    client, app = relayed(t, port, backend)
    app.send_close(4000, "bye")
    client.expect_close(4000, "bye")
    client.expect_end()
    app.read_all()
    # the client's: the backend does not answer
    client, app = relayed(t, port, backend)
    client.send_close(4000, "bye")
    app.expect_close(4000, "bye")
    app.expect_end()
    client.read_all()
    # who answers in time is not dropped
    client, app = relayed(t, port, backend)
    client.send_close(4001, "bye")
    app.expect_close(4001, "bye")
    app.send_close(4001, "bye")
    client.expect_close(4001, "bye")
    client.expect_end(reset=False)


@waits
def test_keepalive_many_timers_at_once(t):
    port = t.daemon(LISTEN + echo_route("ws", "KeepAliveInterval=1s", "KeepAliveTimeout=10s")).port("main")
    sockets = [open_ws(t, port) for _ in range(200)]
    for _ in range(2):
        for ws in sockets:
            got = ws.recv_frame()
            equal((got.opcode, len(got.payload)), (PING, 8))
            ws.send_frame(PONG, got.payload)
    for ws in sockets:
        ws.send(frame(CLOSE))
    for ws in sockets:
        ws.expect_close(None, skip=(PING,))
