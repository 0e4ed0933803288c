"""What was found, put where people read it: docs/performance.md, docs/performance.svg, and the README.

The text between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` is from here; what was not measured is left as it was.
"""

import os
import re

import picture
import report
from proc import TOP, read, write

PAGE, PICTURE, README = "docs/performance.md", "docs/performance.svg", "README.md"


def narrow(text):
    """A table without what makes it even: lines of a document ought not to change with the width of a figure."""
    lines = []
    for line in text.split("\n"):
        if line.startswith("|"):
            line = re.sub(r"-+(:?)(?= ?\|)", r"---\1", re.sub(r" {2,}", " ", line))
        lines.append(line)
    return "\n".join(lines)


def put(path, name, text):
    """Between the marks of that name in a file."""
    path = os.path.join(TOP, path)
    begin, end = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->\n"
    before, found, rest = read(path).partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RuntimeError(f"{path} has no {begin.strip()} and {end.strip()}")
    write(path, f"{before}{begin}{narrow(text).strip()}\n{end}{after}")


def counted(results):
    """How many goals are met, and which are not."""
    found = report.judged(results)
    missed = [line for line in found if line[0] == "MISSED"]
    level = sum(line[0] == "level" for line in found)
    text = f"{len(found) - len(missed)} of {len(found)} goals are met"
    return text + f" ({level} of them are a p99 that is level with the best within the machine's noise)." * bool(level) + "." * (not level)


def results_block(found):
    figures, latency = report.tables(found.results)
    said = [f"- {line}" for line in found.said]
    return "\n".join(["\n".join(line for line in report.circumstances(found) if line), "", "### Goals", "",
                      counted(found.results), "", report.summary(found.results), "### CPU and memory", "", *figures,
                      "### Latency", "", *latency, *said])


def readme_block(found):
    facts = found.facts
    at = f" at commit {facts['commit']}" if facts["commit"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return "\n".join([
        f"Measured by `make bench`{at} on {facts['date']}, {facts['processors']} x {facts['model']}, {facts['kernel']}: "
        f"{versions}.", counted(found.results), "", f"![bars of the same figures]({PICTURE})", "",
        report.overview(found.results)])


def rewrite(found):
    for name, text in found.parts.items():
        put(PAGE, name, text)
    if not found.results:
        return
    put(PAGE, "results", results_block(found))
    put(README, "readme", readme_block(found))
    image = picture.of(found)
    if image is not None:
        write(os.path.join(TOP, PICTURE), image)
