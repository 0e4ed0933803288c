"""Action=forward to an http backend: real servers, and a fake one that sees and says every byte."""

import asyncio
import base64
import errno
import select
import signal
import socket

import peers
import wire
from harness import contains, equal, in_threads, limit, tag, waits
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, WebSocket, answer_101, connect, frame, handshake_head
from wire import open_ws, relayed, status_of


def ini(*addresses, route="", backend="", server=""):
    """A gateway with one route, for every path."""
    lines = "".join(f"Address={address}\n" for address in addresses)
    return f"""
[server]
{server}
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/*
Action=forward
Backend=app
{route}
[backend app]
{lines}{backend}
"""


# ---- real software


@tag("tsan")
def test_forward_to_a_python_server_on_each_kind_of_address(t):
    for kind in ("unix", "abstract", "tcp"):
        server = peers.PythonServer(t, kind=kind, subprotocols=["chat"])
        port = t.daemon(ini(server.address)).port("main")

        async def client():
            async with peers.connect(f"ws://127.0.0.1:{port}/ws?q", subprotocols=["other", "chat"]) as ws:
                equal(ws.subprotocol, "chat")
                for message in ("", "hello", "ü" * 70_000, b"", bytes(range(256)) * 500):
                    await ws.send(message)
                    equal(await ws.recv(), message)
                await ws.send(["frag", "men", "ted"])
                equal(await ws.recv(), "fragmented")
                await (await ws.ping(b"ping"))
                await ws.close(4001, "enough")
                equal(peers.close_of(ws), (4001, "enough"))

        peers.talk(client())


def test_forward_to_a_node_server_by_python_and_node_clients(t):
    peers.need_websockets(t)
    for where in ("unix", "tcp"):
        address, _ = peers.node_server(t, where)
        port = t.daemon(ini(address)).port("main")

        async def client():
            async with peers.connect(f"ws://127.0.0.1:{port}/a/b?c=d", headers={"Cookie": "x=1"}) as ws:
                await ws.send("who")
                contains(await ws.recv(), '"url":"/a/b?c=d"', '"cookie":"x=1"', '"x-forwarded-for":"127.0.0.1"')
                await ws.send("close 4002 by the server")
                await ws.wait_closed()
                equal(peers.close_of(ws), (4002, "by the server"))

        peers.talk(client())
        found = peers.node_client(t, f"ws://127.0.0.1:{port}/x", "one", "two")
        equal((found["status"], found["pongs"], found["code"], found["reason"]), (101, 1, 4000, "done"))
        equal(found["protocol"], "one")
        assert found["echoed"] == 17, found


def test_forward_echo_route_by_python_and_node_clients(t):
    peers.need_websockets(t)
    echo = "[listen main]\nAddress=127.0.0.1:0\n[route e]\nPath=/*\nAction=echo\nSubprotocols=b\n"
    port = t.daemon(echo).port("main")

    async def client():
        async with peers.connect(f"ws://127.0.0.1:{port}/x", subprotocols=["a", "b"]) as ws:
            equal(ws.subprotocol, "b")
            for message in ("hello", bytes(1 << 20)):
                await ws.send(message)
                equal(await ws.recv(), message)
            await ws.close(1000, "ok")
            equal(peers.close_of(ws), (1000, "ok"))

    peers.talk(client())
    found = peers.node_client(t, f"ws://127.0.0.1:{port}/x", "a", "b")
    equal((found["status"], found["pongs"], found["code"], found["reason"]), (101, 1, 4000, "done"))
    equal((found["protocol"], found["extensions"]), ("b", ""))


def test_forward_many_messages_both_ways_at_once(t):
    server = peers.PythonServer(t)
    port = t.daemon(ini(server.address)).port("main")
    count = 300 if t.sanitized else 2000

    async def client():
        async with peers.connect(f"ws://127.0.0.1:{port}/") as ws:

            async def send():
                for i in range(count):
                    await ws.send(f"{i} " + "x" * (i * 37 % 3000))

            sending = asyncio.ensure_future(send())
            for i in range(count):
                equal((await ws.recv()).split()[0], str(i))
            await sending

    peers.talk(client())


# ---- the handshake toward the backend


def test_forward_request_is_exactly_what_the_client_asked(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    fields = [
        ("Origin", "https://app.example.com"),
        ("Cookie", "a=1; b=2"),
        ("Cookie", "c=3"),
        ("Authorization", "Bearer abc"),
        ("User-Agent", "test/1.0 (äö)"),
        ("X-Custom", 'quoted "value"; p=1'),
        ("X-Empty", ""),
        ("Accept-Language", "de"),
        # what a client may not say of itself
        ("X-Forwarded-For", "10.9.8.7"),
        ("x-forwarded-for", "10.9.8.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Real-IP", "10.9.8.5"),
        ("Forwarded", "for=10.9.8.4"),
        # from hop to hop
        ("Connection", "X-Hop, keep-alive"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    ]
    target = "/ws/%7Euser//a%2Fb;p=1/?x=1&y=%20+[]&z=/../'"
    client = connect(t, port)
    client.send(handshake_head(target, fields, host="App.example.com:8443"))
    head = backend.accept_request().request_head
    equal(head.line, f"GET {target} HTTP/1.1")
    expected = {
        "host": ["App.example.com:8443"],
        "upgrade": ["websocket"],
        "connection": ["upgrade"],
        "sec-websocket-version": ["13"],
        "origin": ["https://app.example.com"],
        "authorization": ["Bearer abc"],
        "user-agent": ["test/1.0 (äö)"],
        "x-custom": ['quoted "value"; p=1'],
        "x-empty": [""],
        "accept-language": ["de"],
        "x-forwarded-for": ["127.0.0.1"],
        "x-forwarded-proto": ["http"],
        "x-forwarded-host": ["App.example.com:8443"],
        "x-real-ip": ["127.0.0.1"],
    }
    got = {}
    for name, value in head.fields:
        got.setdefault(name.lower(), []).append(value)
    got["connection"] = [value.lower() for value in got["connection"]]
    key = got.pop("sec-websocket-key")
    equal(len(key), 1, "keys")
    equal(len(base64.b64decode(key[0], validate=True)), 16, "bytes of the key")
    assert key[0] != wire.KEY, "the client's key was passed on"
    contains((["a=1; b=2", "c=3"], ["a=1; b=2; c=3"]), got.pop("cookie"))  # RFC 9113, 8.2.3 would join them so
    equal(got, expected)


def test_forward_each_backend_connection_has_a_fresh_key(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    keys = set()
    for _ in range(20):
        _, app = relayed(t, port, backend)
        keys.add(app.request_head.get("Sec-WebSocket-Key"))
    equal(len(keys), 20)


def test_forward_target_in_absolute_form_becomes_a_path(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client = connect(t, port)
    client.send(handshake_head("http://other.example/ws?x", host="other.example"))
    head = backend.accept_request().request_head
    equal((head.line, head.get("Host")), ("GET /ws?x HTTP/1.1", "other.example"))


def test_forward_forwarded_headers_may_be_off(t):
    sent = [("X-Forwarded-For", "10.9.8.7"), ("X-Real-IP", "10.9.8.7"), ("Forwarded", "for=10.9.8.7")]
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded")
    for mode, expected in (
        ("x-forwarded", [["127.0.0.1"], ["http"], ["app.example.com"], ["127.0.0.1"], []]),
        ("off", [[], [], [], [], []]),
    ):
        backend = Listener(t)
        port = t.daemon(ini(backend.address, backend=f"ForwardedHeaders={mode}")).port("main")
        client = connect(t, port)
        client.send(handshake_head("/ws", sent, host="app.example.com"))
        head = backend.accept_request().request_head
        equal([head.all(name) for name in names], expected, mode)


def test_forward_subprotocols_are_filtered_and_the_backend_chooses(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address, route="Subprotocols=a b c"))
    port = daemon.port("main")
    for offers, seen, chosen in (
        (["x, a, y, c"], ["a", "c"], "c"),
        (["b"], ["b"], "b"),
        (["x", "a", "b"], ["a", "b"], "a"),
        (["a"], ["a"], None),
        (["x, y"], [], None),
        (["A"], [], None),
        ([], [], None),
    ):
        answer = [("Sec-WebSocket-Protocol", chosen)] if chosen else []
        client, app = relayed(t, port, backend, fields=[("Sec-WebSocket-Protocol", o) for o in offers], answer=answer)
        got = app.request_head.get("Sec-WebSocket-Protocol")
        equal([part.strip() for part in got.split(",")] if got is not None else [], seen, f"offers for {offers}")
        equal(client.response.get("Sec-WebSocket-Protocol"), chosen)
    # an empty list passes all of them
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    offer = [("Sec-WebSocket-Protocol", "x, Y.v1")]
    client, app = relayed(t, port, backend, fields=offer, answer=[("Sec-WebSocket-Protocol", "Y.v1")])
    equal([part.strip() for part in app.request_head.get("Sec-WebSocket-Protocol").split(",")], ["x", "Y.v1"])
    equal(client.response.get("Sec-WebSocket-Protocol"), "Y.v1")


def test_forward_nothing_is_sent_before_the_101(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client = connect(t, port, kind=WebSocket)
    client.send(handshake_head() + client.frame(TEXT, "early") + client.frame(BINARY, bytes(20_000)))
    app = backend.accept_request()
    client.ping("early too")
    app.expect_silence(1.5)
    client.expect_silence(0)
    # the backend's first frames may come with its 101
    answer_101(app, extra=frame(TEXT, b"welcome", mask=None))
    app.expect(TEXT, "early")
    app.expect(BINARY, bytes(20_000))
    app.expect(PING, "early too")
    client.response = client.read_response()
    wire.check_101(client.response)
    client.expect(TEXT, "welcome")


def test_forward_client_that_goes_away_before_the_101_ends_the_backends_connection(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address))
    client = connect(t, daemon.port("main"))
    client.send(handshake_head())
    app = backend.accept_request()
    client.abort()
    app.expect_end()


def test_forward_fields_of_the_101_come_through(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    answer = [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2; Path=/"),
        ("X-App", "yes"),
        ("Server", "app/1"),
        ("Wsrelayd-Compression", "off"),
        ("Keep-Alive", "timeout=5"),
    ]
    client, _ = relayed(t, port, backend, answer=answer)
    equal(client.response.all("Set-Cookie"), ["a=1", "b=2; Path=/"])
    equal(client.response.all("X-App"), ["yes"])
    equal(client.response.all("Wsrelayd-Compression"), [])
    equal(client.response.all("Keep-Alive"), [])
    # the accept value is for the client's key, which the backend never saw: relayed() has checked it


def test_forward_interim_responses_before_the_101_are_passed_over(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client = connect(t, port, kind=WebSocket)
    client.send(handshake_head())
    app = backend.accept_request()
    app.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    answer_101(app)
    response = client.read_response()
    while response.status == 103:
        response = client.read_response()
    wire.check_101(response)


def test_forward_accepts_common_spellings_of_a_101(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    for replace in ({"Upgrade": "WebSocket"}, {"Connection": "upgrade"}, {"Connection": "keep-alive, Upgrade"}):
        client = connect(t, port, kind=WebSocket)
        client.send(handshake_head())
        app = backend.accept_request()
        answer_101(app, replace=replace)
        wire.check_101(client.read_response())


def test_forward_every_wrong_101_gives_502(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    port = daemon.port("main")
    accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    deflate = ("Sec-WebSocket-Extensions", "permessage-deflate")

    def wrong(**options):
        def answer(ws):
            answer_101(ws, **options)
            return b""

        return answer

    reasons = []
    for name, answer in {
        "another accept value": wrong(replace={"Sec-WebSocket-Accept": wire.KEY_ACCEPT}),
        "accept in small letters": lambda ws: accept
        + wire.accept_of(ws.request_head.get("Sec-WebSocket-Key")).swapcase()
        + "\r\n\r\n",
        "no accept": wrong(without=["Sec-WebSocket-Accept"]),
        "empty accept": wrong(replace={"Sec-WebSocket-Accept": ""}),
        "no Upgrade": wrong(without=["Upgrade"]),
        "another Upgrade": wrong(replace={"Upgrade": "h2c"}),
        "no Connection": wrong(without=["Connection"]),
        "another Connection": wrong(replace={"Connection": "keep-alive"}),
        "an extension that was not offered": wrong(fields=[deflate]),
        "a subprotocol that was not offered": wrong(fields=[("Sec-WebSocket-Protocol", "chat")]),
        "no HTTP": "garbage\r\n\r\n",
        "another protocol": "SSH-2.0-OpenSSH\r\n",
        "bad status": "HTTP/1.1 abc OK\r\n\r\n",
        "bad field": "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "length and chunked": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "endless head": "HTTP/1.1 200 OK\r\n" + "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 10_000,
        "nothing": b"",
        "half a head": "HTTP/1.1 101 Switching",
        "not switching to HTTP/1.0": wrong(replace={"Connection": "close"}),
    }.items():
        client = connect(t, port, kind=WebSocket)
        client.send(handshake_head())
        app = backend.accept_request()
        data = answer(app) if callable(answer) else answer
        app.send_as_far_as_possible(data)
        if name in ("nothing", "half a head"):
            app.close()
        response = client.read_response()
        assert response.status == 502, f"{response.status} for {name}"
        line = daemon.access()[0]
        equal((line["status"], line["route"]), (502, "ws"), name)
        reasons.append(line["reason"])
        assert line["reason"], f"no reason for {name}"
        app.close()
    # the log tells the checks apart
    assert len(set(reasons[:10])) >= 6, reasons


def test_forward_wrong_subprotocol_among_those_offered_by_filter_gives_502(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address, route="Subprotocols=a")).port("main")
    client = connect(t, port)
    client.send(handshake_head(fields=[("Sec-WebSocket-Protocol", "a, b")]))
    answer_101(backend.accept_request(), [("Sec-WebSocket-Protocol", "b")])
    equal(client.read_response().status, 502)


# ---- the backend answers something else


def test_forward_other_answers_come_through_whole(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    big = b"0123456789abcdef" * 20_000
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"x", big, b"y" * 1000)) + b"0\r\n\r\n"
    for name, head, body, status, expected in (
        ("length", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 6\r\n", b"denied", 401, b"denied"),
        ("no body", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", b"", 404, b""),
        ("large", f"HTTP/1.1 500 Oops\r\nContent-Length: {len(big)}\r\n", big, 500, big),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", chunks, 200, b"x" + big + b"y" * 1000),
        ("until close", "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n", big, 503, big),
        ("HTTP/1.0", "HTTP/1.0 403 Forbidden\r\n", b"go away", 403, b"go away"),
        ("redirect", "HTTP/1.1 302 Found\r\nLocation: /login?x=1\r\nContent-Length: 2\r\n", b"ok", 302, b"ok"),
        ("204", "HTTP/1.1 204 No Content\r\n", b"", 204, b""),
        ("unknown status", "HTTP/1.1 499 Whatever\r\nContent-Length: 1\r\n", b"z", 499, b"z"),
    ):
        own = "X-App: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
        client = connect(t, port, kind=WebSocket)
        client.send(handshake_head())
        app = backend.accept_request()

        def serve():
            app.send(head.encode() + own.encode() + b"\r\n" + body)
            app.close()

        got = []
        in_threads(serve, lambda: got.append(client.read_response()))
        response = got[0]
        equal(response.status, status, name)
        equal(len(response.body), len(expected), f"body of {name}")
        assert response.body == expected, f"body of {name}"
        equal(response.all("X-App"), ["yes"], name)
        equal(response.all("Set-Cookie"), ["a=1", "b=2"], name)
        equal(response.all("X-Hop"), [], name)
        for field, value in (("WWW-Authenticate", "Basic"), ("Retry-After", "7"), ("Location", "/login?x=1")):
            if field in head:
                equal(response.get(field), value)


def test_forward_answer_that_is_cut_is_not_passed_off_as_whole(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    for response in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n",
    ):
        client = connect(t, port, kind=WebSocket)
        client.send(handshake_head())
        app = backend.accept_request()
        app.send(response)
        app.close()
        got = client.read_all()
        head, _, body = got.partition(b"\r\n\r\n")
        if b" 502 " in head.split(b"\r\n")[0]:
            continue
        lower = head.lower()
        whole = (b"transfer-encoding" in lower and body.endswith(b"0\r\n\r\n")) or (
            b"content-length: %d" % len(body) in lower
        )
        framed = b"transfer-encoding" in lower or b"content-length" in lower
        assert framed and not whole, f"the cut answer looks whole: {got!r}"


def test_forward_client_may_go_on_after_another_answer(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client = connect(t, port, kind=WebSocket)
    client.send(handshake_head())
    backend.accept_request().send(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
    response = client.read_response()
    equal((response.status, response.body), (401, b"no"))
    if "close" in response.tokens("Connection"):
        client.expect_end()
        return
    client.send(handshake_head(fields=[("Authorization", "Basic x")]))
    app = backend.accept_request()
    equal(app.request_head.get("Authorization"), "Basic x")
    answer_101(app)
    wire.check_101(client.read_response())


# ---- no backend


def refused_port():
    """A port of this machine where nobody listens: bound, so that nobody else gets it, and not listening."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


def test_forward_backend_that_refuses_gives_502(t):
    held, refusing = refused_port()
    for address in (refusing, f"unix:{t.tmp}/nobody.sock", "unix:@wsrelayd-nobody-is-here"):
        daemon = t.daemon(ini(address), access=True)
        equal(status_of(t, daemon.port("main"), handshake_head()).status, 502, address)
        line = daemon.access()[0]
        assert line["status"] == 502 and line["reason"], line
    held.close()


def test_forward_backend_by_name(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address.replace("127.0.0.1", "localhost"))).port("main")
    client, app = relayed(t, port, backend)
    app.text("hello")
    client.expect(TEXT, "hello")
    # a name that does not exist
    daemon = t.daemon(ini("no-such-host.invalid:80"))
    contains((502, 504), status_of(t, daemon.port("main"), handshake_head()).status)


@waits
def test_forward_silent_backend_gives_504(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address, backend="ResponseTimeout=1500ms"), access=True)
    began = connect(t, daemon.port("main"), kind=WebSocket)
    began.send(handshake_head())
    app = backend.accept_request()
    partial = connect(t, daemon.port("main"), kind=WebSocket)
    partial.send(handshake_head())
    other = backend.accept_request()
    other.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: web")
    began.expect_silence(0.4)
    equal(began.read_response().status, 504)
    equal(partial.read_response().status, 504)
    app.expect_end()
    other.expect_end()
    equal([line["status"] for line in daemon.access(2)], [504, 504])
    # who does answer in time is not ended by that timer
    client, app = relayed(t, daemon.port("main"), backend)
    client.expect_silence(2.5)
    client.text("x")
    app.expect(TEXT, "x")


def fill_backlog(t, listener):
    """Connects until the backlog is full: connect() on a Unix socket says EAGAIN then."""
    path = listener.address[len("unix:") :]
    while True:
        sock = socket.socket(socket.AF_UNIX)
        t.at_end(sock.close)
        sock.setblocking(False)
        code = sock.connect_ex(path)
        if code == errno.EAGAIN:
            return
        equal(code, 0)


@waits
def test_forward_full_backlog_is_waited_for(t):
    backend = Listener(t, "unix", backlog=1)
    fill_backlog(t, backend)
    daemon = t.daemon(ini(backend.address, backend="ConnectTimeout=20s"))
    client = connect(t, daemon.port("main"), kind=WebSocket)
    client.send(handshake_head())
    client.expect_silence(1)
    cpu = daemon.cpu_seconds()
    client.expect_silence(1)
    assert daemon.cpu_seconds() - cpu < 0.5, "it spins while it waits for the backlog"
    accepted = []
    while True:  # those that filled the backlog are silent
        speaking, _, _ = select.select([backend.sock, *[app.sock for app in accepted]], [], [], 10)
        assert speaking, "the gateway did not try again"
        if backend.sock in speaking:
            accepted.append(backend.accept())
        else:
            break
    app = next(app for app in accepted if app.sock in speaking)
    app.request_head = app.read_head()
    answer_101(app)
    wire.check_101(client.read_response())


@waits
def test_forward_full_backlog_gives_504_in_the_end(t):
    backend = Listener(t, "unix", backlog=1)
    fill_backlog(t, backend)
    daemon = t.daemon(ini(backend.address, backend="ConnectTimeout=1500ms"))
    client = connect(t, daemon.port("main"), kind=WebSocket)
    client.send(handshake_head())
    client.expect_silence(0.4)
    contains((502, 503, 504), client.read_response().status)


# ---- frames


def both_ways(client, app):
    return ((client, app), (app, client))


@tag("tsan")
def test_forward_frames_keep_their_boundaries(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client, app = relayed(t, port, backend)
    for source, sink in both_ways(client, app):
        script = [
            (TEXT, b"whole", True),
            (TEXT, b"", True),
            (BINARY, b"", False),
            (CONT, b"part", False),
            (PING, b"in between", True),
            (CONT, b"", False),
            (PONG, b"nobody asked", True),
            (CONT, b"end", True),
            (TEXT, "ä".encode()[:1], False),
            (CONT, "ä".encode()[1:], True),
            (BINARY, b"x" * 125, True),
            (BINARY, b"x" * 126, True),
            (BINARY, b"x" * 65535, True),
            (BINARY, b"x" * 65536, True),
            (BINARY, bytes(range(256)) * 4096, True),
        ]
        data = b"".join(source.frame(opcode, payload, fin=fin) for opcode, payload, fin in script)

        def read():
            for opcode, payload, fin in script:
                got = sink.expect(opcode, payload, fin=fin)
                assert (got.mask is not None) == (sink is app)

        in_threads(lambda: source.send(data), read)
        # byte by byte
        for byte in source.frame(TEXT, "slöw", fin=False) + source.frame(CONT, "er"):
            source.send(bytes([byte]))
        sink.expect(TEXT, "slöw", fin=False)
        sink.expect(CONT, "er")


def test_forward_part_of_a_frame_does_not_wait_for_its_end(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client, app = relayed(t, port, backend)
    whole = client.frame(BINARY, b"y" * 100_000)
    client.send(whole[:50_000])
    first = app.read(10_000)
    client.send(whole[50_000:])
    rest = app.read(len(whole) - 10_000)
    del first, rest
    whole = app.frame(TEXT, b"z" * 100_000)
    app.send(whole[:50_000])
    equal(client.read(10_000), whole[:10_000])
    app.send(whole[50_000:])
    equal(len(client.read(len(whole) - 10_000)), len(whole) - 10_000)


def test_forward_ping_and_pong_pass_end_to_end(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client, app = relayed(t, port, backend)
    for source, sink in both_ways(client, app):
        for payload in (b"", b"x", b"\0" * 125):
            source.ping(payload)
            sink.expect(PING, payload)
            sink.send_frame(PONG, payload)
            source.expect(PONG, payload)
        source.expect_silence(0.2)


# ---- closing


def test_forward_close_passes_with_code_and_reason(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    port = daemon.port("main")
    closes = ((1000, ""), (1001, "away"), (1011, "oops"), (1012, ""), (3000, "x" * 123), (4999, "ü"), (None, ""))
    for code, reason in closes:
        for by_client in (True, False):
            client, app = relayed(t, port, backend)
            source, sink = (client, app) if by_client else (app, client)
            source.send_close(code, reason)
            sink.expect_close(code, reason)
            sink.send_close(code, reason)
            source.expect_close(code, reason)
            client.expect_end(reset=False)
            app.half_close()
            app.expect_end()
            line = daemon.access()[0]
            equal(line["closed_by"], "client" if by_client else "backend")
            equal((line["close_code"] or 1005, line["status"]), (code or 1005, 101))


def test_forward_data_before_a_close_is_not_lost(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    for by_client in (True, False):
        client, app = relayed(t, port, backend)
        source, sink = (client, app) if by_client else (app, client)
        data = b"".join(source.frame(BINARY, bytes([i]) * 50_000) for i in range(20))
        data += source.frame(CLOSE, wire.close_payload(1000, "last"))

        def read():
            for i in range(20):
                sink.expect(BINARY, bytes([i]) * 50_000)
            sink.expect_close(1000, "last")

        in_threads(lambda: source.send(data), read)


def test_forward_backend_that_ends_between_frames_gives_1014(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    port = daemon.port("main")
    for how in ("close", "abort"):
        for in_message in (False, True):
            client, app = relayed(t, port, backend)
            app.send_frame(TEXT, "last words", fin=not in_message)
            client.expect(TEXT, "last words", fin=not in_message)
            getattr(app, how)()
            client.expect_fail(1014)
            line = daemon.access()[0]
            equal((line["close_code"], line["closed_by"]), (1014, "backend"), f"{how} {in_message}")


def test_forward_backend_that_ends_inside_a_frame_ends_the_client_abnormally(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    for how in ("close", "abort"):
        client, app = relayed(t, daemon.port("main"), backend)
        whole = app.frame(TEXT, "x" * 1000)
        app.send(whole[:500])
        client.read(500)
        getattr(app, how)()
        # no Close can be told from payload there
        client.expect_end()
        assert daemon.access()[0]["close_code"] in (None, 1006, 1014)


def test_forward_killed_server_gives_1014_and_others_live_on(t):
    address, process = peers.node_server(t, "unix")
    port = t.daemon(ini(address) + "[route echo]\nPath=/echo\nAction=echo\n").port("main")
    first, second = open_ws(t, port), open_ws(t, port)
    other = open_ws(t, port, "/echo")
    first.text("hello")
    first.expect(TEXT, "hello")
    second.text("unfinished")
    second.expect(TEXT, "unfinished")
    process.send_signal(signal.SIGKILL)
    process.wait()
    first.expect_fail(1014)
    second.expect_fail(1014)
    equal(status_of(t, port, handshake_head()).status, 502)
    other.text("still here")
    other.expect(TEXT, "still here")


def test_forward_client_that_vanishes_closes_the_backend_with_1001(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    port = daemon.port("main")
    for how in ("close", "abort"):
        for in_message in (False, True):
            client, app = relayed(t, port, backend)
            client.send_frame(TEXT, "last words", fin=not in_message)
            app.expect(TEXT, "last words", fin=not in_message)
            getattr(client, how)()
            app.expect_close(1001)
            app.send_as_far_as_possible(app.frame(CLOSE, wire.close_payload(1001)))
            app.expect_end()
            line = daemon.access()[0]
            equal(line["closed_by"], "client", f"{how} {in_message}")
            assert line["close_code"] in (None, 1001, 1006), line
    # inside a frame no Close can be told from payload
    client, app = relayed(t, port, backend)
    client.send(client.frame(BINARY, b"x" * 1000)[:500])
    app.read(500)
    client.abort()
    app.expect_end()


def test_forward_client_that_breaks_the_protocol_gets_its_code_and_the_backend_a_close(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address, route="MaxMessageSize=1000")).port("main")
    for data, code in (
        (frame(0x3, b"x"), 1002),
        (frame(TEXT, b"x", mask=None), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"ok \xc3", fin=False) + frame(CONT, b"\x28"), 1007),
        (frame(BINARY, announce=1001), 1009),
        (frame(BINARY, b"x" * 900, fin=False) + frame(CONT, announce=101), 1009),
        (frame(CLOSE, wire.close_payload(1005)), 1002),
    ):
        client, app = relayed(t, port, backend)
        client.send(data)
        client.expect_fail(code)
        got = app.recv_frame()
        while got.opcode in (TEXT, BINARY, CONT):
            got = app.recv_frame()
        equal(got.opcode, CLOSE)
        assert got.code in (1001, 1002, 1007, 1009), got  # 1000 would be a lie
        app.send_as_far_as_possible(app.frame(CLOSE, got.payload))
        app.expect_end()


def test_forward_bad_utf8_inside_a_frame_ends_the_backend_without_the_rest(t):
    backend = Listener(t)
    port = t.daemon(ini(backend.address)).port("main")
    client, app = relayed(t, port, backend)
    client.send(client.frame(TEXT, b"x" * 500 + b"\xff" + b"y" * 60_000)[:600])
    client.expect_close(1007)
    rest = app.read_all()
    assert len(rest) < 1000, len(rest)


def test_forward_backend_that_breaks_the_protocol_gives_the_client_1014(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    port = daemon.port("main")
    for data, told in (
        (frame(0x3, b"x", mask=None), 1002),
        (frame(TEXT, b"x"), 1002),  # a server masks nothing
        (frame(CONT, b"x", mask=None), 1002),
        (frame(PING, b"x" * 126, mask=None), 1002),
        (frame(TEXT, b"x", mask=None, rsv=4), 1002),
        (frame(BINARY, b"x", mask=None, form=64), 1002),
        (frame(CLOSE, b"\x03", mask=None), 1002),
        (frame(CLOSE, wire.close_payload(1006), mask=None), 1002),
    ):
        client, app = relayed(t, port, backend)
        app.send(data)
        got = client.recv_frame()
        assert got is not None and got.opcode == CLOSE, f"{got} for {data!r}"
        equal(got.code, 1014, repr(data))
        client.send_frame(CLOSE, got.payload)
        client.expect_end()
        app.expect_close(told)
        app.send_as_far_as_possible(app.frame(CLOSE, wire.close_payload(told)))
        app.expect_end()
        equal(daemon.access()[0]["close_code"], 1014)


def test_forward_bad_utf8_of_the_backend_never_reaches_the_client(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address), access=True)
    client, app = relayed(t, daemon.port("main"), backend)
    app.send_frame(TEXT, "good")
    app.send_frame(TEXT, b"\xff\xff")
    client.expect(TEXT, "good")
    client.expect_fail(1014)
    app.expect_close(1007)
    equal(daemon.access()[0]["close_code"], 1014)
    # in a frame that was begun no Close can be told from payload: an end, and nothing of the bad bytes
    client, app = relayed(t, daemon.port("main"), backend)
    whole = app.frame(TEXT, b"x" * 1000 + b"\xff" * 1000)
    app.send(whole[:500])
    equal(client.read(500), whole[:500])
    app.send(whole[500:])
    rest = client.read_all()
    assert b"\xff" not in rest and len(rest) <= 504, rest


@limit(90)
def test_forward_slow_backend_holds_the_client_and_loses_nothing(t):
    backend = Listener(t)
    daemon = t.daemon(ini(backend.address, route="MaxMessageSize=0\nBufferLimit=64K"))
    client, app = relayed(t, daemon.port("main"), backend)
    size = (8 if t.sanitized else 32) << 20
    for source, sink in both_ways(client, app):
        data = source.frame(BINARY, bytes(range(256)) * (size // 256))

        def read():
            got = sink.recv_frame(60)
            equal(len(got.payload), size)
            assert got.payload == bytes(range(256)) * (size // 256)

        in_threads(lambda: source.send(data), read)


def test_forward_forwarded_headers_in_every_form(t):
    sent = [("X-Forwarded-For", "10.9.8.7"), ("Forwarded", "for=10.9.8.7")]
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded")
    element = 'for=127.0.0.1;host="app.example.com:80";proto=http'
    for mode, expected in (
        ("forwarded", [[], [], [element]]),
        ("both", [["127.0.0.1"], ["127.0.0.1"], [element]]),
    ):
        backend = Listener(t)
        port = t.daemon(ini(backend.address, backend=f"ForwardedHeaders={mode}")).port("main")
        client = connect(t, port)
        client.send(handshake_head("/ws", sent, host="app.example.com:80"))
        head = backend.accept_request().request_head
        equal([head.all(name) for name in names], expected, mode)


def test_forward_a_trusted_proxy_tells_who_the_client_is(t):
    """The right-most address that is not trusted; from others nothing is believed."""
    for trusted, fields, client_is, chain in (
        ("127.0.0.0/8 10.0.0.0/8", [("X-Forwarded-For", "6.6.6.6, 198.51.100.1, 10.1.1.1")],
         "198.51.100.1", ["6.6.6.6, 198.51.100.1, 10.1.1.1, 127.0.0.1"]),
        ("127.0.0.1", [("Forwarded", 'for="[2001:db8::7]:80";proto=https')], "2001:db8::7", ["127.0.0.1"]),
        ("127.0.0.1", [], "127.0.0.1", ["127.0.0.1"]),
        ("192.0.2.0/24", [("X-Forwarded-For", "198.51.100.1")], "127.0.0.1", ["127.0.0.1"]),
    ):
        backend = Listener(t)
        text = ini(backend.address).replace("[listen main]\n", f"[listen main]\nTrustedProxies={trusted}\n")
        daemon = t.daemon(text, access=True)
        client = connect(t, daemon.port("main"))
        client.send(handshake_head("/ws", fields, host="app.example.com"))
        conn = backend.accept_request()
        equal(conn.request_head.all("X-Real-IP"), [client_is], str(fields))
        equal(conn.request_head.all("X-Forwarded-For"), chain, str(fields))
        client.close()
        conn.close()
        equal(daemon.access()[0]["client"], client_is)
