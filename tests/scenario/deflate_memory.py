"""What compression may cost: bombs, receivers that do not read, CompressionMemory, idle connections."""

import select
import time

import pmd
from harness import alone, equal, flavours, in_threads, limit, wait
from pmd import CLIENT_ALONE, FIELD, NAME, RSV1, SERVER_ALONE, Side, fields, offer
from wire import BINARY, CLOSE, CONT, PONG, TEXT, Listener, open_ws, relayed

MIB = 1 << 20
LISTEN = "[listen main]\nAddress=127.0.0.1:0\n"


def echo_ini(*keys, server=""):
    route = "[route ws]\nPath=/*\nAction=echo\nCompression=edge\n"
    return f"[server]\nWorkers=1\n{server}\n{LISTEN}{route}" + "\n".join(keys)


def forward_ini(listener, *keys):
    return (
        f"[server]\nWorkers=1\n{LISTEN}[route ws]\nPath=/*\nAction=forward\nBackend=app\nCompression=edge\n"
        + "\n".join(keys)
        + f"\n[backend app]\nAddress={listener.address}\n"
    )


def read_message(ws, timeout=60):
    """Reads a message and tells only its length, the number of its frames and whether all of it was zeros."""
    size, frames = 0, 0
    while True:
        got = ws.recv_frame(timeout)
        assert got is not None, "the connection ended"
        if got.opcode & 8:
            continue
        size, frames = size + len(got.payload), frames + 1
        assert not any(got.payload)
        if got.fin:
            return size, frames


# ---- bombs


@limit(120)
@alone
def test_deflate_bomb_gets_1009_and_costs_no_memory(t):
    bomb = pmd.bomb(1024 * MIB)
    assert len(bomb) < 1.2 * MIB
    listener = Listener(t, "unix")
    for ini in (echo_ini(), forward_ini(listener)):
        daemon = t.daemon(ini)
        before = daemon.peak_kib()
        for _ in range(5):
            if "forward" in ini:
                ws, app = relayed(t, daemon.port("main"), listener, fields=fields(NAME))
            else:
                ws = open_ws(t, daemon.port("main"), fields=fields(NAME))
            ws.send_as_far_as_possible(ws.frame(BINARY, bomb, rsv=RSV1))
            if "forward" in ini:
                app.read_all()
            ws.expect_close(1009, skip=(BINARY, CONT))
        if not t.sanitized:
            assert daemon.peak_kib() - before < 4096, (before, daemon.peak_kib())


@limit(120)
@alone
def test_deflate_bomb_toward_a_backend_that_does_not_read(t):
    size = 64 * MIB
    listener = Listener(t, "unix")
    daemon = t.daemon(forward_ini(listener, "MaxMessageSize=0", "KeepAliveInterval=0"))
    ws, app = relayed(t, daemon.port("main"), listener, fields=fields(NAME))
    other, other_app = relayed(t, daemon.port("main"), listener, fields=fields(NAME))
    before = daemon.peak_kib()
    data = ws.frame(BINARY, pmd.bomb(size), rsv=RSV1) + ws.frame(TEXT, b"behind it")
    ws.send(data)
    # the others go on meanwhile
    for _ in range(20):
        other.text("x")
        other_app.expect(TEXT, "x")
    select.select([ws.sock], [], [], 0.3)
    if not t.sanitized:
        assert daemon.peak_kib() - before < 4096, (before, daemon.peak_kib())
    cpu = daemon.cpu_seconds()
    select.select([ws.sock], [], [], 0.5)
    assert daemon.cpu_seconds() - cpu < 0.2, "it spins"
    got, frames = read_message(app)
    equal(got, size)
    assert frames > 100
    app.expect(TEXT, "behind it")
    if not t.sanitized:
        assert daemon.peak_kib() - before < 4096, (before, daemon.peak_kib())
    ws.send_close()
    app.expect_close(1000)


@limit(120)
def test_deflate_bombs_with_a_small_buffer_and_a_slow_reader(t):
    listener = Listener(t, "tcp")
    daemon = t.daemon(forward_ini(listener, "MaxMessageSize=0", "BufferLimit=1K"))
    ws, app = relayed(t, daemon.port("main"), listener, fields=fields(NAME))
    one = pmd.bomb(MIB)
    count = 5

    def send():
        for _ in range(count):
            ws.send(ws.frame(BINARY, one[:300], rsv=RSV1, fin=False) + ws.frame(CONT, one[300:]))
            ws.text("between")

    def read():
        for _ in range(count):
            equal(read_message(app)[0], MIB)
            app.expect(TEXT, "between")

    in_threads(send, read)
    ws.send_close()
    app.expect_close(1000)


@limit(120)
def test_deflate_echo_of_bombs_gives_others_their_turn(t):
    daemon = t.daemon(echo_ini("MaxMessageSize=0"))
    ws, other = (open_ws(t, daemon.port("main"), fields=fields(offer(CLIENT_ALONE))) for _ in range(2))
    count = 20
    ws.send(ws.frame(BINARY, pmd.bomb(16 * MIB), rsv=RSV1) * count)
    worst = 0
    for _ in range(20):
        began = time.monotonic()
        other.ping(b"x")
        other.expect(PONG, b"x")
        worst = max(worst, time.monotonic() - began)
    assert worst < 0.5 * t.factor, worst
    side = Side()
    for _ in range(count):
        opcode, data, wire = side.read(ws, timeout=60)
        equal((opcode, len(data)), (BINARY, 16 * MIB))
        assert wire < MIB
    ws.finish()


def test_deflate_client_that_waits_is_closed_cleanly(t):
    """Bytes of a bomb are kept when one side goes, or a drain closes."""
    listener = Listener(t, "unix")
    daemon = t.daemon(forward_ini(listener, "MaxMessageSize=0", "CloseTimeout=1s", "KeepAliveInterval=0"), access=True)
    bomb = pmd.bomb(16 * MIB)
    for how in ("abort", "close", "app", "app close", "drain"):
        ws, app = relayed(t, daemon.port("main"), listener, fields=fields(NAME))
        ws.send(ws.frame(BINARY, bomb, rsv=RSV1) + ws.frame(TEXT, b"behind"))
        equal(app.recv_frame().fin, False)
        if how in ("abort", "close"):
            # it is not read, so nobody sees it go until the application takes what there is
            ws.abort() if how == "abort" else ws.close()
            app.read_all()
        elif how == "app":
            app.abort()
            ws.expect_close(1014)
            ws.send_frame(CLOSE, b"\x03\xf6")
            ws.expect_end()
        elif how == "app close":
            app.send_close(4001)
            ws.expect_close(4001)
            ws.send_close(4001)
            equal(read_message(app)[0] > MIB, True)
            app.expect(TEXT, "behind")
            app.expect_close(4001)
        else:
            daemon.stop()
            ws.expect_close(1001)
        line = daemon.access()[0]
        equal((line["route"], line["status"]), ("ws", 101))


# ---- CompressionMemory


def test_deflate_memory_limit_takes_takeover_and_then_all(t):
    daemon = t.daemon(echo_ini(server="CompressionMemory=1M"))
    port = daemon.port("main")
    both = offer(SERVER_ALONE, CLIENT_ALONE)
    open_ones, answers = [], []
    for _ in range(30):
        ws = open_ws(t, port, fields=fields(NAME))
        answers.append(ws.response.get(FIELD))
        if answers[-1] is not None:
            side = Side(takeover=answers[-1] == NAME, peer_takeover=answers[-1] == NAME)
            # half of a message to us keeps a decompressor
            side.talk(ws, pmd.words(1000))
            payload = side.deflate(pmd.words(1000))
            ws.send_frame(TEXT, payload[:100], rsv=RSV1, fin=False)
            assert ws.recv_frame().rsv == RSV1
        else:
            ws.text("plain")
            ws.expect(TEXT, "plain")
        open_ones.append(ws)
    # some with takeover (about 300 KiB each), some without, then nothing
    assert 3 <= answers.count(NAME) <= 5, answers
    assert answers.count(both) >= 1, answers
    assert answers.count(None) >= 1, answers
    equal(answers, sorted(answers, key=[NAME, both, None].index))
    for ws in open_ones:
        ws.abort()

    def again():
        return open_ws(t, port, fields=fields(NAME)).response.get(FIELD) == NAME

    wait(again, what="takeover again once they are gone")


def test_deflate_memory_limit_binds_connections_that_are_open_already(t):
    port = t.daemon(echo_ini(server="CompressionMemory=1M")).port("main")
    sockets = [open_ws(t, port, fields=fields(NAME)) for _ in range(80)]
    sides = [Side() for _ in sockets]
    equal({ws.response.get(FIELD) for ws in sockets}, {NAME})
    message = pmd.noise(600, 7)
    remember = plain = refused = 0
    for ws, side in zip(sockets, sides):
        # the gateway's compressor: remembers, then not any more, then is not used
        ws.binary(message)
        ws.binary(message)
        first, second = side.read(ws), side.read(ws)
        equal((first[1], second[1]), (message, message))
        remember += second[2] is not None and second[2] < 100
        plain += second[2] is None
    assert 1 <= remember <= 6, remember
    equal(plain, 0)  # one of the pool serves them all
    for ws, side in zip(sockets, sides):
        # each client whose message is open needs zlib for itself
        side.send(ws, BINARY, message)
        got = ws.recv_frame()
        if got.opcode == CLOSE:
            equal(got.code, 1013)
            refused += 1
            continue
        equal(side.inflate(got.payload) if got.rsv else got.payload, message)
        ws.send_frame(BINARY, side.deflate(message), rsv=RSV1, fin=False)
        assert ws.recv_frame().opcode == BINARY
    # a decompressor and a compressor each, until twice the limit
    assert 4 <= 80 - refused < 30, refused


# ---- idle connections


@limit(120)
@alone
@flavours("plain")
def test_deflate_idle_connections_hold_no_zlib_memory_without_takeover(t):
    count = 300
    cost = {}
    for name, keys in (
        ("off", ("Compression=off",)),
        ("alone", ("ServerContextTakeover=no", "ClientContextTakeover=no")),
        ("takeover", ()),
    ):
        ini = echo_ini(*keys) if name != "off" else echo_ini().replace("Compression=edge", "Compression=off")
        daemon = t.daemon(ini)
        sockets = []

        def talk(ws):
            if ws.response.get(FIELD) is None:
                ws.text("x" * 500)
                ws.expect(TEXT, "x" * 500)
            else:
                Side().talk(ws, "x" * 500)

        for _ in range(50):
            ws = open_ws(t, daemon.port("main"), fields=fields(NAME))
            talk(ws)
            sockets.append(ws)
        before = daemon.rss_kib()
        for _ in range(count):
            ws = open_ws(t, daemon.port("main"), fields=fields(NAME))
            talk(ws)
            sockets.append(ws)
        cost[name] = (daemon.rss_kib() - before) / count
        daemon.stop()
    print(f"KiB for each idle connection: {cost}")
    assert cost["alone"] - cost["off"] < 1, cost
    assert 50 < cost["takeover"] < 350, cost
