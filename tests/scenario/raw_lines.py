"""Applications that know nothing of WebSocket: Protocol=lines."""

from harness import equal, tag
from raw_app import MIB, Gateway, beside, finish, same
from wire import BINARY, CLOSE, CONT, PONG, TEXT, frame


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
