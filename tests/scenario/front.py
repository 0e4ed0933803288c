"""Listeners and limits: addresses of every kind, a taken port, too many connections, too few file descriptors."""

import contextlib
import functools
import os
import resource
import socket
import stat

from harness import contains, equal, limit, tag, waits
from wire import TEXT, Listener, WebSocket, check_101, connect, handshake_head, open_ws

ECHO = "[route ws]\nPath=/ws\nAction=echo\nKeepAliveInterval=0\n"


def need_ipv6(t):
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError as error:
        t.skip(f"no IPv6 here: {error}")


def echoes(t, where):
    ws = open_ws(t, where)
    ws.text("hello")
    ws.expect(TEXT, "hello")
    return ws


# ---- addresses


def test_front_listens_on_ipv6(t):
    need_ipv6(t)
    daemon = t.daemon(f"[listen six]\nAddress=[::1]:0\n{ECHO}", access=True)
    ws = echoes(t, ("::1", daemon.port("six")))
    ws.finish()
    contains(daemon.access()[0]["client"], "::1")


@tag("tsan")
def test_front_several_addresses_in_a_section_and_several_sections(t):
    need_ipv6(t)
    path = t.tmp / "front.sock"
    ini = f"[listen one]\nAddress=127.0.0.1:0 [::1]:0\nAddress=unix:{path}\n[listen two]\nAddress=127.0.0.1:0\n{ECHO}"
    daemon = t.daemon(ini, access=True)
    four, six = daemon.ports("one")
    places = ((("127.0.0.1", four), "one"), (("::1", six), "one"), (path, "one"), (daemon.port("two"), "two"))
    for where, listener in places:
        echoes(t, where).finish()
        equal(daemon.access()[0]["listener"], listener)
    contains(daemon.addresses("one"), f"unix:{path}")


def test_front_star_is_every_address(t):
    daemon = t.daemon(f"[listen any]\nAddress=*:0\n{ECHO}")
    port = daemon.port("any")
    echoes(t, ("127.0.0.1", port))
    echoes(t, ("127.0.0.2", port))
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        echoes(t, ("::1", port))


def test_front_unix_socket_has_mode_0660_whatever_the_umask(t):
    for mask in (0o000, 0o022, 0o077):
        path = t.tmp / f"mode-{mask:o}.sock"
        t.daemon(f"[listen u]\nAddress=unix:{path}\n{ECHO}", preexec=functools.partial(os.umask, mask))
        equal(oct(stat.S_IMODE(path.stat().st_mode)), "0o660", f"mode with umask {mask:o}")
        echoes(t, path)


def test_front_stale_unix_socket_is_removed(t):
    path = t.tmp / "stale.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    assert path.is_socket()
    first = t.daemon(f"[listen u]\nAddress=unix:{path}\n{ECHO}")
    echoes(t, path).finish()
    # what a killed daemon leaves is stale too
    first.kill()
    t.daemon(f"[listen u]\nAddress=unix:{path}\n{ECHO}")
    echoes(t, path)


def refuses_to_start(t, ini, *words):
    daemon = t.daemon(ini, ready=False)
    daemon.expected_end = 71
    equal(daemon.wait_end(), 71)
    contains(daemon.log, *words)
    return daemon


def test_front_unix_socket_in_use_or_another_file_is_exit_71(t):
    live = Listener(t, "unix")
    path = live.address[len("unix:") :]
    refuses_to_start(t, f"[listen u]\nAddress=unix:{path}\n{ECHO}", path, "listening")
    assert os.path.exists(path)
    connect(t, path)
    live.accept()
    plain = t.tmp / "plain-file"
    plain.write_text("precious\n")
    refuses_to_start(t, f"[listen u]\nAddress=unix:{plain}\n{ECHO}", str(plain))
    equal(plain.read_text(), "precious\n")
    refuses_to_start(t, f"[listen u]\nAddress=unix:{t.tmp}/no/such/folder.sock\n{ECHO}", "no/such/folder.sock")


def test_front_taken_port_is_exit_71_and_says_so(t):
    taken = Listener(t)
    path = t.tmp / "other.sock"
    ini = f"[listen other]\nAddress=unix:{path}\n[listen main]\nAddress={taken.address}\n{ECHO}"
    daemon = refuses_to_start(t, ini, taken.address)
    contains(daemon.log.lower(), "in use")
    # also when it is another wsrelayd that has it
    first = t.daemon(f"[listen main]\nAddress=127.0.0.1:0\n{ECHO}")
    refuses_to_start(t, f"[listen main]\nAddress=127.0.0.1:{first.port('main')}\n{ECHO}", str(first.port("main")))
    echoes(t, first.port("main"))


def test_front_address_that_is_not_ours_is_exit_71(t):
    refuses_to_start(t, f"[listen main]\nAddress=192.0.2.1:8080\n{ECHO}", "192.0.2.1:8080")


# ---- limits


def test_front_max_connections_gives_503_with_retry_after(t):
    ini = f"[server]\nMaxConnections=5\n[listen main]\nAddress=127.0.0.1:0\n{ECHO}"
    daemon = t.daemon(ini, access=True)
    port = daemon.port("main")
    sockets = [echoes(t, port) for _ in range(5)]
    for target in ("/ws", "/nothing"):
        conn = connect(t, port)
        conn.send(handshake_head(target))
        response = conn.read_response()
        equal(response.status, 503)
        assert int(response.get("Retry-After")) > 0
        contains(response.tokens("Connection"), "close")
        conn.expect_end()
        conn.close()
    equal({line["status"] for line in daemon.access(2)}, {503})
    # there is room again when one has gone
    sockets[0].finish()
    sockets[1].abort()
    t.wait(lambda: free(t, port), what="a connection after another has gone")
    for ws in sockets[2:]:
        ws.text("untouched")
        ws.expect(TEXT, "untouched")


def free(t, port, source=None):
    """Whether a handshake is answered by 101 rather than 503."""
    conn = connect_from(t, port, source) if source else connect(t, port)
    conn.send(handshake_head())
    response = conn.read_response()
    conn.close()
    contains((101, 503), response.status)
    return response.status == 101


def connect_from(t, port, source):
    sock = socket.create_connection(("127.0.0.1", port), 10 * t.factor, source_address=(source, 0))
    t.at_end(sock.close)
    return WebSocket(sock)


def test_front_max_connections_per_client(t):
    ini = f"[server]\nMaxConnectionsPerClient=3\n[listen main]\nAddress=127.0.0.1:0\n{ECHO}"
    port = t.daemon(ini).port("main")
    sockets = [echoes(t, port) for _ in range(3)]
    assert not free(t, port)
    other = connect_from(t, port, "127.0.0.2")
    other.send(handshake_head())
    check_101(other.read_response())
    assert not free(t, port)
    sockets[0].finish()
    sockets[0].close()
    t.wait(lambda: free(t, port), what="a connection after another has gone")


def test_front_idle_connections_count_too(t):
    ini = f"[server]\nMaxConnections=3\n[listen main]\nAddress=127.0.0.1:0\n{ECHO}"
    port = t.daemon(ini).port("main")
    idle = [connect(t, port) for _ in range(3)]
    for conn in idle:
        equal(conn.request(target="/nothing").status, 404)
    assert not free(t, port)
    idle[0].close()
    t.wait(lambda: free(t, port), what="a connection after another has gone")


# ---- file descriptors


def test_front_limit_on_open_files_is_raised_to_its_hard_limit(t):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000))

    daemon = t.daemon(f"[listen main]\nAddress=127.0.0.1:0\n{ECHO}", preexec=lower)
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    equal((soft, hard), (1000, 1000))
    sockets = [open_ws(t, daemon.port("main")) for _ in range(300)]
    for ws in sockets:
        ws.text("x")
    for ws in sockets:
        ws.expect(TEXT, "x")


@waits
@limit(90)
def test_front_accept_pauses_without_file_descriptors_and_recovers(t):
    daemon = t.daemon(f"[server]\nMaxConnections=5000\n[listen main]\nAddress=127.0.0.1:0\n{ECHO}")
    port = daemon.port("main")
    echoes(t, port).finish()
    most = daemon.open_files() + 20
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (most, most))
    sockets = []
    for _ in range(60):
        ws = connect(t, port, kind=WebSocket)
        ws.send(handshake_head())
        sockets.append(ws)
    daemon.wait_log(r"(?i)(too many open files|file descriptors|EMFILE|open files)")
    served = [ws for ws in sockets[:10] if check_101(ws.read_response()) is None]
    # it does not spin, and who is served is served
    cpu = daemon.cpu_seconds()
    sockets[-1].expect_silence(2)
    assert daemon.cpu_seconds() - cpu < 1, f"{daemon.cpu_seconds() - cpu} s of processor time while it cannot accept"
    for ws in served:
        ws.text("x")
        ws.expect(TEXT, "x")
    # it says so once in a while, not for each try
    assert daemon.log.count("\n") < 60, "the log is flooded"
    # each that goes makes room for another
    for i, ws in enumerate(sockets[10:], 10):
        sockets[i - 10].close()
        check_101(ws.read_response(timeout=20))
    sockets[-1].text("in the end")
    sockets[-1].expect(TEXT, "in the end")


def test_front_no_file_descriptor_for_a_backend_is_an_answer(t):
    backend = Listener(t)
    ini = f"""
[server]
Workers=1
[listen main]
Address=127.0.0.1:0
[route app]
Path=/app
Action=forward
Backend=app
[backend app]
Address={backend.address}
[route files]
Path=/files/*
Action=static
DocumentRoot={t.tmp}
{ECHO}"""
    (t.tmp / "a.txt").write_text("a")
    daemon = t.daemon(ini)
    port = daemon.port("main")
    conns = [connect(t, port) for _ in range(2)]
    for conn in conns:
        equal(conn.request(target="/nothing").status, 404)
    most = daemon.open_files()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (most, most))
    conns[0].send(handshake_head("/app"))
    status = conns[0].read_response().status
    contains((500, 502, 503), status)
    contains((404, 500, 503), conns[1].request(target="/files/a.txt").status)
    # there is one again
    conns[1].close()
    t.wait(lambda: daemon.open_files() < most, what="a closed connection")
    equal(connect(t, port).request(target="/nothing").status, 404)
