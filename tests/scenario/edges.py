"""Nothing is lost at an edge: messages of all sizes, pauses, holds and ends of every kind at once, each byte checked.

Sockets are edge-triggered (docs/architecture.md), so an event that is lost is a WebSocket that hangs, and here a time-out.
"""

import asyncio
import random
import struct

from harness import FACTOR, equal, tag
from tls import Authority
from wire import BINARY, CLOSE, close_payload, frame, handshake_head

CLIENTS = 12
MESSAGES = 25
SIZES = (1, 20, 125, 126, 1000, 16 << 10, 70_000, 256 << 10, 300_000)
LIMIT_S = 100

INI = """
[server]
Workers={workers}
[listen clear]
Address=127.0.0.1:0
[listen tls]
Address=127.0.0.1:0
TLS=yes
Certificate={pem}
CertificateKey={key}
[route echo]
Path=/echo
Action=echo
[route forward]
Path=/forward
Action=forward
Backend=app
[backend app]
Address={backend}
"""

BACKEND = """
[server]
Workers=1
[listen main]
Address={address}
[route all]
Path=/*
Action=echo
"""


class Client:
    """A random script, the same in every run: what it sends, in which pieces, and when it does not read."""

    def __init__(self, seed, port, path, tls):
        self.chance = random.Random(seed)
        self.where = {"host": "127.0.0.1", "port": port, "ssl": tls, "limit": 1 << 16}
        self.path = path
        self.sent = [self.chance.randbytes(self.chance.choice(SIZES)) for _ in range(MESSAGES)]
        self.at_once = self.chance.random() < 0.5  # the FIN right behind the Close
        self.slow = self.chance.random() < 0.5

    async def pause(self):
        if self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.random() * 0.02)

    async def write(self, writer):
        for i, message in enumerate(self.sent):
            data = frame(BINARY, message, mask=self.chance.randbytes(4))
            if i == len(self.sent) - 1:
                data += frame(CLOSE, close_payload(1000, "over"))
            while data:
                size = self.chance.choice((1, 5, 100, 4096, len(data), len(data)))
                writer.write(data[:size])
                data = data[size:]
                await writer.drain()
                await self.pause()
        if self.at_once and writer.can_write_eof():
            writer.write_eof()

    async def frame(self, reader):
        """An answer's opcode, whether it is the last of its message, and what it holds, as it comes."""
        first, size = await reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await reader.readexactly(8))
        parts = []
        while size:
            if self.slow:
                await self.pause()
            parts.append(await reader.read(min(size, self.chance.choice((300, 20_000, 1 << 20)))))
            assert parts[-1], "the end within a frame"
            size -= len(parts[-1])
        return first & 15, bool(first & 0x80), b"".join(parts)

    async def read(self, reader):
        for i, message in enumerate(self.sent):
            got, fin = b"", False
            while not fin:
                _, fin, part = await self.frame(reader)
                got += part
            assert got == message, f"message {i} came back otherwise: {len(message)} bytes, {len(got)}"
        equal(await self.frame(reader), (CLOSE, True, close_payload(1000, "over")))
        equal(await reader.read(), b"")

    async def run(self):
        reader, writer = await asyncio.open_connection(**self.where)
        try:
            writer.write(handshake_head(self.path))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            await asyncio.gather(self.write(writer), self.read(reader))
        finally:
            writer.transport.abort()


async def leave(port, path, tls, chance):
    """Somebody who goes in the middle of a message, again and again."""
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(handshake_head(path))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(BINARY, bytes(1 << 20))[: chance.randrange(1 << 20)])
        await asyncio.sleep(chance.random() * 0.05)
        writer.transport.abort()


async def crowd(ports, context):
    tasks = []
    for seed in range(CLIENTS * 4):
        tls = context if seed % 2 else None
        path = "/echo" if seed % 4 < 2 else "/forward"
        client = Client(seed, ports[bool(tls)], path, tls)
        tasks.append(asyncio.wait_for(client.run(), LIMIT_S * FACTOR))
        if seed < 4:
            tasks.append(leave(ports[bool(tls)], path, tls, random.Random(seed)))
    await asyncio.gather(*tasks)


def check(t, address, workers):
    authority = Authority(t)
    pem, key = authority.issue("127.0.0.1")
    backend = t.daemon(BACKEND.format(address=address))
    if address.endswith(":0"):
        address = f"127.0.0.1:{backend.port('main')}"
    daemon = t.daemon(INI.format(backend=address, pem=pem, key=key, workers=workers))
    asyncio.run(crowd((daemon.port("clear"), daemon.port("tls")), authority.context()))
    daemon.wait_quiet()
    backend.wait_quiet()


@tag("tsan")
def test_edges_lose_nothing_with_a_unix_backend(t):
    check(t, f"unix:{t.tmp}/app.sock", 1)


def test_edges_lose_nothing_with_a_tcp_backend(t):
    check(t, "127.0.0.1:0", 2)
