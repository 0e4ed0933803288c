"""Applications that know nothing of WebSocket: Protocol=stream, and what all protocols have in common."""

import os
import random
import select
import time

from harness import alone, contains, equal, flavours, tag, wait, waits
from raw_app import MIB, Gateway, beside, finish, read_messages, same
from wire import BINARY, CLOSE, CONT, PING, PONG, READ_S, TEXT, frame, handshake_head, status_of


# ---- stream


@tag("tsan")
def test_raw_stream_carries_payloads_both_ways(t):
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "stream")
        client, app = gateway.open()
        client.text("héllo ")
        client.binary(b"\x00\xff ")
        client.send_frame(TEXT, "a", fin=False)
        client.ping("between fragments")
        client.send_frame(CONT, "b", fin=False)
        client.send_frame(CONT, "", fin=False)
        client.send_frame(CONT, "c")
        client.text("")
        client.binary(b"!")
        equal(app.read(14), "héllo ".encode() + b"\x00\xff abc!")
        client.expect(PONG, "between fragments")
        for answer in (b"one\n", b"\x80\x81", b"x" * 50_000):
            app.send(answer)
            same(read_messages(client, len(answer), BINARY), answer)
        finish(client, app, b"", 4000, "done")
        line = gateway.daemon.access()[0]
        equal((line["status"], line["close_code"], line["closed_by"], line["reason"]), (101, 4000, "client", "done"))
        equal((line["messages_in"], line["bytes_in"], line["bytes_out"]), (5, 14, 50_006))
        equal(line["backend"], gateway.address)


def test_raw_stream_passes_on_what_has_come_of_a_message(t):
    client, app = Gateway(t, "unix", "stream").open()
    client.send_frame(BINARY, b"first", fin=False)
    equal(app.read(5), b"first")
    whole = client.frame(CONT, b"second and third")
    client.send(whole[:9])
    equal(app.read(3), b"sec")
    client.send(whole[9:15])
    equal(app.read(6), b"ond an")
    client.send(whole[15:])
    equal(app.read(7), b"d third")
    finish(client, app)


def test_raw_stream_large_messages_of_random_shapes(t):
    seed = random.Random(4)
    client, app = Gateway(t, "tcp", "stream").open()
    up, down = seed.randbytes(3 * MIB), seed.randbytes(3 * MIB)

    def speak(send, data, sizes):
        at = 0
        while at < len(data):
            size = sizes.choice((1, 5, 125, 126, 4000, 65_536, 300_000))
            send(data[at : at + size])
            at += size

    speaking = [beside(t, speak, client.binary, up, random.Random(1))]
    speaking.append(beside(t, speak, app.send, down, random.Random(2)))
    reading = beside(t, app.read, len(up))
    same(read_messages(client, len(down), BINARY), down)
    same(reading(), up)
    for join in speaking:
        join()
    finish(client, app)


def test_raw_stream_text_is_cut_between_characters_only(t):
    client, app = Gateway(t, "unix", "stream", backend="MessageType=text").open()
    text = "aä€𝄞z".encode()
    for byte in text:
        app.send(bytes([byte]))
    same(read_messages(client, len(text), TEXT), text)
    # reads end at any byte of a character
    text = ("€" * 333_333 + "x" + "𝄞" * 250_000).encode()
    sending = beside(t, app.send, text)
    same(read_messages(client, len(text), TEXT), text)
    sending()
    finish(client, app)


def test_raw_stream_keeps_to_the_largest_message(t):
    gateway = Gateway(t, "unix", "stream", "MaxMessageSize=10", "MessageType=text")
    client, app = gateway.open()
    text = "€€€€€aaaaaaaaaaa𝄞".encode()
    app.send(text)
    got = b""
    while len(got) < len(text):
        opcode, payload = client.recv_message()
        assert opcode == TEXT and len(payload) <= 10, payload
        payload.decode()
        got += payload
    equal(got, text)
    client.binary(b"x" * 10)
    equal(app.read(10), b"x" * 10)
    client.binary(b"x" * 11)
    client.expect_fail(1009)
    equal(gateway.ended(), (1009, "gateway"))


def test_raw_stream_of_text_that_is_not_utf8_gets_1014(t):
    gateway = Gateway(t, "unix", "stream", backend="MessageType=text")
    for good, bad in ((b"", b"\xff"), (b"good", b"\xc0\x80"), (b"\xe2\x82", b"\x28"), (b"\xed", b"\xa0\x80")):
        client, app = gateway.open()
        app.send(good)
        if good == b"good":
            client.expect(TEXT, "good")
        app.send(bad)
        # what went wrong, to the client as to the access log
        equal(client.expect_fail(1014).reason, "the application sent text that is not UTF-8")
        equal(app.read_all(), b"")
        line = gateway.daemon.access()[0]
        equal((line["close_code"], line["closed_by"], line["reason"]), (1014, "backend", "the application sent text that is not UTF-8"))
    # the end within a character
    client, app = gateway.open()
    app.send(b"all of it\xe2\x82")
    app.close()
    client.expect(TEXT, "all of it")
    equal(client.expect_fail(1014).reason, "the application's text ends within a character")


@tag("tsan")
def test_raw_stream_end_of_the_application_is_1000_after_its_last_bytes(t):
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "stream")
        client, app = gateway.open()
        app.send(b"bye")
        app.close()
        client.expect(BINARY, b"bye")
        client.expect_close(1000, "")
        client.send_close(1000)
        client.expect_end(reset=False)
        equal(gateway.ended(), (1000, "backend"))
        # at once, without a byte
        client, app = gateway.open()
        app.close()
        client.expect_close(1000, "")
        client.send_close(1000)
        client.expect_end(reset=False)


def test_raw_stream_much_before_the_end_still_arrives(t):
    data = random.Random(5).randbytes(2 * MIB)
    for kind in ("unix", "tcp"):
        client, app = Gateway(t, kind, "stream", "BufferLimit=16K").open(receive_buffer=4096)

        def speak(app=app):
            app.send(data)
            app.half_close()

        speaking = beside(t, speak)
        same(read_messages(client, len(data), BINARY), data)
        speaking()
        client.expect_close(1000)
        client.send_close(1000)
        client.expect_end(reset=False)
        equal(app.read_all(), b"")


def test_raw_stream_reset_of_the_application_is_1014(t):
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "stream")
        client, app = gateway.open()
        client.binary(b"never read")
        wait(lambda app=app: select.select([app.sock], [], [], 0)[0], what="the bytes that are not read")
        app.send(b"last words")
        client.expect(BINARY, b"last words")
        app.abort()  # on a Unix socket: closed with bytes unread
        client.expect_close(1014)
        client.send_close(1014)
        client.expect_end(reset=False)
        equal(gateway.ended(), (1014, "backend"))


def test_raw_stream_last_words_are_heard_while_the_client_goes_on_talking(t):
    """A write that fails is not the end: what the application said before it left is still there to read."""
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "stream", "BufferLimit=4K", server="Workers=1")
        for _ in range(10):
            client, app = gateway.open(receive_buffer=4096)
            client.binary(b"exit")
            equal(app.read(4), b"exit")
            # more than goes out at once, so that a rest is still to be read when the writes fail
            words = os.urandom(60_000)
            app.send(words)
            app.close()
            for _ in range(30):
                client.binary(b"still typing")
            same(read_messages(client, len(words), BINARY), words)
            client.expect_close(1000)
            client.send_close(1000)
            client.expect_end(reset=False)


# ---- how it ends, for all protocols


def test_raw_close_of_the_client_lets_the_application_finish(t):
    for kind, protocol in (("unix", "stream"), ("tcp", "stream"), ("unix", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol)
        client, app = gateway.open()
        client.text("sum up")
        client.send_close(4321, "that is all")
        equal((app.read_all().strip(), app.ended), (b"sum up", "end"))
        client.expect_silence(0.2)  # its Close waits for the application
        app.send(b"here it is\n")
        equal(client.recv_message()[1].strip(), b"here it is")
        app.send(b"and this\n")
        app.close()
        equal(client.recv_message()[1].strip(), b"and this")
        client.expect_close(4321, "that is all")
        client.expect_end(reset=False)
        line = gateway.daemon.access()[0]
        equal((line["close_code"], line["closed_by"], line["reason"]), (4321, "client", "that is all"))


@waits
def test_raw_close_waits_as_long_as_the_application_speaks(t):
    gateway = Gateway(t, "unix", "stream", "CloseTimeout=1500ms")
    client, app = gateway.open()
    client.send_close(1000)
    equal(app.read_all(), b"")
    began = time.monotonic()
    while time.monotonic() - began < 4:
        app.send(b"more")
        client.expect(BINARY, b"more")
        client.expect_silence(0.3)
    # and then says nothing, and does not end
    client.expect_close(1014)
    client.expect_end()
    app.send_as_far_as_possible(b"too late")
    equal(gateway.ended(), (1000, "client"))


@waits
def test_raw_close_timeout_where_nobody_answers(t):
    gateway = Gateway(t, "unix", "stream", "CloseTimeout=1s")
    client, app = gateway.open()
    client.send_frame(CLOSE)
    equal(app.read_all(), b"")
    app.close()
    client.expect_close(None)
    client.expect_end(reset=False)
    equal(gateway.ended(), (1005, "client"))
    # the application is through, and the client does not answer its Close
    client, app = gateway.open()
    app.close()
    client.expect_close(1000)
    client.expect_end()
    equal(gateway.ended(), (1000, "backend"))


def test_raw_client_that_vanishes(t):
    for kind, protocol in (("unix", "stream"), ("tcp", "stream"), ("tcp", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol)
        client, app = gateway.open()
        client.text("to the end")
        client.close()
        equal((app.read_all().strip(), app.ended), (b"to the end", "end"))
        equal(gateway.ended(), (1006, "client"))
        # within a message: the part must not look whole where the socket can tell
        client, app = gateway.open()
        client.send(client.frame(TEXT, "only a part", announce=100))
        if protocol != "packet":
            equal(app.read(11), b"only a part")
        client.close()
        equal((app.read_all(), app.ended), (b"", "reset" if kind == "tcp" else "end"))


def test_raw_protocol_errors_of_the_client(t):
    for kind, protocol in (("unix", "stream"), ("tcp", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol)
        for bad, code in (
            (frame(TEXT, b"x", mask=None), 1002),
            (frame(TEXT, b"x", rsv=4), 1002),
            (frame(0xB), 1002),
            (frame(TEXT, b"ab\xff"), 1007),
        ):
            client, app = gateway.open()
            client.text("good")
            client.send(bad)
            client.expect_fail(code)
            data = app.read_all()
            equal(data.removesuffix(b"ab").strip(), b"good")
            equal(gateway.ended(), (code, "gateway"))


@tag("tsan")
def test_raw_drain_closes_with_1001_and_ends_the_application(t):
    for kind, protocol in (("unix", "stream"), ("unix", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol)
        client, app = gateway.open()
        client.text("x")
        equal(app.read(1), b"x")
        gateway.daemon.signal(15)
        client.expect_close(1001)
        client.send_close(1001)
        client.expect_end()
        client.close()
        equal((app.read_all().strip(), app.ended), (b"", "end"))
        equal(gateway.daemon.wait_end(), 0)


def test_raw_application_that_is_not_there_is_502(t):
    for kind, protocol in (("unix", "stream"), ("tcp", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol)
        gateway.sock.close()
        equal(status_of(t, gateway.port, handshake_head()).status, 502)
        line = gateway.daemon.access()[0]
        equal((line["status"], line["closed_by"], line["backend"]), (502, "backend", gateway.address))
    # a stream socket where packets are spoken
    gateway = Gateway(t, "unix", "packet")
    equal(status_of(t, gateway.port, handshake_head()).status, 502)


# ---- what the gateway does by itself


def test_raw_subprotocol_is_negotiated_by_the_gateway(t):
    gateway = Gateway(t, "unix", "stream", "Subprotocols=mqtt binary")
    for offers, picked in (
        (("binary, mqtt",), "binary"),
        (("x", "MQTT, mqtt"), "mqtt"),
        (("x, y",), None),
        ((), None),
    ):
        client, _ = gateway.open(fields=[("Sec-WebSocket-Protocol", offer) for offer in offers])
        equal(client.response.get("Sec-WebSocket-Protocol"), picked)
        client.close()
        equal(gateway.daemon.access()[0]["subprotocol"], picked)


def test_raw_pings_are_answered_by_the_gateway(t):
    for kind, protocol in (("unix", "stream"), ("unix", "lines"), ("packet", "packet")):
        client, app = Gateway(t, kind, protocol).open()
        for payload in (b"", b"12345678", b"x" * 125):
            client.ping(payload)
            client.expect(PONG, payload)
        client.send_frame(PONG, "unasked")
        app.expect_silence(0.1)
        finish(client, app)


@waits
def test_raw_keepalive_is_toward_the_client_only(t):
    for kind, protocol in (("unix", "lines"), ("packet", "packet")):
        gateway = Gateway(t, kind, protocol, "KeepAliveInterval=1s\nKeepAliveTimeout=1500ms")
        client, app = gateway.open()
        for _ in range(2):
            got = client.recv_frame()
            equal((got.opcode, len(got.payload)), (PING, 8))
            client.send_frame(PONG, got.payload)
        equal(client.recv_frame().opcode, PING)
        equal(client.recv_frame(), None)
        equal((app.read_all(), app.ended), (b"", "end"))
        line = gateway.daemon.access()[0]
        equal((line["close_code"], line["closed_by"]), (1006, "gateway"))
        contains(line["reason"], "keep-alive")


# ---- back-pressure


def fill(sock, data):
    """Sends until nothing has been taken for half a second; how many bytes that were."""
    sent = 0
    sock.setblocking(False)
    while select.select([], [sock], [], 0.5)[1]:
        try:
            sent += sock.send(data)
        except BlockingIOError:
            pass
    return sent


@alone
@flavours("plain")
def test_raw_client_that_does_not_read(t):
    """The application is not read on, and the daemon keeps no more than BufferLimit."""
    for kind, protocol, data in (
        ("unix", "stream", b"x" * 65_536),
        ("tcp", "lines", b"line\n" * 10_000),
        ("packet", "packet", b"x" * 10_000),
        ("packet", "packet", b"x"),
    ):
        gateway = Gateway(t, kind, protocol, "BufferLimit=256K", server="Workers=1")
        client, app = gateway.open(receive_buffer=4096)
        before = gateway.daemon.rss_kib()
        sent = fill(app.sock, data)
        grown = gateway.daemon.rss_kib() - before
        assert grown < 2048, f"{protocol}: {grown} KiB more after {sent} bytes"
        # it goes on when it reads, and nothing is lost
        payload = len(data.replace(b"\n", b"")) * sent // len(data) if protocol == "lines" else sent
        got = 0
        while got < payload - 5:
            got += len(client.recv_frame().payload)
        client.close()
        app.close()


@alone
@flavours("plain")
def test_raw_application_that_does_not_read(t):
    """The client is not read on, however small its messages are."""
    for kind, protocol, message in (
        ("unix", "stream", b"x" * 16_384),
        ("tcp", "lines", b"x" * 100),
        ("unix", "lines", b""),
        ("packet", "packet", b"x" * 10_000),
        ("packet", "packet", b""),
    ):
        gateway = Gateway(t, kind, protocol, "BufferLimit=256K", server="Workers=1")
        client, app = gateway.open()
        before = gateway.daemon.rss_kib()
        block = frame(TEXT, message) * max(1, 65_536 // (len(message) + 6))
        sent = fill(client.sock, block)
        grown = gateway.daemon.rss_kib() - before
        assert grown < 2048, f"{protocol}: {grown} KiB more after {sent} bytes"
        # it goes on when the application reads
        whole = sent // (len(message) + 6)  # lengths up to 125 have a header of 6 bytes; longer ones more
        if protocol == "packet":
            app.sock.settimeout(READ_S * t.factor)
            for _ in range(min(whole, 1000)):
                equal(len(app.sock.recv(1 << 18)), len(message))
        else:
            app.read(min(whole, 1000) * (len(message) + (protocol == "lines")))
        client.close()
        app.close()


@alone
@flavours("plain")
def test_raw_pings_of_a_client_that_does_not_read(t):
    """They are not answered without end: that of the last one is enough."""
    gateway = Gateway(t, "unix", "stream", "BufferLimit=64K", server="Workers=1")
    client, app = gateway.open(receive_buffer=4096)
    before = gateway.daemon.rss_kib()
    block = b"".join(client.frame(PING, b"%09d" % n) for n in range(1000))
    for _ in range(2000):
        client.send(block)
    client.ping("the last one")
    client.binary(b"said as well")
    equal(app.read(12), b"said as well")
    grown = gateway.daemon.rss_kib() - before
    assert grown < 1024, f"{grown} KiB more"
    pongs = 0
    while True:
        got = client.recv_frame()
        equal(got.opcode, PONG)
        pongs += 1
        if got.payload == b"the last one":
            break
    assert pongs < 1_500_000, f"{pongs} PONGs"
    finish(client, app)
