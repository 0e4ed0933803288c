"""Clients that read slowly or not at all over HTTP/1.1, and requests whose body nobody wanted."""

import os
import socket
import threading

import prom
from harness import FACTOR, alone, equal, flavours, wait
from wire import (BINARY, Listener, WebSocket, answer_101, check_101, connect, handshake_head, open_ws,
                  request_head)


def ini(t, backend, listen="", route="/*"):
    return f"""
[listen main]
Address=unix:{t.tmp}/front.sock
{listen}
[route app]
Path={route}
Action=proxy
Backend=app
[backend app]
Address={backend}
"""


def server(t, answer):
    """answer(socket) is called in a thread for each connection; returns the address."""
    path = t.tmp / f"app-{os.urandom(3).hex()}.sock"
    listener = socket.socket(socket.AF_UNIX)
    t.at_end(listener.close)
    listener.bind(str(path))
    listener.listen(64)

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"unix:{path}"


def sends_until_the_end(size):
    """An application that answers with so many bytes, whose end is the connection's."""

    def answer(sock):
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)
        sock.close()

    return answer


def test_slow_a_held_body_is_never_the_next_request(t):
    """The backend refuses while the body waits for it: what waits is dropped as a body, and the connection goes on."""
    daemon = t.daemon(ini(t, f"unix:{t.tmp}/nobody"), access=True)
    client = connect(t, t.tmp / "front.sock")
    smuggled = request_head("GET", "/smuggled")
    for n in range(3):
        client.send(request_head("POST", f"/{n}", [("Content-Length", len(smuggled))]) + smuggled)
        equal(client.read_response().status, 502)
        client.send(request_head("GET", f"/{n}/next"))
        equal(client.read_response().status, 502)
    client.send(request_head("GET", "/last"))
    equal(client.read_response().status, 502)
    equal([line["path"] for line in daemon.access(7)], ["/0", "/0/next", "/1", "/1/next", "/2", "/2/next", "/last"])


def test_slow_a_held_body_with_pipelined_requests_behind_it(t):
    daemon = t.daemon(ini(t, f"unix:{t.tmp}/nobody"), access=True)
    client = connect(t, t.tmp / "front.sock")
    client.send(request_head("POST", "/a", [("Content-Length", 5)]) + b"hello" + request_head("GET", "/b") * 3)
    for _ in range(4):
        equal(client.read_response().status, 502)
    equal([line["path"] for line in daemon.access(4)], ["/a", "/b", "/b", "/b"])


def test_slow_a_body_that_waits_for_continue_may_never_come(t):
    """Refused, a client may leave its body out: nothing behind it is taken for a body, or for a request."""
    daemon = t.daemon(ini(t, f"unix:{t.tmp}/nobody"), access=True)
    client = connect(t, t.tmp / "front.sock")
    client.send(request_head("POST", "/a", [("Content-Length", 5), ("Expect", "100-continue")]))
    response = client.read_response()
    equal((response.status, response.tokens("Connection")), (502, ["close"]))
    client.send_as_far_as_possible(request_head("GET", "/b"))
    client.expect_end()
    client = connect(t, t.tmp / "front.sock")  # one that does not wait has said what it has to say
    client.send(request_head("POST", "/c", [("Content-Length", 5), ("Expect", "100-continue")]) + b"hello")
    equal(client.read_response().tokens("Connection"), [])
    equal(client.request("GET", "/d").status, 502)
    equal([line["path"] for line in daemon.access(3)], ["/a", "/c", "/d"])


def linger_is_over(t):
    """Waits as long as a finished connection is read on, by one that is finished now."""
    other = connect(t, t.tmp / "front.sock")
    other.send(request_head("GET", "/", [("Connection", "close")], host="nobody"))
    other.read_response()

    def refused():
        try:
            other.sock.send(b"x")
        except (BrokenPipeError, ConnectionResetError):
            return True

    wait(refused, what="the end of a connection that lingers")


SIZE = 400_000  # more than a socket takes, less than that and BufferLimit


def test_slow_the_end_of_a_response_waits_for_its_reader(t):
    """Of a body that ends with its connection nobody can tell that the end is missing."""
    other = "[route other]\nHost=nobody\nPath=/\nAction=echo\n"
    daemon = t.daemon(ini(t, server(t, sends_until_the_end(SIZE))) + other, access=True)
    clients = []
    for head in (b"GET / HTTP/1.0\r\nHost: app\r\n\r\n", request_head("GET", "/", [("Connection", "close")], host="app")):
        clients.append(connect(t, t.tmp / "front.sock"))
        clients[-1].send(head)
    equal([line["status"] for line in daemon.access(2)], [200, 200])
    linger_is_over(t)
    for client in clients:
        response = client.read_response()
        equal((response.status, len(response.body)), (200, SIZE))
        client.expect_end(reset=False)


def test_slow_a_reader_that_never_reads_is_dropped(t):
    daemon = t.daemon(ini(t, server(t, sends_until_the_end(SIZE)), listen="IdleConnectionTimeout=1s"), access=True)
    before = daemon.open_files()
    for head in (b"GET / HTTP/1.0\r\n\r\n", request_head("GET", "/"), request_head("GET", "/") * 3):
        client = connect(t, t.tmp / "front.sock")
        client.send(head)
        equal(daemon.access(1)[0]["status"], 200)
        wait(lambda: daemon.open_files() <= before, timeout=20, what="the end of the connection")
        assert len(client.read_all()) < SIZE
    equal(daemon.access(0), [])


def test_slow_tiny_chunks_are_put_together(t):
    """A chunk of a byte costs no call to the kernel of its own, in either direction."""
    tiny, body = b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", b"x" * 1000
    seen = []

    def answer(sock):
        app = WebSocket(sock, client=False)
        head = app.read_head()
        equal(head.get("Transfer-Encoding"), "chunked")
        raw = b""
        while not raw.endswith(b"\r\n0\r\n\r\n"):
            raw += app.read(1)
        seen.append(raw)
        app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny)

    t.daemon(ini(t, server(t, answer)))
    client = connect(t, t.tmp / "front.sock")
    client.send(request_head("POST", "/", [("Transfer-Encoding", "chunked")]) + tiny)
    raw = client.read_until(b"\r\n\r\n") + client.read_until(b"\r\n0\r\n\r\n")
    for chunks in (seen[0], raw.partition(b"\r\n\r\n")[2]):
        equal(chunks.count(b"x"), len(body))
        assert chunks.count(b"\r\n") < 50, f"{chunks[:100]!r}"


def test_slow_a_websocket_reads_what_it_was_sent_before_its_close(t):
    """The client's Close has come, and what it is to read first is still here: it has CloseTimeout for that."""
    daemon = t.daemon(
        f"[listen main]\nAddress=unix:{t.tmp}/front.sock\n[websocket]\nCloseTimeout=60s\nBufferLimit=2M\n"
        "[route ws]\nPath=/ws\nAction=echo\n[route other]\nHost=nobody\nPath=/*\nAction=echo\n",
        access=True,
    )
    client = open_ws(t, t.tmp / "front.sock")
    client.binary(bytes(SIZE))
    client.send_close()
    equal(daemon.access()[0]["close_code"], 1000)
    linger_is_over(t)
    client.expect_message(BINARY, bytes(SIZE))
    client.expect_close(1000)
    client.expect_end()


def test_slow_a_close_behind_much_waits_for_a_client_that_goes_on_reading(t):
    """CloseTimeout is over while more waits than the kernel takes: it goes out to who has taken some of it."""
    listener, size = Listener(t, "unix"), 4 << 20
    daemon = t.daemon(
        f"[server]\nAdminAddress=unix:{t.tmp}/admin.sock\n"
        f"[listen main]\nAddress=unix:{t.tmp}/front.sock\n[websocket]\nCloseTimeout=2s\nBufferLimit=16M\n"
        f"[route ws]\nPath=/ws\nAction=forward\nBackend=app\n[backend app]\nAddress={listener.address}\n",
        access=True,
    )

    def metric(name):
        return prom.Scrape(connect(t, t.tmp / "admin.sock").request(target="/metrics").body.decode()).sum(name)

    for reads in (True, False):
        client = connect(t, t.tmp / "front.sock", kind=WebSocket)
        client.send(handshake_head("/ws"))
        app = listener.accept_request()
        answer_101(app)
        check_101(client.read_response())
        app.binary(bytes(size))
        wait(lambda: metric("wsrelayd_messages_total") == 2 - reads, what="the message waits")
        before = metric("wsrelayd_queued_bytes")
        app.send_close(1000, "done")
        wait(lambda: metric("wsrelayd_queued_bytes") > before, what="the Close waits behind it")
        got = client.read(size // 4) if reads else b""
        assert metric("wsrelayd_queued_bytes") > size // 4
        equal(daemon.access()[-1]["close_code"], 1000)  # its end, for the gateway
        got += client.read_all()
        equal(len(got) == 10 + size + 8, reads, f"{len(got)} bytes came")
        equal(got.endswith(b"\x03\xe8done"), reads)


def test_slow_a_close_that_is_on_its_way_is_not_taken_back(t):
    """The application says a lot and closes; the client takes longer to read it than its Close is waited for."""
    listener = Listener(t, "unix")
    daemon = t.daemon(
        "[listen main]\nAddress=127.0.0.1:0\n[websocket]\nCloseTimeout=1s\n"
        f"[route ws]\nPath=/ws\nAction=forward\nBackend=app\n[backend app]\nAddress={listener.address}\n",
        access=True,
    )
    client = connect(t, daemon.port("main"), receive_buffer=4096, kind=WebSocket)
    client.send(handshake_head("/ws"))
    app = listener.accept_request()
    answer_101(app)
    check_101(client.read_response())
    app.binary(bytes(40_000))
    app.send_close(1000, "done")
    equal(daemon.access()[0]["close_code"], 1000)  # its end, for the gateway
    client.expect_message(BINARY, bytes(40_000))
    client.expect_close(1000, "done")
    client.expect_end(reset=False)


@alone
@flavours("plain")
def test_slow_pipelined_requests_wait_until_their_responses_are_read(t):
    """Who sends requests and reads nothing costs no memory, and gets each response when it reads after all."""
    daemon = t.daemon(ini(t, f"unix:{t.tmp}/nobody", route="/app"))
    client = connect(t, t.tmp / "front.sock")
    before = daemon.rss_kib()
    block, sent = request_head("GET", "/nowhere") * 1000, 0
    client.sock.settimeout(1 * FACTOR)
    try:
        while sent < 64 << 20:
            sent += client.sock.send(block)
    except TimeoutError:
        pass
    assert sent < 16 << 20, sent
    assert daemon.rss_kib() - before < 4096, (before, daemon.rss_kib())
    for _ in range(sent // len(request_head("GET", "/nowhere"))):
        equal(client.read_response().status, 404)
