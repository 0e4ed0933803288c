"""Processes of the benchmark: started on their processors, read from, measured, and ended."""

import glob
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
WSRELAYD = os.path.abspath(os.environ.get("WSRELAYD", os.path.join(BUILD, "wsrelayd")))
WSDIAL = os.path.join(BUILD, "wsdial")
START_TIMEOUT_S = 20
MANY_FILES = 65536


class Missing(Exception):
    """What is to be measured, or measured with, is not there."""


def which(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise Missing(f"{program} is not installed")
    return path


def bench_program(name):
    return os.path.join(BUILD, "tests", "bench", name)


def write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


# ---- the machine


class Cpus:
    """The gateway has one processor for itself, load and backend share another; where there is but one they share it."""

    def __init__(self):
        self.all = sorted(os.sched_getaffinity(0))
        self.gateway = {self.all[-1]}
        self.others = {self.all[-2]} if len(self.all) > 1 else self.gateway


CPUS = Cpus()


def raise_nofile():
    """As many descriptors as are allowed, for all that is started; root may allow itself more."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < MANY_FILES and os.geteuid() == 0:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_FILES, MANY_FILES))
            return
        except (OSError, ValueError):
            pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections(wish):
    """A proxy needs two descriptors for each."""
    fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wish if fds == resource.RLIM_INFINITY else min(wish, (fds - 300) // 2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- processes


def settle(cpus):
    """On its processors, and ahead of what else runs on the machine, where that is allowed."""
    os.sched_setaffinity(0, cpus)
    try:
        os.nice(-15)
    except OSError:
        pass


class Process:
    """A child that is ended with the `with`; its standard error is read until `ready` matches, and kept."""

    cpus = CPUS.gateway

    def __init__(self, argv, ready=None, cpus=None, **more):
        self.lines = []
        self.seen = threading.Condition()
        self.over = False
        cpus = cpus or self.cpus
        self.child = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=TOP, errors="replace",
                                      preexec_fn=lambda: settle(cpus), **more)
        self.reader = threading.Thread(target=self.read_errors, daemon=True)
        self.reader.start()
        if ready is not None:
            self.wait_for(ready)

    def read_errors(self):
        for line in self.child.stderr:
            with self.seen:
                self.lines.append(line.rstrip("\n"))
                self.seen.notify_all()
        with self.seen:
            self.over = True
            self.seen.notify_all()

    def wait_for(self, pattern):
        found = []

        def look():
            found[:] = [m for line in self.lines for m in [re.search(pattern, line)] if m]
            return found or self.over

        with self.seen:
            self.seen.wait_for(look, START_TIMEOUT_S)
        if not found:
            self.end()
            raise RuntimeError(f"{self.child.args[0]} did not say {pattern}:\n" + "\n".join(self.lines[-20:]))
        return found[0]

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def pids(self):
        """The process and all below it, which is where some proxies work."""
        found = []
        waiting = [self.child.pid]
        while waiting:
            pid = waiting.pop()
            try:
                for path in glob.glob(f"/proc/{pid}/task/*/children"):
                    waiting += [int(p) for p in read(path).split()]
            except OSError:
                continue
            found.append(pid)
        return found

    def cpu_ns(self):
        """What the kernel has counted for all threads, which is where utime and stime come from."""
        total = ticks = 0
        for pid in self.pids():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                total += int(read(path).split()[0])
            stat = read(f"/proc/{pid}/stat")
            ticks += sum(int(n) for n in stat[stat.rindex(")") + 2:].split()[11:13])
        # some kernels are built without schedstat: then in steps of 10 ms, for which --ms wants to be longer
        return total or ticks * 1000000000 // os.sysconf("SC_CLK_TCK")

    def memory(self):
        """KiB of its own: the program's and the libraries' pages are not counted, which change with who else runs."""
        total = 0
        for pid in self.pids():
            total += int(re.search(r"^Pss_Anon:\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M)[1])
        return total

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def wait_closed(self):
        """Until the number of its descriptors stands still."""
        last = -1
        for _ in range(200):
            n = self.descriptors()
            if n == last:
                return
            last = n
            time.sleep(0.1)


class Backend(Process):
    cpus = CPUS.others

    def __init__(self, folder):
        path = os.path.join(folder, "app.sock")
        if os.path.exists(path):        # the one before left it
            os.unlink(path)
        super().__init__([bench_program("backend"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.child.stdout.readline() != "ready\n":
            raise RuntimeError("the backend does not start: " + " ".join(self.lines))


class Certificate:
    """Files with a certificate and its key, or None for both where there is no openssl."""

    def __init__(self, folder):
        self.pem, self.key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run([which("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=bench.example", "-out", self.pem, "-keyout", self.key],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# ---- load


CLIENT_TLS = """openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
"""


class Load(Process):
    """wsdial with --on-input: WebSockets to one gateway, and runs on them."""

    cpus = CPUS.others

    def __init__(self, folder, url, mode, args=()):
        # the same cipher and group for all, whatever they prefer
        env = dict(os.environ, OPENSSL_CONF=write(os.path.join(folder, "client.cnf"), CLIENT_TLS))
        super().__init__([WSDIAL, "-b", "-k", "--json", "--on-input", "--timeout", "60s", *mode, *args, url],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        self.answer("READY\n")

    def answer(self, expected=None):
        line = self.child.stdout.readline()
        if not line or (expected is not None and line != expected):
            self.child.wait()
            self.reader.join(5)
            raise RuntimeError("wsdial: " + " ".join(self.lines))
        return line

    def tell(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return json.loads(self.answer())

    def run(self, work, ms, count=None):
        """One run: how many came back, and p50 and p99 in microseconds."""
        if work.opens:
            found = self.tell(f"1,0,{ms}ms")
            done = found["opens"]
        else:
            found = self.tell(f"{work.in_flight},{work.size},{ms}ms" + (f",{count}" if count else ""))
            done = found["messages"]
        latency = found["latency_ms"] or {"p50": 0, "p99": 0}
        return done, latency["p50"] * 1000, latency["p99"] * 1000


class HttpLoad(Load):
    """GETs, one in flight on each connection."""

    def __init__(self, folder, port, path, connections, tls):
        env = dict(os.environ, OPENSSL_CONF=write(os.path.join(folder, "client.cnf"), CLIENT_TLS))
        Process.__init__(self, [bench_program("load_http"), *["-t"] * tls, str(port), path, str(connections)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        self.answer("ready\n")

    def run(self, work, ms, count=None):
        self.child.stdin.write(f"run {count or 0} {ms}\n")
        self.child.stdin.flush()
        done, _, p50, p99 = (int(n) for n in self.answer().split())
        return done, p50, p99
