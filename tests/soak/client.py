"""Clients of the soak: one process with many WebSockets that check every byte that comes back.

    client.py JSON

The argument says what the process does (see KEYS). It is told by lines on its standard input: `go` begins, `quiet` ends
all WebSockets and is answered when they are gone, `lenient` and `strict` say what counts, after `last` nothing new is
opened; the end of the input ends it. Each is answered with a line of JSON: the counts, and what went wrong.

Every WebSocket sends messages that are pieces of a pool of random bytes and expects each of them back, in order and
exact, over an echo or over a backend that echoes. A WebSocket may end in three ways, else it is an error: by the
client's Close, and then everything that was sent has come back before; by a Close of the other side with a code; or cut
within a frame, where no Close could be sent. `lenient` allows a cut anywhere: while memory is refused to the daemon.
"""

import asyncio
import base64
import collections
import json
import os
import random
import ssl
import struct
import sys
import time
import zlib

KEYS = {
    "kind": "h1, h2, kill: which leaves in the middle of a message, or get: HTTP requests for a file",
    "file": "what a get has to bring",
    "host": "", "port": "", "path": "", "tls": "", "compress": "",
    "count": "WebSockets at once", "streams": "of them on one HTTP/2 connection",
    "sizes": "[least, most] of a message", "window": "messages in flight", "text": "",
    "pause": "between two messages, in seconds, at most", "slow": "between two reads, in seconds, at most",
    "life": "of a WebSocket, in seconds, at most", "seed": "",
}
POOL = 1 << 21
MASK = b"\x37\xfa\x21\x3d"
KEY = base64.b64encode(b"soak soak soak s").decode()
NEVER = "the server takes no new streams"  # the request was not looked at: not an error (RFC 9113 8.7)
GRACE_S = 60  # for what is in flight when a WebSocket is to be closed
OPEN_S = 60
REFUSALS = {429, 502, 503, 504}


def xor(data, key=MASK):
    n = len(data)
    whole = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "little") ^ int.from_bytes(whole, "little")).to_bytes(n, "little")


class Pool:
    """Payloads: slices at multiples of four, so that they are masked once and for all."""

    def __init__(self, kind):
        chance = random.Random(kind)
        if kind == "text":
            plain = bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz 0123456789", k=POOL))
        elif kind == "words":
            words = [bytes(chance.choices(b"etaoinshrdlu", k=chance.randrange(3, 9))) for _ in range(500)]
            plain = b" ".join(chance.choices(words, k=POOL // 4))[:POOL]
        else:
            plain = chance.randbytes(POOL)
        self.plain = memoryview(plain * 2)
        self.masked = memoryview(xor(plain) * 2)


class Fault(Exception):
    """Something that the gateway must not do."""


class Cut(Exception):
    """The connection ended without a Close."""


class Stats:
    def __init__(self):
        self.counts = collections.Counter()
        self.faults = []

    def fault(self, what):
        self.counts["faults"] += 1
        if len(self.faults) < 20:
            self.faults.append(f"{time.strftime('%H:%M:%S')} {what}")


# ---- carriers: what a WebSocket's bytes go through


class Plain:
    """An HTTP/1.1 connection."""

    def __init__(self, spec, tls):
        self.spec, self.tls = spec, tls
        self.writer = None

    async def open(self, extensions):
        self.reader, self.writer = await asyncio.open_connection(
            self.spec["host"], self.spec["port"], ssl=self.tls, limit=1 << 16,
            server_hostname="localhost" if self.tls else None,
        )
        extra = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.writer.write(
            f"GET {self.spec['path']} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extra}\r\n".encode()
        )
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Cut("in the handshake") from error
        return int(head[9:12]), b"permessage-deflate" in head

    def write(self, *parts):
        self.writer.writelines(parts)

    async def room(self):
        await self.writer.drain()

    async def read(self):
        return await self.reader.read(1 << 16)

    def close(self, abort=False):
        if self.writer is not None:
            if abort:
                self.writer.transport.abort()
            else:
                self.writer.close()


class Stream:
    """A stream of an HTTP/2 connection."""

    def __init__(self, shared):
        self.shared = shared
        self.id = None
        self.chunks = collections.deque()
        self.news, self.window = asyncio.Event(), asyncio.Event()
        self.status, self.ended, self.failed = None, False, None
        self.out = bytearray()

    async def open(self, extensions):
        await self.shared.connect()
        self.shared.begin(self)
        while self.status is None:
            await self._wait()
        return self.status, False

    async def _wait(self):
        if self.failed:
            raise Cut(self.failed)
        self.news.clear()
        await self.news.wait()

    def write(self, *parts):
        for part in parts:
            self.out += part
        self.shared.pump(self)

    async def room(self):
        while self.out and not self.failed:
            self.window.clear()
            await self.window.wait()
        if self.failed:
            raise Cut(self.failed)

    async def read(self):
        while not self.chunks:
            if self.ended:
                return b""
            await self._wait()
        data, size = self.chunks.popleft()
        self.shared.taken(self, size)
        return data

    def close(self, abort=False):
        self.shared.leave(self, abort)


class Shared(asyncio.Protocol):
    """An HTTP/2 connection and its streams."""

    def __init__(self, spec, tls):
        self.spec, self.tls = spec, tls
        self.streams, self.transport, self.gone, self.ready = {}, None, False, None
        self.retired, self.error, self.never = False, None, 0

    async def connect(self):
        if self.ready is None:
            self.ready = asyncio.ensure_future(self._connect())
        await asyncio.shield(self.ready)

    async def _connect(self):
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
        import hyperframe.frame

        self.events, self.errors = h2.events, h2.exceptions
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        # the library would end the connection at a GOAWAY: streams that are open go on (RFC 9113 6.8)
        self.h2._frame_dispatch_table[hyperframe.frame.GoAwayFrame] = self._on_goaway
        self.settled = asyncio.Event()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self, self.spec["host"], self.spec["port"], ssl=self.tls,
                server_hostname="localhost" if self.tls else None,
            )
        except BaseException:
            self.gone = True
            raise
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self._flush()
        await self.settled.wait()
        if self.gone:
            raise Cut("before the settings")

    def _flush(self):
        data = self.h2.data_to_send()
        if data and not self.gone:
            self.transport.write(data)

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        self._gone(self.error or f"connection lost: {error}")

    def _on_goaway(self, frame):
        self.retired = True
        self.last_stream = frame.last_stream_id
        if frame.error_code:
            self.error = f"GOAWAY {frame.error_code} {frame.additional_data}"
        for number, stream in list(self.streams.items()):
            if number > frame.last_stream_id:
                self.never += 1
                self._fail(stream, NEVER)
        return [], []

    def _gone(self, why):
        self.gone = True
        self.settled.set()
        for stream in list(self.streams.values()):
            self._fail(stream, why)

    def _fail(self, stream, why):
        stream.failed = stream.failed or why
        stream.news.set()
        stream.window.set()

    def data_received(self, data):
        if self.gone:
            return
        try:
            events = self.h2.receive_data(data)
        except self.errors.ProtocolError as error:
            self._gone(f"HTTP/2 protocol error: {error}")
            self.transport.abort()
            return
        for event in events:
            self._on(event)
        self._flush()

    def _on(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, self.events.RemoteSettingsChanged):
            self.settled.set()
        elif isinstance(event, self.events.WindowUpdated):
            for one in [stream] if stream else list(self.streams.values()):
                self.pump(one)
        elif stream is None:
            return
        elif isinstance(event, self.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, self.events.DataReceived):
            stream.chunks.append((event.data, event.flow_controlled_length))
        elif isinstance(event, self.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, self.events.StreamReset):
            self._fail(stream, f"stream reset {event.error_code}")
        stream.news.set() if stream else None

    def begin(self, stream):
        if self.gone or self.retired:
            raise Cut(NEVER)
        try:
            stream.id = self.h2.get_next_available_stream_id()
            self.h2.send_headers(stream.id, [
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https" if self.tls else "http"),
                (":path", self.spec["path"]), (":authority", "localhost"), ("sec-websocket-version", "13"),
            ])
        except self.errors.ProtocolError as error:  # GOAWAY came
            raise Cut(str(error)) from error
        self.streams[stream.id] = stream
        self._flush()

    def pump(self, stream):
        if self.gone or stream.failed or stream.id is None:
            return
        try:
            while stream.out:
                n = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size, len(stream.out))
                if n <= 0:
                    break
                self.h2.send_data(stream.id, bytes(stream.out[:n]))
                del stream.out[:n]
        except self.errors.ProtocolError as error:
            self._fail(stream, str(error))
        self._flush()
        if not stream.out:
            stream.window.set()

    def taken(self, stream, size):
        if not self.gone and size:
            try:
                self.h2.acknowledge_received_data(size, stream.id)
            except self.errors.ProtocolError:
                pass
            self._flush()

    def leave(self, stream, abort):
        if self.streams.pop(stream.id, None) is None or self.gone:
            return
        for _, size in stream.chunks:
            self.taken(stream, size)
        try:
            if stream.failed or stream.ended and not abort:
                self.h2.end_stream(stream.id)
            else:
                self.h2.reset_stream(stream.id, 8)
        except (self.errors.ProtocolError, KeyError):  # it has ended by itself
            pass
        self._flush()

    def close(self):
        if self.transport is not None:
            self.transport.close()


# ---- a WebSocket that checks what comes back


class Reader:
    """Takes frames apart and compares messages with what is expected, as the bytes come."""

    def __init__(self, ws):
        self.ws = ws
        self.had = bytearray()
        self.left = 0  # of the frame's payload
        self.in_message, self.compressed, self.parts = False, False, None
        self.at = 0  # of the message
        self.closed = None  # the code of the Close

    def partial(self):
        """Within a frame: whoever ends now cannot say why."""
        return self.left > 0 or len(self.had) > 0

    def feed(self, data):
        self.had += data
        while self.had and (self._payload() if self.left else self._header()):
            pass

    def _header(self):
        had = self.had
        if len(had) < 2:
            return False
        n, size = had[1] & 127, 2
        if had[1] & 128:
            raise Fault("a masked frame from the server")
        if n == 126:
            size, n = 4, struct.unpack(">H", had[2:4])[0] if len(had) >= 4 else None
        elif n == 127:
            size, n = 10, struct.unpack(">Q", had[2:10])[0] if len(had) >= 10 else None
        if n is None or len(had) < size:
            return False
        first = had[0]
        opcode = first & 15
        if opcode >= 8:
            if len(had) < size + n:
                return False
            payload = bytes(had[size : size + n])
            del had[: size + n]
            self._control(opcode, payload)
            return True
        del had[:size]
        self._begin(first, opcode, n)
        return True

    def _control(self, opcode, payload):
        if opcode == 8:
            if self.closed is not None:
                raise Fault("a second Close")
            self.closed = int.from_bytes(payload[:2], "big") if payload else 1005
            self.ws.on_close(payload)
        elif opcode == 9:
            self.ws.pong(payload)

    def _begin(self, first, opcode, n):
        if self.closed is not None:
            raise Fault("a frame behind the Close")
        if (opcode == 0) != self.in_message:
            raise Fault("fragments out of order")
        if opcode:
            if not self.ws.expected:
                raise Fault(f"a message of {n} bytes that nobody sent")
            if opcode != self.ws.opcode:
                raise Fault("a message of the other type")
            self.compressed = bool(first & 0x40)
            self.parts = bytearray() if self.compressed else None
            self.at = 0
        self.in_message = not first & 0x80
        self.left = n
        if n == 0:
            self._end_of_frame()

    def _payload(self):
        n = min(self.left, len(self.had))
        piece = self.had[:n]
        del self.had[:n]
        self.left -= n
        if self.parts is not None:
            self.parts += piece
        else:
            self._compare(piece)
        if self.left == 0:
            self._end_of_frame()
        return True

    def _compare(self, piece):
        off, size = self.ws.expected[0]
        if self.at + len(piece) > size or self.ws.pool.plain[off + self.at : off + self.at + len(piece)] != piece:
            raise Fault(f"wrong bytes in message {self.ws.received} of {size} bytes, from {self.at}")
        self.at += len(piece)

    def _end_of_frame(self):
        if self.in_message:
            return
        if self.parts is not None:
            self._compare(self.ws.inflater.decompress(bytes(self.parts) + b"\0\0\xff\xff"))
        off, size = self.ws.expected[0]
        if self.at != size:
            raise Fault(f"message {self.ws.received} has {self.at} of {size} bytes")
        self.ws.on_message(size)


class WebSocket:
    def __init__(self, crowd, carrier):
        spec = crowd.spec
        self.crowd, self.spec, self.stats, self.chance = crowd, spec, crowd.stats, crowd.chance
        self.carrier, self.pool = carrier, crowd.pool
        self.expected = collections.deque()
        self.opcode = 1 if spec.get("text") or spec.get("compress") else 2
        self.received, self.closing, self.is_open = 0, False, False
        self.more = asyncio.Event()
        self.reader = Reader(self)
        self.deflater = self.inflater = None

    def frame(self, first, n):
        if n < 126:
            return bytes([first, 0x80 | n]) + MASK
        if n < 65536:
            return struct.pack(">BBH", first, 0xFE, n) + MASK
        return struct.pack(">BBQ", first, 0xFF, n) + MASK

    def pong(self, payload):
        self.carrier.write(self.frame(0x8A, len(payload)), xor(payload))

    def send_close(self, payload):
        if not self.closing:
            self.closing = True
            self.carrier.write(self.frame(0x88, len(payload)), xor(payload))

    def on_close(self, payload):
        self.stats.counts[f"closed {self.reader.closed}"] += 1
        self.send_close(payload[:2])
        self.more.set()

    def on_message(self, size):
        self.expected.popleft()
        self.received += 1
        self.stats.counts["messages"] += 1
        self.stats.counts["bytes"] += size
        self.more.set()

    def size(self):
        least, most = self.spec["sizes"]
        return int(least * (most / least) ** self.chance.random())

    def send_message(self):
        size = self.size()
        off = self.chance.randrange(POOL // 4) * 4
        self.expected.append((off, size))
        first = 0x80 | self.opcode
        if self.deflater is not None and self.chance.random() < 0.9:
            data = self.deflater.compress(self.pool.plain[off : off + size]) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
            data = data[:-4]
            self.carrier.write(self.frame(first | 0x40, len(data)), xor(data))
        elif size > 1000 and self.chance.random() < 0.2:
            cut = self.chance.randrange(1, size // 4) * 4
            self.carrier.write(self.frame(self.opcode, cut), self.pool.masked[off : off + cut])
            self.carrier.write(self.frame(0x80, size - cut), self.pool.masked[off + cut : off + size])
        else:
            self.carrier.write(self.frame(first, size), self.pool.masked[off : off + size])

    async def sender(self, until):
        while not self.closing and time.monotonic() < until and not self.crowd.stopping:
            if len(self.expected) >= self.spec["window"]:
                self.more.clear()
                await asyncio.wait_for(self.more.wait(), GRACE_S)
                continue
            self.send_message()
            await self.carrier.room()
            if self.spec["pause"]:
                await asyncio.sleep(self.chance.random() * self.spec["pause"])
        while self.expected and not self.closing:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), GRACE_S)
        if not self.closing:
            self.send_close(b"\x03\xe8")

    async def receiver(self):
        slow = self.spec.get("slow")
        while True:
            data = await self.carrier.read()
            if not data:
                break
            self.reader.feed(data)
            if slow and not self.crowd.stopping:
                await asyncio.sleep(self.chance.random() * slow)
        if self.reader.closed is None:
            raise Cut("the end of the stream")

    async def talk(self):
        until = time.monotonic() + self.chance.uniform(0.1, 1) * self.spec["life"]
        sender = asyncio.ensure_future(self.sender(until))
        try:
            await self.receiver()
            if not sender.done():
                await asyncio.wait({sender}, timeout=1)
        finally:
            if not sender.done():
                sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if not sender.cancelled() and isinstance(sender.exception(), asyncio.TimeoutError):
            raise Fault(f"nothing came for {GRACE_S} s, {len(self.expected)} messages are owed")

    async def kill(self):
        """Leave in the middle of a large message."""
        size = self.spec["sizes"][1]
        self.carrier.write(self.frame(0x82, size), self.pool.masked[: self.chance.randrange(size)])
        await asyncio.sleep(self.chance.random() * self.spec["life"])
        self.stats.counts["killed"] += 1

    async def run(self):
        extensions = "permessage-deflate" if self.spec.get("compress") else None
        status, deflate = await asyncio.wait_for(self.carrier.open(extensions), OPEN_S)
        if status not in (101, 200):
            self.stats.counts[f"refused {status}"] += 1
            if status not in REFUSALS and (not self.crowd.lenient or status == 400):
                raise Fault(f"a handshake was answered with {status}")
            await asyncio.sleep(0.05 + self.chance.random() * 0.2)
            return
        self.stats.counts["opened"] += 1
        self.is_open = True
        if deflate:
            self.deflater, self.inflater = zlib.compressobj(1, wbits=-15), zlib.decompressobj(-15)
        await (self.kill() if self.spec["kind"] == "kill" else self.talk())


class Crowd:
    """All WebSockets of this process: each place is taken again when one ends."""

    def __init__(self, spec):
        self.spec, self.stats, self.chance = spec, Stats(), random.Random(spec["seed"])
        self.pool = Pool("words" if spec.get("compress") else "text" if spec.get("text") else "binary")
        self.stopping, self.lenient, self.last = False, False, False
        self.tls = None
        if spec.get("tls"):
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
            if spec["kind"] == "h2":
                self.tls.set_alpn_protocols(["h2"])

    async def one(self, carrier):
        ws = WebSocket(self, carrier)
        lenient = self.lenient
        try:
            await ws.run()
        except Fault as fault:
            self.stats.fault(f"{self.spec['path']} {self.spec['kind']}: {fault}")
        except ConnectionRefusedError:
            self.stats.fault("a connect was refused")
        except (Cut, OSError, asyncio.TimeoutError, ssl.SSLError) as why:
            lenient = lenient or self.lenient
            if ws.reader.closed is not None or self.spec["kind"] == "kill":
                pass
            elif ws.reader.partial():
                self.stats.counts["cut within a frame"] += 1
            elif str(why) == NEVER:
                self.stats.counts["streams not taken"] += 1
            elif lenient:
                self.stats.counts["cut while lenient" + (", open" if ws.is_open else "")] += 1
            else:
                self.stats.fault(
                    f"{self.spec['path']} {self.spec['kind']}: cut without a Close after {ws.received} messages, "
                    f"{len(ws.expected)} owed: {type(why).__name__} {why}"
                )
        finally:
            carrier.close(abort=self.spec["kind"] == "kill" or ws.reader.closed is None)
        if lenient or self.lenient:
            await asyncio.sleep(0.2)

    async def get(self):
        """Requests for a file, whole and in parts, on a connection that is kept."""
        want = memoryview(self.file)
        until = time.monotonic() + self.chance.uniform(0.1, 1) * self.spec["life"]
        reader, writer = await asyncio.open_connection(
            self.spec["host"], self.spec["port"], ssl=self.tls, server_hostname="localhost" if self.tls else None
        )
        try:
            while not (self.stopping or self.last) and time.monotonic() < until:
                off = self.chance.randrange(len(want))
                part = f"Range: bytes={off}-\r\n" if self.chance.random() < 0.5 else ""
                writer.write(f"GET {self.spec['path']} HTTP/1.1\r\nHost: localhost\r\n{part}\r\n".encode())
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), OPEN_S)
                fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if ": " in line)
                status, size = int(head[9:12]), int(fields["content-length"])
                body = await asyncio.wait_for(reader.readexactly(size), GRACE_S)
                if status in (200, 206):
                    if body != want[off if part else 0 :]:
                        raise Fault(f"wrong bytes in a file of {size} bytes")
                    self.stats.counts["files"] += 1
                elif status not in REFUSALS and not self.lenient:
                    raise Fault(f"a request was answered with {status}")
                if fields.get("connection") == "close":
                    break
                await asyncio.sleep(self.chance.random() * self.spec["pause"])
        finally:
            writer.close()

    async def get_place(self):
        while not (self.stopping or self.last):
            lenient = self.lenient
            try:
                await self.get()
            except Fault as fault:
                self.stats.fault(f"{self.spec['path']} get: {fault}")
            except asyncio.IncompleteReadError as cut:
                # between two responses the connection may go (a reload); within one, with its backend only
                if cut.partial and not (lenient or self.lenient or self.spec["backend"]):
                    self.stats.fault(f"{self.spec['path']} get: cut within a response after {len(cut.partial)} bytes")
                self.stats.counts["gets cut"] += 1
            except (OSError, asyncio.TimeoutError) as why:
                if isinstance(why, (ConnectionRefusedError, asyncio.TimeoutError)):
                    self.stats.fault(f"{self.spec['path']} get: {type(why).__name__}")
                self.stats.counts["gets broken"] += 1
                await asyncio.sleep(0.1)

    async def place(self):
        while not (self.stopping or self.last):
            await self.one(Plain(self.spec, self.tls))

    async def connection(self):
        while not (self.stopping or self.last):
            shared = Shared(self.spec, self.tls)
            end = time.monotonic() + self.spec["life"] * 2

            async def stream_place(shared=shared, end=end):
                while not (self.stopping or self.last or shared.gone or shared.retired) and time.monotonic() < end:
                    await self.one(Stream(shared))
                    await asyncio.sleep(0.02)

            await asyncio.gather(*(stream_place() for _ in range(self.spec["streams"])))
            shared.close()

    async def run(self):
        self.stopping = False
        if self.spec["kind"] == "h2":
            places = [self.connection() for _ in range(self.spec["count"] // self.spec["streams"])]
        elif self.spec["kind"] == "get":
            with open(self.spec["file"], "rb") as file:
                self.file = file.read()
            places = [self.get_place() for _ in range(self.spec["count"])]
        else:
            places = [self.place() for _ in range(self.spec["count"])]
        await asyncio.gather(*places)


async def main(spec):
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    crowd = Crowd(spec)
    running = None
    while line := (await commands.readline()).decode().strip():
        if line == "go":
            running = asyncio.ensure_future(crowd.run())
        elif line in ("lenient", "strict"):
            crowd.lenient = line == "lenient"
        elif line == "last":
            crowd.last = True
        elif line == "quiet" and running is not None:
            crowd.stopping = True
            await running
            running = None
        print(json.dumps({"did": line, "counts": crowd.stats.counts, "faults": crowd.stats.faults}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
