"""Many connections, slow ones and dying ones: what they cost, and that nobody else notices."""

import pathlib
import re
import select
import socket
import subprocess
import sys
import time

import peers
from harness import FLAVOUR, SANITIZED, alone, equal, flavours, in_threads, limit, raise_open_files, tag
from wire import BINARY, CONT, PING, TEXT, Listener, WebSocket, check_101, connect, frame, handshake_head, open_ws
from wire import relayed

INI = """
[server]
Workers={workers}
MaxConnections=15000
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
MaxMessageSize=0
BufferLimit=256K
KeepAliveInterval=0
"""

BUFFER_LIMIT_KIB = 256


def echo_ini(workers=2):
    return INI.format(workers=workers)


class Crowd:
    """Processes of many.py that hold connections to one port."""

    def __init__(self, t, port, *counts):
        self.counts = counts
        script = pathlib.Path(__file__).with_name("many.py")
        self.processes = [
            t.spawn([sys.executable, script, port, count], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for count in counts
        ]
        self._expect("open")

    def _expect(self, word):
        for process, count in zip(self.processes, self.counts):
            equal(peers.read_line(process, 120), f"{word} {count}")

    def do(self, command):
        for process in self.processes:
            process.stdin.write(f"{command}\n".encode())
            process.stdin.flush()
        self._expect(command.split()[0])

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()


def warm(t, daemon, path="/ws"):
    """Has every worker serve a connection; returns how many files are open when all connections are gone."""
    sockets = [open_ws(t, daemon.port("main"), path) for _ in range(8)]
    files = daemon.open_files() - len(sockets)
    for ws in sockets:
        ws.finish()
    t.wait(lambda: daemon.open_files() <= files, what="the first connections are gone")
    return files


@alone
@limit(180)
@flavours("plain", "asan")
def test_load_ten_thousand_connections_at_once(t):
    each = 1_000 if SANITIZED else 5_000
    if not raise_open_files(2 * each + 1000):
        t.skip("the hard limit on open files is too low")
    daemon = t.daemon(echo_ini())
    files = warm(t, daemon)
    before = daemon.rss_kib()
    crowd = Crowd(t, daemon.port("main"), each, each)
    assert daemon.open_files() >= 2 * each
    for size in (10, 125, 2000):
        crowd.do(f"echo {size}")
    if FLAVOUR == "plain":
        grown = daemon.rss_kib() - before
        assert grown < 2 * 2 * each, f"{grown} KiB for {2 * each} idle connections"
    # all of them idle cost no processor time
    ws = open_ws(t, daemon.port("main"))
    cpu = daemon.cpu_seconds()
    ws.expect_silence(2)
    assert daemon.cpu_seconds() - cpu < 0.5 * t.factor
    crowd.do("close")
    ws.finish()
    t.wait(lambda: daemon.open_files() <= files + 2, 30, "all connections are gone")


# ---- how connections are spread over the workers


def spread(daemon):
    """How many descriptors each epoll instance of the daemon watches, the busiest first."""
    watched = []
    for link in pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            if "[eventpoll]" in str(link.readlink()):
                info = pathlib.Path(f"/proc/{daemon.pid}/fdinfo/{link.name}").read_text()
                watched.append(len(re.findall(r"^tfd:", info, re.M)))
        except FileNotFoundError:
            continue
    return sorted(watched, reverse=True)


@alone
@limit(120)
@flavours("plain")
def test_load_connections_are_spread_evenly_over_workers(t):
    workers = 4
    if not raise_open_files(7000):
        t.skip("the hard limit on open files is too low")
    for count, most in ((1, 1.0), (50, 1.5), (5000, 1.1)):
        daemon = t.daemon(echo_ini(workers))
        idle = spread(daemon)[:workers]
        crowd = Crowd(t, daemon.port("main"), count)
        busy = spread(daemon)[:workers]
        print(f"{count} connections: {idle} watched without, {busy} with them")
        # no worker has more than so many times its share, give or take what it watches when idle
        share = max(1, count / workers)
        assert busy[0] - min(idle) <= most * share + 2, f"{count} connections are spread as {busy}"
        crowd.do("echo 10")
        crowd.kill()


# ---- slow readers


def push(ws, data, patience=1.5):
    """Sends data again and again, reads nothing, until nothing is taken for so long; returns how many bytes were."""
    ws.sock.setblocking(False)
    sent, left = 0, b""
    while select.select([], [ws.sock], [], patience)[1]:
        left = left or data
        try:
            n = ws.sock.send(left)
        except BlockingIOError:
            continue
        left, sent = left[n:], sent + n
        assert sent < 256 << 20, "everything is taken: there is no back-pressure"
    ws.sock.setblocking(True)
    return sent


# what is sent first, and what again and again
PUSHED = {
    "large messages": (b"", frame(BINARY, bytes(1 << 20))),
    "small messages": (b"", frame(TEXT, b"x") * 10_000),
    "empty messages": (b"", frame(TEXT, b"") * 10_000),
    "pings": (b"", frame(PING, b"x" * 125) * 500),
    "one endless message": (frame(BINARY, b"x", fin=False), frame(CONT, bytes(60_000), fin=False) * 16),
}


def check_cost(name, daemon, before, count):
    grown = daemon.peak_kib() - before
    print(f"{name}: {grown / count:.0f} KiB for each of {count}")
    # an eighth more for what holds the buffers, and 2 MiB for the process
    assert grown <= count * BUFFER_LIMIT_KIB * 1.125 + 2048, f"{name}: {grown / count:.0f} KiB each"


@alone
@limit(120)
@flavours("plain")
def test_load_client_that_does_not_read_costs_buffer_limit_and_no_more(t):
    count = 24
    cases = []
    for name, (start, data) in PUSHED.items():
        daemon = t.daemon(echo_ini())
        for _ in range(3):
            ws = open_ws(t, daemon.port("main"))
            ws.binary(bytes(300_000))
            ws.expect_message(BINARY, bytes(300_000))
            ws.finish()
        sockets = [open_ws(t, daemon.port("main"), extra=start, receive_buffer=4096) for _ in range(count)]
        cases.append((name, daemon, data, sockets, daemon.peak_kib()))
    in_threads(*[lambda ws=ws, data=data: push(ws, data) for _, _, data, sockets, _ in cases for ws in sockets])
    for name, daemon, _, _, before in cases:
        check_cost(name, daemon, before, count)
    # nobody else notices, and nothing spins
    cpu = [daemon.cpu_seconds() for _, daemon, _, _, _ in cases]
    others = [open_ws(t, daemon.port("main")) for _, daemon, _, _, _ in cases]
    for other in others:
        began = time.monotonic()
        other.text("hello")
        other.expect(TEXT, "hello")
        assert time.monotonic() - began < 3
    others[0].expect_silence(1)
    for before, (name, daemon, _, _, _) in zip(cpu, cases):
        assert daemon.cpu_seconds() - before < 0.5, f"it spins: {name}"


@alone
@limit(120)
@flavours("plain")
def test_load_relay_to_one_who_does_not_read_costs_buffer_limit_and_no_more(t):
    count = 24
    cases = []
    for name, payload, repeat in (("large", bytes(1 << 20), 1), ("small", b"x", 10_000)):
        for by_client in (True, False):
            backend = Listener(t)
            ini = echo_ini().replace("Action=echo", "Action=forward\nBackend=app")
            daemon = t.daemon(ini + f"[backend app]\nAddress={backend.address}\n")
            pairs = [relayed(t, daemon.port("main"), backend, receive_buffer=4096) for _ in range(count)]
            data = (frame(BINARY, payload) if by_client else frame(BINARY, payload, mask=None)) * repeat
            senders = [pair[0 if by_client else 1] for pair in pairs]
            who = "client" if by_client else "backend"
            cases.append((f"{name} messages of the {who}", daemon, data, senders, daemon.peak_kib()))
    in_threads(*[lambda ws=ws, data=data: push(ws, data) for _, _, data, senders, _ in cases for ws in senders])
    for name, daemon, _, _, before in cases:
        check_cost(name, daemon, before, count)


@tag("tsan")
def test_load_slow_reader_gets_everything_in_the_end(t):
    daemon = t.daemon(echo_ini())
    ws = open_ws(t, daemon.port("main"), receive_buffer=4096)
    size, count = 50_000, 40 if SANITIZED else 200
    messages = [bytes([i % 256]) * size for i in range(count)]

    def send():
        for message in messages:
            ws.binary(message)

    def receive():
        for message in messages:
            ws.expect_message(BINARY, message, timeout=60)
            select.select([], [], [], 0.005)

    in_threads(send, receive)
    ws.finish()


@tag("tsan")
def test_load_byte_by_byte_senders(t):
    count = 50 if SANITIZED else 200
    daemon = t.daemon(echo_ini())
    sockets = [connect(t, daemon.port("main"), kind=WebSocket) for _ in range(count)]
    script = handshake_head() + frame(TEXT, "größer".encode()) + frame(BINARY, b"y" * 130)
    for at in range(len(script)):
        for ws in sockets:
            ws.send(script[at : at + 1])
    for ws in sockets:
        check_101(ws.read_response())
        ws.expect_message(TEXT, "größer")
        ws.expect_message(BINARY, b"y" * 130)
    for ws in sockets:
        ws.finish()


@tag("tsan")
@limit(120)
def test_load_short_connections_one_after_another(t):
    daemon = t.daemon(echo_ini())
    port = daemon.port("main")
    files = warm(t, daemon)

    def visit():
        for i in range(50 if SANITIZED else 300):
            with socket.create_connection(("127.0.0.1", port), 10 * t.factor) as sock:
                ws = WebSocket(sock)
                ws.send(handshake_head() + frame(TEXT, b"x"))
                check_101(ws.read_response())
                ws.expect(TEXT, "x")
                if i % 3 == 0:
                    ws.finish()
                elif i % 3 == 1:
                    ws.abort()

    in_threads(*[visit] * 4)
    t.wait(lambda: daemon.open_files() <= files, what="all connections are gone")


# ---- dying ones


def settles(t, daemon, files):
    """All connections are gone, and the daemon does nothing any more."""
    t.wait(lambda: daemon.open_files() <= files, 30, f"back to {files} open files, from {daemon.open_files()}")
    cpu, began = daemon.cpu_seconds(), time.monotonic()
    idle = socket.socketpair()
    select.select([idle[0]], [], [], 2)
    used = daemon.cpu_seconds() - cpu
    assert used < 0.3 * (time.monotonic() - began), f"{used} s of processor time after everybody has left"


@alone
@limit(120)
def test_load_clients_killed_inside_large_messages_do_not_make_it_spin(t):
    backend = Listener(t)
    ini = echo_ini() + "[route app]\nPath=/app\nAction=forward\nBackend=app\nMaxMessageSize=0\nCloseTimeout=1s\n"
    daemon = t.daemon(ini + f"[backend app]\nAddress={backend.address}\n")
    port = daemon.port("main")
    files = warm(t, daemon)
    large = frame(BINARY, bytes(4 << 20))
    for how in ("close", "abort"):
        for cut in (5, 1000, 1 << 20, 3 << 20):
            # with the echo unread, and with nothing to be read
            ws = open_ws(t, port, receive_buffer=4096)
            ws.sock.settimeout(1)
            try:
                ws.sock.sendall(large[:cut])
            except TimeoutError:
                pass  # it is held, as it should be
            getattr(ws, how)()
            # both sides of a relay
            for one in (0, 1):
                pair = relayed(t, port, backend, path="/app")
                source = pair[one]
                source.sock.settimeout(1)
                try:
                    source.sock.sendall(large[:cut] if one == 0 else frame(BINARY, bytes(4 << 20), mask=None)[:cut])
                except TimeoutError:
                    pass
                getattr(source, how)()
                getattr(pair[1 - one], how)()
    settles(t, daemon, files)


@alone
@flavours("plain", "asan")
def test_load_a_thousand_clients_killed_at_once(t):
    daemon = t.daemon(echo_ini())
    files = warm(t, daemon)
    crowd = Crowd(t, daemon.port("main"), 500, 500)
    crowd.do("echo 1000")
    crowd.kill()
    settles(t, daemon, files)


@alone
@limit(120)
def test_load_killed_process_in_the_middle_of_sending(t):
    daemon = t.daemon(echo_ini())
    files = warm(t, daemon)
    flood = (
        "import socket, sys\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "s.sendall(bytes.fromhex(sys.argv[2])); print('on', flush=True)\n"
        "while True: s.sendall(bytes(65536))\n"
    )
    # an endless frame whose echo is never read, and one whose echo is what keeps it going
    start = handshake_head() + frame(BINARY, announce=1 << 50, mask=b"\0\0\0\0")
    processes = [
        t.spawn([sys.executable, "-c", flood, daemon.port("main"), start.hex()], stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    for process in processes:
        equal(peers.read_line(process), "on")
    cpu = daemon.cpu_seconds()
    other = open_ws(t, daemon.port("main"))
    other.expect_silence(2)
    assert daemon.cpu_seconds() - cpu < 1.5 * t.factor, "it spins while they are stuck"
    for process in processes:
        process.kill()
        process.wait()
    other.finish()
    settles(t, daemon, files)
