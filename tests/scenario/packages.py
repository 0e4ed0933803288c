"""The packages: what is in them, and how they are installed, upgraded, removed and purged.

What systemd makes of the installed units is in under_systemd.py.
"""

import os
import re
import shlex

import built
from built import NOBODY, call
from harness import REPO, contains, equal, flavours, limit, wait
from machine import Machine

INI = "/etc/wsrelayd/wsrelayd.ini"


def deb_files(deb):
    """Names of the files, not the folders, of a .deb."""
    lines = call(["dpkg-deb", "-c", deb], REPO).splitlines()
    return {line.split()[5][1:] for line in lines if not line.startswith("d")}


def comparable(names):
    """Without what each packaging adds by itself, or puts elsewhere: compressed pages, /lib, legal files, build ids."""
    plain = {re.sub(r"\.gz$", "", re.sub(r"^/lib/", "/usr/lib/", n)) for n in names}
    return {n for n in plain if not re.search(r"/copyright$|/changelog|/LICENSE$|/\.build-id/|/lintian/", n)}


def tree_files(top):
    return {"/" + os.path.relpath(os.path.join(d, n), top) for d, _, names in os.walk(top) for n in names}


def exec_start(machine):
    unit = next(machine.read(p) for p in ("/lib/systemd/system/wsrelayd.service",) if machine.exists(p))
    argv = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.M)[1])
    return argv, re.search(r"^User=(.*)$", unit, re.M)[1]


def is_listening(machine, port):
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
               for line in machine.host_run("cat", "/proc/net/tcp").stdout.splitlines()[1:])


def use(machine):
    """Starts the daemon as the unit says, uses it as a client does, and ends it."""
    argv, user = exec_start(machine)
    process = machine.start(*argv, user=user)
    wait(lambda: is_listening(machine, 8080) or process.poll() is not None, what="the daemon listens on 8080")
    machine.echo()
    contains(machine.page(), "<title>")
    machine.run("pkill", "-TERM", "-x", "wsrelayd")
    equal(process.wait(60), 0, "the daemon's exit status")


@flavours("plain")
@limit(600)
def test_packages_lint_finds_nothing(t):
    p = built.packages(t)
    t.need("lintian", "rpmlint")
    said = call(["lintian", "--info", "--fail-on", "error,warning", p.changes], t.tmp, {"HOME": "/tmp"}, user=NOBODY)
    assert not re.search(r"^[EW]:", said, re.M), said
    said = call(["rpmlint", "-c", REPO / "packaging/rpm/rpmlint.toml", p.spec, p.srpm, p.rpm], t.tmp)
    contains(said, "0 errors, 0 warnings")
    # the profile is an example: only its syntax can be judged here
    t.need("apparmor_parser")
    call(["dpkg-deb", "-x", p.deb, t.tmp / "files"], t.tmp)
    call(["apparmor_parser", "-Q", "-K", t.tmp / "files/usr/share/doc/wsrelayd/examples/usr.sbin.wsrelayd"], t.tmp)


@flavours("plain")
@limit(600)
def test_packages_and_make_install_have_the_same_files(t):
    p = built.packages(t)
    dest = t.tmp / "dest"
    call(["make", "install", f"DESTDIR={dest}"], p.tree)
    ours = comparable(tree_files(dest))
    equal(sorted(comparable(deb_files(p.deb))), sorted(ours), "files of the .deb")
    rpm = call(["rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", p.rpm], t.tmp).splitlines()
    names = {line.split()[1] for line in rpm if line.startswith("-")}
    equal(sorted(comparable(names)), sorted(ours), "files of the .rpm")
    for name in ("/usr/sbin/wsrelayd", "/usr/bin/wsdial", INI, "/usr/lib/systemd/system/wsrelayd.service",
                 "/usr/lib/systemd/system/wsrelayd.socket", "/usr/lib/sysusers.d/wsrelayd.conf",
                 "/usr/lib/tmpfiles.d/wsrelayd.conf", "/etc/logrotate.d/wsrelayd", "/usr/share/man/man8/wsrelayd.8"):
        assert name in ours, f"{name} is not installed"
    # each program that is built, with its page
    for source in ("daemon/main", "tools/wsrelayctl", "tools/wsdial"):
        if (REPO / f"src/{source}.c").exists():
            name = "wsrelayd" if source.startswith("daemon") else source.partition("/")[2]
            assert any(re.fullmatch(rf"/usr/s?bin/{name}", n) for n in ours), f"{name} is not installed"
            assert any(re.search(rf"/man[18]/{name}\.[18]$", n) for n in ours), f"{name} has no page"
    contains((dest / INI[1:]).read_text(), "DocumentRoot=/usr/share/wsrelayd/demo\n")
    assert not any(re.search(r"@[a-z_]+@", (dest / n[1:]).read_text(errors="replace"))
                   for n in ours if not re.search("bin/", n) and (dest / n[1:]).exists()), "an unfilled @name@"
    # once more over it keeps what was changed; removing keeps that, what others put there, and nothing else
    for name in (INI, "/etc/wsrelayd/wsrelayd.ini.d/own.ini"):
        (dest / name[1:]).write_text("[server]\nLogLevel=warn\n")
    call(["make", "install", f"DESTDIR={dest}"], p.tree)
    equal((dest / INI[1:]).read_text(), "[server]\nLogLevel=warn\n")
    call(["make", "uninstall", f"DESTDIR={dest}"], p.tree)
    equal(sorted(tree_files(dest)), [INI, "/etc/wsrelayd/wsrelayd.ini.d/own.ini"], "what make uninstall has left")
    clean = t.tmp / "clean"
    call(["make", "install", f"DESTDIR={clean}"], p.tree)
    call(["make", "uninstall", f"DESTDIR={clean}"], p.tree)
    left = [os.path.join(d, f) for d, folders, names in os.walk(clean) for f in folders + names if "wsrelay" in f]
    equal(left, [], "what make uninstall has left")


@flavours("plain")
@limit(600)
def test_packages_dist_is_reproducible_and_builds_without_systemd(t):
    p = built.packages(t)
    top = f"wsrelayd-{p.version}"
    call(["tar", "-xzf", p.tarball, "-C", t.tmp, "--no-same-owner"], t.tmp)
    tree = t.tmp / top
    # the tarball, of the tarball, with another umask, at another time, somewhere else
    call(["sh", "-c", "umask 077; exec make dist"], tree, {"TZ": "Asia/Tokyo", "HOME": str(t.tmp)})
    equal((tree / f"build/{top}.tar.gz").read_bytes(), p.tarball.read_bytes(), "the tarball of the tarball")
    twice = set()
    for folder in ("build/packages/first", "build/packages/second"):
        call(["make", "dist", f"BUILD={folder}"], REPO)
        twice.add((REPO / f"{folder}/{top}.tar.gz").read_bytes())
    equal(len(twice), 1, "different tarballs of one tree")

    call(["./configure", "--without-systemd", "--prefix=/opt/gateway", "CFLAGS=-O0"], tree)
    call(["make", f"-j{os.cpu_count()}"], tree)
    dest = t.tmp / "dest"
    call(["make", "install", f"DESTDIR={dest}"], tree)
    unit = (dest / "opt/gateway/lib/systemd/system/wsrelayd.service").read_text()
    contains(unit, "\nType=exec\n", "ExecStart=/opt/gateway/sbin/wsrelayd -c /opt/gateway/etc/wsrelayd/wsrelayd.ini\n")
    assert "WatchdogSec" not in unit, "a watchdog that nobody feeds"
    t.program = dest / "opt/gateway/sbin/wsrelayd"
    contains(t.call("--version").stdout, f"wsrelayd {p.version}\n", "libsystemd no")
    contains(t.call("-t", ini=ECHO.replace("127.0.0.1:0", "systemd:web")).stderr + t.call(ini=ECHO.replace(
        "127.0.0.1:0", "systemd:web")).stderr, "built without libsystemd")
    # a plain foreground process, whatever the environment says of systemd
    daemon = t.daemon(ECHO, env={"NOTIFY_SOCKET": "/nonexistent", "LISTEN_FDS": "3", "LISTEN_PID": "1"})
    said = call([dest / "opt/gateway/bin/wsdial", "-n", "1", "-m", "hello", f"ws://127.0.0.1:{daemon.port('web')}/ws"], t.tmp)
    contains(said, "hello")


ECHO = """
[listen web]
Address=127.0.0.1:0
[route echo]
Path=/ws
Action=echo
"""


def test_packages_sample_examples_are_good(t):
    """The examples at the end of the installed configuration, with their # taken away."""
    text = (REPO / "conf/wsrelayd.ini").read_text()
    head, _, tail = text.partition("# ---- Examples")
    tail = "# ---- Examples" + re.sub(r"(?m)^# (\[|[A-Z][A-Za-z]+=)", r"\1", tail)
    call(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", t.tmp / "privkey.pem",
          "-out", t.tmp / "fullchain.pem"], t.tmp)
    whole = (head + tail).replace("/etc/ssl/wsrelayd", str(t.tmp)).replace("conf/demo", str(REPO / "conf/demo"))
    assert whole.count("\n[backend ") == 2 and whole.count("\n[listen ") == 2, "the examples are not as they were"
    done = t.call("-t", ini=whole)
    equal((done.returncode, done.stderr), (0, ""))


@flavours("plain")
@limit(600)
def test_packages_deb_is_installed_used_upgraded_and_purged(t):
    p = built.packages(t)
    older = built.older_deb(t, p.deb)
    m = Machine(t, systemd=False)
    old, new = m.put(older, p.deb)
    before = tree_files(m.path("/etc")) | tree_files(m.path("/usr/share/wsrelayd"))

    m.run("dpkg", "-i", old)
    contains(m.run("getent", "passwd", "wsrelayd").stdout, ":/run/wsrelayd:/usr/sbin/nologin")
    contains(m.run("stat", "-c", "%U %a", "/run/wsrelayd", "/var/log/wsrelayd").stdout, "wsrelayd 755\n", "wsrelayd 750\n")
    use(m)

    # a configuration that nobody touched becomes the new one
    m.run("dpkg", "-i", new)
    contains(m.run("dpkg-query", "-W", "-f", "${Version}", "wsrelayd").stdout, f"{p.version}-1")
    assert "0.0.9" not in m.read(INI), "the old configuration is still there"
    assert not m.exists("/usr/share/wsrelayd/of-old"), "a file of the old version is still there"
    use(m)

    # one that was changed stays, and so does what others put into the drop-in folder
    m.run("dpkg", "-i", old)
    m.write(INI, m.read(INI).replace("#LogLevel=info", "LogLevel=debug"))
    m.write("/etc/wsrelayd/wsrelayd.ini.d/own.ini", "[server]\nDrainTimeout=1s\n")
    m.run("dpkg", "--force-confold", "-i", new)
    contains(m.read(INI), "0.0.9", "\nLogLevel=debug\n")
    contains(m.run("wsrelayd", "--dump-config").stdout, "LogLevel=debug", "DrainTimeout=1s")
    use(m)

    # a second copy of the package finds nothing to change; removing keeps the configuration
    m.run("dpkg", "-i", new)
    m.run("dpkg", "-r", "wsrelayd")
    assert not m.exists("/usr/sbin/wsrelayd"), "the daemon is still there"
    contains(m.read(INI), "\nLogLevel=debug\n")
    m.run("dpkg", "-i", new)
    contains(m.read(INI), "\nLogLevel=debug\n")

    # purging leaves nothing but the administrator's own drop-in, and nothing at all without that
    m.write("/var/log/wsrelayd/access.log", "x\n")
    m.path("/etc/wsrelayd/wsrelayd.ini.d/own.ini").unlink()
    m.run("dpkg", "--purge", "wsrelayd")
    left = m.run("find", "/etc", "/usr", "/var/lib", "/var/log", "/run", "/lib/systemd", "-name", "*wsrelay*", "-not", "-path", "/usr/src/*").stdout
    host = call(["find", "/etc", "/usr", "/var/lib", "/var/log", "/run", "/lib/systemd", "-name", "*wsrelay*", "-not", "-path", "/usr/src/*"], t.tmp)
    equal(set(left.split()) - set(host.split()), set(), "what is left after the purge")
    # the account stays, as those of sysusers.d(5) do; its backup files are passwd's own
    after = tree_files(m.path("/etc")) | tree_files(m.path("/usr/share/wsrelayd"))
    accounts = {f"/{n}{b}" for n in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid") for b in ("", "-")} | {"/.pwd.lock"}
    equal(after - before - accounts, set(), "new files in /etc")
    m.run("getent", "passwd", "wsrelayd")


@flavours("plain")
@limit(600)
def test_packages_rpm_has_its_content_scripts_and_configuration(t):
    p = built.packages(t)

    def ask(*query):
        return call(["rpm", "-qp", *query, p.rpm], t.tmp)

    equal(ask("--qf", "%{NAME} %{VERSION} %{LICENSE}"), f"wsrelayd {p.version} MIT")
    equal(sorted(ask("-c").split()), ["/etc/logrotate.d/wsrelayd", INI], "configuration files")
    flags = ask("--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]")
    contains(flags, f"{INI} cn\n", "/etc/logrotate.d/wsrelayd cn\n", "/var/log/wsrelayd g\n")
    scripts = ask("--scripts")
    contains(scripts, "useradd -r -g wsrelayd", "systemd-tmpfiles --create wsrelayd.conf", "preset wsrelayd.service wsrelayd.socket",
             "disable --now wsrelayd.socket wsrelayd.service", "try-restart wsrelayd.service")
    contains(ask("--requires"), "logrotate", "shadow-utils", "libevent_core-2.1.so.7", "libsystemd.so.0")
    owned = ask("--qf", "[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]").splitlines()
    equal({line for line in owned if not line.startswith("root:root")}, {"wsrelayd:wsrelayd /var/log/wsrelayd"})

    m = Machine(t, systemd=False)
    (package,) = m.put(p.rpm)
    # beside dpkg, in a database of its own, and without the packages of a Fedora
    rpm = ["rpm", "--nodeps", "--dbpath", "/tmp/rpmdb"]
    m.run("rpmdb", "--dbpath", "/tmp/rpmdb", "--initdb")
    m.run(*rpm, "-i", package)
    contains(m.run("getent", "passwd", "wsrelayd").stdout, "WebSocket gateway")
    contains(m.run("stat", "-c", "%U %a", "/run/wsrelayd", "/var/log/wsrelayd").stdout, "wsrelayd 755\n", "wsrelayd 750\n")
    use(m)
    m.write(INI, m.read(INI).replace("#LogLevel=info", "LogLevel=debug"))
    m.run(*rpm, "-e", "wsrelayd")
    assert not m.exists("/usr/sbin/wsrelayd") and not m.exists(INI), "the package is still there"
    contains(m.read(INI + ".rpmsave"), "\nLogLevel=debug\n")
