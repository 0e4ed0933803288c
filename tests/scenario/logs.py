"""Logs: nobody waits for them, whatever becomes of them; priorities for the journal, syslog; floods do not fill a disk."""

import json
import os
import re
import signal
import socket
import subprocess
import time

from harness import contains, equal, flavours, tag
from wire import TEXT, connect, handshake_head, open_ws, request_head, status_of

INI = "[listen main]\nAddress=127.0.0.1:0\n[route ws]\nPath=/ws\nAction=echo\n"


def unix_ini(t, server):
    """A daemon that is found without its log."""
    path = t.tmp / "front.sock"
    return path, f"[server]\nDrainTimeout=1s\n{server}\n[listen u]\nAddress=unix:{path}\n[route ws]\nPath=/ws\nAction=echo\n"


def reachable(t, path):
    def look():
        if not path.exists():
            return False
        try:
            return connect(t, path)
        except OSError:
            return False

    return t.wait(look, what="the listener")


def start(t, ini, stderr, env=None):
    (t.tmp / "own.ini").write_text(ini)
    return t.spawn([t.program, "-c", t.tmp / "own.ini"], stderr=stderr, env={**os.environ, **(env or {})})


def requests(conn, count, target="/nothing"):
    """So many requests on one connection, answered with 404."""
    for start_at in range(0, count, 100):
        del start_at
        conn.send(request_head(target=target) * 100)
        for _ in range(100):
            equal(conn.read_response().status, 404)


# ---- where lines go that nobody takes


@tag("tsan")
def test_logs_a_pipe_that_nobody_reads_stalls_nobody(t):
    path, ini = unix_ini(t, "AccessLog=stderr\nWorkers=2")
    read, write = os.pipe()
    t.at_end(lambda: os.close(read), late=True)
    process = start(t, ini, write)
    os.close(write)
    conn = reachable(t, path)
    ws = open_ws(t, path)
    # 64 KiB of the pipe and 1 MiB of the queue are full, and everybody is served as before
    name = "/" + "x" * 400
    begin = time.monotonic()
    requests(conn, 4000, name)
    ws.text("quick")
    ws.expect(TEXT, "quick")
    assert time.monotonic() - begin < 30 * t.factor
    # somebody reads again: whole lines, and how many are missing
    text = b""
    os.set_blocking(read, False)

    def all_there():
        nonlocal text
        try:
            text += os.read(read, 1 << 20)
        except BlockingIOError:
            pass
        lost = re.findall(rb"warning: (\d+) lines of the access log were lost\n", text)
        return lost and text.count(name.encode()) + sum(map(int, lost)) == 4000

    t.wait(all_there, what="all lines, or the number of those that were lost")
    for line in text.decode().splitlines():
        if name in line:
            assert re.search(r" GET /x+ 404 - - - - \d+ - - 0 \d+ - gateway ", line), line
    # its end does not wait for a reader either
    requests(conn, 2000, name)
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30 * t.factor), 0)


@tag("tsan")
def test_logs_a_reader_that_leaves_takes_nobody_along(t):
    path, ini = unix_ini(t, "AccessLog=stderr")
    read, write = os.pipe()
    process = start(t, ini, write)
    os.close(write)
    conn = reachable(t, path)
    requests(conn, 100)
    os.close(read)
    requests(conn, 1000)
    ws = open_ws(t, path)
    ws.text("alive")
    ws.expect(TEXT, "alive")
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30 * t.factor), 0)


@tag("tsan")
def test_logs_a_full_disk_is_told_once_and_costs_lines_only(t):
    if not os.path.exists("/dev/full"):
        t.skip("there is no /dev/full")
    log = t.tmp / "access.log"
    daemon = t.daemon(f"[server]\nAccessLog=/dev/full\n{INI}")
    conn = connect(t, daemon.port("main"))
    requests(conn, 500)
    daemon.wait_log(r"error: while writing the access log /dev/full: No space left on device")
    requests(conn, 500)
    # a reload points it elsewhere
    daemon.ini.write_text(f"[server]\nAccessLog={log}\n{INI}")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("reload: done")
    requests(connect(t, daemon.port("main")), 100)
    found = daemon.wait_log(r"warning: (\d+) lines of the access log were lost")
    t.wait(lambda: log.exists() and log.read_text().count("\n") + int(found[1]) == 1100, what="all other lines")
    equal(daemon.log.count("No space left on device"), 1)


def test_logs_a_full_disk_of_the_log_itself_is_told_on_standard_error(t):
    if not os.path.exists("/dev/full"):
        t.skip("there is no /dev/full")
    path, ini = unix_ini(t, "LogTarget=/dev/full")
    daemon = t.daemon(ini, ready=False)
    reachable(t, path)
    for _ in range(30):
        status_of(t, path, b"GET /bad HTTP/1.1\r\nno colon\r\n\r\n")
    daemon.wait_log(r"^error: while writing the log /dev/full: No space left on device")
    equal(daemon.stop(), 0)
    equal(daemon.log.count("\n"), 1, daemon.log)


@tag("tsan")
def test_logs_a_removed_file_is_made_anew(t):
    log = t.tmp / "access.log"
    daemon = t.daemon(f"[server]\nAccessLog={log}\n{INI}")
    conn = connect(t, daemon.port("main"))
    requests(conn, 100)
    t.wait(lambda: log.exists() and log.read_text().count("\n") == 100, what="the lines")
    log.unlink()

    def there_again():
        requests(conn, 100)
        return log.exists() and log.read_text().count("\n") > 0

    t.wait(there_again, what="the file")
    # where it cannot be, that is told once
    os.rename(t.tmp / "access.log", t.tmp / "old.log")
    (t.tmp / "old.log").unlink()
    log.mkdir()

    def told():
        requests(conn, 100)
        return "the file was removed and cannot be made anew" in daemon.log

    t.wait(told, what="an error")
    requests(conn, 100)
    equal(daemon.log.count("cannot be made anew"), 1)


# ---- floods


@tag("tsan")
def test_logs_floods_of_bad_requests_do_not_fill_a_disk(t):
    daemon = t.daemon(INI, access=True)
    port = daemon.port("main")
    for _ in range(300):
        status_of(t, port, b"GET /bad HTTP/1.1\r\nno colon\r\n\r\n")
    lines = daemon.access(300)
    # the access log has one line for each, as ever
    equal([line["status"] for line in lines], [400] * 300)
    told = [line for line in daemon.log.splitlines() if "not well-formed" in line]
    assert 1 <= len(told) < 100, len(told)
    # how many it were is told when the time is over, or at the end
    equal(daemon.stop(), 0)
    told = [json.loads(line)["message"] for line in daemon.log.splitlines() if "not well-formed" in line]
    suppressed = [int(m[1]) for m in (re.match(r"(\d+) more messages like this were suppressed", x) for x in told) if m]
    assert suppressed, told[-3:]
    equal(len(told) - len(suppressed) + sum(suppressed), 300)


def test_logs_nothing_is_suppressed_at_debug(t):
    daemon = t.daemon("[server]\nLogLevel=debug\n" + INI)
    for _ in range(100):
        status_of(t, daemon.port("main"), b"GET /bad HTTP/1.1\r\nno colon\r\n\r\n")
    daemon.wait_log("not well-formed", count=100)


def test_logs_a_missing_backend_is_told_with_its_number(t):
    """What an administrator has to see is limited as well, but never silent."""
    backend = f"[route app]\nPath=/app\nAction=forward\nBackend=no\n[backend no]\nAddress=unix:{t.tmp}/nobody\nMaxFails=0\n"
    daemon = t.daemon(INI + backend)
    for _ in range(60):
        equal(status_of(t, daemon.port("main"), handshake_head("/app")).status, 502)
    daemon.wait_log("warning: .*backend=unix", count=10)
    daemon.stop()
    found = re.findall(r"warning: (\d+) more messages like this were suppressed: .*backend", daemon.log)
    assert found, daemon.log[-2000:]


# ---- supervisors


@flavours("plain", "asan")
def test_logs_journal_gets_priorities_only_for_its_own_stream(t):
    path, ini = unix_ini(t, "LogLevel=info")
    for mine in (True, False):
        name = t.tmp / f"stderr-{mine}"
        with open(name, "wb") as stderr:
            st = os.fstat(stderr.fileno())
            stream = f"{st.st_dev}:{st.st_ino + (0 if mine else 1)}"
            process = start(t, ini, stderr, {"JOURNAL_STREAM": stream})
        reachable(t, path).close()
        status_of(t, path, b"GET /bad HTTP/1.1\r\nno colon\r\n\r\n")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(30 * t.factor), 0)
        lines = name.read_text().splitlines()
        assert len(lines) >= 4, lines
        for line in lines:
            assert line.startswith("<6>info: " if mine else "info: "), line


@flavours("plain", "asan")
def test_logs_syslog(t):
    """With a /dev/log of the test's own, in a mount namespace."""
    t.need_root()
    t.need("unshare", "mount")
    where = t.tmp / "dev.log"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    t.at_end(sock.close)
    sock.bind(str(where))
    os.chmod(where, 0o666)
    sock.settimeout(20 * t.factor)
    path, ini = unix_ini(t, "LogTarget=syslog\nAccessLog=syslog")
    (t.tmp / "own.ini").write_text(ini)
    into = "mount -t tmpfs none /dev && touch /dev/log && mount --bind $0 /dev/log"
    if subprocess.run(["unshare", "-m", "sh", "-c", into, where], check=False, capture_output=True).returncode != 0:
        return  # this machine lets nobody mount anything: nothing can be shown here
    process = t.spawn(["unshare", "-m", "sh", "-c", into + ' && exec "$1" -c "$2"', where, t.program, t.tmp / "own.ini"])

    def line():
        return re.fullmatch(r"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d wsrelayd\[(\d+)\]: (.*)",
            sock.recv(8192).rstrip(b"\n\0").decode(), re.S)

    while True:
        got = line()
        equal((int(got[1]), int(got[2])), (3 << 3 | 6, process.pid))  # daemon.info
        if "is ready" in got[3]:
            break
    status_of(t, path, request_head(target="/nothing"))
    while "/nothing" not in (got := line())[3]:
        pass
    contains(got[3], "GET /nothing 404")
    # syslogd does not read: nobody waits
    conn = connect(t, path)
    begin = time.monotonic()
    requests(conn, 3000)
    assert time.monotonic() - begin < 30 * t.factor
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30 * t.factor), 0)
