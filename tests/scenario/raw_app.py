"""What the tests of raw backends share: an application that the test plays, and a daemon in front of it."""

import os
import socket
import threading

from harness import equal
from wire import READ_S, TEXT, Conn, open_ws

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
