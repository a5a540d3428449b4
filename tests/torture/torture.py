#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attaches, samples and detaches, thousands of times, under a target that does everything at once.

Run by scripts/torture, which see for the options. For every Python and every allocator one target
(storm.py) is started, and is worn in; at rest it is looked at from outside. Then it works while it is
attached to and detached from again and again, some of the time by the program with its daemon; now
and then it is asked for its own account. At the end, at rest again, nothing may be left and nothing
changed. Exit status 1 when anything was found, or when a Python that can be had saw no cycle.
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import subprocess
import sys
import time

from storm_target import ALLOCATORS, BUILD, LIBRARIES, Storm, findings, missing_allocator, standstill

import probe  # found beside target.py, through storm_target
import program
import pythons
import residue

CYCLE = os.path.join(LIBRARIES, "ma_cycle")
CYCLE_S = 30         # one cycle takes no longer, whatever the machine does
WARM_UP_S = 2.5
OUTSIDE = 4          # cycles by the program with its daemon, per target
# In turn: how long the target's workers rest after each round, in rounds, and how many cycles are made
# meanwhile. Without rest they take all processors there are, and cycles are slow.
PACES = ((0, 4), (12, 60))
# Calls that a stop ends with EINTR, and that start over with their whole time limit: then they are late,
# and attach or detach say so.
STARTED_OVER = tuple("sleeper in %s: late" % name
                     for name in ("epoll_wait", "recv", "sigtimedwait", "io_getevents"))
FEW = 20  # cycles in which no window need be turned to
FIGURES = ("running_us", "attach_pause_us", "proof_pause_us", "attach_us", "detach_us")


class Outcome:
    """What came of one target."""

    def __init__(self, python, allocator):
        self.python, self.allocator = python, allocator
        self.wanted = self.cycles = self.samples = self.turns = self.unsafe = self.proofs = 0
        self.lingering = self.prolonged = 0
        self.seconds = 0.0
        self.figures = {}  # name: [median of a chunk]
        self.worst_us = dict.fromkeys(FIGURES, 0)
        self.maps = self.rss = (0, 0)
        self.found = []
        self.skip = None

    def take(self, result):
        self.cycles += result["cycles"]
        self.samples += result["samples"]
        self.turns += result["turns"]
        self.unsafe += result["unsafe_points"]
        self.proofs += result["proofs"]
        self.lingering += result["lingering"]
        self.prolonged += result["prolonged"]
        for name in FIGURES:
            self.figures.setdefault(name, []).append(result[name]["median"])
            self.worst_us[name] = max(self.worst_us[name], result[name]["max"])

    def median_ms(self, name):
        values = sorted(self.figures.get(name, [0]))
        return values[len(values) // 2] / 1000

    def as_record(self):
        record = {key: value for key, value in vars(self).items() if key not in ("python", "figures")}
        record.update(label=self.python.label, version=self.python.version, **record_head(),
                      medians_ms={name: self.median_ms(name) for name in FIGURES})
        return record


def record_head():
    """What a line of the record says of when and with what it came about."""
    said = subprocess.run([program.PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return {"date": str(datetime.date.today()), "kernel": platform.release(),
            "release": said.stdout.split()[-1]}


def new_findings(outcome, report):
    return [words for words in findings(report) if words not in outcome.found
            and not (outcome.prolonged and words.startswith(STARTED_OVER))]


def show_stacks(pid, path):
    """Keeps what can be known of a target that hangs or is broken, and of its children."""
    with open(path, "w") as file:
        for task in sorted(os.listdir("/proc/%d/task" % pid)):
            for name in ("comm", "syscall", "wchan"):
                try:
                    with open("/proc/%d/task/%s/%s" % (pid, task, name)) as text:
                        file.write("%s %s: %s\n" % (task, name, text.read().strip()))
                except OSError:
                    pass
    for process in [pid, *probe.children(pid)]:
        with open(path, "a") as file:
            file.write("process %d\n" % process)
            file.flush()
            subprocess.run(["gdb", "-p", str(process), "-batch", "-ex", "thread apply all bt 40"],
                           stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL,
                           timeout=120)


def run_chunk(storm, count):
    command = [CYCLE, str(storm.pid), "--cycles", str(count), "--vary", "--json", "--stay", "3"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=60 + CYCLE_S * count)
    lines = run.stdout.strip().split("\n")
    try:
        return json.loads(lines[-1])
    except ValueError:
        return {"failed": "the cycle program ended with %d: %s" % (run.returncode, lines[-1])}


def by_the_program(storm, outcome, count):
    """Attach, dump and detach as a person does it, with a daemon."""
    memattach = program.Memattach()
    try:
        for number in range(count):
            for words in (("attach", *(("--sample", "exact") if number % 2 else ()), storm.pid),
                          ("dump", "--wait", "0", storm.pid), ("detach", storm.pid)):
                result = memattach.run(*words, stdin=subprocess.DEVNULL)
                if result.code:
                    outcome.found.append("%r" % result)
                    return
            outcome.cycles += 1
    finally:
        memattach.close()


def wear_out(outcome, storm, deadline):
    storm.ask("tables")
    storm.go()
    time.sleep(WARM_UP_S)
    storm.quiet()
    tables = storm.ask("tables")
    before = residue.look(storm.pid)
    report = storm.ask("report")
    outcome.found += ["before the first attach: " + words for words in findings(report)]
    storm.go()
    start = time.monotonic()
    by_the_program(storm, outcome, min(OUTSIDE, outcome.wanted))
    paces = itertools.cycle(PACES)
    while outcome.cycles < outcome.wanted and not outcome.found and time.monotonic() < deadline:
        ease, chunk = next(paces)
        storm.ask("ease %d" % ease)
        result = run_chunk(storm, min(chunk, outcome.wanted - outcome.cycles))
        if "cycles" in result:
            outcome.take(result)
        if result["failed"].strip():
            outcome.found.append(result["failed"])
        outcome.found += residue.words_left(storm.pid)
        now = storm.ask("report")
        outcome.found += new_findings(outcome, now)
        if time.monotonic() - start > 10:
            outcome.found += standstill(report, now)
            report, start = now, time.monotonic()
    storm.quiet()
    after = residue.look(storm.pid)
    outcome.maps = len(before["maps"]), len(after["maps"])
    outcome.rss = before["rss"] >> 20, after["rss"] >> 20
    outcome.found += residue.differences(storm.pid, before, after)
    now = storm.ask("tables")
    if now != tables:
        outcome.found.append("Python's allocator tables: %r -> %r" % (tables, now))
    outcome.found += new_findings(outcome, storm.ask("report"))
    if outcome.figures and not outcome.samples:
        outcome.found.append("no samples at all: what was attached?")
    if outcome.figures and outcome.cycles > FEW and not outcome.turns:
        outcome.found.append("no window was turned to")


def torture(python, allocator, wanted, deadline, options):
    outcome = Outcome(python, allocator)
    outcome.wanted = wanted
    outcome.skip = python.skip or missing_allocator(allocator)
    if outcome.skip:
        return outcome
    start = time.monotonic()
    log = os.path.join(options.logs, "%s-%s.log" % (python.label, allocator))
    storm = Storm(python, allocator, log)
    try:
        wear_out(outcome, storm, deadline)
        if not outcome.found:
            code = storm.leave()
            if code:
                outcome.found.append("exit status %d" % code)
    except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        outcome.found.append(str(error))
    if outcome.found and storm.process.poll() is None:
        show_stacks(storm.pid, log + ".stacks")
    storm.end()
    outcome.seconds = time.monotonic() - start
    return outcome


def chosen_pythons(labels):
    if not labels:
        return pythons.every()
    found = [python for python in pythons.every()
             if python.label in labels or python.label.split("-")[0] in labels]
    if not found:
        sys.exit("torture: no such Python: %s" % ", ".join(labels))
    return found


def line_of(outcome):
    head = "%-12s %-9s %-8s" % (outcome.python.label, outcome.python.version or "-",
                                outcome.allocator)
    if outcome.skip:
        return "%s not run: %s" % (head, outcome.skip)
    return "%s %5d cycles %9d samples %6d turns %5d unsafe %6d proofs %3d lingering  running %5.1f ms  " \
           "detach %5.1f ms  maps %d->%d  rss %d->%d MiB  %4.0f s  %s" % (
               head, outcome.cycles, outcome.samples, outcome.turns, outcome.unsafe,
               outcome.proofs, outcome.lingering, outcome.median_ms("running_us"), outcome.median_ms("detach_us"),
               *outcome.maps, *outcome.rss, outcome.seconds,
               "FOUND " + " | ".join(outcome.found) if outcome.found else "clean")


def chosen_targets(options):
    """(Python, allocator): all with all, or each Python with one of the allocators in turn."""
    chosen = chosen_pythons(options.python)
    allocators = [name for name in options.allocator if not missing_allocator(name)]
    if options.spread:
        return [(python, allocators[index % len(allocators)])
                for index, python in enumerate(chosen)]
    return [(python, allocator) for allocator in options.allocator for python in chosen]


def run_all(options):
    targets = chosen_targets(options)
    end = time.monotonic() + options.seconds
    usable = [target for target in targets
              if not target[0].skip and not missing_allocator(target[1])]
    outcomes = []
    left, cycles_left = len(usable), options.cycles
    for python, allocator in targets:
        able = (python, allocator) in usable
        wanted = -(-cycles_left // left) if able else 0
        deadline = time.monotonic() + (end - time.monotonic()) / max(left, 1)
        outcome = torture(python, allocator, wanted, deadline, options)
        left -= able
        cycles_left -= outcome.cycles
        outcomes.append(outcome)
        print(line_of(outcome), flush=True)
        with open(os.path.join(options.logs, "outcomes.jsonl"), "a") as file:
            file.write(json.dumps(outcome.as_record()) + "\n")
    return outcomes


def verdict(outcomes, allow_missing):
    """A Python that saw no cycle is a failure: what was not tried is not known to work."""
    found = sum(1 for outcome in outcomes if outcome.found)
    cycles = sum(outcome.cycles for outcome in outcomes)
    idle = {outcome.python.label for outcome in outcomes
            if not (allow_missing and outcome.python.skip)}
    idle -= {outcome.python.label for outcome in outcomes if outcome.cycles}
    print("torture: %d cycles, %d targets with findings%s" % (
        cycles, found, ", no cycle at all on: " + ", ".join(sorted(idle)) if idle else ""))
    return 1 if found or idle or not cycles else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--allocator", action="append", choices=sorted(ALLOCATORS), default=[])
    parser.add_argument("--spread", action="store_true", help="one allocator for each Python")
    parser.add_argument("--allow-missing", action="store_true",
                        help="a Python that this machine does not have is no failure")
    parser.add_argument("--logs", default=os.path.join(BUILD, "torture"))
    options = parser.parse_args()
    options.allocator = options.allocator or list(ALLOCATORS)
    os.makedirs(options.logs, exist_ok=True)
    print("torture: %s, Linux %s, %s" % (datetime.date.today(), platform.release(), BUILD))
    return verdict(run_all(options), options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
