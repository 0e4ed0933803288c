"""What was found, as tables in Markdown."""

import datetime
import os
import re
import subprocess

from peers import ALL, Again
from proc import TOP, most_connections, read


def commit():
    """Of the tree, where it is a clone."""
    def git(*args):
        try:
            return subprocess.run(["git", "-C", TOP, *args], capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "tests/bench", "configure.ac", "Makefile")
    return git("rev-parse", "--short", "HEAD") + " with changes" * bool(changed)


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return {"processors": os.cpu_count(), "model": model[1] if model else os.uname().machine,
            "kernel": f"Linux {os.uname().release}", "load_at_start": round(os.getloadavg()[0], 1),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "commit": commit(), "most_connections": most_connections(10**6)}


def versions(pool):
    """Of what was measured."""
    found = {}
    for kind in ALL:
        if pool.running.get(kind.name) is not None:
            text = kind.version()
            if text:
                found[kind.name] = text
    return found


def number(value):
    """Three digits that count."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def table(head, rows):
    """The first column to the left, the others to the right."""
    rows = [head] + rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for n, row in enumerate(rows):
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if n == 0:
            rules = ["-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)]
            lines.append("|" + "|".join(rules) + "|")
    return "\n".join(lines) + "\n"


# ---- goals


P99_LEVEL = 0.05            # a p99 is level within what two of the same build differ by, and within this
ENOUGH_ROWS = 10            # before which nothing is said of that


def judge(result, goal):
    """(ratio or figure, met) of a goal; None where it cannot be told."""
    if goal.absolute:
        figure = result.extra.get(goal.ours) if goal.after else result.median(goal.ours)
        return None if figure is None else (figure, figure <= goal.factor)
    of = result.best(goal.ours) if goal.of == "best" else goal.of
    ours = max(result.cpu, key=int, default="") if goal.ours == "most" else goal.ours
    if ours not in result.cpu or of not in result.cpu or ours == of:
        return None
    ratio = result.ratio(ours, of)
    return None if ratio is None else (ratio, ratio <= goal.factor)


def goal_text(result, goal):
    found = judge(result, goal)
    text = goal.text(result.row.unit)
    if found is None:
        return f"{text}: not measured"
    return f"{text}: {found[0]:.2f}, {'met' if found[1] else 'MISSED'}"


def latency_ratio(result):
    """p99 to the best peer's."""
    best = result.best(what="p99") if "wsrelayd" in result.p99 else None
    return result.ratio("wsrelayd", best, "p99") if best else None


def noise(results, what):
    """What two of the same build differ by in nine rows of ten, as a part of 1; None where too few rows tell."""
    ratios = [result.ratio("wsrelayd", Again.name, what) for result in results]
    apart = sorted(max(ratio, 1 / ratio) - 1 for ratio in ratios if ratio)
    return apart[len(apart) * 9 // 10] if len(apart) >= ENOUGH_ROWS else None


def noise_text(results):
    cpu, p99 = noise(results, "cpu"), noise(results, "p99")
    if cpu is None or p99 is None:
        return ""
    return (f"A second wsrelayd of the same build had its turn in each round too: in nine rows of ten it differed by at "
            f"most {100 * cpu:.1f} % in CPU and {100 * p99:.1f} % in p99, which is this machine's noise.")


def verdict_of_p99(ratio, results):
    if ratio <= 1:
        return "met"
    return "level" if ratio <= 1 + min(P99_LEVEL, noise(results, "p99") or 0) else "MISSED"


# ---- Markdown


def group_table(results):
    """The rows of one group."""
    order = [kind.name for kind in ALL]
    names = {name for result in results for name in result.cpu if name != Again.name}
    names = sorted(names, key=lambda n: (order.index(n) if n in order else -1, len(n), n))
    unit = results[0].row.unit
    latency = any(latency_ratio(result) for result in results)
    head = [f"{results[0].row.group}, {'CPU µs each' if unit == 'µs' else unit + ' each'}", *names]
    head += ["to the best"] * ("wsrelayd" in names) + ["p99 to the best"] * latency + ["goal"]
    lines = []
    for result in results:
        line = [result.row.title] + [number(result.median(name)) for name in names]
        if "wsrelayd" in names:
            best = result.best()
            line.append(number(result.ratio("wsrelayd", best)) if best else "")
        if latency:
            line.append(number(latency_ratio(result)))
        lines.append(line + ["; ".join(goal_text(result, goal) for goal in result.row.goals)])
        if result.extra:
            used = [number(result.extra.get(name)) for name in names]
            lines.append([f"{result.row.title}, after 64 KiB", *used, *[""] * (len(head) - len(used) - 1)])
    return table(head, lines)


OVERVIEW = {
    "clear-125": "125 B, in the clear", "clear-125x16": "125 B, 16 in flight", "clear-16k": "16 KiB",
    "clear-1m": "1 MiB",
    "tls-125": "125 B, TLS", "tls-16k": "16 KiB, TLS", "tls-1m": "1 MiB, TLS",
    "h2-125": "125 B, HTTP/2 and TLS", "h2-16k": "16 KiB, HTTP/2 and TLS", "h2-1m": "1 MiB, HTTP/2 and TLS",
    "clear-open": "handshake, and close", "tls-open": "handshake, and close, TLS",
    "echo-clear-125": "echo of 125 B", "echo-clear-1m": "echo of 1 MiB",
    "get-clear-1k": "forwarded GET of 1 KiB", "static-clear-4k": "static file of 4 KiB",
    "idle-clear": "idle WebSocket", "idle-tls": "idle WebSocket, TLS",
    "idle-h2": "idle WebSocket, 100 on an HTTP/2 connection",
}


def overview(results):
    """Some rows of all groups, as the README has them."""
    by_id = {result.row.id: result for result in results if result.cpu}
    chosen = [by_id[id_] for id_ in OVERVIEW if id_ in by_id]
    names = [kind.name for kind in ALL if any(kind.name in result.cpu for result in chosen)]
    lines = []
    for result in chosen:
        title = f"{OVERVIEW[result.row.id]}, {result.row.unit}"
        lines.append([title, *(number(result.median(name)) for name in names)])
    return table(["", *names], lines) if lines else ""


def latency_table(results):
    """p50 and p99 in milliseconds."""
    names = [kind.name for kind in ALL if any(kind.name in result.p99 for result in results)]
    lines = []
    for result in results:
        line = [result.row.title]
        for name in names:
            p50, p99 = result.median(name, "p50"), result.median(name, "p99")
            line.append("" if p99 is None else f"{number(p50 / 1000)} / {number(p99 / 1000)}")
        lines.append(line)
    return table([f"{results[0].row.group}, p50 / p99 in ms", *names], lines)


def groups(results):
    found = {}
    for result in results:
        found.setdefault(result.row.group, []).append(result)
    return list(found.values())


def judged(results):
    """(verdict, how far from the goal, work, goal, found) of every goal that can be told."""
    found = []
    for result in results:
        work = f"{result.row.group}, {result.row.title}"
        for goal in result.row.goals:
            told = judge(result, goal)
            if told is not None:
                found.append(("met" if told[1] else "MISSED", told[0] / goal.factor, work, goal.text(result.row.unit),
                              f"{told[0]:.2f}"))
        p99 = latency_ratio(result)
        if p99 is not None:
            found.append((verdict_of_p99(p99, results), p99, work, "p99 not above the best", f"{p99:.2f}"))
    return found


def summary(results):
    """Every goal; what is missed comes first."""
    lines = sorted(judged(results), key=lambda line: (line[0] != "MISSED", -line[1]))
    return table(["work", "goal", "found", ""], [[*line[2:], line[0]] for line in lines]) if lines else ""


def tables(results):
    """CPU and memory, then latency, group by group."""
    figures, latency = [], []
    for group in groups(results):
        if any(result.cpu for result in group):
            figures.append(group_table(group))
            if any(kind.name in result.p99 for result in group for kind in ALL):
                latency.append(latency_table(group))
    return figures, latency


def circumstances(found):
    """When, where, of what, and how; a sentence each."""
    facts = found.facts
    at = f"Commit {facts['commit']}, " if facts["commit"] else ""
    text = [f"{at}{facts['date']}, {facts['processors']} x {facts['model']}, {facts['kernel']}, load "
            f"{facts['load_at_start']} at the start; " + ", ".join(f"{n} {v}" for n, v in facts["versions"].items()) + ".",
            f"Medians of {facts['rounds']} interleaved rounds of {facts['ms']} ms; CPU of the gateway (utime and stime of "
            "all its threads) for each message that came back."]
    if facts["most_connections"] < 10000:
        text.append(f"Descriptors were limited, so that the most busy connections are {facts['most_connections']}.")
    return text + [noise_text(found.results)]


def markdown(found):
    figures, latency = tables(found.results)
    text = [*circumstances(found), "", *figures, *latency, "### Overview\n", overview(found.results), "### Goals\n",
            summary(found.results)]
    text += [f"- {line}" for line in found.said]
    return "\n".join(text) + "\n"
