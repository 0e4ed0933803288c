"""Reads the Prometheus text format 0.0.4, strictly: what is not well-formed, or not in good style, fails the test.

https://prometheus.io/docs/instrumenting/exposition_formats/, and what `promtool check metrics` asks for.
"""

import math
import re

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
VALUE = re.compile(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
UNITS = ("_seconds", "_bytes", "_total", "_info")  # base units, in the order in which they are looked for
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def unescape(text):
    return re.sub(r'\\[\\"n]', lambda m: ESCAPES[m[0]], text)


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type = name, help_text, None
        self.samples = {}  # (suffix, frozenset of labels) -> value, in their order


class Scrape:
    """What one GET /metrics said."""

    def __init__(self, text):
        self.families = {}
        self._family = None
        assert text.endswith("\n"), "the last line has no end"
        for number, line in enumerate(text[:-1].split("\n"), 1):
            try:
                self._line(line)
            except AssertionError as error:
                raise AssertionError(f"line {number}: {line!r}: {error}") from None
        for family in self.families.values():
            self._judge(family)

    def _line(self, line):
        head = re.fullmatch(r"# (HELP|TYPE) (\S+) (.*)", line)
        if head and head[1] == "HELP":
            name = head[2]
            assert NAME.fullmatch(name) and name not in self.families, "a family twice, or a bad name"
            assert head[3].strip(), "an empty help"
            self._family = self.families[name] = Family(name, head[3])
        elif head:
            assert head[2] == self._family.name and self._family.type is None, "TYPE does not follow its HELP"
            assert not self._family.samples and head[3] in SUFFIXES, "the type"
            self._family.type = head[3]
        else:
            self._sample(line)

    def _sample(self, line):
        got = re.fullmatch(r"([a-zA-Z0-9_]+)(?:\{(.*)\})? (\S+)", line)
        assert got, "neither HELP, TYPE nor a sample"
        family, suffix = self._family, got[1].removeprefix(self._family.name)
        assert got[1].startswith(family.name) and suffix in SUFFIXES[family.type], "not of the family above it"
        assert VALUE.fullmatch(got[3]), "the value"
        labels, at = {}, 0
        text = got[2] or ""
        while at < len(text):
            label = LABEL.match(text, at)
            assert label and label[1] not in labels, "the labels"
            labels[label[1]] = unescape(label[2])
            at = label.end()
            assert at == len(text) or (text[at] == "," and at + 1 < len(text)), "the labels"
            at += 1
        assert ("le" in labels) == (suffix == "_bucket"), "le"
        key = (suffix, frozenset(labels.items()))
        assert key not in family.samples, "a series twice"
        family.samples[key] = float(got[3])

    def _judge(self, family):
        name = family.name
        assert family.type, f"{name} has no type"
        assert (family.type == "counter") == name.endswith("_total"), f"{name}: _total is for counters, and for them only"
        assert not re.search(r"_(milliseconds|ms|us|kilobytes|kib|gauge|counter|histogram)(_|$)", name), f"{name}: the unit"
        names = {frozenset(label for label, _ in labels if label != "le") for _, labels in family.samples}
        assert len(names) <= 1, f"{name}: not the same labels everywhere: {names}"
        if family.type == "histogram":
            assert name.endswith("_seconds"), f"{name}: the unit"
            self._judge_histogram(family)

    def _judge_histogram(self, family):
        series = {}
        for (suffix, labels), value in family.samples.items():
            labels = dict(labels)
            le = labels.pop("le", None)
            parts = series.setdefault(frozenset(labels.items()), {"_bucket": []})
            if suffix == "_bucket":
                parts["_bucket"].append((math.inf if le == "+Inf" else float(le), value))
            else:
                parts[suffix] = value
        for labels, parts in series.items():
            bounds = [bound for bound, _ in parts["_bucket"]]
            values = [value for _, value in parts["_bucket"]]
            assert bounds == sorted(bounds) and bounds[-1] == math.inf, f"{family.name} {labels}: {bounds}"
            assert values == sorted(values) and values[-1] == parts["_count"], f"{family.name} {labels}: {values}"
            assert parts["_sum"] >= 0

    def series(self, name):
        """All series of a family, or of a histogram's _count or _sum: {frozenset of labels: value}."""
        for suffix in ("", "_count", "_sum"):
            family = self.families.get(name.removesuffix(suffix) if suffix else name)
            if family and (suffix or family.type != "histogram"):
                return {labels: value for (s, labels), value in family.samples.items() if s == suffix}
        raise AssertionError(f"there is no {name}")

    def sum(self, name, **labels):
        """Of all series that have these labels; one that is not there has counted nothing."""
        wanted = set(labels.items())
        return sum(value for has, value in self.series(name).items() if wanted <= has)

    def some(self, name, **labels):
        """{the values of the labels that are not given, in the order of their names: value}, without zeros."""
        wanted = set(labels.items())
        found = {}
        for has, value in self.series(name).items():
            if wanted <= has and value:
                rest = tuple(v for _, v in sorted(has - wanted))
                found[rest[0] if len(rest) == 1 else rest] = value
        return found
