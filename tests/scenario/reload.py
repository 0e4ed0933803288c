"""Reloads, many of them, under traffic: nothing is lost, nothing grows, and a refused one changes nothing."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

from harness import SANITIZED, equal, limit, open_files, tag
from wire import TEXT, Listener, WebSocket, check_101, connect, handshake_head, open_ws, relayed, request_head, status_of

BASE = """
[server]
Workers=2
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
"""


class Reloads:
    """Reloads one by one, each when the one before is through."""

    def __init__(self, t, daemon):
        self.t, self.daemon = t, daemon
        self._log = open(daemon._stderr, encoding="utf-8", errors="replace")
        t.at_end(self._log.close)
        self._log.seek(0, os.SEEK_END)
        self.done = 0

    def __call__(self, ini):
        self.daemon.ini.write_text(ini)
        self.daemon.signal(signal.SIGHUP)
        text = ""
        end = time.monotonic() + 20 * self.t.factor
        while "reload: done" not in text:
            text += self._log.readline()
            assert time.monotonic() < end and "nothing is changed" not in text, f"no reload: {text}"
            if not text.endswith("\n"):
                time.sleep(0.001)
        self.done += 1
        return text


def tls_files(t):
    t.need("openssl")
    for name in ("one", "two"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", t.tmp / f"{name}.key", "-out", t.tmp / f"{name}.pem", "-subj", f"/CN={name}"],
            check=True, capture_output=True, timeout=60,
        )


def variant(t, i, address):
    """The i-th configuration: listeners, routes, backends, certificates, limits and logs come, go and change."""
    name = ("one", "two")[i % 2]
    text = BASE.replace("Workers=2", f"Workers=2\nHandshakeTimeout={5 + i % 7}s\nAccessLog={t.tmp}/access{i % 2}.log")
    text += f"MaxMessageSize={100_000 + i}\nAllowedOrigins=https://{name}.example *\n"
    text += f"[listen tls]\nAddress=127.0.0.2:0\nTLS=yes\nCertificate={t.tmp}/{name}.pem\n"
    text += f"CertificateKey={t.tmp}/{name}.key\n"
    if i % 3:
        text += f"[listen extra]\nAddress=unix:{t.tmp}/extra{i % 3}.sock 127.0.0.3:0\n"
    text += f"[route app]\nPath=/app\nAction=forward\nBackend=b{i % 4}\n"
    text += f"[backend b{i % 4}]\nAddress={address}\nMaxFails={1 + i % 5}\n"
    if i % 2:
        # names come back: counters of names that are gone are kept for a while
        text += f"HealthCheckInterval=1h\n[route r{i % 20}]\nPath=/r{i}\nAction=echo\n"
    return text


class Traffic:
    """Echoes on WebSockets that stay, and on others that come and go, until it is stopped."""

    def __init__(self, t, port, kept):
        self.t, self.port, self.kept = t, port, kept
        self.echoed = self.opened = 0
        self.errors = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(f,), daemon=True) for f in (self._stay, self._come)]
        for thread in self._threads:
            thread.start()

    def _run(self, function):
        try:
            while not self._end.is_set():
                function()
        except BaseException as error:
            self.errors.append(error)

    def _stay(self):
        for ws in self.kept:
            ws.text(f"stays {self.echoed}")
        for ws in self.kept:
            ws.expect(TEXT, f"stays {self.echoed}")
        self.echoed += 1

    def _come(self):
        with contextlib.closing(connect(self.t, self.port, kind=WebSocket)) as ws:
            ws.send(handshake_head())
            check_101(ws.read_response())
            ws.text("comes")
            ws.expect(TEXT, "comes")
            ws.finish()
        self.opened += 1

    def check(self):
        if self.errors:
            raise self.errors[0]

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        self.check()


def anonymous_kib(pid):
    """Memory that is neither a file's nor shared: the heap, what is mapped, and stacks."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^(?:Anonymous|SwapPss):\s+(\d+) kB", text, re.M))


@limit(150)
@tag("tsan")
def test_reload_1000_times_under_traffic(t):
    # what grows shows on the plain build, when the heap has settled; the others look for errors of memory
    warm, count = (100, 100) if SANITIZED else (1000, 1000)
    tls_files(t)
    backend = Listener(t)
    daemon = t.daemon(variant(t, 0, backend.address))
    port = daemon.port("main")
    reload = Reloads(t, daemon)
    kept = [open_ws(t, port) for _ in range(10)]
    through, behind = relayed(t, port, backend, "/app")
    traffic = Traffic(t, port, kept)
    marks = {}
    for i in range(1, warm + count + 1):
        seen = traffic.echoed
        reload(variant(t, i, backend.address))
        if i % 50 == 0:
            through.text(f"{i}")
            behind.expect(TEXT, f"{i}")
            behind.text(f"{-i}")
            through.expect(TEXT, f"{-i}")
            t.wait(lambda: traffic.echoed > seen or traffic.errors, what="traffic goes on")
        traffic.check()
        if i >= warm and i % (count // 4) == 0:
            marks[i] = anonymous_kib(daemon.pid)
    traffic.stop()
    assert traffic.opened > count // 20, traffic.opened
    equal(daemon.port("main"), port)
    # one of the thousand configurations is in force: the last
    equal(status_of(t, port, handshake_head(f"/r{warm + count - 1}")).status, 404)
    equal(status_of(t, port, handshake_head("/ws", [("Origin", "https://nobody.example")])).status, 101)
    for ws in kept:
        ws.finish()
        ws.close()
    # 1,000 reloads that leak 512 bytes each would be 500 KiB
    first, *_, last = marks.values()
    print(f"{traffic.echoed} rounds, {traffic.opened} opened; memory in KiB: {marks}")
    if not SANITIZED:
        assert last - first < 350, marks
    # two listeners more or less, as this variant says, and the one WebSocket with its backend: no descriptor else
    reload(variant(t, 0, backend.address))
    fresh = t.daemon(variant(t, 0, backend.address))
    t.wait(lambda: open_files(daemon.pid) <= open_files(fresh.pid) + 2, what=f"{open_files(fresh.pid)} + 2 descriptors")
    through.text("still there")
    behind.expect(TEXT, "still there")


def test_reload_accepts_who_waits_at_a_listener_that_goes(t):
    daemon = t.daemon(BASE + "[listen old]\nAddress=127.0.0.2:0\n")
    where = ("127.0.0.2", daemon.port("old"))
    waiting = []
    daemon.signal(signal.SIGSTOP)
    try:
        daemon.ini.write_text(BASE)
        daemon.signal(signal.SIGHUP)
        waiting += [connect(t, where, kind=WebSocket) for _ in range(100)]
        for ws in waiting[1:]:
            ws.send(handshake_head())
    finally:
        daemon.signal(signal.SIGCONT)
    waiting[0].send(handshake_head())
    for ws in waiting:
        check_101(ws.read_response())
        ws.text("x")
        ws.expect(TEXT, "x")
        ws.finish()
    with contextlib.suppress(ConnectionRefusedError):
        connect(t, where)
        raise AssertionError("the old listener is still there")


def test_reload_that_is_refused_says_what_the_test_option_says(t):
    daemon = t.daemon(BASE)
    port = daemon.port("main")
    bad = BASE + "MaxMessageSize=lots\nNonsense=1\n[route two]\nPath=/two\nAction=dance\n[listen z]\nAddress=127.0.0.1:70000\n"
    daemon.ini.write_text(bad)
    tested = t.call("-t", "-c", daemon.ini)
    equal(tested.returncode, 78)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("nothing is changed")
    told = re.findall(r"^error: reload: (/.*)$", daemon.log, re.M)
    equal(told, tested.stderr.splitlines())
    assert len(told) == 4, told
    open_ws(t, port).finish()


def test_reload_is_refused_whole_when_the_system_refuses_a_part(t):
    """Each configuration changes many things, and its last one cannot be had."""
    taken = socket.socket()
    t.at_end(taken.close, late=True)
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    backend = Listener(t)
    daemon = t.daemon(BASE)
    port, files = daemon.port("main"), daemon.open_files()
    for last in (
        f"[listen taken]\nAddress=127.0.0.1:{taken.getsockname()[1]}\n",
        f"[listen file]\nAddress=unix:{daemon.ini}\n",
        f"[listen tls]\nAddress=127.0.0.4:0\nTLS=yes\nCertificate={daemon.ini}\nCertificateKey={daemon.ini}\n",
        f"[server]\nLogTarget={t.tmp}/no/such/folder/log\n",
        f"[server]\nAccessLog={t.tmp}/access.log\nLogTarget={t.tmp}/no/such/folder/log\n",
        f"[server]\nAccessLog={t.tmp}/no/such/folder/log\nLogTarget={t.tmp}/log\n",
    ):
        seen = daemon.log.count("nothing is changed")
        new = BASE.replace("Workers=2", "Workers=2\nLogLevel=debug").replace("/ws", "/changed")
        daemon.ini.write_text(
            f"{new}[listen unix]\nAddress=unix:{t.tmp}/new.sock 127.0.0.2:0\n[route p]\nPath=/p/*\nAction=proxy\n"
            f"Backend=b\n[backend b]\nAddress={backend.address}\nHealthCheckInterval=1s\n" + last
        )
        daemon.signal(signal.SIGHUP)
        t.wait(lambda: daemon.log.count("nothing is changed") > seen, what=f"the refusal of {last}")
        equal(daemon.port("main"), port)
        open_ws(t, port).finish()
        equal(status_of(t, port, handshake_head("/changed")).status, 404)
        equal(status_of(t, port, request_head(target="/p/x")).status, 404)
        assert not (t.tmp / "new.sock").exists(), f"a socket is left by {last}"
        backend.expect_nobody(0)
        assert not re.search("^debug:", daemon.log, re.M)
    t.wait(lambda: daemon.open_files() == files, what=f"{files} descriptors, not {daemon.open_files()}")


def refuses(t, then):
    """An application that refuses a handshake with a body of which most is missing; then(connection) is what it does."""
    listener = Listener(t)

    def serve():
        conn = listener.accept()
        conn.read_head()
        conn.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n0123456789")
        then(conn)

    threading.Thread(target=serve, daemon=True).start()
    return listener.address


@tag("tsan")
def test_reload_while_the_body_of_a_refusal_is_broken_off(t):
    """The connection that is broken off is the last that has the old snapshot: its access line still needs it."""
    go = threading.Event()
    for idle, then, by in (
        ("1s", lambda conn: go.wait(60), "gateway"),
        ("60s", lambda conn: go.wait(60) and conn.close(), "backend"),
    ):
        go.clear()
        ini = BASE.replace("Workers=2", "Workers=1") + "[route r]\nHost=r\nPath=/r\nAction=forward\nBackend=b\n"
        ini = ini.replace("[route ws]", f"IdleConnectionTimeout={idle}\n[route ws]")
        ini += f"[backend b]\nAddress={refuses(t, then)}\n"
        daemon = t.daemon(ini, access=True)
        client = connect(t, daemon.port("main"))
        client.send(handshake_head("/r", host="r"))
        equal(client.read_head().line.split()[1], "403")
        Reloads(t, daemon)(BASE)
        if by == "backend":
            go.set()
        line = daemon.access()[0]
        equal((line["status"], line["route"], line["closed_by"]), (403, "r", by))
        go.set()
