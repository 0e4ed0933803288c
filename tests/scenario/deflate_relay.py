"""Compression before applications: `edge`, `passthrough` and `off` toward http backends, `edge` before raw ones."""

import zlib

import peers
import pmd
import raw_app
import wire2
from harness import equal, in_threads, tag
from pmd import CLIENT_ALONE, CLIENT_BITS, FIELD, NAME, RSV1, SERVER_ALONE, SERVER_BITS, Side, fields, offer
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, WebSocket, answer_101, connect, handshake_head
from wire import relayed


def ini(address, compression, *keys, backend="", server=""):
    lines = "\n".join(keys)
    return f"""
[server]
{server}
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/*
Action=forward
Backend=app
Compression={compression}
{lines}
[backend app]
Address={address}
{backend}
"""


class Gateway:
    """A daemon before an http backend that the test plays."""

    def __init__(self, t, compression, *keys, **options):
        self.t = t
        self.listener = Listener(t, "unix")
        self.daemon = t.daemon(ini(self.listener.address, compression, *keys, **options), access=True)
        self.port = self.daemon.port("main")

    def open(self, offers=(NAME,), answer=()):
        """Both ends; .agreed of the client's is what it was answered."""
        client, app = relayed(self.t, self.port, self.listener, fields=fields(*offers), answer=answer)
        client.agreed = client.response.get(FIELD)
        return client, app


def finish(client, app):
    client.send_close(1000)
    app.expect_close(1000)
    app.send_close(1000)
    client.expect_close(1000)


# ---- edge


@tag("tsan")
def test_deflate_edge_backend_sees_plain_messages(t):
    gateway = Gateway(t, "edge", "MaxMessageSize=0")
    client, app = gateway.open([offer(CLIENT_BITS), "foo"])
    equal((client.agreed, app.request_head.get(FIELD)), (NAME, None))
    side = Side()
    for size in (0, 1, 300, 65536, 300_000):
        text, data = pmd.words(size), pmd.noise(size)
        for opcode, payload in ((TEXT, text.encode()), (BINARY, data)):
            sent = side.deflate(payload)
            in_threads(
                lambda: client.send_frame(opcode, sent, rsv=RSV1),  # noqa: B023
                lambda: app.expect_message(opcode, payload),  # noqa: B023
            )
            in_threads(
                lambda: app.send_frame(opcode, payload),  # noqa: B023
                lambda: side.expect(client, opcode, payload, compressed=size >= 256),  # noqa: B023
            )
    # uncompressed ones pass as they are
    client.text("x" * 1000)
    app.expect(TEXT, "x" * 1000)
    finish(client, app)
    line = gateway.daemon.access()[0]
    equal(line["extensions"], NAME)
    equal((line["bytes_in"], line["bytes_out"]), (2 * 365_837 + 1000, 2 * 365_837))
    equal((line["messages_in"], line["messages_out"]), (11, 10))


def test_deflate_edge_messages_pass_as_they_come(t):
    client, app = Gateway(t, "edge").open()
    text = pmd.words(2000).encode()
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    for i in range(0, 2000, 500):
        part = deflater.compress(text[i : i + 500]) + deflater.flush(zlib.Z_SYNC_FLUSH)
        client.send_frame(CONT if i else TEXT, part, rsv=0 if i else RSV1, fin=False)
        app.expect(CONT if i else TEXT, text[i : i + 500], fin=False)
        client.ping(b"from end to end")
        app.expect(PING, b"from end to end")
        app.send_frame(PONG, b"from end to end")
        client.expect(PONG, b"from end to end")
    client.send_frame(CONT, b"\0")
    app.expect(CONT, b"")
    # half a frame
    whole = client.frame(TEXT, Side().deflate(text + pmd.noise(1000).hex().encode()), rsv=RSV1)
    client.send(whole[: len(whole) // 2])
    first = app.recv_frame()
    equal((first.opcode, first.fin), (TEXT, False))
    assert len(first.payload) > 200
    client.send(whole[len(whole) // 2 :])
    last = app.recv_frame()
    equal((last.opcode, last.fin), (CONT, True))
    # and back: each frame is flushed, half a frame as well; control frames pass in between
    side = Side()
    seen, inflater = b"", zlib.decompressobj(-15)
    for i in range(0, 2000, 500):
        whole = app.frame(CONT if i else TEXT, text[i : i + 500], fin=i == 1500)
        app.send(whole[:200])
        got = client.recv_frame()
        equal((got.opcode, got.rsv, got.fin), (CONT if i else TEXT, 0 if i else RSV1, False))
        seen += inflater.decompress(got.payload)
        equal(len(seen), i + 196)
        app.send(whole[200:] + app.frame(PING, b"behind"))
        got = client.recv_frame()
        equal((got.opcode, got.rsv, got.fin), (CONT, 0, i == 1500))
        seen += inflater.decompress(got.payload)
        client.expect(PING, b"behind")
    equal(seen, text)
    inflater.decompress(pmd.TAIL)
    # an empty last frame
    app.send_frame(TEXT, text[:300], fin=False)
    side.inflater = inflater
    got = client.recv_frame()
    equal(inflater.decompress(got.payload), text[:300])
    app.send_frame(CONT, b"")
    got = client.recv_frame()
    equal((got.opcode, got.fin, got.payload), (CONT, True, b"\0"))
    inflater.decompress(got.payload + pmd.TAIL)
    # nothing but empty frames
    for opcode in (TEXT, BINARY):
        app.send_frame(opcode, b"", fin=False)
        app.send_frame(CONT, b"", fin=False)
        app.send_frame(CONT, b"")
        side.expect(client, opcode, b"")
    app.text(text.decode())
    side.expect(client, TEXT, text)
    finish(client, app)


def test_deflate_edge_many_messages_in_one_read(t):
    gateway = Gateway(t, "edge", "ServerContextTakeover=no")
    client, app = gateway.open()
    side = Side(peer_takeover=False)
    texts = [pmd.words(size, size) for size in range(0, 3000, 10)]
    data = b"".join(client.frame(TEXT, side.deflate(text), rsv=RSV1) for text in texts)

    def app_reads():
        for text in texts:
            app.expect_message(TEXT, text)

    in_threads(lambda: client.send(data), app_reads)
    data = b"".join(app.frame(TEXT, text.encode()) for text in texts)

    def client_reads():
        for text in texts:
            side.expect(client, TEXT, text, compressed=len(text) >= 256)

    in_threads(lambda: app.send(data), client_reads)
    finish(client, app)


def test_deflate_edge_backend_may_decline(t):
    gateway = Gateway(t, "edge")
    for value, agreed in (("off", None), ("OFF", None), ("on", NAME), ("", NAME)):
        client, app = gateway.open(answer=[("Wsrelayd-Compression", value)])
        equal((client.agreed, client.response.get("Wsrelayd-Compression")), (agreed, None), value)
        app.text("x" * 1000)
        if agreed:
            Side().expect(client, TEXT, "x" * 1000)
            finish(client, app)
        else:
            client.expect(TEXT, "x" * 1000)
            client.send_frame(TEXT, b"\0", rsv=RSV1)
            client.expect_fail(1002)
    equal([line["extensions"] for line in gateway.daemon.access(4)], [None, None, NAME, NAME])


def test_deflate_edge_errors(t):
    gateway = Gateway(t, "edge", "MaxMessageSize=1000")
    # an extension that nobody offered to the backend
    client = connect(t, gateway.port, kind=WebSocket)
    client.send(handshake_head(fields=fields(NAME)))
    app = gateway.listener.accept_request()
    answer_101(app, fields(NAME))
    equal(client.read_response().status, 502)
    # the backend may not compress
    client, app = gateway.open()
    app.send_frame(TEXT, Side().deflate("x"), rsv=RSV1)
    client.expect_close(1014)
    # what is wrong with the client's message is not passed on, what was good before it is
    for code, frames in (
        (1007, [(BINARY, b"\x06", {"rsv": RSV1})]),
        (1007, [(TEXT, Side().deflate(b"\xff"), {"rsv": RSV1})]),
        (1009, [(BINARY, Side().deflate(bytes(1001)), {"rsv": RSV1})]),
        (1002, [(CONT, b"", {"rsv": RSV1})]),
    ):
        client, app = gateway.open()
        client.send(
            client.frame(TEXT, Side().deflate("good"), rsv=RSV1)
            + b"".join(client.frame(opcode, data, **options) for opcode, data, options in frames)
        )
        app.expect(TEXT, "good")
        got = app.recv_frame()
        assert got is None or (got.opcode, got.code) == (CLOSE, 1001), got
        client.expect_fail(code)
    # the middle of a message that the backend has a part of
    client, app = gateway.open()
    client.send_frame(TEXT, Side().deflate(pmd.words(900)) [:-1] + b"\0\0\xff\xff\0", rsv=RSV1, fin=False)
    got = app.recv_frame()
    equal((got.opcode, got.fin), (TEXT, False))
    client.send_frame(CONT, b"\x06")
    client.expect_fail(1007)


def test_deflate_edge_closes_and_drops_in_the_middle(t):
    gateway = Gateway(t, "edge")
    half = Side().deflate(pmd.words(2000))[:500]
    for who in range(4):
        client, app = gateway.open()
        client.send_frame(TEXT, half, rsv=RSV1, fin=False)
        app.send_frame(TEXT, pmd.words(1000), fin=False)
        equal(app.recv_frame().fin, False)
        equal(client.recv_frame().rsv, RSV1)
        if who == 0:
            finish(client, app)
        elif who == 1:
            client.abort()
            app.expect_close(1001)
        elif who == 2:
            app.abort()
            client.expect_fail(1014)
        else:
            client.close()
            app.expect_close(1001)
    gateway.daemon.access(4)


# ---- passthrough


@tag("tsan")
def test_deflate_passthrough_offers_and_answers(t):
    gateway = Gateway(t, "passthrough")
    everything = offer(SERVER_ALONE, CLIENT_ALONE, f"{SERVER_BITS}=8", CLIENT_BITS)
    rows = [
        ([], None, None),
        (["foo, bar; a=b"], None, None),
        ([NAME], NAME, None),
        ([NAME], NAME, NAME),
        ([NAME], NAME, offer(SERVER_ALONE, CLIENT_ALONE, f"{SERVER_BITS}=9")),
        # only what can be answered is passed on, in its order and as it was written
        (["foo", f"{offer('x')}, {everything}", f"{NAME};{CLIENT_BITS}=10 , bar"],
         f"{everything}, {NAME};{CLIENT_BITS}=10", offer(SERVER_ALONE, f"{SERVER_BITS}=8", f"{CLIENT_BITS}=8")),
        ([everything, NAME], f"{everything}, {NAME}", NAME),
    ]
    for offers, seen, answer in rows:
        client, app = gateway.open(offers, fields(answer) if answer else ())
        equal((app.request_head.get(FIELD), client.agreed), (seen, answer), f"for {offers}")
        equal(app.request_head.all(FIELD), [seen] if seen else [])
        if answer:
            # as it came: nobody but the ends looks into it
            for payload in (b"\xff\xfe no deflate at all", b"", b"x" * 70_000):
                client.send_frame(TEXT, payload, rsv=RSV1)
                got = app.recv_frame()
                equal((got.opcode, got.rsv, got.fin, got.payload), (TEXT, RSV1, True, payload))
                app.send_frame(TEXT, payload, rsv=RSV1)
                got = client.recv_frame()
                equal((got.opcode, got.rsv, got.fin, got.payload), (TEXT, RSV1, True, payload))
        client.text("plain")
        app.expect(TEXT, "plain")
        finish(client, app)
    equal([line["extensions"] for line in gateway.daemon.access(len(rows))], [row[2] for row in rows])


def test_deflate_passthrough_frames_are_untouched(t):
    gateway = Gateway(t, "passthrough")
    client, app = gateway.open(answer=fields(NAME))
    side, other = Side(), Side()
    text = pmd.words(5000)
    for cuts in ((), (1,), (10, 20, 1000), tuple(range(1, 200))):
        payload = side.send(client, TEXT, text, cuts)
        edges = [0, *cuts, len(payload)]
        for i, (start, end) in enumerate(zip(edges, edges[1:])):
            got = app.recv_frame()
            equal((got.opcode, got.rsv, got.payload), (CONT if i else TEXT, 0 if i else RSV1, payload[start:end]))
        other.send(app, TEXT, text, cuts)
        side.expect(client, TEXT, text)
    # plain text is checked as ever
    client.send_frame(TEXT, b"\xff")
    client.expect_fail(1007)


def test_deflate_passthrough_errors(t):
    gateway = Gateway(t, "passthrough", "MaxMessageSize=1000")
    # answers that the offer does not allow
    for offers, answer in (
        ([], NAME),
        (["foo"], NAME),
        ([NAME], "foo"),
        ([NAME], f"{NAME}, {NAME}"),
        ([NAME], offer(f"{CLIENT_BITS}=10")),
        ([NAME], offer("unknown")),
        ([NAME], offer(SERVER_BITS)),
        ([NAME], f"{NAME};"),
        ([offer(SERVER_ALONE)], NAME),
        ([offer(f"{SERVER_BITS}=10")], NAME),
        ([offer(f"{SERVER_BITS}=10")], offer(f"{SERVER_BITS}=11")),
        ([offer(CLIENT_BITS)], offer(CLIENT_BITS)),
        ([offer(f"{CLIENT_BITS}=10")], offer(f"{CLIENT_BITS}=11")),
    ):
        client = connect(t, gateway.port, kind=WebSocket)
        client.send(handshake_head(fields=fields(*offers)))
        app = gateway.listener.accept_request()
        answer_101(app, fields(answer))
        equal(client.read_response().status, 502, f"for {offers}, {answer}")
    # RSV1 is legal exactly where it was negotiated
    compressed = Side().deflate("x")
    for answer in (False, True):
        for from_app in (False, True):
            for opcode in (TEXT, PING, CONT):
                if answer and opcode == TEXT:
                    continue
                client, app = gateway.open(answer=fields(NAME) if answer else ())
                (app if from_app else client).send_frame(opcode, compressed, rsv=RSV1)
                client.expect_close(1014 if from_app else 1002)
    # what passes is counted as it is
    client, app = gateway.open(answer=fields(NAME))
    client.send_frame(BINARY, bytes(1001), rsv=RSV1)
    client.expect_fail(1009)
    # bad grammar of an offer
    conn = connect(t, gateway.port)
    conn.send(handshake_head(fields=fields(f"{NAME};")))
    equal(conn.read_response().status, 400)


def test_deflate_passthrough_strips_what_is_for_the_gateway(t):
    client, _ = Gateway(t, "passthrough").open(answer=[*fields(NAME), ("Wsrelayd-Compression", "off")])
    equal((client.agreed, client.response.get("Wsrelayd-Compression")), (NAME, None))


def test_deflate_passthrough_over_http2(t):
    wire2.need_h2(t)
    listener = Listener(t)
    daemon = t.daemon(ini(listener.address, "passthrough"))
    client = wire2.H2(t, daemon.port("main"))
    ws = client.begin_ws("/ws", [(FIELD.lower(), offer("foo")), (FIELD.lower(), offer(CLIENT_BITS))])
    app = listener.accept_request()
    equal(app.request_head.all(FIELD), [offer(CLIENT_BITS)])
    answer_101(app, fields(offer(f"{CLIENT_BITS}=12")))
    ws.wait_headers()
    equal(ws.field("sec-websocket-extensions"), offer(f"{CLIENT_BITS}=12"))
    payload = Side().send(ws, TEXT, "hello " * 100)
    got = app.recv_frame()
    equal((got.rsv, got.payload), (RSV1, payload))


# ---- off


def test_deflate_off_offers_nothing_to_the_backend(t):
    gateway = Gateway(t, "off")
    client, app = gateway.open([offer("anything; ="), NAME])
    equal((app.request_head.get(FIELD), client.agreed), (None, None))
    app.send_frame(TEXT, Side().deflate("x"), rsv=RSV1)
    client.expect_close(1014)
    client = connect(t, gateway.port, kind=WebSocket)
    client.send(handshake_head(fields=fields(NAME)))
    app = gateway.listener.accept_request()
    answer_101(app, fields(NAME))
    equal(client.read_response().status, 502)


# ---- raw backends


@tag("tsan")
def test_deflate_edge_before_raw_backends(t):
    text = pmd.words(5000)
    for protocol, kind in (("stream", "unix"), ("lines", "tcp"), ("packet", "packet")):
        gateway = raw_app.Gateway(t, kind, protocol, route="Compression=edge")
        client, app = gateway.open(fields=fields(NAME))
        equal(client.response.get(FIELD), NAME)
        side = Side()
        opcode, end = (TEXT, b"\n") if protocol == "lines" else (BINARY, b"")
        for size in (5000, 0, 1, 5000):
            data = text[:size].encode()
            payload = side.deflate(data)
            client.send_frame(opcode, payload[:1], rsv=RSV1, fin=False)
            client.ping("x")
            client.expect(PONG, "x")
            client.send_frame(CONT, payload[1:])
            if protocol == "packet":
                equal(app.sock.recv(1 << 16), data)
            else:
                equal(app.read(size + len(end)), data + end)
            if size:
                app.send(data + end)
                side.expect(client, opcode, data, compressed=size >= 256)
        if protocol == "lines":
            client.send_frame(TEXT, side.deflate("two\nlines"), rsv=RSV1)
            client.expect_fail(1007)
        elif protocol == "packet":
            client.send_frame(BINARY, side.deflate(bytes(1 << 20)), rsv=RSV1)
            client.expect_fail(1009)
        else:
            client.send_frame(BINARY, b"\x06", rsv=RSV1)
            client.expect_fail(1007)
        line = gateway.daemon.access()[0]
        equal(line["extensions"], NAME)


# ---- real software


def python_talk(port, messages, **options):
    async def client():
        async with peers.connect(f"ws://127.0.0.1:{port}/", max_size=None, **options) as ws:
            for message in messages:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["frag" * 100, "men" * 100, "ted"])
            equal(await ws.recv(), "frag" * 100 + "men" * 100 + "ted")
            await (await ws.ping(b"ping"))
            await ws.close(4001, "enough")
            equal(peers.close_of(ws), (4001, "enough"))
            return [repr(extension) for extension in getattr(ws, "extensions", getattr(ws, "protocol", ws).extensions)]

    return peers.talk(client())


MESSAGES = ["", "hello", "ü" * 70_000, b"", bytes(range(256)) * 500, pmd.words(1000), pmd.words(1000), pmd.noise(99_999)]


def test_deflate_by_python_clients_and_servers(t):
    peers.need_websockets(t)
    from websockets.extensions import permessage_deflate

    server = peers.PythonServer(t, max_size=None)
    for compression in ("edge", "passthrough", "off"):
        daemon = t.daemon(ini(server.address, compression), access=True)
        for options in (
            {},
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            {"server_max_window_bits": 9, "client_max_window_bits": 10},
        ):
            factory = permessage_deflate.ClientPerMessageDeflateFactory(**options)
            found = python_talk(daemon.port("main"), MESSAGES, extensions=[factory])
            equal(len(found), 0 if compression == "off" else 1, f"{compression} {options}")
            line = daemon.access()[0]
            equal((line["extensions"] or "").startswith(NAME), compression != "off")
            equal((line["close_code"], line["messages_in"], line["messages_out"]), (4001, 9, 9))


def test_deflate_by_node_clients_and_servers(t):
    address, _ = peers.node_server(t, deflate=True)
    for compression in ("edge", "passthrough", "off"):
        daemon = t.daemon(ini(address, compression), access=True)
        found = peers.node_client(t, f"ws://127.0.0.1:{daemon.port('main')}/x")
        equal((found["status"], found["pongs"], found["code"], found["reason"]), (101, 1, 4000, "done"))
        equal(found["extensions"], "" if compression == "off" else NAME, compression)
        equal(daemon.access()[0]["extensions"], None if compression == "off" else NAME)
