"""The PROXY protocol: headers that are required of a listener's clients, and headers that backends get."""

import socket
import struct

import wire
import wire2
from harness import contains, equal, tag, waits
from tls import Authority
from wire import TEXT, Conn, Listener, WebSocket, answer_101, connect, handshake_head, open_ws, request_head

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, HERE = "198.51.100.7", "203.0.113.1"
ECHO = "[route echo]\nPath=/ws\nAction=echo\n"


def ini(more=ECHO, listen="", server="", address="127.0.0.1:0"):
    return f"[server]\n{server}\n[listen main]\nAddress={address}\nProxyProtocol=yes\n{listen}\n{more}"


def app(listener, action="forward", backend="", route=""):
    return (
        f"[route app]\nPath=/*\nAction={action}\nBackend=app\n{route}\n[backend app]\nAddress={listener.address}\n"
        f"{backend}"
    )


def v1(client=CLIENT, port=4711, to=HERE):
    return f"PROXY TCP{6 if ':' in client else 4} {client} {to} {port} 443\r\n".encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(client=CLIENT, port=4711, to=HERE, tlvs=b"", command=1, family=None, body=None):
    if body is None:
        kind = socket.AF_INET6 if ":" in client else socket.AF_INET
        body = socket.inet_pton(kind, client) + socket.inet_pton(kind, to) + struct.pack(">HH", port, 443) + tlvs
        family = 0x21 if kind == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


class Seen:
    """A header of version 2 as a backend reads it."""

    def __init__(self, conn):
        equal(conn.read(12), SIGNATURE)
        self.command, self.family, size = struct.unpack(">BBH", conn.read(4))
        body = conn.read(size)
        self.addresses = None
        if self.family in (0x11, 0x21):
            kind, n = (socket.AF_INET, 4) if self.family == 0x11 else (socket.AF_INET6, 16)
            ports = struct.unpack(">HH", body[2 * n : 2 * n + 4])
            self.addresses = (
                socket.inet_ntop(kind, body[:n]), ports[0], socket.inet_ntop(kind, body[n : 2 * n]), ports[1],
            )
            body = body[2 * n + 4 :]
        self.tlvs = self.split(body)

    @staticmethod
    def split(data):
        found = {}
        while data:
            kind, size = struct.unpack(">BH", data[:3])
            assert len(data) >= 3 + size, "a TLV is cut short"
            found[kind], data = data[3 : 3 + size], data[3 + size :]
        return found


def behind(t, port, header, tls=None):
    """A connection that began with a header, in the clear or with TLS behind it."""
    conn = connect(t, port, kind=WebSocket)
    conn.send(header)
    if tls:
        conn.sock = tls.wrap_socket(conn.sock, server_hostname="localhost", suppress_ragged_eofs=False)
        t.at_end(conn.sock.close)
    return conn


def echo(conn):
    conn.send(handshake_head("/ws"))
    conn.response = conn.read_response()
    wire.check_101(conn.response)
    conn.text("hello")
    conn.expect(TEXT, "hello")
    conn.finish()


def tls_listener(t):
    authority = Authority(t)
    pem, key = authority.issue("localhost")
    return authority.context(), f"TLS=yes\nCertificate={pem}\nCertificateKey={key}"


# ---- in


@tag("tsan")
def test_proxy_protocol_in_tells_the_client(t):
    daemon = t.daemon(ini(), access=True)
    for header, client in (
        (v1(), CLIENT),
        (v1("2001:db8::7", to="::1"), "2001:db8::7"),
        (v2(), CLIENT),
        (v2("2001:db8::7", to="::1", tlvs=tlv(1, b"h2") + tlv(4, bytes(1000))), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY UNKNOWN " + b"x" * 90 + b"\r\n", "127.0.0.1"),
        (v2(command=0, family=0, body=b""), "127.0.0.1"),
        (v2(command=0, family=0x77, body=b"anything"), "127.0.0.1"),
        (v2(family=0, body=b"?"), "127.0.0.1"),
        (v2(family=0x31, body=bytes(216)), "127.0.0.1"),
    ):
        echo(behind(t, daemon.port("main"), header))
        equal(daemon.access()[0]["client"], client, header)


def test_proxy_protocol_in_takes_a_header_in_any_pieces(t):
    context, keys = tls_listener(t)
    daemon = t.daemon(ini() + f"[listen tls]\nAddress=127.0.0.1:0\nProxyProtocol=yes\n{keys}\n", access=True)
    for header in (v1(), v2(tlvs=tlv(0x20, b"\1\0\0\0\1"))):
        for name, tls in (("main", None), ("tls", context)):
            conn = connect(t, daemon.port(name), kind=WebSocket)
            for byte in header:
                conn.send(bytes([byte]))
            if tls:
                conn.sock = tls.wrap_socket(conn.sock, server_hostname="localhost", suppress_ragged_eofs=False)
            echo(conn)
            line = daemon.access()[0]
            equal((line["client"], line["tls"] is not None), (CLIENT, tls is not None))
    # all in one piece
    conn = behind(t, daemon.port("main"), v2() + handshake_head("/ws"))
    wire.check_101(conn.read_response())


@tag("tsan")
def test_proxy_protocol_in_then_tls_and_http2(t):
    context, keys = tls_listener(t)
    more = f"[listen clear]\nAddress=127.0.0.1:0\nProxyProtocol=yes\n{ECHO}"
    daemon = t.daemon(ini(more, keys), access=True)
    wire2.need_h2(t)
    context.set_alpn_protocols(["h2"])
    for name, tls in (("main", context), ("clear", None)):
        wire2.open_socket = lambda t, where, *_, tls=tls: behind(t, where, v2(), tls).sock
        client = wire2.H2(t, daemon.port(name))
        client.scheme = "https" if tls else "http"
        ws = client.open_ws("/ws")
        ws.text("hello")
        ws.expect(TEXT, "hello")
        ws.send_close()
        ws.expect_close(1000)
        line = daemon.access()[0]
        equal((line["client"], line["http"], line["tls"] is not None), (CLIENT, "2", tls is not None))


BAD = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    v2(command=2),
    SIGNATURE + b"\x11\x11\0\0",
    v2(family=0x41, body=b""),
    v2(family=0x11, body=bytes(11)),
    v2(tlvs=b"\1\0\5abc"),
    SIGNATURE + b"\x21\x11\x80\0",
)


def test_proxy_protocol_in_drops_what_has_no_header(t):
    daemon = t.daemon(ini(), access=True)
    for count, data in enumerate(BAD, 1):
        conn = behind(t, daemon.port("main"), data)
        conn.expect_end()
        conn.close()
        found = daemon.wait_log(r"^.*while PROXY header: .*$", count=count)[0]
        assert "info" in found.lower() or "error" not in found.lower(), found
    conn = behind(t, daemon.port("main"), v1()[:20])
    conn.half_close()
    conn.expect_end()
    daemon.wait_log("while PROXY header: the peer left")
    echo(behind(t, daemon.port("main"), v1()))
    equal(len(daemon.access()), 1, "access lines")


@waits
def test_proxy_protocol_in_must_come_in_time(t):
    context, keys = tls_listener(t)
    del context
    daemon = t.daemon(ini(listen=keys, server="HandshakeTimeout=1s"))
    for header in (b"", v2()[:-1]):
        behind(t, daemon.port("main"), header).expect_end()
    daemon.wait_log("while PROXY header: it was not complete in time", count=2)
    cpu = daemon.cpu_seconds()
    assert cpu < 0.9 * t.factor, f"{cpu} s of processor time: it spins"


def test_proxy_protocol_in_is_believed_of_trusted_peers_only(t):
    backend = Listener(t)
    for trusted, client in (("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", CLIENT)):
        daemon = t.daemon(ini(app(backend), f"TrustedProxies={trusted}"), access=True)
        conn = behind(t, daemon.port("main"), v1())
        conn.send(handshake_head("/ws", [("X-Forwarded-For", "6.6.6.6")]))
        peer = backend.accept_request()
        equal(peer.request_head.all("X-Forwarded-For"), [client])
        equal(peer.request_head.all("X-Real-IP"), [client])
        answer_101(peer)
        wire.check_101(conn.read_response())
        conn.send_close()
        peer.recv_frame()
        peer.send_frame(8, struct.pack(">H", 1000))
        equal(daemon.access()[0]["client"], client)
        behind(t, daemon.port("main"), b"GET / HTTP/1.1\r\n\r\n").expect_end()


@tag("tsan")
def test_proxy_protocol_in_limits_go_by_the_real_client(t):
    daemon = t.daemon(ini(server="MaxConnectionsPerClient=2\nMaxConnections=20"))
    port = daemon.port("main")
    for round in range(3):
        del round
        open_ones = []
        for client in (CLIENT, "198.51.100.8"):
            for _ in range(2):
                conn = behind(t, port, v1(client))
                conn.send(handshake_head("/ws"))
                equal(conn.read_response().status, 101, client)
                open_ones.append(conn)
        for _ in range(30):  # more than MaxConnections: those that are refused are given back too
            conn = behind(t, port, v2(CLIENT) + handshake_head("/ws"))
            equal(conn.read_response().status, 503)
            conn.close()
        for conn in open_ones:
            conn.finish()

        def again():
            conn = behind(t, port, v1() + handshake_head("/ws"))
            status = conn.read_response().status
            conn.close()
            return status == 101

        t.wait(again)
        t.wait(lambda: daemon.open_files() < 40)
    # connections that never say who they are count for nobody
    for _ in range(5):
        behind(t, port, b"x").expect_end()
    echo(behind(t, port, v1("198.51.100.9")))


# ---- out


@tag("tsan")
def test_proxy_protocol_out_to_http_backends(t):
    for kind in ("unix", "tcp"):
        backend = Listener(t, kind)
        for version in ("v1", "v2"):
            more = app(backend, backend=f"SendProxyProtocol={version}\n")
            daemon = t.daemon("[listen main]\nAddress=127.0.0.1:0\n" + more)
            conn = connect(t, daemon.port("main"), kind=WebSocket)
            source, target = conn.sock.getsockname(), conn.sock.getpeername()
            conn.send(handshake_head("/ws", host="app.example:8080"))
            peer = backend.accept()
            if version == "v1":
                line = peer.read_until(b"\r\n").decode()
                equal(line, f"PROXY TCP4 {source[0]} {target[0]} {source[1]} {target[1]}\r\n")
            else:
                seen = Seen(peer)
                equal((seen.command, seen.family, seen.addresses), (0x21, 0x11, (*source, *target)))
                equal(seen.tlvs, {2: b"app.example"})
            peer.request_head = peer.read_head()
            answer_101(peer)
            wire.check_101(conn.read_response())
            conn.text("a")
            peer.expect(TEXT, "a")


def test_proxy_protocol_out_tells_tls_and_the_client_that_a_proxy_named(t):
    backend = Listener(t)
    context, keys = tls_listener(t)
    more = app(backend, "proxy", "SendProxyProtocol=v2\n")
    daemon = t.daemon(f"[listen main]\nAddress=127.0.0.1:0\nTrustedProxies=127.0.0.1\n{keys}\n{more}")
    context.set_alpn_protocols(["http/1.1"])
    for client, family in ((CLIENT, 0x11), ("2001:db8::9", 0x21)):
        conn = connect(t, daemon.port("main"), tls=context, server_name="localhost")
        conn.send(request_head("GET", "/x", [("X-Forwarded-For", client)], host="[::1]:443"))
        peer = backend.accept()
        seen = Seen(peer)
        equal((seen.family, seen.addresses[0], seen.addresses[1]), (family, client, 0))
        equal(seen.tlvs[1], b"http/1.1")
        equal(seen.tlvs[2], b"::1")
        equal(seen.tlvs[0x20][:5], b"\1\0\0\0\1")
        equal(Seen.split(seen.tlvs[0x20][5:]), {0x21: b"TLSv1.3"})
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        equal(conn.read_response().body, b"ok")


def test_proxy_protocol_out_keeps_no_connection_for_another_client(t):
    backend = Listener(t, "unix")
    daemon = t.daemon(ini(app(backend, "proxy", "SendProxyProtocol=v1\n")))
    conns = [behind(t, daemon.port("main"), v1(client)) for client in (CLIENT, "198.51.100.8", CLIENT)]
    for conn, client in zip(conns, (CLIENT, "198.51.100.8", CLIENT)):
        for _ in range(2):
            conn.send(request_head("GET", "/x"))
            peer = backend.accept()
            contains(peer.read_until(b"\r\n"), f"PROXY TCP4 {client} 127.0.0.1 4711 ".encode())
            equal(peer.read_head().get("X-Real-IP"), client)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            equal(conn.read_response().body, b"ok")
            equal(peer.read_all(), b"")


def test_proxy_protocol_out_to_raw_backends(t):
    for protocol, sent, got in (("stream", "ab", b"ab"), ("lines", "ab", b"ab\n")):
        backend = Listener(t, "unix")
        more = app(backend, backend=f"Protocol={protocol}\nSendProxyProtocol=v2\nMessageType=text\n")
        port = t.daemon(ini(more)).port("main")
        conn = behind(t, port, v2("2001:db8::7", to="::1"))
        conn.send(handshake_head("/ws"))
        wire.check_101(conn.read_response())
        peer = Conn(backend.accept().sock)
        seen = Seen(peer)
        # the listener's own address is IPv4: both are said as IPv6
        equal(seen.addresses, ("2001:db8::7", 4711, "::ffff:127.0.0.1", port))
        conn.text(sent)
        equal(peer.read(len(got)), got)
        peer.send(b"back\n")
        conn.expect(TEXT, "back\n" if protocol == "stream" else "back")


def test_proxy_protocol_out_of_a_client_without_an_address(t):
    backend = Listener(t)
    path = t.tmp / "front.sock"
    for version in ("v1", "v2"):
        more = app(backend, backend=f"SendProxyProtocol={version}\n")
        t.daemon(f"[listen main]\nAddress=unix:{path}-{version}\n{more}")
        conn = connect(t, f"{path}-{version}")
        conn.send(handshake_head("/ws"))
        peer = backend.accept()
        if version == "v1":
            equal(peer.read_until(b"\r\n"), b"PROXY UNKNOWN\r\n")
        else:
            seen = Seen(peer)
            equal((seen.command, seen.family, seen.tlvs), (0x21, 0, {2: b"localhost"}))
        peer.read_head()


def test_proxy_protocol_out_in_health_checks(t):
    backend = Listener(t)
    for version in ("v1", "v2"):
        keys = f"SendProxyProtocol={version}\nHealthCheckInterval=100ms\nHealthCheckPath=/up\n"
        daemon = t.daemon("[listen main]\nAddress=127.0.0.1:0\n" + app(backend, backend=keys))
        peer = backend.accept()
        if version == "v1":
            equal(peer.read_until(b"\r\n"), b"PROXY UNKNOWN\r\n")
        else:
            seen = Seen(peer)
            equal((seen.command, seen.family, seen.tlvs), (0x20, 0, {}))
        contains(peer.read_head().line, "GET /up ")
        daemon.stop()


# ---- two of ours, and HAProxy


def test_proxy_protocol_from_one_gateway_to_the_next(t):
    inner = t.daemon(ini(), access=True)
    outer = "[listen main]\nAddress=127.0.0.1:0\n[route app]\nPath=/*\nAction=forward\nBackend=app\n"
    for version in ("v1", "v2"):
        backend = f"[backend app]\nAddress=127.0.0.1:{inner.port('main')}\nSendProxyProtocol={version}\n"
        ws = open_ws(t, t.daemon(outer + backend).port("main"))
        ws.text("hello")
        ws.expect(TEXT, "hello")
        ws.finish()
        equal(inner.access()[0]["client"], "127.0.0.1")


def test_proxy_protocol_haproxy_in_front(t):
    t.need("haproxy")
    context, keys = tls_listener(t)
    daemon = t.daemon(ini(listen=keys + "\nTrustedProxies=127.0.0.1"), access=True)
    for version in ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"):
        path = t.tmp / f"{version}.sock"
        config = t.tmp / f"{version}.cfg"
        config.write_text(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
            f"listen front\n bind unix@{path} accept-proxy\n server gateway 127.0.0.1:{daemon.port('main')} {version}\n"
        )
        t.spawn(["haproxy", "-f", config])
        t.wait(path.exists)
        # what HAProxy is told of the client it tells the gateway
        echo(behind(t, path, v1(), context))
        line = daemon.access()[0]
        equal((line["client"], line["tls"] is not None), (CLIENT, True), version)
