"""wsrelayctl as an administrator uses it: tables, JSON, filters, reload with errors, drain, and clear errors."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

from admin import ROUTES, connections, socket_of, start
from harness import FACTOR, PROGRAM, START_S, STOP_S, contains, equal, tag, waits
from wire import TEXT, Listener, open_ws, relayed

CTL = PROGRAM.parent / "wsrelayctl"


def run(t, *args, status=0, stdin=None, env=None, argv0=CTL, **options):
    """Runs wsrelayctl to its end; returns its CompletedProcess."""
    done = subprocess.run(
        [str(argv0), *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=START_S * FACTOR,
        cwd=t.tmp,
        check=False,
        **options,
    )
    equal(done.returncode, status, done.stderr + done.stdout)
    return done


def ctl(t, daemon, *args, **options):
    return run(t, "-c", daemon.ini, *args, **options)


def rows(text):
    """A table's lines as dicts; columns are told apart by two blanks."""
    lines = text.splitlines()
    titles = re.split(r" {2,}", lines[0].strip())
    return [dict(zip(titles, re.split(r" {2,}", line.strip()))) for line in lines[1:]]


# ---- options and errors


def test_ctl_help_version_and_usage(t):
    contains(run(t, "--help").stdout, "status", "connections", "top", "close", "reload", "drain", "metrics")
    contains(run(t, "-V").stdout, "wsrelayctl ")
    for args in ([], ["stop"], ["--bad"], ["close"], ["close", "x"], ["drain", "--json"], ["top", "-n", "x"]):
        done = run(t, *args, status=64)
        contains(done.stderr, "wsrelayctl: ")
        equal(done.stdout, "")


def test_ctl_says_why_it_cannot_reach_the_daemon(t):
    contains(run(t, "-c", t.tmp / "no.ini", "status", status=71).stderr, "no.ini", "No such file")
    ini = t.tmp / "a.ini"
    ini.write_text(ROUTES)
    contains(run(t, "-c", ini, "status", status=78).stderr, "a.ini", "AdminAddress")
    ini.write_text(f"[server]\nAdminAddress=0.0.0.0:1\n{ROUTES}")
    contains(run(t, "-c", ini, "status", status=78).stderr, "a.ini:2: [server] AdminAddress=0.0.0.0:1")
    ini.write_text(f"[server]\nAdminAddress=127.0.0.1:0\n{ROUTES}")
    contains(run(t, "-c", ini, "status", status=78).stderr, "127.0.0.1:0")
    ini.write_text(f"[server]\nAdminAddress=unix:{socket_of(t)}\n{ROUTES}")
    contains(run(t, "-c", ini, "status", status=2).stderr, str(socket_of(t)), "not running")
    # somebody else's dead socket
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(socket_of(t)))
    dead.close()
    contains(run(t, "-c", ini, "status", status=2).stderr, "not running")
    contains(run(t, "-a", f"unix:{socket_of(t)}", "status", status=2).stderr, "not running")
    contains(run(t, "-a", "nonsense", "status", status=64).stderr, "nonsense")
    # who answers, but not as the daemon does
    impostor = Listener(t)

    def answer():
        for body in (b"hello", b"id\tx\n1\n", b""):
            conn = impostor.accept_request()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        conn = impostor.accept_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        conn.abort()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    for _ in range(3):
        contains(run(t, "-a", impostor.address, "connections", status=2).stderr, "no such table")
    contains(run(t, "-a", impostor.address, "connections", status=2).stderr, "cut short")
    thread.join()


def test_ctl_without_permission(t):
    t.need_root()
    daemon = start(t)
    done = ctl(t, daemon, "status", status=2, user="nobody", group="nogroup", extra_groups=[])
    contains(done.stderr, "Permission denied", "group")


def test_ctl_finds_the_address_in_a_drop_in(t):
    folder = t.tmp / "wsrelayd.ini.d"
    folder.mkdir()
    (folder / "50-admin.ini").write_text(f"[server]\nAdminAddress=unix:{socket_of(t)}\n")
    daemon = t.daemon(ROUTES)
    contains(ctl(t, daemon, "status").stdout, "ready")
    (folder / "60-none.ini").write_text("[server]\nAdminAddress=\n")
    contains(ctl(t, daemon, "status", status=78).stderr, "AdminAddress")


# ---- looking


@tag("tsan")
def test_ctl_status_and_connections(t):
    backend = Listener(t, "unix")
    routes = f"{ROUTES}[route app]\nPath=/app\nAction=forward\nBackend=app\n[backend app]\nAddress={backend.address}\n"
    daemon = start(t, routes)
    sockets = [open_ws(t, daemon.port("main"), fields=[("Sec-WebSocket-Protocol", "chat")]) for _ in range(3)]
    sockets[0].text("x" * 20000)
    sockets[0].expect_message(TEXT, "x" * 20000)
    client, _ = relayed(t, daemon.port("main"), backend, "/app")
    status = ctl(t, daemon, "status").stdout
    assert re.search(r"^state: +ready$", status, re.M), status
    assert re.search(rf"^pid: +{daemon.pid}$", status, re.M), status
    assert re.search(r"^connections: +4$", status, re.M), status
    assert re.search(r"^websockets: +4$", status, re.M), status
    assert re.search(rf"^app +{re.escape(backend.address)} +up +1 +0$", status, re.M), status
    found = json.loads(ctl(t, daemon, "status", "--json").stdout)
    equal((found["state"], found["connections"], found["backends"][0]["up"]), ("ready", 4, True))
    table = rows(ctl(t, daemon, "connections").stdout)
    equal(len(table), 4)
    for row in table:
        equal((row["KIND"], row["CLIENT"], row["LISTENER"], row["TLS"]), ("websocket", "127.0.0.1", "main", "-"))
    equal(sorted(row["ROUTE"] for row in table), ["app", "ws", "ws", "ws"])
    equal([row["BYTES IN"] for row in table if row["BYTES IN"] != "0"], ["19.5K"])
    equal({row["SUBPROTOCOL"] for row in table if row["ROUTE"] == "ws"}, {"chat"})
    row = rows(ctl(t, daemon, "connections", "--route", "app", "--client", "127.0.0.0/8").stdout)
    equal([(r["BACKEND"], r["ROUTE"]) for r in row], [(backend.address, "app")])
    equal(len(rows(ctl(t, daemon, "connections", "--client=::1").stdout)), 0)
    equal(len(rows(ctl(t, daemon, "connections", "--kind=http").stdout)), 0)
    found = json.loads(ctl(t, daemon, "--json", "connections", "--route", "ws").stdout)
    equal([e["route"] for e in found], ["ws"] * 3)
    equal({e["id"] for e in found}, {e["id"] for e in connections(t, "?route=ws")})
    contains(ctl(t, daemon, "metrics").stdout, "wsrelayd_build_info{version=")
    assert client.response.status == 101


def test_ctl_over_tcp(t):
    daemon = t.daemon(f"[server]\nAdminAddress=127.0.0.1:0\n{ROUTES}")
    port = daemon.wait_log(r"admin endpoint on 127\.0\.0\.1:(\d+)")[1]
    for address in (f"127.0.0.1:{port}", f"localhost:{port}"):
        contains(run(t, "-a", address, "status").stdout, "ready")


def test_ctl_peer_bytes_do_not_reach_the_terminal(t):
    backend = Listener(t)
    daemon = start(t, f"""
[listen main]
Address=127.0.0.1:0
TrustedProxies=127.0.0.1
[route app]
Path=/*
Action=forward
Backend=app
[backend app]
Address={backend.address}
""")
    name = "a!#$%&'*+-.^_`|~z"
    client, _ = relayed(t, daemon.port("main"), backend, fields=[("Sec-WebSocket-Protocol", name)],
        answer=[("Sec-WebSocket-Protocol", name)])
    out = ctl(t, daemon, "connections").stdout
    contains(out, name)
    assert all(c == "\n" or " " <= c <= "~" for c in out), out
    # an endpoint that lies
    impostor = Listener(t)

    def answer():
        body = b"evil \x1b[2J\x9b1m\r\n"
        conn = impostor.accept_request()
        conn.send(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    done = run(t, "-a", impostor.address, "reload", status=1)
    equal(done.stderr, "evil \\x1b[2J\\x9b1m\\x0d\n")
    thread.join()
    client.close()


@waits
def test_ctl_top_shows_rates(t):
    daemon = start(t)
    busy, other, idle = (open_ws(t, daemon.port("main"), p) for p in ("/ws", "/other", "/ws"))
    done = threading.Event()

    def talk():
        while not done.is_set():
            for ws, times in ((busy, 10), (other, 2)):
                for _ in range(times):
                    ws.text("x" * (50 if ws is busy else 1000))
                    ws.expect(TEXT, "x" * (50 if ws is busy else 1000))

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        out = ctl(t, daemon, "top", "-i", "500ms").stdout
        lines = out.splitlines()
        assert re.fullmatch(r"\S+Z  messages \S+/s in, \S+/s out  bytes \S+/s in, \S+/s out", lines[0]), lines[0]
        table = rows("\n".join(lines[1:]))
        equal([row["ROUTE"] for row in table], ["ws", "other"])  # the idle one is not there
        out = ctl(t, daemon, "top", "-i", "500ms", "-n", "2", "--sort", "bytes", "--json").stdout
        rounds = [json.loads(line) for line in out.splitlines()]
        equal(len(rounds), 2)
        for one in rounds:
            equal([c["route"] for c in one["connections"]], ["other", "ws"])
            assert one["messages_in_per_s"] > 0 and one["bytes_out_per_s"] > 0, one
        out = ctl(t, daemon, "top", "-i", "200ms", "--route", "other", "--json").stdout
        equal([c["route"] for c in json.loads(out)["connections"]], ["other"])
    finally:
        done.set()
        thread.join()
    out = ctl(t, daemon, "top", "-i", "200ms", "-n", "2").stdout
    equal(len(out.splitlines()), 4)  # nobody moves anything
    idle.finish()


@waits
def test_ctl_top_on_a_terminal(t):
    daemon = start(t)
    primary, secondary = pty.openpty()
    process = t.spawn([CTL, "-c", daemon.ini, "top", "-i", "100ms"], stdin=secondary, stdout=secondary)
    os.close(secondary)
    seen = b""
    end = time.monotonic() + 20 * t.factor
    while seen.count(b"\x1b[H\x1b[J") < 3 and time.monotonic() < end:
        if select.select([primary], [], [], 0.1)[0]:
            seen += os.read(primary, 65536)
    assert seen.count(b"\x1b[H\x1b[J") >= 3, seen
    process.send_signal(signal.SIGINT)
    equal(process.wait(10 * t.factor), 0)
    os.close(primary)


# ---- changing


@tag("tsan")
def test_ctl_close(t):
    daemon = start(t)
    sockets = [open_ws(t, daemon.port("main")) for _ in range(3)]
    ids = [e["id"] for e in connections(t)]
    equal(ctl(t, daemon, "close", *ids[:2]).stdout, "closing\nclosing\n")
    left = 0
    for ws in sockets:
        got = ws.frames_for(0.5)
        if got:
            equal((got[0].code, got[0].reason), (1008, "closed by the administrator"))
            ws.send_close(1008)
        else:
            left += 1
    equal(left, 1)
    done = ctl(t, daemon, "close", "777", ids[2], status=1)
    contains(done.stderr, "wsrelayctl: 777: there is no such connection")
    equal(done.stdout, "closing\n")


def test_ctl_reload_prints_what_is_wrong(t):
    daemon = start(t)
    good = daemon.ini.read_text()
    equal(ctl(t, daemon, "reload").stdout, "reloaded\n")
    daemon.ini.write_text(good + "[route bad]\nPath=x\nAction=dance\n[lisen y]\n")
    wanted = t.call("-t", "-c", daemon.ini).stderr
    assert wanted.count("\n") >= 3, wanted
    done = ctl(t, daemon, "reload", status=1)
    equal((done.stdout, done.stderr), ("", wanted + "nothing is changed\n"))
    # the daemon can be looked at meanwhile
    contains(ctl(t, daemon, "status").stdout, "ready")
    daemon.ini.write_text(good)
    equal(ctl(t, daemon, "reload").stdout, "reloaded\n")


@waits
def test_ctl_drain(t):
    daemon = start(t, server="DrainTimeout=12s\nWorkers=1")
    ws = open_ws(t, daemon.port("main"))
    equal(ctl(t, daemon, "drain").stdout, "draining 1 connections\n")
    contains(ctl(t, daemon, "status").stdout, "draining")
    contains(ctl(t, daemon, "drain").stdout, "draining already")
    contains(ctl(t, daemon, "reload", status=1).stderr, "draining")
    waiting = t.spawn([CTL, "-c", daemon.ini, "drain", "--wait"], stdout=subprocess.PIPE)
    # the line is there before the WebSocket's end is, not with the process's own
    contains(waiting.stdout.readline().decode(), "draining already, 1 connections are left")
    equal(waiting.poll(), None)
    ws.expect_close(1001)
    ws.send_close(1001)
    equal(waiting.wait(STOP_S * t.factor), 0)
    waiting.stdout.close()
    equal(daemon.wait_end(), 0)
    contains(ctl(t, daemon, "status", status=2).stderr, "not running")


def test_ctl_drain_that_is_interrupted(t):
    """While the daemon has the question: its silence is not its end."""
    daemon = Listener(t)
    waiting = t.spawn([CTL, "-a", daemon.address, "drain", "--wait"], stderr=subprocess.PIPE)
    conn = daemon.accept_request()
    conn.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nfine\n")
    contains(daemon.accept_request().request_head.line, "GET /status")
    waiting.send_signal(signal.SIGINT)
    equal(waiting.wait(STOP_S * t.factor), 2)
    contains(waiting.stderr.read().decode(), "interrupted")
    waiting.stderr.close()


def test_ctl_output_that_nobody_reads(t):
    daemon = start(t)
    full = pathlib.Path("/dev/full")
    if full.exists():
        with full.open("w") as out:
            done = subprocess.run([CTL, "-c", daemon.ini, "status"], stdout=out, stderr=subprocess.PIPE, check=False)
        equal(done.returncode, 71)
        contains(done.stderr.decode(), "No space left")
        with full.open("w") as out:
            done = subprocess.run([CTL, "-c", daemon.ini, "reload"], stdout=out, stderr=subprocess.PIPE, check=False)
        equal(done.returncode, 71)
        contains(done.stderr.decode(), "No space left")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([CTL, "-c", daemon.ini, "status"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    equal((done.returncode, done.stderr), (-signal.SIGPIPE, b""))
