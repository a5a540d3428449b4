# SPDX-License-Identifier: MIT
"""The five workloads with native stacks and without: CPU time as a ratio to the same process bare."""

from figures import Spread, Table
from ways import Attached, Memray
from workload_costs import against_memray, measure_ways, ratios

TITLE = "Native stacks: CPU time, bare = 1"
EVERY_PYTHON = True
PERCENT = 100
# Each settles: the unwind tables are there a moment after the attach.
OURS = [Attached("native", "--native", settle=1.5),
        Attached("no native", "--no-native", settle=1.5),
        Attached("exact, native", "--sample", "exact", "--native", settle=1.5),
        Attached("exact, no native", "--sample", "exact", "--no-native", settle=1.5)]
THEIRS = [Memray("memray, native", False, native=True),
          Memray("memray, native, Python allocators", True, native=True)]


def measure(given, python, tools, progress):
    return measure_ways(given, python, tools, progress, OURS, THEIRS)


def text(found):
    words = [ratios(found), "", said(found)]
    if found["memray"]:
        words.append("\nNo memray here: " + found["memray"])
    return "\n".join(words)


def said(found):
    """What the default budget led to, with native frames and without, and the exact modes beside memray."""
    table = Table("workload", "native: it says, %", "interval, KiB", "samples", "drops",
                  "no native: it says, %", "interval, KiB", "samples", "drops",
                  "exact, native: drops", "part of memray's added time")
    for name, rounds in found["rounds"].items():
        cells = []
        for way in ("native", "no native"):
            heard = [one[way]["said"] for one in rounds]
            cells += [Spread([PERCENT * one["cost_ratio"] for one in heard]).text("%.1f"),
                      Spread([one["interval_bytes"] / 1024 for one in heard]).text("%.0f"),
                      Spread([one["samples"] for one in heard]).text("%.0f"),
                      Spread([one["drops"] for one in heard]).text("%.0f")]
        table.add(name, *cells,
                  Spread([one["exact, native"]["said"]["drops"] for one in rounds]).text("%.0f"),
                  against_memray(rounds, "exact, native", "memray, native, Python allocators"))
    return table.text()
