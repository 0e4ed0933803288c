"""RFC 6455's frames, messages and closes on an echo route, in the manner of the Autobahn test suite."""

import os
import struct
import time
import zlib

import wire
from harness import SANITIZED, alone, equal, in_threads, limit, tag
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame, open_ws

INI = """
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
[route small]
Path=/small
Action=echo
MaxMessageSize=1000
[route raw]
Path=/raw
Action=echo
ValidateUTF8=no
[route large]
Path=/large
Action=echo
MaxMessageSize=0
"""

SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 129, 4095, 4096, 65535, 65536, 65537, 131072, 262143, 1 << 20)


def pattern(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def letters(size):
    return pattern(size).translate(bytes(ord("a") + i % 26 for i in range(256)))


def echoed(ws, data, opcode, payload):
    """Sends data while reading, and expects this message back."""
    in_threads(lambda: ws.send(data), lambda: ws.expect_message(opcode, payload, timeout=30))


def failing(t, port, cases, path="/ws"):
    """Each (name, bytes, close code) is sent on a WebSocket of its own, and has to fail it at once."""
    for name, data, code in cases:
        ws = open_ws(t, port, path)
        ws.send_as_far_as_possible(data)
        try:
            ws.expect_fail(code)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name}: {error}") from None


# ---- messages


@tag("tsan")
def test_frames_of_all_sizes_are_echoed(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for size in SIZES:
        for opcode, payload in ((TEXT, letters(size)), (BINARY, pattern(size))):
            echoed(ws, ws.frame(opcode, payload), opcode, payload)
    ws.finish()


def test_frames_in_any_split_are_echoed(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for size, step in ((5, 1), (130, 1), (1000, 1), (70_000, 997), (70_000, 8191), (300_000, 65_537)):
        payload = pattern(size)
        whole = ws.frame(BINARY, payload)
        for at in range(0, len(whole), step):
            ws.send(whole[at : at + step])
        ws.expect_message(BINARY, payload)
    ws.finish()


def test_frames_masks_are_taken_off(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", b"\x12\x34\x56\x78"):
        for size in (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 1023, 70_001):
            ws.send_frame(BINARY, pattern(size), mask=mask)
            ws.expect_message(BINARY, pattern(size))


def test_frames_conversation_byte_by_byte(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    word = "κόσμε"
    script = b"".join(
        [
            ws.frame(TEXT, word),
            ws.frame(PING, b"in between"),
            ws.frame(BINARY, pattern(200)),
            ws.frame(TEXT, word.encode()[:3], fin=False),
            ws.frame(PING, b""),
            ws.frame(CONT, word.encode()[3:], fin=True),
            ws.frame(CLOSE, close_payload(4321, "über")),
        ]
    )
    for byte in script:
        ws.send(bytes([byte]))
    ws.expect_message(TEXT, word)
    ws.expect(PONG, b"in between")
    ws.expect_message(BINARY, pattern(200))
    # the echo streams: how it cuts the message is its own affair, but the PONG may not wait for the message's end
    parts, seen = b"", []
    while parts != word.encode():
        got = ws.recv_frame()
        seen.append(got.opcode)
        if got.opcode != PONG:
            parts += got.payload
    assert PONG in seen, seen
    ws.expect_close(4321, "über")
    ws.expect_end(reset=False)


def test_frames_many_small_messages_keep_their_order(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    count = 2_000 if SANITIZED else 20_000
    data = b"".join(ws.frame(TEXT, str(i)) for i in range(count))

    def read():
        for i in range(count):
            ws.expect_message(TEXT, str(i))

    in_threads(lambda: ws.send(data), read)
    ws.finish()


def test_frames_several_connections_do_not_mix(t):
    port = t.daemon(INI).port("main")
    sockets = [open_ws(t, port) for _ in range(50)]
    for i, ws in enumerate(sockets):
        ws.send(ws.frame(TEXT, f"{i} one", fin=False))
    for i, ws in enumerate(sockets):
        ws.send(ws.frame(CONT, f" {i} two"))
    for i, ws in enumerate(sockets):
        ws.expect_message(TEXT, f"{i} one {i} two")


# ---- control frames


def test_frames_ping_gets_its_pong(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for payload in (b"", b"x", b"\xff\xfe\0", pattern(125)):
        ws.ping(payload)
        ws.expect(PONG, payload)
    ws.send(b"".join(ws.frame(PING, str(i)) for i in range(10)))
    # one PONG for the most recent PING would do too (5.5.3)
    last = None
    while last is None or last.payload != b"9":
        last = ws.recv_frame()
        equal(last.opcode, PONG)
    whole = ws.frame(PING, pattern(125))
    for byte in whole:
        ws.send(bytes([byte]))
    ws.expect(PONG, pattern(125))


def test_frames_unsolicited_pong_is_ignored(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for payload in (b"", b"nobody asked", pattern(125)):
        ws.send_frame(PONG, payload)
    ws.ping(b"after")
    ws.expect(PONG, b"after")
    ws.finish()


def test_frames_bad_control_frames_fail_with_1002(t):
    port = t.daemon(INI).port("main")
    cases = []
    for opcode in (PING, PONG, CLOSE):
        payload = close_payload(1000, "x" * 124) if opcode == CLOSE else b"x" * 126
        cases += [
            (f"{opcode:#x} of 126 bytes", frame(opcode, payload), 1002),
            (f"{opcode:#x} of 126 bytes, only its head", frame(opcode, b"", announce=126, form=16)[:4], 1002),
            (f"{opcode:#x} of 70,000 bytes", frame(opcode, b"x" * 70_000), 1002),
            (f"{opcode:#x} fragmented", frame(opcode, payload[:2], fin=False), 1002),
            (f"{opcode:#x} of length 5 in 16 bits", frame(opcode, payload[:5], form=16), 1002),
        ]
    failing(t, port, cases)


def test_frames_control_frames_come_between_fragments(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for opcode in (TEXT, BINARY):
        ws.send_frame(opcode, "one ", fin=False)
        for i in range(3):
            ws.ping(f"ping {i}")
            ws.send_frame(PONG, "unsolicited")
            ws.send_frame(CONT, f"more {i} ", fin=False)
        ws.send_frame(CONT, "end")
        message, pongs = b"", []
        while not message.endswith(b"end"):
            got = ws.recv_frame()
            if got.opcode == PONG:
                pongs.append(got.payload)
            else:
                equal(got.opcode, CONT if message else opcode)
                message += got.payload
        equal(message, b"one more 0 more 1 more 2 end")
        equal(pongs, [b"ping 0", b"ping 1", b"ping 2"])
    # a Close may come there as well
    ws.send_frame(TEXT, "never ended", fin=False)
    ws.send_close(1001, "gone")
    ws.expect_close(1001, "gone", skip=(TEXT, CONT))
    ws.expect_end(reset=False)


# ---- fragmentation


def test_frames_fragmented_messages_are_echoed(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for parts in (
        (b"a", b"b"),
        (b"", b"b"),
        (b"a", b""),
        (b"", b""),
        (b"", b"", b"x", b"", b""),
        tuple(bytes([97 + i % 26]) for i in range(300)),
        (letters(70_000), b"x", letters(200_000)),
    ):
        for opcode in (TEXT, BINARY):
            data = b"".join(
                ws.frame(CONT if i else opcode, part, fin=i == len(parts) - 1) for i, part in enumerate(parts)
            )
            echoed(ws, data, opcode, b"".join(parts))
    ws.finish()


def test_frames_bad_fragmentation_fails_with_1002(t):
    port = t.daemon(INI).port("main")
    failing(
        t,
        port,
        (
            ("continuation of nothing", frame(CONT, b"x"), 1002),
            ("unfinished continuation of nothing", frame(CONT, b"x", fin=False), 1002),
        ),
    )
    for name, second in (
        ("text in a message", frame(TEXT, b"x")),
        ("binary in a message", frame(BINARY, b"x")),
        ("unfinished text in a message", frame(TEXT, b"x", fin=False)),
    ):
        ws = open_ws(t, port)
        ws.send(frame(TEXT, b"one", fin=False) + second)
        try:
            ws.expect_fail(1002, skip=(TEXT, CONT))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
    ws = open_ws(t, port)
    ws.send(frame(TEXT, b"one", fin=False) + frame(CONT, b"two") + frame(CONT, b"three"))
    ws.expect_message(TEXT, "onetwo")
    ws.expect_fail(1002)


# ---- what no frame may be


def test_frames_reserved_bits_and_opcodes_fail_with_1002(t):
    port = t.daemon(INI).port("main")
    cases = []
    for rsv in range(1, 8):
        for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
            payload = close_payload(1000) if opcode == CLOSE else b"xx"
            cases.append((f"rsv {rsv} on {opcode:#x}", frame(opcode, payload, rsv=rsv), 1002))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"x"):
            cases.append((f"opcode {opcode} with {payload!r}", frame(opcode, payload), 1002))
    failing(t, port, cases)
    # nothing that came before is lost
    ws = open_ws(t, port)
    ws.send(frame(TEXT, b"good") + frame(0x3, b"bad") + frame(TEXT, b"ignored"))
    ws.expect(TEXT, "good")
    ws.expect_fail(1002)


def test_frames_bad_lengths_fail_with_1002(t):
    port = t.daemon(INI).port("main")
    mask = b"\1\2\3\4"
    failing(
        t,
        port,
        (
            ("0 in 16 bits", frame(TEXT, b"", form=16), 1002),
            ("125 in 16 bits", frame(TEXT, b"x" * 125, form=16), 1002),
            ("5 in 64 bits", frame(TEXT, b"hello", form=64), 1002),
            ("126 in 64 bits", frame(BINARY, b"x" * 126, form=64), 1002),
            ("65535 in 64 bits", frame(BINARY, b"x" * 65535, form=64), 1002),
            ("65535 in 64 bits, only its head", frame(BINARY, b"", announce=65535, form=64), 1002),
            ("the highest bit", b"\x82\xff\x80" + bytes(7) + mask, 1002),
            ("all bits", b"\x82\xff" + b"\xff" * 8 + mask, 1002),
        ),
    )


def test_frames_unmasked_fail_with_1002(t):
    failing(
        t,
        t.daemon(INI).port("main"),
        [
            (f"{opcode:#x} unmasked", frame(opcode, payload, mask=None), 1002)
            for opcode, payload in (
                (TEXT, b""),
                (TEXT, b"hello"),
                (BINARY, b"x" * 70_000),
                (PING, b""),
                (PONG, b"x"),
                (CLOSE, close_payload(1000)),
            )
        ],
    )


# ---- closing


def test_frames_close_codes_that_may_be_sent_come_back(t):
    port = t.daemon(INI).port("main")
    codes = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    for code in codes:
        for reason in ("", "because", "ü" * 61 + "u"):
            ws = open_ws(t, port)
            ws.finish(code, reason)


def test_frames_close_without_a_code(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    ws.send_frame(CLOSE)
    got = ws.recv_frame()
    equal(got.opcode, CLOSE)
    assert got.code in (None, 1000), got
    ws.expect_end(reset=False)


def test_frames_bad_close_frames_fail(t):
    port = t.daemon(INI).port("main")
    codes = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535)
    failing(t, port, [(f"close code {code}", frame(CLOSE, close_payload(code)), 1002) for code in codes])
    failing(
        t,
        port,
        (
            ("one byte", frame(CLOSE, b"\x03"), 1002),
            ("reason is not UTF-8", frame(CLOSE, close_payload(1000, b"\xff\xfe")), 1007),
            ("reason ends in a character", frame(CLOSE, close_payload(1000, b"abc\xe2\x82")), 1007),
            ("reason has a surrogate", frame(CLOSE, close_payload(1000, b"\xed\xa0\x80")), 1007),
        ),
    )


def test_frames_after_a_close_are_ignored(t):
    port = t.daemon(INI).port("main")
    for after in (frame(TEXT, b"late"), frame(PING, b"late"), frame(CLOSE, close_payload(1001)), b"\xff" * 20):
        ws = open_ws(t, port)
        ws.send_as_far_as_possible(frame(TEXT, b"in time") + frame(CLOSE, close_payload(1000)) + after)
        ws.expect(TEXT, "in time")
        ws.expect_close(1000)
        ws.expect_end()


def test_frames_end_without_close_ends_the_connection(t):
    daemon = t.daemon(INI, access=True)
    for data in (b"", frame(TEXT, b"half of it")[:7], frame(TEXT, b"one", fin=False)):
        ws = open_ws(t, daemon.port("main"))
        ws.send(data)
        ws.half_close()
        got = ws.read_all()
        # the gateway may say 1002 or so, or what it echoed, but never a Close that looks clean
        assert struct.pack(">H", 1000) not in got, got
        line = daemon.access()[0]
        assert line["close_code"] != 1000, line
        equal(line["closed_by"], "client")


# ---- UTF-8

GOOD_TEXTS = (
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\x00",
    "\x7f",
    "\x80",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "\ufdd0\ufdef",
    "\U0001f600" * 20,
    "a" * 63 + "é" + "b" * 64 + "€" + "c" * 61 + "𝄞",
)

BAD_TEXTS = (
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc3\x28",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xe2\x28\xa1",
    b"\xe2\x82\x28",
    b"\xed\xa0\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x28\x8c\xbc",
    b"\xf0\x90\x28\xbc",
    b"\xf0\x28\x8c\x28",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xef\xbf\xbd\x80",
)

CUT_TEXTS = (b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9d", b"\xf0\x9d\x84", "κόσμ".encode() + b"\xce")


def test_frames_utf8_text_is_echoed(t):
    ws = open_ws(t, t.daemon(INI).port("main"))
    for text in GOOD_TEXTS:
        data = text.encode()
        ws.text(text)
        ws.expect_message(TEXT, data)
        # a character may be spread over fragments
        for cut in range(len(data) + 1):
            ws.send_frame(TEXT, data[:cut], fin=False)
            ws.send_frame(CONT, data[cut:])
            ws.expect_message(TEXT, data)
    ws.finish()


def test_frames_bad_utf8_fails_with_1007(t):
    port = t.daemon(INI).port("main")
    cases = []
    for bad in BAD_TEXTS:
        cases.append((f"{bad!r}", frame(TEXT, bad), 1007))
        cases.append((f"{bad!r} far in", frame(TEXT, b"x" * 1000 + bad + b"y" * 1000), 1007))
    cases += [(f"{cut!r} cut", frame(TEXT, cut), 1007) for cut in CUT_TEXTS]
    for name, data, code in cases:
        ws = open_ws(t, port)
        ws.send(data)
        try:
            # some of the good beginning may have been echoed already
            ws.expect_fail(code, skip=(TEXT, CONT))
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name}: {error}") from None


def test_frames_text_cut_inside_a_character_is_no_message(t):
    """In however many reads it comes, what is sent on of it never ends like a whole message."""
    port = t.daemon(INI).port("main")
    for text in CUT_TEXTS:
        text = b"ab" + text
        for n in range(1, len(text)):
            ws = open_ws(t, port)
            data = ws.frame(TEXT, text)
            ws.send(data[: n - len(text)])
            got = ws.recv_frame()  # the first read is over
            equal((got.opcode, got.fin, got.payload), (TEXT, False, text[:n]))
            ws.send(data[n - len(text) :])
            while (got := ws.recv_frame()).opcode != CLOSE:
                equal((got.opcode, got.fin), (CONT, False))
            equal(got.code, 1007)


def test_frames_bad_utf8_fails_at_its_first_byte(t):
    port = t.daemon(INI).port("main")
    for good, bad in (
        (b"", b"\x80"),
        (b"", b"\xc0"),
        (b"\xce\xba\xe1\xbd\xb9", b"\xff"),
        (b"\xed", b"\xa0"),
        (b"\xe0", b"\x9f"),
        (b"\xf0", b"\x8f"),
        (b"\xf4", b"\x90"),
        (b"\xf0\x9d", b"\x28"),
        (b"x" * 300, b"\xf5"),
    ):
        # in the middle of a frame that announces much more
        ws = open_ws(t, port)
        whole = ws.frame(TEXT, good + bad + b"z" * 60_000)
        head = len(whole) - 60_000
        ws.send(whole[: head - 1])
        ws.send(whole[head - 1 : head])
        ws.expect_close(1007, skip=(TEXT, CONT))
        # in a fragment of a message that goes on
        ws = open_ws(t, port)
        ws.send_frame(TEXT, good, fin=False)
        ws.send_frame(CONT, bad, fin=False)
        ws.expect_fail(1007, skip=(TEXT, CONT))


def test_frames_binary_and_unvalidated_text_may_be_anything(t):
    port = t.daemon(INI).port("main")
    ws = open_ws(t, port)
    for bad in BAD_TEXTS + CUT_TEXTS:
        ws.binary(bad)
        ws.expect_message(BINARY, bad)
    ws = open_ws(t, port, "/raw")
    for bad in BAD_TEXTS + CUT_TEXTS:
        ws.send_frame(TEXT, bad)
        ws.expect_message(TEXT, bad)
    ws.finish()


# ---- sizes


def test_frames_too_big_message_fails_with_1009_before_its_payload(t):
    port = t.daemon(INI).port("main")
    ws = open_ws(t, port, "/small")
    for parts in ((1000,), (500, 500), (999, 1), (0, 1000, 0)):
        for i, size in enumerate(parts):
            ws.send_frame(CONT if i else BINARY, b"x" * size, fin=i == len(parts) - 1)
            ws.send_frame(PING, b"y" * 125)  # control frames do not count
        message = b""
        while len(message) < 1000:
            got = ws.recv_frame()
            message += got.payload if got.opcode != PONG else b""
        equal(message, b"x" * 1000)
    ws.send_close()
    ws.expect_close(1000, skip=(PONG, CONT))

    for name, data in (
        ("one frame", frame(BINARY, b"", announce=1001)),
        ("one large frame", frame(TEXT, b"", announce=1 << 40)),
        ("the second frame", frame(TEXT, b"x" * 600, fin=False) + frame(CONT, b"", announce=401)),
        ("many small frames", frame(TEXT, b"x" * 100, fin=False) + frame(CONT, b"x" * 100, fin=False) * 10),
    ):
        ws = open_ws(t, port, "/small")
        ws.send_as_far_as_possible(data)
        try:
            ws.expect_fail(1009, skip=(TEXT, CONT))
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name}: {error}") from None


def test_frames_close_1009_arrives_although_the_client_goes_on_sending(t):
    # a close with unread data would reset the connection, and the reset would overtake the Close
    port = t.daemon(INI).port("main")
    ws = open_ws(t, port, "/small")
    ws.send_as_far_as_possible(frame(BINARY, bytes(4 << 20)))
    ws.expect_close(1009)


def test_frames_default_maximum_is_16_mib(t):
    port = t.daemon(INI).port("main")
    ws = open_ws(t, port)
    ws.send(frame(BINARY, b"", announce=(16 << 20) + 1))
    ws.expect_fail(1009)
    ws = open_ws(t, port)
    payload = pattern(16 << 20)
    echoed(ws, ws.frame(BINARY, payload), BINARY, payload)
    ws.finish()


@alone
@limit(120)
def test_frames_huge_message_is_echoed_in_constant_memory(t):
    size = (64 << 20) if SANITIZED or t.flavour != "plain" else (1 << 30)
    daemon = t.daemon(INI)
    ws = open_ws(t, daemon.port("main"), "/large")
    ws.text("warm")
    ws.expect(TEXT, "warm")
    before = daemon.peak_kib()
    chunk = os.urandom(1 << 20)
    mask = b"\x9a\x3c\x55\x01"
    sent = wire.masked(chunk, mask)
    sums = {"sent": 0, "echoed": 0}

    def write():
        ws.send(frame(BINARY, announce=size, mask=mask))
        for _ in range(size // len(chunk)):
            ws.sock.sendall(sent)
            sums["sent"] = zlib.crc32(chunk, sums["sent"])

    def read():
        sums["echoed"] = echo_sum(ws, size, time.monotonic() + 100 * t.factor)

    in_threads(write, read)
    equal(sums["echoed"], sums["sent"], "CRC")
    ws.finish()
    if t.flavour == "plain":
        grown = daemon.peak_kib() - before
        assert grown < 8 * 1024, f"{grown} KiB more for a message of {size >> 20} MiB"


def echo_sum(ws, size, end):
    """Reads a binary message of this size, in whatever frames, and returns the CRC of its payload; nothing is kept."""
    done, crc, first = 0, 0, True
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    while done < size:
        head, length = ws.read(2)
        equal(head & 15, BINARY if first else CONT, "opcode")
        first = False
        if length >= 126:
            length = int.from_bytes(ws.read(2 if length == 126 else 8), "big")
        done += length
        taken = ws.read(min(length, len(ws.buffer)))
        crc = zlib.crc32(taken, crc)
        length -= len(taken)
        while length:
            n = ws.sock.recv_into(view[: min(length, len(buffer))])
            assert n, "the echo ended early"
            assert time.monotonic() < end, "too slow"
            crc = zlib.crc32(view[:n], crc)
            length -= n
    equal(done, size)
    assert head & 0x80, "no FIN"
    return crc
