"""What was found: as tables in Markdown, and as JSON."""

import datetime
import os
import re

from peers import ALL
from proc import read


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return {"processors": os.cpu_count(), "model": model[1] if model else os.uname().machine,
            "kernel": f"Linux {os.uname().release}", "load_at_start": round(os.getloadavg()[0], 1),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat()}


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


# ---- Markdown


def group_table(results):
    """The rows of one group."""
    order = [kind.name for kind in ALL]
    names = {name for result in results for name in result.cpu}
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


OVERVIEW = ["clear-125", "clear-16k", "clear-1m", "tls-125", "tls-16k", "tls-1m", "h2-125", "h2-16k", "h2-1m",
            "echo-clear-125", "echo-clear-1m", "get-clear-1k", "static-clear-4k", "idle-clear", "idle-tls", "idle-h2"]


def overview(results):
    """Some rows of all groups, as the README has them."""
    by_id = {result.row.id: result for result in results if result.cpu}
    chosen = [by_id[id_] for id_ in OVERVIEW if id_ in by_id]
    names = [kind.name for kind in ALL if any(kind.name in result.cpu for result in chosen)]
    lines = []
    for result in chosen:
        title = f"{result.row.group}, {result.row.title}, {result.row.unit}"
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


def summary(results):
    """Every goal; what is missed comes first."""
    lines = []
    for result in results:
        for goal in result.row.goals:
            found = judge(result, goal)
            if found is not None:
                lines.append((found[1], found[0] / goal.factor,
                              [f"{result.row.group}, {result.row.title}", goal.text(result.row.unit), f"{found[0]:.2f}",
                               "met" if found[1] else "MISSED"]))
        p99 = latency_ratio(result)
        if p99 is not None and not result.row.opens:
            lines.append((p99 <= 1.0, p99, [f"{result.row.group}, {result.row.title}", "p99 not above the best",
                                            f"{p99:.2f}", "met" if p99 <= 1.0 else "MISSED"]))
    lines.sort(key=lambda line: (line[0], -line[1]))
    return table(["work", "goal", "found", ""], [line[2] for line in lines]) if lines else ""


def markdown(results, facts, found_versions, args, said):
    text = [f"{facts['date']}, {facts['processors']} x {facts['model']}, {facts['kernel']}, load "
            f"{facts['load_at_start']} at the start; " + ", ".join(f"{n} {v}" for n, v in found_versions.items()),
            f"Medians of {args.rounds} interleaved rounds of {args.ms} ms; CPU of the gateway (utime and stime of all "
            "its threads) for each message that came back.\n"]
    for group in groups(results):
        if any(result.cpu for result in group):
            text.append(group_table(group))
            if any(kind.name in result.p99 for result in group for kind in ALL):
                text.append(latency_table(group))
    text += ["### Overview\n", overview(results), "### Goals\n", summary(results)]
    text += [f"- {line}" for line in said]
    return "\n".join(text) + "\n"


# ---- JSON


def as_json(results, facts, found_versions, args, said):
    rows = []
    for result in results:
        row, figures = result.row, {}
        for name in result.cpu:
            figures[name] = {"median": result.median(name), "rounds": result.cpu[name]}
            if name in result.p99:
                figures[name] |= {"p50_us": result.median(name, "p50"), "p99_us": result.median(name, "p99")}
            if name in result.extra:
                figures[name]["after_64k"] = result.extra[name]
        goals = []
        for goal in row.goals:
            found = judge(result, goal)
            goals.append({"goal": goal.text(row.unit), "found": found and found[0], "met": found and found[1]})
        rows.append({"id": row.id, "group": row.group, "title": row.title, "unit": row.unit, "figures": figures,
                     "ratios": {name: result.ratio("wsrelayd", name) for name in result.cpu if "wsrelayd" in result.cpu},
                     "p99_to_best": latency_ratio(result), "goals": goals})
    return {"machine": facts, "versions": found_versions, "rounds": args.rounds, "ms": args.ms, "rows": rows,
            "said": said}
