"""The daemon as an administrator runs it: options and exit codes, reload, drain, identity."""

import contextlib
import os
import pathlib
import pwd
import re
import signal
import socket
import threading
import time

from harness import contains, equal, flavours, is_running, tag, waits
from wire import CLOSE, TEXT, WebSocket, check_101, connect, handshake_head, open_ws, status_of

INI = """
[listen main]
Address=127.0.0.1:0
[route ws]
Path=/ws
Action=echo
Subprotocols=chat
"""


# ---- options and exit codes


def test_running_help_and_version(t):
    for option in ("-h", "--help"):
        done = t.call(option)
        equal(done.returncode, 0)
        contains(done.stdout, "--config", "--test", "--dump-config", "--set", "--version")
    for option in ("-V", "--version"):
        done = t.call(option)
        equal(done.returncode, 0)
        assert re.match(r"wsrelayd \d+\.\d+", done.stdout), done.stdout
        contains(done.stdout.lower(), "libevent", "openssl")


def test_running_bad_usage_is_exit_64(t):
    for args in (["--no-such-option"], ["-x"], ["-c"], ["--set"], ["stray"]):
        done = t.call(*args)
        equal(done.returncode, 64, repr(args))
        assert done.stderr and not done.stdout, done


def test_running_missing_file_is_exit_71(t):
    for args in (["-c", t.tmp / "nothing.ini"], ["-t", "-c", t.tmp / "nothing.ini"]):
        done = t.call(*args)
        equal(done.returncode, 71, repr(args))
        contains(done.stderr, "nothing.ini")


def test_running_good_configuration_is_exit_0_and_starts_nothing(t):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    ini = INI.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
    for option in ("-t", "--test"):
        done = t.call(option, ini=ini)
        equal(done.returncode, 0, done.stderr)
    taken.close()
    # what is shipped
    for name in ("demo.ini", "wsrelayd.ini"):
        page = f"route.page.DocumentRoot={t.repo}/conf/demo"  # theirs begins where make runs
        done = t.call("-t", "-c", t.repo / "conf" / name, "--set", page)
        equal((done.returncode, done.stderr), (0, ""), name)


def test_running_every_error_of_the_file_is_reported_in_one_run(t):
    lines = [
        "[server]",  # 1
        "Wrokers=2",
        "HandshakeTimeout=fast",
        "LogLevel=loud",
        "MaxConnections=-1",  # 5
        "[listen main]",
        "Address=127.0.0.1:99999",
        "TLS=maybe",
        "[lisen other]",
        "[route a]",  # 10
        "Path=/a",
        "Action=dance",
        "[route b]",
        "Path=/b",
        "Action=forward",  # 15
        "Backend=nobody",
        "[route c]",
        "Path=c",
        "Action=echo",
        "MaxMessageSize=5X",  # 20
        "KeepAliveInterval=1 fortnight",
        "AllowedOrigins=https://app.example.com/",
        "ServerMaxWindowBits=8",
        "Path=/twice",
        "no equals sign",  # 25
        "X=" + "y" * 5000,
        "[route d]",
        "Path=/d ; comment",
        "Action=echo",
    ]
    wanted = {
        2: ("Wrokers", "Workers"),
        3: ("HandshakeTimeout", "fast"),
        4: ("LogLevel", "loud"),
        5: ("MaxConnections", "-1"),
        7: ("Address", "99999"),
        8: ("TLS", "maybe"),
        9: ("lisen", "listen"),
        12: ("Action", "dance"),
        16: ("Backend", "nobody"),
        18: ("Path",),
        20: ("MaxMessageSize", "5X"),
        21: ("KeepAliveInterval", "fortnight"),
        22: ("AllowedOrigins", "https://app.example.com/"),
        23: ("ServerMaxWindowBits", "8"),
        24: ("Path",),
        25: (),
        26: (),
        28: (),
    }
    for option in (["-t"], []):
        done = t.call(*option, ini="\n".join(lines) + "\n")
        equal(done.returncode, 78, done.stderr)
        said = {}
        for line in done.stderr.splitlines():
            found = re.match(rf"{re.escape(str(t.tmp / 'called.ini'))}:(\d+): (.*)", line)
            if found:
                said.setdefault(int(found[1]), []).append(found[2])
        for number, words in wanted.items():
            assert number in said, f"nothing about line {number}, {lines[number - 1][:60]!r}, in\n{done.stderr}"
            contains(" ".join(said[number]), *words)


def test_running_names_and_files_that_are_not_there_are_told_with_their_line(t):
    lines = [
        "[server]",  # 1
        "User=no-such-user-here",
        "Group=no-such-group-here",
        "[listen tls]",
        "Address=127.0.0.1:0",  # 5
        "TLS=yes",
        f"Certificate={t.tmp}/one.pem",
        f"Certificate={t.tmp}/two.pem",
        f"CertificateKey={t.tmp}/one.key {t.tmp}/two.key",
        "TLSCiphers=no-such-cipher",  # 10
        "ClientCertificate=required",
        f"ClientCA={t.tmp}/ca.pem",
        "[route a]",
        "Path=/a",
        "Action=echo",
    ]
    wanted = {
        2: ("User=no-such-user-here", "no such user"),
        3: ("Group=no-such-group-here", "no such group"),
        7: (f"Certificate={t.tmp}/one.pem", "No such file"),
        8: (f"Certificate={t.tmp}/two.pem", "No such file"),
        9: (f"CertificateKey={t.tmp}/one.key", f"CertificateKey={t.tmp}/two.key", "No such file"),
        10: ("TLSCiphers=no-such-cipher",),
        12: (f"ClientCA={t.tmp}/ca.pem", "No such file"),
    }
    for option in (["-t"], []):
        done = t.call(*option, ini="\n".join(lines) + "\n")
        equal(done.returncode, 78, done.stderr)
        said = {}
        for line in done.stderr.splitlines():
            found = re.fullmatch(rf"{re.escape(str(t.tmp / 'called.ini'))}:(\d+): (.*)", line)
            assert found, f"a line without its place: {line!r}"
            said.setdefault(int(found[1]), []).append(found[2])
        equal(sorted(said), sorted(wanted), done.stderr)
        for number, words in wanted.items():
            contains(" ".join(said[number]), *words)
    # beside other errors, too
    for option in (["-t"], []):
        done = t.call(*option, ini="\n".join(lines) + "\nMaxMessageSize=5X\n")
        equal(done.returncode, 78, done.stderr)
        for number, words in wanted.items():
            contains(done.stderr, f"called.ini:{number}: ", *words)
        contains(done.stderr, "called.ini:16: [route a] MaxMessageSize=5X")
        equal(done.stderr.count("\n"), 9, done.stderr)
    done = t.call("-t", "--set", "server.Group=none-of-these", ini="\n".join(lines) + "\n")
    contains(done.stderr, "--set: [server] Group=none-of-these: there is no such group")


def test_running_configurations_that_cannot_work_are_refused(t):
    listen = "[listen main]\nAddress=127.0.0.1:0\n"
    for name, text in {
        "no listener": "[route a]\nPath=/a\nAction=echo\n",
        "no route": listen,
        "no address": "[listen main]\nTLS=no\n[route a]\nPath=/a\nAction=echo\n",
        "no path": listen + "[route a]\nAction=echo\n",
        "no action": listen + "[route a]\nPath=/a\n",
        "no backend": listen + "[route a]\nPath=/a\nAction=forward\n",
        "same match": listen + "[route a]\nPath=/a\nAction=echo\n[route b]\nPath=/a\nAction=echo\n",
        "same address": "[listen a]\nAddress=127.0.0.1:9\n[listen b]\nAddress=127.0.0.1:9\n" + INI,
        "no folder": listen + "[route a]\nPath=/*\nAction=static\n",
        "unreadable folder": listen + f"[route a]\nPath=/*\nAction=static\nDocumentRoot={t.tmp}/nothing\n",
        "stray key": "Workers=2\n" + listen + "[route a]\nPath=/a\nAction=echo\n",
        "indented line": listen + "[route a]\nPath=/a\n Action=echo\nAction=echo\n",
        "TLS without certificate": "[listen main]\nAddress=127.0.0.1:0\nTLS=yes\n[route a]\nPath=/a\nAction=echo\n",
        "unclosed section": listen + "[route a\nPath=/a\nAction=echo\n",
    }.items():
        done = t.call("-t", ini=text)
        equal(done.returncode, 78, f"{name}: {done.stderr}")
        contains(done.stderr, "called.ini")
    # a backend that nobody uses is a warning
    done = t.call("-t", ini=INI + "[backend spare]\nAddress=127.0.0.1:1\n")
    equal(done.returncode, 0, done.stderr)
    contains(done.stderr, "spare")


def settings(text):
    """What --dump-config says, as {(section, key): [(value, source), ...]}."""
    found, section = {}, None
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            key, _, rest = line.partition("=")
            value, _, source = rest.rpartition("#")
            found.setdefault((section, key), []).append((value.strip(), source.strip()))
    return found


def test_running_dump_config_names_every_key_and_where_it_comes_from(t):
    ini = t.tmp / "main.ini"
    ini.write_text(INI + "allowedorigins=https://one.example\n[server]\nWORKERS=3\n")
    drop_ins = t.tmp / "main.ini.d"
    drop_ins.mkdir()
    (drop_ins / "20.ini").write_text("[server]\nHandshakeTimeout=7s\nDrainTimeout=2min\n")
    (drop_ins / "10.ini").write_text("[server]\nHandshakeTimeout=6s\n[route ws]\nAllowedOrigins=https://two.example\n")
    (drop_ins / "ignored.txt").write_text("nonsense\n")
    done = t.call(
        "-c", ini, "--dump-config", "--set", "server.LogLevel=debug", "-s", "route.ws.MaxMessageSize=1M", "-s",
        "websocket.IdleTimeout=90s",
    )
    equal(done.returncode, 0, done.stderr)
    found = settings(done.stdout)
    for section, key, value, source in (
        ("server", "Workers", "3", f"{ini}:10"),
        ("server", "HandshakeTimeout", "7s", f"{drop_ins}/20.ini:2"),
        ("server", "DrainTimeout", "2min", f"{drop_ins}/20.ini:3"),
        ("server", "LogLevel", "debug", "--set"),
        ("server", "MaxConnectionsPerClient", "0", "default"),
        ("listen main", "Address", "127.0.0.1:0", f"{ini}:3"),
        ("route ws", "MaxMessageSize", "1M", "--set"),
        ("websocket", "IdleTimeout", None, "--set"),
        ("websocket", "BufferLimit", "256K", "default"),
        ("route ws", "Path", "/ws", f"{ini}:5"),
    ):
        got_value, got_source = found[section, key][0]
        if value is not None:
            equal(got_value, value, f"[{section}] {key}")
        contains(got_source, source)
    origins = found["route ws", "AllowedOrigins"]
    equal(" ".join(value for value, _ in origins).split(), ["https://one.example", "https://two.example"])
    # a route has what [websocket] says
    equal(found["route ws", "IdleTimeout"][0][0], found["websocket", "IdleTimeout"][0][0])

    # its text without the comments is a configuration with the same meaning
    again = t.tmp / "again.ini"
    again.write_text(re.sub(r" +# .*", "", done.stdout))
    second = t.call("-c", again, "--dump-config")
    equal(second.returncode, 0, second.stderr)
    values = {name: [v for v, _ in pairs] for name, pairs in found.items()}
    equal({name: [v for v, _ in pairs] for name, pairs in settings(second.stdout).items()}, values)


def test_running_set_wins_over_the_file(t):
    args = ["--set", "route.ws.MaxMessageSize=10", "-s", "listen.extra.Address=127.0.0.1:0", "-s", "server.Workers=1"]
    daemon = t.daemon(INI + "MaxMessageSize=1000\n", args=args)
    ws = open_ws(t, daemon.port("extra"))
    ws.text("x" * 11)
    ws.expect_fail(1009)
    contains(daemon.log, "with 1 worker")
    for bad in ("server.Wrokers=1", "server.Workers=many", "route.ws.Nothing=1", "nosection.x=1"):
        done = t.call("-t", "-s", bad, ini=INI)
        equal(done.returncode, 78, bad)
        contains(done.stderr, "--set")


# ---- reload


class Traffic:
    """Echoes on several WebSockets until it is stopped; anything wrong is kept in .errors."""

    def __init__(self, t, port, count):
        self.sockets = [open_ws(t, port) for _ in range(count)]
        self.done = 0
        self.errors = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._end.is_set():
                for ws in self.sockets:
                    ws.text(f"message {self.done}")
                for ws in self.sockets:
                    ws.expect(TEXT, f"message {self.done}")
                self.done += 1
        except BaseException as error:
            self.errors.append(error)

    def stop(self):
        self._end.set()
        self._thread.join(60)
        if self.errors:
            raise self.errors[0]


@tag("tsan")
def test_running_reload_under_traffic_keeps_every_websocket(t):
    daemon = t.daemon(INI)
    traffic = Traffic(t, daemon.port("main"), 40)
    for i in range(12):
        daemon.ini.write_text(INI + f"MaxMessageSize={1000 + i}\n")
        seen = traffic.done
        daemon.signal(signal.SIGHUP)
        # new connections all the while, and traffic goes on
        ws = open_ws(t, daemon.port("main"))
        ws.text("new")
        ws.expect(TEXT, "new")
        ws.finish()
        t.wait(lambda: traffic.done > seen + 3 or traffic.errors, what="traffic after a reload")
    traffic.stop()
    t.wait(lambda: refused_size(t, daemon.port("main"), 1012), what="the last configuration")
    assert not refused_size(t, daemon.port("main"), 1011)


def refused_size(t, port, size):
    """Whether a message of so many bytes is refused."""
    ws = open_ws(t, port)
    ws.text("x" * size)
    got = ws.recv_frame()
    return got.opcode == CLOSE


def test_running_reload_leaves_open_websockets_their_configuration(t):
    daemon = t.daemon(INI + "MaxMessageSize=1000\n[route gone]\nPath=/gone\nAction=echo\n")
    port = daemon.port("main")
    old, gone = open_ws(t, port), open_ws(t, port, "/gone")
    daemon.ini.write_text(INI + "MaxMessageSize=10\n")
    daemon.signal(signal.SIGHUP)
    t.wait(lambda: refused_size(t, port, 11), what="the new configuration")
    equal(daemon.port("main"), port)
    old.text("x" * 1000)
    old.expect(TEXT, "x" * 1000)
    old.text("x" * 1001)
    old.expect_fail(1009)
    equal(status_of(t, port, handshake_head("/gone")).status, 404)
    gone.text("x" * 1000)
    gone.expect(TEXT, "x" * 1000)
    gone.finish()


def test_running_reload_of_a_bad_configuration_changes_nothing(t):
    daemon = t.daemon(INI + "MaxMessageSize=1000\n")
    port = daemon.port("main")
    ws = open_ws(t, port)
    for bad in (
        INI + "MaxMessageSize=10\nNonsense=1\n",
        INI + "MaxMessageSize=10\n[listen two]\nAddress=192.0.2.1:8080\n",
        "",
        "\0\1\2",
        INI.replace("echo", "dance"),
    ):
        before = len(daemon.log)
        daemon.ini.write_text(bad)
        daemon.signal(signal.SIGHUP)
        t.wait(lambda: re.search(r"ini:\d+: |error: ", daemon.log[before:]), what=f"an error about {bad[-60:]!r}")
        ws.text("x" * 1000)
        ws.expect(TEXT, "x" * 1000)
        assert not refused_size(t, port, 1000), "the bad configuration is in force"
    daemon.ini.unlink()
    before = len(daemon.log)
    daemon.signal(signal.SIGHUP)
    t.wait(lambda: "error" in daemon.log[before:], what="an error about the missing file")
    assert not refused_size(t, port, 1000)
    # and after all that a good one is taken
    daemon.ini.write_text(INI + "MaxMessageSize=10\n")
    daemon.signal(signal.SIGHUP)
    t.wait(lambda: refused_size(t, port, 11), what="the good configuration")


def test_running_reload_adds_and_removes_listeners(t):
    path = t.tmp / "added.sock"
    # other addresses of this machine: sockets are kept by the address that the file says
    daemon = t.daemon(INI + "[listen old]\nAddress=127.0.0.2:0\n")
    port, old = daemon.port("main"), ("127.0.0.2", daemon.port("old"))
    on_main, on_old = open_ws(t, port), open_ws(t, old)
    daemon.ini.write_text(INI + f"[listen new]\nAddress=127.0.0.3:0 unix:{path}\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log(r"listening on unix:\S+ listen=new")
    for where in (("127.0.0.3", daemon.port("new")), path, port):
        ws = open_ws(t, where)
        ws.text("x")
        ws.expect(TEXT, "x")

    def refused():
        with contextlib.suppress(ConnectionRefusedError):
            connect(t, old).close()
            return False
        return True

    t.wait(refused, what="the removed listener is closed")
    for ws in (on_main, on_old):
        ws.text("y")
        ws.expect(TEXT, "y")
        ws.finish()
    # and back: the Unix socket goes away
    daemon.ini.write_text(INI)
    daemon.signal(signal.SIGHUP)

    def unreachable():
        with contextlib.suppress(OSError):
            connect(t, path).close()
            return False
        return True

    t.wait(unreachable, what="the removed Unix socket is closed")
    ws = open_ws(t, port)
    ws.text("z")
    ws.expect(TEXT, "z")


def test_running_kept_listener_loses_no_connection_in_a_reload(t):
    daemon = t.daemon(INI)
    port = daemon.port("main")
    stop = threading.Event()
    counts = {"done": 0}
    errors = []

    def connects():
        try:
            while not stop.is_set():
                ws = open_ws(t, port)
                ws.text("x")
                ws.expect(TEXT, "x")
                ws.finish()
                ws.close()
                counts["done"] += 1
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=connects, daemon=True)
    thread.start()
    for _ in range(10):
        seen = counts["done"]
        daemon.signal(signal.SIGHUP)
        t.wait(lambda: counts["done"] > seen + 5 or errors, what="connections after a reload")
    stop.set()
    thread.join(30)
    if errors:
        raise errors[0]


# ---- the end


@tag("tsan")
def test_running_term_closes_websockets_with_1001_and_exits_0(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = t.daemon(INI)
        port = daemon.port("main")
        sockets = [open_ws(t, port) for _ in range(10)]
        idle = connect(t, port)
        equal(idle.request(target="/nothing").status, 404)
        daemon.signal(number)
        for ws in sockets:
            ws.expect_fail(1001)
        idle.expect_end()
        equal(daemon.wait_end(), 0)


@waits
def test_running_drain_is_spread_evenly_and_accepts_nothing(t):
    daemon = t.daemon("[server]\nDrainTimeout=6s\n" + INI)
    port = daemon.port("main")
    sockets = [open_ws(t, port) for _ in range(6)]
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("(?i)drain")

    def refused():
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            connect(t, port).close()
            return False
        return True

    t.wait(refused, what="new connections are refused")
    ended, rest = [], list(sockets)
    while rest:
        # those that are not closed yet work as ever
        for ws in list(rest):
            got = ws.frames_for(0.02)
            if got:
                equal((got[0].opcode, got[0].code), (CLOSE, 1001))
                ws.send_as_far_as_possible(ws.frame(CLOSE, got[0].payload))
                ended.append(time.monotonic() - began)
                rest.remove(ws)
        assert time.monotonic() - began < 20 * t.factor, "not all were closed"
    equal(daemon.wait_end(), 0)
    assert ended[-1] - ended[0] > 2, f"closed all at once, at {ended}"
    assert ended[0] < 4 * t.factor, f"the first waits too long: {ended}"


@waits
def test_running_drain_ends_in_time_although_nobody_answers(t):
    daemon = t.daemon("[server]\nDrainTimeout=2s\n" + INI)
    sockets = [open_ws(t, daemon.port("main")) for _ in range(5)]
    partial = connect(t, daemon.port("main"))
    partial.send(handshake_head()[:20])
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    equal(daemon.wait_end(), 0)
    assert time.monotonic() - began < 12 * t.factor
    for ws in sockets:
        ws.expect_close(1001)


def test_running_second_term_ends_at_once(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = t.daemon("[server]\nDrainTimeout=10min\n" + INI)
        sockets = [open_ws(t, daemon.port("main")) for _ in range(5)]
        daemon.signal(signal.SIGTERM)
        daemon.wait_log("(?i)drain")
        assert is_running(daemon.pid)
        daemon.signal(number)
        equal(daemon.wait_end(10), 0)
        for ws in sockets:
            ws.read_all()


def test_running_term_with_nothing_open_does_not_wait(t):
    daemon = t.daemon("[server]\nDrainTimeout=10min\n" + INI)
    open_ws(t, daemon.port("main")).finish()
    equal(daemon.stop(10), 0)


def test_running_reload_while_draining_is_no_trouble(t):
    daemon = t.daemon("[server]\nDrainTimeout=3s\n" + INI)
    ws = open_ws(t, daemon.port("main"))
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("(?i)drain")
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGUSR1)
    ws.expect_fail(1001)
    equal(daemon.wait_end(), 0)


# ---- identity


@flavours("plain", "asan")
def test_running_as_root_takes_on_user_and_group(t):
    t.need_root()
    nobody = pwd.getpwnam("nobody")
    for keys, uid, gid in (
        ("User=nobody", nobody.pw_uid, nobody.pw_gid),
        ("User=nobody\nGroup=daemon", nobody.pw_uid, 1),
    ):
        daemon = t.daemon(f"[server]\n{keys}\n{INI}")
        with open(f"/proc/{daemon.pid}/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        equal(fields["Uid"].split(), [str(uid)] * 4)
        equal(fields["Gid"].split(), [str(gid)] * 4)
        equal([group for group in fields["Groups"].split() if group != str(gid)], [], "supplementary groups")
        ws = open_ws(t, daemon.port("main"))
        ws.text("x")
        ws.expect(TEXT, "x")
        # a reload works without root's rights
        daemon.ini.write_text(f"[server]\n{keys}\n{INI}MaxMessageSize=10\n")
        os.chmod(daemon.ini, 0o644)
        daemon.signal(signal.SIGHUP)
        t.wait(lambda: refused_size(t, daemon.port("main"), 11), what="the new configuration")
        ws.finish()


def test_running_logs_that_root_has_made_can_be_opened_again(t):
    """They belong to the user that the daemon turns into; what was there before is given to nobody."""
    t.need_root()
    nobody = pwd.getpwnam("nobody")
    logs = t.tmp / "logs"
    logs.mkdir()
    other = t.tmp / "other"
    other.write_text("")
    (logs / "access").symlink_to(other)
    (logs / "old").write_text("")
    for target in ("new", "old"):
        daemon = t.daemon(
            f"[server]\nUser=nobody\nAccessLog={logs}/access\nLogTarget={logs}/{target}\n{INI}", ready=False
        )
        log = logs / target
        t.wait(lambda: log.exists() and "is ready" in log.read_text(), what="the log file")
        daemon.signal(signal.SIGUSR1)
        t.wait(lambda: f"AccessLog={logs}/access: Permission denied" in log.read_text(), what="what becomes of the link")
        equal(f"LogTarget={logs}/{target}: Permission denied" in log.read_text(), target == "old")
        equal(log.stat().st_uid, nobody.pw_uid if target == "new" else 0)
        equal(other.stat().st_uid, 0)
        daemon.stop()


def test_running_unknown_user_is_refused(t):
    t.need_root()
    for key in ("User", "Group"):
        daemon = t.daemon(f"[server]\n{key}=no-such-one-here\n{INI}", ready=False)
        contains((71, 78), daemon.wait_end())
        daemon.expected_end = daemon.ended
        contains(daemon.log, "no-such-one-here")


def test_running_readiness_is_told_to_systemd(t):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    t.at_end(sock.close)
    path = t.tmp / "notify"
    sock.bind(str(path))
    sock.settimeout(10 * t.factor)
    daemon = t.daemon(INI, env={"NOTIFY_SOCKET": str(path)})
    if "libsystemd" not in pathlib.Path(f"/proc/{daemon.pid}/maps").read_text():
        t.skip("built without libsystemd")

    def told(word):
        while word not in sock.recv(4096).decode().splitlines():
            pass

    told("READY=1")
    daemon.signal(signal.SIGHUP)
    told("RELOADING=1")
    told("READY=1")
    daemon.signal(signal.SIGTERM)
    told("STOPPING=1")


def test_running_lives_on_when_clients_go_away_while_it_writes(t):
    # SIGPIPE is ignored
    daemon = t.daemon(INI)
    for _ in range(30):
        ws = connect(t, daemon.port("main"), kind=WebSocket, receive_buffer=4096)
        ws.send(handshake_head())
        check_101(ws.read_response())
        ws.send(ws.frame(TEXT, "x" * 60_000) * 3)
        ws.abort()
    ws = open_ws(t, daemon.port("main"))
    ws.text("x")
    ws.expect(TEXT, "x")
