# SPDX-License-Identifier: MIT
"""Five workloads in every way: CPU time of the process as a ratio to the same process bare."""

import environments
from figures import Spread, Table
from ways import OURS, THEIRS, Failed, Memray, Target, round_of
from workloads import WORKLOADS

TITLE = "Workloads: CPU time, bare = 1"
EVERY_PYTHON = True
PERCENT = 100


def measure(given, python, tools, progress):
    return measure_ways(given, python, tools, progress, OURS, THEIRS)


def measure_ways(given, python, tools, progress, ours, theirs):
    """{"rounds": {workload: [{way: what round_of() found}]}, "memray": why it is missing or None,
    "ratios"}. `theirs` is without those that need memray where that cannot be had."""
    names = given.workload or list(WORKLOADS)
    unknown = set(names) - set(WORKLOADS)
    if unknown:
        raise Failed("no such workload: %s (there are: %s)" % (
            ", ".join(sorted(unknown)), ", ".join(WORKLOADS)))
    progress.say("getting memray for %s" % python.label)
    command, why_not = environments.make(python, ["memray"])
    found = {"rounds": {name: [] for name in names}, "memray": why_not}
    if why_not is not None:
        theirs = [way for way in theirs if not isinstance(way, Memray)]
    # What others leave behind in a process must not be measured as ours, nor the reverse.
    pair = [(Target(command), ours), (Target(command), theirs)]
    try:
        for at in range(given.pairs):
            for name in names:
                found["rounds"][name].append({})
                for target, ways in pair:
                    progress.say("%s: %s, %d of %d" % (python.label, name, at + 1, given.pairs))
                    found["rounds"][name][-1].update(round_of(
                        target, ways, tools, lambda: target.ask("run", name, given.scale),
                        lambda seconds: target.ask("settle", name, seconds)))
    finally:
        for target, _ in pair:
            target.end()
    found["ratios"] = {name: {way: Spread([one[way]["cpu"] for one in rounds]).data()
                              for way in rounds[0]}
                       for name, rounds in found["rounds"].items()}
    return found


def text(found):
    words = [ratios(found), "", said(found)]
    if found["memray"]:
        words.append("\nNo memray here: " + found["memray"])
    return "\n".join(words)


def ratios(found):
    """A row for each workload, a column for each way."""
    ways = list(next(iter(found["rounds"].values()))[0])
    table = Table("workload", "bare, s", *ways)
    for name, rounds in found["rounds"].items():
        table.add(name, Spread([one[ways[0]]["bare"] for one in rounds]).text(),
                  *(Spread([one[way]["cpu"] for one in rounds]).text() for way in ways))
    return table.text()


def said(found):
    """What memattach itself says of the runs by default, beside what was measured from outside.

    It speaks of a core; where the process got only a part of one, that is put right here.
    """
    table = Table("workload, default", "measured, % of its CPU time", "it says, %", "interval, KiB",
                  "samples", "drops", "daemon, % of a core", "exact: part of memray's added time")
    for name, rounds in found["rounds"].items():
        runs = [one["default"] for one in rounds]
        heard = [run["said"] for run in runs]
        table.add(name, Spread([PERCENT * (1 - 1 / run["cpu"]) for run in runs]).text("%.1f"),
                  Spread([PERCENT * run["said"]["cost_ratio"] / run["core"]
                          for run in runs]).text("%.1f"),
                  Spread([one["interval_bytes"] / 1024 for one in heard]).text("%.0f"),
                  Spread([one["samples"] for one in heard]).text("%.0f"),
                  Spread([one["drops"] for one in heard]).text("%.0f"),
                  Spread([PERCENT * one["daemon_ratio"] for one in heard]).text("%.1f"),
                  against_memray(rounds))
    return table.text()


def against_memray(rounds, ours="exact", theirs="memray, Python allocators"):
    """The part of the time that one adds of what the other adds."""
    parts = [(one[ours]["cpu"] - 1) / (one[theirs]["cpu"] - 1) for one in rounds
             if theirs in one and one[theirs]["cpu"] > 1.1]
    return Spread(parts).text()
