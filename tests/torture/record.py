#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/torture.md from what torture.py, kills.py and controls.py have logged.

    record.py [--logs FOLDER] [--to FILE]

What stands below "What came of it" in that file is written by hand, and kept.
"""

import argparse
import collections
import datetime
import json
import os
import platform
import sys

from storm_target import ALLOCATORS, BUILD, HERE

import pythons

TEXT = """# What the torture found

Written by `scripts/torture --record` on {date}. Linux {kernel} on {machine}, {cpus} CPUs, {libc} outside
the tree of newer Pythons; memattach {releases}, runs of {dates}.

`scripts/torture` attaches to a target, samples it and detaches, over and over, while the target does
everything at once: 4 Python threads that allocate and check sums, 2 native threads that allocate with
canaries, a loop of imports, dlopen and dlclose, threads that start and end, forks whose children import
and allocate, execs, checkers of vector registers and the red zone, queued signals whose order is checked
and a timer whose signals are counted, parsers of libexpat that keep copies of malloc's address, Python
threads that sleep, and threads in each of 17 blocking system calls that must not see EINTR, wake early
or wake late. One cycle in eight records everything (exact mode), one in four samples at 1 KiB; in all but
exact ones Python's tables turn to another random window up to five thousand times a second. Some
cycles are made by the program with its daemon. Part of the time the target's threads take both CPUs
whole, part of the time they rest between rounds.

Afterwards the target must be alive, its sums right, its file descriptors, threads, children, signal
masks, page protections and Python's allocator tables as before, no word of any loaded object may lead to
us, and mappings and resident memory must be bounded.

## Cycles

**{cycles} cycles, {broken} targets with findings.** Times are medians, in milliseconds, under that load on
that machine; the target's own threads take both CPUs.

| Python | {allocators} | all | samples | turns | hook running | victim's pause | detach | proof's pause |
|---|{rulers}---|---|---|---|---|---|---|
{rows}

{findings}
## Tracer killed

**{kills} SIGKILLs of the tracing process at random instants of attach and detach, {kill_broken} targets with
findings.** After each the next attach and detach had to succeed; at the end no signal mask might have
changed and nothing be left. {disturbed}

| Python | kills |
|---|---|
{kill_rows}

{kill_findings}
## Negative controls

Three careless variants of the same program, which the torture must see fail:

{controls}
{kept}"""
BY_HAND = "\n## What came of it\n"


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def cycle_rows(outcomes):
    by_label = collections.OrderedDict()
    for outcome in outcomes:
        if outcome["cycles"]:
            by_label.setdefault((outcome["label"], outcome["version"]), []).append(outcome)
    for (label, version), some in sorted(by_label.items(), key=lambda item: [
            int(part) for part in item[0][1].split(".")] + [item[0][0]]):
        counts = [sum(one["cycles"] for one in some if one["allocator"] == name)
                  for name in ALLOCATORS]

        def median(name, among=some):
            values = sorted(one["medians_ms"][name] for one in among)
            return values[len(values) // 2]

        yield "| %s (%s) | %s | **%d** | %d | %d | %.1f | %.1f | %.0f | %.1f |" % (
            label, version, " | ".join("%d" % count for count in counts), sum(counts),
            sum(one["samples"] for one in some), sum(one["turns"] for one in some),
            median("running_us"), median("attach_pause_us"),
            median("detach_us"), median("proof_pause_us"))


def finding_lines(records, what):
    return ["- %s %s%s: %s" % (what, one["version"], ", " + one["allocator"] if "allocator" in one
                               else "", "; ".join(one["found"])[:400]) for one in records if one["found"]]


def kept_from(path):
    """What was written by hand."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[text.index(BY_HAND):] if BY_HAND in text else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", default=os.path.join(BUILD, "torture"))
    parser.add_argument("--to", default=os.path.join(HERE, "..", "..", "docs", "torture.md"))
    options = parser.parse_args()
    outcomes = lines_of(os.path.join(options.logs, "outcomes.jsonl"))
    kills = lines_of(os.path.join(options.logs, "kills.jsonl"))
    controls = lines_of(os.path.join(options.logs, "controls.jsonl"))
    if not outcomes:
        sys.exit("record: nothing was run: there is no outcomes.jsonl in %s" % options.logs)
    skipped = ["- Python %s: not run, %s" % (python.label, python.skip)
               for python in pythons.every() if python.skip]
    kill_counts = collections.Counter()
    for one in kills:
        kill_counts["%s (%s)" % (one["label"], one["version"])] += one["kills"]
    disturbed = sorted({words for one in kills for words in one["disturbed"]})
    text = TEXT.format(
        date=datetime.date.today(), kernel=platform.release(), machine=platform.machine(),
        cpus=os.cpu_count(), libc=" ".join(platform.libc_ver()),
        releases=" and ".join(sorted({one["release"] for one in outcomes})),
        dates=" and ".join(sorted({one["date"] for one in outcomes})),
        cycles=sum(one["cycles"] for one in outcomes),
        broken=sum(1 for one in outcomes if one["found"]), allocators=" | ".join(ALLOCATORS),
        rulers="---|" * len(ALLOCATORS), rows="\n".join(cycle_rows(outcomes)),
        findings="".join(line + "\n" for line in finding_lines(outcomes, "Found with Python") +
                         skipped),
        kills=sum(kill_counts.values()), kill_broken=sum(1 for one in kills if one["found"]),
        disturbed="Calls that started over because their thread was borrowed at that moment: %s."
        % (", ".join(disturbed) or "none") if kills else "",
        kill_findings="".join(line + "\n" for line in finding_lines(kills, "Found with Python")),
        kill_rows="\n".join("| %s | %d |" % item for item in kill_counts.items()),
        kept=kept_from(options.to), controls="\n".join("- %s: %s" % (one["what"], one["outcome"]) for one in controls))
    with open(options.to, "w", encoding="utf-8") as file:
        file.write(text)
    print("record: %s" % os.path.normpath(options.to))
    return 0


if __name__ == "__main__":
    sys.exit(main())
