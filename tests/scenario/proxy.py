"""Action=proxy: ordinary requests to an http backend, over HTTP/1.1 and HTTP/2 in front; real servers and fakes."""

import contextlib
import hashlib
import http.server
import json
import os
import random
import socketserver
import subprocess
import threading
import time

import peers
import tls
import webdriver
import wire2
from harness import alone, contains, equal, flavours, in_threads, limit, tag, wait
from wire import TEXT, Listener, connect, open_ws, request_head


def ini(address, route="", backend="", listen="", server=""):
    return f"""
[server]
{server}
[listen main]
Address=127.0.0.1:0
{listen}
[route app]
Path=/*
Action=proxy
Backend=app
{route}
[backend app]
Address={address}
{backend}
"""


def node_app(t):
    peers.need_node(t)
    path = t.tmp / f"app-{os.urandom(4).hex()}.sock"
    process = t.spawn(["node", peers.HERE / "node_app.js", path], stdout=subprocess.PIPE)
    peers.read_line(process)
    return f"unix:{path}", process


class Front:
    """A client's connection of either version; ask() gives .status, .field(name) and .body."""

    def __init__(self, t, port, http2):
        self.http2 = http2
        self.conn = wire2.H2(t, port) if http2 else connect(t, port)

    def ask(self, method="GET", target="/", fields=(), body=None, chunked=False):
        if self.http2:
            body = body or None
            own = [] if body is None or chunked else [("content-length", str(len(body)))]
            return self.conn.request(target, method, [*((n.lower(), v) for n, v in fields), *own], body)
        own = []
        if chunked:
            own = [("Transfer-Encoding", "chunked")]
            body = chunks(body)
        elif body is not None:
            own = [("Content-Length", str(len(body)))]
        self.conn.send(request_head(method, target, [*fields, *own]))
        if body:
            self.conn.send(body)
        response = self.conn.read_response(head_only=method == "HEAD", timeout=30)
        response.field = response.get
        return response


def fronts(t, daemon):
    return [Front(t, daemon.port("main"), http2) for http2 in (False, True)]


def chunks(body, most=70_000):
    """In chunks of random sizes."""
    out, at = bytearray(), 0
    while at < len(body):
        part = body[at : at + random.randint(1, most)]
        out += b"%x\r\n%s\r\n" % (len(part), part)
        at += len(part)
    return bytes(out + b"0\r\n\r\n")


# ---- real software


@tag("tsan")
def test_proxy_methods_and_heads_reach_a_node_server(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address), access=True)
    for front in fronts(t, daemon):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            body = None if method in ("GET", "OPTIONS") else b"x" * 1000
            fields = [("X-Thing", "a, b"), ("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")]
            fields += [("X_Forwarded_For", "6.6.6.6"), ("x-real_ip", "6.6.6.6")]
            answer = front.ask(method, "/a/b?c=%20d", fields, body)
            equal(answer.status, 200)
            found = json.loads(answer.body)
            equal((found["method"], found["url"], found["size"]), (method, "/a/b?c=%20d", len(body or b"")))
            headers = found["headers"]
            equal((headers["host"], headers["x-thing"]), ("localhost", "a, b"))
            equal((headers["x-forwarded-for"], headers["x-forwarded-proto"]), ("127.0.0.1", "http"))
            assert "forwarded" not in headers and "connection" not in headers, headers
            assert "6.6.6.6" not in str(headers), headers
            line = daemon.access()[0]
            equal((line["method"], line["status"], line["bytes_in"]), (method, 200, len(body or b"")))
            equal((line["bytes_out"], line["route"], line["backend"]), (len(answer.body), "app", address))


def test_proxy_bodies_of_many_sizes_are_byte_exact(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address))
    random.seed(4711)
    sizes = [0, 1, 9, 4095, 16384, 65536, 262_144, 262_145, 1 << 20]
    sizes += [] if t.sanitized else [16 << 20]
    for front in fronts(t, daemon):
        for size in sizes:
            body = random.randbytes(size)
            for chunked in (False, True):
                answer = front.ask("POST", "/", body=body, chunked=chunked)
                found = json.loads(answer.body)
                equal((found["size"], found["sha256"]), (size, hashlib.sha256(body).hexdigest()))
                if size > 65536 and not front.http2:
                    continue  # this client does not read while it sends
                answer = front.ask("POST", "/echo", body=body, chunked=chunked)
                equal(hashlib.sha256(answer.body).hexdigest(), hashlib.sha256(body).hexdigest(), f"echo of {size}")
                if not front.http2 and answer.tokens("Connection") == ["close"]:
                    front = Front(t, daemon.port("main"), False)


@limit(120)
def test_proxy_64_mib_with_stalls_on_both_sides(t):
    """The client stops and goes while it sends and while it reads; curl's is the other side."""
    address, _ = node_app(t)
    daemon = t.daemon(ini(address))
    size = (4 if t.sanitized else 64) << 20
    body = random.randbytes(size)
    client = connect(t, daemon.port("main"))
    client.send(request_head("POST", "/echo", [("Transfer-Encoding", "chunked")]))

    def feed():
        at = 0
        while at < size:
            part = body[at : at + random.randint(1, 300_000)]
            client.send(b"%x\r\n%s\r\n" % (len(part), part))
            at += len(part)
            if random.random() < 0.02:
                time.sleep(0.02)
        client.send(b"0\r\n\r\n")

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    head = client.read_head()
    contains(head.line, "200")
    got = hashlib.sha256()
    while True:
        n = int(client.read_until(b"\r\n"), 16)
        if n == 0:
            break
        got.update(client.read(n, timeout=30))
        client.read(2)
        if random.random() < 0.02:
            time.sleep(0.02)
    thread.join()
    equal(got.hexdigest(), hashlib.sha256(body).hexdigest())


def bulk(t, daemon, version, way, mib):
    """A body of so many MiB in random pieces with stalls, by Node's client; it is the same at both ends."""
    done = subprocess.run(["node", peers.HERE / "node_bulk.js", version, str(daemon.port("main")), way, str(mib)],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=90 * t.factor, check=False)
    equal(done.returncode, 0, done.stderr.decode())
    found = json.loads(done.stdout)
    equal(found["size"], mib << 20)
    equal(found["other"], {"size": found["size"], "sha256": found["sha256"]}, f"HTTP/{version} {way}")


@alone
@flavours("plain")
@limit(180)
def test_proxy_a_gibibyte_costs_no_memory(t):
    """1 GiB each way, half of it over either version, all four at once."""
    address, _ = node_app(t)
    daemon = t.daemon(ini(address, server="Workers=1"))
    for front in fronts(t, daemon):
        equal(front.ask().status, 200)
    before = daemon.rss_kib()
    in_threads(*(lambda v=v, w=w: bulk(t, daemon, v, w, 512) for v in "12" for w in ("up", "down")))
    assert daemon.peak_kib() - before < 6 * 1024, f"{before} KiB before, {daemon.peak_kib()} KiB at most"


@alone
@flavours("plain")
@limit(180)
def test_proxy_two_gibibytes_in_one_body(t):
    """Past what 31 bits count, of a length that was told."""
    t.need("curl")
    address, _ = node_app(t)
    daemon = t.daemon(ini(address, server="Workers=1"))
    size = (2 << 30) + 4711
    before = daemon.rss_kib()
    with open(t.tmp / "sparse", "wb") as sparse:
        sparse.truncate(size)
    url = f"http://127.0.0.1:{daemon.port('main')}"
    for version in ("--http1.1", "--http2-prior-knowledge"):
        up = t.spawn(["curl", "-sS", version, "-T", t.tmp / "sparse", f"{url}/count"], stdout=subprocess.PIPE)
        equal(json.loads(up.communicate(timeout=60)[0])["size"], size, version)
    assert daemon.peak_kib() - before < 6 * 1024, f"{before} KiB before, {daemon.peak_kib()} KiB at most"


def test_proxy_a_reader_that_stalls_costs_no_memory(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address, server="Workers=1"))
    before = daemon.rss_kib()
    stalled = []
    for _ in range(4):
        client = connect(t, daemon.port("main"))
        client.send(request_head("GET", "/pour?200"))
        stalled.append(client)
        front = wire2.H2(t, daemon.port("main"))
        front.hold_windows = True
        stalled.append((front, front.request("/pour?200", wait=False)))
    daemon.wait_quiet()
    if not t.sanitized:
        assert daemon.rss_kib() - before < 12 * 1024, f"{before} KiB before, {daemon.rss_kib()} KiB now"
    equal(len(stalled[0].read_response(timeout=30).body), 200 * 65536)


def test_proxy_head_204_304_and_interim_responses(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address))
    for front in fronts(t, daemon):
        answer = front.ask("HEAD", "/length")
        equal((answer.status, answer.field("content-length"), bytes(answer.body)), (200, "10", b""))
        answer = front.ask("GET", "/none")
        equal((answer.status, answer.field("content-length"), bytes(answer.body)), (204, None, b""))
        answer = front.ask("GET", "/not-modified", [("If-None-Match", '"1"')])
        equal((answer.status, answer.field("etag"), bytes(answer.body)), (304, '"1"', b""))
        equal(front.ask("GET", "/length").body, b"0123456789")
    client = connect(t, daemon.port("main"))
    client.send(request_head("GET", "/hints"))
    hints = client.read_head()
    contains(hints.line, "103")
    equal(hints.get("Link"), "</style.css>; rel=preload; as=style")
    equal(client.read_response().body, b"page")
    client.send(b"GET /hints HTTP/1.0\r\nHost: a\r\n\r\n")  # knows no 1xx
    equal(client.read_response().body, b"page")
    t.need("curl")
    seen = t.spawn(["curl", "-sSi", "--http2-prior-knowledge", f"http://127.0.0.1:{daemon.port('main')}/hints"],
                   stdout=subprocess.PIPE).communicate(timeout=20)[0]
    contains(seen, b"HTTP/2 103 \r\nlink: </style.css>", b"HTTP/2 200", b"page")


def test_proxy_events_pass_at_once_and_a_client_that_leaves_is_told_on(t):
    address, node = node_app(t)
    daemon = t.daemon(ini(address), access=True)
    client = connect(t, daemon.port("main"))
    began = time.monotonic()
    client.send(request_head("GET", "/events"))
    client.read_until(b"data: first\n\n")
    assert time.monotonic() - began < 1.2, "the first event was held back"
    client.read_until(b"data: last\n\n")
    front = wire2.H2(t, daemon.port("main"))
    began = time.monotonic()
    stream = front.request("/events", wait=False)
    equal(stream.wait_headers().read(13), b"data: first\n\n")
    assert time.monotonic() - began < 1.2, "the first event was held back"
    peers.read_line(node)  # of the first, whose request ended
    began = time.monotonic()
    stream.reset()
    equal(peers.read_line(node), "gone")
    assert time.monotonic() - began < 1.2, "the backend's request was not aborted"
    client = connect(t, daemon.port("main"))
    client.send(request_head("GET", "/events"))
    client.read_until(b"data: first\n\n")
    client.close()
    equal(peers.read_line(node), "gone")
    lines = daemon.access(3)
    equal([line["closed_by"] for line in lines], [None, "client", "client"])


def test_proxy_websocket_and_page_on_one_route(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address, route="AllowedOrigins=https://a.example"))
    port = daemon.port("main")
    front = Front(t, port, True)
    equal(front.ask("GET", "/length").body, b"0123456789")
    for ws in (open_ws(t, port, "/ws"), front.conn.open_ws("/ws")):
        ws.text("hello")
        ws.expect_message(TEXT, b"hello")
        ws.finish(1000)
    equal(front.ask("GET", "/length", [("Origin", "https://b.example")]).status, 200)
    open_ws(t, port, "/ws", [("Origin", "https://b.example")], status=403)
    equal(connect(t, port).request("CONNECT", "localhost:80").status, 501)


def test_proxy_page_and_websocket_in_chromium_over_http2(t):
    missing = webdriver.missing()
    if missing:
        t.skip(f"{missing} is not installed")
    address, _ = node_app(t)
    pem, key = tls.Authority(t).issue("localhost")
    daemon = t.daemon(ini(address, listen=f"TLS=yes\nCertificate={pem}\nCertificateKey={key}"), access=True)
    with webdriver.browser() as browser:
        browser.devtools("Security.setIgnoreCertificateErrors", ignore=True)
        browser.open(f"https://localhost:{daemon.port('main')}/page")
        browser.wait("document.title === 'hello 100000'", what="the page's POST and its WebSocket's echo")
    lines = {line["path"]: line for line in daemon.access(3)}
    for path, method, status in (("/page", "GET", 200), ("/post", "POST", 200), ("/ws", "CONNECT", 200)):
        line = lines[path]
        equal((line["http"], line["method"], line["status"]), ("2", method, status))


def test_proxy_several_addresses_one_of_which_is_dead(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(f"unix:{t.tmp}/nobody {address}", backend="Balance=round-robin"))
    for front in fronts(t, daemon):
        for i in range(10):
            equal(front.ask().status, 200)
            equal(front.ask("POST", "/", body=b"x" * i).status, 200)


def test_proxy_kept_connections_are_used_again(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address, server="Workers=1"))
    for front in fronts(t, daemon):
        for i in range(50):
            equal(front.ask("POST", "/", body=b"x" * i).field("x-connection"), "1")
            equal(front.ask("GET", "/length").field("x-connection"), "1")
            equal(front.ask("HEAD", "/length").field("x-connection"), "1")
            equal(front.ask("GET", "/none").field("x-connection"), "1")
    equal(front.ask("GET", "/connections").body, b"1")


class PythonApp(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def test_proxy_to_pythons_server_whose_responses_end_with_the_connection(t):
    class Handler(http.server.BaseHTTPRequestHandler):  # HTTP/1.0
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"y" * 300_000)

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    path = t.tmp / "python.sock"
    server = PythonApp(str(path), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    t.at_end(server.shutdown, late=True)
    daemon = t.daemon(ini(f"unix:{path}"))
    for front in fronts(t, daemon):
        for _ in range(3):
            equal(front.ask().body, b"y" * 300_000)
    old = connect(t, daemon.port("main"))
    old.send(b"GET / HTTP/1.0\r\n\r\n")
    equal(old.read_response().body, b"y" * 300_000)


# ---- a fake backend


def begun(t, listener, daemon, method="GET", target="/", fields=(), http2=False, body=None):
    """A request at the backend: the client's Conn or stream, and the backend's Conn."""
    if http2:
        stream = wire2.H2(t, daemon.port("main")).begin(
            [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", target), *fields],
            end_stream=body is None)
        if body:
            stream.send(body)
        return stream, listener.accept_request()
    client = connect(t, daemon.port("main"))
    client.send(request_head(method, target, fields))
    if body:
        client.send(body)
    return client, listener.accept_request()


def test_proxy_framing_is_rebuilt_and_hop_by_hop_fields_go(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    client, backend = begun(t, listener, daemon, "POST", "/x", [
        ("Connection", "close, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=1"), ("TE", "trailers"),
        ("Trailer", "X-T"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"), ("Proxy-Connection", "x"),
        ("X-End", "2"), ("Transfer-Encoding", "chunked")])
    client.send(b"5;ext=1\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 3\r\n\r\n")
    names = sorted(n.lower() for n, _ in backend.request_head.fields)
    equal(names, ["connection", "host", "te", "trailer", "transfer-encoding", "x-end", "x-forwarded-for",
                  "x-forwarded-host", "x-forwarded-proto", "x-real-ip"])
    equal(backend.request_head.get("Connection"), "TE")  # the gateway's own
    equal(backend.read_until(b"0\r\nX-T: 1\r\n\r\n"), b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
    backend.send(b"HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=9\r\nTrailer: X-T\r\n"
                 b"Upgrade: h2c\r\nX-End: 3\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-T: 2\r\n\r\n")
    response = client.read_response()
    equal(response.body, b"abc")
    equal(sorted(n.lower() for n, _ in response.fields), ["connection", "date", "trailer", "transfer-encoding", "x-end"])


def test_proxy_smuggling_shapes_of_a_client_never_reach_the_backend(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    port = daemon.port("main")
    for fields in (
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n", "Content-Length: 5, 5\r\n", "Content-Length: 0x5\r\n", "Content-Length: -1\r\n",
        "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding:\x0bchunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n", "Host: b\r\n", "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\rb\r\n", "Content Length: 5\r\n",
    ):
        client = connect(t, port)
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
        contains((400, 501), client.read_response().status)
        client.expect_end()
    listener.expect_nobody(0.2)


def test_proxy_a_broken_chunked_upload_breaks_the_backends_request(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    for bad in (b"5\r\nhelloX", b"5\nhello", b"-1\r\n", b"5\r\nhello\r\nzz\r\n", b"fffffffffffffffff\r\n"):
        client, backend = begun(t, listener, daemon, "POST", "/", [("Transfer-Encoding", "chunked")], body=b"1\r\na\r\n")
        equal(backend.read_until(b"a\r\n"), b"1\r\na\r\n")
        client.send(bad)
        rest = backend.read_all()
        assert b"0\r\n\r\n" not in rest, rest
        client.read_all()


def test_proxy_a_broken_chunked_upload_gets_400_when_nothing_was_answered(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address), access=True)
    for bad in (b"zz\r\n", b"5\r\nhelloX", b"5\nhello", b"-1\r\n", b"fffffffffffffffff\r\n"):
        client, backend = begun(t, listener, daemon, "POST", "/", [("Transfer-Encoding", "chunked")], body=b"1\r\na\r\n")
        equal(backend.read_until(b"a\r\n"), b"1\r\na\r\n")
        # what stands behind it is no request
        client.send(bad + b"\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
        response = client.read_response()
        equal(response.status, 400)
        equal(response.get("Connection"), "close")
        client.expect_end()
        assert b"evil" not in backend.read_all()
        line = daemon.access()[0]
        equal((line["status"], line["closed_by"]), (400, "client"))
    # once a response has begun, the client sees that it is not whole
    client, backend = begun(t, listener, daemon, "POST", "/", [("Transfer-Encoding", "chunked")], body=b"1\r\na\r\n")
    backend.read_until(b"a\r\n")
    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
    client.read_until(b"\r\n\r\nab")
    client.send(b"zz\r\n")
    equal(client.read_all(), b"")


def test_proxy_http2_requests_cannot_smuggle(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    front = wire2.H2(t, daemon.port("main"))
    for fields in (
        [("transfer-encoding", "chunked")], [("connection", "x")], [("content-length", "1"), ("content-length", "2")],
        [("x", "a\r\nContent-Length: 5")], [("x\r\ny", "a")], [("x y", "a")], [("X-Upper", "a")], [("host", "other")],
        [("content-length", "x")],
    ):
        stream = front.request("/", "POST", fields, b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", wait=False)
        front.wait(lambda s=stream: s.headers is not None or s.ended or front.closed, f"an answer to {fields}")
        assert stream.headers is None or stream.status == 400, (fields, stream.headers)
        if front.closed:
            front = wire2.H2(t, daemon.port("main"))
    for path in ("/ HTTP/1.1\r\nX: y", "/a b", "//\x00", "http://x/"):
        stream = front.begin([(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)], True)
        front.wait(lambda s=stream: s.headers is not None or s.ended, f"an answer to {path!r}")
        assert stream.headers is None or stream.status == 400, (path, stream.headers)
    listener.expect_nobody(0.2)
    # more or less than its Content-Length
    for body, end in ((b"123456", False), (b"123", True)):
        stream, backend = begun(t, listener, daemon, "POST", "/", [("content-length", "5")], True, body[:2])
        equal(backend.request_head.get("Content-Length"), "5")
        stream.send(body[2:], end_stream=end)
        assert len(backend.read_all()) <= 5
        stream.wait_reset()


def test_proxy_responses_with_broken_framing_are_502(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", b"HTTP/1.1 200 OK\nX: a\n\n",
        b"HTTP/2 200 OK\r\n\r\n", b"hello\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 200, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"",
    ):
        for http2 in (False, True):
            client, backend = begun(t, listener, daemon, http2=http2)
            backend.send(answer)
            backend.half_close()
            if http2:
                equal(client.wait_headers().status, 502, answer[:60])
                continue
            response = client.read_response()
            while response.status == 100:
                response = client.read_response(head_only=True)
            equal(response.status, 502, answer[:60])


def test_proxy_bytes_behind_a_response_never_answer_the_next_request(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, server="Workers=1"))
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    for late in (False, True):
        client, backend = begun(t, listener, daemon)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
        backend.send(answer if late else answer + extra)
        equal(client.read_response().body, b"good")
        if late:
            backend.send(extra)
        client.send(request_head("GET", "/2"))
        backend = listener.accept_request()
        contains(backend.request_head.line, "/2")
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnext")
        equal(client.read_response().body, b"next")
        client.close()


def test_proxy_a_backend_that_breaks_off_breaks_the_client(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address), access=True)
    for head, part in (
        (b"Content-Length: 10\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"a\r\nhello"),
    ):
        for http2 in (False, True):
            client, backend = begun(t, listener, daemon, http2=http2)
            backend.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + part)
            if http2:
                equal(client.wait_headers().read(5), b"hello")
            else:
                got = client.read_until(b"hello")
            backend.close()
            if http2:
                client.wait_reset()
            else:
                got += client.read_all()
                assert not got.endswith(b"0\r\n\r\n"), got
                equal(got.count(b"hello"), 1)
            line = daemon.access()[0]
            equal((line["status"], line["closed_by"], line["bytes_out"]), (200, "backend", 5))


def test_proxy_a_client_that_leaves_aborts_the_backends_request(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address), access=True)
    for http2 in (False, True):
        # in the middle of an upload
        client, backend = begun(t, listener, daemon, "POST", "/", [("content-length", "100")], http2, b"hello")
        equal(backend.read(5), b"hello")
        client.close()
        backend.expect_end()
        equal(daemon.access()[0]["closed_by"], "client")
        # while it waits for the response
        client, backend = begun(t, listener, daemon, http2=http2)
        client.close()
        backend.expect_end()
        line = daemon.access()[0]
        equal((line["status"], line["closed_by"]), (None, "client"))


def test_proxy_expect_continue(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    fields = [("Expect", "100-continue"), ("Content-Length", "5")]
    # the backend says it
    client, backend = begun(t, listener, daemon, "POST", "/", fields)
    equal(backend.request_head.get("Expect"), "100-continue")
    backend.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    contains(client.read_head().line, "100 Continue")
    client.send(b"hello")
    equal(backend.read(5), b"hello")
    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    equal(client.read_response().status, 200)
    # it refuses
    client, backend = begun2(t, listener, client, backend, fields)
    backend.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
    equal(client.read_response().status, 417)
    # it knows nothing of it: the gateway says it after a while
    client, backend = begun(t, listener, daemon, "POST", "/", fields)
    contains(client.read_head().line, "100 Continue")
    client.send(b"hello")
    equal(backend.read(5), b"hello")
    backend.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    equal(client.read_response().status, 200)


def begun2(t, listener, client, backend, fields):
    """The next request on connections that are there."""
    client.send(request_head("POST", "/", fields))
    backend.request_head = backend.read_head()
    return client, backend


def test_proxy_an_early_response_ends_an_upload(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    # complete before the body
    client, backend = begun(t, listener, daemon, "POST", "/", [("Content-Length", "100000000")], body=b"hello")
    backend.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
    response = client.read_response()
    equal((response.status, response.body, response.tokens("Connection")), (413, b"big", ["close"]))
    # while the body flows, and the connection closed behind it
    client, backend = begun(t, listener, daemon, "POST", "/", [("Content-Length", "100000000")], body=b"hello")
    stop = threading.Event()

    def feed():
        with contextlib.suppress(OSError, AssertionError):
            while not stop.is_set():
                client.sock.send(bytes(100_000))

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    wait(lambda: backend.fill(time.monotonic() + 5) and len(backend.buffer) > 500_000)
    backend.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    backend.close()
    response = client.read_response()
    equal((response.status, response.body), (403, b"no"))
    stop.set()
    # both at once
    client, backend = begun(t, listener, daemon, "POST", "/", [("Transfer-Encoding", "chunked")])
    backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    client.read_until(b"hi\r\n")
    client.send(b"2\r\nyo\r\n")
    equal(backend.read_until(b"yo\r\n"), b"2\r\nyo\r\n")
    client.send(b"0\r\n\r\n")
    equal(backend.read_until(b"0\r\n\r\n"), b"0\r\n\r\n")
    backend.send(b"0\r\n\r\n")
    equal(client.read_until(b"0\r\n\r\n"), b"0\r\n\r\n")


def kept(t, listener, daemon):
    """A client whose backend connection has served a request and waits."""
    client, backend = begun(t, listener, daemon)
    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    equal(client.read_response().body, b"ok")
    return client, backend


def test_proxy_a_kept_connection_that_dies_under_a_request(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, server="Workers=1"))
    # noticed while it waits
    client, backend = kept(t, listener, daemon)
    backend.close()
    client.send(request_head("POST", "/", [("Content-Length", "0")]))
    backend = listener.accept_request()
    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")
    equal(client.read_response().body, b"a")
    for method, fields, retried in (("GET", (), True), ("DELETE", (), True), ("POST", [("Content-Length", "0")], False)):
        client, backend = kept(t, listener, daemon)
        client.send(request_head(method, "/again", fields))
        contains(backend.read_head().line, "/again")
        backend.close()
        if retried:
            backend = listener.accept_request()
            contains(backend.request_head.line, f"{method} /again")
            backend.close()  # only once
        response = client.read_response()
        equal(response.status, 502, method)
        listener.expect_nobody(0.1)
        client.close()
    # a byte of the response came: not again
    client, backend = kept(t, listener, daemon)
    client.send(request_head("GET", "/again"))
    backend.read_head()
    backend.send(b"H")
    backend.close()
    equal(client.read_response().status, 502)
    listener.expect_nobody(0.1)


def test_proxy_kept_connections_end_when_they_are_not_used(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address))
    _, backend = kept(t, listener, daemon)
    began = time.monotonic()
    backend.expect_end(timeout=8)
    assert 3.5 < time.monotonic() - began, "closed too early"


def test_proxy_time_outs_and_refusals(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, backend="ResponseTimeout=1s", listen="IdleConnectionTimeout=2s"), access=True)
    for http2 in (False, True):
        client, backend = begun(t, listener, daemon, http2=http2)
        status = client.wait_headers().status if http2 else client.read_response().status
        equal(status, 504)
        backend.expect_end()
        # a slow upload is the client's: 408 after IdleConnectionTimeout, not 504 after ResponseTimeout
        began = time.monotonic()
        client, backend = begun(t, listener, daemon, "POST", "/", [("content-length", "9")], http2, b"hello")
        status = client.wait_headers().status if http2 else client.read_response().status
        equal(status, 408)
        assert time.monotonic() - began > 1.5
        backend.read(5)
        backend.expect_end()
    # the response's body may come as slowly as it likes
    client, backend = begun(t, listener, daemon)
    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
    client.read_until(b"\r\n\r\na")
    client.expect_silence(3)
    backend.send(b"b")
    equal(client.read(1), b"b")
    nobody = t.daemon(ini(f"unix:{t.tmp}/nobody"))
    for front in fronts(t, nobody):
        equal(front.ask().status, 502)
        equal(front.ask("HEAD").status, 502)


def test_proxy_loses_no_request_to_a_backend_that_closes_kept_connections(t):
    """Each connection serves a few requests and is closed without a word."""
    path = t.tmp / "closing.sock"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for _ in range(random.randint(1, 4)):
                if not self.rfile.readline():
                    return
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = PythonApp(str(path), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    t.at_end(server.shutdown, late=True)
    daemon = t.daemon(ini(f"unix:{path}"))

    def client(http2):
        front = Front(t, daemon.port("main"), http2)
        for _ in range(150):
            equal(front.ask().body, b"ok")

    in_threads(*(lambda http2=http2: client(http2) for http2 in (False, True, False, True)))
    cpu = daemon.cpu_seconds()
    time.sleep(1)
    assert daemon.cpu_seconds() - cpu < 0.5, "it spins"
