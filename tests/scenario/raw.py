"""Applications that know nothing of WebSocket: behind Protocol=stream, lines and packet."""

import os
import random
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time

from harness import alone, contains, equal, flavours, tag, wait, waits
from wire import BINARY, CLOSE, CONT, PING, PONG, READ_S, TEXT, Conn, frame, handshake_head, open_ws, status_of

MIB = 1 << 20


class Gateway:
    """A listening application that the test plays, and a daemon in front of it. kind is unix, tcp or packet."""

    def __init__(self, t, kind, protocol, route="", backend="", server=""):
        self.t = t
        if kind == "tcp":
            self.sock = socket.socket()
            self.sock.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        else:
            path = t.tmp / f"app-{os.urandom(4).hex()}.sock"
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == "packet" else socket.SOCK_STREAM)
            self.sock.bind(str(path))
            self.address = f"unix:{path}"
        t.at_end(self.sock.close, late=True)
        self.sock.listen(128)
        self.daemon = t.daemon(ini(self.address, protocol, route, backend, server), access=True)
        self.port = self.daemon.port("main")

    def accept(self):
        self.sock.settimeout(READ_S * self.t.factor)
        sock, _ = self.sock.accept()
        self.t.at_end(sock.close, late=True)
        return Conn(sock)

    def open(self, **options):
        """A WebSocket and the application's end of it."""
        client = open_ws(self.t, self.port, **options)
        return client, self.accept()

    def ended(self):
        """How a WebSocket ended, by its access line: (code, side)."""
        line = self.daemon.access()[-1]
        return line["close_code"], line["closed_by"]


def ini(address, protocol, route="", backend="", server=""):
    return f"""
[server]
{server}
[listen main]
Address=127.0.0.1:0
[websocket]
KeepAliveInterval=0
[route ws]
Path=/ws
Action=forward
Backend=app
{route}
[backend app]
Address={address}
Protocol={protocol}
{backend}
"""


def read_messages(ws, size, opcode):
    """The payloads of messages of this type until they have so many bytes; each is checked to be text if it is."""
    data = b""
    while len(data) < size:
        got, payload = ws.recv_message()
        equal(got, opcode)
        if opcode == TEXT:
            payload.decode()
        data += payload
    return data


def beside(t, function, *args):
    """Runs it beside the test. The function that is returned waits for its end and gives or raises what came of it."""
    result = {}

    def run():
        try:
            result["value"] = function(*args)
        except Exception as error:  # noqa: BLE001
            result["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(READ_S * 3 * t.factor)
        assert not thread.is_alive(), "still running"
        if "error" in result:
            raise result["error"]
        return result.get("value")

    return join


def finish(client, app, rest=b"", code=1000, reason=""):
    """The client's Close, and an application that ends when it has read to the end."""
    client.send_close(code, reason)
    equal((app.read_all(), app.ended), (rest, "end"))
    app.close()
    client.expect_close(code, reason)
    client.expect_end(reset=False)


def same(got, expected):
    assert got == expected, f"{len(got)} bytes, which are not the {len(expected)} that were sent"


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
        client.expect_fail(1014)
        equal(app.read_all(), b"")
        equal(gateway.ended(), (1014, "backend"))
    # the end within a character
    client, app = gateway.open()
    app.send(b"all of it\xe2\x82")
    app.close()
    client.expect(TEXT, "all of it")
    client.expect_fail(1014)


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


# ---- lines


@tag("tsan")
def test_raw_lines_a_message_is_a_line(t):
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "lines")
        client, app = gateway.open()
        client.text("héllo")
        client.text("")
        client.send_frame(TEXT, "in ", fin=False)
        client.ping("x")
        client.send_frame(CONT, "", fin=False)
        client.send_frame(CONT, "pieces")
        client.text("with a cr\r")
        expected = "héllo\n\nin pieces\nwith a cr\r\n".encode()
        equal(app.read(len(expected)), expected)
        client.expect(PONG, "x")
        app.send("first\nzwölf\r\n\n\r\na\rb\nlast\r\r\n".encode())
        for line in ("first", "zwölf", "", "", "a\rb", "last\r"):
            client.expect(TEXT, line)
        finish(client, app)
        line = gateway.daemon.access()[0]
        equal((line["messages_in"], line["messages_out"], line["bytes_out"]), (4, 6, 5 + 6 + 3 + 5))


def test_raw_lines_that_come_in_pieces(t):
    client, app = Gateway(t, "unix", "lines").open()
    lines = ["", "x", "zwölf €", "a\rb", "c\r\r", "y" * 3000]
    for line in lines:
        for end in (b"\n", b"\r\n"):
            data = line.encode() + end
            for at in range(0, len(data), 1 if len(data) < 100 else 997):
                app.send(data[at : at + (1 if len(data) < 100 else 997)])
            client.expect_message(TEXT, line if end == b"\r\n" else line.removesuffix("\r"))
    # several in one read, and what is left of a line is passed on at once
    app.send(b"one\ntwo\nthr")
    client.expect(TEXT, "one")
    client.expect(TEXT, "two")
    client.expect(TEXT, "thr", fin=False)
    app.send(b"ee\nfour\n")
    client.expect(CONT, "ee")
    client.expect(TEXT, "four")
    finish(client, app)


def test_raw_lines_many_small_and_one_large(t):
    client, app = Gateway(t, "unix", "lines").open()
    count = 20_000

    def speak(send):
        for start in range(0, count, 500):
            send(b"".join(send_line(n) for n in range(start, start + 500)))

    def send_line(number):
        return f"line {number}\n".encode()

    speaking = beside(t, speak, app.send)
    for number in range(count):
        client.expect_message(TEXT, f"line {number}")
    speaking()
    speaking = beside(t, lambda: [client.send(b"".join(frame(TEXT, f"line {n}".encode()) for n in range(k, k + 500)))
                                  for k in range(0, count, 500)])
    same(app.read(sum(len(send_line(n)) for n in range(count))), b"".join(map(send_line, range(count))))
    speaking()
    large = "€" * (5 * MIB // 3)
    speaking = beside(t, app.send, large.encode() + b"\n")
    client.expect_message(TEXT, large)
    speaking()
    speaking = beside(t, client.text, large)
    same(app.read(len(large.encode()) + 1), large.encode() + b"\n")
    speaking()
    finish(client, app)


def test_raw_lines_a_line_feed_inside_is_1007(t):
    for kind in ("unix", "tcp"):
        gateway = Gateway(t, kind, "lines")
        for bad in ("a\nb", "\n", "ends\n"):
            client, app = gateway.open()
            client.send(client.frame(TEXT, "good") + client.frame(TEXT, bad) + client.frame(TEXT, "late"))
            client.expect_fail(1007)
            # all before it, and nothing of it
            equal((app.read_all(), app.ended), (b"good\n", "end"))
            equal(gateway.ended(), (1007, "gateway"))
        # a part of it is with the application already
        client, app = gateway.open()
        client.send_frame(TEXT, "good, ", fin=False)
        equal(app.read(6), b"good, ")
        client.send_frame(CONT, "bad\n")
        client.expect_fail(1007)
        equal((app.read_all(), app.ended), (b"", "reset" if kind == "tcp" else "end"))


def test_raw_lines_text_that_is_not_utf8(t):
    gateway = Gateway(t, "unix", "lines")
    client, app = gateway.open()
    client.send(client.frame(TEXT, "good") + client.frame(TEXT, b"bad \xff\xff"))
    client.expect_fail(1007)
    equal(app.read_all(), b"good\n")
    for bad in (b"\xff\n", b"ok \xe2\x82\n", b"\xed\xa0\x80\n"):
        client, app = gateway.open()
        app.send(b"good\n" + bad)
        while True:
            got = client.recv_frame()
            if got.opcode == CLOSE:
                break
            assert got.payload in (b"good", b"ok \xe2\x82", b"ok "), got
        equal(got.code, 1014)
        equal(app.read_all(), b"")


def test_raw_lines_binary_messages(t):
    gateway = Gateway(t, "unix", "lines")
    client, app = gateway.open()
    client.text("good")
    client.binary(b"bad")
    client.expect_fail(1003)
    equal((app.read_all(), app.ended), (b"good\n", "end"))
    equal(gateway.ended(), (1003, "gateway"))
    # unless lines are binary here
    client, app = Gateway(t, "unix", "lines", backend="MessageType=binary").open()
    client.binary(b"\xff\x00")
    client.text("text")
    equal(app.read(8), b"\xff\x00\ntext\n")
    app.send(b"\x80\r\n\xff\n")
    client.expect(BINARY, b"\x80")
    client.expect(BINARY, b"\xff")
    finish(client, app)


def test_raw_lines_longest_line(t):
    gateway = Gateway(t, "unix", "lines", "MaxMessageSize=1000")
    for end in (b"\n", b"\r\n"):
        client, app = gateway.open()
        app.send(b"x" * 1000 + end)
        client.expect_message(TEXT, "x" * 1000)
        # nobody waits for its end
        app.send(b"x" * 1001)
        got = client.recv_frame()
        while got.opcode != CLOSE:
            assert not got.fin, got
            got = client.recv_frame()
        equal(got.code, 1014)
        app.read_all()
        equal(gateway.ended(), (1014, "backend"))
    client, app = gateway.open()
    client.text("y" * 1000)
    equal(app.read(1001), b"y" * 1000 + b"\n")
    client.text("y" * 1001)
    client.expect_fail(1009)
    equal(app.read_all(), b"")


def test_raw_lines_last_line_without_a_line_feed(t):
    gateway = Gateway(t, "unix", "lines")
    for last, expected in ((b"the end", "the end"), (b"cr\r", "cr\r"), (b"\r", "\r"), (b"", None)):
        client, app = gateway.open()
        app.send(b"line\n" + last)
        app.close()
        client.expect(TEXT, "line")
        if expected is not None:
            client.expect_message(TEXT, expected)
        client.expect_close(1000)
        client.send_close()
        client.expect_end(reset=False)
    client, app = gateway.open()
    app.send(b"not all of it \xe2\x82")
    app.close()
    client.expect(TEXT, b"not all of it \xe2\x82", fin=False)
    client.expect_fail(1014)


# ---- packet


@tag("tsan")
def test_raw_packet_a_message_is_a_packet(t):
    gateway = Gateway(t, "packet", "packet")
    client, app = gateway.open()
    seen = []

    def packet():
        app.sock.settimeout(READ_S * t.factor)
        seen.append(app.sock.recv(1 << 19))
        return seen[-1]

    client.send(b"".join(client.frame(BINARY, payload) for payload in (b"one", b"", b"two", b"x" * 60_000)))
    client.send_frame(TEXT, "in ", fin=False)
    client.ping("x")
    client.send_frame(CONT, "", fin=False)
    client.send_frame(CONT, "pieces")
    client.send_frame(TEXT, "", fin=False)
    client.send_frame(CONT, "only its end")
    client.send_frame(TEXT, "only its beginning", fin=False)
    client.send_frame(CONT, "")
    client.send_frame(TEXT, "", fin=False)
    client.send_frame(CONT, "")
    client.expect(PONG, "x")
    whole = client.frame(TEXT, "split in its header and its payload")
    for at in (1, 5, 20):
        client.send(whole[:at])
        client.expect_silence(0.02)
        client.send(whole[at:])
    for expected in (b"one", b"", b"two", b"x" * 60_000, b"in pieces", b"only its end", b"only its beginning", b""):
        equal(packet(), expected)
    for _ in range(3):
        equal(packet(), b"split in its header and its payload")
    for payload in (b"one", b"", b"y" * 100_000, b"\xff"):
        app.send(payload) if payload else app.sock.send(b"")
        client.expect(BINARY, payload)
    finish(client, app)
    equal(gateway.daemon.access()[0]["messages_out"], 4)


def test_raw_packet_empty_packets_before_the_end(t):
    gateway = Gateway(t, "packet", "packet", backend="MessageType=text")
    for _ in range(5):
        client, app = gateway.open()
        for payload in (b"", b"said", b"", b""):
            app.sock.send(payload)
        app.close()
        for payload in ("", "said", "", ""):
            client.expect(TEXT, payload)
        client.expect_close(1000)
        client.send_close()
        client.expect_end(reset=False)
    client, app = gateway.open()
    app.sock.send(b"\xff")
    client.expect_fail(1014)


def test_raw_packet_that_is_too_large(t):
    gateway = Gateway(t, "packet", "packet")
    client, app = gateway.open()
    app.sock.settimeout(READ_S * t.factor)
    client.binary(b"x" * 120_000)
    equal(len(app.sock.recv(1 << 20)), 120_000)
    # by its announced length, and by that of its fragments
    client.send(client.frame(BINARY, b"", announce=500_000))
    client.expect_fail(1009)
    equal((app.read_all(), app.ended), (b"", "end"))
    equal(gateway.ended(), (1009, "gateway"))
    client, app = gateway.open()
    client.send_frame(BINARY, b"x" * 100_000, fin=False)
    client.send_frame(CONT, b"x" * 100_000, fin=False)
    client.send_frame(CONT, b"x" * 100_000, fin=False)
    client.expect_fail(1009)
    equal((app.read_all(), app.ended), (b"", "end"))
    # the application's own
    gateway = Gateway(t, "packet", "packet", "MaxMessageSize=1000")
    client, app = gateway.open()
    app.send(b"x" * 1000)
    client.expect(BINARY, b"x" * 1000)
    app.send(b"x" * 1001)
    client.expect_fail(1014)


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


# ---- real programs


class Shell(socketserver.BaseRequestHandler):
    """A shell for each connection, whose streams are the socket."""

    def handle(self):
        fd = self.request.fileno()
        script = self.server.script
        subprocess.run(["/bin/sh", "-c", script], stdin=fd, stdout=fd, stderr=subprocess.STDOUT, check=False)


def shell_server(t, script):
    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    path = t.tmp / f"shell-{os.urandom(4).hex()}.sock"
    server = Server(str(path), Shell)
    server.script = script
    threading.Thread(target=server.serve_forever, daemon=True).start()
    t.at_end(server.server_close, late=True)
    t.at_end(server.shutdown, late=True)
    return f"unix:{path}"


@tag("tsan")
def test_raw_stream_to_a_shell(t):
    address = shell_server(t, "exec sh 2>&1")
    port = t.daemon(ini(address, "stream", backend="MessageType=text")).port("main")
    shells = [open_ws(t, port) for _ in range(8)]
    for number, ws in enumerate(shells):
        ws.text(f"x={number}\n")
        ws.text("echo $((x * x))\n")
    for number, ws in enumerate(shells):
        line = f"{number * number}\n"
        equal(read_messages(ws, len(line), TEXT).decode(), line)
        ws.text("seq 100000 | cksum; exit 3\n")
    expected = subprocess.run("seq 100000 | cksum", shell=True, capture_output=True, text=True, check=True).stdout
    for ws in shells:
        equal(read_messages(ws, len(expected), TEXT).decode(), expected)
        ws.expect_close(1000)
        ws.send_close()
        ws.expect_end(reset=False)


@tag("tsan")
def test_raw_lines_to_a_program_of_lines(t):
    address = shell_server(t, 'n=0; while read -r line; do n=$((n + 1)); echo "$n: $line"; done; echo "$n in all"')
    port = t.daemon(ini(address, "lines")).port("main")
    for _ in range(5):
        ws = open_ws(t, port)
        for number, line in enumerate(("one", "zwei", "", "4th"), 1):
            ws.text(line)
            ws.expect_message(TEXT, f"{number}: {line}")
        ws.send_close(1000, "enough")
        ws.expect_message(TEXT, "4 in all")
        ws.expect_close(1000, "enough")
        ws.expect_end(reset=False)


@tag("tsan")
def test_raw_stream_to_a_database(t):
    """SQL in, rows out, by SQLite's own shell; one database for all who are connected."""
    t.need("sqlite3", "stdbuf")
    address = shell_server(t, f"exec stdbuf -oL sqlite3 -batch {t.tmp}/app.db")
    port = t.daemon(ini(address, "stream", backend="MessageType=text")).port("main")
    writer, reader = open_ws(t, port), open_ws(t, port)
    writer.text("CREATE TABLE n (i INTEGER, word TEXT);\n")
    # a statement in as many messages as it likes
    for part in ("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) ",
                 "INSERT INTO n SELECT i, 'wört' || i FROM c;", "\n"):
        writer.text(part)
    writer.text("SELECT count(*), max(i) FROM n;\n")
    equal(read_messages(writer, 12, TEXT), b"20000|20000\n")
    rows = "".join(f"{i}|wört{i}\n" for i in range(1, 20001)).encode()
    reader.text("SELECT i, word FROM n ORDER BY i;\n")
    same(read_messages(reader, len(rows), TEXT), rows)
    for ws in (writer, reader):
        ws.send_close(1000)
        ws.expect_close(1000)
        ws.expect_end(reset=False)


PACKET_PROGRAM = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    while packet := peer.recv(1 << 18):
        peer.send(b"%d:" % len(packet) + packet[::-1])
    peer.close()
"""


@tag("tsan")
def test_raw_packet_to_a_program_of_packets(t):
    path = t.tmp / "packets.sock"
    program = t.spawn([sys.executable, "-c", PACKET_PROGRAM, path], stdout=subprocess.PIPE)
    equal(program.stdout.readline(), b"ready\n")
    port = t.daemon(ini(f"unix:{path}", "packet")).port("main")
    for _ in range(3):
        ws = open_ws(t, port)
        for size in (1, 10, 1000, 60_000):
            message = os.urandom(size)
            ws.binary(message)
            ws.expect(BINARY, b"%d:" % size + message[::-1])
        ws.send(b"".join(ws.frame(BINARY, b"%05d" % n) for n in range(200)))  # boundaries hold, however they come
        for n in range(200):
            ws.expect(BINARY, b"5:" + (b"%05d" % n)[::-1])
        ws.send_close(1000)
        ws.expect_close(1000)
        ws.expect_end(reset=False)
