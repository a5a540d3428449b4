#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kills the tracing process at random instants of attach and detach, and looks whether the target
minds.

Run by scripts/torture --kills, which see for the options. The target is storm.py at work. After every
kill the next attach and detach must succeed. At the end, at rest, the target must be alive, nobody's
signal mask may have changed, and nothing may be left. Exit status 1 otherwise.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time

from storm_target import BUILD, Storm, findings
from torture import CYCLE, chosen_pythons, record_head, show_stacks

import residue

GUARDIAN = "memattach-guard"  # what a tracing process calls itself


def guardian_of(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            for child in file.read().split():
                with open("/proc/%s/comm" % child) as comm:
                    if comm.read().strip() == GUARDIAN:
                        return int(child)
    except OSError:
        pass
    return None


def run_cycle(pid, *options):
    return subprocess.Popen([CYCLE, str(pid), "--json", "--vary", *options],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_once(pid, chance, longest_s):
    """Kills whoever is at work after a random time. Returns whether somebody was."""
    run = run_cycle(pid, "--cycles", "3", "--stay", "1")
    moment = time.monotonic() + chance.uniform(0, longest_s)
    killed = False
    while not killed and run.poll() is None:
        victim = guardian_of(run.pid)
        if victim and time.monotonic() >= moment:
            # A child of a process that waits for it: the number cannot be somebody else's.
            try:
                os.kill(victim, signal.SIGKILL)
                killed = True
            except ProcessLookupError:
                pass  # it has just ended by itself
    run.communicate()
    return killed


def next_attach(pid):
    """Words of failure, or None. Where the machine has no time for it, nobody can be proven to be
    outside the former hook within its three seconds: then it is to be tried again."""
    for _ in range(5):
        out, _ = run_cycle(pid, "--cycles", "1").communicate(timeout=120)
        try:
            failed = json.loads(out.strip().split("\n")[-1])["failed"].strip()
        except ValueError:
            return "the cycle program said: " + out
        if "may still be inside the hook" not in failed:
            break
    return failed or None


def masks(state):
    return {task: signals["SigBlk"] for task, signals in state["signals"].items()}


class Tally:
    def __init__(self):
        self.kills = self.tries = 0
        self.found = []
        self.disturbed = collections.Counter()  # calls that ended early, late or with EINTR


def kill_many(storm, wanted, deadline, seed, tally):
    chance = random.Random(seed)
    longest_s = 0.15
    while tally.kills < wanted and not tally.found and time.monotonic() < deadline:
        tally.tries += 1
        tally.kills += kill_once(storm.pid, chance, longest_s)
        if storm.process.poll() is not None:
            tally.found.append("the target died after kill %d" % tally.kills)
            return
        failed = next_attach(storm.pid)
        if failed:
            tally.found.append("after kill %d: %s" % (tally.kills, failed))


def judge_report(report, tally):
    """A call whose thread was borrowed when the tracer died starts over: that is counted, not
    counted as broken."""
    for words in findings(report):
        if words.startswith(("sleeper", "python ")):
            tally.disturbed[words.split(":")[0]] += 1
        else:
            tally.found.append(words)


def torture(python, wanted, deadline, options):
    tally = Tally()
    log = os.path.join(options.logs, "kills-%s.log" % python.label)
    storm = Storm(python, "glibc", log)
    try:
        storm.go()
        time.sleep(2)
        storm.quiet()
        before = residue.look(storm.pid)
        tables = storm.ask("tables")
        storm.go()
        kill_many(storm, wanted, deadline, options.seed, tally)
        if storm.process.poll() is None:
            judge_report(storm.ask("report"), tally)
            storm.quiet()
            after = residue.look(storm.pid)
            changed = [task for task, mask in masks(before).items()
                       if masks(after).get(task) != mask]
            if changed:
                tally.found.append("signal masks changed: %r" % changed)
            tally.found += residue.differences(storm.pid, before, after)
            if storm.ask("tables") != tables:
                tally.found.append("Python's allocator tables are not what they were")
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        tally.found.append(str(error))
    if tally.found and storm.process.poll() is None:
        show_stacks(storm.pid, log + ".stacks")
    storm.end()
    return tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", default=os.path.join(BUILD, "torture"))
    options = parser.parse_args()
    os.makedirs(options.logs, exist_ok=True)
    usable = [python for python in chosen_pythons(options.python) if not python.skip]
    end = time.monotonic() + options.seconds
    kills, broken = 0, 0
    for index, python in enumerate(usable):
        left = len(usable) - index
        deadline = time.monotonic() + (end - time.monotonic()) / left
        tally = torture(python, -(-(options.kills - kills) // left), deadline, options)
        kills += tally.kills
        broken += bool(tally.found)
        print("%-12s %-8s %4d kills in %4d tries, disturbed calls: %s  %s" % (
            python.label, python.version, tally.kills, tally.tries,
            ", ".join(sorted(tally.disturbed)) or "none",
            "FOUND " + " | ".join(tally.found) if tally.found else "clean"), flush=True)
        with open(os.path.join(options.logs, "kills.jsonl"), "a") as file:
            file.write(json.dumps({"label": python.label, "version": python.version, **record_head(),
                                   "kills": tally.kills, "found": tally.found,
                                   "disturbed": sorted(tally.disturbed)}) + "\n")
    print("torture: %d kills, %d targets with findings" % (kills, broken))
    return 1 if broken or not kills else 0


if __name__ == "__main__":
    sys.exit(main())
