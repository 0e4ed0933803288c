"""wsdial(1): what it sends and prints, how it ends, what it says when something is wrong."""

import json
import os
import signal
import socket
import time

from dialer import ECHO, Running, dial, echo_url, node_h2_server, node_url, python_url, served
from harness import FACTOR, contains, equal, memory_kib, tag, waits
from tls import Authority
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, answer_101, close_payload, frame

REFUSALS = ECHO + "AllowedOrigins=https://app.example\n[route s]\nPath=/sub\nAction=echo\nSubprotocols=chat v2\n"


# ---- what is sent and printed


@tag("tsan")
def test_dial_works_as_a_pipe(t):
    url = echo_url(t)
    dial(t, "-n", 2, url, stdin="a\nb\n").expect(0, "a\nb\n", "^$")
    # without -n the end of the input ends it, and what still comes is printed
    dial(t, url, stdin="a\nb\nc").expect(0, "a\nb\nc\n")
    dial(t, url, stdin="").expect(0, "")
    dial(t, url, stdin="\n\r\n x \n").expect(0, "\n\r\n x \n")


def test_dial_against_real_servers(t):
    for url, more in (
        (python_url(t), []),
        (node_url(t), []),
        (node_url(t, deflate=True), []),
        (f"ws://127.0.0.1:{node_h2_server(t)}/", ["--http2"]),
    ):
        for args in ([], ["--compress"], ["-b"]):
            done = dial(t, "-n", 3, *more, *args, url, stdin="ä\nb\n\n")
            done.expect(0, "äb" if "-b" in args else "ä\nb\n\n")


def test_dial_reads_files_and_dev_null(t):
    url = echo_url(t)
    path = t.tmp / "lines"
    path.write_bytes(b"".join(b"line %d\n" % i for i in range(5000)))
    with open(path, "rb") as lines:
        dial(t, "-n", 5000, url, stdin=lines).expect(0, path.read_bytes())
    with open(os.devnull, "rb") as nothing:
        dial(t, url, stdin=nothing).expect(0, "")
    with open(os.devnull, "rb") as nothing:
        dial(t, "-m", "x", "-n", 1, url, stdin=nothing).expect(0, "x\n")


def test_dial_sends_messages_of_the_command_line(t):
    url = echo_url(t)
    # standard input is not read
    dial(t, "-m", "one", "-m", "", "-m", "zwei ä", url, stdin="no\n").expect(0, "one\n\nzwei ä\n")
    dial(t, "-m", "one", "-n", 1, url, stdin="no\n").expect(0, "one\n")


def test_dial_ends_after_count_messages(t):
    async def chatty(ws):
        for i in range(100):
            await ws.send(f"news {i}")
        await ws.wait_closed()

    url = python_url(t, chatty)
    dial(t, "-n", 3, url).expect(0, "news 0\nnews 1\nnews 2\n")
    # the input is open all the time
    running = Running(t, "-n", 2, url)
    running.end().expect(0, "news 0\nnews 1\n")
    dial(t, "-n", 0, url).expect(0, "")


def test_dial_waits_for_count_after_the_end_of_the_input(t):
    running, server = served(t, "-n", 2)
    running.type("x\n")
    running.eof()
    server.expect(TEXT, "x")
    server.expect_silence(0.3)
    server.text("one")
    server.send_frame(TEXT, "tw", fin=False)
    server.send_frame(CONT, "o")
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(0, "one\ntwo\n")


def test_dial_prints_what_comes_until_the_close(t):
    running, server = served(t)
    running.eof()
    server.expect_close(1000)
    server.text("late")
    server.binary(b"\x00\xff")
    server.send_close(1000)
    server.close()
    running.end().expect(0, b"late\n\x00\xff")


def test_dial_sends_binary_messages(t):
    running, server = served(t, "-b", "-n", 1)
    running.type(b"a\x00\xff\n")
    server.expect(BINARY, b"a\x00\xff")
    server.binary(b"\x01\n\x02")
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(0, b"\x01\n\x02")


def test_dial_masks_each_frame_anew(t):
    running, server = served(t)
    running.type("x\n" * 20)
    masks = {server.expect(TEXT, "x").mask for _ in range(20)}
    assert len(masks) > 15, masks
    server.ping("p")
    masks.add(server.expect(PONG, "p").mask)
    running.eof()
    masks.add(server.expect_close(1000).mask)
    assert len(masks) > 17, masks


def test_dial_large_messages_and_many_of_them(t):
    line = os.urandom(6_000_000 if not t.sanitized else 1_500_000).hex()
    for url, more in ((echo_url(t), []), (f"ws://127.0.0.1:{node_h2_server(t)}/", ["--http2"])):
        done = dial(t, "-n", 2, *more, url, stdin=f"{line}\n{line}\n", timeout=60)
        assert done.status == 0, (done.status, done.err)
        assert done.out == f"{line}\n{line}\n".encode(), len(done.out)
        many = "".join(f"{i} {'x' * (i % 300)}\n" for i in range(20_000 if not t.sanitized else 4_000))
        done = dial(t, *more, url, stdin=many, timeout=60)
        assert done.status == 0, (done.status, done.err)
        assert done.out == many.encode(), len(done.out)


def test_dial_reads_no_faster_than_the_server_takes(t):
    running, server = served(t)
    sent = running.type_as_far_as_possible(b"x" * 1023 + b"\n")
    assert sent < 16 << 20, sent
    if not t.sanitized:
        assert memory_kib(running.pid) < 32 << 10, memory_kib(running.pid)
    running.eof()
    got = 0
    while True:
        one = server.recv_frame()
        if one.opcode == CLOSE:
            break
        got += len(one.payload) + 1
    # a line that was cut is a message all the same
    assert sent <= got <= sent + 1, (sent, got)
    server.send_close(1000)
    server.close()
    running.end().expect(0)


def test_dial_refuses_text_that_is_not_utf8(t):
    url = echo_url(t)
    dial(t, "-n", 2, url, stdin=b"ok\nb\xffad\n").expect(2, None, "line 2 is not UTF-8")
    dial(t, "-b", "-n", 1, url, stdin=b"b\xffad\n").expect(0, b"b\xffad")


# ---- the handshake


def test_dial_sends_fields_origin_and_subprotocols(t):
    url = node_url(t)
    args = ["-H", "Cookie: a=b; c=d", "-H", "X-Twice: 1", "-o", "https://app.example", "-s", "chat", "-s", "v2"]
    who = json.loads(dial(t, *args, "-m", "who", "-n", 1, url).expect(0).out)
    equal(who["url"], "/some/path?a=b")
    headers = who["headers"]
    equal(headers["host"], url.split("/")[2])
    equal(headers["cookie"], "a=b; c=d")
    equal(headers["x-twice"], "1")
    equal(headers["origin"], "https://app.example")
    equal(headers["sec-websocket-protocol"], "chat, v2")
    equal(headers["sec-websocket-version"], "13")
    assert headers["user-agent"].startswith("wsdial/"), headers
    assert "sec-websocket-extensions" not in headers, headers
    args = ["-H", "Host: other.example:81", "-H", "User-Agent: me", "--compress"]
    headers = json.loads(dial(t, *args, "-m", "who", "-n", 1, url).expect(0).out)["headers"]
    equal(headers["host"], "other.example:81")
    equal(headers["user-agent"], "me")
    equal(headers["sec-websocket-extensions"], "permessage-deflate; client_max_window_bits")
    assert "origin" not in headers, headers


def test_dial_tells_a_refusal(t):
    daemon = t.daemon(REFUSALS)
    base = f"ws://127.0.0.1:{daemon.port('main')}"
    dial(t, "-o", "https://evil.example", f"{base}/ws").expect(1, "", "refused: 403 Forbidden")
    dial(t, "-o", "https://app.example", "-m", "x", "-n", 1, f"{base}/ws").expect(0, "x\n")
    dial(t, f"{base}/nowhere").expect(1, "", "refused: 404 Not Found")
    done = dial(t, "-v", f"{base}/nowhere").expect(1, "", r"(?m)^< HTTP/1\.1 404")
    assert "\n| " in done.err, done.err
    dial(t, "--http2", f"{base}/nowhere").expect(1, "", "refused: 404")
    # an ordinary answer to a WebSocket handshake is a refusal, too
    listener = Listener(t)
    running = Running(t, f"ws://{listener.address}/")
    listener.accept_request().send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    running.end().expect(1, "", "refused: 200 OK")


def test_dial_refuses_answers_that_are_no_handshake(t):
    listener = Listener(t)
    chosen = ("Sec-WebSocket-Protocol", "chat")
    deflate = ("Sec-WebSocket-Extensions", "permessage-deflate")
    for args, fields, options, word in (
        ([], [], {"replace": {"Sec-WebSocket-Accept": "x"}}, "Accept is wrong"),
        ([], [], {"without": ("Sec-WebSocket-Accept",)}, "Accept is missing"),
        ([], [], {"replace": {"Upgrade": "h2c"}}, "Upgrade"),
        ([], [], {"without": ("Connection",)}, "Connection"),
        ([], [chosen], {}, "subprotocol"),
        (["-s", "other"], [chosen], {}, "subprotocol"),
        (["-s", "chat"], [chosen, chosen], {}, "subprotocol"),
        ([], [deflate], {}, "extension"),
        (["--compress"], [("Sec-WebSocket-Extensions", "x-other")], {}, "extension"),
        (["--compress"], [deflate, deflate], {}, "extension"),
        (["--compress="], [("Sec-WebSocket-Extensions", f"{deflate[1]}; client_max_window_bits=10")], {}, "extension"),
    ):
        running = Running(t, *args, f"ws://{listener.address}/")
        server = listener.accept_request()
        answer_101(server, fields, **options)
        done = running.end().expect(2, "", word)
        assert "backend" not in done.err, done.err
    for answer in (b"SSH-2.0-x\r\n", b"HTTP/2 200\r\n\r\n", b"", b"HTTP/1.1 101"):
        running = Running(t, f"ws://{listener.address}/")
        server = listener.accept_request()
        server.send(answer)
        server.close()
        running.end().expect(2, "", "server")


def test_dial_subprotocol_of_the_server(t):
    daemon = t.daemon(REFUSALS)
    url = f"ws://127.0.0.1:{daemon.port('main')}/sub"
    done = dial(t, "-v", "-s", "v2", "-s", "x", "-n", 0, url).expect(0)
    contains(done.err, "< Sec-WebSocket-Protocol: v2")
    # none of ours: the server chooses none, which RFC 6455 leaves to the client
    dial(t, "-s", "x", "-n", 0, url).expect(0)


def test_dial_over_ipv6_and_by_name(t):
    port = t.daemon(ECHO).port("main")
    dial(t, "-m", "x", "-n", 1, f"ws://localhost:{port}/ws").expect(0, "x\n")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        t.skip("there is no IPv6")
    port = t.daemon(ECHO.replace("127.0.0.1", "[::1]")).port("main")
    done = dial(t, "-v", "-m", "x", "-n", 1, f"ws://[::1]:{port}/ws").expect(0, "x\n")
    contains(done.err, f"connected to [::1]:{port}", f"> Host: [::1]:{port}")


def test_dial_over_unix_sockets(t):
    path = t.tmp / "gw.sock"
    t.daemon(ECHO.replace("127.0.0.1:0", f"unix:{path}"))
    dial(t, "--unix", path, "-m", "x", "-n", 1, "ws://any.example/ws").expect(0, "x\n")
    dial(t, "--unix", path, "--http2", "-m", "x", "-n", 1, "ws://any.example/ws").expect(0, "x\n")
    dial(t, "--unix", t.tmp / "none", "ws://any.example/ws").expect(2, "", "none: No such file")
    listener = Listener(t, "abstract")
    running = Running(t, "-v", "--unix", listener.address[5:], "-m", "x", "-n", 1, "ws://any.example:81/ws")
    server = listener.accept_request()
    equal(server.request_head.get("Host"), "any.example:81")
    answer_101(server)
    server.expect(TEXT, "x")
    server.text("y")
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(0, "y\n", r"connected to unix:@")


# ---- TLS and HTTP/2


def tls_ini(pair, keys=""):
    return f"[listen main]\nAddress=127.0.0.1:0\nTLS=yes\nCertificate={pair[0]}\nCertificateKey={pair[1]}\n{keys}\n" + (
        "[route ws]\nPath=/ws\nAction=echo\n"
    )


@tag("tsan")
def test_dial_tls_and_alpn(t):
    ca = Authority(t)
    pair = ca.issue("localhost", "127.0.0.1")
    port = t.daemon(tls_ini(pair)).port("main")
    url = f"wss://localhost:{port}/ws"
    trust = ["--cacert", ca.pem]
    for more, http, line in (
        ([], "h2", ":protocol: websocket"),
        (["--http2"], "h2", ":protocol: websocket"),
        (["--http1.1"], "http/1.1", "GET /ws HTTP/1.1"),
    ):
        done = dial(t, "-v", *trust, *more, "-m", "x", "-n", 1, url).expect(0, "x\n")
        contains(done.err, f"ALPN {http}", line, 'certificate "CN=localhost"', "TLSv1.3")
    dial(t, *trust, "-m", "x", "-n", 1, f"wss://127.0.0.1:{port}/ws").expect(0, "x\n")
    dial(t, "-n", 0, url).expect(2, "", "TLS: certificate verify failed")
    dial(t, "-k", "-n", 0, url).expect(0)
    dial(t, "-n", 0, f"ws://localhost:{port}/ws").expect(2)
    # HTTP/2 is not what it chooses
    port = t.daemon(tls_ini(pair, "HTTP2=no")).port("main")
    url = f"wss://localhost:{port}/ws"
    dial(t, *trust, "-m", "x", "-n", 1, url).expect(0, "x\n")
    dial(t, *trust, "--http2", "-n", 0, url).expect(2, "", "application protocol|HTTP/2")


def test_dial_tls_host_is_verified(t):
    ca = Authority(t)
    port = t.daemon(tls_ini(ca.issue("other.example"))).port("main")
    dial(t, "--cacert", ca.pem, "-n", 0, f"wss://127.0.0.1:{port}/ws").expect(2, "", "mismatch")
    dial(t, "--cacert", ca.pem, "-n", 0, f"wss://localhost:{port}/ws").expect(2, "", "mismatch")


def test_dial_tls_client_certificates(t):
    ca = Authority(t)
    keys = f"ClientCertificate=required\nClientCA={ca.pem}"
    port = t.daemon(tls_ini(ca.issue("localhost"), keys)).port("main")
    url = f"wss://localhost:{port}/ws"
    pem, key = ca.issue("me", client=True)
    both = t.tmp / "both.pem"
    both.write_bytes(pem.read_bytes() + key.read_bytes())
    for http in ("--http1.1", "--http2"):
        mine = ["--cacert", ca.pem, http, "-m", "x", "-n", 1]
        dial(t, *mine, "--cert", pem, "--key", key, url).expect(0, "x\n")
        dial(t, *mine, "--cert", both, url).expect(0, "x\n")
        dial(t, *mine, url).expect(2, "", "certificate required")
    _, other = ca.issue("other", client=True)
    dial(t, "--cert", pem, "--key", other, url).expect(64, "", other.name)
    dial(t, "--cacert", t.tmp / "none.pem", url).expect(64, "", "none.pem")


def test_dial_http2_of_node(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    tls, plain = node_h2_server(t, pem, key), node_h2_server(t)
    for args in (
        ["--cacert", ca.pem, f"wss://localhost:{tls}/a?b"],
        ["--cacert", ca.pem, "--http2", f"wss://localhost:{tls}/a?b"],
        ["--http2", f"ws://127.0.0.1:{plain}/a?b"],
    ):
        who = json.loads(dial(t, "-o", "https://o.example", "-s", "chat", "-m", "who", "-n", 1, *args).expect(0).out)
        equal(who[":method"], "CONNECT")
        equal(who[":protocol"], "websocket")
        equal(who[":path"], "/a?b")
        equal(who[":scheme"], args[-1].split(":")[0].replace("ws", "http"))
        equal(who[":authority"], args[-1].split("/")[2])
        equal(who["origin"], "https://o.example")
        equal(who["sec-websocket-version"], "13")
        equal(who["sec-websocket-protocol"], "chat")
        done = dial(t, "-v", *args[:-1], args[-1].replace("/a?b", "/refused"))
        done.expect(1, "", "refused: 403")
        contains(done.err, "< :status: 403", "| not here")
        dial(t, *args, stdin="a\nb\n").expect(0, "a\nb\n")


def test_dial_falls_back_to_http1_where_http2_has_no_websockets(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    port = node_h2_server(t, pem, key, "no-connect")
    args = ["--cacert", ca.pem, "-m", "x", "-n", 1, f"wss://localhost:{port}/"]
    dial(t, "-v", *args).expect(0, "x\n", "trying HTTP/1.1")
    dial(t, "--http2", *args).expect(2, "", "ENABLE_CONNECT_PROTOCOL")


def test_dial_http2_where_there_is_none(t):
    listener = Listener(t)
    running = Running(t, "--http2", f"ws://{listener.address}/")
    server = listener.accept()
    server.read(24)
    server.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    running.end().expect(2, "", "does not speak HTTP/2")


# ---- how it ends


def test_dial_exit_status_is_the_closes(t):
    for code, reason, status in ((1000, "", 0), (1000, "bye", 0), (1001, "", 2), (1008, "no", 2), (4000, "ä", 2)):
        running, server = served(t)
        server.send_close(code, reason)
        server.expect_close(code)
        server.close()
        done = running.end().expect(status)
        if status:
            contains(done.err, f"closed with {code}" + (f' "{reason}"' if reason else ""))
        else:
            equal(done.err, "")
    running, server = served(t)
    server.send_frame(CLOSE)
    server.expect_close(None)
    server.close()
    running.end().expect(0)
    # the answer to our own Close counts as well
    running, server = served(t, "-n", 0)
    server.expect_close(1000)
    server.send_close(4001, "late trouble")
    server.close()
    running.end().expect(2, "", 'closed with 4001 "late trouble"')


def test_dial_server_that_just_leaves(t):
    running, server = served(t)
    server.text("x")
    server.close()
    running.end().expect(2, "x\n", "without a Close")
    running, server = served(t)
    server.text("x")
    equal(running.line(), "x")
    server.abort()
    running.end().expect(2, "", "Connection reset")


def test_dial_server_that_breaks_the_protocol(t):
    for data, code in (
        (frame(TEXT, b"x"), 1002),  # masked
        (frame(3, b"x", mask=None), 1002),
        (frame(TEXT, b"\xff", mask=None), 1007),
        (frame(TEXT, b"x", mask=None, rsv=4), 1002),
        (frame(BINARY, b"", mask=None, announce=65 << 20), 1009),
        (frame(CLOSE, close_payload(1005), mask=None), 1002),
    ):
        running, server = served(t, "-n", 1)
        server.send(data)
        server.expect_close(code)
        server.close()
        running.end().expect(2, "", "protocol|too big")


def test_dial_gives_up_in_time(t):
    silent = Listener(t)
    began = time.monotonic()
    dial(t, "--timeout", "300ms", f"ws://{silent.address}/").expect(2, "", "timeout: no answer to the handshake")
    dial(t, "--timeout", "300ms", "-k", f"wss://{silent.address}/").expect(2, "", "timeout: the TLS handshake")
    dial(t, "--timeout", "300ms", "--http2", f"ws://{silent.address}/").expect(2, "", "timeout: no answer")
    assert time.monotonic() - began > 0.9
    running, server = served(t, "--timeout", "500ms", "-n", 2)
    server.text("one")
    server.expect_close(1000, timeout=20)
    server.send_close(1000)
    server.close()
    running.end().expect(2, "one\n", r"timeout: no message came \(1 so far\)")
    # a Close that does not come
    running, server = served(t, "--timeout", "300ms", "-n", 0)
    server.expect_close(1000)
    running.end().expect(2, "", "timeout: no Close")


@waits
def test_dial_timeout_begins_anew_with_each_message(t):
    limit_s = 4 if t.factor == 1 else 8
    running, server = served(t, "--timeout", f"{limit_s}s", "-n", 4)
    for i in range(4):
        time.sleep(0.35 * limit_s)  # all of them together take longer than the limit
        server.text(str(i))
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(0, "0\n1\n2\n3\n")


def test_dial_cannot_connect(t):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        dial(t, f"ws://127.0.0.1:{port}/").expect(2, "", f"cannot connect to 127.0.0.1 port {port}: Connection refused")
    dial(t, "ws://no-such-host.invalid/").expect(2, "", "does not resolve")


def test_dial_bad_usage(t):
    for args in ([], ["http://x/"], ["ws://x/", "more"], ["--nonsense", "ws://x/"], ["-n", "x", "ws://x/"], ["-m"]):
        dial(t, *args).expect(64, "", "^wsdial: .*\nTry 'wsdial --help'")
    contains(dial(t, "--help").expect(0).out.decode(), "usage: wsdial", "--keepalive-interval")
    contains(dial(t, "-V").expect(0).out.decode(), "wsdial ", "OpenSSL", "nghttp2")


def test_dial_output_that_nobody_reads(t):
    running, server = served(t)
    running.close_output()
    server.text("x")
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(2, None, "standard output: Broken pipe")


def test_dial_signals(t):
    for number in (signal.SIGINT, signal.SIGTERM):
        running, server = served(t)
        running.type("x\n")
        server.expect(TEXT, "x")
        running.signal(number)
        server.expect_close(1000)
        server.text("one more")
        server.send_close(1000)
        server.close()
        running.end().expect(0, "one more\n", "^$")
        # the second one does not wait
        running, server = served(t)
        running.type("x\n")
        server.expect(TEXT, "x")
        running.signal(number)
        server.expect_close(1000)
        running.signal(number)
        running.end().expect(-number)
    listener = Listener(t)
    running = Running(t, f"ws://{listener.address}/")
    listener.accept_request()
    running.signal(signal.SIGINT)
    running.end().expect(-signal.SIGINT)


# ---- keep-alive


@waits
def test_dial_keepalive_pings_and_gives_up(t):
    running, server = served(t, "--keepalive-interval", "1500ms", "--keepalive-timeout", "1s")
    tokens = set()
    for _ in range(2):
        ping = server.recv_frame()
        equal((ping.opcode, len(ping.payload)), (PING, 8))
        tokens.add(ping.payload)
        server.send_frame(PONG, ping.payload)
    equal(len(tokens), 2)
    # what comes puts the next one off, although all of it takes longer than the interval
    for _ in range(5):
        time.sleep(0.4)
        last = time.monotonic()
        server.text("busy")
    equal(server.recv_frame().opcode, PING)
    assert time.monotonic() - last > 1.4, time.monotonic() - last
    server.send_frame(PONG, b"another")
    done = running.end().expect(2, None, "keep-alive timeout")
    assert 2.4 < time.monotonic() - last < 10 * FACTOR, time.monotonic() - last
    equal(done.out, b"busy\n" * 5)
    equal(server.read_all(), b"", "no Close")


@waits
def test_dial_keepalive_unsolicited_pongs(t):
    running, server = served(t, "--keepalive-interval", "300ms")
    for _ in range(3):
        got = server.recv_frame()
        equal((got.opcode, got.payload), (PONG, b""))
    running.eof()
    server.expect_close(1000, skip=(PONG,))
    server.send_close(1000)
    server.close()
    running.end().expect(0)
    running, server = served(t, "--keepalive-timeout", "300ms")
    server.expect_silence(1)


# ---- compression


def test_dial_compresses(t):
    url = python_url(t)
    for offer in (
        "",
        "=",
        "=server_no_context_takeover",
        "=client_no_context_takeover",
        "=server_max_window_bits=9; client_max_window_bits=9",
        "=server_no_context_takeover;client_no_context_takeover;server_max_window_bits=15;client_max_window_bits",
    ):
        lines = "".join(f"{i} all work and no play {'makes ' * (i % 50)}\n" for i in range(60)) + "\n"
        done = dial(t, "-v", f"--compress{offer}", "-n", 61, url, stdin=lines).expect(0, lines)
        contains(done.err, "> frame text fin rsv1", "< frame text fin rsv1", "permessage-deflate")
        done = dial(t, "-v", f"--compress{offer}", "--no-compress", "-n", 61, url, stdin=lines).expect(0, lines)
        assert "> frame text fin rsv1" not in done.err, done.err
        contains(done.err, "> frame text fin length", "< frame text fin rsv1")
    # nobody is forced to
    done = dial(t, "-v", "--compress", "-m", "x", "-n", 1, python_url(t, compression=None)).expect(0, "x\n")
    assert "rsv1" not in done.err, done.err


def test_dial_compresses_with_the_gateway(t):
    lines = "".join(f"{i} all work and no play {'makes ' * (i % 50)}\n" for i in range(60)) + "\n"
    url = echo_url(t, ECHO + "Compression=edge\nCompressionMinSize=1\n")
    for http in ("--http1.1", "--http2"):
        for offer in ("", "=server_no_context_takeover; client_no_context_takeover", "=server_max_window_bits=9"):
            done = dial(t, "-v", http, f"--compress{offer}", "-n", 61, url, stdin=lines).expect(0, lines)
            contains(done.err, "> frame text fin rsv1", "< frame text fin rsv1")
        done = dial(t, "-v", http, "--no-compress", "-n", 61, url, stdin=lines).expect(0, lines)
        assert "> frame text fin rsv1" not in done.err, done.err
        contains(done.err, "< frame text fin rsv1")


def test_dial_compressed_bytes_on_the_wire(t):
    name = "Sec-WebSocket-Extensions"
    deflate = [(name, "permessage-deflate; client_no_context_takeover")]
    for takeover in (True, False):
        running, server = served(t, "--compress", fields=[(name, "permessage-deflate")] if takeover else deflate)
        running.type("hello hello hello\n" * 3)
        got = [server.recv_frame() for _ in range(3)]
        equal({g.rsv for g in got}, {4})
        sizes = [len(g.payload) for g in got]
        assert (sizes[1] < sizes[0]) == takeover, sizes
        # RFC 7692, 7.2.3.1 and a fragmented one with a PING in between
        server.send_frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4)
        server.send_frame(TEXT, bytes.fromhex("f248cd"), rsv=4, fin=False)
        server.ping("x")
        server.send_frame(CONT, bytes.fromhex("c9c90700"))
        server.expect(PONG, "x")
        server.text("plain")
        running.eof()
        server.expect_close(1000)
        server.send_close(1000)
        server.close()
        running.end().expect(0, "Hello\nHello\nplain\n")
    for payload, rsv, code in ((b"\xff\xff\xff", 4, 1007), (b"x", 2, 1002)):
        running, server = served(t, "--compress", fields=deflate)
        server.send_frame(TEXT, payload, rsv=rsv)
        server.expect_close(code)
        server.close()
        running.end().expect(2, "", "broke the protocol")


# ---- -v


def test_dial_shows_what_happens(t):
    running, server = served(t, "-v", "-n", 2)
    running.type("hello\n")
    server.expect(TEXT, "hello")
    server.ping(b"\x00x")
    server.expect(PONG, b"\x00x")
    server.send_frame(BINARY, b"ab", fin=False)
    server.send_frame(CONT, b"c")
    server.text("x")
    server.expect_close(1000)
    server.send_close(1000, 'a "b"')
    server.close()
    lines = running.end().expect(0, b"abcx\n").err.splitlines()
    assert lines[0].startswith("* connected to 127.0.0.1:"), lines
    contains(lines, "> GET /ws HTTP/1.1", "> Upgrade: websocket", "< HTTP/1.1 101 Switching Protocols")
    frames = [line for line in lines if " frame " in line]
    equal(
        frames,
        [
            "> frame text fin length=5",
            "< frame ping fin length=2 payload=\\x00x",
            "> frame pong fin length=2 payload=\\x00x",
            "< frame binary length=2",
            "< frame continuation fin length=1",
            "< frame text fin length=1",
            "> frame close fin length=2 code=1000",
            '< frame close fin length=7 code=1000 reason="a \\x22b\\x22"',
        ],
    )
