"""Conformance with RFC 9113, sections 4 to 8, and RFC 8441, frame by frame, as far as a server can be asked for it.

A row says what is sent on a fresh connection and what has to come of it. Where the RFC lets a stream error be treated as a
connection error (5.4.1), either is taken.
"""

import struct

import wire2
from harness import equal, tag
from http2 import ECHO, ini, static
from wire2 import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Raw,
    raw_frame,
    settings_payload,
)

GET = Raw.block(Raw.GET)
POST = Raw.block([(n, "POST" if n == ":method" else v) for n, v in Raw.GET])
WS = Raw.block(Raw.WS)
BOTH = END_STREAM | END_HEADERS


def get(stream=1, flags=BOTH, block=GET):
    return raw_frame(HEADERS, flags, stream, block)


def post(stream=1, more=()):
    """A request whose body is to come."""
    return raw_frame(HEADERS, END_HEADERS, stream, POST + Raw.block(more))


def u32(*numbers):
    return b"".join(struct.pack(">I", n) for n in numbers)


def fields(*more, without=(), replace=None):
    own = [(n, (replace or {}).get(n, v)) for n, v in Raw.GET if n not in without]
    return get(block=Raw.block([*own, *more]))


# what is expected
def connection(*codes):
    """A connection error with one of these codes; an end without GOAWAY is none."""
    return ("connection", codes)


def stream(*codes):
    """A stream error, or a connection error, with one of these codes."""
    return ("stream", codes)


def malformed():
    """RFC 9113, 8.1.1: a stream error PROTOCOL_ERROR, before which a 400 may be sent."""
    return ("malformed", (PROTOCOL_ERROR,))


def status(*numbers):
    return ("status", numbers)


ALIVE = ("alive", ())


class Outcome:
    def __init__(self, raw):
        self.raw = raw

    def check(self, expected):
        kind, values = expected
        raw = self.raw
        if kind == "alive":
            raw.expect_alive()
        elif kind == "connection":
            raw.expect_goaway(*values)
        elif kind == "status":
            got = raw.recv_kind(HEADERS, RST_STREAM, GOAWAY)
            assert got is not None and got.kind == HEADERS, f"no response but {got}, after {raw.seen}"
            number = int(dict(got.payload)[":status"])
            assert number in values, f"status {number}, expected {values}"
            raw.expect_alive()
        else:
            got = raw.recv_kind(HEADERS, RST_STREAM, GOAWAY)
            if kind == "malformed" and got is not None and got.kind == HEADERS:
                equal(dict(got.payload)[":status"], "400")
                raw.expect_alive()
                return
            while got is not None and got.kind == HEADERS:
                got = raw.recv_kind(HEADERS, RST_STREAM, GOAWAY)
            assert got is not None, f"the connection ended without a word ({raw.ended}), after {raw.seen}"
            code = int.from_bytes(got.payload, "big") if got.kind == RST_STREAM else wire2.goaway_of(got.payload)[1]
            assert code in values, f"{got} with {code}, expected {values}"
            if got.kind == RST_STREAM:
                raw.expect_alive()


def run(t, rows, preface=True):
    """Each row on a connection of its own; all that fail are told."""
    route, folder = static(t)
    (folder / "a.bin").write_bytes(bytes(200_000))
    daemon = t.daemon(ini(ECHO + route))
    failed = []
    for name, data, expected in rows:
        raw = Raw(t, daemon.port("main"), preface=preface)
        try:
            for part in data if isinstance(data, (list, tuple)) else [data]:
                raw.send_as_far_as_possible(part)
                if part.endswith(raw_frame(PING, payload=b"comeback")):
                    while raw.recv_kind(PING).payload != b"comeback":
                        pass
            Outcome(raw).check(expected)
        except (AssertionError, TimeoutError) as error:
            failed.append(f"{name}: {error}")
        raw.close()
    assert not failed, "\n".join(failed)


# ---- 3.4, 4


def test_http2_connection_preface(t):
    magic = wire2.PREFACE
    run(
        t,
        [
            ("3.4 SETTINGS first", magic + raw_frame(SETTINGS), ALIVE),
            ("3.4 SETTINGS with values first", magic + raw_frame(SETTINGS, payload=settings_payload((1, 0))), ALIVE),
            ("3.4 a PING first", magic + raw_frame(PING, payload=bytes(8)), connection(PROTOCOL_ERROR)),
            ("3.4 HEADERS first", magic + get(), connection(PROTOCOL_ERROR)),
            ("3.4 an ACK first", magic + raw_frame(SETTINGS, ACK), connection(PROTOCOL_ERROR)),
            ("3.4 the magic twice", magic + magic + raw_frame(SETTINGS), connection(PROTOCOL_ERROR, FRAME_SIZE_ERROR)),
        ],
        preface=False,
    )


def test_http2_settings_are_acknowledged_in_order(t):
    raw = Raw(t, t.daemon(ini()).port("main"), settings=settings_payload((wire2.MAX_FRAME_SIZE, 20_000)))
    first = raw.recv()
    equal((first.kind, first.flags & ACK), (SETTINGS, 0), "the server's preface")
    equal(raw.recv_kind(SETTINGS).flags, ACK)
    raw.send(raw_frame(SETTINGS) + raw_frame(PING, payload=b"between1") + raw_frame(SETTINGS))
    kinds = []
    while len(kinds) < 3:
        got = raw.recv_kind(SETTINGS, PING)
        equal(got.flags, ACK)
        equal(got.payload, b"" if got.kind == SETTINGS else b"between1")
        kinds.append(got.kind)
    equal(sorted(kinds), [SETTINGS, SETTINGS, PING])


def test_http2_frame_format(t):
    run(
        t,
        [
            ("4.1 unknown type", raw_frame(0x16, 0xFF, 0, b"abc") + get(), status(404)),
            ("4.1 unknown type on a stream", get() + raw_frame(0x16, 0, 1, bytes(8)), status(404)),
            ("4.1 undefined flags", raw_frame(PING, 0x16, 0, bytes(8)), ALIVE),
            ("4.1 undefined flags of HEADERS", get(flags=BOTH | 0x40 | 0x2), status(404)),
            ("4.1 the reserved bit", raw_frame(PING, 0, 0x80000000, bytes(8)), ALIVE),
            ("4.1 the reserved bit of a stream", get(stream=0x80000001), status(404)),
            ("4.2 DATA of 2^14", post() + raw_frame(DATA, END_STREAM, 1, bytes(16384)), status(404)),
            ("4.2 DATA too large", post() + raw_frame(DATA, 0, 1, bytes(16385)), stream(FRAME_SIZE_ERROR)),
            ("4.2 HEADERS too large", raw_frame(HEADERS, BOTH, 1, bytes(16385)), connection(FRAME_SIZE_ERROR)),
            ("4.2 SETTINGS too large", raw_frame(SETTINGS, 0, 0, bytes(6 * 2731)), connection(FRAME_SIZE_ERROR)),
            ("4.2 unknown type too large", raw_frame(0x16, 0, 0, bytes(16385)), connection(FRAME_SIZE_ERROR)),
            ("4.3 HPACK index out of range", get(block=b"\xbf"), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK cut short", get(block=GET[:-1]), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK table size too large", get(block=b"\x3f\xe2\x1f" + GET), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK table size update behind a field", get(block=GET + b"\x20"), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK Huffman with EOS", get(block=GET + b"\0\1x\x84\xff\xff\xff\xff"), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK Huffman padding too long", get(block=GET + b"\0\1x\x82\x07\xff"), connection(COMPRESSION_ERROR)),
            ("4.3 HPACK table size update", get(block=b"\x20" + GET), status(404)),
            ("4.3 PING within a header block", [get(flags=END_STREAM), raw_frame(PING, 0, 0, bytes(8))],
             connection(PROTOCOL_ERROR)),
            ("4.3 another stream's HEADERS within", [get(flags=END_STREAM), get(3)], connection(PROTOCOL_ERROR)),
            ("4.3 unknown type within a header block", [get(flags=END_STREAM), raw_frame(0x16, 0, 0, b"x")],
             connection(PROTOCOL_ERROR)),
            ("4.3 a block in three frames", [raw_frame(HEADERS, END_STREAM, 1, GET[:5]),
             raw_frame(CONTINUATION, 0, 1, GET[5:9]), raw_frame(CONTINUATION, END_HEADERS, 1, GET[9:])], status(404)),
            ("4.3 a block in frames without bytes", [raw_frame(HEADERS, END_STREAM, 1),
             raw_frame(CONTINUATION, 0, 1), raw_frame(CONTINUATION, END_HEADERS, 1, GET)], status(404)),
        ],
    )


# ---- 5


@tag("tsan")
def test_http2_stream_states(t):
    big = Raw.block([(n, "/files/a.bin" if n == ":path" else v) for n, v in Raw.GET])
    closed = get() + raw_frame(PING, payload=b"comeback")
    reset = post() + raw_frame(RST_STREAM, 0, 1, u32(8))
    run(
        t,
        [
            ("5.1 idle: DATA", raw_frame(DATA, END_STREAM, 1, b"x"), connection(PROTOCOL_ERROR)),
            ("5.1 idle: RST_STREAM", raw_frame(RST_STREAM, 0, 1, u32(8)), connection(PROTOCOL_ERROR)),
            ("5.1 idle: WINDOW_UPDATE", raw_frame(WINDOW_UPDATE, 0, 1, u32(100)), connection(PROTOCOL_ERROR)),
            ("5.1 idle: CONTINUATION", raw_frame(CONTINUATION, END_HEADERS, 1, GET), connection(PROTOCOL_ERROR)),
            ("5.1 idle: PRIORITY", raw_frame(PRIORITY, 0, 1, u32(0) + b"\5") + get(), status(404)),
            ("5.1 half-closed: DATA", get(block=big) + raw_frame(DATA, 0, 1, b"x"), stream(STREAM_CLOSED)),
            ("5.1 half-closed: HEADERS", get(block=big) + get(), stream(STREAM_CLOSED)),
            ("5.1 half-closed: CONTINUATION", get(block=big) + raw_frame(CONTINUATION, 4, 1, GET), connection(PROTOCOL_ERROR)),
            ("5.1 half-closed: WINDOW_UPDATE", get() + raw_frame(WINDOW_UPDATE, 0, 1, u32(100)), status(404)),
            ("5.1 half-closed: RST_STREAM", [get(block=big), raw_frame(RST_STREAM, 0, 1, u32(8))], ALIVE),
            ("5.1 closed by RST: DATA", reset + raw_frame(DATA, 0, 1, b"x"), ("alive or error", (STREAM_CLOSED,))),
            ("5.1 closed by RST: HEADERS", reset + get(), ("alive or error", (STREAM_CLOSED,))),
            ("5.1 closed by RST: PRIORITY", reset + raw_frame(PRIORITY, 0, 1, u32(0) + b"\5"), ALIVE),
            ("5.1 closed by RST: WINDOW_UPDATE", reset + raw_frame(WINDOW_UPDATE, 0, 1, u32(5)), ALIVE),
            ("5.1 closed by RST: RST_STREAM", reset + raw_frame(RST_STREAM, 0, 1, u32(8)), ALIVE),
            ("5.1 closed: HEADERS", [closed, get()], ("after response", (STREAM_CLOSED,))),
            ("5.1 closed: DATA", [closed, raw_frame(DATA, 0, 1, b"x")], ("after response", (STREAM_CLOSED,))),
            ("5.1 closed: WINDOW_UPDATE", [closed, raw_frame(WINDOW_UPDATE, 0, 1, u32(5))], ALIVE),
            ("5.1 closed: RST_STREAM", [closed, raw_frame(RST_STREAM, 0, 1, u32(5))], ALIVE),
            ("5.1 closed: PRIORITY", [closed, raw_frame(PRIORITY, 0, 1, u32(0) + b"\5")], ALIVE),
            ("5.1.1 an even stream", get(2), connection(PROTOCOL_ERROR)),
            ("5.1.1 a smaller number", get(5) + get(3), ("after response", (PROTOCOL_ERROR, STREAM_CLOSED))),
            ("5.1.1 numbers may be left out", get(7) + get(2**31 - 1), status(404)),
            ("5.4.1 GOAWAY of the client", get() + raw_frame(GOAWAY, 0, 0, u32(0, 0)), ("after response", (NO_ERROR,))),
        ],
    )


def check_late(self, expected):
    """Kinds of row that stream states need beside those above."""
    kind, values = expected
    if kind == "alive or error":
        self.raw.frame(PING, payload=b"are you?")
        got = self.raw.recv_kind(PING, GOAWAY, RST_STREAM)
        while got is not None and got.kind == RST_STREAM and int.from_bytes(got.payload, "big") in values:
            got = self.raw.recv_kind(PING, GOAWAY, RST_STREAM)
        assert got is not None and got.kind in (PING, GOAWAY), got
        assert got.kind == PING or wire2.goaway_of(got.payload)[1] in values, got
    else:
        got = self.raw.recv_kind(HEADERS, GOAWAY, RST_STREAM)
        while got is not None and got.kind == HEADERS:
            got = self.raw.recv_kind(HEADERS, GOAWAY, RST_STREAM)
        assert got is not None, "no error"
        code = int.from_bytes(got.payload, "big") if got.kind == RST_STREAM else wire2.goaway_of(got.payload)[1]
        assert code in values, f"{got}, expected {values}"


_check = Outcome.check
Outcome.check = lambda self, e: check_late(self, e) if e[0] in ("alive or error", "after response") else _check(self, e)


# ---- 6


def test_http2_data_and_headers_frames(t):
    run(
        t,
        [
            ("6.1 DATA on stream 0", raw_frame(DATA, 0, 0, b"x"), connection(PROTOCOL_ERROR)),
            ("6.1 padding", post() + raw_frame(DATA, PADDED | END_STREAM, 1, b"\3abc\0\0\0"), status(404)),
            ("6.1 padding only", post() + raw_frame(DATA, PADDED | END_STREAM, 1, b"\3\0\0\0"), status(404)),
            ("6.1 padding too long", post() + raw_frame(DATA, PADDED, 1, b"\4abc"), connection(PROTOCOL_ERROR)),
            ("6.1 no room for the pad length", post() + raw_frame(DATA, PADDED, 1), connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
            ("6.2 HEADERS on stream 0", get(0), connection(PROTOCOL_ERROR)),
            ("6.2 padding", get(flags=BOTH | PADDED, block=b"\2" + GET + b"\0\0"), status(404)),
            ("6.2 padding too long", get(flags=BOTH | PADDED, block=b"\xff" + GET), connection(PROTOCOL_ERROR)),
            ("6.2 priority", get(flags=BOTH | PRIORITY_FLAG, block=u32(0x80000000) + b"\x10" + GET), status(404)),
            ("6.2 priority and padding", get(flags=BOTH | PRIORITY_FLAG | PADDED, block=b"\1" + u32(0) + b"\x10" + GET + b"\0"),
             status(404)),
            ("6.2 no room for the priority", get(flags=BOTH | PRIORITY_FLAG, block=b"\0\0\0"),
             connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
        ],
    )


def test_http2_other_frames(t):
    run(
        t,
        [
            ("6.3 PRIORITY on stream 0", raw_frame(PRIORITY, 0, 0, bytes(5)), connection(PROTOCOL_ERROR)),
            ("6.3 PRIORITY of 4", get() + raw_frame(PRIORITY, 0, 1, bytes(4)), stream(FRAME_SIZE_ERROR)),
            ("6.4 RST_STREAM on stream 0", raw_frame(RST_STREAM, 0, 0, u32(0)), connection(PROTOCOL_ERROR)),
            ("6.4 RST_STREAM of 3", post() + raw_frame(RST_STREAM, 0, 1, bytes(3)), connection(FRAME_SIZE_ERROR)),
            ("6.4 RST_STREAM of 5", post() + raw_frame(RST_STREAM, 0, 1, bytes(5)), connection(FRAME_SIZE_ERROR)),
            ("6.5 SETTINGS on a stream", raw_frame(SETTINGS, 0, 1), connection(PROTOCOL_ERROR)),
            ("6.5 ACK with payload", raw_frame(SETTINGS, ACK, 0, bytes(6)), connection(FRAME_SIZE_ERROR)),
            ("6.5 SETTINGS of 3", raw_frame(SETTINGS, 0, 0, bytes(3)), connection(FRAME_SIZE_ERROR)),
            ("6.5.2 ENABLE_PUSH 2", raw_frame(SETTINGS, 0, 0, settings_payload((2, 2))), connection(PROTOCOL_ERROR)),
            ("6.5.2 INITIAL_WINDOW_SIZE 2^31", raw_frame(SETTINGS, 0, 0, settings_payload((4, 2**31))),
             connection(FLOW_CONTROL_ERROR)),
            ("6.5.2 MAX_FRAME_SIZE small", raw_frame(SETTINGS, 0, 0, settings_payload((5, 16383))), connection(PROTOCOL_ERROR)),
            ("6.5.2 MAX_FRAME_SIZE 2^24", raw_frame(SETTINGS, 0, 0, settings_payload((5, 2**24))), connection(PROTOCOL_ERROR)),
            ("6.5.2 unknown", raw_frame(SETTINGS, 0, 0, settings_payload((0xFF, 1), (0x7777, 2**32 - 1))), ALIVE),
            ("6.5.2 the last value counts", raw_frame(SETTINGS, 0, 0, settings_payload((4, 100), (4, 70_000))) + get(), status(404)),
            ("6.5.3 an ACK too many", raw_frame(SETTINGS, ACK) * 3, connection(PROTOCOL_ERROR)),
            ("6.6 PUSH_PROMISE of a client", raw_frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + GET), connection(PROTOCOL_ERROR)),
            ("6.7 PING on a stream", raw_frame(PING, 0, 1, bytes(8)), connection(PROTOCOL_ERROR)),
            ("6.7 PING of 7", raw_frame(PING, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
            ("6.7 PING of 9", raw_frame(PING, 0, 0, bytes(9)), connection(FRAME_SIZE_ERROR)),
            ("6.7 an ACK nobody asked for", raw_frame(PING, ACK, 0, bytes(8)), ALIVE),
            ("6.8 GOAWAY on a stream", raw_frame(GOAWAY, 0, 1, u32(0, 0)), connection(PROTOCOL_ERROR)),
            ("6.8 GOAWAY of 7", raw_frame(GOAWAY, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
            ("6.9 increment 0", raw_frame(WINDOW_UPDATE, 0, 0, u32(0)), connection(PROTOCOL_ERROR)),
            ("6.9 increment 0 on a stream", post() + raw_frame(WINDOW_UPDATE, 0, 1, u32(0)), stream(PROTOCOL_ERROR)),
            ("6.9 the reserved bit", raw_frame(WINDOW_UPDATE, 0, 0, u32(0x80000005)), ALIVE),
            ("6.9 WINDOW_UPDATE of 3", raw_frame(WINDOW_UPDATE, 0, 0, bytes(3)), connection(FRAME_SIZE_ERROR)),
            ("6.9.1 overflow", raw_frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)) * 2, connection(FLOW_CONTROL_ERROR)),
            ("6.9.1 overflow of a stream", post() + raw_frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1)) * 2, stream(FLOW_CONTROL_ERROR)),
            ("6.9.2 overflow by SETTINGS", post() + raw_frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 65536))
             + raw_frame(SETTINGS, 0, 0, settings_payload((4, 2**31 - 1))), ("after response", (FLOW_CONTROL_ERROR,))),
            ("6.10 CONTINUATION without HEADERS", get() + raw_frame(CONTINUATION, END_HEADERS, 1, GET), connection(PROTOCOL_ERROR)),
            ("6.10 CONTINUATION after END_HEADERS", post() + raw_frame(CONTINUATION, 4, 1), connection(PROTOCOL_ERROR)),
            ("6.10 CONTINUATION of another stream", [get(flags=END_STREAM), raw_frame(CONTINUATION, 4, 3, b"")],
             connection(PROTOCOL_ERROR)),
            ("6.10 CONTINUATION on stream 0", [get(flags=END_STREAM), raw_frame(CONTINUATION, 4, 0, b"")],
             connection(PROTOCOL_ERROR)),
        ],
    )


# ---- 8


@tag("tsan")
def test_http2_malformed_messages(t):
    trailers = Raw.block([("x", "y")])
    run(
        t,
        [
            ("8.1 trailers", post() + raw_frame(DATA, 0, 1, b"x") + get(block=trailers), status(404)),
            ("8.1 trailers without END_STREAM", post() + raw_frame(HEADERS, END_HEADERS, 1, trailers),
             ("after response", (PROTOCOL_ERROR, NO_ERROR))),
            ("8.1 pseudo-header in trailers", post() + get(block=Raw.block([(":method", "GET")])),
             ("after response", (PROTOCOL_ERROR, NO_ERROR))),
            ("8.1.1 content-length too large", post(more=[("content-length", "5")]) + raw_frame(DATA, END_STREAM, 1, b"x"),
             ("after response", (PROTOCOL_ERROR, NO_ERROR))),
            ("8.1.1 content-length too small", post(more=[("content-length", "1")]) + raw_frame(DATA, END_STREAM, 1, b"xx"),
             ("after response", (PROTOCOL_ERROR, NO_ERROR))),
            ("8.1.1 content-length without a body", fields(("content-length", "5")), malformed()),
            ("8.1.1 content-length right", post(more=[("content-length", "2")]) + raw_frame(DATA, END_STREAM, 1, b"xx"), status(404)),
            ("8.1.1 content-length twice", post(more=[("content-length", "2")] * 2), malformed()),
            ("8.1.1 content-length no number", post(more=[("content-length", "-2")]), malformed()),
            ("8.2.1 upper case", fields(("X-Upper", "v")), malformed()),
            ("8.2.1 white space in a name", fields(("a b", "v")), malformed()),
            ("8.2.1 a colon in a name", fields(("a:b", "v")), malformed()),
            ("8.2.1 an empty name", fields(("", "v")), malformed()),
            ("8.2.1 a control character in a name", fields((b"a\x7fb", "v")), malformed()),
            ("8.2.1 NUL in a value", fields(("x", b"a\0b")), malformed()),
            ("8.2.1 CR in a value", fields(("x", b"a\rb")), malformed()),
            ("8.2.1 LF in a value", fields(("x", b"a\nb")), malformed()),
            ("8.2.1 a line of its own in a value", fields(("x", b"a\r\nevil: 1")), malformed()),
            ("8.2.1 white space around a value", fields(("x", " v")), malformed()),
            ("8.2.1 white space behind a value", fields(("x", "v\t")), malformed()),
            ("8.2.1 any other byte in a value", fields(("x", bytes(range(0x21, 0x7F)) + b"\x80\xff \t.")), status(404)),
            ("8.2.2 connection", fields(("connection", "close")), malformed()),
            ("8.2.2 keep-alive", fields(("keep-alive", "timeout=5")), malformed()),
            ("8.2.2 proxy-connection", fields(("proxy-connection", "x")), malformed()),
            ("8.2.2 transfer-encoding", fields(("transfer-encoding", "chunked")), malformed()),
            ("8.2.2 upgrade", fields(("upgrade", "websocket")), malformed()),
            ("8.2.2 te", fields(("te", "gzip")), malformed()),
            ("8.2.2 te: trailers", fields(("te", "trailers")), status(404)),
            ("8.3 pseudo-header behind a field", get(block=Raw.block([("x", "y"), *Raw.GET])), malformed()),
            ("8.3 unknown pseudo-header", get(block=Raw.block([(":unknown", "y"), *Raw.GET])), malformed()),
            ("8.3 a response's pseudo-header", get(block=Raw.block([(":status", "200"), *Raw.GET])), malformed()),
            *(
                (f"8.3.1 {name} twice", get(block=Raw.block([*Raw.GET, (name, value)])), malformed())
                for name, value in Raw.GET
            ),
            *(
                (f"8.3.1 no {name}", fields(without=(name,)), malformed())
                for name, _ in Raw.GET
            ),
            ("8.3.1 an empty :path", fields(replace={":path": ""}), malformed()),
            ("8.3.1 :path without a slash", fields(replace={":path": "a"}), malformed()),
            ("8.3.1 :path is a URI", fields(replace={":path": "http://localhost/"}), malformed()),
            ("8.3.1 :path with a space", fields(replace={":path": "/a b"}), malformed()),
            ("8.3.1 :path with a line", fields(replace={":path": "/ HTTP/1.1\r\nEvil: 1\r\n"}), malformed()),
            ("8.3.1 :path with a fragment", fields(replace={":path": "/#a"}), malformed()),
            ("8.3.1 :path * of GET", fields(replace={":path": "*"}), malformed()),
            ("8.3.1 :path * of OPTIONS", fields(replace={":path": "*", ":method": "OPTIONS"}), status(404, 405)),
            ("8.3.1 an empty :scheme", fields(replace={":scheme": ""}), malformed()),
            ("8.3.1 another :scheme", fields(replace={":scheme": "ftp"}), malformed()),
            ("8.3.1 an empty :method", fields(replace={":method": ""}), malformed()),
            ("8.3.1 :method with a space", fields(replace={":method": "GET /"}), malformed()),
            ("8.3.1 :method with a line", fields(replace={":method": "GET / HTTP/1.1\r\nx:"}), malformed()),
            ("8.3.1 an empty :authority", fields(replace={":authority": ""}), malformed()),
            ("8.3.1 :authority with userinfo", fields(replace={":authority": "user@localhost"}), malformed()),
            ("8.3.1 :authority with a path", fields(replace={":authority": "localhost/x"}), malformed()),
            ("8.3.1 :authority with a line", fields(replace={":authority": "a\r\nb"}), malformed()),
            ("8.3.1 Host alone", fields(("host", "localhost"), without=(":authority",)), status(404)),
            ("8.3.1 Host and :authority agree", fields(("host", "LOCALHOST")), status(404)),
            ("8.3.1 Host and :authority differ", fields(("host", "elsewhere")), malformed()),
            ("8.3.1 Host twice", fields(("host", "localhost"), ("host", "localhost")), malformed()),
            ("8.5 CONNECT with :path", get(block=Raw.block([(":method", "CONNECT"), *Raw.GET[1:]])), malformed()),
            ("8.5 CONNECT without :authority", get(block=Raw.block([(":method", "CONNECT")])), malformed()),
            ("8.5 CONNECT", get(block=Raw.block([(":method", "CONNECT"), (":authority", "a:1")])), status(501)),
        ],
    )


def test_http2_extended_connect_rules(t):
    def ws(*more, without=(), replace=None, flags=END_HEADERS):
        own = [(n, (replace or {}).get(n, v)) for n, v in Raw.WS if n not in without]
        return get(block=Raw.block([*own, *more]), flags=flags)

    run(
        t,
        [
            ("RFC 8441 5", ws(), status(200)),
            ("RFC 8441 5, any case", ws(replace={":protocol": "WebSocket"}), status(200)),
            ("RFC 8441 4: no :scheme", ws(without=(":scheme",)), malformed()),
            ("RFC 8441 4: no :path", ws(without=(":path",)), malformed()),
            ("RFC 8441 4: no :authority", ws(without=(":authority",)), malformed()),
            ("RFC 8441 4: Host instead", ws(("host", "localhost"), without=(":authority",)), malformed()),
            ("RFC 8441 4: :protocol with GET", ws(replace={":method": "GET"}), malformed()),
            ("RFC 8441 4: :protocol twice", get(block=Raw.block([(":protocol", "websocket"), *Raw.WS]), flags=4), malformed()),
            ("RFC 8441 4: an empty :protocol", ws(replace={":protocol": ""}), malformed()),
            ("RFC 8441 4: :protocol with a line", ws(replace={":protocol": "a\r\nb"}), malformed()),
            ("RFC 8441 4: another :protocol", ws(replace={":protocol": "connect-udp"}), status(501)),
            ("RFC 6455 4.2.1: version 12", ws(replace={"sec-websocket-version": "12"}), status(400)),
            ("RFC 6455 4.2.1: no version", ws(without=("sec-websocket-version",)), status(400)),
            ("RFC 9113 8.2.2: upgrade", ws(("upgrade", "websocket")), malformed()),
            ("a body's length", ws(("content-length", "5")), status(400)),
            ("no body's length", ws(("content-length", "0")), status(200)),
        ],
    )


def test_http2_goaway_tells_what_was_served(t):
    raw = Raw(t, t.daemon(ini()).port("main"))
    for number in (1, 3, 5):
        raw.headers(number)
        raw.expect_status(number, 404)
    raw.frame(PING, 0, 1, bytes(8))
    got = raw.recv_kind(GOAWAY)
    equal(wire2.goaway_of(got.payload)[:2], (5, PROTOCOL_ERROR))
    assert ENHANCE_YOUR_CALM != PROTOCOL_ERROR
