"""Where the gateway's time goes, by perf: which part of the kernel, and which library. A table is CPU µs for each message."""

import collections
import os
import re
import signal
import subprocess

from peers import NullProxy, Wsrelayd
from proc import CPUS, Backend, Missing, Process, most_connections, which
from report import number, table
from rows import select

HERTZ = 2999
RUN_MS, QUICK_MS = 3000, 300
LIBRARIES = {"libcrypto": "libcrypto", "libssl": "libssl", "libnghttp2": "nghttp2", "libevent": "libevent", "libc.": "libc",
             "libz": "zlib", "wsrelayd": "wsrelayd"}
LINE = re.compile(r"\s+[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$")

# The first whose functions are all among the callers; a name that ends in * is a part of one.
KERNEL = [
    ("`epoll_wait`", ["epoll_wait*"]),
    ("send to the client: waking it", ["tcp_sendmsg", "net_rx_action", "sock_def_readable"]),
    ("send to the client: its socket's receiving, as it is on the same machine", ["tcp_sendmsg", "net_rx_action"]),
    ("send to the client: TCP, down to the loopback", ["tcp_sendmsg"]),
    ("send to the backend: waking it", ["unix_stream_sendmsg", "sock_def_readable"]),
    ("send to the backend", ["unix_stream_sendmsg"]),
    ("read from the client", ["tcp_recvmsg"]),
    ("read from the backend", ["unix_stream_recvmsg"]),
]
OUTSIDE, REST = "outside the kernel", "entry of system calls, look-up of descriptors, the rest"


def in_kernel(dso):
    return dso.startswith("[k") or dso.startswith("[guest.k") or ".ko" in dso or "vmlinux" in dso


def kernel_part(stack):
    names = {name for name, _ in stack}
    for title, wanted in KERNEL:
        if all(any(want[:-1] in name for name in names) if want.endswith("*") else want in names for want in wanted):
            return title
    return REST


class Perf(Process):
    """perf record, which has attached when this is made."""

    cpus = CPUS.others

    def __init__(self, argv, pids):
        (told, self.tell), (self.heard, hear) = os.pipe(), os.pipe()
        argv = [*argv, "-D", "-1", "--control", f"fd:{told},{hear}", "-p", ",".join(str(pid) for pid in pids)]
        super().__init__(argv, stdin=subprocess.DEVNULL, pass_fds=(told, hear))
        os.close(told)
        os.close(hear)
        try:
            os.write(self.tell, b"enable\n")
            attached = os.read(self.heard, 16)      # "ack"
        except BrokenPipeError:
            attached = b""
        if not attached:
            self.reader.join(5)
            self.end()
            raise Missing("perf cannot record: " + " ".join(self.lines))

    def end(self):
        """It writes what it has on SIGINT."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            self.child.wait()
        for fd in (self.tell, self.heard):
            if fd != -1:
                os.close(fd)
        self.tell = self.heard = -1


def samples(gateway, load, row, bench):
    """perf's stacks, innermost first, while a load runs; and the CPU µs that each message took meanwhile."""
    data = os.path.join(bench.folder, "perf.data")
    argv = [which("perf"), "record", "-q", "-g", "-e", "cpu-clock", "-F", str(HERTZ), "-o", data]
    with Perf(argv, gateway.pids()) as perf:
        before = gateway.cpu_ns()
        done, _, _ = load.run(row, QUICK_MS if bench.quick else RUN_MS)
        used = gateway.cpu_ns() - before
        perf.end()
    argv = [which("perf"), "script", "-i", data, "-F", "ip,sym,dso"]
    script = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout
    stacks = [[found.groups() for found in map(LINE.match, text.split("\n")) if found] for text in script.split("\n\n")]
    stacks = [stack for stack in stacks if stack]
    if not stacks:
        raise Missing("perf has recorded nothing")
    return stacks, used / 1000 / done


def profiled(bench, kind, row_id, connections, title_of):
    """CPU µs for each message by what title_of says of a stack."""
    row = select([row_id], False)[0]
    with Backend(bench.folder), kind(bench.folder, bench.pool.pem) as gateway, \
            row.load(bench, gateway, connections) as load:
        load.run(row, QUICK_MS)
        stacks, each = samples(gateway, load, row, bench)
    counts = collections.Counter(title_of(stack) for stack in stacks)
    return each, {title: each * n / len(stacks) for title, n in counts.items()}


def by_kernel(bench):
    """A small message in the clear, with few connections and with many."""
    def title_of(stack):
        return kernel_part(stack) if in_kernel(stack[0][1]) else OUTSIDE

    most = 1000 if bench.quick else most_connections(10000)
    columns = [(kind, n) for n in (100, most) for kind in (Wsrelayd, NullProxy)]
    found = [profiled(bench, kind, "clear-125", n, title_of) for kind, n in columns]
    lines = [["all", *(number(each) for each, _ in found)]]
    for title in [title for title, _ in KERNEL] + [REST, OUTSIDE]:
        lines.append([title, *(number(parts.get(title, 0)) for _, parts in found)])
    return table(["125 B in the clear, CPU µs each", *(f"{kind.name}, {n}" for kind, n in columns)], lines)


def by_library(bench):
    def title_of(stack):
        dso = os.path.basename(stack[0][1])
        if in_kernel(stack[0][1]):
            return "kernel"
        return next((title for part, title in LIBRARIES.items() if part in dso), "other")

    columns = ["kernel", *dict.fromkeys(LIBRARIES.values()), "other"]
    lines = []
    for row_id in ("clear-125", "clear-16k", "tls-125", "tls-16k", "h2-125", "h2-16k")[:2 if bench.quick else None]:
        row = select([row_id], False)[0]
        each, parts = profiled(bench, Wsrelayd, row_id, 100, title_of)
        lines.append([f"{row.group}, {row.title}", number(each), *(number(parts.get(column, 0)) for column in columns)])
    used = [i for i in range(len(lines[0])) if i < 2 or any(line[i] != "0.00" for line in lines)]
    head = ["wsrelayd, CPU µs each", "all", *columns]
    return table([head[i] for i in used], [[line[i] for i in used] for line in lines])


def profile(bench):
    try:
        found = by_kernel(bench) + "\n" + by_library(bench)
    except Missing as missing:
        bench.say(f"the profile is left out: {missing}")
        return None
    print(f"## Where the time goes (perf, {HERTZ} samples a second)\n")
    print(found)
    return found
