# SPDX-License-Identifier: MIT
"""What tracking costs is held to the budget, and is what memattach says it is.

The machine may be busy, so bounds are generous, and times are CPU times of the target. A target that
does nothing but allocate passes through the hook so often that this alone exceeds the budget; what can be
steered, and is judged here, is the sampling.
"""

import datetime

from churn_target import Churn, status_of
from waiting import wait_until

BUDGET = 0.02
HEAVY_S = 4


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def settled(memattach, target):
    """Attached, and idle for long enough to have a cost."""
    wait_until(lambda: len(status_of(memattach, target.pid)["cost_history"]) >= 2,
               what="two spans of history")
    return status_of(memattach, target.pid)


def test_wakes_up(memattach, start, python):
    target = start(Churn, python)
    memattach.ok("attach", target.pid)
    idle = settled(memattach, target)
    assert idle["interval_bytes"] == 64 << 10, idle
    assert idle["cost_ratio"] < BUDGET, idle
    began = datetime.datetime.now(datetime.timezone.utc).timestamp()
    work = target.ask("work", HEAVY_S)
    status = status_of(memattach, target.pid)
    spans = [span for span in status["cost_history"]
             if began + 1 < seconds_of(span["end_time"]) - span["seconds"]
             and seconds_of(span["end_time"]) < began + HEAVY_S]
    assert spans and work["bytes"] / work["cpu"] > 2e8, (status, work)
    # At 64 KiB the sampling alone would take several times the budget.
    assert status["interval_bytes"] > idle["interval_bytes"], status
    # What was cut off by the scheduler inside the hook counts as the hook's.
    sampling = sorted(span["sampling_ratio"] for span in spans)
    assert sampling[len(sampling) // 2] <= BUDGET, (spans, work)


def cpu_per_block(target):
    work = target.ask("work", 0.4)
    return work["cpu"] / work["blocks"]


def added(memattach, target, *options, settle=0.0):
    """(what being attached so adds, as a ratio to bare; status); medians of three pairs in turns."""
    ratios = []
    for _ in range(3):
        before = cpu_per_block(target)
        memattach.ok("attach", *options, target.pid)
        if settle:
            target.ask("work", settle)
        during = cpu_per_block(target)
        status = status_of(memattach, target.pid)
        memattach.ok("detach", target.pid)
        ratios.append(2 * during / (before + cpu_per_block(target)) - 1)
    return sorted(ratios)[1], status


def test_says_what_it_costs(memattach, start, python):
    """From outside, as CPU time, and from inside."""
    target = start(Churn, python)
    target.ask("work", 0.5)
    passing, passing_status = added(memattach, target, "--sample", "64MiB", settle=0.6)
    steered, steered_status = added(memattach, target, settle=1.5)
    everything, _ = added(memattach, target, "--sample", "4KiB")
    # Sampling costs, so that the comparison could fail; steered, little more than the way through.
    assert everything > steered, (everything, steered)
    assert steered - passing < 0.15, (steered, passing)
    said = steered_status["cost_ratio"]
    outside = steered / (1 + steered)
    assert 0.1 * outside - 0.02 < said < 4 * outside + 0.05, (said, outside, steered_status)
    assert passing_status["passing_ratio"] > 0.01, passing_status
    if steered_status["passing_ratio"] > BUDGET:
        assert "above the budget at any interval" in memattach_text(memattach, target), said


def memattach_text(memattach, target):
    memattach.ok("attach", target.pid)
    target.tell("work", 3)

    def stated():
        text = memattach.ok("status", target.pid).text
        return text if "above the budget" in text else None

    try:
        return " ".join(wait_until(stated, what="the statement in status").split())
    finally:
        target.answer()
