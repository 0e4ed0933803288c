"""Who may connect: ConnectionRate, MaxConnectionsPerClient and MaxConnections, and what is told to the others."""

import contextlib
import socket
import ssl
import time

import wire2
from front import connect_from
from harness import contains, equal, flavours, open_files, tag, waits
from proxy_protocol import CLIENT, v1, v2
from rates import LISTEN, Watch, echo
from tls import Authority
from wire import TEXT, Conn, WebSocket, connect, handshake_head
from wire2 import H2


def tries(t, port, source, count):
    """So many handshakes in a row, each on a connection of its own: the statuses, None for one that was closed."""
    got = []
    for _ in range(count):
        conn = connect_from(t, port, source)
        got.append(status(conn))
        conn.close()
    return got


def status(conn, head=None):
    conn.send_as_far_as_possible(head or handshake_head())
    with contextlib.suppress(AssertionError):  # the end of the stream
        response = conn.read_response()
        if response.status != 101:
            assert int(response.get("Retry-After")) > 0
            contains(response.tokens("Connection"), "close")
        return response.status
    return None


def there(client):
    """An address that it may have connected to."""
    return "2001:db8::443" if ":" in client else "203.0.113.1"


def check_rate(got, watch):
    """What came of a client that kept trying."""
    assert set(got) <= {101, 429}, got
    assert got[: watch.rate] == [101] * watch.rate, got
    watch.check(got.count(101))


# ---- ConnectionRate


@tag("tsan")
def test_admission_rate_of_new_connections(t):
    daemon = t.daemon(LISTEN + "ConnectionRate=5\n" + echo(), access=True)
    port = daemon.port("main")
    watch = Watch(5)
    got = tries(t, port, "127.0.0.2", 30)
    check_rate(got, watch)
    contains(got, 429)
    lines = daemon.access(30)
    equal({line["status"]: (line["closed_by"], line["reason"]) for line in lines}[429],
        ("gateway", "too many new connections"))
    # another client has its own, and this one gets in again
    equal(tries(t, port, "127.0.0.3", 5), [101] * 5)
    t.wait(lambda: tries(t, port, "127.0.0.2", 1) == [101], what="the client is let in again")


@tag("tsan")
def test_admission_rate_is_for_each_listener(t):
    daemon = t.daemon(LISTEN + "ConnectionRate=2\n[listen other]\nAddress=127.0.0.1:0\n" + echo())
    watch = Watch(2)
    check_rate(tries(t, daemon.port("main"), "127.0.0.2", 20), watch)
    equal(tries(t, daemon.port("other"), "127.0.0.2", 20), [101] * 20)


@tag("tsan")
def test_admission_rate_over_http2(t):
    daemon = t.daemon(LISTEN + "ConnectionRate=1\n" + echo(), access=True)
    first = H2(t, daemon.port("main"))
    first.open_ws()
    for _ in range(20):
        second = H2(t, daemon.port("main"))
        ws = second.begin_ws("/ws")
        ws.wait_headers()
        if ws.status == 429:
            break
    equal((ws.field("retry-after"), ws.read_all()), ("1", b"too many new connections\n"))
    second.wait_closed(wire2.NO_ERROR)
    # streams of one connection are not connections
    for _ in range(5):
        first.open_ws().finish()


@tag("tsan")
def test_admission_rate_costs_one_tls_handshake_a_second(t):
    """Of the connections past the rate one each second is told 429; the others are closed before TLS begins."""
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    daemon = t.daemon(f"{LISTEN}TLS=yes\nCertificate={pem}\nCertificateKey={key}\nConnectionRate=1\n" + echo())
    port, context = daemon.port("main"), ca.context()
    got, start = [], time.monotonic()
    for _ in range(40):
        sock = socket.create_connection(("127.0.0.1", port), 10 * t.factor)
        t.at_end(sock.close)
        try:
            got.append(status(Conn(context.wrap_socket(sock, server_hostname="localhost"))))
        except (ssl.SSLError, OSError):
            got.append(None)
        sock.close()
    seconds = time.monotonic() - start
    assert 1 <= got.count(101) <= 2 + seconds, got
    assert 1 <= got.count(429) <= 2 + seconds, got
    equal(got.count(101) + got.count(429) + got.count(None), 40)
    contains(got, None)


@tag("tsan")
def test_admission_rate_goes_by_the_real_client_behind_a_proxy(t):
    daemon = t.daemon(LISTEN + "ProxyProtocol=yes\nConnectionRate=3\n" + echo())

    def attempts(client, count):
        got = []
        for i in range(count):
            conn = connect(t, daemon.port("main"), kind=WebSocket)
            conn.send((v1, v2)[i % 2](client, to=there(client)))
            got.append(status(conn))
            conn.close()
        return got

    watch = Watch(3)
    check_rate(attempts(CLIENT, 20), watch)
    equal(attempts("198.51.100.8", 3), [101] * 3)
    # IPv6 by /64, but not where a /64 is shared by many
    watch = Watch(3)
    got = [one for i in range(20) for one in attempts(f"2001:db8:0:1::{i + 1:x}", 1)]
    check_rate(got, watch)
    equal(attempts("2001:db8:0:2::1", 3), [101] * 3)
    equal([one for i in range(20) for one in attempts(f"64:ff9b::c000:2{i:02x}", 1)], [101] * 20)


@tag("tsan")
def test_admission_proxies_and_unix_sockets_have_no_rate(t):
    path = t.tmp / "u.sock"
    daemon = t.daemon(
        f"[server]\nMaxConnectionsPerClient=1\n{LISTEN}ConnectionRate=1\nTrustedProxies=127.0.0.9\n"
        f"[listen u]\nAddress=unix:{path}\nConnectionRate=1\n" + echo()
    )
    equal(tries(t, daemon.port("main"), "127.0.0.9", 10), [101] * 10)
    keep = []
    for _ in range(5):
        for conn in (connect(t, path, kind=WebSocket), connect_from(t, daemon.port("main"), "127.0.0.9")):
            equal(status(conn), 101)
            keep.append(conn)
    contains(tries(t, daemon.port("main"), "127.0.0.2", 10), 429)


def test_admission_rate_changes_with_a_reload(t):
    daemon = t.daemon(LISTEN + echo())
    port = daemon.port("main")
    equal(tries(t, port, "127.0.0.2", 20), [101] * 20)
    daemon.ini.write_text(LISTEN + "ConnectionRate=1\n" + echo())
    daemon.signal(1)
    daemon.wait_log("reload: done")
    contains(tries(t, port, "127.0.0.2", 10), 429)
    daemon.ini.write_text(LISTEN + echo())
    daemon.signal(1)
    daemon.wait_log("reload: done", count=2)
    equal(tries(t, port, "127.0.0.2", 20), [101] * 20)


# ---- MaxConnectionsPerClient


@tag("tsan")
def test_admission_connections_of_a_client_by_64_bits(t):
    daemon = t.daemon("[server]\nMaxConnectionsPerClient=2\n" + LISTEN + "ProxyProtocol=yes\n" + echo())

    def attempt(client):
        conn = connect(t, daemon.port("main"), kind=WebSocket)
        conn.send(v2(client, to=there(client)))
        return status(conn), conn

    keep = [attempt(f"2001:db8:0:1:{i}::1") for i in range(2)]
    equal([one for one, _ in keep], [101] * 2)
    equal(attempt("2001:db8:0:1::3")[0], 503)
    equal(attempt("2001:db8:0:2::1")[0], 101)
    equal(attempt("2001:db8::1")[0], 101)
    keep[0][1].close()
    t.wait(lambda: attempt("2001:db8:0:1::3")[0] == 101, what="a connection after another has gone")


@tag("tsan")
def test_admission_who_is_refused_does_not_count(t):
    """Only what is open counts, not the attempts past it that still wait for their 503."""
    daemon = t.daemon("[server]\nMaxConnectionsPerClient=2\n" + LISTEN + echo())
    port = daemon.port("main")
    ones = [connect_from(t, port, "127.0.0.2") for _ in range(2)]
    equal([status(conn) for conn in ones], [101] * 2)
    # they say nothing and stay
    waiting = [connect_from(t, port, "127.0.0.2") for _ in range(10)]
    equal(tries(t, port, "127.0.0.2", 1), [503])
    ones[0].finish()
    t.wait(lambda: tries(t, port, "127.0.0.2", 1) == [101], what="a connection after another has gone")
    for conn in waiting:
        conn.close()


@tag("tsan")
def test_admission_refused_connections_are_bounded(t):
    """A client that opens very many and says nothing holds 64 descriptors, whoever it is and however it comes."""
    for listen, hello, limits in (
        ("", b"", "MaxConnectionsPerClient=1"),
        ("", b"", "MaxConnections=1"),
        ("ProxyProtocol=yes\n", v1(), "MaxConnectionsPerClient=1"),
        ("ConnectionRate=1\n", b"", ""),
        ("ConnectionRate=1\nProxyProtocol=yes\n", v2(), ""),
    ):
        daemon = t.daemon(f"[server]\n{limits}\n{LISTEN}{listen}" + echo())
        port = daemon.port("main")
        first = connect(t, port, kind=WebSocket)
        first.send(hello)
        equal(status(first), 101)
        before = open_files(daemon.pid)
        start = time.monotonic()
        conns = []
        for _ in range(250):
            conn = connect(t, port)
            conn.send_as_far_as_possible(hello)
            conns.append(conn)

        def ended():
            """How many were closed at once."""
            count = 0
            for conn in conns:
                if not conn.ended:
                    with contextlib.suppress(TimeoutError):
                        conn.fill(time.monotonic() + 0.001)
                count += conn.ended is not None
            return count

        let_in = time.monotonic() - start + 1 if "Rate" in listen else 0
        t.wait(lambda: ended() >= 250 - 64 - let_in, what=f"closed connections with {limits}{listen}")
        assert open_files(daemon.pid) <= before + 64 + let_in + 2
        # when they have gone, the next one is told again
        for conn in conns:
            conn.abort()

        def told():
            conn = connect(t, port)
            conn.send_as_far_as_possible(hello)
            return status(conn) in (429, 503)

        t.wait(told, what="a refusal that is told")
        first.text("untouched")
        first.expect(TEXT, "untouched")
        daemon.stop()


# ---- all versions


@tag("tsan")
def test_admission_max_connections_over_tls_and_http2(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    daemon = t.daemon(
        f"[server]\nMaxConnections=1\n{LISTEN}TLS=yes\nCertificate={pem}\nCertificateKey={key}\n" + echo(), access=True
    )
    first = connect(t, daemon.port("main"), tls=ca.context(), server_name="localhost", kind=WebSocket)
    equal(status(first), 101)
    equal(status(connect(t, daemon.port("main"), tls=ca.context(), server_name="localhost")), 503)
    client = H2(t, daemon.port("main"), tls=wire2.tls_context(ca.context()), server_name="localhost")
    ws = client.open_ws("/ws", status=503)
    equal((ws.field("retry-after"), ws.body), ("5", b"too many connections\n"))
    client.wait_closed(wire2.NO_ERROR)
    equal([(line["status"], line["tls"]) for line in daemon.access(2)], [(503, "TLSv1.3")] * 2)
    first.text("untouched")
    first.expect(TEXT, "untouched")


@waits
@flavours("plain")
def test_admission_many_addresses_cost_no_memory(t):
    """Thousands of clients, each past its rate: what is kept of them does not grow."""
    daemon = t.daemon(LISTEN + "ProxyProtocol=yes\nConnectionRate=1\n" + echo())
    port = daemon.port("main")

    def wave(high, count):
        for i in range(count):
            with contextlib.closing(socket.create_connection(("127.0.0.1", port), 10)) as sock:
                sock.sendall(v2(f"10.{high}.{i >> 8}.{i & 255}"))

    wave(1, 1000)
    before = daemon.rss_kib()
    for high in range(2, 6):
        wave(high, 1000)
    grown = daemon.rss_kib() - before
    assert grown < 4096, f"{grown} KiB"
