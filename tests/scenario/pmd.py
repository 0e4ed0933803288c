"""permessage-deflate (RFC 7692) at the level of bytes: one side's compressor and decompressor on Python's zlib."""

import random
import zlib

from harness import equal
from wire import CONT, TEXT

NAME = "permessage-deflate"
SERVER_BITS, CLIENT_BITS = "server_max_window_bits", "client_max_window_bits"
SERVER_ALONE, CLIENT_ALONE = "server_no_context_takeover", "client_no_context_takeover"
FIELD = "Sec-WebSocket-Extensions"
TAIL = b"\0\0\xff\xff"
RSV1 = 4


def offer(*parameters):
    """An offer, or an answer, with these parameters."""
    return "; ".join((NAME, *parameters))


def fields(*offers):
    """These values, each in a field of its own, for a handshake."""
    return [(FIELD, one) for one in offers]


class Side:
    """What one side of a connection compresses with, and what the other's messages are read with."""

    def __init__(self, bits=15, takeover=True, peer_bits=15, peer_takeover=True, level=6):
        self.bits, self.takeover, self.level = bits, takeover, level
        self.peer_bits, self.peer_takeover = peer_bits, peer_takeover
        self.deflater = self.inflater = None

    def deflate(self, data, flush=zlib.Z_SYNC_FLUSH):
        if self.deflater is None or not self.takeover:
            self.deflater = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)
        data = data.encode() if isinstance(data, str) else data
        out = self.deflater.compress(data) + self.deflater.flush(flush)
        assert out.endswith(TAIL)
        return out[: -len(TAIL)] or b"\0"

    def inflate(self, payload):
        """Byte by byte, so that zlib sees each distance that is beyond the window."""
        if self.inflater is None or not self.peer_takeover:
            self.inflater = zlib.decompressobj(-self.peer_bits)
        if self.peer_bits == 15:
            return self.inflater.decompress(payload + TAIL)
        return b"".join(self.inflater.decompress(bytes([byte])) for byte in payload + TAIL)

    # ---- on a wire.WebSocket

    def send(self, ws, opcode, data, cuts=()):
        """A compressed message, cut at these places of its payload."""
        payload = self.deflate(data)
        edges = [0, *cuts, len(payload)]
        for i, (start, end) in enumerate(zip(edges, edges[1:])):
            last = i == len(edges) - 2
            ws.send_frame(CONT if i else opcode, payload[start:end], rsv=0 if i else RSV1, fin=last)
        return payload

    def read(self, ws, timeout=10):
        """The next message, whatever its fragments: (opcode, data, its bytes on the wire or None when not compressed)."""
        got = ws.recv_frame(timeout)
        assert got is not None and got.opcode in (1, 2), got or ws.ended
        opcode, rsv, parts = got.opcode, got.rsv, [got.payload]
        assert rsv in (0, RSV1), got
        while not got.fin:
            got = ws.recv_frame(timeout)
            assert got is not None and (got.opcode, got.rsv) == (CONT, 0), got or ws.ended
            parts.append(got.payload)
        payload = b"".join(parts)
        if not rsv:
            return opcode, payload, None
        return opcode, self.inflate(payload), len(payload)

    def expect(self, ws, opcode, data, compressed=True, timeout=10):
        """The next message is this one, and is compressed or not; returns its bytes on the wire."""
        data = data.encode() if isinstance(data, str) else data
        got_opcode, got, size = self.read(ws, timeout)
        equal(got_opcode, opcode, "opcode")
        assert got == data, f"got {len(got)} bytes {got[:40]!r}, expected {len(data)} bytes {data[:40]!r}"
        equal(size is not None, compressed, "compressed")
        return size if compressed else len(data)

    def talk(self, ws, data, opcode=TEXT, compressed=True):
        """A compressed message and its echo; returns the echo's size on the wire."""
        self.send(ws, opcode, data)
        return self.expect(ws, opcode, data, compressed)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def words(size, seed=1):
    """Text that compresses to about a third."""
    source = random.Random(seed)
    known = ["".join(source.choice("etaoinshrdlu") for _ in range(source.randint(2, 9))) for _ in range(400)]
    return " ".join(source.choice(known) for _ in range(size // 3 + 1))[:size]


def bomb(size, level=9):
    """A message's payload that becomes so many zeros."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15)
    parts, piece = [], bytes(1 << 20)
    for _ in range(size >> 20):
        parts.append(deflater.compress(piece))
    parts.append(deflater.compress(bytes(size & ((1 << 20) - 1))))
    parts.append(deflater.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(parts)[: -len(TAIL)]
