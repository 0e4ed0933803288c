"""What a scenario test is given: the daemon as a black box, a folder of its own, deadlines that fit the build.

A test is a function `test_...(t)` in a module of this folder; t is a Test. Each test runs in a process of its own (see
`run`), so whatever it starts or opens ends with it. Nothing here sleeps for a fixed time: conditions are looked at
again and again until they hold or their deadline has passed.
"""

import fnmatch
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ.get("WSRELAYD", REPO / "build/wsrelayd")).resolve()
FLAVOUR = os.environ.get("WSRELAYD_FLAVOUR", "plain")
FACTOR = {"asan": 3, "tsan": 5, "cover": 2}.get(FLAVOUR, 1)
SANITIZED = FLAVOUR in ("asan", "tsan")
IN_CI = os.environ.get("CI", "").lower() in ("true", "1", "yes")

START_S = 10
WAIT_S = 10
STOP_S = 15
LIMIT_S = 60
LOOK_S = 0.01  # between two looks at a condition
LOG_TAIL_LINES = 60

SANITIZER_REPORT = re.compile(
    r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|FATAL: ThreadSanitizer|: runtime error: "
    r"|AddressSanitizer:DEADLYSIGNAL"
)


class Skip(Exception):
    """The test cannot run here."""


# ---- marks on tests


def tag(*names):
    """Names by which `run --tag` selects a test; tsan is the subset that is run on the thread sanitizer's build."""

    def mark(test):
        test.tags = getattr(test, "tags", frozenset()) | frozenset(names)
        return test

    return mark


def limit(seconds):
    """How long a test may take on the plain build, where that is not LIMIT_S."""

    def mark(test):
        test.limit_s = seconds
        return test

    return mark


def alone(test):
    """The test measures memory or time, or needs the whole machine: no other runs beside it."""
    test.alone = True
    return test


def waits(test):
    """The test mostly waits for timers: more of these run beside the others."""
    test.waits = True
    return test


def flavours(*names):
    """The test only means something on these builds: figures of memory, for instance, are the sanitizer's elsewhere."""

    def mark(test):
        test.flavours = frozenset(names)
        return test

    return mark


# ---- waiting


def wait(condition, timeout=WAIT_S, what=None):
    """Returns the first true value of condition(), which is called until its deadline has passed."""
    end = time.monotonic() + timeout * FACTOR
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout * FACTOR} s: {what or condition}")
        time.sleep(LOOK_S)


def equal(got, expected, what=""):
    assert got == expected, f"{what + ': ' if what else ''}got {got!r}, expected {expected!r}"


def contains(whole, *parts):
    for part in parts:
        assert part in whole, f"{part!r} is not in {whole!r}"


def in_threads(*functions):
    """Runs the functions at once; the first error is raised."""
    errors = []

    def call(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# ---- a process seen from outside


def memory_kib(pid, what="VmRSS"):
    """Resident memory in KiB, now (VmRSS) or at most so far (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return int(re.search(rf"^{what}:\s+(\d+) kB", status.read(), re.M)[1])


def cpu_seconds(pid):
    """Processor time, user and system, of all its threads so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# Sockets for LISTEN_FDS stand from 3 on, and LISTEN_PID is the daemon's own: argv is COUNT FD... PROGRAM ARGUMENT...
PASS_SOCKETS = """
import fcntl, os, sys
n = int(sys.argv[1])
given = [int(fd) for fd in sys.argv[2 : 2 + n]]
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
for fd in given:
    os.close(fd)
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + n], sys.argv[2 + n :])
"""


class Daemon:
    """A running wsrelayd. Its standard error goes to a file, from which ports and messages are read."""

    def __init__(self, t, number, ini, args, env, access, preexec, cwd, sockets):
        self.t = t
        self.name = f"daemon {number}" if number > 1 else "daemon"
        self.ini = t.tmp / (f"wsrelayd-{number}.ini" if number > 1 else "wsrelayd.ini")
        self._stderr = t.tmp / f"daemon-{number}.stderr"
        self.access_log = t.tmp / f"access-{number}.log"
        self.ended = None  # exit status, as subprocess says it
        self.expected_end = 0  # None after kill()
        self._access_seen = 0
        self.ini.write_text(ini)
        argv = [str(t.program), "-c", str(self.ini), *args]
        if access:
            argv += ["--set", f"server.AccessLog={self.access_log}", "--set", "server.LogFormat=json"]
        if not re.search(r"(?im)^\s*DrainTimeout\s*=", ini):
            argv += ["--set", "server.DrainTimeout=1s"]
        env = {**os.environ, **(env or {})}
        fds = [sock.fileno() for _, sock in sockets]
        if sockets:
            argv = [sys.executable, "-c", PASS_SOCKETS, str(len(fds)), *map(str, fds), *argv]
            env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(name for name, _ in sockets))
        with open(self._stderr, "wb") as stderr:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=cwd or t.tmp,
                env=env,
                preexec_fn=preexec,
                pass_fds=fds,
            )
        self.pid = self._process.pid

    @property
    def log(self):
        """What it wrote to standard error so far."""
        return self._stderr.read_text(errors="replace")

    def poll(self):
        if self.ended is None:
            self.ended = self._process.poll()
        return self.ended

    def _must_run(self):
        if self.poll() is not None:
            raise AssertionError(f"the {self.name} ended, {how_ended(self.ended)}")

    def wait_ready(self):
        def ready():
            found = re.search(r"wsrelayd \S+ is ready", self.log)
            if not found:
                self._must_run()
            return found

        wait(ready, START_S, f"the {self.name}'s message that it is ready")

    def wait_log(self, pattern, timeout=WAIT_S, count=1):
        """Waits until the log has this many matches of a regular expression; returns the last of them."""

        def look():
            found = list(re.finditer(pattern, self.log, re.M))
            if len(found) >= count:
                return found[count - 1]
            return self._must_run()

        return wait(look, timeout, f"{pattern!r} in the {self.name}'s log" + (f", {count} times" if count > 1 else ""))

    def wait_logged(self, *texts):
        """Waits until each of these stands in the log: lines are written a moment after what they tell of."""
        for text in texts:
            self.wait_log(re.escape(text))

    def addresses(self, listen):
        """All addresses, as the log says them, on which a [listen] section's listeners were opened, in their order."""
        return re.findall(rf"listening on (\S+) listen={re.escape(listen)}\b", self.log)

    def ports(self, listen):
        return [int(a.rpartition(":")[2]) for a in self.addresses(listen) if not a.startswith(("unix:", "systemd:"))]

    def port(self, listen):
        """The TCP port of a [listen] section with `Address=127.0.0.1:0`; the last one that the log names."""
        wait(lambda: self.ports(listen) or self._must_run(), what=f"a TCP port for [listen {listen}] of the {self.name}")
        return self.ports(listen)[-1]

    def signal(self, number):
        self._process.send_signal(number)

    def access(self, count=1, timeout=WAIT_S):
        """Waits for this many new access lines of a daemon that was started with access=True; returns all new ones."""

        def lines():
            text = self.access_log.read_text() if self.access_log.exists() else ""
            return text.split("\n")[:-1]

        wait(lambda: len(lines()) >= self._access_seen + count, timeout, f"{count} new access lines in {lines()}")
        new = lines()[self._access_seen :]
        self._access_seen += len(new)
        return [json.loads(line) for line in new]

    def wait_end(self, timeout=STOP_S):
        """Waits until it has ended by itself or by a signal that it got; returns the exit status."""
        try:
            self.ended = self._process.wait(timeout * FACTOR)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the {self.name} did not end within {timeout * FACTOR} s") from None
        return self.ended

    def stop(self, timeout=STOP_S):
        """Ends it by SIGTERM; returns the exit status."""
        if self.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait_end(timeout)

    def kill(self):
        """Ends it by SIGKILL."""
        self.expected_end = None
        if self.poll() is None:
            self._process.kill()
            self.ended = self._process.wait()

    def rss_kib(self):
        return memory_kib(self.pid)

    def peak_kib(self):
        return memory_kib(self.pid, "VmHWM")

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def wait_quiet(self):
        """Until it has done nothing for half a second: all that it could do is done."""
        last = [None, 0.0]

        def quiet():
            now = time.monotonic()
            tasks = pathlib.Path(f"/proc/{self.pid}/task").glob("*/stat")
            runs = any(stat.read_text().rsplit(")", 1)[1].split()[0] == "R" for stat in tasks)
            if runs or self.cpu_seconds() != last[0]:
                last[:] = self.cpu_seconds(), now
            return now - last[1] > 0.5

        wait(quiet, timeout=30, what="the daemon to be quiet")

    def open_files(self):
        return open_files(self.pid)

    def finish(self):
        """Ends it if it still runs; returns what is wrong with how it ended, or None."""
        trouble = None
        try:
            self.stop()
        except AssertionError as error:
            trouble = str(error)
            self.kill()
        if SANITIZER_REPORT.search(self.log):
            return f"the {self.name} printed a sanitizer's report"
        if trouble is None and self.expected_end is not None and self.ended != self.expected_end:
            trouble = f"the {self.name} should have ended with exit status {self.expected_end}: {how_ended(self.ended)}"
        return trouble


def how_ended(status):
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class Test:
    """One running test. Everything it hands out is closed or ended when the test is over."""

    def __init__(self, name, folder=None):
        self.name = name
        self.repo = REPO
        self.flavour = FLAVOUR
        self.factor = FACTOR
        self.sanitized = SANITIZED
        self.program = PROGRAM
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="", dir=folder))  # short: Unix sockets' paths have 107 bytes
        self.tmp.chmod(0o755)  # for a daemon that is not root any more
        self._daemons = []
        self._first = []  # closed before the daemons are ended
        self._last = []  # and after

    def daemon(self, ini, args=(), env=None, access=False, preexec=None, cwd=None, ready=True, sockets=()):
        """Starts the daemon with this configuration and waits until it is ready.

        sockets: what it gets as systemd would pass it in, as a list of (name, socket).
        access: its access log is JSON, and Daemon.access() reads it. DrainTimeout is 1 s where the ini sets none.
        """
        daemon = Daemon(self, len(self._daemons) + 1, ini, list(args), env, access, preexec, cwd, list(sockets))
        self._daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    def call(self, *args, ini=None, timeout=START_S, **options):
        """Runs the daemon's program to its end, with -c and the ini if there is one; returns its CompletedProcess."""
        argv = [str(self.program)]
        if ini is not None:
            path = self.tmp / "called.ini"
            path.write_text(ini)
            argv += ["-c", str(path)]
        return subprocess.run(
            argv + [str(a) for a in args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout * FACTOR,
            cwd=self.tmp,
            check=False,
            **options,
        )

    def spawn(self, argv, **options):
        """Starts a helper program that is ended with the test."""
        process = subprocess.Popen([str(a) for a in argv], **{"stdin": subprocess.DEVNULL, **options})

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()

        self.at_end(end, late=True)
        return process

    def at_end(self, function, late=False):
        """Calls this when the test is over: before the daemons are ended, or late, which is after."""
        (self._last if late else self._first).append(function)

    def need(self, *programs):
        """Skips the test where a program is not installed."""
        for program in programs:
            if shutil.which(program) is None:
                self.skip(f"{program} is not installed")

    def need_root(self):
        if os.geteuid() != 0:
            self.skip("needs root")

    def skip(self, reason):
        """Ends the test: it cannot run here. Where CI is true everything has to be there, and this is a failure."""
        if IN_CI:
            raise AssertionError(f"nothing may be skipped in CI: {reason}")
        raise Skip(reason)

    wait = staticmethod(wait)

    def finish(self):
        """Closes and ends everything; returns the list of what was wrong with how the daemons ended."""
        for function in reversed(self._first):
            function()
        troubles = [trouble for trouble in (d.finish() for d in self._daemons) if trouble]
        for function in reversed(self._last):
            function()
        return troubles

    def logs(self):
        """The ends of the daemons' logs, for a person."""
        parts = []
        for daemon in self._daemons:
            lines = daemon.log.splitlines()
            report = next((i for i, line in enumerate(lines) if SANITIZER_REPORT.search(line)), len(lines))
            shown = lines[max(0, min(report - 5, len(lines) - LOG_TAIL_LINES)) :][: 2 * LOG_TAIL_LINES]
            parts.append(f"--- log of the {daemon.name} ({len(lines)} lines)")
            parts += shown
        return "\n".join(parts)

    def remove(self):
        shutil.rmtree(self.tmp, ignore_errors=True)


def raise_open_files(at_least):
    """Raises this process's soft limit on open files; False where the hard limit is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < at_least:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (at_least if hard == resource.RLIM_INFINITY else hard, hard))
    return True


def selected(name, patterns):
    """Whether module.test_... is meant by a module, a test, module.test, a part of a test's name, or by wildcards."""
    module, _, test = name.partition(".")

    def fits(pattern):
        if "*" in pattern:
            return fnmatch.fnmatchcase(name, pattern)
        if (REPO / "tests/scenario" / f"{pattern}.py").exists():
            return pattern == module
        return pattern in (test, name) or pattern in test

    return not patterns or any(map(fits, patterns))
