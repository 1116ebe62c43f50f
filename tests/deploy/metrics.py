"""The metrics that the relayer declares, and those that a text names."""

import re

from lab import ROOT

DECLARED = re.compile(r"^    (\w+): (Family<\w+, )?(Counter|Gauge|Histogram)", re.M)
SUFFIXES = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}


def declared():
    """Names as Prometheus stores them, by metric, with whether the metric is there only once it has a value."""
    source = (ROOT / "relayer/src/metrics.rs").read_text()
    block = re.search(r"^metrics! \{\n(.*?)^\}", source, re.M | re.S)[1]
    return {f"steam_{name}": ([f"steam_{name}{end}" for end in SUFFIXES[kind]], bool(family)) for name, family, kind in DECLARED.findall(block)}


def served(text):
    """Names of the samples of `/metrics`."""
    return {re.match(r"\w+", line)[0] for line in text.splitlines() if not line.startswith("#")}


def named(text):
    """Names of metrics in expressions."""
    return set(re.findall(r"\bsteam_\w+", text))


def unknown(text, metrics):
    """Names in `text` that `metrics`, the text of a running relayer, does not serve and that no value of a family would bring."""
    rare = {name for names, family in declared().values() if family for name in names}
    return sorted(named(text) - served(metrics) - rare)


def unseen(text):
    """Metrics that `text` does not show."""
    shown = named(text)
    return sorted(metric for metric, (names, _) in declared().items() if not shown & set(names))
