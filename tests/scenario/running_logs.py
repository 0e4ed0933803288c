"""The daemon as an administrator runs it: access log, log files and levels."""

import contextlib
import datetime
import json
import os
import re
import signal
import time

from harness import contains, equal
from running import INI
from wire import TEXT, Conn, connect, handshake_head, open_ws, request_head, status_of


def test_running_usr1_opens_log_files_anew(t):
    log, access = t.tmp / "error.log", t.tmp / "access.log"
    path = t.tmp / "front.sock"
    ini = f"[server]\nLogTarget={log}\nAccessLog={access}\n[listen u]\nAddress=unix:{path}\n"
    daemon = t.daemon(ini + "[route ws]\nPath=/ws\nAction=echo\n", ready=False)
    t.wait(lambda: log.exists() and "is ready" in log.read_text(), what="readiness in the log file")

    def lines(file):
        return len(file.read_text().splitlines()) if file.exists() else 0

    status_of(t, path, request_head(target="/one"))
    t.wait(lambda: lines(access) == 1, what="the first access line")
    os.rename(access, t.tmp / "access.log.1")
    os.rename(log, t.tmp / "error.log.1")
    status_of(t, path, request_head(target="/two"))
    t.wait(lambda: lines(t.tmp / "access.log.1") == 2, what="the second access line, in the renamed file")
    assert not access.exists()
    daemon.signal(signal.SIGUSR1)
    t.wait(lambda: access.exists() and log.exists(), what="new files")
    status_of(t, path, request_head(target="/three"))
    t.wait(lambda: lines(access) == 1, what="the third access line, in the new file")
    contains(access.read_text(), "/three")
    equal(lines(t.tmp / "access.log.1"), 2)
    equal(daemon.stop(), 0)
    t.wait(lambda: lines(log) > 0, what="messages in the new log")


FIELDS = (
    "time client listener route http tls method path status origin subprotocol extensions backend duration_ms "
    "messages_in messages_out bytes_in bytes_out close_code closed_by reason"
).split()


def make_accesses(t, daemon, where):
    """A WebSocket, a refused one, a page, a bad request; waits after each, so that the order of the lines is known."""
    ws = open_ws(t, where, "/ws?token=1", [("Origin", "https://app.example.com"), ("Sec-WebSocket-Protocol", "chat")])
    ws.text("hello")
    ws.expect(TEXT, "hello")
    ws.send_frame(2, bytes(1000), fin=False)
    ws.send_frame(0, bytes(500))
    ws.expect_message(2, bytes(1500))
    ws.finish(4001, "over and out")
    yield
    status_of(t, where, handshake_head("/closed", [("Origin", 'https://evil.example/"quoted\\')]))
    yield
    equal(status_of(t, where, request_head(target="/files/page.txt")).body, b"page\n")
    yield
    status_of(t, where, b"GET /bad HTTP/1.1\r\nno colon\r\n\r\n")
    yield


def access_ini(t, form):
    (t.tmp / "files").mkdir()
    (t.tmp / "files/page.txt").write_text("page\n")
    return f"""
[server]
AccessLog={t.tmp}/the-access.log
LogFormat={form}
{INI}[route closed]
Path=/closed
Action=echo
AllowedOrigins=https://app.example.com
[route files]
Path=/files/*
Action=static
DocumentRoot={t.tmp}/files
"""


def access_lines(t, form):
    daemon = t.daemon(access_ini(t, form))
    log = t.tmp / "the-access.log"
    for count, _ in enumerate(make_accesses(t, daemon, daemon.port("main")), 1):
        t.wait(lambda: log.exists() and log.read_text().count("\n") == count, what=f"access line {count}")
    return log.read_text().splitlines(), daemon


def test_running_access_log_in_json_has_every_field(t):
    lines, daemon = access_lines(t, "json")
    ws, refused, page, bad = map(json.loads, lines)
    for line in (ws, refused, page, bad):
        equal(list(line), FIELDS)
        when = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
        assert abs(when.timestamp() - time.time()) < 60
        assert re.fullmatch(r"127\.0\.0\.1:\d+|127\.0\.0\.1", line["client"]), line["client"]
        equal((line["listener"], line["tls"], line["http"] in ("1.1", None)), ("main", None, True))
        assert isinstance(line["duration_ms"], (int, float)) and line["duration_ms"] >= 0
    expected = {
        "route": "ws",
        "http": "1.1",
        "method": "GET",
        "status": 101,
        "origin": "https://app.example.com",
        "subprotocol": "chat",
        "extensions": None,
        "backend": None,
        "messages_in": 2,
        "messages_out": 2,
        "bytes_in": 1505,
        "bytes_out": 1505,
        "close_code": 4001,
        "closed_by": "client",
    }
    equal({name: ws[name] for name in expected}, expected)
    contains(("/ws", "/ws?token=1"), ws["path"])
    equal((refused["status"], refused["route"]), (403, "closed"))
    contains(refused["origin"], "evil.example")
    assert refused["reason"]
    equal((page["status"], page["route"], page["path"], page["bytes_out"]), (200, "files", "/files/page.txt", 5))
    equal((page["messages_in"], page["close_code"]), (None, None))
    equal((bad["status"], bad["route"]), (400, None))
    # the other log has the same form
    for line in daemon.log.splitlines():
        if line.startswith("{"):
            equal(set(json.loads(line)) >= {"time", "level", "message"}, True)


def test_running_access_log_in_text_has_the_same_facts(t):
    lines, _ = access_lines(t, "text")

    def split(line):
        return [a or b for a, b in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)]

    for line in lines:
        equal(len(split(line)), len(FIELDS), f"fields of {line!r}")
    ws, refused, page, bad = (dict(zip(FIELDS, split(line))) for line in lines)
    equal((ws["status"], ws["subprotocol"], ws["messages_in"], ws["bytes_out"]), ("101", "chat", "2", "1505"))
    equal((ws["close_code"], ws["closed_by"], ws["backend"], ws["tls"]), ("4001", "client", "-", "-"))
    equal((refused["status"], refused["route"]), ("403", "closed"))
    equal((page["status"], page["path"]), ("200", "/files/page.txt"))
    equal((bad["status"], bad["route"]), ("400", "-"))


def test_running_access_log_cannot_be_forged(t):
    for form in ("text", "json"):
        log = t.tmp / f"{form}.log"
        daemon = t.daemon(f"[server]\nAccessLog={log}\nLogFormat={form}\n{INI}")
        for fields in (
            [("Origin", 'a" 200 "b')],
            [("Origin", "\\")],
            [("Origin", "\t\t-\t-")],
            [("Origin", "\x80\xff\xc3\x28")],
            [("Origin", "x" * 6000)],
            [("Origin", '","status":200,"x":"')],
        ):
            before = log.read_text().count("\n") if log.exists() else 0
            status_of(t, daemon.port("main"), handshake_head("/none", fields))
            t.wait(lambda: log.exists() and log.read_bytes().count(b"\n") == before + 1, what="one access line")
            line = log.read_bytes().splitlines()[-1]
            assert len(line) < 5000
            assert all(32 <= byte < 127 or byte >= 128 for byte in line), line
            if form == "json":
                equal(json.loads(line)["status"], 404)
        daemon.stop()


def test_running_access_log_off_and_to_stderr(t):
    daemon = t.daemon(INI)
    status_of(t, daemon.port("main"), request_head(target="/nothing"))
    daemon.stop()
    assert "/nothing" not in daemon.log, daemon.log
    daemon = t.daemon("[server]\nAccessLog=stderr\n" + INI)
    status_of(t, daemon.port("main"), request_head(target="/nothing"))
    daemon.wait_log(r"GET /nothing 404")


def test_running_log_levels(t):
    path = t.tmp / "front.sock"
    for level, wanted, unwanted in (
        ("error", (), ("info:", "warning:", "debug:")),
        ("warn", ("warning:",), ("info:", "debug:")),
        ("info", ("warning:", "info:"), ("debug:",)),
        ("debug", ("warning:", "info:"), ()),
    ):
        ini = f"[server]\nLogLevel={level}\n[listen u]\nAddress=unix:{path}\n"
        ini += "[route ws]\nPath=/ws\nAction=forward\nBackend=no\n"
        daemon = t.daemon(ini + f"[backend no]\nAddress=unix:{t.tmp}/nobody\n", ready=False)

        def reachable():
            if not path.exists():
                return False
            with contextlib.suppress(OSError):
                return Conn(connect(t, path).sock)
            return False

        t.wait(reachable, what="the listener")
        equal(status_of(t, path, handshake_head()).status, 502)
        daemon.stop()
        contains(daemon.log, *wanted)
        for word in unwanted:
            assert word not in daemon.log, f"{word} at LogLevel={level}: {daemon.log}"
