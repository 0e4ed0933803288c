"""GET /metrics: well-formed, and right: every counter is compared with traffic that the test made."""

import re
import shutil
import signal
import ssl
import subprocess

import pmd
import prom
import wire2
from harness import alone, equal, limit, tag, wait, waits
from pmd import NAME, Side
from tls import Authority
from wire import BINARY, CLOSE, PONG, TEXT, Listener, WebSocket, answer_101, connect, frame, handshake_head, open_ws
from wire import relayed, status_of

LISTEN = "[listen main]\nAddress=127.0.0.1:0\n"


def start(t, ini, server="", **options):
    daemon = t.daemon(f"[server]\nAdminAddress=unix:{t.tmp}/admin.sock\n{server}\n{ini}", **options)
    daemon.metrics = lambda: scrape(t)
    return daemon


def scrape(t):
    conn = connect(t, t.tmp / "admin.sock")
    response = conn.request(target="/metrics")
    conn.close()
    equal(response.status, 200)
    equal(response.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
    return prom.Scrape(response.body.decode())


def until(daemon, condition, what):
    """The first scrape for which the condition holds: an end is counted a moment after its peer has seen it."""

    def look():
        now = daemon.metrics()
        return now if condition(now) else None

    return wait(look, what=what)


def ended(daemon, count, **labels):
    """When so many WebSockets have ended."""
    return until(daemon, lambda m: m.sum("wsrelayd_closes_total", **labels) >= count, f"{count} ends")


def echo(name, *keys):
    return f"[route {name}]\nPath=/{name}\nAction=echo\n" + "\n".join(keys) + "\n"


def forward(name, listener, *keys, backend=(), action="forward"):
    return (
        f"[route {name}]\nPath=/{name}\nAction={action}\nBackend={name}-app\n"
        + "\n".join(keys)
        + f"\n[backend {name}-app]\nAddress={listener.address}\n"
        + "\n".join(backend)
        + "\n"
    )


# ---- the text


def documented(t):
    """docs/metrics.md: {name: (type, labels)}; tests/lint/metrics compares it with the sources."""
    rows = re.findall(
        r"^\| `((?:wsrelayd|process)_\w+)` \| (\w+) \|([^|]*)\|", (t.repo / "docs" / "metrics.md").read_text(), re.M
    )
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


@tag("tsan")
def test_metrics_text_is_well_formed(t):
    ini = (
        f'{LISTEN}[listen other]\nAddress=unix:{t.tmp}/x.sock\n[route e]\nPath=/e\nAction=echo\n'
        f'[route f]\nPath=/f\nAction=forward\nBackend=b.1\n[backend b.1]\nAddress=unix:{t.tmp}/q"b\\s 127.0.0.1:1\n'
    )
    daemon = start(t, ini, "Workers=3")
    ws = open_ws(t, daemon.port("main"), "/e")
    ws.finish()
    open_ws(t, daemon.port("main"), "/f", status=502)
    now = daemon.metrics()
    equal(now.some("wsrelayd_build_info"), {t.call("--version").stdout.split()[1]: 1})
    equal(set(now.some("wsrelayd_backend_up")), {("127.0.0.1:1", "b.1"), (f'unix:{t.tmp}/q"b\\s', "b.1")})
    equal(len(now.series("wsrelayd_worker_connections")), 3)
    docs = documented(t)
    equal(set(now.families), set(docs) - {"process_virtual_memory_max_bytes"}, "the families")
    for name, (kind, labels) in docs.items():
        if name in now.families:
            equal(now.families[name].type, kind, name)
            for _, has in now.families[name].samples:
                equal({label for label, _ in has} - {"le"}, labels, name)
    if shutil.which("promtool"):
        conn = connect(t, t.tmp / "admin.sock")
        done = subprocess.run(["promtool", "check", "metrics"], input=conn.request(target="/metrics").body,
                              capture_output=True, timeout=60, check=False)
        equal((done.returncode, done.stdout + done.stderr), (0, b""))


def test_metrics_of_the_process_are_the_kernels(t):
    daemon = start(t, LISTEN + echo("e"), "Workers=2")
    now = daemon.metrics()
    # the admin's connection is open while the answer is made
    assert abs(now.sum("process_open_fds") - daemon.open_files()) <= 2, (now.sum("process_open_fds"), daemon.open_files())
    with open(f"/proc/{daemon.pid}/limits", encoding="ascii") as limits:
        soft = next(line.split()[3] for line in limits if line.startswith("Max open files"))
    equal(now.sum("process_max_fds"), float(soft))
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    equal(now.sum("process_threads"), threads)
    resident = now.sum("process_resident_memory_bytes") / 1024
    assert resident / 2 < daemon.rss_kib() < 2 * resident, (resident, daemon.rss_kib())
    assert now.sum("process_virtual_memory_bytes") > now.sum("process_resident_memory_bytes")
    busy = now.sum("process_cpu_seconds_total")
    assert 0 < busy <= daemon.cpu_seconds() + 1, busy
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as stat, open("/proc/stat", encoding="ascii") as machine:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        booted = next(int(line.split()[1]) for line in machine if line.startswith("btime "))
    began = now.sum("process_start_time_seconds")
    assert abs(began - (booted + ticks / 100)) < 30, (began, booted, ticks)
    equal(daemon.metrics().sum("process_start_time_seconds"), began)


# ---- WebSockets


@tag("tsan")
def test_metrics_of_known_traffic(t):
    """Opens, messages, bytes and closes of both versions of HTTP, by route, with several workers."""
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + echo("e") + forward("f", listener), "Workers=3")
    port = daemon.port("main")
    echoes = [open_ws(t, port, "/e") for _ in range(4)]
    h2 = wire2.H2(t, port)
    h2_echoes = [h2.open_ws("/e") for _ in range(3)]
    client, app = relayed(t, port, listener, "/f")
    now = daemon.metrics()
    equal(now.some("wsrelayd_websockets"), {("1.1", "e"): 4, ("2", "e"): 3, ("1.1", "f"): 1})
    equal(now.some("wsrelayd_websockets_opened_total"), {("1.1", "e"): 4, ("2", "e"): 3, ("1.1", "f"): 1})
    equal(now.some("wsrelayd_requests_total"), {("e", "101"): 4, ("e", "200"): 3, ("f", "101"): 1})
    equal(now.sum("wsrelayd_connections", listener="main"), 6)
    equal(now.sum("wsrelayd_worker_connections"), 6)
    equal(now.sum("wsrelayd_handshake_seconds_count"), 8)

    for ws in echoes + h2_echoes:
        ws.text("four")
        ws.expect_message(TEXT, b"four")
    # several messages in one read, one in several frames and reads, empty ones, control frames that do not count
    burst = b"".join(frame(BINARY, b"x" * n) for n in (0, 1, 125, 126, 1000)) + frame(0x9, b"ping")
    echoes[0].send(burst)
    for n in (0, 1, 125, 126, 1000):
        echoes[0].expect_message(BINARY, b"x" * n)
    echoes[0].expect(PONG, b"ping")
    parts = frame(TEXT, b"abc", fin=False) + frame(0, b"", fin=False) + frame(0, b"defgh")
    for at in range(len(parts)):
        echoes[1].send(parts[at : at + 1])
    echoes[1].expect_message(TEXT, b"abcdefgh")
    equal(daemon.metrics().some("wsrelayd_messages_total", route="e"), {"in": 13, "out": 13})
    equal(daemon.metrics().some("wsrelayd_bytes_total", route="e"), {"in": 28 + 1252 + 8, "out": 28 + 1252 + 8})

    # the relay's directions are counted apart, each when it has come
    client.text("hello")
    client.send(b"".join(frame(BINARY, b"y" * 10) for _ in range(20)))
    app.expect_message(TEXT, b"hello")
    for _ in range(20):
        app.expect_message(BINARY, b"y" * 10)
    app.send(frame(TEXT, b"a longer answer", mask=None))
    client.expect_message(TEXT, b"a longer answer")
    now = daemon.metrics()
    equal(now.some("wsrelayd_messages_total", route="f"), {"in": 21, "out": 1})
    equal(now.some("wsrelayd_bytes_total", route="f"), {"in": 205, "out": 15})

    echoes[0].finish(1000)
    echoes[1].finish(3000)
    echoes[2].finish(4999)
    echoes[3].abort()
    h2_echoes[0].finish(1001)
    h2_echoes[1].send_frame(0x3, b"a reserved opcode")
    h2_echoes[1].expect_close(1002)
    app.send_close(1011, "sorry")
    client.expect_close(1011)
    client.send_close(1011)
    app.expect_close(1011)
    now = ended(daemon, 7)
    equal(
        now.some("wsrelayd_closes_total"),
        {
            ("1000", "e", "client"): 1,
            ("other", "e", "client"): 2,
            ("1006", "e", "client"): 1,
            ("1001", "e", "client"): 1,
            ("1002", "e", "gateway"): 1,
            ("1011", "f", "backend"): 1,
        },
    )
    equal(now.some("wsrelayd_websockets"), {("2", "e"): 1})
    equal(now.sum("wsrelayd_websockets_opened_total"), 8)
    h2_echoes[2].finish()
    h2.close()
    now = until(daemon, lambda m: m.sum("wsrelayd_connections") == 0, "no connection is open")
    equal(now.sum("wsrelayd_connections_accepted_total", listener="main"), 6)
    equal(now.sum("wsrelayd_websockets"), 0)
    equal(now.some("wsrelayd_handshakes_refused_total"), {})
    equal(now.some("wsrelayd_connection_errors_total"), {})


def test_metrics_of_a_message_that_ends_the_websocket(t):
    """What a read brought counts, though the same read ends the WebSocket."""
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + echo("e") + forward("f", listener, "MaxMessageSize=100"))
    port = daemon.port("main")
    ws = open_ws(t, port, "/e")
    ws.send(frame(TEXT, b"12345") + frame(TEXT, b"67") + frame(CLOSE, b"\x03\xe8"))
    ws.expect_message(TEXT, b"12345")
    ws.expect_message(TEXT, b"67")
    ws.expect_close(1000)
    client, app = relayed(t, port, listener, "/f")
    client.send(frame(TEXT, b"123") + frame(BINARY, b"x" * 101))
    client.expect_close(1009)
    equal(app.recv_frame().payload, b"123")
    now = ended(daemon, 2)
    equal(now.some("wsrelayd_messages_total"), {("in", "e"): 2, ("out", "e"): 2, ("in", "f"): 1})
    equal(now.some("wsrelayd_bytes_total"), {("in", "e"): 7, ("out", "e"): 7, ("in", "f"): 3})
    equal(now.some("wsrelayd_closes_total"), {("1000", "e", "client"): 1, ("1009", "f", "gateway"): 1})


def test_metrics_of_the_last_websocket_of_a_snapshot(t):
    """The snapshot goes with the connection, in the middle of a read: what was read counts, and nothing that is freed is
    touched (on the build with ASan)."""
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + forward("f", listener))
    client, app = relayed(t, daemon.port("main"), listener, "/f")
    hup(daemon)
    part = frame(BINARY, bytes(10), mask=None, announce=1000)
    app.send(part)
    client.read(len(part))
    # within the backend's frame no Close can be sent: the connection is dropped at once
    client.send(frame(TEXT, b"counts", fin=False) + frame(0, b"too") + frame(0x5, b"no such opcode"))
    client.expect_end()
    now = ended(daemon, 1)
    equal(now.some("wsrelayd_messages_total"), {("in", "f"): 1})
    equal(now.some("wsrelayd_bytes_total"), {("in", "f"): 9, ("out", "f"): 10})
    equal(now.some("wsrelayd_closes_total"), {("1002", "f", "gateway"): 1})


def test_metrics_of_raw_backends(t):
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + forward("f", listener, backend=["Protocol=lines"]))
    ws = open_ws(t, daemon.port("main"), "/f")
    app = listener.accept()
    ws.text("one")
    ws.text("")
    equal(app.read(5), b"one\n\n")
    app.send(b"first\nsecond\r\nthe last")
    ws.expect_message(TEXT, b"first")
    ws.expect_message(TEXT, b"second")
    app.half_close()  # a last line without its end is a message, too
    ws.expect_message(TEXT, b"the last")
    ws.expect_close(1000)
    ws.send_close(1000)
    now = ended(daemon, 1)
    equal(now.some("wsrelayd_messages_total", route="f"), {"in": 2, "out": 3})
    equal(now.some("wsrelayd_bytes_total", route="f"), {"in": 3, "out": 5 + 6 + 8})
    equal(now.some("wsrelayd_closes_total", route="f"), {("1000", "backend"): 1})


def test_metrics_of_compression(t):
    """Messages and bytes are those of the messages as they are meant; what zlib made of them is counted apart."""
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + forward("f", listener, "Compression=edge", "CompressionMinSize=0"))
    client, app = relayed(t, daemon.port("main"), listener, "/f", fields=pmd.fields(NAME))
    side = Side()
    text = b"the same again and again, " * 100
    side.send(client, TEXT, text)
    app.expect_message(TEXT, text)
    app.send(frame(TEXT, text + b"!", mask=None))
    side.expect(client, TEXT, text + b"!")
    now = daemon.metrics()
    equal(now.some("wsrelayd_messages_total", route="f"), {"in": 1, "out": 1})
    equal(now.some("wsrelayd_bytes_total", route="f"), {"in": 2600, "out": 2601})
    around = now.some("wsrelayd_deflate_bytes_total", route="f")
    equal((around[("in", "plain")], around[("out", "plain")]), (2600, 2601))
    assert 10 < around[("in", "compressed")] < 200 and 10 < around[("out", "compressed")] < 200, around
    assert now.sum("wsrelayd_compression_memory_bytes") > 1000


@waits
def test_metrics_of_keepalive_timeouts(t):
    listener = Listener(t, "unix")
    daemon = start(
        t,
        LISTEN
        + echo("e", "KeepAliveInterval=100ms", "KeepAliveTimeout=100ms")
        + forward("f", listener, backend=["KeepAliveInterval=100ms", "KeepAliveTimeout=100ms"]),
    )
    port = daemon.port("main")
    silent = [open_ws(t, port, "/e") for _ in range(2)]
    client, _app = relayed(t, port, listener, "/f")
    now = ended(daemon, 3)
    equal(now.some("wsrelayd_keepalive_timeouts_total"), {("e", "client"): 2, ("f", "backend"): 1})
    equal(now.some("wsrelayd_closes_total"), {("1006", "e", "gateway"): 2, ("1014", "f", "backend"): 1})
    for ws in silent + [client]:
        ws.close()


def test_metrics_of_rates(t):
    daemon = start(t, LISTEN + echo("slow", "MessageRate=10") + echo("strict", "MessageRate=10", "RateAction=close"))
    port = daemon.port("main")
    slow, strict = open_ws(t, port, "/slow"), open_ws(t, port, "/strict")
    slow.send(frame(TEXT, b"x") * 15)
    for _ in range(15):
        slow.expect_message(TEXT, b"x")
    strict.send(frame(TEXT, b"x") * 100)
    strict.expect_close(1008, skip=(TEXT,))
    now = ended(daemon, 1)
    counted = now.some("wsrelayd_rate_limited_total")
    assert counted[("delay", "slow")] >= 1, counted
    equal({key: n for key, n in counted.items() if key[1] == "strict"}, {("close", "strict"): 1})


# ---- handshakes and requests that are refused


@tag("tsan")
def test_metrics_of_refused_handshakes(t):
    listener = Listener(t, "unix")
    ini = (
        LISTEN
        + echo("e", "AllowedOrigins=https://good.example", "Compression=edge")
        + forward("f", listener, backend=["ResponseTimeout=100ms"])
        + f"[route gone]\nPath=/gone\nAction=forward\nBackend=gone\n[backend gone]\nAddress=unix:{t.tmp}/nobody\n"
        + forward("full", listener, backend=["MaxConnections=1"])
    )
    daemon = start(t, ini)
    port = daemon.port("main")
    h2 = wire2.H2(t, port)
    for _ in range(3):
        open_ws(t, port, "/e", [("Origin", "https://evil.example")], status=403)
    h2.open_ws("/e", [("origin", "null")], status=403)
    open_ws(t, port, "/nothing", status=404)
    h2.open_ws("/nothing", status=404)
    equal(connect(t, port).request(target="/nothing").status, 404)  # no handshake
    equal(connect(t, port).request(target="/e").status, 426)
    equal(h2.request("/e").status, 400)
    old = handshake_head("/e", replace={"Sec-WebSocket-Version": "8"})
    equal(status_of(t, port, old).status, 426)
    equal(h2.open_ws("/e", version="7", status=400).status, 400)
    equal(status_of(t, port, handshake_head("/e", replace={"Sec-WebSocket-Key": "short"})).status, 400)
    equal(status_of(t, port, handshake_head("/e", [("Sec-WebSocket-Extensions", ";;")])).status, 400)
    open_ws(t, port, "/gone", status=502)
    refused = connect(t, port, kind=WebSocket)
    refused.send(handshake_head("/f"))
    app = listener.accept_request()
    app.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?")
    equal(refused.read_response().status, 401)
    slow = connect(t, port, kind=WebSocket)
    slow.send(handshake_head("/f"))
    mute = listener.accept_request()
    equal(slow.read_response().status, 504)
    mute.close()
    broken = connect(t, port, kind=WebSocket)
    broken.send(handshake_head("/f"))
    liar = listener.accept_request()
    answer_101(liar, replace={"Sec-WebSocket-Accept": "wrong"})
    equal(broken.read_response().status, 502)
    relayed(t, port, listener, "/full")
    open_ws(t, port, "/full", status=503)
    left = connect(t, port, kind=WebSocket)
    left.send(handshake_head("/f"))
    listener.accept_request()
    left.close()
    now = until(daemon, lambda m: m.sum("wsrelayd_handshakes_refused_total", reason="client_left"), "the one that left")
    equal(
        now.some("wsrelayd_handshakes_refused_total"),
        {
            ("origin", "e"): 4,
            ("no_route", ""): 2,
            ("not_websocket", "e"): 2,
            ("version", "e"): 2,
            ("bad_request", "e"): 2,
            ("backend_failed", "gone"): 1,
            ("backend_refused", "f"): 1,
            ("backend_timeout", "f"): 1,
            ("backend_failed", "f"): 1,
            ("backend_full", "full"): 1,
            ("client_left", "f"): 1,
        },
    )
    equal(
        now.some("wsrelayd_requests_total"),
        {
            ("e", "403"): 4,
            ("", "404"): 3,
            ("e", "426"): 2,
            ("e", "400"): 4,
            ("gone", "502"): 1,
            ("f", "401"): 1,
            ("f", "504"): 1,
            ("f", "502"): 1,
            ("full", "101"): 1,
            ("full", "503"): 1,
            ("f", "none"): 1,
        },
    )
    equal(now.some("wsrelayd_websockets_opened_total"), {("1.1", "full"): 1})
    equal(now.sum("wsrelayd_handshake_seconds_count"), 1)


def test_metrics_of_connections_past_a_limit(t):
    daemon = start(t, LISTEN + echo("e"), "MaxConnections=2\nWorkers=1")
    port = daemon.port("main")
    equal(daemon.metrics().sum("wsrelayd_connections_max"), 2)
    served = [open_ws(t, port, "/e") for _ in range(2)]
    for _ in range(3):
        open_ws(t, port, "/e", status=503)
    now = daemon.metrics()
    equal(now.some("wsrelayd_handshakes_refused_total"), {("connection_limit", ""): 3})
    equal(now.some("wsrelayd_connection_errors_total"), {("main", "connection_limit"): 3})
    equal(now.some("wsrelayd_requests_total"), {("e", "101"): 2, ("", "503"): 3})
    equal(now.sum("wsrelayd_connections"), 2)
    equal(now.sum("wsrelayd_connections_accepted_total"), 2)
    for ws in served:
        ws.finish()


def test_metrics_of_connections_past_a_limit_behind_a_proxy(t):
    """Who the client is, and so whether it is past its limit, shows after the connection was let in."""
    listen = LISTEN + "ProxyProtocol=yes\n"
    daemon = start(t, listen + echo("e"), "MaxConnectionsPerClient=1\nWorkers=1")
    header = b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 443\r\n"
    served, refused = (connect(t, daemon.port("main"), kind=WebSocket) for _ in range(2))
    served.send(header + handshake_head("/e"))
    equal(served.read_response().status, 101)
    refused.send(header + handshake_head("/e"))
    equal(refused.read_response().status, 503)
    for end in (lambda: None, refused.close):
        end()
        now = until(daemon, lambda m: m.sum("wsrelayd_connections") == 1, "one connection")
        equal(now.some("wsrelayd_connection_errors_total"), {("main", "connection_limit"): 1})
        equal(now.some("wsrelayd_handshakes_refused_total"), {("connection_limit", ""): 1})
    served.finish()
    served.close()
    until(daemon, lambda m: m.sum("wsrelayd_connections") == 0, "no connection")


def test_metrics_of_messages_that_are_not_logged(t):
    daemon = start(t, LISTEN + echo("e"))
    for _ in range(30):
        equal(status_of(t, daemon.port("main"), b"nonsense\r\n\r\n").status, 400)
    now = daemon.metrics()
    equal(now.sum("wsrelayd_connection_errors_total", reason="bad_request"), 30)
    logged = daemon.log.count("not well-formed")
    suppressed = now.sum("wsrelayd_log_messages_suppressed_total")
    assert suppressed >= 1 and logged + suppressed >= 30, (logged, suppressed)


def test_metrics_of_certificates(t):
    ca = Authority(t)
    pairs = [ca.issue("a.example"), ca.issue("b.example")]

    def expiry(pem):
        done = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", pem], capture_output=True, text=True,
                              timeout=60, check=True)
        return ssl.cert_time_to_seconds(done.stdout.strip().removeprefix("notAfter="))

    keys = "".join(f"Certificate={pem}\nCertificateKey={key}\n" for pem, key in pairs)
    daemon = start(t, f"[listen tls]\nAddress=127.0.0.1:0\nTLS=yes\n{keys}{LISTEN}{echo('e')}")
    name = "wsrelayd_certificate_expiry_timestamp_seconds"
    equal(daemon.metrics().some(name, listener="tls"), {str(pem): expiry(pem) for pem, _ in pairs})
    equal(len(daemon.metrics().series(name)), 2)
    new = ca.issue("c.example", days=7)
    for place, made in zip(pairs[0], new):
        place.write_bytes(made.read_bytes())
    hup(daemon)
    equal(daemon.metrics().some(name, listener="tls"), {str(pem): expiry(pem) for pem, _ in pairs})
    assert expiry(pairs[0][0]) < expiry(pairs[1][0])


def test_metrics_of_connections_that_fail(t):
    authority = Authority(t)
    certificate = authority.issue("localhost")
    keys = "\n".join(f"{k}={v}" for k, v in zip(("Certificate", "CertificateKey"), certificate))
    ini = (
        LISTEN
        + f"[listen tls]\nAddress=127.0.0.1:0\nTLS=yes\n{keys}\n[listen proxied]\nAddress=127.0.0.1:0\nProxyProtocol=yes\n"
        + echo("e")
    )
    daemon = start(t, ini)
    conn = connect(t, daemon.port("tls"))
    conn.send(b"GET / HTTP/1.1\r\n\r\n")
    conn.read_all()
    try:
        connect(t, daemon.port("tls"), tls=ssl.create_default_context(), server_name="localhost")
    except ssl.SSLCertVerificationError:
        pass
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nonsense\r\n"):
        conn = connect(t, daemon.port("proxied"))
        conn.send(data)
        conn.read_all()
    equal(status_of(t, daemon.port("main"), b"nonsense\r\n\r\n").status, 400)
    raw = wire2.Raw(t, daemon.port("main"))
    raw.frame(0, stream=0, payload=b"DATA on stream 0")
    raw.expect_goaway(1)
    now = until(daemon, lambda m: m.sum("wsrelayd_connection_errors_total") >= 6, "six errors")
    equal(
        now.some("wsrelayd_connection_errors_total"),
        {("tls", "tls_handshake"): 2, ("proxied", "proxy_header"): 2, ("main", "bad_request"): 1, ("main", "http2"): 1},
    )
    equal(now.some("wsrelayd_connections_accepted_total"), {"tls": 2, "proxied": 2, "main": 2})


# ---- ordinary requests, backends


def test_metrics_of_ordinary_requests(t):
    root = t.tmp / "root"
    root.mkdir()
    (root / "a.txt").write_bytes(b"0123456789")
    listener = Listener(t, "unix")
    ini = LISTEN + f"[route files]\nPath=/files/*\nAction=static\nDocumentRoot={root}\n"
    ini += forward("p", listener, action="proxy")
    daemon = start(t, ini, "Workers=1")
    conn = connect(t, daemon.port("main"))
    equal(conn.request(target="/files/a.txt").status, 200)
    equal(conn.request("HEAD", "/files/a.txt").status, 200)
    equal(conn.request(target="/files/a.txt", fields=[("Range", "bytes=0-3")]).status, 206)
    equal(conn.request(target="/files/none").status, 404)
    equal(conn.request("POST", "/files/a.txt", body=b"x").status, 405)
    app = None
    for status in (200, 201, 299, 418, 599):
        client = connect(t, daemon.port("main"))
        client.send(b"POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        app = app or listener.accept()
        app.request_head = app.read_head()
        equal(app.read(5), b"hello")
        app.send(f"HTTP/1.1 {status} X\r\nContent-Length: 7\r\n\r\n1234567".encode())
        equal(client.read_response().status, status)
        client.close()
    now = daemon.metrics()
    equal(
        now.some("wsrelayd_requests_total"),
        {
            ("files", "200"): 2, ("files", "206"): 1, ("files", "404"): 1, ("files", "405"): 1,
            ("p", "200"): 1, ("p", "201"): 1, ("p", "2xx"): 1, ("p", "4xx"): 1, ("p", "5xx"): 1,
        },
    )  # fmt: skip
    bodies = now.some("wsrelayd_http_body_bytes_total")
    equal((bodies[("in", "p")], bodies[("out", "p")]), (25, 35))
    equal(now.sum("wsrelayd_backend_connect_seconds_count", backend="p-app"), 1)
    equal(now.sum("wsrelayd_backend_connections_reused_total", backend="p-app"), 4)
    assert not [labels for labels in now.series("wsrelayd_websockets") if ("route", "files") in labels]


def test_metrics_of_backends(t):
    """Up and down, connections to each address, and how long it took to connect."""
    listener = Listener(t, "unix")
    gone = f"unix:{t.tmp}/nobody"
    ini = LISTEN + (
        "[route f]\nPath=/f\nAction=forward\nBackend=app\n[backend app]\n"
        f"Address={gone} {listener.address}\nBalance=round-robin\nMaxFails=2\nFailTimeout=1h\n"
    )
    daemon = start(t, ini)
    port = daemon.port("main")
    up = {"backend": "app"}
    equal(daemon.metrics().some("wsrelayd_backend_up", **up), {gone: 1, listener.address: 1})
    pairs = [relayed(t, port, listener, "/f") for _ in range(4)]
    now = daemon.metrics()
    equal(now.some("wsrelayd_backend_up", **up), {listener.address: 1})
    equal(len(now.series("wsrelayd_backend_up")), 2)
    equal(now.some("wsrelayd_backend_connections", **up), {listener.address: 4})
    equal(now.some("wsrelayd_backend_connect_failures_total", **up), {"refused": 2})
    equal(now.sum("wsrelayd_backend_connect_seconds_count", **up), 4)
    assert 0 < now.sum("wsrelayd_backend_connect_seconds_sum", **up) < 4 * 60
    for client, app in pairs:
        client.send_close(1000)
        app.expect_close(1000)
        app.send_close(1000)
        client.expect_close(1000)
    until(daemon, lambda m: m.sum("wsrelayd_backend_connections") == 0, "no connection to a backend")


# ---- what waits


def fill(daemon, sender, data):
    """Sends until much of it waits in the gateway."""
    sender.sock.setblocking(False)
    at = 0

    def look():
        nonlocal at
        try:
            at += sender.sock.send(data[at : at + (1 << 20)])
        except BlockingIOError:
            pass
        assert at < len(data), "all of it went somewhere"
        now = daemon.metrics().sum("wsrelayd_queued_bytes")
        return now > 60_000 and now

    queued = wait(look, what="bytes that wait")
    assert queued <= 600_000, queued


@tag("tsan")
def test_metrics_of_bytes_that_wait(t):
    """For a client and for a backend that does not read, over both versions of HTTP; none when they are gone."""
    listener = Listener(t, "unix")
    daemon = start(t, LISTEN + forward("f", listener, "BufferLimit=200K"))
    port = daemon.port("main")

    def none_waits():
        until(daemon, lambda m: m.sum("wsrelayd_queued_bytes") == 0, "nothing waits any more")

    none_waits()
    client, app = relayed(t, port, listener, "/f", receive_buffer=4096)
    fill(daemon, app, frame(BINARY, bytes(16 << 20), mask=None))
    client.abort()
    none_waits()
    client, app = relayed(t, port, listener, "/f")
    fill(daemon, client, frame(BINARY, bytes(16 << 20)))
    app.abort()
    none_waits()
    h2 = wire2.H2(t, port)
    stream = h2.begin_ws("/f")
    app = listener.accept_request()
    answer_101(app)
    stream.wait_headers()
    fill(daemon, app, frame(BINARY, bytes(16 << 20), mask=None))
    stream.reset()
    # what the connection had taken already is read, what its stream had is forgotten
    until(daemon, lambda m: h2.pump_for(0.05) or m.sum("wsrelayd_queued_bytes") == 0, "nothing waits any more")
    h2.close()


# ---- reloads


def hup(daemon, text=None):
    """Reloads, and waits until it is done."""
    before = len(daemon.log.split("reload: "))
    if text is not None:
        daemon.ini.write_text(text)
    daemon.signal(signal.SIGHUP)
    wait(lambda: any(end in daemon.log.split("reload: ", before)[-1] for end in ("done", "nothing is changed"))
         and len(daemon.log.split("reload: ")) > before, what="the reload")


def test_metrics_count_on_over_reloads(t):
    daemon = start(t, LISTEN + echo("a") + echo("b"), "Workers=2")
    port = daemon.port("main")
    good = daemon.ini.read_text()
    first = daemon.metrics()
    equal(first.some("wsrelayd_reloads_total"), {})
    equal(first.sum("wsrelayd_last_reload_successful"), 1)
    stays, goes = open_ws(t, port, "/a"), open_ws(t, port, "/b")
    hup(daemon, good.replace(echo("b"), echo("c")))
    for ws in (stays, goes):
        ws.text("12345")
        ws.expect_message(TEXT, b"12345")
    again = open_ws(t, port, "/a")
    again.text("123")
    again.expect_message(TEXT, b"123")
    now = daemon.metrics()
    # the WebSockets of the old and of the new snapshot are the route's
    equal(now.some("wsrelayd_websockets"), {("1.1", "a"): 2, ("1.1", "b"): 1})
    equal(now.some("wsrelayd_bytes_total"), {("in", "a"): 8, ("out", "a"): 8, ("in", "b"): 5, ("out", "b"): 5})
    equal(now.some("wsrelayd_reloads_total"), {"success": 1})
    assert now.sum("wsrelayd_last_reload_success_timestamp_seconds") > first.sum(
        "wsrelayd_last_reload_success_timestamp_seconds"
    )
    hup(daemon, good + "[nonsense]\n")
    hup(daemon)
    now = daemon.metrics()
    equal(now.some("wsrelayd_reloads_total"), {"success": 1, "failure": 2})
    equal(now.sum("wsrelayd_last_reload_successful"), 0)
    for ws in (stays, again, goes):
        ws.finish()
    now = ended(daemon, 3)
    # a route that is gone is remembered, and goes on when it comes back
    equal(now.some("wsrelayd_closes_total"), {("1000", "a", "client"): 2, ("1000", "b", "client"): 1})
    hup(daemon, good)
    ws = open_ws(t, port, "/b")
    ws.finish()
    now = ended(daemon, 4)
    equal(now.some("wsrelayd_websockets_opened_total"), {("1.1", "a"): 2, ("1.1", "b"): 2})
    equal(now.some("wsrelayd_reloads_total"), {"success": 2, "failure": 2})
    equal(now.sum("wsrelayd_last_reload_successful"), 1)


@limit(180)
@alone
def test_metrics_of_routes_that_come_and_go_are_bounded(t):
    """300 reloads, each with routes, backends and listeners that nobody has seen before."""

    def ini(i):
        names = "".join(echo(f"r{i}-{k}") for k in range(3))
        return (
            f"[server]\nAdminAddress=unix:{t.tmp}/admin.sock\nWorkers=2\n[listen main]\nAddress=127.0.0.1:0\n"
            f"[listen l{i}]\nAddress=unix:{t.tmp}/l{i}.sock\n{echo('stays')}{names}"
            f"[route f{i}]\nPath=/f\nAction=forward\nBackend=b{i}\n[backend b{i}]\nAddress=unix:{t.tmp}/none\n"
        )

    daemon = t.daemon(ini(0))
    daemon.metrics = lambda: scrape(t)
    port = daemon.port("main")
    ws = open_ws(t, port, "/stays")
    sizes = []
    for i in range(1, 301):
        hup(daemon, ini(i))
        if i % 50 == 0:
            ws.text("x")
            ws.expect_message(TEXT, b"x")
            sizes.append((len(daemon.metrics().series("wsrelayd_http_body_bytes_total")), daemon.rss_kib()))
    now = daemon.metrics()
    equal(now.some("wsrelayd_messages_total"), {("in", "stays"): 6, ("out", "stays"): 6})
    equal(now.some("wsrelayd_reloads_total"), {"success": 300})
    routes = {dict(labels)["route"] for labels in now.series("wsrelayd_http_body_bytes_total")}
    assert len(routes) <= 128 + 6 + 4 and {"stays", "r300-0", "f300"} <= routes and "r1-0" not in routes, len(routes)
    if not t.sanitized:
        assert sizes[-1][1] < sizes[1][1] + 2048, f"memory grew: {sizes}"
    daemon.wait_logged("reload: done")
    ws.finish()
