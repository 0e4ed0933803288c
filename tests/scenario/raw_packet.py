"""Applications that know nothing of WebSocket: Protocol=packet."""

from harness import equal, tag
from raw_app import Gateway, finish
from wire import BINARY, CONT, PONG, READ_S, TEXT


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
