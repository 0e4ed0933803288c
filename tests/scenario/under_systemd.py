"""The installed units under a real systemd, in a machine of its own: see machine.py.

The package is the .deb of this tree. What is here holds for other supervisors too, in so far as they speak the same protocol:
those scenarios, with a fake systemd, need no machine.
"""

import os
import pathlib
import re
import signal
import threading

import built
from harness import REPO, contains, equal, flavours, limit, wait
from machine import Machine

INI = "/etc/wsrelayd/wsrelayd.ini"
DROP_INS = "/etc/wsrelayd/wsrelayd.ini.d"
UNIT_DROP_INS = "/etc/systemd/system/wsrelayd.service.d"
PYTHON = "/usr/bin/python3"


def installed(t):
    """A machine with the package in it, and the service running, as the installation leaves it."""
    p = built.packages(t)
    m = Machine(t)
    (deb,) = m.put(p.deb)
    m.run("dpkg", "-i", deb)
    equal(m.show("ActiveState"), "active", "the service after the installation")
    return m


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in text.splitlines())


def reload(m):
    """Reloads the service; systemctl does not wait for the daemon to have done it."""
    done = m.journal().count("reload: done")
    m.run("systemctl", "reload", "wsrelayd")
    wait(lambda: m.journal().count("reload: done") > done, what="the end of the reload")


@flavours("plain")
@limit(600)
def test_systemd_units_are_clean_and_confined(t):
    m = installed(t)
    m.run("systemd-analyze", "verify", "--man=no", "wsrelayd.service", "wsrelayd.socket")
    equal(m.run("systemd-analyze", "verify", "--man=no", "wsrelayd.service", "wsrelayd.socket").stdout, "")
    # 15 stands for 1.5
    m.run("systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", "wsrelayd.service")

    status = status_of(m.main_pid())
    equal(status["Uid"].split()[0], m.run("id", "-u", "wsrelayd").stdout.strip(), "the daemon's user")
    low_ports = 1 << 10  # CAP_NET_BIND_SERVICE
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        equal(int(status[name], 16), low_ports, name)
    equal((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "2"))
    equal(m.show("Type"), "notify")
    # what it cannot see: the host's /tmp
    root = pathlib.Path(f"/proc/{m.main_pid()}/root")
    equal(os.listdir(root / "tmp"), [])
    m.echo()
    contains(m.page(), "<title>")
    m.wait_journal("is ready")
    # what Debian's own test machines run
    (script,) = m.put(REPO / "packaging/deb/tests/installed")
    m.run(script)
    m.run("systemctl", "stop", "wsrelayd")
    equal((m.show("Result"), m.show("ExecMainStatus")), ("success", "0"))


@flavours("plain")
@limit(600)
def test_systemd_reload_refuses_a_bad_configuration_and_binds_low_ports(t):
    m = installed(t)
    pid = m.show("MainPID")
    # a WebSocket that is open meanwhile; wsdial ends with its standard input
    dial = m.start("wsdial", "ws://127.0.0.1:8080/ws", stdin=-1, stdout=-1, text=True)
    dial.stdin.write("before\n")
    dial.stdin.flush()
    equal(dial.stdout.readline(), "before\n")

    m.write(f"{DROP_INS}/low.ini", "[listen low]\nAddress=127.0.0.1:80\n")
    reload(m)
    m.echo("low", "ws://127.0.0.1:80/ws")

    m.write(f"{DROP_INS}/bad.ini", "[server]\nLogLevel=loud\n")
    done = m.run("systemctl", "reload", "wsrelayd", check=False)
    assert done.returncode != 0, "a bad configuration was accepted"
    m.wait_journal("LogLevel", "loud")
    equal((m.show("ActiveState"), m.show("MainPID")), ("active", pid))
    m.path(f"{DROP_INS}/bad.ini").unlink()
    m.path(f"{DROP_INS}/low.ini").unlink()
    reload(m)
    wait(lambda: m.run("wsdial", "-n", "1", "-m", "x", "ws://127.0.0.1:80/ws", check=False).returncode == 2,
         what="port 80 is closed again")
    dial.stdin.write("after\n")
    dial.stdin.flush()
    equal(dial.stdout.readline(), "after\n")
    equal(m.show("MainPID"), pid)
    dial.stdin.close()
    equal(dial.wait(30), 0)


@flavours("plain")
@limit(600)
def test_systemd_every_feature_passes_the_system_call_filter(t):
    """What the unit forbids would come as ENOSYS: each kind of work is done once under it."""
    m = installed(t)
    m.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "/etc/wsrelayd/key.pem",
          "-out", "/etc/wsrelayd/cert.pem")
    m.run("chown", "wsrelayd:", "/etc/wsrelayd/key.pem")
    m.write("/srv/www/big.txt", "0123456789abcdef" * 65536)
    m.write("/etc/hosts", "127.0.0.1 localhost backend.test\n")
    m.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    m.write(f"{DROP_INS}/all.ini", ALL)
    m.spawn(PYTHON, "-c", APPLICATION, str(m.path("/run/wsrelayd")))
    wait(lambda: m.exists("/run/wsrelayd/app.sock"), what="the application's socket")
    m.run("systemctl", "restart", "wsrelayd")
    m.echo("tls", "wss://127.0.0.1:8443/ws", "-k", "--http1.1")
    m.echo("http2", "wss://127.0.0.1:8443/ws", "-k", "--http2")
    m.echo("deflate", "wss://127.0.0.1:8443/deflate", "-k", "--compress")
    for path in ("unix", "name", "http"):
        m.echo(path, f"ws://127.0.0.1:8080/{path}")
    m.run("wsdial", "-n", "1", "-m", "x", "--unix", "/run/wsrelayd/front.sock", "ws://localhost/ws", user="wsrelayd")
    equal(len(m.page("http://127.0.0.1:8080/files/big.txt")), 16 * 65536)
    contains(m.host_run("curl", "-sS", "-k", "-r", "16-31", "https://127.0.0.1:8443/files/big.txt").stdout, "0123456789abcdef")
    equal(m.host_run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/files/none").stdout, "404")
    equal(m.host_run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/nobody").stdout, "502")
    reload(m)
    m.echo("after", "wss://127.0.0.1:8443/ws", "-k")
    m.run("systemctl", "kill", "--kill-who=main", "--signal=USR1", "wsrelayd")
    m.echo()
    m.write(f"{DROP_INS}/syslog.ini", "[server]\nLogTarget=syslog\n")
    reload(m)
    wait(lambda: "reload: done" in m.journal("_TRANSPORT=syslog"), what="a message by syslog")
    said = m.journal()
    assert "not implemented" not in said and "ENOSYS" not in said, said
    m.run("systemctl", "stop", "wsrelayd")
    equal(m.show("Result"), "success")
    lines = m.read("/var/log/wsrelayd/access.log").splitlines()
    assert len(lines) >= 10, lines


# the same work in all forms: echo by the gateway, and by an application that sends each line back
ALL = """
[server]
AccessLog=/var/log/wsrelayd/access.log
LogFormat=json
[listen tls]
Address=127.0.0.1:8443
TLS=yes
Certificate=/etc/wsrelayd/cert.pem
CertificateKey=/etc/wsrelayd/key.pem
[listen unix]
Address=unix:/run/wsrelayd/front.sock
[route deflate]
Path=/deflate
Action=echo
Compression=edge
[route files]
Path=/files/*
Action=static
DocumentRoot=/srv/www
[route unix]
Path=/unix
Action=forward
Backend=unix
[route name]
Path=/name
Action=forward
Backend=name
[route http]
Path=/http
Action=proxy
Backend=http
[route nobody]
Path=/nobody
Action=proxy
Backend=nobody
[backend unix]
Address=unix:/run/wsrelayd/app.sock
Protocol=lines
[backend name]
Address=backend.test:9001
Protocol=lines
SendProxyProtocol=off
HealthCheckInterval=1s
[backend http]
Address=backend.test:9002
[backend nobody]
Address=no.such.host.invalid:9
"""

APPLICATION = r"""
import asyncio, os, sys
import websockets

async def lines(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()

async def echo(socket, path=None):
    async for message in socket:
        await socket.send(message)

async def main():
    os.umask(0)
    await asyncio.start_server(lines, "127.0.0.1", 9001)
    await websockets.serve(echo, "127.0.0.1", 9002)
    await asyncio.start_unix_server(lines, sys.argv[1] + "/app.sock")
    await asyncio.Event().wait()

asyncio.run(main())
"""


@flavours("plain")
@limit(600)
def test_systemd_socket_unit_refuses_no_connect_over_a_restart(t):
    m = installed(t)
    m.run("cp", "/usr/share/doc/wsrelayd/examples/socket.ini", DROP_INS)
    # the address is the service's own until it has ended
    m.run("systemctl", "stop", "wsrelayd")
    m.run("systemctl", "enable", "--now", "wsrelayd.socket")
    equal(m.show("ActiveState"), "inactive", "the service before the first connect")
    m.echo("starts it")
    equal(m.show("ActiveState"), "active")
    first = m.show("MainPID")

    over = threading.Event()
    outcomes = []

    def connect_again_and_again():
        while not over.is_set():
            done = m.run("wsdial", "--timeout", "30", "-n", "1", "-m", "x", "ws://127.0.0.1:8080/ws", check=False)
            outcomes.append((done.returncode, done.stdout))

    client = threading.Thread(target=connect_again_and_again, daemon=True)
    client.start()
    for _ in range(3):
        seen = len(outcomes)
        m.run("systemctl", "restart", "wsrelayd")
        wait(lambda: len(outcomes) > seen + 1, 60, "more connects after the restart")
    over.set()
    client.join(90)
    assert m.show("MainPID") != first, "it was not restarted"
    # one that was accepted before the drain may be told 1001 or 503; none may be refused
    refused = [o for o in outcomes if "refused" in o[1].lower() and "503" not in o[1]]
    equal(refused, [], "refused connects")
    good = [o for o in outcomes if o == (0, "x\n")]
    assert len(good) >= 6, outcomes
    m.run("systemctl", "stop", "wsrelayd.socket", "wsrelayd.service")


@flavours("plain")
@limit(600)
def test_systemd_hands_over_keys_that_only_root_can_read(t):
    m = installed(t)
    m.run("mkdir", "-p", "/etc/ssl/wsrelayd", UNIT_DROP_INS)
    m.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout",
          "/etc/ssl/wsrelayd/privkey.pem", "-out", "/etc/ssl/wsrelayd/fullchain.pem")
    m.run("chmod", "-R", "go=", "/etc/ssl/wsrelayd")
    m.run("cp", "/usr/share/doc/wsrelayd/examples/credentials.conf", UNIT_DROP_INS)
    # the part for wsrelayd.ini stands in the example as a comment
    text = m.read(f"{UNIT_DROP_INS}/credentials.conf")
    ini = "\n".join(re.findall(r"^#\t(.*)$", text, re.M)) + "\n"
    m.write(f"{DROP_INS}/tls.ini", ini)
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", "wsrelayd")
    m.echo("secret", "wss://127.0.0.1:443/ws", "-k")
    reload(m)
    m.echo("again", "wss://127.0.0.1:443/ws", "-k")
    m.write(f"{DROP_INS}/bad.ini", "[server]\nLogLevel=loud\n")
    done = m.run("systemctl", "reload", "wsrelayd", check=False)
    assert done.returncode != 0, "a bad configuration was accepted"
    m.wait_journal("bad.ini:2", "loud")
    contains(m.run("wsrelayctl", "-a", "unix:/run/wsrelayd/admin.sock", "status").stdout, "websockets:")
    m.echo("still", "wss://127.0.0.1:443/ws", "-k")
    done = m.run("cat", "/etc/ssl/wsrelayd/privkey.pem", user="wsrelayd", check=False)
    assert done.returncode != 0, "the key is readable for everybody"


@flavours("plain")
@limit(600)
def test_systemd_logrotate_moves_the_log_files(t):
    m = installed(t)
    t.need("logrotate")
    m.write(f"{DROP_INS}/log.ini", "[server]\nAccessLog=/var/log/wsrelayd/access.log\n")
    reload(m)
    log = "/var/log/wsrelayd/access.log"
    m.echo("first", "ws://127.0.0.1:8080/ws")
    wait(lambda: m.exists(log) and m.read(log).count("\n") == 1, what="the first access line")
    first = m.read(log)
    m.run("logrotate", "--force", "/etc/logrotate.d/wsrelayd")
    equal(m.read(log + ".1"), first)
    # the daemon opens the new file some time after the signal
    def next_line():
        m.echo("next")
        return m.read(log).count("\n") > 0

    wait(next_line, 30, "a line in the new file")
    contains(m.run("stat", "-c", "%U:%G %a", log).stdout, "wsrelayd:wsrelayd 640")


@flavours("plain")
@limit(600)
def test_systemd_starts_it_again_after_a_crash_and_not_after_a_bad_configuration(t):
    m = installed(t)
    first = m.show("MainPID")
    m.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "wsrelayd")
    wait(lambda: m.show("MainPID") not in ("0", first) and m.show("ActiveState") == "active", 30, "a new process")
    m.echo()

    # and where it hangs: the watchdog
    first = m.show("MainPID")
    m.write(f"{UNIT_DROP_INS}/quick.conf", "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\nRestartSec=100ms\n")
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", "wsrelayd")
    second = m.show("MainPID")
    started = m.show("WatchdogTimestampMonotonic")
    wait(lambda: m.show("WatchdogTimestampMonotonic") != started, 30, "a sign of life")
    os.kill(m.main_pid(), signal.SIGSTOP)
    wait(lambda: m.show("MainPID") not in ("0", first, second) and m.show("ActiveState") == "active", 30, "a new process")
    m.wait_journal("Watchdog timeout")
    m.echo()

    m.write(f"{DROP_INS}/bad.ini", "[server]\nLogLevel=loud\n")
    m.run("systemctl", "reset-failed", "wsrelayd")
    done = m.run("systemctl", "restart", "wsrelayd", check=False)
    assert done.returncode != 0, "it starts with a bad configuration"
    equal((m.show("ActiveState"), m.show("ExecMainStatus"), m.show("NRestarts")), ("failed", "78", "0"))


@flavours("plain")
@limit(600)
def test_systemd_package_is_upgraded_and_removed_while_it_runs(t):
    p = built.packages(t)
    older = built.older_deb(t, p.deb)
    m = Machine(t)
    old, new = m.put(older, p.deb)
    m.run("dpkg", "-i", old)
    m.write(INI, m.read(INI).replace("#LogLevel=info", "LogLevel=debug"))
    m.echo()
    first = m.show("MainPID")
    m.run("dpkg", "--force-confold", "-i", new)
    equal(m.show("ActiveState"), "active")
    assert m.show("MainPID") != first, "the upgrade did not restart the service"
    contains(m.read(INI), "\nLogLevel=debug\n")
    m.echo()
    equal(m.run("systemctl", "is-enabled", "wsrelayd.service", "wsrelayd.socket", check=False).stdout.split(), ["enabled", "disabled"])
    # the socket unit, too, is stopped with the package
    m.run("cp", "/usr/share/doc/wsrelayd/examples/socket.ini", DROP_INS)
    m.run("systemctl", "stop", "wsrelayd")
    m.run("systemctl", "enable", "--now", "wsrelayd.socket")
    m.echo()
    m.run("dpkg", "-r", "wsrelayd")
    done = m.host_run("curl", "-sS", "--max-time", "10", "http://127.0.0.1:8080/", check=False)
    equal(done.returncode, 7, "curl where nobody listens")
    m.run("rm", f"{DROP_INS}/socket.ini")
    m.run("dpkg", "--purge", "wsrelayd")
    equal(m.run("systemctl", "list-unit-files", "--no-legend", "wsrelayd*", check=False).stdout, "")
    for folder in ("/etc/systemd", "/var/lib/systemd", "/run/wsrelayd", "/var/log/wsrelayd", "/etc/wsrelayd"):
        equal(m.run("find", folder, "-name", "*wsrelay*", check=False).stdout.replace("find: ", ""),
              "" if folder.endswith("systemd") else f"‘{folder}’: No such file or directory\n")
