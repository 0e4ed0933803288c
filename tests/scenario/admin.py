"""The admin endpoint: what it tells, what it changes, whom it refuses, and that nobody's WebSocket waits for it."""

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import stat
import threading
import time

import wire2
from harness import contains, equal, in_threads, limit, raise_open_files, tag, waits
from supervise import stuck
from tls import Authority
from wire import TEXT, Listener, WebSocket, answer_101, connect, open_ws, relayed, request_head, status_of

ROUTES = """
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
Subprotocols=chat
[route other]
Path=/other
Action=echo
"""

FIELDS = [
    "id", "kind", "client", "listener", "route", "backend", "http", "tls", "subprotocol", "age_ms", "idle_ms",
    "messages_in", "messages_out", "bytes_in", "bytes_out", "queued_bytes",
]  # fmt: skip


def socket_of(t):
    return t.tmp / "admin.sock"


def start(t, routes=ROUTES, server="", **options):
    return t.daemon(f"[server]\nAdminAddress=unix:{socket_of(t)}\n{server}\n{routes}", **options)


def ask(t, target, method="GET", fields=(), where=None, host="localhost"):
    """A request on a connection of its own."""
    conn = connect(t, where or socket_of(t))
    response = conn.request(method, target, fields, host=host)
    conn.close()
    return response


def text_of(response):
    return response.body.decode()


def connections(t, query="", where=None):
    response = ask(t, "/connections" + query, where=where)
    equal(response.status, 200, text_of(response))
    equal(response.get("Content-Type"), "application/json")
    return json.loads(response.body)


def post(t, target, status=200):
    response = ask(t, target, "POST")
    equal(response.status, status, text_of(response))
    return text_of(response)


# ---- sockets


@tag("tsan")
def test_admin_answers_over_a_unix_socket(t):
    daemon = start(t)
    equal(stat.S_IMODE(socket_of(t).stat().st_mode), 0o660)
    conn = connect(t, socket_of(t))
    for target, status, what in (
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/nothing", 404, "/connections"),
        ("/metrics", 200, "wsrelayd_build_info{version="),
        ("/status", 200, '"state":"ready"'),
        ("/connections?route=", 400, "route"),
    ):
        response = conn.request(target=target)  # all on one connection
        equal(response.status, status, target)
        contains(text_of(response), what)
        equal(response.get("Cache-Control"), "no-store")
        whole = len(response.body)
        response = conn.request("HEAD", target)
        equal(response.status, status, target)
        if target not in ("/metrics", "/status"):  # they never say the same twice
            equal(response.get("Content-Length"), str(whole), target)
    equal(conn.request("HEAD", "/connections").status, 200)
    for method, target, allow in (
        ("POST", "/metrics", "GET, HEAD"),
        ("GET", "/reload", "POST"),
        ("GET", "/drain", "POST"),
        ("PUT", "/connections/1/close", "POST"),
    ):
        response = conn.request(method, target)
        equal((response.status, response.get("Allow")), (405, allow), target)
    equal(status_of(t, socket_of(t), b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status, 400)
    equal(status_of(t, socket_of(t), b"nonsense\r\n\r\n").status, 400)
    equal(ask(t, "/" + "x" * 9000).status, 414)
    equal(daemon.stop(), 0)
    assert not socket_of(t).exists(), "the socket's file is left"


def admin_port(daemon):
    return int(daemon.wait_log(r"admin endpoint on 127\.0\.0\.1:(\d+)")[1])


def test_admin_over_tcp_is_not_for_web_pages(t):
    daemon = t.daemon(f"[server]\nAdminAddress=127.0.0.1:0\n{ROUTES}")
    port = admin_port(daemon)
    equal(ask(t, "/healthz", where=port).status, 200)
    for host in ("127.0.0.1", f"localhost:{port}", f"[::1]:{port}"):
        equal(ask(t, "/healthz", where=port, host=host).status, 200, host)
    # a name that was rebound to this address reads nothing and changes nothing
    for target, method in (("/connections", "GET"), ("/metrics", "GET"), ("/drain", "POST")):
        response = ask(t, target, method, where=port, host="rebound.example.com")
        equal(response.status, 403, target)
        contains(text_of(response), "Host")
    # a form on another page
    for field in (("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")):
        equal(ask(t, "/drain", "POST", [field], where=port).status, 403, field)
    equal(ask(t, "/readyz", where=port).status, 200)
    equal(ask(t, "/reload", "POST", where=port).status, 200)


def test_admin_is_for_this_machine_alone(t):
    for address in ("0.0.0.0:9", "*:9", "192.0.2.1:9", "[::]:9", "gw.example.com:9", "unix:@name", "systemd:x"):
        for option in (["-t"], []):
            done = t.call(*option, ini=f"[server]\nAdminAddress={address}\n{ROUTES}")
            equal(done.returncode, 78, address)
            contains(done.stderr, "called.ini:2: [server] AdminAddress=" + address, "127.0.0.1:PORT")


def test_admin_stale_socket_is_replaced_and_a_live_one_is_not(t):
    daemon = start(t)
    daemon.kill()
    assert socket_of(t).exists()
    start(t)
    equal(ask(t, "/healthz").status, 200)
    done = t.call(ini=f"[server]\nAdminAddress=unix:{socket_of(t)}\n{ROUTES}")
    equal(done.returncode, 71)
    contains(done.stderr, "AdminAddress", "another process is listening")
    equal(ask(t, "/healthz").status, 200)
    file = t.tmp / "file"
    file.write_text("mine")
    equal(t.call(ini=f"[server]\nAdminAddress=unix:{file}\n{ROUTES}").returncode, 71)
    equal(file.read_text(), "mine")


def test_admin_socket_has_the_group_that_is_configured(t):
    t.need_root()
    nobody = pwd.getpwnam("nobody")
    folder = t.tmp / "run"
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    path = folder / "admin.sock"
    daemon = t.daemon(f"[server]\nAdminAddress=unix:{path}\nUser=nobody\n{ROUTES}")
    found = path.stat()
    equal((stat.S_IMODE(found.st_mode), found.st_gid), (0o660, nobody.pw_gid))
    equal(ask(t, "/healthz", where=path).status, 200)
    equal(daemon.stop(), 0)
    assert not path.exists()


def test_admin_address_changes_at_a_reload(t):
    daemon = start(t)
    ini = daemon.ini.read_text()
    first, second = socket_of(t), t.tmp / "second.sock"
    inode = first.stat().st_ino
    kept = connect(t, first)
    equal(kept.request(target="/healthz").status, 200)
    contains(post(t, "/reload"), "reloaded")
    equal(first.stat().st_ino, inode, "the socket of an unchanged address")
    # to a place that cannot be had: nothing is changed
    daemon.ini.write_text(ini.replace(str(first), str(t.tmp / "no/such/folder")))
    contains(post(t, "/reload", 422), "AdminAddress", "No such file", "nothing is changed")
    equal(first.stat().st_ino, inode)
    # the answer of the reload that moves it still comes
    daemon.ini.write_text(ini.replace(str(first), str(second)))
    contains(post(t, "/reload"), "reloaded")
    equal(ask(t, "/healthz", where=second).status, 200)
    assert not first.exists()
    # away and back again, by signals
    daemon.ini.write_text(ini.replace("AdminAddress", "#AdminAddress"))
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done", count=3)
    assert not second.exists() and not first.exists()
    daemon.ini.write_text(ini)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done", count=4)
    equal(ask(t, "/healthz").status, 200)


# ---- what it tells


@tag("tsan")
def test_admin_connections_of_every_kind(t):
    ca = Authority(t)
    certificate, key = ca.issue("localhost")
    backend = Listener(t, "unix")
    tls = f"[listen tls]\nAddress=127.0.0.1:0\nTLS=yes\nCertificate={certificate}\nCertificateKey={key}\n"
    app = f"[route app]\nPath=/app\nAction=forward\nBackend=app\n[backend app]\nAddress={backend.address}\n"
    daemon = start(t, tls + app + ROUTES)
    equal(connections(t), [])
    plain = open_ws(t, daemon.port("main"), fields=[("Sec-WebSocket-Protocol", "chat")])
    plain.text("hello")
    plain.expect(TEXT, "hello")
    secure, _ = relayed(t, daemon.port("tls"), backend, "/app", tls=ca.context(), server_name="localhost")
    wire2.need_h2(t)
    h2 = wire2.H2(t, daemon.port("tls"), tls=wire2.tls_context(ca.context()), server_name="localhost")
    streams = [h2.open_ws("/ws"), h2.open_ws("/other")]
    streams[1].text("12345")
    streams[1].expect(TEXT, "12345")
    found = connections(t)
    equal(len(found), 4)
    for entry in found:
        equal(list(entry), FIELDS)
        equal((entry["kind"], entry["client"]), ("websocket", "127.0.0.1"))
        assert 0 <= entry["idle_ms"] <= entry["age_ms"] < 60_000 * t.factor, entry
    by = {(e["listener"], e["route"]): e for e in found}
    one = by["main", "ws"]
    equal((one["http"], one["tls"], one["subprotocol"], one["backend"]), ("1.1", None, "chat", None))
    equal((one["messages_in"], one["messages_out"], one["bytes_in"], one["bytes_out"]), (1, 1, 5, 5))
    one = by["tls", "app"]
    equal((one["http"], one["tls"], one["subprotocol"]), ("1.1", "TLSv1.3", None))
    equal((one["backend"], one["messages_in"]), (backend.address, 0))
    one = by["tls", "other"]
    equal((one["http"], one["bytes_in"]), ("2", 5))
    # two streams of one connection have ids of their own
    ids = [by["tls", r]["id"] for r in ("ws", "other")]
    equal(len({i.partition(".")[0] for i in ids}), 1)
    equal(len({e["id"] for e in found}), 4)
    # only the one that is meant is closed
    contains(post(t, f"/connections/{by['tls', 'other']['id']}/close"), "closing")
    streams[1].expect_close(1008, "closed by the administrator")
    streams[0].text("still here")
    streams[0].expect(TEXT, "still here")
    t.wait(lambda: len(connections(t)) == 3, what="the closed one is gone")
    equal(secure.sock.fileno() >= 0, True)


def test_admin_connections_by_filter(t):
    daemon = start(t, ROUTES + "[listen six]\nAddress=[::1]:0\nTrustedProxies=::1\n")
    six = int(re.search(r"\[::1\]:(\d+) listen=six", daemon.log)[1])
    sockets = [open_ws(t, daemon.port("main"), path) for path in ("/ws", "/ws", "/other")]
    sockets.append(open_ws(t, ("::1", six), "/other"))
    sockets.append(open_ws(t, ("::1", six), "/other", fields=[("X-Forwarded-For", "198.51.100.7")]))
    for query, count in (
        ("", 5),
        ("?route=ws", 2),
        ("?route=%6fther", 3),
        ("?route=nothing", 0),
        ("?client=127.0.0.1", 3),
        ("?client=127.0.0.0/8&route=other", 1),
        ("?client=::1", 1),
        ("?client=198.51.100.0/24", 1),
        ("?client=10.0.0.0/8", 0),
        ("?kind=websocket", 5),
        ("?kind=http", 0),
        ("?active_ms=3600000", 5),
    ):
        equal(len(connections(t, query)), count, query)
    t.wait(lambda: connections(t, "?active_ms=100") == [], what="all are idle")
    sockets[0].text("x")
    sockets[0].expect(TEXT, "x")
    equal([e["bytes_in"] for e in connections(t, "?active_ms=3600000&route=ws")].count(1), 1)
    t.wait(lambda: connections(t, "?active_ms=1000") == [], what="it is idle for a second")
    table = text_of(ask(t, "/connections?route=ws", fields=[("Accept", "text/tab-separated-values")])).splitlines()
    equal(table[0].split("\t"), FIELDS)
    equal(len(table), 3)
    equal(table[1].split("\t")[2:6], ["127.0.0.1", "main", "ws", "-"])


def test_admin_connections_shows_what_is_not_a_websocket(t):
    backend = Listener(t)
    daemon = start(t, f"""
[listen main]
Address=127.0.0.1:0
[route app]
Path=/*
Action=proxy
Backend=app
[backend app]
Address={backend.address}
""")
    waiting = connect(t, daemon.port("main"), kind=WebSocket)
    waiting.send(request_head("GET", "/ws", [("Upgrade", "websocket"), ("Connection", "upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]))
    handshake = backend.accept_request()
    page = connect(t, daemon.port("main"))
    page.send(request_head("POST", "/page", [("Content-Length", "10")]) + b"12345")
    request = backend.accept_request()
    equal(request.read(5), b"12345")
    found = {e["kind"]: e for e in connections(t)}
    equal(sorted(found), ["handshake", "http"])
    http = found["http"]
    equal((http["backend"], http["bytes_in"], http["messages_in"], http["idle_ms"]), (backend.address, 5, None, None))
    for entry in found.values():
        contains(post(t, f"/connections/{entry['id']}/close", 409), "not an open WebSocket")
    answer_101(handshake)
    equal(waiting.read_response().status, 101)
    request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    t.wait(lambda: [e["kind"] for e in connections(t)] == ["websocket"], what="only the WebSocket is there")


def test_admin_shows_bytes_that_wait(t):
    backend = Listener(t)
    daemon = start(t, f"""
[listen main]
Address=127.0.0.1:0
[route app]
Path=/*
Action=forward
Backend=app
BufferLimit=64K
[backend app]
Address={backend.address}
""")
    client, peer = relayed(t, daemon.port("main"), backend, receive_buffer=4096)
    equal(connections(t)[0]["queued_bytes"], 0)
    sender = threading.Thread(target=lambda: contextlib.suppress(OSError) and _flood(peer), daemon=True)
    sender.start()
    t.wait(lambda: connections(t)[0]["queued_bytes"] > 0, what="bytes wait for a client that does not read")
    assert connections(t)[0]["queued_bytes"] <= 2 * 64 * 1024
    peer.abort()
    client.abort()


def _flood(peer):
    with contextlib.suppress(OSError):
        for _ in range(1000):
            peer.sock.sendall(peer.frame(TEXT, b"x" * 65536))


def test_admin_readyz_tells_of_a_backend_that_is_down(t):
    app = Listener(t)
    daemon = start(t, f"""
[listen main]
Address=127.0.0.1:0
[route app]
Path=/*
Action=proxy
Backend=app
[backend app]
Address={app.address} unix:{t.tmp}/nobody
HealthCheckInterval=100ms
""")
    equal(ask(t, "/readyz").status, 200)
    app.sock.close()
    t.wait(lambda: ask(t, "/readyz").status == 503, what="readyz is 503")
    equal(text_of(ask(t, "/readyz")), "backend app is down\n")
    equal(ask(t, "/healthz").status, 200)
    status = json.loads(ask(t, "/status").body)
    equal((status["state"], status["reason"]), ("degraded", "backend app is down"))
    equal([(b["backend"], b["address"], b["up"]) for b in status["backends"]],
        [("app", app.address, False), ("app", f"unix:{t.tmp}/nobody", False)])
    again = socket.socket()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("127.0.0.1", int(app.address.rpartition(":")[2])))
    again.listen()
    t.at_end(again.close)
    t.wait(lambda: ask(t, "/readyz").status == 200, what="readyz is 200 again")
    assert daemon.poll() is None


def test_admin_readyz_does_not_wait_for_ever_for_a_backend_without_checks(t):
    """Nobody would send the request that finds the application again."""
    start_daemon = start(t, f"""
[listen main]
Address=127.0.0.1:0
[route app]
Path=/*
Action=proxy
Backend=app
[backend app]
Address=unix:{t.tmp}/nobody
MaxFails=1
FailTimeout=1s
""")
    equal(ask(t, "/readyz").status, 200)
    equal(connect(t, start_daemon.port("main")).request().status, 502)
    equal(ask(t, "/readyz").status, 503)
    t.wait(lambda: ask(t, "/readyz").status == 200, what="its rest is over")


@waits
@tag("tsan")
def test_admin_healthz_hears_of_every_worker(t):
    daemon = start(t, server="Workers=3")
    equal(text_of(ask(t, "/healthz")), "ok\n")
    with stuck(t, daemon.pid, "worker-1"):
        gone = connect(t, socket_of(t))
        gone.send(request_head(target="/healthz"))
        gone.abort()
        response = ask(t, "/healthz")
        equal(response.status, 503)
        waited = int(re.fullmatch(r"worker-1 has not answered for (\d+) ms\n", text_of(response))[1])
        assert 5000 <= waited < 5000 + 3000 * t.factor, response.body
        equal(ask(t, "/readyz").status, 200)
        # who asks then is told at once
        began = time.monotonic()
        for _ in range(5):
            equal(ask(t, "/healthz").status, 503)
        assert time.monotonic() - began < 5, "each of these waited"
    t.wait(lambda: ask(t, "/healthz").status == 200, what="it goes on")
    # many at once wait for the same signs
    kept = [connect(t, socket_of(t)) for _ in range(50)]
    for conn in kept:
        conn.send(request_head(target="/healthz"))
    equal({conn.read_response().status for conn in kept}, {200})


# ---- what it changes


@tag("tsan")
def test_admin_close_sends_1008_and_is_told_in_the_access_log(t):
    backend = Listener(t)
    routes = f"{ROUTES}[route app]\nPath=/app\nAction=forward\nBackend=app\n[backend app]\nAddress={backend.address}\n"
    daemon = start(t, routes, access=True)
    client, peer = relayed(t, daemon.port("main"), backend, "/app")
    other = open_ws(t, daemon.port("main"))
    number = connections(t, "?route=app")[0]["id"]
    equal(post(t, f"/connections/{number}/close"), "closing\n")
    equal(post(t, f"/connections/{number}/close"), "closing already\n")
    equal(client.recv_frame().code, 1008)
    equal(peer.recv_frame().code, 1001)
    client.send_close(1008)
    line = daemon.access()[0]
    equal((line["close_code"], line["closed_by"], line["reason"]), (1008, "gateway", "closed by the administrator"))
    for what in (number, "999999", "1.7", "x"):
        t.wait(lambda what=what: ask(t, f"/connections/{what}/close", "POST").status == 404, what=f"{what} is unknown")
    contains(text_of(ask(t, "/metrics")), 'wsrelayd_closes_total{route="app",code="1008",side="gateway"} 1\n')
    other.text("still here")
    other.expect(TEXT, "still here")
    daemon.wait_log(f"admin: client=unix: POST /connections/{number}/close")


def test_admin_reload_answers_what_test_would_say(t):
    daemon = start(t)
    good = daemon.ini.read_text()
    daemon.ini.write_text(good + "[route more]\nPath=/more\nAction=echo\nKeepAliveTimeout=10s\nKeepAliveInterval=0\n")
    done = t.call("-t", "-c", daemon.ini)
    equal(done.returncode, 0)
    assert done.stderr, "a warning was expected"
    equal(post(t, "/reload"), done.stderr + "reloaded\n")
    open_ws(t, daemon.port("main"), "/more").finish()
    daemon.ini.write_text(good + "[route bad]\nPath=x\nAction=dance\n[rout e]\nKey=1\n")
    done = t.call("-t", "-c", daemon.ini)
    equal(done.returncode, 78)
    assert done.stderr.count("\n") >= 3, done.stderr
    equal(post(t, "/reload", 422), done.stderr + "nothing is changed\n")
    for line in done.stderr.splitlines():
        daemon.wait_log(re.escape(f"reload: {line}"))
    open_ws(t, daemon.port("main"), "/more").finish()


@waits
def test_admin_drain(t):
    daemon = start(t, server="DrainTimeout=4s")
    sockets = [open_ws(t, daemon.port("main")) for _ in range(4)]
    kept = connect(t, socket_of(t))
    equal(kept.request(target="/readyz").status, 200)
    equal(post(t, "/drain", 202), "draining 4 connections\n")
    # the endpoint goes on: on open connections and on new ones
    response = kept.request(target="/readyz")
    equal((response.status, text_of(response)), (503, "draining\n"))
    equal(ask(t, "/healthz").status, 200)
    contains(post(t, "/drain", 202), "draining already")
    contains(post(t, "/reload", 409), "draining")
    equal(json.loads(ask(t, "/status").body)["state"], "draining")
    for ws in sockets:
        ws.expect_close(1001)
        ws.send_close(1001)
        ws.close()
    equal(daemon.wait_end(), 0)
    assert not socket_of(t).exists()


# ---- at size, and abuse


@limit(180)
def test_admin_connections_while_data_flows_and_others_come_and_go(t):
    look_while_data_flows(t, "Workers=2")


@limit(180)
def test_admin_connections_of_a_single_worker_while_data_flows(t):
    """It has the main thread, and the endpoint, for itself."""
    look_while_data_flows(t, "Workers=1")


def look_while_data_flows(t, server):
    """Thousands of WebSockets, with those that stay shown exactly once in each answer."""
    count = 3000 if not t.sanitized else 600
    if not raise_open_files(2 * count + 500):
        count = 300
    daemon = start(t, server=server)
    port = daemon.port("main")
    sockets = [open_ws(t, port, "/other" if i % 3 == 0 else "/ws") for i in range(count)]
    stay = {e["id"] for e in connections(t)}
    equal(len(stay), count)
    done = threading.Event()
    worst = []

    def talk():
        busy = sockets[1]
        while not done.is_set():
            began = time.monotonic()
            busy.text("x" * 100)
            busy.expect(TEXT, "x" * 100)
            worst.append(time.monotonic() - began)

    def come_and_go():
        while not done.is_set():
            ws = open_ws(t, port)
            ws.finish()

    def look():
        try:
            for _ in range(10):
                seen = [e["id"] for e in connections(t)]
                equal(len(seen), len(set(seen)), "each one once")
                assert stay <= set(seen), f"{len(stay - set(seen))} are missing"
            equal(len(connections(t, "?route=other")), (count + 2) // 3)
            # in the middle of an answer the client goes, and one that does not read
            for _ in range(5):
                conn = connect(t, socket_of(t))
                conn.send(request_head(target="/connections"))
                conn.read(1)
                conn.abort()
        finally:
            done.set()

    in_threads(talk, come_and_go, look)
    assert worst, "nothing was said meanwhile"
    assert max(worst) < 2 * t.factor, f"a message took {max(worst):.1f} s"
    t.wait(lambda: ask(t, "/connections").status == 200, what="walks that were given up are over")
    equal(len([e for e in connections(t) if e["id"] in stay]), count)


@limit(120)
def test_admin_clients_that_do_not_read_cost_little(t):
    count = 1500 if not t.sanitized else 400
    if not raise_open_files(2 * count + 500):
        count = 300
    daemon = start(t)
    sockets = [open_ws(t, daemon.port("main")) for _ in range(count)]
    lazy = []
    for _ in range(4):
        conn = connect(t, socket_of(t), receive_buffer=4096)
        conn.sock.settimeout(10 * t.factor)
        conn.send(request_head(target="/connections"))
        conn.read_head()
        lazy.append(conn)
    # all walks that may be are under way, unless the kernel took a whole answer
    with open("/proc/sys/net/core/wmem_default", encoding="ascii") as file:
        taken = int(file.read())
    if count * 230 > taken:
        t.wait(lambda: ask(t, "/connections").status == 503, what="no more walks are begun")
    # they change nothing for who is served, and when they go their places are free
    for ws in (sockets[0], sockets[-1]):
        ws.text("x")
        ws.expect(TEXT, "x")
    for conn in lazy[1:]:
        conn.abort()
    t.wait(lambda: ask(t, "/connections").status == 200, what="places are free again")
    # whoever reads late is told of those that are still there then: nothing was gathered meanwhile
    for ws in sockets:
        ws.abort()
    t.wait(lambda: json.loads(ask(t, "/status").body)["websockets"] == 0, what="all are gone")
    late = json.loads(lazy[0].read_chunked())
    equal(len(late), len({e["id"] for e in late}))
    assert late and (len(late) < count or count * 230 <= taken), f"{len(late)} of {count}"


def end_with_lazy_clients(t, workers, count):
    daemon = start(t, server=f"Workers={workers}")
    sockets = [open_ws(t, daemon.port("main")) for _ in range(count)]
    lazy = []
    for _ in range(4):
        conn = connect(t, socket_of(t), receive_buffer=4096)
        conn.send(request_head(target="/connections"))
        conn.read_head()
        lazy.append(conn)
    # asked again and again: they stand still, and are not only on their way
    for _ in range(20):
        t.wait(lambda: ask(t, "/connections").status == 503, what="no more walks are begun")
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("draining")
    daemon.signal(signal.SIGTERM)
    equal(daemon.wait_end(), 0)
    for conn in (*lazy, *sockets):
        conn.abort()


def test_admin_an_end_finds_clients_that_do_not_read(t):
    # more than the kernel takes of an answer
    count = 3000
    if not raise_open_files(2 * count + 500):
        t.skip("too few open files are allowed")
    for workers in (1, 2):
        end_with_lazy_clients(t, workers, count)


def test_admin_has_room_for_some_connections_only(t):
    daemon = start(t)
    kept = [connect(t, socket_of(t)) for _ in range(64)]
    for conn in kept:
        equal(conn.request(target="/healthz").status, 200)
    equal(ask(t, "/healthz").status, 503)
    for conn in kept[:8]:
        conn.close()
    t.wait(lambda: ask(t, "/healthz").status == 200, what="there is room again")
    open_ws(t, daemon.port("main")).finish()


@waits
def test_admin_requests_have_their_time(t):
    start(t, server="HandshakeTimeout=1s")
    slow = connect(t, socket_of(t))
    slow.send(b"GET /healthz HTTP/1.1\r\nHo")
    equal(slow.read_response().status, 408)
    slow.expect_end()


def test_admin_request_bodies_do_not_matter(t):
    start(t)
    conn = connect(t, socket_of(t))
    equal(conn.request("POST", "/connections/77/close", [("Content-Length", "3")], b"abc").status, 404)
    equal(conn.request(target="/healthz").status, 200)
    response = conn.request("POST", "/reload", [("Content-Length", "3")], b"abc")
    equal((response.status, response.get("Connection")), (200, "close"))  # what it knew of the configuration is old
    conn = connect(t, socket_of(t))
    equal(conn.request("POST", "/reload", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n").status, 200)


@tag("tsan")
def test_admin_daemon_ends_in_the_middle_of_an_answer(t):
    for workers in (1, 3):
        end_in_the_middle_of_an_answer(t, f"Workers={workers}")


def end_in_the_middle_of_an_answer(t, server):
    daemon = start(t, server=server)
    sockets = [open_ws(t, daemon.port("main")) for _ in range(300)]
    lazy = connect(t, socket_of(t), receive_buffer=4096)
    for _ in range(40):
        lazy.send(request_head(target="/connections"))
    lazy.read(1)
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("(?i)drain")
    daemon.signal(signal.SIGTERM)
    equal(daemon.wait_end(), 0)
    equal(len(sockets), 300)
