"""Context takeover of idle WebSockets: zlib's memory goes, what both sides remember does not."""

import os
import subprocess

import peers
import pmd
from harness import equal, limit, tag, wait, waits
from metrics import scrape
from pmd import NAME, Side, fields, offer
from wire import BINARY, Listener, open_ws, relayed

KIB = 1 << 10


def start(t, *keys, action="echo", memory="256M", workers=1):
    route = f"[route ws]\nPath=/*\nAction={action}\nCompression=edge\nCompressionMinSize=0\n"
    return t.daemon(
        f"[server]\nWorkers={workers}\nCompressionMemory={memory}\nAdminAddress=unix:{t.tmp}/admin.sock\n"
        f"[listen main]\nAddress=127.0.0.1:0\n{route}" + "\n".join(keys) + "\n"
    )


def memory(t):
    return scrape(t).sum("wsrelayd_compression_memory_bytes")


def falls(t, below, what, timeout=60):
    wait(lambda: memory(t) < below, timeout=timeout, what=what)


@tag("tsan")
@waits
@limit(120)
def test_deflate_idle_memory_goes_and_the_next_messages_are_understood(t):
    daemon = start(t, workers=2)
    count = 40
    sockets = [open_ws(t, daemon.port("main"), fields=fields(NAME)) for _ in range(count)]
    sides = [Side() for _ in sockets]
    texts = [pmd.words(2000, seed) for seed in range(count)]
    first = [side.talk(ws, text) for ws, side, text in zip(sockets, sides, texts)]
    awake = memory(t)
    assert awake > count * 290 * KIB, awake
    for _ in range(2):
        # two workers with a spare stream of each kind, and twice what was said for each connection
        falls(t, 2 * 320 * KIB + count * 2 * 5000, "the idle streams are put away")
        for ws, side, text, size in zip(sockets, sides, texts, first):
            # what was said before is still referred to, by both
            assert side.talk(ws, text) < size / 4
        assert memory(t) > count * 290 * KIB
    for ws in sockets:
        ws.finish()


@waits
@limit(120)
def test_deflate_idle_with_every_window(t):
    listener = Listener(t, "unix")
    daemon = start(t, f"Backend=app\n[backend app]\nAddress={listener.address}", action="forward")
    open_ones = []
    for bits in range(9, 16):
        want = offer(f"server_max_window_bits={bits}", f"client_max_window_bits={bits}")
        for twin in range(2):
            ws, app = relayed(t, daemon.port("main"), listener, fields=fields(want))
            data = pmd.noise((1 << bits) - 300, bits + twin)
            open_ones.append((ws, app, Side(bits=bits, peer_bits=bits), data))
    for turn in range(3):
        for ws, app, side, data in open_ones:
            wire = side.send(ws, BINARY, data)
            app.expect_message(BINARY, data)
            app.send_frame(BINARY, data[::-1])
            _, got, size = side.read(ws)
            equal(got, data[::-1])
            assert turn == 0 or max(len(wire), size) < len(data) / 2, (turn, len(wire), size, len(data))
        # one spare stream of each of two, and what each remembers
        most = memory(t) / 2 + sum(4 * ((1 << bits) + 64) for bits in range(9, 16))
        falls(t, most, "all are put away")
    for ws, app, _, _ in open_ones:
        ws.send_close()
        app.expect_close(1000)


@waits
@limit(180)
def test_deflate_idle_for_long_is_smaller_still(t):
    daemon = start(t)
    count, said = 20, 40_000
    sockets = [open_ws(t, daemon.port("main"), fields=fields(NAME)) for _ in range(count)]
    sides = [Side() for _ in sockets]
    texts = [pmd.words(said, seed) for seed in range(count)]
    first = [side.talk(ws, text) for ws, side, text in zip(sockets, sides, texts)]
    # what the gateway has said is forgotten, what it was told is packed: words become a third
    falls(t, 320 * KIB + count * 20_000, "it is packed and forgotten", timeout=100)
    for ws, side, text, size in zip(sockets, sides, texts, first):
        again = side.talk(ws, text)
        # our own compressor knows 32 KiB of 40,000 bytes; the gateway's begins anew
        assert 0.9 < again / size < 1.1, (again, size)
        assert side.talk(ws, text[-1000:]) < 200
    for ws in sockets:
        ws.finish()


@waits
@limit(120)
def test_deflate_idle_makes_room_for_new_connections(t):
    """CompressionMemory of 2M is six connections; those that were idle for seconds give way to new ones."""
    daemon = start(t, memory="2M")
    sockets, sides, text = [], [], pmd.words(1500)

    def another():
        ws = open_ws(t, daemon.port("main"), fields=fields(NAME))
        if ws.response.get("Sec-WebSocket-Extensions") != NAME:
            ws.abort()
            return False
        sides.append(Side())
        assert sides[-1].talk(ws, text) > 100
        sockets.append(ws)
        return True

    while len(sockets) < 30:
        wait(another, what=f"context takeover for connection {len(sockets)}")
    for ws, side in zip(sockets, sides):
        side.talk(ws, text)
    for ws in sockets:
        ws.finish()


def test_deflate_idle_past_the_limit_nobody_who_is_open_is_refused(t):
    daemon = start(t, memory="1M")
    sockets = [open_ws(t, daemon.port("main"), fields=fields(NAME)) for _ in range(60)]
    equal({ws.response.get("Sec-WebSocket-Extensions") for ws in sockets}, {NAME})
    sides = [Side() for _ in sockets]
    text = pmd.words(3000)
    for _ in range(3):
        for ws, side in zip(sockets, sides):
            side.talk(ws, text)
    assert memory(t) < 2 << 20
    for ws in sockets:
        ws.finish()


# ---- by others' software


@waits
@limit(120)
def test_deflate_idle_by_python_clients(t):
    import asyncio

    peers.need_websockets(t)
    daemon = start(t)
    count = 10
    texts = [pmd.words(5000, seed) for seed in range(count)]

    async def clients():
        url = f"ws://127.0.0.1:{daemon.port('main')}/x"
        sockets = [await peers.connect(url, compression="deflate").__aenter__() for _ in range(count)]
        for _ in range(3):
            for ws, text in zip(sockets, texts):
                await ws.send(text)
                equal(await ws.recv(), text)
            awake = memory(t)
            assert awake > count * 290 * KIB
            await asyncio.get_running_loop().run_in_executor(
                None, falls, t, 320 * KIB + count * 2 * 16_000, "the idle ones are put away")
        for ws in sockets:
            await ws.close()

    asyncio.run(clients())


@waits
@limit(120)
def test_deflate_idle_by_node_clients(t):
    peers.need_node(t)
    daemon = start(t)
    count = 10
    node = t.spawn(
        ["node", peers.HERE / "node_rounds.js", f"ws://127.0.0.1:{daemon.port('main')}/x", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    equal(peers.read_line(node), "open")
    for _ in range(3):
        os.write(node.stdin.fileno(), b"go\n")
        equal(peers.read_line(node), NAME)
        assert memory(t) > count * 290 * KIB
        falls(t, 320 * KIB + count * 2 * 16_000, "the idle ones are put away")
    node.stdin.close()
    equal(node.wait(peers.TALK_S), 0)
