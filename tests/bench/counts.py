"""What is counted, and not timed: system calls for each message, and how evenly workers are loaded."""

import os
import subprocess
import time

from peers import Wsrelayd
from proc import Backend, Missing, most_connections, which
from report import number, table
from rows import Row

GROUPS = {
    "read": ("recvfrom", "recvmsg", "read", "readv"),
    "write": ("sendto", "sendmsg", "write", "writev"),
    "epoll_wait": ("epoll_wait", "epoll_pwait"),
}
SPREAD_WORKERS = 4


# ---- system calls


def strace(bench, gateway, row, messages):
    """System calls for each message, by name."""
    report = os.path.join(bench.folder, "strace")
    with row.load(bench, gateway) as load:
        load.run(row, 60000, 10)
        argv = [which("strace"), "-f", "-c", "-o", report]
        for pid in gateway.pids():
            argv += ["-p", str(pid)]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
            line = tracer.stderr.readline()
            if "attached" not in line:
                tracer.wait()
                raise Missing(f"strace cannot attach: {line.strip()}")
            time.sleep(0.3)     # all threads are
            done, _, _ = load.run(row, 60000, messages)
            tracer.send_signal(subprocess.signal.SIGINT)
            tracer.wait()
    calls = {}
    with open(report, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                calls[words[-1]] = int(words[3]) / done
    return calls


def syscalls(bench):
    """A table of how many calls each makes; which they are is printed."""
    cases = [("125 B", {}, 20), ("16 KiB", {"size": 16384}, 20), ("1 MiB", {"size": 1 << 20}, 2)]
    names = [kind.name for kind in bench.pool.classes if kind.peer and "forward" in kind.works]
    lines, details = [], []
    try:
        with Backend(bench.folder):
            for carrier, title in (("clear", "in the clear"), ("tls", "TLS"), ("h2", "HTTP/2, TLS")):
                for what, more, messages in cases[:1] if bench.quick else cases:
                    row = Row("syscalls", "", what, carrier=carrier, **more)
                    calls = {gateway.name: strace(bench, gateway, row, messages)
                             for gateway in bench.pool.able("forward", carrier) if gateway.peer}
                    lines.append([f"{title}, {what}", *(number(sum(calls[name].values())) if name in calls else ""
                                                        for name in names)])
                    details += [detail(f"{name}, {carrier}, {what}", found) for name, found in calls.items()]
    except Missing as missing:
        bench.say(f"system calls are left out: {missing}")
        return None
    print("## System calls for each message there and back, 100 WebSockets (strace -c)\n")
    print(table(["", "all", *GROUPS, "other calls"], details))
    return table(["calls for each message, 100 WebSockets", *names], lines)


def detail(title, calls):
    known = [name for names in GROUPS.values() for name in names]
    rest = [f"{name} {each:.2f}" for name, each in sorted(calls.items(), key=lambda c: -c[1])
            if name not in known and each >= 0.01]
    groups = [f"{sum(calls.get(name, 0) for name in names):.2f}" for names in GROUPS.values()]
    return [title, f"{sum(calls.values()):.2f}", *groups, " ".join(rest) or "none"]


# ---- how evenly workers are loaded


def watched(daemon):
    """How many descriptors each epoll set of the daemon watches."""
    counts = []
    folder = f"/proc/{daemon.child.pid}"
    for fd in os.listdir(f"{folder}/fd"):
        if os.readlink(f"{folder}/fd/{fd}") == "anon_inode:[eventpoll]":
            with open(f"{folder}/fdinfo/{fd}", encoding="utf-8") as info:
                counts.append((int(fd), info.read().count("tfd:")))
    return dict(counts)


def spread(bench):
    """A table of how many connections each worker has got."""
    lines = []
    with Wsrelayd(bench.folder, bench.pool.pem, SPREAD_WORKERS) as daemon:
        row = Row("spread", "", "", work="echo")
        with row.load(bench, daemon, 64) as load:
            load.run(row, 1000, 1)      # what is made at first use
        daemon.wait_closed()
        before = watched(daemon)
        for n in (1, 50, most_connections(5000)):
            with row.load(bench, daemon, n) as load:
                load.run(row, 1000, 1)
                after = watched(daemon)
            daemon.wait_closed()
            # the sets of libevent and of the main thread get none
            each = sorted((k - before.get(fd, 0) for fd, k in after.items()), reverse=True)[:SPREAD_WORKERS]
            lines.append([f"{n} connection" + "s" * (n != 1)] + [str(k) for k in each])
    print(f"## Connections on each of {SPREAD_WORKERS} workers (descriptors in the epoll sets, /proc/PID/fdinfo)\n")
    found = table(["", *(f"worker {i + 1}" for i in range(SPREAD_WORKERS))], lines)
    print(found)
    return found
