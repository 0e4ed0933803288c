"""Compression on an echo route: what is negotiated, and both directions of permessage-deflate (RFC 7692)."""

import itertools
import zlib

import pmd
import wire2
from harness import equal, in_threads, limit, tag
from pmd import CLIENT_ALONE, CLIENT_BITS, NAME, RSV1, SERVER_ALONE, SERVER_BITS, Side, fields, offer
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, connect, handshake_head, open_ws

LISTEN = "[listen main]\nAddress=127.0.0.1:0\n"


def echo(name, *keys, compression="edge"):
    return f"[route {name}]\nPath=/{name}\nAction=echo\nCompression={compression}\n" + "\n".join(keys) + "\n"


def start(t, *keys, **options):
    return t.daemon(LISTEN + echo("ws", *keys), **options).port("main")


def answered(t, port, offers, path="/ws"):
    """What a handshake with these fields is answered; None is nothing."""
    ws = open_ws(t, port, path, fields=fields(*offers))
    got = ws.response.all(pmd.FIELD)
    ws.text("alive")
    ws.expect(TEXT, "alive")
    ws.close()
    assert len(got) <= 1, got
    return got[0] if got else None


def check_table(t, port, rows, path="/ws"):
    for offers, expected in rows:
        offers = [offers] if isinstance(offers, str) else offers
        equal(answered(t, port, offers, path), expected, f"answer to {offers}")


# ---- negotiation


@tag("tsan")
def test_deflate_answers_to_every_kind_of_offer(t):
    rows = [
        ([], None),
        ("", None),
        (",", None),
        (NAME, NAME),
        # RFC 7692, 7.1.1.1: asked for, so granted; 7.1.1.2: a hint, which is taken
        (offer(SERVER_ALONE), offer(SERVER_ALONE)),
        (offer(CLIENT_ALONE), offer(CLIENT_ALONE)),
        (offer(CLIENT_ALONE, SERVER_ALONE), offer(SERVER_ALONE, CLIENT_ALONE)),
        # 7.1.2.1
        *((offer(f"{SERVER_BITS}={n}"), offer(f"{SERVER_BITS}={n}")) for n in range(9, 16)),
        (offer(f"{SERVER_BITS}=8"), None),
        (offer(SERVER_BITS), None),
        # 7.1.2.2
        (offer(CLIENT_BITS), NAME),
        *((offer(f"{CLIENT_BITS}={n}"), offer(f"{CLIENT_BITS}={n}")) for n in range(9, 15)),
        (offer(f"{CLIENT_BITS}=15"), NAME),
        (offer(f"{CLIENT_BITS}=8"), None),
        (offer(f'{SERVER_BITS}="10"', f'{CLIENT_BITS}="1\\1"'), offer(f"{SERVER_BITS}=10", f"{CLIENT_BITS}=11")),
        (f" {NAME} ;\t{SERVER_BITS} = 10 ", offer(f"{SERVER_BITS}=10")),
        # out of range, unknown, repeated, with a value too many: that offer is declined
        *(
            (offer(p), None)
            for name in (SERVER_BITS, CLIENT_BITS)
            for p in (f"{name}=7", f"{name}=16", f"{name}=08", f"{name}=010", f"{name}=x", f"{name}=1e1", f"{name}=-9")
        ),
        (offer(f"{SERVER_ALONE}=1"), None),
        (offer(f"{CLIENT_ALONE}=true"), None),
        (offer("unknown"), None),
        (offer("unknown=5"), None),
        (offer(SERVER_ALONE, SERVER_ALONE), None),
        (offer(CLIENT_ALONE, CLIENT_ALONE), None),
        (offer(f"{SERVER_BITS}=10", f"{SERVER_BITS}=10"), None),
        (offer(CLIENT_BITS, f"{CLIENT_BITS}=10"), None),
        # other extensions
        ("x-webkit-deflate-frame", None),
        ("foo; a=b; c, bar", None),
        (f"foo, {NAME}", NAME),
        # several offers, in one field and over several: the first that will do
        (f"{offer('unknown')}, {offer(f'{SERVER_BITS}=8')}, {offer(SERVER_ALONE)}, {NAME}", offer(SERVER_ALONE)),
        ([offer("unknown"), "foo", offer(f"{SERVER_BITS}=12"), NAME], offer(f"{SERVER_BITS}=12")),
        ([offer(f"{CLIENT_BITS}", f"{SERVER_BITS}=10"), offer(CLIENT_BITS)], offer(f"{SERVER_BITS}=10")),
        (f", ,{NAME},", NAME),
    ]
    port = start(t)
    check_table(t, port, rows)


def test_deflate_bad_grammar_is_400(t):
    port = t.daemon(LISTEN + echo("ws") + echo("off", compression="off")).port("main")
    for bad in (
        ";",
        f"{NAME};",
        f"{NAME}; ;{SERVER_ALONE}",
        f"{NAME} {NAME}",
        f"{NAME}; {SERVER_BITS}=",
        f'{NAME}; {SERVER_BITS}="10',
        f'{NAME}; {SERVER_BITS}=""',
        f'{NAME}; {SERVER_BITS}="1 0"',
        'foo; a="b,c"',
        f"{NAME}; =1",
        f"{NAME}, @",
        f"{NAME}=1",
    ):
        conn = connect(t, port)
        conn.send(handshake_head("/ws", fields(bad)))
        equal(conn.read_response().status, 400, f"status for {bad}")
        conn.expect_end()
        # who does not compress does not look
        equal(answered(t, port, [bad], "/off"), None)


def test_deflate_answers_as_it_is_configured(t):
    ini = LISTEN + echo("alone", "ServerContextTakeover=no", "ClientContextTakeover=no")
    ini += echo("small", "ServerMaxWindowBits=10", "ClientMaxWindowBits=11")
    ini += echo("server", "ServerContextTakeover=no") + echo("client", "ClientContextTakeover=no")
    daemon = t.daemon(ini, access=True)
    port = daemon.port("main")
    check_table(t, port, [(NAME, offer(SERVER_ALONE, CLIENT_ALONE)), (offer("foo"), None)], "/alone")
    check_table(t, port, [(NAME, offer(SERVER_ALONE)), (offer(CLIENT_BITS), offer(SERVER_ALONE))], "/server")
    check_table(t, port, [(NAME, offer(CLIENT_ALONE))], "/client")
    rows = [
        # the client's can only be told when it was offered (RFC 7692, 7.1.2.2)
        (NAME, offer(f"{SERVER_BITS}=10")),
        (offer(CLIENT_BITS), offer(f"{SERVER_BITS}=10", f"{CLIENT_BITS}=11")),
        (offer(f"{CLIENT_BITS}=15", f"{SERVER_BITS}=15"), offer(f"{SERVER_BITS}=10", f"{CLIENT_BITS}=11")),
        (offer(f"{CLIENT_BITS}=9", f"{SERVER_BITS}=9"), offer(f"{SERVER_BITS}=9", f"{CLIENT_BITS}=9")),
    ]
    check_table(t, port, rows, "/small")
    lines = daemon.access(9)
    equal({line["extensions"] for line in lines if line["route"] == "small"}, {row[1] for row in rows})
    equal([line["extensions"] for line in lines if line["route"] == "alone"].count(None), 1)


def test_deflate_off_is_never_negotiated(t):
    daemon = t.daemon(LISTEN + echo("ws", compression="off"), access=True)
    port = daemon.port("main")
    ws = open_ws(t, port, fields=fields(NAME))
    equal(ws.response.all(pmd.FIELD), [])
    ws.text("plain " * 100)
    ws.expect(TEXT, "plain " * 100)
    ws.send_frame(TEXT, Side().deflate("x"), rsv=RSV1)
    ws.expect_fail(1002)
    equal(daemon.access()[0]["extensions"], None)


def test_deflate_negotiated_beside_a_subprotocol(t):
    daemon = t.daemon(LISTEN + echo("ws", "Subprotocols=chat"), access=True)
    ws = open_ws(t, daemon.port("main"), fields=[*fields(NAME), ("Sec-WebSocket-Protocol", "chat")])
    equal((ws.response.get("Sec-WebSocket-Protocol"), ws.response.get(pmd.FIELD)), ("chat", NAME))
    Side().talk(ws, "x" * 1000)
    ws.finish()
    line = daemon.access()[0]
    equal((line["subprotocol"], line["extensions"]), ("chat", NAME))
    equal((line["bytes_in"], line["bytes_out"], line["messages_in"]), (1000, 1000, 1))


# ---- messages


@tag("tsan")
def test_deflate_echo_of_messages_of_many_sizes(t):
    port = start(t, "MaxMessageSize=0", "CompressionMinSize=0")
    for bits, takeover in itertools.product((9, 15), (True, False)):
        offers = [f"{SERVER_BITS}={bits}", f"{CLIENT_BITS}={bits}"] + ([] if takeover else [SERVER_ALONE, CLIENT_ALONE])
        ws = open_ws(t, port, fields=fields(offer(*offers)))
        side = Side(bits, takeover, bits, takeover)
        for size in (0, 1, 125, 126, 1000, 65535, 65536, 70_000, 1_000_000):
            for data, opcode in ((pmd.noise(size), BINARY), (pmd.words(size), TEXT), (bytes(size), BINARY)):
                sent = side.deflate(data)
                in_threads(
                    lambda: ws.send_frame(opcode, sent, rsv=RSV1),  # noqa: B023
                    lambda: side.expect(ws, opcode, data, timeout=30),  # noqa: B023
                )
        ws.finish()


def test_deflate_takeover_by_the_bytes_on_the_wire(t):
    port = start(t)
    message = pmd.noise(2000)
    for alone in (False, True):
        ws = open_ws(t, port, fields=fields(offer(SERVER_ALONE) if alone else NAME))
        side = Side(peer_takeover=not alone)
        sizes = [side.talk(ws, message, BINARY) for _ in range(3)]
        if alone:
            equal(sizes, sizes[:1] * 3)
        assert sizes[0] > 1990
        assert alone or max(sizes[1:]) < 100, sizes
        ws.finish()
    # and the client's: what refers to an earlier message is understood with takeover only
    for alone in (False, True):
        ws = open_ws(t, port, fields=fields(offer(CLIENT_ALONE) if alone else NAME))
        side = Side(peer_takeover=True)
        side.talk(ws, message, BINARY)
        assert len(side.send(ws, BINARY, message)) < 100
        if alone:
            ws.expect_fail(1007)
        else:
            side.expect(ws, BINARY, message)
            ws.finish()


def test_deflate_shared_compressors_do_not_mix_connections(t):
    port = t.daemon("[server]\nWorkers=1\n" + LISTEN + echo("ws")).port("main")
    sockets = []
    for i in range(20):
        alone = [SERVER_ALONE, CLIENT_ALONE] if i % 2 else []
        side = Side(takeover=not alone, peer_takeover=not alone)
        sockets.append((open_ws(t, port, fields=fields(offer(*alone))), side, pmd.words(3000, i)))
    for _ in range(3):
        payloads = [side.deflate(data) for _, side, data in sockets]
        # all messages are open at once
        for (ws, _, _), payload in zip(sockets, payloads):
            ws.send_frame(TEXT, payload[: len(payload) // 2], rsv=RSV1, fin=False)
        for (ws, _, _), payload in zip(sockets, payloads):
            ws.send_frame(CONT, payload[len(payload) // 2 :])
        for ws, side, data in sockets:
            side.expect(ws, TEXT, data)
    for ws, _, _ in sockets:
        ws.finish()


def test_deflate_window_bits_of_both_sides(t):
    port = start(t, "CompressionLevel=9")
    for bits in range(9, 16):
        ws = open_ws(t, port, fields=fields(offer(f"{SERVER_BITS}={bits}", f"{CLIENT_BITS}={bits}")))
        side = Side(bits, peer_bits=bits, level=9)
        # noise that repeats within the window, at its end, and beyond it
        once = pmd.noise(1 << bits)
        for data in (once[: 1 << (bits - 1)] * 2, once * 2, once + pmd.noise(100, 2) + once):
            side.talk(ws, data, BINARY)
        ws.finish()
    # a window that was not agreed on
    ws = open_ws(t, port, fields=fields(offer(f"{CLIENT_BITS}=9")))
    ws.binary(b"")
    ws.expect(BINARY)
    side = Side(15, level=9)
    once = pmd.noise(2000)
    side.send(ws, BINARY, once)
    side.expect(ws, BINARY, once)
    side.send(ws, BINARY, once)
    ws.expect_fail(1007)


def test_deflate_smallest_size_and_level(t):
    text = pmd.words(20_000)
    sizes = {}
    for level in (1, 9):
        port = start(t, f"CompressionLevel={level}", "CompressionMinSize=300", "ServerContextTakeover=no")
        ws = open_ws(t, port, fields=fields(NAME))
        side = Side(peer_takeover=False)
        for size, compressed in ((0, False), (1, False), (299, False), (300, True), (301, True)):
            side.talk(ws, text[:size], compressed=compressed)
            # what comes uncompressed is judged alike, also when it comes in two reads
            ws.text(text[:size])
            side.expect(ws, TEXT, text[:size], compressed)
        whole = ws.frame(TEXT, text[:299])
        ws.send(whole[:100])
        ws.expect(TEXT, text[:92], fin=False)
        ws.send(whole[100:])
        ws.expect(CONT, text[92:299])
        # nobody knows how long a fragmented one will be
        ws.send_frame(TEXT, "a", fin=False)
        ws.send_frame(CONT, "b")
        side.expect(ws, TEXT, "ab")
        sizes[level] = side.talk(ws, text)
        ws.finish()
    assert sizes[9] < 0.97 * sizes[1], sizes


def test_deflate_fragments_pass_as_they_come(t):
    port = start(t, "CompressionMinSize=0")
    ws = open_ws(t, port, fields=fields(NAME))
    side = Side()
    text = pmd.words(500)
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    seen = b""
    inflater = zlib.decompressobj(-15)
    for i in range(10):
        part = deflater.compress(text[i * 50 : i * 50 + 50].encode()) + deflater.flush(zlib.Z_SYNC_FLUSH)
        ws.send_frame(CONT if i else TEXT, part, rsv=0 if i else RSV1, fin=False)
        got = ws.recv_frame()
        equal((got.opcode, got.rsv, got.fin), (CONT if i else TEXT, 0 if i else RSV1, False))
        seen += inflater.decompress(got.payload)
        equal(seen, text[: i * 50 + 50].encode(), "what has come so far")
        ws.ping(f"{i}")
        ws.expect(PONG, f"{i}")
    ws.send_frame(CONT, b"\0")  # RFC 7692, 7.2.3.6
    got = ws.recv_frame()
    equal((got.opcode, got.fin, got.payload), (CONT, True, b"\0"))
    # the same in one read, byte by byte, and with empty frames
    side = Side()
    ws = open_ws(t, port, fields=fields(NAME))
    for _ in range(2):
        payload = side.deflate(text)
        data = ws.frame(TEXT, b"", rsv=RSV1, fin=False)
        for i, byte in enumerate(payload):
            data += ws.frame(CONT, bytes([byte]), fin=False)
            data += ws.frame(PING, b"in between") if i % 50 == 0 else b""
        ws.send(data + ws.frame(CONT, b""))
        got = []
        while not (got and got[-1].fin and got[-1].opcode != PONG):
            got.append(ws.recv_frame())
        equal(sum(f.opcode == PONG for f in got), (len(payload) + 49) // 50)
        equal(side.inflate(b"".join(f.payload for f in got if f.opcode != PONG)), text.encode())
        equal([f.rsv for f in got if f.opcode != PONG][0], RSV1)
        equal({f.rsv for f in got if f.opcode != PONG and f.opcode == CONT} - {0}, set())
    ws.finish()


@tag("tsan")
def test_deflate_message_of_empty_fragments_keeps_its_type(t):
    """Nothing of it goes out before its end: the only frame is its first one, and says what it is."""
    port = start(t, "CompressionMinSize=0")
    ws = open_ws(t, port, fields=fields(NAME))
    side = Side()
    for opcode in (TEXT, BINARY):
        for count in (0, 1, 5):
            data = ws.frame(opcode, b"", fin=False) + ws.frame(CONT, b"", fin=False) * count
            for last in (b"", b"behind"):
                ws.send(data + ws.frame(PING, b"in between") + ws.frame(CONT, last))
                ws.expect(PONG, "in between")
                side.expect(ws, opcode, last)
                side.talk(ws, "after it")
    ws.finish()


def test_deflate_blocks_of_every_kind(t):
    port = start(t, "CompressionMinSize=1M")
    ws = open_ws(t, port, fields=fields(NAME))
    for payload, text in (
        ("f248cdc9c90700", "Hello"),  # RFC 7692, 7.2.3.1
        ("f200110000", "Hello"),  # 7.2.3.2
        ("000500faff48656c6c6f00", "Hello"),  # 7.2.3.3
        ("f348cdc9c9070000", "Hello"),  # 7.2.3.4: BFINAL
        ("f200110000", "Hello"),  # refers to what was before it
        ("f248050000" + "00ffffcac9c90700", "Hello"),  # 7.2.3.5
        ("00", ""),
        ("0200", ""),
        ("01", ""),
    ):
        ws.send_frame(TEXT, bytes.fromhex(payload), rsv=RSV1)
        ws.expect(TEXT, text)
    ws.finish()


def failing(t, port, cases, path="/ws"):
    for name, code, frames in cases:
        ws = open_ws(t, port, path, fields=fields(NAME))
        assert ws.response.get(pmd.FIELD) == NAME
        ws.send_as_far_as_possible(b"".join(ws.frame(opcode, data, **options) for opcode, data, options in frames))
        try:
            ws.expect_fail(code, skip=(TEXT, BINARY, CONT))
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name}: {error}") from None


def test_deflate_errors_of_the_client(t):
    port = t.daemon(LISTEN + echo("ws", "MaxMessageSize=1000", "CompressionMinSize=1M")).port("main")
    hello = Side().deflate("Hello")
    first, alone = {"rsv": RSV1}, {"rsv": RSV1, "fin": False}
    cases = [
        ("RSV1 on a continuation", 1002, [(TEXT, hello[:3], alone), (CONT, hello[3:], first)]),
        ("RSV1 on a PING", 1002, [(PING, b"", first)]),
        ("RSV1 on a Close", 1002, [(CLOSE, b"\x03\xe8", first)]),
        ("RSV2", 1002, [(TEXT, hello, {"rsv": RSV1 | 2})]),
        ("RSV3", 1002, [(TEXT, hello, {"rsv": 1})]),
        ("reserved block type", 1007, [(BINARY, b"\x06", first)]),
        ("bad stored length", 1007, [(BINARY, b"\x00\x01\x00\x00\x00", first)]),
        ("distance before the start", 1007, [(BINARY, bytes.fromhex("f200110000"), first)]),
        ("no data at all", 1007, [(BINARY, b"", first)]),
        ("cut in a block", 1007, [(BINARY, hello[:4], first)]),
        ("plain text with RSV1", 1007, [(TEXT, b"Hello, hello, hello", first)]),
        ("not UTF-8", 1007, [(TEXT, Side().deflate(b"ok \xff"), first)]),
        ("ends within a character", 1007, [(TEXT, Side().deflate(b"ok \xe2\x82"), first)]),
        ("too big", 1009, [(BINARY, Side().deflate(bytes(1001)), first)]),
        ("too big, uncompressed", 1009, [(BINARY, bytes(1001), {})]),
        ("too big in its second frame", 1009, None),
    ]
    big = Side().deflate(pmd.noise(1001))
    cases[-1] = ("too big in its second frame", 1009, [(BINARY, big[:500], alone), (CONT, big[500:], {})])
    failing(t, port, cases)
    # what counts is what comes out
    ws = open_ws(t, port, fields=fields(NAME))
    side = Side()
    assert len(Side().deflate(pmd.noise(1000))) > 1000
    for data in (pmd.noise(1000), bytes(1000)):
        Side().send(ws, BINARY, data)
        ws.expect(BINARY, data)
        ws.send_frame(BINARY, b"", rsv=RSV1, fin=False)
        ws.send(ws.frame(CONT, b"\0\0\0\xff\xff", fin=False) * 1000 + ws.frame(CONT, Side().deflate(data)))
        equal(side.read(ws)[:2], (BINARY, data))
    # a character may be cut by fragments
    payload = Side().deflate("ü€😀" * 20)
    for cut in range(1, len(payload)):
        ws.send_frame(TEXT, payload[:cut], rsv=RSV1, fin=False)
        ws.send_frame(CONT, payload[cut:])
        equal(side.read(ws)[:2], (TEXT, ("ü€😀" * 20).encode()))
        ws.text("x")
        ws.expect(TEXT, "x")
    ws.finish()


def test_deflate_without_utf8_validation(t):
    port = start(t, "ValidateUTF8=no", "CompressionMinSize=0")
    ws = open_ws(t, port, fields=fields(NAME))
    Side().talk(ws, b"\xff\xfe")
    ws.finish()


@tag("tsan")
@limit(120)
def test_deflate_many_connections_at_once(t):
    port = t.daemon("[server]\nWorkers=2\n" + LISTEN + echo("ws")).port("main")

    def talk(number):
        ws = open_ws(t, port, fields=fields(offer(*([SERVER_ALONE] if number % 2 else []), CLIENT_BITS)))
        side = Side(peer_takeover=not number % 2)
        for i in range(30):
            side.talk(ws, pmd.words(50 * i, number), compressed=50 * i >= 256)
        ws.finish()

    in_threads(*(lambda n=n: talk(n) for n in range(20)))


def test_deflate_over_http2(t):
    wire2.need_h2(t)
    daemon = t.daemon(LISTEN + echo("ws"), access=True)
    client = wire2.H2(t, daemon.port("main"))
    plain = client.open_ws("/ws")
    offers = [(pmd.FIELD.lower(), value) for value in (offer("unknown"), offer(CLIENT_BITS))]
    ws = client.open_ws("/ws", fields=offers)
    equal((ws.field("sec-websocket-extensions"), plain.field("sec-websocket-extensions")), (NAME, None))
    side = Side()
    message = pmd.noise(5000)
    sizes = [side.talk(ws, message, BINARY) for _ in range(2)]
    assert sizes[1] < 100 < sizes[0], sizes
    side.talk(ws, pmd.words(300_000))
    plain.text("x" * 1000)
    plain.expect(TEXT, "x" * 1000)
    ws.send_frame(CONT, b"", rsv=RSV1)
    ws.expect_close(1002)
    lines = daemon.access(1)
    equal((lines[0]["http"], lines[0]["extensions"], lines[0]["status"]), ("2", NAME, 200))
