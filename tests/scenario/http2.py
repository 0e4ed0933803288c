"""HTTP/2: how a connection begins, extended CONNECT (RFC 8441), how streams and connections end, what backends see."""

import os
import re
import signal
import socket
import subprocess

import peers
import wire
import wire2
from harness import contains, equal, limit, tag, waits
from tls import Authority
from wire import BINARY, CLOSE, PING, PONG, TEXT, Listener, answer_101, connect
from wire2 import CANCEL, H2, INTERNAL_ERROR, NO_ERROR, Raw

ECHO = "[route echo]\nPath=/ws\nAction=echo\nSubprotocols=chat other\n"


def ini(more=ECHO, listen="", server=""):
    return f"[server]\n{server}\n[listen main]\nAddress=127.0.0.1:0\n{listen}\n{more}"


def forward(backend, route="", more=""):
    return (
        f"[route ws]\nPath=/*\nAction=forward\nBackend=app\n{route}\n[backend app]\nAddress={backend.address}\n{more}"
    )


def static(t, name="www"):
    """A route of files below /files/ and the folder."""
    folder = t.tmp / name
    folder.mkdir(exist_ok=True)
    return f"[route files]\nPath=/files/*\nAction=static\nDocumentRoot={folder}\n", folder


def relayed(client, backend, path="/ws", fields=(), answer=(), **options):
    """A WebSocket over HTTP/2 through the gateway to a Listener: returns both ends."""
    ws = client.begin_ws(path, fields, **options)
    peer = backend.accept_request()
    answer_101(peer, answer)
    ws.wait_headers()
    equal(ws.status, 200)
    return ws, peer


# ---- how a connection begins


@tag("tsan")
def test_http2_with_prior_knowledge(t):
    route, folder = static(t)
    (folder / "a.txt").write_bytes(b"a file")
    daemon = t.daemon(ini(ECHO + route), access=True)
    client = H2(t, daemon.port("main"))
    ws = client.open_ws("/ws")
    ws.text("hello")
    ws.expect(TEXT, "hello")
    equal(client.request("/files/a.txt").body, b"a file")
    ws.ping(b"p")
    ws.expect(PONG, b"p")
    ws.finish(4001, "done")
    lines = {line["path"]: line for line in daemon.access(2)}
    equal([lines["/files/a.txt"][k] for k in ("http", "status", "method", "bytes_out")], ["2", 200, "GET", 6])
    equal([lines["/ws"][k] for k in ("http", "status", "close_code", "closed_by")], ["2", 200, 4001, "client"])
    equal([lines["/ws"][k] for k in ("messages_in", "bytes_in", "reason", "tls")], [1, 5, "done", None])


@tag("tsan")
def test_http2_by_alpn(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    tls = f"TLS=yes\nCertificate={pem}\nCertificateKey={key}\n"
    daemon = t.daemon(ini(listen=tls), access=True)
    port = daemon.port("main")
    client = H2(t, port, tls=wire2.tls_context(ca.context()), server_name="localhost")
    ws = client.open_ws("/ws")
    big = os.urandom(1 << 20)
    ws.binary(big)
    ws.expect_message(BINARY, big)
    ws.finish()
    (line,) = daemon.access(1)
    equal((line["http"], line["tls"], line["status"]), ("2", "TLSv1.3", 200))

    # a client that does not ask for it gets HTTP/1.1, and so does one that says nothing
    for protocols in (["http/1.1"], None):
        context = ca.context()
        if protocols:
            context.set_alpn_protocols(protocols)
        old = wire.open_ws(t, port, tls=context, server_name="localhost")
        old.text("x")
        old.expect(TEXT, "x")
        old.finish()
    # the preface without ALPN is no HTTP/2 (RFC 9113, 3.2)
    plain = connect(t, port, tls=ca.context(), server_name="localhost")
    plain.send(wire2.PREFACE)
    equal(plain.read_response().status, 505)

    other = t.daemon(ini(listen=tls + "HTTP2=no\n"))
    sock = wire2.open_socket(t, other.port("main"), wire2.tls_context(ca.context()), "localhost")
    equal(sock.selected_alpn_protocol(), "http/1.1")


def test_http2_settings_say_what_is_configured(t):
    daemon = t.daemon(ini(ECHO + "BufferLimit=100000\n", listen="MaxStreams=7\n"))
    raw = Raw(t, daemon.port("main"))
    first = raw.recv()
    equal((first.kind, first.flags, first.stream), (wire2.SETTINGS, 0, 0), "the server's preface (RFC 9113, 3.4)")
    pairs = dict(
        (int.from_bytes(first.payload[i : i + 2], "big"), int.from_bytes(first.payload[i + 2 : i + 6], "big"))
        for i in range(0, len(first.payload), 6)
    )
    equal(pairs[wire2.ENABLE_CONNECT_PROTOCOL], 1)
    equal(pairs[wire2.MAX_CONCURRENT_STREAMS], 7)
    equal(pairs[wire2.INITIAL_WINDOW_SIZE], 100000)
    equal(pairs[wire2.MAX_HEADER_LIST_SIZE], 32768)
    update = raw.recv_kind(wire2.WINDOW_UPDATE, stream=0)
    equal(int.from_bytes(update.payload, "big") + 65535, 16 * 100000, "the connection's window")


def test_http2_preface_in_pieces(t):
    port = t.daemon(ini()).port("main")
    for step in (1, 5, 23):
        raw = Raw(t, port, preface=False)
        for i in range(0, len(wire2.PREFACE), step):
            raw.send(wire2.PREFACE[i : i + step])
        raw.frame(wire2.SETTINGS)
        raw.headers(1)
        raw.expect_status(1, 404)
        raw.close()


def test_http2_bytes_like_its_preface_are_http1(t):
    port = t.daemon(ini()).port("main")
    for text, status in (
        ("PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("P / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("PRI / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\nSM\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
    ):
        for size in (1, 2, len(text)):
            conn = connect(t, port)
            for i in range(0, len(text), size):
                conn.send_as_far_as_possible(text[i : i + size].encode())
            equal(conn.read_response().status, status, f"{text!r} in pieces of {size}")
            conn.close()
    ws = connect(t, port, kind=wire.WebSocket)
    for byte in wire.handshake_head("/ws") + ws.frame(TEXT, "early"):
        ws.send(bytes([byte]))
    wire.check_101(ws.read_response())
    ws.expect_message(TEXT, "early")  # in as many fragments as reads


def test_http2_can_be_switched_off(t):
    port = t.daemon(ini(listen="HTTP2=no\n")).port("main")
    conn = connect(t, port)
    conn.send(wire2.PREFACE + wire2.raw_frame(wire2.SETTINGS))
    equal(conn.read_response().status, 505)
    wire.open_ws(t, port).finish()


# ---- extended CONNECT


def test_http2_handshake_is_judged_as_the_table_says(t):
    daemon = t.daemon(ini(ECHO + "AllowedOrigins=https://good.example\n[route s]\nPath=/s\nAction=echo\n"), access=True)
    client = H2(t, daemon.port("main"))
    refused_by_reset = 0
    for protocol in ("websocket", "WebSocket", "WEBSOCKET"):
        client.open_ws("/s", protocol=protocol).finish()
    for path, options, status in (
        ("/ws", {"fields": [("origin", "https://good.example")]}, 200),
        ("/ws?q=1", {"fields": [("origin", "HTTPS://GOOD.example:443")]}, 200),
        ("/ws", {"fields": [("origin", "https://bad.example")]}, 403),
        ("/ws", {}, 200),
        ("/none", {}, 404),
        ("/s", {"version": "8"}, 400),
        ("/s", {"version": None}, 400),
        ("/s", {"version": "13", "fields": [("sec-websocket-version", "13")]}, 400),
        ("/s", {"protocol": "webtransport"}, 501),
        ("/s", {"protocol": "web socket"}, 400),
        ("/s", {"authority": "user@host"}, 400),
        ("/s", {"authority": "a b"}, 400),
        ("s", {}, 400),
        ("*", {}, 400),
        ("/s#x", {}, 400),
    ):
        got = client.begin_ws(path, **options)
        client.wait(lambda: got.headers or got.ended, f"an answer to {path} {options}")
        if status == 400 and got.headers is None:  # "or a stream error, by the RFC"
            equal(got.reset_code, wire2.PROTOCOL_ERROR, f"{path} {options}")
            refused_by_reset += 1
            continue
        equal(got.status, status, f"{path} {options}")
        if status == 400 and "version" in options:
            equal(got.field("sec-websocket-version"), "13")
        equal(got.field("upgrade"), None)
        if status != 200:
            contains(got.read_all().decode(), "\n")
    equal(client.request("/s").status, 400, "an ordinary request on a WebSocket's route")
    equal(client.goaways, [])
    assert refused_by_reset <= 4, refused_by_reset
    client.close()
    served = daemon.access(19 - refused_by_reset)
    equal({line["http"] for line in served}, {"2"})
    equal([line["method"] for line in served if line["status"] == 501], ["CONNECT"])


def test_http2_plain_connect_is_refused(t):
    raw = Raw(t, t.daemon(ini()).port("main"))
    raw.headers(1, ((":method", "CONNECT"), (":authority", "example.com:443")))
    raw.expect_status(1, 501)
    raw.expect_alive()


def test_http2_subprotocol_of_the_echo(t):
    client = H2(t, t.daemon(ini()).port("main"))
    ws = client.open_ws(fields=[("sec-websocket-protocol", "x, other"), ("sec-websocket-protocol", "chat")])
    equal(ws.field("sec-websocket-protocol"), "other")
    equal(client.open_ws().field("sec-websocket-protocol"), None)
    ws = client.open_ws(fields=[("sec-websocket-extensions", "permessage-deflate")])
    equal(ws.field("sec-websocket-extensions"), None)


def test_http2_many_websockets_and_requests_share_a_connection(t):
    route, folder = static(t)
    files = {f"{i}.bin": os.urandom(i * 997) for i in range(40)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    client = H2(t, t.daemon(ini(ECHO + route)).port("main"))
    sockets = [client.begin_ws() for _ in range(100)]
    requests = {name: client.request(f"/files/{name}", wait=False) for name in files}
    for i, ws in enumerate(sockets):
        ws.wait_headers()
        ws.text(f"number {i}")
    for name, stream in requests.items():
        equal(stream.read_all(), files[name], name)
    for i, ws in reversed(list(enumerate(sockets))):
        ws.expect(TEXT, f"number {i}")
    for ws in sockets:
        ws.finish()
    equal(client.goaways, [])


def test_http2_streams_past_the_limit_are_refused(t):
    client = H2(t, t.daemon(ini(listen="MaxStreams=5\n")).port("main"))
    sockets = [client.open_ws() for _ in range(5)]
    # the client forgets what it was told
    client.c.remote_settings[wire2.MAX_CONCURRENT_STREAMS] = 100
    client.c.remote_settings.acknowledge()
    extra = client.begin_ws()
    extra.wait_reset(wire2.REFUSED_STREAM)
    sockets[0].finish()
    client.open_ws().finish()


def test_http2_connection_past_the_limit_gets_503(t):
    daemon = t.daemon(ini(server="MaxConnectionsPerClient=1\n"), access=True)
    first = H2(t, daemon.port("main"))
    first.open_ws()
    for _ in range(2):
        second = H2(t, daemon.port("main"))
        seen = second.watch_frames()
        ws = second.open_ws(status=503)
        equal((ws.field("retry-after"), ws.body), ("5", b"too many connections\n"))
        second.wait_closed(NO_ERROR)
        # python3-h2 and its like look at no response behind a GOAWAY
        order = [kind for kind in seen if kind in ("HeadersFrame", "DataFrame", "GoAwayFrame")]
        equal(order[0], "HeadersFrame")
        equal(order[-1], "GoAwayFrame")
    equal([(line["http"], line["status"]) for line in daemon.access(2)], [("2", 503)] * 2)
    first.open_ws().finish()


# ---- how streams end


def end_of(daemon):
    (line,) = daemon.access(1)
    return line["close_code"], line["closed_by"]


@tag("tsan")
def test_http2_end_of_a_stream_without_close_is_abnormal(t):
    backend = Listener(t)
    daemon = t.daemon(ini(ECHO + forward(backend)), access=True)
    client = H2(t, daemon.port("main"))
    # END_STREAM is a FIN (RFC 8441, 5)
    ws = client.open_ws("/ws")
    ws.text("x")
    ws.expect(TEXT, "x")
    ws.end()
    ws.expect_end(reset=False)
    equal(end_of(daemon), (1006, "client"))
    ws, peer = relayed(client, backend, "/b")
    ws.end()
    peer.expect_close(1001)
    ws.expect_end()
    equal(end_of(daemon), (1006, "client"))
    # RST_STREAM is a RST
    ws, peer = relayed(client, backend, "/b")
    ws.reset(CANCEL)
    peer.expect_close(1001)
    equal(end_of(daemon), (1006, "client"))
    # the end of the connection is the end of all its streams
    pairs = [relayed(client, backend, "/b") for _ in range(5)]
    client.close()
    for _, peer in pairs:
        peer.expect_close(1001)
    equal([(line["close_code"], line["closed_by"]) for line in daemon.access(5)], [(1006, "client")] * 5)
    # END_STREAM with the request
    client = H2(t, daemon.port("main"))
    client.begin(client.ws_fields("/ws", "a", ()), end_stream=True).wait_headers().expect_end(reset=False)
    equal(end_of(daemon), (1006, "client"))


def test_http2_end_of_the_backend_reaches_the_client(t):
    backend = Listener(t)
    daemon = t.daemon(ini(forward(backend)), access=True)
    client = H2(t, daemon.port("main"))
    ws, peer = relayed(client, backend)
    peer.close()
    ws.expect_close(1014)
    ws.send_close(1014)
    ws.expect_end(reset=False)
    equal(end_of(daemon)[0], 1014)
    # within a frame nothing can be said
    ws, peer = relayed(client, backend)
    peer.send(wire.frame(BINARY, b"abc", mask=None, announce=10))
    client.wait(lambda: len(ws.buffer) == 5, "the frame's beginning")
    peer.close()
    ws.wait_reset(CANCEL)
    equal(end_of(daemon)[0], 1014)
    # an orderly close goes through, each way
    ws, peer = relayed(client, backend)
    ws.send_close(4003, "by me")
    peer.expect_close(4003, "by me")
    peer.send_close(4003, "by me")
    ws.expect_close(4003, "by me")
    ws.expect_end(reset=False)
    equal(end_of(daemon), (4003, "client"))
    ws, peer = relayed(client, backend)
    peer.send_close(4004, "by the app")
    ws.expect_close(4004, "by the app")
    ws.send_close(4004, "by the app")
    peer.expect_close(4004, "by the app")
    ws.end()
    ws.expect_end(reset=False)
    equal(end_of(daemon), (4004, "backend"))


@tag("tsan")
def test_http2_end_of_a_stream_with_the_close_frame(t):
    """Chromium ends its side of the stream with its Close, and waits for the other one."""
    backend = Listener(t)
    daemon = t.daemon(ini(ECHO + forward(backend)), access=True)
    client = H2(t, daemon.port("main"))
    echo = client.open_ws("/ws")
    ws, peer = relayed(client, backend, "/app")
    for each in (echo, ws):
        each.send(each.frame(CLOSE, wire.close_payload(4000, "done")), end_stream=True)
    echo.expect_close(4000, "done")
    echo.expect_end(reset=False)
    peer.expect_close(4000, "done")
    client.pump_for(0.1)
    peer.send_close(4000, "done")
    ws.expect_close(4000, "done")
    ws.expect_end(reset=False)
    equal([(line["close_code"], line["closed_by"]) for line in daemon.access(2)], [(4000, "client")] * 2)


@waits
def test_http2_client_that_does_not_end_its_stream_is_reset(t):
    daemon = t.daemon(ini(ECHO + "CloseTimeout=500ms\n"), access=True)
    client = H2(t, daemon.port("main"))
    ws = client.open_ws()
    ws.send_close(1000)
    ws.expect_close(1000)
    ws.expect_end(reset=False)
    equal(end_of(daemon), (1000, "client"))
    stream = client.c._get_stream_by_id(ws.id)
    assert not stream.closed
    client.wait(lambda: client.events["StreamReset"] == 1, "RST_STREAM")
    equal(ws.reset_code, CANCEL)
    equal(client.request("/none").status, 404)


@waits
def test_http2_keepalive_is_of_each_websocket(t):
    daemon = t.daemon(ini(ECHO + "KeepAliveInterval=300ms\nKeepAliveTimeout=700ms\n"), access=True)
    client = H2(t, daemon.port("main"))
    good, silent = client.open_ws(), client.open_ws()
    for _ in range(5):
        got = good.recv_frame()
        equal(got.opcode, PING)
        good.send_frame(PONG, got.payload)
    client.wait(lambda: silent.ended, "the end of the silent one")
    equal((silent.ended, silent.reset_code), ("reset", CANCEL))
    assert not good.ended
    equal(end_of(daemon), (1006, "gateway"))


def test_http2_request_whose_body_nobody_reads(t):
    route, folder = static(t)
    (folder / "a.txt").write_bytes(b"a file")
    client = H2(t, t.daemon(ini(route)).port("main"))
    equal(client.request("/files/a.txt", body=b"x" * 300).body, b"a file")
    # the response is over before the request: RST_STREAM NO_ERROR behind it (RFC 9113, 8.1)
    for path, status in (("/files/a.txt", 200), ("/files/none", 404), ("/none", 404)):
        stream = client.begin(client.fields_of("POST" if status == 404 else "GET", path, "a", ()))
        stream.wait_headers()
        equal(stream.status, status if path != "/files/none" else 405)
        client.wait(lambda: stream.reset_code is not None, "RST_STREAM")
        equal(stream.reset_code, NO_ERROR)
    equal(client.goaways, [])


def test_http2_response_that_breaks_off_is_reset(t):
    route, folder = static(t)
    path = folder / "big.bin"
    path.write_bytes(bytes(20 << 20))
    daemon = t.daemon(ini(route), access=True)
    client = H2(t, daemon.port("main"), window=100_000)
    client.hold_windows = True
    stream = client.request("/files/big.bin", wait=False)
    stream.wait_headers()
    client.pump_for(0.3)
    os.truncate(path, 1000)
    client.hold_windows = False
    client.acknowledge(stream)
    client.flush()
    stream.wait_reset(INTERNAL_ERROR)
    (line,) = daemon.access(1)
    equal((line["status"], line["reason"]), (200, "the response was broken off"))
    equal(client.request("/none").status, 404)


# ---- backends


def test_http2_request_becomes_an_upgrade(t):
    backend = Listener(t)
    client = H2(t, t.daemon(ini(forward(backend))).port("main"))
    fields = [
        ("origin", "https://app.example.com"),
        ("cookie", "a=1"),
        ("x-custom", 'quoted "value"'),
        ("cookie", "b=2; c=3"),
        ("cookie", "d=4"),
        ("x-forwarded-for", "10.9.8.7"),
        ("te", "trailers"),
        ("sec-websocket-key", "bm90IHVzZWQgYXQgYWxsIQ=="),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", "chat, x"),
    ]
    target = "/ws/%7Euser//a%2Fb;p=1/?x=1&y=%20+[]&z=/../'"
    ws = client.begin_ws(target, fields, authority="App.example.com:8443")
    peer = backend.accept_request()
    head = peer.request_head
    equal(head.line, f"GET {target} HTTP/1.1")
    equal(head.all("Host"), ["App.example.com:8443"])
    equal(head.tokens("Upgrade"), ["websocket"])
    equal(head.tokens("Connection"), ["upgrade"])
    equal(head.all("Sec-WebSocket-Version"), ["13"])
    equal(head.all("Cookie"), ["a=1; b=2; c=3; d=4"])  # RFC 9113, 8.2.3
    equal(head.all("Origin"), ["https://app.example.com"])
    equal(head.all("X-Custom"), ['quoted "value"'])
    equal(head.all("X-Forwarded-For"), ["127.0.0.1"])
    equal(head.all("X-Forwarded-Proto"), ["http"])
    equal(head.all("X-Forwarded-Host"), ["App.example.com:8443"])
    equal(head.all("Sec-WebSocket-Protocol"), ["chat, x"])
    equal(head.all("Sec-WebSocket-Extensions") + head.all("TE"), [])
    (key,) = head.all("Sec-WebSocket-Key")
    assert key != "bm90IHVzZWQgYXQgYWxsIQ==", "the client's key went through"
    assert not [n for n, _ in head.fields if n.startswith(":")], head
    answer_101(peer, [("Sec-WebSocket-Protocol", "x"), ("Set-Cookie", "s=1"), ("Set-Cookie", "t=2"), ("Server", "app")])
    ws.wait_headers()
    equal(ws.status, 200)
    equal([v for n, v in ws.headers if n == "set-cookie"], ["s=1", "t=2"])
    equal((ws.field("sec-websocket-protocol"), ws.field("server")), ("x", "app"))
    for name in ("upgrade", "connection", "sec-websocket-accept"):
        equal(ws.field(name), None, name)
    ws.text("to the app")
    peer.expect(TEXT, "to the app")
    peer.send_frame(TEXT, "to the client")
    ws.expect(TEXT, "to the client")
    other = client.begin_ws("/again")
    assert backend.accept_request().request_head.get("Sec-WebSocket-Key") != key, "the same key twice"
    other.reset()


def test_http2_refusal_of_the_backend_comes_whole(t):
    backend = Listener(t)
    daemon = t.daemon(ini(forward(backend)), access=True)
    client = H2(t, daemon.port("main"))
    for answer, status, body in (
        ("HTTP/1.1 403 No\r\nContent-Length: 5\r\nX-Why: because\r\nConnection: close\r\n\r\nnever", 403, b"never"),
        ("HTTP/1.1 401 \r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 401, b"abc"),
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302, b""),
        ("HTTP/1.0 500 Oops\r\n\r\nuntil the end", 500, b"until the end"),
        ("HTTP/1.1 204 Nothing\r\n\r\n", 204, b""),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 300000\r\n\r\n" + "b" * 300_000, 503, b"b" * 300_000),
    ):
        ws = client.begin_ws()
        peer = backend.accept_request()
        peer.send(answer)
        peer.close()
        ws.wait_headers()
        equal(ws.status, status)
        assert ws.read_all() == body, f"{status}: another body"
        for name in ("connection", "transfer-encoding", "upgrade"):
            equal(ws.field(name), None, name)
        if status == 403:
            equal(ws.field("x-why"), "because")
    ws = client.begin_ws()
    peer = backend.accept_request()
    peer.send("HTTP/1.1 403 No\r\nContent-Length: 50\r\n\r\nshort")
    peer.close()
    ws.wait_reset(INTERNAL_ERROR)  # never a body that is cut and looks whole
    equal([line["status"] for line in daemon.access(7)], [403, 401, 302, 500, 204, 503, 403])
    for answer in ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "nonsense\r\n\r\n"):
        ws = client.begin_ws()
        peer = backend.accept_request()
        peer.send(answer)
        equal(ws.wait_headers().status, 502)
    backend.sock.close()
    equal(client.open_ws(status=502).field("content-type"), "text/plain; charset=utf-8")


def test_http2_client_that_leaves_before_the_backend_answers(t):
    backend = Listener(t)
    daemon = t.daemon(ini(forward(backend)), access=True)
    client = H2(t, daemon.port("main"))
    for leave in (lambda ws: ws.reset(), lambda ws: ws.end()):
        ws = client.begin_ws()
        peer = backend.accept_request()
        leave(ws)
        peer.expect_end()
        (line,) = daemon.access(1)
        equal(line["closed_by"], "client")
    # frames that come before the answer wait for it
    ws = client.begin_ws()
    ws.text("early")
    peer = backend.accept_request()
    answer_101(peer)
    peer.expect(TEXT, "early")


def test_http2_real_backends(t):
    for kind in ("unix", "tcp"):
        server = peers.PythonServer(t, kind=kind, subprotocols=["chat"])
        client = H2(t, t.daemon(ini(forward(server))).port("main"))
        ws = client.open_ws("/x", fields=[("sec-websocket-protocol", "chat")])
        equal(ws.field("sec-websocket-protocol"), "chat")
        for message in ("", "hello", "ü" * 70_000):
            ws.text(message)
            ws.expect_message(TEXT, message)
        ws.finish(4000, "bye")


# ---- how connections end


@waits
def test_http2_idle_connection_ends_with_goaway(t):
    port = t.daemon(ini(listen="IdleConnectionTimeout=700ms\n", server="HandshakeTimeout=20s\n")).port("main")
    client = H2(t, port)
    equal(client.request("/none").status, 404)
    client.wait_closed(NO_ERROR, timeout=5)
    client = H2(t, port)
    ws = client.open_ws()
    client.pump_for(1.5)
    assert not client.closed, "a connection with a WebSocket was closed as idle"
    ws.finish()
    client.wait_closed(NO_ERROR, timeout=5)


@waits
def test_http2_request_has_to_come_in_time(t):
    daemon = t.daemon(ini(server="HandshakeTimeout=800ms\n"))
    port = daemon.port("main")
    for begin in (b"", wire2.PREFACE[:10]):  # not HTTP/2 yet
        conn = connect(t, port)
        conn.send(begin)
        equal(conn.read_response().status, 505 if begin else 408) if not begin else conn.read_all()
    raw = Raw(t, port, preface=False)
    raw.send(wire2.PREFACE)
    raw.expect_goaway(NO_ERROR)
    Raw(t, port).expect_goaway(NO_ERROR)
    raw = Raw(t, port)
    raw.frame(wire2.HEADERS, wire2.END_STREAM, 1, raw.block(raw.GET))
    raw.expect_goaway(NO_ERROR, wire2.ENHANCE_YOUR_CALM)
    # a later one, too; nothing else is in a hurry
    client = H2(t, port)
    ws = client.open_ws()
    client.pump_for(1.5)
    ws.text("still here")
    ws.expect(TEXT, "still here")
    client.sock.sendall(wire2.raw_frame(wire2.HEADERS, 0, 3, Raw.block(Raw.GET)))
    client.wait_closed(wire2.ENHANCE_YOUR_CALM)
    daemon.wait_log("request head was not complete in time")


def test_http2_drain_is_graceful(t):
    backend = Listener(t)
    daemon = t.daemon(ini(ECHO + forward(backend), server="DrainTimeout=3s\n"), access=True)
    port = daemon.port("main")
    idle, busy, waiting = H2(t, port), H2(t, port), H2(t, port)
    equal(idle.request("/none").status, 400)
    sockets = [busy.open_ws() for _ in range(10)]
    late = waiting.begin_ws("/b")
    peer = backend.accept_request()
    daemon.signal(signal.SIGTERM)
    idle.wait_closed(NO_ERROR)
    equal([g[0] for g in idle.goaways], [2**31 - 1, 1], "GOAWAY's last streams")
    for ws in sockets:
        ws.expect_close(1001)
        ws.send_close(1001)
        ws.end()
    busy.wait_closed(NO_ERROR)
    equal([g[0] for g in busy.goaways], [2**31 - 1, 19])
    answer_101(peer)  # a handshake that was under way is finished, and its WebSocket closed
    late.wait_headers()
    late.expect_close(1001)
    late.send_close(1001)
    late.end()
    waiting.wait_closed(NO_ERROR)
    equal(daemon.wait_end(), 0)


def test_http2_reload_retires_old_connections(t):
    daemon = t.daemon(ini(), access=True)
    port = daemon.port("main")
    idle, busy = H2(t, port), H2(t, port)
    equal(idle.request("/none").status, 404)
    ws = busy.open_ws()
    daemon.signal(signal.SIGHUP)
    idle.wait_closed(NO_ERROR)
    busy.wait(lambda: len(busy.goaways) == 2, "both GOAWAYs")
    ws.text("goes on")
    ws.expect(TEXT, "goes on")
    ws.finish()
    busy.wait_closed(NO_ERROR)
    H2(t, port).open_ws().finish()


def test_http2_killed_daemon_and_dead_clients(t):
    daemon = t.daemon(ini(), access=True)
    client = H2(t, daemon.port("main"))
    for _ in range(20):
        client.open_ws().text("x")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    equal({line["close_code"] for line in daemon.access(20)}, {1006})


@limit(90)
def test_http2_second_sigterm_ends_at_once(t):
    daemon = t.daemon(ini(server="DrainTimeout=60s\n"), access=True)
    client = H2(t, daemon.port("main"))
    sockets = [client.open_ws() for _ in range(30)]
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("draining")
    daemon.signal(signal.SIGTERM)
    daemon.wait_end()
    daemon.expected_end = daemon.ended
    equal(len(daemon.access(30)), 30)
    assert sockets


# ---- other clients


def test_http2_node_client(t):
    t.need("node")
    route, folder = static(t)
    (folder / "a.bin").write_bytes(os.urandom(3 << 20))
    port = t.daemon(ini(ECHO + route)).port("main")
    done = subprocess.run(
        ["node", str(t.repo / "tests/scenario/node_http2.js"), f"http://127.0.0.1:{port}", "/ws", "/files/a.bin"],
        capture_output=True,
        text=True,
        timeout=60 * t.factor,
        check=False,
    )
    equal((done.returncode, done.stderr), (0, ""))
    contains(done.stdout, '"status":200', '"echoed":12', '"size":3145728', '"code":4000')


def test_http2_nghttp_and_h2load(t):
    t.need("nghttp", "h2load")
    route, folder = static(t)
    (folder / "small.txt").write_bytes(b"x" * 100)
    (folder / "big.bin").write_bytes(os.urandom(8 << 20))
    daemon = t.daemon(ini(route), access=True)
    url = f"http://127.0.0.1:{daemon.port('main')}/files"
    done = subprocess.run(["nghttp", f"{url}/big.bin"], capture_output=True, timeout=60 * t.factor, check=False)
    assert done.stdout == (folder / "big.bin").read_bytes(), done.stderr
    done = subprocess.run(["nghttp", "-nv", f"{url}/none"], capture_output=True, text=True, timeout=60, check=False)
    contains(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), ":status: 404", "END_STREAM")
    for name, count in (("small.txt", 2000), ("big.bin", 40)):
        command = ["h2load", "-n", str(count), "-c", "4", "-m", "20", f"{url}/{name}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * t.factor, check=False)
        contains(done.stdout, f"{count} succeeded, 0 failed, 0 errored, 0 timeout")
    assert CLOSE  # the name is used by the helpers' users
