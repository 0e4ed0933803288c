"""What an HTTP/1.1 client gets: RFC 9112's rules for heads, RFC 6455's for handshakes (4.2), the contract's table."""

import select
import time

import wire
from harness import contains, equal, tag
from wire import KEY, TEXT, connect, frame, handshake_head, open_ws, request_head, status_of

INI = """
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
[route sub]
Path=/sub
Action=echo
Subprotocols=chat superchat
"""

FILES = """
[route files]
Path=/files/*
Action=static
DocumentRoot={root}
"""


def with_files(t):
    root = t.tmp / "files"
    root.mkdir()
    (root / "a.txt").write_text("hello\n")
    return INI + FILES.format(root=root)


def refused(t, port, data, status=400, closed=True):
    """Sends these bytes on a connection of their own and checks the response, and that the connection ends."""
    conn = connect(t, port)
    conn.send_as_far_as_possible(data)
    shown = data if len(data) < 400 else data[:400] + b"..."
    try:
        response = conn.read_response()
    except AssertionError as error:
        raise AssertionError(f"{error} after {shown!r}") from None
    allowed = status if isinstance(status, tuple) else (status,)
    assert response.status in allowed, f"got {response.status}, expected {status} for {shown!r}"
    if closed:
        contains(response.tokens("Connection"), "close")
        conn.expect_end()
    return response


# ---- the good handshake


@tag("tsan")
def test_handshake_of_rfc_6455_gets_its_accept_value(t):
    port = t.daemon(INI).port("main")
    conn = open_ws(t, port)
    equal(conn.response.all("Sec-WebSocket-Accept"), [wire.KEY_ACCEPT])
    equal(conn.response.all("Sec-WebSocket-Protocol"), [])
    equal(conn.response.all("Sec-WebSocket-Extensions"), [])
    conn.text("hello")
    conn.expect(TEXT, "hello")
    conn.finish()


def test_handshake_upgrade_and_connection_are_token_lists_without_regard_to_case(t):
    port = t.daemon(INI).port("main")
    for replace, without, fields in (
        ({"Upgrade": "WebSocket"}, (), ()),
        ({"Upgrade": "WEBSOCKET"}, (), ()),
        ({"Upgrade": "foo/1.0, websocket"}, (), ()),
        ({"Upgrade": "websocket,bar"}, (), ()),
        ({"Connection": "keep-alive, Upgrade"}, (), ()),
        ({"Connection": "KEEP-ALIVE,uPGRADE"}, (), ()),
        ({"Connection": "upgrade ,\tkeep-alive"}, (), ()),
        ({"Connection": "keep-alive"}, (), [("connection", "upgrade")]),
        ({}, ("Upgrade",), [("UPGRADE", "websocket")]),
        ({}, ("Sec-WebSocket-Key",), [("sec-websocket-key", KEY)]),
        ({"Sec-WebSocket-Key": f"   {KEY}\t "}, (), ()),
        ({}, ("Sec-WebSocket-Version",), [("SEC-WEBSOCKET-VERSION", "13")]),
    ):
        conn = connect(t, port)
        conn.send(handshake_head("/ws", fields, replace=replace, without=without))
        response = conn.read_response()
        assert response.status == 101, f"{response.status} for {replace} {fields}"
        wire.check_101(response)


def test_handshake_frames_in_the_same_segment_are_not_lost(t):
    port = t.daemon(INI).port("main")
    ws = open_ws(t, port, extra=frame(TEXT, b"one") + frame(TEXT, b"two") + frame(wire.PING, b"p"))
    ws.expect(TEXT, "one")
    ws.expect(TEXT, "two")
    ws.expect(wire.PONG, "p")
    ws.finish()

    # a whole conversation in one segment
    payload = wire.close_payload(1000, "bye")
    ws = open_ws(t, port, extra=frame(TEXT, b"x" * 3000) + frame(wire.CLOSE, payload))
    ws.expect(TEXT, "x" * 3000)
    ws.expect_close(1000, "bye")
    ws.expect_end(reset=False)

    # the first part of a frame only
    whole = frame(TEXT, b"split")
    ws = open_ws(t, port, extra=whole[:4])
    ws.send(whole[4:])
    ws.expect_message(TEXT, "split")


def test_handshake_may_come_byte_by_byte(t):
    port = t.daemon(INI).port("main")
    ws = connect(t, port, kind=wire.WebSocket)
    for byte in handshake_head() + frame(TEXT, b"slow"):
        ws.send(bytes([byte]))
    wire.check_101(ws.read_response())
    ws.expect_message(TEXT, "slow")


def test_handshake_target_forms(t):
    port = t.daemon(INI).port("main")
    for target, host in (
        ("/ws?query=1&x=%20", "localhost"),
        ("/ws?", "localhost"),
        ("http://localhost/ws", "localhost"),
        ("/w%73", "localhost"),
        ("/ws", "[::1]:8080"),
        ("/ws", "xn--bcher-kva.example:443"),
    ):
        response = status_of(t, port, handshake_head(target, host=host))
        assert response.status == 101, f"{response.status} for {target} {host}"


def test_handshake_leading_empty_line_is_passed_over(t):
    # RFC 9112, 2.2: a server SHOULD ignore at least one empty line before the request line
    port = t.daemon(INI).port("main")
    equal(status_of(t, port, b"\r\n" + handshake_head()).status, 101)


# ---- subprotocols and extensions


def test_handshake_chooses_the_first_offered_subprotocol_that_is_configured(t):
    port = t.daemon(INI).port("main")
    for path, offers, chosen in (
        ("/sub", ["chat"], "chat"),
        ("/sub", ["superchat, chat"], "superchat"),
        ("/sub", ["unknown,superchat"], "superchat"),
        ("/sub", ["unknown", "chat"], "chat"),
        ("/sub", ["unknown"], None),
        ("/sub", ["CHAT"], None),
        ("/sub", [], None),
        ("/ws", ["chat"], None),
    ):
        ws = open_ws(t, port, path, [("Sec-WebSocket-Protocol", offer) for offer in offers])
        equal(ws.response.get("Sec-WebSocket-Protocol"), chosen, f"subprotocol for {offers}")


def test_handshake_negotiates_no_extension_that_is_off(t):
    port = t.daemon(INI).port("main")
    for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits, x-unknown; a=1"):
        ws = open_ws(t, port, fields=[("Sec-WebSocket-Extensions", offer)])
        equal(ws.response.all("Sec-WebSocket-Extensions"), [])
        ws.send_frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)
        ws.expect_fail(1002)


# ---- refused, the connection goes on


def test_handshake_without_a_route_gets_404(t):
    port = t.daemon(INI).port("main")
    dots = ("/./ws", "/x/../ws", "/x/%2e%2e/ws", "/ws%00")
    for target in ("/nothing", "/", "/ws/", "/ws/x", "/WS", "//ws", "/ws%2F", *dots):
        response = status_of(t, port, handshake_head(target))
        # a path with a NUL or a dot segment may be bad syntax as well
        allowed = (404, 400) if target in dots else (404,)
        assert response.status in allowed, f"{response.status} for {target}"
    equal(status_of(t, port, request_head(target="/nothing")).status, 404)


def test_handshake_ordinary_request_on_a_websocket_route_gets_426(t):
    port = t.daemon(INI).port("main")
    for data in (
        request_head(target="/ws"),
        request_head("HEAD", "/ws"),
        request_head("DELETE", "/ws"),
        request_head(target="/ws", fields=[("Upgrade", "h2c"), ("Connection", "Upgrade")]),
    ):
        conn = connect(t, port)
        conn.send(data)
        response = conn.read_response(head_only=data.startswith(b"HEAD"))
        equal(response.status, 426, repr(data))
        equal(response.all("Upgrade"), ["websocket"])
        contains(response.tokens("Connection"), "upgrade")  # RFC 9110, 7.8


def test_handshake_without_upgrade_option_or_with_another_method_is_none(t):
    port = t.daemon(INI).port("main")
    for data in (
        handshake_head(without=["Connection"]),
        handshake_head(replace={"Connection": "keep-alive"}),
        handshake_head(replace={"Connection": "upgrades"}),
        handshake_head(without=["Upgrade"]),
        handshake_head(replace={"Upgrade": "websocket2"}),
        handshake_head(replace={"Upgrade": "websocket/13"}),
        handshake_head().replace(b"GET", b"POST", 1),
        handshake_head().replace(b"GET", b"HEAD", 1),
        handshake_head().replace(b"GET", b"get", 1),
        handshake_head().replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    ):
        conn = connect(t, port)
        conn.send(data)
        response = conn.read_response(head_only=b"HEAD" in data)
        assert response.status in (400, 405, 426), f"{response.status} for {data!r}"


def test_handshake_of_another_version_gets_426_with_13(t):
    port = t.daemon(INI).port("main")
    for version in ("8", "0", "14", "12", "130", "13.0", "thirteen", "013"):
        response = status_of(t, port, handshake_head(replace={"Sec-WebSocket-Version": version}))
        equal(response.status, 426, version)
        equal(response.all("Sec-WebSocket-Version"), ["13"])
    response = status_of(t, port, handshake_head(without=["Sec-WebSocket-Version"]))
    contains((400, 426), response.status)


def test_handshake_after_a_refused_one_on_the_same_connection(t):
    # RFC 6455, 4.2.2: the client may try again with a version that the server told it
    port = t.daemon(INI).port("main")
    ws = connect(t, port, kind=wire.WebSocket)
    ws.send(handshake_head(replace={"Sec-WebSocket-Version": "8"}))
    response = ws.read_response()
    equal(response.status, 426)
    if "close" in response.tokens("Connection"):
        ws.expect_end()
        return
    ws.send(handshake_head() + frame(TEXT, b"again"))
    wire.check_101(ws.read_response())
    ws.expect(TEXT, "again")


# ---- 400, closed


def test_handshake_bad_keys_get_400_closed(t):
    port = t.daemon(INI).port("main")
    for key in (
        "",
        "x",
        "AAAAAAAAAAAAAAAAAAAA",  # 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAAA=",  # 17 bytes
        KEY.rstrip("="),
        KEY + "=",
        "dGhlIHNhbXBsZSBub25jZ!==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        KEY + ", " + KEY,
        "A" * 5000,
    ):
        refused(t, port, handshake_head(replace={"Sec-WebSocket-Key": key}))
    refused(t, port, handshake_head(without=["Sec-WebSocket-Key"]))
    refused(t, port, handshake_head(fields=[("Sec-WebSocket-Key", KEY)]))


def test_handshake_host_is_there_once_and_valid(t):
    port = t.daemon(INI).port("main")
    refused(t, port, handshake_head(host=None))
    refused(t, port, handshake_head(fields=[("Host", "localhost")]))
    refused(t, port, handshake_head(fields=[("host", "other")]))
    for host in ("a b", "a/b", "user@host", "a:port", "[::1", "::1", "a?b", "a#b", "a\\b"):
        refused(t, port, handshake_head(host=host))


def test_handshake_bad_syntax_gets_400_closed(t):
    port = t.daemon(INI).port("main")
    good = handshake_head()
    field = b"Upgrade: websocket\r\n"
    for name, data in {
        "obs-fold": good.replace(field, b"X-A: b\r\n c\r\n" + field),
        "obs-fold with tab": good.replace(field, b"X-A: b\r\n\tc\r\n" + field),
        "white space before the first field": good.replace(b"Host:", b" Host:"),
        "white space before the colon": good.replace(b"Upgrade:", b"Upgrade :"),
        "no colon": good.replace(field, field + b"nonsense\r\n"),
        "empty name": good.replace(field, field + b": x\r\n"),
        "name is no token": good.replace(field, field + b"X(a): x\r\n"),
        "bare LF everywhere": good.replace(b"\r\n", b"\n"),
        "one bare LF": good.replace(b"websocket\r\n", b"websocket\n", 1),
        "bare LF after the request line": good.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        "bare LF at the end": good[:-2] + b"\n",
        "bare CR in a value": good.replace(field, field + b"X: a\rb\r\n"),
        "NUL in a value": good.replace(field, field + b"X: a\0b\r\n"),
        "NUL in the target": good.replace(b"/ws", b"/w\0s"),
        "control character in a value": good.replace(field, field + b"X: a\x01b\r\n"),
        "DEL in a name": good.replace(field, field + b"X\x7f: ab\r\n"),
        "no version": good.replace(b" HTTP/1.1", b""),
        "version in small letters": good.replace(b"HTTP/1.1", b"http/1.1"),
        "version with another digit": good.replace(b"HTTP/1.1", b"HTTP/1.12"),
        "two spaces": good.replace(b"GET /ws", b"GET  /ws"),
        "space at the end of the line": good.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        "space in the target": good.replace(b"/ws", b"/w s"),
        "tab for a space": good.replace(b"GET /ws", b"GET\t/ws"),
        "target without slash": good.replace(b"/ws", b"ws"),
        "fragment": good.replace(b"/ws", b"/ws#a"),
        "byte above ASCII in the target": good.replace(b"/ws", b"/w\xc3\xa4"),
        "method is no token": good.replace(b"GET", b"G(T"),
        "bad percent escape": good.replace(b"/ws", b"/ws%zz"),
    }.items():
        try:
            refused(t, port, data)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def test_handshake_garbage_is_answered_or_closed(t):
    daemon = t.daemon(INI)
    port = daemon.port("main")
    client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    for data in (client_hello, b"\0" * 2000, b"\xff" * 2000, b"\r\n" * 2000):
        conn = connect(t, port)
        conn.send_as_far_as_possible(data)
        conn.read_all()  # a response or nothing, but an end
    equal(status_of(t, port, handshake_head()).status, 101)


def test_handshake_other_http_version_is_refused(t):
    port = t.daemon(INI).port("main")
    for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.1", b"HTTP/9.9"):
        refused(t, port, handshake_head().replace(b"HTTP/1.1", version), status=(400, 505))
    # 1.2 is a minor version that we do not know, and RFC 9110, 2.5, says to take it as 1.1; refusing it is safe too
    contains((101, 400, 505), status_of(t, port, handshake_head().replace(b"HTTP/1.1", b"HTTP/1.2")).status)


def test_handshake_ambiguous_body_framing_gets_400_closed(t):
    port = t.daemon(with_files(t)).port("main")
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    for target in ("/files/a.txt", "/ws"):
        for fields, body in (
            ([("Transfer-Encoding", "chunked"), ("Content-Length", "5")], chunks),
            ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], chunks),
            ([("Content-Length", "5"), ("Content-Length", "6")], b"hello!"),
            ([("Content-Length", "5, 6")], b"hello!"),
            ([("Content-Length", "-1")], b""),
            ([("Content-Length", "+5")], b"hello"),
            ([("Content-Length", "0x5")], b"hello"),
            ([("Content-Length", "5 5")], b"hello"),
            ([("Content-Length", "99999999999999999999999")], b"hello"),
            ([("Transfer-Encoding", "chunked, chunked")], chunks),
            ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], chunks),
        ):
            refused(t, port, request_head("POST", target, fields) + body, status=(400, 501))
        smuggled = request_head("GET", target, [("Transfer-Encoding", "chunked")]).replace(b"HTTP/1.1", b"HTTP/1.0")
        refused(t, port, smuggled + chunks)


def test_handshake_with_a_body_gets_400_closed(t):
    port = t.daemon(INI).port("main")
    refused(t, port, handshake_head(fields=[("Content-Length", "5")]) + b"hello")
    refused(t, port, handshake_head(fields=[("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n")


# ---- limits


def test_handshake_target_too_long_gets_414(t):
    port = t.daemon(INI).port("main")
    for size in (20_000, 300_000):
        refused(t, port, handshake_head("/ws?" + "x" * size), status=414)


def test_handshake_head_too_large_gets_431(t):
    port = t.daemon(INI).port("main")
    for size in (100_000, 1_000_000):
        refused(t, port, handshake_head(fields=[("X-Large", "x" * size)]), status=431)
    refused(t, port, handshake_head(fields=[(f"X-{i}", "x") for i in range(1000)]), status=431)
    # a head that never ends is refused too, before it is all there
    refused(t, port, b"GET /ws HTTP/1.1\r\n" + b"X-A: b\r\n" * 100_000, status=431)


def test_handshake_common_head_sizes_are_taken(t):
    port = t.daemon(INI).port("main")
    open_ws(t, port, fields=[("Cookie", "x" * 7000)])
    open_ws(t, port, fields=[(f"X-{i}", "value") for i in range(60)])
    open_ws(t, port, path="/ws?" + "x" * 4000)


def test_handshake_head_not_complete_in_time_gets_408_closed(t):
    port = t.daemon(with_files(t) + "[server]\nHandshakeTimeout=1500ms\n").port("main")
    head = handshake_head()
    began = time.monotonic()
    partial = connect(t, port)
    partial.send(head[:-2])
    silent = connect(t, port)
    dripping = connect(t, port)
    again = connect(t, port)
    equal(again.request(target="/files/a.txt").status, 200)
    again.send(head[:20])

    response = partial.read_response()
    equal(response.status, 408)
    contains(response.tokens("Connection"), "close")
    partial.expect_end()
    assert time.monotonic() - began > 1.4, "ended too early"

    # a byte now and then does not stretch it
    sent = 0
    while not select.select([dripping.sock], [], [], 0.1)[0]:
        assert time.monotonic() - began < 20 * t.factor, "a slow sender is given more time"
        dripping.send_as_far_as_possible(head[sent : sent + 1])
        sent += 1
    equal(dripping.read_response().status, 408)
    dripping.expect_end()

    # the second request of a connection has the same time
    equal(again.read_response().status, 408)
    again.expect_end()

    # who never sent anything is told so or only cut
    said = silent.read_all()
    assert said == b"" or said.startswith(b"HTTP/1.1 408 "), said


def test_handshake_idle_http_connection_is_closed_without_a_word(t):
    ini = with_files(t).replace("[listen main]\n", "[listen main]\nIdleConnectionTimeout=1500ms\n")
    port = t.daemon(ini).port("main")
    conn = connect(t, port)
    equal(conn.request(target="/files/a.txt").status, 200)
    began = time.monotonic()
    conn.expect_end(reset=False)
    assert time.monotonic() - began > 1.2, "ended too early"
    # a WebSocket is no idle HTTP connection
    ws = open_ws(t, port)
    ws.expect_silence(3)
    ws.finish()


# ---- routes


def test_handshake_routes_by_host_then_exact_path_then_longest_prefix(t):
    routes = (
        ("r1", None, "/*"),
        ("r2", None, "/app/*"),
        ("r3", None, "/app/deep/*"),
        ("r4", None, "/app/exact"),
        ("r5", "*.example.com", "/*"),
        ("r6", "app.example.com", "/app/*"),
        ("r7", "*.deep.example.com", "/*"),
        ("r8", "[::1]", "/v6"),
    )
    ini = "[listen main]\nAddress=127.0.0.1:0\n"
    for name, host, path in routes:
        ini += f"[route {name}]\nPath={path}\nAction=echo\nSubprotocols={name}\n" + (f"Host={host}\n" if host else "")
    port = t.daemon(ini).port("main")
    offers = [("Sec-WebSocket-Protocol", ", ".join(name for name, _, _ in routes))]
    for host, path, route in (
        ("localhost", "/", "r1"),
        ("localhost", "/x/y", "r1"),
        ("localhost", "/app", "r1"),
        ("localhost", "/app/", "r2"),
        ("localhost", "/app/deep", "r2"),
        ("localhost", "/app/deep/er", "r3"),
        ("localhost", "/app/exact", "r4"),
        ("localhost", "/app/exact/", "r2"),
        ("localhost", "/app/%65xact", "r4"),
        ("www.example.com", "/app/exact", "r5"),
        ("WWW.Example.COM:8443", "/app/exact", "r5"),
        ("a.b.example.com", "/", "r5"),
        ("example.com", "/", "r1"),
        ("app.example.com", "/app/x", "r6"),
        ("app.example.com", "/other", "r5"),
        ("app.example.com:80", "/app/exact", "r6"),
        ("x.deep.example.com", "/", "r7"),
        ("deep.example.com", "/", "r5"),
        ("notexample.com", "/", "r1"),
        ("[::1]:9000", "/v6", "r8"),
    ):
        ws = open_ws(t, port, path, offers, host=host)
        equal(ws.response.get("Sec-WebSocket-Protocol"), route, f"route of {host} {path}")
