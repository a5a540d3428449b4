# SPDX-License-Identifier: MIT
"""What the daemon takes in and how much memory it all needs, as ma_bench_ingest prints it."""

import os
import re
import subprocess

from figures import Spread, Table
from ways import BUILD, Failed

TITLE = "The daemon: events a second on one core"
EVERY_PYTHON = False
INGEST = os.path.join(BUILD, "tests", "bench", "ma_bench_ingest")
LINE = re.compile(r"([\d.]+) million a second, (\d+) KiB")
LOADS = ((20000, 30000), (100000, 30000), (100000, 10000000))  # sites, live allocations


def measure(given, _python, _tools, progress):
    found = {"loads": [{"sites": sites, "live": live, "runs": []} for sites, live in LOADS]}
    for at in range(given.pairs):
        for load in found["loads"]:
            progress.say("ingest: %d sites, %d of %d" % (load["sites"], at + 1, given.pairs))
            run = subprocess.run([INGEST, str(load["sites"]), str(load["live"])],
                                 capture_output=True, text=True, stdin=subprocess.DEVNULL)
            match = LINE.search(run.stdout)
            if run.returncode or not match:
                raise Failed("ma_bench_ingest: " + (run.stdout + run.stderr).strip()[-300:])
            load["runs"].append({"millions": float(match[1]), "kib": int(match[2])})
    return found


def text(found):
    table = Table("sites", "sampled allocations live", "million events a second",
                  "heap state, MiB")
    for load in found["loads"]:
        table.add(load["sites"], load["live"],
                  Spread([run["millions"] for run in load["runs"]]).text("%.1f"),
                  Spread([run["kib"] / 1024 for run in load["runs"]]).text("%.1f"))
    return table.text()
