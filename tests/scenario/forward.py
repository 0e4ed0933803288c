"""Action=forward to an http backend: real servers, and a fake one that sees and says every byte."""

import base64
import errno
import select
import socket

import wire
import wire2
from harness import contains, equal, in_threads, waits
from wire import BINARY, PING, TEXT, Listener, WebSocket, answer_101, connect, frame, handshake_head, relayed, status_of


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


def test_forward_426_of_the_backend_keeps_its_upgrade(t):
    """RFC 9110 15.5.22: a 426 has an Upgrade field; over HTTP/2 it cannot (RFC 9113 8.2.2)."""
    backend = Listener(t)
    for action in ("forward", "proxy"):
        port = t.daemon(ini(backend.address, route="").replace("Action=forward", f"Action={action}")).port("main")
        for status, upgrade, expected in (
            (426, "Upgrade: foo/2, websocket\r\nConnection: upgrade, x-hop\r\n", ["foo/2, websocket"]),
            (426, "Connection: x-hop\r\n", []),
            (403, "Upgrade: websocket\r\nConnection: upgrade, x-hop\r\n", []),
        ):
            answer = f"HTTP/1.1 {status} No\r\n{upgrade}X-Hop: 1\r\nContent-Length: 2\r\n\r\nno".encode()
            name = f"{action} {status} {upgrade!r}"
            client = connect(t, port, kind=WebSocket)
            client.send(handshake_head(fields=[("Sec-WebSocket-Protocol", "a")]))
            backend.accept_request().send(answer)
            response = client.read_response()
            equal((response.status, response.body), (status, b"no"), name)
            equal(response.all("Upgrade"), expected, name)
            equal([v.lower() for v in response.all("Connection") if v.lower() != "close"], ["upgrade"] * len(expected), name)
            equal(response.all("X-Hop"), [], name)
            ws = wire2.H2(t, port).begin_ws("/ws")
            backend.accept_request().send(answer)
            ws.wait_headers()
            equal((ws.status, ws.field("upgrade"), ws.field("connection")), (status, None, None), name)


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
