"""The daemon below a supervisor: what it tells on the notify socket, the watchdog, sockets that are passed in."""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import socket
import threading
import time

from harness import contains, equal, in_threads, tag, waits
from wire import TEXT, connect, open_ws, request_head

INI = """
[listen main]
Address={address}
[route ws]
Path=/ws
Action=echo
"""
TCP = INI.format(address="127.0.0.1:0")
PASSED = INI.format(address="systemd:web")


class Supervisor:
    """The far end of a notify socket; what was told is a list of (time, {name: value})."""

    def __init__(self, t, name="notify"):
        self.path = t.tmp / name
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        t.at_end(self._sock.close, late=True)
        self._sock.bind(str(self.path))
        self._sock.setblocking(False)
        self.told = []
        self.t = t

    def start(self, ini, **options):
        env = {"NOTIFY_SOCKET": str(self.path), **options.pop("env", {})}
        daemon = self.t.daemon(ini, env=env, **options)
        if "libsystemd" not in pathlib.Path(f"/proc/{daemon.pid}/maps").read_text():
            self.t.skip("built without libsystemd")
        return daemon

    def look(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self._sock.recv(8192).decode()
                self.told.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))
        return self.told

    def all(self, name, since=0):
        """Every value of a name that was told so far, but for the first messages."""
        return [message[name] for _, message in self.look()[since:] if name in message]

    def wait(self, name, value=None, since=0):
        """The first value of a name, or one that says this somewhere."""

        def found():
            return next((v for v in self.all(name, since) if value is None or value in v), None)

        return self.t.wait(found, what=f"{name}={value or ''} in {self.told[since:]}")


def listening(t, kind=socket.AF_INET):
    sock = socket.socket(kind)
    t.at_end(sock.close, late=True)
    sock.bind(("127.0.0.1", 0) if kind == socket.AF_INET else str(t.tmp / "passed.sock"))
    sock.listen(512)
    return sock


# ---- the notify socket


def test_supervise_every_step_is_told(t):
    supervisor = Supervisor(t)
    daemon = supervisor.start("[server]\nDrainTimeout=4s\n" + TCP)
    port = daemon.port("main")
    equal(supervisor.wait("READY"), "1")
    equal(supervisor.wait("STATUS"), "Serving 0 connections, 0 WebSockets")
    sockets = [open_ws(t, port) for _ in range(3)]

    before, began = len(supervisor.look()), time.monotonic_ns() // 1000
    daemon.signal(signal.SIGHUP)
    supervisor.wait("READY", since=before)
    told = [message for _, message in supervisor.told[before:]]
    equal(told[0]["RELOADING"], "1")
    assert began <= int(told[0]["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000, told
    equal(list(told[1]), ["READY"])
    supervisor.wait("STATUS", "Serving 3 connections, 3 WebSockets", since=before)

    before = len(supervisor.look())
    daemon.ini.write_text("nonsense")
    daemon.signal(signal.SIGHUP)
    supervisor.wait("STATUS", "the last reload was refused", since=before)
    equal([next(iter(m)) for _, m in supervisor.told[before:]], ["RELOADING", "READY", "STATUS"])

    before = len(supervisor.look())
    daemon.signal(signal.SIGTERM)
    supervisor.wait("STATUS", "Draining 3 connections", since=before)
    equal(list(supervisor.told[before][1]), ["STOPPING"])
    in_threads(*(lambda ws=ws: (ws.expect_fail(1001), ws.close()) for ws in sockets))
    equal(daemon.wait_end(), 0)
    progress = [s for s in supervisor.all("STATUS", before) if re.match("Draining [12] connections, [12] WebSockets", s)]
    assert progress, supervisor.told[before:]
    # so long a drain may take longer than TimeoutStopSec
    assert all(2_000_000 < int(us) for us in supervisor.all("EXTEND_TIMEOUT_USEC", before))
    assert len(supervisor.all("EXTEND_TIMEOUT_USEC", before)) >= 1
    assert re.search("draining: [12] of 3 connections left", daemon.log)


@waits
def test_supervise_status_follows_the_numbers(t):
    supervisor = Supervisor(t)
    daemon = supervisor.start(TCP)
    ws = open_ws(t, daemon.port("main"))
    supervisor.wait("STATUS", "Serving 1 connections, 1 WebSockets")
    before = len(supervisor.look())
    ws.finish()
    supervisor.wait("STATUS", "Serving 0 connections, 0 WebSockets", since=before)
    equal(supervisor.all("WATCHDOG"), [], "nobody asked for it")


def test_supervise_a_supervisor_that_is_gone_is_no_trouble(t):
    supervisor = Supervisor(t)
    daemon = supervisor.start(TCP, env={"WATCHDOG_USEC": "60000"})
    supervisor.wait("WATCHDOG")
    os.unlink(supervisor.path)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done")
    open_ws(t, daemon.port("main")).finish()
    equal(daemon.stop(), 0)


# ---- the watchdog

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: threads as well


@contextlib.contextmanager
def stuck(t, pid, name):
    """One thread of the daemon stands still: seized by a tracer, as no signal could do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    tasks = pathlib.Path(f"/proc/{pid}/task")
    tid = next(int(p.name) for p in tasks.iterdir() if (p / "comm").read_text().strip() == name)
    if libc.ptrace(PTRACE_SEIZE, tid, None, None) == -1:
        t.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
    try:
        equal(libc.ptrace(PTRACE_INTERRUPT, tid, None, None), 0)
        os.waitpid(tid, WALL)
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, tid, None, None)


@waits
@tag("tsan")
def test_supervise_watchdog_hears_of_every_worker(t):
    supervisor = Supervisor(t)
    interval = 0.9 * t.factor
    daemon = supervisor.start("[server]\nWorkers=3\n" + TCP, env={"WATCHDOG_USEC": str(int(interval * 1e6))})

    def signs(since):
        return len(supervisor.all("WATCHDOG", since))

    t.wait(lambda: signs(0) >= 4, what="signs of life")
    # one worker of three is stuck: not a word, although all else works, and systemd would kill the daemon
    with stuck(t, daemon.pid, "worker-1"):
        daemon.wait_log("worker-1 has not answered for [0-9]+ ms")
        before, end = len(supervisor.look()), time.monotonic() + 2 * interval
        t.wait(lambda: time.monotonic() > end, timeout=3 * interval)
        equal(signs(before), 0, "signs of life while a worker is stuck")
    t.wait(lambda: signs(before) >= 3, what="signs of life of the worker that goes on")
    daemon.wait_logged("all workers answer again")
    equal(daemon.log.count("has not answered"), 1)


# ---- sockets that are passed in


def echoes(t, where, text="x"):
    with contextlib.closing(open_ws(t, where)) as ws:
        ws.text(text)
        ws.expect(TEXT, text)
        ws.finish()


def test_supervise_passed_sockets_are_found_by_name(t):
    web, other, unix = listening(t), listening(t), listening(t, socket.AF_UNIX)
    ini = PASSED + "[listen more]\nAddress=systemd:more 127.0.0.1:0\n"
    daemon = t.daemon(ini, sockets=[("more", other), ("web", web), ("more", unix), ("spare", listening(t))])
    for where in (web.getsockname()[1], other.getsockname()[1], unix.getsockname(), daemon.port("more")):
        echoes(t, where)
    equal(web.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
    contains(daemon.log, "a socket of the name spare, but no [listen] section has Address=systemd:spare")
    equal(daemon.log.count("warning"), 1, daemon.log)
    equal(daemon.stop(), 0)
    # it is not ours to remove
    assert pathlib.Path(unix.getsockname()).exists()


def test_supervise_passed_sockets_that_are_not_there(t):
    connected, _ = socket.socketpair()
    for sockets, words in (
        ([], "systemd passed in no socket of this name"),
        ([("one", listening(t)), ("two", listening(t))], "no socket of this name (but one, two)"),
        ([("web", connected)], "no listening stream socket"),
    ):
        daemon = t.daemon(PASSED, sockets=sockets, ready=False)
        equal(daemon.wait_end(), 71)
        daemon.expected_end = 71
        contains(daemon.log, "[listen main] Address", "cannot listen on systemd:web", words)


def test_supervise_reload_gives_a_passed_socket_up_and_takes_it_back(t):
    web = listening(t)
    port = web.getsockname()[1]
    both = PASSED + "[listen own]\nAddress=127.0.0.1:0\n"
    daemon = t.daemon(both, sockets=[("web", web)])
    files = daemon.open_files()
    echoes(t, port)
    for _ in range(3):
        daemon.ini.write_text(both.replace("Address=systemd:web\n", "Address=127.0.0.2:0\n"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("but no \\[listen\\] section has Address=systemd:web")
        t.wait(lambda: daemon.log.count("reload: done") % 2 == 1, what="the first reload")
        # who comes now waits: it is not refused, and costs nothing
        waiting = connect(t, port)
        waiting.send(request_head(target="/waits"))
        before = daemon.cpu_seconds()
        waiting.expect_silence(0.5)
        assert daemon.cpu_seconds() - before < 0.3 * t.factor, "the daemon spins"
        echoes(t, daemon.port("own"))
        done = daemon.log.count("reload: done")
        daemon.ini.write_text(both)
        daemon.signal(signal.SIGHUP)
        t.wait(lambda: daemon.log.count("reload: done") > done, what="the second reload")
        equal(waiting.read_response().status, 404)
        waiting.close()
        echoes(t, port)
    t.wait(lambda: daemon.open_files() == files, what=f"{files} open files")


class Connects:
    """Opens one WebSocket after the other until it is stopped; anything that goes wrong is kept."""

    def __init__(self, t, port, count=2):
        self.t, self.port = t, port
        self.done, self.errors, self.longest = 0, [], 0.0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        try:
            while not self._end.is_set():
                began = time.monotonic()
                echoes(self.t, self.port)
                self.longest = max(self.longest, time.monotonic() - began)
                self.done += 1
        except BaseException as error:
            self.errors.append(error)

    def more(self, count=20):
        seen = self.done
        self.t.wait(lambda: self.done > seen + count or self.errors, what="more connections")

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]


def test_supervise_restart_refuses_no_connect(t):
    """What systemctl restart does with a socket unit: the old daemon ends, then the new one gets the same socket."""
    web = listening(t)
    ini = "[server]\nDrainTimeout=500ms\n" + PASSED
    daemon = t.daemon(ini, sockets=[("web", web)])
    connects = Connects(t, web.getsockname()[1])
    for _ in range(3):
        connects.more()
        daemon.signal(signal.SIGTERM)
        equal(daemon.wait_end(), 0)
        daemon = t.daemon(ini, sockets=[("web", web)])
    connects.more()
    connects.stop()


def test_supervise_two_versions_share_a_socket(t):
    """An upgrade where nobody waits: the new daemon gets the socket too before the old one drains."""
    web = listening(t)
    port = web.getsockname()[1]
    ini = "[server]\nDrainTimeout=4s\n" + PASSED
    old = t.daemon(ini, sockets=[("web", web)])
    kept = [open_ws(t, port) for _ in range(4)]
    connects = Connects(t, port)
    connects.more()
    new = t.daemon(ini, sockets=[("web", web)])
    connects.more()
    connects.longest = 0.0
    old.signal(signal.SIGTERM)
    old.wait_log("draining")
    connects.more(50)
    for ws in kept:
        ws.expect_fail(1001)
    equal(old.wait_end(), 0)
    connects.more()
    connects.stop()
    assert connects.longest < 4 * t.factor, f"a client waited for {connects.longest} s"
    equal(new.stop(), 0)
