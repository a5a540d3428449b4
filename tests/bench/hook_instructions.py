# SPDX-License-Identifier: MIT
"""Instructions that the hook adds to an operation, counted by valgrind: these do not wobble.

tests/bench/fast_path.c attaches the hook to itself and repeats one pair of operations; the count of a
run twice as long, less that of the shorter, is the pairs' own.
"""

import os
import re
import shutil
import subprocess

from figures import Table
from ways import BUILD, Failed

TITLE = "Instructions of a pair of operations, added by the hook"
EVERY_PYTHON = False
PROGRAM = os.path.join(BUILD, "tests", "bench", "ma_fast_path")
HOOK = os.path.join(BUILD, "inject", "hook", "hook_ie.so")
MODES = ("bare", "sampled", "each", "exact")
PAIRS = ("malloc", "object")
ROUNDS = 20000
COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


def instructions(mode, pair, rounds):
    run = subprocess.run(["valgrind", "--tool=cachegrind", "--cache-sim=no",
                          "--cachegrind-out-file=/dev/null", PROGRAM, HOOK, mode, pair,
                          str(rounds)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    match = COUNT.search(run.stderr)
    if run.returncode or not match:
        raise Failed("%s %s: %s" % (mode, pair, run.stderr.strip()[-300:]))
    return int(match[1].replace(",", ""))


def measure(_given, _python, _tools, progress):
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed (scripts/setup --bench)")
    found = {}
    for mode in MODES:
        for pair in PAIRS:
            progress.say("valgrind: %s, %s" % (mode, pair))
            once, twice = (instructions(mode, pair, rounds) for rounds in (ROUNDS, 2 * ROUNDS))
            found.setdefault(mode, {})[pair] = (twice - once) / ROUNDS
    return {"instructions": found}


def text(found):
    counts = found["instructions"]
    table = Table("", "malloc and free", "added", "object allocated and freed", "added")
    names = {"bare": "without the hook", "sampled": "sampled at 64 MiB: the fast path",
             "each": "each one sampled", "exact": "exact"}
    for mode in MODES:
        cells = []
        for pair in PAIRS:
            cells += ["%.1f" % counts[mode][pair],
                      "%+.1f" % (counts[mode][pair] - counts["bare"][pair])]
        table.add(names[mode], *cells)
    return table.text()
