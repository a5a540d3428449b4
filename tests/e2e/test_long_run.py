# SPDX-License-Identifier: MIT
"""Allocation at 500 MB/s for a long time: nothing grows, and the estimate keeps to the ledger.

Half a minute here; half an hour, or MEMATTACH_LONG seconds if that is a number above 1, by scripts/test-long.
"""

import json
import os

import probe
from churn_target import FILE, Churn, status_of
from snapshot_reader import ALLOC_SPACE, INUSE_SPACE

SHORT_S = 24
LONG_S = 1800
SLICES = 12                # looks at everything
MIB_PER_SECOND = 477       # 500 MB/s
GROWTH_KIB = {"daemon_kib": 4096, "target_kib": 1024}  # from the third quarter to the last, at most
MOST_KIB = 65536           # of the daemon, at any time
SIGMAS = 5                 # beyond which an estimate is wrong


def seconds():
    given = float(os.environ.get("MEMATTACH_LONG") or 0)
    return given if given > 1 else LONG_S if given else SHORT_S


def kib_of(pid):
    return int(probe.status(pid)["VmRSS"].split()[0])


def look(memattach, target, done):
    """Figures of one moment between two slices, when the target stands still."""
    snapshot = memattach.snapshot(target.pid)
    live = target.ask("live")
    line = (FILE, live["line"])
    at_line = [site for site in snapshot.sites if site.line == line]
    return {
        "seconds": done["wall"], "truth_live": live["bytes"], "truth_allocated": done["bytes"],
        "live": sum(site.values[INUSE_SPACE] for site in at_line),
        "allocated": sum(site.values[ALLOC_SPACE] for site in at_line),
        "live_variance": sum(site.detail["live_bytes_variance"] for site in at_line),
        "allocated_variance": sum(site.detail["allocated_bytes_variance"] for site in at_line),
        # What windows have in common adds up by itself, not by its square.
        "live_shared": sum(site.detail["live_bytes_shared"] for site in at_line),
        "allocated_shared": sum(site.detail["allocated_bytes_shared"] for site in at_line),
        "daemon_kib": kib_of(memattach.daemon_pid()), "target_kib": kib_of(target.pid),
        "timeline": len(snapshot.heap["timeline"]),
        "losses": snapshot.losses, "status": status_of(memattach, target.pid)}


def is_right(figures, what):
    """Whether an estimate holds the ledger's figure, given what was lost and counted."""
    status = figures["status"]
    coarsest = max(span["interval_bytes"] for span in status["cost_history"])
    # What rests on little has at least the weight of one sample.
    sigma = max((figures[what + "_variance"] + figures[what + "_shared"] ** 2) ** 0.5,
                status["interval_bytes"])
    lost = (figures["losses"].get("dropped_allocs", 0) + figures["losses"].get("dropped_frees", 0))
    return abs(figures[what] - figures["truth_" + what]) < SIGMAS * sigma + 2 * lost * coarsest


def test_flat(memattach, start, python):
    target = start(Churn, python)
    target.ask("work", 1, MIB_PER_SECOND)
    before = target.ask("live")["bytes"]
    memattach.ok("attach", target.pid)
    done = {"bytes": 0, "wall": 0.0}
    seen = []
    for _ in range(SLICES):
        each = seconds() / SLICES
        work = target.ask("work", each, MIB_PER_SECOND, seconds=10 * each + 60)
        done = {name: done[name] + work[name] for name in done}
        seen.append(look(memattach, target, done))
    for figures in seen:
        print(json.dumps({name: value for name, value in figures.items() if name != "status"}))
    # The window from before the attach is long gone.
    assert before and done["bytes"] > 100 * before
    # Buffers and threads come as they are needed; what grows with time still grows in the second half.
    quarter = SLICES // 4
    for name, most in GROWTH_KIB.items():
        course = [figures[name] for figures in seen]
        assert max(course[-quarter:]) - max(course[-2 * quarter:-quarter]) < most, (name, course)
    assert max(figures["daemon_kib"] for figures in seen) < MOST_KIB, seen[-1]
    for figures in seen:
        for what in ("live", "allocated"):
            assert is_right(figures, what), (what, figures)
        assert len(figures["status"]["cost_history"]) <= 64, figures["status"]
        # Points of the timeline: one a second at first, then fewer and fewer.
        assert figures["timeline"] <= 48 * 24, figures["timeline"]
