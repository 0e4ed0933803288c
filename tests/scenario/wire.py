"""HTTP/1.1 and WebSocket at the level of bytes, for both ends: what a library would refuse to send, or hide.

Every read has a deadline. A connection made with connect(), open_ws() or Listener.accept() is closed with its test.
"""

import base64
import hashlib
import os
import select
import socket
import ssl
import struct
import time

from harness import FACTOR, equal

READ_S = 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
KEY_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def masked(payload, key):
    """XOR with the repeated key; a big integer is the fastest way without a library."""
    size = len(payload)
    if size == 0 or key == b"\0\0\0\0":
        return bytes(payload)
    whole = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(whole, "little")).to_bytes(size, "little")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", announce=None, form=None):
    """One frame. mask is a key of 4 bytes or None. announce is another length than the payload's; form is 7, 16 or 64
    for a length field of that many bits, although a shorter one would do."""
    size = len(payload) if announce is None else announce
    form = form or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([bit | size])
    elif form == 16:
        head += struct.pack(">BH", bit | 126, size)
    else:
        head += struct.pack(">BQ", bit | 127, size)
    return head + (mask + masked(payload, mask) if mask is not None else bytes(payload))


def close_payload(code=None, reason=""):
    if code is None:
        return b""
    return struct.pack(">H", code) + (reason if isinstance(reason, bytes) else reason.encode())


class Frame:
    def __init__(self, fin, rsv, opcode, mask, payload, form):
        self.fin = fin
        self.rsv = rsv
        self.opcode = opcode
        self.mask = mask  # the key, or None
        self.payload = payload
        self.form = form  # 7, 16 or 64

    @property
    def code(self):
        """A Close frame's code; None where it has none."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self):
        return self.payload[2:].decode()

    def __repr__(self):
        shown = self.payload if len(self.payload) <= 40 else self.payload[:40] + b"..."
        return (
            f"<frame opcode={self.opcode:#x} fin={int(self.fin)} rsv={self.rsv} masked={int(self.mask is not None)}"
            f" {len(self.payload)} bytes {shown!r}>"
        )


class Head:
    """A request's or response's head: .line, and fields in their order."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.fields = []
        for line in lines[1:]:
            if line:
                name, colon, value = line.partition(":")
                assert colon and name == name.strip(), f"a bad field line: {line!r}"
                self.fields.append((name, value.strip()))

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        """The value, None where there is none, several joined as a list."""
        return ", ".join(self.all(name)) if self.all(name) else None

    def tokens(self, name):
        return [part.strip().lower() for part in (self.get(name) or "").split(",") if part.strip()]

    def __repr__(self):
        return self.raw.decode("latin-1")


class Response(Head):
    def __init__(self, raw):
        super().__init__(raw)
        version, status, *_ = self.line.split(" ", 2)
        assert version.startswith("HTTP/1."), self.line
        self.status = int(status)
        self.body = b""


class Conn:
    """A connected socket, with what was read of it and not taken yet."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.ended = None  # "end" or "reset", once there is nothing more to read
        sock.settimeout(READ_S * FACTOR)

    def close(self):
        self.sock.close()

    def abort(self):
        """Closes with a reset, as when the peer's process is killed while it has data unread."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.sock.settimeout(READ_S * FACTOR)
        self.sock.sendall(data)

    def send_as_far_as_possible(self, data):
        """For data whose first part may make the peer close: what it does not take is no failure."""
        try:
            self.send(data)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def fill(self, end):
        """Reads once. False at the end of the stream. TimeoutError at the deadline, a time.monotonic(); without one (0)
        the socket is left as it is."""
        if self.ended:
            return False
        if end:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
        try:
            data = self.sock.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "reset"
            return False
        except ssl.SSLEOFError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "end"
            return False
        self.buffer += data
        return True

    def read(self, size, timeout=READ_S):
        end = time.monotonic() + timeout * FACTOR
        while len(self.buffer) < size:
            assert self.fill(end), f"{self.ended} of the stream after {len(self.buffer)} of {size} bytes"
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_until(self, mark, timeout=READ_S):
        end = time.monotonic() + timeout * FACTOR
        while mark not in self.buffer:
            assert self.fill(end), f"{self.ended} of the stream, no {mark!r} in {bytes(self.buffer)!r}"
        return self.read(self.buffer.index(mark) + len(mark))

    def read_all(self, timeout=READ_S):
        """Everything until the peer closes, in whatever way."""
        end = time.monotonic() + timeout * FACTOR
        while self.fill(end):
            pass
        return self.read(len(self.buffer))

    def expect_end(self, timeout=READ_S, reset=None):
        """The peer closes and sends nothing more. reset: False demands an orderly end."""
        rest = self.read_all(timeout)
        equal(rest, b"", "bytes before the end of the stream")
        if reset is not None:
            equal(self.ended, "reset" if reset else "end", "how the stream ended")

    def expect_silence(self, seconds):
        """Nothing comes and nothing ends, for so long."""
        assert not self.buffer, f"unexpected bytes: {bytes(self.buffer)!r}"
        readable, _, _ = select.select([self.sock], [], [], seconds)
        if readable:
            self.fill(time.monotonic() + 1)
            raise AssertionError(f"unexpected {self.ended or bytes(self.buffer)!r}")

    # ---- HTTP

    def read_head(self, timeout=READ_S):
        return Head(self.read_until(b"\r\n\r\n", timeout))

    def read_chunked(self):
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                raw = b""
                while not (b"\r\n" + raw).endswith(b"\r\n\r\n"):
                    raw += self.read_until(b"\r\n")
                self.trailers = Head(b"\r\n" + raw).fields  # of the last chunked body
                return body
            body += self.read(size)
            equal(self.read(2), b"\r\n", "the end of a chunk")

    def read_response(self, head_only=False, timeout=READ_S):
        response = Response(self.read_until(b"\r\n\r\n", timeout))
        if head_only or response.status in (101, 204, 304):
            return response
        lengths = response.all("Content-Length")
        if response.tokens("Transfer-Encoding"):
            equal(response.tokens("Transfer-Encoding"), ["chunked"])
            equal(lengths, [], "Content-Length beside Transfer-Encoding")
            response.body = self.read_chunked()
        elif lengths:
            equal(len(lengths), 1, "Content-Length fields")
            response.body = self.read(int(lengths[0]))
        else:
            response.body = self.read_all()
        return response

    def request(self, method="GET", target="/", fields=(), body=b"", host="localhost", head_only=None):
        """Sends an ordinary request and reads its response."""
        self.send(request_head(method, target, fields, host) + body)
        return self.read_response(head_only=method == "HEAD" if head_only is None else head_only)


class WebSocket(Conn):
    """After a handshake. A client's end masks what it sends, a server's does not, and each checks the peer for that."""

    def __init__(self, sock, client=True):
        super().__init__(sock)
        self.client = client
        self.response = None  # the handshake's, at a client
        self.request_head = None  # the handshake's, at a server

    def frame(self, opcode, payload=b"", **options):
        options.setdefault("mask", os.urandom(4) if self.client else None)
        return frame(opcode, payload.encode() if isinstance(payload, str) else payload, **options)

    def send_frame(self, opcode, payload=b"", **options):
        self.send(self.frame(opcode, payload, **options))

    def text(self, text):
        self.send_frame(TEXT, text)

    def binary(self, data):
        self.send_frame(BINARY, data)

    def ping(self, data=b""):
        self.send_frame(PING, data)

    def send_close(self, code=1000, reason=""):
        self.send_frame(CLOSE, close_payload(code, reason))

    def recv_frame(self, timeout=READ_S):
        """The next frame, checked for the rules of RFC 6455, 5.2; None at the end of the stream."""
        end = time.monotonic() + timeout * FACTOR
        while len(self.buffer) < 2:
            if not self.fill(end):
                equal(bytes(self.buffer), b"", "bytes before the end of the stream")
                return None
        left = end - time.monotonic()
        first, second = self.read(2)
        size, form = second & 0x7F, 7
        if size == 126:
            size, form = struct.unpack(">H", self.read(2, left))[0], 16
            assert size > 125, f"a length of {size} in 16 bits"
        elif size == 127:
            size, form = struct.unpack(">Q", self.read(8, left))[0], 64
            assert size > 65535, f"a length of {size} in 64 bits"
        assert bool(second & 0x80) == (not self.client), f"mask bit is {second >> 7}"
        key = self.read(4, left) if second & 0x80 else None
        payload = self.read(size, max(left, 1))
        got = Frame(bool(first & 0x80), first >> 4 & 7, first & 15, key, masked(payload, key) if key else payload, form)
        if got.opcode & 8:
            assert got.fin and size <= 125, f"a bad control frame: {got}"
            assert got.opcode != CLOSE or size != 1, f"a bad Close: {got}"
        return got

    def frames_for(self, seconds):
        """All frames that come within so long; a None at the end of the list is the end of the stream."""
        end = time.monotonic() + seconds
        frames = []
        while not self.ended and (self.buffer or select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]):
            frames.append(self.recv_frame())
        return frames

    def expect(self, opcode, payload=b"", fin=True, timeout=READ_S):
        """The next frame is this one."""
        payload = payload.encode() if isinstance(payload, str) else payload
        got = self.recv_frame(timeout)
        assert got is not None, f"{self.ended} of the stream instead of a frame {opcode:#x} {payload[:40]!r}"
        same = (got.opcode, got.fin, got.rsv) == (opcode, fin, 0) and got.payload == payload
        assert same, f"got {got}, expected opcode {opcode:#x} fin {int(fin)} {len(payload)} bytes {payload[:40]!r}"
        return got

    def recv_message(self, timeout=READ_S):
        """The next data message as (opcode, payload), whatever its fragmentation; no control frame may come."""
        got = self.recv_frame(timeout)
        assert got is not None and got.opcode in (TEXT, BINARY), got or self.ended
        opcode, parts = got.opcode, [got.payload]
        while not got.fin:
            got = self.recv_frame(timeout)
            assert got is not None and got.opcode == CONT, got or self.ended
            parts.append(got.payload)
        return opcode, b"".join(parts)

    def expect_message(self, opcode, payload, timeout=READ_S):
        """The next message, fragmented or not, is this one."""
        payload = payload.encode() if isinstance(payload, str) else payload
        got_opcode, got = self.recv_message(timeout)
        equal(got_opcode, opcode, "opcode")
        assert got == payload, f"got {len(got)} bytes {got[:40]!r}, expected {len(payload)} bytes {payload[:40]!r}"

    def expect_close(self, code, reason=None, timeout=READ_S, skip=()):
        """The next frame, apart from those with an opcode in skip, is a Close with this code (None: without one)."""
        while True:
            got = self.recv_frame(timeout)
            if got is None or got.opcode not in skip:
                break
        assert got is not None, f"{self.ended} of the stream instead of Close {code}"
        assert got.opcode == CLOSE and got.fin and got.rsv == 0, f"got {got}, expected Close {code}"
        equal(got.code, code, f"close code (reason {got.reason!r})" if got.payload else "close code")
        if reason is not None:
            equal(got.reason, reason, "close reason")
        return got

    def expect_fail(self, code, timeout=READ_S, skip=()):
        """The peer fails the connection: a Close with this code and, once that is answered, the end."""
        got = self.expect_close(code, timeout=timeout, skip=skip)
        self.send_as_far_as_possible(self.frame(CLOSE, got.payload))
        self.expect_end()
        return got

    def finish(self, code=1000, reason=""):
        """The close handshake, begun here; the server ends the TCP connection first (RFC 6455, 7.1.1)."""
        self.send_close(code, reason)
        self.expect_close(code, reason)
        if self.client:
            self.expect_end(reset=False)
            self.close()


# ---- a client


def request_head(method="GET", target="/", fields=(), host="localhost"):
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)


def handshake_head(target="/ws", fields=(), host="localhost", replace=None, without=()):
    """A handshake's head. replace changes the values of its own fields, without leaves some out, fields come after."""
    own = [(n, (replace or {}).get(n, v)) for n, v in HANDSHAKE if n not in without]
    return request_head("GET", target, [*own, *fields], host)


def connect(t, where, tls=None, server_name=None, receive_buffer=None, kind=Conn):
    """Connects to a TCP port of 127.0.0.1, a (host, port), or a Unix socket's path; closed when the test ends."""
    if isinstance(where, int):
        where = ("127.0.0.1", where)
    if isinstance(where, tuple):
        sock = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    else:
        sock, where = socket.socket(socket.AF_UNIX), str(where)
    t.at_end(sock.close)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(READ_S * FACTOR)
    sock.connect(where)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = tls.wrap_socket(sock, server_hostname=server_name, suppress_ragged_eofs=False)
        t.at_end(sock.close)
    return kind(sock)


def open_ws(t, where, path="/ws", fields=(), extra=b"", status=101, host="localhost", **options):
    """A WebSocket by a raw handshake, whose response is checked. extra is sent in the same segment. With another
    status than 101 the connection is returned with that .response read."""
    ws = connect(t, where, kind=WebSocket, **options)
    ws.send(handshake_head(path, fields, host) + extra)
    ws.response = ws.read_response()
    equal(ws.response.status, status, f"status of {path} ({ws.response.body!r})")
    if status == 101:
        check_101(ws.response)
    return ws


def check_101(response, key=KEY):
    equal(response.status, 101)
    equal(response.all("Upgrade"), ["websocket"])
    equal(response.tokens("Connection"), ["upgrade"])
    equal(response.all("Sec-WebSocket-Accept"), [accept_of(key)])
    equal(response.all("Content-Length") + response.all("Transfer-Encoding"), [])


def status_of(t, where, data):
    """The response to some bytes on a connection of their own."""
    conn = connect(t, where)
    conn.send(data)
    response = conn.read_response()
    conn.close()
    return response


# ---- a server


class Listener:
    """A listening socket whose connections the test takes and answers itself. address is what [backend] Address needs.

    kind is tcp, unix or abstract.
    """

    def __init__(self, t, kind="tcp", backlog=128):
        self.t = t
        if kind == "tcp":
            self.sock = socket.socket()
            self.sock.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            if kind == "unix":
                path = t.tmp / f"backend-{os.urandom(4).hex()}.sock"
                self.sock.bind(str(path))
                self.address = f"unix:{path}"
            else:
                name = f"wsrelayd-test-{os.urandom(8).hex()}"
                self.sock.bind("\0" + name)
                self.address = f"unix:@{name}"
        t.at_end(self.sock.close, late=True)
        self.sock.listen(backlog)

    def accept(self, timeout=READ_S):
        self.sock.settimeout(timeout * FACTOR)
        sock, _ = self.sock.accept()
        self.t.at_end(sock.close, late=True)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return WebSocket(sock, client=False)

    def accept_request(self):
        """Accepts a connection and reads its request's head."""
        ws = self.accept()
        ws.request_head = ws.read_head()
        return ws

    def expect_nobody(self, seconds):
        readable, _, _ = select.select([self.sock], [], [], seconds)
        assert not readable, "an unexpected connection"


def answer_101(ws, fields=(), extra=b"", replace=None, without=()):
    """Answers a handshake as a server does. replace and without change its fields, extra goes into the same segment."""
    own = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_of(ws.request_head.get("Sec-WebSocket-Key"))),
    ]
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{n}: {(replace or {}).get(n, v)}" for n, v in own if n not in without]
    lines += [f"{n}: {v}" for n, v in fields]
    ws.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + extra)


def relayed(t, where, listener, path="/ws", fields=(), answer=(), **options):
    """A WebSocket through the gateway to a Listener: returns both ends, the client's and the backend's."""
    client = connect(t, where, kind=WebSocket, **options)
    client.send(handshake_head(path, fields))
    backend = listener.accept_request()
    answer_101(backend, answer)
    client.response = client.read_response()
    check_101(client.response)
    return client, backend
