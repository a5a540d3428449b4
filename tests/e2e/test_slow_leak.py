# SPDX-License-Identifier: MIT
"""A slow leak of 12 MiB/h under 400 MiB/s of churn comes out on top within ten minutes.

The short variant leaks the same amount in less time. MEMATTACH_LONG=1 (scripts/test-long) runs the
real one.
"""

import json
import os
import re
import subprocess
import tempfile
import time

import pytest

from pythons import TARGETS
from snapshot_reader import INUSE_SPACE
from target import Target
from waiting import wait_until

MIB_PER_HOUR = 12.0
CHURN_MIB_PER_SECOND = 400.0
LONG_SECONDS = 600
SHORT_SECONDS = 40


class SlowLeak(Target):
    def __init__(self, python, leak_mib_per_hour):
        process = python.start([python.path(os.path.join(TARGETS, "slow_leak.py")),
                                str(leak_mib_per_hour), str(CHURN_MIB_PER_SECOND)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        super().__init__(process, tempfile.TemporaryFile())
        assert self.read_line() == "up"


def first_site(text):
    """The innermost function of the first row of the table on the screen; None: no table yet."""
    table = re.search(r"^ .*\bSITE\n(.*)$", text, re.M)
    site = table and re.search(r"([\w.<>]+)\s+\S*slow_leak\.py:\d+", table[1])
    return site[1] if site else None


def leaks_on_top(memattach, target, seconds):
    memattach.ok("attach", target.pid)
    end = time.monotonic() + seconds

    def on_top():
        """On top, on the screen and in the file, and with most of what must be there by now."""
        result = memattach.ok("--wait", "0", target.pid)
        if first_site(result.text) != "leak_one":
            return None
        return result if time.monotonic() > end else None

    result = wait_until(on_top, seconds + 60, "the leak on top")
    snapshot = memattach.snapshot(target.pid)
    held = {}
    for site in snapshot.sites:
        name = site.frames[0][0] if site.frames else ""
        held[name] = held.get(name, 0.0) + site.detail["held_bytes"]
    assert max(held, key=held.get).split(".")[-1] == "leak_one", (held, result)
    target.process.stdin.close()
    leaked, churned = map(int, re.match(r"leaked (\d+) churned (\d+)", target.read_line()).groups())
    assert target.process.wait(30) == 0
    live = sum(site.values[INUSE_SPACE] for site in snapshot.sites
               if site.frames and site.frames[0][0].endswith("leak_one"))
    # What was leaked before the attach and after the snapshot is a few KiB.
    assert 0.3 * leaked < live < 3 * leaked, (live, leaked)
    print(json.dumps({"leaked": leaked, "estimated": live, "churn_mib_per_second":
                      churned / seconds / (1 << 20), "screen": result.text}))


def test_short(memattach, start, python):
    rate = MIB_PER_HOUR * LONG_SECONDS / SHORT_SECONDS
    leaks_on_top(memattach, start(SlowLeak, python, rate), SHORT_SECONDS)


def test_real_time(memattach, start, python):
    if not os.environ.get("MEMATTACH_LONG"):
        pytest.skip("takes ten minutes: scripts/test-long runs it")
    target = start(SlowLeak, python, MIB_PER_HOUR)
    leaks_on_top(memattach, target, LONG_SECONDS)

