"""HTTP/2 for scenarios: a client on python3-h2 whose streams are used like wire's connections, and raw frames beside it.

Every read has a deadline. H2 is one connection; H2.request() and H2.open_ws() give streams. A WebSocket's stream is a
wire.WebSocket, so that whatever is tested over HTTP/1.1 can be tested over HTTP/2.
"""

import collections
import contextlib
import socket
import ssl
import struct
import time

from harness import FACTOR, equal
from wire import READ_S, Conn, WebSocket

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.settings
    import hpack
    import hyperframe.frame
except ImportError:
    h2 = None

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)
MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 6, 8, 9


def tls_context(context=None):
    """A client's context that asks for h2; by default it trusts everybody."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def need_h2(t):
    if h2 is None:
        t.skip("python3-h2 is not installed")


def open_socket(t, where, tls=None, server_name=None, receive_buffer=None):
    if isinstance(where, int):
        where = ("127.0.0.1", where)
    sock = socket.socket(socket.AF_INET if isinstance(where, tuple) else socket.AF_UNIX)
    t.at_end(sock.close)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(READ_S * FACTOR)
    sock.connect(where if isinstance(where, tuple) else str(where))
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = tls.wrap_socket(sock, server_hostname=server_name)
        t.at_end(sock.close)
    return sock


# ---- python3-h2


class Stream(Conn):
    """One stream. Payload that has come is in .buffer; .ended is "end" after END_STREAM, "reset" after RST_STREAM."""

    def __init__(self, connection, number):
        self.h2 = connection
        self.id = number
        self.buffer = bytearray()
        self.ended = None
        self.reset_code = None
        self.headers = None  # the response's, as a list of pairs
        self.trailers = None
        self.unacknowledged = 0
        self.hold_window = False  # True: this stream's window is not given back
        self.sock = None

    @property
    def status(self):
        return int(self.field(":status"))

    def field(self, name):
        return next((v for n, v in self.headers if n == name), None)

    def fill(self, end):
        """As Conn's: waits for payload or the end."""
        had = len(self.buffer)
        while len(self.buffer) == had:
            if self.ended:
                return False
            self.h2.pump(end or time.monotonic() + READ_S * FACTOR)
        return True

    def wait_headers(self, timeout=READ_S):
        end = time.monotonic() + timeout * FACTOR
        while self.headers is None:
            assert not self.ended, f"{self.ended} of stream {self.id} (error {self.reset_code}) without a response"
            self.h2.pump(end)
        return self

    def wait_reset(self, code=None, timeout=READ_S):
        """The other side resets the stream, with this code."""
        end = time.monotonic() + timeout * FACTOR
        while self.ended != "reset":
            self.h2.pump(end)
        if code is not None:
            equal(self.reset_code, code, "code of RST_STREAM")

    def send(self, data, end_stream=False):
        """Sends all of it as the windows allow, reading meanwhile."""
        if isinstance(data, str):
            data = data.encode("latin-1")
        data = memoryview(data)
        end = time.monotonic() + READ_S * FACTOR
        while len(data):
            room = self.window()
            if room <= 0:
                assert not self.ended, f"{self.ended} of stream {self.id} while sending"
                self.h2.pump(end)
                continue
            part = data[:room]
            data = data[room:]
            self.h2.c.send_data(self.id, bytes(part), end_stream=end_stream and not len(data))
            self.h2.flush()
            end = time.monotonic() + READ_S * FACTOR

    def window(self):
        """What one DATA frame may hold now."""
        return min(self.h2.c.local_flow_control_window(self.id), self.h2.c.max_outbound_frame_size)

    def end(self):
        self.h2.c.end_stream(self.id)
        self.h2.flush()

    def reset(self, code=CANCEL):
        self.h2.c.reset_stream(self.id, code)
        self.h2.flush()

    def close(self):
        self.reset()

    half_close = end

    def abort(self):
        self.reset()


class WsStream(Stream, WebSocket):
    def __init__(self, connection, number):
        Stream.__init__(self, connection, number)
        self.client = True

    def finish(self, code=1000, reason=""):
        self.send_close(code, reason)
        self.expect_close(code, reason)
        self.end()
        self.expect_end(reset=False)


class H2:
    """A connection: prior knowledge, or with tls (a context of tls_context()) by ALPN."""

    def __init__(self, t, where, tls=None, server_name=None, receive_buffer=None, window=None, settings=None):
        need_h2(t)
        self.sock = open_socket(t, where, tls, server_name, receive_buffer)
        if tls:
            equal(self.sock.selected_alpn_protocol(), "h2", "ALPN")
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.c = h2.connection.H2Connection(config)
        # python3-h2 takes a GOAWAY for the end of all; RFC 9113, 6.8 does not
        self.c._frame_dispatch_table[hyperframe.frame.GoAwayFrame] = self._on_goaway
        self.scheme = "https" if tls else "http"
        self.streams = {}
        self.events = collections.Counter()
        self.goaways = []  # (last stream, code, debug data)
        self.pings = []  # data of the ACKs that came
        self.order = []  # (stream id, bytes) of each DATA frame, while it is a list
        self.keep_order = False
        self.hold_windows = False  # True: windows are not given back
        self.closed = False  # the transport has ended
        self._corked = False
        self.c.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window or (1 << 20),
                **(settings or {}),
            },
        )
        self.c.initiate_connection()
        if window is None:
            self.c.increment_flow_control_window((16 << 20) - 65535)
        self.flush()
        self.wait(lambda: self.events["RemoteSettingsChanged"], "SETTINGS of the server")

    def watch_frames(self):
        """A list that gets the kind of each frame that comes from now on."""
        seen = []
        table = self.c._frame_dispatch_table
        for kind, take in list(table.items()):
            table[kind] = lambda frame, take=take: (seen.append(type(frame).__name__), take(frame))[1]
        return seen

    # ---- bytes

    @contextlib.contextmanager
    def corked(self):
        """What is said within goes out in one piece."""
        self._corked = True
        yield
        self._corked = False
        self.flush()

    def flush(self):
        data = b"" if self._corked else self.c.data_to_send()
        if data:
            self.sock.settimeout(READ_S * FACTOR)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.sock.sendall(data)

    def pump(self, end):
        """Reads once and files what came; TimeoutError at the deadline."""
        if self.closed:
            raise AssertionError(f"the connection has ended, GOAWAYs {self.goaways}")
        self.sock.settimeout(max(0.001, end - time.monotonic()))
        try:
            data = self.sock.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.closed = True
            for stream in self.streams.values():
                stream.ended = stream.ended or "reset"
            return
        for event in self.c.receive_data(data):
            self._on_event(event)
        self.flush()

    def pump_for(self, seconds):
        """Takes whatever comes within so long."""
        end = time.monotonic() + seconds
        while not self.closed and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                self.pump(end)

    def _on_goaway(self, frame):
        self.goaways.append((frame.last_stream_id, frame.error_code, frame.additional_data))
        return [], []

    def _on_event(self, event):
        self.events[type(event).__name__] += 1
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.PingAckReceived):
            self.pings.append(event.ping_data)
        elif stream is None:
            pass
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = event.headers
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            stream.buffer += event.data
            stream.unacknowledged += event.flow_controlled_length
            if not self.hold_windows and not stream.hold_window:
                self.acknowledge(stream)
            if self.keep_order:
                self.order.append((stream.id, len(event.data)))
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = stream.ended or "end"
        elif isinstance(event, h2.events.StreamReset):
            stream.ended = "reset"
            stream.reset_code = int(event.error_code)

    def acknowledge(self, stream):
        """Gives the windows back for what came."""
        size, stream.unacknowledged = stream.unacknowledged, 0
        self.c.acknowledge_received_data(size, stream.id)

    def wait(self, condition, what="", timeout=READ_S):
        end = time.monotonic() + timeout * FACTOR
        while not condition():
            try:
                self.pump(end)
            except TimeoutError:
                raise AssertionError(f"not in time: {what or condition}") from None

    def wait_closed(self, code=None, timeout=READ_S):
        """The server ends the connection; code: of its last GOAWAY."""
        end = time.monotonic() + timeout * FACTOR
        while not self.closed:
            self.pump(end)
        if code is not None:
            assert self.goaways, "no GOAWAY came"
            equal(self.goaways[-1][1], code, f"code of {self.goaways[-1]}")

    def close(self):
        self.sock.close()

    # ---- streams

    def begin(self, headers, end_stream=False, kind=Stream):
        number = self.c.get_next_available_stream_id()
        stream = self.streams[number] = kind(self, number)
        self.c.send_headers(number, headers, end_stream=end_stream)
        self.flush()
        return stream

    def fields_of(self, method, path, authority, fields):
        pseudo = [(":method", method), (":scheme", self.scheme), (":authority", authority), (":path", path)]
        return [(n, v) for n, v in pseudo if v is not None] + list(fields)

    def request(self, path="/", method="GET", fields=(), body=None, authority="localhost", wait=True):
        """A request and, with wait, its whole response: .status, .headers and .body."""
        stream = self.begin(self.fields_of(method, path, authority, fields), end_stream=body is None)
        if body is not None:
            stream.send(body, end_stream=True)
        if wait:
            stream.wait_headers()
            stream.body = stream.read_all()
            equal(stream.ended, "end", f"how stream {stream.id} ended (error {stream.reset_code})")
        return stream

    def ws_fields(self, path, authority, fields, protocol="websocket", version="13"):
        own = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self.scheme), (":path", path),
               (":authority", authority), ("sec-websocket-version", version)]
        return [(n, v) for n, v in own if v is not None] + list(fields)

    def begin_ws(self, path="/ws", fields=(), authority="localhost", **options):
        return self.begin(self.ws_fields(path, authority, fields, **options), kind=WsStream)

    def open_ws(self, path="/ws", fields=(), authority="localhost", status=200, **options):
        """A WebSocket by extended CONNECT, whose response is checked; with another status its body is read too."""
        ws = self.begin_ws(path, fields, authority, **options)
        ws.wait_headers()
        equal(ws.status, status, f"status of {path} ({bytes(ws.buffer)!r})")
        if status == 200:
            assert ws.field("sec-websocket-accept") is None, ws.headers
        else:
            ws.body = ws.read_all()
        return ws


# ---- raw frames


def raw_frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings_payload(*pairs):
    return b"".join(struct.pack(">HI", *pair) for pair in pairs)


def goaway_of(payload):
    return struct.unpack(">II", payload[:8]) + (payload[8:],)


RawFrame = collections.namedtuple("RawFrame", "kind flags stream payload")


class Raw(Conn):
    """A connection on which every frame is written by hand. Its HPACK encoder uses no dynamic table."""

    def __init__(self, t, where, preface=True, settings=b"", tls=None):
        need_h2(t)
        super().__init__(open_socket(t, where, tls))
        self.decoder = hpack.Decoder()
        self.seen = []
        if preface:
            self.send(PREFACE + raw_frame(SETTINGS, payload=settings))

    @staticmethod
    def block(fields):
        """A header block: literals without indexing, so that any bytes can be said."""
        out = b""
        for name, value in fields:
            out += b"\0"
            for part in (name, value):
                part = part if isinstance(part, bytes) else part.encode("latin-1")
                if len(part) < 127:
                    out += bytes([len(part)])
                else:
                    left, out = len(part) - 127, out + b"\x7f"
                    while left >= 128:
                        out, left = out + bytes([left % 128 | 128]), left // 128
                    out += bytes([left])
                out += part
        return out

    GET = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost"))
    WS = (
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/ws"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    )

    def frame(self, kind, flags=0, stream=0, payload=b"", length=None):
        self.send_as_far_as_possible(raw_frame(kind, flags, stream, payload, length))

    def headers(self, stream, fields=GET, flags=END_STREAM | END_HEADERS):
        self.frame(HEADERS, flags, stream, self.block(fields))

    def recv(self, timeout=READ_S):
        """The next frame; None at the end of the connection."""
        end = time.monotonic() + timeout * FACTOR
        while len(self.buffer) < 9:
            if not self.fill(end):
                return None
        size = int.from_bytes(self.buffer[:3], "big")
        while len(self.buffer) < 9 + size:
            if not self.fill(end):
                return None
        head, payload = self.read(9), self.read(size) if size else b""
        got = RawFrame(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload)
        if got.kind == HEADERS:  # the decoder has to see every block
            got = got._replace(payload=self.decoder.decode(payload))
        self.seen.append(got)
        return got

    def recv_kind(self, *kinds, stream=None, timeout=READ_S):
        """The next frame of one of these kinds; others are passed over, and None is the end."""
        while True:
            got = self.recv(timeout)
            if got is None or (got.kind in kinds and (stream is None or got.stream == stream)):
                return got

    def expect_goaway(self, *codes, timeout=READ_S):
        """The connection is ended with one of these codes: GOAWAY, then the end."""
        got = self.recv_kind(GOAWAY, timeout=timeout)
        assert got is not None, f"the connection ended ({self.ended}) without GOAWAY, after {self.seen}"
        _, code, text = goaway_of(got.payload)
        assert code in codes, f"GOAWAY with {code} ({text!r}), expected {codes}"
        while self.recv(timeout) is not None:
            pass
        return got

    def expect_reset(self, stream, *codes, timeout=READ_S):
        """RST_STREAM for this stream with one of these codes; the connection lives."""
        got = self.recv_kind(RST_STREAM, GOAWAY, stream=None, timeout=timeout)
        while got is not None and got.kind == RST_STREAM and got.stream != stream:
            got = self.recv_kind(RST_STREAM, GOAWAY, timeout=timeout)
        assert got is not None and got.kind == RST_STREAM, f"no RST_STREAM but {got}, after {self.seen}"
        code = int.from_bytes(got.payload, "big")
        assert code in codes, f"RST_STREAM with {code}, expected {codes}"
        self.expect_alive()

    def expect_status(self, stream, status, timeout=READ_S):
        got = self.recv_kind(HEADERS, RST_STREAM, GOAWAY, stream=stream, timeout=timeout)
        assert got is not None and got.kind == HEADERS, f"no response but {got}, after {self.seen}"
        equal(dict(got.payload)[":status"], str(status))
        return got

    def expect_alive(self):
        """A PING comes back."""
        self.frame(PING, payload=b"alive?!?")
        while True:
            got = self.recv_kind(PING, GOAWAY)
            assert got is not None and got.kind == PING, f"the connection ended with {got}, after {self.seen}"
            if got.flags & ACK and got.payload == b"alive?!?":
                return
