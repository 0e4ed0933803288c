"""Action=forward: frames and closes between a client and its backend, and real software at both ends."""

import asyncio
import signal

import peers
import wire
from forward import ini
from harness import contains, equal, in_threads, limit, tag
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, frame, handshake_head, open_ws, relayed, status_of


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
