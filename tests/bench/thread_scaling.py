# SPDX-License-Identifier: MIT
"""Native threads that allocate: CPU time of a pair of malloc and free, bare and attached.

With no lock and no shared cache line on the fast path, what the hook adds does not grow with threads.
"""

from figures import Spread, Table
from ways import OURS, Target

TITLE = "Threads: CPU time of a pair of malloc and free"
EVERY_PYTHON = True
THREADS = (1, 2, 8, 64)
PAIRS = 40000000     # of all threads together, at full scale
WAYS = [way for way in OURS if way.name in ("default", "512KiB", "exact")]


def measure(given, python, tools, progress):
    target = Target(python.command)
    found = {"threads": {count: [] for count in THREADS}}
    try:
        for at in range(given.pairs):
            for count in THREADS:
                progress.say("%s: %d threads, %d of %d" % (python.label, count, at + 1,
                                                           given.pairs))
                found["threads"][count].append(measure_one(
                    target, tools, count, int(PAIRS * given.scale / count)))
    finally:
        target.end()
    return found


def measure_one(target, tools, count, pairs):
    figures = {}
    before = target.ask("threads", count, pairs)["ns"]
    for way in WAYS:
        way.enter(target, tools)
        target.ask("threads", count, pairs)  # so that the interval has settled
        with_it = target.ask("threads", count, pairs)["ns"]
        way.leave(target, tools)
        after = target.ask("threads", count, pairs)["ns"]
        figures[way.name] = with_it - (before + after) / 2
        figures["bare"] = before = after
    return figures


def text(found):
    table = Table("threads", "bare, ns", *("%s adds, ns" % way.name for way in WAYS))
    for count, runs in found["threads"].items():
        table.add(count, *(Spread([run[name] for run in runs]).text("%.1f")
                           for name in ["bare"] + [way.name for way in WAYS]))
    return table.text()
