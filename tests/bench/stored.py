"""What was found, as JSON: written, and read again, from one run or from several of which each measured some of the rows."""

import dataclasses
import json

import report
import rows
from measure import Result
from proc import read, write


@dataclasses.dataclass
class Found:
    results: list               # of measure.Result
    facts: dict                 # the machine, versions, rounds, milliseconds
    said: list                  # what was left out, and why
    parts: dict                 # name (syscalls, spread) -> table


def row_json(result, results):
    row, figures = result.row, {}
    for name in result.cpu:
        figures[name] = {"median": result.median(name), "rounds": result.cpu[name]}
        if name in result.p99:
            figures[name] |= {"p50_us": result.median(name, "p50"), "p99_us": result.median(name, "p99"),
                              "p50_rounds": result.p50[name], "p99_rounds": result.p99[name]}
        if name in result.extra:
            figures[name]["after_64k"] = result.extra[name]
    goals = []
    for goal in row.goals:
        found = report.judge(result, goal)
        goals.append({"goal": goal.text(row.unit), "found": found and found[0], "met": found and found[1]})
    p99 = report.latency_ratio(result)
    if p99 is not None:
        goals.append({"goal": "p99 not above the best", "found": p99, "met": report.verdict_of_p99(p99, results) != "MISSED"})
    return {"id": row.id, "group": row.group, "title": row.title, "unit": row.unit, "figures": figures,
            "ratios": {name: result.ratio("wsrelayd", name) for name in result.cpu if "wsrelayd" in result.cpu},
            "p99_to_best": p99, "goals": goals}


def save(path, found):
    everything = {"facts": found.facts, "rows": [row_json(result, found.results) for result in found.results],
                  "parts": found.parts, "said": found.said}
    write(path, json.dumps(everything, indent=1) + "\n")


def result_of(stored, row):
    result = Result(row)
    for name, figures in stored["figures"].items():
        result.cpu[name] = figures["rounds"]
        if "p99_rounds" in figures:
            result.p50[name], result.p99[name] = figures["p50_rounds"], figures["p99_rounds"]
        if "after_64k" in figures:
            result.extra[name] = figures["after_64k"]
    return result


def load(paths):
    """A row that is in several is taken from the last; the circumstances are those of the first, the versions of all."""
    every = [json.loads(read(path)) for path in paths]
    versions = {name: version for one in every for name, version in one["facts"]["versions"].items()}
    stored, parts = {}, {}
    for one in every:
        stored.update({row["id"]: row for row in one["rows"]})
        parts.update(one["parts"])
    results = [result_of(stored[row.id], row) for row in rows.all_rows() if row.id in stored]
    return Found(results, every[0]["facts"] | {"versions": versions}, [line for one in every for line in one["said"]], parts)
