"""Action=proxy: trailer fields, HTTP/1.1's behind a chunked body and HTTP/2's behind DATA, each into the other."""

import json
import subprocess
import threading

import peers
import wire2
from harness import contains, equal, tag
from proxy import begun, ini, node_app
from wire import Listener, connect, handshake_head, request_head
from wire2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, Raw, raw_frame

CHUNKED = [("Transfer-Encoding", "chunked")]
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
FORBIDDEN = ("content-length: 7", "transfer-encoding: chunked", "host: evil", "authorization: x", "te: x",
             "content-type: x", "set-cookie: x", "x-forwarded-for: 6.6.6.6", "forwarded: for=6.6.6.6",
             "sec-websocket-key: x", "trailer: x")


@tag("tsan")
def test_trailers_pass_between_real_peers(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address))
    for version in "12":
        for size in (0, 5, 100_000, 2_000_000):
            done = subprocess.run(
                ["node", peers.HERE / "node_trailers.js", version, str(daemon.port("main")), str(size)],
                capture_output=True, timeout=30 * t.factor, check=True, stdin=subprocess.DEVNULL)
            found = json.loads(done.stdout)
            equal((found["status"], found["size"]), (200, size))
            equal((found["headers"]["trailer"], found["headers"]["x-te"]), ("grpc-status", "trailers"))
            equal(found["trailers"], {"back-x-sum": "4711", "grpc-status": "0"}, f"HTTP/{version}, {size} bytes")
    t.need("curl")
    for version in ("--http1.1", "--http2-prior-knowledge"):
        got = t.spawn(["curl", "-sSi", version, "-d", "body", f"http://127.0.0.1:{daemon.port('main')}/trailers"],
                      stdout=subprocess.PIPE).communicate(timeout=30)[0].decode()
        contains(got.lower(), "x-te: none", "body", "grpc-status: 0")
        assert "set-cookie" not in got, got


def test_trailers_of_a_request_reach_the_backend(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    fields = [*CHUNKED, ("TE", "gzip;q=0.5, trailers"), ("Connection", "TE"), ("Trailer", "X-Sum")]
    client, backend = begun(t, listener, daemon, "POST", "/", fields)
    equal((backend.request_head.get("TE"), backend.request_head.get("Connection")), ("trailers", "TE"))
    equal(backend.request_head.get("Trailer"), "X-Sum")
    text = "".join(f"{line}\r\n" for line in FORBIDDEN)
    client.send(f"2\r\nhi\r\n0\r\nX-Sum: 1\r\n{text}Empty:\r\n\r\n")
    equal(backend.read_chunked(), b"hi")
    equal(backend.trailers, [("X-Sum", "1"), ("Empty", "")])
    backend.send(OK)
    equal(client.read_response().body, b"ok")
    # byte by byte, on the kept connection; none of them is one of the next request's fields
    client.send(request_head("POST", "/", CHUNKED))
    head = backend.read_head()
    equal((head.get("TE"), head.get("Connection"), head.get("Trailer")), (None, None, None))
    for byte in b"2\r\nhi\r\n0\r\nX-Sum: 2\r\nB: \t c d \t\r\n\r\n":
        client.send(bytes([byte]))
    equal(backend.read_chunked(), b"hi")
    equal(backend.trailers, [("X-Sum", "2"), ("B", "c d")])
    backend.send(OK)
    equal(client.read_response().body, b"ok")
    client.send(request_head("GET", "/"))
    assert backend.read_head().get("X-Sum") is None


def test_trailers_of_an_http2_request_reach_the_backend(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    for body in (b"", b"hi", b"x" * 100_000):
        front = wire2.H2(t, daemon.port("main"))
        stream = front.begin([*POST, ("te", "trailers")])
        backend = listener.accept_request()
        equal((backend.request_head.get("TE"), backend.request_head.get("Transfer-Encoding")), ("trailers", "chunked"))
        if body:
            stream.send(body)
        front.c.send_headers(stream.id, [("x-sum", "1"), ("grpc-status", "0")], end_stream=True)
        front.flush()
        equal(backend.read_chunked(), body)
        equal(backend.trailers, [("x-sum", "1"), ("grpc-status", "0")])
        backend.send(LAST)
        equal(stream.wait_headers().read(2), b"ok")
    # all in one piece: head, body and trailers, of which none gets into the head
    block = Raw.block([("x-sum", "1"), *(line.split(": ") for line in FORBIDDEN[2:] if line[:3] != "te:")])
    for data in (raw_frame(DATA, 0, 1, b"hi"), b""):
        raw = Raw(t, daemon.port("main"))
        raw.send(raw_frame(HEADERS, END_HEADERS, 1, Raw.block(POST)) + data
                 + raw_frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        backend = listener.accept_request()
        equal((backend.request_head.get("x-sum"), backend.request_head.get("authorization")), (None, None))
        equal(backend.request_head.get("X-Forwarded-For"), "127.0.0.1")
        equal(backend.read_chunked(), b"hi" if data else b"")
        equal(backend.trailers, [("x-sum", "1")])
        backend.send(LAST)
        raw.expect_status(1, 200)
    # the length was told: there is no place for them, and the body is whole
    stream, backend = begun(t, listener, daemon, "POST", "/", [("content-length", "2")], True, b"hi")
    stream.h2.c.send_headers(stream.id, [("x-sum", "1")], end_stream=True)
    stream.h2.flush()
    equal((backend.request_head.get("Content-Length"), backend.read(2)), ("2", b"hi"))
    backend.expect_silence(0.1)
    backend.send(LAST)
    equal(stream.wait_headers().read(2), b"ok")


def answer(body, trailers="", fields=""):
    return (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n".encode()
            + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + f"0\r\n{trailers}\r\n".encode())


@tag("tsan")
def test_trailers_of_a_response_reach_the_client(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    text = "X-Sum: 1\r\n" + "".join(f"{line}\r\n" for line in FORBIDDEN[:7]) + "Grpc-Message: a b\r\n"
    for body in (b"", b"hi", b"x" * 300_000):
        for http2 in (False, True):
            client, backend = begun(t, listener, daemon, http2=http2)
            backend.send(answer(body, text, "Trailer: X-Sum\r\n" + ("Connection: close\r\n" if http2 else "")))
            if http2:
                equal(client.wait_headers().field("trailer"), "X-Sum")
                equal(client.read_all(), body)
                equal((client.ended, client.trailers), ("end", [("x-sum", "1"), ("grpc-message", "a b")]))
                continue
            response = client.read_response()
            equal((response.body, response.get("Trailer")), (body, "X-Sum"))
            equal(client.trailers, [("X-Sum", "1"), ("Grpc-Message", "a b")])
            # the connection goes on
            client.send(request_head("GET", "/"))
            backend.read_head()
            backend.send(answer(b"next", fields="Connection: close\r\n"))
            equal((client.read_response().body, client.trailers), (b"next", []))
    # no body, or no chunks: no trailers
    client, backend = begun(t, listener, daemon, "HEAD")
    backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    equal(client.read_response(head_only=True).status, 200)
    old = connect(t, daemon.port("main"))
    old.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    backend = listener.accept_request()
    backend.send(answer(b"hi", text))
    equal(old.read_response().body, b"hi")


def test_trailers_wait_for_the_body_before_them(t):
    """A client that does not read gets them behind the last byte all the same."""
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, route="BufferLimit=64K"))
    body = b"x" * 3_000_000
    for http2 in (False, True):
        if http2:
            front = wire2.H2(t, daemon.port("main"), window=1000)
            front.hold_windows = True
            client = front.request("/", wait=False)
        else:
            client = connect(t, daemon.port("main"), receive_buffer=4096)
            client.send(request_head("GET", "/"))
        backend = listener.accept_request()
        sent = answer(body, "X-Sum: 1\r\n", "Connection: close\r\n")
        sending = beside(t, backend, sent)
        if http2:
            client.wait_headers()
            front.pump_for(0.2)
            front.hold_windows = False
            front.acknowledge(client)
            front.flush()
            equal(client.read_all(), body)
            equal(client.trailers, [("x-sum", "1")])
        else:
            equal(client.read_response(timeout=30).body, body)
            equal(client.trailers, [("X-Sum", "1")])
        sending()


def beside(t, conn, data):
    """Sends beside the test; returns what waits for it."""
    thread = threading.Thread(target=lambda: conn.sock.sendall(data), daemon=True)
    thread.start()
    return lambda: thread.join(30 * t.factor)


def test_trailers_that_are_too_many_or_broken(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address), access=True)
    many = "".join(f"a{n}: b\r\n" for n in range(33))
    for bad in (many, "A: " + "x" * 8200 + "\r\n", "A : b\r\n", " A: b\r\n", "A: b\n", "A\r\n", "A: \0\r\n", ":a: b\r\n"):
        client, backend = begun(t, listener, daemon, "POST", "/", CHUNKED)
        client.send(f"1\r\na\r\n0\r\nGood: 1\r\n{bad}\r\n")
        equal(backend.read_until(b"a\r\n"), b"1\r\na\r\n")
        equal(backend.read_all(), b"", f"behind {bad[:20]!r}")
        client.read_all()
        equal(daemon.access()[0]["closed_by"], "client")
        for http2 in (False, True):
            client, backend = begun(t, listener, daemon, http2=http2)
            backend.send(answer(b"hi", bad))
            if http2:
                client.wait_reset()
            else:
                assert not client.read_all().endswith(b"0\r\n\r\n")
            equal(daemon.access()[0]["closed_by"], "backend")
    # HTTP/2: the stream only
    raw = Raw(t, daemon.port("main"))
    for number, block in enumerate((Raw.block([(f"a{n}", "b") for n in range(33)]), Raw.block([("a", "x" * 8200)]),
                                    Raw.block([(":path", "/")]), Raw.block([("connection", "x")]))):
        stream = 2 * number + 1
        raw.send(raw_frame(HEADERS, END_HEADERS, stream, Raw.block(POST)))
        backend = listener.accept_request()
        raw.send(raw_frame(HEADERS, END_STREAM, stream, block[:10]) + raw_frame(CONTINUATION, END_HEADERS, stream, block[10:]))
        raw.expect_reset(stream, PROTOCOL_ERROR)
        equal(backend.read_all(), b"")
    raw.expect_alive()


def test_trailers_of_streams_that_end_before_them(t):
    """Whoever leaves while trailers wait for a body: nothing is left over (the sanitizer's build looks)."""
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, server="Workers=1"), access=True)
    for way in ("reset", "close", "backend"):
        # of the request: the backend does not read, so the body waits
        front = wire2.H2(t, daemon.port("main"))
        stream = front.begin(POST)
        backend = listener.accept_request()
        sent = 0
        while stream.window() > 0:
            part = bytes(min(stream.window(), 16384))
            front.c.send_data(stream.id, part)
            front.flush()
            sent += len(part)
            front.pump_for(0.005)
        front.c.send_headers(stream.id, [("x-sum", "1")], end_stream=True)
        front.flush()
        leave(way, front, stream, backend)
        equal(daemon.access()[0]["closed_by"], "backend" if way == "backend" else "client")
        # of the response: the client does not read
        front = wire2.H2(t, daemon.port("main"), window=1000)
        front.hold_windows = True
        stream = front.request("/", wait=False)
        backend = listener.accept_request()
        backend.send(answer(b"x" * 50_000, "X-Sum: 1\r\n", "Connection: close\r\n"))
        stream.wait_headers()
        backend.expect_end()  # all of it is with the gateway
        if way != "backend":
            leave(way, front, stream, backend)
        daemon.access()
    answer_after = connect(t, daemon.port("main"))
    answer_after.send(request_head("GET", "/"))
    backend = listener.accept_request()
    backend.send(OK)
    equal(answer_after.read_response().body, b"ok")


def leave(way, front, stream, backend):
    if way == "reset":
        stream.reset()
    elif way == "close":
        front.close()
    else:
        backend.abort()


def test_trailers_of_a_refused_handshake(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    refusal = answer(b"no", "X-Sum: 1\r\n", "Connection: close\r\n").replace(b"200 OK", b"403 Forbidden")
    client = connect(t, daemon.port("main"))
    client.send(handshake_head("/ws"))
    listener.accept_request().send(refusal)
    response = client.read_response()
    equal((response.status, response.body, client.trailers), (403, b"no", [("X-Sum", "1")]))
    ws = wire2.H2(t, daemon.port("main")).begin_ws("/ws")
    listener.accept_request().send(refusal)
    equal(ws.wait_headers().status, 403)
    equal((ws.read_all(), ws.trailers), (b"no", [("x-sum", "1")]))
