"""How it is measured: every gateway in turn, round after round, and medians of that."""

import contextlib
import statistics
import time

from peers import NOT_BEST
from proc import Backend, Load
from rows import IdleRow

UNUSED_SETTLE_S = 3     # what a handshake needed for a moment is given back, or is not


class Result:
    """The figures of a row: for each name a list with one value for each round."""

    def __init__(self, row):
        self.row = row
        self.cpu, self.p50, self.p99 = {}, {}, {}
        self.extra = {}         # name -> more figures: idle.py's

    def median(self, name, what="cpu"):
        values = getattr(self, what).get(name)
        return statistics.median(values) if values else None

    def ratio(self, ours, other, what="cpu"):
        """Ours to the other's: the median of what each round says."""
        pairs = list(zip(getattr(self, what).get(ours, []), getattr(self, what).get(other, [])))
        return statistics.median(a / b for a, b in pairs if b) if any(b for _, b in pairs) else None

    def best(self, ours="wsrelayd", what="cpu"):
        """The name of the best of the others, the null proxy aside."""
        others = [n for n in getattr(self, what) if n != ours and n not in NOT_BEST]
        return min(others, key=lambda n: self.median(n, what), default=None)


class Bench:
    def __init__(self, folder, pool, args):
        self.folder, self.pool = folder, pool
        self.rounds, self.ms, self.quick = args.rounds, args.ms, args.quick
        self.connections = args.connections
        self.said = []

    def say(self, text):
        self.said.append(text)
        print(f"({text})\n", flush=True)

    def measure(self, row):
        if self.connections:
            row.connections = self.connections
        with Backend(self.folder):
            if isinstance(row, IdleRow):
                return self.idle(row)
            with contextlib.ExitStack() as stack:
                return self.rounds_of(row, row.runs(self, stack))

    def rounds_of(self, row, runs):
        """In every round each one's turn, and the order turns too."""
        result = Result(row)
        for r in range(-1, self.rounds):        # the first is for what is made at first use
            k = r % len(runs) if runs else 0
            for run in runs[k:] + runs[:k]:
                name, gateway, load = run
                try:
                    figures = self.turn(row, gateway, load, self.ms if r >= 0 else max(1, self.ms // 2))
                except (RuntimeError, OSError) as why:
                    self.say(f"{name} is left out of {row.id}: {why}")
                    runs = [other for other in runs if other is not run]
                    for found in (result.cpu, result.p50, result.p99):
                        found.pop(name, None)
                    continue
                if r >= 0:
                    for found, value in zip((result.cpu, result.p50, result.p99), figures):
                        found.setdefault(name, []).append(value)
        return result

    @staticmethod
    def turn(row, gateway, load, ms):
        before = gateway.cpu_ns()
        done, p50, p99 = load.run(row, ms)
        used = gateway.cpu_ns() - before
        if done == 0:
            raise RuntimeError("nothing came back")
        return used / 1000 / done, p50, p99

    # ---- memory

    def idle(self, row):
        """KiB for each WebSocket: never used, and some seconds after a message of 64 KiB each."""
        result = Result(row)
        n = min(row.connections, 1000) if self.quick else row.connections
        for kind in self.pool.classes:
            if not kind.peer or row.work not in kind.works or row.carrier not in kind.carriers:
                continue
            if kind.name in self.pool.missing or self.pool.get(kind) is None:
                continue
            try:
                with kind(self.folder, self.pool.pem) as gateway:       # a fresh heap for each
                    unused, used = self.idle_of(row, gateway, n)
            except (RuntimeError, OSError) as why:
                self.say(f"{kind.name} is left out of {row.id}: {why}")
                continue
            result.cpu[kind.name] = [unused]
            result.extra[kind.name] = used
        return result

    def idle_load(self, row, gateway, n):
        row.in_flight, row.size = 1, 65536
        if row.carrier != "h2":
            return row.load(self, gateway, n)
        streams = min(100, gateway.streams, n)
        url = f"wss://127.0.0.1:{gateway.port_for('h2')}{gateway.path_for(row.work)}"
        return Load(self.folder, url, ["--load", f"{max(1, n // streams)},1,65536"], ["--streams", str(streams)])

    def idle_of(self, row, gateway, n):
        with self.idle_load(row, gateway, 8) as load:
            load.run(row, 30000, 3)         # what is made at first use, and little that is used again
        gateway.wait_closed()
        before = gateway.memory()
        with self.idle_load(row, gateway, n) as load:
            time.sleep(1 if self.quick else UNUSED_SETTLE_S)
            unused = gateway.memory()
            done, _, _ = load.run(row, 60000, 1)
            time.sleep(1 if self.quick else row.settle_s)
            used = gateway.memory()
        gateway.wait_closed()
        return (unused - before) / done, (used - before) / done
