"""The benchmark itself, with tiny counts and without other gateways: that it runs, and that what it says is whole."""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

from harness import FACTOR, REPO, Skip, contains, equal, flavours, limit

RUN = REPO / "tests" / "bench" / "run"
ROWS = ["clear-125", "tls-16k", "h2-125x16", "h2-1m-down", "clear-open", "h2-open", "echo-h2-125", "get-tls-1k",
        "static-clear-4k", "deflate-none-1k", "workers", "idle-clear", "idle-h2"]


def bench(t, *args, status=0):
    if not os.access(t.program.parent / "tests" / "bench" / "backend", os.X_OK):
        raise Skip("the benchmark's programs are not built (make bench-programs)")
    env = {**os.environ, "WSRELAYD": str(t.program), "BUILD": str(t.program.parent)}
    done = subprocess.run([sys.executable, str(RUN), *args], capture_output=True, text=True, env=env, cwd=t.tmp,
                          timeout=100 * FACTOR, check=False)
    equal(done.returncode, status, done.stderr + done.stdout)
    return done


def rewrite_documents(t, json_file, text):
    """What was found goes into the documents of a copy of the tree, without measuring again."""
    tree = t.tmp / "tree"
    for path in ("tests/bench", "docs"):
        shutil.copytree(REPO / path, tree / path, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(REPO / "README.md", tree)
    done = subprocess.run([sys.executable, str(tree / "tests" / "bench" / "run"), "--docs", f"--from={json_file}"],
                          capture_output=True, text=True, timeout=100 * FACTOR, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    equal(done.stdout.strip(), text.strip())
    page, readme = ((tree / path).read_text() for path in ("docs/performance.md", "README.md"))
    equal(page.count("<!-- bench:results -->\n"), 1)
    block = page.partition("<!-- bench:results -->\n")[2].partition("<!-- /bench:results -->\n")[0]
    contains(block, "Medians of 2 interleaved rounds of 20 ms", "goals are met", "### Latency", "| 125 B |")
    assert "nginx" not in "".join(line for line in block.splitlines() if line.startswith("| forward")), block
    for name, before in (("docs/performance.md", page), ("README.md", readme)):
        for kept in ("## Licence", "## What was tried"):
            equal(kept in before, kept in (REPO / name).read_text())
    contains(readme, "| 125 B, in the clear, µs |", "![bars of the same figures](docs/performance.svg)")
    (tree / "README.md").write_text(readme.replace("<!-- /bench:readme -->", ""))
    done = subprocess.run(done.args, capture_output=True, text=True, timeout=100 * FACTOR, check=False)
    assert done.returncode != 0 and "bench:readme" in done.stderr, done.stderr


@flavours("plain")
@limit(120)
def test_benchmark_runs(t):
    files = {kind: t.tmp / f"found.{kind}" for kind in ("json", "markdown", "svg")}
    options = [f"--{kind}={path}" for kind, path in files.items()]
    done = bench(t, "--quick", "-r", "2", "-m", "20", "--connections", "10", "--peers", "null proxy", "--again", *options, *ROWS)
    found = json.loads(files["json"].read_text())
    equal(found["said"], [])
    equal(sorted(row["id"] for row in found["rows"]), sorted(ROWS))
    for row in found["rows"]:
        figures = row["figures"]
        ours = figures["2 workers" if row["id"] == "workers" else "wsrelayd"]
        assert ours["median"] > 0 or row["unit"] == "KiB", row
        equal(len(ours["rounds"]), 1 if row["unit"] == "KiB" else 2)
        if row["id"] in ("clear-125", "tls-16k"):
            assert figures["wsrelayd again"]["median"] > 0 and len(figures["wsrelayd"]["p99_rounds"]) == 2, row
            assert figures["null proxy"]["median"] > 0 and row["ratios"]["null proxy"] > 0, row
            equal([goal["met"] in (True, False) for goal in row["goals"] if goal["found"]], [True])
            equal(row["p99_to_best"], None)
        if row["unit"] != "KiB":
            assert 0 < ours["p50_us"] <= ours["p99_us"], row
    text = files["markdown"].read_text()
    contains(done.stdout, text)
    assert "wsrelayd again" not in text, text
    contains(text, "| 125 B ", "### Goals", "| wsrelayd |", "null proxy", "after 64 KiB")
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|"), line
    rewrite_documents(t, files["json"], text)
    picture = xml.etree.ElementTree.parse(files["svg"]).getroot()
    equal(picture.tag, "{http://www.w3.org/2000/svg}svg")
    assert len(picture.findall("{http://www.w3.org/2000/svg}rect")) >= 4, files["svg"].read_text()


@flavours("plain")
def test_benchmark_names_its_rows(t):
    names = [line.split()[0] for line in bench(t, "--list").stdout.splitlines()]
    assert set(ROWS) <= set(names) and {"syscalls", "profile", "spread"} <= set(names), names
    equal(len(names), len(set(names)))
    contains(bench(t, "no-such-row", status=1).stderr, "no-such-row")
    contains(bench(t, "--peers", "apache", status=2).stderr, "apache", "haproxy")


@flavours("plain")
@limit(120)
def test_benchmark_profiles(t):
    """perf may be missing, or not allowed to look into the kernel: then that is said."""
    said = bench(t, "profile", "--quick", "--peers", "none").stdout
    if "the profile is left out" in said:
        raise Skip(said.strip())
    lines = [line.strip("| ").split("|") for line in said.splitlines() if line.startswith("|")]
    figures = {line[0].strip(): float(line[1]) for line in lines if re.fullmatch(r"\s*[\d.]+\s*", line[1])}
    whole = figures.pop("all")
    kernel = {title: value for title, value in figures.items() if not title.startswith("forward")}
    equal(len(kernel), 10)
    assert whole > 0 and abs(sum(kernel.values()) - whole) < 0.01 * whole + 0.05 * len(kernel), said
