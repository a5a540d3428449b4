# SPDX-License-Identifier: MIT
"""One sampled allocation by step, 30 Python frames and 60 native ones deep (sample_steps.c)."""

import os
import re
import shutil
import subprocess
import tempfile

from figures import Table
from ways import BUILD, Failed

import pythons  # found in tests/e2e, through ways

TITLE = "One sampled allocation by step"
EVERY_PYTHON = False
PROGRAM = os.path.join(BUILD, "tests", "bench", "ma_sample_steps")
RUNS = 5
ROUNDS = 1000        # of the run in which instructions are counted
NAMES = {"draw": "the draw of the next one", "claim": "claiming a ring", "python": "the walk of {python} Python frames",
         "native": "the walk of {native} native frames", "site": "stack and site looked up",
         "live": "live set and filter", "tell": "the event", "whole": "all of it"}
LIBRARY = ("import os, sys, sysconfig; v = sysconfig.get_config_var; "
           "print(os.path.join(v('LIBDIR'), v('LDLIBRARY'))); print(sys.prefix)")
COUNT = re.compile(r"^\s*([\d,]+) .*:step_(\w+)", re.MULTILINE)
WHOLE = re.compile(r"^\s*([\d,]+) .*:sample \[", re.MULTILINE)


def library():
    """(version, libpython, prefix) of a Python that has a shared one; 3.11 if that is there."""
    found = []
    for python in pythons.every():
        if python.skip or python.root:
            continue
        child = python.start(["-c", LIBRARY], stdout=subprocess.PIPE, text=True)
        path, prefix = child.communicate(timeout=60)[0].split("\n")[:2]
        if ".so" in path and os.path.exists(path):
            found.append((not python.version.startswith("3.11."), python.version, path, prefix))
    if not found:
        raise Failed("no Python with a shared libpython is here")
    return min(found)[1:]


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failed((done.stdout + done.stderr).strip()[-300:])
    return done.stdout


def instructions(path, prefix, rounds):
    """Of each step and of the whole, for so many samples and the first."""
    with tempfile.TemporaryDirectory() as folder:
        counts = os.path.join(folder, "counts")
        run("valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + counts, PROGRAM, path, prefix,
            str(rounds))
        listed = run("callgrind_annotate", "--inclusive=yes", "--threshold=100", counts)
    found = {name: int(count.replace(",", "")) for count, name in COUNT.findall(listed)}
    found["whole"] = int(WHOLE.search(listed)[1].replace(",", ""))
    return found


def measure(_given, _python, _tools, progress):
    version, path, prefix = library()
    found = {"version": version, "ns": {}, "instructions": {}}
    for at in range(RUNS):
        progress.say("steps of a sample, run %d of %d" % (at + 1, RUNS))
        for line in run(PROGRAM, path, prefix).splitlines():
            words = line.split()
            if words[0] == "frames":
                found["python"], found["native"] = int(words[1]), int(words[2])
            else:
                found["ns"].setdefault(words[1], {}).setdefault(words[0], []).append(
                    [float(word) for word in words[2:]])
    if shutil.which("valgrind"):
        progress.say("valgrind: steps of a sample")
        once, twice = (instructions(path, prefix, rounds) for rounds in (ROUNDS, 2 * ROUNDS))
        found["instructions"] = {name: (twice[name] - once[name]) / ROUNDS for name in once}
    return found


def text(found):
    table = Table("step", "median, ns", "99th percentile", "caches warm: median", "99th percentile",
                  "instructions")
    for step, name in NAMES.items():
        cells = []
        for when in ("busy", "warm"):
            runs = found["ns"][step][when]
            for which in (0, 1):
                values = sorted(one[which] for one in runs)
                cells.append("%.0f (%.0f–%.0f)" % (values[len(values) // 2], values[0], values[-1]))
        count = found["instructions"].get(step)
        table.add(name.format(**found), *cells, "" if count is None else "%.0f" % count)
    return "CPython %s; medians of %d runs.\n\n%s" % (found["version"], RUNS, table.text())
