#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Negative controls: the torture must see each of three careless variants fail, or it proves nothing.

Run by scripts/torture --controls. The variants are programs of the tests (careless_*.c): dlopen on any
interrupted thread, unloading without proof, and taking away the thunks whose addresses somebody has
copied. Each works on storm.py until something is found. Exit status 1 when one of them looks clean.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from storm_target import BUILD, LIBRARIES, Storm, findings, standstill
from torture import chosen_pythons, record_head

import residue

VARIANTS = {
    "point": "dlopen on any interrupted thread",
    "proof": "unloading without proof that nobody is inside",
    "thunks": "thunks taken away whose addresses were copied",
}
TRIES = 300
SECONDS = 120
ANSWER_S = 15


def misbehaves(storm, program):
    """One cycle by a careless variant. Words of what went wrong, or None."""
    before = storm.ask("report", ANSWER_S)
    run = subprocess.run([program, str(storm.pid), "--cycles", "3", "--quiet", "--interval", "4096",
                          "--stay", "10"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=60)
    if storm.process.poll() is not None:
        return "the target died (%s)" % storm.process.returncode
    after = storm.ask("report", ANSWER_S)
    for words in findings(after):
        return words
    if "cycle " in run.stdout:
        return [line for line in run.stdout.split("\n") if line.startswith("cycle ")][0]
    stuck = standstill(before, after)
    end = time.monotonic() + 10
    while stuck and time.monotonic() < end:
        stuck = standstill(before, storm.ask("report", ANSWER_S))
    return stuck[0] if stuck else None


def first_failure(python, program, log):
    """(number of tries, words), or (number of tries, None) when nothing was found."""
    storm = Storm(python, "glibc", log)
    end = time.monotonic() + SECONDS
    tries = 0
    try:
        storm.go()
        time.sleep(1)
        while tries < TRIES and time.monotonic() < end:
            tries += 1
            words = misbehaves(storm, program)
            if words:
                return tries, words
        storm.quiet()
        return tries, next(iter(residue.words_left(storm.pid)), None)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        return tries, str(error).split("\n")[0]
    finally:
        storm.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--logs", default=os.path.join(BUILD, "torture"))
    options = parser.parse_args()
    os.makedirs(options.logs, exist_ok=True)
    python = [python for python in chosen_pythons(options.python or ["3.11", "3.12", "3.13"])
              if not python.skip][0]
    clean = 0
    for name, what in VARIANTS.items():
        log = os.path.join(options.logs, "control-%s.log" % name)
        tries, words = first_failure(python, os.path.join(LIBRARIES, "ma_cycle_" + name), log)
        clean += not words
        outcome = "failed at try %d: %s" % (tries, words) if words else \
            "NOT SEEN TO FAIL in %d tries" % tries
        print("%s: %s" % (what, outcome), flush=True)
        with open(os.path.join(options.logs, "controls.jsonl"), "a") as file:
            file.write(json.dumps({"what": what, "outcome": outcome, "tries": tries,
                                   "version": python.version, **record_head()}) + "\n")
    return 1 if clean else 0


if __name__ == "__main__":
    sys.exit(main())
